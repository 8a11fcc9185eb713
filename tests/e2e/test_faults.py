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
import grpc_faults as grpc
from agent import Agent, Fired, build_fired, totals
from checks import Checks
from h2.errors import ErrorCodes
from process import PATIENCE, Failed, scratch, wait_until

INTERVAL_MS = 500
EVENTS = 7  # fired per case, in the middle of the fault
SLACK_S = 1.5 * PATIENCE  # how late a busy machine may be
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


def retried(step, *says, **more):
    """Tried again, and delivered then; the first failure is told."""
    return Case(str(step), step, again=True, says=("trying again", *says), **more)


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

    def __init__(self, title, cases, directory, binary, grpc=False, tls=None, early=False,
                 **variables):
        super().__init__()
        self.title = title
        self.cases = cases
        self.directory = directory
        self.binary = binary
        self.early = early
        self.collector = faults.Collector(grpc=grpc, tls=tls)
        self.variables = {"OTEL_METRIC_EXPORT_INTERVAL": INTERVAL_MS, "OTEL_METRIC_EXPORT_TIMEOUT": 20000,
                          "OTEL_EXPORTER_OTLP_TIMEOUT": 1500, "no_proxy": "*", **variables}
        if grpc:
            self.variables.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        if tls:
            self.variables.setdefault("OTEL_EXPORTER_OTLP_CERTIFICATE", tls.authority.cert)
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
            if not self.early:  # else the first export meets the first case
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
                wait_until("the fault is met", lambda: any(r.step is met[0] for r in self.collector.records[since:]), 30.0)
            self.fired.fire(EVENTS)
            self.collector.wait_played()
            self._wait_totals(since, 40.0)
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
    yield from (retried(faults.status(code), f"answered {code}") for code in (429, 502, 503, 504))
    yield from (retried(faults.reset(where)) for where in ("before", "body", "after"))
    yield Case("refused", faults.refuse(3.0), says=("Connection refused", "OTEL_EXPORTER_OTLP_ENDPOINT"))


def http_told_when():
    yield retried(faults.status(503, "Retry-After: 2"), "answered 503", gaps=[(2.0, 2.2)])
    yield retried(faults.status_retry_date(429, 2), "answered 429", gaps=[(2.0, 3.2)])
    yield Case("503 three times", *[faults.status(503) for _ in range(3)], again=True, says=("answered 503",))


def http_given_up():
    yield Case("503 for ever", *[faults.status(503) for _ in range(5)], again=True, gives_up=True,
               says=("answered 503", REFUSED))


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
    yield quiet(faults.trickle(0.02, 0.2))
    yield final(faults.partial(3, "three points were bad"), "dropped 3 points", "three points were bad")
    yield final(faults.partial(0, "deprecated names"), "deprecated names")
    yield quiet(faults.partial(0, ""))


def tls_connections():
    """A connection that was kept, and is lost."""
    yield from (retried(faults.reset(where)) for where in ("before", "body", "after"))


def certificates():
    yield final(faults.certificate("expired"), "expired")
    yield final(faults.certificate("wrong-host"), "127.0.0.1")
    yield final(faults.certificate("self-signed"), "self-signed", "OTEL_EXPORTER_OTLP_CERTIFICATE")


def outages():
    """Exports that fail one after the other are one outage."""
    yield Case("refused for a while", faults.refuse(4.0),
               says=("127.0.0.1", "Connection refused", "OTEL_EXPORTER_OTLP_ENDPOINT"))
    yield final_in_a_row(faults.status(503), 6, "answered 503")
    yield final_in_a_row(faults.status(500), 4, "answered 500")


