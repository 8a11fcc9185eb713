# SPDX-License-Identifier: BSD-2-Clause
"""A file that shrinks, grows and says something else while it is read."""
import random

import elfmake

EXPECT = r"changes_while_read"
RUN = False
TIMES = 8


def make(path):
    elfmake.Image().metric("attack.changes", labels=("a", "b")).write(path)


def disturb(path, stop):
    whole = bytes(path.read_bytes())
    dice = random.Random(1)
    with open(path, "r+b", buffering=0) as file:
        while not stop.is_set():
            file.truncate(dice.randrange(len(whole)))
            file.seek(0)
            file.write(whole)
            file.seek(dice.randrange(len(whole)))
            file.write(dice.randbytes(4))
