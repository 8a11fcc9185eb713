# SPDX-License-Identifier: BSD-2-Clause
"""Ten thousand times "go on", and then an answer."""
import faults

EXPECT = None


def start(directory, stack):
    step = faults.Step("100 Continue", lambda: [b"HTTP/1.1 100 Continue\r\n\r\n" * 10000,
                                               b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], accepts=True)
    collector = stack.enter_context(faults.Collector(default=step))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp}, lambda: collector.records
