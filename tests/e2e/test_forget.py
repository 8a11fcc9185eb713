#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""A service of which no process lives any more ends properly, gives its memory back, and begins anew if it returns; and
nobody else's totals notice."""
import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

import brief
import otlp
from agent import Agent, clean_environment, own_name
from capture import Server
from checks import Checks
from driven import Driven, start_agent, wait_attached
from host import Host
from process import Failed, scratch, wait_until

INTERVAL_MS = 200
KILLS = 5


class Point:
    """One point of brief's, as the export @number had it."""

    def __init__(self, number, attributes, metric, point):
        self.number = number
        self.name = attributes.get("service.name")
        self.instance = attributes.get("service.instance.id")
        self.metric = metric
        self.start_ns = point.start_time_unix_nano
        self.time_ns = point.time_unix_nano
        self.value = None if point.flags & 1 else point.as_int


class History:
    """Every point of brief's that came, in their order; each request is decoded once."""

    def __init__(self, server):
        self.server = server
        self.taken = 0
        self.all = []
        self.own = {}  # the agent's newest sums

    def read(self):
        requests = self.server.requests
        while self.taken < len(requests):
            torn = len(requests[self.taken].body) < int(requests[self.taken].headers["Content-Length"])
            if torn:  # its agent was killed; nobody acknowledged it
                self.taken += 1
                continue
            for resource in requests[self.taken].message().resource_metrics:
                attributes = otlp.attributes(resource.resource.attributes)
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    if metric.name.startswith("brief."):
                        self.all += [Point(self.taken, attributes, metric.name, point) for point in metric.sum.data_points]
                    elif attributes.get("service.name") == "probemeter" and metric.WhichOneof("data") == "sum":
                        self.own[metric.name] = sum(point.as_int for point in metric.sum.data_points)
            self.taken += 1
        return self

    def of(self, name, metric="brief.total"):
        return [point for point in self.read().all if point.name == name and point.metric == metric]

    def wait(self, what, condition, timeout_s=20.0):
        """Until @condition(self) holds; False if it does not come to that."""
        with contextlib.suppress(Failed):
            return wait_until(what, lambda: condition(self.read()), timeout_s, every_s=0.05)
        return False

    def wait_ended(self, name, times=1, timeout_s=20.0):
        """Until the series of @name have ended for the @times-th time, and are gone."""
        def ended(_):
            points = self.of(name)
            generations = {point.start_ns for point in points if point.value is None}
            return len(generations) >= times and points[-1].value is None and points[-1].number < self.taken - 1
        return self.wait(f"{name} ends", ended, timeout_s)

    def generations(self, name, metric="brief.total"):
        """{start: highest value} of each life, and the number of points that stepped back within one."""
        lives, back = {}, 0
        for point in self.of(name, metric):
            if point.value is not None:
                back += point.value < lives.get(point.start_ns, 0)
                lives[point.start_ns] = max(point.value, lives.get(point.start_ns, 0))
        return lives, back


@contextlib.contextmanager
def watched(directory, binary, *arguments, interval_ms=INTERVAL_MS, **variables):
    """An agent that is attached to @binary and stays so: (server, agent, history)."""
    with Server() as server, Agent(directory, *arguments, "--attach", binary, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp,
                                   OTEL_METRIC_EXPORT_INTERVAL=interval_ms, **variables) as agent:
        with brief.staying(binary, 0, OTEL_SERVICE_NAME=own_name("first")) as process:
            agent.wait_attached(process.pid, binary)
        yield server, agent, History(server)


def one_life_after_another(checks, directory, binary):
    name = own_name("returns")
    with watched(directory, binary, "--forget", "700ms") as (server, agent, history):
        for life, count in enumerate((30, 5, 70)):
            with brief.staying(binary, count, OTEL_SERVICE_NAME=name):
                brief.wait_total(server, name, count)
            checks.ok(f"life {life}: its series end", history.wait_ended(name, life + 1), history.generations(name))
        lives, back = history.generations(name)
        points = history.of(name)
        checks.equal("each life has its own total", list(lives.values()), [30, 5, 70])
        checks.equal("and never steps back", back, 0)
        ends = [point.time_ns for point in points if point.value is None]
        checks.ok("each start comes after the end before it",
                  all(any(end < start for end in ends) for start in list(lives)[1:]), (lives, ends))
        levels = history.of(name, "brief.level")
        checks.equal("its level falls to 0, and ends as often",
                     (levels[-2].value, len({point.start_ns for point in levels if point.value is None})), (0, 3))
        checks.equal("no warning", agent.warnings(directory), [])


