# SPDX-License-Identifier: BSD-2-Clause
"""A level table where there is no memory: no levels, and nobody waits for them."""
import elfmake

EXPECT = r"attached: '.*level_outside'"


def make(path):
    image = elfmake.Image()
    image.metric("attack.level.outside", kind=elfmake.UPDOWN, levels=elfmake.DATA + 0x10000000)
    image.write(path)
