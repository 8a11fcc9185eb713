# SPDX-License-Identifier: BSD-2-Clause
"""How long the BPF programs themselves run, apart from the trap, by the kernel's own clock: run_time_ns / run_cnt.

A pass of its own, because the kernel's clock reading costs time too; an empty program measured the same way says how much.
"""
import contextlib
import ctypes
import os

import build
import calls
from contestant import Bpftrace, Contestant, Talker, programs_of
from result import Target

SYS_BPF = {"x86_64": 321, "aarch64": 280}
BPF_ENABLE_STATS = 32


@contextlib.contextmanager
def statistics_on():
    """The kernel counts while this descriptor is open, and not a moment longer, whatever becomes of us. The switch in
    /proc/sys is not touched."""
    libc = ctypes.CDLL(None, use_errno=True)
    kind = ctypes.c_uint32(0)  # BPF_STATS_RUN_TIME
    descriptor = libc.syscall(SYS_BPF[os.uname().machine], BPF_ENABLE_STATS, ctypes.byref(kind), ctypes.sizeof(kind))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "BPF_ENABLE_STATS")
    try:
        yield
    finally:
        os.close(descriptor)


def run_time(holder, contestant, operation, ms):
    """(ns per run, runs) of the programs that process @holder holds, while @contestant does @operation."""
    contestant.run(operation, 1, ms // 4)
    before = programs_of(holder)
    contestant.run(operation, 1, ms)
    after = programs_of(holder)
    ns = sum(after[i][0] - before.get(i, (0, 0))[0] for i in after)
    runs = sum(after[i][1] - before.get(i, (0, 0))[1] for i in after)
    return (ns / runs if runs else 0.0), runs


def measure(results, agent, ours, ms):
    rows = results.facts["bpf_run_time"] = []

    def row(name, holder, contestant, operation):
        ns, runs = run_time(holder, contestant, operation, ms)
        call = results.cell_median(name, 1)
        rows.append({"what": name, "bpf_ns": ns, "runs": runs, "call_ns": call})

    with contextlib.ExitStack() as stack:
        stack.enter_context(statistics_on())
        row("probemeter counter", agent.pid, ours, "counter")
        row("probemeter histogram", agent.pid, ours, "histogram")
        level = run_time(agent.pid, ours, "level_labelled", ms)
        results.add(Target("8e", "runs of any BPF program by level ADDs, agent on", 0, unit="runs"), [level[1]])

        apart = stack.enter_context(Contestant(build.OUT / "ours-apart"))
        with Talker(build.OUT / "attach", build.OUT / "empty.bpf.o", build.OUT / "ours-apart") as empty:
            row("probemeter's site, histogram, empty program", empty.pid, apart, "histogram")
        classic = calls.peer(stack, "sys/sdt.h", build.OUT / "classic")
        if classic:
            with Talker(build.OUT / "attach", build.OUT / "empty.bpf.o", build.OUT / "classic",
                        calls.usdt_offset(build.OUT / "classic")) as empty:
                row("sys/sdt.h probe, empty program", empty.pid, classic, "hit")
        traced = calls.peer(stack, "sys/sdt.h", build.OUT / "classic-bpftrace")
        if traced and "bpftrace" not in build.absent:
            with Bpftrace(build.OUT / "classic-bpftrace", "bench:hit") as tracer:
                row("bpftrace", tracer.pid, traced, "hit")
