#!/usr/bin/env python3
"""Checks a run.json against a schema, then that the schema notices every key that is taken away.

    run_schema.py SCHEMA RUN

Exit status: 0 all noticed, 1 the run does not fit or a missing key went unnoticed, 77 python3-jsonschema is not there.
Left out: keys of what is free (experiment, settings, the machine, series of samples, extra reasons).
"""
import copy
import json
import os
import re
import sys

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is not installed")
    sys.exit(77)

FREE = [("experiment",), ("model", "settings"), ("env",), ("samples",), ("error",), ("processes",), ("roofline",)]
# came after the first files, which are read without them
keys = open(os.path.join(os.path.dirname(sys.argv[0]), "..", "harness", "result_keys.def")).read()
LATER = {("profile", "parts"), ("profile", "passes_elapsed_ns"), ("profile", "unaccounted_ns"), ("processes",), ("roofline",)}
LATER |= {("model", key) for key in ("depth_unit", "routed", "decides_depth", "batch_dependent")}
LATER |= set(re.findall(r"KEY_LATER\((\w+), +(\w+),", keys))


def paths(value, at=()):
    """Every key below value, of arrays those of the first element, what is free left out."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield at + (key,)
            if at + (key,) not in FREE:
                yield from paths(member, at + (key,))
    elif isinstance(value, list) and value:
        yield from paths(value[0], at + (0,))


def without(run, path):
    run = copy.deepcopy(run)
    holder = run
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    return run


schema = json.load(open(sys.argv[1]))
run = json.load(open(sys.argv[2]))
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)
wrong = [f"{'/'.join(map(str, e.path))}: {e.message[:120]}" for e in validator.iter_errors(run)]
n_removed = 0
for path in paths(run):
    if path in LATER or path[0] in ("data", "error") and path[1:] == ("test",) or path == ("error",):
        continue
    n_removed += 1
    if validator.is_valid(without(run, path)):
        wrong.append(f"{'/'.join(map(str, path))} can be removed unnoticed")
print("\n".join(wrong) or f"fits, and each of {n_removed} removals is noticed")
sys.exit(1 if wrong else 0)
