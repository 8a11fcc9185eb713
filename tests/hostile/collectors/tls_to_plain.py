# SPDX-License-Identifier: BSD-2-Clause
"""An endpoint that was written https:// and speaks in clear: TLS is not given up."""
import faults

EXPECT = r"export to https://127\.0\.0\.1:\d+/v1/metrics failed: (no connection in time|.*SSL|.*wrong version)"


def start(directory, stack):
    collector = stack.enter_context(faults.Collector())
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp.replace("http", "https")}, lambda: not collector.records
