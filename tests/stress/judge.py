# SPDX-License-Identifier: BSD-2-Clause
"""Compares what was fired (account.py) with what a receiver stored: per series, per bucket, to the unit. Pure.

The difference is a number, and must be 0: by how much counters and levels differ, and how many events are in no or another bucket. An
event that was under way when its thread was killed is accepted whole, with its value and in its bucket, or not at all. What the
agent says it dropped counts as exported; a reason that nobody can foresee has to account for just what is missing. Where the host's
maps are full, a service may have lost series to its overflow: then a metric is judged as a whole in each service.
"""
import bisect
import json
import sqlite3
from typing import NamedTuple

from account import COUNTER, DROPPED, HISTOGRAM, SUMMED, Truth
from receiver import DROPS

OVERFLOW = "overflow"
WHOLE = "as a whole"
MOST_UNDER_WAY = 1 << 16  # combinations


class Stored:
    """@points: {(metric, service): {label values, or OVERFLOW: value}} of the last request, as receiver.value_of() has them;
    @dropped: {(reason, metric): events}"""

    def __init__(self, points, dropped, request=0, complaints=()):
        self.points = points
        self.dropped = dropped
        self.request = request
        self.complaints = list(complaints)


LABELS = {"stress.count": ("region", "tier"), "stress.time": ("region", "tier"), "stress.size": ("region", "tier"),
          "stress.flood": ("key",), "stress.flood.size": ("key",), "stress.open": ("region",), "stress.share": ("thread",),
          "stress.latest": ("process", "thread"), "stress.gauge": ("process", "thread")}


def load(path):
    """What the receiver has stored of its last request."""
    points, dropped = {}, {}
    db = sqlite3.connect(path, timeout=20)
    try:
        db.execute("BEGIN")  # one view of it
        number, = db.execute("SELECT ifnull(max(number), 0) FROM request").fetchone()
        rows = db.execute("SELECT service, metric, labels, value FROM point WHERE request = ?", (number,)).fetchall()
        complaints = [f"request {request}: {text}" for request, text in db.execute("SELECT * FROM complaint LIMIT 100")]
    finally:
        db.close()
    for service, metric, text, value in rows:
        labels, value = json.loads(text), json.loads(value)
        if metric == DROPS:
            if labels["metric"].startswith("stress."):
                dropped[labels["reason"], labels["metric"]] = value
            continue
        values = OVERFLOW if labels == {"otel.metric.overflow": True} else tuple(labels.get(name) for name in LABELS[metric])
        points.setdefault((metric, service), {})[values] = value
    return Stored(points, dropped, number, complaints)


class Verdict(NamedTuple):
    difference: int
    lines: list  # each series that differs
    series: int  # that were compared
    landed: Truth  # events that were under way, and were counted


class Series:
    """One series as it should be: one label set, or all that are in the overflow."""

    def __init__(self):
        self.cells = []  # (bucket, count, sum)
        self.under_way = []  # (cell, bucket, value)


def _vector(metric, series, value):
    """{component: stored less fired}: "sum" in units, and buckets by index; no component that is 0."""
    found = {"sum": 0}
    if metric.kind == COUNTER:
        found["sum"] = value or 0
    elif value is not None:
        found["sum"] = float("nan") if value[1] is None else value[1] * metric.scale
        found.update(enumerate(value[3]))
    for bucket, count, total in series.cells:
        found["sum"] -= total
        if metric.kind == HISTOGRAM:
            at = _bucket(metric, bucket, value)
            found[at] = found.get(at, 0) - count
    return {component: amount for component, amount in found.items() if amount}


def _bucket(metric, bucket, value):
    """The stored bucket that the service's own @bucket is in."""
    bounds = value[2] if value else []
    return bisect.bisect_left(bounds, metric.upper[bucket] / metric.scale)


def explain(needed, vectors):
    """Which of @vectors add up to @needed: a list of their indices, or None. Each is a dict of components."""
    components = sorted({key for vector in vectors for key in vector}, key=str)
    if any(key not in components for key in needed):
        return None
    want = tuple(needed.get(key, 0) for key in components)
    reached = {(0,) * len(components): ()}
    for index, vector in enumerate(vectors):
        if len(reached) > MOST_UNDER_WAY:
            return None
        step = tuple(vector.get(key, 0) for key in components)
        more = {tuple(a + b for a, b in zip(at, step)): path + (index,) for at, path in reached.items()}
        reached = {**more, **reached}
    return reached.get(want)


def _events(vector):
    """How many events are in no or another bucket."""
    return sum(abs(amount) for component, amount in vector.items() if component != "sum")


def _compare(metric, series, value):
    """(difference, what is missing or too much, indices of events under way that were counted)"""
    needed = _vector(metric, series, value)
    if not needed:
        return 0, needed, ()
    vectors = []
    for _, bucket, amount in series.under_way:
        vector = {"sum": amount}
        if metric.kind == HISTOGRAM:
            vector[_bucket(metric, bucket, value)] = 1
        vectors.append(vector)
    landed = explain(needed, vectors)
    if landed is not None:
        return 0, {}, landed
    if metric.kind == COUNTER:
        return abs(needed["sum"]), needed, ()
    return _events(needed) or 1, needed, ()


