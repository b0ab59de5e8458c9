#!/usr/bin/env bash
# scripts/slurm against a real Slurm of one machine: an array of shards, one task cancelled and one requeued while they train, ends with the
# same cells as an undisturbed sweep; so does merging directories that had no file system in common. `make check-slurm` runs it.
#   check_slurm.sh [build/release/morbench]
# Needs slurmctld, slurmd, munged and root (Debian: slurmctld slurmd slurm-client munge). Everything runs in a folder of its own.
set -u
morbench=$(realpath "${1:-build/release/morbench}")
here=$(cd "$(dirname "$0")" && pwd)
skip() { echo "skipped: $*"; exit 77; }
for p in slurmctld slurmd munged sbatch python3; do command -v $p >/dev/null || skip "there is no $p (apt-get install slurmctld slurmd slurm-client munge)"; done
[ "$(id -u)" -eq 0 ] || skip "starting slurmd needs root"
dir=$(mktemp -d /tmp/morbench-slurm-XXXXXX)
pids=()
end() { # only what was started here, last first
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do kill "${pids[i]}" 2>/dev/null; done
    for p in "${pids[@]}"; do for _ in $(seq 50); do kill -0 "$p" 2>/dev/null || break; sleep 0.1; done; kill -KILL "$p" 2>/dev/null; done
    rm -rf "$dir"
}
trap end EXIT
. "$here/claims.sh"
export MORBENCH=$morbench SLURM_CONF=$dir/slurm.conf MORBENCH_MACHINE_LOCK=$dir/machine.lock
cd "$dir" || exit 1

# ---- a Slurm of this machine alone ----
mkdir -m 755 munge state spool
chmod 755 "$dir"
head -c 128 /dev/urandom >munge/key && chmod 400 munge/key
host=$(hostname -s)
cpus=$(env -u OMP_NUM_THREADS nproc)
[ "$cpus" -ge 2 ] || skip "two tasks at once need two CPUs"
cat >slurm.conf <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$((20000 + RANDOM % 10000))
SlurmdPort=$((31000 + RANDOM % 1000))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=10
MinJobAge=3600
JobRequeue=1
SchedulerParameters=batch_sched_delay=0,requeue_delay=0
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
CONF
printf 'CgroupMountpoint=/sys/fs/cgroup\nCgroupAutomount=no\nCgroupPlugin=cgroup/v1\n' >cgroup.conf
munged --foreground --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/munge/pid" --log-file="$dir/munge/log" \
    --seed-file="$dir/munge/seed" >munge/out 2>&1 &
pids+=($!)
for _ in $(seq 50); do [ -S munge/socket ] && break; sleep 0.1; done
slurmctld -D -f "$SLURM_CONF" >ctld.out 2>&1 &
pids+=($!)
slurmd -D -f "$SLURM_CONF" -N "$host" >slurmd.out 2>&1 &
pids+=($!)
for _ in $(seq 150); do sinfo -h -o %t 2>/dev/null | grep -q idle && break; sleep 0.2; done
sinfo -h -o %t 2>/dev/null | grep -q idle || { tail -n 3 slurmctld.log slurmd.log ctld.out slurmd.out munge/out 2>/dev/null; skip "Slurm's daemons do not come up here"; }
echo "# $(sinfo --version), node $(sinfo -h -o '%N %t')"

# ---- the experiment: seconds a cell, so that tasks are still at work when they are cancelled and requeued ----
cat >sweep.json <<'JSON'
{"question": "Does an array do what one process does?",
 "data": {"name": "synthetic:14x14x1:4:64"},
 "model": {"model": "vit", "img_size": 14, "patch_size": 7, "in_chans": 1, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 4},
 "train": {"epochs": 1500, "batch_size": 16, "eval_every": 0, "checkpoint_s": 1},
 "seeds": [1, 2, 3],
 "vary": {"/model/depth": [1, 2]}}
