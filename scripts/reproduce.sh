#!/bin/bash
# The committed study again, from nothing: trains, evaluates and times the cells of experiments 1, 2 and 4, then makes the tables,
# plots and verdicts. What `make reproduce` runs. It goes on where it was stopped.
#
#   BINARY=build/release/morbench scripts/reproduce.sh [small|smoke] [DIR]       DIR: build/reproduce
#
# small is the committed study: CIFAR-10 from data/cifar10-jpeg or as fetched by `morbench data fetch cifar10`, about twelve hours of one
# core. Without CIFAR-10, and for smoke (minutes, untrained figures), experiment 1 runs on Fashion-MNIST. MINUTES=90 stops after that long.
# Exit status: that of the first command that fails; 4 when cells failed or are invalid.
set -u
cd "$(dirname "$0")/.."
binary=${BINARY:-build/release/morbench}
size=${1:-small}
out=${2:-build/reproduce}
case $size in
    small) profile=standard ;;
    smoke) profile=smoke ;;
    *) printf 'reproduce: size %s: must be small or smoke\n' "$size" >&2; exit 1 ;;
esac
[ -x "$binary" ] || { printf 'reproduce: %s is not there; make builds it\n' "$binary" >&2; exit 1; }

minutes=${MINUTES:+--minutes $MINUTES}
failed=0
run() { # EXPERIMENT [key=value ...]
    # shellcheck disable=SC2206
    local command=("$binary" --backend packed run "experiments/$1.json" --size "$size" --profile "$profile" --out "$out/$1" $minutes "${@:2}") status
    printf '\n  $ %s\n' "${command[*]@Q}"
    "${command[@]}" || {
        status=$?
        [ "$status" -eq 4 ] || exit "$status"
        failed=4
    }
}

have() { "$binary" data list 2>/dev/null | grep -q "^$1 .*present"; }

if [ "$size" = smoke ]; then
    run 01_models_fashion_mnist
elif [ -d data/cifar10-jpeg ]; then
    for experiment in 01_models 02_depth 04_routers; do run "$experiment"; done
elif have cifar10; then
    for experiment in 01_models 02_depth 04_routers; do run "$experiment" data.name=cifar10 data.dir= 'caption=Short training at small scale: CIFAR-10, 8 epochs.'; done
else
    printf 'reproduce: CIFAR-10 is not here (morbench data fetch cifar10): experiment 1 on Fashion-MNIST alone\n'
    run 01_models_fashion_mnist
fi
printf '\n'
"$binary" report "$out" --md --csv --html || exit $?
printf '\n'
"$binary" report "$out" --claims || exit $?
exit $failed
