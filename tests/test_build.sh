#!/bin/bash
# The build and the runner of tests themselves: what depends on what, and that nothing which was to be checked is passed over.
#   tests/test_build.sh path/to/morbench        (from the repository root; compiles nothing)
set -u
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# shellcheck source=tests/claims.sh
. tests/claims.sh

# ---- a header that changes compiles again what includes it ----
# what the compiler would have written beside every object (-MMD), with a header of our own
for source in harness/main.c tests/test_*.c tests/fuzz/*.c tests/bench/*.c tests/mutants/*.c engine/tape.c; do
    object=$dir/build/release/${source%.c}.o
    mkdir -p "${object%/*}"
    printf '%s: %s\n' "$object" "$dir/some.h" >"${object%.o}.d"
done
make -rpn BUILD_ROOT="$dir/build" CONFIG=release ARCH=native REAL=float help 2>/dev/null >"$dir/rules"
forgotten=
for file in $(cd "$dir/build/release" && find . -name '*.d' | sed 's,^./,,'); do
    grep -q "^$dir/build/release/${file%.d}.o:.* $dir/some.h" "$dir/rules" || forgotten="$forgotten ${file%.d}.c"
done
holds "every object knows its headers; forgotten:${forgotten:- none}" test -z "$forgotten"

holds "make help lists every target that says what it is for" test "$(make -s help | wc -l)" -eq "$(grep -cE '^[^#[:space:]][^:=]*:.*## ' Makefile)"

# ---- the runner: scripts/check.sh over a tree of two fuzz targets ----
mkdir -p "$dir/tree/scripts" "$dir/tree/tests/fuzz/corpus/a" "$dir/tree/tests/fuzz/corpus/b" "$dir/tree/b/tests/fuzz"
cp scripts/check.sh "$dir/tree/scripts/"
printf '#!/bin/sh\n' >"$dir/tree/scripts/check_includes.sh"
printf '#!/bin/sh\n[ -f "$1" ]\n' >"$dir/tree/b/tests/fuzz/fuzz_a"
cp "$dir/tree/b/tests/fuzz/fuzz_a" "$dir/tree/b/tests/fuzz/fuzz_b"
chmod +x "$dir/tree/scripts/check_includes.sh" "$dir"/tree/b/tests/fuzz/*
touch "$dir"/tree/tests/fuzz/fuzz_{a,b}.c "$dir"/tree/tests/fuzz/corpus/{a,b}/one
check() { (unset BINARY; PYTHON=true BUILD=b "$dir/tree/scripts/check.sh" "$@") >"$dir/check" 2>&1; }
# runner CLAIM STATUS PATTERN arguments... : what check.sh ends with and says
runner() {
    local claim=$1 status=$2 pattern=$3
    shift 3
    check "$@"
    local got=$?
    if [ $got -eq "$status" ] && grep -qE -e "$pattern" "$dir/check"; then say ok "$claim"; else say wrong "$claim: $got, $(tail -n 2 "$dir/check" | tr '\n' ' ')"; fi
}
runner "two targets with their inputs pass" 0 '^5 passed, 0 skipped, 0 failed'
rm "$dir/tree/tests/fuzz/corpus/b/one"
runner "a target without inputs fails" 1 'failed: replay of tests/fuzz/corpus/b$'
rmdir "$dir/tree/tests/fuzz/corpus/b"
runner "so does one without a folder of inputs" 1 'failed: replay of tests/fuzz/corpus/b$'
mkdir "$dir/tree/tests/fuzz/corpus/b" && touch "$dir/tree/tests/fuzz/corpus/b/one" && rm "$dir/tree/b/tests/fuzz/fuzz_a"
runner "and one that was not built" 1 'failed: replay of tests/fuzz/corpus/a$'
rm "$dir/tree/tests/fuzz/fuzz_a.c"
printf 'exit 77\n' >"$dir/tree/skips.sh"
printf 'exit 3\n' >"$dir/tree/fails.sh"
runner "a test that cannot run is skipped and counted apart" 0 '^4 passed, 1 skipped, 0 failed' skips.sh --
runner "a test that fails is named" 1 '^failed: fails.sh$' fails.sh skips.sh --

# ---- the study again: what reproduce.sh asks of the program, with one that only notes it ----
printf '#!/bin/sh\necho "$*" >>"%s/asked"\nexit 0\n' "$dir" >"$dir/notes"
chmod +x "$dir/notes"
holds "the study is made again" env BINARY="$dir/notes" scripts/reproduce.sh smoke "$dir/again"
holds "its cells" grep -q "run experiments/01_models_fashion_mnist.json --size smoke --profile smoke --out $dir/again/01_models_fashion_mnist" "$dir/asked"
holds "its tables and page" grep -q "^report $dir/again --md --csv --html$" "$dir/asked"
holds "and its verdicts on claims" grep -q "^report $dir/again --claims$" "$dir/asked"

echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
