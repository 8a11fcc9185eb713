#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""The judge of the stress test, judged: one event more or less, in another bucket, or of another value is a difference of that
size, in the series that it is in; a killed thread's last event is accepted whole or not at all; a stream that steps back is seen.
"""
import pathlib
import sqlite3
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import account  # noqa: E402
import judge  # noqa: E402
import otlp  # noqa: E402
import receiver  # noqa: E402
from checks import Checks  # noqa: E402
from process import scratch  # noqa: E402

FIELDS = ("state", "cell", "value", "count", "sum", "rests", "levels", "open", "share", "latest", "gauge", "cells")


def one(name, kind, first, sets, buckets, upper=(), reason="", flood=False, scale=1):
    return {"name": name, "kind": kind, "reason": reason, "flood": flood, "first": first, "sets": sets, "buckets": buckets,
            "scale": scale, "upper": list(upper)}


# As `stress --describe` has it, smaller. Cells 0 and 1 are two counters, 2 to 7 two histograms in halves, 8 drops, 9 to 12 a flood.
LAYOUT = account.Layout({
    "region": ["eu", "us"], "tier": ["free"], "key": "key-%d", "rest": 0, "run": 1, "end": 2, "firing": 1, "booking": 2,
    "field": {name: 8 * at for at, name in enumerate(FIELDS)}, "metric": [
        one("stress.count", "counter", 0, 2, 1), one("stress.time", "histogram", 2, 2, 3, (2, 4, 8), scale=2),
        one("stress.count", "dropped", 8, 1, 1, reason="negative"), one("stress.flood", "counter", 9, 4, 1, flood=True)]})
SHOP = "shop"


def truth():
    fired = account.Truth()
    for cell, count, total in ((0, 3, 30), (1, 1, 5), (2, 1, 2), (3, 2, 7), (7, 1, 8), (8, 2, 0), (9, 1, 10), (10, 1, 20), (11, 1, 40)):
        fired.add(SHOP, cell, count, total)
    fired.level("stress.open", SHOP, ("eu",), 4)
    fired.level("stress.open", SHOP, ("eu",), -1)
    fired.level("stress.gauge", SHOP, ("p1", "t0"), 0.5)
    return fired


def stored():
    bounds = [1.0, 2.0, 4.0]
    return judge.Stored({
        ("stress.count", SHOP): {("eu", "free"): 30, ("us", "free"): 5},
        ("stress.time", SHOP): {("eu", "free"): [3, 4.5, bounds, [1, 2, 0, 0]], ("us", "free"): [1, 4.0, bounds, [0, 0, 1, 0]]},
        ("stress.flood", SHOP): {("key-0",): 10, judge.OVERFLOW: 60},
        ("stress.open", SHOP): {("eu",): 3}, ("stress.gauge", SHOP): {("p1", "t0"): 0.5},
    }, {("negative", "stress.count"): 2})


def verdict(change=lambda fired, kept: None):
    fired, kept = truth(), stored()
    change(fired, kept)
    return judge.compare(LAYOUT, fired, kept)


def differences(checks):
    found = verdict()
    checks.equal("the same: difference 0", (found.difference, found.lines), (0, []))

    def move(fired, kept):
        kept.points["stress.time", SHOP]["eu", "free"][3] = [2, 1, 0, 0]

    def total(fired, kept):
        kept.points["stress.time", SHOP]["eu", "free"][1] += 0.5

    def vanish(fired, kept):
        del kept.points["stress.time", SHOP]["us", "free"]

    def stranger(fired, kept):
        kept.points["stress.count", SHOP]["eu", "gold"] = 1

    def overflow(fired, kept):
        kept.points["stress.count", SHOP][judge.OVERFLOW] = kept.points["stress.count", SHOP].pop(("us", "free"))

    def level(fired, kept):
        kept.points["stress.open", SHOP]["eu",] = 4

    def gone(fired, kept):
        kept.points["stress.gauge", SHOP] = {}

    def drop(fired, kept):
        kept.dropped["negative", "stress.count"] = 1

    def unnamed(fired, kept):
        kept.dropped["no_cell", "stress.count"] = 1

    rows = (
        ("one event more was fired", lambda fired, kept: fired.add(SHOP, 0, 1, 1), 1, "stress.count {eu, free} of shop: sum -1"),
        ("one value more was recorded", lambda fired, kept: fired.add(SHOP, 3, 1, 3), 1,
         "stress.time {eu, free} of shop: sum -3, bucket 1 -1"),
        ("a value is in another bucket", move, 2, "stress.time {eu, free} of shop: bucket 0 +1, bucket 1 -1"),
        ("only a sum is off", total, 1, "stress.time {eu, free} of shop: sum +1"),
        ("a series is not there", vanish, 1, "stress.time {us, free} of shop: sum -8, bucket 0 -1"),
        ("a series that nobody fired", stranger, 1, "stress.count {eu, gold} of shop: sum +1"),
        ("an overflow where there is room", overflow, 10, "stress.count {us, free} of shop: sum -5"),
        ("a flood's overflow lacks one", lambda fired, kept: fired.add(SHOP, 12, 1, 1), 1, "stress.flood overflow of shop: sum -1"),
        ("a level is off", level, 1, "stress.open {eu} of shop: 4 for 3"),
        ("a gauge is not there", gone, 1, "stress.gauge {p1, t0} of shop: None for 0.5"),
        ("a drop is not told", drop, 1, "stress.count: -1 drops for reason negative"),
        ("a drop for nothing", unnamed, 1, "stress.count: +1 drops for reason no_cell"),
    )
    for name, change, size, words in rows:
        found = verdict(change)
        checks.ok(f"{name}: difference {size}, and where", found.difference == size and words in found.lines, found)

    def explained(fired, kept):
        kept.points["stress.time", SHOP]["eu", "free"] = [2, 3.0, [1.0, 2.0, 4.0], [1, 1, 0, 0]]
        kept.dropped["no_cell", "stress.time"] = 1

    checks.equal("a drop for just what is missing: difference 0", verdict(explained).difference, 0)

    def full(change=lambda fired, kept: None, by=0):
        fired, kept = truth(), stored()
        series = kept.points["stress.time", SHOP]
        series[judge.OVERFLOW] = [1, series["us", "free"][1] - by / 2, [1.0, 2.0, 4.0], [0, 0, 1, 0]]
        del series["us", "free"]
        change(fired, kept)
        return judge.compare(LAYOUT, fired, kept, True)

    def named(fired, kept):
        fired.add(SHOP, 4, 2, 14)  # two values more, and two drops
        kept.dropped["no_cell", "stress.time"] = 2

    def missing(fired, kept):
        fired.add(SHOP, 4, 2, 14)
        kept.dropped["no_cell", "stress.time"] = 1

    checks.equal("a full host: series in the overflow: difference 0", full().difference, 0)
    checks.equal("a full host: a sum that is off: difference 1", full(by=1).difference, 1)
    checks.equal("a full host: two events found no room, and are named: difference 0", full(named).difference, 0)
    checks.ok("a full host: one of two is not named: a difference", full(missing).difference > 0, full(missing))


def under_way(checks):
    """Killed between firing and booking: five events, of which the kernel may have counted any."""
    last = [(0, 100), (0, 17), (3, 3), (8, 0), (12, 80)]

    def killed(change):
        def both(fired, kept):
            fired.under_way[SHOP] = list(last)
            change(kept)
        return verdict(both)

    def whole(kept):
        kept.points["stress.count", SHOP]["eu", "free"] += 17
        kept.points["stress.time", SHOP]["eu", "free"] = [4, 6.0, [1.0, 2.0, 4.0], [1, 3, 0, 0]]
        kept.dropped["negative", "stress.count"] += 1
        kept.points["stress.flood", SHOP][judge.OVERFLOW] += 80

    found = killed(lambda kept: None)
    checks.equal("under way, and not counted: difference 0", (found.difference, found.landed.events()), (0, 0))
    found = killed(whole)
    checks.equal("under way, some of them counted: difference 0, and which", (found.difference, found.landed.cells),
                 (0, {SHOP: {0: [1, 17], 3: [1, 3], 8: [1, 0], 12: [1, 80]}}))

    def other(kept):
        kept.points["stress.count", SHOP]["eu", "free"] += 18

    def half(kept):
        kept.points["stress.time", SHOP]["eu", "free"][3][1] += 1

    def twice(kept):
        kept.points["stress.count", SHOP]["eu", "free"] += 200

    for name, change, size in (("of another value", other, 18), ("counted without its value", half, 1), ("twice", twice, 200)):
        checks.equal(f"under way, and {name}: difference {size}", killed(change).difference, size)


def accounts(checks):
    """The file of a service: a thread that rests, one that was killed while it booked, one while it fired."""
    stride = 8 * len(FIELDS) - 8 + 16 * 13 + 64

    def thread(**fields):
        data = bytearray(stride)
        for name, value in fields.items():
            if name == "cells":
                for cell, pair in value.items():
                    struct.pack_into("QQ", data, 8 * FIELDS.index(name) + 16 * cell, *pair)
            else:
                struct.pack_into("Q", data, 8 * FIELDS.index(name), value)
        return bytes(data)

    booked = {0: (3, 30), 4: (1, 6)}
    data = struct.pack("QQQ", 3, stride, 64).ljust(64, b"\0") + thread(cells=booked, rests=9) + \
        thread(cells=booked, state=2, cell=4, count=2, sum=13, rests=9) + thread(cells=booked, state=1, cell=4, value=7, rests=9)
    fired = account.Truth()
    account.read(LAYOUT, data, SHOP, "p1", True, fired)
    checks.equal("what was being booked is booked", fired.cells, {SHOP: {0: [9, 90], 4: [4, 25]}})
    checks.equal("what was being fired is set apart", fired.under_way, {SHOP: [(4, 7)]})
    checks.equal("all rest", (account.rests(LAYOUT, data, 9), account.rests(LAYOUT, data, 8), account.rests(LAYOUT, b"", 9)),
                 (True, False, False))


def streams(checks):
    """What the receiver says of consecutive requests."""
    def request(value, counts, time_ns, start_ns=5, name="stress.count"):
        made = otlp.Builder(SHOP)
        made.sum(name, value, {"region": "eu"}, time_ns, start_ns)
        made.histogram("stress.time", [1.0], counts, float(sum(counts)), {"region": "eu"}, time_ns, start_ns)
        return otlp.decode(made.bytes())

    rows = (
        ("on it goes", request(7, [1, 2], 20), []),
        ("a counter that falls", request(5, [1, 1], 20), ["steps back from 6 to 5"]),
        ("a bucket that falls", request(6, [0, 2], 20), ["a bucket steps back"]),
        ("another start", request(6, [1, 1], 20, 6), ["its start moves by 1 ns"] * 2),
        ("a time that goes back", request(6, [1, 1], 9), ["its time goes back by 1 ns"] * 2),
        ("a stream that is gone", request(6, [1, 1], 20, name="stress.flood"), ["is gone"]),
    )
    with scratch("judge") as directory:
        for number, (name, second, want) in enumerate(rows):
            path = directory / f"{number}.sqlite"
            keeper = receiver.Keeper(path)
            keeper.take(request(6, [1, 1], 10))
            keeper.db.close()
            keeper = receiver.Keeper(path)  # as after a kill
            keeper.take(second)
            said = [text for text, in sqlite3.connect(path).execute("SELECT text FROM complaint")]
            checks.ok(f"{name}: {want[0] if want else 'no complaint'}",
                      len(said) == len(want) and all(words in text for words, text in zip(want, said)), said)
            kept = judge.load(path)
            checks.equal(f"{name}: stored", (kept.request, len(kept.complaints), kept.points["stress.time", SHOP]["eu", None][0]),
                         (2, len(want), 3 if number == 0 else 2))


def main():
    checks = Checks("judge")
    for name, part in (("differences", differences), ("under way", under_way), ("accounts", accounts), ("streams", streams)):
        with checks.run(name):
            part(checks)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
