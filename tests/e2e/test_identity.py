#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Whose metric is it: each process counts under the name it has the right to, however short it lives and whatever it
writes over its environment; and a service, or with --per-process a process, is one resource that no other one shares."""
import contextlib
import os
import pathlib
import signal
import sys

import brief
from agent import Agent, own_name
from capture import Server
from checks import Checks
from driven import snapshot_after
from process import scratch
from test_containers import cgroup, cgroups

INTERVAL_MS = 500


def start(directory, server, *arguments, **variables):
    return Agent(directory, *arguments, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp,
                 OTEL_METRIC_EXPORT_INTERVAL=INTERVAL_MS, **variables)


@contextlib.contextmanager
def watched(directory, binary, *arguments, **variables):
    """An agent that is attached to @binary: (server, agent)."""
    with Server() as server, start(directory, server, *arguments, **variables) as agent:
        with brief.staying(binary, 0, OTEL_SERVICE_NAME=own_name("first")) as process:
            agent.wait_attached(process.pid, binary)
        yield server, agent


def names(checks, directory, binary):
    """Own words before the agent's rules, those before what the host knows; of processes gone before anybody looks."""
    ruled, other = brief.copy(binary, "ruled"), brief.copy(binary, "other")
    rules = ["--service", f"path:*/ruled-{os.getpid()}={own_name('by-path')}", "--service",
             f"*/other-{os.getpid()}={own_name('by-glob')}", "--service", f"path:*={own_name('too-late')}"]
    with watched(directory, binary, *rules[:4]) as (server, agent):
        with brief.staying(ruled, 0, OTEL_SERVICE_NAME=own_name("first")) as one, \
                brief.staying(other, 0, OTEL_SERVICE_NAME=own_name("first")) as two:
            agent.wait_attached(one.pid, ruled)
            agent.wait_attached(two.pid, other)
        for turn in range(5):
            brief.run(binary, 3)
            brief.run(ruled, 5)
            brief.run(other, 7)
            brief.run(ruled, 11, TRACING_SERVICE_NAME=own_name("tracing"))
            brief.run(ruled, 13, TRACING_SERVICE_NAME=own_name("tracing"), OTEL_SERVICE_NAME=own_name("otel"))
            brief.run(ruled, 17, TRACING_SERVICE_NAME=own_name("tracing"),
                      OTEL_RESOURCE_ATTRIBUTES=f"a=b,service.name={own_name('attribute')}")
        for name, want in ((f"unknown_service:{binary.name}", 15), (own_name("by-path"), 25), (own_name("by-glob"), 35),
                           (own_name("tracing"), 55), (own_name("otel"), 65), (own_name("attribute"), 85)):
            checks.equal(f"{name}: exact", brief.wait_total(server, name, want), want)
        checks.equal("no warning", agent.warnings(directory), [])


def brief_lives(checks, directory, binary):
    """200 processes, each gone within a millisecond or so, of ten names."""
    with watched(directory, binary) as (server, _):
        for turn in range(200):
            brief.run(binary, turn, OTEL_SERVICE_NAME=own_name(f"job{turn % 10}"))
        for job in range(10):
            want = sum(range(job, 200, 10))
            checks.equal(f"job {job}: exact", brief.wait_total(server, own_name(f"job{job}"), want), want)


def titles(checks, directory, binary):
    """A process that writes over its environment before its first event, and its children, keep their name."""
    name, long_name = own_name("titled"), own_name("n" * 300)
    with watched(directory, binary) as (server, _):
        for _ in range(10):
            brief.run(binary, 5, "--title", OTEL_SERVICE_NAME=name, OTEL_RESOURCE_ATTRIBUTES="service.namespace=shop")
        brief.run(binary, 9, "--title", OTEL_SERVICE_NAME=long_name)
        checks.equal("gone at once: exact", brief.wait_total(server, name, 50), 50)
        checks.equal("a long name", brief.wait_total(server, long_name, 9), 9)
        with brief.staying(binary, 100, "--title", "--fork", "3", settled=4, OTEL_SERVICE_NAME=name,
                           OTEL_RESOURCE_ATTRIBUTES="service.namespace=shop"):
            checks.equal("with three children: exact", brief.wait_total(server, name, 450), 450)
            resources = brief.Resources(snapshot_after(server))
            checks.equal("the levels of all four", resources.total(name, "brief.level"), 400)
            checks.equal("all of it is one resource", [row[0].get("service.namespace") for row in resources.named(name)],
                         ["shop"])


