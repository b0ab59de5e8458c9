#!/bin/bash
# Disks that are full or read-only, files that may not grow, several processes in one directory, and SIGKILL at random moments: nothing
# is lost, nothing doubled, no file is half, and what could not be written is one line and a documented exit status.
#   tests/test_faults.sh path/to/morbench        (from the repository root)
# KILLS=100 kills each command so often (default: 12 times and fewer; `make kills`); SEED=N draws other moments. tests/test_training.sh does the same to trainings.
set -u
morbench=$(realpath "${1:?usage: tests/test_faults.sh path/to/morbench}")
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
KILLS=${KILLS:-} SEED=${SEED:-1}
dir=$(mktemp -d)
job=
trap '[ -z "$job" ] || kill -9 "$job" 2>/dev/null; rm -rf "$dir"' EXIT
export MORBENCH_DEBUG=0 NO_COLOR=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} TMPDIR=$dir
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE
# shellcheck source=tests/claims.sh
. tests/claims.sh
RANDOM=$SEED
now_ms() { echo $(($(date +%s%N) / 1000000)); }

cat >"$dir/c.json" <<'END'
{"data":  {"name": "synthetic:28x28x1:10:64"},
 "model": {"preset": "vit_d64_l6_p4_28", "embed_dim": 32, "num_heads": 1, "depth": 1, "mlp_ratio": 2},
 "train": {"epochs": 2, "batch_size": 16, "warmup_epochs": 0, "checkpoint_s": 0.000001}}
END
train()  { local out=$1; shift; "$morbench" train "$dir/c.json" --threads 1 --quiet --out "$out" "$@"; }
holds "a training to work with" train "$dir/whole"
python3 -c 'import json,sys; print(json.dumps({"model": "vit", **json.load(open(sys.argv[1]))["model"]["settings"]}))' "$dir/whole/run.json" >"$dir/model.json"
eval_()  { local out=$1; shift; "$morbench" eval --config "$dir/model.json" --weights "$dir/whole/weights.safetensors" --data synthetic:28x28x1:10:3000 --threads 1 --quiet --out "$out" "$@"; }
bench()  { local out=$1; shift; "$morbench" bench --config "$dir/model.json" --batch 1,2 --profile smoke --processes 2 --samples 2 --threads 1 --no-counters --quiet --out "$out" "$@"; }
report() { "$morbench" report "$1"; }
labels() { "$morbench" labels "$dir/c.json" data.name=synthetic:28x28x1:10:3000 train.flip=true --config "$dir/model.json" --weights "$dir/whole/weights.safetensors" --threads 1 --quiet --out "$1"; }

# Every JSON and every safetensors file below a folder is whole; nothing unfinished lies about when "none_left" is asked for.
whole_files() { # folder
    find "$1" \( -name '*.json' -o -name '*.safetensors' \) -not -name '.tmp-*' -print0 | xargs -0 -r "$morbench" validate >"$dir/judged" 2>&1 || { grep -v '^ok: ' "$dir/judged" | head -n 1; return 1; }
}
none_left() { [ -z "$(find "$1" -name '.tmp-*')" ] || { find "$1" -name '.tmp-*' | head -n 1; return 1; }; }
# What is no time, no machine and no record of the session, of two results.
same_findings() {
    python3 - "$1/run.json" "$2/run.json" <<'END'
import json, sys
def bare(path):
    run = json.load(open(path))
    return {k: run[k] for k in ("id", "status", "experiment", "model", "data", "accuracy", "depth_histogram")}
a, b = bare(sys.argv[1]), bare(sys.argv[2])
sys.exit(a != b and "other findings")
END
}

# ---- these checkers notice what is wrong ----
mkdir -p "$dir/bad/x" "$dir/bad/y" "$dir/bad/z"
head -c 900 "$dir/whole/run.json" >"$dir/bad/x/run.json"
head -c 900 "$dir/whole/weights.safetensors" >"$dir/bad/y/weights.safetensors"
touch "$dir/bad/z/.tmp-0123456789abcdef"
caught=0
for folder in x y; do whole_files "$dir/bad/$folder" >/dev/null || caught=$((caught + 1)); done
none_left "$dir/bad/z" >/dev/null || caught=$((caught + 1))
if [ $caught -eq 3 ]; then say ok "half a result, half weights and a temporary are noticed"; else say wrong "caught $caught of 3 planted faults"; fi

