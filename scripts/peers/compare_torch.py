#!/usr/bin/env python3
"""morbench and plain PyTorch in turns on one machine: the same network, batch, precision, threads and processors.

    compare_torch.py infer --preset vit_small_patch16_224 --batch 1 --threads 2 --json out.json
    compare_torch.py train --preset vit_d192_l6_p4_28 --batch 128 --threads 2 --json out.json
    compare_torch.py                   those two, one after the other

One alternation = one `morbench bench` (its own warm-up inside) and one block of steps of the PyTorch process, which lives
throughout and sleeps on its pipe while morbench runs. Who goes first changes each time, so drift of the machine falls on
both. Of each turn the median step counts; the ratio torch/morbench of each alternation is one sample. Above 1, morbench is
the faster. Reported: the median ratio and its 95 % interval (percentile bootstrap over alternations, 10000 draws, fixed
seed); "faster" and "slower" are said only when the interval leaves out 1.

A turn during which other programs took over 5 % of the processors' time is disturbed: its alternation is shown and stored
with all its samples, stays out of the ratio, and is made up for by another, up to three times as many in all. OpenMP
threads that spin for one another lose tenfold and more to a single busy neighbour, and not both sides alike.

Beforehand both compute the logits of the same random weights and input (inference), which must agree.

--json writes a list of comparisons. Exit status: 0 done, 1 bad usage, 2 a program is absent, 4 a program failed or the
logits disagree.
"""
import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = os.path.normpath(os.path.join(HERE, "..", "..", "build", "release", "morbench"))
EXIT_BAD_INPUT, EXIT_MACHINE, EXIT_FAILED = 1, 2, 4
STANDARD = {"infer": ("vit_small_patch16_224", 1, 20), "train": ("vit_d192_l6_p4_28", 128, 4)}      # preset, batch, steps a turn

# Settings that change what either side's libraries do; neither side inherits any.
STEERING = ("OPENBLAS_", "GOTO_", "BLIS_", "MKL_", "OMP_", "GOMP_", "KMP_", "ATEN_", "DNNL_", "ONEDNN_", "TORCH_", "PYTORCH_",
            "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD", "MORBENCH_")


DISTURBED_RATIO = 0.05       # of the processors' time, taken by others during a turn
MIN_SAMPLES = 5              # fewer give no interval


def peer_of(preset):
    """The program that runs this network in PyTorch."""
    return os.path.join(HERE, "torch_tiny_vit.py" if preset.startswith("tiny_vit_") else "torch_vit.py")


class Failed(Exception):
    def __init__(self, message, status=EXIT_FAILED):
        super().__init__(message)
        self.status = status


# ---- morbench's side: the command and where its answer holds the samples ----------------------------------------

def ours_command(args):
    # one process a turn: the alternations are the processes here
    command = [args.ours, "bench", "--preset", args.preset, "--batch", str(args.batch), "--threads", str(args.threads), "--json",
               "--processes", "1", "--no-counters"]
    if args.mode == "train":
        command.insert(2, "--train")
    return command + args.ours_extra.split()


def ours_samples_ns(document, mode):
    """The list of wall times, one a step, of the only cell in morbench's answer."""
    if isinstance(document, dict) and isinstance(document.get("cells"), list):
        document = document["cells"]
    cells = document if isinstance(document, list) else [document]
    if len(cells) != 1:
        raise Failed("morbench answered %d cells, expected 1" % len(cells))
    key = "latency_ns"
    measured = (cells[0].get("metrics") or {}).get("latency_of")
    if measured is not None and measured != ("train_step" if mode == "train" else "forward"):
        raise Failed("morbench timed %r, not %s" % (measured, mode))
    samples = (cells[0].get("samples") or {}).get(key)
    if isinstance(samples, dict):
        samples = samples.get("values")
    if not samples or not all(isinstance(v, (int, float)) and v > 0 for v in samples):
        raise Failed("morbench's answer has no positive samples.%s" % key)
    return samples


# ---- running -----------------------------------------------------------------------------------------------------

def clean_environment(threads, bind=False):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(STEERING)}
    kept["OMP_NUM_THREADS"] = str(threads)
    if bind:
        kept["OMP_PROC_BIND"] = "true"
    return kept


def pinned(cpus):
    return lambda: os.sched_setaffinity(0, cpus)


