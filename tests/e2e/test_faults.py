#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""What the agent does when the collector fails, fault by fault: what it sends again and when, what it says, and that
the totals in the end are what was fired.

Each group of cases has an agent, a service and a collector of its own; the groups run side by side, because most of
their time is spent waiting. A request that is sent again is the same bytes; another export is not.
"""
import signal
import subprocess
import sys
import threading
import time
import traceback

import faults
from agent import Agent, Fired, build_fired, totals
from certificates import Authority
from checks import Checks
from process import Failed, scratch, wait_until

INTERVAL_MS = 500
EVENTS = 7  # fired per case, in the middle of the fault
SLACK_S = 1.5  # how late a busy machine may be
BACKOFF_S = [(0.25, 0.75), (0.5, 1.5), (1.0, 3.0), (2.0, 6.0)]  # half to one and a half of 0.5 s, doubling
REFUSED = "refused by the test"


class Case:
    """@steps are met in their order.

    @again: every fault but the last is followed by the same bytes again, and the last too unless @gives_up. Without
    it the bytes that met the fault never come again. @gaps: seconds between the tries. @says: what the one warning
    has; None: no warning. @exports: at least so many exports share the steps; their tries are another case's.
    """

    def __init__(self, name, *steps, again=False, gives_up=False, gaps=None, says=None, exports=1):
        self.name = name
        self.steps = steps
        self.again = again
        self.gives_up = gives_up
        self.gaps = gaps if gaps is not None else BACKOFF_S[:len(steps) - gives_up]
        self.says = says
        self.exports = exports


def retried(step, **more):
    return Case(str(step), step, again=True, **more)


def final(step, *says, **more):
    """Not tried again, and warned of."""
    return Case(str(step), step, says=says, **more)


def quiet(step):
    """Delivered at the first try, and nothing said."""
    return Case(str(step), step)


class Results:
    """Checks of one group, told in one piece when it is over."""

    def __init__(self):
        self.rows = []

    def ok(self, name, condition, detail=""):
        self.rows.append((name, bool(condition), detail))

    def equal(self, name, got, want):
        self.ok(name, got == want, f"got {got!r}, expected {want!r}")


class Group(threading.Thread):
    """One agent against one collector."""

    def __init__(self, title, cases, directory, binary, grpc=False, authority=None, **variables):
        super().__init__()
        self.title = title
        self.cases = cases
        self.directory = directory
        self.binary = binary
        self.collector = faults.Collector(grpc=grpc, tls=authority)
        self.variables = {"OTEL_METRIC_EXPORT_INTERVAL": INTERVAL_MS, "OTEL_METRIC_EXPORT_TIMEOUT": 20000,
                          "OTEL_EXPORTER_OTLP_TIMEOUT": 1500, "no_proxy": "*", **variables}
        if grpc:
            self.variables.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        if authority:
            self.variables.setdefault("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.file)
        self.results = Results()
        self.fired = self.agent = None

    def run(self):
        try:
            self._run()
        except Exception as error:  # one failed check; the other groups go on
            self.results.ok(self.title, False, f"{type(error).__name__}: {error}; the agent says: "
                            f"{self.agent.tail(3) if self.agent else ''}")
            traceback.print_exc()

    def _run(self):
        with self.collector as collector, Fired(self.binary, self.title.replace(" ", "-")) as self.fired, \
                Agent(self.directory, OTEL_EXPORTER_OTLP_ENDPOINT=collector.otlp, **self.variables) as self.agent:
            self.agent.wait_attached(self.fired.pid, self.binary)
            self.fired.fire(EVENTS)
            self._wait_totals(0)
            for case in self.cases:
                self._case(case)
            self.results.equal(f"{self.title}: ends with status 0", self.agent.stop(), 0)
            self._wait_totals(0)
            self.results.equal(f"{self.title}: totals at the very end", self._seen(0), (self.fired.total,) * 3)
            self.results.equal(f"{self.title}: the test collector itself had no trouble", collector.problems, [])

    def _seen(self, since):
        """The newest totals that the collector accepted."""
        accepted = [record for record in self.collector.records[since:] if record.accepted]
        return totals(accepted[-2:], self.fired.service)

    def _wait_totals(self, since, timeout_s=20.0):
        wait_until(f"{self.title}: {self.fired.total} events arrive", lambda: self._seen(since) == (self.fired.total,) * 3,
                   timeout_s)

    def _warnings(self, mark):
        return [line for line in self.agent.warnings(mark=mark) if "export" in line]

    def _case(self, case):
        name = f"{self.title}: {case.name}"
        since, mark, before_s = len(self.collector.records), len(self.agent.lines()), time.monotonic()
        try:
            self.collector.play(*case.steps)
            met = [step for step in case.steps if not step.door_s]
            if met:
                wait_until("the fault is met", lambda: any(r.step is met[0] for r in self.collector.records[since:]), 20.0)
            self.fired.fire(EVENTS)
            self.collector.wait_played()
            self._wait_totals(since)
            if case.says and not any("partial" in str(step) for step in case.steps):
                wait_until("the outage ends", lambda: any("back after" in line for line in self.agent.lines()[mark:]))
        except Failed as error:
            self.results.ok(name, False, f"{error}; {self.collector.records[since:][-6:]}; {self._warnings(mark)}")
            return
        records = self.collector.records[since:]
        if met:
            self._check_tries(name, case, met, records)
        else:
            self._check_door(name, case, records, before_s)
        self._check_words(name, case, mark)

    def _check_tries(self, name, case, met, records):
        first = next(i for i, record in enumerate(records) if record.step is met[0])
        tries = records[first:first + len(met) + (not case.gives_up)]
        faulted = [record for record in tries if record.step in met]
        self.results.equal(f"{name}: steps met in a row", [str(r.step) for r in faulted], [str(step) for step in met])
        whole = [record.body for record in tries if record.whole]
        if case.exports > 1:
            self.results.ok(f"{name}: {case.exports} exports or more", len(set(whole)) >= case.exports, len(set(whole)))
            return
        if case.again:
            same = all(body == whole[-1] for body in whole) and \
                all(whole[-1].startswith(record.body) for record in faulted)
            self.results.ok(f"{name}: the same bytes are sent again", same, [len(r.body) for r in tries])
            gaps = [b.at_s - a.at_s for a, b in zip(tries, tries[1:])]
            fits = len(gaps) == len(case.gaps) and \
                all(low - 0.02 <= gap <= high + SLACK_S for gap, (low, high) in zip(gaps, case.gaps))
            self.results.ok(f"{name}: waits between tries", fits, f"{[round(g, 3) for g in gaps]}, expected {case.gaps}")
        if faulted[-1].whole and (not case.again or case.gives_up):
            times = sum(record.body == faulted[-1].body for record in records if record.whole)
            self.results.equal(f"{name}: sent no more than that", times, len(faulted))

    def _check_door(self, name, case, records, before_s):
        closed_s = sum(step.door_s for step in case.steps)
        self.results.ok(f"{name}: nothing came meanwhile",
                        not any(before_s + 0.1 < record.at_s < before_s + closed_s for record in records), records)

    def _check_words(self, name, case, mark):
        warned = self._warnings(mark)
        if case.says is None:
            self.results.equal(f"{name}: no warning", warned, [])
        else:
            self.results.ok(f"{name}: one warning that says {', '.join(case.says)}",
                            len(warned) == 1 and all(word in warned[0] for word in case.says), warned)


# --- the cases

def http_retried():
    yield from (retried(faults.status(code)) for code in (429, 502, 503, 504))
    yield Case("503 three times", *[faults.status(503) for _ in range(3)], again=True)
    yield retried(faults.status(503, "Retry-After: 2"), gaps=[(2.0, 2.2)])
    yield retried(faults.status(429, "Retry-After: 1"), gaps=[(1.0, 1.2)])
    yield retried(faults.status_retry_date(503, 2), gaps=[(2.0, 3.2)])
    yield from (retried(faults.reset(where)) for where in ("before", "body", "after"))
    yield Case("refused for a moment", faults.refuse(1.2))


def http_given_up():
    yield Case("503 for ever", *[faults.status(503) for _ in range(5)], again=True, gives_up=True,
               says=("answered 503", REFUSED))
    yield final(faults.status(503, "Retry-After: 3600"), "answered 503")


def http_final():
    for code, remedy in ((400, ""), (401, "OTEL_EXPORTER_OTLP_HEADERS"), (404, "OTEL_EXPORTER_OTLP_ENDPOINT"),
                         (413, "OTEL_EXPORTER_OTLP_COMPRESSION"), (500, ""), (501, ""), (408, "")):
        yield final(faults.status(code), f"answered {code}", REFUSED, remedy)
    yield final(faults.status(308, "Location: http://elsewhere.example.net/v1/metrics"), "redirects are not followed",
                "elsewhere.example.net")
    yield final(faults.status(507, words=b""), "answered 507", "its own log may say why")
    yield final(faults.big_answer(), "larger than 4 MiB")
    yield final(faults.bomb(), "larger than 4 MiB")
    yield final(faults.answer("garbage protobuf", 200, bytes(range(255, 0, -1)), accepts=True), "not in OTLP")
    yield final(faults.answer("a web page", 200, b"<!DOCTYPE html>", accepts=True, content_type="text/html"),
                "not in OTLP", "is this an OTLP/HTTP endpoint?")
    yield final(faults.torn_answer(), "quiet until it is back")
    yield final(faults.stall(), "no whole answer in time", "OTEL_EXPORTER_OTLP_TIMEOUT")
    yield final(faults.trickle(0.1, 4.0), "no whole answer in time", "OTEL_EXPORTER_OTLP_TIMEOUT")
    yield quiet(faults.trickle(0.02, 0.6))
    yield final(faults.partial(3, "three points were bad"), "dropped 3 points", "three points were bad")
    yield final(faults.partial(0, "deprecated names"), "deprecated names")
    yield quiet(faults.partial(0, ""))


def tls():
    yield final(faults.certificate("expired"), "expired")
    yield final(faults.certificate("wrong-host"), "127.0.0.1")
    yield final(faults.certificate("self-signed"), "self-signed", "OTEL_EXPORTER_OTLP_CERTIFICATE")
    yield retried(faults.status(503))


def outages():
    """Exports that fail one after the other are one outage."""
    yield Case("refused for a while", faults.refuse(4.0), says=("127.0.0.1", "Connection refused", "OTEL_EXPORTER_OTLP_ENDPOINT"))
    yield final_in_a_row(faults.status(503), 6, "answered 503")
    yield final_in_a_row(faults.status(500), 4, "answered 500")


def final_in_a_row(step, count, *says):
    return Case(f"{step}, {count} times", *[step] * count, says=says, exports=3)


# --- the end of the agent

class Ending(threading.Thread):
    """SIGTERM while the collector does @step: how long until the agent is gone."""

    # What may take so long: name, the step for ever, variables, least and most seconds, is the last export delivered?
    CASES = [
        ("answers", faults.OK, {}, 0.0, 1.0, True),
        ("nobody listens", faults.refuse(600.0), {}, 0.0, 3.0, False),
        ("stalls", faults.stall(), {}, 2.9, 4.0, False),
        ("stalls, with a short export timeout", faults.stall(), {"OTEL_METRIC_EXPORT_TIMEOUT": 700}, 0.6, 1.7, False),
        ("resets", faults.reset("before"), {}, 0.0, 4.0, False),
        ("Retry-After: 3600", faults.status(503, "Retry-After: 3600"), {}, 0.0, 1.0, False),
        ("503", faults.status(503), {}, 0.0, 4.0, False),
        ("trickles", faults.trickle(0.4, 60.0), {"OTEL_METRIC_EXPORT_TIMEOUT": 3500}, 3.4, 4.5, False),
    ]

    def __init__(self, cases, directory, binary):
        super().__init__()
        self.cases = cases
        self.directory = directory
        self.binary = binary
        self.results = Results()

    def run(self):
        for case in self.cases:
            try:
                self._one(Ending.CASES.index(case), *case)
            except Exception as error:  # one failed check
                self.results.ok(f"end: {case[0]}", False, f"{type(error).__name__}: {error}")

    def _one(self, number, name, step, variables, least_s, most_s, delivered):
        name = f"SIGTERM, and the collector {name}"
        with faults.Collector() as collector, Fired(self.binary, f"ending-{number}") as fired, \
                Agent(self.directory, OTEL_EXPORTER_OTLP_ENDPOINT=collector.otlp, no_proxy="*", **variables) as agent:
            # The interval is long: what follows is the last export, and nothing is under way before it.
            agent.wait_attached(fired.pid, self.binary)
            fired.fire(EVENTS)
            if step.door_s:
                collector.play(step)
            else:
                collector.default = step
            time.sleep(0.1)
            status = agent.stop(30.0)
            self.results.equal(f"{name}: status 0", status, 0)
            self.results.ok(f"{name}: gone in {least_s:g} to {most_s:g} s",
                            least_s <= agent.stop_s <= most_s + SLACK_S, f"{agent.stop_s:.2f} s")
            seen = totals(collector.accepted()[-1:], fired.service) if delivered else None
            if delivered:
                self.results.equal(f"{name}: the last export has all", seen, (EVENTS,) * 3)
            warned = [line for line in agent.warnings() if "export to" in line]
            self.results.equal(f"{name}: warnings", len(warned), 0 if delivered else 1)


def second_signal(results, directory, binary):
    """Whoever sends a second signal is not kept waiting, whatever the first one has begun."""
    for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)):
        with faults.Collector(default=faults.stall()) as collector, \
                Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=collector.otlp, no_proxy="*") as agent:
            agent.wait_ready("the agent has started", lambda: "kernel:" in agent.output())
            time.sleep(0.5)
            agent.signal(first)
            wait_until("the last export is under way", lambda: collector.records)
            asked = time.monotonic()
            agent.signal(second)
            status = agent.wait(10.0)
            took = time.monotonic() - asked
            name = f"{first.name}, then {second.name}"
            results.equal(f"{name}: ended by it", status, -second)
            results.ok(f"{name}: at once", took < 1.0, f"{took:.2f} s")


def tell(checks, title, results):
    print(f"-- {title}", flush=True)
    for row in results.rows:
        checks.ok(*row)


def main():
    checks = Checks("collector faults")
    wanted = sys.argv[1:]
    with scratch("faults") as directory:
        binary = build_fired(directory)
        authority = Authority(directory)
        short = {"OTEL_METRIC_EXPORT_TIMEOUT": 700, "OTEL_EXPORTER_OTLP_TIMEOUT": 700}
        groups = [
            Group("http, tried again", http_retried(), directory, binary),
            Group("http, given up", http_given_up(), directory, binary),
            Group("http, final", http_final(), directory, binary, OTEL_EXPORTER_OTLP_COMPRESSION="gzip"),
            Group("https", tls(), directory, binary, authority=authority),
            Group("outages", outages(), directory, binary, **short),
        ]
        groups = [group for group in groups if not wanted or group.title in wanted]
        for group in groups:
            group.start()
        for group in groups:
            group.join()
            tell(checks, group.title, group.results)
        if not wanted or "end" in wanted:
            endings = [Ending(Ending.CASES[part::2], directory, binary) for part in range(2)]
            for ending in endings:
                ending.start()
            results = Results()
            with checks.run("second signal"):
                second_signal(results, directory, binary)
            tell(checks, "second signal", results)
            for ending in endings:
                ending.join()
                tell(checks, "the end of the agent", ending.results)
    checks.exit()


if __name__ == "__main__":
    main()
