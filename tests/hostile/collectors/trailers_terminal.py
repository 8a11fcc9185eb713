# SPDX-License-Identifier: BSD-2-Clause
"""Trailers whose words clear the screen and forge a line, percent-encoded as gRPC has it."""
import faults
import grpc_faults

EXPECT = r"answered INTERNAL: no\\x1b\[2J\\nprobemeter: error: forged"


def start(directory, stack):
    step = grpc_faults.status(13, "no%1b%5b2J%0aprobemeter: error: forged")
    collector = stack.enter_context(faults.Collector(grpc=True, default=step))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, \
        lambda: collector.records
