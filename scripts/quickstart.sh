#!/bin/sh
# A first look, on real images and with trained weights: accuracy, speed, one table, plots; what `make quickstart` runs.
# Takes under a minute on two cores. Everything lands in one directory, which is begun anew.
#
#   BINARY=build/release/morbench scripts/quickstart.sh [DIR]        DIR: results/quickstart
#
# Exit status: that of the first command that fails.
set -eu
cd "$(dirname "$0")/.."

binary=${BINARY:-build/release/morbench}
out=${1:-results/quickstart}
preset=vit_d96_l6_p4_28
weights=results/reference/$preset/weights.safetensors
training=results/reference/$preset/run.json

step() {
    printf '\n%s\n  $ ' "$1"
    shift
    printf '%s ' "$@"
    printf '\n\n'
    "$@" || { status=$?; printf '\nquickstart: stopped, exit status %d\n' "$status" >&2; exit "$status"; }
}

if [ ! -x "$binary" ]; then
    printf 'quickstart: %s is not there; make builds it\n' "$binary" >&2
    exit 1
fi
if [ ! -f "$weights" ]; then
    printf 'quickstart: %s is not there; it belongs to the sources\n' "$weights" >&2
    exit 1
fi

# only what an earlier quickstart wrote
rm -rf "$out/eval" "$out/bench" "$out/train" "$out/plots" "$out"/table.md "$out"/table.csv "$out"/table.json

step "1. How accurate is it? All 10000 test images of Fashion-MNIST." \
    "$binary" eval --preset "$preset" --weights "$weights" --data fashion_mnist --out "$out/eval"
step "2. How fast is it, one image and sixteen at a time?" \
    "$binary" bench --preset "$preset" --weights "$weights" --data fashion_mnist --batch 1,16 --profile smoke --out "$out/bench"
# the record of the training that made the weights, for the curves
if [ -f "$training" ]; then
    mkdir -p "$out/train"
    cp "$training" "$out/train/run.json"
fi
step "3. All in one table, with the training that made these weights, and as plots." \
    "$binary" report "$out"

printf '\nDone. Look at\n'
printf '  table   %s/table.md (for people), table.csv (for programs)\n' "$out"
printf '  JSON    %s/eval/run.json and %s/bench/*/run.json, all of it in %s/table.json\n' "$out" "$out" "$out"
if [ -d "$out/plots" ]; then printf '  plots   %s/plots/*.png and *.svg\n' "$out"; fi
printf 'The times are a smoke test: for numbers to publish, measure with --profile standard or paper.\n'
