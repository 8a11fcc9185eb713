# SPDX-License-Identifier: BSD-2-Clause
"""What was measured: cells (ns per call), targets (a ratio against a limit), notes. Plain data, no measuring."""
import dataclasses
import statistics


def quartiles(values):
    """(lower quartile, median, upper quartile)"""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


@dataclasses.dataclass
class Target:
    id: str
    text: str
    target: float
    at_least: bool = False  # else: at most
    unit: str = ""  # empty: a ratio
    measured: float | None = None
    quartiles: tuple | None = None
    detail: str = ""
    not_measured: str = ""
    floor: float | None = None  # the same ratio with a program that does nothing: what the trap alone takes

    @property
    def met(self):
        if self.measured is None:
            return None
        return self.measured >= self.target if self.at_least else self.measured <= self.target

    def json(self):
        return {
            "id": self.id, "text": self.text, "measured": self.measured, "target": self.target,
            "relation": ">=" if self.at_least else "<=", "unit": self.unit or "ratio", "met": self.met,
            "quartiles": self.quartiles, "floor": self.floor, "detail": self.detail, "not_measured": self.not_measured or None,
        }


@dataclasses.dataclass
class Results:
    targets: list = dataclasses.field(default_factory=list)
    cells: dict = dataclasses.field(default_factory=dict)  # (who, threads) -> [ns per call]
    facts: dict = dataclasses.field(default_factory=dict)
    tell: object = None  # is given each target that has been measured

    def add(self, target, values=None, **more):
        """A target with one value per round (the median counts), or with why there is none."""
        if values:
            low, target.measured, high = quartiles(values)
            target.quartiles = (low, high)
        for name, value in more.items():
            setattr(target, name, value)
        self.targets.append(target)
        if self.tell:
            self.tell(target)

    def cell(self, who, threads, ns):
        self.cells.setdefault((who, threads), []).append(ns)

    def cell_median(self, who, threads):
        values = self.cells.get((who, threads))
        return statistics.median(values) if values else None