def resources(checks, directory, binary):
    """Two of one name with other attributes are two; one request has each once; ids outlive the agent."""
    name = own_name("pods")
    ids = []
    for _ in range(2):
        with watched(directory, binary) as (server, agent), \
                brief.staying(binary, 4, OTEL_SERVICE_NAME=name, OTEL_RESOURCE_ATTRIBUTES="k8s.pod.name=a"), \
                brief.staying(binary, 6, OTEL_SERVICE_NAME=name, OTEL_RESOURCE_ATTRIBUTES="k8s.pod.name=a"), \
                brief.staying(binary, 9, OTEL_SERVICE_NAME=name, OTEL_RESOURCE_ATTRIBUTES="k8s.pod.name=b"):
            brief.wait_total(server, name, 19)
            rows = brief.Resources(snapshot_after(server)).named(name)
            checks.equal("each pod once, with its own", {row[0]["k8s.pod.name"]: row[1] for row in rows},
                         {"a": {"brief.total": 10, "brief.level": 10}, "b": {"brief.total": 9, "brief.level": 9}})
            checks.equal("two resources", len(rows), 2)
            ids.append({row[0]["k8s.pod.name"]: row[0]["service.instance.id"] for row in rows})
            checks.equal("ends with status 0", agent.stop(), 0)
    checks.ok("their service.instance.ids differ", ids[0]["a"] != ids[0]["b"], ids)
    checks.equal("and are the same after a restart", ids[0], ids[1])


def places(checks, directory, binary):
    """Rules about the cgroup and the unit, of processes that are gone before anybody looks; and with no rule the unit's name."""
    root = cgroups().get("v2")
    if not root:
        checks.skip("names by cgroup and unit", "no cgroup v2 here that may be written to")
        return
    top = f"probemeter-{os.getpid()}"
    paths = {"batch": f"{top}/batch/job", "unit": f"{top}/shop-{os.getpid()}@7.service", "none": f"{top}/other-{os.getpid()}.service"}
    rules = ["--service", f"cgroup:*/{top}/batch/*={own_name('by-cgroup')}",
             "--service", f"unit:shop-{os.getpid()}@*.service={own_name('by-unit')}"]
    with watched(directory, binary, *rules) as (server, agent), cgroup(root, paths["batch"]) as batch, \
            cgroup(root, paths["unit"]) as unit, cgroup(root, paths["none"]) as none:
        for _ in range(3):
            brief.run(binary, 5, prefix=batch)
            brief.run(binary, 7, prefix=unit)
            brief.run(binary, 11, prefix=none)
            brief.run(binary, 13, prefix=unit, OTEL_SERVICE_NAME=own_name("own"))
        with brief.staying(binary, 100, prefix=unit):
            for name, want in ((own_name("by-cgroup"), 15), (own_name("by-unit"), 121),
                               (f"other-{os.getpid()}", 33), (own_name("own"), 39)):
                checks.equal(f"{name}: exact", brief.wait_total(server, name, want), want)
            checks.equal("the level under the unit's name",
                         brief.Resources(snapshot_after(server)).total(own_name("by-unit"), "brief.level"), 100)
        checks.equal("no warning", agent.warnings(directory), [])


def per_process(checks, directory, binary):
    """--per-process: every process by itself, children too; two with nothing to tell them apart but their pids."""
    name = own_name("each")
    with watched(directory, binary, "--per-process") as (server, _), \
            brief.staying(binary, 30, "--fork", "2", settled=3, OTEL_SERVICE_NAME=name) as one, \
            brief.staying(binary, 50, OTEL_SERVICE_NAME=name) as two:
        brief.wait_total(server, name, 140)
        rows = brief.Resources(snapshot_after(server)).named(name)
        children = {int(pid) for pid in
                    pathlib.Path(f"/proc/{one.pid}/task/{one.pid}/children").read_text().split()}
        want = {pid: {"brief.total": 30, "brief.level": 30} for pid in {one.pid} | children}
        want[two.pid] = {"brief.total": 50, "brief.level": 50}
        checks.equal("each process has its own", {row[0].get("process.pid"): row[1] for row in rows}, want)
        checks.equal("four service.instance.ids", len({row[0]["service.instance.id"] for row in rows}), 4)


def veiled(checks, directory, binary):
    """Processes older than the agent, whose environment cannot be read at their first events: these wait for their name."""
    ids = range(5)
    with Server() as server, contextlib.ExitStack() as stack:
        processes = [stack.enter_context(brief.staying(binary, 0, "--veil", PAD="x" * 16384, OTEL_SERVICE_NAME=own_name(f"veiled{i}")))
                     for i in ids]
        with start(directory, server) as agent:
            for process in processes:
                agent.wait_attached(process.pid, binary)
            for process in processes:
                brief.fire(process, 50)
                process.kill()
                process.wait()
            for i in ids:
                checks.equal(f"{i}: exact", brief.wait_total(server, own_name(f"veiled{i}"), 100), 100)
            checks.equal("nothing without a name", brief.Resources(snapshot_after(server)).total(f"unknown_service:{binary.name}"), None)


def main():
    checks = Checks("identity")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("identity") as directory:
        binary = brief.build(directory)
        for name, part in (("names", names), ("lives of a millisecond", brief_lives), ("titles", titles), ("veiled", veiled),
                           ("resources", resources), ("places", places), ("per process", per_process)):
            with checks.run(name):
                part(checks, directory, binary)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
