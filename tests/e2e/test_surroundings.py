#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""A service that is debugged, traced, caged by seccomp, interrupted by signals, or fires in children of vfork does the same
with the agent and without it, and every event is counted.

The load is build/services/surroundings. Each of the cases runs twice: while nobody listens, and while the agent does.
"""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import capture
from agent import Agent
from checks import Checks
from driven import Driven, drops, fast_nop, others_attached, snapshot_after, start_agent, values, wait_attached, warnings
from process import BUILD, Failed, in_own_pid_namespace, scratch, wait_until

PROGRAM = BUILD / "services" / "surroundings"
METRICS = ("surroundings.count", "surroundings.time")
PLACES = ("main", "handler", "vforked")
NOTHING = dict.fromkeys(PLACES, 0)
EVENTS = 3000
# Name, what is done before the agent has attached, what behind that.
CASES = (
    ("seccomp kill, set before the attach", ["filter kill"], [f"fire {EVENTS}"]),
    ("seccomp kill, set behind the attach", [f"fire {EVENTS}"], [f"fire {EVENTS}", "filter kill", f"fire {EVENTS}"]),
    ("seccomp trap, before", ["filter trap"], [f"fire {EVENTS}"]),
    ("seccomp trap, behind", [], [f"fire {EVENTS}", "filter trap", f"fire {EVENTS}"]),
    ("seccomp errno, before", ["filter errno"], [f"fire {EVENTS}"]),
    ("seccomp errno, behind", [], [f"fire {EVENTS}", "filter errno", f"fire {EVENTS}"]),
    ("seccomp strict, before", ["strict"], [f"fire {EVENTS}"]),
    ("seccomp strict, behind", [], [f"fire {EVENTS}", "strict", f"fire {EVENTS}"]),
    ("signal handlers", [], ["signal 400000"]),
    ("children of vfork", ["vfork 20"], ["vfork 200", f"fire {EVENTS}", "vfork 200"]),
)


def counted(request, service):
    """{where: (count, count of values)} as exported."""
    found = [{labels[0]: value for labels, value in values(request, service, metric).items() if value} for metric in METRICS]
    return {where: tuple(one.get(where, 0) for one in found) for where in set(found[0]) | set(found[1])}


def expected(before, after):
    return {where: (after[where] - before[where],) * 2 for where in PLACES if after[where] > before[where]}


def behaviour(answers):
    """What must be the same with and without the agent: all but how often a timer came."""
    return [{key: value for key, value in one.items() if key != "handler"} for one in answers]


def alone(checks):
    """The cases without our agent: {name: (behaviour, exit status)}."""
    found = {}
    for number, (name, early, late) in enumerate(CASES):
        with Driven("surroundings", f"surroundings-alone-{number}") as one:
            one.answer()
            found[name] = behaviour([one.ask(command) for command in early + late]), one.end()
    checks.equal("without the agent: every case ends with status 0", {status for _, status in found.values()}, {0})
    return found


def caged(checks, directory):
    """seccomp in all its modes, signal handlers, vfork: each in a process of its own."""
    without = alone(checks)
    with capture.Server() as server, contextlib.ExitStack() as stack:
        running = [stack.enter_context(Driven("surroundings", f"surroundings-{number}")) for number in range(len(CASES))]
        before, answers = [], {}
        for one, (_, early, _) in zip(running, CASES):
            one.answer()
            before.append([one.ask(command) for command in early])
        agent = stack.enter_context(start_agent(directory, server))
        for one in running:
            wait_attached(agent, one)
        for one, first, (name, _, late) in zip(running, before, CASES):
            with checks.run(name):
                answers[name] = first + [one.ask(command) for command in late]
        request = snapshot_after(server)
        for one, first, (name, _, _) in zip(running, before, CASES):
            if name in answers:
                checks.equal(f"{name}: every event is counted", counted(request, one.service),
                             expected(first[-1] if first else NOTHING, answers[name][-1]))
                checks.equal(f"{name}: it does what it does without the agent, and ends so",
                             (behaviour(answers[name]), one.end()), without[name])
        handled = answers["signal handlers"][-1]["handler"]
        checks.ok(f"signal handlers: {handled} of them fired", handled > 20, handled)
        checks.equal("nothing is dropped", drops(request, "surroundings."), {})
        checks.equal("ends with status 0", agent.stop(), 0)
        # In a pid namespace it says that it forgets nobody.
        checks.equal("no warning", [line for line in warnings(agent) if "--forget" not in line], [])


def dispatched(checks, directory):
    """Syscall User Dispatch sends back every system call of a process as SIGSYS: what Wine does below Windows programs. A
    probe's call is one. README says so, and to exclude such a service."""
    copy = directory / "dispatched"
    shutil.copy(PROGRAM, copy)
    for excluded in (True, False):
        arguments = ["--exclude", f"path:{copy}"] if excluded else []
        name = "syscall user dispatch" + ", excluded" * excluded
        with capture.Server() as server, Driven("surroundings", "calm") as other, Driven(str(copy), "dispatched") as one, \
                Agent(directory, *arguments, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=500) as agent:
            for service in (one, other):
                service.answer()
            without = one.ask("dispatch 0")
            if without["err"]:
                checks.skip(name, f"this kernel has none: {os.strerror(-without['err'])}")
                return
            wait_attached(agent, other)
            if excluded and others_attached(one):
                checks.skip(name, "another agent of this host is attached")
                continue
            if not excluded:
                wait_attached(agent, one)
            told = one.ask(f"dispatch {EVENTS}")
            checks.equal(f"{name}: it lives, and has fired", (told["err"], told["main"]), (0, EVENTS))
            if excluded:
                checks.equal(f"{name}: no signal, and nothing is counted",
                             (told["sigsys"], counted(snapshot_after(server), one.service)), (0, {}))
            elif fast_nop():
                checks.skip(f"{name}: no signal",
                            f"known: {told['sigsys']} of {2 * EVENTS} probes were sent back to the service as SIGSYS")
            else:
                checks.equal(f"{name}: no signal, every event is counted",
                             (told["sigsys"], counted(snapshot_after(server), one.service)), (0, expected(without, told)))


