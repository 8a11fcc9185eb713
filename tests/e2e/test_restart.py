#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Counting outlives the agent: killed, stopped, started again, and everything that happened in between is in the totals.

The truth is build/services/hammer's own count. Everything pinned lies in a bpffs of this test (host.py).
"""
import contextlib
import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import brief
import capture
import driven
import elf
from agent import PROBEMETER, Agent, Fired, build_fired, clean_environment, run_to_end, wait_totals
from checks import Checks
from driven import (Driven, drops, others_attached, own, snapshot_after, steps_back, total, values, wait_attached,
                    warnings)
from host import Host, bpftool, known
from process import BUILD, ROOT, Failed, scratch, wait_until
from test_exact import COUNTERS, HISTOGRAMS, Truth, compare
from test_temporality import Ledger, settings, wait_taken

THREADS = 16
RESTARTS = 4
INTERVAL_MS = 250  # most of what there is to wait for is an export
INT64_MAX = 2**63 - 1

start_agent = functools.partial(driven.start_agent, OTEL_METRIC_EXPORT_INTERVAL=INTERVAL_MS)


def kill(agent):
    agent.signal(signal.SIGKILL)
    agent.wait()


def counts(checks, name, request, service, truth):
    """Counters, and counts of histograms. (Truths taken from each other leave too few digits of floating sums.)"""
    found, wanted = {}, {}
    for metric in COUNTERS + HISTOGRAMS:
        found[metric] = values(request, service, metric)
        wanted[metric] = {key[1]: one["events"] if metric in HISTOGRAMS else one["total"]
                          for key, one in truth.series.items() if key[0] == metric and one["events"]}
    wrong = {metric: (found[metric], wanted[metric]) for metric in found if found[metric] != wanted[metric]}
    checks.ok(f"{name}: {sum(map(len, wanted.values()))} series", not wrong and any(wanted.values()), wrong)


def restarts(checks, directory, *arguments):
    """Sixteen threads fire without a pause while agents come and go, by SIGKILL and by SIGTERM, at random times."""
    seed = random.randrange(1 << 16)
    dice = random.Random(seed)
    with Host(directory, f"restarts{len(arguments)}") as host, capture.Server() as server, \
            Driven("hammer", f"restart{len(arguments)}", "--threads", THREADS, "--seed", seed) as hammer:
        hammer.answer()
        with start_agent(directory, server, *arguments, host=host) as agent:
            wait_attached(agent, hammer)
            hammer.ask("run")
            time.sleep(dice.uniform(0.1, 2))
            kill(agent)
        how = []
        for _ in range(RESTARTS):
            time.sleep(dice.choice((0, dice.uniform(0, 1))))
            with start_agent(directory, server, *arguments, host=host) as agent:
                # From the first instructions on to some exports later.
                time.sleep(dice.uniform(0, 0.3) if dice.random() < 0.4 else dice.uniform(0.3, 6 * INTERVAL_MS / 1000))
                gently = dice.random() < 0.3
                how.append("SIGTERM" if gently else "SIGKILL")
                if gently and agent.running():
                    checks.equal("SIGTERM: status 0", agent.stop(), 0)
                else:
                    kill(agent)
        truth = Truth([hammer.ask("halt")])
        with start_agent(directory, server, *arguments, host=host) as agent:
            wait_attached(agent, hammer)
            request = snapshot_after(server)
            name = f"seed {seed}, {' '.join(how)}"
            compare(checks, name, request, hammer.service, truth)
            fired = sum(one["events"] for key, one in truth.series.items() if key[0] in COUNTERS + HISTOGRAMS)
            counted = sum(value for metric in ("hammer.count.one", "hammer.count.four") + HISTOGRAMS
                          for value in values(request, hammer.service, metric).values() if "sum" not in metric)
            print(f"     {fired} events fired over {len(how) + 1} ends of an agent, {counted} of those whose value is a count")
            checks.equal(f"{name}: no step back, no other start", steps_back(server.requests, {hammer.service})[:5], [])
            checks.ok(f"{name}: it took over", any("goes on with the totals" in line for line in agent.lines()), agent.tail())
            checks.equal(f"{name}: no warning", warnings(agent), [])
            # And it goes on.
            hammer.ask("fire 20")
            checks.equal(f"{name}: the last agent counts on", total(snapshot_after(server), hammer.service, "hammer.count.four"),
                         sum(value for value in values(request, hammer.service, "hammer.count.four").values()) + 20 * THREADS)
        status, said = host.stop("--detach")
        checks.equal("detached: status 0", (status, said if status else []), (0, []))
        checks.equal("detached: nothing is left", host.pins(), [])


def other_build():
    """The agent as a later version might be: another schema, other sizes of what is in the maps. Built in a quarter of the
    time that what is measured takes."""
    subprocess.run(["make", "-s", "-j2", "-C", str(ROOT), "B=build/other", "SCHEMA_FLAGS=-DPM_SCHEMA=2 -DPM_OTHER_LAYOUT",
                    "CFLAGS=-O0 -g", "build/other/probemeter"], check=True, stdout=subprocess.DEVNULL, timeout=600)
    return BUILD / "other/probemeter"


def upgrades(checks, directory, *arguments):
    """Builds of two schemas take turns, by SIGKILL at any time, while sixteen threads fire without a pause and processes
    are born and die: nothing lost, nothing twice, no other start."""
    seed = random.randrange(1 << 16)
    dice = random.Random(seed)
    builds = {"old": PROBEMETER, "new": other_build()}
    name = f"upgrade{len(arguments)}"
    with Host(directory, name) as host, capture.Server() as server, \
            Driven("hammer", name, "--threads", THREADS, "--seed", seed) as hammer, Driven("hammer", f"{name}-calm") as calm:
        hammer.answer()
        calm.answer()
        with start_agent(directory, server, *arguments, host=host) as agent:
            wait_attached(agent, hammer)
            quiet = calm.ask("fire 30")
            hammer.ask("run")
            snapshot_after(server)
            kill(agent)
        how, brief = [], []
        for turn in range(3 if arguments else 5):
            which = "new" if turn % 2 == 0 or dice.random() < 0.3 else "old"
            with start_agent(directory, server, *arguments, host=host, binary=builds[which]) as agent:
                with contextlib.suppress(Failed):  # to be killed in the middle of a handover, or behind it
                    if dice.random() < 0.5:
                        agent.wait_ready("run", lambda: any("run: " in line for line in agent.lines()), 10)
                        time.sleep(dice.uniform(0, 0.6))
                        which += " early"
                    else:
                        agent.wait_ready("took", lambda: any("took over" in line or "goes on" in line for line in agent.lines()), 15)
                        time.sleep(dice.uniform(0, 4 * INTERVAL_MS / 1000))
                how.append(which)
                kill(agent)
            one = Driven("hammer", f"{name}-brief", "--threads", 2, "--seed", turn, "--fire", 20)
            with one:
                brief.append(one.answer())
        truth = Truth([hammer.ask("halt")])
        for which in ("new", "old"):
            with start_agent(directory, server, *arguments, host=host, binary=builds[which]) as agent:
                wait_attached(agent, hammer)
                request = snapshot_after(server)
                label = f"seed {seed}, {', '.join(how)}, {which}"
                compare(checks, label, request, hammer.service, truth)
                events = sum(one["events"] for key, one in truth.series.items() if key[0] in HISTOGRAMS)
                counted = sum(v for metric in HISTOGRAMS for v in values(request, hammer.service, metric).values())
                print(f"     {which}: {events} values recorded, {counted} exported, difference {counted - events}")
                counts(checks, f"{label}: a service that was quiet", request, calm.service, Truth([quiet]))
                counts(checks, f"{label}: processes born and dead meanwhile", request, own(f"{name}-brief"), Truth(brief))
                checks.equal(f"{label}: nothing dropped", drops(request, "hammer."), {})
                checks.equal(f"{label}: no warning", warnings(agent), [])
                checks.equal(f"{label}: one set is left", len(host.sets()), 1)
                kill(agent)
        checks.equal(f"{label}: no step back, no other start",
                     steps_back(server.requests, {hammer.service, calm.service})[:5], [])
        status, said = host.stop("--detach")
        checks.equal("detached: status 0", (status, said if status else []), (0, []))
        checks.equal("detached: nothing is left", host.pins(), [])


def away(checks, directory):
    """Processes born and dead while no agent ran count under their own service name; a level falls with its process; a
    file that is gone when the next agent comes is given up."""
    binary = shutil.copy(BUILD / "services/hammer", directory / f"away-{os.getpid()}")
    brief = shutil.copy(BUILD / "services/hammer", directory / f"brief-{os.getpid()}")
    nameless = f"unknown_service:away-{os.getpid()}"
    with Host(directory, "away") as host, capture.Server() as server:
        other = Driven(brief, "away-brief", "--threads", 1)
        with Driven(binary, "away-first", "--threads", 2) as first, contextlib.ExitStack() as later:
            first.answer()
            with start_agent(directory, server, host=host) as agent:
                wait_attached(agent, first)
                links = host.ids()
                later.enter_context(other).answer()
                wait_attached(agent, first, other)
                early = [first.ask("fire 30"), other.ask("fire 10")]
                request = snapshot_after(server)
                compare(checks, "before", request, first.service, Truth(early[:1]))
                links = host.ids() - links
                kill(agent)
        os.unlink(brief)
        born = [Driven(binary, name, "--threads", 2, "--seed", n, "--fire", 50) for n, name in
                enumerate(("away-born", "away-born", "away-other"))]
        answers = []
        for one in born:
            with one:
                answers.append(one.answer())
                one.answer()
                one.end()
        subprocess.run([binary, "--threads", "1", "--fire", "40"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       env=clean_environment(), check=True, timeout=60)
        with start_agent(directory, server, host=host) as agent:
            request = snapshot_after(server)
            for service, truth in ((own("away-first"), Truth(early[:1])), (own("away-brief"), Truth(early[1:])),
                                   (own("away-born"), Truth(answers[:2])), (own("away-other"), Truth(answers[2:]))):
                counts(checks, service, request, service, truth)
            checks.equal("one that named no service: under its file's name", total(request, nameless, "hammer.count.four"), 40)
            checks.equal("levels of the dead are gone", [v for metric in ("hammer.open", "hammer.share")
                                                         for v in values(request, own("away-first"), metric).values() if v], [])
            checks.ok("and are 0, not absent", len(values(request, own("away-first"), "hammer.open")) > 0, "absent")
            checks.ok("a file that is gone is given up", any("detached:" in line and brief.name in line for line in agent.lines()),
                      agent.tail())
            checks.ok("its links too", links and known(links) != links, links)
            checks.equal("no step back", steps_back(server.requests, {own("away-first")})[:5], [])
            # A file that nobody has mapped now stays attached, and its next process counts from its first event.
            with Driven(binary, "away-late", "--threads", 2, "--fire", 50) as late:
                truth = Truth([late.answer()])
                want = {key[1]: one["total"] for key, one in truth.series.items() if key[0] == "hammer.count.four" and
                        one["events"]}
                checks.equal("a later process of that file, from its first event",
                             values(snapshot_after(server), late.service, "hammer.count.four"), want)


def nameless(checks, directory):
    """Processes born and dead while no agent ran count under their binary's last known name where no other could be read, and only
    there: where the environment cannot be read and was too long to be kept at exec, and where there was no room to keep anything."""
    binary = brief.build(directory, "unnamed")
    filler = brief.copy(binary, "filler")
    fallback = f"unknown_service:{binary.name}"
    long = {"OTEL_RESOURCE_ATTRIBUTES": "long=" + "x" * 3000}  # the kernel keeps 32 pieces of 63 bytes
    for name, flags in (("unreadable", ()), ("no room", ("--max-services", "8", "--max-label-bytes", "64"))):
        flags = "--include", f"path:{directory}/*", *flags
        with Host(directory, name.replace(" ", "-")) as host, capture.Server() as server:
            with start_agent(directory, server, *flags, host=host) as agent, \
                    brief.staying(binary, 0, OTEL_SERVICE_NAME=own("staying")) as one, brief.staying(filler, 0) as other:
                for process, path in ((one, binary), (other, filler)):
                    agent.wait_attached(process.pid, path, 60)
                kill(agent)
            if flags[2:]:
                for number in range(4):
                    brief.run(filler, 5, OTEL_SERVICE_NAME=own(f"filler-{number}"),
                              OTEL_RESOURCE_ATTRIBUTES="long=" + "x" * 1800)
                brief.run(binary, 7, OTEL_SERVICE_NAME=own("no-room"))
                wanted = {fallback: 7, own("no-room"): None, own("filler-0"): 5}
            else:
                pad = "x" * 8192  # before what names, over the end of a page
                brief.run(binary, 3, "--hide", PAD=pad, OTEL_SERVICE_NAME=own("kept"))
                brief.run(binary, 5, PAD=pad, OTEL_SERVICE_NAME=own("long"), **long)
                brief.run(binary, 7, "--hide", PAD=pad, OTEL_SERVICE_NAME=own("hidden"), **long)
                wanted = {own("kept"): 3, own("long"): 5, own("hidden"): None, fallback: 7}
            with start_agent(directory, server, *flags, host=host):
                request = snapshot_after(server)
                found = brief.Resources(request)
                checks.equal(f"{name}: events by service", {service: found.total(service) for service in wanted}, wanted)
                checks.equal(f"{name}: nothing is dropped", drops(request, "brief."), {})
            host.stop("--detach")


def said_written(agent):
    """The files of which an agent says that somebody wrote to them while none ran."""
    return [line.split("'")[1] for line in agent.lines() if "were not there any more" in line and "is not counted" in line]


def written_chosen(checks, directory):
    """The same where rules choose, and nobody runs the file when the next agent comes."""
    binary = build_fired(directory, f"chosen-{os.getpid()}")

    def start(host, server):
        return start_agent(directory, server, "--include", f"path:{binary}", host=host)

    with Host(directory, "chosen") as host, capture.Server() as server:
        with start(host, server) as agent:
            with Fired(binary, "chosen") as service:
                agent.wait_attached(service.pid, binary)
                service.fire(10)
                checks.equal("counted", wait_totals(server, service, 10), (10,) * 3)
            kill(agent)
        with start(host, server) as agent:
            snapshot_after(server)
            checks.equal("as it was: no warning", said_written(agent), [])
            kill(agent)
        with open(binary, "ab") as file:
            file.write(b"\0")
        with start(host, server) as agent:
            agent.wait_ready("it has looked", lambda: any("detached:" in line and binary.name in line for line in agent.lines()), 20)
            checks.equal("written to, and nobody runs it: that is said once", said_written(agent), [str(binary)])
            with Fired(binary, "chosen-later") as service:
                agent.wait_attached(service.pid, binary)
                service.fire(10)
                checks.equal("and it is counted again", wait_totals(server, service, 10), (10,) * 3)
            checks.equal("said once", said_written(agent), [str(binary)])
            kill(agent)
        host.stop("--detach")
        wait_until("no guard is left", lambda: not host.guards(), 10)


def written(checks, directory):
    """A file that somebody writes to while no agent runs: what is written runs as it is, and what was not counted is said."""
    programs = {}
    for which, flags in (("first", ()), ("second", ("-DSECOND",))):
        programs[which] = directory / f"{which}-{os.getpid()}"
        subprocess.run(["cc", "-O2", *flags, f"-I{ROOT}/include", str(ROOT / "tests/e2e/over.c"), "-o", str(programs[which])],
                       check=True)
    binary = directory / f"over-{os.getpid()}"
    shutil.copy(programs["first"], binary)

    def run_it():
        return subprocess.run([binary, "40"], env=clean_environment(OTEL_SERVICE_NAME=own("over")), capture_output=True, text=True,
                              check=False, timeout=60).stdout

    def start(host, server, said):
        agent = start_agent(directory, server, "--attach", str(binary), "--include", f"path:{binary}", host=host)
        agent.__enter__()
        agent.wait_ready(said, lambda: any(said in line and binary.name in line for line in agent.lines()), 20)
        return agent

    with Host(directory, "written") as host, capture.Server() as server:
        agent = start(host, server, "attached:")
        checks.equal("attached: as it is", run_it(), "first 1\n")
        checks.equal("and counted", total(snapshot_after(server), own("over"), "over.total"), 40)
        kill(agent)
        checks.equal("no agent: as it is", run_it(), "first 1\n")
        begun = time.monotonic()
        shutil.copyfile(programs["second"], binary)
        checks.ok("written over: the writer waits for a moment only", time.monotonic() - begun < 10, time.monotonic() - begun)
        checks.equal("written over: the second program calculates right", [run_it() for _ in range(5)], ["second 1\n"] * 5)
        agent = start(host, server, "attached:")
        checks.equal("what the first one fired while no agent ran is there", total(snapshot_after(server), own("over"), "over.total"), 80)
        checks.equal("what the second one fired is not, and that is said", said_written(agent), [str(binary)])
        checks.equal("the second program under this agent", run_it(), "second 1\n")
        checks.equal("and counted from then on", total(snapshot_after(server), own("over"), "over.total"), 120)
        kill(agent)
        # Looked at as somebody who writes would, and not written to.
        with open(binary, "r+b"):
            pass
        checks.equal("no probe while it may be written to: as it is", run_it(), "second 1\n")
        agent = start(host, server, "attached:")
        checks.equal("what was not counted is said", said_written(agent), [str(binary)])
        checks.equal("touched: as it is", run_it(), "second 1\n")
        checks.equal("and counted again", total(snapshot_after(server), own("over"), "over.total"), 160)
        # Only another time stamp: what is attached stays.
        kill(agent)
        os.chmod(binary, 0o711)
        checks.equal("another ctime, no agent", run_it(), "second 1\n")
        agent = start(host, server, "attached:")
        checks.equal("another ctime: nothing is lost", total(snapshot_after(server), own("over"), "over.total"), 200)
        checks.equal("without a warning", warnings(agent), [])
        # The guard itself may be killed.
        for pid in host.guards():
            os.kill(pid, signal.SIGKILL)
        wait_until("another guard", lambda: len(host.guards()) == 1, 20)
        kill(agent)
        shutil.copyfile(programs["first"], binary)
        checks.equal("with another guard: as it is", run_it(), "first 1\n")
        host.stop("--detach")
        wait_until("no guard is left", lambda: not host.guards(), 10)


def deltas(checks, directory):
    """Under delta temporality each event is in one delta, whichever agent sends it, and none is missing between two."""
    binary = build_fired(directory)

    def start(host, server, which=PROBEMETER, **more):
        agent = Agent(directory, host=host, binary=which, **{**settings(server), **more})
        agent.__enter__()
        agent.wait_ready("attached", lambda: any("attached:" in line and str(binary) in line for line in agent.lines()), 30)
        return agent

    def fire(server, service, count):
        service.fire(count)
        checks.equal(f"{count} more", wait_taken(server, service.total), (service.total,) * 3)

    with Host(directory, "deltas") as host, Ledger() as server, Fired(binary, "deltas") as service:
        server.service = service.service
        agent = start(host, server)
        fire(server, service, 100)
        time.sleep(0.3)  # its answer is known
        kill(agent)
        service.fire(50)
        agent = start(host, server)
        fire(server, service, 25)
        checks.equal("killed: no warning", warnings(agent), [])
        server.answer = capture.status(503)
        service.fire(30)
        agent.stop()
        checks.ok("not acknowledged at the end: the next agent's", any("is sent by the next agent" in line for line in agent.lines()),
                  agent.tail())
        server.answer = capture.OK
        agent = start(host, server, other_build())
        fire(server, service, 5)
        time.sleep(0.3)
        kill(agent)
        service.fire(15)
        agent = start(host, server)
        fire(server, service, 5)
        checks.equal("no gap, no overlap, over a change of schema too", server.complaints[:3], [])
        # One that may have arrived is sent again, and that is said.
        server.answer = capture.stall(30)
        service.fire(40)
        server.wait_requests(1)
        time.sleep(0.2)
        kill(agent)
        server.answer = capture.OK
        before = server.unanswered
        agent = start(host, server)
        wait_until("it says so", lambda: any("may be counted twice" in line for line in agent.lines()), 20)
        server.totals()
        checks.ok("and in its metrics", server.unanswered > before, (before, server.unanswered))
        kill(agent)
        # What an agent with totals has sent is not sent again as deltas.
        agent = start(host, server, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="cumulative")
        service.fire(10)
        kill(agent)
        held = server.totals()
        agent = start(host, server)
        checks.ok("what is lost is named", any("the last agent sent no deltas" in line for line in agent.lines()), agent.tail())
        time.sleep(1)
        service.fire(7)
        checks.equal("deltas begin now", wait_taken(server, held[0] + 7), tuple(n + 7 for n in held))
        kill(agent)


def wrapped(checks, directory):
    """A sum that went past 2^64 while no agent looked is that much for the next one."""
    binary = directory / f"wrap-{os.getpid()}"
    subprocess.run(["cc", "-O2", f"-I{ROOT}/include", str(ROOT / "tests/e2e/wrap.c"), "-o", str(binary)], check=True)
    with Host(directory, "wrapped") as host, capture.Server() as server, Driven(binary, "wrapped") as wrap:
        with start_agent(directory, server, host=host) as agent:
            wait_attached(agent, wrap)
            wrap.ask("7")
            checks.equal("a small sum", total(snapshot_after(server), wrap.service, "wrap.total"), 7)
            kill(agent)
        for _ in range(5):
            wrap.ask(str(1 << 62))
        with start_agent(directory, server, host=host):
            checks.equal("5 * 2^62 + 7 is past what OTLP can say, and does not fall",
                         total(snapshot_after(server), wrap.service, "wrap.total"), INT64_MAX)
            checks.equal("the histogram beside it", total(snapshot_after(server), wrap.service, "wrap.size"), 6)


def other_rules(checks, directory):
    """Other rules about what is counted, who, and in how much room, with each restart. Each event is in one series: what a rule
    leaves out ends, what it makes of a metric begins at 0, and both come back as they were when the rule goes."""
    with Host(directory, "rules") as host, capture.Server() as server, Driven("hammer", "rules", "--threads", 2) as one:
        one.answer()

        @contextlib.contextmanager
        def agent(*flags, turn="took over"):
            # Nobody else of this host takes room.
            with start_agent(directory, server, "--include", f"path:{one.binary}", *flags, host=host) as agent:
                wait_attached(agent, one)
                agent.wait_ready("its turn", lambda: turn in agent.output(), 60)
                yield agent
                kill(agent)

        def truth(metric, *spans, labels=9):
            """Of what was fired between two answers each, the first None; with so many of its labels."""
            counted = {}
            for before, after in spans:
                for (name, values_of), row in Truth([after], [before] if before else []).series.items():
                    if name == metric and row["events"]:
                        key = values_of[:labels]
                        counted[key] = counted.get(key, 0) + row["events" if metric in HISTOGRAMS else "total"]
            return counted

        def check(name, request, **wanted):
            for metric, want in wanted.items():
                metric = metric.replace("_", ".")
                checks.equal(f"{name}: {metric}", values(request, one.service, metric), want)

        with agent(turn="counting goes on in") as first:
            one.ask("fire 30")
            before = snapshot_after(server)
        asked = one.ask("fire 10")  # nobody looks
        with agent("--drop-metric", "hammer.time", "--drop-metric", "hammer.open", "--drop-label", "hammer.count.two:tier") as second:
            since = one.ask("fire 20")
            request = snapshot_after(server)
            check("dropped", request, hammer_time={}, hammer_open={}, hammer_count_two=truth("hammer.count.two", (asked, since), labels=1),
                  hammer_count_four=truth("hammer.count.four", (None, since)), hammer_size=truth("hammer.size", (None, since)))
            checks.equal("dropped: no warning", [line for line in warnings(second) if "hammer." in line], [])
        quiet = one.ask("fire 5")  # by those rules
        mark = server.count()
        with agent() as third:
            now = one.ask("fire 10")
            request = snapshot_after(server)
            check("as before", request, hammer_count_two=truth("hammer.count.two", (None, asked), (quiet, now)))
            check("as before", request, hammer_time=truth("hammer.time", (None, asked), (quiet, now)),
                  hammer_count_four=truth("hammer.count.four", (None, now)))
            checks.ok("as before: the level", values(request, one.service, "hammer.open"), "none")
            checks.equal("as before: no step back, no other start", steps_back([before, *server.requests[mark:]], {one.service})[:3], [])
        # Less room, and more again: what has none is in the overflow.
        with agent("--max-series", "64", "--cardinality-limit", "10", "--max-cells", "16384") as small:
            request = snapshot_after(server)
            for metric in COUNTERS + HISTOGRAMS[1:]:
                spans = ((None, asked), (quiet, now)) if metric == "hammer.count.two" else ((None, now),)
                checks.equal(f"less room: {metric} is whole", total(request, one.service, metric), sum(truth(metric, *spans).values()))
            checks.ok("less room: it was taken over", any("took over" in line for line in small.lines()), small.tail())
        with agent() as _:
            now = one.ask("fire 10")
            checks.equal("room again: whole", total(snapshot_after(server), one.service, "hammer.count.four"),
                         sum(truth("hammer.count.four", (None, now)).values()))
        # Who is not counted any more is shown no more, and comes back.
        with start_agent(directory, server, "--include", f"path:{one.binary}", "--exclude", f"path:{one.binary}",
                         host=host) as none:
            none.wait_ready("it runs", lambda: "its maps take" in none.output())
            request = snapshot_after(server)
            checks.equal("excluded: nothing of it", [point.key() for point in request.points() if point.service == one.service], [])
            gone = one.ask("fire 7")
            kill(none)
        with agent(turn="goes on with the totals") as _:
            now, last = one.ask("fire 10"), now
            checks.equal("counted again: all but that", total(snapshot_after(server), one.service, "hammer.count.four"),
                         sum(truth("hammer.count.four", (None, last), (gone, now)).values()))
        checks.equal("detached: status 0", host.stop("--detach")[0], 0)


def less_room(checks, directory):
    """In less room than what was counted takes, all of it is still counted, and so is what comes then. A histogram's buckets stay
    together: what is shown of a series is all that was, and never less afterwards."""
    with Host(directory, "less") as host, capture.Server() as server, Driven("hammer", "less", "--threads", 2) as one:
        one.answer()
        with start_agent(directory, server, "--include", f"path:{one.binary}", host=host) as agent:
            wait_attached(agent, one)
            fired = one.ask("fire 300")
            request = snapshot_after(server)
            compare(checks, "room", request, one.service, Truth([fired]))
            kill(agent)
        before = {metric: values(request, one.service, metric) for metric in COUNTERS + HISTOGRAMS}
        with start_agent(directory, server, "--include", f"path:{one.binary}", "--max-cells", "2048", host=host) as agent:
            wait_attached(agent, one)
            agent.wait_ready("its turn", lambda: "took over" in agent.output(), 60)
            for name in ("less room", "events in less room"):
                request = snapshot_after(server)
                found = {metric: total(request, one.service, metric) for metric in COUNTERS + HISTOGRAMS}
                wanted = {metric: sum(row["events" if metric in HISTOGRAMS else "total"]
                                      for key, row in Truth([fired]).series.items() if key[0] == metric) for metric in found}
                checks.equal(f"{name}: whole", found, wanted)
                checks.equal(f"{name}: nothing is dropped", drops(request, "hammer."), {})
                shown = {(metric, key): value for metric in before for key, value in values(request, one.service, metric).items()
                         if key != "overflow"}
                fallen = {(metric, key): (value, before[metric].get(key)) for (metric, key), value in shown.items()
                          if value < before[metric].get(key, 0)}
                checks.ok(f"{name}: none of {len(shown)} series is less than it was", shown and not fallen, fallen)
                before.update({metric: {**before[metric], **values(request, one.service, metric)} for metric in before})
                fired = one.ask("fire 20")


def crowded_room(checks, directory):
    """Of a room that what was counted would fill twice, it leaves a neighbour's to the neighbour, and the last eighth to overflow
    series."""
    for name, rounds, flags in (("a neighbour", 30, ()), ("overflow series", 10, ("--max-service-cells", "2048"))):
        with Host(directory, name.replace(" ", "-")) as host, capture.Server() as server, \
                Driven("hammer", "crowd", "--threads", 2) as one, Driven("hammer", "calm", "--threads", 2) as calm:
            rules = "--include", f"path:{one.binary}"
            one.answer(), calm.answer()
            with start_agent(directory, server, *rules, host=host) as agent:
                wait_attached(agent, one)
                fired = one.ask("burst 400")["events"]
                snapshot_after(server)
                kill(agent)
            with start_agent(directory, server, *rules, "--max-cells", "2048", *flags, host=host) as agent:
                wait_attached(agent, one)
                agent.wait_ready("its turn", lambda: "took over" in agent.output(), 60)
                truth = Truth([calm.ask(f"fire {rounds}")])
                request = snapshot_after(server)
                checks.equal(f"{name}: what was counted before is whole", [total(request, one.service, f"hammer.burst.{n}")
                                                                           for n in range(10)], [fired] * 10)
                checks.equal(f"{name}: nothing is dropped", drops(request, "hammer."), {})
                if not flags:
                    compare(checks, name, request, calm.service, truth)
                else:
                    checks.equal(f"{name}: events that come then are whole",
                                 {metric: total(request, calm.service, metric) for metric in COUNTERS + HISTOGRAMS},
                                 {metric: sum(row["events" if metric in HISTOGRAMS else "total"]
                                              for key, row in truth.series.items() if key[0] == metric)
                                  for metric in COUNTERS + HISTOGRAMS})


def given_back(checks, directory):
    """Where each id of a service was given out once, one that was given back is there for a new service over a handover, too."""
    binary = shutil.copy(BUILD / "services/hammer", directory / f"ids-{os.getpid()}")
    rules = "--include", f"path:{binary}"
    with Host(directory, "ids") as host, capture.Server() as server, Driven(binary, "ids-first", "--threads", 1) as first:
        first.answer()
        with start_agent(directory, server, *rules, host=host) as agent:
            wait_attached(agent, first)
            before = first.ask("fire 10")
            snapshot_after(server)
            kill(agent)
        with host.memory("next_id") as words:
            words[1] = 4095
        with host.memory("vacant") as words:
            words[63] = 1 << 62
        # One that forgets services looks at once for ids that nobody has, and so would find these again.
        with start_agent(directory, server, *rules, "--max-cells", "65536", "--forget", "0", host=host) as agent:
            wait_attached(agent, first)
            agent.wait_ready("its turn", lambda: "took over" in agent.output(), 60)
            with Driven(binary, "ids-later", "--threads", 1, "--fire", 20) as later:
                answer = later.answer()
            agent.stop()
            counts(checks, "the new service", server.requests[-1], later.service, Truth([answer]))
            counts(checks, "the one before", server.requests[-1], first.service, Truth([before]))
            checks.equal("nothing is dropped", drops(server.requests[-1], "hammer."), {})


def worn(checks, directory):
    """A journal full of what is over: one look goes on with its totals as they are, and the next agent makes room."""
    with Host(directory, "worn") as host, capture.Server() as server, Driven("hammer", "worn", "--threads", 2) as one:
        one.answer()
        with start_agent(directory, server, host=host) as agent:
            wait_attached(agent, one)
            truth = Truth([one.ask("fire 30")])
            snapshot_after(server)
            kill(agent)
        with host.memory("journal") as words:
            used = words[3]
            words[4 + used // 8] = 10 | 300 << 42  # a record of what is gone, 300 KiB
            words[3] += 8 + (300 << 10)
        status, _, said = run_to_end("run", "--once", *host.flags, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp,
                                     OTEL_METRIC_EXPORT_INTERVAL=500)
        checks.equal("one look: status 0", status, 0)
        checks.ok("one look: goes on", any("goes on with the totals" in line for line in said), said)
        counts(checks, "one look", server.requests[-1], one.service, truth)
        with start_agent(directory, server, host=host) as agent:
            wait_attached(agent, one)
            agent.wait_ready("its turn", lambda: "took over" in agent.output(), 60)
            counts(checks, "an agent", snapshot_after(server), one.service, truth)
            kill(agent)
        with host.memory("journal") as words:
            checks.ok("room is made", words[3] < used + (100 << 10), (words[3], used))


def schema(checks, directory):
    """The name of the pins changes with anything that programs do, and not with a comment."""
    def of(change):
        copy = directory / f"bpf-{time.monotonic_ns()}"
        shutil.copytree(ROOT / "bpf", copy)
        change(copy / "maps.h")
        return subprocess.run([ROOT / "scripts/schema.sh", copy], capture_output=True, text=True, check=True).stdout

    def replace(old, new):
        def change(path):
            text = path.read_text()
            checks.ok(f"there is: {old.strip()[:30]}", old in text, path)
            path.write_text(text.replace(old, new))
        return change

    plain = of(lambda path: None)
    checks.ok("a hash", "#define SCHEMA_SOURCES 0x" in plain, plain)
    checks.equal("it is that of this build", (BUILD / "userspace/schema.h").read_text(), plain)
    checks.equal("another comment: the same", of(replace("/* Words that count up:", "/* Numbers that count up:")), plain)
    checks.ok("two fields of one size changed places: another", of(replace(
        "\t__u64 count;\n\t__u64 sum;\n#ifdef", "\t__u64 sum;\n\t__u64 count;\n#ifdef")) != plain, plain)
    checks.ok("another number: another", of(replace("PM_SERIES_PER_METRIC 2000", "PM_SERIES_PER_METRIC 2001")) != plain, plain)


def one_agent(checks, directory):
    """The second agent says who the first is, and exits 3; `stop` ends the first."""
    with Host(directory, "one") as host, capture.Server() as server:
        checks.equal("stop without an agent: status 0", host.stop()[0], 0)
        with start_agent(directory, server, host=host) as agent:
            snapshot_after(server)
            status, _, err = run_to_end("run", *host.flags, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp)
            checks.equal("the second: status 3", status, 3)
            checks.ok("it names the first", any(f"process {agent.pid} " in line for line in err), err)
            checks.ok("the first goes on", agent.running(), agent.tail())
            # Its pins are kept from an agent and a stop that look for the first one elsewhere.
            elsewhere = ["--bpffs", host.bpffs, "--run-dir", directory / "elsewhere.run"]
            sets = host.sets()
            for name, words, wanted in (("run", elsewhere, 3), ("stop", ["--detach", *elsewhere], 1)):
                status, _, err = run_to_end(name, *words, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp)
                checks.equal(f"{name} with another --run-dir: status {wanted}", status, wanted)
                checks.ok(f"{name}: it names the first", any(f"process {agent.pid} " in line and str(host.bpffs) in line for line in err), err)
            checks.equal("the pins are as they were", (host.sets(), bool(sets)), (sets, True))
            status, err = host.stop()
            checks.equal("stop: status 0", status, 0)
            checks.equal("the agent has ended, with status 0", agent.wait(), 0)
            checks.ok("it says that counting goes on", any("counting goes on; 'probemeter stop --detach'" in line
                                                           for line in agent.lines()), agent.tail())
        with start_agent(directory, server, host=host) as agent:
            snapshot_after(server)
            kill(agent)
        with start_agent(directory, server, host=host) as agent:
            snapshot_after(server)
            checks.ok("a killed one holds no lock", agent.running(), agent.tail())


def beside(checks, directory):
    """`stop --detach` where somebody else's probes listen, too: it has done all it should, and says so."""
    with Host(directory, "beside") as host, capture.Server() as server, Driven("hammer", "beside", "--threads", 1) as hammer, \
            start_agent(directory, server) as other:
        hammer.answer()
        wait_attached(other, hammer)
        status, err = host.stop("--detach")
        checks.equal("beside another tracer: status 0", status, 0)
        checks.ok("beside another tracer: done, and whose the others are", any("stop: done: nothing of this agent listens any more; another "
                                                                               "tracer does" in line for line in err), err)


