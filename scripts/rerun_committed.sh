#!/usr/bin/env bash
# Runs every result below results/ again that took at most RERUN_SECONDS (default 300) when it was made, and says field by field what came
# out the same. Trainings are among them when they were that short: RERUN_SECONDS=9000 repeats the reference trainings too. Results whose
# weights or data are not here are left out: those of the study are kept without weights (after `make reproduce` try build/reproduce).
#   BINARY=build/release/morbench scripts/rerun_committed.sh [DIR]
# Exit status: 0 all the same; 1 something differs. A difference on another machine, build or environment than the result's is told
# but is no failure: the bits of a sum belong to its kernels (results/README.md names the fields compared).
set -u
cd "$(dirname "$0")/.." || exit 1
binary=$(realpath "${BINARY:-build/release/morbench}") limit=${RERUN_SECONDS:-300} dir=${1:-results}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
same=0 elsewhere=0 failed=0 left=0

while IFS= read -r run; do
    elapsed=$(sed -nE 's/^ *"(train_)?elapsed_ns": ([0-9]*).*/\2/p' "$run" | sort -n | tail -n 1)
    if [ "${elapsed:-0}" -gt $((limit * 1000000000)) ]; then
        printf 'left out  %s: took %d s, RERUN_SECONDS allows %d\n' "$run" $((elapsed / 1000000000)) "$limit"
        left=$((left + 1))
        continue
    fi
    "$binary" rerun "$run" >"$out" 2>&1 </dev/null
    status=$?
    if [ $status -eq 0 ]; then
        same=$((same + 1))
        printf 'same      %s: %d fields\n' "$run" "$(grep -c 'the same$' "$out")"
    elif [ $status -eq 4 ] && grep -q '^another machine' "$out"; then
        elsewhere=$((elsewhere + 1))
        printf 'elsewhere %s: %s\n' "$run" "$(sed -n 's/ *DIFFERS$//p' "$out" | tr '\n' ' ')"
    elif [ $status -eq 1 ] && grep -qE 'cannot open: No such file|no data set' "$out"; then
        left=$((left + 1))
        printf 'left out  %s: %s\n' "$run" "$(tail -n 1 "$out")"
    else
        failed=$((failed + 1))
        printf 'DIFFERS   %s: %s\n' "$run" "$(sed -n 's/ *DIFFERS$//p' "$out" | tr '\n' ' ')$(tail -n 1 "$out")"
    fi
done < <(find "$dir" -name run.json -not -path '*/quickstart/*' | sort)
printf '\n%d the same, %d differ on this other machine, %d differ, %d left out\n' $same $elsewhere $failed $left
[ $failed -eq 0 ] && [ $((same + elsewhere)) -gt 0 ]
