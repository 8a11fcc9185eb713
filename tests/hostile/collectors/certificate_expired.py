# SPDX-License-Identifier: BSD-2-Clause
"""A collector that shows a certificate which is expired."""
import faults

EXPECT = r"failed: .*certificate has expired"


def start(directory, stack):
    tls = faults.Certificates(directory)
    tls.pairs["good"] = tls.pairs["expired"]
    collector = stack.enter_context(faults.Collector(tls=tls))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp, "OTEL_EXPORTER_OTLP_CERTIFICATE": tls.authority.cert}, \
        lambda: not collector.records
