#!/bin/bash
# Runs an experiment as a Slurm job array, one shard a task, and afterwards what needs the whole: timing, alone on a node, and the report.
#   submit.sh EXPERIMENT.json SHARDS [--out DIR] [--size SIZE] [--minutes M] [--no-timing] [-- options of sbatch]
# Prints the two job numbers. All tasks write to one directory, which must be on a file system they share (with working locks, as NFS has
# them); where there is none, give every task its own and use merge.sh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n 's/^# \{0,1\}//; 2,5p' "$0" >&2; exit 1; }
[ $# -ge 2 ] || usage
experiment=$1; shards=$2; shift 2
case $shards in ''|*[!0-9]*|0) echo "submit.sh: SHARDS must be a whole number of at least 1, got '$shards'" >&2; exit 1;; esac
out=; size=; minutes=0; timing=yes
while [ $# -gt 0 ]; do
    case $1 in
        --out) out=${2:?--out needs a directory}; shift 2;;
        --size) size=${2:?--size needs a size}; shift 2;;
        --minutes) minutes=${2:?--minutes needs a number}; shift 2;;
        --no-timing) timing=; shift;;
        --) shift; break;;
        *) echo "submit.sh: unknown option '$1'" >&2; usage;;
    esac
done
command -v sbatch >/dev/null || { echo "submit.sh: there is no sbatch here; install Slurm's client" >&2; exit 2; }
export MORBENCH=${MORBENCH:-$(command -v morbench || echo "$here/../../build/release/morbench")}
[ -x "$MORBENCH" ] || { echo "submit.sh: no program at $MORBENCH; build it, or set MORBENCH" >&2; exit 1; }
MORBENCH=$(readlink -f "$MORBENCH")
export EXPERIMENT=$experiment RUN_OPTIONS="${size:+--size $size} ${out:+--out $out}" MINUTES=$minutes
case $RUN_OPTIONS in *[!\ a-zA-Z0-9_./+-]*) echo "submit.sh: --out and --size must be letters, digits, and any of _ . / + -" >&2; exit 1;; esac

directory=$("$MORBENCH" plan "$experiment" $RUN_OPTIONS --json | sed -n 's/^  "directory": "\(.*\)",$/\1/p' | head -n 1)
[ -n "$directory" ] || exit 1
mkdir -p "$directory/logs"
array=$(sbatch --parsable --job-name="morbench-$(basename "$experiment" .json)" --array="1-$shards" --output="$directory/logs/%A_%a.log" --export=ALL "$@" "$here/array.sh")
echo "$array"
# after all tasks, whether or not a cell failed: what is there is timed and reported
last="\"$MORBENCH\" run \"$experiment\" $RUN_OPTIONS --only time; \"$MORBENCH\" report \"$directory\""
[ -n "$timing" ] || last="\"$MORBENCH\" report \"$directory\""
sbatch --parsable --job-name=morbench-report --dependency="afterany:${array%%;*}" ${timing:+--exclusive} --output="$directory/logs/%j.log" --export=ALL "$@" --wrap="$last"
