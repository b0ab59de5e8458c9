#!/bin/bash
# Training as users meet it: one seed one result, killed or interrupted at any moment and resumed; refusals in one line.
#   tests/test_training.sh path/to/morbench        (from the repository root)
# KILLS=20 kills more often (default 5); SEED=N draws other moments. Both are printed. DEATHS (default 20) kills one single run.
set -u
morbench=$(realpath "${1:?usage: tests/test_training.sh path/to/morbench}")
KILLS=${KILLS:-5} SEED=${SEED:-1} DEATHS=${DEATHS:-20}
dir=$(mktemp -d)
job=
trap '[ -z "$job" ] || kill -9 "$job" 2>/dev/null; rm -rf "$dir"' EXIT
export MORBENCH_DEBUG=0 NO_COLOR=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}      # threads that spin are slow on a busy machine
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE
python=$(command -v python3) || python=
# shellcheck source=tests/claims.sh
. tests/claims.sh

now_ms() { echo $(($(date +%s%N) / 1000000)); }

cat >"$dir/c.json" <<'END'
{"data":  {"name": "synthetic:28x28x1:10:200", "test_limit": 50},
 "model": {"preset": "vit_d64_l6_p4_28", "embed_dim": 32, "depth": 2},
 "train": {"epochs": 3, "batch_size": 16, "warmup_epochs": 0.5, "drop_path": 0.1, "dropout": 0.1, "flip": true, "crop_padding": 2,
           "randaugment_n": 2, "erasing": 0.25, "mixup": 0.8, "cutmix": 1, "repeats": 2, "clip_grad": 1, "checkpoint_s": 0.02, "seed": 3}}
