# SPDX-License-Identifier: BSD-2-Clause
"""A certificate that is good, but for an authority that nobody named."""
import certs
import faults

EXPECT = r"failed: .*(self-signed certificate|unable to get local issuer certificate|verify).*OTEL_EXPORTER_OTLP_CERTIFICATE"


def start(directory, stack):
    pair = certs.Authority(directory, "nobody-named").issue("good")
    trusted = faults.Certificates(directory)
    trusted.pairs["good"] = pair
    collector = stack.enter_context(faults.Collector(tls=trusted))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp, "OTEL_EXPORTER_OTLP_CERTIFICATE": trusted.authority.cert}, \
        lambda: not collector.records
