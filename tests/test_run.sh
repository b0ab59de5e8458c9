#!/usr/bin/env bash
# run and plan from outside: forms of vary, cells that need cells, failures alone tried again, cells shared between experiments, shards, several
# processes, a time limit, rerun. Kills are in test_sweep_kills.py.
#   test_run.sh [build/release/morbench]
set -u
morbench=$(realpath "${1:-build/release/morbench}")
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
. "$here/claims.sh"
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE
export OMP_NUM_THREADS=1 MORBENCH_MACHINE_LOCK=$dir/machine.lock     # others' timings are not waited for
cd "$dir" || exit 1

base='"data": {"name": "synthetic:14x14x1:4:64"},
 "model": {"model": "vit", "img_size": 14, "patch_size": 7, "in_chans": 1, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 4},
 "train": {"epochs": 1, "batch_size": 16}'
mor='"model": {"model": "mor_vit", "img_size": 14, "patch_size": 7, "in_chans": 1, "embed_dim": 16, "num_heads": 2, "num_classes": 4, "sharing": "cycle", "blocks_per_recursion": 1, "recursions": 2, "router": "expert", "capacity": "linear"}'

cells() { "$morbench" plan "$@" --json >plan.json 2>err && python3 -c 'import json; print(len(json.load(open("plan.json"))["cells"]))'; }
has() { [ "$(cells "${@:2}")" = "$1" ] || { cat err >&2; return 1; }; }
factor_list() { # of experiment FILE: each row's factors
    "$morbench" plan "$1" --json | python3 -c 'import json, sys
for c in json.load(sys.stdin)["cells"]:
    for r in c["rows"]: print(json.dumps(r, sort_keys=True))'
}

# ---- vary ----
echo "{$base, \"vary\": {\"/model/depth\": [1, 2], \"/train/lr\": [1e-3, 1e-4]}}" >product.json
echo "{$base, \"vary\": {\"zip\": {\"/model/depth\": [1, 2], \"/train/lr\": [1e-3, 1e-4]}}}" >zip.json
echo "{$base, \"vary\": {\"around\": {\"/model/depth\": [1, 2, 3], \"/train/lr\": [1e-4]}}}" >around.json
echo "{$base, \"seeds\": [1, 2], \"vary\": {\"zip\": {\"/model/depth\": [1, 2], \"/train/lr\": [1e-3, 1e-4]}, \"product\": {\"/model/embed_dim\": [8, {\"label\": \"wide\", \"value\": 32}]}}}" >both.json
holds "a product is every combination" has 4 product.json
holds "a zip goes value by value" has 2 zip.json
holds "around: each change alone, and the base once" has 4 around.json
holds "forms and seeds are multiplied" has 8 both.json
holds "a named value is shown by its name" grep -q -c '"embed_dim": "wide"' <(factor_list both.json)
holds "what a row leaves as it is is shown too" grep -cx '{"depth": 3, "lr": 0.001}' <(factor_list around.json)
echo "{$base, \"vary\": {\"zip\": {\"/model/depth\": [1, 2], \"/train/lr\": [1e-3]}}}" >bad.json
refused "lists of a zip are of one length" 1 "bad.json: /vary/zip: the lists must be of one length" "$morbench" plan bad.json
echo "{$base, \"vary\": {\"/model/detph\": [1, 2]}}" >bad.json
refused "a misspelt pointer names the nearest" 1 "bad.json: /model/detph: unknown key; did you mean \"depth\"" "$morbench" plan bad.json
echo "{$base, \"vary\": {\"arround\": {}}}" >bad.json
refused "a misspelt form names the nearest" 1 "/vary/arround: unknown form; did you mean \"around\"" "$morbench" plan bad.json
echo "{$base, \"cels\": []}" >bad.json
refused "a misspelt block names the nearest" 1 "/cels: unknown key; did you mean \"cells\"" "$morbench" plan bad.json
echo "{$base, \"cells\": [{\"name\": \"a\", \"modle\": {}}]}" >bad.json
refused "a misspelt key of a cell names the nearest" 1 "/cells/0/modle: unknown key; did you mean \"model\"" "$morbench" plan bad.json
echo "{$base, \"cells\": [{\"name\": \"a\"}, {\"name\": \"b\", \"train\": {\"teacher\": {\"cell\": \"c\"}, \"distill\": \"soft\"}}]}" >bad.json
refused "a cell that is not there is named" 1 '/train/teacher: "c" is the name of no cell that is trained' "$morbench" plan bad.json
echo "{$base, \"cells\": [{\"name\": \"a\", \"weights\": {\"cell\": \"b\"}}, {\"name\": \"b\", \"weights\": {\"cell\": \"a\"}}]}" >bad.json
refused "a circle is refused" 1 "needs weights that come of itself" "$morbench" plan bad.json
refused "train does not take an experiment for one training" 1 "/vary: makes this an experiment of many cells" "$morbench" train product.json
refused "sizes only where there are some" 1 "product.json: --size: the file has no sizes" "$morbench" plan product.json --size smoke
refused "a shard is I/N" 1 "^morbench: --shard: must be I/N" "$morbench" run product.json --shard 3/2

