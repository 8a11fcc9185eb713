# SPDX-License-Identifier: BSD-2-Clause
"""A metric that another service has, as another kind in another unit: the other's is what it was."""
import elfmake

EXPECT = r"metric 'e2e\.fired\.total' in '.*name_taken': another metric of this name differs in kind; they stay apart"


def make(path):
    elfmake.Image().metric("e2e.fired.total", kind=elfmake.HISTOGRAM, unit="s", scope="EndToEnd").write(path)
