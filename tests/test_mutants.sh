#!/bin/bash
# Builds that cheat while they measure, and are caught: work left out while the clock runs, and work left out in every process that
# measures, which only the accuracy run of the same weights can tell.
#   tests/test_mutants.sh path/to/morbench        (from the repository root; beside it tests/mutants/skips_work, which make tests builds)
set -u
morbench=$(realpath "${1:?usage: tests/test_mutants.sh path/to/morbench}")
mutant=$(dirname "$morbench")/tests/mutants/skips_work
[ -x "$mutant" ] || { echo "there is no $mutant; run: make tests" >&2; exit 1; }
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export MORBENCH_DEBUG=0 NO_COLOR=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE MUTANT
# shellcheck source=tests/claims.sh
. tests/claims.sh
data=synthetic:28x28x1:10:64

# PROGRAM, preset, to, options...: one cell of its reference weights
bench() {
    local program=$1 preset=$2 to=$3
    shift 3
    "$program" bench --profile smoke --processes 2 --quiet --no-counters --threads 1 --preset "$preset" --weights "results/reference/$preset/weights.safetensors" --data $data --out "$to" "$@"
}
reasons() { python3 -c 'import glob,json,sys; r=json.load(open(glob.glob(sys.argv[1]+"/*/run.json")[0])); sys.exit(not eval(sys.argv[2], {"why": r["validity"]["reasons"], "m": r["metrics"]}))' "$1" "$2"; }
# directory, expression over `rows`, those of benches: {path: row of the table}
table() {
    "$morbench" report "$1" --json >"$dir/table" 2>/dev/null || return 1
    python3 -c 'import json,sys; rows=[r for r in json.load(open(sys.argv[1]))["rows"] if r["kind"]=="bench"]; sys.exit(not eval(sys.argv[2]))' "$dir/table" "$2"
}

for preset in vit_d96_l6_p4_28 mor_d96_c2x3_p4_lin_28; do
    holds "$preset: its accuracy is measured" "$morbench" eval --preset $preset --weights results/reference/$preset/weights.safetensors --data $data --batch 32 --threads 1 --quiet --out "$dir/$preset/eval"
    holds "$preset: the honest program is timed" bench "$mutant" $preset "$dir/$preset/bench" --batch 3
    holds "$preset: and other kernels on other threads" bench "$morbench" $preset "$dir/$preset/other" --batch 16 --backend openblas --threads 2
    holds "$preset: neither lowers a verdict" bash -c "$(declare -f reasons); reasons '$dir/$preset/bench' '\"outputs_differ\" not in why and len(m[\"witness\"][\"best_logit\"]) == 12'"
    holds "$preset: both are tied to the accuracy" table "$dir/$preset" 'len(rows) == 2 and all(r["accuracy_run"] and r["verdict"] == json.load(open("'"$dir/$preset"'/" + r["path"]))["validity"]["verdict"] for r in rows)'
done
preset=vit_d96_l6_p4_28

MUTANT=timing bench "$mutant" $preset "$dir/timing" --batch 3 >/dev/null 2>&1
holds "work left out while the clock runs is caught by the bench itself" reasons "$dir/timing" '"outputs_differ" in why'

MUTANT=bench bench "$mutant" $preset "$dir/$preset/cheat" --batch 3 >"$dir/log" 2>&1
holds "work left out wherever it is measured looks consistent" reasons "$dir/$preset/cheat" '"outputs_differ" not in why and "outputs_vary" not in why'
holds "but the accuracy run contradicts it" table "$dir/$preset" '[r["verdict"] for r in rows if r["path"].startswith("cheat")] == ["INVALID"] and not [r for r in rows if r["path"].startswith("cheat")][0]["accuracy_run"]'
holds "which the honest rows do not suffer from" table "$dir/$preset" 'all(r["accuracy_run"] for r in rows if not r["path"].startswith("cheat"))'
"$morbench" report "$dir/$preset" >"$dir/shown" 2>/dev/null
holds "and the table says why" grep -q "INVALID: its logits are not those of run" "$dir/shown"

echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
