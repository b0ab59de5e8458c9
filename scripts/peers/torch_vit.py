#!/usr/bin/env python3
"""A plain-PyTorch Vision Transformer, eager and in float32, written for comparison: no morbench code is used here.

    torch_vit.py infer --preset vit_small_patch16_224 --batch 1 --threads 2
    torch_vit.py train --preset vit_d192_l6_p4_28 --batch 128 --threads 2
    torch_vit.py files --preset NAME --batch B --threads N --folder DIR

`infer` and `train` answer requests on standard input, one a line, each with one line of JSON on standard output:
    block W N      run W unmeasured and N measured steps: {"ns": [...]}, one wall time a step
and end at end of input. A step is one forward of the whole batch (infer), or forward, loss, backward and AdamW (train).
Between requests the process sleeps, so another program can have the cores.

`files` writes DIR/{weights,input,logits}.safetensors and DIR/model.json: random weights, an input and what this network
makes of them, for morbench forward to be held against.

Layers are timm's: x (B,C,S,S) -> patches (B,N,D) -> class token first -> depth pre-norm blocks -> norm -> head on token 0;
two prefix tokens and the mean of two heads when distilled. Layer norm epsilon 1e-6, exact GELU.
"""
import argparse
import json
import os
import re
import sys
import time

# Before torch reads it; set_num_threads below says the same again.
if "--threads" in sys.argv[:-1]:
    os.environ["OMP_NUM_THREADS"] = sys.argv[sys.argv.index("--threads") + 1]

import torch                                   # noqa: E402
import torch.nn.functional as F                # noqa: E402
from torch import nn                           # noqa: E402

WIDTHS = {"tiny": 192, "small": 384, "base": 768, "large": 1024}
HEAD_DIM = 64
EPSILON = 1e-6