def detach(checks, directory):
    """`stop --detach` removes everything, with and without an agent; so does a start that is to do nothing."""
    with Host(directory, "detach") as host, capture.Server() as server, Driven("hammer", "detach", "--threads", 4) as hammer:
        hammer.answer()
        image = elf.Elf(hammer.binary)
        alone = not others_attached(hammer)

        def gone(name, ids):
            checks.ok(f"{name}: there were links and maps", {kind for kind, _ in ids} == {"link", "map"} and len(ids) > 10, ids)
            checks.equal(f"{name}: no pin", (host.pins(), host.sets()), ([], []))
            checks.equal(f"{name}: no link and no map", known(ids), set())
            if alone:
                checks.equal(f"{name}: all semaphores at 0", [v for v in elf.semaphores(hammer.pid, image).values() if v], [])
            else:
                checks.skip(f"{name}: all semaphores at 0", "another agent of this host is attached")
            events = hammer.ask("fire 10")
            checks.ok(f"{name}: the service fires on", len(events["series"]) > 1, events)

        for name, killed in (("with an agent", False), ("without an agent", True)):
            with start_agent(directory, server, host=host) as agent:
                wait_attached(agent, hammer)
                hammer.ask("fire 10")
                ids = host.ids()
                if killed:
                    kill(agent)
                    checks.ok("killed: semaphores stay up", all(elf.attached(hammer.pid, image) for _ in range(2)), "down")
                    checks.equal("killed: links and maps stay", ids - known(ids), set())
                status, said = host.stop("--detach")
                checks.equal(f"{name}: status 0", status, 0)
                checks.ok(f"{name}: says what it removed", any("removed" in line and "none of them" in line for line in said), said)
                gone(name, ids)
        status, said = host.stop("--detach")
        checks.equal("nothing there: status 0", status, 0)
        for name, variables in (("ENABLE_TRACING=false", {"ENABLE_TRACING": "false"}),
                                ("OTEL_SDK_DISABLED=true", {"OTEL_SDK_DISABLED": "true"}), ("no exporter", {})):
            with start_agent(directory, server, host=host) as agent:
                wait_attached(agent, hammer)
                ids = host.ids()
                kill(agent)
            if variables:
                variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = server.otlp
            status, _, err = run_to_end("run", "--once", *host.flags, **variables)
            checks.equal(f"{name}: status 0", status, 0)
            gone(name, ids)
        # What is held open by somebody else is not gone, and that is said.
        with start_agent(directory, server, host=host) as agent:
            wait_attached(agent, hammer)
            kill(agent)
        link = next(path for path in host.pins() if path.parent.name == "links")
        elsewhere = host.bpffs / "held"
        bpftool("link", "pin", "pinned", str(link), str(elsewhere))
        status, said = host.stop("--detach")
        checks.equal("held by somebody else: status 1", status, 1)
        checks.ok("held by somebody else: says so", any("still in the kernel" in line for line in said), said)
        elsewhere.unlink()