def the_living(checks, directory, binary):
    """Idle or stopped: who lives is not forgotten."""
    idle, stopped, gone = own_name("idle"), own_name("stopped"), own_name("gone")
    with watched(directory, binary, "--forget", "500ms") as (server, _, history):
        with brief.staying(binary, 7, OTEL_SERVICE_NAME=idle) as one, \
                brief.staying(binary, 9, OTEL_SERVICE_NAME=stopped) as two:
            os.kill(two.pid, signal.SIGSTOP)
            try:
                for turn in range(2):
                    brief.run(binary, 3, OTEL_SERVICE_NAME=gone)
                    checks.ok("who is gone ends meanwhile", history.wait_ended(gone, turn + 1), history.generations(gone))
            finally:
                os.kill(two.pid, signal.SIGCONT)
            brief.fire(one, 5)
            brief.fire(two, 4)
            checks.equal("idle: goes on", brief.wait_total(server, idle, 12), 12)
            checks.equal("stopped: goes on", brief.wait_total(server, stopped, 13), 13)
        for name in (idle, stopped):
            lives, back = history.generations(name)
            checks.equal(f"{name.split('-')[0]}: one life", (len(lives), back), (1, 0))
            last = max(point.number for point in history.of(name) if point.value is not None)
            checks.equal("and no end before its own", [point.number for point in history.of(name)
                                                       if point.value is None and point.number < last], [])


def outage(checks, directory, binary):
    """Nothing is forgotten before a collector has it, in either temporality."""
    for temporality in ("cumulative", "delta"):
        name = own_name(f"owed-{temporality}")
        with watched(directory, binary, "--forget", "300ms", OTEL_METRIC_EXPORT_TIMEOUT=500,
                     OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=temporality) as (server, _, history):
            server.close_door()
            brief.run(binary, 40, OTEL_SERVICE_NAME=name)
            time.sleep(1.5)
            brief.run(binary, 2, OTEL_SERVICE_NAME=name)
            time.sleep(1)
            server.open_door()

            def told(life):
                values = [point.value for point in history.of(name) if point.value is not None]
                return sum(values) if temporality == "delta" else list(history.generations(name)[0].values())[life]
            checks.ok(f"{temporality}: ends after the outage", history.wait_ended(name), history.generations(name))
            checks.equal(f"{temporality}: with all it counted", told(0), 42)
            brief.run(binary, 50, OTEL_SERVICE_NAME=name)
            checks.ok(f"{temporality}: it returns and ends again", history.wait_ended(name, 2), history.generations(name))
            checks.equal(f"{temporality}: with what is its own", told(1), 92 if temporality == "delta" else 50)


class Hammer:
    """A process of one service that fires from the beginning to the end of a block."""

    def __init__(self, binary, name):
        self.binary, self.name = binary, name
        self.fired = 0

    def __enter__(self):
        self.context = brief.staying(self.binary, 1, OTEL_SERVICE_NAME=self.name)
        self.process = self.context.__enter__()
        self.fired = 1
        self.end = False
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
        return self

    def work(self):
        while not self.end:
            brief.fire(self.process, 5000)
            self.fired += 5000

    def __exit__(self, *exc):
        self.end = True
        self.thread.join()
        return self.context.__exit__(*exc)


