#!/bin/bash
# The benchmark command: pure and complete JSON, cells in turns, work counted exactly, refusals in one line.
#   tests/test_bench.sh path/to/morbench        (from the repository root)
# No time is judged here: the machine may be busy.
set -u
morbench=$(realpath "${1:?usage: tests/test_bench.sh path/to/morbench}")
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
dir=$(mktemp -d)
job=
trap '[ -z "$job" ] || kill -9 "$job" 2>/dev/null; rm -rf "$dir"' EXIT
export MORBENCH_DEBUG=0 NO_COLOR=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE
# shellcheck source=tests/claims.sh
. tests/claims.sh
model=vit_d64_l6_p4_28

bench() { "$morbench" bench --profile smoke --quiet --threads 2 "$@"; }
json() { # FILE, arguments...: a benchmark into a file
    local to=$1
    shift
    bench --json "$@" >"$dir/$to" 2>"$dir/err" </dev/null || { head -n 1 "$dir/err"; return 1; }
}

cat >"$dir/judge.py" <<'END'
"""What every result of a benchmark must be.  judge.py CHECK FILE [FILE or number]"""
import json, statistics, sys
REASONS = {"not_supported", "no_permission", "multiplexed", "not_requested", "non_finite", "overflow"}
METRICS = ("batch_size_count threads_requested_count threads_effective_count threads_pinned_count latency_ns latency_low_ns latency_high_ns "
           "latency_min_ns latency_max_ns latency_mean_ns latency_sd_ns latency_mad_ns latency_samples_count latency_units_count "
           "latency_suspect_count images_per_s images_low_per_s images_high_per_s peak_activation_bytes weights_bytes").split()

def no_constant(text): raise ValueError(f"{text} is no JSON")
def load(path): return json.load(open(path), parse_constant=no_constant)
def check(claim, why): 
    if not claim: sys.exit(str(why))

def nulls_have_reasons(value, path=""):
    if isinstance(value, dict):
        for key, member in value.items():
            check(member is not None or value.get(key + "_reason") in REASONS, f"{path}/{key} is null for no known reason")
            check(not key.endswith("_reason") or value.get(key[:-7]) is None, f"{path}/{key}: a reason for a value that is there")
            nulls_have_reasons(member, f"{path}/{key}")
    elif isinstance(value, list):
        for i, member in enumerate(value): nulls_have_reasons(member, f"{path}/{i}")

def complete(runs, *_):
    check(isinstance(runs, list) and runs, "not a list of results")
    for r in runs:
        nulls_have_reasons(r)
        check(r["schema"] == "morbench.run/1" and r["kind"] == "bench" and r["status"] == "ok", "schema, kind or status")
        check(r["validity"]["verdict"] in ("SMOKE", "INVALID") and "smoke_profile" in r["validity"]["reasons"], r["validity"])
        m, s = r["metrics"], r["samples"]["latency_ns"]
        for key in METRICS: check(m.get(key) is not None, f"/metrics/{key} is missing or null")
        check(m["latency_samples_count"] == len(s) == len(r["samples"]["latency_process"]) >= 6, "samples are not all there")
        check(all(x > 0 for x in s), "a sample of no time")
        check(m["latency_min_ns"] == min(s) and m["latency_max_ns"] == max(s), "extremes")
        of = r["samples"]["latency_process"]
        check(m["latency_units_count"] == m["processes_count"] == len(set(of)) == len(r["processes"]) == 6 and m["latency_interval_level"] == "process", "processes")
        medians = [statistics.median(x for x, p in zip(s, of) if p == q) for q in set(of)]
        check(abs(m["latency_ns"] - statistics.median(medians)) <= 1e-9 * m["latency_ns"], "median of medians")     # double arithmetic
        check(m["latency_low_ns"] <= m["latency_ns"] <= m["latency_high_ns"], "the interval leaves out the median")
        check(abs(m["images_per_s"] * m["latency_ns"] / 1e9 - m["batch_size_count"]) < 1e-6, "images_per_s")
        check(m["threads_requested_count"] == 2, "threads")
        check(r["profile"]["scopes"] and r["profile"]["ops"] and r["profile"]["passes_count"] >= 1, "profile")
        check(r["experiment"]["mode"] == "train_step" or m["end_to_end_latency_ns"] > 0 and len(m["output_sha256"]) == 64, "end to end, outputs")
        check(m["peak_resident_bytes"] > m["weights_bytes"], "memory of a process of its own")
        for p in r["processes"]:
            check(p["outputs_differ_count"] == 0 and p["minor_faults_count"] >= 0 and p["spin_before_ns"] > 0 and p["threads_requested_count"] == 2, "a process")
        for key in ("cycles_count", "task_clock_ns", "energy_joules", "instructions_per_cycle"): check(key in r["counters"], f"/counters/{key}")
        check(m["peak_activation_bytes"] > 0 and m["weights_bytes"] == 4 * r["model"]["params_count"], "bytes")
    check(len({r["id"] for r in runs}) == len(runs), "two cells have one id")

