#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Metrics in shared libraries: opened late, closed, opened again, shared by services, older or newer than the program.

build/services/loader opens what it is told to; it and its libraries declare the same metrics (plugin.h). Every total is
exact, of counters, histograms and levels.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import capture
import otlp
from checks import Checks
from driven import Driven, snapshot_after, start_agent, values, warnings
from agent import Agent
from process import ROOT, in_own_pid_namespace, scratch

HERE = pathlib.Path(__file__).resolve().parent
# What other versions of the headers would write into a descriptor; one header has the line that is replaced.
FAST = 'PROBEMETER_FIELD_(PROBEMETER_TAG_FAST, 8) PROBEMETER_PLACE_("991b") PROBEMETER_PLACE_("992b")'
SITE = 'PROBEMETER_FIELD_(PROBEMETER_TAG_SITE, 4) PROBEMETER_PLACE_("990b")'
SLOW = 'PROBEMETER_FIELD_(PROBEMETER_TAG_SLOW, 4) PROBEMETER_PLACE_("994b")'
VERSIONS = {
    "same": {},
    # A field nobody knows, in the middle; one that has grown.
    "newer": {SITE: 'PROBEMETER_FIELD_(4242, 12) ".4byte 1, 2, 3\\n" PROBEMETER_FIELD_(PROBEMETER_TAG_SITE, 8) '
                    'PROBEMETER_PLACE_("990b") ".4byte 99\\n"'},
    # From before there were fast places.
    "older": {FAST: '""', SLOW: '""'},
}


def build_plugin(directory, name, version="same"):
    """plugin.c as a library of its own, with the headers of a version."""
    include = pathlib.Path(directory) / f"include-{version}"
    if not include.exists():
        shutil.copytree(ROOT / "include", include)
        for before, after in VERSIONS[version].items():
            found = [path for path in (include / "probemeter").glob("*.h") if path.read_text().count(before) == 1]
            if len(found) != 1:
                raise ValueError(f"the headers have no longer just one {before}")
            found[0].write_text(found[0].read_text().replace(before, after))
    path = pathlib.Path(directory) / f"{name}.so"
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror",
                    f"-I{include}", str(HERE / "plugin.c"), "-o", str(path)], check=True)
    return path


def attached(agent, path):
    agent.wait_ready(f"attached to {path}", lambda: f"attached: '{path}'" in agent.output())


def seen(server, service):
    """({from: events}, {from: values recorded}, {from: level}) of one service now."""
    request = snapshot_after(server)
    found = [{key[0]: value for key, value in values(request, service, name).items()}
             for name in ("plugin.events.total", "plugin.size", "plugin.open")]
    return tuple(found), request


def late(checks, directory):
    """Opened long after start, closed, opened again; levels go with it, counts stay."""
    library, other = build_plugin(directory, "late"), build_plugin(directory, "other")
    with capture.Server() as server, start_agent(directory, server) as agent, Driven("loader", "late") as loader:
        loader.answer()
        attached(agent, os.path.realpath(loader.binary))
        loader.ask("change 0 program 1")
        server.wait_requests(server.count() + 3)
        first = loader.ask(f"open 1 {library}")
        waited = loader.ask("listened 1")["ms"]
        print(f"     a new library was listened to {waited:.1f} ms after dlopen() came back")
        attached(agent, library)
        loader.ask("fire 1 library 1000")
        loader.ask("change 1 library 7")
        (events, sizes, levels), request = seen(server, loader.service)
        checks.equal("opened late: events", events, {"library": 1000})
        checks.equal("opened late: values", sizes, {"library": 1000})
        checks.equal("opened late: levels", levels, {"program": 1, "library": 7})
        checks.equal("the export keeps the rules", otlp.complaints(request.message()), [])

        loader.ask("close 1")
        (events, sizes, levels), _ = seen(server, loader.service)
        checks.equal("closed: what it counted stays", (events, sizes), ({"library": 1000},) * 2)
        checks.equal("closed: its level is 0", levels, {"program": 1, "library": 0})

        again = loader.ask(f"open 2 {library}")
        loader.ask("fire 2 library 11")  # it is known: no waiting
        loader.ask("change 2 library 3")
        (events, sizes, levels), _ = seen(server, loader.service)
        checks.equal("opened again: counted from the first event", (events, sizes), ({"library": 1011},) * 2)
        checks.equal("opened again: its level is what was added since", levels, {"program": 1, "library": 3})

        # Another one where the first was: its table must not be taken for the first one's.
        loader.ask("close 2")
        third = loader.ask(f"open 3 {other}")
        loader.ask("listened 3")
        attached(agent, other)
        loader.ask("change 3 other 40")
        loader.ask("fire 3 other 5")
        (events, sizes, levels), _ = seen(server, loader.service)
        checks.equal("another library in its place: events", events, {"library": 1011, "other": 5})
        checks.equal("another library in its place: levels", levels, {"program": 1, "library": 0, "other": 40})
        print(f"     code at {first['at']:x}, {again['at']:x}, and of another library at {third['at']:x}")
        for turn in range(20):
            loader.ask(f"open 1 {library}")
            loader.ask("fire 1 library 10")
            loader.ask(f"change 1 library {turn}")
            loader.ask("close 1")
        (events, sizes, levels), _ = seen(server, loader.service)
        checks.equal("opened and closed 20 times: events", events, {"library": 1211, "other": 5})
        checks.equal("opened and closed 20 times: levels", levels, {"program": 1, "library": 0, "other": 40})
        checks.equal("ends with status 0", agent.stop(), 0)
        checks.equal("no warning", warnings(agent), [])


