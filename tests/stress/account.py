# SPDX-License-Identifier: BSD-2-Clause
"""The truth: what build/services/stress wrote down, added up over processes, the dead ones included; and what it means.

Consumes `stress --describe` and the files of truth; produces a Truth. How a file is laid out, and what the account of a
thread says that was killed, stands at the top of tests/services/stress.c.
"""
import math
import struct
from typing import NamedTuple

COUNTER, HISTOGRAM, DROPPED = "counter", "histogram", "dropped"
SUMMED = ("stress.open", "stress.share")  # levels that are added up over processes


class Metric(NamedTuple):
    name: str
    kind: str
    reason: str  # under which it is dropped
    flood: bool  # has more label sets than there is room for
    first: int  # cell
    sets: int
    buckets: int
    scale: int  # values are in units of 1/scale
    upper: list  # of each bucket of a histogram, in units


class Layout:
    """@described: what `stress --describe` says."""

    def __init__(self, described):
        self.regions, self.tiers, self.key = described["region"], described["tier"], described["key"]
        self.at = described["field"]
        self.firing, self.booking = described["firing"], described["booking"]
        self.rest, self.run, self.end = described["rest"], described["run"], described["end"]
        self.metrics = [Metric(**{**one, "upper": [math.inf if u is None else u for u in one["upper"]]})
                        for one in described["metric"]]

    def labels(self, metric, number):
        """The label values of label set @number, in their order."""
        if metric.flood:
            return self.key % number,
        return self.regions[number // len(self.tiers)], self.tiers[number % len(self.tiers)]

    def place(self, cell):
        """(metric, label set, bucket) of a cell."""
        metric = next(m for m in self.metrics if cell < m.first + m.sets * m.buckets)
        return metric, *divmod(cell - metric.first, metric.buckets)


class Truth:
    """What was fired, by service. @under_way: events of killed threads that may have been counted or not."""

    def __init__(self):
        self.cells = {}  # {service: {cell: [count, sum]}}
        self.under_way = {}  # {service: [(cell, value)]}
        self.levels = {}  # {(metric, service, label values): value}, of the living

    def add(self, service, cell, count, total):
        held = self.cells.setdefault(service, {}).setdefault(cell, [0, 0])
        held[0] += count
        held[1] += total

    def plus(self, other):
        both = Truth()
        for one in (self, other):
            for service, cells in one.cells.items():
                for cell, (count, total) in cells.items():
                    both.add(service, cell, count, total)
            for service, events in one.under_way.items():
                both.under_way.setdefault(service, []).extend(events)
            for (name, service, labels), value in one.levels.items():
                both.level(name, service, labels, value)
        return both

    def level(self, name, service, labels, value):
        key = name, service, labels
        self.levels[key] = self.levels.get(key, 0) + value if name in SUMMED else value

    def events(self):
        """Fired, those under way left out."""
        return sum(count for cells in self.cells.values() for count, _ in cells.values())


def threads_of(data):
    """Offset of each thread's account in a file's bytes; none before the service has made it."""
    if len(data) < 64:
        return []
    threads, stride, first = struct.unpack_from("QQQ", data)
    return [first + number * stride for number in range(threads)]


def fired(layout, data):
    """How many events it has booked."""
    return sum(sum(_words(layout, data, threads_of(data), number)[0::2]) for number in range(len(threads_of(data))))


def rests(layout, data, order):
    """Has every thread seen @order, and does it rest?"""
    threads = threads_of(data)
    return bool(threads) and all(struct.unpack_from("I", data, at + layout.at["rests"])[0] == order for at in threads)


def read(layout, data, service, process, dead, truth):
    """Add the account of one process to @truth. It rests, or is @dead and has no levels any more."""
    threads = threads_of(data)
    for number, at in enumerate(threads):
        def field(name, form, at=at):
            found = struct.unpack_from(form, data, at + layout.at[name])
            return found[0] if len(found) == 1 else found

        words = _words(layout, data, threads, number)
        state, under_way = field("state", "I"), field("cell", "I")
        booked = {under_way: (field("count", "Q"), field("sum", "Q"))} if state == layout.booking else {}
        for cell, count in enumerate(words[0::2]):
            if count or cell in booked:
                truth.add(service, cell, *booked.get(cell, (count, words[2 * cell + 1])))
        if state == layout.firing:
            truth.under_way.setdefault(service, []).append((under_way, field("value", "Q")))
        if not dead and field("levels", "I"):
            thread = f"t{number}"
            for region, value in zip(layout.regions, field("open", f"{len(layout.regions)}q")):
                truth.level("stress.open", service, (region,), value)
            truth.level("stress.share", service, (thread,), field("share", "q"))
            truth.level("stress.latest", service, (process, thread), field("latest", "q"))
            truth.level("stress.gauge", service, (process, thread), field("gauge", "d"))


def _words(layout, data, threads, number):
    """Counts and sums of thread @number's cells, by turns."""
    first = threads[number] + layout.at["cells"]
    end = threads[number + 1] if number + 1 < len(threads) else len(data)
    return memoryview(data)[first:first + (end - first) // 16 * 16].cast("Q")
