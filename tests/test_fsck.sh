#!/bin/bash
# morbench fsck: what a killed process, a full disk or a careless copy leaves is found, said and moved aside; the rest stays as it is.
#   tests/test_fsck.sh path/to/morbench        (from the repository root)
set -u
morbench=$(realpath "${1:?usage: tests/test_fsck.sh path/to/morbench}")
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
dir=$(mktemp -d)
job=
trap '[ -z "$job" ] || kill -9 "$job" 2>/dev/null; rm -rf "$dir"' EXIT
export MORBENCH_DEBUG=0 NO_COLOR=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE
# shellcheck source=tests/claims.sh
. tests/claims.sh

cat >"$dir/c.json" <<'END'
{"data":  {"name": "synthetic:28x28x1:10:64"},
 "model": {"preset": "vit_d64_l6_p4_28", "embed_dim": 16, "num_heads": 1, "depth": 1, "mlp_ratio": 1},
 "train": {"epochs": 2, "batch_size": 8, "warmup_epochs": 0, "checkpoint_s": 0.000001}}
END
train() { local out=$1; shift; "$morbench" train "$dir/c.json" --threads 1 --quiet --out "$out" "$@"; }
# begin DIR arguments... : in the background, its number in $job
begin() { local out=$1; shift; "$morbench" train "$dir/c.json" --threads 1 --quiet --out "$out" "$@" >/dev/null 2>&1 & job=$!; }
# unfinished DIR arguments... : a training ended with two checkpoints
unfinished() {
    begin "$@" train.epochs=5000
    for _ in $(seq 400); do [ "$(find "$1" -name 'checkpoint-*' 2>/dev/null | wc -l)" -ge 2 ] && break; sleep 0.02; done
    kill -s TERM "$job"; wait "$job"; job=
}
state() { (cd "$1" && find . -type f -not -path './.fsck-*' -exec sha256sum {} + | sort -k2); }
# finding KIND PATH PATTERN FILE: among the findings in JSON
finding() {
    python3 - "$@" <<'END'
import json, re, sys
kind, path, pattern, file = sys.argv[1:]
found = [f for f in json.load(open(file))["findings"] if f["path"] == path]
if [f["kind"] for f in found] != [kind]: sys.exit(f"{path}: {found}")
if not re.search(pattern, found[0]["why"]): sys.exit(found[0]["why"])
END
}

r=$dir/results
train "$r/a" >/dev/null
train "$r/b" train.seed=2 >/dev/null
python3 -c 'import json,sys; print(json.dumps({"model": "vit", **json.load(open(sys.argv[1]))["model"]["settings"]}))' "$r/a/run.json" >"$dir/model.json"
"$morbench" eval --config "$dir/model.json" \
    --weights "$r/a/weights.safetensors" --data synthetic:28x28x1:10:64 --quiet --out "$r/deep/er/eval" --depths "$r/deep/er/eval/depths.safetensors" >/dev/null 2>"$dir/err" || cat "$dir/err"
unfinished "$r/going"
"$morbench" report "$r" >/dev/null 2>&1
echo "notes" >"$r/README.md"
clean() { "$morbench" fsck "$1" >"$dir/shown"; }
holds "a directory as the commands leave it is clean" clean "$r"
holds "trained, evaluated, unfinished and reported ones are counted" grep -q "^3 results, 2 checkpoints, 0 findings" "$dir/shown"
holds "a single cell is clean too" "$morbench" fsck "$r/a"
holds "so are the results that are kept here" "$morbench" fsck --dry-run results
cp -r "$r" "$dir/whole"

# ---- what is planted is found ----
printf half >"$r/a/.tmp-0123456789abcdef"
printf half >"$r/.tmp-00000000000000ff"
mkdir -p "$r/c" "$r/d"
sed 's/"status": "ok"/"status": "failed"/' "$r/a/run.json" >"$r/c/run.json"
head -c 500 "$r/a/run.json" >"$r/d/run.json"
cp -r "$r/b" "$r/copy of b"
touch "$r/b/core" "$r/b/notes.txt"
cp "$r/going/$(ls "$r/going" | head -n 1)" "$r/b/checkpoint-3.safetensors"
damaged=$(ls "$r/going" | tail -n 1)
printf X | dd of="$r/going/$damaged" bs=1 seek=$(($(stat -c %s "$r/going/$damaged") - 9)) conv=notrunc 2>/dev/null
unfinished "$dir/other" train.seed=7
other=checkpoint-0.safetensors
cp "$dir/other/$(ls "$dir/other" | head -n 1)" "$r/going/$other"
printf X | dd of="$r/a/weights.safetensors" bs=1 seek=2000 conv=notrunc 2>/dev/null
state "$r" >"$dir/before"

