#!/usr/bin/env python3
"""morbench report --paper: published numbers keep their source, measured ones their run, and nothing is put where neither is."""
import copy
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from forged import put, write

BINARY = os.environ.get("BINARY") or (sys.argv[1] if len(sys.argv) > 1 else "build/release/morbench")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BASE = json.load(open(os.path.join(ROOT, "results", "reference", "vit_d96_l6_p4_28", "run.json")))
failures = checked = 0


def expect(what, found, wanted=True):
    global failures, checked
    checked += 1
    failures += found != wanted
    print(f"ok: {what}" if found == wanted else f"FAILED: {what}: expected {wanted}, got {found}")


def report(directory, paper, *options):
    return subprocess.run([BINARY, "report", directory, "--paper", paper, *options], capture_output=True, text=True)


def timed(preset, ms, verdict, reasons, started, where):
    run = copy.deepcopy(BASE)
    run["kind"] = "bench"
    put(run, "/model/preset", preset)
    put(run, "/model/weights_sha256", "c" * 64)
    put(run, "/metrics/batch_size_count", 1)
    put(run, "/metrics/latency_of", "forward")
    for key, value in (("latency_ns", ms * 1e6), ("latency_low_ns", ms * 0.9e6), ("latency_high_ns", ms * 1.1e6)):
        put(run, "/metrics/" + key, value)
    for key in list(run["accuracy"]):
        if isinstance(run["accuracy"][key], (int, float)):
            put(run, "/accuracy/" + key, None)
            put(run, f"/accuracy/{key}_reason", "not_requested")
    put(run, "/validity", {"verdict": verdict, "reasons": reasons})
    put(run, "/provenance/started_utc", started)
    return write(run, where)


PAPER = {
    "schema": "morbench.paper/1", "title": "A table",
    "sources": {"theirs": {"text": "their README", "counts": "what they call FLOPs"}, "other": {"text": "another", "counts": "MACs"}},
    "columns": [
        {"key": "params", "heading": "parameters, M", "pointer": "/model/params_count", "scale": 1e-6, "digits": 2},
        {"key": "cut", "heading": "fewer, %", "scale": 100, "digits": 0},
        {"key": "ms", "heading": "ms", "pointer": "/metrics/latency_ns", "low": "/metrics/latency_low_ns", "high": "/metrics/latency_high_ns",
         "scale": 1e-6, "digits": 1, "where": {"/kind": "bench"}, "made_by": "morbench bench --preset {presets} --out {dir}"},
        {"key": "top1", "heading": "top-1, %", "pointer": "/accuracy/top1_ratio", "scale": 100, "digits": 1, "where": {"/kind": "eval"},
         "made_by": "morbench eval --preset {preset} --out {dir}/{preset}"},
    ],
    "rows": [
        {"label": "A", "select": {"/model/preset": "a"}, "published": {"params": {"value": 5.7e6, "digits": 1, "source": "theirs"}, "top1": {"value": 0.722, "source": "other"}}},
        {"label": "B", "select": {"/model/preset": "b"}},
        {"label": "reference", "published": {"cut": {"value": 0.7, "source": "theirs"}}},
        {"label": "theirs", "not_available": "not at hand"},
    ],
}

