#!/bin/bash
# Puts the finished cells of directories that had no file system in common into one.
#   merge.sh DIR FROM...
# A cell is copied whole under a temporary name, checked there and then renamed; one that DIR has already is left as it is, one that DIR has
# only begun moves to DIR/.begun-CELL-*. Results and weights that do not fit their digest are named and left out. Exit status: 0 all merged,
# 4 some were left out.
set -eu
[ $# -ge 2 ] || { sed -n 's/^# \{0,1\}//; 2,6p' "$0" >&2; exit 1; }
here=$(cd "$(dirname "$0")" && pwd)
MORBENCH=${MORBENCH:-$(command -v morbench || echo "$here/../../build/release/morbench")}
into=$1; shift
mkdir -p "$into"
exec 9<"$into"
flock 9 2>/dev/null || true                         # one merge after the other, where the file system can
work=$(mktemp -d "$into/.merging-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# what is wrong with a copied cell; nothing: it is good
wrong() {
    local told
    "$MORBENCH" validate "$1/run.json" >/dev/null 2>&1 || { echo damaged; return; }
    grep -q '^  "status": "ok",$' "$1/run.json" || { echo "not finished"; return; }
    told=$(sed -n 's/^    "weights_sha256": "\([0-9a-f]*\)",\{0,1\}$/\1/p' "$1/run.json")
    [ ! -e "$1/weights.safetensors" ] || [ "$(sha256sum <"$1/weights.safetensors")" = "$told  -" ] || echo "damaged weights"
}

merged=0; there=0; bad=0
for from in "$@"; do
    [ -d "$from" ] || { echo "merge.sh: $from: no such directory" >&2; exit 1; }
    [ -e "$into/experiment.json" ] || { [ -e "$from/experiment.json" ] && cp "$from/experiment.json" "$into/experiment.json"; } || true
    for run in "$from"/*/run.json; do
        [ -e "$run" ] || continue
        cell=$(dirname "$run"); name=$(basename "$cell"); copy=$work/$name
        if [ -e "$into/$name/run.json" ]; then there=$((there + 1)); continue; fi
        rm -rf "$copy"; mkdir "$copy"
        why="cannot be copied"
        if cp -RHp "$cell"/* "$copy/"; then why=$(wrong "$copy"); fi
        if [ -n "$why" ]; then echo "left out, $why: $run" >&2; bad=$((bad + 1)); continue; fi
        if [ -d "$into/$name" ]; then mv -T "$into/$name" "$(mktemp -d "$into/.begun-$name-XXXXXX")"; fi
        mv -T "$copy" "$into/$name"
        merged=$((merged + 1))
    done
done
echo "$merged cells merged, $there were there, $bad left out; $into"
[ "$bad" -eq 0 ] || exit 4
