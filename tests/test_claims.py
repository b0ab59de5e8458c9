#!/usr/bin/env python3
"""morbench report --claims: every claim of experiments/claims.json is fed made-up results that make it hold, fail and stay undecided.

The results are made from the claims' own selections, so a new claim that uses known measures is tested without a line here.
"""
import copy
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

from forged import put, text_digest, write

BINARY = os.environ.get("BINARY") or (sys.argv[1] if len(sys.argv) > 1 else "build/release/morbench")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CLAIMS = os.path.join(ROOT, "experiments", "claims.json")
BASE = json.load(open(os.path.join(ROOT, "results", "reference", "mor_d96_c2x3_p4_lin_28", "run.json")))
VIT = json.load(open(os.path.join(ROOT, "results", "reference", "vit_d96_l6_p4_28", "run.json")))
POINTER = {
    "params": "/model/params_count", "macs": "/model/counts/macs", "macs_executed": "/model/counts/macs_executed",
    "latency": "/metrics/latency_ns", "peak_bytes": "/metrics/peak_activation_bytes", "step_macs": "/metrics/train_step_macs_count",
    "top1": "/accuracy/top1_ratio", "image_depth_sd": "/depth_histogram/image_mean_depth_sd_count",
    "depth_gradient": "/depth_histogram/gradient_spearman",
}
EXACT = ("params", "macs", "step_macs", "peak_bytes")
LAYERS = 8
failures = checked = claims_checked = 0


def variants(selection):
    """What a selection allows, as {pointer: value}: lists multiplied, conditions met. Those about the training come apart."""
    plain, apart = {}, {}
    for pointer, wanted in selection.items():
        if pointer.startswith("/derived/"):               # of the base, which every run is made from
            continue
        if not isinstance(wanted, dict):                  # a training run is its own
            pointer = pointer.removeprefix("/trained")
        if isinstance(wanted, list):
            plain[pointer] = wanted[:1] if pointer == "/kind" else wanted
        elif not isinstance(wanted, dict):
            plain[pointer] = [wanted]
        elif "min" in wanted:
            pass                                          # blocks, which shape() chooses
        elif wanted == {"not": ""}:
            plain[pointer] = [text_digest(pointer)]
        else:
            apart[pointer] = next(iter(wanted))
    for values in itertools.product(*plain.values()):
        yield dict(zip(plain, values)), apart


def shape(run, settings, width):
    """Layers alike in all: blocks or recursions that the selection leaves open follow."""
    model = run["model"]["settings"]
    if "embed_dim" in model:
        model["embed_dim"] = width
    if run["model"]["name"] != "mor_vit":
        return
    ends = 2 if model["sharing"].startswith("middle") else 0
    fixed_k = "/model/settings/blocks_per_recursion" in settings
    fixed_r = "/model/settings/recursions" in settings
    if fixed_k and not fixed_r:
        model["recursions"] = (LAYERS - ends) // model["blocks_per_recursion"]
    elif not fixed_k:
        model["recursions"] = model["recursions"] if fixed_r else 2
        model["blocks_per_recursion"] = round((LAYERS - ends) / model["recursions"])


def layers_of(model):
    if "depth" in model:
        return model["depth"]
    return model["blocks_per_recursion"] * model["recursions"] + (2 if model["sharing"].startswith("middle") else 0)


def give(run, field, value):
    """The run as one that has this value."""
    if field == "image_depth_spread":                     # the base's 64 patches and a class token that always goes deepest
        depths = run["depth_histogram"]["tokens_count"]
        images, each = run["depth_histogram"]["images_count"], run["depth_histogram"]["tokens_per_image_count"] - 1
        patches = depths[:-1] + [depths[-1] - images]
        mean = sum(d * n for d, n in enumerate(patches)) / sum(patches)
        alone = (sum((d - mean) ** 2 * n for d, n in enumerate(patches)) / sum(patches) / each) ** 0.5
        field, value = "image_depth_sd", value * alone
    put(run, POINTER[field], value)
    if field == "macs_executed":
        put(run, "/model/counts/macs_executed_min", value)
        put(run, "/model/counts/macs_executed_max", value)


