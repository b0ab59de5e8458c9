#!/usr/bin/env python3
"""A plain-PyTorch TinyViT, eager and in float32, written for comparison: no morbench code is used here.

    torch_tiny_vit.py infer --preset tiny_vit_5m_224 --batch 1 --threads 2
    torch_tiny_vit.py files --preset NAME --batch B --threads N --folder DIR

`infer` answers requests as torch_vit.py does; `files` writes what morbench forward is held against. Layers, names and the
order of work are timm's: NCHW maps, batch norms of their own (--frozen folds them into a traced graph), windows by reshaping,
bias tables expanded once.
"""
import argparse
import json
import os
import sys

import torch_vit                               # noqa: E402  (first: it sets the threads before torch is read)
import torch                                   # noqa: E402
import torch.nn.functional as F                # noqa: E402
from torch import nn                           # noqa: E402

SIZES = {"5m": ((64, 128, 160, 320), (2, 4, 5, 10)), "11m": ((64, 128, 256, 448), (2, 4, 8, 14)),
         "21m": ((96, 192, 384, 576), (3, 6, 12, 18))}
WINDOWS = {224: (7, 7, 14, 7), 384: (12, 12, 24, 12), 512: (16, 16, 32, 16)}
EPSILON = 1e-5


def sizes_of(preset):
    parts = preset.split("_")
    if len(parts) != 4 or parts[:2] != ["tiny", "vit"] or parts[2] not in SIZES or not parts[3].isdigit() or int(parts[3]) not in WINDOWS:
        raise SystemExit("torch_tiny_vit: no TinyViT preset '%s'" % preset)
    widths, heads = SIZES[parts[2]]
    return {"model": "tiny_vit", "img_size": int(parts[3]), "in_chans": 3, "embed_dims": list(widths), "depths": [2, 2, 6, 2],
            "num_heads": list(heads), "window_sizes": list(WINDOWS[int(parts[3])]), "mlp_ratio": 4, "mbconv_expand_ratio": 4,
            "num_classes": 1000}


class ConvNorm(nn.Module):
    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return self.bn(self.conv(x))


class PatchEmbed(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.conv1 = ConvNorm(channels, width // 2, 3, 2)
        self.conv2 = ConvNorm(width // 2, width, 3, 2)

    def forward(self, x):
        return self.conv2(F.gelu(self.conv1(x)))


class MbConv(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.conv1 = ConvNorm(width, hidden)
        self.conv2 = ConvNorm(hidden, hidden, 3, 1, hidden)
        self.conv3 = ConvNorm(hidden, width)

    def forward(self, x):
        return F.gelu(x + self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x))))))


class PatchMerging(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs)
        self.conv2 = ConvNorm(outputs, outputs, 3, 2, outputs)
        self.conv3 = ConvNorm(outputs, outputs)

    def forward(self, x):
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


