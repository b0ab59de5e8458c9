#!/bin/bash
# What one task of the array does: its shard of the experiment, and again where it was stopped. Submitted by submit.sh, which says what is in
# the environment: MORBENCH (the program), EXPERIMENT, RUN_OPTIONS, MINUTES (0: no limit of its own).
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@60
set -u
shard=${SLURM_ARRAY_TASK_ID:?is set by sbatch --array}/${SLURM_ARRAY_TASK_COUNT:?}
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
minutes=(); [ "${MINUTES:-0}" -gt 0 ] && minutes=(--minutes "$MINUTES")

# a batch script's signals reach its children only through it; the program saves and ends with 143
"$MORBENCH" run "$EXPERIMENT" $RUN_OPTIONS --shard "$shard" "${minutes[@]}" & child=$!
trap 'kill -TERM "$child" 2>/dev/null' TERM INT
wait "$child"; status=$?
while kill -0 "$child" 2>/dev/null; do wait "$child"; status=$?; done

echo "shard $shard of $EXPERIMENT ended with $status"
# 143: stopped with the state saved, so the same task goes on in another turn
if [ "$status" -eq 143 ]; then scontrol requeue "$SLURM_JOB_ID" && sleep 30; fi
exit "$status"
