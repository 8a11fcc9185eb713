# SPDX-License-Identifier: BSD-2-Clause
"""Fifty note segments over the same 100 KiB."""
import elfmake

EXPECT = r"a note segment of 102400 bytes is too large \(at most 1048576 in one file\)"


def make(path):
    image = elfmake.Image()
    image.text(bytes(102400))
    image.extra_segments += [(4, 4, 4096, elfmake.BASE + 4096, 102400, 102400)] * 50
    image.write(path)