END
train() { # DIR, arguments... ; the config above, two threads
    local out=$1
    shift
    "$morbench" train "$dir/c.json" --threads 2 --quiet --out "$dir/$out" "$@"
}
same_weights() { cmp "$dir/$1/weights.safetensors" "$dir/$2/weights.safetensors"; }
only_results() { [ "$(ls -A "$dir/$1" | sort | tr '\n' ' ')" = "run.json weights.safetensors " ] || { ls -A "$dir/$1" | tr '\n' ' '; return 1; }; }
# What must be equal in two run.json of one experiment: all that is no time, machine state or record of the session.
same_results() {
    [ -n "$python" ] || return 0
    "$python" - "$dir/$1/run.json" "$dir/$2/run.json" <<'END'
import json, sys
def bare(path):
    run = json.load(open(path))
    keep = {k: run[k] for k in ("id", "status", "experiment", "model", "data", "accuracy", "depth_histogram")}
    keep["curves"] = [{k: v for k, v in p.items() if k not in ("images_per_s", "elapsed_ns")} for p in run["curves"]]
    keep["metrics"] = {k: run["metrics"][k] for k in ("steps_count", "epochs_count", "batch_size_count", "train_step_macs_count")}
    return keep
a, b = bare(sys.argv[1]), bare(sys.argv[2])
for k in a:
    if a[k] != b[k]: sys.exit(f"{k}: {a[k]} and {b[k]}")
END
}
field() { "$python" -c 'import json,sys; r=json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$@"; }

# ---- this checker notices what is wrong ----
{
    mkdir "$dir/x" "$dir/y"
    printf a >"$dir/x/weights.safetensors"; printf b >"$dir/y/weights.safetensors"
    holds "equal" same_weights x y
    holds "clean" only_results x
    refused "status" 1 "" false_with_two_lines
    refused "two lines" 1 "a" bash -c 'printf "a\na\n" >&2; exit 1'
    refused "pattern" 1 "b" bash -c 'echo a >&2; exit 1'
} >"$dir/self"
caught=$failed n=0 failed=0
if [ "$caught" -eq 5 ]; then say ok "this script notices other bytes, leftovers, statuses and messages"; else say wrong "this script caught $caught of 5"; fi

# ---- one seed, one result ----
started=$(now_ms)
holds "a run ends well" train whole
whole_ms=$(($(now_ms) - started))
holds "it leaves weights and result, no checkpoint" only_results whole
started=$(now_ms)
holds "the same again" train again
again_ms=$(($(now_ms) - started))
[ "$again_ms" -ge "$whole_ms" ] || whole_ms=$again_ms
holds "two runs of one seed end with the same bytes" same_weights whole again
holds "and with the same results" same_results whole again
for threads in 0 2 4; do
    holds "a run with $threads loader threads" train "loader$threads" train.loader_threads=$threads
    holds "$threads loader threads end with the bytes of one" same_weights whole "loader$threads"
done
train seed4 train.seed=4 train.epochs=1 >/dev/null 2>&1
if same_weights whole seed4 >/dev/null 2>&1; then say wrong "another seed ends with the same bytes"; else say ok "another seed ends with other bytes"; fi
holds "the weights evaluate to the result's accuracy" bash -c '
    "$0" eval --config "$1/c.json" --weights "$1/whole/weights.safetensors" --data synthetic:28x28x1:10:200 --limit 50 --json --quiet --threads 2 >"$1/eval.json" &&
    [ -z "$2" ] || "$2" -c "
import json, sys
a, b = (json.load(open(p))[\"accuracy\"] for p in sys.argv[1:])
sys.exit(a != b and f\"{a} {b}\")" "$1/eval.json" "$1/whole/run.json"' "$morbench" "$dir" "$python"

# ---- a finished run is left alone ----
cp -p "$dir/whole/run.json" "$dir/before.json"
holds "the same command again has nothing to do" bash -c '[[ $("$@") == *"nothing to do"* ]]' - "$morbench" train "$dir/c.json" --threads 2 --quiet --out "$dir/whole"
holds "and leaves the result as it was" cmp "$dir/whole/run.json" "$dir/before.json"
train whole --json >"$dir/finished.json" 2>/dev/null
holds "with --json it prints that result" cmp "$dir/finished.json" "$dir/before.json"
refused "other settings in its directory are refused" 1 "/id: the directory holds another run.*give another --out" train whole train.seed=9
holds "and leave it as it was" cmp "$dir/whole/run.json" "$dir/before.json"

# ---- killed ----
# start DIR arguments... : in the background, its number in $job
start() {
    local out=$1
    shift
    "$morbench" train "$dir/c.json" --threads 2 --quiet --out "$dir/$out" "$@" >"$dir/job.out" 2>"$dir/job.err" </dev/null &
    job=$!
}
# finish: waits for it; its exit status
finish() {
    local status
    wait "$job" 2>/dev/null
    status=$?
    job=
    return $status
}
RANDOM=$SEED
echo "# KILLS=$KILLS SEED=$SEED, within the $whole_ms ms that a whole run takes"
resumed=0 all_deaths=0
for ((i = 1; i <= KILLS; i++)); do
    rm -rf "$dir/killed"
    moments='' deaths=0
    for ((k = i % 2; k < 2; k++)); do                      # every second one is killed again while it recovers
        ms=$((RANDOM % (whole_ms * 9 / 10) + 20))
        moments="$moments $ms"
        start killed
        sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
        kill -9 "$job" 2>/dev/null
        finish
        # one that had ended already: the machine is faster now than it was for the whole run, so the next moments are earlier
        if [ $? -eq 137 ]; then deaths=$((deaths + 1)); else whole_ms=$((whole_ms * 2 / 3)); fi
    done
    all_deaths=$((all_deaths + deaths))
    ls "$dir"/killed/checkpoint-* >/dev/null 2>&1 && resumed=$((resumed + 1))
    if train killed >"$dir/said" 2>&1 && same_weights whole killed >"$dir/said" 2>&1 && same_results whole killed >"$dir/said" 2>&1 && only_results killed >"$dir/said" 2>&1
    then say ok "killed $deaths times, after$moments ms, and resumed: the same bytes, nothing left over"
    else say wrong "killed $deaths times, after$moments ms: $(tail -n 1 "$dir/said")"; fi
done
holds "most of these runs really were killed ($all_deaths times)" test "$all_deaths" -ge $(((KILLS + 1) / 2))
holds "some had a checkpoint to resume from ($resumed)" test "$resumed" -gt 0

# ---- one run killed again and again, with everything that a checkpoint has to carry ----
carried=(train.epochs=40 train.accumulate=3 train.ema_decay=0.99 train.ema_warmup=true train.report=ema data.held_out=0.2 train.layer_decay=0.9 train.freeze_depth=1
         train.eval_every=4)
started=$(now_ms)
holds "a longer run with averaged weights, accumulation and held-out images ends well" train long "${carried[@]}"
long_ms=$(($(now_ms) - started))
deaths=0 sessions=0 moments=''
while [ $deaths -lt "$DEATHS" ] && [ $sessions -lt $((DEATHS * 8)) ]; do
    sessions=$((sessions + 1))
    ms=$((RANDOM % (long_ms / 16 + 1) + 10))
    start dying "${carried[@]}"
    sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
    kill -9 "$job" 2>/dev/null
    finish
    [ $? -eq 137 ] && deaths=$((deaths + 1)) moments="$moments $ms"
    [ ! -e "$dir/dying/run.json" ] || { rm -rf "$dir/dying"; deaths=0; moments=''; long_ms=$((long_ms / 2)); }      # it had ended: begin anew, at earlier moments
done
if [ $deaths -eq "$DEATHS" ] && train dying "${carried[@]}" >"$dir/said" 2>&1 && same_weights long dying >"$dir/said" 2>&1 && same_results long dying >"$dir/said" 2>&1 &&
    only_results dying >"$dir/said" 2>&1
then say ok "one run killed $deaths times, each time$moments ms after its start, and resumed: the same bytes, nothing left over"
else say wrong "one run killed $deaths of $DEATHS times in $sessions sessions: $(tail -n 1 "$dir/said")"; fi

# ---- interrupted ----
all_checkpoints() { find "$dir/$1" -name 'checkpoint-*' -printf '%f\n' 2>/dev/null; }
# wait_for DIR [N]: until it has a checkpoint, or N
wait_for() { for _ in $(seq 400); do [ "$(all_checkpoints "$1" | wc -l)" -ge "${2:-1}" ] && return 0; sleep 0.01; done; return 1; }
for signal in INT TERM; do
    [ $signal = INT ] && wanted=130 || wanted=143
    for _ in 1 2 3 4 5; do                                   # on a busy machine the signal may come when all is done
        rm -rf "$dir/sig$signal"
        start "sig$signal" train.checkpoint_s=0.001
        wait_for "sig$signal"
        started=$(now_ms)
        kill -s $signal "$job"
        finish
        got=$? took=$(($(now_ms) - started))
        [ $got -ne 0 ] && break
    done
    if [ $got -eq $wanted ] && [ $took -le 1000 ] && grep -q "interrupted by SIG$signal; saved at step" "$dir/job.err" && [ "$(wc -l <"$dir/job.err")" -eq 1 ]
    then say ok "SIG$signal: exit status $wanted and a saved state after $took ms"
    else say wrong "SIG$signal: exit status $got after $took ms: $(head -n 1 "$dir/job.err")"; fi
    [ ! -e "$dir/sig$signal/run.json" ] && say ok "an interrupted run is not a finished one" || say wrong "an interrupted run left run.json"
    holds "the same command goes on" train "sig$signal"
    holds "and ends with the same bytes" same_weights whole "sig$signal"
    holds "and with the same results" same_results whole "sig$signal"
done
# two steps an epoch, and a test that takes most of the time
slow=(data.limit=32 data.test_limit=0 data.name=synthetic:28x28x1:10:6000 train.epochs=2 train.warmup_epochs=0)
holds "a run that is mostly tested" train tested "${slow[@]}"
start testing "${slow[@]}" train.checkpoint_s=0.000001
for _ in $(seq 1000); do [ -e "$dir/testing/checkpoint-2.safetensors" ] && break; sleep 0.01; done        # of the epoch's last step: the test begins
kill -s TERM "$job"
finish
got=$?
if [ $got -eq 143 ] && grep -q "saved at step [24] of 4" "$dir/job.err"; then say ok "a test is interrupted as well"
else say wrong "a test is interrupted as well: exit status $got: $(head -n 1 "$dir/job.err")"; fi
holds "it goes on" train testing "${slow[@]}"
holds "and ends with the same bytes as well" same_weights tested testing
holds "and with the same results as well" same_results tested testing

# ---- one process a directory; the checkpoints of an unfinished run ----
start busy train.epochs=500
wait_for busy 2
refused "a second process in the same directory is refused" 1 "another process trains in this directory" train busy train.epochs=500
kill -s TERM "$job"
finish
checkpoints() { (cd "$dir/busy" && sha256sum checkpoint-*); }
checkpoints >"$dir/sums"
holds "two checkpoints are kept" test "$(wc -l <"$dir/sums")" -eq 2
refused "other settings do not continue it" 1 "$dir/busy: holds a run with other settings" train busy train.epochs=499
refused "another model does not continue it" 1 "$dir/busy: holds a run with other settings" train busy train.epochs=500 model.depth=3
refused "other data do not continue it" 1 "$dir/busy: holds a run with other settings" train busy train.epochs=500 data.seed=1
refused "another number of threads does not continue it" 1 "$dir/busy: holds a run with other settings" \
    "$morbench" train "$dir/c.json" --threads 1 --quiet --out "$dir/busy" train.epochs=500
refused "other starting weights do not continue it" 1 "$dir/busy: holds a run with other settings" train busy train.epochs=500 --weights "$dir/whole/weights.safetensors"
checkpoints >"$dir/sums.after"
holds "and none of them touches its checkpoints" cmp "$dir/sums" "$dir/sums.after"

# ---- damaged checkpoints ----
cut_short() { # DIR: an unfinished run with two checkpoints
    local tries
    for tries in 1 2 3 4 5; do                               # on a busy machine the signal may come when all is done
        rm -rf "${dir:?}/$1"
        start "$1" train.checkpoint_s=0.001
        wait_for "$1" 2
        kill -s TERM "$job"
        finish
        [ $? -ne 0 ] && return
    done
    echo "# $1 was not cut short in $tries tries"
}
newest() { all_checkpoints "$1" | sort -t- -k2 -n | tail -n 1; }
cut_short damaged
victim=$dir/damaged/$(newest damaged)
truncate -s -1 "$victim"
train damaged >"$dir/out" 2>"$dir/err"
[ $? -eq 0 ] && grep -q "warning: $victim is damaged.*passed over" "$dir/err" && say ok "a truncated checkpoint is passed over, and that is said" ||
    say wrong "a truncated checkpoint: $(head -n 1 "$dir/err")"
holds "the one before it leads to the same bytes" same_weights whole damaged
holds "nothing is left over" only_results damaged
cut_short ruined
for f in "$dir"/ruined/checkpoint-*; do printf X | dd of="$f" bs=1 seek=5000 conv=notrunc 2>/dev/null; done
train ruined >"$dir/out" 2>"$dir/err"
[ $? -eq 5 ] && tail -n 1 "$dir/err" | grep -q "none of its 2 checkpoints is good" && say ok "damaged checkpoints alone end the run with exit status 5" ||
    say wrong "damaged checkpoints alone: $(tail -n 1 "$dir/err")"

# ---- a loss that is not finite ----
explode=(train.optimizer=sgd train.lr=100 train.weight_decay=100 train.warmup_epochs=0 train.schedule=constant train.clip_grad=0 train.checkpoint_s=0.000001)
refused "a loss that is not finite ends the run with exit status 4" 4 "not finite.*checkpoints written before are kept" train exploded "${explode[@]}"
holds "the last good checkpoints are kept" bash -c '[ $(ls "$0"/checkpoint-* | wc -l) -eq 2 ]' "$dir/exploded"
holds "there are no weights" test ! -e "$dir/exploded/weights.safetensors"
if [ -n "$python" ]; then
    holds "the result says failed and INVALID" test "$(field "$dir/exploded/run.json" '(r["status"], r["validity"]["verdict"], "loss_not_finite" in r["validity"]["reasons"])')" = "('failed', 'INVALID', True)"
    holds "there is no NaN in it" bash -c '! grep -qiE "(: |\[)-?(nan|inf)" "$0"' "$dir/exploded/run.json"
fi
refused "the same command fails the same way" 4 "not finite" train exploded "${explode[@]}"
refused "a rate out of range is refused" 1 "/train/lr: must be in" train range train.lr=1e30

# ---- starting weights ----
holds "training starts from given weights" train started --weights "$dir/whole/weights.safetensors" train.lr=0 train.min_lr=0 train.warmup_lr=0 train.epochs=1
holds "with rates of 0 they stay as they are" same_weights whole started
[ -z "$python" ] || holds "the result names their digest" bash -c '[ "$1" = "$(sha256sum <"$0" | cut -d" " -f1)" ]' "$dir/whole/weights.safetensors" \
    "$(field "$dir/started/run.json" 'r["model"].get("starting_weights_sha256", r["model"].get("weights_sha256"))')"
"$morbench" train "$dir/c.json" --threads 2 --quiet --out "$dir/newhead" --weights "$dir/whole/weights.safetensors" data.name=synthetic:28x28x1:4:64 model.num_classes=4 train.epochs=1 >"$dir/out" 2>"$dir/err"
[ $? -eq 0 ] && grep -q "warning: .*head.weight left at its initial values" "$dir/err" && say ok "a classifier of another size stays new, and that is said" ||
    say wrong "a classifier of another size: $(head -n 1 "$dir/err")"
refused "weights of another model are refused" 1 "does not fit model vit" train badweights --weights "$dir/whole/weights.safetensors" model.embed_dim=64

# ---- a teacher ----
cat >"$dir/teacher.json" <<'END'
{"preset": "vit_d64_l6_p4_28", "embed_dim": 32, "depth": 2}
END
taught=(train.teacher="$dir/teacher.json" train.teacher_weights="$dir/whole/weights.safetensors" train.epochs=2)
holds "DeiT's pair learns from a teacher" train pair "${taught[@]}" model.distilled=true train.distill=hard train.label_weight=0.5
holds "and the same way twice" train pair2 "${taught[@]}" model.distilled=true train.distill=hard train.label_weight=0.5
holds "with the same bytes" same_weights pair pair2
holds "logits and tokens of a teacher, softly" train soft "${taught[@]}" train.distill=soft train.distill_temperature=2 train.distill_tokens=0.5
refused "a teacher of other tokens is refused" 1 "/train/distill_tokens: needs tokens of one width: the teacher's have 32, the model's 64" train bad "${taught[@]}" \
    train.distill_tokens=1 model.embed_dim=64
refused "a teacher without weights is refused" 1 "/train/teacher_weights: must be given" train bad train.teacher=vit_d64_l6_p4_28 train.distill=soft
refused "weights that are not the teacher's are refused" 1 "whole/weights.safetensors: does not fit model vit" train bad train.teacher=vit_d64_l6_p4_28 train.distill=soft \
    train.teacher_weights="$dir/whole/weights.safetensors"
refused "another teacher is another run" 1 "/id: the directory holds another run" train soft "${taught[@]}" train.distill=soft train.distill_temperature=2 train.distill_tokens=0.5 \
    train.teacher_weights="$dir/again/../started/weights.safetensors" train.seed=4
if [ -n "$python" ]; then
    holds "results say who taught, by digest and not by path" test "$(field "$dir/soft/run.json" '(r["experiment"]["train"]["teacher"]["weights_sha256"] == r["experiment"]["train"]["teacher"]["weights_sha256"].lower(), r["experiment"]["train"]["teacher"]["model"]["embed_dim"], "teacher_weights" in r["experiment"]["train"])')" = "(True, 32, False)"
    holds "the parts of the loss stand in the curve and sum to it" "$python" - "$dir/soft/run.json" <<'END'
import json, sys
for p in json.load(open(sys.argv[1]))["curves"]:
    parts = p["train_loss_parts"]
    if set(parts) != {"labels", "logits", "tokens"} or abs(sum(parts.values()) - p["train_loss"]) > 1e-5: sys.exit(str(p))
END
    holds "a step's MACs are the model's and the teacher's" "$python" - "$dir/soft/run.json" "$dir/whole/run.json" <<'END'
import json, sys
taught, alone = (json.load(open(p)) for p in sys.argv[1:])
more = taught["metrics"]["train_step_macs_count"] - alone["metrics"]["train_step_macs_count"]
forward = 16 * alone["model"]["counts"]["macs"]
if more != forward: sys.exit(f"{more} more, not {forward}")
for p, per_epoch in ((taught["curves"][0], 12), ): 
    if p["train_macs_count"] != per_epoch * taught["metrics"]["train_step_macs_count"]: sys.exit(str(p))
END
fi

# ---- averages, accumulation, held-out images ----
if [ -n "$python" ]; then
    holds "a step has the images of all its batches" test "$(field "$dir/long/run.json" '(r["metrics"]["batch_size_count"], r["metrics"]["steps_count"])')" = "(48, 120)"
    holds "the curve is of held-out images, up to the end, and the test split is for the end alone" test \
        "$(field "$dir/long/run.json" '(r["data"]["held_out_images_count"], r["data"]["images_count"], [p["epoch"] for p in r["curves"] if p["held_out_top1_ratio"] is not None] == list(range(4, 41, 4)), all(p["test_loss"] is None for p in r["curves"]))')" \
        = "(40, 160, True, True)"
    holds "MACs and memory stand in every point" test "$(field "$dir/long/run.json" 'all(p["train_macs_count"] == 3 * r["metrics"]["train_step_macs_count"] and p["peak_activation_bytes"] > 0 for p in r["curves"])')" = True
    holds "the reported weights are the averages: they evaluate to the result" bash -c '
        "$0" eval --config "$1/c.json" --weights "$1/long/weights.safetensors" --data synthetic:28x28x1:10:200 --limit 50 --json --quiet --threads 2 >"$1/eval.json" &&
        "$2" -c "
import json, sys
a, b = (json.load(open(p))[\"accuracy\"] for p in sys.argv[1:])
sys.exit(a != b and f\"{a} {b}\")" "$1/eval.json" "$1/long/run.json"' "$morbench" "$dir" "$python"
    if "$python" -c 'import jsonschema' 2>/dev/null; then
        holds "such results fit the schema" "$python" - results/schema/run.schema.json "$dir/long/run.json" "$dir/soft/run.json" "$dir/pair/run.json" <<'END'
import json, jsonschema, sys
schema = json.load(open(sys.argv[1]))
for path in sys.argv[2:]: jsonschema.validate(json.load(open(path)), schema)
END
    fi
fi
holds "the report draws them" "$morbench" report "$dir/long"
train final "${carried[@]}" train.report=final >"$dir/said" 2>&1
if same_weights long final >/dev/null 2>&1; then say wrong "the average is what the last step left"; else say ok "the average is not what the last step left"; fi

# ---- photographs that change while a run goes on ----
for split in train test; do
    for class in a b; do
        mkdir -p "$dir/photos/$split/$class"
        for k in 1 2 3 4 5 6 7 8; do cp tests/golden/images/rgb.jpg "$dir/photos/$split/$class/$k.jpg"; done
    done
done
photos=(data.name= data.dir="$dir/photos" data.preprocess=deit model.in_chans=3 train.batch_size=4 train.random_resized_crop=true train.checkpoint_s=0.001)
holds "a folder of photographs trains" train photos "${photos[@]}"
[ -z "$python" ] || holds "the same photograph on both sides makes the result INVALID, and says how many" test \
    "$(field "$dir/photos/run.json" '(r["validity"]["verdict"], r["data"]["test_shared_images_count"], "test_trained_on" in r["validity"]["reasons"])')" = "('INVALID', 16, True)"
start changed "${photos[@]}" train.epochs=5000
wait_for changed
cp tests/golden/images/grey.jpg "$dir/photos/new" && mv "$dir/photos/new" "$dir/photos/train/b/3.jpg"
for _ in $(seq 100); do kill -0 "$job" 2>/dev/null || break; sleep 0.05; done
kill -s TERM "$job" 2>/dev/null
finish
got=$?
if [ $got -eq 5 ] && grep -q "train/b/3.jpg: was changed or replaced while the run was going on" "$dir/job.err" && [ "$(wc -l <"$dir/job.err")" -eq 1 ] && [ ! -e "$dir/changed/run.json" ]
then say ok "a photograph replaced while a run goes on ends it: exit status 5, one line that names it"
else say wrong "a photograph replaced while a run goes on: exit status $got: $(head -n 1 "$dir/job.err")"; fi
refused "and the run does not go on with other data" 1 "holds a run with other settings, data" train changed "${photos[@]}" train.epochs=5000

# ---- what cannot be ----
refused "a misspelt key is named with the nearest" 1 '/train/epoch: unknown key; did you mean "epochs"' train bad train.epoch=3
refused "a misspelt block is named with the nearest" 1 "/trian" train bad trian.epochs=3
refused "a value of the wrong type is named" 1 "/train/epochs" train bad train.epochs=many
refused "a batch larger than the data is refused" 1 "/train/batch_size: must be at most the 200 training images" train bad train.batch_size=201
refused "an unknown optimizer is named" 1 "/train/optimizer: no optimizer 'adam'" train bad train.optimizer=adam
refused "a distilled pair without a teacher is refused" 1 "/model/distilled: is a pair whose second head learns from a teacher" train bad model.distilled=true
refused "averages that are not kept cannot be reported" 1 "/train/report: is ema, but ema_decay is 0" train bad train.report=ema
refused "a name that no tensor has is named" 1 '/train/lr_scale: no tensor.s name begins with "hedd"' train bad train.lr_scale="hedd=10 *=1"
refused "nothing left to train is refused" 1 "/train/freeze_depth: leaves no tensor to train; groups end at 3" train bad train.freeze_depth=4
refused "a division that leaves nothing is refused" 1 "/data/held_out: leaves 200 of 200 images" train bad data.held_out=0.001
refused "a ViT cannot be started from another kind" 1 "/train/init_from: vit cannot be started from another kind" train bad train.init_from=vit_d64_l6_p4_28 \
    train.init_from_weights="$dir/whole/weights.safetensors"
refused "images of another shape are refused" 1 "the model takes 28x28x1" train bad data.name=synthetic:32x32x3:10:200
refused "more classes than the model has are refused" 1 "/model/num_classes: must be at least the 11 classes" train bad data.name=synthetic:28x28x1:11:200
refused "a missing configuration is named" 1 "nowhere.json" "$morbench" train "$dir/nowhere.json" --out "$dir/bad"
refused "a missing data set says how to get it" 1 "data fetch fashion_mnist" train bad data.name=fashion_mnist data.root=/nowhere
idx() { printf '\0\0\10\'"$1"; shift; for size; do printf "\\$(printf %o $((size >> 24)))\\$(printf %o $((size >> 16 & 255)))\\$(printf %o $((size >> 8 & 255)))\\$(printf %o $((size & 255)))"; done; }
mkdir "$dir/idx"
for split in train t10k; do
    { idx 3 40 28 28; head -c $((40 * 784)) /dev/zero; } >"$dir/idx/$split-images-idx3-ubyte"
    { idx 1 40; head -c 40 /dev/zero; } >"$dir/idx/$split-labels-idx1-ubyte"
done
holds "a small data set of the right form is fine" train idx data.name=fashion_mnist data.root="$dir/idx" train.epochs=1
truncate -s -1 "$dir/idx/train-images-idx3-ubyte"
refused "a truncated data set is refused" 5 "train-images-idx3-ubyte" train idx2 data.name=fashion_mnist data.root="$dir/idx" train.epochs=1
refused "an output directory that is a file is refused" 1 "c.json" "$morbench" train "$dir/c.json" --quiet --out "$dir/c.json"
# images of 150,000 values for a model of next to none, made by the training thread itself: most of the time goes into them
slow_images() {
    [ -n "$python" ] || return 0
    train slow data.name=synthetic:224x224x3:10:128 model.img_size=224 model.patch_size=56 model.in_chans=3 model.embed_dim=8 model.depth=1 model.num_heads=1 \
        train.epochs=1 train.loader_threads=0 train.checkpoint_s=1000 || return 1
    "$python" - "$dir/slow/run.json" <<'END'
import json, sys
run = json.load(open(sys.argv[1]))
part = run["metrics"]["train_elapsed_ns"] / run["curves"][0]["elapsed_ns"]
if not 0.8 < part <= 1: sys.exit(f"of the epoch's time {part:.2f} is training time")       # without them it is a third
END
}
holds "waiting for images is training time" slow_images
holds "what is refused leaves no run behind" bash -c '[ -z "$(ls -A "$0")" ]' "$dir/bad"

fits_schema "$dir"
echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
