#!/usr/bin/env python3
"""Photographs to a network's input, morbench and Pillow in turns: JPEG in memory -> RGB, short side to 256, centre crop of 224.

    compare_pillow.py DIR [--side 224] [--json out.json]          DIR holds JPEG photographs
    compare_pillow.py --self-test

Both sides do what published evaluations do (torchvision's Resize and CenterCrop on Pillow: bicubic, antialiased, no scaling in
the decoder), on one thread bound to one processor, the same files read beforehand. Their pixels are compared first: at most 1
level apart anywhere and equal in 99 % of places, else nothing is timed.

One alternation is a pass over all photographs by each, the first of them changing. The ratio is Pillow's processor time over
morbench's: above 1, morbench is the faster. Processor time, since both are single-threaded: what other programs take meanwhile
is not in it. Wall times are kept beside it. Median ratio with a 95 % interval (percentile bootstrap over alternations).

Exit status: 0 done, 1 bad usage, 2 a program is absent, 4 the pixels differ or a program failed.
"""
import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from compare_torch import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_MACHINE, Failed, bootstrap_median, processor, verdict, write_json  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = os.path.normpath(os.path.join(HERE, "..", "..", "build", "release", "tests", "bench", "bench_preprocess"))
LEVELS, EQUAL_RATIO = 1, 0.99


# ---- Pillow's side ----

def resized_side(side):
    return side * 256 // 224


def pillow_pixels(image_module, data, side):
    """torchvision's Resize(short side) and CenterCrop on a Pillow image."""
    short = resized_side(side)
    image = image_module.open(io.BytesIO(data)).convert("RGB")
    width, height = image.size
    if width <= height:
        width, height = short, int(short * height / width)
    else:
        width, height = int(short * width / height), short
    image = image.resize((width, height), image_module.BICUBIC)
    left, top = int(round((width - side) / 2.0)), int(round((height - side) / 2.0))
    return image.crop((left, top, left + side, top + side)).tobytes()


def pillow_pass(image_module, files, side):
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    for data in files:
        pillow_pixels(image_module, data, side)
    return time.perf_counter_ns() - wall, time.process_time_ns() - cpu


# ---- morbench's side ----