# ---- a full disk, a read-only one: in a mount name space of our own ----
mkdir -p "$dir/disk"
spaced() { # SIZE script... : bash script with a fresh tmpfs of that size at $dir/disk
    local size=$1 how=-m
    shift
    [ "$(id -u)" -eq 0 ] || how=-rm
    unshare $how bash -c 'mount -t tmpfs -o size="$0" none "$1" 2>/dev/null || exit 88; shift; "$@"' "$size" "$dir/disk" "$@"
}
if command -v unshare >/dev/null && spaced 1m true 2>/dev/null; then
    export -f train eval_ report whole_files none_left
    export morbench dir
    # status of a command, its one line, and what it left; then the same again with room
    full() { # COMMAND
        bash -c "$1" >"$dir/out" 2>"$dir/err" </dev/null
        local got=$?
        [ $got -eq 0 ] || [ $got -eq 5 ] || { echo "exit status $got: $(head -n 1 "$dir/err")"; return 1; }
        [ $got -eq 0 ] || [ "$(grep -c ^morbench: "$dir/err")" -eq 1 ] || { echo "stderr: $(cat "$dir/err")"; return 1; }
        whole_files "$dir/disk" && none_left "$dir/disk" || return 1
        mount -o remount,size=32m "$dir/disk" && bash -c "$1" >"$dir/out" 2>&1 || { echo "with room again: $(tail -n 1 "$dir/out")"; return 1; }
        whole_files "$dir/disk" && none_left "$dir/disk" && exit $((100 + got))
    }
    export -f full
    refused_once=0 passed_once=0
    for command in 'train $dir/disk/t' 'eval_ $dir/disk/e --depths $dir/disk/depths.safetensors --limit 100' 'cp -r $dir/whole $dir/disk/ 2>/dev/null; report $dir/disk'; do
        for kib in 4 8 16 24 32 40 64 100 160 250 400 600; do
            case $command in cp*) [ $kib -ge 160 ] || continue ;; esac        # what is copied there must fit
            spaced ${kib}k bash -c 'full "$0"' "$command" >"$dir/said" 2>&1
            got=$?
            case $got in
            100) passed_once=$((passed_once + 1)) ;;
            105) refused_once=$((refused_once + 1)) ;;
            *) say wrong "${command%% *} on a disk of $kib KiB: $(tail -n 1 "$dir/said")" ;;
            esac
        done
    done
    holds "full disks end commands with exit status 5, one line, whole files and no temporaries; with room they then succeed ($refused_once times)" test $refused_once -ge 6
    holds "large enough ones let them pass ($passed_once times)" test $passed_once -ge 3

    read_only() { # COMMAND
        mkdir "$dir/disk/r" && cp -r "$dir/whole" "$dir/disk/r/" && mount -o remount,ro "$dir/disk" || exit 88
        before=$(find "$dir/disk" -type f -exec sha256sum {} +)
        bash -c "$1" >"$dir/out" 2>"$dir/err" </dev/null
        got=$?
        [ "$before" = "$(find "$dir/disk" -type f -exec sha256sum {} +)" ] || { echo "changed something"; exit 1; }
        [ $got -eq 1 ] && [ "$(grep -c ^morbench: "$dir/err")" -eq 1 ] && grep -q -i "read-only" "$dir/err" || { echo "exit status $got: $(cat "$dir/err")"; exit 1; }
    }
    export -f read_only
    for command in 'train $dir/disk/t' 'eval_ $dir/disk/e' 'eval_ $dir/disk/r --depths $dir/depths.safetensors' 'report $dir/disk/r' \
        '"$morbench" bench --preset vit_d64_l6_p4_28 --profile smoke --quiet --out $dir/disk/b' '"$morbench" labels $dir/c.json --config $dir/model.json --weights $dir/whole/weights.safetensors --out $dir/disk/l'; do
        holds "read-only: ${command%% *} ${command#* }" spaced 8m bash -c 'read_only "$0"' "$command"
    done
