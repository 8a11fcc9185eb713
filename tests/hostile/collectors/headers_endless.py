# SPDX-License-Identifier: BSD-2-Clause
"""An answer whose headers do not end."""
import faults

EXPECT = r"failed: "


def start(directory, stack):
    def pieces():
        return [b"HTTP/1.1 200 OK\r\n", *[b"X-Filler: " + b"y" * 8000 + b"\r\n"] * 3000]

    collector = stack.enter_context(faults.Collector(default=faults.Step("endless headers", pieces, end="close")))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp}, lambda: collector.records
