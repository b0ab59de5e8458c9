#!/usr/bin/env python3
"""A made-up result out of a true one, with a digest that fits: for tests of what reads results.

    forge_run.py RUN.json OUT.json KEY=VALUE...

KEY is a JSON pointer and VALUE JSON, or one of
    ms=MEDIAN processes=N spread=SHARE seed=N odd=N loop=RATIO    samples of N processes of 31 samples, log-normal in and between
                                                                  processes; the first odd ones take a third of the time; how
                                                                  many times as long as 2 ms the fixed loop takes in each
"""
import hashlib
import json
import math
import os
import random
import sys


def canonical(value):
    """Keys sorted, no blanks, reals with 17 digits: what the digest of a result is of."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{canonical(k)}:{canonical(value[k])}" for k in sorted(value, key=lambda k: k.encode())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float):
        return "%.17g" % value
    return json.dumps(value, ensure_ascii=False)


def put(run, pointer, value):
    *way, last = pointer.strip("/").split("/")
    for key in way:
        run = run.setdefault(key, {})
    if value == "absent":
        run.pop(last, None)
    else:
        run[last] = value


def save(run, path):
    """With the digest that belongs to it."""
    run = {key: value for key, value in run.items() if key != "digest"}
    run["digest"] = hashlib.sha256(canonical(run).encode()).hexdigest()
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        json.dump(run, file, ensure_ascii=False)


def draw_samples(run, ms, processes=9, spread=0.01, seed=1, odd=0, loop=1):
    """odd: so many of the first processes take a third of the time; loop: the fixed loop, of 2 ms, takes so many times as long."""
    if run.get("processes"):
        run["processes"] = [{**run["processes"][0], "spin_before_ns": 2e6 * loop, "spin_after_ns": 2e6 * loop} for _ in range(int(processes))]
    draw = random.Random(int(seed))
    samples, process = [], []
    for p in range(int(processes)):
        centre = 1e6 * ms * math.exp(spread * draw.gauss(0, 1)) / (3 if p < odd else 1)
        samples += [centre * math.exp(spread * draw.gauss(0, 1)) for _ in range(31)]
        process += [p] * 31
    run["samples"]["latency_ns"], run["samples"]["latency_process"] = samples, process


if __name__ == "__main__":
    run = json.load(open(sys.argv[1]))
    given = [argument.split("=", 1) for argument in sys.argv[3:]]
    made = {key: float(value) for key, value in given if not key.startswith("/")}
    if "ms" in made:
        draw_samples(run, **made)
    for key, value in given:
        if key.startswith("/"):
            put(run, key, json.loads(value))
    save(run, sys.argv[2])
