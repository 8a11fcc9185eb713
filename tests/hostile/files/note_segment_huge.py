# SPDX-License-Identifier: BSD-2-Clause
"""A note segment of 1 TB, and the file is as long."""
import elfmake

EXPECT = r"a note segment of 1099511627776 bytes is too large \(at most 1048576 in one file\)"


def make(path):
    image = elfmake.Image()
    image.extra_segments.append((4, 4, 0, 0, 1 << 40, 1 << 40))
    image.write(path)
    with open(path, "r+b") as file:
        file.truncate((1 << 40) + 4096)