def shared(checks, directory):
    """One library in several services, and in two processes of one: each service has its own."""
    library = build_plugin(directory, "shared")
    with capture.Server() as server, start_agent(directory, server) as agent, Driven("loader", "shared-a") as one, \
            Driven("loader", "shared-b") as two, Driven("loader", "shared-b") as more:
        for loader in (one, two, more):
            loader.answer()
            loader.ask(f"open 1 {library}")
            loader.ask("listened 1")
        attached(agent, library)
        for factor, loader in ((1, one), (10, two), (100, more)):
            loader.ask(f"fire 1 library {factor}")
            loader.ask(f"change 1 library {7 * factor}")
        checks.equal("the first service", seen(server, one.service)[0], ({"library": 1}, {"library": 1}, {"library": 7}))
        checks.equal("the second, of two processes", seen(server, two.service)[0],
                     ({"library": 110}, {"library": 110}, {"library": 770}))
        more.ask("fork")
        more.ask("fire 1 library 1000")
        more.ask("change 1 library 5000")
        checks.equal("a forked child has the library, too", seen(server, two.service)[0],
                     ({"library": 1110}, {"library": 1110}, {"library": 5770}))
        two.ask("close 1")
        checks.equal("closed in one process of three", seen(server, two.service)[0],
                     ({"library": 1110}, {"library": 1110}, {"library": 5700}))
        checks.equal("ends with status 0", agent.stop(), 0)


def versions(checks, directory):
    """A program and two libraries in one process declare the same metrics, with headers of three versions."""
    newer, older = build_plugin(directory, "newer", "newer"), build_plugin(directory, "older", "older")
    with capture.Server() as server, start_agent(directory, server) as agent, Driven("loader", "versions") as loader:
        loader.answer()
        for number, library in ((1, newer), (2, older)):
            loader.ask(f"open {number} {library}")
            loader.ask(f"listened {number}")
        loader.ask("listened 0")
        for path in (os.path.realpath(loader.binary), newer, older):
            attached(agent, path)
        for number, name, factor in ((0, "program", 1), (1, "newer", 10), (2, "older", 100)):
            loader.ask(f"fire {number} {name} {factor}")
            loader.ask(f"fire {number} all {2 * factor}")
            loader.ask(f"change {number} {name} {3 * factor}")
            loader.ask(f"change {number} all {4 * factor}")
        (events, sizes, levels), request = seen(server, loader.service)
        want = {"program": 1, "newer": 10, "older": 100, "all": 222}
        checks.equal("events add up", events, want)
        checks.equal("values add up", sizes, want)
        checks.equal("levels add up", levels, {"program": 3, "newer": 30, "older": 300, "all": 444})
        points = [p for p in request.points() if p.service == loader.service and p.name == "plugin.events.total"]
        checks.equal("one series for each label", len(points), 4)
        checks.equal("the export keeps the rules", otlp.complaints(request.message()), [])
        loader.ask("close 1")
        checks.equal("one of three is closed: the others' levels stay", seen(server, loader.service)[0][2],
                     {"program": 3, "newer": 0, "older": 300, "all": 404})
        checks.equal("ends with status 0", agent.stop(), 0)
        checks.equal("no warning", warnings(agent), [])


def beforehand(checks, directory):
    """--attach for a library: counted from the first event after its first dlopen. A replaced file is another library."""
    library = build_plugin(directory, "beforehand")
    with capture.Server() as server, \
            Agent(directory, "--attach", f"{directory}/before*.so", OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp,
                  OTEL_METRIC_EXPORT_INTERVAL=500) as agent, \
            Driven("loader", "before") as loader, Driven("loader", "before") as second:
        loader.answer(), second.answer()
        attached(agent, library)
        loader.ask(f"open 1 {library}")
        loader.ask("fire 1 old 123")
        loader.ask("change 1 old 1")
        checks.equal("from the first event", seen(server, loader.service)[0], ({"old": 123}, {"old": 123}, {"old": 1}))
        build_plugin(directory, "upgrade").rename(library)
        second.ask(f"open 1 {library}")
        second.ask("listened 1")
        agent.wait_ready("attached to both", lambda: agent.output().count(f"attached: '{library}'") == 2)
        second.ask("fire 1 new 10")
        second.ask("change 1 new 10")
        loader.ask("fire 1 old 1")
        checks.equal("the old one, deleted, and the new one", seen(server, loader.service)[0],
                     ({"old": 124, "new": 10}, {"old": 124, "new": 10}, {"old": 1, "new": 10}))
        loader.ask("close 1")
        agent.wait_ready("detached from the old one", lambda: f"detached: '{library}" in agent.output())
        second.ask("fire 1 new 5")
        checks.equal("the old one is let go of, the new one goes on", seen(server, loader.service)[0],
                     ({"old": 124, "new": 15}, {"old": 124, "new": 15}, {"old": 0, "new": 10}))
        checks.equal("ends with status 0", agent.stop(), 0)


def main():
    checks = Checks("libraries")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    in_own_pid_namespace()
    with scratch("libraries") as directory:
        for name, part in (("opened late", late), ("shared by services", shared), ("versions", versions),
                           ("--attach", beforehand)):
            if len(sys.argv) > 1 and sys.argv[1] not in name:
                continue
            with checks.run(name):
                part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
