# SPDX-License-Identifier: BSD-2-Clause
"""What must come out, computed from what the service says it fired; no I/O.

The service keeps a plain account of its own (GET /stats): counters, levels and every recorded value. From two of
those, taken at rest, the increments between them follow, and from these the answers of the reference's queries:

    rate() of one series is its increment times a factor that depends on the times of its samples only. With the same
    times for all series the factor cancels in a ratio, and in histogram_quantile(), which looks at ratios.
"""
import bisect
import math
from collections import Counter
from typing import NamedTuple

from catalogue import BY_NAME, HISTOGRAM


class Series(NamedTuple):
    labels: tuple  # sorted pairs
    value: float  # counter or level; count of a histogram
    sum: float
    values: list  # recorded values of a histogram


class Truth:
    """One answer of GET /stats."""

    def __init__(self, stats):
        self.metrics = {}
        for name, metric in stats.items():
            if name not in BY_NAME:
                continue
            rows = {}
            for row in metric["series"]:
                labels = tuple(sorted(row["labels"].items()))
                if metric["kind"] == HISTOGRAM:
                    rows[labels] = Series(labels, row["count"], row["sum"], row.get("values", []))
                else:
                    rows[labels] = Series(labels, row["value"], 0.0, [])
            self.metrics[name] = rows

    def value(self, name, **labels):
        """Sum over the series whose labels include @labels."""
        return sum(series.value for key, series in self.metrics[name].items() if labels.items() <= dict(key).items())

    def label_sets(self, name):
        return set(self.metrics[name])


def increment(before, after, name, **labels):
    return after.value(name, **labels) - before.value(name, **labels)


def ratio(before, after, above, below):
    """increments of @above over those of @below, each (metric, labels)."""
    return increment(before, after, above[0], **above[1]) / increment(before, after, below[0], **below[1])


def new_values(before, after, name, labels):
    """The values that series @labels of histogram @name recorded after @before, in no order."""
    old = before.metrics[name].get(labels)
    return list((Counter(after.metrics[name][labels].values) - Counter(old.values if old else ())).elements())


def buckets(values, bounds):
    """Counts per bucket (lower, upper], one more than there are @bounds."""
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect.bisect_left(bounds, value)] += 1
    return counts


def quantile(q, bounds, counts):
    """histogram_quantile() of Prometheus over explicit buckets: linear within the bucket that holds the rank."""
    rank = q * sum(counts)
    below = 0
    for index, count in enumerate(counts):
        if below + count >= rank:
            break
        below += count
    if index == len(bounds):
        return bounds[-1]
    lower = bounds[index - 1] if index else 0.0
    if index == 0 and bounds[0] <= 0:
        return bounds[0]
    return lower + (bounds[index] - lower) * (rank - below) / count


def close(a, b, relative=1e-9):
    return math.isclose(a, b, rel_tol=relative, abs_tol=1e-12)
