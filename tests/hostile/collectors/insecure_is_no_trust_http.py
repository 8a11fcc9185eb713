# SPDX-License-Identifier: BSD-2-Clause
"""OTEL_EXPORTER_OTLP_METRICS_INSECURE=true takes no verification away from an https:// endpoint either, here over HTTP."""
import faults

EXPECT = r"failed: .*self-signed certificate"


def start(directory, stack):
    tls = faults.Certificates(directory)
    tls.pairs["good"] = tls.pairs["self-signed"]
    collector = stack.enter_context(faults.Collector(tls=tls))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp, "OTEL_EXPORTER_OTLP_METRICS_INSECURE": "true"}, \
        lambda: not collector.records
