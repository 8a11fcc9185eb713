#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""The whole path: the sample service under load, the agent, and what VictoriaMetrics and Prometheus answer.

    scriptd --probes--> agent --OTLP--> tee --+--> VictoriaMetrics
                                              +--> vmagent --> Prometheus

The reference's four queries are asked letter for letter, and must give the numbers that follow from the service's own
account (truth.py). To make those exact and not merely likely:

  - The tee hands on nothing until a first load has made every series appear and the service is at rest. So all series
    have their first sample at one time T0, with values that the service's account at rest tells to the unit.
  - A second load follows; then the service is at rest again, with another account and a last sample.
  - The rate queries are asked for the time T0 + 5 min, so that their window begins at the first sample. Prometheus
    then extrapolates every series by the same factor, whatever its value, and the factor cancels. At other times a
    series that begins near 0 is extrapolated less; asked "now", a ratio may differ by one part in 2 (n - 1) for n
    samples, which is the tolerance used there, and no more than the query's own inaccuracy.
  - For the average of the queue depth a service of its own is held at known depths by jobs that wait for a word from
    the test; only snapshots taken while the depth was known are handed on.

Bytes are handed on unchanged, unless something else on this host carries the catalogue's probes at the same time: the
queries sum over everything, so its resource is cut out. That the agent needs no tee is shown at the end, with each
receiver directly.
"""
import math
import os
import re
import signal
import sys
import time

import otlp
import truth
from agent import Agent, own_name
from capture import Tee
from catalogue import (COUNTER, DURATION_P99, HISTOGRAM, METRICS, QUEUE_DEPTH, REJECTION_RATE, SUCCESS_RATE,
                       UPDOWNCOUNTER)
from checks import Checks
from process import PATIENCE, Failed, scratch, wait_until
from receivers import PrometheusBehindVmagent, VictoriaMetrics
from service import SCRIPTD, Scriptd, load

INTERVAL_MS = 500
WINDOW_S = 300
OURS = own_name("e2e")
SERVICE, QUEUE_SERVICE, WARM_UP_SERVICE, DIRECT_SERVICE = (
    f"{OURS}-{part}" for part in ("scripts", "queue", "warm-up", "direct"))
STOP_S = 5  # half of what a container runtime grants between SIGTERM and SIGKILL
EXACT = 1e-9  # floating point of two receivers, and nothing else


class Run:
    """What the parts share: processes, receivers, and the two accounts at rest."""

    def __init__(self, directory, checks, tee, receivers, agent):
        self.directory = directory
        self.checks = checks
        self.tee = tee
        self.receivers = receivers
        self.agent = agent
        self.first = self.last = None  # Sample
        self.begin_s = 0.0  # T0


def warm_up(directory, agent):
    """Let the agent meet the service's binary, so that the real run is counted from its first event."""
    with Scriptd(directory, WARM_UP_SERVICE) as service:
        agent.wait_attached(service.pid, SCRIPTD)


class Sample:
    """A sample that was handed on, between two accounts of the service. What did not move between them is known."""

    def __init__(self, tee, service):
        self.before = service.wait_at_rest()
        since = time.time_ns()
        self.request = wait_until("a sample taken at rest", lambda: next(
            (r for r in tee.passed if r.time_ns() > since), None), 20.0)
        self.after = service.stats()
        self.time_ns = self.request.time_ns()


