#!/usr/bin/env python3
"""A sweep killed with SIGKILL, in every phase, ends with exactly the planned cells, each once, as an undisturbed one does.

    KILLS=100 test_sweep_kills.py [build/release/morbench]

Kills are placed by tests/kill_shim.c: after the work of a phase was begun, which is logged, and before it is complete. The whole process
group dies at once. When a sweep comes to its end all the same, it is compared and the next begins anew, until every phase had its share.
In every third kill another process works on the same directory and survives."""
import json, os, random, shutil, signal, subprocess, sys, tempfile, time

BINARY = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("BINARY", "build/release/morbench"))
HERE = os.path.dirname(os.path.abspath(__file__))
KILLS = int(os.environ.get("KILLS", "9"))
# phase: in which occurrence at most
PHASES = {"training": 120, "evaluating": 4, "timing": 3, "checkpoint": 4, "write": 3, "sync": 4, "rename": 5, "placed": 5, "claim": 2}

EXPERIMENT = {
    "question": "Does a sweep survive?",
    "data": {"name": "synthetic:14x14x1:4:64"},
    "model": {"model": "vit", "img_size": 14, "patch_size": 7, "in_chans": 1, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 4},
    "train": {"epochs": 3, "batch_size": 16, "checkpoint_s": 0},
    "measure": {"batch": [1], "profile": "smoke"},
    "seeds": [1, 2],
    "cells": [{"name": "dense"},
              {"name": "narrow", "vary": {"/model/embed_dim": [8, 12]}, "measure": None},
              {"name": "student", "measure": None, "train": {"teacher": {"cell": "dense"}, "distill": "soft"}}],
    "evaluate": [{"name": "again", "of": "dense", "vary": {"/data/test_limit": [8, 16]}}],
}
DETERMINISTIC = ("kind", "status", "experiment", "model", "data", "accuracy", "depth_histogram", "curves", "profile")
METRICS = ("peak_activation_bytes", "weights_bytes", "output_sha256", "train_step_macs_count", "epochs_count", "steps_count")
TIMED = ("elapsed_ns", "images_per_s", "images_per_s_reason")


def without_times(value):
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in TIMED}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def content(directory):
    """Every cell of a finished sweep: what must be equal byte for byte."""
    cells = {}
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if not os.path.isdir(path) or name in ("logs", "plots"):
            continue
        files = sorted(os.listdir(path))
        with open(os.path.join(path, "run.json")) as f:
            run = json.load(f)
        kept = {key: without_times(run[key]) for key in DETERMINISTIC}
        if run["kind"] == "bench":      # of a timing only what was computed
            kept = {"kind": run["kind"], "status": run["status"], "model": without_times(run["model"])}
        kept["metrics"] = {key: run["metrics"].get(key) for key in METRICS}
        weights = os.path.join(path, "weights.safetensors")
        cells[name] = (files, json.dumps(kept, sort_keys=True), open(weights, "rb").read() if os.path.exists(weights) else None)
    return cells


def leftovers(root):
    """Files that only a process at work may have."""
    found = []
    for path, directories, files in os.walk(root):
        found += [os.path.join(path, f) for f in files if f.startswith(".tmp-") or f.startswith("checkpoint-") or path.endswith("/.locks")]
        found += [os.path.join(path, d) for d in directories if d == ".timing"]
    return found


