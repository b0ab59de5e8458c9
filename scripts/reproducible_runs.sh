#!/usr/bin/env bash
# Makes results/reproducible: five short runs of each reference model, which `make rerun-committed` repeats byte for byte.
#   BINARY=build/release/morbench scripts/reproducible_runs.sh [DIR]
set -eu
cd "$(dirname "$0")/.."
binary=$(realpath "${BINARY:-build/release/morbench}") dir=${1:-results/reproducible}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

for weights in results/reference/*_28*/weights.safetensors; do
    name=$(basename "$(dirname "$weights")")
    # the settings as they were trained: the name is that of an experiment, not always that of a preset
    model=$(mktemp)
    python3 -c 'import json, sys; m = json.load(open(sys.argv[1]))["model"]; json.dump({"model": m["name"], **m["settings"]}, sys.stdout)' \
        "${weights%weights.safetensors}run.json" >"$model"
    config=$dir/$name/model.json
    mkdir -p "$dir/$name"
    mv "$model" "$config"
    chmod 644 "$config"
    common=(--config "$config" --threads 2)
    "$binary" eval  "${common[@]}" --weights "$weights" --data fashion_mnist --quiet --out "$dir/$name/eval" >/dev/null
    "$binary" eval  "${common[@]}" --weights "$weights" --data fashion_mnist --quiet --backend packed --batch 7 --limit 1000 --out "$dir/$name/eval_packed" >/dev/null
    "$binary" eval  "${common[@]}" --weights "$weights" --data fashion_mnist --quiet --backend reference --limit 40 --out "$dir/$name/eval_oracle" >/dev/null
    for batch in 1 16; do
        "$binary" bench "${common[@]}" --weights "$weights" --data fashion_mnist --quiet --profile smoke --batch $batch --out "$dir/$name" >/dev/null 2>&1 || [ $? -eq 4 ]
    done
    echo "$dir/$name"
done
