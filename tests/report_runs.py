#!/usr/bin/env python3
"""A directory of made-up results in which every plot of a report has data: for tests of reports, and to look at.

    report_runs.py DIR [hostile]       made out of results/reference; hostile: with names that try to act
"""
import copy
import json
import pathlib
import struct
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from forge_run import draw_samples, put, save  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
# every language between a file and a reader: shell, gnuplot, HTML, LaTeX, CSV, Markdown, terminal; a line end; direction of writing
HOSTILE = ("=cmd|'`touch {0}/pwned`'!A1,\"x\"\n</title></script><script>window.pwned=1</script><img src=x onerror=window.pwned=2> \\input{{x}} "
           "${{(7*7)}} & | \x1b[31m '; system('touch {0}/pwned'); \"; system(\"touch {0}/pwned\") # \u202e\u009b %s %d 50 % ")


def reference(name):
    with open(ROOT / "results" / "reference" / name / "run.json") as file:
        return json.load(file)


def timing(run, preset, method, batch, threads, ms, weights):
    """A bench of the run's model."""
    run = copy.deepcopy(run)
    run["kind"] = "bench"
    run["curves"] = []
    run["accuracy"] = {key: None for key in ("top1_ratio", "top1_low_ratio", "top1_high_ratio", "top5_ratio", "images_count", "loss")}
    run["accuracy"].update({key + "_reason": "not_requested" for key in list(run["accuracy"])})
    digest = run["data"].get("test", {}).get("digest")
    run["data"].pop("test", None)
    run["data"]["digest"] = digest
    run["model"]["preset"], run["model"]["name"], run["model"]["weights_sha256"] = preset, method, weights
    m = run["metrics"]
    m.update({"batch_size_count": batch, "threads_effective_count": threads, "latency_of": "forward", "latency_ns": ms * 1e6,
              "latency_low_ns": 0.97 * ms * 1e6, "latency_high_ns": 1.04 * ms * 1e6, "images_per_s": 1e3 * batch / ms,
              "images_low_per_s": 960 * batch / ms, "images_high_per_s": 1030 * batch / ms, "epochs_count": 1})
    run["experiment"] = {"mode": "forward", "batch_size_count": batch, "threads_requested_count": threads}
    draw_samples(run, ms)
    run["provenance"]["command_line"] = ["bench", "--preset", preset, "--batch", str(batch), "--threads", str(threads)]
    scopes, ops = [], []
    for layer in range(4):
        for part, share in (("attn", 0.1), ("mlp", 0.14)):
            scopes.append({"scope": f"blocks.{layer}.{part}", "pass": "forward", "calls_count": 3, "macs": 4000000 * batch,
                           "elementwise_count": 1000, "moved_bytes": 100000 * batch, "elapsed_ns": int(share * ms * 1e6)})
    for op, macs, elements, moved in (("linear", 10000000, 1000000, 2000000), ("attention", 3000000, 60000, 900000), ("layer_norm", 0, 300000, 480000),
                                      ("gather_rows", 0, 0, 90000)):
        ops.append({"op": op, "pass": "forward", "calls_count": 3, "macs": macs * batch, "elementwise_count": elements * batch,
                    "moved_bytes": moved * batch, "elapsed_ns": int(0.25 * ms * 1e6)})
    run["profile"] = {"passes_count": 1, "images_count": batch, "scopes": scopes, "ops": ops, "parts": []}
    run["roofline"] = {"fma_peak_flops_2x_per_s": 4.8e11, "l1_read_bytes_per_s": 6e11, "l2_read_bytes_per_s": 3.7e11, "l3_read_bytes_per_s": 5.9e10,
                       "memory_triad_bytes_per_s": 3.1e10, "achieved_flops_2x_per_s": 2e11, "flops_2x_per_moved_byte": 40.0, "peak_ratio": 0.42}
    return run


def warn(run, code, verdict, text="text of the warning", advice="what to do"):
    run["warnings"] = [{"code": code, "lowers_to": verdict, "text": text, "advice": advice, "detail": "by a tenth"}]
    run["validity"] = {"verdict": verdict, "reasons": [code]}


def png(width=24, height=24):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes((10 * x + 5 * y) % 256 for x in range(width)) for y in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def experiment(directory, evil, factors, cells):
    directory.mkdir(parents=True, exist_ok=True)
    names = [{"name": name, "label": name, "pointer": None} for name in ("cell", "seed", "batch", "threads", "pass")]
    with open(directory / "experiment.json", "w") as file:
        json.dump({"schema": "morbench.experiment/1", "experiment": "asked" + evil, "size": "small", "question": "Why?" + evil,
                   "caption": "Short training at small scale." + evil, "factors": names[:1] + factors + names[1:],
                   "cells": [{"id": f"{i:016x}", "name": f"cell {i}", "kind": kind, "factors": row, "directory": where}
                             for i, (row, kind, where) in enumerate(cells)]}, file)