class WindowAttention(nn.Module):
    def __init__(self, width, heads, side):
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.norm = nn.LayerNorm(width, EPSILON)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, side * side))
        at = torch.arange(side * side)
        rows, columns = at // side, at % side
        self.index = (rows[:, None] - rows).abs() * side + (columns[:, None] - columns).abs()
        self.bias = None                       # expanded at the first pass, as timm does outside training

    def forward(self, x):
        images, tokens, width = x.shape
        if self.bias is None:
            self.bias = self.attention_biases.detach()[:, self.index]
        qkv = self.qkv(self.norm(x)).view(images, tokens, self.heads, -1)
        q, k, v = (t.permute(0, 2, 1, 3) for t in qkv.split(width // self.heads, dim=3))
        weights = ((q * self.scale) @ k.transpose(-2, -1) + self.bias).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(images, tokens, width))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm = nn.LayerNorm(width, EPSILON)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class Block(nn.Module):
    def __init__(self, width, heads, side, hidden):
        super().__init__()
        self.side = side
        self.attn = WindowAttention(width, heads, side)
        self.mlp = Mlp(width, hidden)
        self.local_conv = ConvNorm(width, width, 3, 1, width)

    def forward(self, x):                      # (B,H,W,C); at these sizes windows fit without padding
        B, H, W, C = x.shape
        w = self.side
        if (H, W) == (w, w):
            y = self.attn(x.reshape(B, H * W, C))
        else:
            y = x.view(B, H // w, w, W // w, w, C).transpose(2, 3).reshape(-1, w * w, C)
            y = self.attn(y).view(B, H // w, W // w, w, w, C).transpose(2, 3).reshape(B, H, W, C)
        x = (x + y.view(B, H, W, C)).permute(0, 3, 1, 2)
        x = self.local_conv(x).reshape(B, C, H * W).transpose(1, 2)
        return (x + self.mlp(x)).view(B, H, W, C)


class Stage(nn.Module):
    def __init__(self, c, s):
        super().__init__()
        width = c["embed_dims"][s]
        self.downsample = PatchMerging(c["embed_dims"][s - 1], width) if s > 0 else nn.Identity()
        self.blocks = nn.Sequential(*[MbConv(width, width * c["mbconv_expand_ratio"]) if s == 0 else
                                      Block(width, c["num_heads"][s], c["window_sizes"][s], width * c["mlp_ratio"])
                                      for _ in range(c["depths"][s])])
        self.is_map = s == 0

    def forward(self, x):
        x = self.downsample(x)
        return self.blocks(x) if self.is_map else self.blocks(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Head(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.norm = nn.LayerNorm(width, EPSILON)
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        return self.fc(self.norm(x.mean((2, 3))))


class TinyVit(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.patch_embed = PatchEmbed(c["in_chans"], c["embed_dims"][0])
        self.stages = nn.Sequential(*[Stage(c, s) for s in range(4)])
        self.head = Head(c["embed_dims"][3], c["num_classes"])

    def forward(self, x):
        return self.head(self.stages(self.patch_embed(x)))


def build(config, seed=1):
    """Random weights and statistics around those of an untrained network, so that no term can be forgotten unseen."""
    torch.manual_seed(seed)
    model = TinyVit(config).eval()
    with torch.no_grad():
        for name, t in model.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            is_gain = name.endswith(("bn.weight", "norm.weight", "running_var"))
            t.normal_(1.0 if is_gain else 0.0, 0.1 if t.ndim == 1 else (2 / t[0].numel()) ** 0.5 if t.ndim == 4 else 0.05)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("infer", "files"))
    parser.add_argument("--preset", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--frozen", action="store_true", help="infer: a traced and frozen graph instead of eager")
    parser.add_argument("--folder", default=".")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)        # Debian's build otherwise runs one
    torch.set_num_interop_threads(1)
    config = sizes_of(args.preset)
    model = build(config)
    images = torch.randn(args.batch, 3, config["img_size"], config["img_size"])
    if args.mode == "files":
        sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
        from checkpoint_files import safetensors_writer, write_files
        with torch.inference_mode():
            logits = model(images)
        weights = {n: t.detach().numpy() for n, t in model.state_dict().items() if not n.endswith("num_batches_tracked")}
        text = json.dumps(config, indent=1) + "\n"
        files = [("weights.safetensors", safetensors_writer(weights, {})),
                 ("input.safetensors", safetensors_writer({"input": images.numpy()}, {})),
                 ("logits.safetensors", safetensors_writer({"logits": logits.numpy()}, {})),
                 ("model.json", lambda f: f.write(text.encode()))]
        write_files([(os.path.join(args.folder, name), writer) for name, writer in files])
        return
    n_parameters = sum(int(p.numel()) for p in model.parameters())
    if args.frozen:
        with torch.no_grad():
            model = torch.jit.freeze(torch.jit.trace(model, images, check_trace=False))

    def step():
        with torch.inference_mode():
            return model(images)
    torch_vit.serve(step, {"torch": torch.__version__, "threads_count": torch.get_num_threads(), "config": config,
                           "cpus": sorted(os.sched_getaffinity(0)), "frozen": args.frozen, "pid": os.getpid(),
                           "build": " ".join(line.strip() for line in torch.__config__.show().splitlines()
                                             if "capability" in line or "DNN" in line)[:300],
                           "parameters_count": n_parameters})


if __name__ == "__main__":
    main()
