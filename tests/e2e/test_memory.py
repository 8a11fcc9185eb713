#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Kernel memory: what the agent says before it loads, what it says behind that, and what the kernel says of its maps;
empty, with ten thousand series, and on hosts with many CPUs.

tests/unit/test_kernel.c fills maps to their limits. tests/bench/series.c is the load: 2,500 series, 500 of them histograms
that have touched 12 buckets each.
"""
import contextlib
import os
import pathlib
import re
import signal
import sys

import capture
from checks import Checks
from driven import Driven, build_series, snapshot_after, start_agent, wait_attached
from process import scratch

MIB = 1 << 20
SERVICES = 4
SERIES = 10000
CELLS = 4 * (2000 + 500 * 12)
BUDGET_MIB = 16  # on 2 CPUs
ROW_MIB = 2  # a row of 131072 cells for each further one


def memlock(pid):
    """Bytes of all maps that a process holds, by the kernel: {map id: bytes}."""
    found = {}
    for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            text = info.read_text()
            number, size = re.search(r"^map_id:\s*(\d+)$", text, re.M), re.search(r"^memlock:\s*(\d+)$", text, re.M)
            if number and size:
                found[int(number[1])] = int(size[1])
    return sum(found.values())


def agrees(now, agent):
    """Does the kernel say @now MiB, as the agent has it? Services of this host may have made some series since."""
    return -0.06 < memlock(agent.pid) / MIB - now < 1


def said(agent):
    """(MiB at most, cells, CPUs, series, MiB now) from the agent's log, once it is there."""
    at_most = re.compile(r"maps of at most ([\d.]+) MiB: (\d+) cells on (\d+) possible CPUs, (\d+) series")
    now = re.compile(r"its maps take ([\d.]+) MiB now")
    agent.wait_ready("its memory is told", lambda: now.search(agent.output()))
    before, after = at_most.search(agent.output()), now.search(agent.output())
    if not before or before.start() > after.start():
        raise ValueError(f"not said before the maps were loaded: {agent.output()}")
    return float(before[1]), int(before[2]), int(before[3]), int(before[4]), float(after[1])


def ten_thousand_series(checks, directory):
    program = build_series(directory)
    with capture.Server() as server, start_agent(directory, server) as agent, contextlib.ExitStack() as stack:
        at_most, _, cpus, _, now = said(agent)
        checks.ok(f"it says {now} MiB of its empty maps, the kernel says as much", agrees(now, agent), memlock(agent.pid))
        services = [stack.enter_context(Driven(str(program), f"series-{number}")) for number in range(SERVICES)]
        wait_attached(agent, services[0])
        for _ in range(2):  # the second time, all of them see that somebody listens
            for service in services:
                service.tell("")
        snapshot_after(server)
        request = snapshot_after(server)
        mine = [point for point in request.points() if point.service in {one.service for one in services}]
        checks.equal("series", len(mine), SERIES)
        # Of other services of this host too, if there are any.
        cells = next(point.value for point in request.points() if point.name == "probemeter.agent.cells")
        checks.ok(f"{cells} cells, at least {CELLS}", cells >= CELLS, cells)
        taken, budget = memlock(agent.pid) / MIB, BUDGET_MIB + ROW_MIB * max(0, cpus - 2)
        checks.ok(f"{SERIES} series of {CELLS} cells take {taken:.1f} MiB on {cpus} CPUs, at most {budget}",
                  now < taken <= budget, (now, taken))
        checks.ok(f"no more than was said before: {at_most} MiB", taken <= at_most, taken)
        checks.equal("ends with status 0", agent.stop(), 0)


def many_cpus(checks, directory, cpus, cells):
    """The agent itself, on a host that says it could have more CPUs: in a mount namespace that ends with it."""
    possible = directory / f"possible-{cpus}"
    possible.write_text(f"0-{cpus - 1}\n")
    prefix = ["/usr/bin/unshare", "-m", "/bin/sh", "-ec",
              'mount --bind "$0" /sys/devices/system/cpu/possible; exec "$@"', possible]
    with capture.Server() as server, start_agent(directory, server, prefix=prefix) as agent:
        at_most, found, rows, series, now = said(agent)
        checks.equal(f"{cpus} possible CPUs: cells and rows by default", (found, rows), (cells, cpus))
        row_mib = cells * 16 / MIB
        checks.ok(f"{cpus} possible CPUs: at most {at_most} MiB for {series} series, {now} of it from the start",
                  cpus * row_mib < now <= at_most <= cpus * row_mib + 40, (at_most, now))
        checks.ok(f"{cpus} possible CPUs: the kernel says as much", agrees(now, agent), memlock(agent.pid))
        checks.equal(f"{cpus} possible CPUs: ends with status 0", agent.stop(), 0)


def main():
    checks = Checks("memory")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("memory") as directory:
        with checks.run("ten thousand series"):
            ten_thousand_series(checks, directory)
        for cpus, cells in ((64, 65536), (128, 32768)):
            with checks.run(f"{cpus} CPUs"):
                many_cpus(checks, directory, cpus, cells)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
