# SPDX-License-Identifier: BSD-2-Clause
"""An error whose words clear the screen and forge a line of the log."""
import faults

EXPECT = r"answered 400: no\\x1b\[2J\\nprobemeter: error: forged\\x9b1m"


def start(directory, stack):
    words = b"no\x1b[2J\nprobemeter: error: forged\xc2\x9b1m"
    collector = stack.enter_context(faults.Collector(default=faults.status(400, words=words)))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp}, lambda: collector.records