def grpc_retried_codes():
    for code, name in ((grpc.CANCELLED, "CANCELLED"), (grpc.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
                       (grpc.ABORTED, "ABORTED"), (grpc.OUT_OF_RANGE, "OUT_OF_RANGE"),
                       (grpc.UNAVAILABLE, "UNAVAILABLE"), (grpc.DATA_LOSS, "DATA_LOSS")):
        yield retried(grpc.status(code), name, REFUSED)
    yield retried(grpc.status(grpc.UNAVAILABLE, alone=False), "UNAVAILABLE", REFUSED)


def grpc_retried_otherwise():
    yield retried(grpc.status(grpc.RESOURCE_EXHAUSTED, retry_s=1.0), "RESOURCE_EXHAUSTED", gaps=[(1.0, 1.2)])
    yield retried(grpc.status(grpc.UNAVAILABLE, retry_s=1.2, alone=False), "UNAVAILABLE", gaps=[(1.2, 1.4)])
    yield retried(grpc.http_status(503))
    yield from (retried(faults.reset(where)) for where in ("before", "body", "after"))
    yield retried(grpc.away())
    yield Case("refused", faults.refuse(3.0), says=("Connection refused", "OTEL_EXPORTER_OTLP_ENDPOINT"))


def grpc_final():
    for code, name, remedy in ((grpc.UNKNOWN, "UNKNOWN", ""), (grpc.INVALID_ARGUMENT, "INVALID_ARGUMENT", ""),
                               (grpc.NOT_FOUND, "NOT_FOUND", ""), (grpc.INTERNAL, "INTERNAL", ""),
                               (grpc.PERMISSION_DENIED, "PERMISSION_DENIED", "OTEL_EXPORTER_OTLP_HEADERS"),
                               (grpc.RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", ""),
                               (grpc.FAILED_PRECONDITION, "FAILED_PRECONDITION", ""),
                               (grpc.UNIMPLEMENTED, "UNIMPLEMENTED", "OTEL_EXPORTER_OTLP_PROTOCOL"),
                               (grpc.UNAUTHENTICATED, "UNAUTHENTICATED", "OTEL_EXPORTER_OTLP_HEADERS")):
        yield final(grpc.status(code), name, REFUSED, remedy)
    yield final(grpc.http_status(404))
    yield final(grpc.no_status(), "is this an OTLP/gRPC endpoint?")
    yield final(grpc.ends_without_trailers(), "is this an OTLP/gRPC endpoint?")
    yield final(grpc.garbage_protobuf(), "is this an OTLP/gRPC endpoint?")
    yield final(grpc.short_message(), "is this an OTLP/gRPC endpoint?")
    yield final(grpc.bomb())
    yield final(faults.stall(), "no whole answer in time", "OTEL_EXPORTER_OTLP_TIMEOUT")
    yield final(grpc.trickle(0.1, 4.0), "no whole answer in time", "OTEL_EXPORTER_OTLP_TIMEOUT")
    yield quiet(grpc.trickle(0.02, 0.2))
    yield final(grpc.partial(3, "three points were bad"), "dropped 3 points", "three points were bad")
    yield final(grpc.partial(0, "deprecated names"), "deprecated names")
    yield quiet(grpc.partial(0, ""))


def grpc_odd():
    """What no collector does on purpose."""
    yield final(grpc.big_answer(), "larger than 4 MiB")
    yield retried(grpc.truncated_trailers())
    yield retried(grpc.garbage_http2())
    yield retried(grpc.garbage_frames())
    yield retried(grpc.cancel(ErrorCodes.REFUSED_STREAM))
    yield retried(grpc.cancel(ErrorCodes.CANCEL))
    yield final(grpc.cancel(ErrorCodes.PROTOCOL_ERROR))


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
        ("says Retry-After: 3600", faults.status(503, "Retry-After: 3600"), {}, 0.0, 1.0, False),
        ("503", faults.status(503), {}, 0.0, 4.0, False),
        ("trickles", faults.trickle(0.4, 60.0), {"OTEL_METRIC_EXPORT_TIMEOUT": 3500}, 3.4, 4.5, False),
    ]

    def __init__(self, cases, directory, binary):
        super().__init__()
        self.title = "the end of the agent"
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
                Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=collector.otlp, no_proxy="*",
                      OTEL_METRIC_EXPORT_INTERVAL=600000) as agent:  # so that the one export that is seen is the last
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
            results.ok(f"{name}: long before the collector is given up", took < 2.0, f"{took:.2f} s")


def left_alone(results, directory, binary):
    """A collector that asks for an hour gets it, over all exports but the last."""
    with faults.Collector() as collector, Fired(binary, "left-alone") as fired, \
            Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=collector.otlp, OTEL_METRIC_EXPORT_INTERVAL=INTERVAL_MS,
                  no_proxy="*") as agent:
        agent.wait_attached(fired.pid, binary)
        collector.play(faults.status(503, "Retry-After: 3600"))
        collector.wait_played()
        count = len(collector.records)
        fired.fire(EVENTS)
        time.sleep(6 * INTERVAL_MS / 1000)
        results.equal("asked for an hour: nothing is sent meanwhile", len(collector.records), count)
        results.equal("asked for an hour: status 0", agent.stop(), 0)
        results.equal("asked for an hour: the last export is sent, and has all",
                      totals(collector.accepted()[-1:], fired.service), (EVENTS,) * 3)
        warned = [line for line in agent.warnings() if "export to" in line]
        results.ok("asked for an hour: one warning", len(warned) == 1 and "answered 503" in warned[0], warned)


def tell(checks, title, results):
    print(f"-- {title}", flush=True)
    for row in results.rows:
        checks.ok(*row)


def main():
    checks = Checks("collector faults")
    wanted = sys.argv[1:]
    with scratch("faults") as directory:
        binary = build_fired(directory)
        tls = faults.Certificates(directory)
        # Every try belongs within the interval of its export.
        long, longer, longest = ({"OTEL_METRIC_EXPORT_INTERVAL": ms} for ms in (2500, 8000, 14000))
        groups = [
            Group("http, given up", http_given_up(), directory, binary, early=True, **longest),
            Group("http, told when", http_told_when(), directory, binary, early=True, **longer),
            Group("http, tried again", http_retried(), directory, binary, **long),
            Group("http, final", http_final(), directory, binary, OTEL_EXPORTER_OTLP_COMPRESSION="gzip"),
            Group("https, certificates", certificates(), directory, binary, tls=tls),
            Group("https", tls_connections(), directory, binary, tls=tls, **long),
            Group("outages", outages(), directory, binary),
            Group("grpc, codes tried again", grpc_retried_codes(), directory, binary, grpc=True, **long),
            Group("grpc, tried again", grpc_retried_otherwise(), directory, binary, grpc=True, **long,
                  OTEL_EXPORTER_OTLP_COMPRESSION="gzip"),
            Group("grpc, odd", grpc_odd(), directory, binary, grpc=True, **long),
            Group("grpc, final", grpc_final(), directory, binary, grpc=True),
            Group("grpc, certificates", certificates(), directory, binary, grpc=True, tls=tls),
            Group("grpc, tls", tls_connections(), directory, binary, grpc=True, tls=tls, **long),
        ]
        groups = [group for group in groups if not wanted or group.title in wanted]
        if not wanted or "end" in wanted:
            groups += [Ending(Ending.CASES[part::2], directory, binary) for part in range(2)]
        for group in groups:
            group.start()
        if not wanted or "end" in wanted:
            for part in (second_signal, left_alone):
                results = Results()
                with checks.run(part.__doc__):
                    part(results, directory, binary)
                tell(checks, part.__name__, results)
        for group in groups:
            group.join()
            tell(checks, group.title, group.results)
    checks.exit()


if __name__ == "__main__":
    main()
