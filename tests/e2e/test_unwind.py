#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""The application is not harmed while it is probed: debuggers and profilers see main from inside a stub, exceptions pass,
and what they look at is counted to the unit all the same.

tests/headers proves the same of services that nobody probes, test_redzone.py that no register and no byte of the stack
changes.
"""
import os
import re
import shutil
import signal
import subprocess
import sys

import capture
import elf
from checks import Checks
from driven import Driven, snapshot_after, start_agent, values, wait_attached
from process import scratch

FRAMES = ["unwind_inner", "unwind_middle", "unwind_outer", "main"]


def exceptions(checks, server, unwind):
    """An exception right behind a probe goes through frames with destructors to main()."""
    before = values(snapshot_after(server), unwind.service, "unwind.count")
    told = unwind.ask("throw 20000")
    checks.equal("exceptions: every one was caught, every destructor ran",
                 (told["fired"], told["caught"], told["alive"]), (20000, 20000, 0))
    after = values(snapshot_after(server), unwind.service, "unwind.count")
    checks.equal("exceptions: every event is counted", after.get(("throw",), 0) - before.get(("throw",), 0), 20000)


def profiler_inside(checks, server, unwind):
    """A signal handler that unwinds, as in-process profilers have it, while a probe is under way. Where the kernel has
    turned the probe into a call, most signals come in its trampoline: no unwinder knows the way from there, and stops."""
    told = unwind.ask("profile 2000")
    checks.ok(f"a profiler's signal handler: {told['samples']} samples, {told['in_trampoline']} in the kernel's trampoline",
              told["samples"] > 100, told)
    checks.equal("a profiler's signal handler: from everywhere else always to main", told["lost"], 0)
    checks.equal("a profiler's signal handler: every result is right", told["wrong"], 0)


def with_perf(checks, server, unwind, directory):
    """perf record --call-graph dwarf of the running service: from a stub always to main."""
    perf = shutil.which("perf")
    if not perf:
        checks.skip("perf", "perf is not installed")
        return
    data = directory / "perf.data"
    unwind.tell("fire 0")
    record = subprocess.run([perf, "record", "-q", "-e", "cpu-clock", "-F", "1500", "--call-graph", "dwarf,4096", "-p",
                             str(unwind.pid), "-o", str(data), "--", "sleep", "1.5"], capture_output=True, text=True,
                            env={**os.environ, "HOME": str(directory)}, check=False)
    unwind.tell("enough")
    unwind.answer()
    if record.returncode and re.search("not supported|Permission|paranoid", record.stderr):
        checks.skip("perf", record.stderr.strip().splitlines()[-1])
        return
    script = subprocess.run([perf, "script", "-i", str(data), "-F", "comm,tid,ip,sym"], capture_output=True, text=True,
                            env={**os.environ, "HOME": str(directory)}, check=False).stdout
    stacks = [[line.split(None, 1)[1].strip() if " " in line.strip() else "" for line in part.splitlines()
               if re.match(r"\s+[0-9a-f]+ ", line)] for part in script.split("\n\n")]
    # Linux 6.18 puts instruction and stack pointer back one after the other in that function: in between there is no way.
    inside = [stack for stack in stacks if any(symbol.startswith("probemeter_site_unwind") for symbol in stack) and
              not stack[0].endswith("_sys_uprobe")]

    def user_part(stack):
        """From the stub outwards; a function and what was inlined into it is one."""
        start = next(i for i, symbol in enumerate(stack) if symbol.startswith("probemeter_site_unwind"))
        frames = [symbol for symbol in stack[start + 1:] if not symbol.startswith("probemeter_")]
        return [symbol for i, symbol in enumerate(frames) if i == 0 or symbol != frames[i - 1]]

    wrong = [stack for stack in inside if user_part(stack)[:4] != FRAMES]
    checks.ok(f"perf: {len(stacks)} samples, {len(inside)} of them from inside a stub", len(inside) >= 20,
              f"{len(inside)}; {record.stderr[-300:]}")
    checks.ok("perf: from a stub always to main", inside and not wrong, wrong[:2])


def with_gdb(checks, server, unwind, binary):
    """gdb, attached to the service that the agent has attached to, sees main from inside a stub."""
    gdb = shutil.which("gdb")
    if not gdb:
        checks.skip("gdb", "gdb is not installed")
        return
    _, ten, slow = elf.Elf(binary).places("unwind.count")
    # Not on the nops that are probed: those are the kernel's. On the noted one, and right behind the probed ones.
    for name, stub, offset in (("on the stub's first nop", "unwind_count", 0), ("behind the fast nops", "unwind_count", ten + 10),
                               ("on the other stub's first nop", "unwind_time", 0)):
        before = sum(values(snapshot_after(server), unwind.service, "unwind.count").values())
        unwind.tell("fire 0")
        commands = [f"break *((char *)probemeter_site_{stub} + {offset})", "continue", "echo first\\n", "backtrace",
                    "continue 50", "echo later\\n", "backtrace", "delete", "detach"]
        done = subprocess.run([gdb, "-q", "-nx", "-batch", "-ex", "set debuginfod enabled off", "-p", str(unwind.pid),
                               *[word for command in commands for word in ("-ex", command)]],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, "HOME": "/nonexistent", "DEBUGINFOD_URLS": ""})
        for when in ("first", "later"):
            text = done.stdout.partition(f"\n{when}\n")[2].split("\nlater\n")[0]
            frames = re.findall(r"^#\d+\s+(?:0x[0-9a-f]+ in )?(\w+)", text, re.M)
            frames = [frame for frame in frames if not frame.startswith("probemeter_add") and
                      not frame.startswith("probemeter_record")]
            checks.equal(f"gdb {name}, {when} hit", frames, [f"probemeter_site_{stub}", *FRAMES])
        unwind.tell("enough")
        told = unwind.answer()
        checks.equal(f"gdb {name}: every result is right", told["wrong"], 0)
        after = sum(values(snapshot_after(server), unwind.service, "unwind.count").values())
        checks.equal(f"gdb {name}: {told['fired']} events, all counted", after - before, told["fired"])
    checks.ok("gdb: the slow nop is behind the fast ones", slow > ten, (ten, slow))


def watched(checks, directory):
    with capture.Server() as server, Driven("unwind", "unwind") as unwind, start_agent(directory, server) as agent:
        unwind.answer()
        wait_attached(agent, unwind)
        for name, part in (("exceptions", lambda: exceptions(checks, server, unwind)),
                           ("a profiler inside", lambda: profiler_inside(checks, server, unwind)),
                           ("perf", lambda: with_perf(checks, server, unwind, directory)),
                           ("gdb", lambda: with_gdb(checks, server, unwind, unwind.binary))):
            with checks.run(name):
                part()
        checks.equal("ends with status 0", agent.stop(), 0)
        checks.equal("the service ends with status 0", unwind.end(), 0)


def main():
    checks = Checks("unwinding")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("unwind") as directory:
        with checks.run("a service that is looked at"):
            watched(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
