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
dynamic=dynamicvit_d96_l6_p4_0.7_28
tiny=tiny_vit_d32_28
models="$vit $mor $dynamic $tiny"

weights_of() { printf '%s/%s/weights.safetensors' "$reference" "$1"; }

joined() { # WORDS...: with commas
    ( IFS=,; printf '%s' "$*" )
}

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
for model in $models; do
    [ -f "$(weights_of "$model")" ] || { printf 'quickstart: %s is not there; it belongs to the sources\n' "$(weights_of "$model")" >&2; exit 1; }
done

# only what an earlier quickstart wrote
rm -rf "$out/eval" "$out/bench" "$out/train" "$out/plots" "$out"/table.md "$out"/table.csv "$out"/table.json "$out"/report.html

evaluate() { # QUESTION MODEL
    step "$1" "$binary" eval --preset "$2" --weights "$(weights_of "$2")" --data fashion_mnist --out "$out/eval/$2"
}

evaluate "1. How accurate is a dense ViT? All 10000 test images of Fashion-MNIST." "$vit"
evaluate "2. A MoR-ViT of the same width, whose tokens choose how often two shared blocks are applied to them?" "$mor"
evaluate "3. A DynamicViT, that ViT taught to drop three tokens in ten, three times?" "$dynamic"
evaluate "4. A TinyViT: convolutions first, attention in windows?" "$tiny"
step "5. How fast are they, one image and sixteen at a time?" \
    "$binary" bench --preset "$(joined $models)" --weights "$(joined $(for model in $models; do weights_of "$model"; echo; done))" \
    --data fashion_mnist --batch 1,16 --profile smoke --out "$out/bench"
# the records of the trainings that made the weights, for the curves
for model in $models; do
    [ -f "$reference/$model/run.json" ] || continue
    mkdir -p "$out/train/$model"
    ln -f "$reference/$model/run.json" "$out/train/$model/run.json" 2>/dev/null || cp "$reference/$model/run.json" "$out/train/$model/run.json"
done
step "6. All in one table, with the trainings that made these weights, and as plots." \
    "$binary" report "$out" --html

printf '\nDone. Look at\n'
printf '  page    %s/report.html: which model to use, and why (open it in a browser)\n' "$out"
printf '  table   %s/table.md (for people), table.csv (for programs)\n' "$out"
printf '  JSON    %s/eval/*/run.json and %s/bench/*/run.json, all of it in %s/table.json\n' "$out" "$out" "$out"
if [ -d "$out/plots" ]; then printf '  plots   %s/plots/*.png and *.svg\n' "$out"; fi
printf 'The times are a smoke test: for numbers to publish, measure with --profile standard or paper.\n'