class Sweeps:
    def __init__(self, work):
        self.work = work
        self.file = os.path.join(work, "kills.json")
        with open(self.file, "w") as f:
            json.dump(EXPERIMENT, f)
        self.shim = os.path.join(work, "kill_shim.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", self.shim, os.path.join(HERE, "kill_shim.c"), "-ldl"], check=True)
        self.env = dict(os.environ, OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive", MORBENCH_MACHINE_LOCK=os.path.join(work, "machine.lock"))
        self.random = random.Random(1)

    def start(self, root, **shim):
        env = dict(self.env)
        if shim:
            env.update(shim, LD_PRELOAD=self.shim, ASAN_OPTIONS=env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
        return subprocess.Popen([BINARY, "run", self.file, "--out", os.path.join(root, "sweep"), "--quiet"], env=env, start_new_session=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def kill_once(self, root, phase, beside):
        """True: it was killed, in that phase. False: the sweep ended before."""
        log = os.path.join(self.work, "log")
        if os.path.exists(log):
            os.unlink(log)
        other = self.start(root) if beside else None
        process = self.start(root, KILL_PHASE=phase, KILL_AT=str(self.random.randint(1, PHASES[phase])), KILL_LOG=log)
        said, _ = process.communicate(timeout=300)
        if other is not None:
            other_said, _ = other.communicate(timeout=300)
            assert other.returncode == 0, other_said
        if process.returncode != -signal.SIGKILL:
            assert process.returncode == 0, f"status {process.returncode}: {said}"
            assert not os.path.exists(log), "the log tells of a kill that did not come"
            return False
        with open(log) as f:
            assert f.read().startswith(phase + " "), "killed without a log"
        return True

    def finish(self, root):
        process = self.start(root)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, f"status {process.returncode}: {said}"


def differ(cells, undisturbed):
    if sorted(cells) != sorted(undisturbed):
        return f"cells {sorted(set(cells) ^ set(undisturbed))}"
    for name in cells:
        for what, a, b in zip(("files", "deterministic fields", "weights"), cells[name], undisturbed[name]):
            if a != b:
                return f"{what} of {name}: {a if what == 'files' else ''}"
    return None


def main():
    if shutil.which("cc") is None:
        print("needs a C compiler")
        return 77
    work = tempfile.mkdtemp(prefix="morbench-kills-")
    try:
        sweeps = Sweeps(work)
        sweeps.finish(os.path.join(work, "undisturbed"))
        undisturbed = content(os.path.join(work, "undisturbed", "sweep"))
        plan = json.loads(subprocess.run([BINARY, "plan", sweeps.file, "--json", "--out", os.path.join(work, "undisturbed", "sweep")], env=sweeps.env,
                                         check=True, stdout=subprocess.PIPE, text=True).stdout)
        planned = sorted(os.path.basename(cell["directory"]) for cell in plan["cells"])
        assert sorted(undisturbed) == planned and all(cell["state"] == "done" for cell in plan["cells"]), "the undisturbed sweep is the plan"
        # the comparison sees a changed digit
        name = planned[0]
        spoilt = dict(undisturbed, **{name: (undisturbed[name][0], undisturbed[name][1].replace("1", "2", 1), undisturbed[name][2])})
        assert differ(spoilt, undisturbed) is not None, "a changed field is noticed"

        tally, rounds, since = {phase: 0 for phase in PHASES}, 0, 0
        root, from_s = os.path.join(work, "round0"), time.monotonic()
        while sum(tally.values()) < KILLS or min(tally.values()) == 0:
            least = min(tally.values())
            phase = sweeps.random.choice([p for p in PHASES if tally[p] == least])
            killed = sweeps.kill_once(root, phase, sum(tally.values()) % 3 == 2)
            tally[phase] += killed
            since += killed
            assert rounds < 20 * KILLS, f"no kill in {phase} for many rounds"
            if killed and since < 12:
                continue
            sweeps.finish(root)
            wrong = differ(content(os.path.join(root, "sweep")), undisturbed)
            assert wrong is None, f"round {rounds}, after {since} kills: {wrong}"
            assert not leftovers(root), leftovers(root)
            shutil.rmtree(root)
            rounds, since = rounds + 1, 0
            root = os.path.join(work, f"round{rounds}")
        if os.path.isdir(root):
            sweeps.finish(root)
            wrong = differ(content(os.path.join(root, "sweep")), undisturbed)
            assert wrong is None, wrong
            assert not leftovers(root), leftovers(root)
        print(f"{sum(tally.values())} kills in {rounds + 1} sweeps of {len(planned)} cells, {time.monotonic() - from_s:.0f} s: "
              + ", ".join(f"{phase} {n}" for phase, n in tally.items()))
        return 0
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