def busy_seconds(cpus):
    """Time these processors have spent on anyone, and on the hypervisor's other guests, since boot."""
    seconds, tick = 0.0, os.sysconf("SC_CLK_TCK")
    with open("/proc/stat", encoding="ascii") as f:
        for line in f:
            name, *fields = line.split()
            if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in cpus:
                user, nice, system, _idle, _wait, irq, soft_irq, steal = (int(v) for v in fields[:8])
                seconds += (user + nice + system + irq + soft_irq + steal) / tick
    return seconds


def process_seconds(pid):
    """Processor time of a process, all its threads."""
    with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def turn_of(run, own_seconds, cpus):
    """(what run() gives, share of the processors' time that went to others meanwhile)."""
    busy, own, wall = busy_seconds(cpus), own_seconds(), time.monotonic()
    answer = run()
    wall = time.monotonic() - wall
    others = (busy_seconds(cpus) - busy) - (own_seconds() - own)
    return answer, max(0.0, others / (wall * len(cpus)))


def run_ours(command, environment, cpus):
    done = subprocess.run(command, env=environment, preexec_fn=pinned(cpus), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 4) or not done.stdout:           # 4: INVALID for so few processes; the alternations are ours
        raise Failed("%s: exit %d\n%s" % (" ".join(command), done.returncode, done.stderr.strip()[-2000:]))
    return done.stdout


