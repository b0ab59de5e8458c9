#!/usr/bin/env python3
"""eval's depths against a computation of its own: histograms, quartiles, correlations with edges and distance, and the pictures.

Everything is worked out from the pixels (made here) and the depth of every token that --depths stores, in plain Python.
"""
import gzip, json, math, os, random, statistics, struct, subprocess, sys, tempfile, unittest, zlib

BINARY = os.path.abspath(os.environ.get("BINARY", "build/release/morbench"))
MODEL = {"model": "mor_vit", "img_size": 28, "patch_size": 4, "in_chans": 1, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2, "num_classes": 10,
         "sharing": "cycle", "blocks_per_recursion": 1, "recursions": 3, "router": "token"}
N = 40


def tensors(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    found = {}
    for name, e in json.loads(data[8:8 + n]).items():
        if name == "__metadata__": continue
        a, b = e["data_offsets"]
        body = data[8 + n + a:8 + n + b]
        values = list(body) if e["dtype"] == "U8" else list(struct.unpack(f"<{len(body) // 4}i", body))
        row = e["shape"][1]
        found[name] = [values[i:i + row] for i in range(0, len(values), row)]
    return found


def sobel_by_patch(image, size, patch):
    at = lambda y, x: image[min(max(y, 0), size - 1)][min(max(x, 0), size - 1)]
    side = size // patch
    mean = [0.0] * side ** 2                    # whole numbers up to the root, a float at the end: equal patches are ties
    for y in range(size):
        for x in range(size):
            gx = sum(w * (at(y + d, x + 1) - at(y + d, x - 1)) for d, w in ((-1, 1), (0, 2), (1, 1)))
            gy = sum(w * (at(y + 1, x + d) - at(y - 1, x + d)) for d, w in ((-1, 1), (0, 2), (1, 1)))
            mean[y // patch * side + x // patch] += math.sqrt(gx * gx + gy * gy)
    return [struct.unpack("f", struct.pack("f", v / patch ** 2))[0] for v in mean]


def ranks(x):
    place = sorted(range(len(x)), key=lambda i: x[i])
    rank = [0.0] * len(x)
    i = 0
    while i < len(x):
        k = i
        while k < len(x) and x[place[k]] == x[place[i]]: k += 1
        for j in range(i, k): rank[place[j]] = (i + 1 + k) / 2
        i = k
    return rank


def pearson(x, y):
    if len(set(x)) < 2 or len(set(y)) < 2: return None
    mx, my = statistics.fmean(x), statistics.fmean(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y)) / math.sqrt(sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y))


def png(path):
    """Width, height, and the RGB rows of an 8-bit PNG, filters undone."""
    data, at, body, size = open(path, "rb").read(), 8, b"", None
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IHDR": size = struct.unpack(">IIBB", data[at + 8:at + 18])
        if kind == b"IDAT": body += data[at + 8:at + 8 + n]
        at += 12 + n
    width, height, depth, colour = size
    assert depth == 8 and colour == 2
    raw, rows, stride = zlib.decompress(body), [], 3 * width
    before = bytes(stride)
    for y in range(height):
        kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for i in range(stride):
            a, b, c = line[i - 3] if i >= 3 else 0, before[i], before[i - 3] if i >= 3 else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line[i] = (line[i] + (0, a, b, (a + b) // 2, paeth)[kind]) & 255
        rows.append(bytes(line))
        before = line
    return width, height, rows


def write_png(path, rows, channels):
    """rows of (height, width*channels) bytes."""
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    header = struct.pack(">IIBBBBB", len(rows[0]) // channels, len(rows), 8, 2 if channels == 3 else 0, 0, 0, 0)
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(r) for r in rows))) + chunk(b"IEND", b""))


def random_image(draw, size, channels):
    """Flat parts, ramps and noise, so that gradients differ from patch to patch."""
    image = [[[draw.randrange(40)] * channels for _ in range(size)] for _ in range(size)]
    for _ in range(6):
        y, x, h, w = draw.randrange(size), draw.randrange(size), draw.randrange(3, 15), draw.randrange(3, 15)
        colour = [draw.randrange(256) for _ in range(channels)]
        for r in range(y, min(y + h, size)):
            for c in range(x, min(x + w, size)): image[r][c] = colour
    return image


