# SPDX-License-Identifier: BSD-2-Clause
"""What happens to the agent, its collector, its services and its machine: a table of mishaps, drawn by a seed.

A mishap begins at once; what lasts is ended later (Stage.due), while others may begin. Stage.calm() ends all of them.
"""
import contextlib
import heapq
import os
import pathlib
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time

from agent import Agent
from process import ROOT, Child, Failed

INTERVAL_MS = 300
# A flood comes to its share of both, and nobody else; or else all are in want of cells.
LIMITS, FULL = ("--max-cells", 32768, "--cardinality-limit", 100), ("--max-cells", 4096, "--cardinality-limit", 100)
CLOCK_STEPS_S = (-1500, -60, -2, 0, 0, 2, 60, 1500)  # never more than an hour from each other: see userspace/wall.h
# Never said by an agent that keeps what it promises.
NEVER = re.compile(r"set aside|cannot be read|is not counted|out of memory|runtime error|Sanitizer")
V1_CPUSET = pathlib.Path("/sys/fs/cgroup/cpuset/cpuset.cpus")


class Collector:
    """The receiver, a process that may be killed; what it has stored outlives it."""

    def __init__(self, directory):
        self.directory = directory
        # Held while nobody listens, so that no connection has it as its own end.
        self.place = socket.socket()
        self.place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.place.bind(("127.0.0.1", 0))
        self.port = self.place.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.store = directory / "store.sqlite"
        self.mood = directory / "mood"
        self.child = None

    def start(self):
        receiver = pathlib.Path(__file__).with_name("receiver.py")
        self.child = Child([sys.executable, "-B", receiver, self.port, self.store, self.mood], self.directory / "receiver.log")
        self.child.start()

    def kill(self):
        if self.child:
            self.child.signal(signal.SIGKILL)
            self.child.wait()
            self.child = None

    def feel(self, mood):
        """"refuse", seconds, or nothing."""
        fresh = self.mood.with_suffix(".new")
        fresh.write_text(mood)
        fresh.replace(self.mood)


class Stage:
    """Everything that something can happen to. @builds: programs, each of another schema. @full: are the host's maps?"""

    def __init__(self, directory, host, collector, crew, seed, builds, clock, full):
        self.full = full
        self.directory, self.host, self.collector, self.crew, self.seed = directory, host, collector, crew, seed
        self.dice = random.Random(seed)
        self.drawn = 0
        self.builds = builds
        self.which = 0
        self.links = "auto"
        self.clock = clock  # library
        self.offset = directory / "offset"
        self.offset.write_bytes(struct.pack("q", 0))
        self.agent = None
        self.leaving = None  # an agent that was told to end
        self.happened = {}  # {what: times}
        self.log = []  # (when, what), since the last rest
        self.skipped = {}  # {what: why}
        self.later = []  # a heap of (when, number, function)
        self.number = 0
        self.logs = []

    def note(self, what, detail=""):
        self.happened[what] = self.happened.get(what, 0) + 1
        self.log.append((time.monotonic(), f"{what} {detail}".strip()))

    def after(self, seconds, function):
        self.number += 1
        heapq.heappush(self.later, (time.monotonic() + seconds, self.number, function))

    def due(self):
        """End what has lasted long enough."""
        while self.later and self.later[0][0] <= time.monotonic():
            heapq.heappop(self.later)[2]()
        self.watch()

    def calm(self):
        """Everything is over: an agent runs, and its collector."""
        end = time.monotonic() + 60
        while self.later or not self.agent:
            while self.later:
                heapq.heappop(self.later)[2]()
            self.watch()
            if time.monotonic() > end:
                raise Failed(f"an agent that was told to end still runs: {self.leaving.tail()}")
            time.sleep(0.05)

    # --- the agent

    def start_agent(self):
        self.agent = Agent(self.directory, "--attach", self.crew.binary, *(FULL if self.full else LIMITS), "--links", self.links, host=self.host,
                           binary=self.builds[self.which], LD_PRELOAD=self.clock, CLOCK_OFFSET=self.offset,
                           OTEL_EXPORTER_OTLP_ENDPOINT=self.collector.endpoint, OTEL_METRIC_EXPORT_INTERVAL=INTERVAL_MS)
        self.agent.start()
        self.logs.append(self.agent.log)

    def kill_agent(self):
        self.agent.signal(signal.SIGKILL)
        self.agent.wait()
        self.agent = None

    def watch(self):
        """Has who was told to end done so, and does who was not?"""
        if self.leaving and not self.leaving.running():
            status = self.leaving.wait()
            # One that is told so before it can listen ends all the same.
            if status not in (0, -signal.SIGTERM):
                raise Failed(f"an agent that was told to end did so with status {status}: {self.leaving.tail()}")
            self.leaving = None
            self.after(self.dice.choice((0, self.dice.uniform(0, 1.5))), self.start_agent)
        if self.agent and not self.agent.running():
            raise Failed(f"an agent ended by itself, with status {self.agent.wait()}: {self.agent.tail()}")

    def never(self):
        """What agents have said, and never should."""
        found = [line for log in self.logs for line in log.read_text(errors="replace").splitlines() if NEVER.search(line)]
        self.logs = [self.agent.log] if self.agent else []
        return found

    def clear(self):
        """Nothing of it stays, whatever happened."""
        while self.later:
            with contextlib.suppress(OSError, Failed):
                heapq.heappop(self.later)[2]()  # a CPU that is away comes back
        for one in (self.agent, self.leaving):
            if one:
                one.end()
        self.collector.kill()
        self.host.stop("--detach")


