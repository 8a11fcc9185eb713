# SPDX-License-Identifier: BSD-2-Clause
"""A sparse file of 1 TB says, in its first section header, that it has 5,000,000 sections: 8 KiB on disk."""
import struct

import elfmake

EXPECT = r"attack\.sections"


def make(path):
    elfmake.Image(shoff=1 << 20).metric("attack.sections").write(path)
    with open(path, "r+b") as file:
        file.seek(1 << 20)
        file.write(struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 5000000, 0, 5000000, 0, 0))
        file.truncate(1 << 40)
