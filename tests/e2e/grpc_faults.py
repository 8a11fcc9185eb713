# SPDX-License-Identifier: BSD-2-Clause
"""gRPC's half of faults.py: HTTP/2 by python3-h2, and the steps that only gRPC has.

A step's answer is a list of calls, ("headers", {...}, last), ("data", bytes, last), ("raw", bytes), ("cancel", code),
("away", code), and pauses in seconds.
"""
import base64
import gzip
import struct

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from faults import Gone, Record, Step, partial_success

HEAD = {":status": "200", "content-type": "application/grpc"}
CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND = 1, 2, 3, 4, 5
PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE = 7, 8, 9, 10, 11
UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS, UNAUTHENTICATED = 12, 13, 14, 15, 16


# --- the little protobuf of google.rpc.Status and RetryInfo

def _varint(value):
    out = bytearray()
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes([*out, value])


def _bytes(number, value):
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _number(number, value):
    return _varint(number << 3) + _varint(value) if value else b""


def status_details(code, words, retry_s=None):
    """A google.rpc.Status, with a RetryInfo if there is @retry_s."""
    details = b""
    if retry_s is not None:
        delay = _number(1, int(retry_s)) + _number(2, round(retry_s % 1 * 1e9))
        info = _bytes(1, b"type.googleapis.com/google.rpc.RetryInfo") + _bytes(2, _bytes(1, delay))
        details = _bytes(3, info)
    return _number(1, code) + _bytes(2, words.encode()) + details


# --- steps

def message(body, packed=False):
    return struct.pack(">BI", packed, len(body)) + body


def _answer(name, body, trailers, accepts=False, head=None, **step):
    calls = [("headers", head or HEAD, False)]
    if body is not None:
        calls.append(("data", body, not trailers))
    if trailers:
        calls.append(("headers", trailers, True))
    return Step(name, lambda: calls, accepts=accepts, **step)


def status(code, words="refused by the test", retry_s=None, alone=True):
    """A status that is not 0. @retry_s: RetryInfo. @alone: as trailers-only, else behind headers."""
    fields = {"grpc-status": str(code), "grpc-message": words}
    if retry_s is not None:
        packed = base64.b64encode(status_details(code, words, retry_s)).rstrip(b"=")
        fields["grpc-status-details-bin"] = packed.decode()
    name = f"status {code}" + (f" RetryInfo {retry_s:g} s" if retry_s is not None else "") + ("" if alone else " apart")
    if alone:
        return Step(name, lambda: [("headers", HEAD | fields, True)])
    return _answer(name, None, fields)


def http_status(code):
    """What a proxy answers: no gRPC at all."""
    head = {":status": str(code), "content-type": "text/plain"}
    return Step(f"HTTP {code}", lambda: [("headers", head, False), ("data", b"refused by the test", True)])


def partial(rejected, words):
    return _answer(f"partial success {rejected} '{words[:20]}'", message(partial_success(rejected, words)),
                   {"grpc-status": "0"}, accepts=True)


def truncated_trailers():
    """An answer, and the connection closed where trailers belong."""
    return Step("truncated trailers", lambda: [("headers", HEAD, False), ("data", message(b""), False), 0.05],
                end="close", accepts=True, lost=True)


def no_status():
    return _answer("missing grpc-status", message(b""), {"x-scripted": "yes"}, accepts=True, lost=True)


def ends_without_trailers():
    return Step("no trailers", lambda: [("headers", HEAD, False), ("data", message(b""), True)], accepts=True, lost=True)


def garbage_http2():
    """As soon as the connection says anything: no HTTP/2."""
    return Step("garbage HTTP/2", lambda: [("raw", bytes(range(255, 0, -1)) * 8), 0.05], read="preface", end="close")


def garbage_frames():
    """Good settings, the whole request, and then nonsense."""
    return Step("garbage frames", lambda: [("raw", b"\xff" * 4096), 0.05], end="close")


def garbage_protobuf():
    return _answer("garbage protobuf", message(bytes(range(255, 0, -1))), {"grpc-status": "0"}, accepts=True,
                   lost=True)


def short_message():
    """A message that is announced as longer than it is."""
    return _answer("short message", struct.pack(">BI", 0, 100) + b"\x0a\x00", {"grpc-status": "0"}, accepts=True,
                   lost=True)