def load_twice(run, service):
    """A first load that is held back, a sample at T0, a second load, and a last sample."""
    checks, tee = run.checks, run.tee
    tee.pass_if = lambda request: False
    load(service, run.directory, seed=1, jobs=60)
    service.wait_at_rest()
    opened = time.time_ns()
    tee.pass_if = lambda request: request.time_ns() > opened
    run.first = Sample(tee, service)
    run.begin_s = tee.passed[0].time_ns() // 1_000_000 / 1000  # in milliseconds, as receivers keep it

    report = load(service, run.directory, seed=1, jobs=60)
    last = Sample(tee, service)
    tee.pass_if = lambda request: request.time_ns() <= last.time_ns
    run.last = last
    checks.ok("the load script reports what it did", report, report)

    for name in ("script.executions.total", "rate_limit.requests.total", "rate_limit.rejected.total",
                 "script.execution.duration"):
        checks.equal(f"{name}: no series appeared after T0", last.before.label_sets(name),
                     run.first.before.label_sets(name))
    times = {p.point.time_unix_nano for r in tee.passed for p in r.points() if p.service == SERVICE}
    checks.equal("one time for all points of a snapshot", len(times), len([
        r for r in tee.passed if any(p.service == SERVICE for p in r.points())]))
    checks.ok("the load has successes and failures",
              0 < truth.increment(run.first.before, last.before, "script.executions.total", status="completed")
              < truth.increment(run.first.before, last.before, "script.executions.total"))
    checks.ok("the load has rejected requests",
              truth.increment(run.first.before, last.before, "rate_limit.rejected.total") > 0)


def requests_are_sound(run):
    """Every request decodes by the official schema and keeps the data model's rules; streams never step back."""
    complaints = [text for request in run.tee.requests for text in otlp.complaints(request.message(),
                                                                                   int(request.at_s * 1e9))]
    run.checks.equal(f"rules broken in {run.tee.count()} requests", complaints[:10], [])
    run.checks.equal("the tee could hand everything on", run.tee.errors[:3], [])
    previous, steps_back = {}, []
    for request in run.tee.requests:
        for point in request.points():
            if point.kind == "sum" and not point.data.is_monotonic or point.kind == "gauge":
                continue
            now = (point.point.start_time_unix_nano, point.value)
            before = previous.get(point.key())
            if before and before[0] == now[0] and before[1] > now[1]:
                steps_back.append((point, before, now))
            previous[point.key()] = now
    run.checks.equal("cumulative streams that step back", steps_back[:3], [])


# The service times these a second time for its account, so that only the number of values is the same to the unit.
TIMED_APART = {"coordinator.scheduling.duration", "database.operation.duration", "events.processing.duration"}


def samples_are_exact(run):
    """The samples at T0 and at the end hold, for all 43 metrics, what the service says it fired."""
    for when, sample in (("first", run.first), ("last", run.last)):
        exported = {}
        for point in sample.request.points():
            if point.service == SERVICE:
                exported.setdefault(point.name, {})[tuple(sorted(point.labels.items()))] = point
        for metric in METRICS:
            name = f"{when} sample: {metric.name}"
            before, after = sample.before.metrics[metric.name], sample.after.metrics[metric.name]
            moved = {labels for labels in after if labels not in before or before[labels].value != after[labels].value}
            differences = compare(metric, before, after, exported.get(metric.name, {}))
            run.checks.ok(name + (f" ({len(moved)} of {len(after)} series within bounds)" if moved else ""),
                          not differences, differences[:3])


def compare(metric, before, after, exported):
    """What is wrong with the exported points of one metric, given the accounts before and after the sample."""
    differences = []
    for labels, late in after.items():
        early = before.get(labels)
        low, high = early.value if early else 0, late.value
        point = exported.get(labels)
        got = point.value if point else 0
        if not min(low, high) <= got <= max(low, high):
            differences.append((dict(labels), got, (low, high)))
        elif metric.kind == HISTOGRAM and low == high and point and metric.name not in TIMED_APART:
            if not truth.close(point.point.sum, early.sum):
                differences.append((dict(labels), "sum", point.point.sum, early.sum))
            counts = truth.buckets(early.values, list(point.point.explicit_bounds))
            if len(early.values) == low and counts != list(point.point.bucket_counts):
                differences.append((dict(labels), "buckets", list(point.point.bucket_counts), counts))
    for labels, point in exported.items():
        if labels not in after and point.value:
            differences.append((dict(labels), "never fired", point.value))
    return differences


