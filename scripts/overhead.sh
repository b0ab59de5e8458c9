#!/usr/bin/env bash
# What tape, scopes and counting cost while measuring: a pass of this build against one of a build without them, in turns of one
# process each, so that the machine's drift hits both.
#   scripts/overhead.sh        MODEL=vit_tiny_patch16_224 BATCH=1 THREADS=1 ROUNDS=15 SECONDS_EACH=1
set -eu
cd "$(dirname "$0")/.."
command -v python3 >/dev/null || { echo "overhead: no python3" >&2; exit 1; }
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
make --no-print-directory all
make --no-print-directory all BUILD_ROOT=build/uncounted CFLAGS=-DMORBENCH_UNCOUNTED
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for round in $(seq 1 "${ROUNDS:-15}"); do
    # each is the first of a round as often as the other
    order="counted uncounted"
    [ $((round % 2)) -eq 0 ] || order="uncounted counted"
    for which in $order; do
        binary=build/release/morbench
        [ "$which" = counted ] || binary=build/uncounted/release/morbench
        "$binary" bench-worker --threads "${THREADS:-1}" --preset "${MODEL:-vit_tiny_patch16_224}" --batch "${BATCH:-1}" --seconds "${SECONDS_EACH:-1}" \
            --samples 30 --warmup-seconds 2 >"$dir/$which.$round"
    done
done
python3 - "$dir" "${ROUNDS:-15}" <<'END'
import json, statistics, sys
dir, rounds = sys.argv[1], int(sys.argv[2])
def fastest(which): return min(min(json.load(open(f"{dir}/{which}.{r}"))["latency_ns"]) for r in range(1, rounds + 1))
def median(which, r): return statistics.median(json.load(open(f"{dir}/{which}.{r}"))["latency_ns"])
ratio = sorted(median("counted", r) / median("uncounted", r) for r in range(1, rounds + 1))
walsh = sorted((ratio[i] * ratio[k]) ** 0.5 for i in range(rounds) for k in range(i, rounds))
print(f"counting costs {100 * (statistics.median(walsh) - 1):+.2f} % of a pass (Hodges-Lehmann over {rounds} pairs of processes; quartiles "
      f"{100 * (ratio[rounds // 4] - 1):+.2f} %, {100 * (ratio[-1 - rounds // 4] - 1):+.2f} %)")
# what a busy machine does to a pass only adds: the fastest of all are the nearest to the work itself
print(f"fastest pass {fastest('counted') / 1e3:.1f} us with, {fastest('uncounted') / 1e3:.1f} us without")
END
