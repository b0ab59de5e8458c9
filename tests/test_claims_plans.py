#!/usr/bin/env python3
"""Do the experiments that claims name make the runs that decide them?

For every part of experiments/claims.json each planned cell of its "made_by" becomes a made-up result whose figures differ clearly from model to
model and hardly from seed to seed. Then no comparison can be too close, so each part must hold or fail by these results alone: one that stays
undecided asks for cells that nobody plans.
"""
import copy
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

from forged import put, text_digest, write

BINARY = os.environ.get("BINARY") or (sys.argv[1] if len(sys.argv) > 1 else "build/release/morbench")
BINARY = os.path.abspath(BINARY)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CLAIMS = os.path.join(ROOT, "experiments", "claims.json")
BASE = json.load(open(os.path.join(ROOT, "results", "reference", "mor_d96_c2x3_p4_lin_28", "run.json")))
FIGURES = ["/model/params_count", "/model/counts/macs", "/model/counts/macs_executed", "/metrics/latency_ns", "/metrics/peak_activation_bytes",
           "/metrics/train_step_macs_count", "/accuracy/top1_ratio", "/depth_histogram/image_mean_depth_sd_count", "/depth_histogram/gradient_spearman"]


def directory_of(made_by):
    return made_by.split("/")[1].replace(" ", "_")


def chance(*of):
    """A number in [0, 1) that these things decide."""
    return int(hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:8], 16) / 2**32


def plan(made_by, where):
    file, *options = made_by.split()
    done = subprocess.run([BINARY, "plan", os.path.join(ROOT, file), *options, "--threads", "2", "--out", where, "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"morbench plan {made_by}: {done.stderr.strip()}")
    return json.loads(done.stdout)["cells"]


def origin(cell, cells):
    """The training whose weights an evaluation takes: the same row without what is varied at test time."""
    row = {k: v for k, v in cell["rows"][0].items() if k != "evaluation" and not k.startswith("test_")}
    return next(c for c in cells if c["kind"] == "train" and any({k: r[k] for k in row if k in r} == row for r in c["rows"]))


def made_up(cell, cells, session):
    run = copy.deepcopy(BASE)
    settings, row = cell["settings"], cell["rows"][0]
    model = dict(settings["model"])
    run["kind"], run["model"]["name"], run["model"]["preset"] = cell["kind"], model.pop("model"), ""
    run["model"]["settings"], run["experiment"] = model, settings
    for pointer in FIGURES:
        put(run, pointer, None)
        put(run, pointer + "_reason", "not_requested")
    source = origin(cell, cells) if cell["kind"] == "eval" else cell
    data = text_digest(settings["data"]["dir"], settings["data"]["name"])
    put(run, "/model/classes_count", model["num_classes"])
    put(run, "/model/height_count", model["img_size"])
    put(run, "/model/params_count", cell["params_count"])
    put(run, "/model/weights_sha256", text_digest(source["id"]))
    adaptive = model.get("router") in ("token", "layer") or model.get("select") == "threshold"
    put(run, "/model/counts/macs", cell["macs"])
    put(run, "/model/counts/macs_executed", cell["macs"] * (0.654 if adaptive else 1))    # about what linear capacities leave
    if cell["kind"] == "bench":
        step = row["pass"] == "train_step"
        put(run, "/metrics/latency_of", "train_step" if step else "forward")
        put(run, "/metrics/batch_size_count", row["batch"])
        put(run, "/metrics/threads_effective_count", row["threads"])
        put(run, "/provenance/session", session)
        run["env_id"] = "0123456789abcdef"
        centre, draw = 1e6 * (1 + 9 * chance(model)), random.Random(cell["id"])
        put(run, "/metrics/latency_ns", centre)
        put(run, "/metrics/peak_activation_bytes", int(1e6 * (1 + chance(model, "bytes"))))
        put(run, "/metrics/train_step_macs_count", int(3 * cell["macs"] * row["batch"]) if step else None)
        run["samples"] = {"latency_ns": [centre * (1 + 0.001 * draw.gauss(0, 1)) for _ in range(30)], "latency_process": [i // 3 for i in range(30)]}
        return run
    seed = row["seed"]
    level = 0.3 + 0.5 * chance(model, source["settings"]["model"], settings["data"]["classes"], source["settings"]["train"].get("init_from") or "")
    put(run, "/accuracy/top1_ratio", level + 0.0001 * ((7 * seed) % 3))
    put(run, "/depth_histogram/image_mean_depth_sd_count", 0.2 + chance(model, "sd") + 0.0001 * ((7 * seed) % 3))
    put(run, "/depth_histogram/gradient_spearman", chance(model, "edges") - 0.5 + 0.0001 * ((7 * seed) % 3))
    put(run, "/data/digest", data if cell["kind"] == "eval" else text_digest(data, "train"))
    put(run, "/data/test/digest", data)
    if cell["kind"] == "eval":
        run["data"].pop("test")
    if settings.get("train", {}).get("new_head"):
        put(run, "/model/initial_weights_sha256", text_digest(source["id"], "before"))
    if "from_dense" in row.get("cell", ""):
        put(run, "/experiment/train/init_from", {"model": {"model": "vit"}, "weights_sha256": text_digest(seed)})
    return run


if subprocess.run([BINARY, "plan", "--help"], capture_output=True).returncode != 0:
    print("this version has no `plan`")
    sys.exit(77)
failures = checked = 0
top = tempfile.mkdtemp(prefix="morbench-claims-plans-")
try:
    files = []
    for claim in json.load(open(CLAIMS))["claims"]:
        for part in claim.get("parts", []):
            files += [f for f in part["made_by"] if f not in files]
    for made_by in files:
        cells = plan(made_by, os.path.join(top, "none"))
        for cell in cells:
            write(made_up(cell, cells, made_by), os.path.join(top, "results", directory_of(made_by), cell["id"]))
    for claim in json.load(open(CLAIMS))["claims"]:
        for i, part in enumerate(claim.get("parts", [])):
            checked += 1
            own = os.path.join(top, "own", f"{claim['id']}-{i}")
            for made_by in part["made_by"]:
                shutil.copytree(os.path.join(top, "results", directory_of(made_by)), os.path.join(own, directory_of(made_by)), copy_function=os.link)
            done = subprocess.run([BINARY, "report", own, "--claims", "--claims-file", CLAIMS, "--json"], capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(done.stderr)
            found = next(c for c in json.loads(done.stdout)["claims"] if c["id"] == claim["id"])["parts"][i]
            if found["verdict"] != "undecided":
                print(f"ok: claim {claim['id']}, part {i + 1}: its experiments decide it ({len(found['pairs'])} pairs)")
                continue
            failures += 1
            why = sorted({c["lacks"] or "too close" for p in found["pairs"] for c in p["comparisons"] if c["verdict"] in ("undecided", "not counted")})
            print(f"FAILED: claim {claim['id']}, part {i + 1} is undecided with all of {found['commands']}: {found['missing']} {why} {len(found['pairs'])} pairs")
finally:
    shutil.rmtree(top)
print(f"Ran {checked} tests")
sys.exit(1 if failures else 0)
