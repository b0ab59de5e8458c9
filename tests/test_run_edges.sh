#!/usr/bin/env bash
# run, plan, bench and eval where something is unusual: timings that need a whole block data, verdicts that do not count, texts that are no UTF-8,
# outputs and directories that cannot be written, files that ask for too much or say what is not there.
#   test_run_edges.sh [build/release/morbench]
set -u
morbench=$(realpath "${1:-build/release/morbench}")
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap '[ $BASHPID != $$ ] || rm -rf "$dir"' EXIT              # not of a background job that a signal ends before its exec
. "$here/claims.sh"
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE
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

"$morbench" bench --config token.json --profile smoke --quiet --out results/token >/dev/null 2>&1
holds "rerun compares what it computes all the same" "$morbench" rerun results/token/*/run.json

# ---- texts that are no UTF-8 ----
odd=results/b$'\xff'
echo "{$data, $model, \"train\": {\"epochs\": 9, \"batch_size\": 16, \"lr\": 100, \"optimizer\": \"sgd\", \"momentum\": 0.99, \"warmup_epochs\": 0}}" >diverging.json
"$morbench" run diverging.json --out "$odd" --json --quiet >out 2>err
holds "run --json says what it did in a directory whose name is no UTF-8" test $? = 4 -a "$(grep -c '"failed_count": 1' out)" = 1
holds "in JSON" python3 -m json.tool out /dev/null
cp diverging.json "$(printf 'e\xe4.json')"
holds "a file whose name is no UTF-8 is run" "$morbench" run "$(printf 'e\xe4.json')" train.lr=0.01 --out results/named --quiet
echo "{$data, $model, $train, \"cells\": [{\"name\": \"a\"}, {\"name\": \"b\", \"train\": {\"distill\": \"soft\", \"teacher\": {\"cell\": \"a\"}}}]}" >pair.json
refused "but no cell names another's files there" 1 "--out: must be UTF-8" "$morbench" run pair.json --out "$odd" --quiet

"$morbench" run diverging.json --out results/diverging --quiet >/dev/null 2>&1
run=$(echo results/diverging/*/run.json)
python3 "$here/forge_run.py" "$run" "$run" '/error/message="\u001b]0;owned\u0007 and so on"'
"$morbench" plan diverging.json --out results/diverging >out
holds "what a file says does not reach the terminal as commands" test "$(grep -c owned out):$(grep -c $'\033' out)" = 1:0

