#!/bin/bash
# morbench validate on every kind of file that commands read or write, whole and damaged. (tests/test_cli.sh has configurations, IDX and
# the first words of each.)
#   tests/test_validate.sh path/to/morbench        (from the repository root)
set -u
morbench=$(realpath "${1:?usage: tests/test_validate.sh path/to/morbench}")
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
dir=$(mktemp -d)
job=
trap '[ -z "$job" ] || kill -9 "$job" 2>/dev/null; rm -rf "$dir"' EXIT
export MORBENCH_DEBUG=0 NO_COLOR=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE MORBENCH_DATA
# shellcheck source=tests/claims.sh
. tests/claims.sh

# is CLAIM FILE PATTERN: good, and told to be that
is() {
    "$morbench" validate "$2" >"$dir/shown" 2>"$dir/err"
    local got=$?
    if [ $got -eq 0 ] && grep -qE -e "^ok: .*: $3" "$dir/shown"; then say ok "$1"; else say wrong "$1: $got, $(head -n 1 "$dir/shown")"; fi
}
# isnt CLAIM STATUS FILE PATTERN: bad, with that exit status and reason
isnt() {
    "$morbench" validate "$3" >"$dir/shown" 2>"$dir/err"
    local got=$?
    if [ $got -eq "$2" ] && grep -qE -e "^bad: .*$4" "$dir/shown" && [ "$(wc -l <"$dir/err")" -eq 1 ]; then say ok "$1"; else say wrong "$1: $got, $(head -n 1 "$dir/shown")"; fi
}
spoil() { # FILE OFFSET-FROM-END: a byte is turned over
    python3 - "$1" "$2" <<'END'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(-int(sys.argv[2]), 2); b = f.read(1); f.seek(-1, 1); f.write(bytes([b[0] ^ 255]))
END
}

# ---- this checker notices what is wrong ----
is "x" tests/golden/vit/model.json "a result" >/dev/null
isnt "x" 1 tests/golden/vit/model.json "" >/dev/null
caught=$failed n=0 failed=0
if [ "$caught" -eq 2 ]; then say ok "this script notices a file that is something else"; else say wrong "this script caught $caught of 2"; fi

# ---- what commands write ----
cat >"$dir/c.json" <<'END'
{"data":  {"name": "synthetic:28x28x1:10:32"},
 "model": {"preset": "vit_d64_l6_p4_28", "embed_dim": 16, "num_heads": 1, "depth": 1, "mlp_ratio": 1},
 "train": {"epochs": 1, "batch_size": 8, "warmup_epochs": 0, "checkpoint_s": 0.000001}}
END
"$morbench" train "$dir/c.json" --threads 1 --quiet --out "$dir/run" >/dev/null
"$morbench" train "$dir/c.json" --threads 1 --quiet --out "$dir/going" train.epochs=5000 >/dev/null 2>&1 &
job=$!
for _ in $(seq 300); do ls "$dir"/going/checkpoint-* >/dev/null 2>&1 && break; sleep 0.02; done
kill -s TERM "$job"; wait "$job"; job=
cp "$(find "$dir/going" -name 'checkpoint-*' | head -n 1)" "$dir/checkpoint.safetensors"
"$morbench" report "$dir/run" >/dev/null 2>&1
"$morbench" doctor --json >"$dir/doctor.json" 2>/dev/null
"$morbench" data list --json >"$dir/datasets.json"
"$morbench" compare --json "$dir/run" "$dir/run" >"$dir/compare.json" 2>/dev/null
"$morbench" fsck --json "$dir/run" >"$dir/fsck.json"
golden=tests/golden/vit
"$morbench" peaks --json >"$dir/peaks.json"
"$morbench" forward --config $golden/model.json --weights $golden/weights.safetensors --input $golden/expected.safetensors --output "$dir/y.safetensors" --json >"$dir/forward.json"
python3 -c 'import json,sys; print(json.dumps({"model": "vit", **json.load(open(sys.argv[1]))["model"]["settings"]}))' "$dir/run/run.json" >"$dir/model.json"
"$morbench" labels "$dir/c.json" --config "$dir/model.json" --weights "$dir/run/weights.safetensors" --out "$dir/labels" --quiet --json >"$dir/labels.json"
"$morbench" rerun "$dir/run/run.json" --json >"$dir/rerun.json" 2>/dev/null
mkdir "$dir/claims" && cp "$dir/run/run.json" "$dir/claims/"
"$morbench" report "$dir/claims" --claims >/dev/null 2>&1
"$morbench" report "$dir/claims" --paper experiments/paper/imagenet.json --json >"$dir/paper.json" 2>/dev/null
is "a training configuration" "$dir/c.json" "training configuration"
is "a result" "$dir/run/run.json" "result of train, status ok"
is "weights" "$dir/run/weights.safetensors" "safetensors, [0-9]* tensors"
is "a checkpoint" "$dir/checkpoint.safetensors" "checkpoint of a training"
is "a table" "$dir/run/table.json" "table of a report, 1 entries"
is "findings of doctor" "$dir/doctor.json" "findings of doctor"
is "a list of data sets" "$dir/datasets.json" "list of data sets"
is "findings of fsck" "$dir/fsck.json" "findings of fsck, 0 entries"
is "a comparison" "$dir/compare.json" "comparison, 1 entries"
is "ceilings" "$dir/peaks.json" "ceilings of a machine"
is "what forward ran" "$dir/forward.json" "outputs of a forward pass, [0-9]+ entries"
is "what labels stored" "$dir/labels.json" "labels of a teacher, as stored"
is "what rerun compared" "$dir/rerun.json" "result run again, [0-9]+ entries"
is "claims as judged" "$dir/claims/claims.json" "claims as judged, [0-9]+ entries"
is "a table of a paper, filled" "$dir/paper.json" "table of a paper, filled, [0-9]+ entries"
for f in experiments/*.json experiments/paper/*.json results/*/experiment.json results/*/*/run.json results/*/*/config.json results/*/*/model.json results/*/*/*.safetensors; do
    "$morbench" validate "$f" >"$dir/shown" 2>&1 || say wrong "$f: $(head -n 1 "$dir/shown")"