def sizes_of(preset):
    """Model configuration of a preset of plain or distilled ViTs."""
    match = re.fullmatch(r"(?:vit_(tiny|small|base|large)|deit_(tiny|small|base)_distilled)_patch(\d+)_(\d+)", preset)
    if match:
        name = match.group(1) or match.group(2)
        width, depth, patch, side = WIDTHS[name], 24 if name == "large" else 12, int(match.group(3)), int(match.group(4))
        channels, classes = 3, 1000
    else:
        match = re.fullmatch(r"vit_d(\d+)_l(\d+)_p(\d+)_(28|32)", preset)
        if not match:
            raise SystemExit("torch_vit: no plain ViT preset '%s'" % preset)
        width, depth, patch, side = (int(g) for g in match.groups())
        channels, classes = {28: 1, 32: 3}[side], 10
    if width % HEAD_DIM != 0 or side % patch != 0:
        raise SystemExit("torch_vit: %s: width must be a multiple of %d, image side of the patch" % (preset, HEAD_DIM))
    return {"model": "vit", "img_size": side, "patch_size": patch, "in_chans": channels, "embed_dim": width, "depth": depth,
            "num_heads": width // HEAD_DIM, "mlp_ratio": 4, "num_classes": classes, "distilled": preset.startswith("deit_")}


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, EPSILON)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        images, tokens, width = x.shape
        qkv = self.qkv(x).reshape(images, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)                                            # (B,H,N,E) each
        weights = ((q * self.scale) @ k.transpose(-2, -1)).softmax(dim=-1)     # (B,H,N,N)
        return self.proj((weights @ v).transpose(1, 2).reshape(images, tokens, width))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.norm1 = Norm(width)
        self.attn = Attention(width, heads)
        self.norm2 = Norm(width)
        self.mlp = Mlp(width, hidden)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, channels, width, patch):
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class Vit(nn.Module):
    def __init__(self, c):
        super().__init__()
        width, n_prefix = c["embed_dim"], 2 if c["distilled"] else 1
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, width)) if c["distilled"] else None
        self.pos_embed = nn.Parameter(torch.zeros(1, (c["img_size"] // c["patch_size"]) ** 2 + n_prefix, width))
        self.patch_embed = PatchEmbed(c["in_chans"], width, c["patch_size"])
        self.blocks = nn.Sequential(*[Block(width, c["num_heads"], int(width * c["mlp_ratio"])) for _ in range(c["depth"])])
        self.norm = Norm(width)
        self.head = nn.Linear(width, c["num_classes"])
        self.head_dist = nn.Linear(width, c["num_classes"]) if c["distilled"] else None

    def forward(self, x):
        x = self.patch_embed(x)
        prefix = [t.expand(x.shape[0], -1, -1) for t in (self.cls_token, self.dist_token) if t is not None]
        x = torch.cat(prefix + [x], dim=1) + self.pos_embed
        x = self.norm(self.blocks(x))
        if self.head_dist is None:
            return self.head(x[:, 0])
        return (self.head(x[:, 0]) + self.head_dist(x[:, 1])) / 2


def build(config, seed=1):
    """Weights with a spread of 0.02 everywhere except layer norm gains around 1, so that no term can be forgotten unseen."""
    torch.manual_seed(seed)
    model = Vit(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(1.0 if re.search(r"norm\d?\.weight$", name) else 0.0, 0.02)
    return model


def inference_step(config, args):
    model = build(config).eval()
    images = torch.randn(args.batch, config["in_chans"], config["img_size"], config["img_size"])
    if args.frozen:
        with torch.no_grad():
            model = torch.jit.freeze(torch.jit.trace(model, images, check_trace=False))

    def step():
        with torch.inference_mode():
            return model(images)
    return step


def training_step(config, args):
    model = build(config).train()
    parameters = list(model.named_parameters())
    kept = [p for n, p in parameters if p.ndim == 1 or n in ("cls_token", "dist_token", "pos_embed")]
    kept_ids = {id(p) for p in kept}
    decayed = [p for _, p in parameters if id(p) not in kept_ids]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": kept, "weight_decay": 0.0}],
                                  lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    # A few fixed batches in turn: labels that can be learned by heart would soon give vanishing gradients.
    side = config["img_size"]
    batches = [(torch.randn(args.batch, config["in_chans"], side, side), torch.randint(config["num_classes"], (args.batch,)))
               for _ in range(8)]
    turn = 0

    def step():
        nonlocal turn
        images, labels = batches[turn % len(batches)]
        turn += 1
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(images), labels, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        return loss.detach()
    return step


def serve(step, about):
    """Answers requests until end of input."""
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        words = line.split()
        if len(words) != 3 or words[0] != "block":
            raise SystemExit("torch_vit: request not understood: %r" % line)
        n_warmup, n_steps = int(words[1]), int(words[2])
        for _ in range(n_warmup):
            step()
        samples_ns = []
        for _ in range(n_steps):
            from_ns = time.perf_counter_ns()
            result = step()
            samples_ns.append(time.perf_counter_ns() - from_ns)
        if not torch.isfinite(result).all():
            raise SystemExit("torch_vit: the result is not finite, so the time means nothing")
        print(json.dumps({"ns": samples_ns}), flush=True)


def write_case(config, args):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    from checkpoint_files import safetensors_writer, write_files
    model = build(config).eval()
    images = torch.randn(args.batch, config["in_chans"], config["img_size"], config["img_size"])
    with torch.inference_mode():
        logits = model(images)
    weights = {n: p.detach().numpy() for n, p in model.named_parameters()}
    text = json.dumps(config, indent=1) + "\n"
    files = [("weights.safetensors", safetensors_writer(weights, {})),
             ("input.safetensors", safetensors_writer({"input": images.numpy()}, {})),
             ("logits.safetensors", safetensors_writer({"logits": logits.numpy()}, {})),
             ("model.json", lambda f: f.write(text.encode()))]
    write_files([(os.path.join(args.folder, name), writer) for name, writer in files])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("infer", "train", "files"))
    parser.add_argument("--preset", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--frozen", action="store_true", help="infer: a traced and frozen graph instead of eager")
    parser.add_argument("--folder", default=".")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)        # Debian's build otherwise runs one
    torch.set_num_interop_threads(1)
    config = sizes_of(args.preset)
    if args.mode == "files":
        write_case(config, args)
        return
    step = inference_step(config, args) if args.mode == "infer" else training_step(config, args)
    serve(step, {"torch": torch.__version__, "threads_count": torch.get_num_threads(), "config": config,
                 "cpus": sorted(os.sched_getaffinity(0)), "frozen": args.frozen, "pid": os.getpid(),
                 "build": " ".join(line.strip() for line in torch.__config__.show().splitlines()
                                   if "capability" in line or "DNN" in line)[:300],
                 "parameters_count": sum(int(p.numel()) for p in build(config).parameters())})


if __name__ == "__main__":
    main()
