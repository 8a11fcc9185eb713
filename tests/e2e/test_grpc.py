#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""The agent's real binary over gRPC: a foreign server decodes every kind, another one answers as strict gRPC does.

    agent ---gRPC, plain or gzip---> mockotlpserver (Node, the official schema)
    agent ---gRPC------------------> grpcio (Debian's), which also errs: statuses, RetryInfo, silence, partial success
"""
import contextlib
import json
import os
import subprocess
import sys
import time

import grpc_receiver
import otlp
from agent import Agent, Fired, build_fired, wait_totals
from checks import Checks
from driven import Driven
from grpc_receiver import Partial, Status
from process import Child, Failed, free_port, scratch, wait_until

INTERVAL_MS = 400
HERE = os.path.dirname(os.path.realpath(__file__))


class Mock(Child):
    """The mock OTLP server; exports() are the requests as it decoded them."""

    def __init__(self, directory):
        node = next((path for path in ("/usr/bin/node", "/usr/local/bin/node") if os.access(path, os.X_OK)), "node")
        super().__init__([node, f"{HERE}/mockotlp.cjs"], f"{directory}/mockotlp.log",
                         env={"PATH": "/usr/bin:/bin"})
        self.port = None

    def start(self):
        super().start()
        self.wait_ready("mockotlpserver listens", self.lines, 30.0)
        self.port = json.loads(self.lines()[0])["port"]

    def exports(self):
        # The last line may be half written.
        return [json.loads(line) for line in self.output().split("\n")[1:-1]]


def number(value):
    """A 64-bit number as that server prints it: text, number, or halves."""
    if isinstance(value, dict):
        whole = (value["high"] & 0xffffffff) << 32 | value["low"] & 0xffffffff
        return whole if value["unsigned"] or whole < 1 << 63 else whole - (1 << 64)
    return value if isinstance(value, float) else int(value)


def mock_points(export, service):
    """{(metric, label values): (kind, what it holds)} of one service as the mock decoded it."""
    found = {}
    for resource in export["metrics"]["resourceMetrics"]:
        if resource["resource"]["attributes"].get("service.name") != service:
            continue
        for scope in resource["scopeMetrics"]:
            for metric in scope["metrics"]:
                kind = next(k for k in ("sum", "gauge", "histogram") if k in metric)
                data = metric[kind]
                for point in data["dataPoints"]:
                    if kind == "histogram":
                        held = (number(point["count"]), point["sum"], sum(map(number, point["bucketCounts"])),
                                len(point["bucketCounts"]) - len(point["explicitBounds"]))
                    else:
                        held = float(point["asDouble"]) if "asDouble" in point else number(point["asInt"])
                    shape = (kind, data.get("isMonotonic", False)) if kind == "sum" else (kind,)
                    found[metric["name"], tuple(point.get("attributes", {}).values())] = (*shape, held)
    return found


def every_kind(checks, directory, binary, gzip):
    """Counter, up-down counter, histogram and gauge come out of a foreign decoder as they went in."""
    name = "gzip" if gzip else "plain"
    compression = {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"} if gzip else {}
    with Mock(directory / name) as mock, Fired(binary, f"grpc-{name}") as fired, \
            Driven("levels", f"grpc-{name}-levels") as levels, \
            Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{mock.port}",
                  OTEL_EXPORTER_OTLP_PROTOCOL="grpc", OTEL_METRIC_EXPORT_INTERVAL=INTERVAL_MS,
                  OTEL_EXPORTER_OTLP_HEADERS="x-test=a%20b,te=evil", **compression) as agent:
        agent.wait_attached(fired.pid, binary)
        agent.wait_ready("levels attached", lambda: "services/levels'" in agent.output())
        fired.fire(7)
        fired.fire(4)
        levels.ask("gauge 0.25")
        levels.ask("add -3")
        want_fired = {
            ("e2e.fired.total", ("even",)): ("sum", True, 6), ("e2e.fired.total", ("odd",)): ("sum", True, 5),
            ("e2e.bare.total", ()): ("sum", True, 11), ("e2e.size", ("any",)): ("histogram", (11, 1100, 11, 1)),
            ("e2e.level", ()): ("sum", False, 4),
        }
        want_levels = {("levels.gauge", ()): ("gauge", 0.25), ("levels.open", ()): ("sum", False, -3)}
        seen = [None, None]

        def there():
            exports = mock.exports()
            if exports:
                seen[:] = [mock_points(exports[-1], service.service) for service in (fired, levels)]
            return seen[0] == want_fired and all(seen[1].get(key) == value for key, value in want_levels.items())

        with contextlib.suppress(Failed):
            wait_until("all values at the mock", there)
        checks.equal(f"{name}: counter, up-down counter and histogram", seen[0], want_fired)
        checks.equal(f"{name}: gauge and a level", {key: (seen[1] or {}).get(key) for key in want_levels}, want_levels)
        metadata = mock.exports()[-1]["metadata"]
        checks.ok(f"{name}: user agent", "OTel-OTLP-Exporter-C/" in metadata["user-agent"], metadata)
        checks.equal(f"{name}: the user's header", metadata.get("x-test"), "a b")
        checks.equal(f"{name}: ends with status 0", agent.stop(), 0)
        checks.equal(f"{name}: nothing to complain of", agent.warnings(directory), [])


def grpc_agent(directory, server, **variables):
    variables.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", server.otlp)
    variables.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    variables.setdefault("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MS)
    return Agent(directory, **variables)


def endpoints(checks, directory, binary):
    """Target without scheme, IPv6, Unix socket, gRPC because of its port: the points arrive at each."""
    socket = f"unix:{directory}/socket"
    cases = [
        ("host:port and _INSECURE", "127.0.0.1:0", lambda s: s.target, {"OTEL_EXPORTER_OTLP_INSECURE": "true"}),
        ("the signal's own _INSECURE wins", "127.0.0.1:0", lambda s: s.target,
         {"OTEL_EXPORTER_OTLP_INSECURE": "false", "OTEL_EXPORTER_OTLP_METRICS_INSECURE": "true"}),
        ("IPv6", "[::1]:0", lambda s: s.otlp, {}),
        ("a Unix socket", socket, lambda s: socket, {}),
        ("a Unix socket, long", socket + "2", lambda s: f"unix://{directory}/socket2", {}),
    ]
    for name, place, endpoint, more in cases:
        with grpc_receiver.Server(place) as server, Fired(binary, "endpoints") as fired, \
                grpc_agent(directory, server, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint(server), **more) as agent:
            agent.wait_attached(fired.pid, binary)
            fired.fire(3)
            checks.equal(f"{name}: arrives", wait_totals(server, fired, 3), (3, 3, 3))
            checks.equal(f"{name}: nothing to complain of", agent.warnings(directory), [])

    with grpc_receiver.Server() as server, \
            grpc_agent(directory, server, OTEL_EXPORTER_OTLP_ENDPOINT=server.target) as agent:
        found = agent.wait_ready("a warning", lambda: agent.warnings(directory), 10.0)
        checks.ok("host:port without _INSECURE: TLS is tried, and nothing else", "https://" in found[0] and
                  not server.requests, found)

    # The port is given, so the address is one of loopback that nobody else has.
    pid = os.getpid()
    with grpc_receiver.Server(f"127.{1 + pid % 250}.{pid // 250 % 250}.7:4317") as server, \
            Fired(binary, "port-4317") as fired, \
            grpc_agent(directory, server, OTEL_EXPORTER_OTLP_PROTOCOL=None) as agent:
        agent.wait_attached(fired.pid, binary)
        fired.fire(3)
        checks.equal("port 4317 and no protocol: arrives by gRPC", wait_totals(server, fired, 3), (3, 3, 3))
        said = [line for line in agent.lines() if "4317" in line]
        checks.ok("port 4317 and no protocol: one line says so and how to choose otherwise", len(said) == 1 and
                  "gRPC" in said[0] and "OTEL_EXPORTER_OTLP_PROTOCOL" in said[0] and "warning" not in said[0], said)


def statuses(checks, directory, binary):
    """What a strict server answers, and what the agent makes of it: tried again or not, when, and in which words."""
    with grpc_receiver.Server() as server, Fired(binary, "statuses") as fired, \
            grpc_agent(directory, server, OTEL_METRIC_EXPORT_INTERVAL=5000) as agent:
        agent.wait_attached(fired.pid, binary)
        server.answers = [Status("UNAVAILABLE", "come later")]
        first, second = server.wait_requests(2)
        checks.equal("UNAVAILABLE: the same bytes again", second.body, first.body)
        checks.ok("UNAVAILABLE: after a backoff", 0.24 <= second.at_s - first.at_s <= 3.0, second.at_s - first.at_s)
        checks.ok("grpc-timeout is OTEL_EXPORTER_OTLP_TIMEOUT, also behind the interval", 9.0 <= first.left_s <= 10.0, first.left_s)
        warned = wait_until("a warning", lambda: agent.warnings(directory))
        checks.ok("UNAVAILABLE: said at once, with its words", "answered UNAVAILABLE: come later" in warned[0], warned)

        server.answers = [Status("RESOURCE_EXHAUSTED", "full", retry_s=1.25)]
        first, second = server.wait_requests(2)
        checks.equal("RESOURCE_EXHAUSTED with RetryInfo: the same bytes again", second.body, first.body)
        checks.ok("RESOURCE_EXHAUSTED with RetryInfo: not before its delay", 1.24 <= second.at_s - first.at_s <= 4.0,
                  second.at_s - first.at_s)

        server.answers = [Status("RESOURCE_EXHAUSTED", "full"), Status("INVALID_ARGUMENT", "b%d \N{EURO SIGN}\n")]
        first, second, third = server.wait_requests(3)
        checks.ok("RESOURCE_EXHAUSTED without RetryInfo: not again", second.body != first.body and
                  second.at_s - first.at_s > 3.5, second.at_s - first.at_s)
        checks.ok("INVALID_ARGUMENT: not again", third.body != second.body and third.at_s - second.at_s > 3.5,
                  third.at_s - second.at_s)
        mark = len(agent.warnings(directory))
        server.answers = [Partial(5, "too odd")]
        server.wait_requests(2)
        found = agent.warnings(directory)[mark:]
        checks.ok("partial success: counted and told, not sent again", len(found) == 1 and "dropped 5 points: too odd"
                  in found[0], found)
        rejected = [p.value for p in server.requests[-1].points() if p.name == "probemeter.agent.points.rejected"]
        checks.equal("partial success: in the agent's own metrics", rejected, [5])
        checks.equal("ends with status 0", agent.stop(), 0)


def left_alone(checks, directory, binary):
    """A collector that asks for a minute is left alone over intervals; the last flush goes out all the same."""
    with grpc_receiver.Server() as server, Fired(binary, "left-alone") as fired, grpc_agent(directory, server) as agent:
        agent.wait_attached(fired.pid, binary)
        fired.fire(5)
        wait_totals(server, fired, 5)
        server.answers = [Status("UNAVAILABLE", "drained", retry_s=60)]
        server.wait_requests(1)
        count = server.count()
        time.sleep(5 * INTERVAL_MS / 1000)
        checks.equal("no request in five intervals", server.count() - count, 0)
        checks.equal("one warning", len(agent.warnings(directory)), 1)
        fired.fire(6)
        checks.equal("ends with status 0", agent.stop(), 0)
        checks.equal("the last flush is one request", server.count() - count, 1)
        checks.equal("and has it all", wait_totals(server, fired, 11, 1.0), (11, 11, 11))
        failed = [p.value for p in server.requests[-1].points() if p.name == "probemeter.agent.exports" and
                  p.labels["result"] == "failed"]
        checks.ok("what was not sent is counted as failed", failed and failed[0] >= 4, failed)


def not_grpc(checks, directory, binary):
    """Something else at the port is named: HTTP/1.1 where gRPC is spoken, gRPC where HTTP is, another service."""
    import capture
    with capture.Server() as server, grpc_agent(directory, server) as agent:
        found = agent.wait_ready("a warning", lambda: agent.warnings(directory))
        checks.ok("gRPC to an HTTP/1.1 server: said", f"127.0.0.1:{server.port}" in found[0] and
                  "OTEL_EXPORTER_OTLP_PROTOCOL" in found[0], found)
    with grpc_receiver.Server() as server, \
            grpc_agent(directory, server, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf") as agent:
        found = agent.wait_ready("a warning", lambda: agent.warnings(directory))
        checks.ok("HTTP to a gRPC server: said", f"127.0.0.1:{server.port}" in found[0] and
                  "OTEL_EXPORTER_OTLP_PROTOCOL" in found[0], found)
    with grpc_receiver.Server() as server:
        server.service = lambda details: None
        with grpc_agent(directory, server) as agent:
            found = agent.wait_ready("a warning", lambda: agent.warnings(directory))
            # It refuses at the headers; with libcurl 7.88 that is now and then lost while the message is still sent.
            checks.ok("a server without the method: said, with a remedy", "OTEL_EXPORTER_OTLP_PROTOCOL" in found[0] and
                      ("UNIMPLEMENTED" in found[0] or "before it had the whole request" in found[0]), found)


def main():
    checks = Checks("grpc")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("grpc") as directory:
        binary = build_fired(directory)
        for name in ("plain", "gzip"):
            (directory / name).mkdir()
            with checks.run(f"every kind, {name}"):
                every_kind(checks, directory, binary, name == "gzip")
        for name, part in (("endpoints", endpoints), ("statuses", statuses), ("left alone", left_alone),
                           ("not gRPC", not_grpc)):
            with checks.run(name):
                part(checks, directory, binary)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
