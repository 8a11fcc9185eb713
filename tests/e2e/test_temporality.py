#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Delta and exponential histograms, with the real agent and a receiver that adds up what it takes.

Whatever the collector does, what it acknowledged is what was fired: through refused connections, refusals and stalls,
and at the end. The agent is the one built with sanitizers and with an assertion of the data model's rules before each
export. VictoriaMetrics drops deltas, so the receiver is our own.
"""
import collections
import contextlib
import math
import os
import re
import subprocess
import sys
import time

import capture
import otlp
from agent import Agent, Fired, build_fired, clean_environment, own_name
from capture import Server
from checks import Checks
from process import BUILD, ROOT, Failed, scratch, wait_until

CHECKED = BUILD / "unit" / "probemeter"
INTERVAL_MS = 1000  # also what an answer may take, before it counts as lost
LARGE = 1 << 20
COUNTERS = ("e2e.fired.total", "e2e.bare.total")


def settings(server, **variables):
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": server.otlp, "OTEL_METRIC_EXPORT_INTERVAL": INTERVAL_MS,
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
            # LeakSanitizer stops the process with ptrace, which not every host allows.
            "ASAN_OPTIONS": "detect_leaks=0", **variables}


class Ledger(Server):
    """Adds up the deltas of one service that it has acknowledged, and notes what breaks a rule of delta streams.

    Requests are answered first and read later, by whoever asks for sums: a slow answer would be a lost one.
    """

    def __init__(self, service=None):
        super().__init__()
        self.service = service
        self.sums = collections.Counter()  # by metric and labels
        self.sizes = collections.Counter()  # sums of histograms
        self.buckets = collections.Counter()  # over all histograms
        self.levels = {}
        self.ends = {}
        self.unanswered = 0  # as the agent says
        self.refuse = None  # an answer for one large request, once
        self.complaints = []
        self.unread = []  # (request, acknowledged?)

    def accept(self, request):
        answer = super().accept(request)
        if self.refuse and len(request.body) > LARGE:
            answer, self.refuse = self.refuse, None
        self.unread.append((request, answer.code == 200 and not answer.drop and not answer.torn))
        return answer

    def read(self):
        while self.unread:
            request, done = self.unread.pop(0)
            # Other services of this host are none of this test's business, and may be many.
            message = request.message()
            for index in reversed(range(len(message.resource_metrics))):
                name = otlp.attributes(message.resource_metrics[index].resource.attributes).get("service.name")
                if name not in (self.service, "probemeter"):
                    del message.resource_metrics[index]
            self.complaints += otlp.complaints(message) if message.resource_metrics else []
            for point in otlp.points(message):
                self._add(point, done)

    def _add(self, point, done):
        key = point.name, tuple(sorted(point.labels.items()))
        if point.service != self.service:
            self.unanswered += point.value if done and point.name == "probemeter.agent.points.unanswered" else 0
        elif point.name == "e2e.level":
            self.levels[key] = point.value, point.data.aggregation_temporality
        elif done:
            self._take(key, point)

    def _take(self, key, point):
        at = point.point
        if point.data.aggregation_temporality != otlp.DELTA:
            self.complaints.append(f"{key}: not a delta")
        if at.start_time_unix_nano >= at.time_unix_nano:
            self.complaints.append(f"{key}: a delta over no time")
        if key in self.ends and at.start_time_unix_nano != self.ends[key]:
            self.complaints.append(f"{key}: a gap of {at.start_time_unix_nano - self.ends[key]} ns")
        if not point.value and (key in self.ends or point.name != "e2e.bare.total"):
            self.complaints.append(f"{key}: a delta of nothing")
        self.ends[key] = at.time_unix_nano
        self.sums[key] += point.value
        if point.kind == "histogram":
            self.sizes[key] += at.sum
            self.buckets.update(dict(enumerate(at.bucket_counts)))

    def total(self, name):
        self.read()
        return sum(value for (metric, _), value in self.sums.items() if metric == name)

    def totals(self):
        return tuple(self.total(name) for name in (*COUNTERS, "e2e.size"))


def wait_taken(ledger, want, timeout_s=20.0):
    """Wait until all of @want has been acknowledged, and return what was."""
    try:
        wait_until(f"{want} events acknowledged", lambda: ledger.totals() == (want,) * 3, timeout_s)
    except Failed:
        pass
    return ledger.totals()


def delta_through_outages(checks, directory, binary):
    """Fires on through every way in which a collector can fail. Where it is certain that nothing arrived the sum is
    exact at once; where an answer was lost, what the collector acknowledged is still each event once."""
    with Ledger() as server, Fired(binary, "delta") as service, \
            Agent(directory, binary=CHECKED, **settings(server)) as agent:
        server.service = service.service
        agent.wait_attached(service.pid, binary, 60.0)
        service.fire(100)
        checks.equal("before any outage, all is acknowledged", wait_taken(server, 100), (100,) * 3)

        def outage(name, begin, end, exports=3):
            begin()
            for _ in range(exports):
                service.fire(50)
                time.sleep(INTERVAL_MS / 1000)
            held = server.totals()
            end()
            checks.ok(f"{name}: not all of it was acknowledged while it lasted", held != (service.total,) * 3, held)
            checks.equal(f"{name}: then all of it is, each event once", wait_taken(server, service.total),
                         (service.total,) * 3)

        def answer(what):
            def change():
                server.answer = what
            return change

        outage("refused connections", server.close_door, server.open_door)
        outage("503", answer(capture.status(503)), answer(capture.OK))
        outage("400", answer(capture.status(400)), answer(capture.OK))
        outage("hang up", answer(capture.DROP), answer(capture.OK))
        outage("a torn answer", answer(capture.TORN), answer(capture.OK))
        checks.ok("answers were lost, and that was logged",
                  any("may be counted twice" in line for line in agent.lines()), agent.tail())
        checks.ok("and counted", server.unanswered > 0)
        server.answer = capture.partial_success(3, "three of them")
        service.fire(70)
        checks.equal("a partial success is an acknowledgement", wait_taken(server, service.total), (service.total,) * 3)
        server.answer = capture.OK
        # Each event is one value of 100.
        checks.near("sum of the histogram's deltas", sum(server.sizes.values()), 100.0 * service.total, 1e-9)
        checks.equal("buckets of the histogram's deltas", server.buckets.total(), service.total)
        checks.equal("the level is cumulative", list(server.levels.values()), [(70, otlp.CUMULATIVE)])

        server.close_door()
        service.fire(11)
        time.sleep(3 * INTERVAL_MS / 1000)
        server.open_door()
        service.fire(12)
        checks.equal("the agent ends", agent.stop(), 0)
        checks.equal("the last export has what the outage before it kept", server.totals(), (service.total,) * 3)
        checks.equal("no rule was broken", server.complaints[:5], [])
        checks.ok("nothing failed an assertion or a sanitizer", not any(
            words in line for line in agent.lines() for words in ("Assertion", "Sanitizer", "runtime error")),
                  agent.tail())


def last_export_fails(checks, directory, binary):
    """A collector that is gone at the end: what is lost is said, and the agent ends all the same."""
    with Ledger() as server, Fired(binary, "delta-lost") as service, \
            Agent(directory, "--include", f"path:{binary}", binary=CHECKED,
                  **settings(server, OTEL_METRIC_EXPORT_TIMEOUT=3000)) as agent:
        server.service = service.service
        agent.wait_attached(service.pid, binary, 60.0)
        service.fire(10)
        checks.equal("acknowledged first", wait_taken(server, 10), (10,) * 3)
        server.close_door()
        service.fire(5)
        checks.equal("the agent ends", agent.stop(), 0)
        said = [line for line in agent.lines() if "is lost" in line]
        checks.equal("one line says what is lost", len(said), 1)
        lost = [int(number) for line in said for number in re.findall(r": (\d+) points were not acknowledged; ", line)]
        # The service's four series, and what the agent's own counters had to say.
        checks.ok(f"and how many points that are: {lost}", len(lost) == 1 and 4 < lost[0] <= 4 + 10, said)
        checks.equal("nothing is made up", server.totals(), (10,) * 3)


def index_by_definition(value, scale):
    """i with base^i < value <= base^(i+1), by frexp; not at a bound unless that is a power of two."""
    mantissa, exponent = math.frexp(value)
    if mantissa == 0.5:
        octave, within = exponent - 2, 1.0
    else:
        octave, within = exponent - 1, math.log2(2 * mantissa)
    if scale <= 0:
        return octave >> -scale
    return octave * 2**scale + math.ceil(within * 2**scale) - 1


def wide_export(checks, directory):
    """More than one request takes, in deltas: none is larger than 4 MiB, and one that is refused is all that comes
    again."""
    binary, service = build(directory, "wide", WIDE_C), own_name("wide")
    with Ledger(service) as server, recorder(binary, service) as child, \
            recorder(binary, own_name("wide-too")) as other, \
            Agent(directory, binary=CHECKED, **settings(server, OTEL_METRIC_EXPORT_INTERVAL=3000)) as agent:
        agent.wait_attached(child.pid, binary, 60.0)
        for turn, refusal in enumerate((None, capture.status(400), capture.status(503)), 1):
            mark, server.refuse = server.count(), refusal
            record(child, [])
            record(other, [])
            want = WIDE * turn, 2 * WIDE * turn

            def taken():
                return server.total("e2e.wide.one"), server.total("e2e.wide.two")

            with contextlib.suppress(Failed):
                wait_until("all of it acknowledged", lambda: taken() == want, 30.0)
            sizes = [len(request.body) for request in server.requests[mark:]]
            checks.equal(f"wide, turn {turn}: each event once", taken(), want)
            checks.ok(f"wide, turn {turn}: several requests, none larger than 4 MiB",
                      max(sizes) <= 4 << 20 and sum(size > LARGE for size in sizes) >= 2, sizes)
            checks.ok(f"wide, turn {turn}: what was to be refused was", server.refuse is None)
        checks.equal("wide: the agent ends", agent.stop(), 0)
        checks.equal("wide: no rule was broken", server.complaints[:5], [])


@contextlib.contextmanager
def recorder(binary, service):
    """A service that records what it is told."""
    with subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
                          env=clean_environment(OTEL_SERVICE_NAME=service)) as child:
        try:
            if child.stdout.readline() != "ready\n":
                raise Failed(f"{binary} did not start")
            yield child
        finally:
            child.kill()


def record(child, values):
    child.stdin.write("".join(f"{value.hex()}\n" for value in values) + "end\n")
    child.stdin.flush()
    child.stdout.readline()


def exponential(checks, directory, binary, values, preference, rounds=3):
    """Values over many octaves, of both signs and zero: every bucket holds what frexp says, at most 160 of them."""
    name, service = f"exponential, {preference}", own_name(f"exponential-{preference}")
    want, cumulative = rounds * len(values), preference == "cumulative"
    variables = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": preference,
                 "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram"}
    with Server() as server, Agent(directory, binary=CHECKED, **settings(server, **variables)) as agent, \
            recorder(binary, service) as child:
        def points(metric):
            """What adds up to all: every delta, or the last total."""
            found = [p for r in list(server.requests) for p in r.points() if p.service == service and p.name == metric]
            return found[-1:] if cumulative else found

        def complete():
            return all(sum(p.value for p in points(metric)) == want for metric in ("e2e.spread", "e2e.declared"))

        agent.wait_attached(child.pid, binary, 60.0)
        for _ in range(rounds):
            record(child, values)
            time.sleep(1.5 * INTERVAL_MS / 1000)
        with contextlib.suppress(Failed):
            wait_until(f"{want} values", complete, 20.0)
        checks.ok(f"{name}: count", complete(), points("e2e.spread"))
        checks.equal(f"{name}: the agent ends", agent.stop(), 0)
        check_buckets(checks, name, points("e2e.spread"), values * rounds)
        check_declared(checks, name, points("e2e.declared"), values * rounds)
        broken = [text for request in server.requests for text in otlp.complaints(request.message())]
        checks.equal(f"{name}: no rule was broken", broken[:5], [])


def check_buckets(checks, name, points, values):
    """The buckets of @points, brought to the coarsest scale among them, are those of @values."""
    scale = min(p.point.scale for p in points)
    got = {1: collections.Counter(), -1: collections.Counter()}
    for at in (p.point for p in points):
        for sign, side in ((1, at.positive), (-1, at.negative)):
            for i, count in enumerate(side.bucket_counts):
                got[sign][side.offset + i >> at.scale - scale] += count
    most = max(len(p.point.positive.bucket_counts) + len(p.point.negative.bucket_counts) for p in points)
    checks.ok(f"{name}: {most} buckets are at most 160", most <= 160)
    checks.equal(f"{name}: the scale is the largest that does", scale, best_scale(values))
    checks.equal(f"{name}: zeros", sum(p.point.zero_count for p in points), values.count(0.0))
    for sign, word in ((1, "positive"), (-1, "negative")):
        expected = collections.Counter(index_by_definition(abs(v), scale) for v in values if v * sign > 0)
        checks.equal(f"{name}: buckets of {word} values", {i: n for i, n in got[sign].items() if n}, dict(expected))


def check_declared(checks, name, points, values):
    bounds = [-1.0, 0.0, 0.5, 100.0]
    checks.ok(f"{name}: declared bounds stay explicit", points and all(
        p.kind == "histogram" and list(p.point.explicit_bounds) == bounds for p in points))
    below = [sum(v <= bound for v in values) for bound in bounds] + [len(values)]
    checks.equal(f"{name}: and exact", [sum(column) for column in zip(*(p.point.bucket_counts for p in points))],
                 [b - a for a, b in zip([0, *below], below)])


def best_scale(values):
    for scale in range(3, -11, -1):
        width = 0
        for sign in (1, -1):
            indices = [index_by_definition(abs(v), scale) for v in values if v * sign > 0]
            width += max(indices) - min(indices) + 1 if indices else 0
        if width <= 160:
            return scale
    return None


VALUES_C = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <probemeter/probemeter.h>

PROBEMETER_HISTOGRAM(e2e_spread, "e2e.spread", "1", "Values as they come")
PROBEMETER_HISTOGRAM_BOUNDS(e2e_declared, "e2e.declared", "1", "The same", (-1, 0, 0.5, 100))

int main(void)
{
	char line[128];

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "end\n")) {
			puts("done");
			continue;
		}
		PROBEMETER_RECORD(e2e_spread, strtod(line, NULL));
		PROBEMETER_RECORD(e2e_declared, strtod(line, NULL));
	}
	return 0;
}
"""