def unreadable(checks, directory):
    """Pins that are not what they should be are set aside, never mixed in."""
    for name, place, spoil in (
            ("a foreign map", "cells", ["type", "array", "key", "4", "value", "8", "entries", "4"]),
            ("an empty journal", "journal", ["type", "array", "key", "4", "value", "4096", "entries", "1024", "flags", "1024"]),
            ("a map is missing", "series", None)):
        with Host(directory, place) as host, capture.Server() as server, Driven("hammer", f"un-{place}") as hammer:
            hammer.answer()
            with start_agent(directory, server, host=host) as agent:
                wait_attached(agent, hammer)
                before = hammer.ask("fire 25")
                kill(agent)
            directories = host.sets()
            (directories[0] / place).unlink()
            if spoil:
                bpftool("map", "create", str(directories[0] / place), *spoil, "name", place)
            with start_agent(directory, server, host=host) as agent:
                wait_attached(agent, hammer)
                after = hammer.ask("fire 15")
                request = snapshot_after(server)
                said = [line for line in agent.lines() if "set aside" in line]
                checks.ok(f"{name}: says what it does", len(said) == 1 and str(directories[0]) in said[0] and
                          "stop --detach" in said[0], agent.tail())
                aside = [path for path in host.sets() if path.name.startswith("aside-")]
                checks.equal(f"{name}: it is set aside, beside a new set", len(aside), len(host.sets()) - 1)
                checks.ok(f"{name}: without links", aside and not (aside[0] / "links").exists(), aside)
                counts(checks, f"{name}: counts anew", request, hammer.service, Truth([after], [before]))
            status, _ = host.stop("--detach")
            checks.equal(f"{name}: detached, status 0", status, 0)
            checks.equal(f"{name}: nothing is left, aside or not", host.sets(), [])


