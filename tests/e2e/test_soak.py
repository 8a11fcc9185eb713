#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Thousands of exports against a collector that fails at random: what it has in the end is what was fired, to the unit.

build/soak/soak is the agent's exporter alone (merge, deltas, requests, sending) with events of a known truth. The
collector here keeps a ledger of all that it accepted, whether or not it could say so, and draws its faults by a seed:

    test_soak.py [EXPORTS [SEED]]      by default half of them delta; SEED is printed with each run
"""
import bisect
import collections
import json
import math
import os
import random
import subprocess
import sys
import threading
import time

import faults
import grpc_faults as grpc
import otlp
from agent import clean_environment
from checks import Checks
from process import BUILD, Failed

SOAK = BUILD / "soak/soak"
EXPORTS = 10000  # of all runs together
REJECTED = 2  # as some answers say; the ledger keeps them all the same
RSS_MOST_KIB = 1024
LEVEL = "soak.open"

BOTH = [(30, faults.reset("before", 0)), (30, faults.reset("body", 0)), (40, faults.reset("after", 0)),
        (0.1, faults.stall())]
HTTP = BOTH + [
    (60, faults.status(503)), (20, faults.status(429)), (10, faults.status(502)), (10, faults.status(504)),
    (0.3, faults.status(503, "Retry-After: 1")), (30, faults.status(400)), (20, faults.status(500)),
    (10, faults.status(404)), (5, faults.status(308, "Location: http://127.0.0.1:1/")), (20, faults.torn_answer()),
    (10, faults.answer("garbage protobuf", 200, b"\xff" * 9, accepts=True, lost=True)),
    (5, faults.answer("a web page", 200, b"<html>", content_type="text/html")),
    (20, faults.partial(0, "")), (20, faults.partial(REJECTED, "two")), (0.5, faults.big_answer()), (0.2, faults.bomb()),
]
GRPC = BOTH + [
    (60, grpc.status(grpc.UNAVAILABLE)), (10, grpc.status(grpc.ABORTED)), (10, grpc.status(grpc.DATA_LOSS)),
    (20, grpc.status(grpc.RESOURCE_EXHAUSTED, retry_s=0.005)), (10, grpc.status(grpc.UNAVAILABLE, retry_s=0.01, alone=False)),
    (20, grpc.status(grpc.INVALID_ARGUMENT)), (10, grpc.status(grpc.INTERNAL)), (10, grpc.status(grpc.RESOURCE_EXHAUSTED)),
    (10, grpc.http_status(503)), (5, grpc.http_status(404)), (20, grpc.truncated_trailers()), (10, grpc.no_status()),
    (5, grpc.ends_without_trailers()), (5, grpc.garbage_frames()), (5, grpc.garbage_protobuf()), (5, grpc.short_message()),
    (10, grpc.away()), (10, grpc.cancel(grpc.h2.errors.ErrorCodes.REFUSED_STREAM)),
    (10, grpc.cancel(grpc.h2.errors.ErrorCodes.CANCEL)), (20, grpc.partial(0, "")), (20, grpc.partial(REJECTED, "two")),
    (0.3, grpc.big_answer()),
]
FAULTY = 0.3  # of all requests
GONE = [(1, faults.status(400))]  # and of a collector that takes nothing, all
WEEK = 7 * 24 * 360  # exports, one every ten seconds


class Held:
    """What the collector has of one series in one interval: one start time."""

    def __init__(self):
        self.end_ns = 0
        self.point = None
        self.lost = False


class Ledger:
    """Every point that was accepted. A point with the start time of an earlier one has all of that, and more."""

    def __init__(self, delta):
        self.delta = delta
        self.series = collections.defaultdict(dict)  # (metric, label) -> {start: Held}
        self.again = 0  # points in place of one whose answer was lost
        self.wrong = []
        self.steps = collections.Counter()
        self.lost_bodies = set()
        self.accepted = 0

    def take(self, record):
        self.steps[record.step.name] += 1
        if not record.accepted:
            return
        self.accepted += 1
        if record.step.lost:
            self.lost_bodies.add(hash(record.body))
        for resource in record.message().resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self._metric(record, metric)

    def _metric(self, record, metric):
        data = getattr(metric, metric.WhichOneof("data"))
        is_delta = self.delta and metric.name != LEVEL
        if data.aggregation_temporality != (otlp.DELTA if is_delta else otlp.CUMULATIVE):
            self.wrong.append(f"{metric.name}: temporality {data.aggregation_temporality}")
        for point in data.data_points:
            label = point.attributes[0].value.string_value if point.attributes else ""
            intervals = self.series[metric.name, label]
            held = intervals.get(point.start_time_unix_nano)
            if held is None:
                if is_delta and any(point.start_time_unix_nano < other.end_ns for other in intervals.values()):
                    self.wrong.append(f"{metric.name} {label}: begins within an interval that was acknowledged")
                if not is_delta and intervals:
                    self.wrong.append(f"{metric.name} {label}: its start moved")
                held = intervals[point.start_time_unix_nano] = Held()
            elif is_delta:
                self.again += 1
                if not held.lost:
                    self.wrong.append(f"{metric.name} {label}: acknowledged, and sent again")
            if point.time_unix_nano < held.end_ns:
                self.wrong.append(f"{metric.name} {label}: goes back in time")
            held.end_ns = point.time_unix_nano
            held.point = point
            held.lost = record.step.lost

    def totals(self, key):
        return [held.point for held in self.series.get(key, {}).values()]


def expected_buckets(point, values):
    """Counts of @values in the buckets that @point has."""
    if hasattr(point, "explicit_bounds"):
        counts = [0] * (len(point.explicit_bounds) + 1)
        for value, count in values:
            counts[bisect.bisect_left(list(point.explicit_bounds), value)] += count
        return counts
    raise Failed("no explicit bounds")


def exponential_counts(points):
    """{index: count} of exponential points, at the coarsest of their scales."""
    scale, counts = min(point.scale for point in points), collections.Counter()
    for point in points:
        for i, count in enumerate(point.positive.bucket_counts):
            if count:
                counts[(point.positive.offset + i) >> (point.scale - scale)] += count
    return scale, counts


def difference(points, row):
    """How what was accepted differs from the truth of one series; None if it does not."""
    if "value" in row:
        got = sum(point.as_int for point in points)
        return None if got == row["value"] else f"{got} for {row['value']}"
    values, zeros = [(v, n) for v, n in row["values"] if n], row["values"][0][1]
    count, total = sum(n for _, n in values), math.fsum(v * n for v, n in values)
    got = sum(point.count for point in points), math.fsum(point.sum for point in points)
    if got != (count, total):
        return f"count and sum {got} for {(count, total)}"
    if hasattr(points[0], "explicit_bounds"):
        got = [sum(column) for column in zip(*(point.bucket_counts for point in points))]
        want = expected_buckets(points[0], values)
    else:
        scale, got = exponential_counts(points)
        want = collections.Counter()
        for value, n in values:
            if value:
                want[math.ceil(math.log2(value) * 2 ** scale) - 1] += n
        got, want = (dict(got), sum(point.zero_count for point in points)), (dict(want), zeros)
    return None if got == want else f"buckets {got} for {want}"


class Receiver(faults.Collector):
    """Draws a step for each request, and keeps a ledger and no requests."""

    def __init__(self, ledger, mix, seed, faulty, **more):
        super().__init__(default=self._draw, **more)
        self.ledger = ledger
        self.good = grpc.OK if self.grpc else faults.OK
        self.mix = mix
        self.weights = [weight for weight, _ in mix]
        self.random = random.Random(seed)
        self.faulty = faulty
        self.calm = threading.Event()

    def _draw(self):
        if self.calm.is_set() or self.random.random() > self.faulty:
            return self.good
        return self.random.choices(self.mix, self.weights)[0][1]

    def record(self, record):
        with self._changed:
            self.ledger.take(record)

    def slam_doors(self):
        """Now and then nobody listens for a moment."""
        while not self.calm.wait(self.random.uniform(0.5, 1.5)):
            self.ledger.steps["refused"] += 1
            self.play(faults.refuse(0.01))


class Run(threading.Thread):
    def __init__(self, title, exports, seed, mix, **variables):
        super().__init__()
        self.title = title
        self.exports = exports
        self.seed = seed
        self.variables = variables
        self.mix = mix
        self.faulty = 1.0 if mix is GONE else FAULTY
        self.ledger = Ledger("PREFERENCE" in " ".join(variables))
        self.windows = []
        self.truth = None
        self.error = None
        self.seconds = 0.0

    def run(self):
        started = time.monotonic()
        try:
            self._run()
        except Exception as error:  # one failed check
            self.error = f"{type(error).__name__}: {error}"
        self.seconds = time.monotonic() - started

    def _run(self):
        with Receiver(self.ledger, self.mix, self.seed, self.faulty, grpc=self.mix is GRPC) as collector:
            environment = clean_environment(
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.otlp, OTEL_EXPORTER_OTLP_TIMEOUT=3000, no_proxy="*",
                OTEL_METRIC_EXPORT_INTERVAL=5000, **self.variables)
            threading.Thread(target=collector.slam_doors, daemon=True).start()
            soak = subprocess.Popen([str(SOAK), str(self.exports), str(self.seed)], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
            try:
                self._listen(soak, collector)
            finally:
                soak.kill()
                said = soak.stderr.read()
                for pipe in (soak.stdin, soak.stdout, soak.stderr):
                    pipe.close()
                soak.wait()
            if self.truth is None:
                raise Failed(f"soak ended with {soak.returncode}: {said}")
            if collector.problems:
                raise Failed(f"the collector: {collector.problems[:5]}")

    def _listen(self, soak, collector):
        for line in soak.stdout:
            if line == "calm\n":
                collector.calm.set()
                time.sleep(0.1)  # a door may be shut
                soak.stdin.write("\n")
                soak.stdin.flush()
                continue
            said = json.loads(line)
            if "truth" in said:
                self.truth = said
            else:
                self.windows.append(said)

    def tell(self, checks):
        print(f"-- {self.title}, seed {self.seed}", flush=True)
        if self.error or not checks.ok(f"{self.title}: runs to its end", self.truth and self.windows, self.error):
            checks.ok(f"{self.title}: no trouble", False, self.error)
            return
        first, last, truth = self.windows[0], self.windows[-1], self.truth
        met = ", ".join(f"{count} {name}" for name, count in sorted(self.ledger.steps.items()))
        print(f"     {truth['exports']} exports in {self.seconds:.0f} s: {truth['requests']} requests, "
              f"{truth['retries']} tries again, {truth['failed']} failed, {truth['uncertain']} with an answer lost, "
              f"{truth['timeouts']} without one in time")
        print(f"     met: {met}")
        print(f"     resident, KiB: {first['rss_kib']:.0f} in the first thousand, {last['rss_kib']:.0f} in the last; "
              f"descriptors at most {first['descriptors']} and {last['descriptors']}")
        differences = []
        for row in truth["truth"]:
            points = self.ledger.totals((row["metric"], row["label"]))
            differs = difference(points, row) if points else "nothing came"
            if differs:
                differences.append(f"{row['metric']} {row['label']}: {differs}")
        events = sum(n for row in truth["truth"] for _, n in row.get("values", ()))
        print(f"     {len(truth['truth'])} series, {events} recorded values; {self.ledger.again} points came again; "
              f"differences: {len(differences)}", flush=True)
        checks.equal(f"{self.title}: accepted is what was fired", differences[:5], [])
        checks.equal(f"{self.title}: nothing twice but where the answer was lost", self.ledger.wrong[:5], [])
        checks.equal(f"{self.title}: points that the collector says it rejected", truth["rejected"],
                     REJECTED * self.ledger.steps[faults.partial(REJECTED, "two").name])
        checks.ok(f"{self.title}: the sender knows of every answer that was lost",
                  len(self.ledger.lost_bodies) <= truth["uncertain"], f"{len(self.ledger.lost_bodies)} bodies")
        if self.mix is GONE:
            checks.equal(f"{self.title}: nothing was taken before the end", truth["failed"] >= self.exports and
                         {len(held) for held in self.ledger.series.values()}, {1})
        else:
            checks.ok(f"{self.title}: faults were met", self.ledger.steps.total() - self.ledger.steps["ok"] > self.exports / 10 and
                      truth["retries"] > self.exports / 20 and truth["failed"] > self.exports / 50, met)
        checks.ok(f"{self.title}: resident memory is flat", last["rss_kib"] - first["rss_kib"] <= RSS_MOST_KIB,
                  [window["rss_kib"] for window in self.windows])
        checks.ok(f"{self.title}: descriptors are flat", last["descriptors"] <= first["descriptors"],
                  [window["descriptors"] for window in self.windows])


def main():
    checks = Checks("soak")
    exports = int(sys.argv[1]) if len(sys.argv) > 1 else EXPORTS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int.from_bytes(os.urandom(4), "little")
    delta = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}
    exponential = {"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram"}
    rpc = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    packed = {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
    each = max(exports // 4, 2000)  # the first and the last thousand are apart
    pairs = [
        (Run("http, cumulative", each, seed, HTTP, **packed), Run("grpc, delta, exponential", each, seed + 1, GRPC, **rpc,
                                                                   **delta, **exponential)),
        (Run("http, delta", each, seed + 2, HTTP, **delta), Run("grpc, cumulative", each, seed + 3, GRPC, **rpc)),
        (Run("gone, cumulative", min(each, WEEK), seed + 4, GONE), Run("gone, delta", min(each, WEEK), seed + 5, GONE, **delta)),
    ]
    for pair in pairs:  # two at a time: there may be no more CPUs
        for run in pair:
            run.start()
        for run in pair:
            run.join()
            run.tell(checks)
    checks.exit()


if __name__ == "__main__":
    main()
