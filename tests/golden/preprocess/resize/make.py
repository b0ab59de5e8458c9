#!/usr/bin/python3
"""Makes cases.bin with Pillow: noise resized to other sizes. Little-endian 32-bit numbers, then pixels, per case:
channels, filter (0 bilinear, 1 bicubic), width, height, new width, new height, pixels (H,W,C), resized pixels."""
import random
import struct
from pathlib import Path

from PIL import Image

random.seed(2)
SIZES = [((1, 1), (1, 1)), ((1, 1), (5, 3)), ((7, 5), (7, 5)), ((7, 5), (7, 9)), ((7, 5), (3, 5)), ((16, 16), (1, 1)), ((33, 17), (16, 47)),
         ((50, 3), (4, 31)), ((2, 90), (3, 7)), ((48, 49), (47, 50)), ((28, 28), (32, 32)), ((100, 1), (1, 2))]

with open(Path(__file__).parent / 'cases.bin', 'wb') as out:
    for channels, mode in ((1, 'L'), (3, 'RGB')):
        for number, kind in enumerate((Image.BILINEAR, Image.BICUBIC)):
            for size, new in SIZES:
                # extremes, so that the cubic's overshoot is clipped
                noise = bytes(random.choice([0, 255, random.randrange(256)]) for _ in range(size[0] * size[1] * channels))
                image = Image.frombytes(mode, size, noise)
                out.write(struct.pack('<6i', channels, number, *size, *new) + noise + image.resize(new, kind).tobytes())
