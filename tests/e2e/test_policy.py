#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Who is counted, and who may use which name, by the administrator's rules."""
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import brief
import elf
from agent import Agent, own_name, run_to_end
from capture import Server
from checks import Checks
from driven import snapshot_after
from process import ROOT, scratch
from test_containers import cgroup, cgroups, pid_of, swept

INTERVAL_MS = 500
USER = 61000 + os.getpid() % 4000  # nobody's


def start(directory, server, *arguments):
    return Agent(directory, *arguments, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp,
                 OTEL_METRIC_EXPORT_INTERVAL=INTERVAL_MS)


def raised(pid, binary):
    """How far the semaphores of this process are raised; one is enough, however many agents listen."""
    return max(elf.semaphores(pid, elf.Elf(binary)).values())


def links(path):
    """Which processes hold a link to probes of this file: {pid}."""
    held = set()
    for info in pathlib.Path("/proc").glob("[0-9]*/fdinfo/*"):
        try:
            if f"path:\t{path}\n" in info.read_text():
                held.add(int(info.parts[2]))
        except OSError:  # ended, or closed
            continue
    return held


def other_agents(agent):
    """Whoever else may listen on this host, also by links that do not say their file."""
    found = set()
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text() == "probemeter\n":
                found.add(int(comm.parts[2]))
        except OSError:
            continue
    return found - {agent.pid}


def left_alone(checks, what, agent, process, other):
    """Our @agent listens to @other and not to @process, whose semaphores are 0 unless somebody else's agent listens."""
    path, beside = (os.readlink(f"/proc/{one.pid}/exe") for one in (process, other))
    checks.ok(f"{what}: it listens to another file", agent.pid in links(beside), links(beside))
    holders = links(path)
    checks.ok(f"{what}: not to this one", agent.pid not in holders, holders)
    others = other_agents(agent)
    if raised(process.pid, path) and others:
        checks.skip(f"{what}: semaphores are 0", f"agents that are not this test's listen: {others}")
    else:
        checks.equal(f"{what}: semaphores are 0", raised(process.pid, path), 0)


def by_path(checks, directory, binary):
    """An excluded file is not attached to: its semaphores stay as they were."""
    bad = brief.copy(binary, "bad")
    for flag, rule in (("--exclude", f"path:*/bad-{os.getpid()}"), ("--exclude", f"*/bad-{os.getpid()}"),
                       ("--include", f"path:*/{binary.name}")):
        with Server() as server, start(directory, server, flag, rule) as agent, \
                brief.staying(bad, 0, OTEL_SERVICE_NAME=own_name("bad")) as excluded, \
                brief.staying(binary, 0, OTEL_SERVICE_NAME=own_name("good")) as counted:
            agent.wait_attached(counted.pid, binary)
            swept(server)
            left_alone(checks, f"{flag} {rule}", agent, excluded, counted)
            brief.fire(excluded, 5)
            brief.fire(counted, 7)
            brief.run(bad, 5, OTEL_SERVICE_NAME=own_name("bad"))
            brief.run(binary, 7, OTEL_SERVICE_NAME=own_name("good"))
            checks.equal(f"{flag} {rule}: the other is exact", brief.wait_total(server, own_name("good"), 14), 14)
            checks.equal(f"{flag} {rule}: nothing of it is exported",
                         brief.Resources(snapshot_after(server)).named(own_name("bad")), [])
            checks.ok(f"{flag} {rule}: nor said attached", f"attached: '{bad}'" not in agent.output(), agent.output())


def soon(checks, directory, binary):
    """Rules that choose are asked at once: a new file is attached as fast as without them."""
    for rule in (("--exclude", "uid:4294967294"), ("--include", "path:*/soon-*")):
        with Server() as server, start(directory, server, *rule) as agent:
            agent.wait_ready("the first look", lambda: any(words in agent.output() for words in
                                                          ("no process has probes", "processes have probes", "attached:")))
            took = []
            for number in range(5):
                with brief.staying(brief.copy(binary, f"soon-{number}"), 0, OTEL_SERVICE_NAME=own_name("soon")) as process:
                    since = time.monotonic()
                    agent.wait_attached(process.pid, pathlib.Path(os.readlink(f"/proc/{process.pid}/exe")))
                    took.append(time.monotonic() - since)
            # Without being asked at once a file waits for the next look at processes, a second later.
            checks.ok(f"{' '.join(rule)}: within half a second", sorted(took)[2] < 0.5, took)


