#!/usr/bin/env python3
"""Released checkpoints -> one flat safetensors file with timm's tensor names, which morbench loads.

    convert_checkpoint.py INPUT OUTPUT.safetensors [--model vit|dynamic_vit|tiny_vit] [--config OUT_model.json]

INPUT   .pth/.pt/.bin (PyTorch), or .safetensors; told apart by content, never by name. Read as they are:
          - wrapped in {"model": ...} or {"state_dict": ...}; the averaged weights (model_ema, state_dict_ema) with --ema
          - prefixes module., _orig_mod., timm_model.
          - timm's names (ViT, distilled DeiT, TinyViT), the official DynamicViT's and the official TinyViT's
          - Hugging Face transformers' names for ViT, DeiT and distilled DeiT; query, key and value become one qkv
OUTPUT  float32 tensors in the order of the network; float16, bfloat16 and float64 are converted.
        Every tensor is checked against the shape its model must have: none missing, none over, all finite.

Left out, and said so: pre_logits.* and pooler.* (not part of these models), *.num_batches_tracked,
*.attention_bias_idxs. Any other tensor without a place is an error.

Needs numpy only. Nothing in a PyTorch file is run, unless --unsafe, which needs torch and is for files of unusual make.

Exit status: 0 ok, 1 bad usage or file, 2 torch is needed and absent, 5 I/O error.
"""
import argparse
import collections
import json
import math
import os
import re
import sys

import numpy as np

from checkpoint_files import (EXIT_BAD_INPUT, EXIT_IO, ConversionError, listed, read_pytorch, read_pytorch_unsafe, read_safetensors,
                              safetensors_writer, write_files)

MODELS = ("vit", "dynamic_vit", "tiny_vit")
WRAPPERS = ("model", "state_dict", "module")
EMA_WRAPPERS = ("model_ema", "state_dict_ema", "ema")
PREFIXES = ("module.", "_orig_mod.", "timm_model.")


# ---- files -----------------------------------------------------------------------------------------------------

def unwrap(loaded, ema):
    """The dictionary of tensors inside {"model": ...} and the like, and the wrapper keys passed through."""
    def is_tensor(v):
        return isinstance(v, np.ndarray) or hasattr(v, "detach")

    path = []
    while True:
        if not isinstance(loaded, dict):
            raise ConversionError("%s is a %s, not a dictionary of tensors"
                                  % ("/".join(path) or "the file", type(loaded).__name__))
        if any(is_tensor(v) for v in loaded.values()):
            break
        wanted = EMA_WRAPPERS + WRAPPERS if ema else WRAPPERS
        key = next((k for k in wanted if isinstance(loaded.get(k), dict)), None)
        if key is None:
            found = [k for k in EMA_WRAPPERS if k in loaded]
            hint = "; averaged weights under '%s': --ema takes them" % found[0] if found and not ema else ""
            raise ConversionError("no weights under %s; keys: %s%s"
                                  % (" or ".join(WRAPPERS), listed(loaded) or "none", hint))
        path.append(key)
        loaded = loaded[key]
    if ema and not any(k in EMA_WRAPPERS for k in path):
        raise ConversionError("--ema: no averaged weights (%s) in this file" % ", ".join(EMA_WRAPPERS))
    return loaded, path


def to_array(name, value):
    """Floats become float32, everything else keeps its type."""
    if isinstance(value, np.ndarray):
        array = value
    elif hasattr(value, "detach"):               # torch's, from --unsafe
        import torch
        if value.layout != torch.strided or value.is_quantized:
            raise ConversionError("%s is sparse or quantised; only dense tensors can be converted" % listed([name]))
        value = value.detach()
        array = (value.to(torch.float32) if value.dtype is torch.bfloat16 else value).cpu().numpy()
    else:
        raise ConversionError("%s is not a tensor but %s" % (listed([name]), listed([type(value).__name__])))
    if array.dtype.kind == "f" and array.dtype != np.dtype("<f4"):
        with np.errstate(over="ignore"):           # what becomes infinite is refused later, by name
            array = array.astype("<f4")
    return array


# ---- names -----------------------------------------------------------------------------------------------------

