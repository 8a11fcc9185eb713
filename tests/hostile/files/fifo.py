# SPDX-License-Identifier: BSD-2-Clause
"""A FIFO in place of the file: whoever opened it for reading would wait for ever."""
import os

EXPECT = r"'.*fifo': not a regular file"
RUN = False


def make(path):
    os.mkfifo(path)
