# SPDX-License-Identifier: BSD-2-Clause
"""A symbolic link to itself."""

EXPECT = r"'.*symlink_loop': Too many levels of symbolic links"
RUN = False


def make(path):
    path.symlink_to(path)
