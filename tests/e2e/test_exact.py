#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Exactness: what services fire is what is exported, to the unit, on every kind of metric.

The load is build/services/hammer, which keeps its own count with frexp() and long double. Events fired while attached
equal events exported plus drops that are named.
"""
import math
import os
import signal
import sys
import time

import capture
import elf
import otlp
from checks import Checks
from driven import (INTERVAL_MS, Driven, drops, others_attached, own, series, snapshot_after, start_agent, steps_back,
                    total, values, wait_attached, warnings)
from process import scratch, wait_until

PROCESSES = 4
THREADS = 16
ROUNDS = 2000  # of each thread: 10 events that trap in each
SERIES_LIMIT = 2000  # per metric and service, the overflow series included

COUNTERS = ("hammer.count.none", "hammer.count.one", "hammer.count.two", "hammer.count.three", "hammer.count.four")
HISTOGRAMS = ("hammer.time", "hammer.size", "hammer.tight", "hammer.signed")
EVENTS_PER_ROUND = len(COUNTERS) + len(HISTOGRAMS)


class Truth:
    """What several hammers say they fired, added up."""

    def __init__(self, answers, before=()):
        self.series = {}
        self.levels = {}
        self.lowest = answers[0]["lowest_octave"]
        for sign, group in ((1, answers), (-1, before)):
            for answer in group:
                for one in answer["series"]:
                    if one:
                        self._add(one, sign if not one["metric"] == "hammer.open" else max(sign, 0))
        for answer in answers:
            for one in answer["threads"]:
                thread = one["thread"],
                both = one["process"], one["thread"]
                self.levels["hammer.share", thread] = self.levels.get(("hammer.share", thread), 0) + one["share"]
                self.levels["hammer.latest", both] = one["latest"]
                self.levels["hammer.gauge", both] = one["gauge"]

    def _add(self, one, sign):
        key = one["metric"], tuple(one["labels"])
        to = self.series.setdefault(key, {"events": 0, "total": 0, "sum": 0.0, "not_positive": 0, "octaves": None,
                                          "buckets": None})
        for name in ("events", "total", "not_positive"):
            to[name] += sign * one[name]
        to["sum"] = math.fsum((to["sum"], sign * float(one["sum"])))
        for name in ("octaves", "buckets"):
            if name in one:
                old = to[name] or [0] * len(one[name])
                to[name] = [a + sign * b for a, b in zip(old, one[name])]

    def buckets(self, one, bounds):
        """The counts that belong between @bounds."""
        if one["buckets"] is not None:
            return one["buckets"]
        counts = [0] * (len(bounds) + 1)
        counts[0] += one["not_positive"]
        for index, count in enumerate(one["octaves"]):
            if count:  # values in (2^(e-1), 2^e], and bounds are powers of two
                upper = math.ldexp(1.0, index + self.lowest)
                counts[next((i for i, bound in enumerate(bounds) if upper <= bound), len(bounds))] += count
        return counts


def compare(checks, name, request, service, truth):
    """Everything that hammer fired in `fire` against one export."""
    found = series(request, service)
    checks.equal(f"{name}: the export keeps the rules", otlp.complaints(request.message()), [])
    for metric in COUNTERS + ("hammer.open",):
        want = {key[1]: one["total"] for key, one in truth.series.items()
                if key[0] == metric and (one["events"] or metric == "hammer.count.none")}
        checks.equal(f"{name}: {metric}: {len(want)} label sets, {sum(want.values())} in all",
                     {key[1]: point.value for key, point in found.items() if key[0] == metric}, want)
    for metric in HISTOGRAMS:
        wanted = {key[1]: one for key, one in truth.series.items() if key[0] == metric and one["events"]}
        points = {key[1]: point for key, point in found.items() if key[0] == metric}
        checks.equal(f"{name}: {metric}: {len(wanted)} label sets, counts",
                     {labels: point.value for labels, point in points.items()},
                     {labels: one["events"] for labels, one in wanted.items()})
        wrong, sums, largest = [], [], 0.0
        for labels, one in wanted.items():
            if labels not in points:
                continue
            point = points[labels].point
            want = truth.buckets(one, list(point.explicit_bounds))
            if list(point.bucket_counts) != want:
                wrong.append((labels, list(point.bucket_counts), want))
            if metric == "hammer.signed":  # with negative values a cumulative sum may fall, so there is none
                if point.HasField("sum"):
                    sums.append((labels, "a sum, though values were negative"))
                continue
            error = abs(point.sum - one["sum"]) / one["sum"] if point.HasField("sum") else math.inf
            largest = max(largest, error)
            if not error <= 1e-9:
                sums.append((labels, point.sum, one["sum"]))
        checks.equal(f"{name}: {metric}: each bucket as frexp puts it", wrong, [])
        checks.ok(f"{name}: {metric}: sums within 1e-9 (largest error {largest:.1e})", not sums and wanted, sums[:3])
    levels = {key: point.value for key, point in found.items()
              if key[0] in ("hammer.share", "hammer.latest", "hammer.gauge")}
    checks.equal(f"{name}: {len(truth.levels)} levels of SET, LATEST and gauge", levels, truth.levels)


def bounds_are_powers_of_two(request, service, metric):
    bounds = [list(p.point.explicit_bounds) for key, p in series(request, service).items() if key[0] == metric]
    return bounds and all(b == bounds[0] for b in bounds) and len(bounds[0]) <= 24 and \
        all(math.frexp(x)[0] == 0.5 and (not i or x == 2 * bounds[0][i - 1]) for i, x in enumerate(bounds[0]))


def agent_before(checks, directory):
    """The agent knows the binary; four processes of sixteen threads fire from the first line of main() on."""
    with capture.Server() as server, Driven("hammer", "exact-warm") as warm, start_agent(directory, server) as agent:
        warm.answer()
        wait_attached(agent, warm)
        first = next((r for r in server.requests if series(r, warm.service)), None) or snapshot_after(server)
        checks.equal("before the first event: only the unlabelled counters are there, as 0",
                     {key: p.value for key, p in series(first, warm.service).items()}, {("hammer.count.none", ()): 0})
        service = own("exact-before")
        hammers = [Driven("hammer", "exact-before", "--threads", THREADS, "--seed", n + 1, "--fire", ROUNDS)
                   for n in range(PROCESSES)]
        mark = server.count()
        try:
            for one in hammers:
                one.start()
            truth = Truth([one.answer() for one in hammers])
            request = snapshot_after(server)
            events = sum(one["events"] for key, one in truth.series.items() if key[0] in COUNTERS + HISTOGRAMS)
            checks.equal("the truth has seen every event", events, PROCESSES * THREADS * ROUNDS * EVENTS_PER_ROUND)
            compare(checks, "agent first", request, service, truth)
            for metric in ("hammer.time", "hammer.size"):
                checks.ok(f"{metric}: default bounds are powers of two, the same for all",
                          bounds_are_powers_of_two(request, service, metric), "they are not")
            checks.equal("nothing is dropped", drops(request, "hammer."), {})
            checks.equal("no stream steps back", steps_back(server.requests[mark:], {service})[:5], [])
        finally:
            for one in hammers:
                one.kill()
        # The dead have no share left, what they counted stays.
        request = snapshot_after(server)
        checks.equal("the processes gone: counters stay", total(request, service, "hammer.count.four"),
                     PROCESSES * THREADS * ROUNDS)
        checks.equal("the processes gone: no level is left of them",
                     [v for metric in ("hammer.open", "hammer.share") for v in values(request, service, metric).values() if v],
                     [])
        checks.equal("the processes gone: nor a latest value",
                     [set(values(request, service, metric).values()) - {None} for metric in ("hammer.latest", "hammer.gauge")],
                     [set(), set()])  # None: a point that says so
        checks.equal("ends with status 0", agent.stop(), 0)
        checks.equal("no warning", warnings(agent), [])


def agent_after(checks, directory):
    """The services run, and have fired, when the agent comes. Then they fire over several intervals."""
    service = own("exact-after")
    with capture.Server() as server:
        hammers = [Driven("hammer", "exact-after", "--threads", THREADS, "--seed", 100 + n) for n in range(PROCESSES)]
        try:
            for one in hammers:
                one.start()
            for one in hammers:
                one.answer()
                one.tell("fire 50")
            before = [one.answer() for one in hammers]
            with start_agent(directory, server) as agent:
                wait_attached(agent, *hammers)
                request = snapshot_after(server)
                truth = Truth(before, before)
                checks.equal("levels of before the agent came",
                             {key: p.value for key, p in series(request, service).items()},
                             {**truth.levels, ("hammer.count.none", ()): 0,
                              **{key: one["total"] for key, one in truth.series.items() if key[0] == "hammer.open"}})
                for one in hammers:
                    one.tell(f"fire {2 * ROUNDS}")
                truth = Truth([one.answer() for one in hammers], before)
                compare(checks, "agent second", snapshot_after(server), service, truth)
                time.sleep(2 * INTERVAL_MS / 1000)
                checks.ok("several exports while hammering", len(server.requests) >= 5, len(server.requests))
                checks.equal("no stream steps back", steps_back(server.requests, {service, "probemeter"})[:5], [])
                checks.equal("nothing is dropped", drops(server.requests[-1], "hammer."), {})
                checks.equal("ends with status 0", agent.stop(), 0)
        finally:
            for one in hammers:
                one.kill()


def dropped(checks, directory):
    """What cannot be counted is dropped under its reason, and fired is exported plus dropped. So are the edges of what
    a double can be: they are counted."""
    times = 250
    with capture.Server() as server, Driven("hammer", "exact-bad") as hammer, start_agent(directory, server) as agent:
        hammer.answer()
        wait_attached(agent, hammer)
        fired = hammer.ask(f"bad {times}")
        edges = hammer.ask("edges")
        request = snapshot_after(server)
        want = {(reason, metric): count for metric, counts in fired.items() for reason, count in counts.items()
                if reason != "good"}
        checks.equal("drops by reason and metric", drops(request, "hammer."), want)
        checks.equal("negative: the good ones are counted",
                     values(request, hammer.service, "hammer.negative"), {("eu-west",): 2 * times})
        checks.equal("not finite: the good ones are counted",
                     values(request, hammer.service, "hammer.infinite"), {("eu-west",): times})
        infinite = series(request, hammer.service)["hammer.infinite", ("eu-west",)].point
        checks.equal("not finite: the sum is of the good ones", infinite.sum, 0.5 * times)
        checks.equal("no series of drops alone", values(request, hammer.service, "hammer.tight"), {})
        point = series(request, hammer.service).get(("hammer.edges", ()))
        checks.equal("edges: each in its bucket", list(point.point.bucket_counts) if point else None, edges["buckets"])
        checks.equal("edges: the export keeps the rules", otlp.complaints(request.message()), [])
        checks.equal("ends with status 0", agent.stop(), 0)


def flood(checks, directory):
    """Label sets beyond the limit go to one overflow series with an exact total, and no other metric or service suffers."""
    with capture.Server() as server, Driven("hammer", "exact-flood", "--threads", 8) as hammer, \
            Driven("hammer", "exact-calm", "--threads", 2) as calm, start_agent(directory, server) as agent:
        for one in (hammer, calm):
            one.answer()
        wait_attached(agent, hammer, calm)
        early = hammer.ask("flood 0 100 3")["events"]
        request = snapshot_after(server)
        checks.equal("below the limit every label set has its own series",
                     values(request, hammer.service, "hammer.flood"), {(f"key-{i}",): 3 for i in range(100)})
        late = hammer.ask("flood 0 5000 4")["events"]
        truth = Truth([hammer.ask("fire 20")])
        other = Truth([calm.ask("fire 20")])
        kept = calm.ask("flood 0 50 2")["events"]
        request = snapshot_after(server)
        found = values(request, hammer.service, "hammer.flood")
        over = found.pop("overflow", None)
        checks.ok(f"at most {SERIES_LIMIT} points with the overflow", over is not None and len(found) < SERIES_LIMIT,
                  f"{len(found)} and {over}")
        checks.equal("the limit is used", len(found), SERIES_LIMIT - 1)
        checks.equal("the total is exact, overflow included", sum(found.values()) + (over or 0), early + late)
        checks.equal("the overflow holds what the others lack",
                     over, early + late - sum(found.values()))
        checks.equal("sets seen before the overflow keep their series",
                     [found.get((f"key-{i}",)) for i in range(100)], [7] * 100)
        checks.ok("no set is counted twice", all(v <= 7 for v in found.values()), found)
        compare(checks, "beside a flood", request, hammer.service, truth)
        compare(checks, "another service beside a flood", request, calm.service, other)
        checks.equal("another service's flooded metric", total(request, calm.service, "hammer.flood"), kept)
        checks.equal("nothing is dropped", drops(request, "hammer."), {})
        checks.equal("no stream steps back", steps_back(server.requests, {hammer.service, calm.service})[:5], [])
        checks.equal("ends with status 0", agent.stop(), 0)


def burst(checks, directory):
    """20,000 new series at once, made by all threads side by side: fired is exported plus drops that are named."""
    count = 2000
    # Decoding as much as this takes python a second.
    with capture.Server() as server, Driven("hammer", "exact-burst", "--threads", 8) as hammer, \
            start_agent(directory, server, OTEL_METRIC_EXPORT_INTERVAL=4 * INTERVAL_MS) as agent:
        hammer.answer()
        wait_attached(agent, hammer)
        fired = hammer.ask(f"burst {count}")["events"]
        request = snapshot_after(server)
        lost = drops(request, "hammer.")
        for number in range(10):
            name = f"hammer.burst.{number}"
            found = values(request, hammer.service, name)
            named = {labels: value for labels, value in found.items() if labels != "overflow"}
            checks.equal(f"{name}: fired is exported plus dropped",
                         sum(found.values()) + sum(n for (_, metric), n in lost.items() if metric == name), fired)
            # One service may not take all cells: past its share the rest is in the overflow, too.
            checks.ok(f"{name}: most under their names", SERIES_LIMIT // 2 <= len(named) < SERIES_LIMIT,
                      f"{len(named)} series, {found.get('overflow')} events in the overflow")
            most = max(named.values(), default=0)
            checks.ok(f"{name}: no series has more than its own", 0 < most <= 8, most)
        checks.equal("ends with status 0", agent.stop(), 0)
        checks.equal("the export keeps the rules", otlp.complaints(request.message()), [])
        checks.equal("no stream steps back", steps_back(server.requests[-4:], {hammer.service})[:5], [])


def killed(checks, directory):
    """SIGKILL of the agent amid the hammering: the service goes on and is not probed any more; the next agent counts."""
    image = elf.Elf(Driven("hammer", "").binary)
    with capture.Server() as server, Driven("hammer", "exact-killed", "--threads", 8) as hammer:
        service = hammer.service
        hammer.answer()
        alone = not others_attached(hammer)
        with start_agent(directory, server) as agent:
            wait_attached(agent, hammer)
            hammer.ask("run")
            counts = [total(snapshot_after(server), service, "hammer.count.four") for _ in range(2)]
            checks.ok("it is counted while it fires", counts[0] and counts[0] < counts[1], counts)
            agent.signal(signal.SIGKILL)
            agent.wait()
        if alone:
            wait_until("semaphores at 0", lambda: not any(elf.semaphores(hammer.pid, image).values()), 10.0)
            checks.ok("the semaphores are back at 0", True)
        else:
            checks.skip("the semaphores are back at 0", "another agent of this host is attached")
        before = hammer.ask("halt")
        fired = sum(one["total"] for key, one in Truth([before]).series.items() if key[0] == "hammer.count.four")
        checks.ok("the service has gone on", fired > counts[1], (fired, counts))
        mark = server.count()
        with start_agent(directory, server) as agent:
            wait_attached(agent, hammer)
            truth = Truth([hammer.ask("fire 500")], [before])
            compare(checks, "the next agent", snapshot_after(server), service, truth)
            # The same with an end in good order.
            hammer.ask("run")
            snapshot_after(server)
            checks.equal("SIGTERM amid the hammering: status 0", agent.stop(), 0)
            checks.equal("SIGTERM amid the hammering: no warning", warnings(agent), [])
        after = hammer.ask("halt")
        last = total(server.requests[-1], service, "hammer.count.four")
        want = sum(one["total"] for key, one in Truth([after], [before]).series.items() if key[0] == "hammer.count.four")
        checks.ok("SIGTERM amid the hammering: never more than fired", 500 * 8 < last <= want, f"{last} of {want}")
        checks.equal("no stream of the second agent steps back", steps_back(server.requests[mark:], {service})[:5], [])
        checks.equal("the service ends with status 0", hammer.end(), 0)


def main():
    checks = Checks("exactness")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("exact") as directory:
        for name, part in (("agent before the service", agent_before), ("agent after the service", agent_after),
                           ("drops and edges", dropped), ("flood of label sets", flood),
                           ("burst of new series", burst), ("agent killed", killed)):
            with checks.run(name):
                part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
