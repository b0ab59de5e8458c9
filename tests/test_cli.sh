#!/bin/bash
# The command line as users meet it: exit statuses, one-line errors, pure JSON, and outputs against a golden case.
#   tests/test_cli.sh path/to/morbench        (from the repository root)
set -u
morbench=$(realpath "${1:?usage: tests/test_cli.sh path/to/morbench}")
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
golden=tests/golden/vit
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export MORBENCH_DEBUG=0 NO_COLOR=1
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE
n=0 failed=0

say() { # verdict claim
    n=$((n + 1))
    if [ "$1" = ok ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; failed=$((failed + 1)); fi
}

# claim, status, pattern that stderr must hold ("" : stderr must be empty), command...
expect() {
    local claim=$1 status=$2 pattern=$3 got lines
    shift 3
    "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    lines=$(wc -l <"$dir/err")
    if [ "$got" -ne "$status" ]; then
        say wrong "$claim: exit status $got, not $status"
    elif [ -z "$pattern" ] && [ -s "$dir/err" ]; then
        say wrong "$claim: stderr is '$(head -1 "$dir/err")'"
    elif [ -n "$pattern" ] && ! grep -qE -e "$pattern" "$dir/err"; then
        say wrong "$claim: stderr is '$(head -1 "$dir/err")'"
    elif [ "$status" -ne 0 ] && [ -n "$pattern" ] && [ "$lines" -ne 1 ]; then
        say wrong "$claim: $lines lines on stderr"
    else
        say ok "$claim"
    fi
}

holds() { # claim, command...
    local claim=$1
    shift
    if "$@" >"$dir/out" 2>&1; then say ok "$claim"; else say wrong "$claim: $(tail -1 "$dir/out")"; fi
}

is_json() { python3 -m json.tool "$1" /dev/null; }

# ---- this checker notices what is wrong ----
n_before=$n
{
    expect "wrong status" 0 "" false
    expect "wrong stderr" 1 "sure" bash -c 'echo perhaps >&2; exit 1'
    expect "two lines" 1 "a" bash -c 'printf "a\na\n" >&2; exit 1'
    holds "false" false
} >"$dir/self"
caught=$failed n=$n_before failed=0
if [ "$caught" -eq 4 ]; then say ok "this script notices a wrong status, a wrong message and a second line"; else say wrong "this script caught $caught of 4"; fi

# ---- usage ----
"$morbench" >"$dir/out" 2>"$dir/err"
[ $? -eq 1 ] && [ ! -s "$dir/out" ] && grep -q usage "$dir/err" && say ok "no command: usage on stderr" || say wrong "no command: usage on stderr"
expect "--version" 0 "" "$morbench" --version
expect "help" 0 "" "$morbench" help
expect "--help" 0 "" "$morbench" --help
for command in list forward train labels eval bench run plan report compare rerun doctor peaks data validate fsck completion man; do
    expect "help $command" 0 "" "$morbench" help $command
    grep -q "usage: morbench $command" "$dir/out" && say ok "help $command shows its usage" || say wrong "help $command shows its usage"
    expect "$command refuses an unknown option by name" 1 "^morbench: --nonsense: " "$morbench" $command --nonsense
done
expect "misspelt command" 1 "^morbench: trian: .*did you mean train" "$morbench" trian
expect "unknown command" 1 "^morbench: frobnicate: no such command" "$morbench" frobnicate
expect "option before a command" 1 "^morbench: --config: no such option before" "$morbench" --config x
expect "misspelt option" 1 "^morbench: --confg: no such option; did you mean --config" "$morbench" forward --confg x
expect "option without its value" 1 "^morbench: --weights: needs a value" "$morbench" forward --weights
expect "switch with a value" 1 "^morbench: --json=1: is a switch" "$morbench" list --json=1
expect "required option" 1 "^morbench: --config: must be given" "$morbench" forward
expect "too many operands" 1 "^morbench: y: unexpected argument" "$morbench" list models y
expect "too few operands" 1 "^morbench: validate needs FILE" "$morbench" validate
expect "unknown list" 1 "^morbench: modles: must be one of models" "$morbench" list modles

# ---- settings of the process, before and after the command ----
for threads in 0 -1 1025 x '' 1.5 9999999999999999999; do
    expect "--threads '$threads' is refused" 1 "^morbench: --threads: must be a whole number in \[1, 1024\]" "$morbench" --threads "$threads" list
done
expect "--threads after the command" 1 "^morbench: --threads: must be" "$morbench" list --threads=0
expect "--threads without a number" 1 "^morbench: --threads: needs a value" "$morbench" list --threads
expect "--backend lists the names" 1 "^morbench: --backend: must be one of reference" "$morbench" --backend fast list
expect "--pin" 1 "^morbench: --pin: must be on or off" "$morbench" list --pin perhaps
expect "--blas-core wants a name" 1 "^morbench: --blas-core: must be auto or" "$morbench" --blas-core '; rm' list
expect "settings that are fine" 0 "" "$morbench" --threads 2 list --pin=on --backend reference

# ---- JSON alone on stdout ----
for what in models experiments datasets machines fields; do
    "$morbench" list $what --json >"$dir/list.json" 2>/dev/null
    holds "list $what --json is JSON" is_json "$dir/list.json"
done
"$morbench" doctor --json >"$dir/doctor.json" 2>/dev/null
holds "doctor --json is JSON" is_json "$dir/doctor.json"
"$morbench" list models --json >"$dir/list.json"
holds "ViT counts are the published ones, to the unit" python3 - "$dir/list.json" <<'PY'
import json, sys
models = {m["name"]: m for m in json.load(open(sys.argv[1]))}
# patch 16, 224 x 224, 1000 classes: params, macs, macs_fvcore, activations
for name, counts in {"vit_tiny_patch16_224": (5717416, 1253683200, 1258411200, 5974636),
                     "vit_small_patch16_224": (22050664, 4598882304, 4608338304, 11948272),
                     "vit_base_patch16_224": (86567656, 17563828224, 17582740224, 23895544)}.items():
    m = models[name]
    assert (m["params"], m["macs"], m["macs_fvcore"], m["activations"]) == counts, name
    assert m["flops_2x"] == 2 * m["macs"] < m["flops_all"]
    assert m["macs_fvcore_sdpa"] == m["macs_fvcore"] - m["macs_attention"]
assert round(models["vit_small_patch16_224"]["macs_fvcore_sdpa"] / 1e9, 2) == 4.25
shared = models["mor_s_c3x4_q39"]
block = 4 * 384**2 + 2 * 384 * 1536 + 9 * 384 + 1536                 # 3 of them, each used 4 times
assert shared["params_unrolled"] == shared["params"] + 9 * block
assert models["vit_small_patch16_224"]["params_unrolled"] == 22050664 and models["vit_small_patch16_224"]["weights_bytes"] == 4 * 22050664
for m in models.values():
    assert all(type(v) is int for k, v in m.items() if k not in ("name", "model", "paper", "settings")), m
    assert m["settings"]["num_classes"] == m["num_classes"]
PY

# ---- output that cannot be written ----
if [ -e /dev/full ]; then
    bash -c '"$0" list >/dev/full' "$morbench" 2>"$dir/err"
    [ $? -eq 5 ] && grep -q "^morbench: standard output: " "$dir/err" && say ok "a full device is exit 5" || say wrong "a full device is exit 5"
fi
bash -c '"$0" list >&-' "$morbench" 2>"$dir/err"
[ $? -eq 5 ] && say ok "a closed stdout is exit 5" || say wrong "a closed stdout is exit 5"
{ sleep 0.2; "$morbench" list 2>"$dir/err"; echo $? >"$dir/status"; } | true
[ "$(cat "$dir/status")" = 5 ] && [ ! -s "$dir/err" ] && say ok "a reader that left is exit 5, quietly" || say wrong "a reader that left is exit 5, quietly"

# ---- forward ----
run_forward() { # output, further options...
    local output=$1
    shift
    "$morbench" forward --config $golden/model.json --weights $golden/weights.safetensors --input $golden/expected.safetensors \
        --output "$output" "$@"
}
cat >"$dir/compare.py" <<'PY'
import array, json, struct, sys
def load(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, e in json.loads(data[8:8 + n]).items():
        if name != "__metadata__":
            a, b = e["data_offsets"]
            out[name] = (e["shape"], array.array({"F32": "f", "I32": "i", "I64": "q"}[e["dtype"]], data[8 + n + a:8 + n + b]))
    return out
got, want = load(sys.argv[1]), load(sys.argv[2])
wanted = sys.argv[3:] or [k for k in want if k != "input"]
for k in wanted:
    assert got[k][0] == want[k][0], (k, got[k][0], want[k][0])
    largest = max(1.0, max(abs(v) for v in want[k][1]))
    # logits and depths differ by the order of float sums over at most a few hundred terms
    assert all(abs(x - y) <= 2e-5 * largest for x, y in zip(got[k][1], want[k][1])), k
PY
for backend in $("$morbench" --backend x list 2>&1 | sed 's/.*one of \(.*\); got.*/\1/; s/,//g'); do
    expect "forward --backend $backend" 0 "" run_forward "$dir/y.safetensors" --trace --backend "$backend"
    holds "logits and traces of $backend are the expected ones" python3 "$dir/compare.py" "$dir/y.safetensors" $golden/expected.safetensors
done
holds "the comparison notices another output" bash -c '! python3 "$0" "$1" "$2" logits' "$dir/compare.py" "$dir/y.safetensors" tests/golden/vit_lowvar/expected.safetensors
run_forward "$dir/y.safetensors" --trace --json >"$dir/forward.json" 2>"$dir/err"
holds "forward --json says what the file holds" python3 - "$dir/forward.json" "$dir/y.safetensors" <<'PY'
import json, struct, sys
said = json.load(open(sys.argv[1]))
data = open(sys.argv[2], "rb").read()
held = {k: (v["dtype"], v["shape"]) for k, v in json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]]).items() if k != "__metadata__"}
assert {t["name"]: (t["dtype"], t["shape"]) for t in said["tensors"]} == held and len(held) > 1
assert said["images_count"] == len(said["best_class_index"]) == held["logits"][1][0] and said["macs_executed"] > 0 and len(said["weights_sha256"]) == 64
PY
run_forward "$dir/y1.safetensors" --threads 2 && run_forward "$dir/y2.safetensors" --threads 2
holds "the same run gives the same bytes" cmp "$dir/y1.safetensors" "$dir/y2.safetensors"
sed 's/"img_size": *32/"img_size": 48/' tests/golden/vit_resized/model.json >"$dir/resized.json"
expect "positions of another size are resampled with a warning" 0 "warning: .*pos_embed resampled" "$morbench" forward --config "$dir/resized.json" \
    --weights tests/golden/vit_resized/weights.safetensors --input tests/golden/vit_resized/expected.safetensors --output "$dir/y.safetensors"
