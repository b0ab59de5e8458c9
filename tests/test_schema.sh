#!/bin/bash
# results/schema is what harness/result_keys.def makes of it, accepts the committed results, and every number is explained.
#   tests/test_schema.sh path/to/morbench        (from the repository root)
set -u
morbench=$(realpath "${1:?usage: tests/test_schema.sh path/to/morbench}")
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export MORBENCH_DEBUG=0 NO_COLOR=1
# shellcheck source=tests/claims.sh
. tests/claims.sh
python=$([ -x /usr/bin/python3 ] && echo /usr/bin/python3 || echo python3)

holds "the committed schema is what the table of fields makes" "$python" scripts/schema.py --check
mkdir -p "$dir/copy/scripts" "$dir/copy/harness" "$dir/copy/results"
cp scripts/schema.py "$dir/copy/scripts/"
cp harness/result_keys.def harness/result_schema.in.json "$dir/copy/harness/"
cp -r results/schema "$dir/copy/results/"
echo 'KEY_LATER(metrics, planted_count, "a field that the schema does not have")' >>"$dir/copy/harness/result_keys.def"
holds "a field that was forgotten is noticed" bash -c '! "$0" "$1/copy/scripts/schema.py" --check >"$1/said.txt" && grep -q planted_count "$1/said.txt"' "$python" "$dir"
holds "and written by make schema" bash -c '"$0" "$1/copy/scripts/schema.py" && "$0" "$1/copy/scripts/schema.py" --check && grep -q planted_count "$1/copy/results/schema/run.schema.json"' "$python" "$dir"
echo 'KEY(metrics, torn' >>"$dir/copy/harness/result_keys.def"
holds "a line that is no field is an error that names it" bash -c '! "$0" "$1/copy/scripts/schema.py" 2>"$1/said.txt" && grep -q "not a field: KEY(metrics, torn" "$1/said.txt"' "$python" "$dir"

"$morbench" list fields --json >"$dir/fields.json"
holds "the program lists the same fields" "$python" - "$dir/fields.json" <<'END'
import json, sys
schema = json.load(open("results/schema/run.schema.json"))["properties"]
fields = json.load(open(sys.argv[1]))
assert len(fields) > 80
for f in fields:
    of = schema[f["block"]]
    assert of["properties"][f["key"]]["description"] == f["help"], f
    assert (f["key"] in of.get("required", [])) == f["in_every_run"], f
END
if "$python" -c 'import jsonschema' 2>/dev/null; then
    holds "committed results fit it" "$python" - <<'END'
import glob, json, jsonschema
check = jsonschema.Draft7Validator(json.load(open("results/schema/run.schema.json")))
runs = glob.glob("results/reference/**/run.json", recursive=True)
assert runs
for path in runs:
    wrong = [f"{path}: {'/'.join(map(str, e.path))}: {e.message[:100]}" for e in check.iter_errors(json.load(open(path)))]
    assert not wrong, wrong[0]
END
fi
for run in results/reference/*/run.json; do
    [ -f "$run" ] || continue
    holds "the program reads $run" "$morbench" validate "$run"
done

echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
