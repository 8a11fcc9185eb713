#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Fork: a service that forks while it fires loses no process and no event, on the stub's fast way and on its slow one.

The loads are build/services/forker and family.c, which count in memory that all of their processes share. What the stub's
guard is there for is shown by builds of family.c without it.
"""
import os
import re
import resource
import signal
import sys

import capture
import otlp
from agent import run_to_end
from checks import Checks
from driven import Driven, drops, fast_nop, snapshot_after, start_agent, steps_back, values, wait_attached, warnings
from family import Family, altered_headers
from process import scratch

WORKERS = 50
EVENTS = 400  # from each of two threads of each worker and grandchild
FORKS = 1000
QUIET = 100
# What stands in stub_x86_64.h, and would not without the guard.
ALTERED = (("unguarded", "without the guard", '"je 993f\\n"'),
           ("forgetful", "without its memory of an ancestor's hit", '"jne 994f\\n"'))


class Forker:
    """A forker and what is exported of it, command by command."""

    def __init__(self, checks, server, driven):
        self.checks = checks
        self.server = server
        self.driven = driven
        self.before = {"forker.count": {}, "forker.time": {}}

    def ask(self, what, command):
        """Let it happen, and compare: nobody died, every event is there."""
        told = self.driven.ask(command, 120.0)
        self.checks.ok(f"{what}: {told['processes']} processes, none died", told["processes"] and not told["died"],
                       f"{told['died']} died, the last one with wait status {told['last_status']:#x}")
        request = snapshot_after(self.server)
        for metric, old in self.before.items():
            now = {labels[0]: value for labels, value in values(request, self.driven.service, metric).items()}
            got = {who: count - old.get(who, 0) for who, count in now.items() if count != old.get(who, 0)}
            self.checks.equal(f"{what}: {metric}: {sum(told['fired'].values())} events", got, told["fired"])
            self.before[metric] = now
        self.checks.equal(f"{what}: nothing is dropped", drops(request, "forker."), {})
        self.checks.equal(f"{what}: the export keeps the rules", otlp.complaints(request.message()), [])
        return told


def families(checks, directory, slow):
    """Masters that fire and masters that do not, workers, grandchildren; first events amid forks; vfork and exec."""
    name = "fork-slow" if slow else "fork-fast"
    with capture.Server() as server, start_agent(directory, server) as agent, \
            Driven("forker", name, *(["--no-wipe"] if slow else [])) as driven:
        driven.answer()
        wait_attached(agent, driven)
        probed = re.search(r"probes on the (\S+) nop", agent.output())
        if fast_nop():
            checks.equal("the agent probes the nop that this kernel turns into a call", probed and probed.group(1), fast_nop())
        else:
            checks.ok("the agent says which nop it probes", probed, agent.output())
        shown = re.search(r"probes on the (\S+) nop", "\n".join(run_to_end("probes", driven.binary)[1]))
        checks.ok("'probemeter probes' shows the same nop", probed and shown and shown[1] == probed[1], shown)
        fast = not slow and probed and probed.group(1) != "1-byte"
        forker = Forker(checks, server, driven)

        told = forker.ask("quiet master", f"fork quiet {WORKERS} {EVENTS}")
        checks.equal("quiet master: fired", told["fired"],
                     {"worker": WORKERS * 2 * EVENTS, "grandchild": WORKERS * 4 * EVENTS})
        if fast:
            checks.equal("quiet master: all workers are on the fast way", told["fast"].get("worker"), WORKERS)
        told = forker.ask("hot master", f"fork hot {WORKERS} {EVENTS}")
        checks.ok("hot master: it fired while it forked", told["fired"].get("master", 0) > 1000, told["fired"])
        checks.equal("hot master: workers fired", told["fired"]["worker"], WORKERS * 2 * EVENTS)
        if fast:
            checks.equal("hot master: it is on the fast way", told["fast"].get("master"), 1)
            checks.equal("hot master: no child is", (told["slow"].get("worker"), told["slow"].get("grandchild")),
                         (WORKERS, 2 * WORKERS))
        if slow:
            checks.equal("refused MADV_WIPEONFORK: all are on the slow way", told["fast"], {})
        told = forker.ask("first events amid forks", "race 40")
        checks.equal("first events amid forks: fired", told["fired"], {"master": 40 * 600, "worker": 40 * 8 * 20})
        told = forker.ask("vfork and exec", "vfork 40")
        checks.equal("vfork and exec: fired", told["fired"], {"master": 40, "vforked": 40, "executed": 2000})
        told = forker.ask("posix_spawn", "spawn 40")
        checks.equal("posix_spawn: fired", told["fired"], {"master": 40, "executed": 2000})
        checks.ok("the master lives", driven.running(), "it does not")
        checks.equal("one service, however many processes",
                     {p.service for r in server.requests for p in r.points() if p.name == "forker.count" and
                      p.service.endswith(f"-{os.getpid()}")}, {driven.service})
        checks.equal("no stream steps back", steps_back(server.requests, {driven.service})[:5], [])
        checks.equal("ends with status 0", agent.stop(), 0)
        checks.equal("no warning", warnings(agent), [])
        checks.equal("without the agent: forks on", driven.ask("fork hot 5 10", 60.0)["died"], 0)
        checks.equal("the service ends with status 0", driven.end(), 0)


def objects(checks, directory):
    """A program and two libraries: all of a family's hits from all of them, over a thousand forks."""
    with capture.Server() as server, start_agent(directory, server) as agent, Family(directory, "family") as family:
        family.answer()
        family.wait_attached(agent)
        told = family.fork(checks, server, "quiet master", f"fork quiet {QUIET} 10")
        if fast_nop():
            # By the guard and the bytes of their own text: at the end all objects of all children pass the kernel's call.
            checks.equal("quiet master: its children are on the fast way, in every object", family.ways(told, "child"),
                         {"call": 3 * QUIET})
        else:
            checks.skip("quiet master: its children are on the fast way", "this kernel turns no nop into a call")
        told = family.fork(checks, server, "hot master", f"fork hot {FORKS} 10")
        checks.equal("hot master: forks, and as many of its children", told["processes"], 2 * FORKS)
        checks.ok("hot master: its threads fired while it forked", all(events > FORKS for who, _, events in told["fired"]
                                                                     if who == "master"), told["fired"])
        if fast_nop():
            checks.equal("hot master: it is on the fast way, its children are not",
                         (family.ways(told, "master"), family.ways(told, "child"), family.ways(told, "grandchild")),
                         ({"call": 3}, {"slow": 3 * FORKS}, {"slow": 3 * FORKS}))
        checks.equal("no stream steps back", steps_back(server.requests, {family.service})[:5], [])
        checks.equal("ends with status 0", agent.stop(), 0)
        checks.equal("the service ends with status 0", family.end(), 0)