def interleaved(runs, *_):
    place = sorted((p["position_count"], p["block_count"], i) for i, r in enumerate(runs) for p in r["processes"])
    check([p for p, _, _ in place] == list(range(len(place))), "positions are not 0, 1, 2, ...")
    blocks = [[i for _, b, i in place if b == block] for block in range(len(place) // len(runs))]
    for block in blocks: check(sorted(block) == list(range(len(runs))), "a block has not every cell once")
    check(len({tuple(b) for b in blocks}) > 1, "every block has one order")
    for r in runs: check(abs(r["metrics"]["order_tau"]) < 0.2 and r["provenance"]["session"] == runs[0]["provenance"]["session"], "order")
    check(len({p["padding_bytes"] for r in runs for p in r["processes"]}) > 1, "every process has one environment")

def published(runs, *_):
    """PAPI reads our own events on every thread: they must sum to what the backends were handed."""
    for r in runs:
        c, m = r["counters"], r["metrics"]
        if "published_macs_count" not in c or c["published_macs_count"] is None: sys.exit("no such events here")
        check(c["published_macs_count"] == round(r["model"]["counts"]["macs_executed"] * m["batch_size_count"]), "MACs")
        check(c["published_tokens_count"] == m["batch_size_count"] * r["depth_histogram"]["tokens_per_image_count"], "tokens")
        check(c["published_depth_count"] == round(c["published_tokens_count"] * r["depth_histogram"]["mean_depth_count"]), "depth")

def macs(runs, listed, *_):
    listed = {m["name"]: m for m in load(listed)}
    for r in runs:
        c, want = r["model"]["counts"], listed[r["model"]["preset"]]["macs"]
        check(c["macs"] == want, f"{c['macs']} MACs by configuration, {want} listed")
        check(c["macs_executed"] == c["macs_executed_min"] == c["macs_executed_max"] == want, f"{c['macs_executed']} executed, {want} listed")
        # a ViT does the same for every image: what ran is what the closed form says, to the unit
        if r["experiment"]["mode"] == "forward": check((c["flops_2x_executed"], c["flops_all_executed"]) == (c["flops_2x"], c["flops_all"]), "executed operations")
        check(r["model"]["params_count"] == listed[r["model"]["preset"]]["params"], "parameters")

def training(runs, *_):
    for r in runs:
        check(r["experiment"]["mode"] == "train_step", "mode")
        # backward has two products for each of forward's, computes the scores of attention again, and no gradient of the images
        # (49 patches of 16 pixels, width 64)
        c, m = r["model"]["counts"], r["metrics"]
        want = m["batch_size_count"] * (3 * c["macs"] + c["macs_attention"] // 2 - 49 * 16 * 64)
        check(m["train_step_macs_count"] == want, f"{m['train_step_macs_count']} MACs a step, should be {want}")

def same_peak(runs, other, *_):
    other = load(other)
    for r in runs:
        for q in other:
            if r["metrics"]["batch_size_count"] == q["metrics"]["batch_size_count"]:
                check(r["metrics"]["peak_activation_bytes"] == q["metrics"]["peak_activation_bytes"], "another cell's memory counts as its own")

def cells(runs, number, *_): check(len(runs) == int(number), f"{len(runs)} results")

def self_test(runs, listed, *_):
    """Each check must notice one thing wrong."""
    import copy
    def spoil(run, *path):
        for key in path[:-2]: run = run[key]
        run[path[-2]] = path[-1]
    n = 0
    for judge, path in ((complete, ("metrics", "latency_ns", None)), (complete, ("status", "failed")), (complete, ("metrics", "threads_pinned_count", None)),
                        (complete, ("metrics", "latency_p99_ns_reason", "because")), (complete, ("samples", "latency_ns", [1.0])),
                        (macs, ("model", "counts", "macs_executed", 1)), (interleaved, ("metrics", "order_tau", 0.9)),
                        (training, ("experiment", "mode", "forward")), (cells, None)):
        bad = copy.deepcopy(runs)
        if path: spoil(bad[0], *path)
        try: judge(bad, listed if judge is macs else 99)
        except SystemExit: n += 1
    check(n == 9, f"caught {n} of 9")

globals()[sys.argv[1]](load(sys.argv[2]), *sys.argv[3:])
END
judge() { python3 "$dir/judge.py" "$@"; }

# ---- two models, two batch sizes ----
"$morbench" list models --json >"$dir/models.json"
holds "four cells are measured" json four.json --preset $model,vit_d96_l6_p4_28 --batch 1,3
holds "what is printed is JSON" python3 -m json.tool "$dir/four.json" /dev/null
holds "there is nothing on stderr" test ! -s "$dir/err"
holds "four results come of it" judge cells "$dir/four.json" 4
holds "each is complete, and nulls have reasons" judge complete "$dir/four.json"
holds "each has what a timing is tied to an accuracy by" python3 -c 'import json,sys; sys.exit(not all(len(r["metrics"]["witness"]["best_logit"]) == 4 * r["metrics"]["batch_size_count"] for r in json.load(open(sys.argv[1]))))' "$dir/four.json"
python=$([ -x /usr/bin/python3 ] && echo /usr/bin/python3 || echo python3)
if "$python" -c 'import jsonschema' 2>/dev/null; then
    holds "each fits the published schema" "$python" -c 'import json,sys,jsonschema; s=json.load(open("results/schema/run.schema.json")); [jsonschema.validate(r, s, jsonschema.Draft7Validator) for r in json.load(open(sys.argv[1]))]' "$dir/four.json"
fi
holds "executed MACs are those of the list" judge macs "$dir/four.json" "$dir/models.json"
holds "this script notices what is wrong with a result" judge self_test "$dir/four.json" "$dir/models.json"
holds "two cells of like cost are measured" json two.json --preset $model --batch 3,4
holds "cells take turns" judge interleaved "$dir/two.json"
for backend in openblas packed; do
    holds "$backend: a cell alone is measured" json "$backend.json" --preset $model --batch 2 --backend $backend
    holds "$backend: PAPI reads our own counts as they were executed" bash -c 'ldd "$0" | grep -q libsde || exit 0; exec "$@"' "$morbench" python3 "$dir/judge.py" published "$dir/$backend.json"
    holds "$backend: it has the memory of the process" python3 -c 'import json,sys; sys.exit(not json.load(open(sys.argv[1]))[0]["metrics"]["peak_resident_bytes"])' "$dir/$backend.json"
    holds "$backend: executed MACs are those of the list" judge macs "$dir/$backend.json" "$dir/models.json"
done
holds "packed: it says what the copies take" python3 -c 'import json,sys; sys.exit(not json.load(open(sys.argv[1]))[0]["metrics"]["packed_weights_bytes"])' "$dir/packed.json"

# ---- training steps ----
holds "training steps are measured" json steps.json --preset $model --batch 1,16 --train
holds "each result is complete" judge complete "$dir/steps.json"
holds "a step counts forward and backward" judge training "$dir/steps.json"
holds "the forward part is as listed" judge macs "$dir/steps.json" "$dir/models.json"
holds "a step is measured alone" json step.json --preset $model --batch 1 --train
holds "a small cell does not show a large one's memory" judge same_peak "$dir/step.json" "$dir/steps.json"

# ---- tables, files ----
bench --preset $model --batch 1 --layers >"$dir/table" 2>"$dir/err" </dev/null
holds "the table has a line of the model" grep -qE "^$model +1 +[0-9.]+ .*(SMOKE|INVALID)" "$dir/table"
holds "--layers adds the time by op and by layer" bash -c 'grep -q "time by op" "$0" && grep -q "time by layer" "$0" && grep -q "linear" "$0"' "$dir/table"
holds "no number is missing" bash -c '! grep -qiw -e nan -e inf "$0"' "$dir/table"
holds "no line is called FLOPs alone" bash -c '! grep -qE "(^| )FLOPs?( |$)" "$0"' "$dir/table"
holds "results are written" bench --preset $model --batch 1,2 --out "$dir/out.d"
holds "one directory a cell" bash -c '[ "$(ls "$0" | tr "\n" " ")" = "$1_b1_t2 $1_b2_t2 " ]' "$dir/out.d" $model
holds "each file is a valid result" "$morbench" validate "$dir"/out.d/*/run.json
holds "the same command replaces them" bench --preset $model --batch 1,2 --out "$dir/out.d"
refused "another command does not" 1 "give another --out" "$morbench" bench --profile smoke --quiet --threads 2 --preset $model --batch 1,2 --seed 2 --out "$dir/out.d"

refused "less effort than a profile asks for is told by status 4" 4 "^morbench: 1 of 1 cells are INVALID" \
    "$morbench" bench --json --quiet --threads 2 --preset $model --profile standard --processes 6 --samples 3 --seconds 0.02 --warmup-seconds 0.05
cp "$dir/out" "$dir/short.json"
holds "makes the run invalid and names the setting" python3 -c 'import json,sys; r=json.load(open(sys.argv[1]))[0]; sys.exit(not (r["validity"]["verdict"]=="INVALID" and "--processes" in [w for w in r["warnings"] if w["code"]=="too_short"][0]["detail"]))' "$dir/short.json"
holds "the ceilings of the machine stand beside it" python3 -c 'import json,sys; r=json.load(open(sys.argv[1]))[0]["roofline"]; sys.exit(not (r["fma_peak_flops_2x_per_s"] > 1e8 and r["threads_count"] == 2 and r["memory_read_bytes_per_s"] > 1e7 and 0 < r["peak_ratio"]))' "$dir/short.json"

# ---- a worker that dies or a cell that fails leaves the others ----
if ! grep -q __asan_init "$morbench"; then               # AddressSanitizer ends a process that asks for so much
    (ulimit -v 3000000; bench --preset $model --batch 1,16384 --out "$dir/part.d" >"$dir/table" 2>"$dir/err" </dev/null)
    got=$?
    if [ $got -eq 4 ]; then say ok "a cell that fails gives status 4"; else say wrong "a cell that fails gives status $got: $(head -n 1 "$dir/err")"; fi
    holds "the row is shown with its reason" grep -qE "^$model +16384 +failed: .*memory" "$dir/table"
    holds "the other cell is measured" grep -qE "^$model +1 +[0-9.]+ .*(SMOKE|INVALID)" "$dir/table"
    holds "its result says so" python3 -c 'import json,sys; r=json.load(open(sys.argv[1])); sys.exit(not (r["status"]=="ok" and r["metrics"]["latency_ns"] > 0 and "smoke_profile" in r["validity"]["reasons"]))' "$dir/part.d/${model}_b1_t2/run.json"
    holds "its result is invalid and names the failure" python3 -c 'import json,sys; r=json.load(open(sys.argv[1])); sys.exit(not (r["status"]=="oom" and r["validity"]["verdict"]=="INVALID" and "memory" in r["error"]["message"]))' "$dir/part.d/${model}_b16384_t2/run.json"
fi
"$morbench" bench-worker --preset $model --samples 2 --seconds 0 --warmup-passes 1 --warmup-seconds 0 --threads 1 >"$dir/alone" 2>"$dir/err" </dev/null
holds "a worker alone says what it measured" python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); sys.exit(not (len(d["latency_ns"]) == 2 and "profile" not in d))' "$dir/alone"
"$morbench" bench-worker --preset nowhere >"$dir/alone" 2>"$dir/err" </dev/null
holds "or what went wrong" python3 -c 'import json,sys; sys.exit("unknown preset" not in json.load(open(sys.argv[1]))["error"]["message"])' "$dir/alone"

# ---- interrupted ----
measures() { for _ in $(seq 600); do [ -z "$(cat "/proc/$1/task/$1/children" 2>/dev/null)" ] || return 0; sleep 0.05; done; return 1; }
for signal in INT TERM; do
    [ $signal = INT ] && wanted=130 || wanted=143
    "$morbench" bench --preset $model --profile paper --quiet >"$dir/out" 2>"$dir/err" </dev/null &
    job=$!
    holds "it starts a process that measures" measures "$job"
    kill -s $signal "$job"
    wait "$job"
    got=$?
    job=
    if [ $got -eq $wanted ] && grep -q "interrupted by SIG$signal" "$dir/err" && [ ! -s "$dir/out" ]; then say ok "SIG$signal ends it with status $wanted"
    else say wrong "SIG$signal: exit status $got: $(head -n 1 "$dir/err")"; fi
done

"$morbench" bench --profile smoke --processes 500 --quiet --threads 1 --preset $model --batch 1,2 --out "$dir/stopped" >"$dir/out" 2>"$dir/err" </dev/null &
job=$!
started='' last=''
for _ in $(seq 600); do                                  # until a fourth process has begun: three were measured
    child=$(cat /proc/$job/task/$job/children 2>/dev/null)
    [ -z "$child" ] || [ "$child" = "$last" ] || { last=$child started=${started}x; }
    [ ${#started} -ge 4 ] && break
    sleep 0.05
done
kill -s INT "$job"
wait "$job"
got=$?
job=
if [ $got -eq 130 ]; then say ok "an interrupt ends a bench with files too"; else say wrong "an interrupted bench: exit status $got"; fi
holds "what was measured is kept, said to be interrupted and invalid" python3 -c '
import glob, json, sys
runs = [json.load(open(f)) for f in glob.glob(sys.argv[1] + "/*/run.json")]
sys.exit(not runs or not all(r["status"] == "interrupted" and r["validity"]["verdict"] == "INVALID" and 0 < r["metrics"]["processes_count"] < 500 for r in runs))' "$dir/stopped"
holds "and whole" bash -c '"$0" validate "$1"/*/run.json' "$morbench" "$dir/stopped"

# ---- what cannot be ----
b() { "$morbench" bench --profile smoke "$@"; }
refused "no model" 1 "give either --preset NAME,... or --config" b
refused "preset and configuration at once" 1 "give either --preset NAME,... or --config" b --preset $model --config x.json
refused "an unknown preset" 1 "unknown preset 'vit_huge'" b --preset vit_huge
refused "an empty place in the list of models" 1 "--preset: name 2 of the list is empty" b --preset $model,,vit_d96_l6_p4_28
refused "an empty place in the list of batches" 1 "--batch: must be a whole number" b --preset $model --batch 1,,4
refused "a batch of no images" 1 "--batch: must be a whole number in \[1, 65536\], got '0'" b --preset $model --batch 0
refused "a batch that is no number" 1 "--batch: must be a whole number" b --preset $model --batch 1,x
refused "a batch twice" 1 "--batch: 4 is given twice" b --preset $model --batch 4,1,4
refused "a model twice with --out" 1 "--preset: $model is given twice" b --preset $model,$model --out "$dir/twice"
refused "an --out that cannot be made" 1 "judge.py: .*(Not a directory|not a directory)" b --preset $model --out "$dir/judge.py/x"
if [ -s "$dir/out" ]; then say wrong "which is said after measuring: $(head -n 1 "$dir/out")"; else say ok "which is said before anything is measured"; fi
refused "an unknown profile" 1 "--profile: must be smoke, standard or paper; got \"fast\"" "$morbench" bench --preset $model --profile fast
refused "no processes" 1 "--processes: must be a whole number in \[1, 1000\], got '0'" b --preset $model --processes 0
refused "seconds that are none" 1 "--seconds: must be seconds in \[0, 86400\], got 'long'" b --preset $model --seconds long
refused "a seed that is no number" 1 "--seed: must be a whole number" b --preset $model --seed x
refused "more weights than models" 1 "--weights: must name one file .* for each of the" b --preset $model --weights a,b
refused "fewer weights than models" 1 "--weights: must name one file .* for each of the" b --preset $model,vit_d96_l6_p4_28 --weights a
refused "weights that are not there" 1 "nowhere.safetensors" b --preset $model --weights "$dir/nowhere.safetensors"
refused "a misspelt option is named with the nearest" 1 "--presets: no such option; did you mean --preset" b --presets $model
refused "an argument too many" 1 "extra: unexpected argument" b --preset $model extra
refused "data that are not there" 1 "/nowhere" b --preset $model --data /nowhere
refused "images of another shape" 1 "the model takes 28x28x1" b --preset $model --data synthetic:32x32x3:10:64
refused "an unknown backend" 1 "backend" b --preset $model --backend mkl
# AddressSanitizer ends a process that asks for so much
grep -q __asan_init "$morbench" || refused "more memory than there is" 2 "no memory for" b --quiet --preset vit_base_patch16_224 --batch 65536

fits_schema "$dir"
echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