def make(directory, hostile=False):
    directory = pathlib.Path(directory)
    evil = HOSTILE.format(directory) if hostile else ""
    vit, routed = reference("vit_d96_l6_p4_28"), reference("mor_d96_c2x3_p4_lin_28")
    if hostile:
        for run in (vit, routed):
            run["model"]["preset"] += evil
            run["data"]["name"] = "data" + evil
            run["provenance"]["command_line"] = ["train", evil, "it's"]
            put(run, "/env/cpu_model", "CPU" + evil)
            run["provenance"]["started_utc"] = "<b>" + evil
            run["data"]["preprocess"] = evil
    for name, run in (("vit", vit), ("mor", routed)):
        save(run, directory / "train" / (name + ("'`touch pwned`;\n$(touch pwned)<b>" if hostile else "")) / "run.json")
    for i, capacity in enumerate((0.25, 0.5, 0.75)):                  # an ablation over a number, three seeds each
        for seed in (1, 2, 3):
            run = copy.deepcopy(routed)
            put(run, "/experiment/model/capacity", capacity)
            put(run, "/model/settings/capacity", capacity)
            put(run, "/experiment/train/seed", seed)
            put(run, "/experiment/train/epochs", 21)                  # unlike the reference: no point of this curve
            run["model"]["weights_sha256"] = f"{16 * i + seed:064x}"
            top1 = 0.86 + 0.05 * capacity + 0.002 * seed
            run["accuracy"].update({"top1_ratio": top1, "top1_low_ratio": top1 - 0.006, "top1_high_ratio": top1 + 0.006})
            for key in ("macs_executed", "macs_executed_min", "macs_executed_max"):
                run["model"]["counts"][key] = 36e6 * (0.4 + 0.5 * capacity)
            run["id"] = f"{256 + 16 * i + seed:016x}"
            save(run, directory / "ablation" / f"c{i}_s{seed}" / "run.json")
    # the same as morbench run would list them: along a number, with one cell that never ran; and timings alone, by name
    experiment(directory / "ablation", evil, [{"name": "capacity", "label": "capacity c" + evil, "pointer": "/model/capacity"}],
               [({"cell": "routed" + evil, "capacity": capacity, "seed": seed}, "train", f"c{i}_s{seed}")
                for i, capacity in enumerate((0.25, 0.5, 0.75)) for seed in (1, 2, 3)] + [({"cell": "routed" + evil, "capacity": 1.0, "seed": 1}, "train", "none")])
    experiment(directory / "bench", evil, [], [({"cell": name + evil, "batch": 1, "threads": 2, "pass": "forward"}, "bench", f"{name}_b1_t2") for name in ("vit", "mor")])
    for name, run, ms in (("vit", vit, 0.8), ("mor", routed, 0.6)):
        for threads in (1, 2):
            for batch in (1, 16):
                cell = timing(run, run["model"]["preset"], run["model"]["name"], batch, threads, ms * batch ** 0.8 / threads ** 0.8, run["model"]["weights_sha256"])
                cell["id"] = f"{(1 if name == 'vit' else 2) * 4096 + 64 * threads + batch:016x}"
                if threads == 1:
                    warn(cell, "smoke_profile", "SMOKE", "a smoke test" + evil, "measure longer" + evil)
                save(cell, directory / "bench" / f"{name}_b{batch}_t{threads}" / "run.json")
                if batch == 16 and threads == 2:                      # the same cell on another machine
                    other = copy.deepcopy(cell)
                    other["env_id"] = other["env"]["env_id"] = "00000000000000ab"
                    other["metrics"]["images_per_s"] *= 1.7
                    other["metrics"]["images_low_per_s"] *= 1.7
                    other["metrics"]["images_high_per_s"] *= 1.7
                    save(other, directory / "elsewhere" / name / "run.json")
    slow = timing(vit, "slow" + evil, "vit", 16, 2, 99.0, None)
    slow["id"] = "00000000000000cc"
    warn(slow, "threads_short", "INVALID", "fewer threads" + evil)
    save(slow, directory / "bench" / "invalid" / "run.json")
    fast = timing(vit, "untold" + evil, "tiny_vit", 16, 2, 0.9, "f" * 64)
    fast["id"] = "00000000000000dd"
    save(fast, directory / "bench" / "speed_only" / "run.json")
    (directory / "bench" / "speed_only" / "depth_map_0.png").write_bytes(png())
    (directory / "bench" / "speed_only" / "depth_grid.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><script>window.pwned=3</script><rect width="9" height="9" onload="window.pwned=4"/></svg>')
    (directory / "bench" / "speed_only" / "depth_no.png").write_bytes(b"<script>window.pwned=5</script>")


if __name__ == "__main__":
    make(sys.argv[1], len(sys.argv) > 2)
