# SPDX-License-Identifier: BSD-2-Clause
"""A status that is no number."""
import faults
import grpc_faults

EXPECT = r"failed: answered UNKNOWN"


def start(directory, stack):
    step = grpc_faults._answer("odd", b"", {"grpc-status": "4294967296", "grpc-message": "%zz%"})
    collector = stack.enter_context(faults.Collector(grpc=True, default=step))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, \
        lambda: collector.records
