# SPDX-License-Identifier: BSD-2-Clause
"""A small answer that gzip makes 100 MiB of."""
import faults

EXPECT = r"failed: the answer is larger than 4 MiB"


def start(directory, stack):
    collector = stack.enter_context(faults.Collector(default=faults.bomb()))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp}, lambda: collector.records
