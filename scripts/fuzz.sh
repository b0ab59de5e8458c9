#!/usr/bin/env bash
# Runs the fuzz targets with libFuzzer, one after the other, each for a time of its own. `make fuzz` builds them and calls this.
#   BUILD=build/fuzz-generic FUZZ_SECONDS=60 scripts/fuzz.sh [NAME...]      NAME: of tests/fuzz/fuzz_NAME.c, default all
#   scripts/fuzz.sh --check                                         can this machine build them?
# Begins with tests/fuzz/corpus/NAME; inputs that reach something new are kept in BUILD/corpus/NAME, what breaks a target in BUILD/found, as
# NAME-crash-..., -timeout-, -oom-. One that is mended belongs into tests/fuzz/corpus/NAME. Exit status: 0 nothing broke, 1 something did,
# 2 the machine lacks clang's libFuzzer or OpenMP.
set -u
cd "$(dirname "$0")/.." || exit 2
if [ "${1:-}" = --check ]; then
    out=$(mktemp) || exit 2
    trap 'rm -f "$out"' EXIT
    printf '#include <omp.h>\n#include <stddef.h>\nint LLVMFuzzerTestOneInput(const unsigned char *b, size_t n) { (void)b; return n > 0 && omp_get_max_threads() < 0; }\n' |
        clang -x c -fopenmp -fsanitize=fuzzer,address,undefined - -o "$out" 2>/dev/null && exit 0
    echo "fuzz: needs clang with libFuzzer and OpenMP: apt-get install clang libomp-dev" >&2
    exit 2
fi
BUILD=${BUILD:-build/fuzz-generic} seconds=${FUZZ_SECONDS:-60}
# a setting of many gigabytes is refused as on a small machine, and not tried
export ASAN_OPTIONS=allocator_may_return_null=1:max_allocation_size_mb=512:detect_leaks=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}
export OMP_NUM_THREADS=1
mkdir -p "$BUILD/found"
broken=()
[ $# -gt 0 ] || for target in tests/fuzz/fuzz_*.c; do name=$(basename "$target" .c); set -- "$@" "${name#fuzz_}"; done
for name in "$@"; do
    program=$BUILD/tests/fuzz/fuzz_$name log=$BUILD/found/$name.log
    [ -x "$program" ] || { echo "fuzz: no $program; make fuzz builds it" >&2; exit 1; }
    mkdir -p "$BUILD/corpus/$name"
    # words of the first inputs, so that a changed one is more often one that is understood
    dict=$BUILD/found/$name.dict
    grep -ohaE '[A-Za-z_][A-Za-z0-9_./]{2,40}' "tests/fuzz/corpus/$name"/* | sort -u | sed 's/.*/"&"/' >"$dict"
    words=(); [ ! -s "$dict" ] || words=(-dict="$dict")
    "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=3000 -artifact_prefix="$BUILD/found/$name-" -print_final_stats=1 "${words[@]}" \
        "$BUILD/corpus/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1
    status=$?
    [ $status -eq 0 ] || broken+=("$name")
    printf '%-8s %-16s %9s inputs, %s places reached%s\n' "$([ $status -eq 0 ] && echo ok || echo BROKEN)" "$name" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)" "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)" \
        "$([ $status -eq 0 ] || echo ": $log")"
done
[ ${#broken[@]} -eq 0 ] || { printf 'fuzz: broken: %s\n' "${broken[*]}" >&2; exit 1; }
