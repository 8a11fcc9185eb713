# SPDX-License-Identifier: BSD-2-Clause
"""An OTLP/HTTP receiver that keeps every request as it came, and misbehaves on demand.

    with capture.Server() as server:
        ... agent with OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp ...
        server.answer = capture.status(503)        # from now on
        server.close_door()                        # connections are refused; open_door() ends that
        server.requests[-1].message()              # strictly decoded

    capture.Server(tls=capture.tls(pair, authority))   # HTTPS, and with an authority mutual TLS; server.tls may be
                                                       # replaced: the next connection takes the new one
    capture.Server(host="::1"), capture.Server(host="/a/unix/socket")

A Tee hands each request on, byte for byte, to receivers behind it, and lets a test choose which ones.
"""
import http.server
import os
import socket
import socketserver
import ssl
import threading
import time

import otlp
from process import Failed, HTTPException, http as http_request, wait_until

PROTOBUF = "application/x-protobuf"


class Answer:
    """What to send back: @body under @code, after @stall_s; @torn bytes are promised and not sent; @drop: nothing."""

    def __init__(self, code=200, body=b"", content_type=PROTOBUF, headers=(), stall_s=0.0, torn=0, drop=False):
        self.code = code
        self.body = body
        self.content_type = content_type
        self.headers = dict(headers)
        self.stall_s = stall_s
        self.torn = torn
        self.drop = drop


OK = Answer()
HTML_200 = Answer(200, b"<!DOCTYPE html><html><body>Welcome to the wrong port</body></html>", "text/html")
HTML_404 = Answer(404, b"<!DOCTYPE html><html><body>404 page not found</body></html>", "text/html")
GARBAGE = Answer(200, bytes(range(255, 0, -1)) * 4)
TORN = Answer(200, b"\x0a", torn=4096)
DROP = Answer(drop=True)


def tls(pair, authority=None):
    """A server's side of TLS with the certificate @pair; @authority: clients must show one that it signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    if authority:
        context.load_verify_locations(authority.cert)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def status(code, **headers):
    """An error answer; header names have _ for -."""
    return Answer(code, b"refused by the test", "text/plain", {k.replace("_", "-"): v for k, v in headers.items()})


def stall(seconds):
    return Answer(stall_s=seconds)


def partial_success(rejected, message):
    response = otlp.service.ExportMetricsServiceResponse()
    response.partial_success.rejected_data_points = rejected
    response.partial_success.error_message = message
    return Answer(200, response.SerializeToString())


class Request:
    """One request as it came in: when, where, headers, raw body. Decoding keeps nothing: a busy host sends a lot."""

    def __init__(self, handler, body):
        self.at_s = time.time()
        self.method = handler.command
        self.path = handler.path
        self.headers = handler.headers
        self.body = body
        self.client = handler.client()
        self._time_ns = None
        self._official = False

    def message(self):
        """The decoded request; raises otlp.Malformed."""
        message = otlp.decode(self.body, self.headers.get("Content-Encoding", ""), strict=not self._official)
        self._official = True
        return message

    def points(self):
        return list(otlp.points(self.message()))

    def time_ns(self):
        """The latest time of any point: when its snapshot was taken."""
        if self._time_ns is None:
            self._time_ns = max((p.point.time_unix_nano for p in otlp.points(self.message())), default=0)
        return self._time_ns

    def keep_only(self, services):
        """Cut out every resource whose service.name begins with none of @services; return the names that went.

        Where nothing goes, the bytes stay the sender's own.
        """
        message = self.message()
        names = [otlp.attributes(resource.resource.attributes).get("service.name", "")
                 for resource in message.resource_metrics]
        gone = {name for name in names if not name.startswith(services)}
        if gone:
            kept = [resource for resource, name in zip(message.resource_metrics, names) if name not in gone]
            self.body = otlp.service.ExportMetricsServiceRequest(resource_metrics=kept).SerializeToString()
            del self.headers["Content-Encoding"]
        return gone


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        self.disable_nagle_algorithm = self.server.owner.family != socket.AF_UNIX
        super().setup()

    def client(self):
        """The common names of the client's certificate and of who signed it; None without one."""
        shown = getattr(self.connection, "getpeercert", dict)()
        return tuple(dict(part[0] for part in shown[who])["commonName"] for who in ("subject", "issuer")) \
            if shown else None

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        request = Request(self, self.rfile.read(length))
        answer = self.server.owner.accept(request)
        self._send(answer)

    do_GET = do_PUT = do_POST

    def _send(self, answer):
        if answer.stall_s:
            self.server.owner.stopping.wait(answer.stall_s)
        if answer.drop:
            self.close_connection = True
            return
        try:
            self.send_response(answer.code)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body) + answer.torn))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)
            self.wfile.flush()
        except OSError:  # the client has given up, as it may
            self.close_connection = True
        if answer.torn:
            self.close_connection = True

    def log_message(self, *args):
        pass


