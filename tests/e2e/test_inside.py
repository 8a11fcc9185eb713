#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""An agent that sees only the processes of a pid namespace: it says so, is exact about those, and what the others fire
goes by the names that their exec gave them."""
import contextlib
import os
import pathlib
import signal
import subprocess
import sys

import brief
import elf
from agent import Agent, own_name
from capture import Server
from checks import Checks
from driven import snapshot_after
from process import scratch, wait_until
from test_containers import namespaces, pid_of

INTERVAL_MS = 500
SAYS = "this pid namespace is not the host's"
FLAGS = ("--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")
PROBEMETER = pathlib.Path("probemeter")


class Inside(Agent):
    """An agent behind nsenter: signals are for the agent."""

    def signal(self, number):
        os.kill(pid_of(self.process, PROBEMETER), number)


@contextlib.contextmanager
def inside_agent(directory, server, *arguments):
    """(agent, arguments that run a program beside it); both end with the block."""
    with namespaces("mount -t proc proc /proc", *FLAGS) as prefix, \
            Inside(directory, *arguments, prefix=["/usr/bin/nsenter", *prefix[1:]],
                   OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=INTERVAL_MS) as agent:
        yield agent, prefix


def wait_attached(agent, process, binary):
    agent.wait_ready(f"attached to {binary}", lambda: f"attached: '{binary}'" in agent.output())
    wait_until("the semaphores", lambda: elf.attached(process, elf.Elf(binary)), 20)


def numbers(pid):
    """What a process is called in its pid namespaces, from outside in."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return [int(word) for word in line.split()[1:]]
    return []


def services(checks, directory, binary):
    """Named and unnamed, staying and gone at once, inside and outside."""
    other = brief.copy(binary, "outside-only")
    inner, outer = own_name("inner"), own_name("outer")
    with Server() as server, inside_agent(directory, server, "--attach", other) as (agent, prefix), \
            brief.staying(binary, 0, prefix=prefix, OTEL_SERVICE_NAME=inner) as one, \
            brief.staying(binary, 0, OTEL_SERVICE_NAME=outer) as two:
        wait_attached(agent, two.pid, binary)
        wait_until("attached beforehand", lambda: f"attached: '{other}'" in agent.output())
        brief.fire(one, 10)
        brief.fire(two, 20)
        for _ in range(5):
            brief.run(binary, 3, prefix=prefix, OTEL_SERVICE_NAME=inner)
            brief.run(binary, 4, OTEL_SERVICE_NAME=outer)
            brief.run(other, 6)
            brief.run(other, 7, "--title", OTEL_SERVICE_NAME=outer, OTEL_RESOURCE_ATTRIBUTES="service.namespace=shop")
            brief.run(binary, 8, prefix=[*prefix, "unshare", "--pid", "--fork"], OTEL_SERVICE_NAME=inner)
        for what, name, want in (("inside", inner, 65), ("outside", outer, 75),
                                 ("outside, without a name", f"unknown_service:{other.name}", 30)):
            checks.equal(f"{what}: exact", brief.wait_total(server, name, want), want)
        resources = brief.Resources(snapshot_after(server))
        checks.equal("inside: the level", resources.total(inner, "brief.level"), 10)
        checks.equal("outside: no level, which nobody there can read", resources.total(outer, "brief.level"), None)
        checks.equal("inside: one resource", len(resources.named(inner)), 1)
        checks.equal("outside: with what it said of itself",
                     sorted(row[0].get("service.namespace", "") for row in resources.named(outer)), ["", "shop"])
        mine = {row[0]["service.name"] for row in resources.rows if str(os.getpid()) in row[0]["service.name"]}
        checks.equal("nobody goes by another name", mine, {inner, outer, f"unknown_service:{other.name}"})
        os.kill(pid_of(one, binary), signal.SIGKILL)
        checks.equal("inside: its level falls when it is killed",
                     brief.wait_total(server, inner, 0, metric="brief.level"), 0)
        checks.equal("it says so, once", agent.output().count(SAYS), 1)
        agent.signal(signal.SIGTERM)
        checks.equal("ends with status 0", agent.wait(30), 0)


def per_process(checks, directory, binary):
    """--per-process: one resource for counter and level of a process, with the pid that is its own in there."""
    name = own_name("each")
    deeper = ["unshare", "--pid", "--fork", "--kill-child"]
    with Server() as server, inside_agent(directory, server, "--per-process") as (agent, prefix), \
            brief.staying(binary, 0, prefix=prefix, OTEL_SERVICE_NAME=name) as one, \
            brief.staying(binary, 0, prefix=[*prefix, *deeper], OTEL_SERVICE_NAME=name) as two, \
            brief.staying(binary, 0, OTEL_SERVICE_NAME=name) as outer:
        wait_attached(agent, outer.pid, binary)
        pids = [pid_of(process, binary) for process in (one, two)]
        for process, count in ((one, 30), (two, 50), (outer, 70)):
            brief.fire(process, count)
        brief.wait_total(server, name, 150)
        rows = brief.Resources(snapshot_after(server)).named(name)
        want = {numbers(pid)[1]: {"brief.total": count, "brief.level": count} for pid, count in zip(pids, (30, 50))}
        want[outer.pid] = {"brief.total": 70}
        checks.equal("each process once, by its own number", {row[0]["process.pid"]: row[1] for row in rows}, want)
        checks.equal("three resources", len(rows), 3)
        subprocess.run(["kill", str(pids[1])], check=False)  # its unshare lives as long


def outside(checks, directory, _):
    """In the host's own namespace there is nothing to say."""
    if os.stat("/proc/self/ns/pid").st_ino != 0xeffffffc:
        checks.skip("an agent in the initial pid namespace", "this test is not in it")
        return
    with Server() as server, Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp,
                                   OTEL_METRIC_EXPORT_INTERVAL=INTERVAL_MS) as agent:
        server.wait_requests(1)
        checks.equal("in the host's own it says nothing", agent.output().count(SAYS), 0)


def main():
    checks = Checks("inside")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("inside") as directory:
        binary = brief.build(directory)
        for name, part in (("services", services), ("per process", per_process), ("outside", outside)):
            if len(sys.argv) > 1 and sys.argv[1] not in name:
                continue
            with checks.run(name):
                part(checks, directory, binary)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
