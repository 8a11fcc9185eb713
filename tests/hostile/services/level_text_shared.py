# SPDX-License-Identifier: BSD-2-Clause
"""A full level table whose slots all share one text, three bytes for each of which come out of cleaning."""
import elfmake

EXPECT = r"attack\.level\.shared(?:(?!\n\n)[\s\S])*?\(all others: too many series\) +[12],\d\d\d"


def make(path):
    image = elfmake.Image()
    semaphore = image.semaphore()
    slots = [(1, semaphore, number, 0, 1, 0) for number in range(2048)]
    table = image.levels(2048, elfmake.LEVEL_TEXT, slots, b"\xff" * elfmake.LEVEL_TEXT)
    image.metric("attack.level.shared", kind=elfmake.UPDOWN, labels=("a", "b", "c", "d"), levels=table, semaphore=semaphore)
    image.write(path)
