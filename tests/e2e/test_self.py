#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""What the agent says of itself is so: its own metrics, held against what the receiver and the kernel saw of it."""
import os
import pathlib
import re
import signal
import sys

import capture
import otlp
from agent import Agent, Fired, build_fired, own_name
from checks import Checks
from documented import table
from process import scratch, wait_until

SCOPE = "probemeter.agent"
KINDS = {"counter": ("sum", True), "up-down counter": ("sum", False), "gauge": ("gauge", None), "histogram": ("histogram", None)}
STALL_S = 0.3


def documented():
    """{metric: (kind, unit, attributes)} of the table in operating.md."""
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| `([^`]*)` \|([^|]*)\| ", table("metrics"), re.MULTILINE)
    return {name: (kind, unit, tuple(re.findall(r"`([^`]+)`", labels))) for name, kind, unit, labels in rows}


class Own:
    """One request's points of the agent's own."""

    def __init__(self, request, service):
        self.points = [p for p in request.points() if p.service == service and p.scope == SCOPE]

    def value(self, name, **labels):
        return next((p.value for p in self.points if p.name == name and p.labels == labels), None)

    def exports(self):
        return self.value("probemeter.agent.exports", result="delivered"), self.value("probemeter.agent.exports", result="failed")

    def histogram(self):
        return next(p.point for p in self.points if p.name == "probemeter.agent.export.duration")


def sizes(requests):
    """Bytes of the first n bodies, for each n."""
    sums = [0]
    for request in requests:
        sums.append(sums[-1] + len(request.body))
    return sums


def as_documented(checks, own):
    rows = documented()
    checks.ok("it documents metrics", len(rows) > 10, rows)
    seen = {p.name: (p.kind, getattr(p.data, "is_monotonic", None) if p.kind == "sum" else None, p.metric.unit, tuple(p.labels))
            for p in own.points}
    wrong = {name: (seen.get(name), row) for name, row in rows.items()
             if name != "probemeter.agent.events.dropped" and seen.get(name) != (*KINDS[row[0]], row[1], row[2])}
    checks.equal("every documented metric is exported as documented (got, documented)", wrong, {})
    checks.equal("and no other one", sorted(set(seen) - set(rows)), [])


def exports_are_counted(checks, directory, binary):
    service = own_name("self")
    with capture.Server() as server, Fired(binary, "self-fired") as fired, \
            Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=400, OTEL_SERVICE_NAME=service,
                  OTEL_EXPORTER_OTLP_COMPRESSION="gzip") as agent:
        agent.wait_attached(fired.pid, binary)
        fired.fire(10)
        server.wait_requests(4)

        def settled():
            """A request that tells of all before it: its bytes are theirs, and not one delivery is missing."""
            for number, request in enumerate(list(server.requests)):
                own = Own(request, service)
                if number >= 4 and own.exports() == (number, 0):
                    return number, own
            return None

        number, own = wait_until("an export that tells of all before it", settled)
        checks.equal("bytes as they came over the wire", own.value("probemeter.agent.export.bytes"), sizes(server.requests)[number])
        checks.equal("no retry", own.value("probemeter.agent.export.retries"), 0)
        histogram = own.histogram()
        checks.equal("as many durations as exports", histogram.count, number)
        checks.ok("they took time, and less than the test", 0 < histogram.sum < 20, histogram.sum)
        as_documented(checks, own)
        checks.ok("sites are attached", own.value("probemeter.agent.sites") >= 3, own.value("probemeter.agent.sites"))
        checks.ok("processes", own.value("probemeter.agent.processes") >= 1, own.value("probemeter.agent.processes"))
        said = re.search(r"maps of at most ([\d.]+) MiB: (\d+) cells on \d+ possible CPUs, (\d+) series, (\d+) services", agent.output())
        for what, limit in (("cells", said[2]), ("series", said[3]), ("services", said[4])):
            checks.equal(f"{what}: the limit that was announced", own.value(f"probemeter.agent.{what}.limit"), int(limit))
            checks.ok(f"{what}: some, within the limit", 0 < own.value(f"probemeter.agent.{what}") < int(limit),
                      own.value(f"probemeter.agent.{what}"))
        kernel, start = own.value("probemeter.agent.kernel.memory") / (1 << 20), re.search(r"maps take ([\d.]+) MiB now", agent.output())
        checks.ok("kernel memory: not less than at the start, within what was announced",
                  float(start[1]) - 0.1 <= kernel <= float(said[1]) + 0.1, (kernel, start[0], said[0]))
        pages = int(pathlib.Path(f"/proc/{agent.pid}/statm").read_text().split()[1])
        memory, now = own.value("process.memory.usage"), pages * os.sysconf("SC_PAGE_SIZE")
        checks.ok("resident memory, as the kernel has it", now / 2 < memory < now * 2, (memory, now))
        busy = own.value("process.cpu.utilization")
        checks.ok("a part of the CPUs", 0 < busy <= 1, busy)

        checks.equal("the rules of the data model are kept", otlp.complaints(server.requests[-1].message()), [])
        checks.equal("ends with status 0", agent.stop(), 0)


def failures_are_counted(checks, directory):
    """One export is turned away twice and then answered late; the next one is refused for good; the third tells of both."""
    service = own_name("self-refused")
    with capture.Server() as server:
        server.answers += [capture.status(503), capture.status(503), capture.stall(STALL_S), capture.status(400)]
        # Retries must find room within the interval.
        with Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=4000,
                   OTEL_SERVICE_NAME=service) as agent:
            wait_until("the export after them", lambda: server.count() >= 5, 40)
            requests = server.requests[:5]
            own = Own(requests[4], service)
            checks.equal("one body was sent three times", [len({r.body for r in requests[:3]}), len({r.body for r in requests})], [1, 3])
            checks.equal("exports delivered and failed", own.exports(), (1, 1))
            checks.equal("two retries", own.value("probemeter.agent.export.retries"), 2)
            checks.equal("bytes of the bodies, each counted once", own.value("probemeter.agent.export.bytes"),
                         len(requests[0].body) + len(requests[3].body))
            point = own.histogram()
            slow = sum(count for count, bound in zip(point.bucket_counts, [*point.explicit_bounds, float("inf")]) if bound > 0.5)
            checks.equal("two durations, one of them long", (point.count, slow), (2, 1))
            took = requests[2].at_s - requests[0].at_s + STALL_S
            checks.ok("their sum is what was seen here", took - 0.05 <= point.sum <= took + 2, (took, point.sum))
            checks.equal("ends with status 0", agent.stop(), 0)


def main():
    checks = Checks("self")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("self") as directory:
        binary = build_fired(directory)
        with checks.run("exports are counted"):
            exports_are_counted(checks, directory, binary)
        with checks.run("failures are counted"):
            failures_are_counted(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
