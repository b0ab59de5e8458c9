#!/usr/bin/env python3
"""What `morbench plan` says of the shipped experiments: every row is of one cell, with a value for all that varies."""
import glob
import json
import os
import subprocess
import sys

BINARY = os.path.abspath(os.environ.get("BINARY") or (sys.argv[1] if len(sys.argv) > 1 else "build/release/morbench"))
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
failed = n = 0


def expect(claim, found, wanted):
    global failed, n
    n += 1
    print(f"{'ok' if found == wanted else 'not ok'} {n} - {claim}" + ("" if found == wanted else f": {found}"))
    failed += found != wanted


for path in sorted(glob.glob(os.path.join(ROOT, "experiments", "[0-9]*.json"))):
    name = os.path.basename(path)
    for size in ("smoke", "small"):
        done = subprocess.run([BINARY, "plan", path, "--size", size, "--threads", "1", "--json"], capture_output=True, text=True, cwd=ROOT)
        plan = json.loads(done.stdout) if done.returncode == 0 else {"cells": []}
        rows = [(cell["kind"], row) for cell in plan["cells"] for row in cell["rows"]]
        keys = [json.dumps(row, sort_keys=True) for row in rows]
        expect(f"{name}, {size}, can be planned", (done.returncode, len(rows) > 0), (0, True))
        expect(f"{name}, {size}: no row stands for two cells", sorted(k for k in set(keys) if keys.count(k) > 1), [])
        expect(f"{name}, {size}: whatever varies has a value", [row for _, row in rows if None in row.values()], [])
print(f"1..{n}\n{failed} of {n} failed" if failed else f"1..{n}")
sys.exit(failed > 0)