echo '{"data": {"dir": "nowhere"}, "model": {"preset": "vit_d64_l6_p4_28"}, "measure": {"batch": [1]}}' >untrained.json
holds "data that timings need and that is not there is said" grep -q "^data  .*no data set 'nowhere'" <("$morbench" plan untrained.json)

# ---- sizes, needs, evaluations ----
cat >whole.json <<JSON
{"question": "All of it", $base, "seeds": [1, 2], "measure": {"batch": [1, 2]},
 "sizes": {"smoke": {"seeds": [1], "train": {"epochs": 2}}, "small": {}},
 "labels": {"/model/recursions": "recursion depth R"},
 "cells": [{"name": "dense"},
           {"name": "twin", "model": {"depth": 2}, "measure": null},
           {"name": "mor", $mor, "vary": {"/model/recursions": [2, 3]}, "measure": null},
           {"name": "student", "measure": null, "train": {"teacher": {"cell": "dense"}, "distill": "soft"}},
           {"name": "tuned", "measure": null, "seeds": [1], "weights": {"cell": "dense"}, "train": {"lr": 1e-5}}],
 "evaluate": [{"name": "depth", "of": "mor", "vary": {"/model/recursions": [1, 2, 4]}}]}
JSON
holds "the default size is small" has 23 whole.json
holds "a size changes what is asked for" has 13 whole.json --size smoke
holds "cells are chosen by their names: trained and timed" has 3 whole.json --size smoke --cells dense
holds "trained and evaluated" has 8 whole.json --size smoke --cells mor
holds "with what they need" has 2 whole.json --size smoke --cells tuned
holds "several, each once" has 5 whole.json --size smoke --cells tuned,student,dense
for shard in 1/2 2/2; do cells whole.json --size smoke --cells mor,dense --shard $shard; done >some
holds "and divided among shards, but for timings" bash -c '[ $(($(paste -sd+ "$0"))) -eq 13 ] && ! grep -qx 11 "$0"' some
refused "a name that is not there is told, with those that are" 1 '^morbench: --cells: "densse" is no name of a cell of .*whole.json; there are dense, twin, mor, student, tuned' "$morbench" plan whole.json --size smoke --cells densse
refused "so are cells that have none" 1 '^morbench: --cells: "a" is no name of a cell of .*product.json; its cells have no names' "$morbench" run product.json --cells a
# begun FILE : trainings, evaluations and timings that were begun, as run told
begun() { grep -cE ': (begins|goes on)|^timing [0-9]+ cells' "$1"; }
holds "chosen ones run" bash -c '"$0" run whole.json --size smoke --out results/some/whole --cells tuned 2>some' "$morbench"
holds "and no others" bash -c '[ "$(ls -d results/some/whole/*/ | wc -l)" -eq 2 ]'
holds "an experiment runs" bash -c '"$0" run whole.json --size smoke --out results/whole 2>first' "$morbench"
holds "and says what it begins" test "$(begun first)" -ge 2
holds "and again has nothing to do" bash -c '"$0" run whole.json --size smoke --out results/whole 2>again' "$morbench"
holds "nor begins anything" test "$(begun again)" -eq 0
rows() { python3 - "$@" <<'PY'
import json, os, sys
d = sys.argv[1]
e = json.load(open(d + "/experiment.json"))
runs = {}
for c in e["cells"]:
    run = json.load(open(f"{d}/{c['directory']}/run.json"))
    assert run["status"] == "ok" and run["kind"] == c["kind"], c
    runs.setdefault(c["id"], []).append((c, run))
assert sorted(os.listdir(d)) == sorted({c["directory"] for c in e["cells"]} | {"experiment.json"}), os.listdir(d)
assert [len(v) for v in runs.values()].count(2) == 1                # dense and twin are one cell of two rows
names = {f["name"]: f for f in e["factors"]}
assert names["recursions"]["label"] == "recursion depth R" and names["recursions"]["pointer"] == "/model/recursions", names
assert list(names)[:2] == ["cell", "seed"] or set(names) >= {"cell", "seed", "evaluation", "test_recursions", "batch", "threads", "pass"}, names
for (c, run), *_ in runs.values():
    f = c["factors"]
    if c["kind"] == "eval":
        assert f["recursions"] in (2, 3) and run["model"]["settings"]["recursions"] == f["test_recursions"] and len(run["depth_histogram"]["tokens_count"]) == f["test_recursions"] + 1, c
        trained = [r for (o, r), *_ in runs.values() if o["kind"] == "train" and all(f.get(k) == v for k, v in o["factors"].items())]
        assert len(trained) == 1 and trained[0]["model"]["weights_sha256"] == run["model"]["weights_sha256"], c
        same = trained[0]["accuracy"]["predictions_sha256"] == run["accuracy"]["predictions_sha256"]
        assert same or f["recursions"] != f["test_recursions"], c
    if c["kind"] == "bench":
        assert run["metrics"]["batch_size_count"] == f["batch"] and run["model"]["weights_sha256"] and "seed" not in f, c
    if f.get("cell") == "student":
        assert len(run["experiment"]["train"]["teacher"]["weights_sha256"]) == 64
    if f.get("cell") == "tuned":
        assert run["model"]["initial_weights_sha256"]
PY
}
holds "every row has its run, every run its row" rows results/whole
refused "weights of other recursions are only taken when that is asked for" 1 "does not fit model mor_vit: .*routers.2" "$morbench" eval \
    --config "$(echo results/whole/mor-recursions2-s1-depth-test_recursions4-*/config.json)" --weights "$(echo results/whole/mor-recursions2-s1-????????????????/weights.safetensors)"
