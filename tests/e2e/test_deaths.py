#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Levels of processes that die, in every way there is, and come back under the same number; and of those that an agent
finds late, again, or in the middle of it. The first export whose snapshot is later than the deed has the truth.

The load is build/services/levels; what it is told stands beside what must be exported.
"""
import contextlib
import os
import pathlib
import signal
import sys

import capture
import otlp
from agent import own_name
from checks import Checks
from driven import Driven, snapshot_after, start_agent, total, values, wait_attached
from process import Failed, scratch, wait_until
from test_containers import cgroups
from test_inside import inside_agent, numbers
from test_levels import level

THREADS = 16
LIMIT_MIB, EATEN_MIB = 24, 512


@contextlib.contextmanager
def small_cgroup():
    """A memory cgroup of LIMIT_MIB without swap: a function that puts a process in, and one that counts the killed.
    None where there is no memory controller."""
    limits = {"v1": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control"),
              "v2": ("memory.max", "memory.swap.max", "memory.events")}
    for version, place in cgroups().items():
        own = place / f"probemeter-oom-{os.getpid()}"
        own.mkdir()
        try:
            limit, swap, events = (own / name for name in limits[version])
            if not limit.exists():
                continue
            limit.write_text(str(LIMIT_MIB << 20))
            if swap.exists():
                swap.write_text("0" if version == "v2" else str(LIMIT_MIB << 20))

            def killed():
                rows = dict(line.split() for line in events.read_text().splitlines())
                return int(rows["oom_kill"])

            yield (lambda pid: (own / "cgroup.procs").write_text(str(pid))), killed
            return
        finally:
            with contextlib.suppress(Failed):
                wait_until(f"{own} is empty", lambda: not (own / "cgroup.procs").read_text().strip(), 10)
            own.rmdir()
    yield None, None


def prefork(checks, directory):
    """A master and four workers; each worker dies of something else. What they counted stays, their levels do not."""
    with capture.Server() as server, start_agent(directory, server) as agent, \
            Driven("levels", "deaths") as master, small_cgroup() as (put, oom_kills):
        master.answer()
        wait_attached(agent, master)
        master.ask("set 7")
        workers = [master.ask("fork")["pid"] for _ in range(4)]
        for worker in range(4):
            master.ask(f"tell {worker} add {10 ** (worker + 1)}")
            master.ask(f"tell {worker} latest 1")
            master.ask(f"tell {worker} count 1000")

        def now():
            request = snapshot_after(server)
            return (level(request, master.service, "levels.open"), level(request, master.service, "levels.latest"),
                    total(request, master.service, "levels.events.total"),
                    total(request, master.service, "levels.sizes"))

        checks.equal("four workers: level, latest, counter, histogram", now(), (11117, 1, 4000, 4000))
        if put is None:
            checks.skip("out of memory", "no memory cgroup here that may be made")
            os.kill(workers[3], signal.SIGKILL)
        else:
            put(workers[3])
            before = oom_kills()
            checks.equal("out of memory: the worker is gone", master.ask(f"tell 3 eat {EATEN_MIB}"), {"gone": 3})
            checks.equal("out of memory: it was the kernel that killed it", oom_kills() - before, 1)
        checks.equal("its level falls, what it counted stays", now(), (1117, 1, 4000, 4000))
        checks.equal("SIGSEGV: the worker is gone", master.ask("tell 2 segv"), {"gone": 2})
        checks.equal("SIGSEGV: its level falls, what it counted stays", now(), (117, 1, 4000, 4000))
        os.kill(workers[1], signal.SIGKILL)
        checks.equal("SIGKILL: its level falls, what it counted stays", now(), (17, 1, 4000, 4000))
        checks.equal("another takes its place", master.ask("fork")["child"], 4)
        master.ask("tell 4 add 500")
        master.ask("tell 4 count 11")
        checks.equal("another takes its place: it counts on", now(), (517, 1, 4011, 4011))
        master.ask("tell 0 latest 2")
        checks.equal("latest: by who lives", now(), (517, 2, 4011, 4011))
        master.kill()
        checks.equal("all are gone: no level, no latest, all counts", now(), (0, None, 4011, 4011))
        request = server.requests[-1]
        starts = {p.point.start_time_unix_nano for r in server.requests for p in r.points()
                  if p.service == master.service and p.name == "levels.events.total"}
        checks.equal("no reset is made up", len(starts), 1)
        checks.equal("the export keeps the rules", otlp.complaints(request.message()), [])
        checks.equal("ends with status 0", agent.stop(), 0)


def orphans(checks, directory):
    """Forked at 7, before there is an agent and with one; then the parent is killed, or a child."""
    for when in ("without an agent", "with an agent"):
        with capture.Server() as server, contextlib.ExitStack() as stack, \
                Driven("levels", f"orphans-{when.split()[0]}") as parent:
            def start():
                return stack.enter_context(start_agent(directory, server))

            def now():
                return level(snapshot_after(server), parent.service, "levels.open")

            parent.answer()
            agent = start() if when == "with an agent" else None
            parent.ask("set 7")
            children = [parent.ask(f"orphan {share}")["pid"] for share in (2, 50)]
            for child in children:
                stack.callback(kill_quietly, child)
            agent = agent or start()
            checks.equal(f"forked at 7 {when}: 7, and what each adds", now(), 59)
            os.kill(children[0], signal.SIGKILL)
            checks.equal(f"forked at 7 {when}: a child is killed", now(), 57)
            parent.kill()
            checks.equal(f"forked at 7 {when}: the parent is killed", now(), 50)
            os.kill(children[1], signal.SIGKILL)
            checks.equal(f"forked at 7 {when}: the last is killed", now(), 0)
            checks.equal(f"forked at 7 {when}: ends with status 0", agent.stop(), 0)


def kill_quietly(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def in_the_middle(checks, directory):
    """16 threads ADD and SET while agents come and go: no export is below nothing or above all, at rest each is
    right."""
    with capture.Server() as server, Driven("levels", "middle") as service:
        service.answer()
        service.ask("add 3")
        service.ask("at both set 40")
        service.ask("at both add 2")
        service.tell(f"busy {THREADS}")
        busy = []
        for turn in range(3):
            with start_agent(directory, server, OTEL_METRIC_EXPORT_INTERVAL=200) as agent:
                busy.append(values(snapshot_after(server), service.service, "levels.labelled"))
                checks.equal(f"agent {turn + 1} ends with status 0", agent.stop(), 0)
        with start_agent(directory, server) as agent:
            snapshot_after(server)
            service.tell("add 0")  # enough
            times = service.answer()["times"]
            service.answer()
            request = snapshot_after(server)
            truth = sum(times)
            want = {("both",): 42, ("up",): truth, ("down",): -truth}
            want.update({(f"thread-{n}",): done - 1 + n for n, done in enumerate(times)})
            checks.equal("at rest: equal to the truth", values(request, service.service, "levels.labelled"), want)
            checks.equal("at rest: what was added before there was an agent",
                         level(request, service.service, "levels.open"), 3)
            seen = [found.get(("up",), 0) for found in busy]
            print(f"     the first of each agent's exports: {seen} of {truth}")
            checks.ok("the agents came in the middle", all(0 < up < truth for up in seen), seen)
            everything = [values(one, service.service, "levels.labelled") for one in server.requests]
            ups = [found[("up",)] for found in everything if ("up",) in found]
            downs = [found[("down",)] for found in everything if ("down",) in found]
            checks.ok("never below nothing, never above all, never back", ups == sorted(ups) and 0 <= ups[0] and
                      ups[-1] == truth, ups)
            checks.ok("and so for what falls", downs == sorted(downs, reverse=True) and downs[0] <= 0, downs)
            checks.equal("what nobody changes stands still in each",
                         {found.get(("both",), 42) for found in everything}, {42})
            checks.equal("ends with status 0", agent.stop(), 0)


def start_numbered(number, prefix, service):
    """A `levels` with pid @number there, and its pid here; whoever gets another pid is ended, and tried again."""
    for _ in range(20):
        one = Driven("levels", service, prefix=[*prefix, "sh", "-c", "echo $0 >/proc/sys/kernel/ns_last_pid; "
                                                'exec 3<&0; "$@" <&3 & wait', number - 1])
        one.start()
        pid = one.answer()["ready"]
        if pid == number:
            return one
        one.tell("abort")
        one.kill()
    raise Failed(f"no process got pid {number}")


def reuse(checks, directory):
    """The same pid again, at once, of the same service and of another one, in a namespace where the agent is, too."""
    first, other = "reuse", "reuse-other"
    with capture.Server() as server, inside_agent(directory, server) as (agent, prefix), \
            contextlib.ExitStack() as stack:
        def now():
            request = snapshot_after(server)
            return [(level(request, own_name(name), "levels.open"),
                     total(request, own_name(name), "levels.events.total")) for name in (first, other)]

        def start(number, name):
            one = start_numbered(number, prefix, name)
            stack.callback(one.kill)
            stack.callback(one.tell, "abort")
            return one

        def end(one):
            """It and the sh that started it: dead before anybody can look."""
            stack.pop_all()
            one.tell("abort")
            one.process.wait(10)
            one.kill()

        number = 20000
        one = start(number, first)
        path = os.path.realpath(one.binary)
        agent.wait_ready(f"attached to {path}", lambda: f"attached: '{path}'" in agent.output(), 60)
        agent.wait_ready("listened to", lambda: total(snapshot_after(server), own_name(first), "levels.events.total") or
                         one.ask("count 1"), 20)
        before = total(snapshot_after(server), own_name(first), "levels.events.total")
        one.ask("set 7")
        checks.equal("the first of this pid", now(), [(7, before), (None, None)])
        end(one)
        one = start(number, other)
        one.ask("set 100")
        one.ask("count 30")
        checks.equal("the pid again, of another service", now(), [(0, before), (100, 30)])
        end(one)
        one = start(number, first)
        one.ask("set 5")
        one.ask("count 4")
        checks.equal("the pid again, of the service before", now(), [(5, before + 4), (0, 30)])
        end(one)
        one = start(number, first)
        one.ask("add 2")
        one.ask("count 5")
        checks.equal("the pid again, of the same service", now(), [(2, before + 9), (0, 30)])
        end(one)
        checks.equal("gone", now(), [(0, before + 9), (0, 30)])


def main():
    checks = Checks("deaths")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("deaths") as directory:
        for name, part in (("prefork", prefork), ("orphans", orphans), ("in the middle", in_the_middle),
                           ("pids again", reuse)):
            if len(sys.argv) > 1 and sys.argv[1] not in name:
                continue
            with checks.run(name):
                part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
