# SPDX-License-Identifier: BSD-2-Clause
"""An endpoint with a password, and a mistake in it: the message does not show it."""

EXPECT = r"--endpoint: expected a URL such as"
NEVER = r"secret"


def arguments(_):
    return ["run", "--endpoint", "https://user:secret@host:99999"], {}