def coming_and_going(checks, directory, binary):
    """Twenty names, each with short lives at odd times, forgotten as fast as can be, while two others fire on."""
    names, neighbours = [own_name(f"job{n}") for n in range(20)], [own_name("north"), own_name("south")]
    fired = dict.fromkeys(names, 0)
    chance = random.Random(7)
    with watched(directory, binary, "--forget", "1ms", "--max-overhead", "1000", interval_ms=100) as (_, agent, history):
        with Hammer(binary, neighbours[0]) as north, Hammer(binary, neighbours[1]) as south:
            end = time.monotonic() + 8
            while time.monotonic() < end:
                name, count = chance.choice(names), chance.randrange(1, 50)
                brief.run(binary, count, OTEL_SERVICE_NAME=name)
                fired[name] += count
                time.sleep(chance.choice((0, 0, 0.01, 0.05)))
        for name in names:
            history.wait(f"{name}: all", lambda _, name=name: sum(history.generations(name)[0].values()) == fired[name], 10)
        seen = {name: sum(history.generations(name)[0].values()) for name in names}
        checks.equal("fired = exported, over all lives", seen, fired)
        checks.equal("never a step back", sum(history.generations(name)[1] for name in names), 0)
        lives = sum(len(history.generations(name)[0]) for name in names)
        checks.ok("they had many lives", lives > 2 * len(names), lives)
        print(f"     {lives} lives of {len(names)} services, {sum(fired.values())} events; "
              f"{north.fired + south.fired} of the neighbours'")
        for hammer in (north, south):
            history.wait(f"{hammer.name}: all", lambda _, h=hammer: sum(history.generations(h.name)[0].values()) == h.fired, 5)
            checks.equal("a neighbour: fired = exported, in one life",
                         [list(history.generations(hammer.name)[0].values()), history.generations(hammer.name)[1]],
                         [[hammer.fired], 0])
        checks.equal("no warning", agent.warnings(directory), [])


class Jobs(threading.Thread):
    """Short lives of many names at odd times, until told to end."""

    def __init__(self, binary, names, seed):
        super().__init__()
        self.binary, self.chance = binary, random.Random(seed)
        self.fired = dict.fromkeys(names, 0)
        self.end = False

    def run(self):
        while not self.end:
            name, count = self.chance.choice(list(self.fired)), self.chance.randrange(1, 50)
            brief.run(self.binary, count, OTEL_SERVICE_NAME=name)
            self.fired[name] += count
            time.sleep(self.chance.choice((0, 0, 0.01, 0.05)))


def killed(checks, directory, binary):
    """Agents die by SIGKILL while they forget; the next one finishes it or undoes it, and wakes nobody up again."""
    seed = random.randrange(1 << 16)
    dice = random.Random(seed)
    gone, names = own_name("gone"), [own_name(f"work{n}") for n in range(12)]
    with Host(directory, "killed") as host, Server() as server:
        history, jobs = History(server), Jobs(binary, names, seed)

        def agent():
            return Agent(directory, "--forget", "1ms", "--attach", binary, host=host,
                         OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=100)
        with agent() as first:
            with brief.staying(binary, 4, OTEL_SERVICE_NAME=gone) as process:
                first.wait_attached(process.pid, binary)
                brief.wait_total(server, gone, 4)
            checks.ok("one ends", history.wait_ended(gone), history.generations(gone))
            last = len(server.requests)
            first.signal(signal.SIGKILL)
            first.wait()
        jobs.start()
        try:
            for _ in range(KILLS):
                with agent() as one:
                    exports = len(server.requests)
                    history.wait("it exports", lambda _, n=exports: len(server.requests) > n, 20)
                    time.sleep(dice.uniform(0, 1))
                    one.signal(signal.SIGKILL)
                    one.wait()
        finally:
            jobs.end = True
            jobs.join()
        with agent() as one:
            history.wait("all of it", lambda _: all(sum(history.generations(name)[0].values()) >= jobs.fired[name]
                                                    for name in names), 20)
            seen = {name: sum(history.generations(name)[0].values()) for name in names}
            checks.equal(f"seed {seed}: fired = exported, over all lives", seen, jobs.fired)
            checks.equal("never a step back under one start", [name for name in names if history.generations(name)[1]], [])
            checks.equal("who had ended does not come again", [point.number for point in history.of(gone)
                                                              if point.number > last + 1], [])
            checks.ok("all end at last", history.wait("ends", lambda _: all(
                point.number < history.taken - 1 for point in history.all if point.name in names), 40),
                      {(point.name, point.metric, point.value) for point in history.all
                       if point.name in names and point.number >= history.taken - 2})
            lives = sum(len(history.generations(name)[0]) for name in names)
            checks.ok("they had many lives", lives > len(names), lives)
            print(f"     {lives} lives of {len(names)} services, {sum(jobs.fired.values())} events, {KILLS + 1} agents killed")
            del one
        checks.equal("stop --detach", host.stop("--detach")[0], 0)


OWN = {key: f"probemeter.agent.{key}" for key in ("services", "series", "cells", "kernel.memory")}


