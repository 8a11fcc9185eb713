#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Levels tell the truth: right at every snapshot, whenever the agent came, and gone with the process, however it died.

The load is build/services/levels; what it is told stands beside what must be exported.
"""
import os
import re
import signal
import subprocess
import sys
import time

import capture
import otlp
from agent import HERE
from checks import Checks
from driven import Driven, own, series, snapshot_after, start_agent, total, values, warnings
from process import ROOT, scratch, wait_until
from test_inside import inside_agent

TABLE = 2048  # level slots of one process


def level(request, service, name, label=None):
    """One level; None if it is not there."""
    point = series(request, service).get((name, () if label is None else (label,)))
    return None if point is None else point.value


def before_the_agent(checks, directory):
    """What was set before the agent came is there at its first export, from one process and from several."""
    with capture.Server() as server, Driven("levels", "levels-early") as one, Driven("levels", "levels-early") as two:
        one.answer(), two.answer()
        for command in ("set 7", "add -2", "at here set 40", "at here add 2", "at there add -5", "latest 3",
                        "gauge 0.1"):
            one.ask(command)
        for command in ("add 100", "at here add 1000", "latest -4", "gauge -2.5e-300"):
            two.ask(command)
        with start_agent(directory, server) as agent:
            server.wait_requests(1)
            first = next(r for r in server.requests if series(r, one.service))
            found = {key: p.value for key, p in series(first, one.service).items()}
            checks.equal("the first export has it all", found, {
                ("levels.open", ()): 105,
                ("levels.labelled", ("here",)): 1042,
                ("levels.labelled", ("there",)): -5,
                ("levels.latest", ()): -4,
                ("levels.gauge", ()): -2.5e-300,
            })
            kinds = {name: (p.kind, p.kind == "sum" and p.data.is_monotonic)
                     for (name, _), p in series(first, one.service).items()}
            checks.equal("as what they are sent", kinds, {
                "levels.open": ("sum", False), "levels.labelled": ("sum", False), "levels.latest": ("sum", False),
                "levels.gauge": ("gauge", False)})
            one.ask("add 1")
            one.ask("gauge 1e308")
            one.ask(f"at big set {2**62}")
            two.ask(f"at big set {-2**62}")
            request = snapshot_after(server)
            checks.equal("and goes on", [level(request, one.service, "levels.open"),
                                         level(request, one.service, "levels.gauge"),
                                         level(request, one.service, "levels.labelled", "big")], [106, 1e308, 0])
            checks.equal("the export keeps the rules", otlp.complaints(request.message()), [])
            checks.equal("ends with status 0", agent.stop(), 0)


def forked(checks, directory):
    """A fork at 7 does not make 14; a child's share is its own; it falls when the child dies, however."""
    service = own("levels-fork")
    with capture.Server() as server, start_agent(directory, server) as agent, Driven("levels", "levels-fork") as master:
        master.answer()

        def now(label=None):
            name = "levels.open" if label is None else "levels.labelled"
            return level(snapshot_after(server), service, name, label)

        master.ask("set 7")
        master.ask("at part set 70")
        children = [master.ask("fork")["pid"] for _ in range(4)]
        checks.equal("forked at 7: is 7", now(), 7)
        checks.equal("forked at 70 with a label: is 70", now("part"), 70)
        for child in range(4):
            master.ask(f"tell {child} add {10 ** (child + 1)}")
            master.ask(f"tell {child} at part set {child + 1}")
        checks.equal("children add their own", now(), 11117)
        checks.equal("children set their own share", now("part"), 80)
        checks.equal("a grandchild starts at nothing", [master.ask("tell 0 fork")["child"], now()], [0, 11117])
        master.ask("tell 0 tell 0 add 5")
        checks.equal("a grandchild adds its own", now(), 11122)

        os.kill(children[3], signal.SIGKILL)
        checks.equal("SIGKILL: its share falls at the next export", now(), 1122)
        checks.equal("SIGKILL: also with a label", now("part"), 76)
        master.ask("tell 2 segv")
        checks.equal("SIGSEGV: its share falls", now(), 122)
        master.ask("tell 1 abort")
        checks.equal("SIGABRT: its share falls", now(), 22)
        os.kill(children[0], signal.SIGKILL)
        time.sleep(0.1)
        checks.equal("SIGKILL of a father: the grandchild dies with it here, its share too", now(), 7)

        master.ask("add 1")
        master.ask("vfork 10")
        checks.equal("after a vfork: is 8", now(), 8)
        master.tell("vfork 2500")
        time.sleep(1.2)  # both have been looked at
        checks.equal("while a vforked child shares the memory: is 8", now(), 8)
        master.answer()
        master.tell("exec")
        master.answer()
        checks.equal("after an exec: is 0", [now(), now("part")], [0, 0])
        master.ask("add 3")
        checks.equal("after an exec: counts anew", now(), 3)
        master.kill()
        checks.equal("all dead: is 0, and not gone", [now(), now("part")], [0, 0])
        checks.equal("the export keeps the rules", otlp.complaints(server.requests[-1].message()), [])
        checks.equal("ends with status 0", agent.stop(), 0)


