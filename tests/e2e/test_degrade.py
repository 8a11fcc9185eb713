#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""What an agent gives up when something runs out, in the order that scripts/docs/operating.md states, and what it never does: counts are exact in the
end, a few lines of the log say what happened, and the service neither waits nor dies.

Each part takes one thing away: memory of the agent, memory of the kernel, descriptors, bpffs, directories, the collector. The load
is build/services/hammer, which knows what it fired.
"""
import contextlib
import ctypes
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import sys
import time

import brief
import capture
from agent import Agent, Fired, build_fired, build_library, preload, run_to_end, totals
from ask import ask
from checks import Checks
from driven import Driven, drops, snapshot_after, start_agent, steps_back, total, wait_attached
from host import Host, bpftool
from process import SANITIZED, Failed, scratch, wait_until
from test_containers import cgroup
from test_restart import kill
from test_temporality import Ledger, settings, wait_taken

BURSTS = [f"hammer.burst.{n}" for n in range(10)]
ASK_S = 5.0  # far more than what a service needs for what it is asked here
STARTS = 12
FILTER_STEP = 700
WEEK_MS = 100  # the shortest interval there is
OUTAGE_S = 6.0
RSS_MOST_KIB = 1024
PAGE = os.sysconf("SC_PAGESIZE")
MS_RDONLY, MS_REMOUNT, MNT_DETACH = 1, 32, 2
_libc = ctypes.CDLL(None, use_errno=True)


class Service(Driven):
    """hammer, with a clock on everything that it is asked."""

    def __init__(self, name):
        super().__init__("hammer", f"degrade-{name}", "--threads", 2)
        self.slowest_s = 0.0
        self.bursts = 0  # events of each burst metric

    def ask(self, command, timeout_s=60.0):
        begun = time.monotonic()
        answer = super().ask(command, timeout_s)
        self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
        return answer

    def burst(self, count):
        self.bursts += self.ask(f"burst {count}")["events"]

    def untouched(self, checks, name):
        """To be asked last: it ends."""
        checks.ok(f"{name}: the service was never held up: {self.slowest_s:.2f} s at most", self.slowest_s < ASK_S)
        checks.equal(f"{name}: the service ends as ever", self.end(), 0)


def exact(checks, name, request, service):
    """Every event is in some series of its metric."""
    checks.equal(f"{name}: {service.bursts} events of each of ten metrics, none lost",
                 [total(request, service.service, metric) for metric in BURSTS], [service.bursts] * len(BURSTS))
    # Others of this host may fire what cannot be counted.
    checks.equal(f"{name}: nothing is dropped", [drop for drop in drops(request, "hammer.") if drop[0].startswith("no_")], [])


def said(agent, words, mark=0):
    return [line for line in agent.lines()[mark:] if words in line]


def status_kib(pid, name):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise Failed(f"no {name} of process {pid}")


def mount(kind, path, flags=0, options=""):
    """In the mount namespace of this test (host.py)."""
    if _libc.mount(kind.encode(), str(path).encode(), kind.encode(), flags, options.encode() or None):
        error = ctypes.get_errno()
        raise OSError(error, f"mount of {kind} at {path}: {os.strerror(error)}")


def unmount(path):
    _libc.umount2(str(path).encode(), MNT_DETACH)


# --- memory

def address_space(checks, directory):
    """The agent gets no more memory while it runs: one line, no export, and everything when there is memory again."""
    with Host(directory, "space") as host, capture.Server() as server, Service("space") as one, \
            start_agent(directory, server, host=host, MALLOC_ARENA_MAX=1) as agent:
        one.answer()
        wait_attached(agent, one)
        one.burst(10)
        before = snapshot_after(server)
        exact(checks, "with memory", before, one)
        _, hard = resource.prlimit(agent.pid, resource.RLIMIT_AS)
        resource.prlimit(agent.pid, resource.RLIMIT_AS, (status_kib(agent.pid, "VmSize") * 1024, hard))
        mark = len(agent.lines())
        one.burst(400)
        wait_until("it says that it is short of memory", lambda: said(agent, "out of memory") or
                   said(agent, "quiet until it works again", mark))
        count = server.count()
        time.sleep(3)
        one.burst(400)
        checks.ok("without memory: the agent lives", agent.running(), agent.tail())
        checks.ok("without memory: no export that is half", server.count() <= count + 1, server.count() - count)
        short = said(agent, "quiet until it works again", mark)
        checks.ok(f"without memory: said once of each thing ({len(short)} lines in 3 s)", 1 <= len(short) <= 3, short)
        resource.prlimit(agent.pid, resource.RLIMIT_AS, (hard, hard))
        exact(checks, "memory again", snapshot_after(server), one)
        checks.equal("memory again: said once of each", len(said(agent, "works again, after", mark)), len(short))
        checks.equal("no step back", steps_back([before, server.requests[-1]], {one.service})[:3], [])
        checks.equal("the agent ends with status 0", agent.stop(), 0)
        one.untouched(checks, "no memory for the agent")


def in_order(checks, directory):
    """Less and less memory: first exports and answers fail, while a new file is attached at once; then new files wait, too, and the
    agent lives. With memory again all of it is there."""
    if SANITIZED:
        checks.skip("less and less memory", "a sanitizer has a heap of its own")
        return
    largest = directory / "largest"
    binary = brief.build(directory, "order")
    later = brief.copy(binary, "order-later")

    def bound(size):
        with open(largest, "r+b") as file:
            file.write(size.to_bytes(8, "little"))

    def asked(agent):
        with contextlib.suppress(OSError):
            return ask(agent.socket, "/api/snapshot")[0]

    largest.write_bytes(bytes(PAGE))
    bound(2**62)
    with Host(directory, "order") as host, capture.Server() as server, Service("order") as one, \
            start_agent(directory, server, "--include", f"path:{directory}/*", "--include", f"path:{one.binary}", host=host,
                        LD_PRELOAD=preload(build_library(directory, "short")), SHORT_LARGEST=largest) as agent, contextlib.ExitStack() as stack:
        one.answer()
        wait_attached(agent, one)
        one.burst(10)
        exact(checks, "with memory", snapshot_after(server), one)
        checks.equal("with memory: it answers", asked(agent), 200)

        # What a file takes fits; what thousands of new series take in one piece does not.
        bound(96 << 10)
        one.burst(400)
        wait_until("exports fail", lambda: said(agent, "export: "))
        count = server.count()
        checks.ok("at first: it does not answer", asked(agent) in (None, 503), asked(agent))
        process = stack.enter_context(brief.staying(binary, 0, OTEL_SERVICE_NAME=own("order")))
        agent.wait_attached(process.pid, binary)
        brief.fire(process, 7)
        checks.equal("at first: a new file is attached, and nothing exported", server.count(), count)

        bound(8 << 10)
        mark = len(agent.lines())
        process = stack.enter_context(brief.staying(later, 0, OTEL_SERVICE_NAME=own("order-later")))
        brief.fire(process, 3)
        time.sleep(3)
        checks.equal("then: a new file is not", said(agent, f"attached: '{later}'"), [])
        checks.ok("then: the agent lives", agent.running(), agent.tail())
        told = [line for line in agent.warnings(mark=mark) if "quiet until it works again" in line or str(later) in line]
        checks.ok("then: a few lines say so", 1 <= len(told) <= 4, agent.lines()[mark:])
        checks.equal("then: still no export", server.count(), count)

        bound(2**62)
        agent.wait_attached(process.pid, later, 40)
        brief.fire(process, 5)
        request = snapshot_after(server)
        exact(checks, "memory again", request, one)
        found = brief.Resources(request)
        checks.equal("memory again: the new file from its first event on, the later one since it was attached",
                     [found.total(own(name)) for name in ("order", "order-later")], [7, 5])
        checks.equal("memory again: it answers", asked(agent), 200)
        checks.equal("the agent ends with status 0", agent.stop(), 0)
        one.untouched(checks, "less and less memory")


def at_start(checks, directory):
    """Agents that find no memory at their start, each from another moment on: none harms what is pinned, and that counts on."""
    library = build_library(directory, "short")
    seed = random.randrange(1 << 16)
    dice = random.Random(seed)
    with Host(directory, "start") as host, capture.Server() as server, Service("start") as one:
        one.answer()
        with start_agent(directory, server, host=host) as agent:
            wait_attached(agent, one)
            one.burst(10)
            before = snapshot_after(server)
            kill(agent)
        ends, wrong, told = [], [], 0
        for number in range(STARTS):
            # A sanitizer has a heap of its own.
            what = {"SHORT_MAPS": number} if number < STARTS / 2 or SANITIZED else {"SHORT_HEAP": int(10 ** dice.uniform(0, 4.5))}
            # The same maps, or others, which take over what is there.
            flags = ("--max-series", str(16384 + number)) if number % 2 else ()
            with start_agent(directory, server, *flags, host=host, LD_PRELOAD=preload(library), **what) as agent:
                wait_until("it ends or runs", lambda agent=agent: not agent.running() or "its maps take" in agent.output(), 30)
                time.sleep(0.2)
                if agent.running():
                    kill(agent)
                status, err = agent.process.returncode, agent.lines()
            one.burst(20)
            ends.append(status)
            told += any("no memory for the BPF programs and maps" in line and "--max-memory" in line for line in err)
            wrong += [(what, line) for line in err if "set aside" in line or "totals begin anew" in line]
        print(f"     seed {seed}: {STARTS} starts: " + ", ".join(f"{ends.count(one)} ended with {one}" for one in sorted(set(ends))))
        checks.ok("most of them had not enough", sum(status != 0 for status in ends) > STARTS / 2, ends)
        checks.ok(f"{told} say so, with the remedy", told > 2, ends)
        checks.equal("none crashes", [status for status in ends if status < 0 and status != -signal.SIGKILL], [])
        checks.equal("none sets aside what it cannot read just then", wrong, [])
        with start_agent(directory, server, host=host) as agent:
            wait_attached(agent, one)
            exact(checks, "the next agent", snapshot_after(server), one)
            checks.ok("it goes on where the first one ended", said(agent, "with the totals") or said(agent, "took over"),
                      agent.tail())
            checks.equal("no step back", steps_back([before, server.requests[-1]], {one.service})[:3], [])
        one.untouched(checks, "no memory at the start")
        checks.equal("detached: status 0", host.stop("--detach")[0], 0)


def filterless(checks, directory):
    """No memory while the filter of system calls is made, which is libseccomp's work and of whose making not every version looks
    whether it got any: the agent says so and ends."""
    if SANITIZED:
        checks.skip("no memory while the filter is made", "a sanitizer has a heap of its own")
        return
    library = build_library(directory, "short")
    with capture.Server() as server:
        for allocations in range(0, 10 * FILTER_STEP, FILTER_STEP):
            with start_agent(directory, server, LD_PRELOAD=preload(library), SHORT_FILTER=allocations) as agent:
                wait_until("it ends or runs", lambda agent=agent: not agent.running() or "its maps take" in agent.output(), 30)
                if agent.running():
                    break
                checks.ok(f"{allocations} allocations, then none: said, with a remedy, and ended with status 1", agent.process.returncode == 1 and
                          re.search(r"filter of system calls cannot be made: Cannot allocate memory.*MemoryMax=", agent.output()),
                          (agent.process.returncode, agent.tail()))
        checks.ok(f"that was looked at {allocations // FILTER_STEP} places, and then it was enough",
                  2 < allocations // FILTER_STEP < 9, allocations)


class Memory:
    """The memory controller, of either version of cgroups."""

    def __init__(self):
        self.root = None
        for line in pathlib.Path("/proc/mounts").read_text().splitlines():
            _, at, kind, options = line.split()[:4]
            at = pathlib.Path(at)
            if kind == "cgroup" and "memory" in options.split(","):
                self.root, self.usage, self.limit = at, "memory.usage_in_bytes", "memory.limit_in_bytes"
            elif kind == "cgroup2" and "memory" in (at / "cgroup.subtree_control").read_text().split():
                self.root, self.usage, self.limit = at, "memory.current", "memory.max"
        self.path = f"probemeter-degrade-{os.getpid()}"

    def bound(self, more):
        """Room for @more bytes than there are now."""
        place = self.root / self.path
        (place / self.limit).write_text(str(int((place / self.usage).read_text()) + more))


def killed(checks, directory):
    """The agent's cgroup is full: the kernel ends the agent, and finds no memory for new series. Those count in their overflow,
    and the next agent has every event."""
    memory = Memory()
    if not memory.root or not os.access(memory.root, os.W_OK):
        checks.skip("the agent's cgroup is full", "no memory controller here that may be written to")
        return
    with Host(directory, "killed") as host, capture.Server() as server, Service("killed") as one, \
            cgroup(memory.root, memory.path) as inside:
        one.answer()
        with start_agent(directory, server, prefix=["/bin/sh", *inside[1:]], host=host) as agent:
            wait_attached(agent, one)
            one.burst(10)
            before = snapshot_after(server)
            exact(checks, "with room", before, one)
            memory.bound(1 << 20)
            one.burst(600)
            checks.equal("the kernel ends it", agent.wait(20), -signal.SIGKILL)
        one.burst(600)
        with start_agent(directory, server, host=host) as agent:
            wait_attached(agent, one)
            request = snapshot_after(server)
            exact(checks, "the next agent", request, one)
            over = sum(point.value for point in request.points() if point.service == one.service and
                       point.labels == {"otel.metric.overflow": True})
            print(f"     {over} of {10 * one.bursts} events in overflow series: the kernel had no memory for their names")
            checks.equal("no step back", steps_back([before, server.requests[-1]], {one.service})[:3], [])
            checks.ok("it goes on where the one before ended", said(agent, "goes on with the totals"), agent.tail())
        one.untouched(checks, "the agent's cgroup is full")
        checks.equal("detached: status 0", host.stop("--detach")[0], 0)
        wait_until("the guard ends", lambda: not host.guards())


def descriptors(checks, directory):
    """No descriptors for a new file: it is attached when there are some again."""
    binary = brief.build(directory, "fewer")
    with Host(directory, "fewer") as host, capture.Server() as server, Service("fewer") as one, \
            start_agent(directory, server, host=host) as agent:
        one.answer()
        wait_attached(agent, one)
        soft, hard = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)
        taken = {int(path.name) for path in pathlib.Path(f"/proc/{agent.pid}/fd").iterdir()}
        free = [number for number in range(max(taken) + 8) if number not in taken]
        # One for the file, and one for what is looked at beside it; none for its links.
        resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (free[2], hard))
        mark = len(agent.lines())
        with brief.staying(binary, 3, OTEL_SERVICE_NAME=own("fewer-brief")) as process:
            one.burst(10)
            time.sleep(3)
            checks.ok("without descriptors: the agent lives", agent.running(), agent.tail())
            noise = agent.warnings(mark=mark)
            checks.ok(f"without descriptors: {len(noise)} lines in 3 s", len(noise) <= 4, noise[:6])
            checks.ok("without descriptors: it says that they are short, and what to raise",
                      any("file descriptors for new files: Too many open files" in line and "LimitNOFILE=" in line and "ulimit -n" in line
                          for line in noise), noise[:6])
            resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (soft, hard))
            subprocess.run(["true"], check=True)
            agent.wait_attached(process.pid, binary, 40.0)
            brief.fire(process, 7)
            checks.equal("with descriptors again: counted from then on", brief.wait_total(server, own("fewer-brief"), 7), 7)
        exact(checks, "what was attached before", snapshot_after(server), one)
        one.untouched(checks, "no descriptors")


def own(name):
    return f"{name}-{os.getpid()}"


# --- places

def bpffs(checks, directory):
    """Nothing can be pinned: the agent counts without, and says what that means. What an earlier one pinned waits for the next that
    can read it."""
    with Host(directory, "pins") as host, capture.Server() as server, Service("pins") as one:
        one.answer()

        def without(name, before):
            with start_agent(directory, server, host=host) as agent:
                wait_attached(agent, one)
                one.burst(10)
                counted = total(snapshot_after(server), one.service, BURSTS[0])
                checks.equal(f"{name}: counts from its start on", counted, one.bursts - before)
                warned = said(agent, "nothing can be pinned in")
                checks.ok(f"{name}: one line, with what is lost and the remedy", len(warned) == 1 and
                          "totals begin anew" in warned[0] and "--bpffs" in warned[0], agent.lines())
                checks.equal(f"{name}: nothing else is wrong", [line for line in agent.warnings()
                                                                if "run: " in line and line not in warned], [])
                checks.equal(f"{name}: ends with status 0", agent.stop(), 0)

        mount("bpf", host.bpffs, MS_REMOUNT | MS_RDONLY)
        without("read-only", 0)
        mount("bpf", host.bpffs, MS_REMOUNT)
        in_place = host.bpffs / "probemeter"
        bpftool("map", "create", str(in_place), "type", "array", "key", "4", "value", "8", "entries", "1", "name", "other")
        without("something else in its place", one.bursts)
        checks.ok("something else is left alone", in_place.exists(), "gone")
        in_place.unlink()

        first = one.bursts
        with start_agent(directory, server, host=host) as agent:
            wait_attached(agent, one)
            one.burst(10)
            snapshot_after(server)
            kill(agent)
        one.burst(10)
        mount("bpf", host.bpffs, MS_REMOUNT | MS_RDONLY)
        without("read-only, with pins of an earlier agent", one.bursts)
        mount("bpf", host.bpffs, MS_REMOUNT)
        with start_agent(directory, server, host=host) as agent:
            wait_attached(agent, one)
            checks.equal("writable again: all since the pins were made",
                         total(snapshot_after(server), one.service, BURSTS[0]), one.bursts - first)
            # Full while it runs: files that come now are counted, and end with it.
            mount("bpf", host.bpffs, MS_REMOUNT | MS_RDONLY)
            binary = brief.build(directory, "late")
            with brief.staying(binary, 0, OTEL_SERVICE_NAME=own("late")) as process:
                agent.wait_attached(process.pid, binary)
                brief.fire(process, 7)
                checks.equal("a file that cannot be pinned is counted", brief.wait_total(server, own("late"), 7), 7)
                checks.ok("and that is said", [line for line in said(agent, "cannot be pinned") if binary.name in line],
                          agent.tail())
            mount("bpf", host.bpffs, MS_REMOUNT)
        one.untouched(checks, "no pins")
        checks.equal("detached: status 0", host.stop("--detach")[0], 0)


def no_inode(checks, directory):
    """The bpffs says that it is full, at any pin of a start: nothing is left half pinned, nothing of an earlier agent is lost, and the
    next one that finds room goes on from there."""
    library = build_library(directory, "short")
    with Host(directory, "inode") as host, capture.Server() as server, Service("inode") as one:
        one.answer()

        def agent(*flags, **more):
            return start_agent(directory, server, "--include", f"path:{one.binary}", *flags, host=host, **more)

        def full(name, pins, before, *flags):
            """An agent with room for so many pins; @before: events that it does not know of."""
            there = host.pins()
            with agent(*flags, LD_PRELOAD=preload(library), SHORT_PINS=pins) as short:
                wait_attached(short, one)
                one.burst(10)
                checks.equal(f"{name}: counts all the same", total(snapshot_after(server), one.service, BURSTS[0]),
                             one.bursts - before)
                told = [line for line in short.warnings() if "No space left on device" in line]
                checks.ok(f"{name}: one line says what that means", len(told) == 1 and
                          ("nothing can be pinned in" in told[0] or "cannot be pinned in" in told[0]), short.tail())
                checks.equal(f"{name}: ends with status 0", short.stop(), 0)
            checks.equal(f"{name}: nothing is left of it", sorted(map(str, host.pins())), sorted(map(str, there)))

        with agent() as first:
            wait_attached(first, one)
            pinned = len(host.pins())
            kill(first)
        host.stop("--detach")
        for pins in (0, 1, pinned // 2):
            full(f"room for {pins} of {pinned} pins", pins, one.bursts)
        begun = one.bursts
        with agent() as first:
            wait_attached(first, one)
            one.burst(10)
            before = snapshot_after(server)
            kill(first)
        # Other maps, which would take over what is there.
        full("beside an earlier agent's", 5, one.bursts, "--max-cells", "65536")
        with agent() as last:
            wait_attached(last, one)
            checks.equal("room again: all since the first pins", total(snapshot_after(server), one.service, BURSTS[0]),
                         one.bursts - begun)
            checks.equal("no step back", steps_back([before, server.requests[-1]], {one.service})[:3], [])
        one.untouched(checks, "a full bpffs")
        checks.equal("detached: status 0", host.stop("--detach")[0], 0)


def directories(checks, directory):
    """No room where the agent keeps things on disk: named, and counted on, but for the lock."""
    with contextlib.ExitStack() as mounts, Host(directory, "places") as host, capture.Server() as server, \
            Service("places") as one:
        one.answer()
        host.run_dir.mkdir()

        def full(path, inodes):
            mount("tmpfs", path, options=f"size=64k,nr_inodes={inodes}")
            mounts.callback(unmount, path)

        # Who cannot lock cannot know whether it is alone.
        full(host.run_dir, 1)
        status, _, err = run_to_end("run", "--once", *host.flags, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp)
        checks.equal("no room for the lock: status 1", status, 1)
        checks.ok("no room for the lock: says so", len(err) >= 1 and "cannot be used for the lock: No space left" in err[-1] and
                  "--run-dir" in err[-1], err)
        checks.equal("no room for the lock: nothing is pinned", host.sets(), [])
        unmount(host.run_dir)

        # The lock and no more; a host without an identity of its own, and no room to give it one.
        full(host.run_dir, 2)
        for path in ("/sys/class/dmi", "/sys/class/net", "/var/lib"):
            if os.path.isdir(path):
                full(path, 1)
        with start_agent(directory, server, host=host, OTEL_METRIC_EXPORT_INTERVAL=200,
                         OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta") as agent:
            wait_attached(agent, one)
            one.burst(10)
            taken = []

            def all_there():
                taken.extend(server.requests[len(taken):])
                return sum(total(request, one.service, BURSTS[0]) or 0 for request in taken) == one.bursts

            with contextlib.suppress(Failed):
                wait_until("all is exported", all_there)
            checks.ok("no room: exported all the same", all_there(), one.bursts)
            server.wait_requests(10)
            for words, what in (("agent.sock': No space left", "this agent cannot be asked over it"),
                                ("baselines' cannot be written: No space left", "may send again"),
                                ("host-id': No space left", "a clone of this host")):
                checks.ok(f"no room: one line says {words}", sum(words in line and what in line for line in agent.lines()) == 1,
                          agent.lines())
            checks.equal("no room: ends with status 0", agent.stop(), 0)
        one.untouched(checks, "no room")
        checks.equal("detached: status 0", host.stop("--detach")[0], 0)


# --- the collector

def gone(checks, directory):
    """Nobody takes exports for a long time: memory stays as it is, the log is quiet, and then all of it arrives: totals as they
    are, deltas as one."""
    binary = build_fired(directory)
    with Host(directory, "gone") as host, Host(directory, "gone-delta") as other, capture.Server() as server, Ledger() as ledger, \
            Fired(binary, "gone") as one, Fired(binary, "gone-delta") as two, \
            Agent(directory, host=host, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=WEEK_MS) as agent, \
            Agent(directory, host=other, **settings(ledger, OTEL_METRIC_EXPORT_INTERVAL=WEEK_MS)) as with_deltas:
        ledger.service = two.service
        both = (("totals", agent, one, server), ("deltas", with_deltas, two, ledger))
        for _, each, service, _ in both:
            each.wait_attached(service.pid, binary)
            service.fire(100)
        checks.equal("deltas: before", wait_taken(ledger, 100), (100,) * 3)
        snapshot_after(server)
        # One that complains at each export, for as long.
        server.answer = capture.partial_success(3, "of the wrong colour")
        server.wait_requests(10)
        server.answer = capture.OK
        server.wait_requests(2)
        server.answer = capture.partial_success(0, "of the wrong colour")
        server.wait_requests(10)
        server.answer = capture.OK
        server.wait_requests(2)
        checks.equal("a collector that complains of 20 exports, with a pause: two lines", len(said(agent, "of the wrong colour")), 2)
        marks = {name: len(each.lines()) for name, each, _, _ in both}
        for _, _, _, receiver in both:
            receiver.close_door()
        begun, missed, resident = time.monotonic(), 0, {}
        while time.monotonic() - begun < OUTAGE_S:
            for name, each, service, _ in both:
                service.fire(10)
                missed += 1
                if name not in resident and time.monotonic() - begun > OUTAGE_S / 3:
                    resident[name] = status_kib(each.pid, "VmRSS")
            time.sleep(WEEK_MS / 1000)
        for name, each, _, receiver in both:
            grown = status_kib(each.pid, "VmRSS") - resident[name]
            checks.ok(f"{name}: {grown} KiB more after {OUTAGE_S:g} s", grown <= RSS_MOST_KIB, grown)
            receiver.requests.clear()
            receiver.open_door()
        checks.equal("deltas: each event once", wait_taken(ledger, two.total), (two.total,) * 3)
        checks.equal("deltas: no gap, no overlap", ledger.complaints[:3], [])
        # What goes first is when it happened: of all the intervals the one remains that was under way, and one for the rest.
        spans = [(point.point.time_unix_nano - point.point.start_time_unix_nano) / 1e9 for request in list(ledger.requests)
                 for point in request.points() if point.service == two.service and point.name == "e2e.bare.total"]
        checks.ok(f"deltas: {len(spans)} for {OUTAGE_S:g} s, the longest of {max(spans, default=0):.1f} s", len(spans) <= 2 and
                  sum(spans) > OUTAGE_S * 0.9, spans)
        with contextlib.suppress(Failed):
            wait_until("totals are there", lambda: server.requests and totals(server.requests[-1:], one.service) == (one.total,) * 3)
        checks.equal("totals: exact", totals(server.requests[-1:], one.service), (one.total,) * 3)
        for name, each, _, _ in both:
            wait_until(f"{name}: the end is told", lambda each=each: said(each, "back after"))
            lines = [line for line in each.lines()[marks[name]:] if "export" in line]
            failed = int(said(each, "back after")[0].rsplit(",", 1)[1].split()[0])
            checks.ok(f"{name}: {failed} exports failed, told in {len(lines)} lines", len(lines) == 2 and
                      failed > OUTAGE_S * 1000 / WEEK_MS / 4, lines)
            checks.equal(f"{name}: the agent ends with status 0", each.stop(), 0)
        for _, _, service, _ in both:
            service.process.stdin.close()
            checks.equal("the service ends as ever", service.process.wait(10), 0)


def main():
    checks = Checks("degrade")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    parts = (("memory of the agent", address_space), ("in order", in_order), ("memory at the start", at_start),
             ("memory for the filter", filterless), ("the agent's cgroup is full", killed), ("descriptors", descriptors),
             ("bpffs", bpffs), ("full bpffs", no_inode), ("directories", directories), ("the collector", gone))
    with scratch("degrade") as directory:
        for name, part in parts:
            if len(sys.argv) < 2 or any(wanted in name for wanted in sys.argv[1:]):
                with checks.run(name):
                    part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
