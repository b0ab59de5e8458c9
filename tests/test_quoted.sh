#!/bin/bash
# The tables that README files quote are those of the committed results, and one that is not is noticed.
#   tests/test_quoted.sh path/to/morbench        (from the repository root)
set -u
BINARY=$(realpath "${1:?usage: tests/test_quoted.sh path/to/morbench}")
export BINARY MORBENCH_DEBUG=0 NO_COLOR=1
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# shellcheck source=tests/claims.sh
. tests/claims.sh
python=$([ -x /usr/bin/python3 ] && echo /usr/bin/python3 || echo python3)

holds "quoted tables are what their results say" "$python" scripts/quoted.py --check
mkdir -p "$dir/scripts" "$dir/results/mine/a1"
cp scripts/quoted.py "$dir/scripts/"
cp results/reference/vit_d96_l6_p4_28/run.json "$dir/results/mine/a1/"
cat >"$dir/results/mine/experiment.json" <<'END'
{"schema": "morbench.experiment/1", "experiment": "mine", "size": "small", "question": "Q?", "caption": "C.", "factors": [{"name": "cell", "label": "cell"}],
 "cells": [{"id": "0", "name": "a", "kind": "train", "factors": {"cell": "a", "seed": 1}, "directory": "a1"}]}
END
printf 'before\n<!-- answers of results/mine -->\n<!-- end of answers -->\nafter\n' | tee "$dir/README.md" >"$dir/results/README.md"
mine() { "$python" "$dir/scripts/quoted.py" "$@"; }
holds "an empty block is not what they say" bash -c '! "$@"' _ "$python" "$dir/scripts/quoted.py" --check
holds "it can be written" mine
holds "with the accuracy of the run" grep -q '90\.31' "$dir/README.md"
holds "between what stands around it" bash -c '[ "$(head -n 1 "$0") $(tail -n 1 "$0")" = "before after" ]' "$dir/README.md"
holds "then it is what they say" mine --check
sed -i 's/90\.31/90.41/' "$dir/README.md"
holds "another figure is noticed" bash -c '! "$@"' _ "$python" "$dir/scripts/quoted.py" --check

echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
