#!/usr/bin/env bash
# What a machine can do, into results/machines/NAME: parity with the recorded outputs, what can be measured here, ceilings, and the
# standard set of models. `morbench compare results/machines/A results/machines/B` then puts two machines side by side.
#   scripts/hardware.sh        after a build (make hardware does both); --name only prints where to
#
# From the environment
#   BINARY, TESTS  the program, and the folder of its tests
#   MACHINE_NAME   folder below MACHINES; default the host's name. Of it letters, digits, _ and - are kept
#   MACHINES       default results/machines
#   MODELS, BATCH  default the standard set as far as this version has it, 1 and 16
#   PROFILE        default standard; smoke shows that it works
#   THREADS        default one, and all CPUs
#   DATA           a data set or folder of images at the models' size; default generated images, which is speed only
set -eu
cd "$(dirname "$0")/.."
binary=${BINARY:-build/release/morbench}
tests=${TESTS:-build/release/tests}
name=$(printf '%s' "${MACHINE_NAME:-$(uname -n)}" | tr '[:upper:]' '[:lower:]' | LC_ALL=C tr -c 'a-z0-9_-' '-' | sed 's/--*/-/g; s/^-*//' | cut -c1-64 | sed 's/-*$//')
# a name of none of these is told apart by its bytes
[ -n "$name" ] || name=machine-$(printf '%s' "${MACHINE_NAME:-$(uname -n)}" | cksum | cut -d' ' -f1)
to=${MACHINES:-results/machines}/$name
[ "${1:-}" != --name ] || { printf '%s\n' "$to"; exit 0; }
cpus=$(nproc)
threads=${THREADS:-1 $([ "$cpus" -gt 1 ] && echo "$cpus")}
profile=${PROFILE:-standard}
[ -x "$binary" ] || { echo "hardware: no program at $binary; run: make" >&2; exit 1; }
# the choice of matrix kernels is the library's, not an old environment's
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE

listed=$("$binary" list models --json | sed -n 's/.*"name": "\([^"]*\)".*/\1/p')
models=
for model in $(printf '%s' "${MODELS:-vit_tiny_patch16_224,vit_small_patch16_224,mor_s_c3x4_q39,dynamicvit_deit_small_0.7,tiny_vit_5m_224}" | tr ',' ' '); do
    if [ -n "${MODELS:-}" ] || printf '%s\n' "$listed" | grep -qx "$model"; then models=$models${models:+,}$model; else echo "not in this version, left out: $model"; fi
done

mkdir -p "$to"
echo "== $name: parity with recorded outputs"
if [ -x "$tests/test_parity" ]; then
    "$tests/test_parity" >"$to/parity.log" 2>&1 || { tail -n 5 "$to/parity.log"; echo "hardware: numbers differ here; times would mean nothing" >&2; exit 1; }
    grep -a PASSED "$to/parity.log"
else
    echo "no tests built: skipped"
fi
echo "== what can be measured here"
"$binary" doctor
"$binary" doctor --json >"$to/doctor.json"
for t in $threads; do
    echo "== ceilings, threads: $t"
    "$binary" peaks --threads "$t" --out "$to/peaks_t$t.json"
    echo "== $models, threads: $t"
    "$binary" bench --threads "$t" --preset "$models" --batch "${BATCH:-1,16}" --profile "$profile" ${DATA:+--data "$DATA"} --out "$to" || [ $? -eq 4 ]     # INVALID ones say so in the table
done
"$binary" report "$to" --md
echo "written: $to"
