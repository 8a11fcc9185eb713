# SPDX-License-Identifier: BSD-2-Clause
"""A name of 1 MiB, without an end."""
import struct

import elfmake

EXPECT = r"descriptor 0: field 2 points outside of the file or holds no valid value"


def make(path):
    image = elfmake.Image()
    fields = dict(image.fields("attack.long"))
    fields[elfmake.TEXT] = [elfmake.place(image.text(b"x" * (1 << 20))), struct.pack("<I", 1 << 20)]
    image.note(list(fields.items()))
    image.write(path)
