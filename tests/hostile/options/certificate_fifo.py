# SPDX-License-Identifier: BSD-2-Clause
"""A file of authorities that is a FIFO: the export fails at once, and says which variable."""
import os

EXPECT = r"failed: OTEL_EXPORTER_OTLP_CERTIFICATE: '.*authority' cannot be read"


def arguments(directory):
    os.mkfifo(directory / "authority")
    return ["run", "--once", "--interval", "200", "--endpoint", "https://127.0.0.1:9"], \
        {"OTEL_EXPORTER_OTLP_CERTIFICATE": directory / "authority", "OTEL_METRIC_EXPORT_TIMEOUT": 1000}
