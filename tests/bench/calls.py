# SPDX-License-Identifier: BSD-2-Clause
"""Targets 1 to 8: what a call costs the service, next to what else it could call. Pairs, interleaved."""
import contextlib
import dataclasses
import os
import statistics
import subprocess

import build
from contestant import Bpftrace, Contestant, Gone, Talker
from result import Target

CPUS = os.cpu_count()


@dataclasses.dataclass(frozen=True)
class Entry:
    """One side of a comparison: an operation of a contestant, under the name that the table shows."""
    name: str
    contestant: object
    operation: str


class Arena:
    """All contestants, started once; pair() measures two of them in turn."""

    def __init__(self, results, rounds, ms):
        self.results, self.rounds, self.ms = results, rounds, ms

    def once(self, entry, threads):
        ns, _ = entry.contestant.run(entry.operation, threads, self.ms)
        self.results.cell(entry.name, threads, ns)
        return ns

    def pair(self, one, other, threads, other_threads=None, beside=None):
        """[(ns of one, ns of other)] by round; who comes first changes from round to round. @beside(round) runs in each."""
        other_threads = other_threads or threads
        one.contestant.run(one.operation, threads, self.ms // 4)
        other.contestant.run(other.operation, other_threads, self.ms // 4)
        found = []
        for number in range(self.rounds):
            if number % 2:
                b = self.once(other, other_threads)
                a = self.once(one, threads)
            else:
                a = self.once(one, threads)
                b = self.once(other, other_threads)
            found.append((a, b))
            if beside:
                beside(b)
        return found

    def ratio(self, target, one, other, threads, floor=None):
        """@floor: who stands for the trap alone; its ratio to @other is taken in the same rounds."""
        if not other.contestant:
            missing = next(why for name, why in build.absent.items() if other.name.startswith(name))
            self.results.add(target, not_measured=missing)
            return
        floors = []
        pairs = self.pair(one, other, threads, beside=floor and (lambda ns: floors.append(self.once(floor, threads) / ns)))
        if floors:
            target.floor = statistics.median(floors)
        ours, theirs = (statistics.median(side) for side in zip(*pairs))
        self.results.add(target, [a / b for a, b in pairs], detail=f"{ours:.4g} against {theirs:.4g} ns")


def usdt_offset(binary):
    """File offset of the one classic probe, from its note."""
    text = build.output("readelf", "-nW", binary)
    address = int(text.split("Location: ")[1].split(",")[0], 16)
    for line in build.output("readelf", "-lW", binary).splitlines():
        fields = line.split()
        if fields[:1] == ["LOAD"]:
            offset, start, size = (int(fields[i], 16) for i in (1, 2, 4))
            if start <= address < start + size:
                return address - start + offset
    raise Gone(f"{binary}: its probe is in no segment")


def peer(stack, name, *argv, **more):
    """A contestant, or None if it is absent."""
    if name in build.absent:
        return None
    try:
        return stack.enter_context(Contestant(*argv, **more))
    except (Gone, OSError) as error:
        build.absent[name] = str(error)
        return None


def without_agent(results, rounds, ms):
    """Targets 1 and 8 with nobody listening: call before an agent runs."""
    with Contestant(build.OUT / "ours") as ours:
        arena = Arena(results, rounds, ms)
        nothing = Entry("empty loop", ours, "nothing")
        for operation, text in (("counter", "a"), ("histogram", "b")):
            entry = Entry(f"probemeter {operation}, no agent", ours, operation)
            pairs = arena.pair(entry, nothing, 1)
            results.add(Target(f"1{text}", f"{operation}, no agent: more than the loop without it", 1.0, unit="ns"),
                        [a - b for a, b in pairs])
        bound_and_labelled(results, arena, ours, "no agent", "8a", "8b")


def bound_and_labelled(results, arena, ours, when, bound_id, labelled_id):
    """Target 8, @when there is an agent or not."""
    with contextlib.ExitStack() as stack:
        prometheus = peer(stack, "prometheus-cpp", build.OUT / "prometheus")
        arena.ratio(Target(bound_id, f"level ADD, {when}, against a bound gauge of prometheus-cpp", 1.0),
                    Entry(f"probemeter level, {when}", ours, "level"),
                    Entry("prometheus-cpp bound gauge", prometheus, "gauge_bound"), 1)
        arena.ratio(Target(labelled_id, f"level ADD of two labels, {when}, against a labelled gauge of prometheus-cpp", 0.15),
                    Entry(f"probemeter level of two labels, {when}", ours, "level_labelled"),
                    Entry("prometheus-cpp labelled gauge", prometheus, "gauge_labelled"), 1)


def with_agent(results, ours, rounds, ms):
    """Targets 2 to 8: the agent runs and has attached to @ours."""
    arena = Arena(results, rounds, ms)
    counter = Entry("probemeter counter", ours, "counter")
    histogram = Entry("probemeter histogram", ours, "histogram")

    with contextlib.ExitStack() as stack:
        # The trap alone: an empty program on a stub like ours, called like ours.
        apart = stack.enter_context(Contestant(build.OUT / "ours-apart"))
        stack.enter_context(Talker(build.OUT / "attach", build.OUT / "empty.bpf.o", build.OUT / "ours-apart"))
        trap = Entry("probemeter's site, histogram, empty program", apart, "histogram")
        classic = peer(stack, "sys/sdt.h", build.OUT / "classic")
        if classic:
            stack.enter_context(Talker(build.OUT / "attach", build.OUT / "empty.bpf.o", build.OUT / "classic",
                                       usdt_offset(build.OUT / "classic")))
        arena.ratio(Target("2", "labelled histogram against an empty program on a classic probe", 0.75), histogram,
                    Entry("sys/sdt.h probe, empty program", classic, "hit"), 1, floor=trap)
        arena.ratio(Target("3a", "counter of two labels against an empty program on our own site", 1.2), counter,
                    Entry("probemeter's site, counter, empty program", apart, "counter"), 1)
        arena.ratio(Target("3b", "histogram of two labels against an empty program on our own site", 1.2), histogram, trap, 1)

        traced = peer(stack, "sys/sdt.h", build.OUT / "classic-bpftrace")
        against_bpftrace = Target("4", "labelled histogram against bpftrace's @[str, str] = hist()", 0.45)
        if traced and "bpftrace" not in build.absent:
            with Bpftrace(build.OUT / "classic-bpftrace", "bench:hit"):
                arena.ratio(against_bpftrace, histogram, Entry("bpftrace", traced, "hit"), 1, floor=trap)
        else:
            arena.ratio(against_bpftrace, histogram, Entry("bpftrace" if traced else "sys/sdt.h", None, "hit"), 1)

        prometheus = peer(stack, "prometheus-cpp", build.OUT / "prometheus")
        observe = Entry("prometheus-cpp labelled histogram", prometheus, "histogram")
        arena.ratio(Target("5a", "labelled histogram against prometheus-cpp, 1 thread", 0.9), histogram, observe, 1, floor=trap)
        arena.ratio(Target("5b", "labelled histogram against prometheus-cpp, as many threads as CPUs", 0.4), histogram, observe, CPUS, floor=trap)

        record = Entry("opentelemetry-cpp histogram", peer(stack, "opentelemetry-cpp", build.OUT / "opentelemetry"), "histogram")
        arena.ratio(Target("6a", "labelled histogram against opentelemetry-cpp, as many threads as CPUs", 1.0), histogram,
                    record, CPUS, floor=trap)
        arena.ratio(Target("6b", "labelled histogram against opentelemetry-cpp, 4 x as many threads as CPUs", 0.7), histogram, record, 4 * CPUS, floor=trap)
        if record.contestant:
            for _ in range(rounds):
                arena.once(record, 1)

        pairs = arena.pair(histogram, histogram, CPUS, 1)
        results.add(Target("7", f"histograms per second on {CPUS} CPUs against one", 0.9 * CPUS, at_least=True),
                    [CPUS * one / many for many, one in pairs])

        bound_and_labelled(results, arena, ours, "agent on", "8c", "8d")

        javascript = peer(stack, "OpenTelemetry JS", "node", build.OUT / "opentelemetry.mjs")
        if javascript:
            slow = Entry("OpenTelemetry JS histogram", javascript, "histogram")
            arena.once(slow, 1)
            results.cells.pop((slow.name, 1))  # the first one compiles
            for _ in range(rounds):
                arena.once(slow, 1)


def cpu_model():
    for line in subprocess.run(["lscpu"], stdout=subprocess.PIPE, text=True, check=False).stdout.splitlines():
        if line.startswith("Model name:"):
            return line.split(":", 1)[1].strip()
    return "unknown"
