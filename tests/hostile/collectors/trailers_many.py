# SPDX-License-Identifier: BSD-2-Clause
"""Five hundred trailers of 100 bytes, and the status behind them."""
import faults
import grpc_faults

EXPECT = r"failed: "


def start(directory, stack):
    step = faults.Step("many", lambda: [("headers", grpc_faults.HEAD, False), ("headers", {**{f"grpc-x{n}": "y" * 100 for n in range(500)}, "grpc-status": "13"}, True)])
    collector = stack.enter_context(faults.Collector(grpc=True, default=step))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, \
        lambda: collector.records
