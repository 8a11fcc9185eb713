#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""No register and no byte of the stack changes under a probe: callers with live data all around it, compiled at every
level, on every nop of the stub that this kernel accepts. The same data beside a nop that is not in a stub: there it does.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import sys

import capture
import elf
from checks import Checks
from driven import Driven, fast_nop, snapshot_after, start_agent, values, wait_attached
from process import BUILD, ROOT, scratch

COMPILERS = ("gcc", "clang")
LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Os")
CALLS = 100000
# What is probed, how, and what redzone is told for its calls to come by there.
NOPS = (("the noted 1-byte nop", "noted", "go"), ("the 5-byte nop", "fast5", "go"), ("the 10-byte nop", "fast10", "go"),
        ("the slow 1-byte nop", "fast5", "fork"))
PROBE_WAY = str(BUILD / "e2e" / "probe_way")


def build(checks, directory, source):
    """[(name, path)] of @source by each compiler at each level."""
    built = []
    for compiler in COMPILERS:
        if not shutil.which(compiler):
            checks.skip(f"{source}, {compiler}", "not installed")
            continue
        for level in LEVELS:
            path = directory / f"{source}-{compiler}{level}"
            subprocess.run([compiler, "-std=c11", level, "-march=native", "-Wall", "-Wextra", "-Werror",
                            f"-I{ROOT}/include", str(ROOT / f"tests/e2e/{source}.c"), "-o", str(path)], check=True)
            built.append((f"{compiler} {level}", path))
    return built


def started(stack, built):
    """[(name, Driven, its first answer)]"""
    running = [(name, stack.enter_context(Driven(str(path), f"redzone-{name}".replace(" ", "")))) for name, path in built]
    return [(name, one, one.answer()) for name, one in running]


def all_told(running, command):
    """Let all run at once: {name: answer}."""
    for _, one, _ in running:
        one.tell(command)
    return {name: one.answer(120.0) for name, one, _ in running}


def by_nop(checks, built, what, way, command):
    """All builds, with one kind of nop probed."""
    with contextlib.ExitStack() as stack:
        running = started(stack, built)
        probes = stack.enter_context(Driven(PROBE_WAY, "probe-way", way, *[path for _, path in built]))
        refused = probes.answer()["refused"]
        if refused and way == "fast10":  # Linux 6.18 is such a one; the agent's trial finds it out, too
            checks.skip(what, f"this kernel does not probe it (error {refused})")
            return
        checks.equal(f"{what}: the kernel probes it", refused, 0)
        told = all_told(running, command)
        hits = probes.ask("hits")["hits"]
        for name, _, _ in running:
            checks.equal(f"{what}, {name}: wrong results of {CALLS} calls of each function", told[name]["wrong"], [0, 0, 0])
        if command == "fork":
            checks.equal(f"{what}: the guard turned all of them away", {one["slow"] for one in told.values()}, {1})
        checks.equal(f"{what}: every hit is counted", hits, [3 * CALLS + (command == "fork")] * len(built))
        checks.equal(f"{what}: detaches", probes.end(30.0), 0)


def by_agent(checks, directory, built):
    """The same under the agent, in the way that it has found to be the fastest, over export."""
    built = [(name, path) for name, path in built if name.endswith("-O2")]
    with capture.Server() as server, start_agent(directory, server) as agent, contextlib.ExitStack() as stack:
        running = started(stack, built)
        wait_attached(agent, *[one for _, one, _ in running])
        told = all_told(running, "go")
        request = snapshot_after(server)
        for name, one, _ in running:
            checks.equal(f"the agent's choice, {name}: wrong results of {CALLS} calls", told[name]["wrong"], [0, 0, 0])
            got = [sum(values(request, one.service, metric).values())
                   for metric in ("redzone.plain", "redzone.real", "redzone.four")]
            checks.equal(f"the agent's choice, {name}: every event is counted", got, [CALLS] * 3)


def inline(checks, built):
    """Without the stub: the kernel's call writes over what a leaf function keeps below its stack pointer."""
    for name, path in built:
        with contextlib.ExitStack() as stack:
            one = stack.enter_context(Driven(str(path), "inline"))
            image = elf.Elf(path)
            offsets = [image.file_offset(image.first_address() + place) for place in one.answer()["places"]]
            probes = stack.enter_context(Driven(PROBE_WAY, "probe-way", "plain", path, *offsets))
            probes.answer()
            wrong = one.ask("go", 120.0)["wrong"]
            checks.equal(f"inline, {name}: every hit is counted", probes.ask("hits")["hits"], [CALLS, CALLS])
            checks.equal(f"inline, {name}: a breakpoint on a 1-byte nop leaves results right", wrong[0], 0)
            if fast_nop() == "5-byte":
                checks.ok(f"inline, {name}: a call on a 5-byte nop spoils {wrong[1]} of {CALLS} results",
                          wrong[1] > CALLS // 2, "the checks of the stub's nops would not have seen it")
            else:
                checks.skip(f"inline, {name}: a call on a 5-byte nop", "this kernel turns none of those into a call")


def main():
    checks = Checks("the red zone")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("redzone") as directory:
        built = build(checks, directory, "redzone")
        for what, way, command in NOPS:
            with checks.run(what):
                by_nop(checks, built, what, way, command)
        with checks.run("the agent's choice"):
            by_agent(checks, directory, built)
        with checks.run("no stub"):
            inline(checks, build(checks, directory, "redzone_inline"))
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
