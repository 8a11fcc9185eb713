#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Labels that are hard to read: each event is counted under the right name, or under a name that says it has none.

The load is build/services/labels, which answers with the bytes of each label and how often it fired it.
"""
import os
import signal
import sys

import capture
import otlp
from checks import Checks
from driven import (Driven, drops, own, series, snapshot_after, start_agent, steps_back, total, values, wait_attached,
                    warnings)
from process import scratch

LONGEST = 511


def name_of(label):
    """How a label must arrive: cut behind 511 bytes, then each invalid sequence one U+FFFD; NULL is empty."""
    return b"" if label is None else bytes.fromhex(label)


def arrived(label):
    return name_of(label)[:LONGEST].decode("utf-8", errors="replace")


class Expected:
    """Events by label value as it must arrive, over everything fired so far."""

    def __init__(self):
        self.events = {}
        self.levels = {}

    def add(self, answer):
        for one in answer:
            label = arrived(one["label"]),
            self.events[label] = self.events.get(label, 0) + one["times"]
            self.levels[label] = float(one["times"])


def compare(checks, what, server, service, expected):
    request = snapshot_after(server)
    events, levels = expected.events, expected.levels

    def difference(got, want):
        return {key: (got.get(key), want.get(key)) for key in set(got) | set(want) if got.get(key) != want.get(key)}

    for metric, want in (("labels.seen", events), ("labels.sized", events), ("labels.level", levels)):
        wrong = difference(values(request, service, metric), want)
        checks.ok(f"{what}: {metric} under {len(want)} names", not wrong,
                  f"{len(wrong)} wrong, (got, expected) by name: {dict(list(wrong.items())[:4])}")
    checks.equal(f"{what}: the export keeps the rules", otlp.complaints(request.message()), [])


def readable(checks, directory):
    """Every command on a fresh process, so that "never read before" holds; then all of it again from the same place."""
    files = {}
    for name in ("mapped", "paged_out"):
        files[name] = directory / name
        files[name].write_bytes(f"a label in a file that is {name}".encode() + bytes(8192))
    os.sync()  # only clean pages can be paged out
    with capture.Server() as server, start_agent(directory, server) as agent:
        expected = Expected()
        for command in ("fresh", "dropped", f"mapped {files['mapped']}", f"paged_out {files['paged_out']}", "lengths", "bytes",
                        "page_ends"):
            what = command.split()[0]
            with Driven("labels", "labels") as labels:
                labels.answer()
                wait_attached(agent, labels)
                answer = labels.ask(command)
                expected.add(answer)
                expected.levels = {}  # of this process only
                one = Expected()
                one.add(answer)
                expected.levels = one.levels
                compare(checks, what, server, labels.service, expected)
                notes = [one["note"] for one in answer]
                if what == "fresh":
                    checks.ok("fresh: some pages were not there before", "absent" in notes, "all were")
                elif what == "dropped":
                    checks.equal("dropped: no page was there before", notes.count("absent"), 256)
                elif what == "mapped":
                    checks.equal("mapped: the page was not there before", notes, ["absent"])
                elif what == "paged_out":
                    if notes == ["paged out"]:
                        checks.ok("paged out: it was", True)
                    else:
                        checks.skip("paged out: it was", f"this kernel kept the page: {notes}")
                if what == "fresh":  # the service ends before another collection: its names must have been read in time
                    labels.end()
        checks.equal("nothing is dropped", drops(server.requests[-1], "labels."), {})
        checks.equal("no stream steps back", steps_back(server.requests, {own("labels")})[:5], [])
        checks.equal("ends with status 0", agent.stop(), 0)
        checks.equal("no warning", warnings(agent), [])


def four_labels(checks, directory):
    """Labels keep their places: ("ab", "c") is not ("a", "bc"), and an empty one stands where it stood."""
    with capture.Server() as server, start_agent(directory, server) as agent, Driven("labels", "labels-four") as labels:
        labels.answer()
        wait_attached(agent, labels)
        labels.ask("four")
        request = snapshot_after(server)
        checks.equal("four labels", values(request, labels.service, "labels.four"), {
            ("ab", "c", "", ""): 3,
            ("a", "bc", "", ""): 5,
            ("", "x" * 300, "\ufffd", "d"): 7,
            ("", "", "ab", "c"): 11,
        })
        point = next(p for key, p in series(request, labels.service).items() if key[0] == "labels.four")
        checks.equal("their names in their order", list(point.labels), ["a", "b", "c", "d"])
        checks.equal("ends with status 0", agent.stop(), 0)


def hostile(checks, directory):
    """A label pointer that points nowhere is counted without a name, nobody dies, and a name that comes later is used."""
    metric = "labels.hostile"
    with capture.Server() as server, start_agent(directory, server) as agent, \
            Driven("labels", "labels-hostile") as labels, Driven("labels", "labels-tame") as tame:
        for one in (labels, tame):
            one.answer()
        wait_attached(agent, labels, tame)
        fired = labels.ask("hostile")["fired"]
        request = snapshot_after(server)
        checks.equal("hostile: all is counted, without a name", values(request, labels.service, metric), {"overflow": fired})
        checks.ok("hostile: something was fired", fired == 640, fired)
        again = labels.ask("hostile")["fired"]
        named = labels.ask("redeem")["fired"]
        request = snapshot_after(server)
        found = values(request, labels.service, metric)
        over = found.pop("overflow", 0)
        checks.equal("redeemed: all is counted", sum(found.values()) + over, fired + again + named)
        checks.equal("redeemed: what has been exported without a name stays so, what comes with a name has it",
                     {name[0] for name in found}, {f"redeemed-{n}" for n in range(64)})
        checks.ok("redeemed: under each name what came with it", all(v >= 5 for v in found.values()), found)
        raced = labels.ask("race")["fired"]
        request = snapshot_after(server)
        lost = sum(n for (_, name), n in drops(request, "labels.").items() if name == metric)
        checks.equal("good and bad pointers of one hash at once: all is counted",
                     total(request, labels.service, metric) + lost, fired + again + named + raced)
        found = values(request, labels.service, metric)
        checks.equal("good and bad pointers of one hash at once: each that brought a name has it",
                     len([key for key in found if key[0].startswith("raced-")]), raced // 2)
        checks.ok("the service lives", labels.running() and labels.ask("four")["fired"] == 26, "it does not")
        tame.ask("four")
        request = snapshot_after(server)
        checks.equal("the service beside it is counted", total(request, tame.service, "labels.four"), 26)
        checks.equal("no stream steps back", steps_back(server.requests, {labels.service, tame.service})[:5], [])
        checks.equal("the export keeps the rules", otlp.complaints(request.message()), [])
        checks.equal("ends with status 0", agent.stop(), 0)
        checks.equal("the service ends with status 0", labels.end(), 0)


def main():
    checks = Checks("labels")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("labels") as directory:
        for name, part in (("labels that can be read", readable), ("four labels", four_labels),
                           ("labels that cannot be read", hostile)):
            with checks.run(name):
                part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
