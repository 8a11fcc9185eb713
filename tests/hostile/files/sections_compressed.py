# SPDX-License-Identifier: BSD-2-Clause
"""Section headers that say a compressed section of 1 TB: sections are not looked at."""
import struct

import elfmake

EXPECT = r"attack\.compressed"


def make(path):
    image = elfmake.Image(shnum=2, shoff=1 << 16)
    image.metric("attack.compressed").write(path)
    with open(path, "r+b") as file:
        file.seek(1 << 16)
        file.write(bytes(64) + struct.pack("<IIQQQQIIQQ", 0, 1, 0x800, 0, 64, 1 << 40, 0, 0, 1, 0))
