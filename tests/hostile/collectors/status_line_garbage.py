# SPDX-License-Identifier: BSD-2-Clause
"""No HTTP at all: bytes without an order."""
import faults

EXPECT = r"failed: "


def start(directory, stack):
    step = faults.Step("garbage", lambda: [bytes(range(255, -1, -1)) * 64], end="close")
    collector = stack.enter_context(faults.Collector(default=step))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp}, lambda: collector.records
