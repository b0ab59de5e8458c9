#!/usr/bin/env bash
# run, plan, bench and eval where something is unusual: timings that need a whole block data, verdicts that do not count, texts that are no UTF-8,
# outputs and directories that cannot be written, files that ask for too much or say what is not there.
#   test_run_edges.sh [build/release/morbench]
set -u
morbench=$(realpath "${1:-build/release/morbench}")
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
. "$here/claims.sh"
export OMP_NUM_THREADS=1 MORBENCH_MACHINE_LOCK=$dir/machine.lock MORBENCH_DEBUG=0
cd "$dir" || exit 1

vit='"model": "vit", "img_size": 14, "patch_size": 7, "in_chans": 1, "embed_dim": 16, "depth": 1, "num_heads": 2'
data='"data": {"name": "synthetic:14x14x1:4:64"}'
model="\"model\": {$vit, \"num_classes\": 4}"
train='"train": {"epochs": 1, "batch_size": 16}'
at() { python3 -c 'import json,sys; r = json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' "$1" "$2"; }

# ---- data of a timing ----
sets=/usr/share/datasets/fashion-mnist
if [ -d $sets ]; then
    cp -r $sets "$dir/mine"
    fashion='"model": {"model": "vit", "img_size": 28, "patch_size": 14, "in_chans": 1, "embed_dim": 16, "depth": 1, "num_heads": 2, "num_classes": 3}'
    echo "{\"data\": {\"name\": \"fashion_mnist\", \"root\": \"$dir/mine\", \"classes\": \"0-2\", \"limit\": 64, \"test_limit\": 32}, $fashion, $train, \"measure\": {\"profile\": \"smoke\"}}" >rooted.json
    holds "a timing opens what the training did: root, classes, limit" env MORBENCH_DATA=/nowhere "$morbench" run rooted.json --out results/rooted --quiet
    holds "and says so" at "$(echo results/rooted/*-forward-*/run.json)" 'r["data"]["images_count"] == 32 and r["data"]["classes_count"] == 3'
fi
echo "{$data, \"model\": {$vit, \"num_classes\": 4}, \"measure\": {\"profile\": \"smoke\"}, \"vary\": {\"/data/seed\": [1, 2]}}" >seeds.json
"$morbench" run seeds.json --out results/seeds >out 2>err
holds "cells whose images differ are not timed as if they were alike" test "$(grep -c '^timing 1 cells' err)" = 2
refused "a directory with a comma is refused before anything runs" 1 "^morbench: --out: must be a path without commas" "$morbench" run seeds.json --out a,b

# ---- verdicts ----
mor='"model": {"model": "mor_vit", "img_size": 14, "patch_size": 7, "in_chans": 1, "embed_dim": 16, "num_heads": 2, "num_classes": 4, "sharing": "cycle", "blocks_per_recursion": 1, "recursions": 2, "router": "token"}'
echo "{$data, $mor, \"measure\": {\"profile\": \"smoke\"}}" >untrained.json
"$morbench" run untrained.json --out results/untrained >out 2>err
holds "a timing that does not count is status 4, and said" test $? = 4 -a "$(grep -c '^invalid: .*untrained_speed' out)" = 1 -a "$(grep -c '^1 of 1 cells done, 0 failed, 1 invalid' out)" = 1
timeout 20 "$morbench" run untrained.json --out results/untrained --json >out 2>err
holds "it is not timed again, and in the JSON" test $? = 4 -a "$(grep -c '"invalid_count": 1' out)" = 1 -a "$(grep -c timing err)" = 0
holds "plan shows why" grep -q "INVALID: .*untrained_speed" <("$morbench" plan untrained.json --out results/untrained)
sed 's/^{"data[^}]*}, *//; s/"model": //; s/}, "measure.*/}/; s/^/{/; s/^{{/{/' untrained.json >token.json
refused "bench says the same of a cell of its own" 4 "^morbench: 1 of 1 cells are INVALID" "$morbench" bench --config token.json --profile smoke --quiet
echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
