#!/usr/bin/env python3
"""A checkpoint without tensors whose digest fits, of any state: for tests of what reads checkpoints (harness/train/checkpoint.c).

    forge_checkpoint.py OUT.safetensors KEY=VALUE...      lines of the state, in that order
"""
import json
import struct
import sys

P = (11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579, 2870177450012600261)
MASK = (1 << 64) - 1


def turned(x, r):
    return (x << r | x >> (64 - r)) & MASK


def step(sum, lane):
    return turned((sum + lane * P[1]) & MASK, 31) * P[0] & MASK


def xxh64(data):
    """XXH64 with seed 0."""
    at, n = 0, len(data)
    if n >= 32:
        v = [(P[0] + P[1]) & MASK, P[1], 0, -P[0] & MASK]
        while at + 32 <= n:
            v = [step(v[i], struct.unpack_from("<Q", data, at + 8 * i)[0]) for i in range(4)]
            at += 32
        h = sum(turned(v[i], (1, 7, 12, 18)[i]) for i in range(4)) & MASK
        for one in v:
            h = ((h ^ step(0, one)) * P[0] + P[3]) & MASK
    else:
        h = P[4]
    h = (h + n) & MASK
    while at + 8 <= n:
        h = (turned(h ^ step(0, struct.unpack_from("<Q", data, at)[0]), 27) * P[0] + P[3]) & MASK
        at += 8
    if at + 4 <= n:
        h = (turned(h ^ struct.unpack_from("<I", data, at)[0] * P[0] & MASK, 23) * P[1] + P[2]) & MASK
        at += 4
    for byte in data[at:]:
        h = turned(h ^ byte * P[4] & MASK, 11) * P[0] & MASK
    h = (h ^ h >> 33) * P[1] & MASK
    h = (h ^ h >> 29) * P[2] & MASK
    return h ^ h >> 32


assert xxh64(b"") == 0xEF46DB3751D8E999 and xxh64(b"abc") == 0x44BC2CF5AD770999

out, *lines = sys.argv[1:]
state = "".join(line.replace("=", " ", 1) + "\n" for line in lines)
digest = "%016x" % xxh64(struct.pack("<QQ", 0, xxh64(state.encode())))
header = json.dumps({"__metadata__": {"state": state, "digest": digest}}).encode()
header += b" " * (-len(header) % 8)
with open(out, "wb") as f:
    f.write(struct.pack("<Q", len(header)) + header)
