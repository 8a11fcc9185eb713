# SPDX-License-Identifier: BSD-2-Clause
"""A gRPC receiver on Debian's grpcio, a strict implementation that is not ours: keeps requests, answers as told.

    with grpc_receiver.Server() as server:
        ... agent with OTEL_EXPORTER_OTLP_PROTOCOL=grpc, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp ...
        server.answers = [grpc_receiver.Status("UNAVAILABLE", "later", retry_s=1.5)]    # consumed first
        server.requests[-1].points()
"""
import os
import threading
import time
from concurrent import futures

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # handshakes that fail are what some tests want
import grpc

import otlp
from process import Failed, wait_until

METHOD = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


def _varint(value):
    out = b""
    while value > 0x7f:
        out, value = out + bytes([value & 0x7f | 0x80]), value >> 7
    return out + bytes([value])


def _field(number, payload):
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def retry_info(code, message, delay_s):
    """google.rpc.Status with a RetryInfo, by the standard's field numbers."""
    duration = b"\x08" + _varint(int(delay_s)) + b"\x10" + _varint(round(delay_s % 1 * 1e9))
    detail = _field(1, b"type.googleapis.com/google.rpc.RetryInfo") + _field(2, _field(1, duration))
    return b"\x08" + _varint(code) + _field(2, message.encode()) + _field(3, detail)


class Status:
    """An error: code by name, words, and RetryInfo's seconds if any."""

    def __init__(self, code, message="", retry_s=None):
        self.code = getattr(grpc.StatusCode, code)
        self.message = message
        self.retry_s = retry_s

    def give(self, context):
        if self.retry_s is not None:
            context.set_trailing_metadata((("grpc-status-details-bin",
                                            retry_info(self.code.value[0], self.message, self.retry_s)),))
        context.abort(self.code, self.message)


class Partial:
    """A success that rejects some points."""

    def __init__(self, rejected, message):
        self.response = otlp.service.ExportMetricsServiceResponse()
        self.response.partial_success.rejected_data_points = rejected
        self.response.partial_success.error_message = message


class Request:
    def __init__(self, body, context):
        self.at_s = time.monotonic()
        self.body = body
        self.metadata = dict(context.invocation_metadata())
        self.left_s = context.time_remaining()
        names = context.auth_context().get("x509_common_name", [b""])
        self.client = names[0].decode()
        self.peer = context.peer()
        self._time_ns = None

    def message(self):
        return otlp.decode(self.body)

    def points(self):
        return list(otlp.points(self.message()))

    def time_ns(self):
        if self._time_ns is None:
            self._time_ns = max((p.point.time_unix_nano for p in self.points()), default=0)
        return self._time_ns


class Server:
    """@place: where to listen, by default a free port of 127.0.0.1. @server, a certs.Pair: TLS, and with @authority
    mutual. Both may be replaced while it runs: the next handshake takes the new ones."""

    def __init__(self, place="127.0.0.1:0", pair=None, authority=None):
        self.place, self.pair, self.authority = place, pair, authority
        self.requests, self.answers, self.refused = [], [], []
        self._lock = threading.Lock()
        self._server = None
        self.port = None

    def __enter__(self):
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=4), handlers=[self],
                                   options=[("grpc.so_reuseport", 0)])
        if self.pair:
            credentials = grpc.dynamic_ssl_server_credentials(self._configuration(), self._configuration,
                                                              self.authority is not None)
            self.port = self._server.add_secure_port(self.place, credentials)
        else:
            self.port = self._server.add_insecure_port(self.place)
        if not self.port:
            raise Failed(f"grpcio cannot listen at {self.place}")
        self.target = self.place if self.place.startswith("unix:") else f"{self.place.rpartition(':')[0]}:{self.port}"
        self.otlp = f"http{'s' if self.pair else ''}://{self.target}"
        self._server.start()
        return self

    def __exit__(self, *exc):
        self._server.stop(0.5).wait()

    def _configuration(self):
        with self._lock:
            root = self.authority.cert.read_bytes() if self.authority else None
            return grpc.ssl_server_certificate_configuration(
                [(self.pair.key.read_bytes(), self.pair.cert.read_bytes())], root)

    def rotate(self, pair, authority):
        with self._lock:
            self.pair, self.authority = pair, authority

    def service(self, details):  # grpcio asks its handlers this way
        if details.method != METHOD:
            self.refused.append(details.method)
            return None
        return grpc.unary_unary_rpc_method_handler(self._export)  # bytes in, bytes out

    def _export(self, body, context):
        with self._lock:
            self.requests.append(Request(body, context))
            answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Status):
            answer.give(context)
        if isinstance(answer, float):
            time.sleep(answer)
        if isinstance(answer, Partial):
            return answer.response.SerializeToString()
        return b""

    def count(self):
        return len(self.requests)

    def wait_requests(self, count, timeout_s=20.0):
        start = self.count()
        wait_until(f"{count} more gRPC requests", lambda: self.count() >= start + count, timeout_s)
        return self.requests[start:]
