# SPDX-License-Identifier: BSD-2-Clause
"""A policy file without an end."""

EXPECT = r"'/dev/zero': not a regular file"


def arguments(_):
    return ["run", "--policy", "/dev/zero", "--exporter", "console"], {}
