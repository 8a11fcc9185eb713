#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""OTLP/JSON from the real agent, to a strict decoder: python3-protobuf's json_format with the official schema.

The same events go to two agents, one that speaks protobuf and one that speaks JSON. What each of them says decodes,
without an unknown field, to the same values; one agent's JSON, plain and compressed, keeps the rules of the data model.
"""
import contextlib
import gzip
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import capture
import otlp
from ask import ask
from agent import HERE, Agent, Fired, build_fired, clean_environment, exported, own_name, wait_totals
from checks import Checks
from google.protobuf import json_format
from process import ROOT, Failed, scratch, wait_until

JSON = "application/json"
EVENTS = 1000
HOSTILE = 'q"uo\\te/\x01\x1f\x7f\u2028 \U0001f600 \u00fc'  # in a resource attribute, percent-encoded


def decode(request):
    """The message in a JSON request; raises otlp.Malformed for what a strict receiver would refuse."""
    body = gzip.decompress(request.body) if request.headers.get("Content-Encoding") == "gzip" else request.body
    try:
        return json_format.Parse(body.decode("utf-8"), otlp.service.ExportMetricsServiceRequest(), ignore_unknown_fields=False)
    except (ValueError, json_format.Error) as error:
        raise otlp.Malformed(f"{type(error).__name__}: {error}") from None


class Server(capture.Server):
    """A receiver of JSON: a request of another type is kept apart, one that does not decode becomes an error."""

    def __init__(self):
        super().__init__(capture.Answer(200, b"{}", JSON))
        self.errors = []

    def accept(self, request):
        if request.headers.get("Content-Type") != JSON:
            self.errors.append(f"Content-Type {request.headers.get('Content-Type')!r}")
        request.message = lambda: decode(request)
        try:
            decode(request)
        except otlp.Malformed as error:
            self.errors.append(str(error))
        return super().accept(request)


def resource_of(request, service):
    for one in request.message().resource_metrics:
        attributes = otlp.attributes(one.resource.attributes)
        if attributes.get("service.name") == service:
            return attributes
    return None


def whose(checks, what, attributes, want):
    """A resource has what it was given, and what every resource of this host has; no more, and nothing empty."""
    host = {
        "host.name": os.uname().nodename,
        "host.arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "os.type": "linux",
        "telemetry.sdk.name": "probemeter",
        "telemetry.sdk.language": "c",
    }
    try:
        host["host.id"] = pathlib.Path("/etc/machine-id").read_text().strip()
    except OSError:
        pass
    got = dict(attributes or {})
    checks.ok(f"{what}: an instance and a version", got.pop("service.instance.id", "") and got.pop("telemetry.sdk.version", ""), got)
    checks.equal(f"{what}: who it is", got, {**host, **want})


def only(message, service):
    """The part of @message that is about @service; its times, which differ from agent to agent, are 1."""
    part = otlp.service.ExportMetricsServiceRequest()
    for one in message.resource_metrics:
        if otlp.attributes(one.resource.attributes).get("service.name") == service:
            part.resource_metrics.add().CopyFrom(one)
    for point in otlp.points(part):
        point.point.time_unix_nano = 1
        if point.point.start_time_unix_nano:
            point.point.start_time_unix_nano = 1
    return part


def spelling(checks, body):
    """The bytes themselves: json_format would also take what OTLP forbids."""
    def walk(value, path):
        if isinstance(value, dict):
            for key, child in value.items():
                if "_" in key:
                    wrong.append(f"{path}: key {key!r}")
                if key in ("timeUnixNano", "startTimeUnixNano", "asInt", "count") and not isinstance(child, str):
                    wrong.append(f"{path}.{key}: {child!r} is no string")
                if key == "aggregationTemporality" and child != 2:
                    wrong.append(f"{path}.{key}: {child!r}")
                walk(child, f"{path}.{key}")
        elif isinstance(value, list):
            for child in value:
                walk(child, path)

    wrong = []
    walk(json.loads(body), "")
    checks.equal("lowerCamelCase, enums as numbers, 64 bits as strings", wrong[:5], [])


def same_points(checks, directory, binary):
    with capture.Server() as plain, Server() as server, \
            Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=plain.otlp, OTEL_METRIC_EXPORT_INTERVAL=500) as first, \
            Agent(directory, "--protocol", "http/json", OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=500,
                  OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf", OTEL_SERVICE_NAME=own_name("json-watcher"),
                  OTEL_RESOURCE_ATTRIBUTES="service.namespace=agents,service.version=3") as second, \
            Fired(binary, "json", OTEL_RESOURCE_ATTRIBUTES="service.namespace=tests,service.version=1.2,odd=" +
                  "".join(f"%{b:02x}" for b in HOSTILE.encode())) as fired:
        for agent in (first, second):
            agent.wait_attached(fired.pid, binary)
        fired.fire(EVENTS)
        for receiver in (plain, server):
            checks.equal("all events arrive", wait_totals(receiver, fired, EVENTS), (EVENTS, EVENTS, EVENTS))
        # Both have everything now, and no event comes any more.
        one, other = only(plain.requests[-1].message(), fired.service), only(server.requests[-1].message(), fired.service)
        checks.ok("there is something to compare", len(list(otlp.points(one))) >= 3, one)
        checks.equal("JSON and protobuf decode to the same points", other, one)
        whose(checks, "a service", resource_of(server.requests[-1], fired.service),
              {"service.name": fired.service, "service.namespace": "tests", "service.version": "1.2", "odd": HOSTILE})
        whose(checks, "the agent", resource_of(server.requests[-1], own_name("json-watcher")),
              {"service.name": own_name("json-watcher"), "service.namespace": "agents", "service.version": "3"})
        checks.equal("the rules of the data model are kept", otlp.complaints(server.requests[-1].message()), [])
        spelling(checks, server.requests[-1].body)
        checks.equal("both end with status 0", (first.stop(), second.stop()), (0, 0))
        checks.equal("the last export is JSON too, and nothing was refused", server.errors, [])


def compressed(checks, directory, binary):
    with Server() as server, Fired(binary, "json-gzip") as fired, \
            Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=500,
                  OTEL_EXPORTER_OTLP_METRICS_PROTOCOL="http/json", OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
                  OTEL_EXPORTER_OTLP_COMPRESSION="gzip") as agent:
        agent.wait_attached(fired.pid, binary)
        fired.fire(EVENTS)
        checks.equal("all events arrive", wait_totals(server, fired, EVENTS), (EVENTS, EVENTS, EVENTS))
        checks.equal("compressed", server.requests[-1].headers.get("Content-Encoding"), "gzip")
        checks.equal("nothing was refused", server.errors, [])
        checks.equal("ends with status 0", agent.stop(), 0)


def rejected(checks, directory, binary):
    """A partial success in JSON is counted, its words logged, and nothing is sent again."""
    said = json.dumps({"partialSuccess": {"rejectedDataPoints": "5", "errorMessage": "too old \u00fc\n"}}).encode()
    with Server() as server, Fired(binary, "json-rejected") as fired, \
            Agent(directory, "--protocol=http/json", OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=500,
                  OTEL_SERVICE_NAME=own_name("json-agent")) as agent:
        agent.wait_attached(fired.pid, binary)
        server.answers.append(capture.Answer(200, said, JSON))
        wait_until("the answer is given", lambda: not server.answers)

        def counted():
            name = "probemeter.agent.points.rejected", ()
            return exported(server.requests[-1:], own_name("json-agent")).get(name)

        try:
            wait_until("5 points counted as rejected", lambda: counted() == 5)
        except Failed:
            pass
        checks.equal("rejected points are in the agent's own metrics", counted(), 5)
        checks.ok("the collector's words are logged", any("5 points: too old \u00fc\\n" in line for line in agent.lines()), agent.tail())
        checks.equal("ends with status 0", agent.stop(), 0)


def too_large(checks, directory, binary):
    """Points that no request can carry are counted at each export, named once, and everything else arrives. Only the agent's own
    resource can be so large, and only in JSON, where a control character takes six bytes."""
    name, config = own_name("json-large"), directory / "large.conf"

    def agent(interval_ms):
        return Agent(directory, "--protocol=http/json", "--config", config, "--include", f"path:{binary}",
                     OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=interval_ms, OTEL_SERVICE_NAME=name)

    def exports():
        return len({request.time_ns() for request in server.requests})

    with Server() as server, Fired(binary, "json-beside") as fired:
        config.write_text("agent-resource = odd=" + "\x01" * 100 + "\n")
        with agent(500) as small:
            small.wait_attached(fired.pid, binary)
            fired.fire(EVENTS)
            checks.equal("beside a small one: all events arrive", wait_totals(server, fired, EVENTS), (EVENTS, EVENTS, EVENTS))
            server.wait_requests(3)
            own = sum(point.service == name for point in server.requests[-1].points())
            checks.ok(f"the agent has {own} points of its own", own > 15, own)
            small.stop()
        server.requests.clear()
        config.write_text("agent-resource = odd=" + "\x01" * 720000 + "\n")
        # An export takes a second or more, as it is tried in ever smaller parts; between two of them it answers.
        with agent(3000) as large:
            large.wait_attached(fired.pid, binary)
            checks.equal("beside a large one: all events arrive", wait_totals(server, fired, fired.fire(EVENTS) - EVENTS, 60),
                         (EVENTS, EVENTS, EVENTS))

            def dropped():
                found = re.search(rf'^probemeter_agent_points_dropped_total{{[^}}]*service_name="{name}"[^}}]*}} (\d+)$',
                                  ask(large.socket, "/metrics", timeout_s=60)[2].decode(), re.MULTILINE)
                return int(found.group(1)) if found else None

            seen = 0, 0

            def all_counted():
                nonlocal seen
                seen = exports(), dropped()
                return seen[0] > 1 and seen[1] == own * seen[0]

            with contextlib.suppress(Failed):
                wait_until("all are counted", all_counted, 60)
            checks.equal(f"{seen[0]} exports: each of its points is dropped from each", seen[1], own * seen[0])
            checks.equal("none arrives", sum(point.service == name for one in server.requests for point in one.points()), 0)
            told = [line[:300] for line in large.lines() if "a point is larger than a request may be" in line]
            checks.ok("that is told once, with a metric and its service", len(told) == 1 and "'probemeter.agent." in told[0] and
                      f"'{name}'" in told[0], told)
            large.stop()


def every_string_is_utf8(checks, directory, _):
    """A service in whose names hardly a text is UTF-8 is exported whole; each wrong piece is one U+FFFD."""
    binary = directory / "bytes"
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-O2", f"-I{ROOT}/include", str(HERE / "bytes.c"), "-o",
                    str(binary)], check=True)
    name = own_name("json-bytes")
    environment = {key: os.fsdecode(value) for key, value in {
        "OTEL_SERVICE_NAME": name.encode() + b"\xff", "TRACING_SERVICE_NAME": b"\xff", "OTEL_RESOURCE_ATTRIBUTES": b"a=\xff"}.items()}
    bad = "\ufffd"
    want = {  # how many U+FFFD a torn or overlong piece makes is for the decoder; that it is one or more is not
        "bytes.count": ({"la~bel": "va~lue"}, "{~}", "Torn ~", 3),
        "bytes.level": ({"~": "~"}, "~", "~", 3.0),
        "bytes.size": ({"~": "~"}, "s", "~", 3),
    }
    for protocol, receiver in (("http/json", Server()), ("http/protobuf", capture.Server())):
        with receiver as server, \
                Agent(directory, "--protocol", protocol, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp,
                      OTEL_METRIC_EXPORT_INTERVAL=500) as agent, \
                subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 env=clean_environment(**environment)) as child:
            try:
                child.stdout.readline()
                agent.wait_attached(child.pid, binary)
                child.stdin.write(b"\n")
                child.stdin.flush()
                child.stdout.readline()
                request = server.wait_snapshot_after(time.time_ns())
            finally:
                child.kill()
            found = {}
            for point in request.points():
                if point.service == name + bad:
                    squeezed = [re.sub(f"{bad}+", "~", text) for text in
                                (point.name, point.scope, point.metric.unit, point.metric.description, *point.labels,
                                 *point.labels.values())]
                    found[squeezed[0].rstrip("~")] = ({squeezed[4]: squeezed[5]}, squeezed[2], squeezed[3], point.value)
                    checks.equal(f"{protocol}: the scope of {point.name}", squeezed[1], "sc~ope")
            checks.equal(f"{protocol}: all texts", found, want)
            checks.equal(f"{protocol}: the rules are kept", otlp.complaints(request.message()), [])
            checks.equal(f"{protocol}: nothing was refused", getattr(server, "errors", []), [])


def the_decoder_is_strict(checks):
    """Each of these would pass a careless decoder."""
    good = b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"asDouble":1}]}}]}]}]}'

    class Request:
        headers = {}

    for name, spoilt in (("an unknown key", good.replace(b"asDouble", b"as_dubious")),
                         ("a trailing comma", good.replace(b"}]}}", b"},]}}", 1)),
                         ("bytes that are not UTF-8", good.replace(b'"m"', b'"\xff"')),
                         ("a raw control character", good.replace(b'"m"', b'"\x01"')),
                         ("two members of one oneof", good.replace(b'"gauge"', b'"sum":{},"gauge"'))):
        Request.body = spoilt
        try:
            decode(Request)
            checks.ok(f"{name} is refused", False, "it was accepted")
        except otlp.Malformed:
            checks.ok(f"{name} is refused", True)
    Request.body = good
    checks.equal("a good request is not", len(list(otlp.points(decode(Request)))), 1)


def main():
    checks = Checks("json")
    with checks.run("the decoder is strict"):
        the_decoder_is_strict(checks)
    if os.geteuid() != 0:
        checks.skip("everything else", "needs root")
        return checks.finish()
    with scratch("json") as directory:
        binary = build_fired(directory)
        for name, part in (("the same points as protobuf", same_points), ("compressed", compressed), ("partial success", rejected), ("too large", too_large),
                           ("every string is UTF-8", every_string_is_utf8)):
            if len(sys.argv) > 1 and sys.argv[1] not in name:
                continue
            with checks.run(name):
                part(checks, directory, binary)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
