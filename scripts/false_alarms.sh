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
    rm -rf "$dir/a" "$dir/b"
    bench "$dir/a"
    bench "$dir/b"
    "$binary" compare "$dir/a" "$dir/b" --json >"$dir/pair.$pair"
    cat "$dir"/[ab]/*/run.json | grep -cE '"code": "(machine_busy|cpu_stolen|major_faults|minor_faults|trend|unsteady)"' >"$dir/noisy.$pair" || true
done
python3 - "$dir" "${PAIRS:-100}" <<'END'
import json, statistics, sys
pairs = [json.load(open(f"{sys.argv[1]}/pair.{i}"))["pairs"][0] for i in range(1, int(sys.argv[2]) + 1)]
noisy = [int(open(f"{sys.argv[1]}/noisy.{i}").read()) > 0 for i in range(1, len(pairs) + 1)]
def alarms(some, times_alone=False):
    def slow(x): return x["p"] < 0.01 and x["relative_difference_low"] > 0 and x["relative_difference"] >= 0.03
    return sum(slow(p) and (times_alone or slow(p["at_equal_clock"])) for p in some)
def size(some, of): return "median |difference| %.2f %%, largest %.2f %%" % tuple(100 * f([abs(of(p)["relative_difference"]) for p in some]) for f in (statistics.median, max))
counted, others = [p for p, n in zip(pairs, noisy) if not n], [p for p, n in zip(pairs, noisy) if n]
for name, some in (("pairs that count", counted), ("pairs that the machine disturbed, which the gate does not count", others)):
    if not some: continue
    print(f"{alarms(some)} of {len(some)} {name} alarm; {alarms(some, True)} would by times alone")
    print(f"    times: {size(some, lambda p: p)}; at equal clock: {size(some, lambda p: p['at_equal_clock'])}")
too_many = 2 * len(counted) < len(pairs) or 100 * alarms(counted) > 2 * len(counted)
sys.exit(too_many)
END
