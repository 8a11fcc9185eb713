# SPDX-License-Identifier: BSD-2-Clause
"""OTEL_EXPORTER_OTLP_INSECURE=true takes no verification away from an https:// endpoint."""
import faults

EXPECT = r"failed: .*self-signed certificate"


def start(directory, stack):
    tls = faults.Certificates(directory)
    tls.pairs["good"] = tls.pairs["self-signed"]
    collector = stack.enter_context(faults.Collector(grpc=True, tls=tls))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp, "OTEL_EXPORTER_OTLP_INSECURE": "true",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, lambda: not collector.records