def latest(checks, directory):
    """Of the latest kinds the value set last by a living process counts."""
    service = own("levels-latest")
    with capture.Server() as server, start_agent(directory, server) as agent, \
            Driven("levels", "levels-latest") as master:
        master.answer()

        def now():
            request = snapshot_after(server)
            return level(request, service, "levels.latest"), level(request, service, "levels.gauge")

        for _ in range(4):
            master.ask("fork")
        for child in range(4):
            master.ask(f"tell {child} latest 1")
            master.ask(f"tell {child} gauge 1")
        checks.equal("four processes set 1: is 1", now(), (1, 1.0))
        checks.equal("a process that never set has no say", level(snapshot_after(server), service, "levels.open"), None)
        master.ask("tell 1 latest 5")
        master.ask("tell 1 gauge 5.5")
        master.ask("tell 2 latest 9")
        master.ask("tell 2 gauge -9.25")
        checks.equal("the last one wins", now(), (9, -9.25))
        master.ask("tell 1 latest 4")
        checks.equal("each by itself", now(), (4, -9.25))
        master.ask("tell 2 segv")
        checks.equal("the last one dies: the latest of the living", now(), (4, 5.5))
        master.ask("tell 1 abort")
        checks.equal("it dies, too", now(), (1, 1.0))
        master.ask("latest 0")
        master.ask("gauge 0")
        checks.equal("set to 0 is set", now(), (0, 0.0))
        before = len(server.requests)
        master.kill()
        checks.equal("all dead: no value", now(), (None, None))
        snapshot_after(server)

        def ends():
            """{metric: how often it was told that it has no value}"""
            points = [point for request in server.requests[before:] for point in request.points()
                      if point.service == service and point.point.flags & 1]
            return {name: sum(point.name == name and point.value is None for point in points)
                    for name in {point.name for point in points}}

        checks.equal("all dead: which is told once, of what had a value", ends(), {"levels.latest": 1, "levels.gauge": 1})
        with Driven("levels", "levels-latest") as again:
            again.answer()
            again.ask("gauge 2")
            checks.equal("it comes again", now(), (None, 2.0))
            again.end()
        checks.equal("and ends again", now(), (None, None))
        snapshot_after(server)
        checks.equal("which is told again, of that one", ends(), {"levels.latest": 1, "levels.gauge": 2})
        checks.equal("the export keeps the rules", sum((otlp.complaints(request.message()) for request in server.requests[before:]), []), [])
        checks.equal("ends with status 0", agent.stop(), 0)


