#!/bin/bash
# scripts/slurm/merge.sh without a cluster: what is damaged stays out, what is begun stays, two merges at once end as one.
# (tests/check_slurm.sh merges the shards of a real array.)
#   tests/test_merge.sh path/to/morbench        (from the repository root)
set -u
morbench=$(realpath "${1:?usage: tests/test_merge.sh path/to/morbench}")
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export MORBENCH=$morbench MORBENCH_DEBUG=0 NO_COLOR=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} OMP_NUM_THREADS=1
export MORBENCH_MACHINE_LOCK=$dir/machine.lock
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE
# shellcheck source=tests/claims.sh
. tests/claims.sh
merge=scripts/slurm/merge.sh

cat >"$dir/sweep.json" <<'END'
{"question": "Does merging lose anything?",
 "data": {"name": "synthetic:14x14x1:4:64"},
 "model": {"model": "vit", "img_size": 14, "patch_size": 7, "in_chans": 1, "embed_dim": 16, "depth": 1, "num_heads": 2, "num_classes": 4},
 "train": {"epochs": 2, "batch_size": 16},
 "seeds": [1, 2, 3],
 "evaluate": [{"name": "again", "vary": {"/data/test_limit": [8]}}]}
END
holds "a sweep of three trainings and their evaluations" "$morbench" run "$dir/sweep.json" --out "$dir/whole" --quiet
cells=$(cd "$dir/whole" && ls -d -- */ | wc -l)
holds "six cells" test "$cells" -eq 6
# node NAME : the whole sweep as another machine has it
node() { cp -r "$dir/whole" "$dir/$1"; }
cell_of() { dirname "$(grep -l '"kind": "train"' "$1"/*/run.json | sed -n "$2p")"; }
same() { diff -r "$dir/whole" "$1"; }

node one
holds "into a new directory" bash $merge "$dir/merged" "$dir/one"
holds "with every byte" same "$dir/merged"
holds "again, it is all there" bash -c 'bash "$0" "$1" "$2" | grep -q "^0 cells merged, 6 were there, 0 left out"' $merge "$dir/merged" "$dir/one"

# ---- what is damaged ----
node two
victim=$(cell_of "$dir/two" 1)
printf X | dd of="$victim/weights.safetensors" bs=1 seek=2000 conv=notrunc 2>/dev/null
refused "weights that do not fit their digest are left out, by name" 4 "left out, damaged weights: $victim/run.json" bash $merge "$dir/merged2" "$dir/two"
holds "the others are merged" test "$(find "$dir/merged2" -name run.json | wc -l)" -eq 5
holds "nothing else is left" test -z "$(find "$dir/merged2" -name '.*' -mindepth 1)"
holds "and filled in from a whole one" bash $merge "$dir/merged2" "$dir/one"
holds "it is the whole sweep" same "$dir/merged2"
node three
victim=$(cell_of "$dir/three" 2)
printf x >>"$victim/run.json"
rm "$(cell_of "$dir/three" 1)/weights.safetensors"
refused "so is a damaged result" 4 "left out, damaged: $victim/run.json" bash $merge "$dir/merged3" "$dir/three"
holds "a result kept without its weights is merged" test "$(find "$dir/merged3" -name run.json | wc -l)" -eq 5

# ---- what a cell may have beside its files ----
node four
first=$(cell_of "$dir/four" 1)
mkdir "$first/maps" && printf picture >"$first/maps/1.png"
holds "a folder in a cell comes along" bash $merge "$dir/merged4" "$dir/four"
holds "with what is in it" cmp "$first/maps/1.png" "$dir/merged4/$(basename "$first")/maps/1.png"

# ---- what is begun ----
name=$(basename "$first")
for turn in 1 2; do
    rm -rf "$dir/merged4/$name" && mkdir "$dir/merged4/$name" && echo $turn >"$dir/merged4/$name/checkpoint"
    holds "a cell that is only begun makes room, turn $turn" bash $merge "$dir/merged4" "$dir/one"
done
holds "and is kept each time, for itself" test "$(cat "$dir/merged4/.begun-$name"-*/checkpoint | sort | tr '\n' ' ')" = "1 2 "
holds "the finished one is in its place" diff -r "$dir/one/$name" "$dir/merged4/$name"

# ---- two at once; one that is ended ----
for turn in 1 2 3; do
    bash $merge "$dir/both$turn" "$dir/one" >"$dir/a" 2>&1 & a=$!
    bash $merge "$dir/both$turn" "$dir/whole" >"$dir/b" 2>&1 & b=$!
    wait $a; got=$?; wait $b; got=$got$?
    holds "two merges at once both end well" test $got = 00
    holds "with each cell once, whole" same "$dir/both$turn"
done
mkdir -p "$dir/ended/.merging-left" && echo half >"$dir/ended/.merging-left/run.json"
holds "what an ended one left is no hindrance" bash $merge "$dir/ended" "$dir/one"
holds "nor a result" test "$("$morbench" fsck --dry-run "$dir/ended" | grep -c '^6 results, 0 checkpoints, 0 findings')" -eq 1

echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