else
    echo "# full and read-only disks are left out: this process may not mount a tmpfs of its own"
fi

# ---- a limit on the size of files ----
small() { # KiB command... : killed by the signal would be 153
    (ulimit -f "$1"; shift; "$@") >"$dir/out" 2>"$dir/err" </dev/null
    local got=$?
    [ $got -eq 2 ] && [ "$(grep -c ^morbench: "$dir/err")" -eq 1 ] && grep -q "File too large" "$dir/err" || { echo "exit status $got: $(head -n 1 "$dir/err")"; return 1; }
}
holds "a result beyond the limit of file sizes is exit status 2 in one line" small 2 eval_ "$dir/limited"
holds "so are weights" small 16 train "$dir/limited_train"
holds "and nothing half is left" bash -c '[ -z "$(find "$0/limited" "$0/limited_train" -type f -not -name "checkpoint-*")" ]' "$dir"
holds "with room again both succeed" bash -c "$(declare -f eval_ train); morbench=$morbench dir=$dir; eval_ $dir/limited && train $dir/limited_train"
holds "with the same weights as ever" cmp "$dir/limited_train/weights.safetensors" "$dir/whole/weights.safetensors"

# ---- several processes, one directory ----
together() { # N command... : exit statuses of N at once, sorted, in $got
    local n=$1 pids=() p
    shift
    for ((p = 0; p < n; p++)); do "$@" >"$dir/together.$p" 2>&1 & pids+=($!); done
    for p in "${pids[@]}"; do wait "$p"; echo $?; done >"$dir/statuses"
    got=$(sort "$dir/statuses" | tr '\n' ' ')
}
eval_ "$dir/alone" >/dev/null
together 4 eval_ "$dir/shared"
case $got in "0 0 0 0 ") say ok "four evaluations into one directory all succeed" ;; *) say wrong "four evaluations into one directory: $got $(cat "$dir"/together.*)" ;; esac
holds "leave one whole result" bash -c '[ "$(ls -A "$0")" = run.json ]' "$dir/shared"
holds "that of one alone" same_findings "$dir/shared" "$dir/alone"
together 4 train "$dir/trained"
case $got in "0 1 1 1 " | "0 0 1 1 " | "0 0 0 1 " | "0 0 0 0 ") say ok "of four trainings in one directory one trains, the others are refused or find it done ($got)" ;; *) say wrong "four trainings in one directory: $got" ;; esac
holds "with the weights of one alone" cmp "$dir/trained/weights.safetensors" "$dir/whole/weights.safetensors"
mkdir "$dir/reports" && cp -r "$dir/whole" "$dir/alone" "$dir/reports/"
report "$dir/reports" >/dev/null 2>&1
cp "$dir/reports/table.json" "$dir/table.json"
together 3 report "$dir/reports"
[ "$got" = "0 0 0 " ] && say ok "three reports at once succeed" || say wrong "three reports at once: $got"
holds "and leave the table of one" cmp "$dir/reports/table.json" "$dir/table.json"
for folder in shared trained reports; do holds "no temporaries in $folder" none_left "$dir/$folder"; done
cp -r "$dir/whole" "$dir/reports/copy"
touch "$dir/reports/whole/.tmp-0123456789abcdef"
files() { find "$1" -type f -not -name fsck.json | wc -l; }
before=$(files "$dir/reports")
together 3 "$morbench" fsck "$dir/reports"
[ "$(files "$dir/reports")" -eq "$before" ] && say ok "three fsck at once lose nothing" || say wrong "three fsck at once left $(files "$dir/reports") of $before files"