top = tempfile.mkdtemp(prefix="morbench-paper-")
try:
    runs, paper = os.path.join(top, "runs"), os.path.join(top, "table.json")
    json.dump(PAPER, open(paper, "w"))
    timed("a", 3.0, "INVALID", ["unsteady"], "2030-01-01T00:00:00.000Z", os.path.join(runs, "a_invalid"))
    noisy = timed("a", 4.0, "NOISY", ["machine_busy"], "2029-01-01T00:00:00.000Z", os.path.join(runs, "a_noisy"))
    old = timed("b", 5.0, "SPEED_ONLY", ["untrained"], "2028-01-01T00:00:00.000Z", os.path.join(runs, "b_old"))
    new = timed("b", 6.0, "SPEED_ONLY", ["untrained"], "2028-02-01T00:00:00.000Z", os.path.join(runs, "b_new"))
    done = report(runs, paper, "--json", "--md", "--tex", "--csv")
    expect("it exits with 0", done.returncode, 0)
    table = json.loads(done.stdout)
    cells = {row["label"]: dict(zip(("params", "cut", "ms", "top1"), row["cells"])) for row in table["rows"]}
    expect("an INVALID run is never taken, however late", cells["A"]["ms"]["measured"]["run"], noisy)
    expect("of two equals the later one is", cells["B"]["ms"]["measured"]["run"], new)
    expect("and how many there were is told", cells["B"]["ms"]["measured"]["runs_count"], 2)
    expect("what was not measured is null", cells["A"]["top1"]["measured"], None)
    expect("a row without a model here has published numbers only", [c["measured"] for c in cells["reference"].values()], [None] * 4)
    expect("the commands that fill empty cells name the presets",
           [f["command"] for f in table["to_fill"]], ["morbench eval --preset a --out " + runs + "/a"])
    expect("and for which others they are", table["to_fill"][0]["presets"], "a,b")
    md = open(os.path.join(runs, "paper_table.md")).read()
    line = {row.split("|")[1].strip(): [c.strip() for c in row.split("|")[1:-1]] for row in md.splitlines() if row.startswith("|")}
    heading = line[""]
    expect("published and measured stand apart", heading, ["", "parameters, M, published", "parameters, M", "fewer, %, published", "ms", "top-1, %, published"])
    expect("a published number has its own digits and its source", line["A"][1], "5.7 (a)")
    expect("a measured one the column's", line["A"][2], "0.68")
    expect("times have intervals, and a mark where no accuracy belongs to them", line["B"][4].replace("\\", ""), "6.0 [5.4, 6.6] †")
    expect("a timing that something disturbed is marked, whatever else its verdict says", line["A"][4].replace("\\", ""), "4.0 [3.6, 4.4] † (noisy)")
    expect("what nobody knows reads so", line["theirs"][1], "not available")
    for text in (noisy, new, "their README", "what they call FLOPs", "not at hand"):
        expect(f"the notes have {text[:20]}", text in md)
    tex = open(os.path.join(runs, "paper_table.tex")).read()
    expect("LaTeX names the runs in comments", noisy in tex and "\\toprule" in tex)
    body = "\n".join(line for line in tex.splitlines() if not line.startswith("%"))
    expect("and everything else in it is escaped", re.findall(r"(?<!\\)[_%#$]", body), [])
    rows = list(csv.DictReader(io.StringIO(open(os.path.join(runs, "paper_table.csv")).read())))
    expect("CSV has a line for each number and where it is from",
           sorted((r["row"], r["column"], r["kind"], r["source_or_run"]) for r in rows if r["column"] in ("ms", "cut")),
           sorted([("A", "ms", "measured", noisy), ("B", "ms", "measured", new), ("reference", "cut", "published", "theirs")]))
    expect("in base units", next(float(r["value"]) for r in rows if r["row"] == "A" and r["column"] == "ms"), 4.0e6)
    for seed, ratio in ((1, 0.70), (2, 0.72), (3, 0.74)):
        run = copy.deepcopy(BASE)
        for pointer, value in (("/model/preset", "b"), ("/accuracy/top1_ratio", ratio), ("/experiment/train/seed", seed), ("/model/weights_sha256", str(seed) * 64)):
            put(run, pointer, value)
        write(run, os.path.join(runs, f"b_seed{seed}"))
    seeds = copy.deepcopy(PAPER)
    seeds["columns"][3]["where"] = {"/kind": "train"}
    json.dump(seeds, open(paper, "w"))
    done = report(runs, paper, "--json", "--md")
    cell = next(row["cells"][3]["measured"] for row in json.loads(done.stdout)["rows"] if row["label"] == "B")
    expect("an accuracy of several seeds is their mean", (round(cell["value"], 9), cell["seeds_count"]), (0.72, 3))
    expect("with Student's interval", round(cell["high"] - 0.72, 6), round(4.302653 * 0.02 / 3**0.5, 6))
    expect("and says so", "72.0 [67.0, 77.0], 3 seeds" in open(os.path.join(runs, "paper_table.md")).read().replace("\\", ""))
    quick = json.load(open(os.path.join(runs, "b_new", "run.json")))
    put(quick, "/experiment/profile", "standard")
    write(quick, os.path.join(runs, "b_new"))
    text = report(runs, paper).stdout
    expect("a timing below the profile for papers is marked", "6.0 [5.4, 6.6] † ‡" in text and "‡: timed with a profile below" in text)
    put(quick, "/experiment/profile", "paper")
    write(quick, os.path.join(runs, "b_new"))
    text = report(runs, paper).stdout
    expect("one of that profile is not", "‡" not in text)
    expect("the terminal shows the same numbers", "6.0 [5.4, 6.6] †" in text and "not available" in text)

    for what, change, message in (
            ("a source that is not there", lambda p: p["rows"][0]["published"]["params"].update(source="none"), "source \"none\" is not among /sources"),
            ("a number without source", lambda p: p["rows"][0]["published"]["params"].pop("source"), "is not among /sources"),
            ("a column that is not there", lambda p: p["rows"][0]["published"].update(speed={"value": 1, "source": "theirs"}), "there is no column of this key"),
            ("a source that does not say what it counts", lambda p: p["sources"]["theirs"].pop("counts"), "what they count"),
            ("an unknown key", lambda p: p["rows"][0].update(colour="red"), "unknown key \"colour\""),
            ("a text for a number", lambda p: p["rows"][0]["published"]["params"].update(value="5.7 M"), "value must be a number")):
        wrong = copy.deepcopy(PAPER)
        change(wrong)
        path = os.path.join(top, "wrong.json")
        json.dump(wrong, open(path, "w"))
        for command in ([BINARY, "report", runs, "--paper", path], [BINARY, "validate", path]):
            done = subprocess.run(command, capture_output=True, text=True)
            expect(f"{what} is refused by {command[1]}", (done.returncode, message in done.stderr + done.stdout), (1, True))
    for name in ("imagenet", "transfer"):
        path = os.path.join(ROOT, "experiments", "paper", name + ".json")
        done = subprocess.run([BINARY, "validate", path], capture_output=True, text=True)
        expect(f"experiments/paper/{name}.json is well-formed", (done.returncode, "table of a paper" in done.stdout), (0, True))
        known = {m["name"] for m in json.loads(subprocess.run([BINARY, "list", "models", "--json"], capture_output=True, text=True).stdout)}
        used = {row["select"]["/model/preset"] for row in json.load(open(path))["rows"] if "select" in row}
        expect(f"and every preset it names there is", used - known, set())
finally:
    shutil.rmtree(top)
print(f"Ran {checked} tests")
sys.exit(1 if failures else 0)
