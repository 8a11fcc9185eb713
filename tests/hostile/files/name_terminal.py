# SPDX-License-Identifier: BSD-2-Clause
"""Names that clear the screen, set the terminal's title, begin a new line of the log, and turn text around."""
import elfmake

EXPECT = r"attack\\x1b\[2J\\x1b\]0;owned\\x07\\nprobemeter: error: forged\\u\{202e\}"
RUN = False  # services/string_terminal.c is


def make(path):
    image = elfmake.Image()
    image.metric("attack\x1b[2J\x1b]0;owned\x07\nprobemeter: error: forged\u202e\x9b31m", labels=("a\x1b[31m", "b\x85"))
    image.write(path)