def resident_kib(agent):
    return int(pathlib.Path(f"/proc/{agent.pid}/statm").read_text().split()[1]) * 4


def memory(checks, directory, binary):
    """Three times 500 services of different names: kernel and agent end where they began."""
    with watched(directory, binary, "--forget", "1ms", "--include", f"path:{binary}") as (_, agent, history):
        history.wait_ended(own_name("first"))
        before = dict(history.read().own)
        rss = []
        for turn in range(3):
            for number in range(500):
                brief.run(binary, 2, OTEL_SERVICE_NAME=own_name(f"many-{turn}-{number}"))
            back = history.wait("as before", lambda _, want=500 * (turn + 1): want == len(
                {point.name for point in history.all if point.name.startswith("many-") and point.value is None}) and
                all(history.own[OWN[key]] <= before[OWN[key]] + (65536 if key == "kernel.memory" else 0) for key in OWN), 15)
            checks.ok(f"round {turn}: all 500 end; services, series, cells and the maps' memory are as before", back,
                      [(history.own[OWN[key]], before[OWN[key]]) for key in OWN])
            rss.append(resident_kib(agent))
        checks.ok("the agent's memory is flat", rss[2] <= rss[0] + 4096, rss)
        print(f"     maps {before[OWN['kernel.memory']]} -> {history.own[OWN['kernel.memory']]} bytes, agent {rss} KiB")


def each_process(checks, directory, binary):
    """--per-process: more processes than there is room for at a time, one after the other; every one is told exactly."""
    name, count = own_name("short"), 4500
    with watched(directory, binary, "--per-process", "--include", f"path:{binary}",
                 interval_ms=100) as (_, agent, history):
        start = time.monotonic()
        script = f"i=0; while [ $i -lt {count} ]; do {binary} 3; i=$((i+1)); [ $((i % 20)) != 0 ] || sleep 0.02; done"
        subprocess.run(["/bin/sh", "-c", script], check=True, cwd="/", timeout=120, stdin=subprocess.DEVNULL,
                       env=clean_environment(OTEL_SERVICE_NAME=name))
        seconds = time.monotonic() - start

        def told():
            lives = {}
            for point in history.of(name):
                if point.value is not None:
                    lives[point.instance] = max(point.value, lives.get(point.instance, 0))
            return lives
        history.wait("all of them", lambda _: sum(told().values()) >= 3 * count, 20)
        lives = told()
        checks.equal("every process is a resource", len(lives), count)
        checks.equal("with exactly what it fired", set(lives.values()), {3})
        checks.ok("and they end", history.wait("no more", lambda _: {point.instance for point in history.of(name)
                                                                    if point.value is None} == set(lives)))
        checks.ok("and leave nothing", history.wait("services", lambda _: history.own[OWN["services"]] < 20, 10),
                  history.own)
        print(f"     {count} processes in {seconds:.1f} s; agent's memory at the end: {resident_kib(agent)} KiB")


def warned_again(checks, directory, _):
    """Who gets the number of a service that was forgotten is warned of its limits, too."""
    with Server() as server, start_agent(directory, server, "--forget", "500ms", "--cardinality-limit", "10") as agent, \
            Driven("hammer", "again-stays") as stays:
        stays.answer()
        wait_attached(agent, stays)
        for name in ("again-first", "again-second"):
            with Driven("hammer", name) as one:
                one.answer()
                one.ask("flood 0 8 1")
                checks.ok(f"{name}: warned of 9 series of 10", History(server).wait("a warning", lambda _, one=one: any(
                    "9 of at most 10 series" in line and f"'{one.service}'" in line for line in agent.lines()), 10), agent.tail())
            checks.ok(f"{name}: forgotten", History(server).wait("its end", lambda _, one=one: any(
                "its series have ended" in line and f"'{one.service}'" in line for line in agent.lines())), agent.tail())


def main():
    checks = Checks("forget")
    with scratch("forget") as directory:
        binary = brief.build(directory)
        for part in (one_life_after_another, the_living, outage, coming_and_going, killed, memory, each_process,
                     warned_again):
            if len(sys.argv) < 2 or part.__name__ in sys.argv[1:]:
                with checks.run(part.__name__):
                    part(checks, directory, binary)
    checks.exit()


if __name__ == "__main__":
    main()
