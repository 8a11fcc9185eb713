# SPDX-License-Identifier: BSD-2-Clause
"""Six hundred metrics: more than one file may have."""
import elfmake

EXPECT = r"more than 512 descriptors, the rest is skipped"


def make(path):
    image = elfmake.Image()
    for number in range(600):
        image.metric(f"attack.many.{number}")
    image.write(path)