def killed(stage):
    if not stage.agent:
        return
    stage.kill_agent()
    stage.note("agent kills")
    stage.after(stage.dice.choice((0, stage.dice.uniform(0, 2))), stage.start_agent)


def restarted(stage):
    if not stage.agent:
        return
    stage.agent.signal(signal.SIGTERM)
    stage.agent, stage.leaving = None, stage.agent
    stage.note("restarts")


def upgraded(stage):
    """The other build, or other links, which are another schema, too."""
    if not stage.agent:
        return
    if stage.dice.random() < 0.3:
        stage.links = "perf_event" if stage.links == "auto" else "auto"
    else:
        stage.which = (stage.which + 1) % len(stage.builds)
    stage.note("upgrades", f"to build {stage.which}, links {stage.links}")
    stage.dice.choice((killed, restarted))(stage)


def outage(stage):
    if not stage.collector.child:
        return
    stage.collector.kill()
    stage.note("outages")
    stage.after(stage.dice.uniform(0.3, 4), stage.collector.start)


def refused(stage):
    mood = stage.dice.choice(("refuse", str(round(stage.dice.uniform(0.1, 1.5), 1))))
    stage.collector.feel(mood)
    stage.note("bad answers", mood)
    stage.after(stage.dice.uniform(0.3, 3), lambda: stage.collector.feel(""))


def services_killed(stage):
    count = stage.dice.randint(1, 3)
    stage.crew.kill(count, stage.dice)
    stage.note("services killed")
    stage.happened["services killed"] += count - 1


def flooded(stage):
    stage.crew.control.flood(1)
    stage.note("floods")
    stage.after(stage.dice.uniform(0.5, 3), lambda: stage.crew.control.flood(0))


def crowded(stage):
    """All threads at once, on few CPUs."""
    stage.crew.control.hard(1)
    stage.note("crowds")
    stage.after(stage.dice.uniform(0.5, 2), lambda: stage.crew.control.hard(0))


def clock_set(stage):
    seconds = stage.dice.choice(CLOCK_STEPS_S)
    with open(stage.offset, "r+b") as file:  # in place: it is mapped
        file.write(struct.pack("q", seconds))
    stage.note("clock steps", f"to {seconds:+d} s")


def replugged(stage):
    """A CPU goes and comes back. Where it would not come back whole, the kernel only says so to all who listen."""
    what = "CPU hotplug"
    cpu = max(os.sched_getaffinity(0))
    place = pathlib.Path(f"/sys/devices/system/cpu/cpu{cpu}")
    if not os.access(place / "uevent", os.W_OK):
        stage.skipped[what] = f"{place}/uevent cannot be written to"
    elif cpu == 0 or not (place / "online").exists():
        stage.skipped[what] = f"CPU {cpu} cannot be taken away"
    elif V1_CPUSET.exists():
        stage.skipped[what] = "cpusets of cgroup v1 do not get a CPU back; the kernel's word of it is given instead"
        (place / "uevent").write_text("online")
    else:
        (place / "online").write_text("0")
        stage.note("hotplugs")
        stage.after(stage.dice.uniform(0.2, 1.5), lambda: (place / "online").write_text("1"))


MISHAPS = (  # weight, what
    (16, killed), (8, restarted), (9, upgraded), (7, outage), (5, refused), (18, services_killed), (9, flooded), (9, crowded),
    (12, clock_set), (3, replugged),
)


def draw(stage):
    """One of them. Each has dice of its own: what it is does not depend on how fast the ones before it went."""
    stage.drawn += 1
    stage.dice = random.Random(stage.seed << 32 | stage.drawn)
    # A last event that was dropped or not could not be told from others.
    mishaps = [(weight, what) for weight, what in MISHAPS if not (stage.full and what is services_killed)]
    stage.dice.choices([what for _, what in mishaps], [weight for weight, _ in mishaps])[0](stage)


def clock_library(directory):
    library = directory / "clock.so"
    subprocess.run(["cc", "-std=gnu11", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", str(ROOT / "tests/e2e/clock.c"), "-o",
                    str(library)], check=True)
    return library
