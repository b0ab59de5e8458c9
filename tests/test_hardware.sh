#!/bin/bash
# make hardware: what it leaves of a machine, whatever the machine is called, and that compare puts two of them side by side.
#   tests/test_hardware.sh path/to/morbench        (from the repository root)
set -u
morbench=$(realpath "${1:?usage: tests/test_hardware.sh path/to/morbench}")
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export MORBENCH_DEBUG=0 NO_COLOR=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE
# shellcheck source=tests/claims.sh
. tests/claims.sh
model=vit_d64_l6_p4_28

hardware() { # NAME
    MACHINE_NAME=$1 MACHINES=$dir/results/machines BINARY=$morbench TESTS=$dir/nowhere PROFILE=smoke MODELS=$model BATCH=1 THREADS=1 scripts/hardware.sh
}
holds "a machine is measured" hardware "Big-Box_7"
holds "under its name in small letters" test -f "$dir/results/machines/big-box_7/${model}_b1_t1/run.json"
holds "with what it can measure, its ceilings and a table" bash -c 'cd "$0" && python3 -m json.tool doctor.json >/dev/null && python3 -m json.tool peaks_t1.json >/dev/null && test -s table.md' "$dir/results/machines/big-box_7"
called() { # claim, NAME, folder
    [ "$(MACHINE_NAME=$2 MACHINES=m scripts/hardware.sh --name)" = "m/$3" ] && say ok "$1" || say wrong "$1: $(MACHINE_NAME=$2 MACHINES=m scripts/hardware.sh --name)"
}
called "a domain" host.example.com host-example-com
called "a path, a command and letters of elsewhere" '../Höst; $(touch pwned) `id`' h-st-touch-pwned-id
called "what looks like an option" --help help
called "a name of 300 letters" "$(printf 'x%.0s' $(seq 300))" "$(printf 'x%.0s' $(seq 64))"
called "none of our letters" 機械 machine-"$(printf 機械 | cksum | cut -d' ' -f1)"
holds "nothing that is in a name is run" test ! -e pwned
holds "machines are listed" bash -c 'cd "$1" && "$0" list machines --json | python3 -c "import json,sys; m=json.load(sys.stdin); sys.exit(not (len(m) == 1 and all(x[\"cpu_model\"] for x in m)))"' "$morbench" "$dir"

# the second machine is made up out of the first: another CPU, three times as fast
good='/validity={"verdict":"SPEED_ONLY","reasons":["untrained"]}'
here=$dir/results/machines/big-box_7/${model}_b1_t1/run.json
python3 tests/forge_run.py "$here" "$dir/m/slow/${model}_b1_t1/run.json" ms=3 seed=1 "$good"
python3 tests/forge_run.py "$here" "$dir/m/fast/${model}_b1_t1/run.json" ms=1 seed=2 "$good" '/env_id="00000000000000bb"' '/env/cpu_model="Another; CPU"'
"$morbench" compare "$dir/m/slow" "$dir/m/fast" >"$dir/shown" 2>&1
holds "two machines are put side by side" grep -q "faster (different machines)" "$dir/shown"
holds "their difference first" bash -c '[ "$(grep -n "Another; CPU" "$0" | head -n 1 | cut -d: -f1)" -lt "$(grep -n "faster (different" "$0" | cut -d: -f1)" ]' "$dir/shown"
holds "which the gate counts for nothing" bash -c '"$0" compare "$1/m/fast" "$1/m/slow" --gate 3% >/dev/null 2>&1; [ $? -eq 4 ]' "$morbench" "$dir"

echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