class Torch:
    """The PyTorch process: imported, built and warmed once, asked for one block at a time."""

    def __init__(self, args, environment, cpus):
        command = [sys.executable, peer_of(args.preset), args.mode, "--preset", args.preset, "--batch", str(args.batch),
                   "--threads", str(args.threads)] + (["--frozen"] if args.frozen else [])
        self.process = subprocess.Popen(command, env=environment, preexec_fn=pinned(cpus), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self.about = self.answer()
        except Failed:
            self.close()
            raise

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed("the PyTorch process ended with exit %d" % self.process.wait(), EXIT_MACHINE)
        return json.loads(line)

    def block(self, n_warmup, n_steps):
        self.process.stdin.write("block %d %d\n" % (n_warmup, n_steps))
        self.process.stdin.flush()
        return self.answer()["ns"]

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def check_same_logits(args, environment, cpus):
    """Largest difference of the two programs' logits on random weights, relative to the largest logit."""
    sys.path.insert(0, os.path.join(HERE, ".."))
    import numpy as np
    from checkpoint_files import read_safetensors
    with tempfile.TemporaryDirectory() as folder:
        def at(name):
            return os.path.join(folder, name)
        subprocess.run([sys.executable, peer_of(args.preset), "files", "--preset", args.preset, "--batch", "2", "--threads", str(args.threads),
                        "--folder", folder], env=environment, preexec_fn=pinned(cpus), check=True)
        run_ours([args.ours, "forward", "--config", at("model.json"), "--weights", at("weights.safetensors"),
                  "--input", at("input.safetensors"), "--output", at("ours.safetensors")], environment, cpus)
        expected = np.array(read_safetensors(at("logits.safetensors"))["logits"])
        got = np.array(read_safetensors(at("ours.safetensors"))["logits"])
    if got.shape != expected.shape:
        raise Failed("logits of shape %s, PyTorch's %s" % (got.shape, expected.shape))
    difference = float(np.abs(got - expected).max() / np.abs(expected).max())
    # Two float32 evaluations in different summation orders differ by a few 1e-6 here; a forgotten bias, another epsilon
    # or the tanh form of GELU by 1e-3 and more.
    if not difference <= 1e-4:
        raise Failed("the two programs do not compute the same network: logits differ by %.2g" % difference)
    return difference


# ---- statistics ---------------------------------------------------------------------------------------------------

def bootstrap_median(samples, n_draws=10000, seed=1):
    """(median, low, high): percentile bootstrap, 95 %; no interval from fewer than 5 samples."""
    median = statistics.median(samples)
    if len(samples) < MIN_SAMPLES:
        return median, None, None
    draw = random.Random(seed)
    medians = sorted(statistics.median(draw.choices(samples, k=len(samples))) for _ in range(n_draws))
    return median, medians[int(0.025 * n_draws)], medians[int(0.975 * n_draws) - 1]


def verdict(low, high):
    if low is None:
        return "too few undisturbed alternations for an interval"
    if low > 1:
        return "morbench is faster"
    if high < 1:
        return "morbench is slower"
    return "no difference shown"


def self_test():
    """The statistics and the reader of morbench's answer, on cases with known results."""
    median, low, high = bootstrap_median([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9])
    assert abs(median - 1.45) < 1e-12 and 1.0 < low < median < high < 1.9
    assert bootstrap_median([2.0] * 6) == (2.0, 2.0, 2.0)
    assert bootstrap_median([1.0, 2.0]) == (1.5, None, None)
    assert verdict(1.01, 1.2) == "morbench is faster" and verdict(0.8, 0.99) == "morbench is slower"
    assert verdict(0.9, 1.1) == "no difference shown"
    for document, mode in (({"samples": {"latency_ns": [1, 2]}}, "infer"), ([{"samples": {"latency_ns": [1, 2]}, "metrics": {"latency_of": "train_step"}}], "train"),
                           ({"cells": [{"samples": {"latency_ns": [1, 2]}}]}, "infer")):
        assert ours_samples_ns(document, mode) == [1, 2]
    for document in ({}, [], {"samples": {"latency_ns": []}}, {"samples": {"latency_ns": [0]}}, {"samples": {"latency_ns": [1]}, "metrics": {"latency_of": "train_step"}}):
        try:
            ours_samples_ns(document, "infer")
        except Failed:
            continue
        raise AssertionError("accepted %r" % document)
    cpus = sorted(os.sched_getaffinity(0))[:1]
    os.sched_setaffinity(0, cpus)
    spin = "import time; t = time.monotonic()\nwhile time.monotonic() - t < 0.5: pass"

    def spun(own_seconds):
        """Share seen as others' of half a second that a child spins through."""
        return turn_of(lambda: subprocess.run([sys.executable, "-c", spin], check=True), own_seconds, cpus)[1]
    assert spun(lambda: 0.0) > 0.8           # whose time is not counted as its own shows as somebody else's
    dirty = {"OPENBLAS_CORETYPE": "Haswell", "OMP_PROC_BIND": "true", "MKL_NUM_THREADS": "9", "PATH": "/bin"}
    saved = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(dirty)
        assert clean_environment(2) == {"PATH": "/bin", "OMP_NUM_THREADS": "2"}
    finally:
        os.environ.clear()
        os.environ.update(saved)
    print("compare_torch: self-test passed")


# ---- the program --------------------------------------------------------------------------------------------------

def processor():
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            return next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return None


def compare(args):
    cpus = sorted(os.sched_getaffinity(0))
    if args.cpus:
        cpus = [int(c) for c in args.cpus.split(",")]
    if len(cpus) < args.threads:
        raise Failed("%d threads need as many processors, %d allowed" % (args.threads, len(cpus)), EXIT_BAD_INPUT)
    cpus = cpus[:args.threads]
    if not args.torch_only and not os.access(args.ours, os.X_OK):
        raise Failed("%s is not there: build it with make, or time PyTorch alone with --torch-only" % args.ours, EXIT_MACHINE)
    environment = clean_environment(args.threads, args.bind)
    result = {"tool": "compare_torch", "mode": args.mode, "preset": args.preset, "batch_count": args.batch,
              "threads_count": args.threads, "precision": "fp32", "cpus": cpus, "bind": args.bind, "processor": processor(),
              "removed_from_environment": sorted(k for k in os.environ if k.startswith(STEERING)),
              "load_average_before": os.getloadavg()[0], "method": "median ratio, percentile bootstrap 95 %, 10000 draws",
              "block_count": args.block, "alternations": []}
    if args.mode == "infer" and not args.torch_only and not args.no_verify:
        result["logits_relative_difference"] = check_same_logits(args, environment, cpus)
        print("same logits: largest difference %.2g of the largest logit" % result["logits_relative_difference"])
    peer = Torch(args, environment, cpus)
    try:
        result["torch"] = peer.about
        if peer.about["threads_count"] != args.threads or peer.about["cpus"] != cpus:
            raise Failed("PyTorch took %d threads on processors %s" % (peer.about["threads_count"], peer.about["cpus"]))
        peer.block(args.warmup, 1)
        print("%s %s, batch %d, fp32, %d threads on processors %s%s" % (
            args.mode, args.preset, args.batch, args.threads, ",".join(map(str, cpus)), ", frozen graph" if args.frozen else ""))
        print("turn   morbench ms   torch ms   ratio")
        n_clean = 0
        for turn in range(3 * args.alternations):
            if n_clean == args.alternations:
                break
            samples, others = {}, {}
            for who in (("torch", "morbench"), ("morbench", "torch"))[turn % 2]:
                if who == "morbench" and args.torch_only:
                    continue
                time.sleep(args.settle)         # the other side's threads stop spinning before this one starts
                if who == "torch":
                    samples[who], others[who] = turn_of(lambda: peer.block(args.block_warmup, args.block),
                                                        lambda: process_seconds(peer.process.pid), cpus)
                else:
                    text, others[who] = turn_of(lambda: run_ours(ours_command(args), environment, cpus), children_seconds, cpus)
                    samples[who] = ours_samples_ns(json.loads(text), args.mode)
            disturbed = max(others.values()) > DISTURBED_RATIO
            n_clean += not disturbed
            row = {"first": "morbench" if turn % 2 else "torch", "torch_median_ns": statistics.median(samples["torch"]),
                   "torch_ns": samples["torch"], "others_ratio": others, "disturbed": disturbed}
            ours_ms = ratio = "-"
            if "morbench" in samples:
                row.update(morbench_median_ns=statistics.median(samples["morbench"]), morbench_ns=samples["morbench"])
                row["ratio"] = row["torch_median_ns"] / row["morbench_median_ns"]
                ours_ms, ratio = "%.3f" % (row["morbench_median_ns"] / 1e6), "%.3f" % row["ratio"]
            result["alternations"].append(row)
            print("%4d   %11s   %8.3f   %5s%s" % (
                turn + 1, ours_ms, row["torch_median_ns"] / 1e6, ratio,
                "   disturbed: others took %.0f %%" % (100 * max(others.values())) if disturbed else ""), flush=True)
    finally:
        peer.close()
    result["load_average_after"] = os.getloadavg()[0]
    if n_clean < args.alternations:
        print("only %d of %d alternations were undisturbed: run again on an idle machine" % (n_clean, args.alternations))
    result["alternations_undisturbed_count"] = n_clean
    ratios = [row["ratio"] for row in result["alternations"] if "ratio" in row and not row["disturbed"]]
    if ratios:
        median, low, high = bootstrap_median(ratios)
        result["ratio"] = {"median": median, "low": low, "high": high, "verdict": verdict(low, high)}
        interval = "" if low is None else " [%.3f .. %.3f]" % (low, high)
        print("torch / morbench: %.3f%s: %s" % (median, interval, verdict(low, high)))
    elif not args.torch_only:
        result["ratio"] = {"median": None, "low": None, "high": None, "verdict": "every alternation was disturbed"}
        print("torch / morbench: %s" % result["ratio"]["verdict"])
    return result


def write_json(path, result):
    temporary = "%s.%d.tmp" % (path, os.getpid())
    try:
        with open(temporary, "x", encoding="utf-8") as f:
            json.dump(result, f, indent=1)
            f.write("\n")
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(EXIT_BAD_INPUT, "compare_torch: %s\n" % message)


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return 0
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", nargs="?", choices=("infer", "train"))
    parser.add_argument("--preset")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--alternations", type=int, default=10)
    parser.add_argument("--block", type=int, help="measured PyTorch steps a turn (default: train 4, infer 20)")
    parser.add_argument("--block-warmup", type=int, default=2, help="unmeasured PyTorch steps at the start of a turn")
    parser.add_argument("--warmup", type=int, default=5, help="unmeasured PyTorch steps before the first turn")
    parser.add_argument("--settle", type=float, default=0.3, help="seconds of rest before each turn")
    parser.add_argument("--cpus", help="processors for both sides, such as 0,1 (default: the first allowed ones)")
    parser.add_argument("--bind", action="store_true", help="OMP_PROC_BIND=true for both: one thread, one processor")
    parser.add_argument("--frozen", action="store_true", help="infer: PyTorch's traced and frozen graph instead of eager")
    parser.add_argument("--binary", dest="ours", default=OURS, help="the morbench program")
    parser.add_argument("--binary-options", dest="ours_extra", default="", help="further options for morbench bench, one string")
    parser.add_argument("--no-verify", action="store_true", help="infer: do not compare logits beforehand")
    parser.add_argument("--torch-only", action="store_true", help="time PyTorch alone")
    parser.add_argument("--json", help="write everything measured to this file")
    args = parser.parse_args()
    if args.mode is None and args.preset is not None:
        parser.print_usage(sys.stderr)
        print("compare_torch: --preset needs infer or train before it", file=sys.stderr)
        return EXIT_BAD_INPUT
    results = []
    try:
        for mode in [args.mode] if args.mode else list(STANDARD):
            preset, batch, block = STANDARD[mode]
            chosen = {"mode": mode, "preset": args.preset or preset, "batch": args.batch or batch, "block": args.block or block}
            results.append(compare(argparse.Namespace(**{**vars(args), **chosen})))
    except Failed as error:
        print("compare_torch: %s" % error, file=sys.stderr)
        return error.status
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        print("compare_torch: %s" % error, file=sys.stderr)
        return EXIT_FAILED
    if args.json:
        write_json(args.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