again() { "$morbench" rerun "$(echo results/whole/$1/run.json)"; }
holds "rerun of a training cell" again 'student-s1-*'
holds "rerun of an evaluation cell" again 'mor-recursions2-s1-depth-test_recursions4-*'
holds "rerun of a timing cell" again 'dense-b2-t1-forward-*'
holds "report reads what run wrote" "$morbench" report results/whole

# ---- cells of other experiments, shards, processes ----
echo "{$base, \"vary\": {\"/model/depth\": [1, 2]}, \"train\": {\"epochs\": 2, \"batch_size\": 16}}" | sed 's/"train": {"epochs": 1, "batch_size": 16}, //' >other.json
"$morbench" run other.json --out results/other 2>said >out
holds "a cell that another experiment has is not run again" test "$(grep -c 'taken over from results/whole/dense-s1-' said):$(grep -c begins said)" = 1:1
holds "what is taken over is the same file" test "$(stat -c %i results/other/*/run.json | sort | uniq | wc -l)" = 2 -a "$(stat -c %h results/other/vit-depth2-*/run.json)" = 2
for i in 1 2 3; do "$morbench" run whole.json --out shards/whole --shard $i/3 --quiet >>shards.out & done
wait
holds "three shards at once make the whole" test "$("$morbench" plan whole.json --out shards/whole | grep -c ' done  ')" = "$("$morbench" plan whole.json --json --out shards/whole | grep -c '"state": "done"')" -a "$(awk '{n += $1} END {print n}' shards.out)" = 21
for i in 1 2 3; do "$morbench" run both.json --out race/both 2>>race.err >>race.out & done
wait
holds "three processes at one sweep do nothing twice" test "$(grep -c begins race.err):$(grep -c '^8 of 8 cells done' race.out):$(ls race/.locks | wc -l)" = 8:3:0

# each write to such a pipe is a packet of its own
whole_lines() {
    python3 - "$morbench" run both.json --out lines/both <<'PY'
import os, subprocess, sys, threading
r, w = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
packets = []
def read():
    while (packet := os.read(r, 65536)): packets.append(packet)
reader = threading.Thread(target=read)
reader.start()
status = subprocess.run(sys.argv[1:], stderr=w, stdout=subprocess.DEVNULL).returncode
os.close(w)
reader.join()
assert status == 0 and sum(b"begins" in p for p in packets) == 8, (status, packets)
torn = [p for p in packets if not p.endswith(b"\n")]
assert not torn, torn[:3]
PY
}
holds "what it says goes out line by line, so that processes with one log leave each other's lines whole" whole_lines

