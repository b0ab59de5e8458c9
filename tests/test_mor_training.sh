#!/bin/bash
# MoR-ViT as users meet it: one seed one result, killed and resumed; from a trained ViT; depths in results; refusals in one line.
#   tests/test_mor_training.sh path/to/morbench        (from the repository root)
set -u
morbench=$(realpath "${1:?usage: tests/test_mor_training.sh path/to/morbench}")
dir=$(mktemp -d)
job=
trap '[ -z "$job" ] || kill -9 "$job" 2>/dev/null; rm -rf "$dir"' EXIT
export MORBENCH_DEBUG=0 NO_COLOR=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE
python=$(command -v python3) || python=
# shellcheck source=tests/claims.sh
. tests/claims.sh

config() { # FILE MODEL-SETTINGS
    cat >"$dir/$1" <<END
{"data":  {"name": "synthetic:28x28x1:10:120", "test_limit": 40},
 "model": {"preset": "mor_d32_mc1x3_p7_lin_28"$2},
 "train": {"epochs": 3, "batch_size": 12, "warmup_epochs": 0.5, "drop_path": 0.1, "flip": true, "clip_grad": 1, "checkpoint_s": 0.01, "seed": 3}}
END
}
train() { # CONFIG DIR arguments...
    local file=$1 out=$2
    shift 2
    "$morbench" train "$dir/$file" --threads 2 --quiet --out "$dir/$out" "$@"
}
same_weights() { cmp "$dir/$1/weights.safetensors" "$dir/$2/weights.safetensors"; }
field() { "$python" -c 'import json,sys; r=json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$@"; }
killed_and_resumed() { # CONFIG DIR: SIGKILL at four moments, then to the end
    local i
    for i in 1 2 3 4; do
        "$morbench" train "$dir/$1" --threads 2 --quiet --out "$dir/$2" >/dev/null 2>&1 &      # not the function: its shell would be killed
        job=$!
        sleep "0.$((i * 2 + 1))"
        kill -9 "$job" 2>/dev/null
        wait "$job" 2>/dev/null
        job=
    done
    train "$1" "$2"
}

printf a >"$dir/a"; printf b >"$dir/b"
mkdir "$dir/x" "$dir/y"; cp "$dir/a" "$dir/x/weights.safetensors"; cp "$dir/b" "$dir/y/weights.safetensors"
{ holds "equal" same_weights x y; } >/dev/null
[ "$failed" -eq 1 ] || { echo "not ok - other weights are not noticed"; exit 1; }
n=0 failed=0

for kind in 'expert:' 'warm:, "capacity_warmup": 0.5, "kv": "share", "deep_supervision": 0.2' 'random:, "router": "random"' 'gated:, "router": "random_gated"' \
            'lossfree:, "router": "token", "balance": "lossfree", "kv": "all"' 'layer:, "router": "layer"'; do
    name=${kind%%:*}
    config "$name.json" "${kind#*:}"
    holds "$name trains" train "$name.json" "$name.1"
    holds "$name: one seed, one weight file" train "$name.json" "$name.2"
    holds "$name: byte for byte" same_weights "$name.1" "$name.2"
    holds "$name: killed and resumed" killed_and_resumed "$name.json" "$name.3"
    holds "$name: with the same bytes" same_weights "$name.1" "$name.3"
done

if [ -n "$python" ]; then
    holds "every token is in the histogram" test "$(field "$dir/expert.1/run.json" 'sum(r["depth_histogram"]["tokens_count"]) == 40 * 17')" = True
    holds "mean depths of places, class token first" test "$(field "$dir/expert.1/run.json" 'len(r["depth_histogram"]["position_mean_depth_count"]) == 17 and r["depth_histogram"]["position_mean_depth_count"][0] == 3')" = True
    holds "nothing was found wrong with the counts" test "$(field "$dir/layer.1/run.json" '[w for w in r["validity"]["reasons"] if "disagree" in str(w)]')" = "[]"
    holds "curves name the parts of the loss" test "$(field "$dir/lossfree.1/run.json" '"z_loss" in str(r["curves"][0])')" = True
fi

# from a trained ViT
cat >"$dir/vit.json" <<'END'
{"data": {"name": "synthetic:28x28x1:10:120", "test_limit": 40}, "model": {"preset": "vit_d32_l5_p7_28"},
 "train": {"epochs": 1, "batch_size": 12, "seed": 3}}
END
holds "a ViT is trained" train vit.json vit
holds "a MoR-ViT starts from it" train expert.json from_vit train.init_from=vit_d32_l5_p7_28 "train.init_from_weights=$dir/vit/weights.safetensors" train.init_rule=stepwise
holds "and ends elsewhere than from scratch" bash -c '! cmp -s "$1/from_vit/weights.safetensors" "$1/expert.1/weights.safetensors"' - "$dir"
refused "an unknown rule is refused by name" 1 "known: stepwise, average, lower, upper, random" \
    train expert.json other train.init_from=vit_d32_l5_p7_28 "train.init_from_weights=$dir/vit/weights.safetensors" train.init_rule=middle

# depths of every image
holds "eval writes the depth of every token" "$morbench" eval --preset mor_d32_mc1x3_p7_lin_28 --weights "$dir/expert.1/weights.safetensors" \
    --data synthetic:28x28x1:10:30 --depths "$dir/depths.safetensors" --quiet
holds "as a file that validates" "$morbench" validate "$dir/depths.safetensors"

# refusals
refused "share needs every token in recursion 1" 1 "/model/capacity/0: must be 1 with kv share" train expert.json no model.kv=share 'model.capacity=[0.9,0.5,0.2]'
refused "sequence takes no router" 1 "/model/router: must be none with sharing sequence" train expert.json no model.sharing=sequence
refused "capacities never rise" 1 "/model/capacity/2: must not exceed" train expert.json no 'model.capacity=[1,0.5,0.6]'
refused "one capacity a recursion" 1 "one entry for each of the 3 recursions, got 2" train expert.json no 'model.capacity=[1,0.5]'

fits_schema "$dir"
echo "$n claims, $failed failed"
[ "$failed" -eq 0 ]