CLASH = """#include <probemeter/probemeter.h>
#include <unistd.h>
PROBEMETER_{kind}(clash, "clash.total", "{{clash}}", "One name, two meanings")
int main(void) {{ PROBEMETER_{fire}(clash, 1); return pause(); }}
"""


def left_out(checks, directory, _):
    """Files that the rules leave out: that there are some is said, and of their metrics nothing."""
    with contextlib.ExitStack() as stack:
        files = []
        for kind, fire in (("HISTOGRAM", "RECORD"), ("COUNTER", "ADD")):
            files.append(directory / f"clash-{fire.lower()}-{os.getpid()}")
            subprocess.run([os.environ.get("CC", "cc"), "-O2", f"-I{ROOT}/include", "-x", "c", "-", "-o", files[-1]], check=True,
                           input=CLASH.format(kind=kind, fire=fire), text=True)
            process = stack.enter_context(subprocess.Popen([files[-1]]))
            stack.callback(process.kill)
        for rules in (["--include", f"path:{files[1]}"], ["--exclude", f"path:{files[0]}"], []):
            with Server() as server, start(directory, server, *rules) as agent:
                for file in files[1:] if rules else files:
                    agent.wait_ready("attached", lambda file=file: f"attached: '{file}'" in agent.output())
                swept(server)
                checks.equal(f"{' '.join(rules[:1]) or 'no rule'}: a conflict of names is told where both files are attached",
                             any("'clash.total'" in line and "differs in kind" in line for line in agent.lines()), not rules)
        with Server() as server, start(directory, server, "--exclude", "path:*") as agent:
            agent.wait_ready("the first look", lambda: " probes" in agent.output() and "looking for new ones" in agent.output())
            checks.ok("all excluded: it says so", "by the rules (--include, --exclude, --policy) none of them is counted" in agent.output() and
                      "no process has probes yet" not in agent.output(), agent.tail())


def by_uid(checks, directory, binary):
    """Of one file: an excluded user's processes are not counted, brief or not; with an include only they are."""
    for flag, shown, hidden in (("--exclude", "root", "user"), ("--include", "user", "root")):
        with Server() as server, start(directory, server, flag, f"uid:{USER}") as agent, \
                brief.staying(binary, 1, "--user", str(USER), OTEL_SERVICE_NAME=own_name("user")) as user, \
                brief.staying(binary, 1, OTEL_SERVICE_NAME=own_name("root")) as root:
            agent.wait_attached(root.pid, binary)
            for _ in range(3):
                brief.fire(user, 10)
                brief.fire(root, 10)
                brief.run(binary, 100, "--user", str(USER), OTEL_SERVICE_NAME=own_name("user"))
                brief.run(binary, 100, OTEL_SERVICE_NAME=own_name("root"))
                swept(server)
            checks.equal(f"{flag}: exact", brief.wait_total(server, own_name(shown), 330), 330)
            resources = brief.Resources(snapshot_after(server))
            checks.equal(f"{flag}: the level", resources.total(own_name(shown), "brief.level"), 10)
            checks.equal(f"{flag}: nothing of the others", resources.named(own_name(hidden)), [])


def by_cgroup(checks, directory, binary):
    """A file that only excluded processes run is left alone; a counted process elsewhere has it attached."""
    if "v2" not in cgroups():
        checks.skip("by cgroup", "no cgroup v2 here that may be written to")
        return
    other = brief.copy(binary, "elsewhere")
    path = f"probemeter-{os.getpid()}/off"
    with Server() as server, start(directory, server, "--exclude", f"cgroup:*/probemeter-{os.getpid()}/*") as agent, \
            cgroup(cgroups()["v2"], path) as inside, \
            brief.staying(binary, 0, prefix=inside, OTEL_SERVICE_NAME=own_name("inside")) as excluded, \
            brief.staying(other, 0, OTEL_SERVICE_NAME=own_name("elsewhere")) as elsewhere:
        agent.wait_attached(elsewhere.pid, other)
        swept(server)
        left_alone(checks, "cgroup, while nobody else runs it", agent, excluded, elsewhere)
        with brief.staying(binary, 0, OTEL_SERVICE_NAME=own_name("outside")) as counted:
            agent.wait_attached(counted.pid, binary)
            brief.fire(counted, 9)
            brief.fire(excluded, 9)
            brief.run(binary, 90, prefix=inside, OTEL_SERVICE_NAME=own_name("inside"))
            checks.equal("cgroup: exact outside", brief.wait_total(server, own_name("outside"), 9), 9)
            swept(server)
            checks.equal("cgroup: nothing of inside",
                         brief.Resources(snapshot_after(server)).named(own_name("inside")), [])


