# SPDX-License-Identifier: BSD-2-Clause
"""Two hundred metrics whose names are one and the same text of 16 KiB."""
import struct

import elfmake

EXPECT = r"more than 1048576 bytes of text in one file"


def make(path):
    image = elfmake.Image()
    text = b"Hostile\0name\0" + b"u" * 16300 + b"\0d\0"
    where = image.text(text)
    for _ in range(200):
        fields = dict(image.fields("attack.shared"))
        fields[elfmake.TEXT] = [elfmake.place(where), struct.pack("<I", len(text))]
        image.note(list(fields.items()))
    image.write(path)