def _whole(points):
    """All points of a metric in one."""
    points = list(points)
    if not points or not isinstance(points[0], list):
        return sum(points)
    return [sum(point[0] for point in points), sum(point[1] for point in points), points[0][2],
            [sum(column) for column in zip(*(point[3] for point in points))]]


def _grouped(layout, metric, cells, under_way, named):
    """{label values, OVERFLOW or WHOLE: Series} of one metric in one service."""
    found = {}

    def group(number):
        labels = WHOLE if WHOLE in named else layout.labels(metric, number)
        return found.setdefault(labels if labels in named or not metric.flood else OVERFLOW, Series())

    for number, bucket, count, total in cells:
        group(number).cells.append((bucket, count, total))
    for cell, number, bucket, value in under_way:
        group(number).under_way.append((cell, bucket, value))
    return found


def _by_metric(layout, truth):
    """{(metric, service): ([(set, bucket, count, sum)], [(cell, set, bucket, value)])}"""
    found = {}
    for service, cells in truth.cells.items():
        for cell, (count, total) in cells.items():
            metric, number, bucket = layout.place(cell)
            found.setdefault((layout.metrics.index(metric), service), ([], []))[0].append((number, bucket, count, total))
    for service, events in truth.under_way.items():
        for cell, value in events:
            metric, number, bucket = layout.place(cell)
            found.setdefault((layout.metrics.index(metric), service), ([], []))[1].append((cell, number, bucket, value))
    return found


def compare(layout, truth, stored, full=False):
    """@truth at rest, against an export that was begun later. @full: are the host's maps?"""
    differs, landed, count = [], Truth(), 0  # differs: (difference, metric, text, vector)
    fired = _by_metric(layout, truth)
    dropped = {}  # {(reason, metric): [fired, [(service, cell)] under way]}
    for (index, service), (cells, under_way) in fired.items():
        metric = layout.metrics[index]
        if metric.kind == DROPPED:
            held = dropped.setdefault((metric.reason, metric.name), [0, []])
            held[0] += sum(n for _, _, n, _ in cells)
            held[1] += [(service, cell) for cell, _, _, _ in under_way]
    for index, metric in enumerate(layout.metrics):
        if metric.kind == DROPPED:
            continue
        services = {service for at, service in fired if at == index} | \
            {service for name, service in stored.points if name == metric.name}
        for service in sorted(services):
            points = stored.points.get((metric.name, service), {})
            if full and points:
                points = {WHOLE: _whole(points.values())}
            groups = _grouped(layout, metric, *fired.get((index, service), ((), ())), points)
            for labels in {**groups, **points}:
                count += 1
                series = groups.get(labels, Series())
                size, vector, chosen = _compare(metric, series, points.get(labels))
                for one in chosen:
                    cell, _, value = series.under_way[one]
                    landed.add(service, cell, 1, value)
                if size:
                    differs.append((size, metric.name, f"{metric.name} {_text(labels)} of {service}: {_words(vector)}", vector))
    count += _levels(truth, stored, differs)
    _drops(dropped, stored, differs, landed)
    return Verdict(sum(size for size, *_ in differs), [text for _, _, text, _ in differs], count, landed)


def _text(labels):
    return labels if labels in (OVERFLOW, WHOLE) else "{" + ", ".join(map(str, labels)) + "}"


def _words(vector):
    return ", ".join(f"{'sum' if component == 'sum' else f'bucket {component}'} {amount:+g}" for component, amount in vector.items())


def _levels(truth, stored, differs):
    """Levels of the living; what is summed and 0 need not be there."""
    wanted = {}
    for (name, service, labels), value in truth.levels.items():
        wanted.setdefault((name, service), {})[labels] = value
    names = {key for key in {**wanted, **stored.points} if key[0] in LABELS and key[0] not in
             ("stress.count", "stress.time", "stress.size", "stress.flood", "stress.flood.size")}
    count = 0
    for name, service in sorted(names):
        want, got = wanted.get((name, service), {}), stored.points.get((name, service), {})
        for labels in {**want, **got}:
            a, b = want.get(labels, 0 if name in SUMMED else None), got.get(labels, 0 if name in SUMMED else None)
            count += 1
            if a != b:
                size = abs(b - a) if a is not None and b is not None else 1
                differs.append((size, name, f"{name} {_text(labels)} of {service}: {b} for {a}", {}))
    return count


def _drops(dropped, stored, differs, landed):
    """What the agent says it dropped: as many as were fired to be dropped, or for another reason as many as are missing."""
    for key in sorted({**dropped, **stored.dropped}):
        want, under_way = dropped.get(key, [0, []])
        more = stored.dropped.get(key, 0) - want
        if key in dropped and 0 <= more <= len(under_way):
            for service, cell in under_way[:more]:
                landed.add(service, cell, 1, 0)
            continue
        missing = [one for one in differs if one[1] == key[1] and all(amount < 0 for amount in one[3].values())]
        if key not in dropped and more == sum(size for size, *_ in missing):
            for one in missing:
                differs.remove(one)
        elif more:
            differs.append((abs(more), key[1], f"{key[1]}: {more:+d} drops for reason {key[0]}", {}))
