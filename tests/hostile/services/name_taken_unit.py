# SPDX-License-Identifier: BSD-2-Clause
"""A metric that another service has, in another unit: the other's is what it was."""
import elfmake

EXPECT = r"metric 'e2e\.bare\.total' in '.*name_taken_unit': another metric of this name differs in unit; they stay apart"


def make(path):
    elfmake.Image().metric("e2e.bare.total", unit="By", scope="EndToEnd").write(path)