def big_answer(size=10 << 20):
    return _answer(f"{size >> 20} MiB answer", message(b"\x0a\x00" * (size // 2)), {"grpc-status": "0"}, accepts=True,
                   lost=True)


def bomb(size=100 << 20):
    packed = gzip.compress(bytes(size), 9)
    return _answer(f"gzip bomb of {len(packed) >> 10} KiB", message(packed, True), {"grpc-status": "0"}, accepts=True,
                   lost=True, head=HEAD | {"grpc-encoding": "gzip"})


def cancel(code):
    """RST_STREAM."""
    return Step(f"stream reset {code.name}", lambda: [("cancel", code)])


def away():
    """GOAWAY that says the request was not looked at."""
    return Step("GOAWAY", lambda: [("away", h2.errors.ErrorCodes.NO_ERROR), 0.05], end="close")


def trickle(every_s, total_s):
    """A good answer, the message byte by byte and the trailers late."""
    body = message(b"\x7a\xc8\x01" + bytes(200))  # a field that nobody knows, to have something to send

    def calls():
        count = max(2, int(total_s / every_s))
        cut = [body[i * len(body) // count:(i + 1) * len(body) // count] for i in range(count)]
        return [("headers", HEAD, False)] + [part for piece in cut for part in (("data", piece, False), every_s)] + \
            [("headers", {"grpc-status": "0"}, True)]

    return Step(f"trickle over {total_s:g} s", calls, accepts=True)


OK = _answer("ok", message(b""), {"grpc-status": "0"}, accepts=True)


# --- the server

class Stream:
    """One request, and how its step's answer is sent."""

    def __init__(self, session, number, headers, step):
        self.session = session
        self.number = number
        self.headers = headers
        self.step = step
        self.body = bytearray()

    def send(self):
        for call in self.step.answer():
            if isinstance(call, float):
                self.session.pause(call)
                continue
            kind, what, *last = call
            h2_connection = self.session.h2
            if kind == "headers":
                h2_connection.send_headers(self.number, list(what.items()), end_stream=last[0])
            elif kind == "data":
                self._data(what, last[0])
            elif kind == "raw":
                self.session.connection.sock.sendall(what)
            elif kind == "cancel":
                h2_connection.reset_stream(self.number, what)
            elif kind == "away":
                h2_connection.close_connection(what, last_stream_id=0)
            self.session.flush()

    def _data(self, data, last):
        """Within the other side's windows."""
        while True:
            room = min(self.session.h2.local_flow_control_window(self.number), self.session.h2.max_outbound_frame_size)
            if data and room <= 0:
                self.session.flush()
                self.session.read()
                continue
            piece, data = data[:room], data[room:]
            self.session.h2.send_data(self.number, piece, end_stream=last and not data)
            self.session.flush()
            if not data:
                return


class Session:
    """One HTTP/2 connection."""

    def __init__(self, collector, connection):
        self.collector = collector
        self.connection = connection
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.streams = {}

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.connection.sock.sendall(data)

    def pause(self, seconds):
        if self.collector.stopping.wait(seconds):
            raise Gone

    def read(self):
        """The events of what comes next."""
        if not self.connection.buffer:
            self.connection.fill()
        data, self.connection.buffer = self.connection.buffer, b""
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:  # the agent's, and worth a failed test
            self.collector.problems.append(f"not HTTP/2: {error}")
            raise Gone from None
        self.flush()
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if isinstance(event, h2.events.StreamReset) and event.stream_id in self.streams:
                raise Gone  # the client has given up; so far it has one request at a time
        self.flush()
        return events

    def meet(self, stream, whole):
        """The request is as complete as its step wants it. Return: may the connection be used again?"""
        try:
            self.collector.record(Record(self.connection.number, stream.headers, bytes(stream.body), whole, stream.step))
            stream.send()
            return self.connection.finish(stream.step.end)
        finally:
            self.streams.pop(stream.number, None)
            self.collector.step_done()

    def take(self, event):
        """Return: may the connection be used again?"""
        if isinstance(event, h2.events.RequestReceived):
            stream = Stream(self, event.stream_id, dict(event.headers), self.collector.next_step())
            self.streams[event.stream_id] = stream
            if stream.step.read in ("none", "preface"):
                return self.meet(stream, False)
        stream = self.streams.get(getattr(event, "stream_id", None))
        if stream and isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if stream.step.read == "half":
                del stream.body[len(stream.body) // 2:]
                return self.meet(stream, False)
        if stream and isinstance(event, h2.events.StreamEnded):
            return self.meet(stream, True)
        return True


def serve(collector, connection):
    """Requests of one HTTP/2 connection."""
    connection.fill()
    step = collector.peek()
    if step and step.read == "preface":
        step = collector.next_step()
        try:
            collector.record(Record(connection.number, {}, b"", False, step))
            connection.send([call[1] if isinstance(call, tuple) else call for call in step.answer()])
            connection.finish(step.end)
        finally:
            collector.step_done()
        return
    session = Session(collector, connection)
    session.h2.initiate_connection()
    session.flush()
    try:
        while True:
            for event in session.read():
                if not session.take(event):
                    return
    finally:
        for _ in session.streams:
            collector.step_done()


__all__ = ["HEAD", "OK", "serve"]
