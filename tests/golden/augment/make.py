#!/usr/bin/python3
"""Makes ops.bin with Pillow: single operations of RandAugment with fixed arguments, as timm calls Pillow for them. Per case: name in
16 bytes, the argument as a 64-bit float, channels, width, height as little-endian 32-bit numbers, fill (3 bytes), pixels (H,W,C),
changed pixels."""
import random
import struct
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps

random.seed(3)
FILL = (124, 116, 104)


def affine(image, *matrix):
    fill = FILL if image.mode == 'RGB' else FILL[0]
    return image.transform(image.size, Image.AFFINE, matrix, resample=Image.BICUBIC, fillcolor=fill)


def solarize_add(image, add):
    table = [min(255, v + add) if v < 128 else v for v in range(256)]
    return image.point(table * len(image.getbands()))


OPS = {
    'auto_contrast': (lambda i, v: ImageOps.autocontrast(i), [0]),
    'equalize': (lambda i, v: ImageOps.equalize(i), [0]),
    'invert': (lambda i, v: ImageOps.invert(i), [0]),
    'rotate': (lambda i, v: i.rotate(v, resample=Image.BICUBIC, fillcolor=FILL if i.mode == 'RGB' else FILL[0]), [27, -13.4, 0, 3e-3]),
    'posterize': (lambda i, v: ImageOps.posterize(i, int(v)), [0, 1, 4]),
    'solarize': (lambda i, v: ImageOps.solarize(i, int(v)), [0, 26, 256]),
    'solarize_add': (lambda i, v: solarize_add(i, int(v)), [0, 99, 110]),
    'color': (lambda i, v: ImageEnhance.Color(i).enhance(v), [0.1, 0.73, 1, 1.9]),
    'contrast': (lambda i, v: ImageEnhance.Contrast(i).enhance(v), [0.1, 0.73, 1, 1.9]),
    'brightness': (lambda i, v: ImageEnhance.Brightness(i).enhance(v), [0.1, 0.73, 1, 1.9]),
    'sharpness': (lambda i, v: ImageEnhance.Sharpness(i).enhance(v), [0.1, 0.73, 1, 1.9]),
    'shear_x': (lambda i, v: affine(i, 1, v, 0, 0, 1, 0), [0.27, -0.11, 0]),
    'shear_y': (lambda i, v: affine(i, 1, 0, 0, v, 1, 0), [0.27, -0.11]),
    'translate_x': (lambda i, v: affine(i, 1, 0, v * i.size[0], 0, 1, 0), [0.405, -0.2]),
    'translate_y': (lambda i, v: affine(i, 1, 0, 0, 0, 1, v * i.size[1]), [0.405, -0.2]),
}


def noise(n):            # extremes, so that the cubic's overshoot is clipped
    return [random.choice([0, 255, random.randrange(256)]) for _ in range(n)]


def smooth(w, h, c):     # a narrow range, for what looks at histograms
    return [40 + 5 * x + 3 * y * (k + 1) + random.randrange(9) for y in range(h) for x in range(w) for k in range(c)]


def pictures(mode, c):
    yield (17, 13), noise(17 * 13 * c)
    yield (17, 15), smooth(17, 15, c)
    yield (28, 28), smooth(28, 28, c)
    yield (2, 5), noise(10 * c)
    yield (1, 1), noise(c)
    yield (6, 6), [77] * 36 * c


with open(Path(__file__).parent / 'ops.bin', 'wb') as out:
    for mode, c in (('L', 1), ('RGB', 3)):
        for size, values in pictures(mode, c):
            image = Image.frombytes(mode, size, bytes(v % 256 for v in values))
            for name, (make, arguments) in OPS.items():
                if size == (28, 28) and name != 'equalize':     # only there the number of pixels matters
                    continue
                for v in arguments:
                    made = make(image, v)
                    assert made.mode == mode and made.size == size
                    out.write(name.encode().ljust(16, b'\0') + struct.pack('<d3i', v, c, *size) + bytes(FILL) + image.tobytes() + made.tobytes())