JSON
equal() { # two results directories: the same cells, with the same deterministic fields and weights
    python3 - "$here" "$1" "$2" <<'PY'
import importlib.util, sys
spec = importlib.util.spec_from_file_location("kills", sys.argv[1] + "/test_sweep_kills.py")
kills = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kills)
wrong = kills.differ(kills.content(sys.argv[2]), kills.content(sys.argv[3]))
sys.exit(wrong)
PY
}
state_of() { squeue -h -j "$1" -o %T 2>/dev/null | head -n 1; }
# Slurm lets two minutes pass before a requeued job may start; asked to, it starts it at once. Not within the second of the requeue: slurmd
# would take the new start for the one that was ended, and the job would be held.
hurry() {
    case $(squeue -h -j "$1" -o '%T %r' 2>/dev/null) in
    PENDING*held*) sleep 2; scontrol release "$1" >/dev/null 2>&1 ;;
    PENDING*) sleep 2; scontrol update "JobId=$1" StartTime=now >/dev/null 2>&1 ;;
    esac
}
wait_state() { # job, pattern: of its state; gone from the queue counts as DONE; job to hurry or nothing
    for _ in $(seq 600); do local s; [ -z "${3:-}" ] || hurry "$3"; s=$(scontrol -o show job "$1" 2>/dev/null | grep -o 'JobState=[A-Z_]*' | head -n 1 | cut -d= -f2); [[ "${s:-DONE}" =~ ^($2)$ ]] && return 0; sleep 0.2; done
    echo "job $1 is ${s:-gone}, not $2" >&2
    return 1
}
trains() { for _ in $(seq 300); do [ "$(find array/sweep -name 'checkpoint-*' 2>/dev/null | wc -l)" -ge "$1" ] && return 0; sleep 0.1; done; return 1; }

holds "an undisturbed sweep, for comparison" env OMP_NUM_THREADS=1 "$morbench" run sweep.json --out undisturbed/sweep --quiet

"$here"/../scripts/slurm/submit.sh sweep.json 3 --out array/sweep --no-timing -- --cpus-per-task=1 >numbers 2>said
array=$(sed -n 1p numbers) last=$(sed -n 2p numbers)
holds "the array is submitted" test -n "$array" -a -n "$last"
holds "its tasks train" trains 2
logged() { # file, pattern, job to hurry or nothing
    for _ in $(seq 1200); do grep -q "$2" "$1" 2>/dev/null && return 0; [ -z "${3:-}" ] || hurry "$3"; sleep 0.2; done
    tail -n 3 "$1" >&2
    return 1
}
cancel() {
    wait_state "${array}_1" RUNNING && scancel "${array}_1" && logged "array/sweep/logs/${array}_1.log" 'ended with 143' \
        && grep -q 'state saved' "array/sweep/logs/${array}_1.log" && wait_state "${array}_1" CANCELLED && sleep 2     # its end is behind Slurm, too
}
holds "a task that is cancelled saves what it had" cancel
holds "another is requeued while it trains" bash -c "scontrol requeue ${array}_2"
holds "the cancelled one is put back" scontrol requeue "${array}_1"
ends_well() { logged "array/sweep/logs/${array}_$1.log" 'ended with 0' "${array}_$1" && wait_state "${array}_$1" COMPLETED "${array}_$1"; }
for task in 1 2 3; do holds "task $task ends well" ends_well $task; done
holds "the report waits for all of them" wait_state "$last" COMPLETED
holds "the array has exactly the cells of the undisturbed sweep, byte for byte" equal undisturbed/sweep array/sweep
holds "and left no lock and nothing half written" test -z "$(find array -name '.tmp-*' -o -name 'checkpoint-*' -o -path '*/.locks/*')"
holds "tables were made" test -s array/sweep/table.md

# ---- out of time: a task is requeued by itself ----
sed 's/"epochs": 1500/"epochs": 30000/; s/\[1, 2, 3\]/[1]/; s/\[1, 2\]/[1]/' sweep.json >long.json
"$here"/../scripts/slurm/submit.sh long.json 1 --out long/long --minutes 1 --no-timing -- --cpus-per-task=1 >numbers 2>said
job=$(sed -n 1p numbers)
holds "a task whose minutes are over is requeued" logged "long/long/logs/${job}_1.log" 'not done yet: requeued'
holds "and goes on from what it saved" logged "long/long/logs/${job}_1.log" ': goes on' "${job}_1"
scancel "$job" "$(sed -n 2p numbers)"
wait_state "${job}_1" "CANCELLED|FAILED|COMPLETED"

# ---- no file system in common ----
for i in 1 2; do OMP_NUM_THREADS=1 "$morbench" run sweep.json --shard $i/2 --out machine$i/sweep --quiet >/dev/null; done
cp -r machine2/sweep machine3
printf x >>"$(find machine3 -name run.json | head -n 1)"
refused "a damaged cell is left out, by name" 4 "left out, damaged: machine3/" "$here"/../scripts/slurm/merge.sh merged/sweep machine1/sweep machine3
holds "and filled in from a whole one" "$here"/../scripts/slurm/merge.sh merged/sweep machine2/sweep
holds "merged shards are the undisturbed sweep" equal undisturbed/sweep merged/sweep
echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; tail -n 5 slurmctld.log slurmd.log said array/sweep/logs/* 2>/dev/null; }
[ "$failed" -eq 0 ]
