# SPDX-License-Identifier: BSD-2-Clause
"""Metrics of a program for another machine."""
import elfmake

EXPECT = r"built for arm64, and only programs for x86-64"
RUN = False


def make(path):
    elfmake.Image(machine=183).metric("attack.machine").write(path)
