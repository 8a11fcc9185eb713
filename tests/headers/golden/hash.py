#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""hash.py - the label hash once more, written from ABI.md alone: the vectors of standard input, in the same form."""

import sys

MASK = (1 << 64) - 1
SEED, WORD, LENGTH = 0x9E3779B97F4A7C15, 0xD1342543DE00A4CD, 0xA0761D6478BD642F


def mix(a, b):
    product = a * b
    return (product & MASK) ^ (product >> 64)


def number(data):
    return int.from_bytes(data, "little")


def label_hash(hash_, label):
    label = label[:511]
    left = len(label)
    hash_ ^= left * LENGTH & MASK
    while left > 16:
        hash_ = mix(number(label[:8]) ^ WORD, number(label[8:16]) ^ hash_)
        label = label[16:]
        left -= 16
    a = b = 0
    if left >= 8:
        a, b = number(label[:8]), number(label[-8:])
    elif left >= 4:
        a, b = number(label[:4]), number(label[-4:])
    elif left:
        a = label[0] << 16 | label[left >> 1] << 8 | label[-1]
    return mix(a ^ WORD, b ^ hash_)


def value(spec):
    if spec == "null":
        return b""
    form, rest = spec.split(":")
    if form == "hex":
        return bytes.fromhex(rest)
    return bytes(ord("a") + i % 23 for i in range(int(rest)))


for line in sys.stdin:
    if line.startswith("#"):
        continue
    specs = line.split(" = ")[0].split()[1:]
    result = SEED
    for spec in specs:
        result = label_hash(result, value(spec))
    print(" ".join(["hash"] + specs) + " = %016x" % result)