# ---- failures ----
echo "{$base, \"cells\": [{\"name\": \"good\"}, {\"name\": \"bad\", \"train\": {\"lr\": 100, \"optimizer\": \"sgd\", \"momentum\": 0.99, \"warmup_epochs\": 0, \"epochs\": 40}}, {\"name\": \"heir\", \"weights\": {\"cell\": \"bad\"}}]}" >failing.json
"$morbench" run failing.json --out results/failing >out 2>err
holds "cells that fail are said, the others run" test $? = 4 -a "$(grep -c '^failed: ' out)" = 2 -a "$(grep -c '^1 of 3 cells done, 2 failed' out)" = 1
holds "a cell that needs one that failed is left out" grep -q "^failed: heir.*needs the weights of bad" out
holds "what failed is in its run.json" grep -q '"status": "failed"' results/failing/bad-*/run.json
before=$(stat -c %y results/failing/good-*/run.json)
"$morbench" run failing.json --out results/failing >out 2>err
holds "they alone are tried again" test $? = 4 -a "$(grep -c begins err)" = 1 -a "$before" = "$(stat -c %y results/failing/good-*/run.json)"
sed 's/"lr": 100/"lr": 0.01/' failing.json >mended.json
holds "and mended they run" "$morbench" run mended.json --out results/failing --quiet
printf '{"schema": "morbench.run/1"' >"$(echo results/whole/student-s1-*/)run.json"
"$morbench" run whole.json --size smoke --out results/whole >out 2>err
holds "a damaged result is said and left alone" test $? = 4 -a "$(grep -c '^failed: student-s1' out)" = 1 -a "$(wc -c <"$(echo results/whole/student-s1-*/run.json)")" = 27
rm "$(echo results/whole/student-s1-*/)run.json" "$(echo results/whole/dense-s1-*/)weights.safetensors"
"$morbench" run whole.json --size smoke --out results/whole >out 2>err
holds "weights that were not kept are asked for by name" test $? = 4 -a "$(grep -c 'needs the weights of dense-s1, which were not kept' out)" = 1
echo "{$base, \"vary\": {\"/model/depth\": [1, 2]}, \"data\": {\"name\": \"cifar10\", \"root\": \"/nowhere\"}}" | sed 's/"data": {"name": "syn[^}]*}, *//' >nodata.json
refused "data that are not there are told before anything runs" 1 "/data: .*cifar10" "$morbench" run nodata.json --out results/nodata

# what it says is asked of `err`, which must not be that of an earlier one
begin() { : >err; "$@" >out 2>err & }

# a cell whose process crashes leaves the others
crash() {
    begin "$morbench" run both.json train.epochs=100 --out crash/both
    local run=$! victim=
    for _ in $(seq 400); do grep -q 'train ' err && break; sleep 0.02; done
    victim=$(pgrep -P $run | head -n 1)
    kill -ABRT "$victim" 2>/dev/null
    wait $run
    local status=$?
    [ $status -eq 4 ] && grep -q '^7 of 8 cells done, 1 failed' out && grep -q 'ended by signal 6' out && "$morbench" run both.json train.epochs=100 --out crash/both --quiet | grep -q '^8 of 8'
}
holds "a crash costs one cell, and the next run mends it" crash

# ---- time and signals ----
stopped() {
    begin "$morbench" run product.json train.epochs=20000 --out stop/product
    local run=$!
    for _ in $(seq 400); do grep -q 'train ' err && break; sleep 0.05; done
    kill -INT $run
    wait $run
    [ $? -eq 130 ] && grep -q '0 of 4 cells done, state saved' err && ls stop/product/*/checkpoint-* >/dev/null && [ -z "$(ls stop/.locks)" ]
}
holds "an interrupt saves what the cell had and is 130" stopped
# Ctrl-C reaches the whole group, and the sweep passes it on besides
group() {
    begin setsid "$morbench" run product.json train.epochs=20000 --out group/product
    local run=$!
    for _ in $(seq 400); do grep -q 'train ' err && break; sleep 0.05; done
    kill -INT -- -$run
    wait $run
    [ $? -eq 130 ] && grep -q 'saved at step' err
}
holds "an interrupt of the whole group is one interrupt" group
goes_on() {
    begin "$morbench" run product.json train.epochs=20000 --threads 2 --out stop/product
    local run=$!
    for _ in $(seq 400); do grep -q 'goes on' err && grep -q 'train ' err && break; sleep 0.05; done
    kill -TERM $run
    wait $run
    [ $? -eq 143 ] && ! grep -q 'FAILED' err && grep -q '"threads": 1' stop/product/*/config.json
}
holds "it goes on with the threads it was begun with" goes_on
orphan() {
    begin "$morbench" run product.json train.epochs=20000 --out stop/product
    local run=$! child=
    for _ in $(seq 400); do child=$(pgrep -P $run | head -n 1); [ -n "$child" ] && grep -q 'train ' err && break; sleep 0.05; done
    kill -KILL $run
    wait $run 2>/dev/null
    for _ in $(seq 400); do kill -0 "$child" 2>/dev/null || return 0; sleep 0.05; done
    return 1
}
holds "a cell's process ends when the sweep is killed" orphan

holds "every committed experiment is well-formed" bash -c 'for f in "$1"/../experiments/*.json; do grep -q "\"schema\"" "$f" || "$2" validate "$f" || exit 1; done' _ "$here" "$morbench"
echo "1..$n"
[ "$failed" -eq 0 ] || echo "$failed of $n failed"
[ "$failed" -eq 0 ]
