# SPDX-License-Identifier: BSD-2-Clause
"""Names that lie outside of the file."""
import struct

import elfmake

EXPECT = r"descriptor 0: field 2 points outside of the file"


def make(path):
    image = elfmake.Image()
    fields = dict(image.fields("attack.outside"))
    fields[elfmake.TEXT] = struct.pack("<iI", 0x7ffffff0, 64)
    image.note(list(fields.items()))
    image.write(path)
