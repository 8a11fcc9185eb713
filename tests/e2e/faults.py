# SPDX-License-Identifier: BSD-2-Clause
"""A collector that misbehaves by a script: OTLP over HTTP/1.1 or gRPC, in clear or over TLS.

    with faults.Collector() as collector:              # Collector(grpc=True, tls=Certificates(directory)) ...
        ... agent with OTEL_EXPORTER_OTLP_ENDPOINT=collector.otlp ...
        collector.play(faults.status(503, "Retry-After: 2"), faults.reset("body"), faults.refuse(3.0))
        collector.wait_played()
        collector.records                              # every request: when, what, which step it met

Each request, or connection where a step says so, takes the next step of the script; when the script is over they are
accepted. A request that a step accepts is decoded strictly, by the official schema, when a test asks for it. This
file holds the steps and the plain server; HTTP/2 is grpc_faults.py's.
"""
import collections
import email.utils
import gzip
import io
import select
import socket
import ssl
import struct
import threading
import time

import certs
import otlp
from process import Failed, wait_until

SETTLE_S = 0.05  # from an answer to the end of its connection
PROTOBUF = "application/x-protobuf"
GRPC_PATH = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


class Step:
    """What one request meets.

    @read: "whole" request, "half" of its body, or "none" of it; "preface": as soon as a connection says anything.
    @answer: a function that returns what to send: bytes, or for gRPC the calls of grpc_faults.Stream; numbers are
    pauses in seconds. @end: "keep" the connection, "close", "reset", or "hold" it until the other side goes.
    @accepts: the collector has the points; @lost: and the answer does not say so. @door_s: nothing listens for so
    long. @certificate: what to show instead.
    """

    def __init__(self, name, answer=None, read="whole", end="keep", accepts=False, lost=False, door_s=0.0,
                 certificate=None):
        self.name = name
        self.answer = answer or (lambda: [])
        self.read = read
        self.end = end
        self.accepts = accepts
        self.lost = lost
        self.door_s = door_s
        self.certificate = certificate

    def __repr__(self):
        return self.name

    def at_connect(self):
        return bool(self.door_s or self.certificate)


# --- steps for both protocols

def refuse(seconds):
    """Nothing listens."""
    return Step(f"refuse {seconds:g} s", door_s=seconds)


def reset(where, pause_s=SETTLE_S):
    """The connection is reset: "before" anything was read, in the middle of the "body"; "after" all was accepted.

    The @pause_s before lets the request leave: until its body does, curl may begin anew on another connection, unseen.
    """
    read = {"before": "none", "body": "half", "after": "whole"}[where]
    return Step(f"reset {where}", lambda: [float(pause_s)], read=read, end="reset", accepts=where == "after",
                lost=where == "after")


def stall():
    """All is read, and never answered."""
    return Step("stall", end="hold")


def certificate(name):
    """A handshake with another one of the Certificates."""
    return Step(f"certificate {name}", certificate=name)


# --- steps for HTTP