done
# lacks FILE POINTER PATTERN: without what is there, and with something else there, the document is bad
lacks() {
    local what
    for what in absent '["else"]'; do
        python3 - "$1" "$2" "$what" >"$dir/lacking.json" <<'END'
import json, sys
tree = json.load(open(sys.argv[1]))
*way, last = sys.argv[2].strip("/").split("/")
at = tree
for key in way: at = at[int(key) if key.isdigit() else key]
assert last in at
if sys.argv[3] == "absent": del at[last]
else: at[last] = json.loads(sys.argv[3])
json.dump(tree, sys.stdout)
END
        isnt "$(sed -n 's/.*"schema": "morbench\.\([a-z_]*\).*/\1/p' "$1" | head -n 1) with $2 $what" 1 "$dir/lacking.json" "$2: must be"
    done
}
lacks "$dir/run/table.json" /rows/0/verdict
lacks "$dir/doctor.json" /threads/effective_count
lacks "$dir/datasets.json" /datasets/0/synthetic
lacks "$dir/fsck.json" /moved_to
lacks "$dir/compare.json" /pairs/0/relative_difference
lacks "$dir/peaks.json" /fma_peak_flops_2x_per_s
lacks "$dir/forward.json" /tensors/0/dtype
lacks "$dir/labels.json" /images_count
lacks "$dir/rerun.json" /fields/0/same
lacks "$dir/claims/claims.json" /claims/0/verdict
lacks "$dir/paper.json" /rows/0/label
lacks results/01_models/experiment.json /cells/1/id
sed 's/"teacher_top1_ratio": [0-9.]*/"teacher_top1_ratio": null/' "$dir/labels.json" >"$dir/null.json"
isnt "a number that is null without a reason" 1 "$dir/null.json" "/teacher_top1_ratio: must be a number, or null with a reason"
sed 's/"teacher_top1_ratio": [0-9.]*/"teacher_top1_ratio": null, "teacher_top1_ratio_reason": "not_supported"/' "$dir/labels.json" >"$dir/null.json"
is "one with a reason" "$dir/null.json" "labels of a teacher"
sed 's/"images_count": [0-9]*/"images_count": -1/' "$dir/labels.json" >"$dir/null.json"
isnt "a count below 0" 1 "$dir/null.json" "/images_count: must be a whole number, 0 or more"
# as DOCUMENT lines and as what writers put in: nobody writes a schema that validate does not know
for schema in $(grep -rhoE '"morbench\.[a-z_]+/[0-9]+"' harness --include='*.c' --include='*.h' | sort -u | tr -d '"'); do
    printf '{"schema": "%s"}' "$schema" >"$dir/bare.json"
    "$morbench" validate "$dir/bare.json" >"$dir/shown" 2>&1
    if [ $? -eq 1 ] && ! grep -q "/schema" "$dir/shown"; then say ok "$schema is known"; else say wrong "$schema: $(head -n 1 "$dir/shown")"; fi