# kind -> (data on the wire, monotonic)
ON_THE_WIRE = {COUNTER: ("sum", True), UPDOWNCOUNTER: ("sum", False), HISTOGRAM: ("histogram", None)}


def wire_is_the_catalogue(run):
    """Name, scope, kind and description of all 43 go out as documented; units add nothing to a translated name."""
    sent = {}
    for point in run.last.request.points():
        if point.service == SERVICE:
            monotonic = point.data.is_monotonic if point.kind == "sum" else None
            sent[point.name] = (point.scope, point.kind, monotonic, point.metric.description)
            if not re.fullmatch(r"|\{[^{}]*\}", point.metric.unit):
                run.checks.ok(f"unit of {point.name}", False, point.metric.unit)
    run.checks.equal("the catalogue on the wire", sent, {
        metric.name: (metric.scope, *ON_THE_WIRE[metric.kind], metric.description) for metric in METRICS})


def names_at_receiver(run, receiver):
    """All 43 metrics are there under the translated names, with the documented labels and no others."""
    checks = run.checks
    rows = receiver.series(f'{{service_name="{SERVICE}"}}')
    by_name = {}
    for row in rows:
        by_name.setdefault(row["__name__"], []).append(row)
    wanted = {name: metric for metric in METRICS for name in metric.translated}
    missing = sorted(set(wanted) - set(by_name))
    checks.equal(f"{receiver.name}: documented names that are missing", missing, [])
    checks.equal(f"{receiver.name}: names that are not documented", sorted(set(by_name) - set(wanted)), [])
    resource = {key for row in by_name.get("execution_queue_depth", ()) for key in row} - {"__name__"}
    checks.ok(f"{receiver.name}: the resource has name and instance",
              {"service_name", "service_instance_id"} <= resource, resource)
    wrong = []
    for name, metric in wanted.items():
        for row in by_name.get(name, ()):
            labels = set(row) - resource - {"__name__"} - ({"le"} if name.endswith("_bucket") else set())
            if labels != set(metric.labels):
                wrong.append((name, labels, metric.labels))
    checks.equal(f"{receiver.name}: series whose labels are not the documented ones", wrong[:5], [])


