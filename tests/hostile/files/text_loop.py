# SPDX-License-Identifier: BSD-2-Clause
"""A text that points to the very field it is in."""
import struct

import elfmake

EXPECT = r"'\\x08' has 0 labels, but the names of 1"


def make(path):
    image = elfmake.Image()
    fields = dict(image.fields("attack.loop"))
    fields[elfmake.TEXT] = struct.pack("<iI", -4, 12)
    image.note(list(fields.items()))
    image.write(path)