def strip_prefixes(tensors):
    """Removes module. and the like where every tensor has it."""
    while tensors:
        prefix = next((p for p in PREFIXES if all(str(n).startswith(p) for n in tensors)), None)
        if prefix is None:
            break
        tensors = {n[len(prefix):]: v for n, v in tensors.items()}
    return tensors


HF_NAMES = (
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.distillation_token", "dist_token"),
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"embeddings\.patch_embeddings\.projection\.(weight|bias)", r"patch_embed.proj.\1"),
    (r"encoder\.layer\.(\d+)\.layernorm_before\.(weight|bias)", r"blocks.\1.norm1.\2"),
    (r"encoder\.layer\.(\d+)\.layernorm_after\.(weight|bias)", r"blocks.\1.norm2.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(weight|bias)", r"blocks.\1.attn.\2.\3"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(weight|bias)", r"blocks.\1.attn.proj.\2"),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
    (r"encoder\.layer\.(\d+)\.output\.dense\.(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
    (r"layernorm\.(weight|bias)", r"norm.\1"),
)
HF_HEADS = (
    (r"(?:cls_)?classifier\.(weight|bias)", r"head.\1"),
    (r"distillation_classifier\.(weight|bias)", r"head_dist.\1"),
)
TINY_VIT_NAMES = (
    (r"patch_embed\.seq\.0\.(c|bn)\.(\w+)", r"patch_embed.conv1.\1.\2"),
    (r"patch_embed\.seq\.2\.(c|bn)\.(\w+)", r"patch_embed.conv2.\1.\2"),
    (r"layers\.(\d+)\.(blocks\..+)", r"stages.\1.\2"),
    (r"norm_head\.(weight|bias)", r"head.norm.\1"),
    (r"head\.(weight|bias)", r"head.fc.\1"),
)


def first_match(name, rules):
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement)
    return None


def hugging_face_name(name):
    """timm's name, or the name unchanged when Hugging Face has no such tensor."""
    inner = re.sub(r"^(vit|deit)\.", "", name)
    return first_match(inner, HF_NAMES) or first_match(name, HF_HEADS) or name


def official_tiny_vit_name(name):
    """timm's name of a tensor of the official TinyViT; its downsample moves to the following stage."""
    moved = re.fullmatch(r"layers\.(\d+)\.downsample\.(.+)", name)
    name = ("stages.%d.downsample.%s" % (int(moved.group(1)) + 1, moved.group(2)) if moved
            else first_match(name, TINY_VIT_NAMES) or name)
    return re.sub(r"\.c\.weight$", ".conv.weight", name)


def join_qkv(tensors):
    """query, key and value of each block become one qkv, rows in that order, at the place of the query."""
    joined = {}
    for name, array in tensors.items():
        match = re.fullmatch(r"(blocks\.\d+\.attn\.)(query|key|value)\.(weight|bias)", name)
        if not match:
            joined[name] = array
            continue
        target = "%sqkv.%s" % (match.group(1), match.group(3))
        if target in joined:
            continue
        thirds = ["%s%s.%s" % (match.group(1), part, match.group(3)) for part in ("query", "key", "value")]
        missing = [t for t in thirds if t not in tensors]
        if missing:
            raise ConversionError("lacks %s" % listed(missing))
        if len({tensors[t].shape for t in thirds}) != 1:
            raise ConversionError("%s differ in shape" % listed(thirds))
        joined[target] = np.concatenate([tensors[t] for t in thirds])
    return joined


def rename(tensors, notes):
    """timm's names throughout, and which naming was found: 'timm', 'official TinyViT' or 'Hugging Face'."""
    tensors = strip_prefixes(tensors)
    if any("embeddings.patch_embeddings.projection." in n for n in tensors):
        naming, new_name = "Hugging Face", hugging_face_name
    elif any(n.startswith(("patch_embed.seq.", "layers.")) for n in tensors):
        naming, new_name = "official TinyViT", official_tiny_vit_name
    else:
        naming, new_name = "timm", str
    renamed, source, dropped = {}, {}, collections.Counter()
    for name, array in tensors.items():
        ignored = re.search(r"(num_batches_tracked|attention_bias_idxs)$|^(?:vit\.|deit\.)?(pre_logits|pooler)\.", name)
        if ignored:
            dropped[ignored.group(1) or ignored.group(2) + ".*"] += 1
            continue
        target = new_name(name)
        if target in renamed:
            raise ConversionError("%s and %s are the same tensor" % (listed([source[target]]), listed([name])))
        renamed[target], source[target] = array, name
    notes.extend("left out %d x %s" % (n, what) for what, n in sorted(dropped.items()))
    if naming == "Hugging Face":
        notes.append("Hugging Face runs ViT and DeiT with a layer norm epsilon of 1e-12 by default, morbench and timm with "
                     "1e-6: logits differ slightly")
        renamed = join_qkv(renamed)
    return renamed, naming