def without_bpffs(checks, directory):
    """No bpffs: all works, counting ends with the agent, and the agent says so."""
    with Host(directory, "none", bpffs=False) as host, capture.Server() as server, \
            Driven("hammer", "nobpffs", "--threads", 4) as hammer:
        hammer.answer()
        alone = not others_attached(hammer)
        with start_agent(directory, server, host=host) as agent:
            wait_attached(agent, hammer)
            before = hammer.ask("fire 50")
            compare(checks, "first agent", snapshot_after(server), hammer.service, Truth([before]))
            checks.ok("says what is lost, and the remedy", any("totals begin anew" in line and f"mount -t bpf bpf {host.bpffs}"
                                                               in line for line in agent.lines()), agent.tail())
            kill(agent)
        if alone:
            with contextlib.suppress(Failed):
                wait_until("down", lambda: not any(elf.semaphores(hammer.pid, elf.Elf(hammer.binary)).values()), 5)
            checks.ok("killed: semaphores are at 0", not any(elf.semaphores(hammer.pid, elf.Elf(hammer.binary)).values()), "up")
        old = server.requests[-1]
        with start_agent(directory, server, host=host) as agent:
            wait_attached(agent, hammer)
            after = hammer.ask("fire 30")
            request = snapshot_after(server)
            counts(checks, "next agent", request, hammer.service, Truth([after], [before]))
            starts = [min(p.point.start_time_unix_nano for p in r.points() if p.service == hammer.service and p.kind != "gauge")
                      for r in (old, request)]
            checks.ok("with a later start", starts[0] < starts[1], starts)
            checks.equal("ends with status 0", agent.stop(), 0)
        status, said = host.stop("--detach")
        checks.equal("stop --detach: status 0", status, 0)


def main():
    checks = Checks("restart")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    parts = (("restarts", restarts), ("restarts, perf_event links", lambda c, d: restarts(c, d, "--links", "perf_event")),
             ("upgrades and back", upgrades),
             ("upgrades and back, perf_event links", lambda c, d: upgrades(c, d, "--links", "perf_event")),
             ("nobody looks", away), ("no name", nameless), ("written over", written), ("written over, by rules", written_chosen),
             ("deltas", deltas), ("past 2^64", wrapped), ("other rules", other_rules),
             ("less room", less_room), ("crowded", crowded_room), ("ids given back", given_back), ("worn", worn), ("schema", schema),
             ("one agent", one_agent), ("detach", detach), ("beside another tracer", beside),
             ("unreadable pins", unreadable), ("no bpffs", without_bpffs))
    with scratch("restart") as directory:
        for name, part in parts:
            if len(sys.argv) < 2 or any(wanted in name for wanted in sys.argv[1:]):
                with checks.run(name):
                    part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
