# SPDX-License-Identifier: BSD-2-Clause
"""A level table that says it has four thousand million slots, with texts behind its end."""
import elfmake

EXPECT = r"attack\.level\.lies.*\n.*host=\"\""


def make(path):
    image = elfmake.Image()
    semaphore = image.semaphore()
    slots = [(1, semaphore, 0xffffffff, 0, 7, 0)]
    table = image.levels(0xffffffff, 0xffffffff, slots, b"")
    image.metric("attack.level.lies", kind=elfmake.UPDOWN, labels=("host",), levels=table, semaphore=semaphore)
    image.write(path)
