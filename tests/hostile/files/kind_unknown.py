# SPDX-License-Identifier: BSD-2-Clause
"""A kind of metric that nobody knows."""
import elfmake

EXPECT = r"'attack\.kind' is of kind 4711, which this agent does not know"


def make(path):
    elfmake.Image().metric("attack.kind", kind=4711).write(path)
