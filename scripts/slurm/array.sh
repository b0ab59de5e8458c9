#!/bin/bash
# What one task of the array does: its shard of the experiment. Submitted by submit.sh, which puts into the environment: MORBENCH (the program),
# EXPERIMENT, RUN_OPTIONS, MINUTES (0: no limit but Slurm's).
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@60
set -u
shard=${SLURM_ARRAY_TASK_ID:?is set by sbatch --array}/${SLURM_ARRAY_TASK_COUNT:?}
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
minutes=(); [ "${MINUTES:-0}" -gt 0 ] && minutes=(--minutes "$MINUTES")

# Signals of a batch script reach what it started only through it. USR1: Slurm's time limit is near, TERM: cancelled. The program saves and
# ends with 143 after either, and when its own minutes are over.
cancelled=
# shellcheck disable=SC2086  # options are words
"$MORBENCH" run "$EXPERIMENT" $RUN_OPTIONS --shard "$shard" "${minutes[@]}" & child=$!
trap 'kill -TERM "$child" 2>/dev/null' USR1
trap 'cancelled=yes; kill -TERM "$child" 2>/dev/null' TERM INT
status=0
while kill -0 "$child" 2>/dev/null; do wait "$child"; status=$?; done

echo "shard $shard of $EXPERIMENT ended with $status"
if [ "$status" -eq 143 ] && [ -z "$cancelled" ]; then
    echo "not done yet: requeued"
    scontrol requeue "$SLURM_JOB_ID" && sleep 60       # until Slurm ends this turn
fi
exit "$status"
