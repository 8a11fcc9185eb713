# SPDX-License-Identifier: BSD-2-Clause
"""A header's value that would end the header and begin another request."""

EXPECT = r"OTEL_EXPORTER_OTLP_HEADERS: expected no control characters in the value of 'a'; ignored"


def arguments(_):
    return ["run", "--once", "--exporter", "none"], {"OTEL_EXPORTER_OTLP_HEADERS": "a=b%0d%0a%0d%0aGET / HTTP/1.1"}
