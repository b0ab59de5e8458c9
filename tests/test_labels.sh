#!/bin/bash
# A teacher's stored labels from outside: written, learnt from, the same bytes again, resumed after an interrupt; refusals in one line.
#   tests/test_labels.sh path/to/morbench        (from the repository root)
set -u
morbench=$(realpath "${1:?usage: tests/test_labels.sh path/to/morbench}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export MORBENCH_DEBUG=0 NO_COLOR=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE
# shellcheck source=tests/claims.sh
. tests/claims.sh

cat >"$dir/teacher.json" <<'END'
{"data":  {"name": "synthetic:28x28x1:10:120", "test_limit": 20},
 "model": {"preset": "vit_d64_l6_p4_28", "embed_dim": 32, "depth": 1},
 "train": {"epochs": 1, "batch_size": 20, "warmup_epochs": 0.5}}
END
cat >"$dir/student.json" <<'END'
{"data":  {"name": "synthetic:28x28x1:10:120", "test_limit": 20},
 "model": {"preset": "tiny_vit_d32_28", "embed_dims": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]},
 "train": {"epochs": 3, "batch_size": 20, "warmup_epochs": 0.5, "flip": true, "crop_padding": 2, "repeats": 2, "seed": 5, "checkpoint_s": 0.01}}
END
in_dir() { "$morbench" "$@" --threads 2 --quiet; }
labels() { # DIR, overrides...
    local out=$1
    shift
    in_dir labels "$dir/student.json" "$@" --config "$dir/teacher.json" --weights "$dir/teacher/weights.safetensors" --out "$dir/$out" --top 4
}
train() { # DIR, overrides...
    local out=$1
    shift
    in_dir train "$dir/student.json" train.sparse_labels="$dir/labels" "$@" --out "$dir/$out"
}
files() { (cd "$dir/$1" && find . -type f | sort | tr '\n' ' '); }

holds "a teacher is trained" in_dir train "$dir/teacher.json" --out "$dir/teacher"
labels labels --json >"$dir/said.json" 2>/dev/null
holds "its labels are stored, as JSON tells" python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); sys.exit(not (d["images_count"] > 0 and d["epochs_count"] == 3 and d["stored_classes_count"] == 4 and 0 <= d["teacher_top1_ratio"] <= 1))' "$dir/said.json"
[ "$(files labels)" = "./logits_top4_epoch0/rank0-keys.txt ./logits_top4_epoch0/rank0-values.bin ./logits_top4_epoch1/rank0-keys.txt ./logits_top4_epoch1/rank0-values.bin ./logits_top4_epoch2/rank0-keys.txt ./logits_top4_epoch2/rank0-values.bin " ] \
    && say ok "as keys and values of every epoch" || say wrong "files are $(files labels)"
[ "$(wc -c <"$dir/labels/logits_top4_epoch0/rank0-values.bin")" -eq $((120 * 20)) ] && say ok "a record is 4 + 4 K bytes" || say wrong "size of the values"
cmp -s "$dir/labels/logits_top4_epoch0/rank0-values.bin" "$dir/labels/logits_top4_epoch1/rank0-values.bin" \
    && say wrong "two epochs, augmented differently, have the same labels" || say ok "labels of another epoch are others"
holds "the same again" labels again
holds "gives the same bytes" diff -r "$dir/labels" "$dir/again"
holds "a student learns from them" train whole
holds "which another loader does not change" train loader train.loader_threads=3
holds "the same bytes" cmp "$dir/whole/weights.safetensors" "$dir/loader/weights.safetensors"
holds "without them it learns something else" in_dir train "$dir/student.json" --out "$dir/plain"
cmp -s "$dir/whole/weights.safetensors" "$dir/plain/weights.safetensors" && say wrong "the labels changed nothing" || say ok "other bytes"

# batch norm's running statistics are part of what is saved
"$morbench" train "$dir/student.json" train.sparse_labels="$dir/labels" --threads 2 --quiet --out "$dir/stopped" >/dev/null 2>&1 &
job=$!
for _ in $(seq 400); do ls "$dir"/stopped/checkpoint-* >/dev/null 2>&1 && break; sleep 0.01; done
kill -TERM "$job" 2>/dev/null
wait "$job" 2>/dev/null
holds "one that was interrupted goes on" train stopped
holds "to the same bytes" cmp "$dir/whole/weights.safetensors" "$dir/stopped/weights.safetensors"

refused "another seed" 1 "/train/seed: must be 5" train x1 train.seed=6
refused "an epoch that was not stored" 1 "no labels of epoch 3" train x2 train.epochs=4
refused "mixup" 1 "/train/sparse_labels: needs mixup and cutmix to be 0" train x3 train.mixup=0.5
refused "mixup when storing" 1 "mixup and cutmix must be 0" labels x4 train.mixup=0.5
refused "more classes than there are" 1 "top: must be" in_dir labels "$dir/student.json" --config "$dir/teacher.json" --weights "$dir/teacher/weights.safetensors" --out "$dir/x5" --top 11
refused "a directory without labels" 1 "holds no directory logits_top" train x6 train.sparse_labels="$dir"
printf 'x' >>"$dir/labels/logits_top4_epoch1/rank0-values.bin"
refused "records cut short" 1 "rank0-values.bin: 2401 bytes are no whole number of records of 20" train x7

fits_schema "$dir"
echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
