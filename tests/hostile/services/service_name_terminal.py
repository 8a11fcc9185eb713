# SPDX-License-Identifier: BSD-2-Clause
"""A service whose name and attributes give orders to a terminal and forge a line."""
import elfmake

EXPECT = r"evil\\x1b\[2J\\nprobemeter: error: forged"
ENVIRONMENT = {"OTEL_SERVICE_NAME": "evil\x1b[2J\nprobemeter: error: forged",
               "OTEL_RESOURCE_ATTRIBUTES": "note=%1b%5d0;owned%07,other=%C2%9b31m,bad=%ff"}


def make(path):
    image = elfmake.Image()
    semaphore = image.semaphore()
    table = image.levels(1, 8, [(1, semaphore, 0, 0, 3, 0)], b"")
    image.metric("attack.service.name", kind=elfmake.UPDOWN, levels=table, semaphore=semaphore)
    image.write(path)