def dropped(checks, directory, binary):
    """Without rules a root master and its workers, who have dropped their privileges, are one service."""
    name = own_name("dropped")
    with Server() as server, start(directory, server) as agent, \
            brief.staying(binary, 0, OTEL_SERVICE_NAME=own_name("first")) as first:
        agent.wait_attached(first.pid, binary)
        with brief.staying(binary, 10, "--fork", "3", "--drop", str(USER), settled=4, OTEL_SERVICE_NAME=name) as master:
            workers = pathlib.Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()
            checks.equal("the workers are somebody else",
                         {pathlib.Path(f"/proc/{pid}").stat().st_uid for pid in workers}, {USER})
            checks.equal("one service: exact", brief.wait_total(server, name, 40), 40)
            resources = brief.Resources(snapshot_after(server))
            checks.equal("one service: the level", resources.total(name, "brief.level"), 40)
            checks.equal("one service: one resource", len(resources.named(name)), 1)


def names(checks, directory, binary):
    """A name is for those whom the rules name; others go under their own, and one line says so."""
    name, given = own_name("orders"), own_name("given")
    odd = brief.copy(binary, "odd")
    policy = directory / "policy"
    policy.write_text(f"# who may be whom\nname {own_name('order')[:-len(str(os.getpid()))]}* uid:1\n"
                      f"name {name} uid:{USER}\nservice path:*/odd-{os.getpid()} {given}\n")
    with Server() as server, start(directory, server, "--policy", policy) as agent, \
            brief.staying(binary, 0, OTEL_SERVICE_NAME=own_name("first")) as first, \
            brief.staying(odd, 0, OTEL_SERVICE_NAME=own_name("first")) as second:
        agent.wait_attached(first.pid, binary)
        agent.wait_attached(second.pid, odd)
        with brief.staying(binary, 10, OTEL_SERVICE_NAME=name), \
                brief.staying(binary, 20, "--user", str(USER), OTEL_SERVICE_NAME=name):
            for _ in range(4):
                brief.run(binary, 1, OTEL_SERVICE_NAME=name)
                brief.run(binary, 2, "--user", str(USER), OTEL_SERVICE_NAME=name)
                brief.run(odd, 3, OTEL_SERVICE_NAME=name)
            checks.equal("who may: exact", brief.wait_total(server, name, 28), 28)
            checks.equal("who may not: under its own",
                         brief.wait_total(server, f"unknown_service:{binary.name}", 14), 14)
            checks.equal("or as the rules call it", brief.wait_total(server, given, 12), 12)
            resources = brief.Resources(snapshot_after(server))
            checks.equal("the levels too", [resources.total(name, "brief.level"),
                                            resources.total(f"unknown_service:{binary.name}", "brief.level")], [20, 10])
        said = [line for line in agent.lines() if f"'{name}'" in line and "may not use" in line]
        checks.equal("one line for each", len(said), 2)
        checks.ok("it names executable, user and what it is counted as",
                  any(str(binary) in line and "uid 0" in line and f"unknown_service:{binary.name}" in line
                      for line in said), said)


def wrong(checks, directory, _):
    """A rule that says nothing is an error, not a rule less."""
    policy = directory / "wrong"
    policy.write_text("include path:/srv/*\nexclude uid:root\n")
    for arguments, words in ((["--exclude", "uid:root"], "uid:N"), (["--include", "pth:/srv/*"], "path:GLOB"), (["--service", "x"], "GLOB=NAME"),
                             (["--policy", policy], "line 2"), (["--policy", directory / "none"], "No such file")):
        status, _, lines = run_to_end("run", "--once", "--exporter", "console", *arguments)
        checks.equal(f"{arguments[0]} {os.path.basename(arguments[1])}: status 2, one line", (status, len(lines)),
                     (2, 1))
        checks.ok("which says what was expected", words in lines[0], lines)


def main():
    checks = Checks("policy")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    only = sys.argv[1:]
    with scratch("policy") as directory:
        directory.chmod(0o755)
        binary = brief.build(directory)
        for name, part in (("path", by_path), ("soon", soon), ("left out", left_out), ("uid", by_uid), ("cgroup", by_cgroup), ("dropped", dropped),
                           ("names", names), ("wrong", wrong)):
            if only and name not in only:
                continue
            with checks.run(name):
                part(checks, directory, binary)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
