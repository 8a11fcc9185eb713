# SPDX-License-Identifier: BSD-2-Clause
"""A level table whose slots name the semaphores of counters, and places that nobody has."""
import elfmake

EXPECT = r"attack\.level\.own +1 +now\n    \(no labels\) +5\n"


def make(path):
    image = elfmake.Image()
    own, counter = image.semaphore(), image.semaphore()
    slots = [(1, own, 0, 0, 5, 0), (2, counter, 0, 0, 1000, 0), (3, elfmake.DATA + 4, 0, 0, 1000, 0)]
    table = image.levels(3, 8, slots, b"")
    image.metric("attack.level.own", kind=elfmake.UPDOWN, levels=table, semaphore=own)
    image.metric("attack.level.counter", semaphore=counter)
    image.write(path)
