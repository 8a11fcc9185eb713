# SPDX-License-Identifier: BSD-2-Clause
"""A note that says it is nearly 4 GiB long."""
import elfmake

EXPECT = r"a note is torn: it needs 42949672\d\d bytes"


def make(path):
    image = elfmake.Image()
    image.note(image.fields("attack.torn"), size=0xfffffff0)
    image.write(path)