# ---- what each model must hold, and its configuration ----------------------------------------------------------

def shape_of(tensors, name, n_dims):
    if name not in tensors:
        raise ConversionError("lacks %s" % name)
    shape = tensors[name].shape
    if len(shape) != n_dims:
        raise ConversionError("%s has shape %s, expected %d dimensions" % (name, shape, n_dims))
    if 0 in shape:
        raise ConversionError("%s has shape %s: empty" % (name, shape))
    return shape


def count_of(tensors, prefix):
    """How many of prefix0., prefix1., ... there are."""
    found = {m.group(1) for n in tensors for m in [re.match(re.escape(prefix) + r"(\d+)\.", n)] if m}
    for i in range(len(found)):
        if str(i) not in found:
            raise ConversionError("lacks %s%d.* although there are %d of them" % (prefix, i, len(found)))
    return len(found)


def ratio(a, b):
    """a/b, whole where it is."""
    return a // b if a % b == 0 else a / b


def side(n, what):
    """Side of a square of n."""
    root = math.isqrt(n) if n > 0 else 0
    if root < 1 or root * root != n:
        raise ConversionError("%s: %d is not a square" % (what, n))
    return root


def square_patches(tensors):
    """The old (D, C*P*P) patch embedding becomes (D, C, P, P), three channels if that gives a square, else one."""
    name = "patch_embed.proj.weight"
    if name in tensors and tensors[name].ndim == 2:
        width, k = tensors[name].shape
        channels = 3 if k % 3 == 0 and math.isqrt(k // 3) ** 2 == k // 3 else 1
        p = side(k // channels, "%s (%d,%d): patch area" % (name, width, k))
        tensors[name] = tensors[name].reshape(width, channels, p, p)


def pair(name, rows, *rest):
    """Weight (rows, rest...) and bias (rows) of one layer."""
    return {name + ".weight": (rows, *rest), name + ".bias": (rows,)}


def vit_layout(tensors, kind):
    """({name: shape}, facts) of a ViT, a distilled DeiT or a DynamicViT."""
    square_patches(tensors)
    width, channels, p, p2 = shape_of(tensors, "patch_embed.proj.weight", 4)
    if p != p2:
        raise ConversionError("patch_embed.proj.weight: patches of %dx%d are not square" % (p, p2))
    distilled = kind == "vit" and "dist_token" in tensors
    if distilled and "head_dist.weight" not in tensors:
        raise ConversionError("has a distillation token but no distillation classifier: morbench's distilled model needs both")
    rows = shape_of(tensors, "pos_embed", 3)[1]
    grid = side(rows - 1 - distilled, "pos_embed: %d rows less %d prefix tokens" % (rows, 1 + distilled))
    hidden = shape_of(tensors, "blocks.0.mlp.fc1.weight", 2)[0]
    classes = shape_of(tensors, "head.weight", 2)[0]
    depth = count_of(tensors, "blocks.")
    expected = {"cls_token": (1, 1, width)}
    if distilled:
        expected["dist_token"] = (1, 1, width)
    expected["pos_embed"] = (1, rows, width)
    expected.update(pair("patch_embed.proj", width, channels, p, p))
    for i in range(depth):
        block = "blocks.%d." % i
        expected.update(pair(block + "norm1", width))
        expected.update(pair(block + "attn.qkv", 3 * width, width))
        expected.update(pair(block + "attn.proj", width, width))
        expected.update(pair(block + "norm2", width))
        expected.update(pair(block + "mlp.fc1", hidden, width))
        expected.update(pair(block + "mlp.fc2", width, hidden))
    expected.update(pair("norm", width))
    expected.update(pair("head", classes, width))
    if distilled:
        expected.update(pair("head_dist", classes, width))
    stages = count_of(tensors, "score_predictor.") if kind == "dynamic_vit" else 0
    if kind == "dynamic_vit" and stages == 0:
        raise ConversionError("lacks score_predictor.*: not a DynamicViT")
    for s in range(stages):
        predictor = "score_predictor.%d." % s
        expected.update(pair(predictor + "in_conv.0", width))
        expected.update(pair(predictor + "in_conv.1", width, width))
        expected.update(pair(predictor + "out_conv.0", width // 2, width))
        expected.update(pair(predictor + "out_conv.2", width // 4, width // 2))
        expected.update(pair(predictor + "out_conv.4", 2, width // 4))
    facts = {"img_size": grid * p, "patch_size": p, "in_chans": channels, "embed_dim": width, "depth": depth,
             "mlp_ratio": ratio(hidden, width), "num_classes": classes, "distilled": distilled, "stages": stages}
    return expected, facts


def conv_bn(name, rows, *rest):
    """A bias-free convolution followed by batch normalisation."""
    shapes = {name + ".conv.weight": (rows, *rest)}
    for part in ("weight", "bias", "running_mean", "running_var"):
        shapes["%s.bn.%s" % (name, part)] = (rows,)
    return shapes


def tiny_vit_layout(tensors):
    """({name: shape}, facts) of a TinyViT, timm's names."""
    half, channels = shape_of(tensors, "patch_embed.conv1.conv.weight", 4)[:2]
    first = shape_of(tensors, "patch_embed.conv2.conv.weight", 4)[0]
    n_stages = count_of(tensors, "stages.")
    if n_stages < 2:
        raise ConversionError("a TinyViT has at least 2 stages, found %d" % n_stages)
    hidden = shape_of(tensors, "stages.0.blocks.0.conv1.conv.weight", 4)[0]
    classes = shape_of(tensors, "head.fc.weight", 2)[0]
    expected = {**conv_bn("patch_embed.conv1", half, channels, 3, 3), **conv_bn("patch_embed.conv2", first, half, 3, 3)}
    widths, depths, heads, windows = [first], [count_of(tensors, "stages.0.blocks.")], [max(1, first // 32)], [0]
    for b in range(depths[0]):
        block = "stages.0.blocks.%d." % b
        expected.update(conv_bn(block + "conv1", hidden, first, 1, 1))
        expected.update(conv_bn(block + "conv2", hidden, 1, 3, 3))
        expected.update(conv_bn(block + "conv3", first, hidden, 1, 1))
    mlp = shape_of(tensors, "stages.1.blocks.0.mlp.fc1.weight", 2)
    for s in range(1, n_stages):
        stage = "stages.%d." % s
        width = shape_of(tensors, stage + "downsample.conv1.conv.weight", 4)[0]
        n_heads, area = shape_of(tensors, stage + "blocks.0.attn.attention_biases", 2)
        fc = width * mlp[0] // mlp[1]
        expected.update(conv_bn(stage + "downsample.conv1", width, widths[-1], 1, 1))
        expected.update(conv_bn(stage + "downsample.conv2", width, 1, 3, 3))
        expected.update(conv_bn(stage + "downsample.conv3", width, width, 1, 1))
        widths.append(width)
        depths.append(count_of(tensors, stage + "blocks."))
        heads.append(n_heads)
        windows.append(side(area, stage + "blocks.0.attn.attention_biases: offsets"))
        for b in range(depths[-1]):
            block = "%sblocks.%d." % (stage, b)
            expected[block + "attn.attention_biases"] = (n_heads, area)
            expected.update(pair(block + "attn.norm", width))
            expected.update(pair(block + "attn.qkv", 3 * width, width))
            expected.update(pair(block + "attn.proj", width, width))
            expected.update(conv_bn(block + "local_conv", width, 1, 3, 3))
            expected.update(pair(block + "mlp.norm", width))
            expected.update(pair(block + "mlp.fc1", fc, width))
            expected.update(pair(block + "mlp.fc2", width, fc))
    windows[0] = windows[1]               # stage 0 has no attention; the published lists repeat a value here
    expected.update(pair("head.norm", widths[-1]))
    expected.update(pair("head.fc", classes, widths[-1]))
    facts = {"in_chans": channels, "embed_dims": widths, "depths": depths, "num_heads": heads, "window_sizes": windows,
             "mlp_ratio": ratio(*mlp), "mbconv_expand_ratio": ratio(hidden, first), "num_classes": classes}
    return expected, facts


def detect_model(tensors):
    if any(n.startswith("score_predictor.") for n in tensors):
        return "dynamic_vit"
    if any(n.startswith(("stages.", "patch_embed.conv1.")) for n in tensors):
        return "tiny_vit"
    if any(n.startswith("blocks.") for n in tensors):
        return "vit"
    raise ConversionError("neither a ViT, a DeiT, a DynamicViT nor a TinyViT; it begins with %s"
                          % (listed(list(tensors)[:5]) or "nothing"))


def check(tensors, expected):
    """Exactly the tensors expected, of these shapes, finite floats."""
    unknown = [n for n in tensors if n not in expected]
    if unknown:
        raise ConversionError("%d tensor%s without a place in this model: %s"
                              % (len(unknown), "s" if len(unknown) > 1 else "", listed(unknown)))
    missing = [n for n in expected if n not in tensors]
    if missing:
        raise ConversionError("lacks %s" % listed(missing))
    for name, shape in expected.items():
        array = tensors[name]
        if array.shape != shape:
            raise ConversionError("%s has shape %s, expected %s" % (name, array.shape, shape))
        if array.dtype.kind != "f":
            raise ConversionError("%s holds %s, expected floating point" % (name, array.dtype.name))
        if not np.isfinite(array).all():
            raise ConversionError("%s holds values that are not finite (in float32)" % name)


def configuration(kind, facts, args, notes):
    """The model configuration file's content, keys in the order of the documentation."""
    if kind == "tiny_vit":
        img_size = args.img_size
        if img_size is None:
            img_size = 32 * facts["window_sizes"][-1]
            notes.append("img_size %d taken from the last window, as in the published models; --img-size gives another" % img_size)
        return {"model": kind, "img_size": img_size, **facts}
    heads = args.num_heads
    if heads is None:
        if facts["embed_dim"] % 64 != 0:
            raise ConversionError("embed_dim %d is not a multiple of 64: give --num-heads" % facts["embed_dim"])
        heads = facts["embed_dim"] // 64
    if facts["embed_dim"] % heads != 0:
        raise ConversionError("--num-heads %d does not divide embed_dim %d" % (heads, facts["embed_dim"]))
    config = {"model": kind}
    for key in ("img_size", "patch_size", "in_chans", "embed_dim", "depth", "num_heads", "mlp_ratio", "num_classes"):
        config[key] = heads if key == "num_heads" else facts[key]
    if kind == "vit":
        config["distilled"] = facts["distilled"]
        return config
    if args.keep_ratio is None:
        raise ConversionError("a DynamicViT file does not hold its keep ratio: give --keep-ratio, such as 0.7")
    stages = facts["stages"]
    config["pruning_loc"] = args.pruning_loc or [facts["depth"] * (s + 1) // (stages + 1) for s in range(stages)]
    if len(config["pruning_loc"]) != stages:
        raise ConversionError("--pruning-loc: %d stages in the file, %d given" % (stages, len(config["pruning_loc"])))
    if any(a >= b for a, b in zip([-1] + config["pruning_loc"], config["pruning_loc"] + [facts["depth"]])):
        raise ConversionError("--pruning-loc: blocks must ascend within 0..%d" % (facts["depth"] - 1))
    config["token_ratio"] = [args.keep_ratio ** (s + 1) for s in range(stages)]
    return config


# ---- the program -----------------------------------------------------------------------------------------------

def load(path, unsafe, ema):
    """{name: array} of any supported file, and the wrapper keys passed through."""
    with open(path, "rb") as f:
        start = f.read(9)
    if start[8:9] == b"{":
        if ema:
            raise ConversionError("--ema: a safetensors file holds one set of weights")
        tensors, path_inside = read_safetensors(path), []
    elif start[:1] == b"\x80" or start[:2] == b"PK":
        tensors, path_inside = unwrap(read_pytorch_unsafe(path) if unsafe else read_pytorch(path), ema)
    else:
        raise ConversionError("neither a safetensors nor a PyTorch file")
    return {str(n): to_array(n, v) for n, v in tensors.items()}, path_inside


def convert(args, notes):
    for output in (args.output, args.config):
        if output is not None and os.path.exists(output) and os.path.samefile(output, args.input):
            raise ConversionError("the output %s is the input" % output)
    if args.config is not None and os.path.abspath(args.config) == os.path.abspath(args.output):
        raise ConversionError("weights and configuration cannot have the same name")
    tensors, inside = load(args.input, args.unsafe, args.ema)
    if inside:
        notes.append("weights found under '%s'" % "/".join(inside))
    tensors, naming = rename(tensors, notes)
    kind = args.model or detect_model(tensors)
    if kind == "tiny_vit" and args.num_heads is not None:
        raise ConversionError("--num-heads is for vit and dynamic_vit; a TinyViT's heads follow from its tensors")
    if kind != "tiny_vit" and args.img_size is not None:
        raise ConversionError("--img-size is for tiny_vit; img_size follows from pos_embed")
    if kind != "dynamic_vit" and (args.keep_ratio is not None or args.pruning_loc is not None):
        raise ConversionError("--keep-ratio and --pruning-loc are for dynamic_vit")
    expected, facts = tiny_vit_layout(tensors) if kind == "tiny_vit" else vit_layout(tensors, kind)
    check(tensors, expected)
    files = [(args.output, safetensors_writer({n: tensors[n] for n in expected}, {"format": "pt", "model": kind}))]
    if args.config is not None:
        text = json.dumps(configuration(kind, facts, args, notes), indent=1) + "\n"
        files.append((args.config, lambda f: f.write(text.encode("utf-8"))))
    write_files(files)
    n_params = sum(math.prod(s) for n, s in expected.items() if not n.endswith((".running_mean", ".running_var")))
    return "%s (%s names): %d tensors, %d parameters -> %s" % (kind, naming, len(expected), n_params, args.output)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(EXIT_BAD_INPUT, "convert_checkpoint: %s\n" % message)


def positive_int(text):
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def keep_ratio(text):
    value = float(text)
    if not 0 < value <= 1:
        raise ValueError(text)
    return value


def int_list(text):
    return [int(part) for part in text.split(",")]


def main(argv=None):
    parser = Parser(prog="convert_checkpoint", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--model", choices=MODELS, help="refuse anything else; otherwise told from the tensors")
    parser.add_argument("--config", metavar="OUT_model.json", help="also write the model configuration")
    parser.add_argument("--ema", action="store_true", help="take the averaged weights of a training checkpoint")
    parser.add_argument("--num-heads", type=positive_int, help="vit, dynamic_vit; default embed_dim/64")
    parser.add_argument("--img-size", type=positive_int, help="tiny_vit; default 32 x the last window")
    parser.add_argument("--keep-ratio", type=keep_ratio, help="dynamic_vit with --config: tokens kept by each stage, in (0, 1]")
    parser.add_argument("--pruning-loc", type=int_list, metavar="I,J,..", help="dynamic_vit; default evenly spaced (3,6,9 of 12)")
    parser.add_argument("--unsafe", action="store_true", help="unpickle everything: runs whatever code the file holds")
    args = parser.parse_args(argv)
    notes = []
    try:
        summary = convert(args, notes)
    except ConversionError as error:
        print("convert_checkpoint: %s: %s" % (args.input, error), file=sys.stderr)
        return error.status
    except (FileNotFoundError, IsADirectoryError, PermissionError, NotADirectoryError) as error:
        print("convert_checkpoint: %s: %s" % (error.filename, error.strerror), file=sys.stderr)
        return EXIT_BAD_INPUT
    except OSError as error:
        print("convert_checkpoint: %s: %s" % (error.filename or args.output, error.strerror), file=sys.stderr)
        return EXIT_IO
    for note in notes:
        print("note: %s" % note, file=sys.stderr)
    print(summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