def altered(checks, directory):
    """Without the guard, or without the half of it that remembers, children of a master that fires die: the checks above
    can fail, and the guard is what lets them pass."""
    if fast_nop() != "5-byte":
        checks.skip("builds without the guard", f"children are known to die where the kernel turns the 5-byte nop into a "
                    f"call, and this one does that with {fast_nop() or 'none'}")
        return
    for name, what, line in ALTERED:
        headers = altered_headers(directory, name, line, '""')
        with capture.Server() as server, start_agent(directory, server) as agent, \
                Family(directory, name, headers) as family:
            family.answer()
            family.wait_attached(agent)
            told = family.ask("fork hot 50 10", 60.0)
            checks.ok(f"{what}: {told['died']} of {told['processes']} processes died", told["died"] > 10, told)
            checks.equal(f"{what}: of the signal that a call to nowhere gives", told["last_status"] & 0x7f, signal.SIGSEGV)
            fired = sum(events for who, _, events in told["fired"] if who != "master")
            checks.ok(f"{what}: {fired} events of children, not all", fired < told["processes"] * 30, told["fired"])


def main():
    checks = Checks("fork")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # some die, on purpose
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("fork") as directory:
        for name, slow in (("as a service is", False), ("where MADV_WIPEONFORK is refused", True)):
            with checks.run(name):
                families(checks, directory, slow)
        for name, part in (("a program and two libraries", objects), ("built without the guard", altered)):
            with checks.run(name):
                part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
