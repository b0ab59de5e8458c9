#!/usr/bin/env bash
# How often the gate of `compare` would alarm though nothing changed: pairs of benches of one model by one program, one after the
# other, judged by the gate's own rule (3 %, interval above 0, p < 0.01, in time and at equal clock; `compare` itself does not judge
# smoke runs). The gate does not count arms that the machine disturbed otherwise than by its clock, so these pairs are told apart.
# Beside it, what would alarm by times alone. Long; not part of any check.
# Exit status 1: more than 2 in 100 of the pairs that count alarm, or fewer than half count.
#   make false-alarms              PAIRS=100 MODEL=vit_d64_l6_p4_28 THREADS=1 SECONDS_EACH=0.2 BINARY=build/release/morbench
set -eu
cd "$(dirname "$0")/.."
binary=${BINARY:-build/release/morbench}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bench() {
    "$binary" bench --quiet --threads "${THREADS:-1}" --preset "${MODEL:-vit_d64_l6_p4_28}" --profile smoke --processes 9 --samples 20 \
        --seconds "${SECONDS_EACH:-0.2}" --warmup-seconds 0.5 --no-counters --out "$1" >/dev/null
}
for pair in $(seq 1 "${PAIRS:-100}"); do
    rm -rf "$dir/a" "$dir/b" "$dir/slow"
    bench "$dir/a"
    bench "$dir/b"
    # and what a true slowdown would be taken for: the second with 5 % more time
    python3 - "$dir" <<'END'
import glob, json, sys
sys.path.insert(0, "tests")
import forge_run
run = json.load(open(glob.glob(sys.argv[1] + "/b/*/run.json")[0]))
run["samples"]["latency_ns"] = [1.05 * x for x in run["samples"]["latency_ns"]]
forge_run.save(run, sys.argv[1] + "/slow/run.json")
END
    "$binary" compare "$dir/a" "$dir/b" --json >"$dir/pair.$pair"
    "$binary" compare "$dir/a" "$dir/slow" --json >"$dir/slow.$pair"
    cat "$dir"/[ab]/*/run.json | grep -oE '"code": "[a-z_]+"' | cut -d'"' -f4 | sort -u >"$dir/codes.$pair"
done
python3 - "$dir" "${PAIRS:-100}" <<'END'
import json, re, statistics, sys
dir, n = sys.argv[1], int(sys.argv[2])
noise = set(re.findall(r"^WARNING\((\w+), *(?:NOISY|INVALID)\b", open("harness/warnings.def").read(), re.M)) - {"frequency_drift", "too_short"}
assert noise
def read(name): return [json.load(open(f"{dir}/{name}.{i}"))["pairs"][0] for i in range(1, n + 1)]
pairs, slowed = read("pair"), read("slow")
counts = [not noise & set(open(f"{dir}/codes.{i}").read().split()) and pairs[i - 1]["at_equal_clock"] is not None for i in range(1, n + 1)]
def slow(x): return x["p"] < 0.01 and (x["relative_difference_low"] or 0) > 0 and x["relative_difference"] >= 0.03
def alarms(some, times_alone=False): return sum(slow(p) and (times_alone or (p["at_equal_clock"] is not None and slow(p["at_equal_clock"]))) for p in some)
def size(some): return "median |difference| %.2f %%, largest %.2f %%" % tuple(100 * f([abs(p["relative_difference"]) for p in some]) for f in (statistics.median, max))
for name, wanted in (("pairs that count", True), ("pairs that the machine disturbed, which the gate does not count", False)):
    some, later = [p for p, c in zip(pairs, counts) if c == wanted], [p for p, c in zip(slowed, counts) if c == wanted]
    if not some: continue
    print(f"{alarms(some)} of {len(some)} {name} alarm, {alarms(some, True)} would by times alone; with 5 % more time {alarms(later)} and {alarms(later, True)}")
    print(f"    times: {size(some)}; at equal clock: {size([p['at_equal_clock'] or p for p in some])}")
    if wanted: too_many = 2 * len(some) < n or 100 * alarms(some) > 2 * len(some)
if not any(counts): too_many = True
sys.exit(too_many)
END
