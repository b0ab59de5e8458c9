#!/bin/bash
# Puts the finished cells of directories that had no file system in common into one.
#   merge.sh DIR FROM...
# A cell is copied whole under a temporary name and then renamed; one that DIR has already is left as it is. Files that do not fit their
# digest are named and left out. Exit status: 0 all merged, 4 some were left out.
set -eu
[ $# -ge 2 ] || { sed -n 's/^# \{0,1\}//; 2,5p' "$0" >&2; exit 1; }
here=$(cd "$(dirname "$0")" && pwd)
MORBENCH=${MORBENCH:-$(command -v morbench || echo "$here/../../build/release/morbench")}
into=$1; shift
mkdir -p "$into"
merged=0; there=0; bad=0
for from in "$@"; do
    [ -d "$from" ] || { echo "merge.sh: $from: no such directory" >&2; exit 1; }
    [ -e "$into/experiment.json" ] || { [ -e "$from/experiment.json" ] && cp "$from/experiment.json" "$into/experiment.json"; } || true
    for run in "$from"/*/run.json; do
        [ -e "$run" ] || continue
        cell=$(dirname "$run"); name=$(basename "$cell")
        if ! "$MORBENCH" validate "$run" >/dev/null 2>&1; then echo "left out, damaged: $run" >&2; bad=$((bad + 1)); continue; fi
        grep -q '^  "status": "ok",$' "$run" || { echo "left out, not finished: $run" >&2; bad=$((bad + 1)); continue; }
        if [ -e "$into/$name/run.json" ]; then there=$((there + 1)); continue; fi
        rm -rf "$into/.merging"; mkdir "$into/.merging"
        cp -p "$cell"/* "$into/.merging/"
        if [ -d "$into/$name" ]; then mv "$into/$name" "$into/.begun-$name"; fi
        mv "$into/.merging" "$into/$name"
        merged=$((merged + 1))
    done
done
echo "$merged cells merged, $there were there, $bad left out; $into"
[ "$bad" -eq 0 ] || exit 4