class _Listener(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, owner):
        self.owner = owner
        self._connections = set()
        self.address_family = owner.family
        self.allow_reuse_address = owner.family != socket.AF_UNIX
        super().__init__(owner.address, _Handler, bind_and_activate=False)
        if self.allow_reuse_address:
            # So that the place can be held, not listening, while the door is closed.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.server_bind()
        self.server_activate()

    def server_bind(self):  # without HTTPServer's look for the host's name
        socketserver.TCPServer.server_bind(self)

    def finish_request(self, request, client_address):
        """In the connection's own thread, where a handshake may take its time."""
        if not self.owner.tls:
            super().finish_request(request, client_address)
            return
        with self.owner.tls.wrap_socket(request, server_side=True) as wrapped:
            self._connections.add(wrapped)
            try:
                super().finish_request(wrapped, client_address)
            finally:
                self._connections.discard(wrapped)

    def process_request(self, request, client_address):
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self._connections.discard(request)
        super().shutdown_request(request)

    def cut_connections(self):
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def handle_error(self, request, client_address):
        pass  # a client that goes away in the middle is what some tests want


class Server:
    """A receiver of one's own on loopback; self.otlp is its base endpoint."""

    def __init__(self, answer=OK, host="127.0.0.1", tls=None, port=0):
        self.answer = answer
        self.tls = tls
        self.answers = []  # consumed first, one per request
        self.requests = []
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._listener = None
        self._thread = None
        self._place = None
        self.family = socket.AF_UNIX if host[0] == "/" else socket.AF_INET6 if ":" in host else socket.AF_INET
        if self.family == socket.AF_UNIX:
            self.address, self.port, self.otlp = host, None, f"unix:{host}"
            return
        self._place = socket.socket(self.family)
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._place.bind((host, port))
        self.port = self._place.getsockname()[1]
        self.address = (host, self.port)
        self.otlp = f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def __enter__(self):
        self.open_door()
        return self

    def __exit__(self, *exc):
        self.stopping.set()
        self.close_door()
        if self._place:
            self._place.close()

    def open_door(self):
        if self._listener:
            return
        self._listener = _Listener(self)
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close_door(self):
        """From now on connections are refused, and those that are open are cut."""
        if not self._listener:
            return
        self._listener.shutdown()
        self._listener.cut_connections()
        self._listener.server_close()
        self._thread.join()
        self._listener = None
        if self.family == socket.AF_UNIX:
            os.unlink(self.address)

    def accept(self, request):
        with self._lock:
            self.requests.append(request)
            return self.answers.pop(0) if self.answers else self.answer

    def count(self):
        return len(self.requests)

    def wait_requests(self, count, timeout_s=20.0):
        """Wait until @count more requests have come; return those."""
        start = self.count()
        wait_until(f"{count} more OTLP requests", lambda: self.count() >= start + count, timeout_s)
        return self.requests[start:]

    def wait_snapshot_after(self, at_ns, timeout_s=20.0):
        """Wait for a request whose snapshot was taken after @at_ns, and return it."""
        def newest():
            return next((r for r in reversed(self.requests) if r.time_ns() > at_ns), None)

        return wait_until("an export of a snapshot taken after this point", newest, timeout_s)


class Tee(Server):
    """Hands requests on to every endpoint of @behind while self.pass_if(request) is true.

    The bytes and headers are the sender's own. A request that is held back is answered 200, as if a collector had
    taken and lost it; cumulative totals survive that. What was handed on is in self.passed.

    Queries that sum over everything need a receiver that holds nothing else. So services of this host that no test
    started (their name begins with none of @ours) are cut out of a request, if there are any; then, and only then,
    the bytes are not the sender's. Their names are in self.strangers.
    """

    def __init__(self, behind, ours=""):
        super().__init__()
        self.behind = list(behind)
        self.ours = ours
        self.strangers = set()
        self.passed = []
        self.errors = []
        self.pass_if = lambda request: True

    def accept(self, request):
        try:
            self.strangers |= request.keep_only(self.ours)
        except otlp.Malformed as error:
            self.errors.append(str(error))
        answer = super().accept(request)
        try:
            if answer is OK and self.pass_if(request):
                for endpoint in self.behind:
                    self._hand_on(request, endpoint)
                self.passed.append(request)
        except (OSError, HTTPException, Failed) as error:
            self.errors.append(f"{type(error).__name__}: {error}")
        return answer

    def _hand_on(self, request, endpoint):
        headers = {name: value for name, value in request.headers.items()
                   if name.lower() in ("content-type", "content-encoding", "user-agent")}
        code, body = http_request(endpoint + request.path, data=request.body, headers=headers)
        if code not in (200, 204):
            raise Failed(f"{endpoint} answered {code}: {body[:200]!r}")
