# SPDX-License-Identifier: BSD-2-Clause
"""A collector that shows a certificate which is wrong-host."""
import faults

EXPECT = r"failed: .*(no alternative certificate subject name matches|127\.0\.0\.1)"


def start(directory, stack):
    tls = faults.Certificates(directory)
    tls.pairs["good"] = tls.pairs["wrong-host"]
    collector = stack.enter_context(faults.Collector(tls=tls))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp, "OTEL_EXPORTER_OTLP_CERTIFICATE": tls.authority.cert}, \
        lambda: not collector.records
