#!/bin/bash
# morbench rerun: a cell again, byte for byte but for times; what was changed in between is named.
#   tests/test_rerun.sh path/to/morbench        (from the repository root)
set -u
morbench=$(realpath "${1:?usage: tests/test_rerun.sh path/to/morbench}")
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export MORBENCH_DEBUG=0 NO_COLOR=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} TMPDIR=$dir
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE
# shellcheck source=tests/claims.sh
. tests/claims.sh
again() { "$morbench" rerun "$1" >"$dir/shown"; }
weights=results/reference/vit_d96_l6_p4_28/weights.safetensors

for backend in openblas packed; do
    "$morbench" bench --profile smoke --quiet --threads 2 --backend $backend --preset vit_d64_l6_p4_28,vit_d96_l6_p4_28 --batch 1,3 --layers --out "$dir/$backend" >/dev/null 2>&1
    run=$dir/$backend/vit_d96_l6_p4_28_b3_t2/run.json
    holds "$backend: a cell of a bench comes out the same" again "$run"
    holds "$backend: each field is named" grep -q "^/metrics/output_sha256  *the same" "$dir/shown"
    holds "$backend: no other environment is suspected" bash -c '! grep -q "another machine" "$0"' "$dir/shown"
done
holds "training steps are repeated" bash -c '"$0" bench --profile smoke --quiet --threads 1 --preset vit_d64_l6_p4_28 --batch 2 --train --out "$1/steps" >/dev/null && "$0" rerun "$1"/steps/*/run.json' "$morbench" "$dir"
if [ -f $weights ]; then
    "$morbench" eval --preset vit_d96_l6_p4_28 --weights $weights --data synthetic:28x28x1:10:64 --batch 16 --threads 2 --quiet --out "$dir/eval" >/dev/null 2>&1
    holds "an evaluation comes out the same" again "$dir/eval/run.json"
    "$morbench" rerun "$dir/eval/run.json" --json >"$dir/shown" 2>/dev/null
    holds "and as JSON" python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); sys.exit(not (d["same_environment"] and d["differing_count"]==0 and {"field":"/accuracy","same":True} in d["fields"]))' "$dir/shown"
    again "$dir/eval/run.json"
    holds "predictions and loss among it" grep -q "^/accuracy  *the same" "$dir/shown"
    python3 tests/forge_run.py "$dir/eval/run.json" "$dir/other/run.json" '/accuracy/loss=1.5'
    refused "another loss is noticed" 4 "1 fields differ" "$morbench" rerun "$dir/other/run.json"
fi

# a training knows its backend too, whose rounding decides its weights
mkdir "$dir/t"
cat >"$dir/t/config.json" <<'END'
{"data": {"name": "synthetic:14x14x1:4:256"}, "train": {"epochs": 2, "batch_size": 32, "lr": 0.001, "warmup_epochs": 0}, "measure": {"backend": "packed"},
 "model": {"model": "vit", "img_size": 14, "patch_size": 7, "in_chans": 1, "embed_dim": 48, "depth": 2, "num_heads": 2, "num_classes": 4}}
END
"$morbench" --backend packed train --threads 1 --quiet --out "$dir/t" "$dir/t/config.json" >/dev/null 2>&1
holds "a training comes out the same, with its own kernels" again "$dir/t/run.json"
python3 tests/forge_run.py "$dir/t/run.json" "$dir/old/run.json" '/experiment/backend="absent"'
holds "one that does not name them, with those of its cell's file" again "$dir/old/run.json"
cp "$dir/t/config.json" "$dir/t.json"
python3 tests/forge_run.py "$dir/old/run.json" "$dir/hand/run.json" "/provenance/command_line=[\"train\", \"--out\", \"$dir/t\", \"$dir/t.json\"]"
"$morbench" rerun "$dir/hand/run.json" >"$dir/out" 2>"$dir/err"
[ $? -eq 4 ] && grep -q "does not name its backend; it is run again with the default, openblas" "$dir/err" && say ok "what no sweep wrote is not asked: the default, and that is said" ||
    say wrong "what no sweep wrote: $(head -n 1 "$dir/err")"
holds "and the backend can be named" "$morbench" --backend packed rerun "$dir/hand/run.json"
python3 tests/forge_run.py "$run" "$dir/bits/run.json" '/metrics/output_sha256="aa"' '/model/counts/macs_executed=7'
refused "other outputs and counts are noticed" 4 "2 fields differ" "$morbench" rerun "$dir/bits/run.json"
holds "and named" grep -q "^/metrics/output_sha256  *DIFFERS" "$dir/out"
python3 tests/forge_run.py "$run" "$dir/slow/run.json" '/metrics/latency_ns=7.5'
holds "times are no matter" "$morbench" rerun "$dir/slow/run.json"
python3 tests/forge_run.py "$run" "$dir/gone/run.json" '/provenance/command_line=["bench","--preset","vit_d12_l1_p4_28","--batch","3"]'
refused "a command line that does not name the model" 1 "gone/run.json: /provenance/command_line: does not name the preset" "$morbench" rerun "$dir/gone/run.json"
python3 tests/forge_run.py "$run" "$dir/none/run.json" '/provenance/command_line=[]'
refused "a result without a command line" 1 "none/run.json: /provenance/command_line" "$morbench" rerun "$dir/none/run.json"
python3 tests/forge_run.py "$run" "$dir/lost/run.json" '/provenance/command_line=["bench","--preset","vit_d96_l6_p4_28","--weights","/nowhere.safetensors"]'
refused "weights that are gone" 1 "/nowhere.safetensors" "$morbench" rerun "$dir/lost/run.json"
refused "no operand" 1 "rerun needs RUN.json" "$morbench" rerun
holds "nothing is left behind" bash -c '! ls "$0" | grep -q morbench-rerun' "$dir"

fits_schema "$dir/openblas" "$dir/packed" "$dir/eval" results
echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