# ---- SIGKILL ----
# killed NAME TIMES COMMAND... : COMMAND into a folder of its own, really ended at a random moment of its time, TIMES times; each time then finished
killed() {
    local name=$1 times=$2 started whole_ms ms deaths=0 out=$dir/killed bad=
    shift 2
    rm -rf "$out" && prepare_"$name" && started=$(now_ms) && "$@" "$out" >/dev/null 2>&1
    whole_ms=$(($(now_ms) - started))
    rm -rf "$dir/undisturbed" && mv "$out" "$dir/undisturbed"
    for ((i = 0; deaths < times && i < 10 * times && ${#bad} == 0; i++)); do
        rm -rf "$out" && prepare_"$name"
        ms=$((RANDOM % (whole_ms + 1)))
        { flock 9; exec setsid "$@" "$out"; } >/dev/null 2>&1 9>"$dir/alive" &
        job=$!
        sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
        kill -9 -- "-$job" 2>/dev/null || kill -9 "$job" 2>/dev/null      # so early that it has no group of its own yet
        wait "$job" 2>/dev/null
        # one that had ended already: the machine is faster now than it was, so the next moments are earlier
        if [ $? -eq 137 ]; then deaths=$((deaths + 1)); else whole_ms=$((whole_ms * 2 / 3)); fi
        job=
        flock "$dir/alive" true                        # what the shell had started may still be dying, with its files open: that is no rest of a dead one
        [ -d "$out" ] || mkdir "$out"
        whole_files "$out" >"$dir/said" || bad="after $ms ms: $(cat "$dir/said")"
        left_"$name" "$out" "$dir/undisturbed" >"$dir/said" 2>&1 || bad="after $ms ms: $(tail -n 1 "$dir/said")"
        # a file that was half written is found, and only that
        "$morbench" fsck --json "$out" >"$dir/found" 2>/dev/null
        python3 -c 'import json,sys; sys.exit(any(f["kind"] != "half_written" for f in json.load(open(sys.argv[1]))["findings"]))' "$dir/found" || bad="after $ms ms fsck finds: $(cat "$dir/found")"
        "$@" "$out" >"$dir/said" 2>&1 || bad="after $ms ms it does not go on: $(tail -n 1 "$dir/said")"
        none_left_but_aside "$out" || bad="after $ms ms a temporary stays"
        finished_"$name" "$out" "$dir/undisturbed" >"$dir/said" 2>&1 || bad="after $ms ms and again: $(tail -n 1 "$dir/said")"
    done
    if [ -z "$bad" ]; then say ok "$name ended $deaths times within its $whole_ms ms: no half file, and the same findings when it is run again"
    else say wrong "$name ended $bad"; fi
    holds "all of these $name were really ended" test $deaths -eq "$times"
}
none_left_but_aside() { [ -z "$(find "$1" -name '.tmp-*' -not -path '*/.fsck-*')" ]; }
named() { (cd "$1" && find . -type f -not -path './.fsck-*' | sort); }
same_names() { [ "$(named "$1")" = "$(named "$2")" ] || { diff <(named "$1") <(named "$2") | head -n 3; return 1; }; }
prepare_eval()   { :; }
prepare_bench()  { :; }
prepare_labels() { :; }
prepare_report() { mkdir "$dir/killed" && cp -r "$dir/whole" "$dir/alone" "$dir/killed/"; }
# every file under its own name is the whole one
left_labels() { local f; for f in $(cd "$1" && find . -type f -not -name '.tmp-*'); do cmp "$1/$f" "$2/$f" || return 1; done; }
left_eval() { :; }
left_bench() { :; }
left_report() { :; }
finished_eval()   { same_findings "$1" "$2" && same_names "$1" "$2"; }
finished_bench()  { local cell; for cell in "$2"/*/; do same_findings "$1/$(basename "$cell")" "$cell" || return 1; done; same_names "$1" "$2"; }
finished_report() { cmp "$1/table.json" "$2/table.json" && cmp "$1/table.csv" "$2/table.csv" && same_names "$1" "$2"; }
finished_labels() { left_labels "$2" "$1" && same_names "$1" "$2"; }
echo "# KILLS=${KILLS:-12 and fewer} SEED=$SEED"
export -f eval_ bench report labels
export morbench dir
killed eval   "${KILLS:-12}" bash -c 'eval_ "$0"'
killed bench  "${KILLS:-6}" bash -c 'bench "$0"'
killed report "${KILLS:-4}" bash -c 'report "$0"'
killed labels "${KILLS:-4}" bash -c 'labels "$0"'

fits_schema "$dir/whole" "$dir/shared" "$dir/limited" "$dir/undisturbed"
echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