done
python3 -c 'import json, sys; c = json.load(open(sys.argv[1])); c["measure"] = {"bacth": 1}; json.dump(c, sys.stdout)' "$dir/c.json" >"$dir/misspelt.json"
isnt "a misspelt key of how to time a single cell" 1 "$dir/misspelt.json" '/measure/bacth: unknown key; did you mean "batch"'
sed 's/bacth/batch/' "$dir/misspelt.json" >"$dir/timed.json"
is "a single cell that is timed" "$dir/timed.json" "training configuration"
cp "$dir/checkpoint.safetensors" "$dir/turned.safetensors"
spoil "$dir/turned.safetensors" 7
isnt "a checkpoint of which one byte was turned" 5 "$dir/turned.safetensors" "a checkpoint, but its digest does not fit"
sed 's/"top1_ratio": [0-9.]*/"top1_ratio": 0.99/' "$dir/run/run.json" >"$dir/forged.json"
isnt "a result of which one figure was changed" 5 "$dir/forged.json" "/digest: the contents were changed or damaged"
sed 's/"rows"/"lines"/' "$dir/run/table.json" >"$dir/lines.json"
isnt "a table without rows" 1 "$dir/lines.json" "rows: must be an array"

# ---- image data ----
images=tests/golden/images
is "a JPEG" $images/rgb.jpg "JPEG, [0-9]*x[0-9]*, colour"
is "a grey JPEG" $images/grey.jpg "JPEG, [0-9]*x[0-9]*, grey"
head -c $(($(stat -c %s $images/rgb.jpg) / 2)) $images/rgb.jpg >"$dir/torn.jpg"
isnt "a torn JPEG" 5 "$dir/torn.jpg" "."
python3 - "$dir" <<'END'
import sys
d = sys.argv[1]
record = lambda labels, i: bytes(labels) + bytes((i + k) % 256 for k in range(3072))
open(d + "/ten.bin", "wb").write(b"".join(record([i % 10], i) for i in range(5)))
open(d + "/hundred.bin", "wb").write(b"".join(record([i % 20, i % 100], i) for i in range(7)))
open(d + "/label.bin", "wb").write(record([10], 0))
open(d + "/torn.bin", "wb").write(record([1], 0)[:-1])
END
is "a batch of CIFAR-10" "$dir/ten.bin" "CIFAR-10, 5 images"
is "one of CIFAR-100" "$dir/hundred.bin" "CIFAR-100, 7 images"
isnt "a label that CIFAR-10 has not" 1 "$dir/label.bin" "label"
isnt "a torn batch" 5 "$dir/torn.bin" "3072 bytes are no whole number"
mkdir -p "$dir/photos/train/a" "$dir/photos/train/b" "$dir/photos/test/a" "$dir/photos/test/b"
for split in train test; do for class in a b; do cp $images/rgb.jpg $images/grey.jpg "$dir/photos/$split/$class/"; done; done
is "a folder of photographs" "$dir/photos" "folder of images: 4 train images, 4 test images"
is "one of its splits" "$dir/photos/test" "folder of images: 4 test images"
cp "$dir/torn.jpg" "$dir/photos/test/b/rgb.jpg"
isnt "a folder with a torn photograph" 5 "$dir/photos" "test/b/rgb.jpg"
idx() { printf '\0\0\10\'"$1"; shift; for size; do printf "\\$(printf %o $((size >> 24)))\\$(printf %o $((size >> 16 & 255)))\\$(printf %o $((size >> 8 & 255)))\\$(printf %o $((size & 255)))"; done; }
mkdir "$dir/idx"
for split in train t10k; do
    { idx 3 6 28 28; head -c $((6 * 784)) /dev/zero; } >"$dir/idx/$split-images-idx3-ubyte"
    { idx 1 6; head -c 6 /dev/zero; } >"$dir/idx/$split-labels-idx1-ubyte"
done
is "the directory of a named set, which these bytes are not" "$dir/idx" "data set fashion_mnist: 6 train images, NOT the known ones, 6 test images"
truncate -s -1 "$dir/idx/t10k-labels-idx1-ubyte"
isnt "one of it torn" 5 "$dir/idx" "t10k-labels-idx1-ubyte"
mkdir "$dir/empty"
isnt "an empty directory" 1 "$dir/empty" "empty"
"$morbench" validate --json "$dir/photos/train" "$dir/torn.bin" >"$dir/both.json" 2>/dev/null
holds "as JSON, each with its verdict" python3 -c 'import json,sys; a,b=json.load(open(sys.argv[1])); sys.exit(not (a["ok"] and not b["ok"] and b["exit_status"]==5))' "$dir/both.json"

echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
