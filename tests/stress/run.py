#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Stress: services that keep their own truth, an agent to which everything happens that may, and a judge who compares the
truth with what a receiver stored, per series and per bucket.

    tests/stress/run.py [SECONDS [SEED]]      by default 120 s, and a seed that is printed

The services rest every now and then. Then the receiver must have all that was fired, to the unit: the first difference ends the run,
with what has happened since all was well. The last part of a run is on a host with too little room: there what is missing must be
just what the agent says it dropped. The seed decides what happens, and when; not who runs at which instruction.
"""
import os
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import judge  # noqa: E402
import mishaps  # noqa: E402
from checks import Checks  # noqa: E402
from crew import Crew  # noqa: E402
from host import Host  # noqa: E402
from process import BUILD, Failed, in_own_pid_namespace, scratch, wait_until  # noqa: E402
from test_restart import other_build  # noqa: E402

SECONDS = 120
ROUND_S = 22  # from rest to rest
FULL_S = 25  # of a run of a minute or more, on a host whose maps are full
LEAST_S = 5  # of a round, on a machine that is slow
JUDGED_S = 40  # until the truth must have arrived; it is there after a second
REPORTED = ("agent kills", "restarts", "upgrades", "outages", "bad answers", "services killed", "clock steps", "floods", "crowds",
            "hotplugs")


class Progress:
    """One line that changes, on a terminal; elsewhere a line now and then."""

    def __init__(self, seed, seconds):
        self.seed, self.seconds = seed, seconds
        self.started = time.monotonic()
        self.live = sys.stdout.isatty()

    def elapsed(self):
        return time.monotonic() - self.started

    def show(self, stage, rested=False):
        if self.live or rested:
            head = f"stress: seed {self.seed}, {self.elapsed():.0f} of {self.seconds} s: {stage.crew.events():,} events"
            print(f"\r\033[K{head}{told(stage.happened)}" if self.live else f"     {head}{told(stage.happened)}", end="" if self.live else "\n",
                  flush=True)

    def clear(self):
        if self.live:
            print("\r\033[K", end="", flush=True)


def told(happened):
    return "".join(f", {happened[what]:,} {what if happened[what] != 1 else what.removesuffix('s')}"
                   for what in REPORTED if happened.get(what))


class Judged:
    """The last verdict, and what was wrong at any time."""

    def __init__(self):
        self.stored = None
        self.verdict = None

    def ask(self, stage, checks, name):
        """Everybody rests. Is it all there? What was not known of killed threads is known then."""
        truth = stage.crew.truth()
        looked_at = -1

        def same():
            nonlocal looked_at
            stored = judge.load(stage.collector.store)
            if stored.request == looked_at:
                return False
            looked_at, self.stored = stored.request, stored
            self.verdict = judge.compare(stage.crew.layout, truth, stored, stage.full)
            return not self.verdict.difference

        try:
            wait_until("the truth arrives", same, JUDGED_S, every_s=0.1)
        except Failed:
            pass
        under_way = sum(map(len, truth.under_way.values()))
        landed = self.verdict.landed.events()
        stage.crew.settled(self.verdict.landed)
        fine = checks.ok(f"{name}: {self.verdict.series} series, {stage.crew.truth().events():,} events, {under_way} under way when their "
                         f"thread was killed, {landed} of them counted: difference {self.verdict.difference}",
                         not self.verdict.difference, self.verdict.lines[:12])
        fine &= checks.equal(f"{name}: no stream steps back, begins anew or vanishes", self.stored.complaints[:5], [])
        fine &= checks.equal(f"{name}: no agent says what it never should", stage.never()[:5], [])
        if not fine:
            tell(stage)
        stage.log.clear()
        return fine


def tell(stage):
    """What has happened since the last time that all was well."""
    for when, what in stage.log:
        print(f"       {when - time.monotonic():8.2f} s  {what}")
    print(f"       the agent says: {stage.agent.tail(12) if stage.agent else 'nothing, it is gone'}")


def stress(checks, stage, judged, progress, end_s):
    """Rounds of mishaps, each judged. False if one was not right."""
    number = 0
    while not number or progress.elapsed() < end_s - ROUND_S / 4:
        number += 1
        until = min(progress.elapsed() + ROUND_S, end_s - 2)  # the judge needs a moment
        until = max(until, progress.elapsed() + LEAST_S)
        stage.crew.run()
        while progress.elapsed() < until:
            stage.due()
            mishaps.draw(stage)
            stage.crew.look()
            progress.show(stage)
            time.sleep(stage.dice.choice((0, stage.dice.uniform(0.05, 0.9))))
        stage.calm()
        stage.crew.rest()
        progress.clear()
        if not judged.ask(stage, checks, f"rest {number}"):
            return False
        progress.show(stage, True)
    return True


def end(checks, stage, judged):
    """All services end, their levels with them; the agent stops, and leaves nothing."""
    stage.crew.end()
    if not judged.ask(stage, checks, "all services have ended"):
        return False
    checks.equal("the agent ends with status 0", stage.agent.stop(), 0)
    stage.agent = None
    checks.equal("stop --detach: status 0", stage.host.stop("--detach")[0], 0)
    return checks.equal("nothing is left pinned", stage.host.pins(), [])


class Sum:
    """Of all parts of a run."""

    def __init__(self):
        self.events = self.difference = self.disorder = 0
        self.happened, self.dropped, self.skipped = {}, {}, {}

    def add(self, stage, judged):
        self.events += stage.crew.truth().events()
        self.difference += judged.verdict.difference
        self.disorder += len(judged.stored.complaints)
        for what, count in stage.happened.items():
            self.happened[what] = self.happened.get(what, 0) + count
        for (reason, _), count in judged.stored.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + count
        self.skipped.update(stage.skipped)

    def line(self, seed, seconds):
        dropped = " ".join(f"{reason}={count:,}" for reason, count in sorted(self.dropped.items())) or "none"
        disorder = f", out of order: {self.disorder}" if self.disorder else ""
        return f"stress: seed {seed}, {seconds} s: {self.events:,} events{told(self.happened)}, dropped: {dropped}, " \
               f"difference {self.difference:,}{disorder}"


def act(checks, progress, seed, until, full, total):
    """One part of a run, on a host of its own: False if something was not right."""
    with scratch("stress") as directory, Host(directory, "stress") as host, Crew(directory) as crew:
        judged, collector = Judged(), mishaps.Collector(directory)
        stage = mishaps.Stage(directory, host, collector, crew, seed, (BUILD / "probemeter", other_build()),
                              mishaps.clock_library(directory), full)
        try:
            collector.start()
            stage.start_agent()
            stage.agent.wait_ready("attached", lambda: f"attached: '{crew.binary}'" in stage.agent.output(), 60)
            crew.control.flood(int(full))  # so that it soon is
            fine = stress(checks, stage, judged, progress, until) and end(checks, stage, judged)
            if full:
                lost = sum(count for (reason, _), count in judged.stored.dropped.items() if reason == "no_cell")
                checks.ok(f"a full host: {lost:,} events found no cell, and all of them are named", lost, judged.stored.dropped)
            total.add(stage, judged)
            return fine
        except Failed:
            tell(stage)
            raise
        finally:
            stage.clear()


def main():
    checks = Checks("stress")
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else None
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    if seed is None:  # before this program starts anew in its namespace
        seed = random.SystemRandom().randrange(1 << 16)
        sys.argv[1:] = [str(seconds), str(seed)]
    in_own_pid_namespace()
    print(f"stress: {seconds} s, seed {seed}: tests/stress/run.py {seconds} {seed}", flush=True)
    with checks.run("a run"):
        other_build()  # takes a minute where it is not there yet
        progress, total = Progress(seed, seconds), Sum()
        room_s = seconds - FULL_S if seconds >= 60 else seconds
        if act(checks, progress, seed, room_s, False, total) and room_s < seconds:
            act(checks, progress, seed + 1, seconds, True, total)
        print(total.line(seed, seconds))
        for what, why in total.skipped.items():
            checks.skip(what, why)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