refused "findings are exit status 5" 5 "results: 10 findings; nothing was moved" "$morbench" fsck --dry-run "$r"
state "$r" >"$dir/after"
holds "a dry run moves nothing" cmp "$dir/before" "$dir/after"
"$morbench" fsck --dry-run --json "$r" >"$dir/found.json" 2>/dev/null
holds "half-written files are found, in cells and beside them" bash -c "$(declare -f finding); finding half_written a/.tmp-0123456789abcdef name '$dir/found.json' && finding half_written .tmp-00000000000000ff name '$dir/found.json'"
holds "a changed result" finding damaged_result c/run.json "changed or damaged" "$dir/found.json"
holds "a torn result" finding damaged_result d/run.json "." "$dir/found.json"
holds "a copy of a cell, of which the first by path stays" finding duplicate "copy of b/run.json" "the cell of b/run.json" "$dir/found.json"
holds "a file that no command writes; notes are fine" finding unknown_file b/core "no command" "$dir/found.json"
holds "a checkpoint of a finished run" finding left_checkpoint b/checkpoint-3.safetensors finished "$dir/found.json"
holds "a damaged checkpoint" finding damaged_checkpoint "going/$damaged" digest "$dir/found.json"
holds "a checkpoint of other settings" finding strange_checkpoint "going/$other" "settings" "$dir/found.json"
holds "weights that are not the result's" finding other_weights a/weights.safetensors "digest" "$dir/found.json"
holds "what was found is a document that validate knows" "$morbench" validate "$dir/found.json"

# ---- and moved, whole ----
refused "they are moved aside" 5 "results: 10 findings, moved aside" "$morbench" fsck "$r"
holds "the directory is then clean" "$morbench" fsck "$r"
aside=$(find "$r" -maxdepth 1 -name '.fsck-*')
holds "what was moved lies under its path, with the reasons" bash -c '[ -f "$0/a/.tmp-0123456789abcdef" ] && [ -f "$0/copy of b/run.json" ] && [ -f "$0/fsck.json" ]' "$aside"
(cd "$aside" && find . -type f -not -name fsck.json -exec sha256sum {} + ; cd "$r" && find . -type f -not -path './.fsck-*' -exec sha256sum {} +) | sort -k2 >"$dir/after"
holds "no byte is lost" cmp "$dir/before" "$dir/after"
rm -rf "$r" && cp -r "$dir/whole" "$r"

# ---- what is in use stays ----
begin "$r/now" train.epochs=100000
for _ in $(seq 200); do ls "$r"/now/checkpoint-* >/dev/null 2>&1 && break; sleep 0.02; done
holds "a training that is going on is left alone" clean "$r"
holds "and that is said" grep -q "1 in use and left alone" "$dir/shown"
kill -9 "$job"; wait "$job" 2>/dev/null; job=
exec 9>"$r/a/.tmp-00000000000000aa"
holds "a file that a process has open is left alone" "$morbench" fsck "$r/a"
exec 9>&-
refused "closed, it is half written" 5 "a: 1 findings" "$morbench" fsck "$r/a"

