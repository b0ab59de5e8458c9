#!/usr/bin/env python3
"""The tables that README files quote, of experiments and of claims, made anew from the committed results they name.

    quoted.py            writes them into README.md and results/README.md
    quoted.py --check    changes nothing; exit status 1 where one is not what the results say

A quoted table stands between two lines:

    <!-- answers of results/01_models -->           what an experiment found, as table.md begins
    <!-- end of answers -->

    <!-- claims of results -->                      verdicts on claims, as claims.md begins
    <!-- end of claims -->
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = pathlib.Path(os.environ.get("BINARY", ROOT / "build/release/morbench")).resolve()
FILES = ["README.md", "results/README.md"]
BLOCK = re.compile(r"(<!-- (answers|claims) of (\S+) -->\n)(.*?)(<!-- end of \2 -->)", re.S)
BULKY = (".safetensors", ".svg", ".png", ".pdf", ".gp")


def reported(directory, option, written):
    """What `morbench report` writes beside a copy of these results."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = pathlib.Path(temporary) / pathlib.Path(directory).name
        shutil.copytree(ROOT / directory, copy, ignore=lambda _, names: [n for n in names if n.endswith(BULKY)])
        done = subprocess.run([BINARY, "report", copy, option], capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PATH": "/nonexistent"}, check=False)
        if done.returncode != 0:
            sys.exit(f"quoted: morbench report {directory} {option}: {done.stderr.strip()}")
        return [(copy / name).read_text() for name in written]


def answers(directory):
    """The section that table.md begins with: question, note and table, without what follows."""
    table, = reported(directory, "--md", ["table.md"])
    if "## All runs" not in table:
        sys.exit(f"quoted: {directory} has no experiment.json with runs")
    return "\n" + re.sub(r"^## .*\n\n", "", table.split("## All runs")[0].strip()) + "\n\n"


def measured(claim):
    """Whether some run says something to it, though not enough."""
    return any(c.get("value") is not None for part in claim["parts"] for pair in part.get("pairs", []) for c in pair.get("comparisons", []))


def claims(directory):
    """Of the claims that runs here decide something of: what is claimed, the verdict, and what it rests on; the others by number."""
    table, full = reported(directory, "--claims", ["claims.md", "claims.json"])
    lines = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines() if line.startswith("|")][2:]
    by_id = {claim["id"]: claim for claim in json.loads(full)["claims"]}
    others = [c for c in lines if not c[6]]
    some = [c[0] for c in others if measured(by_id[c[0]])]
    none = [c[0] for c in others if c[0] not in some]
    notes = []
    if some:
        notes += ["", f"Measured, but nothing that counts (too few seeds, or a condition that is exact fails in every pair), hence undecided: {', '.join(some)}."]
    if none:
        notes += ["", f"No run here speaks of: {', '.join(none)}."]
    return "\n".join(["", "| | claim | statement | verdict | decided by |", "|---|---|---|---|---|"] +
                     [f"| {c[0]} | {c[1]} | {c[3]} | {c[5]} | {c[6]} |" for c in lines if c[6]] + notes + ["", ""])


QUOTED = {"answers": answers, "claims": claims}


def main():
    check, wrong, n = sys.argv[1:] == ["--check"], 0, 0
    for name in FILES:
        text = (ROOT / name).read_text()

        def fresh(match):
            nonlocal n
            n += 1
            return match[1] + QUOTED[match[2]](match[3]) + match[5]

        new = BLOCK.sub(fresh, text)
        if new != text and check:
            print(f"{name}: a quoted table is not what the results say: scripts/quoted.py writes it anew")
            wrong += 1
        elif new != text:
            (ROOT / name).write_text(new)
    if not wrong:
        print(f"{n} quoted tables {'are what their results say' if check else 'written'}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
