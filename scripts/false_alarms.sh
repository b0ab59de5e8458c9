#!/usr/bin/env bash
# How often the gate of `compare` would alarm though nothing changed: pairs of benches of one model by one program, one after the
# other, judged by the gate's own rule (3 %, interval above 0, p < 0.01). The gate does not count arms that the machine disturbed,
# so pairs without and with them are told apart. Long; not part of any check.
# Exit status 1: more than 2 in 100 of the quiet pairs alarm, or none was quiet.
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
    cat "$dir"/[ab]/*/run.json | grep -cE '"code": "(machine_busy|cpu_stolen|frequency_drift|major_faults|minor_faults|trend|unsteady)"' >"$dir/noisy.$pair" || true
done
python3 - "$dir" "${PAIRS:-100}" <<'END'
import json, statistics, sys
pairs = [json.load(open(f"{sys.argv[1]}/pair.{i}"))["pairs"][0] for i in range(1, int(sys.argv[2]) + 1)]
noisy = [int(open(f"{sys.argv[1]}/noisy.{i}").read()) > 0 for i in range(1, len(pairs) + 1)]
for name, some in (("quiet", [p for p, n in zip(pairs, noisy) if not n]), ("disturbed, which the gate does not count", [p for p, n in zip(pairs, noisy) if n])):
    slow = [p for p in some if p["p"] < 0.01 and p["relative_difference_low"] > 0 and p["relative_difference"] >= 0.03]
    sure = [p for p in some if p["p"] < 0.05]
    if not some: print(f"no pairs {name}")
    else: print(f"{len(slow)} of {len(some)} pairs {name} alarm; {len(sure)} have p < 0.05; median |difference| "
                f"{100 * statistics.median(abs(p['relative_difference']) for p in some):.2f} %, largest {100 * max(abs(p['relative_difference']) for p in some):.2f} %")
    if name == "quiet": too_many = not some or 100 * len(slow) > 2 * len(some)
sys.exit(too_many)
END
