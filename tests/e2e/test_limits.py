#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Limits that hold, and views: past a limit every event counts in an overflow series, who comes near one is named before,
a flood takes nothing from a neighbour, and what is left out by --drop-label and --drop-metric leaves the rest exact. Every
reason for which an event is dropped is reached here.

The load is build/services/crowd. FLOOD=N floods with N label sets in place of 300,000; `make soak-flood` does that with ten million.
"""
import contextlib
import os
import re
import signal
import statistics
import sys

import capture
import elf
import otlp
from agent import Agent, run_to_end
from checks import Checks
from documented import table
from driven import Driven, drops, series, snapshot_after, steps_back, total, values, wait_attached
from process import BUILD, in_own_pid_namespace, scratch, strangers, wait_until
from test_memory import memlock  # what the kernel says of a process's maps

PROGRAM = BUILD / "services" / "crowd"
FLOOD = int(os.environ.get("FLOOD", "300000"))
ROUNDS = 25  # of paces, with and without a flood beside them
PACE = 15000


def start(directory, server, *arguments):
    return Agent(directory, *map(str, arguments), OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=500)


def n_of(metric, n):
    """What one firing of label set @n adds to the total of @metric."""
    return 1 + n % 3 if metric == "crowd.count" else 1


def exact(checks, name, request, service, first, count, times):
    """Over all series, overflow included."""
    for metric in ("crowd.count", "crowd.time", "crowd.size"):
        checks.equal(f"{name}: {metric}: the total is exact", total(request, service, metric),
                     times * sum(n_of(metric, n) for n in range(first, first + count)))


def said(agent, service):
    return [line for line in agent.lines() if "labels with most values" in line and f"'{service}'" in line]


def cardinality(checks, directory):
    """Series of one metric in one service: warned of at 80 %, once, and then the overflow."""
    with capture.Server() as server, Driven("crowd", "limits-cardinality") as one, \
            start(directory, server, "--cardinality-limit", 50) as agent:
        one.answer()
        wait_attached(agent, one)
        one.ask("sets 0 38 1")
        snapshot_after(server)
        checks.equal("39 of 50 series, with the overflow: no warning", said(agent, one.service), [])
        one.ask("sets 38 1 1")
        request = snapshot_after(server)
        checks.equal("40 of 50: no overflow yet", values(request, one.service, "crowd.count").get("overflow"), None)
        lines = wait_until("a warning", lambda: said(agent, one.service))
        want = "'crowd.count': 40 of at most 50 series (--cardinality-limit)"
        mine = [line for line in lines if want in line]
        checks.equal("40 of 50: one warning of the metric, with its labels", [line[line.index("labels with"):] for line in mine],
                     ["labels with most values: user (39 values), route (7 values), method (2 values)"])
        one.ask("sets 0 100 2")
        request = snapshot_after(server)
        snapshot_after(server)
        found = values(request, one.service, "crowd.count")
        checks.equal("past the limit: 49 series and the overflow", (len(found), "overflow" in found), (50, True))
        checks.equal("past the limit: the overflow holds what the others lack", found.pop("overflow", None),
                     2 * sum(n_of("crowd.count", n) for n in range(49, 100)))
        checks.equal("no warning is repeated", len([line for line in said(agent, one.service) if "'crowd.count':" in line]), 1)
        checks.equal("nothing is dropped", drops(request, "crowd."), {})
        checks.equal("ends with status 0", agent.stop(), 0)


def levels(checks, directory):
    """Label sets of levels: in the table of one process, and over all processes of a service."""
    with capture.Server() as server, Driven("crowd", "limits-levels") as one, Driven("crowd", "limits-levels") as two, \
            Driven("crowd", "limits-levels") as three, start(directory, server) as agent:
        for service in (one, two, three):
            service.answer()
        wait_attached(agent, one)

        def lines(words):
            snapshot_after(server)
            snapshot_after(server)
            return [line for line in said(agent, one.service) if words in line]

        one.ask("sets 0 525 1")  # of each of three metrics, and one more
        checks.equal("1,576 of 1,984 label sets in a process: no warning", lines("the levels of"), [])
        one.ask("sets 525 5 1")
        checks.equal("1,591: a warning, with the metric's labels", [line[line.index("have"):] for line in lines("the levels of")],
                     [f"have 1591 of at most 1984 label sets in process {one.pid}, most of them this metric's; past that new label sets "
                      "count in overflow series; labels with most values: user (530 values), route (7 values)"])
        two.ask("sets 530 530 1")
        checks.equal("1,060 of 2,000 series over two processes: no warning", lines("of this level over all processes"), [])
        three.ask("sets 1060 540 1")
        found = lines("of this level over all processes")
        for metric, labels in (("crowd.open", "user (1600 values), route (7 values)"), ("crowd.gauge", "user (1600 values)"),
                               ("crowd.latest", "user (1600 values), route (7 values)")):
            mine = [line[line.index(metric):] for line in found if f"'{metric}'" in line]
            checks.equal(f"1,600 over three: a warning of {metric}", mine, [
                f"{metric}': 1601 of at most 2000 series of this level over all processes; past that new label sets count in overflow "
                f"series; labels with most values: {labels}"])
        checks.equal("and one of the tables, as before", len(lines("the levels of")), 1)
        checks.equal("no overflow yet", [key for key in series(snapshot_after(server), one.service) if key[1] == "overflow" and
                                         key[0] in ("crowd.open", "crowd.latest", "crowd.gauge")], [])
        checks.equal("ends with status 0", agent.stop(), 0)


def shares(checks, directory):
    """Series, cells and label bytes of one service, and those of the host: whatever runs out, all is counted."""
    rows = (
        ("series of a service", ("--max-service-series", 60, "--cardinality-limit", 50), "--max-service-series"),
        ("cells of a service", ("--max-service-cells", 64, "--max-cells", 4096), "--max-service-cells"),
        ("label bytes of a service", ("--max-service-label-bytes", 8192), "--max-service-label-bytes"),
        ("series of the host", ("--max-series", 100, "--max-service-series", 100, "--cardinality-limit", 90), "--max-series"),
        ("cells of the host", ("--max-cells", 1024, "--max-service-cells", 1024), "--max-cells"),
        ("label bytes of the host", ("--max-label-bytes", 8192, "--max-service-label-bytes", 8192), "--max-label-bytes"),
    )
    for name, arguments, flag in rows:
        with checks.run(name), capture.Server() as server, Driven("crowd", "limits-share") as one, \
                Driven("crowd", "limits-beside") as beside, start(directory, server, *arguments) as agent:
            for service in (one, beside):
                service.answer()
            wait_attached(agent, one, beside)
            one.ask("sets 0 300 2")
            beside.ask("sets 0 5 3")
            request = snapshot_after(server)
            exact(checks, name, request, one.service, 0, 300, 2)
            exact(checks, f"{name}: beside it", request, beside.service, 0, 5, 3)
            over = [key for key in series(request, one.service) if key[1] == "overflow"]
            checks.ok(f"{name}: {len(over)} overflow series", over, list(series(request, one.service))[:3])
            if "of a service" in name:
                checks.equal(f"{name}: beside it every label set has its name",
                             [key for key in series(request, beside.service) if key[1] == "overflow"], [])
            checks.ok(f"{name}: the warning names {flag}", wait_until("a warning", lambda agent=agent, one=one, flag=flag: [
                line for line in said(agent, one.service) if f"({flag})" in line]), agent.tail())
            checks.equal(f"{name}: nothing is dropped", drops(request, "crowd."), {})
            checks.equal(f"{name}: ends with status 0", agent.stop(), 0)


def memory(checks, directory):
    """A limit in bytes: said before the load, and held."""
    with capture.Server() as server, start(directory, server, "--max-memory", 24) as agent:
        agent.wait_ready("its memory is told", lambda: "its maps take" in agent.output())
        at_most = float(re.search(r"maps of at most ([\d.]+) MiB", agent.output())[1])
        checks.ok(f"--max-memory 24: at most {at_most} MiB is said before the load", 8 < at_most <= 24, at_most)
        checks.ok("--max-memory 24: the limits are printed before the load",
                  0 <= agent.output().find("limits: ") < agent.output().find("its maps take"), agent.output())
        taken = memlock(agent.pid) / (1 << 20)
        checks.ok(f"--max-memory 24: the kernel says {taken:.1f} MiB", 0 < taken <= 24, taken)
        checks.equal("--max-memory 24: ends with status 0", agent.stop(), 0)


def refused(checks, directory):
    """What does not fit together ends the start with status 2 and names the flags."""
    del directory
    rows = (
        (("--max-cells", 5000), "a power of two, such as 4096"),
        (("--max-cells", 1 << 24, "--max-memory", 1), "--max-memory 1: 16777216 cells"),
        (("--max-series", 100, "--max-service-series", 101), "--max-service-series 101: more than --max-series, which is 100"),
        (("--max-cells", 2048, "--max-service-cells", 4096), "--max-service-cells 4096: more than --max-cells, which is 2048"),
        (("--cardinality-limit", 90, "--max-service-series", 80),
         "--cardinality-limit 90: more than --max-service-series, which is 80"),
        (("--cardinality-limit", 1), "--cardinality-limit: expected series from 2"),
        (("--max-series", "many"), "--max-series: expected series from 64"),
        (("--max-memory", 0), "--max-memory: expected MiB from 1"),
        (("--drop-label", "nocolon"), "--drop-label: expected METRIC:LABEL, not 'nocolon'"),
        (("--drop-label", ":user"), "--drop-label: expected METRIC:LABEL"),
        (("--drop-metric", ""), "--drop-metric: expected"),
    )
    for arguments, words in rows:
        status, _, lines = run_to_end("run", "--exporter", "console", "--once", *arguments)
        checks.ok(f"{' '.join(map(str, arguments))}: status 2, and why", status == 2 and words in lines[-1], (status, lines))
        checks.ok(f"{' '.join(map(str, arguments))}: before anything loads", "maps take" not in "\n".join(lines), lines)


def left_of_histograms(request, service, fired):
    """{series: (got, expected)} of buckets and sums that are wrong. @fired: (label set, times)."""
    wrong = {}
    for (metric, labels), point in series(request, service).items():
        mine = [(n, times) for n, times in fired if labels == (f"route-{n % 7}",)]
        if metric == "crowd.size":
            want = [sum(times for n, times in mine if n % 3 == bucket) for bucket in range(3)]
            if list(point.point.bucket_counts) != want:
                wrong[metric, labels] = list(point.point.bucket_counts), want
        elif metric == "crowd.time":
            want = sum(times * 0.25 * (1 + n % 4) for n, times in mine)
            if abs(point.point.sum - want) > 1e-9 * want:
                wrong[metric, labels] = point.point.sum, want
    return wrong


def views(checks, directory):
    """--drop-label and --drop-metric. There are more users than series: what is left out makes none, not even in the kernel."""
    image = elf.Elf(PROGRAM)
    with capture.Server() as server, Driven("crowd", "limits-views") as one, Driven("crowd", "limits-views") as two, \
            Driven("crowd", "limits-views-many") as many, start(directory, server, "--drop-label", "crowd.*:user", "--drop-label", "crowd.count:meth*",
                  "--drop-metric", "crowd.unwanted*", "--cardinality-limit", 100) as agent:
        for service in (one, two, many):
            service.answer()
        agent.wait_ready("the agent has attached", lambda: f"attached: '{PROGRAM}'" in agent.output())
        agent.wait_ready("the counter's semaphore is up", lambda: elf.semaphores(one.pid, image)["crowd.count"])
        checks.ok("--drop-metric: sites of three metrics are attached", f"attached: '{PROGRAM}': 9 metrics, 3 sites" in agent.output(),
                  agent.output())
        if strangers():
            checks.skip("--drop-metric: the others' semaphores stay 0", "another agent of this host may be attached")
        else:
            found = elf.semaphores(one.pid, image)
            checks.equal("--drop-metric: the others' semaphores stay 0",
                         (found["crowd.unwanted"], found["crowd.unwanted.time"]), (0, 0))
        for service in (one, two):
            service.ask("sets 0 500 3")
        two.ask("sets 493 7 1")  # the latest of each route
        one.ask("negative")
        request = snapshot_after(server)
        fired = [(n, 6) for n in range(500)] + [(n, 1) for n in range(493, 500)]
        want = {"crowd.count": {}, "crowd.time": {}, "crowd.size": {}, "crowd.open": {}, "crowd.latest": {}}
        for n, times in fired:
            route = f"route-{n % 7}",
            for metric, to in want.items():
                to[route] = n if metric == "crowd.latest" else to.get(route, 0) + times * n_of(metric, n)
        for metric, wanted in want.items():
            checks.equal(f"--drop-label: {metric}: label sets that differ in nothing else are one, exactly",
                         values(request, one.service, metric), wanted)
        checks.equal("--drop-label: a gauge without its only label is the latest that was set",
                     values(request, one.service, "crowd.gauge"), {(): 499})
        # More than a process's own table has slots for: what is one series is whole, what is several keeps an overflow.
        many.ask("sets 0 2500 1")
        after = snapshot_after(server)
        checks.equal("--drop-label: a full table: a gauge that is one series", values(after, many.service, "crowd.gauge"), {(): 2499})
        found = values(after, many.service, "crowd.open")
        checks.ok("--drop-label: a full table: where another label is left, with an overflow, exactly",
                  sum(found.values()) == 2500 and "overflow" in found and len(found) == 8, found)
        checks.equal("--drop-label: buckets and sums of what is left", left_of_histograms(request, one.service, fired), {})
        checks.equal("--drop-metric: nothing of it is exported",
                     [key for key in series(request, one.service) if key[0].startswith("crowd.unwanted")], [])
        for words in ("metric 'crowd.unwanted' is not counted: --drop-metric crowd.unwanted*",
                      "metric 'crowd.unwanted.open' is not counted", "metric 'crowd.count' is counted without 'user' 'method'"):
            checks.equal(f"said once: {words}", agent.output().count(words), 1)
        checks.equal("what cannot be counted is dropped under its reason", drops(request, "crowd."),
                     {("negative", "crowd.count"): 1, ("not_finite", "crowd.time"): 1})
        checks.equal("the export keeps the rules", otlp.complaints(request.message()), [])
        checks.equal("no stream steps back", steps_back(server.requests, {one.service})[:5], [])
        checks.equal("ends with status 0", agent.stop(), 0)


def documented():
    """{reason: what the log has} of the table in operating.md, of events."""
    return dict(re.findall(r"^\| `([^`]+)` \| `probemeter.agent.events.dropped` \| ([^|]+) \|", table("drops"), re.M))


def reasons(checks, directory):
    """Every reason that operating.md names for events: reached, counted, in the log, and nothing else is lost."""
    reached = {}
    with capture.Server() as server, Driven("crowd", "limits-drops") as one, \
            start(directory, server, "--max-cells", 1024) as agent:
        one.answer()
        wait_attached(agent, one)
        one.ask("negative")
        one.ask("octaves 2000")
        lost = drops(snapshot_after(server), "crowd.")
        request = snapshot_after(server)
        checks.equal("no_cell: what is not exported is dropped under its name",
                     total(request, one.service, "crowd.time") + lost.get(("no_cell", "crowd.time"), 0), 2000)
        checks.ok("no_cell: some were", lost.get(("no_cell", "crowd.time"), 0) > 100, lost)
        log = agent.output()
        checks.equal("one line of the log for each", [len(re.findall(rf"metric '{metric}': \d+ [^(]*\({reason}\)", log))
                                                      for reason, metric in sorted(lost)], [1] * len(lost))
        reached.update({reason: (metric, log) for reason, metric in lost})
        checks.equal("no_cell: ends with status 0", agent.stop(), 0)
    with capture.Server() as server, contextlib.ExitStack() as stack, start(directory, server, "--max-services", 2) as agent:
        many = [stack.enter_context(Driven("crowd", f"limits-service-{number}")) for number in range(4)]
        for one in many:
            one.answer()
            wait_attached(agent, one)
        for one in many:
            one.ask("pace 1 100")
        request = snapshot_after(server)
        lost = drops(request, "crowd.")
        got = [total(request, one.service, "crowd.count") or 0 for one in many]
        checks.equal("no_service: what is not exported is dropped under its name",
                     sum(got) + lost.get(("no_service", "crowd.count"), 0), 400)
        checks.equal("no_service: those of two services", lost, {("no_service", "crowd.count"): 200})
        reached.update({reason: (metric, agent.output()) for reason, metric in lost})
        checks.equal("no_service: ends with status 0", agent.stop(), 0)
    rows = documented()
    checks.equal("every documented reason is reached, and no other one", sorted(reached), sorted(rows))
    for reason, (metric, log) in reached.items():
        checks.ok(f"{reason}: the log says so", re.search(rf"metric '{metric}': \d+ {rows.get(reason)} \({reason}\): ", log),
                  log[-600:])


def paced(one):
    return one.ask(f"pace 1 {PACE}")["ns"][0]


def flood(checks, directory):
    """A service that floods label sets takes nothing from its neighbour: not an event, not a series, not its time."""
    with capture.Server() as server, Driven("crowd", "limits-flood") as noisy, Driven("crowd", "limits-calm") as calm, \
            start(directory, server) as agent:
        for service in (noisy, calm):
            service.answer()
        wait_attached(agent, noisy, calm)
        calm.ask("sets 0 20 1")
        paced(calm)
        noisy.tell(f"flood {FLOOD}")
        # Pairs, one pace beside the flood and one while it holds still: what else goes on here is in both.
        beside, still = [], []
        for _ in range(ROUNDS):
            noisy.process.send_signal(signal.SIGSTOP)
            still.append(paced(calm))
            noisy.process.send_signal(signal.SIGCONT)
            beside.append(paced(calm))
        checks.equal("the flood has been fired", noisy.answer(600)["events"], FLOOD)
        calm.ask("sets 10 20 1")
        request = snapshot_after(server)
        found = values(request, noisy.service, "crowd.count")
        checks.equal(f"{FLOOD} label sets: exact in all", sum(found.values()), FLOOD)
        # Where the kernel had no memory at the moment for the names of some, which come once only, those are in the overflow.
        checks.ok(f"{FLOOD} label sets: {len(found)} series with the overflow, at most 2000", 1000 < len(found) <= 2000 and
                  "overflow" in found, len(found))
        mine = values(request, calm.service, "crowd.count")
        checks.equal("the neighbour's steady series is exact", mine.pop(("steady", "route-0", "GET"), None),
                     PACE * (2 * ROUNDS + 1))
        want = {(f"user-{n}", f"route-{n % 7}", ("GET", "PUT")[n % 2]): n_of("crowd.count", n) * (2 if 10 <= n < 20 else 1)
                for n in range(30)}
        checks.equal("the neighbour's series are exact, new ones among them", mine, want)
        ratio = statistics.median(a / b for a, b in zip(beside, still))
        print(f"       an event of the neighbour: {statistics.median(still):.0f} ns of CPU, beside the flood "
              f"{statistics.median(beside):.0f} ns")
        checks.ok(f"the neighbour's event costs {ratio:.2f} of what it costs without, at most 1.2", ratio <= 1.2, (still, beside))
        checks.equal("nothing is dropped", drops(request, "crowd."), {})
        checks.equal("ends with status 0", agent.stop(), 0)


def main():
    checks = Checks("limits")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    in_own_pid_namespace()  # other services of this host would take room, too
    with scratch("limits") as directory:
        for name, part in (("what does not fit together", refused), ("series of a metric", cardinality), ("levels", levels), ("shares", shares),
                           ("memory", memory), ("views", views), ("reasons of drops", reasons), ("flood", flood)):
            with checks.run(name):
                part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
