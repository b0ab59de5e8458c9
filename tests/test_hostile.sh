#!/usr/bin/env bash
# What file and directory names, labels and notes from outside can do to a terminal: list, compare, report and error lines are
# run on hostile ones, and not a byte of what they print may act. (Tables, plots and the page: test_report_page.py.)
#   tests/test_hostile.sh build/release/morbench
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
binary=$(realpath "$1")
python=${PYTHON:-$([ -x /usr/bin/python3 ] && echo /usr/bin/python3 || command -v python3)}
[ -n "$python" ] || { echo "no python3"; exit 77; }
reference=$root/results/reference/vit_d96_l6_p4_28/run.json
[ -f "$reference" ] || { echo "no results/reference"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# shellcheck source=tests/claims.sh
. "$here/claims.sh"
cd "$dir" || exit 1

escape=$(printf '\033')
# clears the screen, sets a title, turns the direction of writing, C1's one-byte escape, bell, and a line of its own
hostile=$(printf '%s' "\`touch $dir/pwned\`; \$(touch $dir/pwned) =cmd ${escape}[2J${escape}]0;owned" && printf '\007\342\200\256\302\233 31m\nINJECTED')

# whatever is printed: no escape, no other control byte but line ends, nothing of C1, no turning of direction
harmless() {
    local printed=$1
    if LC_ALL=C grep -qaP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]' "$printed"; then return 1; fi
    ! grep -qa '^INJECTED' "$printed"
}
shows_harmlessly() { # claim, word that must be shown, command...
    local claim=$1 word=$2
    shift 2
    "$@" >"$dir/shown" 2>&1 </dev/null
    if ! grep -qaF -e "$word" "$dir/shown"; then say wrong "$claim: '$word' is not shown: $(head -c 200 "$dir/shown" | cat -v)"
    elif ! harmless "$dir/shown"; then say wrong "$claim: $(cat -v "$dir/shown" | head -n 5)"
    elif [ -e "$dir/pwned" ]; then say wrong "$claim: something was executed"
    else say ok "$claim"; fi
}

printf '%s\n' "$hostile" >"$dir/bad"
holds "the check of this test notices an escape" sh -c "! LC_ALL=C grep -qaP '[\\x00-\\x08\\x0b-\\x1f\\x7f]' /dev/null && LC_ALL=C grep -qaP '[\\x00-\\x08\\x0b-\\x1f\\x7f]' '$dir/bad'"
if harmless "$dir/bad"; then say wrong "the check of this test lets a hostile line pass"; else say ok "the check of this test lets no hostile line pass"; fi

mkdir -p experiments "results/machines/m"
name="exp $hostile"
"$python" - "$root/experiments/vit_d96_l6_p4_28.json" "experiments/$(printf '%s' "$name" | tr -d '/').json" "$hostile" <<'EOF'
import json, sys
experiment = json.load(open(sys.argv[1]))
experiment["question"] = "Why? " + sys.argv[3]
json.dump(experiment, open(sys.argv[2], "w"))
json.dump({"env": {"cpu_model": "CPU " + sys.argv[3]}}, open("results/machines/m/doctor.json", "w"))
json.dump({"cpu_model": "CPU2 " + sys.argv[3]}, open("results/machines/n.json", "w"))
EOF
printf '{"%s": 1}' "key" >"experiments/broken.json"
shows_harmlessly "list experiments: names and questions" "Why?" "$binary" list experiments
shows_harmlessly "list machines: processors" "CPU2" "$binary" list machines

forge() { "$python" "$here/forge_run.py" "$reference" "$@"; }
json() { "$python" -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$1"; }
for side in a b; do
    forge "$dir/$side/$(printf '%s' "cell $hostile" | tr -d '/')/run.json" "/model/preset=$(json "preset $hostile")" \
        "/env/cpu_model=$(json "$side $hostile")" "/env/hostname=$(json "$side $hostile")" "/provenance/version=$(json "$side $hostile")"
done
shows_harmlessly "compare: cells and differences" "preset" "$binary" compare a b
shows_harmlessly "report: the table and what it says of files" "preset" "$binary" report a
mkdir -p "c/$(printf '%s' "broken $hostile" | tr -d '/')" && echo '{' >"c/$(printf '%s' "broken $hostile" | tr -d '/')/run.json"
shows_harmlessly "report: a run that cannot be read" "broken" "$binary" report c
refused "an error line names a hostile file in one line" 1 'no such' "$binary" report "no such $hostile"
shows_harmlessly "an error line with a hostile name" "no such" "$binary" report "no such $hostile"
shows_harmlessly "a preset that is not there" "preset" "$binary" bench --preset "preset $hostile"
# a checkpoint whose digest fits: only its settings are hostile, and 16 bytes of them are kept
forge_checkpoint() { "$python" "$here/forge_checkpoint.py" "$dir/checkpoint-1.safetensors" epoch=0 step=1 "config=$1"; }
forge_checkpoint 0123456789abcdef
holds "a made-up checkpoint is taken for one" "$binary" validate "$dir/checkpoint-1.safetensors"
for settings in "$(printf '\033[2J\033]0;owned\007')" "$(printf '\302\233 31m\342\200\256owned')" 0123456789abcdeg 0123; do
    forge_checkpoint "$settings"
    shows_harmlessly "validate: settings of a checkpoint ($(printf '%s' "$settings" | tr -cd a-z0-9))" "settings are no digest" "$binary" validate "$dir/checkpoint-1.safetensors"
    shows_harmlessly "and as JSON" "settings are no digest" "$binary" validate --json "$dir/checkpoint-1.safetensors"
done
mkdir two && forge_checkpoint "$(printf '\033[2Jowned')" && cp "$dir/checkpoint-1.safetensors" two/ && forge_checkpoint 0123456789abcdef && cp "$dir/checkpoint-1.safetensors" two/checkpoint-2.safetensors
shows_harmlessly "fsck: settings of a checkpoint" "of settings" "$binary" fsck --dry-run two
[ -e "$dir/pwned" ] && say wrong "something was executed" || say ok "nothing was executed"

echo "1..$n"
[ "$failed" -eq 0 ]
