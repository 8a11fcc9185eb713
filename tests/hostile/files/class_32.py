# SPDX-License-Identifier: BSD-2-Clause
"""A header of 32 bits over a body of 64."""
import elfmake

EXPECT = r"not a 64-bit ELF file of this machine"
RUN = False


def make(path):
    elfmake.Image(bits=1).metric("attack.class").write(path)
