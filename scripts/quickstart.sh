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
reference=results/reference
vit=vit_d96_l6_p4_28
mor=mor_d96_c2x3_p4_lin_28
weights=$reference/$vit/weights.safetensors
routed=$reference/$mor/weights.safetensors

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
for file in "$weights" "$routed"; do
    [ -f "$file" ] || { printf 'quickstart: %s is not there; it belongs to the sources\n' "$file" >&2; exit 1; }
done

# only what an earlier quickstart wrote
rm -rf "$out/eval" "$out/bench" "$out/train" "$out/plots" "$out"/table.md "$out"/table.csv "$out"/table.json "$out"/report.html

step "1. How accurate is a dense ViT? All 10000 test images of Fashion-MNIST." \
    "$binary" eval --preset "$vit" --weights "$weights" --data fashion_mnist --out "$out/eval/$vit"
step "2. And a MoR-ViT of the same width, whose tokens choose how often two shared blocks are applied to them?" \
    "$binary" eval --preset "$mor" --weights "$routed" --data fashion_mnist --out "$out/eval/$mor"
step "3. How fast are they, one image and sixteen at a time?" \
    "$binary" bench --preset "$vit,$mor" --weights "$weights,$routed" --data fashion_mnist --batch 1,16 --profile smoke --out "$out/bench"
# the records of the trainings that made the weights, for the curves
for model in "$vit" "$mor"; do
    [ -f "$reference/$model/run.json" ] || continue
    mkdir -p "$out/train/$model"
    cp "$reference/$model/run.json" "$out/train/$model/run.json"
done
step "4. All in one table, with the trainings that made these weights, and as plots." \
    "$binary" report "$out" --html

printf '\nDone. Look at\n'
printf '  page    %s/report.html: which model to use, and why (open it in a browser)\n' "$out"
printf '  table   %s/table.md (for people), table.csv (for programs)\n' "$out"
printf '  JSON    %s/eval/*/run.json and %s/bench/*/run.json, all of it in %s/table.json\n' "$out" "$out" "$out"
if [ -d "$out/plots" ]; then printf '  plots   %s/plots/*.png and *.svg\n' "$out"; fi
printf 'The times are a smoke test: for numbers to publish, measure with --profile standard or paper.\n'
