# SPDX-License-Identifier: BSD-2-Clause
"""An endpoint that was written http:// and is TLS: nothing is delivered, and what came is said."""
import faults

EXPECT = r"export to http://127\.0\.0\.1:\d+/v1/metrics failed: "


def start(directory, stack):
    collector = stack.enter_context(faults.Collector(tls=faults.Certificates(directory)))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp.replace("https", "http")}, lambda: not collector.records
