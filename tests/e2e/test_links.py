#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Both kinds of links count the same, and what probes cost a service is told and warned of."""
import contextlib

from agent import Agent, Fired, build_fired, exported, wait_totals
from capture import Server
from checks import Checks
from process import Failed, scratch, wait_until

EVENTS = 20000


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


def told(checks, directory, binary):
    """Events by the ten thousand per interval are over any limit of 0 %, and their cost is exported."""
    with Server() as server, Agent(directory, "--max-overhead", "0", OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp,
                                   OTEL_METRIC_EXPORT_INTERVAL=500) as agent, Fired(binary, "dear") as fired:
        agent.wait_attached(fired.pid, binary)
        agent.wait_ready("attached by its own words", lambda: f"attached: '{binary}'" in agent.output())
        server.wait_requests(1)
        fired.fire(EVENTS)

        def warned():
            return [line for line in agent.warnings() if f"service '{fired.service}'" in line and "--max-overhead" in line]

        with contextlib.suppress(Failed):
            wait_until("a warning", warned, 10)
        checks.equal("the service is named once", len(warned()), 1)
        checks.ok("and the remedy", warned() and "less often" in warned()[0], agent.output())
        cost = "probemeter.agent.probe.cpu.time", (("service", fired.service),)
        spent = exported(server.requests, "probemeter").get(cost)
        # Three sites, and no trap takes less than 50 ns or, on a busy machine, more than 50 us.
        checks.ok("its cost is exported", spent is not None and 3 * EVENTS * 0.05 < spent < 3 * EVENTS * 50, repr(spent))


def main():
    checks = Checks("links")
    with scratch("links") as directory:
        binary = build_fired(directory)
        for links in ("uprobe_multi", "perf_event"):
            with checks.run(links):
                counted(checks, directory, binary, links)
        with checks.run("cost"):
            told(checks, directory, binary)
    checks.exit()


if __name__ == "__main__":
    main()
