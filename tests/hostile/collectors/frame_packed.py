# SPDX-License-Identifier: BSD-2-Clause
"""A frame that says it is compressed, which nobody asked for: 100 MiB from 100 KiB."""
import faults
import grpc_faults

EXPECT = r"the answer is compressed, which nobody asked for"


def start(directory, stack):
    step = grpc_faults.bomb()
    collector = stack.enter_context(faults.Collector(grpc=True, default=step))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, \
        lambda: collector.records
