# SPDX-License-Identifier: BSD-2-Clause
"""A device without an end in place of the file."""

EXPECT = r"'.*device': not a regular file"
RUN = False


def make(path):
    path.symlink_to("/dev/zero")
