#!/bin/bash
# Transfer between classes of one data set, from outside: trained on some, fine-tuned and evaluated on others; refusals in one line.
#   tests/test_transfer.sh path/to/morbench        (from the repository root)
set -u
morbench=$(realpath "${1:?usage: tests/test_transfer.sh path/to/morbench}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export NO_COLOR=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE
# shellcheck source=tests/claims.sh
. tests/claims.sh

cat >"$dir/task.json" <<'END'
{"data":  {"name": "synthetic:28x28x1:10:200", "classes": "0-4"},
 "model": {"preset": "vit_d64_l6_p4_28", "embed_dim": 32, "depth": 1, "num_classes": 5},
 "train": {"epochs": 1, "batch_size": 20, "warmup_epochs": 0.5}}
END
train() { "$morbench" train "$dir/task.json" --quiet --threads 1 "$@"; }
# FILE, pattern: it has such a line
has() { grep -qE -e "$2" "$1"; }
number() { sed -n "s/.*\"$2\": \([0-9.]*\).*/\1/p" "$1" | head -n 1; }

holds "a model is trained on classes 0 to 4" train --out "$dir/before"
holds "the result says which classes" has "$dir/before/run.json" '"classes": "0-4"'
holds "and counts five of them" has "$dir/before/run.json" '"classes_count": 5'
weights=$dir/before/weights.safetensors
holds "it is fine-tuned on classes 5 to 9 with a new classifier" train data.classes=5-9 train.new_head=true --weights "$weights" --out "$dir/after"
holds "eval takes these classes too" "$morbench" eval --config "$dir/task.json" --weights "$dir/after/weights.safetensors" \
    --data synthetic:28x28x1:10:200 --classes 5-9 --out "$dir/eval" --quiet
holds "and finds the accuracy that the training reported" [ "$(number "$dir/eval/run.json" top1_ratio)" = "$(number "$dir/after/run.json" top1_ratio)" ]
holds "with the old classifier it is another run" train data.classes=5-9 --weights "$weights" --out "$dir/kept"
holds "which ends with other weights" [ "$(number "$dir/kept/run.json" loss)" != "$(number "$dir/after/run.json" loss)" ]
refused "a new classifier without weights to start from is refused" 1 '/train/new_head: is for starting weights' train train.new_head=true --out "$dir/none"
refused "a class that is not there is refused" 1 '/data/classes: has class 10, and there are 10' train data.classes=0-10 --out "$dir/none"
refused "classes that are no numbers are refused" 1 '/data/classes: must be class numbers and ranges' train data.classes=cat --out "$dir/none"
refused "a model with fewer classes than chosen is refused" 1 '/model/num_classes: must be at least the 6 classes' train data.classes=0-5 --out "$dir/none"
echo "1..$n"
[ "$failed" -eq 0 ]
