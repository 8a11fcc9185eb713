# SPDX-License-Identifier: BSD-2-Clause
"""Bounds that are not numbers and do not ascend."""
import elfmake

EXPECT = r"descriptor 0: field 7 points outside of the file or holds no valid value"


def make(path):
    elfmake.Image().metric("attack.bounds", kind=elfmake.HISTOGRAM, bounds=(1, float("nan"), 0)).write(path)
