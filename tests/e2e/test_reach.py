#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Processes in which no probe can fire, or should: `probemeter probes` says so; what can be counted of them is, and
nobody dies of it."""
import json
import os
import shutil
import signal
import subprocess
import sys

import brief
from agent import HERE, Agent, own_name, run_to_end
from capture import Server
from checks import Checks
from driven import Driven, snapshot_after, total, wait_total
from process import ROOT, Failed, scratch
from test_containers import swept
from test_policy import links, other_agents

INTERVAL_MS = 500


def start(directory, server, *arguments):
    return Agent(directory, *arguments, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp,
                 OTEL_METRIC_EXPORT_INTERVAL=INTERVAL_MS)


def states(pid):
    """{metric: what `probemeter probes` says of it} in a process."""
    status, lines, errors = run_to_end("probes", str(pid), "--json")
    if status:
        raise Failed(f"probes {pid}: {errors}")
    return {row["name"]: row["state"] for row in json.loads("\n".join(lines))}


class Moved(Driven):
    """build of moved.c: answers are lines that say "ready"."""

    def answer(self, timeout_s=60.0):
        line = self.process.stdout.readline()
        if line != b"ready\n":
            raise Failed(f"{self.binary} (pid {self.pid}) is gone: exit status {self.process.wait()}")


def moved(checks, directory):
    """Code in anonymous memory: no event is counted there, and nobody dies; levels are read
    while one page of it is the file's."""
    binary = directory / f"moved-{os.getpid()}"
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror",
                    f"-I{ROOT}/include", str(HERE / "moved.c"), "-o", str(binary)], check=True)
    other = brief.copy(binary, "moved-all")  # of its own: nobody has attached to it before it moves
    with Server() as server, Moved(binary, "moved-part", "part") as part, Moved(other, "moved-all", "all") as whole:
        for service in (part, whole):
            service.answer()
        with start(directory, server) as agent, Moved(binary, "moved-not") as usual:
            usual.answer()
            agent.wait_attached(usual.pid, binary)
            for service in (part, whole, usual):
                service.ask("7")
            checks.equal("beside them: exact", wait_total(server, usual.service, "moved.total", 7), 7)
            request = snapshot_after(server)
            checks.equal("moved: not counted",
                         [total(request, one.service, "moved.total") or 0 for one in (part, whole)], [0, 0])
            checks.equal("moved but for a page: the level", total(request, part.service, "moved.level"), 7)
            checks.equal("of the usual one it says that it is attached", states(usual.pid),
                         {"moved.total": "attached", "moved.level": "level: read from the process, no trap"})
            said = states(part.pid)
            checks.ok("of one that was moved but for a page that it cannot fire, and why",
                      said["moved.total"].startswith("cannot fire: its code was moved"), said)
            checks.equal("and its level is read", said["moved.level"], "level: read from the process, no trap")
            said = states(whole.pid)
            checks.ok("of one that was moved whole, too",
                      said["moved.total"].startswith("cannot fire: its code was moved"), said)
            checks.ok("and that its level is not read", said["moved.level"].startswith("level: not read"), said)
            said = [line for line in run_to_end("probes")[1] if "cannot fire" in line and "moved.total" in line]
            checks.ok("without a process named, it says so of those that the agent finds", said, said)
            for service in (part, whole, usual):
                service.ask("8")
            checks.equal("nobody has died", [one.end() for one in (part, whole, usual)], [0, 0, 0])


def under_valgrind(checks, directory):
    """A process under valgrind is told; left alone by --exclude, it lives."""
    if not shutil.which("valgrind"):
        checks.skip("under valgrind", "valgrind is not installed")
        return
    binary = brief.build(directory, "memchecked")
    usual = brief.copy(binary, "usual")
    with Server() as server, start(directory, server, "--exclude", "*/valgrind/*") as agent, \
            brief.staying(binary, 0, prefix=["valgrind", "-q"], OTEL_SERVICE_NAME=own_name("memchecked")) as checked, \
            brief.staying(usual, 0, OTEL_SERVICE_NAME=own_name("usual")) as other:
        agent.wait_attached(other.pid, usual)
        swept(server)
        said = states(checked.pid)
        checks.ok("it must not fire, and what to do", said["brief.total"].startswith("must not fire: ") and
                  "--exclude '*/valgrind/*'" in said["brief.total"], said)
        checks.equal("others may", states(other.pid)["brief.total"], "attached")
        checks.ok("the agent listens to another file", agent.pid in links(usual), links(usual))
        checks.ok("and not to this one", agent.pid not in links(binary), links(binary))
        try:
            brief.fire(checked, 10)
            checks.ok("fired, it lives", True)
        except (Failed, BrokenPipeError):
            others = other_agents(agent)
            if not others:
                checks.ok("fired, it lives", False, f"wait status {checked.wait()}")
            else:
                checks.skip("fired, it lives", f"agents that are not this test's listen: {others}")


def main():
    checks = Checks("reach")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("reach") as directory:
        for name, part in (("moved", moved), ("valgrind", under_valgrind)):
            if len(sys.argv) > 1 and sys.argv[1] not in name:
                continue
            with checks.run(name):
                part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