def queries(run, receiver):
    """The reference's rate queries, against the service's account."""
    checks, first, last = run.checks, run.first.before, run.last.before
    receiver.flush()
    for name in ("script_executions_total", "script_execution_duration_bucket", "rate_limit_requests_total",
                 "rate_limit_rejected_total"):
        wait_until(f"{receiver.name} has the last sample of {name}", lambda: (receiver.scalar(
            f'min(timestamp({name}{{service_name="{SERVICE}"}}))') or 0) * 1000 >= run.last.time_ns // 1_000_000, 20.0)
    at_s = run.begin_s + WINDOW_S
    samples = len(receiver.samples(f'script_executions_total{{service_name="{SERVICE}"}}')[0][1])

    success = truth.ratio(first, last, ("script.executions.total", {"status": "completed"}),
                          ("script.executions.total", {}))
    rejection = truth.ratio(first, last, ("rate_limit.rejected.total", {}), ("rate_limit.requests.total", {}))
    checks.near(f"{receiver.name}: success rate", receiver.scalar(SUCCESS_RATE, at_s), success, EXACT)
    checks.near(f"{receiver.name}: rejection rate", receiver.scalar(REJECTION_RATE, at_s), rejection, EXACT)
    loose = 0.5 / (samples - 1)
    checks.near(f"{receiver.name}: success rate asked now", receiver.scalar(SUCCESS_RATE), success, loose)
    checks.near(f"{receiver.name}: rejection rate asked now", receiver.scalar(REJECTION_RATE), rejection, loose)

    answers = {row["lang_and_version"]: value for row, value in receiver.query(DURATION_P99, at_s)}
    wanted = {dict(labels)["lang_and_version"]: labels for labels in last.label_sets("script.execution.duration")}
    checks.equal(f"{receiver.name}: languages with a P99", sorted(answers), sorted(wanted))
    for language, labels in wanted.items():
        values = truth.new_values(first, last, "script.execution.duration", labels)
        buckets = receiver.series(
            f'script_execution_duration_bucket{{service_name="{SERVICE}",lang_and_version="{language}"}}')
        bounds = sorted({float(row["le"]) for row in buckets} - {math.inf})
        want = truth.quantile(0.99, bounds, truth.buckets(values, bounds))
        checks.near(f"{receiver.name}: P99 of {len(values)} runs of {language}", answers.get(language), want, EXACT)
        # And what it approximates: the true quantile lies in the same bucket.
        exact = sorted(values)[max(0, math.ceil(0.99 * len(values)) - 1)]
        index = sum(bound < exact for bound in bounds)
        lower, upper = bounds[index - 1] if index else 0.0, bounds[min(index, len(bounds) - 1)]
        checks.ok(f"{receiver.name}: P99 of {language} lies in the true quantile's bucket",
                  language in answers and lower <= answers[language] <= upper,
                  f"{answers.get(language)}, true {exact} in ({lower}, {upper}]")


def queue_depth(run):
    """Hold a service of its own at known depths; the average over the samples is the average of the depths."""
    checks, tee = run.checks, run.tee
    known = []  # (time, depth) of each sample handed on
    held = {"depth": None, "since_ns": 0}
    handed_on = len(tee.passed)

    def pass_if(request):
        if held["depth"] is None or request.time_ns() <= held["since_ns"]:
            return False
        known.append((request.time_ns(), held["depth"]))
        return True

    with Scriptd(run.directory, QUEUE_SERVICE, workers=2) as service:
        def hold(depth, samples, timeout_s=20.0):
            wait_until(f"queue depth {depth}", lambda: service.stats().value("execution.queue.depth") == depth,
                       timeout_s, every_s=0.02)
            start = len(known)
            held.update(depth=depth, since_ns=time.time_ns())
            wait_until(f"{samples} samples", lambda: len(known) >= start + samples, 20.0, every_s=0.02)
            held["depth"] = None
            wait_until("those samples to be handed on", lambda: len(tee.passed) == handed_on + len(known))
            still = service.stats().value("execution.queue.depth")
            checks.equal(f"the depth was {depth} all the while", still, depth)

        def settled(running, waiting):
            now = service.stats()
            return now.value("script.executions.active") == running and \
                now.value("execution.queue.depth") == waiting

        run.agent.wait_attached(service.pid, SCRIPTD)
        service.submit("true")  # a level that was never set need not be exported
        service.wait_at_rest()
        tee.pass_if = pass_if
        hold(0, 3)
        # Two run until "first" is there, two wait to run until "second" is there, three wait behind those. They are
        # sent one at a time: jobs may overtake each other on their way in.
        gate = service.directory / "gate"
        until = f"while [ ! -e {gate}-%s ]; do sleep 0.05; done"
        scripts = [until % "first"] * 2 + [until % "second"] * 2 + ["true"] * 3
        for number, script in enumerate(scripts, 1):
            service.submit(script, timeout_ms=50000)
            wait_until("the job to run or to queue", lambda: settled(min(number, 2), max(number - 2, 0)), every_s=0.02)
        hold(5, 5)
        open(f"{gate}-first", "x", encoding="ascii").close()
        hold(3, 5)
        open(f"{gate}-second", "x", encoding="ascii").close()
        service.wait_at_rest()
        hold(0, 2)

        want = sum(depth for _, depth in known) / len(known)
        exported = [point.value for request in tee.passed for point in request.points()
                    if point.service == QUEUE_SERVICE and point.name == "execution.queue.depth"]
        checks.equal("each sample shows the depth of its time", exported[-len(known):], [d for _, d in known])
        for receiver in run.receivers:
            receiver.flush()

            def answer():
                rows = [value for row, value in receiver.query(QUEUE_DEPTH) if row["service_name"] == QUEUE_SERVICE]
                return rows[0] if len(rows) == 1 else None

            try:
                wait_until("all samples", lambda: answer() is not None and truth.close(answer(), want), 10.0)
            except Failed:
                pass
            checks.near(f"{receiver.name}: average queue depth over {len(known)} samples", answer(), want, EXACT)


def directly(checks, directory, receiver):
    """The agent with nothing between it and @receiver: a short load arrives to the unit."""
    with Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.otlp,
               OTEL_METRIC_EXPORT_INTERVAL=INTERVAL_MS) as agent:
        warm_up(directory, agent)
        with Scriptd(directory, DIRECT_SERVICE) as service:
            agent.wait_attached(service.pid, SCRIPTD)
            for number in range(12):
                service.submit("exit 3" if number % 4 == 0 else "true")
            want = service.wait_at_rest()
            got = {}

            def there():
                receiver.flush()
                got.update({row["status"]: value for row, value in receiver.query(
                    'sum(script_executions_total{service_name="%s"}) by (status)' % DIRECT_SERVICE)})
                return got == {"completed": 9.0, "failed": 3.0}

            try:
                wait_until("the load at the receiver", there, 15.0, every_s=0.2)
            except Failed:
                pass
            checks.equal(f"{receiver.name} directly: executions by status", got, {"completed": 9.0, "failed": 3.0})
            checks.equal(f"{receiver.name} directly: the service's account says so too",
                         want.value("script.executions.total"), 12)
        checks.equal(f"{receiver.name} directly: no warnings", agent.warnings(directory), [])
        checks.equal(f"{receiver.name} directly: the agent ends with status 0", agent.stop(), 0)