class Ours:
    """bench_preprocess --serve: reads the files once, sleeps on its pipe in between."""

    def __init__(self, program, folder, side):
        self.process = subprocess.Popen([program, "--serve", folder, "deit", str(side)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.about = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed("bench_preprocess ended with exit %d" % self.process.wait())
        return json.loads(line)

    def one_pass(self):
        self.process.stdin.write("block 0 1\n")
        self.process.stdin.flush()
        answer = self.answer()
        return answer["ns"][0], answer["cpu_ns"][0]

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


# ---- comparing ----

def difference(a, b):
    """(largest difference in levels, share of equal bytes) of two byte strings of one length."""
    largest = max(abs(x - y) for x, y in zip(a, b))
    return largest, sum(x == y for x, y in zip(a, b)) / len(a)


def check_pixels(args, image_module, names, files):
    done = subprocess.run([args.ours, "--pixels", args.folder, "deit", str(args.side)], stdout=subprocess.PIPE, check=True)
    size, largest, equal = 3 * args.side * args.side, 0, 1.0
    if len(done.stdout) != size * len(files):
        raise Failed("bench_preprocess gave %d bytes for %d photographs" % (len(done.stdout), len(files)))
    for i, data in enumerate(files):
        theirs = pillow_pixels(image_module, data, args.side)
        ours = done.stdout[i * size:(i + 1) * size]
        if ours == theirs:
            continue
        apart, same = difference(ours, theirs)
        if apart > LEVELS or same < EQUAL_RATIO:
            raise Failed("%s: pixels are up to %d levels apart, %.2f %% equal" % (names[i], apart, 100 * same))
        largest, equal = max(largest, apart), min(equal, same)
    return largest, equal


def compare(args):
    try:
        import PIL
        from PIL import Image, features
    except ImportError:
        raise Failed("Pillow is not there: install python3-pil", EXIT_MACHINE) from None
    if not os.access(args.ours, os.X_OK):
        raise Failed("%s is not there: build it with make benches" % args.ours, EXIT_MACHINE)
    names = sorted((n for n in os.listdir(args.folder) if n.lower().endswith((".jpg", ".jpeg"))), key=os.fsencode)
    if not names:
        raise Failed("no .jpg or .jpeg files in %s" % args.folder, EXIT_BAD_INPUT)
    files = []
    for name in names:
        with open(os.path.join(args.folder, name), "rb") as f:
            files.append(f.read())
    cpu = min(os.sched_getaffinity(0)) if args.cpu is None else args.cpu
    os.sched_setaffinity(0, [cpu])
    apart, equal = check_pixels(args, Image, names, files)
    print("same pixels: at most %d levels apart, at least %.3f %% of a photograph equal" % (apart, 100 * equal))
    result = {"tool": "compare_pillow", "images_count": len(files), "input_bytes": sum(map(len, files)), "side_count": args.side, "resized_side_count": resized_side(args.side),
              "threads_count": 1, "processor": processor(), "pillow_version": PIL.__version__, "pillow_libjpeg_turbo": features.version("libjpeg_turbo"),
              "largest_difference_count": apart, "equal_ratio": equal, "ratio_of": "processor time", "method": "median ratio, percentile bootstrap 95 %, 10000 draws",
              "load_average_before": os.getloadavg()[0], "alternations": []}
    ours = Ours(args.ours, args.folder, args.side)
    passes = {"morbench": ours.one_pass, "pillow": lambda: pillow_pass(Image, files, args.side)}
    try:
        for run in passes.values():
            run()
        for turn in range(args.alternations):
            row = {}
            for who in (("pillow", "morbench"), ("morbench", "pillow"))[turn % 2]:
                row[who + "_ns"], row[who + "_cpu_ns"] = passes[who]()
            row["first"] = "morbench" if turn % 2 else "pillow"
            row["ratio"] = row["pillow_cpu_ns"] / row["morbench_cpu_ns"]
            result["alternations"].append(row)
    finally:
        ours.close()
    result["load_average_after"] = os.getloadavg()[0]
    for who in passes:
        result[who + "_images_per_s"] = 1e9 * len(files) / statistics.median(row[who + "_cpu_ns"] for row in result["alternations"])
    median, low, high = bootstrap_median([row["ratio"] for row in result["alternations"]])
    result["ratio"] = {"median": median, "low": low, "high": high, "verdict": verdict(low, high)}
    print("one core, %d photographs: morbench %.1f images/s, Pillow %s %.1f images/s" % (
        len(files), result["morbench_images_per_s"], PIL.__version__, result["pillow_images_per_s"]))
    print("Pillow / morbench: %.3f%s: %s" % (median, "" if low is None else " [%.3f .. %.3f]" % (low, high), verdict(low, high)))
    return result


def self_test():
    assert difference(b"\x01\x02\x03\x04", b"\x01\x04\x03\x03") == (2, 0.5)
    assert resized_side(224) == 256 and resized_side(384) == 438
    print("compare_pillow: self-test passed")


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(EXIT_BAD_INPUT, "compare_pillow: %s\n" % message)


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return 0
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--alternations", type=int, default=20)
    parser.add_argument("--cpu", type=int, help="the processor both run on (default: the first allowed one)")
    parser.add_argument("--binary", dest="ours", default=OURS, help="the bench_preprocess program")
    parser.add_argument("--json", help="write everything measured to this file")
    args = parser.parse_args()
    try:
        result = compare(args)
    except Failed as error:
        print("compare_pillow: %s" % error, file=sys.stderr)
        return error.status
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        print("compare_pillow: %s" % error, file=sys.stderr)
        return EXIT_FAILED
    if args.json:
        write_json(args.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
