# SPDX-License-Identifier: BSD-2-Clause
"""A field that is longer than its note."""
import struct

import elfmake

EXPECT = r"descriptor 0 is torn: field 9 needs 65532 bytes, 0 are left"


def make(path):
    image = elfmake.Image()
    image.note([(1, struct.pack("<II", 1, 0) + struct.pack("<HH", 9, 0xfffc))])
    image.write(path)
    data = bytearray(path.read_bytes())
    data[data.index(b"\x01\x00\x0c\x00") + 2] = 8  # the field of 12 bytes becomes one of 8 and a head behind it
    path.write_bytes(data)
