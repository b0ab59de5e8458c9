#!/usr/bin/env python3
"""fits_schema.py SCHEMA DIR...: every run.json below the directories fits the schema. There must be one at least."""
import json, os, sys
import jsonschema

validator = jsonschema.Draft7Validator(json.load(open(sys.argv[1])))
n, wrong = 0, []
for top in sys.argv[2:]:
    for folder, _, files in os.walk(top):
        if "run.json" not in files: continue
        path = os.path.join(folder, "run.json")
        try: run = json.load(open(path))
        except ValueError as e: wrong.append(f"{path}: {e}"); continue
        n += 1
        wrong += [f"{path}: /{'/'.join(map(str, e.path))}: {e.message[:120]}" for e in validator.iter_errors(run)]
print("\n".join(wrong) or f"{n} fit")
sys.exit(bool(wrong) or n == 0)