class Depths(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = tempfile.TemporaryDirectory()
        cls.dir = cls.work.name
        cls.environment = {**os.environ, "MORBENCH_DATA": cls.dir, "OMP_WAIT_POLICY": "passive"}
        for key in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"): cls.environment.pop(key, None)
        draw = random.Random(5)
        cls.grey = [random_image(draw, 28, 1) for _ in range(N)]
        os.mkdir(f"{cls.dir}/fashion_mnist")
        with gzip.open(f"{cls.dir}/fashion_mnist/t10k-images-idx3-ubyte.gz", "wb") as f:
            f.write(struct.pack(">IIII", 2051, N, 28, 28) + bytes(p[0] for image in cls.grey for row in image for p in row))
        with gzip.open(f"{cls.dir}/fashion_mnist/t10k-labels-idx1-ubyte.gz", "wb") as f:
            f.write(struct.pack(">II", 2049, N) + bytes(i % 10 for i in range(N)))
        cls.colour = [random_image(draw, 32, 3) for _ in range(12)]
        for i, image in enumerate(cls.colour):
            os.makedirs(f"{cls.dir}/photos/test/{'ab'[i % 2]}", exist_ok=True)
            write_png(f"{cls.dir}/photos/test/{'ab'[i % 2]}/{i:02}.png", [[v for p in row for v in p] for row in image], 3)
        cls.colour = cls.colour[0::2] + cls.colour[1::2]       # in the order of classes

    @classmethod
    def tearDownClass(cls):
        cls.work.cleanup()

    def run_program(self, *words):
        done = subprocess.run([BINARY, *words], capture_output=True, text=True, env=self.environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def evaluate(self, name, settings, *more):
        """Random weights of the settings, saved by a training of no rate, then evaluated; the result and what was stored."""
        config, out = f"{self.dir}/{name}.json", f"{self.dir}/{name}"
        json.dump({"data": {"name": f"synthetic:{settings['img_size']}x{settings['img_size']}x{settings['in_chans']}:{settings['num_classes']}:16"}, "model": settings,
                   "train": {"epochs": 1, "batch_size": 8, "lr": 0.05, "warmup_epochs": 0, "optimizer": "sgd"}}, open(config, "w"))
        self.run_program("train", config, "--quiet", "--out", out)
        model = f"{self.dir}/{name}.model.json"
        json.dump(settings, open(model, "w"))
        shown = self.run_program("eval", "--config", model, "--weights", f"{out}/weights.safetensors", "--quiet", "--json", "--batch", "7",
                                 "--depths", f"{self.dir}/{name}.depths", *more)
        result = json.loads(shown)
        return result["depth_histogram"], tensors(f"{self.dir}/{name}.depths")

    def check_correlations(self, found, depth, images, size, patch):
        side = size // patch
        distance = [math.sqrt((i // side - (side - 1) / 2) ** 2 + (i % side - (side - 1) / 2) ** 2) for i in range(side ** 2)]
        by = {"gradient": [], "centre_distance": []}
        for patches, image in zip(depth, images):
            grey = [[p[0] if len(p) == 1 else 299 * p[0] + 587 * p[1] + 114 * p[2] for p in row] for row in image]
            for key, other in (("gradient", sobel_by_patch(grey, size, patch)), ("centre_distance", distance)):
                rho = pearson(ranks(patches), ranks(other))
                if rho is not None: by[key].append((rho, pearson(patches, other)))
        for key, pairs in by.items():
            self.assertEqual(found[f"{key}_images_count"], len(pairs))
            self.assertGreater(len(pairs), 5)
            for k, how in enumerate(("spearman", "pearson")):
                # sums of at most 64 products of doubles, in another order
                self.assertAlmostEqual(found[f"{key}_{how}"], statistics.median(p[k] for p in pairs), delta=1e-12)
                self.assertLess(found[f"{key}_{how}_low"], found[f"{key}_{how}"])
                self.assertGreater(found[f"{key}_{how}_high"], found[f"{key}_{how}"])

    def test_depths_of_grey_images(self):
        maps = f"{self.dir}/maps"
        found, stored = self.evaluate("grey", MODEL, "--data", "fashion_mnist", "--depth-maps", maps, "--images", "3,17")
        depth = [row[1:] for row in stored["depth"]]
        self.assertEqual((len(depth), len(depth[0])), (N, 49))
        # the histogram of all tokens and those of each image
        self.assertEqual(found["tokens_count"], [sum(row.count(d) for row in stored["depth"]) for d in range(4)])
        self.assertEqual(stored["histogram"], [[row.count(d) for d in range(4)] for row in stored["depth"]])
        mean = [statistics.fmean(row) for row in depth]
        quartiles = statistics.quantiles(mean, n=4, method="inclusive")
        for got, wanted in zip(found["image_mean_depth_quartiles_count"], [min(mean), *quartiles, max(mean)]): self.assertAlmostEqual(got, wanted, delta=1e-12)
        self.check_correlations(found, depth, self.grey, 28, 4)
        self.assertEqual(sorted(os.listdir(maps)), ["extremes.png", "image-17.png", "image-3.png"])
        # the left panel is the image, eight pixels for one, below a line of 18 words high
        width, height, rows = png(f"{maps}/image-17.png")
        self.assertEqual((width, height), (2 * 224 + 90 + 32, 224 + 18 + 16))
        for y in range(28):
            for x in range(28):
                at = 3 * (8 + 8 * x)
                self.assertEqual(list(rows[8 + 18 + 8 * y][at:at + 3]), self.grey[17][y][x] * 3)
        # the right one has one colour a depth where the image has one lightness
        colours = {}
        for y in range(28):
            for x in range(28):
                at = 3 * (16 + 224 + 8 * x)
                key = (depth[17][y // 4 * 7 + x // 4], self.grey[17][y][x][0])
                self.assertEqual(colours.setdefault(key, rows[26 + 8 * y + 7][at:at + 3]), rows[26 + 8 * y][at:at + 3])
        self.assertGreater(len({k[0] for k in colours}), 1)

    def test_depths_of_colour_images(self):
        found, stored = self.evaluate("colour", {**MODEL, "img_size": 32, "in_chans": 3, "num_classes": 2}, "--data", f"{self.dir}/photos", "--preprocess", "none")
        self.check_correlations(found, [row[1:] for row in stored["depth"]], self.colour, 32, 4)

    def test_a_dense_model_has_one_depth_and_nothing_to_correlate(self):
        dense = {"model": "vit", "img_size": 28, "patch_size": 4, "in_chans": 1, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2, "num_classes": 10, "depth": 2, "distilled": False}
        found, stored = self.evaluate("dense", dense, "--data", "fashion_mnist")
        self.assertEqual(found["tokens_count"], [0, 0, 50 * N])
        self.assertEqual(stored["histogram"], [[0, 0, 50]] * N)
        self.assertEqual(found["image_mean_depth_quartiles_count"], [2] * 5)
        for key in ("gradient_spearman", "centre_distance_pearson", "gradient_pearson_low"):
            self.assertIsNone(found[key])
            self.assertEqual(found[f"{key}_reason"], "not_supported")

    def test_pictures_are_refused_before_the_work(self):
        self.evaluate("small", MODEL, "--data", "fashion_mnist", "--limit", "3")
        common = ["eval", "--config", f"{self.dir}/small.model.json", "--weights", f"{self.dir}/small/weights.safetensors", "--data", "fashion_mnist", "--quiet"]
        for more, told in ((["--images", "3"], "--images: needs --depth-maps"), (["--depth-maps", f"{self.dir}/m", "--images", "40"], r"--images: must be a whole number in [0, 39]"),
                           (["--depth-maps", f"{self.dir}/small.json"], "small.json")):
            done = subprocess.run([BINARY, *common, *more], capture_output=True, text=True, env=self.environment)
            self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
            self.assertIn(told, done.stderr)


if __name__ == "__main__":
    if not os.path.exists(BINARY): sys.exit("no program at " + BINARY)
    unittest.main()