def _head(code, headers, length):
    lines = [f"HTTP/1.1 {code} Scripted", *headers, f"Content-Length: {length}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def answer(name, code, body=b"", headers=(), accepts=False, lost=False, content_type=PROTOBUF):
    """Any whole answer."""
    headers = [f"Content-Type: {content_type}", *headers]
    return Step(name, lambda: [_head(code, headers, len(body)) + body], accepts=accepts, lost=lost)


def status(code, *headers, words=b"refused by the test"):
    return answer(" ".join([str(code), *headers]), code, words, headers, content_type="text/plain")


def status_retry_date(code, seconds):
    """Retry-After as a date, so many whole seconds from the second that the answer is sent in."""
    def late():
        # A date has whole seconds: the next one, so that it is never sooner than said.
        date = email.utils.formatdate(int(time.time()) + 1 + seconds, usegmt=True)
        return [_head(code, ["Content-Type: text/plain", f"Retry-After: {date}"], 0)]

    return Step(f"{code} Retry-After: date, {seconds} s", late)


def partial_success(rejected, words):
    response = otlp.service.ExportMetricsServiceResponse()
    response.partial_success.rejected_data_points = rejected
    response.partial_success.error_message = words
    return response.SerializeToString()


def partial(rejected, words):
    return answer(f"partial success {rejected} '{words[:20]}'", 200, partial_success(rejected, words), accepts=True)


def trickle(every_s, total_s):
    """A good answer, a few bytes at a time."""
    body = b"\x7a\xc8\x01" + bytes(200)  # a field that nobody knows, to have something to send
    head = _head(200, [f"Content-Type: {PROTOBUF}"], len(body))

    def pieces():
        count = max(2, int(total_s / every_s))
        cut = [body[i * len(body) // count:(i + 1) * len(body) // count] for i in range(count)]
        return [head] + [part for piece in cut for part in (piece, every_s)]

    return Step(f"trickle over {total_s:g} s", pieces, accepts=True)


def torn_answer():
    """200, a part of the promised body, and a reset."""
    def pieces():
        return [_head(200, [f"Content-Type: {PROTOBUF}"], 4096) + b"\x0a", 0.05]

    return Step("reset in the answer", pieces, end="reset", accepts=True, lost=True)


def big_answer(size=10 << 20):
    return answer(f"{size >> 20} MiB answer", 200, b"\x0a\x00" * (size // 2), accepts=True, lost=True)


def bomb(size=100 << 20):
    """A small gzip'd answer that grows to @size."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9) as out:
        for _ in range(size >> 20):
            out.write(bytes(1 << 20))
    return answer(f"gzip bomb of {len(packed.getvalue()) >> 10} KiB", 200, packed.getvalue(),
                  ["Content-Encoding: gzip"], accepts=True, lost=True)


OK = answer("ok", 200, accepts=True)


class Certificates:
    """What a collector may show: by name, "good" unless a step says otherwise. @authority is to be trusted."""

    def __init__(self, directory):
        self.authority = certs.Authority(directory, "trusted")
        self.pairs = {
            "good": self.authority.issue("good"),
            "expired": self.authority.expire(self.authority.issue("expired")),
            "wrong-host": self.authority.issue("wrong-host", names="DNS:collector.example.net"),
            "self-signed": certs.Authority(directory, "self-signed"),
        }

    def context(self, name, protocols):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pairs[name].cert, self.pairs[name].key)
        context.set_alpn_protocols(protocols)
        return context


class Record:
    """One request as it came."""

    def __init__(self, connection, headers, body, whole, step):
        self.at_s = time.monotonic()
        self.connection = connection
        self.headers = headers
        self.body = body
        self.whole = whole
        self.step = step

    @property
    def accepted(self):
        return self.whole and self.step.accepts

    def message(self):
        """The decoded request; raises otlp.Malformed."""
        if "grpc" not in self.headers.get("content-type", ""):
            return otlp.decode(self.body, self.headers.get("content-encoding", ""))
        packed, length = struct.unpack(">BI", self.body[:5])
        if length != len(self.body) - 5:
            raise otlp.Malformed(f"a message of {length} bytes, and {len(self.body) - 5} came")
        return otlp.decode(self.body[5:], self.headers.get("grpc-encoding", "") if packed else "")

    def points(self):
        return list(otlp.points(self.message()))

    def __repr__(self):
        return f"<{self.at_s:.3f} {self.step}: {len(self.body)} bytes>"


class Gone(Exception):
    """The other side has closed."""


class Connection:
    """A socket with what was read and not yet used."""

    def __init__(self, collector, sock, number):
        self.collector = collector
        self.sock = sock
        self.number = number
        self.buffer = b""
        self.reset = False

    def close(self):
        """What was sent arrives, unless this is a reset: closing with something unread would be one."""
        try:
            if not self.reset:
                self.sock.shutdown(socket.SHUT_WR)
                self.sock.settimeout(1.0)
                while self.sock.recv(1 << 16):
                    pass
        except OSError:
            pass
        self.sock.close()

    def fill(self):
        """Wait for more bytes."""
        while not (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
            if self.collector.stopping.is_set():
                raise Gone
            if select.select([self.sock], [], [], 0.2)[0]:
                break
        more = self.sock.recv(1 << 18)
        if not more or self.collector.cut():
            raise Gone
        self.buffer += more

    def take(self, size):
        while len(self.buffer) < size:
            self.fill()
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def send(self, pieces):
        for piece in pieces:
            if isinstance(piece, float):
                if self.collector.stopping.wait(piece):
                    raise Gone
            else:
                self.sock.sendall(piece)

    def finish(self, end):
        """What @end says; return: may the connection be used again?"""
        if end == "hold":
            while True:
                self.fill()
        if end == "reset":
            self.reset = True
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self.collector.cutting():
            # libcurl 7.88 can miss trailers that the end of the connection follows at once.
            self.collector.stopping.wait(SETTLE_S)
            return False
        return end == "keep"


def serve_http(collector, connection):
    """Requests of one HTTP/1.1 connection, one after the other."""
    keep = True
    while keep:
        while not connection.buffer:
            connection.fill()
        step = collector.next_step()
        try:
            if step.read in ("none", "preface"):
                collector.record(Record(connection.number, {}, b"", False, step))
            else:
                while b"\r\n\r\n" not in connection.buffer:
                    connection.fill()
                head, _, connection.buffer = connection.buffer.partition(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
                headers[":path"] = lines[0].split(" ")[1]
                length = int(headers.get("content-length", 0))
                body = connection.take(length if step.read == "whole" else length // 2)
                collector.record(Record(connection.number, headers, body, step.read == "whole", step))
            connection.send(step.answer())
            keep = connection.finish(step.end)
        finally:
            collector.step_done()


class Collector:
    """See above. @tls: Certificates. @default: a Step, or a function that gives one, for when the script is over.
    self.otlp is the base endpoint; self.records what came, in its order.
    """

    def __init__(self, grpc=False, tls=None, default=None):
        if grpc:
            import grpc_faults
            self._serve, self.default = grpc_faults.serve, grpc_faults.OK
        else:
            self._serve, self.default = serve_http, OK
        self.default = default or self.default
        self.tls = tls
        self.grpc = grpc
        self.records = []
        self.connections = 0
        self.problems = []  # of this server: a test that sees one has not tested what it wanted
        self.stopping = threading.Event()
        self._changed = threading.Condition()
        self._script = collections.deque()
        self._busy = 0
        self._open = {}  # by the thread that serves it
        self._serving = set()  # threads that have a step
        self._cutting = set()  # threads whose connection is cut, or will be behind its answer
        self._listener = None
        self._place = self._bound()
        self.port = self._place.getsockname()[1]
        self.otlp = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._threads = []

    def _bound(self, port=0):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", port))
        return sock

    def __enter__(self):
        self._open_door()
        return self

    def __exit__(self, *exc):
        self.stopping.set()
        self._close_door()
        self._place.close()

    def _open_door(self):
        self._listener = self._bound(self.port)
        self._listener.listen(128)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _close_door(self):
        listener, self._listener = self._listener, None
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._cut()

    def _cut(self):
        """Idle connections now, the others behind their answer: what a step has promised is kept."""
        self.stopping.wait(SETTLE_S)
        with self._changed:
            self._cutting |= set(self._open)
            for thread, sock in self._open.items():
                if thread in self._serving:
                    continue
                try:  # what was sent arrives; the thread goes when the other side does
                    sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                self.connections += 1
                number = self.connections
            threading.Thread(target=self._connection, args=(sock, number), daemon=True).start()

    def _connection(self, sock, number):
        thread, connection = threading.get_ident(), None
        try:
            if self.tls:
                sock = self._handshake(sock)
            with self._changed:
                self._open[thread] = sock
            connection = Connection(self, sock, number)
            self._serve(self, connection)
        except (Gone, OSError):
            pass
        except Exception as error:  # a test must hear of it
            self.problems.append(f"{type(error).__name__}: {error}")
        finally:
            with self._changed:
                self._open.pop(thread, None)
                self._serving.discard(thread)
                self._cutting.discard(thread)
            if connection:
                connection.close()
            sock.close()

    def _handshake(self, sock):
        with self._changed:
            step = self._script[0] if self._script and self._script[0].certificate else None
            if step:
                self._script.popleft()
                self._busy += 1
        try:
            context = self.tls.context(step.certificate if step else "good", ["h2"] if self.grpc else ["http/1.1"])
            sock.settimeout(10.0)
            sock = context.wrap_socket(sock, server_side=True)
            sock.settimeout(None)
            return sock
        finally:
            if step:
                self.record(Record(0, {}, b"", False, step))
                self.step_done()

    # --- the script

    def play(self, *steps):
        """These steps, from the next request on."""
        with self._changed:
            self._script.extend(steps)
        self._look_ahead()

    def _look_ahead(self):
        """Steps that are for connections and not for requests need the old connections gone."""
        with self._changed:
            step = self._script[0] if self._script else None
            if not step or not step.at_connect() or self._busy:
                return
            if step.door_s:
                self._script.popleft()
                self._busy += 1
        if step.door_s:
            threading.Thread(target=self._shut_for, args=(step,), daemon=True).start()
        else:
            self._cut()

    def _shut_for(self, step):
        self._close_door()
        if not self.stopping.wait(step.door_s):
            self._open_door()
        self.step_done()

    def peek(self):
        with self._changed:
            return self._script[0] if self._script else None

    def next_step(self):
        with self._changed:
            if threading.get_ident() in self._cutting:
                raise Gone
            self._busy += 1
            self._serving.add(threading.get_ident())
            if self._script and not self._script[0].at_connect():
                return self._script.popleft()
            return self.default() if callable(self.default) else self.default

    def cutting(self):
        with self._changed:
            return threading.get_ident() in self._cutting

    def cut(self):
        with self._changed:
            return threading.get_ident() in self._cutting - self._serving

    def step_done(self):
        with self._changed:
            self._busy -= 1
            self._serving.discard(threading.get_ident())
            self._changed.notify_all()
        self._look_ahead()

    def record(self, record):
        with self._changed:
            self.records.append(record)
            self._changed.notify_all()

    def wait_played(self, timeout_s=30.0):
        """Until every step has been met, but for those that hold."""
        wait_until(f"the script is played (left: {list(self._script)})", lambda: not self._script, timeout_s)

    def wait_records(self, count, timeout_s=20.0):
        """Until there are @count records in all."""
        wait_until(f"{count} requests", lambda: len(self.records) >= count, timeout_s)
        return self.records

    def accepted(self):
        return [record for record in self.records if record.accepted]

    def wait_accepted(self, since, timeout_s=20.0):
        """A request accepted after the first @since records; those records."""
        wait_until("an accepted request", lambda: any(r.accepted for r in self.records[since:]), timeout_s)
        return self.records[since:]


__all__ = ["Collector", "Failed", "OK", "Record", "Step"]
