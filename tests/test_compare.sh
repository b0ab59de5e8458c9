#!/bin/bash
# morbench compare: pairs, judgements, the gate's exit status, and what it refuses; on runs that are made up out of a true one.
#   tests/test_compare.sh path/to/morbench        (from the repository root)
set -u
morbench=$(realpath "${1:?usage: tests/test_compare.sh path/to/morbench}")
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export MORBENCH_DEBUG=0 NO_COLOR=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE
# shellcheck source=tests/claims.sh
. tests/claims.sh

"$morbench" bench --profile smoke --quiet --threads 1 --preset vit_d64_l6_p4_28 --batch 1,2 --out "$dir/true" >/dev/null 2>&1 || { echo "not ok - no run to begin with"; exit 1; }
base=$dir/true/vit_d64_l6_p4_28_b1_t1/run.json
other=$dir/true/vit_d64_l6_p4_28_b2_t1/run.json
good='/validity={"verdict":"SPEED_ONLY","reasons":["untrained"]}'
forge() { python3 tests/forge_run.py "$@" "$good"; }
# status, command...: the exit status, and at most one line on stderr
ends() {
    local wanted=$1 got
    shift
    "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    [ "$got" -eq "$wanted" ] || { echo "exit status $got, not $wanted: $(head -n 1 "$dir/err")"; return 1; }
    [ "$(wc -l <"$dir/err")" -le 1 ] || { echo "$(wc -l <"$dir/err") lines on stderr"; return 1; }
}
shows() { grep -qE -e "$1" "$dir/out"; }
json() { python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); p=d["pairs"][0]; sys.exit(not eval(sys.argv[2]))' "$dir/out" "$1"; }

forge "$base" "$dir/a/run.json" ms=1 seed=1 '/provenance/session="first"'
forge "$base" "$dir/again/run.json" ms=1 seed=2 '/provenance/session="second"'
forge "$base" "$dir/slow/run.json" ms=1.06 seed=3 '/provenance/session="third"' '/id="00000000000000aa"' '/provenance/commit="abcdef123456"'
forge "$base" "$dir/fast/run.json" ms=0.9 seed=4 '/provenance/session="fourth"'
holds "what is made up has a digest that fits" "$morbench" validate "$dir/a/run.json" "$dir/slow/run.json"
compare() { "$morbench" compare "$@"; }

# ---- judgements ----
holds "a run beside itself is compared" ends 0 compare "$dir/a/run.json" "$dir/a/run.json" --gate 3%
holds "and equivalent" shows "b1 t1 .* equivalent$"
holds "without differences of machine, build or code" shows "no differences"
holds "two runs of one cell pass the gate" ends 0 compare "$dir/a/run.json" "$dir/again/run.json" --gate 3%
holds "the gate says how many cells it counted" shows "gate 3 %: 1 of 1 cells counted, 0 regressed"
holds "a run 6 % slower is a regression" ends 3 compare "$dir/a/run.json" "$dir/slow/run.json" --gate 3%
holds "of which one line tells on stderr" grep -q "B is slower than A in 1 of 1 cells" "$dir/err"
holds "and the table" shows "slower +REGRESSION"
holds "another code version pairs all the same" shows "/provenance/commit .* -> +abcdef123456"
holds "without a gate it is only told" ends 0 compare "$dir/a/run.json" "$dir/slow/run.json"
holds "as slower" shows " slower$"
holds "a floor above it lets it pass" ends 0 compare "$dir/a/run.json" "$dir/slow/run.json" --gate 0.1
holds "a faster run is none" ends 0 compare "$dir/a/run.json" "$dir/fast/run.json" --gate 3%
holds "but faster" shows " faster$"
holds "a wide margin makes all alike" ends 0 compare "$dir/a/run.json" "$dir/slow/run.json" --margin 20%
holds "equivalent" shows " equivalent$"

# ---- outliers are counted, and what they do is told ----
forge "$base" "$dir/steady/run.json" ms=1 seed=1 spread=0.003 '/provenance/session="fifth"'
forge "$base" "$dir/odd/run.json" ms=1.05 seed=7 spread=0.003 odd=2 '/provenance/session="sixth"'
holds "two processes that were three times as fast" ends 0 compare "$dir/steady/run.json" "$dir/odd/run.json"
holds "count like any, so that nothing is sure" shows "large but uncertain$"
holds "what would be said without them is told beside it" shows "without outliers \([0-9]+ samples, [2-9] processes\) it would be: slower, \+[45]"
compare "$dir/steady/run.json" "$dir/odd/run.json" --json >"$dir/out" 2>/dev/null
holds "in JSON too, beside the verdict that stays" json 'p["judgement"]=="uncertain_large" and p["without_outliers"]["judgement"]=="slower" and p["without_outliers"]["processes_left_out_count"] >= 2 and p["processes_b_count"]==9'
holds "where both agree nothing is added" ends 0 compare "$dir/a/run.json" "$dir/slow/run.json"
holds "to the verdict" bash -c '! grep -q "without outliers" "$0"' "$dir/out"