def fresh(settings, width, layers, agreed):
    """A run of these settings that has none of the figures claims are about, but for those that a pair must agree in."""
    run = copy.deepcopy(VIT if settings.get("/model/name") in ("vit", "dynamic_vit", "tiny_vit") else BASE)
    for pointer in POINTER.values():
        put(run, pointer, None)
        put(run, pointer + "_reason", "not_requested")
    for pointer in agreed:
        put(run, pointer, 1e6)
    for pointer, value in settings.items():
        put(run, pointer, value)
    shape(run, settings, width)
    if "depth" in run["model"]["settings"]:
        run["model"]["settings"]["depth"] = layers
    run["model"]["preset"] = ""
    return run


def samples(run, median, seed):
    draw = random.Random(seed)
    run["kind"] = "bench"
    run["env_id"] = "0123456789abcdef"
    put(run, "/provenance/session", "one")
    put(run, "/metrics/latency_ns", median)
    values, process = [], []
    for p in range(10):
        centre = median * (1 + 0.004 * draw.gauss(0, 1))
        values += [centre * (1 + 0.004 * draw.gauss(0, 1)) for _ in range(5)]
        process += [p] * 5
    run["samples"] = {"latency_ns": values, "latency_process": process}


class Directory:
    """Result files that give one claim one verdict."""

    def __init__(self, path, good, seeds):
        self.path, self.good, self.seeds, self.n, self.layers, self.agreed, self.ruled_out = path, good, seeds, 0, LAYERS, [], False

    def write(self, run):
        self.n += 1
        write(run, os.path.join(self.path, f"cell{self.n}"))

    def value_of_a(self, part, condition, b):
        """A value for A that meets the condition, or misses it, clear of noise. A model that an exact number rules out is none that an "any" of
        several kinds of conditions speaks of, so what fails there is the rest."""
        exact = [c["field"] in EXACT for c in part["conditions"]]
        spared = part.get("over") == "any" and condition["field"] in EXACT and not all(exact) and not self.ruled_out
        word = next(k for k in ("at_most", "at_least", "above", "below") if k in condition)
        up = (word in ("at_least", "above")) == (self.good or spared)
        threshold = condition[word]
        if condition["measure"] == "ratio":
            return threshold * (1.12 if up else 0.88) * b
        step = 0.03 if up else -0.03
        return threshold + step if condition["measure"] == "value" else b + threshold + step

    def field(self, settings, condition, value, seed, width, side, trained):
        run = fresh(settings, width, self.layers, self.agreed)
        run["model"]["weights_sha256"] = text_digest(sorted(settings.items(), key=str), seed, width, side, str(trained))
        if trained:                                       # the training of these weights, which had another setting
            origin = copy.deepcopy(run)
            origin["kind"] = "train"
            for pointer, how in trained.items():
                key = pointer.split("/")[-1]
                held = run["model"]["settings"][key]
                if key == "recursions":
                    run["model"]["settings"][key] = held + (-1 if how == "less_than" else 1)
                else:
                    run["model"]["settings"][key] = "flat"
            put(origin, "/experiment/train/seed", seed)
            put(origin, "/accuracy/top1_ratio", 0.5 + 0.002 * seed)
            self.write(origin)
            run["kind"] = "eval"
            run["experiment"] = {}
            run["data"] = origin["data"]["test"]
        else:
            put(run, "/experiment/train/seed", seed)
        give(run, condition["field"], value)
        return run

    def part(self, part):
        widths = (64, 128, 256) if any(c["measure"] == "trend" for c in part["conditions"]) else (96,)
        if part.get("over") == "any":                     # that none will do takes several
            widths = tuple(64 * (i + 1) for i in range(part.get("at_least", 1)))
        for settings, trained in variants(part["a"]):
            for condition in part["conditions"]:
                self.condition(part, settings, trained, condition, widths)

    def condition(self, part, settings, trained, condition, widths):
        where = condition.get("where", {})
        seeded = condition["field"] in ("top1", "image_depth_sd", "image_depth_spread", "depth_gradient")
        for seed in self.seeds if seeded else self.seeds[:1]:
            for width in widths:
                noise = 0.001 * ((seed * 7) % 3 - 1)
                b = 1e6 if not seeded else 0.0 if condition["field"] == "depth_gradient" else 0.5 + 0.002 * seed
                if condition["measure"] == "trend":       # the gap closes with the width, or opens
                    a = b + (0.02 if self.good else -0.02) * {64: 0, 128: 1, 256: 2}[width] + noise
                else:
                    a = self.value_of_a(part, condition, b) + (noise if seeded else 0)
                self.one(settings | where, condition, a, seed, width, "a", trained)
                for other, _ in variants(part["b"]) if "b" in part else ():
                    other |= {m: settings[m] for m in part.get("match", []) if isinstance(m, str) and m in settings and m not in other}
                    if trained:                           # as A was evaluated, or as A was trained: whichever the claim is about
                        other = dict(other)
                        if "/model/settings/capacity" in trained:
                            other["/model/settings/capacity"] = "flat"
                    self.one(other | where, condition, b, seed, width, "b", {})

    def one(self, settings, condition, value, seed, width, side, trained):
        run = self.field(settings, condition, value, seed, width, side, trained)
        if condition["field"] == "latency":
            samples(run, value, seed + (side == "a"))
            put(run, "/metrics/latency_of", settings["/metrics/latency_of"])
        if side == "a":
            self.layers = layers_of(run["model"]["settings"]) if "embed_dim" in run["model"]["settings"] else LAYERS
        self.write(run)


