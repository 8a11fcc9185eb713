# SPDX-License-Identifier: BSD-2-Clause
"""An answer of 10 MiB."""
import faults

EXPECT = r"failed: the answer is larger than 4 MiB"


def start(directory, stack):
    collector = stack.enter_context(faults.Collector(default=faults.big_answer()))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp}, lambda: collector.records
