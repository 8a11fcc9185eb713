#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""An OTLP receiver that is a process of its own and keeps what it got on disk, so that it can be killed like any other.

    receiver.py PORT STORE MOOD

It decodes by the official schema, and stores the latest point of each stress.* series, with what a cumulative stream may not
do: step back, begin anew, vanish, stand still. A request is stored whole before it is answered. MOOD is a file that
may hold "refuse" (answer 503) or seconds (answer as late as that).
"""
import json
import pathlib
import signal
import sqlite3
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import capture  # noqa: E402
import otlp  # noqa: E402

DROPS = "probemeter.agent.events.dropped"
TABLES = """
CREATE TABLE IF NOT EXISTS point (service TEXT, metric TEXT, labels TEXT, rises INTEGER, start INTEGER, time INTEGER,
                                  value TEXT, request INTEGER, PRIMARY KEY (service, metric, labels));
CREATE TABLE IF NOT EXISTS complaint (request INTEGER, text TEXT);
CREATE TABLE IF NOT EXISTS request (number INTEGER PRIMARY KEY);
"""


def value_of(point):
    """What is stored of a point: a number, or count, sum, bounds and buckets of a histogram."""
    if point.kind != "histogram":
        return point.value
    return [point.point.count, point.point.sum if point.point.HasField("sum") else None,
            list(point.point.explicit_bounds), list(point.point.bucket_counts)]


def rises(point):
    return point.kind == "histogram" or (point.kind == "sum" and point.data.is_monotonic)


def steps(old, new):
    """What is wrong with @new behind @old, each (start, time, value) of a stream that only rises."""
    (old_start, old_time, a), (start, time, b) = old, new
    if start != old_start:
        yield f"its start moves by {start - old_start} ns"
    if time <= old_time:
        yield f"its time goes back by {old_time - time} ns"
    if not isinstance(a, list):
        if b < a:
            yield f"steps back from {a} to {b}"
        return
    if a[2] != b[2]:
        yield f"other bounds: {a[2]}, {b[2]}"
    elif any(y < x for x, y in zip(a[3], b[3])) or b[0] < a[0]:
        yield f"a bucket steps back: {a[3]}, {b[3]}"
    if b[1] is None or (a[1] is not None and b[1] < a[1]):
        yield f"its sum steps back from {a[1]} to {b[1]}"


class Keeper:
    """The store, and what is wrong with how points follow each other."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=OFF")  # the process may be killed, not the machine
        self.db.executescript(TABLES)
        self.number = self.db.execute("SELECT ifnull(max(number), 0) FROM request").fetchone()[0]
        self.last = {row[:3]: (*row[3:5], json.loads(row[5])) for row in self.db.execute(
            "SELECT service, metric, labels, start, time, value FROM point WHERE rises AND request = ?", (self.number,))}

    def take(self, message):
        """One request, whole."""
        points = [point for point in otlp.points(message) if point.name.startswith("stress.") or point.name == DROPS]
        newest = max((point.point.time_unix_nano for point in points), default=None)
        wrong = otlp.complaints(message, newest)  # the agent's clock is not always ours
        seen, rows = {}, []
        for point in points:
            key = point.service, point.name, json.dumps(point.labels, sort_keys=True)
            held = point.point.start_time_unix_nano, point.point.time_unix_nano, value_of(point)
            rows.append((*key, rises(point), *held[:2], json.dumps(held[2]), self.number + 1))
            if rises(point):
                seen[key] = held
                wrong += [f"{' '.join(key)}: {step}" for step in steps(self.last.get(key, held[:1] + (0,) + held[2:]), held)]
        wrong += [f"{' '.join(key)}: is gone" for key in self.last if key not in seen]
        with self.db:
            self.db.executemany("INSERT OR REPLACE INTO point VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self.db.executemany("INSERT INTO complaint VALUES (?, ?)", [(self.number + 1, text) for text in wrong])
            self.db.execute("DELETE FROM request")
            self.db.execute("INSERT INTO request VALUES (?)", (self.number + 1,))
        self.number += 1
        self.last = seen


class Receiver(capture.Server):
    def __init__(self, port, keeper, mood):
        super().__init__(port=port)
        self.keeper = keeper
        self.mood = mood

    def accept(self, request):
        mood = self.mood.read_text() if self.mood.exists() else ""
        if mood == "refuse":
            return capture.status(503)
        if len(request.body) == int(request.headers.get("Content-Length", 0)):  # else its sender was killed
            with self._lock:
                try:
                    self.keeper.take(request.message())
                except otlp.Malformed as error:
                    with self.keeper.db:
                        self.keeper.db.execute("INSERT INTO complaint VALUES (?, ?)", (self.keeper.number + 1, str(error)))
        return capture.stall(float(mood)) if mood else capture.OK


def main():
    with Receiver(int(sys.argv[1]), Keeper(sys.argv[2]), pathlib.Path(sys.argv[3])) as receiver:
        signal.signal(signal.SIGTERM, lambda *_: receiver.stopping.set())
        while not receiver.stopping.wait(1.0):  # in pieces, so that signals are seen
            pass


if __name__ == "__main__":
    main()
