# SPDX-License-Identifier: BSD-2-Clause
"""Nonsense in place of HTTP/2 frames."""
import faults
import grpc_faults

EXPECT = r"failed: "


def start(directory, stack):
    step = grpc_faults.garbage_frames()
    collector = stack.enter_context(faults.Collector(grpc=True, default=step))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, \
        lambda: collector.records