holds "and give the expected logits" python3 "$dir/compare.py" "$dir/y.safetensors" tests/golden/vit_resized/expected.safetensors logits

python3 - "$dir" <<'PY'
import json, struct, sys
def save(name, tensors):
    header, data = {}, b""
    for key, (dtype, shape, body) in tensors.items():
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(body)]}
        data += body
    text = json.dumps(header).encode()
    open(f"{sys.argv[1]}/{name}.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data)
image = struct.pack("<f", 0.5) * (3 * 32 * 32)
save("narrow", {"input": ("F32", [1, 3, 32, 16], image[:len(image) // 2])})
save("grey", {"input": ("F32", [3, 1, 32, 32], image)})
save("flat", {"input": ("F32", [3, 32, 32], image)})
save("empty", {"input": ("F32", [0, 3, 32, 32], b"")})
save("wide", {"input": ("F64", [1, 3, 32, 32], image + image)})
save("unnamed", {"images": ("F32", [1, 3, 32, 32], image)})
save("nan", {"input": ("F32", [1, 3, 32, 32], image[:-4] + struct.pack("<f", float("nan")))})
PY
reject_input() { # claim, file, pattern
    expect "$1" 1 "$3" "$morbench" forward --config $golden/model.json --weights $golden/weights.safetensors --input "$dir/$2.safetensors" --output "$dir/no.safetensors"
}
for file in narrow grey flat empty wide; do
    reject_input "$file input is refused" $file "^morbench: .*$file.safetensors: input: must be F32 \(B,3,32,32\)"
done
reject_input "a file without input is refused" unnamed "unnamed.safetensors: input: there is no tensor"
reject_input "an input that is not finite is refused" nan "nan.safetensors: input: value 3071 is not a finite number"
reject_input "an input that is not there is refused" nowhere "nowhere.safetensors: "
[ ! -e "$dir/no.safetensors" ] && say ok "nothing is written after an error" || say wrong "nothing is written after an error"
expect "weights of another model are refused" 1 "weights.safetensors: does not fit model vit" "$morbench" forward --config $golden/model.json \
    --weights tests/golden/deit_distilled/weights.safetensors --input $golden/expected.safetensors --output "$dir/no.safetensors"
if [ -e /dev/full ]; then
    expect "an output that cannot be made" 1 "^morbench: .*/none/y" "$morbench" forward --config $golden/model.json --weights $golden/weights.safetensors \
        --input $golden/expected.safetensors --output "$dir/none/y.safetensors"
fi
MORBENCH_DEBUG=1 "$morbench" forward --config "$dir/nowhere.json" --weights x --input x --output x 2>"$dir/err"
grep -q "(noticed at .*\.c:[0-9]*)" "$dir/err" && say ok "MORBENCH_DEBUG=1 tells the source line" || say wrong "MORBENCH_DEBUG=1 tells the source line"

# ---- configurations ----
cat >"$dir/train.json" <<'JSON'
{"data": {"name": "synthetic:28x28x1:10:64"}, "model": {"preset": "vit_d64_l6_p4_28", "depth": 1}, "train": {"epochs": 1, "batch_size": 16}}
JSON
train() { "$morbench" train "$dir/train.json" --out "$dir/run" --quiet "$@"; }
expect "misspelt override" 1 "train.json: /train/epohcs: unknown key; did you mean \"epochs\"" train train.epohcs=2
expect "override out of range" 1 "/train/batch_size: must be in \[1, 65536\], got 0" train train.batch_size=0
expect "override of the wrong type" 1 "/train/epochs: must be a whole number in .*, got \"two\"" train train.epochs=two
expect "override of no block" 1 "command line: /trian: unknown key; did you mean \"train\"" train trian.epochs=2
expect "override without a value" 1 "an override is key=value" train train.epochs
expect "unknown preset" 1 "/model/preset: unknown preset .*did you mean 'vit_d64_l6_p4_28'" train model.preset=vit_d64_l6_p4_27
expect "impossible sizes" 1 "/model/num_heads: must divide embed_dim 64, got 7" train model.num_heads=7
expect "name and directory" 1 "/data/dir: must not be given beside name" train data.dir=x
[ ! -e "$dir/run" ] && say ok "a refused training leaves nothing behind" || say wrong "a refused training leaves nothing behind"

# ---- validate ----
echo '{"question": "Q", "model": {"preset": "vit_d64_l6_p4_28"}, "vary": {"/train/seed": [1, 2, 3], "/model/depth": [1, 2]}}' >"$dir/sweep.json"
echo '{"model": {"preset": "vit_d64_l6_p4_28"}, "vary": {"/model/depth": [1, -2]}}' >"$dir/bad_sweep.json"
echo '{"vary": {"/model/preset": ["vit_d64_l6_p4_28", "vit_d96_l6_p4_28"]}}' >"$dir/presets.json"
echo '{"schema": "morbench.run/1", "status": "ok"}' >"$dir/run.json"
echo '{"model": "vit", "img_size": 32, "patch_sise": 8}' >"$dir/misspelt.json"
echo '{"colour": 3}' >"$dir/other.json"
printf '\0\0\10\1\0\0\0\3abc' >"$dir/labels"
printf '\0\0\10\1\0\0\0\4abc' >"$dir/torn"
gzip -c "$dir/labels" >"$dir/labels.gz"
head -c 20 "$dir/labels.gz" >"$dir/torn.gz"
: >"$dir/nothing"
head -c 1000 $golden/weights.safetensors >"$dir/torn.safetensors"
expect "good files are fine" 0 "" "$morbench" validate $golden/model.json $golden/weights.safetensors "$dir"/{train,sweep,presets}.json "$dir"/labels{,.gz}
[ "$(grep -c '^ok: ' "$dir/out")" -eq 7 ] && [ "$(wc -l <"$dir/out")" -eq 7 ] && say ok "one line for each" || say wrong "one line for each"
grep -q "sweep.json: experiment, 6 combinations" "$dir/out" && say ok "a sweep is counted" || say wrong "a sweep is counted"
reject() { # claim, status, file, pattern on stdout
    expect "$1" "$2" "1 of 1 files are bad" "$morbench" validate "$dir/$3"
    grep -qE "^bad: .*$3: $4" "$dir/out" && say ok "$1: said why" || say wrong "$1: said '$(cat "$dir/out")'"
}
reject "every value of a sweep is checked" 1 bad_sweep.json "/model/depth: must be in"
reject "a result without its blocks" 1 run.json "/"
reject "a misspelt key" 1 misspelt.json "/patch_sise: unknown key; did you mean \"patch_size\""
reject "unknown JSON" 1 other.json "JSON, but neither"
reject "an empty file" 1 nothing "is empty"
reject "torn data" 5 torn "truncated IDX data"
reject "torn gzip" 5 torn.gz ""
reject "torn weights" 1 torn.safetensors ""
reject "a file that is not there" 1 nowhere ""
expect "corruption among others decides" 5 "2 of 3 files are bad" "$morbench" validate "$dir/torn" "$dir/labels" "$dir/other.json"

# ---- matrix kernels that the environment chose ----
if [ "$(uname -m)" = x86_64 ] && grep -q avx2 /proc/cpuinfo; then
    blas_core() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["env"]["blas_core"])' "$dir/out"; }
    export OPENBLAS_CORETYPE=Nehalem
    expect "forced kernels are warned of" 0 "^morbench: warning: OPENBLAS_CORETYPE=Nehalem forces" run_forward "$dir/y.safetensors"
    [ "$(wc -l <"$dir/err")" -eq 1 ] && say ok "in one line" || say wrong "in one line"
    "$morbench" doctor --json >"$dir/out" 2>/dev/null
    [ "$(blas_core)" = Nehalem ] && say ok "the environment is respected" || say wrong "the environment is respected"
    "$morbench" doctor --json --blas-core auto >"$dir/out" 2>/dev/null
    [ "$(blas_core)" != Nehalem ] && say ok "--blas-core auto overrides it" || say wrong "--blas-core auto overrides it"
    expect "--blas-core auto is not warned of" 0 "" run_forward "$dir/y.safetensors" --blas-core auto
    "$morbench" --blas-core Haswell doctor --json >"$dir/out" 2>/dev/null
    [ "$(blas_core)" = Haswell ] && say ok "--blas-core NAME chooses" || say wrong "--blas-core NAME chooses"
    expect "--blas-core with an unknown name is exit 2" 2 "blas-core: .* has no kernels 'Imaginary'" run_forward "$dir/y.safetensors" --blas-core Imaginary
    unset OPENBLAS_CORETYPE
fi

echo "1..$n"
[ "$failed" -eq 0 ] || echo "$failed of $n failed"
[ "$failed" -eq 0 ]
