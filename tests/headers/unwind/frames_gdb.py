# SPDX-License-Identifier: BSD-2-Clause
"""frames_gdb.py - gdb steps through every instruction of a stub, on each of its ways, and must see main from each."""

import os
import sys

import gdb

sys.dont_write_bytecode = True
sys.path.insert(0, os.environ["NOTES"])
import notes

METRIC = "frames_count"
FRAMES = ["inner", "middle", "outer", "main"]
FAST, SLOW = ["site", "fast5", "fast10"], ["site", "slow"]


def address(symbol):
    return int(gdb.parse_and_eval("(unsigned long)&" + symbol))


def poke(symbol, kind, value):
    gdb.execute("set var *(%s *)%d = %d" % (kind, address(symbol), value))


def names():
    frame, found = gdb.newest_frame(), []
    while frame is not None:
        found.append(frame.name())
        frame = frame.older()
    return found


def walk(wanted):
    """From the site to its return: offsets of the instructions, each with the right frames above it."""
    site = address("probemeter_site_" + METRIC)
    (metric,) = notes.metrics_of(notes.Elf("frames"))
    places = {getattr(metric, name) - metric.site: name for name in ("site", "fast5", "fast10", "slow")}
    seen = []
    while True:
        pc = int(gdb.newest_frame().pc())
        if not site <= pc < site + 64:
            break
        found = names()
        assert found[0] == "probemeter_site_" + METRIC, found
        assert [name for name in found if name in FRAMES] == FRAMES, "at +%d: %s" % (pc - site, found)
        seen.append(pc - site)
        gdb.execute("stepi", to_string=True)
    passed = [places[at] for at in seen if at in places]
    assert passed == wanted, "%s: %s, not %s" % (seen, passed, wanted)
    assert names()[0] != "probemeter_site_" + METRIC
    return len(seen)


try:
    gdb.execute("set confirm off")
    gdb.execute("break main", to_string=True)
    gdb.execute("run", to_string=True)
    poke("probemeter_semaphore_" + METRIC, "unsigned short", 1)
    gdb.execute("break *%d" % address("probemeter_site_" + METRIC), to_string=True)
    # (home, state) at the call: as the process starts, in it from then on, in a quiet master's child, in the child of
    # a parent that fired, and where the kernel refused to wipe.
    ways = [(None, FAST), ((1, 2), FAST), ((0, 1), FAST), ((0, 2), SLOW), ((0, 0), SLOW)]
    total = 0
    for state, wanted in ways:
        gdb.execute("continue", to_string=True)
        if state:
            poke("probemeter_home", "char", state[0])
            poke("probemeter_state", "char", state[1])
        total += walk(wanted)
    gdb.execute("continue", to_string=True)
    code = int(gdb.parse_and_eval("$_exitcode"))
    assert code == 0, "exit code %d" % code
    assert total >= 28, "%d instructions" % total
    print("frames: right at %d instructions" % total)
except Exception as error:
    print("error: %s: %s" % (type(error).__name__, error))
    gdb.execute("kill", to_string=True)
    gdb.execute("quit 1")
