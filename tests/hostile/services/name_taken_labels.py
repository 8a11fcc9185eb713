# SPDX-License-Identifier: BSD-2-Clause
"""A metric that another service has, with another label: the other's is what it was."""
import elfmake

EXPECT = r"metric 'e2e\.size' in '.*name_taken_labels': another metric of this name differs in labels; they stay apart"


def make(path):
    elfmake.Image().metric("e2e.size", kind=elfmake.HISTOGRAM, unit="{byte}", scope="EndToEnd", labels=("sort",)).write(path)
