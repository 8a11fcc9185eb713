# SPDX-License-Identifier: BSD-2-Clause
"""A policy file that is a FIFO: nobody is waited for."""
import os

EXPECT = r"'.*policy': not a regular file"


def arguments(directory):
    os.mkfifo(directory / "policy")
    return ["run", "--policy", directory / "policy", "--exporter", "console"], {}
