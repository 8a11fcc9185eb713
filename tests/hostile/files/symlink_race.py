# SPDX-License-Identifier: BSD-2-Clause
"""A symbolic link that is switched between a program, a FIFO and a device all the time."""
import os

import elfmake

EXPECT = r"attack\.race|not a regular file"
RUN = False
TIMES = 8


def make(path):
    elfmake.Image().metric("attack.race").write(path.with_suffix(".elf"))
    os.mkfifo(path.with_suffix(".pipe"))
    path.symlink_to(path.with_suffix(".elf"))


def disturb(path, stop):
    targets = [path.with_suffix(".elf"), path.with_suffix(".pipe"), "/dev/zero"]
    number = 0
    while not stop.is_set():
        number += 1
        fresh = path.with_suffix(".new")
        fresh.symlink_to(targets[number % 3])
        os.rename(fresh, path)
