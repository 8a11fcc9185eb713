#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""A service that lies about its label hashes and pointers spoils its own series and nobody else's.

The load is build/services/liar, as a liar and, beside it, as an honest service of the same metrics: from the same file, and
from a copy of it.
"""
import os
import shutil
import signal
import sys

import capture
import otlp
from checks import Checks
from driven import Driven, drops, series, snapshot_after, start_agent, steps_back, total, wait_attached
from process import BUILD, scratch

METRICS = ("liar.count", "liar.time", "liar.size")
HOSTS = 100
# What the liar is told, one after the other. Random hashes come last: they leave no room for other series of its own.
LIES = ("equal 100 20", "others 100 20", "special 20", "same 50 20", "unmapped 50 20", "kernel 50 20", "bad 200",
        "random 10000")


class Neighbour:
    """An honest service, and what must be exported of it."""

    def __init__(self, driven):
        self.driven = driven
        self.events = {}
        self.next = 0

    def fire(self, times):
        """On hosts that it has fired before, and on new ones."""
        first = max(0, self.next - HOSTS // 2)
        self.driven.ask(f"honest {first} {HOSTS} {times}")
        for number in range(first, first + HOSTS):
            name = f"host-{number:04}", "eu"
            self.events[name] = self.events.get(name, 0) + times
        self.next = first + HOSTS

    def difference(self, request):
        """{(metric, labels): (got, expected)} where they differ, and buckets where nothing should be."""
        found, wrong = {}, {}
        for (metric, labels), point in series(request, self.driven.service).items():
            found[metric, labels] = point.value
            if metric == "liar.size" and list(point.point.bucket_counts) != [0, point.value, 0, 0]:
                wrong[metric, labels, "buckets"] = list(point.point.bucket_counts)
        want = {(metric, labels): events for labels, events in self.events.items() for metric in METRICS}
        for key in set(found) | set(want):
            if found.get(key) != want.get(key):
                wrong[key] = found.get(key), want.get(key)
        return wrong


def lies(checks, directory):
    copy = directory / "liar"
    shutil.copy(BUILD / "services" / "liar", copy)
    with capture.Server() as server, start_agent(directory, server) as agent, Driven("liar", "liar") as liar, \
            Driven("liar", "honest") as same, Driven(str(copy), "honest-elsewhere") as elsewhere:
        for one in (liar, same, elsewhere):
            one.answer()
        wait_attached(agent, liar, same, elsewhere)
        neighbours = Neighbour(same), Neighbour(elsewhere)
        fired = dict.fromkeys(METRICS, 0)
        for turn, lie in enumerate(LIES):
            for neighbour in neighbours:
                neighbour.fire(1 + turn)
            for metric, events in liar.ask(lie).items():
                if metric in fired:
                    fired[metric] += events
            for neighbour in neighbours:
                neighbour.fire(2 + turn)
            request = snapshot_after(server)
            for neighbour in neighbours:
                wrong = neighbour.difference(request)
                name = neighbour.driven.service.rsplit("-", 1)[0]
                checks.ok(f"{lie}: {name}: {len(neighbour.events)} label sets are exact", not wrong,
                          f"{len(wrong)} wrong, (got, expected): {dict(list(wrong.items())[:4])}")
            lost = drops(request, "liar.")
            got = {metric: total(request, liar.service, metric) for metric in METRICS}
            for (_, metric), events in lost.items():
                got[metric] += events
            checks.equal(f"{lie}: the liar's events are exported or dropped by name", got, fired)
            strange = {labels[0] for _, labels in series(request, liar.service)
                       if labels != "overflow" and not labels[0].startswith("host-")}
            checks.equal(f"{lie}: no name that the liar has not in its memory", strange, set())
            checks.equal(f"{lie}: the export keeps the rules", otlp.complaints(request.message())[:3], [])
        checks.equal("what was dropped, by reason", lost,
                     {("negative", "liar.count"): 200, ("not_finite", "liar.time"): 200, ("not_finite", "liar.size"): 200})
        # Twenty counters of 3,000 hashes each: more than all the room there is for series. What is new elsewhere is named.
        flooded = liar.ask("flood 3000")["liar.flood"]
        for neighbour in neighbours:
            neighbour.fire(20)
        request = snapshot_after(server)
        for neighbour in neighbours:
            wrong = neighbour.difference(request)
            name = neighbour.driven.service.rsplit("-", 1)[0]
            checks.ok(f"a flood: {name}: {len(neighbour.events)} label sets are exact", not wrong,
                      f"{len(wrong)} wrong, (got, expected): {dict(list(wrong.items())[:4])}")
        got = sum(point.value for (metric, _), point in series(request, liar.service).items() if metric.startswith("liar.flood"))
        lost = sum(events for (_, metric), events in drops(request, "liar.flood").items())
        checks.equal("a flood: every event is exported or dropped by name", got + lost, flooded)
        checks.ok("the liar lives", liar.running(), "it does not")
        services = {one.service for one in (liar, same, elsewhere)}
        checks.equal("no stream steps back", steps_back(server.requests, services)[:3], [])
        checks.equal("ends with status 0", agent.stop(), 0)


def main():
    checks = Checks("a liar")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("liar") as directory, checks.run("lies"):
        lies(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
