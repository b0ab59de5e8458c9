#!/usr/bin/env python3
"""Holds convert_checkpoint.py and torch_vit.py, and morbench if given, against timm's own classes. Needs timm; no test does.

    check_timm.py [--morbench build/release/morbench] [MODEL ...]

For each model: timm's class with random weights is saved with torch.save and converted; the tensors must be timm's state
dict to the byte, less its counters; torch_vit's logits (ViT and DeiT) and morbench's on the converted files must be
timm's. Exit status 1 if anything differs.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import timm
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..")]
import convert_checkpoint                                              # noqa: E402
import torch_vit                                                       # noqa: E402
from checkpoint_files import read_safetensors, safetensors_writer, write_files     # noqa: E402

MODELS = ("vit_tiny_patch16_224", "vit_tiny_patch16_384", "deit_tiny_distilled_patch16_224", "vit_small_patch16_224",
          "tiny_vit_5m_224", "tiny_vit_21m_384")
# Largest logit difference over the largest logit. float32 in two summation orders over 12 blocks stays below 1e-5 here;
# one forgotten bias or another layer norm epsilon exceeds 1e-3.
LIMIT = 1e-4


def randomised(name):
    torch.manual_seed(1)
    model = timm.create_model(name, pretrained=False, num_classes=1000).eval()
    with torch.no_grad():
        for key, value in list(model.named_parameters()) + list(model.named_buffers()):
            if key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif value.is_floating_point():
                value.add_(torch.randn_like(value) * 0.02)
    return model


def check(name, morbench, folder):
    """Lines of complaint."""
    def at(file):
        return os.path.join(folder, file)
    model = randomised(name)
    torch.save({"model": model.state_dict()}, at("checkpoint.pth"))
    if convert_checkpoint.main([at("checkpoint.pth"), at("weights.safetensors"), "--config", at("model.json")]) != 0:
        return ["conversion failed"]
    complaints = []
    converted = read_safetensors(at("weights.safetensors"))
    expected = {n: t.numpy() for n, t in model.state_dict().items()
                if not n.endswith(("num_batches_tracked", "attention_bias_idxs"))}
    if set(converted) != set(expected):
        complaints.append("names differ: %s" % sorted(set(converted) ^ set(expected)))
    complaints += ["%s differs" % n for n in converted if n in expected and converted[n].tobytes() != expected[n].tobytes()]
    with open(at("model.json"), encoding="utf-8") as f:
        config = json.load(f)
    if config["img_size"] != model.default_cfg["input_size"][1]:
        complaints.append("img_size %d, timm's %d" % (config["img_size"], model.default_cfg["input_size"][1]))
    heads = model.blocks[0].attn.num_heads if config["model"] == "vit" else [s.blocks[0].attn.num_heads for s in model.stages[1:]]
    if heads != (config["num_heads"] if config["model"] == "vit" else config["num_heads"][1:]):
        complaints.append("num_heads %s, timm's %s" % (config["num_heads"], heads))

    images = torch.randn(2, 3, config["img_size"], config["img_size"])
    with torch.inference_mode():
        logits = model(images).numpy()
    answers = {}
    if config["model"] == "vit":
        ours = torch_vit.Vit(torch_vit.sizes_of(name)).eval()
        ours.load_state_dict({n: torch.from_numpy(np.array(a)) for n, a in converted.items()})
        with torch.inference_mode():
            answers["torch_vit"] = ours(images).numpy()
    if morbench is not None:
        write_files([(at("input.safetensors"), safetensors_writer({"input": images.numpy()}, {}))])
        subprocess.run([morbench, "forward", "--config", at("model.json"), "--weights", at("weights.safetensors"),
                        "--input", at("input.safetensors"), "--output", at("output.safetensors")], check=True)
        answers["morbench"] = np.array(read_safetensors(at("output.safetensors"))["logits"])
    for who, answer in answers.items():
        difference = float(np.abs(answer - logits).max() / np.abs(logits).max())
        print("  %s: logits within %.2g of timm's" % (who, difference))
        if not difference <= LIMIT:
            complaints.append("%s: logits differ by %.2g" % (who, difference))
    return complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", default=MODELS)
    parser.add_argument("--morbench", help="also check this program's forward")
    args = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    n_bad = 0
    for name in args.models:
        with tempfile.TemporaryDirectory() as folder:
            complaints = check(name, args.morbench, folder)
        print("%s: %s" % (name, "; ".join(complaints) or "ok"), flush=True)
        n_bad += bool(complaints)
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
