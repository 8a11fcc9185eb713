#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Both kinds of links count and detach the same, and what probes cost a service is told and warned of."""
import contextlib
import pathlib
import re
import signal
import sys

from agent import Agent, Fired, build_fired, wait_totals
from capture import Server
from checks import Checks
from family import Family
from process import Failed, scratch, wait_until

EVENTS = 20000
DEAR = 200000  # more than 3 % of a CPU, also where the machine is shared with many


def counted(checks, directory, binary, links):
    """Counting by one kind of link: before and after a second process of the same file."""
    with Server() as server, Agent(directory, "--links", links, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp,
                                   OTEL_METRIC_EXPORT_INTERVAL=500) as agent, Fired(binary, f"links-{links}") as fired:
        agent.wait_attached(fired.pid, binary)
        agent.wait_ready("attached by its own words", lambda: f"attached: '{binary}'" in agent.output())
        checks.ok(f"{links}: the agent says what it uses", f"by {links}:" in agent.output(), agent.output())
        fired.fire(EVENTS)
        checks.equal(f"{links}: all events are exported", wait_totals(server, fired, EVENTS), (EVENTS, EVENTS, EVENTS))
        with Fired(binary, f"links-{links}-later") as later:
            later.fire(EVENTS)
            checks.equal(f"{links}: of a later process too, from its first", wait_totals(server, later, EVENTS),
                         (EVENTS, EVENTS, EVENTS))


def held_links(pid):
    """Kinds of links that a process holds to programs, by what the kernel says of its descriptors, in our words. A kernel
    that has no name for its newest kind gives the number."""
    words = {"perf": "perf_event", "12": "uprobe_multi"}
    found = set()
    for descriptor in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            found |= {words.get(kind, kind)
                      for kind in re.findall(r"^link_type:\s*(\S+)$", descriptor.read_text(), re.MULTILINE)}
    return found


def agents():
    """Pids of all agents that run on this host."""
    found = []
    for name in pathlib.Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if name.read_text() == "probemeter\n":
                found.append(int(name.parent.name))
    return found


def linked_agent(directory, server, links):
    return Agent(directory, "--links", links, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=500)


def family_counted(checks, directory, links):
    """Counters, histograms and declared bounds of three objects, over forks; an agent that ends, is killed, comes anew."""
    with Server() as server, Family(directory, f"family-{links}") as family:
        family.answer()

        def detaches(what):
            with contextlib.suppress(Failed):
                family.detached(1.0 if agents() else 20.0)
            raised = family.raised()
            if raised and agents():
                checks.skip(f"{links}: {what}: no semaphore is raised", f"agents {agents()} of this host raise them too")
            else:
                checks.equal(f"{links}: {what}: no semaphore is raised", raised, [])

        with linked_agent(directory, server, links) as agent:
            family.wait_attached(agent)
            checks.ok(f"{links}: the agent says what it uses", f"by {links}:" in agent.output(), agent.output())
            # Beside them the two that see execs and forks.
            checks.equal(f"{links}: it holds descriptors of that kind alone", held_links(agent.pid),
                         {links, "raw_tracepoint"})
            family.fork(checks, server, f"{links}, quiet master", "fork quiet 20 20")
            family.fork(checks, server, f"{links}, hot master", "fork hot 100 20")
            checks.equal(f"{links}: ends with status 0", agent.stop(), 0)
        detaches("the agent has ended")
        told = family.ask("fork hot 20 20", 60.0)
        checks.equal(f"{links}: without an agent: forks on, none died", (told["processes"], told["died"]), (40, 0))
        family.restarted()
        with linked_agent(directory, server, links) as agent:
            family.wait_attached(agent)
            family.fork(checks, server, f"{links}, another agent", "fork hot 20 20")
            family.tell("fork hot 20 20")
            agent.signal(signal.SIGKILL)
            agent.wait(60.0)  # a tenth of a second for each probe on this host
            told = family.answer(60.0)
        checks.equal(f"{links}: the agent is killed meanwhile: forks on, none died", (told["processes"], told["died"]),
                     (40, 0))
        detaches("the agent was killed")
        checks.equal(f"{links}: the service ends with status 0", family.end(), 0)


def told(checks, directory, binary):
    """What its probes cost a service is exported, and warned of once it is over the limit: of the one, not of the other."""
    with Server() as server, linked_agent(directory, server, "auto") as agent, \
            Fired(binary, "cheap") as cheap, Fired(binary, "dear") as dear:
        agent.wait_attached(dear.pid, binary)
        server.wait_requests(1)
        cheap.fire(100)
        checks.equal("a hundred events are exported", wait_totals(server, cheap, 100), (100, 100, 100))
        dear.fire(DEAR)
        checks.equal("so are many", wait_totals(server, dear, DEAR), (DEAR, DEAR, DEAR))

        def warned(service):
            return [line for line in agent.warnings() if f"service '{service}'" in line and "--max-overhead 3" in line]

        with contextlib.suppress(Failed):
            wait_until("a warning", lambda: warned(dear.service), 10)
        checks.equal("the dear service is named once", len(warned(dear.service)), 1)
        checks.ok("and the remedy", warned(dear.service) and "less often" in warned(dear.service)[0], agent.output())
        checks.equal("the cheap one is not named", warned(cheap.service), [])
        hit_ns = float(re.search(r"(\d+) ns per hit", agent.output())[1])
        request = server.requests[-1]
        for service, events in ((cheap.service, 100), (dear.service, DEAR)):
            spent = {point.labels["service"]: point.value for point in request.points()
                     if point.name == "probemeter.agent.probe.cpu.time"}.get(service)
            want = 3 * events * hit_ns / 1000
            # The log rounds to whole nanoseconds, the metric to whole microseconds.
            checks.ok(f"{service}: {spent} us, three sites' hits by {hit_ns:.0f} ns", spent is not None and
                      abs(spent - want) <= 1 + 0.5 * 3 * events / 1000, want)


def main():
    checks = Checks("links")
    with scratch("links") as directory:
        binary = build_fired(directory)
        for links in ("uprobe_multi", "perf_event"):
            with checks.run(links):
                counted(checks, directory, binary, links)
            with checks.run(f"{links}, a family"):
                family_counted(checks, directory, links)
        with checks.run("cost"):
            told(checks, directory, binary)
    checks.exit()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    main()