def from_threads(checks, directory):
    """ADD and SET from many threads lose nothing; a full table goes to the overflow with an exact total."""
    service, count, times = own("levels-threads"), 16, 20000
    with capture.Server() as server, start_agent(directory, server) as agent, \
            Driven("levels", "levels-threads") as master, Driven("levels", "levels-threads") as other:
        master.answer(), other.answer()
        master.tell(f"threads {count} {times}")
        other.tell(f"threads {count} {times}")
        server.wait_requests(1)  # read while it changes
        master.answer(), other.answer()
        found = values(snapshot_after(server), service, "levels.labelled")
        want = {("up",): 2 * count * times, ("down",): -2 * count * times}
        want.update({(f"thread-{n}",): 2 * (times - 1 + n) for n in range(count)})
        checks.equal(f"{count} threads of two processes", found, want)
        other.kill()
        before = total(snapshot_after(server), service, "levels.labelled")
        master.ask(f"race {count} 1000")
        found = values(snapshot_after(server), service, "levels.labelled")
        checks.equal("threads that name the same labels at once",
                     {label: value for label, value in found.items() if label[0].startswith("race-")},
                     {(f"race-{n}",): count for n in range(1000)})
        master.ask(f"sets {TABLE + 500}")
        request = snapshot_after(server)
        found = values(request, service, "levels.labelled")
        over = found.pop("overflow", 0)
        checks.equal("more label sets than the table has slots: the total is exact", sum(found.values()) + over,
                     before + 1000 * count + TABLE + 500)
        checks.ok("more label sets than the table has slots: some in the overflow", 500 < over < TABLE + 500, over)
        checks.equal("the export keeps the rules", otlp.complaints(request.message()), [])
        child = master.ask("fork")["child"]
        master.ask(f"tell {child} at up add 1")
        master.ask(f"tell {child} at never-seen add 1")
        checks.equal("a child of a full table", total(snapshot_after(server), service, "levels.labelled"),
                     before + 1000 * count + TABLE + 500 + 2)
        checks.equal("ends with status 0", agent.stop(), 0)
        said = warnings(agent)
        checks.ok("the table and the level that fill are warned of, and nothing else", all(
            f"service '{service}', metric 'levels.labelled': " in line and
            re.search(r"labels with most values: label \(\d+ values\)", line) for line in said), said)
        checks.equal("once each", [sum(words in line for line in said) for words in (
            f"the levels of '{master.binary}' have 1984 of at most 1984 label sets", "series of this level over all processes")], [1, 1])
        checks.equal("nothing else", len(said), 2)


def crowded(checks, directory):
    """More level metrics than a full table has overflow slots: what finds no room is counted, and named once."""
    binary = directory / f"crowded-{os.getpid()}"
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include",
                    str(HERE / "crowded.c"), "-o", str(binary)], check=True)
    # The agent counts for all services that it sees: here, these two.
    with capture.Server() as server, inside_agent(directory, server) as (agent, prefix), \
            Driven(binary, "crowded", prefix=prefix) as one, Driven(binary, "crowded", prefix=prefix) as two:
        # 70 metrics and 64 overflow slots, of which the one that fills the table has the first.
        checks.equal("updates that found no room, by the service", [one.answer(), two.answer()], [3 * 6, 3 * 6])
        wait_until("both are seen", lambda: total(snapshot_after(server), one.service, "crowded.11") == 2 * 3, 20)
        request = snapshot_after(server)
        names = [key[0] for key, point in series(request, one.service).items() if key[1] == "overflow" and point.value]
        checks.equal("as many metrics as overflow slots have theirs", len(set(names)), 64)
        lost = [p.value for p in request.points() if p.name == "probemeter.agent.levels.lost"]
        checks.equal("updates that found no room, by the agent", lost, [2 * 3 * 6])
        said = [line for line in agent.lines() if "found no room" in line and f"'{binary}'" in line]
        checks.equal("it says so once", len(said), 1)
        named = re.findall(r"'(crowded\.\d+)'", said[0]) if said else []
        checks.ok("and names one of those metrics", len(named) == 1 and named[0] not in names, (named, said))
        one.end(), two.end()
        request = snapshot_after(server)
        lost = [p.value for p in request.points() if p.name == "probemeter.agent.levels.lost"]
        checks.equal("nothing is lost when they are gone", lost, [0])


def main():
    checks = Checks("levels")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("levels") as directory:
        for name, part in (("set before the agent came", before_the_agent), ("fork and death", forked),
                           ("the latest of the living", latest), ("threads and a full table", from_threads),
                           ("more metrics than overflow slots", crowded)):
            if len(sys.argv) > 1 and sys.argv[1] not in name:
                continue
            with checks.run(name):
                part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
