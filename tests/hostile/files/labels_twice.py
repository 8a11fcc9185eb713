# SPDX-License-Identifier: BSD-2-Clause
"""Two labels of one name, which no receiver can tell apart."""
import elfmake

EXPECT = r"'attack\.labels': label 1 has no name, or another one's"


def make(path):
    elfmake.Image().metric("attack.labels", labels=("a", "a")).write(path)
