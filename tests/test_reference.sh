#!/bin/bash
# The reference runs in results/reference: their weights still give the accuracy that their run.json tells.
#   tests/test_reference.sh path/to/morbench        (from the repository root)
# REFERENCE=DIR reads another directory. Exit status 77 when there is nothing to check, or nothing to check it with.
set -u
morbench=$(realpath "${1:?usage: tests/test_reference.sh path/to/morbench}")
reference=${REFERENCE:-results/reference}
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export MORBENCH_DEBUG=0 NO_COLOR=1
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE
checked=0 failed=0 without=

# arguments RUN.json MODEL.json: how to evaluate it again, one argument a line; the model by its settings, since a run may have
# changed its preset's. Exit status 3: its data is a folder that is not here.
cat >"$dir/arguments.py" <<'END'
import json, os, sys
run = json.load(open(sys.argv[1]))
model, data, train = run["model"], run["data"].get("test") or run["data"], run["experiment"].get("train", {})
json.dump({"model": model["name"], **model["settings"]}, open(sys.argv[2], "w"))
folder = run["experiment"].get("data", {}).get("dir")
if folder and not os.path.isdir(folder): sys.exit(3)
out = ["--config", sys.argv[2], "--data", folder or data["name"], "--preprocess", run["experiment"].get("data", {}).get("preprocess", "none"), "--split", data["split"], "--batch", str(train.get("eval_batch_size", 100)),
        "--threads", str(run["metrics"]["threads_requested_count"])]
if data["images_count"] < data["images_split_count"]: out += ["--limit", str(data["images_count"])]
print("\n".join(out))
END
# The bits of a matrix product belong to its kernels and its threads. Where these are others, logits differ in the last place,
# and an image whose best two classes tie within that may fall either way: 5 of 10,000 are allowed for.
cat >"$dir/compare.py" <<'END'
import json, sys
was, now = (json.load(open(path)) for path in sys.argv[1:3])
same = all(was["env"].get(k) == now["env"].get(k) for k in ("blas_core", "simd")) and \
       was["metrics"]["threads_effective_count"] == now["metrics"]["threads_effective_count"]
a, b, n = was["accuracy"]["top1_ratio"], now["accuracy"]["top1_ratio"], was["accuracy"]["images_count"]
allowed = 0 if same else 5 * n / 10000
apart = abs(round(a * n) - round(b * n))
print(f"recorded {100 * a:.2f} %, now {100 * b:.2f} % of {n} images; {apart} images apart, {allowed:g} allowed "
      f"({'same' if same else 'other'} kernels and threads)")
sys.exit(n != now["accuracy"]["images_count"] or apart > allowed)
END

# ---- the comparison notices what is wrong ----
record() { # FILE, right answers, kernels
    printf '{"env": {"blas_core": "%s"}, "metrics": {"threads_effective_count": 2}, "accuracy": {"top1_ratio": %s, "images_count": 10000}}' "$3" "$2" >"$1"
}
record "$dir/a" 0.9100 Haswell
record "$dir/b" 0.9101 Haswell
record "$dir/c" 0.9105 Zen
record "$dir/d" 0.9106 Zen
for pair in "a a 0" "a b 1" "a c 0" "a d 1"; do
    read -r x y wanted <<<"$pair"
    python3 "$dir/compare.py" "$dir/$x" "$dir/$y" >/dev/null
    [ $? -eq "$wanted" ] || { echo "not ok - the comparison of $x and $y is wrong"; failed=1; }
done

for run in "$reference"/*/run.json; do
    weights=${run%run.json}weights.safetensors
    [ -f "$run" ] && [ -f "$weights" ] || continue
    python3 "$dir/arguments.py" "$run" "$dir/model.json" >"$dir/arguments"
    told=$?
    if [ "$told" -eq 3 ]; then
        without="the folder of images of $run is not here"
        echo "skipped: $without"
        continue
    elif [ "$told" -ne 0 ]; then
        echo "not ok - $run says not how to evaluate it"
        failed=$((failed + 1))
        continue
    fi
    mapfile -t arguments <"$dir/arguments"
    if ! "$morbench" eval "${arguments[@]}" --weights "$weights" --json --quiet >"$dir/now.json" 2>"$dir/err" </dev/null; then
        if grep -q "data fetch\|is not on this machine" "$dir/err"; then
            without=$(tail -n 1 "$dir/err")
            continue
        fi
        echo "not ok - $run: $(tail -n 1 "$dir/err")"
        failed=$((failed + 1))
        continue
    fi
    checked=$((checked + 1))
    if python3 "$dir/compare.py" "$run" "$dir/now.json" >"$dir/said" 2>&1; then echo "ok - $run: $(tail -n 1 "$dir/said")"
    else echo "not ok - $run: $(tail -n 1 "$dir/said")"; failed=$((failed + 1)); fi
    if [ "$(sha256sum <"$weights" | cut -d' ' -f1)" = "$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["model"]["weights_sha256"])' "$run")" ]
    then echo "ok - $weights has the digest that its run tells"
    else echo "not ok - $weights has another digest than its run tells"; failed=$((failed + 1)); fi
done

[ "$failed" -eq 0 ] || { echo "$failed failed"; exit 1; }
[ "$checked" -gt 0 ] || { echo "skipped: ${without:-no run.json with weights.safetensors in $reference}"; exit 77; }
