#!/usr/bin/env python3
"""The tables of experiments that README files quote, made anew from the committed results they name.

    quoted.py            writes them into README.md and results/README.md
    quoted.py --check    changes nothing; exit status 1 where one is not what the results say

A quoted table stands between two lines:

    <!-- answers of results/01_models -->
    <!-- end of answers -->
"""
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
BLOCK = re.compile(r"(<!-- answers of (\S+) -->\n)(.*?)(<!-- end of answers -->)", re.S)


def answers(directory):
    """The section that `morbench report` begins table.md with: question, note and table, without what follows."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = pathlib.Path(temporary) / pathlib.Path(directory).name
        shutil.copytree(ROOT / directory, copy, ignore=lambda _, names: [n for n in names if n.endswith((".safetensors", ".svg", ".png", ".pdf", ".gp"))])
        done = subprocess.run([BINARY, "report", copy, "--md"], capture_output=True, text=True, env={**os.environ, "PATH": "/nonexistent"}, check=False)
        if done.returncode != 0:
            sys.exit(f"quoted: morbench report {directory}: {done.stderr.strip()}")
        table = (copy / "table.md").read_text()
    if "## All runs" not in table:
        sys.exit(f"quoted: {directory} has no experiment.json with runs")
    return "\n" + re.sub(r"^## .*\n\n", "", table.split("## All runs")[0].strip()) + "\n\n"


def main():
    check, wrong, n = sys.argv[1:] == ["--check"], 0, 0
    for name in FILES:
        text = (ROOT / name).read_text()

        def fresh(match):
            nonlocal n
            n += 1
            return match[1] + answers(match[2]) + match[4]

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