# ---- duplicates: the finished and older one stays ----
rm -rf "$dir/two" && mkdir "$dir/two" && cp -r "$r/b" "$dir/two/z"
sleep 0.01
train "$dir/two/a" train.seed=2 >/dev/null
"$morbench" fsck --dry-run --json "$dir/two" >"$dir/found.json" 2>/dev/null
holds "of two runs of one cell the older stays" finding duplicate a/run.json "the cell of z/run.json" "$dir/found.json"
mkdir "$dir/two/linked" && ln "$dir/two/z/run.json" "$dir/two/linked/run.json"
"$morbench" fsck --dry-run --json "$dir/two" >"$dir/found.json" 2>/dev/null
holds "one file under two names is no duplicate" python3 -c 'import json,sys; sys.exit([f["path"] for f in json.load(open(sys.argv[1]))["findings"]] != ["a/run.json"])' "$dir/found.json"
# ---- a cell that two experiments have: they were one file, until something copied them ----
found_paths() { "$morbench" fsck --dry-run --json "$1" 2>/dev/null | python3 -c 'import json,sys; print(*sorted(f["path"] for f in json.load(sys.stdin)["findings"]))'; }
mkdir -p "$dir/shared/01/" "$dir/shared/02"
echo '{"schema": "morbench.experiment/1"}' | tee "$dir/shared/01/experiment.json" >"$dir/shared/02/experiment.json"
cp -r "$r/b" "$dir/shared/01/one-s2-id" && cp -r "$r/b" "$dir/shared/02/other-s2-id"
holds "a cell of the same bytes in two experiments is no duplicate" "$morbench" fsck "$dir/shared"
holds "and stays in both" test -f "$dir/shared/01/one-s2-id/run.json" -a -f "$dir/shared/02/other-s2-id/run.json"
cp -r "$r/b" "$dir/shared/02/again" && cp -r "$r/b" "$dir/shared/00"
holds "one that an experiment has twice, or that lies beside them, is" test "$(found_paths "$dir/shared")" = "00/run.json 02/other-s2-id/run.json"
rm -r "$dir/shared/00" "$dir/shared/02/again" && cp "$dir/two/a/run.json" "$dir/shared/02/other-s2-id/run.json"
holds "so is another run of it in the second experiment" test "$(found_paths "$dir/shared")" = "02/other-s2-id/run.json"
bench() { "$morbench" bench --preset vit_d64_l6_p4_28 --profile smoke --processes 2 --samples 2 --quiet --threads 1 --no-counters --out "$1" >/dev/null 2>&1; }
bench "$dir/bench/1" && bench "$dir/bench/2"
holds "two sessions of a bench are no duplicates" "$morbench" fsck "$dir/bench"

# ---- a move that fails: what was moved before is written down all the same ----
deep=$dir/long
mkdir "$deep" && printf half >"$deep/.tmp-0123456789abcdef"
while [ $((4066 - ${#deep})) -gt 256 ]; do deep=$deep/$(printf "x%.0s" $(seq 255)); done
deep=$deep/$(printf 'y%.0s' $(seq $((4066 - ${#deep} - 1))))
mkdir -p "$deep" && printf half >"$deep/.tmp-0123456789abcdef"
refused "a path that is too long to be moved aside is told" 1 "too long to move" "$morbench" fsck "$dir/long"
holds "with the ones moved before it" python3 -c '
import json, sys
found = json.load(open(sys.argv[1]))["findings"]
sys.exit([f["moved"] for f in found] != [True, False] or found[0]["path"] != ".tmp-0123456789abcdef")' "$(find "$dir/long" -maxdepth 2 -name fsck.json)"
refused "where nothing could be moved there is no fsck.json" 1 "too long to move" "$morbench" fsck "$dir/long"
holds "but that of before" test "$(find "$dir/long" -maxdepth 2 -name fsck.json | wc -l)" -eq 1

# ---- what cannot be ----
refused "a directory that is not there" 1 "nowhere" "$morbench" fsck "$dir/nowhere"
refused "a file" 1 "c.json" "$morbench" fsck "$dir/c.json"
refused "no operand" 1 "fsck needs DIR" "$morbench" fsck
odd=$'\e[31m`touch x`\n.txt'
mkdir -p "$dir/odd" && cp "$r/b/run.json" "$dir/odd/" && touch "$dir/odd/$odd.x"
"$morbench" fsck --dry-run "$dir/odd" >"$dir/out" 2>/dev/null
holds "names reach a terminal without escapes" bash -c '! grep -q $'"'\e'"' "$0" && [ "$(wc -l <"$0")" -eq 2 ]' "$dir/out"
holds "nor do they run" test ! -e x

echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