# ---- outputs that cannot be written ----
echo "{$data, $model, $train}" >plain.json
echo "{$data, $model}" >named.json
"$morbench" run plain.json --out results/plain --quiet >/dev/null
weights=$(echo results/plain/*/weights.safetensors)
refused "a place for depths that is none is told before the work" 1 "plain.json: is in the way" "$morbench" eval --config named.json --weights "$weights" --depths plain.json/x --out results/early
holds "and nothing was begun" test ! -e results/early/run.json
(ulimit -f 200; "$morbench" eval --config named.json --weights "$weights" --data synthetic:14x14x1:4:30000 --depths results/depths --out results/late --quiet) >out 2>err
holds "depths that cannot be written leave the result" test $? = 2 -a -s results/late/run.json -a "$(grep -c '^top-1' out)" = 1 -a "$(grep -c 'File too large' err)" = 1
"$morbench" bench --config named.json,named.json --weights "$weights,nowhere.safetensors" --label good,bad --profile smoke --quiet --out results/half >out 2>err
holds "a model that cannot be opened costs its own cells" test $? = 4 -a "$(grep -c '^bad .*failed: .*nowhere' out)" = 1
holds "that is in its result" at results/half/bad_b1_t1/run.json 'r["status"] == "failed" and "no such file" in str(r["error"]).lower()'
holds "both are valid, and the report reads them" bash -c '"$0" validate results/half/*/run.json && "$0" report results/half' "$morbench"
cp "$weights" later.safetensors
"$morbench" bench --config named.json,named.json --weights "later.safetensors,missing.safetensors" --label good,bad --profile smoke --quiet --out results/again >/dev/null 2>&1
cp "$weights" missing.safetensors
holds "once it opens, the same command puts it there" "$morbench" bench --config named.json,named.json --weights "later.safetensors,missing.safetensors" --label good,bad --profile smoke --quiet --out results/again
rm missing.safetensors
refused "all of them: the first is told" 1 "^morbench: nowhere.safetensors" "$morbench" bench --config named.json --weights nowhere.safetensors --profile smoke --quiet --out results/none
blocked() {
    "$morbench" bench --config named.json,named.json --label a,b --profile smoke --seconds 0.1 --quiet --out results/blocked >out 2>err &
    local bench=$!
    for _ in $(seq 400); do [ -n "$(pgrep -P $bench)" ] && break; sleep 0.02; done
    printf x >results/blocked/a_b1_t1
    wait $bench
    [ $? -eq 1 ] && [ -s results/blocked/b_b1_t1/run.json ] && [ "$(grep -cE '^(a|b) ' out)" = 2 ]
}
holds "a result that cannot be written leaves the others, and the table" blocked
if ! grep -q __asan_init "$morbench"; then                   # AddressSanitizer ends a process that asks for so much
    (ulimit -v 3000000; "$morbench" bench --preset vit_d64_l6_p4_28 --batch 32768 --profile smoke --quiet --out results/all >out 2>err)
    holds "when all cells fail each has its result" grep -q '"status": "oom"' results/all/*/run.json
fi

# ---- directories of others ----
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
if [ "$(id -u)" = 0 ] && as_nobody test -x "$morbench" 2>/dev/null; then
    chmod 755 "$dir"
    mkdir -p shared/mine
    chown 65534 shared/mine
    holds "where nothing may be written beside DIR, its locks lie in it" as_nobody "$morbench" run plain.json --out shared/mine
    holds "which is said once" test "$(grep -c 'warning: .*locks lie in .locks' said)" = 1
    holds "what is another's is not taken over" bash -c '"$0" run plain.json --out shared/ours 2>&1 | grep -q begins' "$morbench"
fi

# ---- settings that say nothing ----
bad() { # CLAIM PATTERN FILE-TEXT [override]
    echo "$3" >bad.json
    refused "$1" 1 "$2" "$morbench" plan bad.json "${@:4}"
}
file='must be a file, or \{.cell.: NAME\}, got'
bad "weights that are no file" "bad.json: /weights: $file 5" "{$data, $model, $train, \"weights\": 5}"
bad "of a cell" "bad.json: /cells/0/weights: $file 5" "{$data, $model, $train, \"cells\": [{\"name\": \"a\", \"weights\": 5}]}"
bad "of a size" "bad.json: /sizes/small/weights: $file \[\]" "{$data, $model, $train, \"sizes\": {\"small\": {\"weights\": []}}}"
bad "that vary" "bad.json: /weights: $file 5" "{$data, $model, $train, \"vary\": {\"/weights\": [5]}}"
bad "of an override" "/weights: $file 5" "{$data, $model, $train}" weights=5
bad "a label of nothing" 'bad.json: /labels/~1train~1lr: must be the JSON pointer of a setting that some vary has' "{$data, $model, $train, \"labels\": {\"/train/lr\": \"rate\"}}"
bad "a label that is no text" 'bad.json: /labels/~1train~1lr: must be a text, got 5' "{$data, $model, $train, \"labels\": {\"/train/lr\": 5}, \"vary\": {\"/train/lr\": [1]}}"
echo "{$data, $model, $train, \"measure\": {\"bach\": 1}}" >bad.json
echo "{$data, $model, $train, \"cells\": [{\"name\": \"a\", \"vary\": {\"/train/lr\": [1e-3, 1e-4]}}, {\"name\": \"b\", \"vary\": {\"/train/lr\": [1e-3, 1e-5]}}]}" >shared.json
"$morbench" run shared.json --quiet --out results/shared >/dev/null 2>&1
holds "rows stand in the order of the file, also those of a cell that two share" at results/shared/experiment.json \
    '[(c["factors"]["cell"], c["factors"]["lr"]) for c in r["cells"]] == [("a", 1e-3), ("a", 1e-4), ("b", 1e-3), ("b", 1e-5)]'
echo "{$data, $model, $train, \"measure\": {\"backend\": \"openblass\"}}" >kernels.json
refused "kernels that there are none of" 1 'kernels.json: /measure/backend: must be one of .*, got "openblass"' "$morbench" plan kernels.json
refused "a misspelt key of measure, where nothing is timed" 1 'bad.json: /measure/bach: unknown key; did you mean "batch"' "$morbench" train bad.json --out results/none

# ---- files that ask for too much ----
cat >huge.py <<'PY'
import json, sys
base = json.load(open("plain.json"))
exec(sys.argv[1])
json.dump(base, open("huge.json", "w"))
PY
huge() { # CLAIM PATTERN PYTHON: bounded in time and memory
    python3 huge.py "$3"
    refused "$1" 1 "$2" bash -c 'ulimit -v 1500000; exec timeout 60 "$0" plan huge.json' "$morbench"
}
grep -q __asan_init "$morbench" || {
    huge "more settings than vary may have" '/vary/around: must have at most 64 settings, got 5000' "base['vary'] = {'around': {'/model/k%d' % i: [1] for i in range(5000)}}"
    huge "more values than combinations there may be" '/vary: has more than 4096 combinations' "base['vary'] = {'around': {'/model/k%d' % i: list(range(9000)) for i in range(64)}}"
    huge "in a zip" '/vary: has more than 4096 combinations' "base['vary'] = {'zip': {'/model/k%d' % i: list(range(9000)) for i in range(64)}}"
    huge "more cells than there may be" '/cells: must have at most 4096 entries, got 50000' "base['cells'] = [{'name': 'c%d' % i} for i in range(50000)]"
    huge "cells that all vary something else" '/vary: at most 1024 settings may vary' "base['cells'] = [{'name': 'c%d' % i, 'vary': {'/model/k%d_%d' % (i, k): [1] for k in range(60)}} for i in range(1000)]"
    huge "seeds of one cell among many" 'asks for more than 4096 cells' "base['cells'] = [{'name': 'c%d' % i, 'seeds': [1]} for i in range(2000)] + [{'name': 'many', 'seeds': list(range(3000))}]"
}


# ---- full disks ----
tmpfs() { unshare -m bash -c 'mount -t tmpfs -o size=2m none "$0" && "${@:1}"' "$dir/disk" "$@"; }
mkdir disk
if tmpfs true 2>/dev/null; then
    fill() { # KiB that stay free
        local room=$(($(df --output=avail "$dir/disk" | tail -n 1) - $1))
        head -c ${room}K /dev/zero >"$dir/disk/full"
    }
    long=$dir/disk/$(printf '%0200d/%0200d' 1 2)                # whose end a line of 480 bytes does not show
    echo "{$data, $model, $train, \"vary\": {\"/train/lr\": [1e-3, 1e-4, 1e-5]}, \"measure\": {\"profile\": \"smoke\"}}" >three.json
    training() {
        fill 24
        "$morbench" run three.json --out "$long" >out 2>err
        [ $? -eq 5 ] && [ "$(grep -c begins err)" = 1 ]
    }
    timing() {
        "$morbench" run three.json --only train --out "$long" --quiet >out 2>err || return 1
        fill 40
        "$morbench" run three.json --only time --out "$long" >out 2>err
        [ $? -eq 5 ] && tail -n 1 err | grep -q 'No space left'
    }
    export -f fill training timing
    export dir long morbench
    holds "a full disk ends a sweep, whatever the child's last line shows of it" tmpfs training
    holds "also while it times" tmpfs timing
fi

# ---- signals and options ----
hung_up() { # SIGNAL STATUS
    : >err                                                  # what is asked of it must not be an earlier one's
    "$morbench" run plain.json train.epochs=20000 --out results/hung >out 2>err &
    local run=$!
    for _ in $(seq 400); do grep -q 'train ' err && break; sleep 0.05; done
    kill -s "$1" $run
    wait $run
    [ $? -eq "$2" ] && grep -q "interrupted by SIG$1" err && grep -q 'state saved' err
}
holds "a terminal that closes ends a sweep with its state saved" hung_up HUP 143
holds "so does the limit of CPU time" hung_up XCPU 143
nohup_() {
    : >err
    (trap '' HUP; exec "$morbench" train plain.json train.epochs=20000 --out results/nohup) >out 2>err &
    local run=$!
    for _ in $(seq 400); do grep -q 'train ' err && break; sleep 0.05; done
    kill -HUP $run
    sleep 0.5
    kill -0 $run || return 1
    kill -TERM $run
    wait $run
    [ $? -eq 143 ]
}
holds "one that nohup started goes on" nohup_
refused "an option is its whole name" 1 "^morbench: --outp: no such option; did you mean --out" "$morbench" run plain.json --outp x
refused "also with its value behind =" 1 "^morbench: --siz=small: no such option; did you mean --size" "$morbench" run plain.json --siz=small
refused "and of help" 1 "^morbench: --hel: no such option" "$morbench" run --hel

# ---- identities and names ----
ids() { "$morbench" plan "$1" --json | python3 -c 'import json,sys; print(*[c["id"] for c in json.load(sys.stdin)["cells"]])'; }
mixed='"model": {"model": "mor_vit", "img_size": 14, "patch_size": 7, "in_chans": 1, "embed_dim": 16, "num_heads": 2, "num_classes": 4, "sharing": "cycle", "blocks_per_recursion": 1, "recursions": 3, "router": "expert", "capacity": [1, 0.5, 0.333]}'
echo "{\"data\": {\"name\": \"synthetic:14x14x1:4:64\", \"preprocess\": \"none\", \"classes\": \"\"}, $mixed, \"train\": {\"epochs\": 1, \"lr_scale\": \"head=10\", \"label_smoothing\": 0.1}, \"measure\": {\"batch\": 2, \"profile\": \"smoke\"}, \"vary\": {\"/model/capacity\": [[1, 0.5, 0.333], \"linear\"]}}" >mixed.json
holds "identities are what they were: texts, lists, schedules and numbers at their fallbacks are left out" test "$(ids mixed.json --backend openblas)" = "6c3b1383d25a77de 027eb2b2ea8f25e6 67be68e1b1873245 94d975ed8f04e945"
holds "names have the fewest digits" grep -q -- '-capacity_1_0.5_0.333_' <("$morbench" plan mixed.json)
mkdir -p labels/logits_top2_epoch0
printf '0\n' >labels/logits_top2_epoch0/rank0-keys.txt
printf x >labels/logits_top2_epoch0/rank0-values.bin
echo "{$data, $model, \"train\": {\"epochs\": 1, \"sparse_labels\": \"labels\"}}" >taught.json
first=$(ids taught.json)
cp -r labels others
sed 's/"labels"/"others"/' taught.json >moved.json
holds "labels elsewhere are the same labels" test "$(ids moved.json)" = "$first"
printf y >labels/logits_top2_epoch0/rank0-values.bin
holds "other labels in the same place are others" test "$(ids taught.json)" != "$first"

echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
