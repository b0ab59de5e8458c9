#!/usr/bin/env bash
# Runs every test and says what passed, what was skipped and what failed; the exit status is the verdict.
#   BUILD=build/release DOUBLE_BUILD=build/release-double scripts/check.sh PROGRAM|SCRIPT... -- DOUBLE_PROGRAM...
# A script that exits with 77 was skipped and has said why. Logs lie in $BUILD/test-logs.
set -u
cd "$(dirname "$0")/.." || exit 1
export BUILD=${BUILD:-build/release}
export BINARY=${BINARY:-$BUILD/morbench}
# threads that sleep while they wait: spinning ones slow each other down many times when the machine is shared
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
logs=$BUILD/test-logs
mkdir -p "$logs"
passed=0 skipped=0 failed=0
bad=()

# one NAME COMMAND...: runs, counts cmocka's tests by its own summary, scripts as one test each
one() {
    local name=$1 log status tests skips seconds=$SECONDS
    shift
    log=$logs/$(printf '%s' "$name" | tr '/ ' '__').log
    "$@" >"$log" 2>&1 </dev/null
    status=$?
    seconds=$((SECONDS - seconds))
    tests=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test(s).*/\1/p' "$log" | awk '{n += $1} END {print n + 0}')
    skips=$(sed -n 's/^\[  SKIPPED \] \([0-9]*\) test(s).*/\1/p' "$log" | awk '{n += $1} END {print n + 0}')
    if grep -q '^Ran [0-9]* test' "$log"; then         # Python's unittest, which counts the skipped ones too
        skips=$(sed -n 's/.*skipped=\([0-9]*\).*/\1/p' "$log" | tail -n 1)
        skips=${skips:-0}
        tests=$(($(sed -n 's/^Ran \([0-9]*\) test.*/\1/p' "$log" | tail -n 1) - skips))
    fi
    if [ "$status" -eq 77 ]; then
        skipped=$((skipped + 1))
        printf 'skipped  %-44s %s\n' "$name" "$(tail -n 1 "$log")"
    elif [ "$status" -ne 0 ]; then
        failed=$((failed + 1))
        bad+=("$name")
        printf 'FAILED   %-44s exit %d, log %s\n' "$name" "$status" "$log"
        grep -aE '^\[  (ERROR|FAILED)|^\[   LINE|ERROR: |runtime error|^(not ok|FAIL)|Error|assert' "$log" | head -n 12 | sed 's/^/           /'
    else
        [ "$tests" -gt 0 ] || [ "$skips" -gt 0 ] || tests=1
        passed=$((passed + tests))
        skipped=$((skipped + skips))
        printf 'ok       %-44s %4d tests %s %3d s\n' "$name" "$tests" "$([ "$skips" -gt 0 ] && echo "($skips skipped)")" "$seconds"
    fi
}

# the system's Python has the system's packages
python=${PYTHON:-$([ -x /usr/bin/python3 ] && echo /usr/bin/python3 || command -v python3)}
double=no
one "scripts/check_includes.sh" scripts/check_includes.sh
one "scripts/check_includes.sh --self-test" scripts/check_includes.sh --self-test
[ -z "$python" ] || one "scripts/peers/compare_pillow.py --self-test" "$python" scripts/peers/compare_pillow.py --self-test
for t in "$@"; do
    case $double:$t in
    no:--)    double=yes ;;
    yes:*)    one "$t (REAL=double)" "$DOUBLE_BUILD/$t" ;;
    no:*.sh)  one "$t" bash "$t" "$BINARY" ;;
    no:*.py)  one "$t" "$python" "$t" ;;
    *)        one "${t#"$BUILD"/}" "$t" ;;
    esac
done
for target in tests/fuzz/fuzz_*.c; do
    name=$(basename "$target" .c)
    corpus=tests/fuzz/corpus/${name#fuzz_}
    one "replay of $corpus" "$BUILD/tests/fuzz/$name" "$corpus"/*
done
printf '\n%d passed, %d skipped, %d failed, %d s\n' "$passed" "$skipped" "$failed" "$SECONDS"
[ "$failed" -eq 0 ] || { printf 'failed: %s\n' "${bad[*]}"; exit 1; }