def is_traced(pid):
    return "TracerPid:\t0" not in pathlib.Path(f"/proc/{pid}/status").read_text()


def traced(checks, directory):
    """strace -f, from the start and attached later."""
    strace = shutil.which("strace")
    if not strace:
        checks.skip("strace", "strace is not installed")
        return
    for number, (when, flags) in enumerate((("from the start", []), ("attached", None),
                                            ("from the start, --seccomp-bpf", ["--seccomp-bpf", "-e", "write"]))):
        log = directory / f"strace-{number}.log"
        prefix = [] if flags is None else [strace, "-f", "-qq", *flags, "-o", log]
        with capture.Server() as server, contextlib.ExitStack() as stack, \
                Driven("surroundings", f"traced-{number}", prefix=prefix) as one:
            one.answer()
            children = pathlib.Path(f"/proc/{one.pid}/task/{one.pid}/children")
            pid = int(children.read_text().split()[0]) if prefix else one.pid
            agent = stack.enter_context(start_agent(directory, server))
            agent.wait_attached(pid, PROGRAM)
            first = one.ask("fire 500")
            if not prefix:
                tracer = subprocess.Popen([strace, "-f", "-qq", "-p", str(pid), "-o", str(log)], stdin=subprocess.DEVNULL,
                                          stderr=subprocess.DEVNULL)
                stack.callback(tracer.wait)
                stack.callback(tracer.terminate)
                wait_until("strace is there", lambda pid=pid: is_traced(pid))
            for command in ("fire 500", "vfork 20", "fire 100"):
                told = one.ask(command)
            checks.equal(f"strace -f, {when}: it did as it was told",
                         (told["err"], told["main"] - first["main"], told["vforked"], told["sigsys"]), (0, 600, 40, 0))
            checks.equal(f"strace -f, {when}: every event is counted", counted(snapshot_after(server), one.service),
                         {"main": (1100, 1100), "vforked": (40, 40)})
            checks.equal(f"strace -f, {when}: it ends with status 0", one.end(), 0)
        calls = re.findall(r"^(?:\d+ +)?(\w+)\(", log.read_text(), re.M)
        probes = calls.count("syscall_0x150") + calls.count("uprobe")
        checks.ok(f"strace -f, {when}: strace saw its answers, and {probes} calls of the kernel's probe",
                  calls.count("write") >= 3, calls[:10])


def debugged(checks, directory):
    """gdb: a breakpoint in the stub of a service under seccomp, run over 200 times."""
    gdb = shutil.which("gdb")
    if not gdb:
        checks.skip("gdb", "gdb is not installed")
        return
    with capture.Server() as server, start_agent(directory, server) as agent, Driven("surroundings", "debugged") as one:
        one.answer()
        wait_attached(agent, one)
        for command in ("fire 1000", "filter kill", "fire 1000"):
            one.ask(command)
        commands = ["break probemeter_site_surroundings_count", "ignore 1 200", "continue", "delete", "detach"]
        debugger = subprocess.Popen([gdb, "-q", "-nx", "-batch", "-ex", "set debuginfod enabled off", "-p", str(one.pid),
                                     *[word for command in commands for word in ("-ex", command)]],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                    env={**os.environ, "HOME": "/nonexistent", "DEBUGINFOD_URLS": ""})
        try:
            wait_until("gdb is there", lambda: is_traced(one.pid))
            told = one.ask("fire 1000")  # it reads this once gdb lets it go on
            output, _ = debugger.communicate(timeout=60)
        finally:
            debugger.kill()
            debugger.wait()
        checks.ok("gdb: stopped at the stub behind those that it was to ignore",
                  re.search(r"^Breakpoint 1, .*probemeter_site_surroundings_count", output, re.M), output[-400:])
        checks.equal("gdb: it did as it was told", (told["err"], told["main"], told["sigsys"]), (0, 3000, 0))
        checks.equal("gdb: every event is counted", counted(snapshot_after(server), one.service), {"main": (3000, 3000)})
        checks.equal("gdb: it ends with status 0", one.end(), 0)


def shadow_stack(checks, directory):
    """On a shadow stack, where the CPU and the kernel have it."""
    if not re.search(r"^flags\s*:.*\buser_shstk\b", pathlib.Path("/proc/cpuinfo").read_text(), re.M):
        checks.skip("shadow stack", "CPU and kernel do not say user_shstk in /proc/cpuinfo")
        return
    with capture.Server() as server, start_agent(directory, server) as agent, \
            Driven("surroundings", "shadow", "shadow") as one:
        try:
            one.answer()
        except Failed:
            checks.skip("shadow stack", "arch_prctl refuses it")
            return
        wait_attached(agent, one)
        for command in (f"fire {EVENTS}", "signal 20000", "vfork 20", "filter kill", f"fire {EVENTS}"):
            told = one.ask(command)
        checks.equal("shadow stack: every event is counted", counted(snapshot_after(server), one.service),
                     expected(NOTHING, told))
        checks.equal("shadow stack: it ends with status 0", one.end(), 0)


def main():
    checks = Checks("surroundings")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    in_own_pid_namespace()
    with scratch("surroundings") as directory:
        for name, part in (("seccomp, signals, vfork", caged), ("syscall user dispatch", dispatched), ("strace", traced),
                           ("gdb", debugged), ("shadow stack", shadow_stack)):
            with checks.run(name):
                part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
