#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Reading while 16 threads write: no snapshot is torn in a way that shows.

In every export of every histogram buckets and count agree, its sum is never ahead of its count, no stream steps back; and all is
exact at rest. The load is build/services/torn, of which each event is worth the same; its counter only goes by threes.
"""
import os
import signal
import sys

import capture
import otlp
from checks import Checks
from driven import Driven, drops, series, snapshot_after, start_agent, steps_back, wait_attached
from process import in_own_pid_namespace, scratch

THREADS = 16
SNAPSHOTS = 60
WORTH = {"torn.time": 0.5, "torn.large": 8.0}


def torn(requests, service):
    """What does not go together in one of @requests, and the most events by which a sum was behind its count."""
    found, behind = [], 0
    for number, request in enumerate(requests):
        for (metric, _), point in series(request, service).items():
            if metric == "torn.count":
                if point.value % 3:
                    found.append(f"request {number}: {metric} is {point.value}")
                continue
            events, value = sum(point.point.bucket_counts), point.point.sum / WORTH[metric]
            if events != point.point.count or sum(1 for count in point.point.bucket_counts if count) > 1:
                found.append(f"request {number}: {metric}: {point.point.count} events, buckets {list(point.point.bucket_counts)}")
            if value > events:
                found.append(f"request {number}: {metric}: a sum of {value} events, and {events} counted")
            behind = max(behind, events - value)
    return found, behind


def hammered(checks, directory):
    with capture.Server() as server, Driven("torn", "torn", THREADS) as one, \
            start_agent(directory, server, OTEL_METRIC_EXPORT_INTERVAL=100) as agent:
        one.answer()
        wait_attached(agent, one)
        one.ask("run")
        server.wait_requests(SNAPSHOTS, 90)
        rounds = one.ask("halt")["rounds"]
        requests = list(server.requests)
        counts = [point.value for request in requests for (metric, _), point in series(request, one.service).items()
                  if metric == "torn.time"]
        checks.ok(f"{len(counts)} snapshots amid the writing, {rounds} rounds", len(set(counts)) > SNAPSHOTS // 2, len(set(counts)))
        found, behind = torn(requests, one.service)
        checks.equal(f"counts, buckets and sums go together; a sum was at most {behind:.0f} events behind", found[:3], [])
        checks.equal("no stream steps back", steps_back(requests, {one.service})[:3], [])
        request = snapshot_after(server)
        at_rest = {metric: (point.value if metric == "torn.count" else (point.value, point.point.sum))
                   for (metric, _), point in series(request, one.service).items()}
        checks.equal("at rest all is exact", at_rest, {"torn.count": 3 * rounds, "torn.time": (rounds, rounds * 0.5),
                                                       "torn.large": (rounds, rounds * 8.0)})
        checks.equal("nothing is dropped", drops(request, "torn."), {})
        checks.equal("the export keeps the rules", otlp.complaints(request.message()), [])
        checks.equal("ends with status 0", agent.stop(), 0)


def main():
    checks = Checks("torn reads")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    in_own_pid_namespace()
    with scratch("torn") as directory, checks.run("16 threads"):
        hammered(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
