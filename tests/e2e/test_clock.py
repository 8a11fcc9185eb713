#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Time: the wall clock set back and forth, intervals that were missed, a machine that slept, exports slower than the interval.
Times of points stay in order, no stream starts behind its time, and no interval is counted twice.

The agent's wall clock is off by what clock.c reads from a file (LD_PRELOAD): this needs no right to set the machine's, which has
other users. A sleep is simulated: the agent stands still (SIGSTOP), and its wall clock goes on by hours. The load is
build/services/hammer, and what it counts is in the cumulative streams and, added up, in the deltas.
"""
import os
import re
import signal
import struct
import sys
import time

import capture
from agent import Agent, build_library, preload
from checks import Checks
from driven import Driven, steps_back, values, wait_attached
from host import Host
from otlp import NANO
from process import BUILD, in_own_pid_namespace, scratch, wait_until
from test_restart import other_build

INTERVAL_MS = 400
EVENTS = 40
DELTA = 1


class Clock:
    """The offset that the preloaded library reads."""

    def __init__(self, directory, library):
        self.library = library
        self.path = directory / f"offset-{time.monotonic_ns()}"
        self.set(0)

    def set(self, seconds):
        with open(self.path, "r+b" if self.path.exists() else "wb") as file:  # in place: it is mapped
            file.write(struct.pack("q", seconds))

    def agent(self, directory, server, host=None, **variables):
        return Agent(directory, host=host, LD_PRELOAD=preload(self.library), CLOCK_OFFSET=self.path, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp,
                     OTEL_METRIC_EXPORT_INTERVAL=INTERVAL_MS, **variables)


def disorder(requests, service):
    """What is wrong with the times of consecutive requests."""
    found, last = [], {}
    for number, request in enumerate(requests):
        for point in request.points():
            if point.service != service:
                continue
            start, now = point.point.start_time_unix_nano, point.point.time_unix_nano
            delta = point.kind != "gauge" and point.data.aggregation_temporality == DELTA
            before = last.get(point.key(), 0)
            if start > now:
                found.append(f"request {number}: {point.key()}: starts {start - now} ns behind its time")
            if now <= before:
                found.append(f"request {number}: {point.key()}: its time goes from {before} by {now - before}")
            if delta and start < before:
                found.append(f"request {number}: {point.key()}: the last {before - start} ns are told twice")
            last[point.key()] = now
    return found


def fire(one, server, exports=2):
    """Some events, and some exports behind them. Answers how many were fired."""
    fired = one.ask(f"flood 0 10 {EVENTS}")["events"]
    server.wait_requests(exports, 60)
    return fired


def moves(agent, clock, one, server):
    """All that happens to a clock and to an agent; the events fired meanwhile."""
    fired = fire(one, server)
    for offset in (3600, 3598, 0, -86400, -86399, 0):
        clock.set(offset)
        fired += fire(one, server)
    agent.signal(signal.SIGSTOP)  # three intervals are missed
    fired += one.ask(f"flood 0 10 {EVENTS}")["events"]
    time.sleep(3 * INTERVAL_MS / 1000)
    agent.signal(signal.SIGCONT)
    fired += fire(one, server)
    agent.signal(signal.SIGSTOP)  # the machine sleeps
    fired += one.ask(f"flood 0 10 {EVENTS}")["events"]
    clock.set(8 * 3600)
    agent.signal(signal.SIGCONT)
    fired += fire(one, server)
    server.answer = capture.stall(1.5 * INTERVAL_MS / 1000)  # slower than the interval
    fired += fire(one, server, 3)
    server.answer = capture.OK
    return fired + fire(one, server, 3)


def times(checks, directory, library, preference):
    clock = Clock(directory, library)
    with capture.Server() as server, Driven("hammer", f"clock-{preference}") as one, \
            clock.agent(directory, server, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=preference) as agent:
        one.answer()
        wait_attached(agent, one)
        fired = moves(agent, clock, one, server)

        def counted():
            requests = server.requests if preference == "delta" else server.requests[-1:]
            return sum(sum(values(request, one.service, "hammer.flood").values()) for request in requests)

        wait_until("all events are exported", lambda: counted() >= fired)
        checks.equal(f"{preference}: {fired} events, each told once", counted(), fired)
        requests = list(server.requests)
        checks.equal(f"{preference}: {len(requests)} exports, all times in order", disorder(requests, one.service)[:3], [])
        if preference == "cumulative":
            checks.equal("cumulative: no stream steps back, starts anew or vanishes", steps_back(requests, {one.service})[:3], [])
        checks.equal(f"{preference}: the collector was always there", [line for line in agent.warnings() if "export" in line], [])
        said = [line for line in agent.warnings() if "the wall clock was set back by" in line]
        checks.equal(f"{preference}: said of each time that it was set back, and by how much",
                     [re.search(r"by (\d+)\.", line)[1] for line in said], ["2", "3598", "86400"])
        agent.signal(signal.SIGKILL)  # not the last export: that has no more to tell
        agent.wait()


def over_restarts(checks, directory, library):
    """The clock is set back while no agent runs: the next one, of another build or not, goes on behind the last points. A clock
    that is hours behind must have been wrong before, and is followed."""
    clock = Clock(directory, library)
    with Host(directory, "clock") as host, capture.Server() as server, Driven("hammer", "clock-restart") as one:
        one.answer()
        old, new = BUILD / "probemeter", other_build()
        for offset, build in ((-36000, old), (600, old), (0, old), (-600, new), (-601, old)):
            clock.set(offset)
            with clock.agent(directory, server, host, binary=build) as agent:
                if not server.requests:
                    wait_attached(agent, one)
                fire(one, server)
                agent.signal(signal.SIGKILL)
                agent.wait()
        requests = list(server.requests)
        checks.equal(f"over restarts: {len(requests)} exports, all times in order", disorder(requests, one.service)[:3], [])
        checks.equal("over restarts: no stream steps back, starts anew or vanishes", steps_back(requests, {one.service})[:3], [])
        clock.set(-4 * 3600)
        with clock.agent(directory, server, host) as agent:
            server.wait_requests(2, 60)
            checks.ok("hours behind: it is followed, and said", "more than an hour behind" in agent.output() and
                      server.requests[-1].time_ns() < time.time_ns() - 3 * 3600 * NANO, agent.tail())
            checks.equal("ends with status 0", agent.stop(), 0)
        checks.equal("stop --detach: status 0", host.stop("--detach")[0], 0)


def main():
    checks = Checks("clock")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    in_own_pid_namespace()
    with scratch("clock") as directory:
        library = build_library(directory, "clock")
        for preference in ("cumulative", "delta"):
            with checks.run(preference):
                times(checks, directory, library, preference)
        with checks.run("over restarts"):
            over_restarts(checks, directory, library)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