# ---- two sessions, two clocks ----
forge "$base" "$dir/clock/run.json" ms=1.06 seed=3 loop=1.06 '/provenance/session="seventh"'
holds "6 % more time at a clock 6 % slower is no regression" ends 0 compare "$dir/a/run.json" "$dir/clock/run.json" --gate 3%
holds "nor called slower" shows "large but uncertain$"
holds "the clock is told" shows "a fixed loop took \+6.00 % in B; times in units of it: [+-]0\.[0-9]+ %"
compare "$dir/a/run.json" "$dir/clock/run.json" --json >"$dir/out" 2>/dev/null
holds "in JSON too" json 'abs(p["at_equal_clock"]["fixed_loop_difference"] - 0.06) < 1e-9 and p["relative_difference"] > 0.04 and abs(p["at_equal_clock"]["relative_difference"]) < 0.02'
forge "$base" "$dir/hidden/run.json" ms=1 seed=2 loop=0.94 '/provenance/session="eighth"'
holds "equal times at a clock 6 % faster are no regression either" ends 0 compare "$dir/a/run.json" "$dir/hidden/run.json" --gate 3%
holds "but not equivalent" shows "uncertain$"
forge "$base" "$dir/both/run.json" ms=1.06 seed=3 loop=1.01 '/provenance/session="ninth"'
holds "6 % more time at a clock 1 % slower is one" ends 3 compare "$dir/a/run.json" "$dir/both/run.json" --gate 3%
python3 tests/forge_run.py "$base" "$dir/moved/run.json" ms=1.06 seed=3 '/validity={"verdict":"NOISY","reasons":["frequency_drift"]}'
holds "a clock that moved within processes is no reason not to count" ends 3 compare "$dir/a/run.json" "$dir/moved/run.json" --gate 3%
for reason in machine_busy never_heard_of; do
    python3 tests/forge_run.py "$base" "$dir/moved_$reason/run.json" ms=1.06 seed=3 "/validity={\"verdict\":\"NOISY\",\"reasons\":[\"frequency_drift\",\"$reason\"]}"
    holds "beside another reason, $reason, it is not counted" ends 4 compare "$dir/a/run.json" "$dir/moved_$reason/run.json" --gate 3%
done
forge "$base" "$dir/no_loop/run.json" ms=1.06 seed=3 '/processes=[]' '/session="tenth"'
holds "without loops the gate cannot count" ends 4 compare "$dir/a/run.json" "$dir/no_loop/run.json" --gate 3%
holds "and says why" shows "not counted by the gate: processes without the fixed loop"

# ---- what the gate may not count ----
nothing() { # claim, reason, B
    holds "$1 is not counted" ends 4 compare "$dir/a/run.json" "$3" --gate 3%
    holds "since: $2" shows "not counted by the gate: $2"
}
forge "$base" "$dir/elsewhere/run.json" ms=1.06 seed=3 '/env_id="00000000000000bb"' '/env/cpu_model="another"'
nothing "another machine" "different machines" "$dir/elsewhere/run.json"
holds "its verdict says so" shows "slower \(different machines\)"
holds "and the fingerprints' difference comes first" bash -c '[ "$(grep -n cpu_model "$0" | cut -d: -f1)" -lt "$(grep -n "b1 t1" "$0" | head -n 1 | cut -d: -f1)" ]' "$dir/out"
forge "$base" "$dir/few/run.json" ms=1.06 seed=3 processes=8
nothing "an arm of 8 processes" "fewer than 9 processes" "$dir/few/run.json"
holds "and not judged" shows "too few processes"
python3 tests/forge_run.py "$base" "$dir/noisy/run.json" ms=1.06 seed=3 '/validity={"verdict":"NOISY","reasons":["machine_busy"]}'
nothing "a noisy arm" NOISY "$dir/noisy/run.json"
python3 tests/forge_run.py "$base" "$dir/invalid/run.json" ms=1.06 seed=3 '/validity={"verdict":"INVALID","reasons":["unsteady"]}'
nothing "an invalid arm" INVALID "$dir/invalid/run.json"
holds "nor judged" bash -c '! grep -qE "slower$" "$0"' "$dir/out"
forge "$base" "$dir/arm/run.json" ms=1.06 seed=3 '/id="00000000000000dd"' '/provenance/session="first"'
nothing "an arm of the same bench" "arms of one bench" "$dir/arm/run.json"
holds "which is compared block by block" shows "9/9 paired"