# Two counters whose four labels are as long as labels may be: about 2 KiB per point. One service has room for 4 MiB of
# them, so two fire.
WIDE = 900
WIDE_C = r"""
#include <stdio.h>
#include <string.h>
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(e2e_wide_one, "e2e.wide.one", "1", "Ones", "a", "b", "c", "d")
PROBEMETER_COUNTER(e2e_wide_two, "e2e.wide.two", "1", "Twos", "a", "b", "c", "d")

int main(void)
{
	char line[128], label[512];
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		for (i = 0; i < WIDE; i++) {
			memset(label, 'x', 511);
			label[511] = 0;
			snprintf(line, sizeof(line), "%04d", i);
			memcpy(label, line, 4);
			PROBEMETER_ADD(e2e_wide_one, 1, label, label, label, label);
			PROBEMETER_ADD(e2e_wide_two, 2, label, label, label, label);
		}
		puts("done");
	}
	return 0;
}
"""


def build(directory, name, text):
    source, path = directory / f"{name}.c", directory / name
    source.write_text(text)
    subprocess.run([os.environ.get("CC", "cc"), "-O2", f"-DWIDE={WIDE}", f"-I{ROOT}/include", source, "-o", path],
                   check=True)
    return path


def main():
    checks = Checks("temporality")
    with scratch("temporality") as directory:
        binary = build_fired(directory)
        with checks.run("delta"):
            delta_through_outages(checks, directory, binary)
        with checks.run("the last export"):
            last_export_fails(checks, directory, binary)
        with checks.run("larger than a request"):
            wide_export(checks, directory)
        values = build(directory, "values", VALUES_C)
        narrow = [1.0, 1.5, 2.0, 2.0000001, 3.0, 4.0, 1000.0, 1024.0, 0.001]
        wide = [*narrow, 0.0, -1.0, -3.0, -1e-9, 1e-300, 1e300, 2.0**-1022, 7e-200]
        with checks.run("exponential, cumulative"):
            exponential(checks, directory, values, wide, "cumulative")
        with checks.run("exponential, lowmemory"):
            exponential(checks, directory, values, narrow, "lowmemory")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