def expanded(claims):
    """Shared selections put where they are named, as the program does."""
    for claim in claims["claims"]:
        for part in claim.get("parts", []):
            for owner, key in [(part, "a"), (part, "b")] + [(c, "where") for c in part["conditions"]]:
                if "like" in owner.get(key, {}):
                    name = owner[key].pop("like")
                    owner[key] = claims["selections"][name] | owner[key]
    return claims


def judged(directory, *options):
    done = subprocess.run([BINARY, "report", directory, "--claims", "--claims-file", CLAIMS, *options], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout


def expect(what, found, wanted):
    global failures, checked
    checked += 1
    if found != wanted:
        failures += 1
        print(f"FAILED: {what}: expected {wanted}, got {found}")
    else:
        print(f"ok: {what}: {wanted}")


def verdict(directory, claim_id):
    found = {c["id"]: c for c in json.loads(judged(directory, "--json"))["claims"]}[claim_id]
    return found


top = tempfile.mkdtemp(prefix="morbench-claims-")
try:
    for claim in expanded(json.load(open(CLAIMS)))["claims"]:
        claims_checked += 1
        cases = [("holds", True, (1, 2, 3)), ("fails", False, (1, 2, 3)), ("undecided", True, (1, 2))]
        if "untestable" in claim:
            cases = [("not testable", True, (1,))]
        for wanted, good, seeds in cases:
            directory = Directory(os.path.join(top, f"{claim['id']}-{wanted}"), good, seeds)
            exact_only = all(c["field"] in EXACT + ("latency",) for p in claim.get("parts", []) for c in p["conditions"])
            directory.agreed = [m for p in claim.get("parts", []) for one in p.get("match", []) if isinstance(one, dict)
                                for m in one if not m.startswith("/derived/")]
            for part in claim.get("parts", []):
                if wanted == "undecided" and exact_only:  # seeds play no part: one of two models is missing
                    part = dict(part, b={"/model/name": "tiny_vit"})
                directory.part(part)
            if directory.n == 0:
                directory.write(copy.deepcopy(BASE))
            found = verdict(directory.path, claim["id"])
            expect(f"claim {claim['id']}", found["verdict"], wanted)
            if found["verdict"] != wanted:
                print(json.dumps(found, indent=1)[:6000])
            if wanted == "holds":
                conditions = [c for p in claim["parts"] for c in p["conditions"]] if "untestable" not in claim else []
                line = next(x for x in open(os.path.join(directory.path, "claims.md")) if x.startswith(f"| {claim['id']} |"))
                untold = [c for c in conditions if line.count(f"{c['measure']} of {c['field']} ") < sum(k["measure"] == c["measure"] and k["field"] == c["field"] for k in conditions)]
                expect(f"conditions of claim {claim['id']} that its line in claims.md does not tell", untold, [])
    # models that an exact number rules out do not make an "any" fail
    for claim in expanded(json.load(open(CLAIMS)))["claims"]:
        parts = [p for p in claim.get("parts", []) if p.get("over") == "any" and 0 < sum(c["field"] in EXACT for c in p["conditions"]) < len(p["conditions"])]
        for part in parts:
            directory = Directory(os.path.join(top, f"{claim['id']}-ruled-out"), False, (1, 2, 3))
            directory.ruled_out = True
            directory.part(part)
            found = verdict(directory.path, claim["id"])
            expect(f"claim {claim['id']} is open where all models are ruled out", found["verdict"], "undecided")
            expect("and says so of every pair", {p["verdict"] for p in found["parts"][0]["pairs"]}, {"not counted"})
    # what a run of an earlier version does not say has its fallback
    claim = next(c for c in expanded(json.load(open(CLAIMS)))["claims"] if c["id"] == "13")
    directory = Directory(os.path.join(top, "13-earlier"), True, (1, 2, 3))
    directory.agreed = ["/model/counts/macs_executed"]
    whole = directory.write

    def without(run):
        run["experiment"].setdefault("data", {}).pop("classes", None)
        if run["experiment"]["train"]["seed"] != 1:
            put(run, "/experiment/data/classes", "")
        whole(run)

    directory.write = without
    directory.part(claim["parts"][0])
    expect("runs that do not name classes yet are of all", verdict(directory.path, "13")["verdict"], "holds")
    # a context of too few seeds bars no verdict, and decides nothing either
    for wanted, good in (("holds", True), ("fails", False)):
        claim = next(c for c in expanded(json.load(open(CLAIMS)))["claims"] if c["id"] == "13")
        directory = Directory(os.path.join(top, f"13-{wanted}-and-more"), good, (1, 2, 3))
        directory.agreed = ["/model/counts/macs_executed"]
        directory.part(claim["parts"][0])
        original, directory.good, directory.seeds = directory.one, not good, (1,)

        def elsewhere(settings, condition, value, seed, width, side, trained, directory=directory):
            run = directory.field(settings, condition, value, seed, width, side, trained)
            put(run, "/data/test/digest", "f" * 64)
            directory.write(run)

        directory.one = elsewhere
        directory.part(claim["parts"][0])
        found = verdict(directory.path, "13")
        expect("one seed on other data bars no verdict", found["verdict"], wanted)
        expect("and is listed as not counted", "not counted" in {c["verdict"] for p in found["parts"][0]["pairs"] for c in p["comparisons"]}, True)
    # what is missing is named, with the command that makes it, and the text says so too
    lone = Directory(os.path.join(top, "lone"), True, (1,))
    lone.write(copy.deepcopy(BASE))
    text = judged(lone.path)
    expect("a directory of one run: missing arms are named", "missing: no run of B" in text, True)
    expect("with the command that makes them", "morbench run experiments/02_depth.json" in text, True)
    expect("claims.md and claims.json are written", all(os.path.exists(os.path.join(lone.path, f)) for f in ("claims.md", "claims.json")), True)
    # runs trained otherwise are no pair, and a failed or INVALID one decides nothing
    for what, pointer, value in (("another recipe", "/experiment/train/epochs", 99), ("another test set", "/data/test/digest", "f" * 64),
                                 ("an INVALID run", "/validity/verdict", "INVALID"), ("generated images", "/data/synthetic", True), ("a failed run", "/status", "failed")):
        claim = next(c for c in expanded(json.load(open(CLAIMS)))["claims"] if c["id"] == "13")
        directory = Directory(os.path.join(top, "odd" + pointer.replace("/", "-")), True, (1, 2, 3))
        original = directory.one

        def changed(settings, condition, val, seed, width, side, trained, original=original, directory=directory, pointer=pointer, value=value):
            run = directory.field(settings, condition, val, seed, width, side, trained)
            if side == "b":
                put(run, pointer, value)
            directory.write(run)

        directory.one = changed
        directory.agreed = ["/model/counts/macs_executed"]
        for part in claim["parts"]:
            directory.part(part)
        expect(f"{what} on one side decides nothing", verdict(directory.path, "13")["verdict"], "undecided")
    # a wrong file of claims is answered with what is wrong
    for what, change, message in (
            ("an unknown measure", ("measure", "quotient"), "no measure \"quotient\""),
            ("an unknown field", ("field", "accuracy"), "no field \"accuracy\""),
            ("two thresholds", ("above", 1), "must have one of at_most, at_least, above, below")):
        wrong = json.load(open(CLAIMS))
        wrong["claims"][0]["parts"][0]["conditions"][0][change[0]] = change[1]
        path = os.path.join(top, "wrong.json")
        json.dump(wrong, open(path, "w"))
        done = subprocess.run([BINARY, "report", lone.path, "--claims", "--claims-file", path], capture_output=True, text=True)
        expect(f"{what} is refused", (done.returncode, message in done.stderr, "/claims/0/parts/0/conditions/0" in done.stderr), (1, True, True))
    if claims_checked < 20:
        expect("claims in the file", claims_checked, "20 or more")
finally:
    shutil.rmtree(top)
print(f"{claims_checked} claims")
print(f"Ran {checked} tests")
sys.exit(1 if failures else 0)