# ---- pairs ----
forge "$other" "$dir/b2/run.json" ms=2 seed=5
holds "runs that differ in one factor are compared" ends 0 compare "$dir/a/run.json" "$dir/b2/run.json"
forge "$other" "$dir/b2other/run.json" ms=2 seed=5 '/experiment/backend="openblas2"'
refused "in two they are not, and both are named" 1 "differs from .* in 2 factors \(batch size, backend\)" compare "$dir/a/run.json" "$dir/b2other/run.json"
mkdir -p "$dir/left" "$dir/right"
cp -r "$dir/a" "$dir/b2" "$dir/left/"
cp -r "$dir/again" "$dir/right/"
holds "directories are compared" ends 0 compare "$dir/left" "$dir/right"
holds "and what is on one side alone is named" shows "only in A: b2/run.json"
forge "$other" "$dir/right/b2/run.json" ms=2.2 seed=6
holds "two pairs are judged together" ends 0 compare "$dir/left" "$dir/right" --json
holds "and corrected for both" python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); p=sorted(x["p"] for x in d["pairs"]); h=sorted(x["p_holm"] for x in d["pairs"]); sys.exit(not (d["judged_count"]==2 and abs(h[0]-2*p[0])<1e-12))' "$dir/out"
cp -r "$dir/a" "$dir/left/copy"
refused "one cell twice on a side" 1 "one run of a cell on each side" compare "$dir/left" "$dir/right"
mkdir "$dir/empty"
refused "a directory without runs" 1 "no run.json below it" compare "$dir/a" "$dir/empty"
cp -r "$dir/b2" "$dir/lonely"
forge "$base" "$dir/two/x/run.json" ms=1 '/id="00000000000000cc"' '/experiment/seed=7'
forge "$base" "$dir/two/y/run.json" ms=1 '/id="00000000000000cd"' '/experiment/seed=8'
refused "directories with no cell in common" 1 "has no cell in common" compare "$dir/left/b2" "$dir/two"

# ---- JSON, files of other kinds and times ----
compare "$dir/a/run.json" "$dir/slow/run.json" --gate 3% --json >"$dir/out" 2>/dev/null
holds "it has the interval, the effect and the judgement" json 'p["judgement"]=="slower" and p["regressed"] and p["relative_difference_low"] < p["relative_difference"] < p["relative_difference_high"] and p["slower_share_ratio"] > 0.9 and d["regressed_count"]==1'
holds "end to end is another metric" ends 0 compare "$dir/a/run.json" "$dir/slow/run.json" --metric end_to_end --json
holds "and is named" json 'd["metric"]=="end_to_end_latency_ns"'
for run in results/reference/*/run.json; do
    [ -f "$run" ] || continue
    holds "results of earlier versions are read" ends 0 compare "$run" "$run"
    holds "and those without times are said to have none" shows "not timed"
    break
done

# ---- JSON of other commands ----
"$morbench" validate --json "$dir/a/run.json" "$dir/nowhere.json" >"$dir/out" 2>/dev/null
holds "validate prints JSON" python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); sys.exit(not (len(d)==2 and d[0]["ok"] and not d[1]["ok"] and d[1]["message"]))' "$dir/out"
"$morbench" report "$dir/right" --json >"$dir/out" 2>/dev/null
holds "report prints JSON and nothing else" cmp -s "$dir/out" "$dir/right/table.json"

# ---- what cannot be ----
refused "a gate that is no share" 1 "--gate: must be a share above 0 and below 1, such as 3% or 0.03; got 'x'" compare "$dir/a" "$dir/a" --gate x
refused "a gate of nothing" 1 "--gate: must be a share" compare "$dir/a" "$dir/a" --gate 0
refused "a gate of everything" 1 "--gate: must be a share" compare "$dir/a" "$dir/a" --gate 100%
refused "an unknown metric" 1 "--metric: must be latency or end_to_end" compare "$dir/a" "$dir/a" --metric joules
refused "one operand" 1 "compare needs A B" compare "$dir/a"
refused "a file that is not there" 1 "nowhere.json" compare "$dir/nowhere.json" "$dir/a/run.json"
sed 's/"SPEED_ONLY"/"VALID"/' "$dir/a/run.json" >"$dir/damaged.json"
refused "a file that was changed" 5 "damaged.json: /digest" compare "$dir/damaged.json" "$dir/a/run.json"
python3 tests/forge_run.py "$base" "$dir/short.json" '/samples/latency_process=[0]'
refused "samples and processes that do not fit" 1 "short.json: /samples/latency_process: must be as long" compare "$dir/short.json" "$dir/a/run.json"

echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
