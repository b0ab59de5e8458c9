#!/usr/bin/env bash
# Every file through gcc and clang (those there are) with all warnings as errors; nothing is written.
#   FLAGS='-Wall ... -I.' scripts/check_warnings.sh FILE...
set -u
status=0
# clang has no omp.h of its own where only gcc's runtime is installed: it gets gcc's, and nothing else of gcc's
headers=$(mktemp -d) || exit 2
trap 'rm -rf "$headers"' EXIT
cp "$(gcc -print-file-name=include/omp.h)" "$headers/" || exit 2
for cc in gcc clang; do
    command -v "$cc" >/dev/null 2>&1 || { echo "$cc is not installed: left out"; continue; }
    [ "$cc" = clang ] && own=(-idirafter "$headers") || own=()
    bad=0
    for file in "$@"; do
        case $file in
        *_avx2.c)   simd=(-mavx2 -mfma) ;;
        *_avx512.c) simd=(-mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma) ;;
        *)          simd=() ;;
        esac
        # shellcheck disable=SC2086  # FLAGS is a list
        "$cc" -fsyntax-only -std=c11 -O1 -Werror -fopenmp -DMORBENCH_VERSION='"0"' $FLAGS "${simd[@]}" "${own[@]}" "$file" || bad=$((bad + 1))
    done
    echo "$cc: $# files, $bad with warnings"
    [ "$bad" -eq 0 ] || status=1
done
exit $status
