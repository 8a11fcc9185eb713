# SPDX-License-Identifier: BSD-2-Clause
"""A frame that says 4 GiB and has two bytes."""
import faults
import grpc_faults

EXPECT = r"the answer is larger than 4 MiB"


def start(directory, stack):
    step = grpc_faults._answer("lies", b"\x00\xff\xff\xff\xff\x0a\x00", {"grpc-status": "0"})
    collector = stack.enter_context(faults.Collector(grpc=True, default=step))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, \
        lambda: collector.records
