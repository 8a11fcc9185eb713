# SPDX-License-Identifier: BSD-2-Clause
"""A collector over TLS that sends the agent on to one in clear: it does not go there."""
import faults

EXPECT = r"failed: answered 307: redirects are not followed; it points to http://127\.0\.0\.1:\d+/v1/metrics"


def start(directory, stack):
    tls = faults.Certificates(directory)
    other = stack.enter_context(faults.Collector())
    collector = stack.enter_context(faults.Collector(
        tls=tls, default=faults.status(307, f"Location: {other.otlp}/v1/metrics")))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp, "OTEL_EXPORTER_OTLP_CERTIFICATE": tls.authority.cert}, \
        lambda: collector.records and not other.connections