def through_the_tee(checks, directory, victoria, prometheus):
    with Tee([victoria.otlp, prometheus.otlp], ours=(OURS, "probemeter")) as tee, \
            Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=tee.otlp, OTEL_METRIC_EXPORT_INTERVAL=INTERVAL_MS) as agent:
        run = Run(directory, checks, tee, [victoria, prometheus], agent)
        tee.pass_if = lambda request: False
        warm_up(directory, agent)
        with Scriptd(directory, SERVICE) as service:
            agent.wait_attached(service.pid, SCRIPTD)
            with checks.run("load"):
                load_twice(run, service)
            if not run.last:
                raise Failed("no load, nothing to ask about")
            for name, part in (("samples", samples_are_exact), ("catalogue", wire_is_the_catalogue)):
                with checks.run(name):
                    part(run)
            for receiver in run.receivers:
                with checks.run(f"names at {receiver.name}"):
                    names_at_receiver(run, receiver)
                with checks.run(f"queries at {receiver.name}"):
                    queries(run, receiver)
        with checks.run("queue depth"):
            queue_depth(run)
        if tee.strangers:
            print(f"note: other services of this host were left out of the queries: {sorted(tee.strangers)}")
        checks.equal("the agent has nothing to warn of", agent.warnings(directory), [])
        checks.equal("the agent ends with status 0", agent.stop(), 0)
        checks.ok(f"within {STOP_S} s of SIGTERM", agent.stop_s < STOP_S * PATIENCE, f"{agent.stop_s:.1f} s")
        with checks.run("requests"):
            requests_are_sound(run)


def main():
    checks = Checks("PromQL")
    if os.geteuid() != 0:
        checks.skip("everything", "attaching needs root")
        return checks.finish()
    with scratch("promql") as directory:
        with VictoriaMetrics(directory) as victoria, PrometheusBehindVmagent(directory) as prometheus:
            with checks.run("through the tee"):
                through_the_tee(checks, directory, victoria, prometheus)
            for receiver in (victoria, prometheus):
                with checks.run(f"{receiver.name} directly"):
                    directly(checks, directory, receiver)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
