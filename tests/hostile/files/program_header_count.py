# SPDX-License-Identifier: BSD-2-Clause
"""65,535 program headers, the number that stands for "see the first section header", in a sparse file of 1 TB."""
import elfmake

EXPECT = r"attack\.headers"
RUN = False  # no kernel does


def make(path):
    elfmake.Image(phnum=0xffff).metric("attack.headers").write(path)
    with open(path, "r+b") as file:
        file.truncate(1 << 40)
