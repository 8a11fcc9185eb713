#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What probemeter costs, next to what else a service could use. Everything in one run; nothing is kept from another.

Runs as root on a quiet machine, in about eight minutes. Prints one table; writes build/bench.json and build/bench.svg.
Ratios are medians over rounds, in each of which both sides run, now this one first and now the other.

  --quick       a few ms per cell: does it all work? Writes nothing.
  --only PART   calls, export, attaching or saturation alone; may be repeated. Writes nothing.
"""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import re
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[1:1] = [str(HERE.parent / "e2e")]

import attaching  # noqa: E402
import build  # noqa: E402
import calls  # noqa: E402
import disassemble  # noqa: E402
import elf  # noqa: E402
import export  # noqa: E402
import hashing  # noqa: E402
import picture  # noqa: E402
import probed  # noqa: E402
import saturation  # noqa: E402
import table  # noqa: E402
from agent import Agent  # noqa: E402
from contestant import Contestant, link_type_of  # noqa: E402
from result import Results  # noqa: E402
from sink import Sink  # noqa: E402

PARTS = ("calls", "export", "attaching", "saturation")
LAST = build.ROOT / "build" / "bench.json"


def expected():
    """(seconds, targets) that a whole run takes: by the last one here, else about so many."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        last = json.loads(LAST.read_text())
        return last["took_s"], len(last["targets"])
    return 480, 28


def nobody_else():
    """Another agent on this host would attach to our contestants too, and both would be paid for."""
    image = elf.Elf(build.OUT / "ours")
    with Contestant(build.OUT / "ours") as ours:
        time.sleep(2.5)
        raised = [name for name, value in elf.semaphores(ours.pid, image).items() if value]
    if raised:
        raise SystemExit("bench: another agent on this host attaches to every service; end it ('probemeter stop'), then run this again")


def measure_calls(results, rounds, ms):
    calls.without_agent(results, rounds, ms)
    disassemble.measure(results)
    hashing.measure(results, rounds)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(Sink())
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        ours = stack.enter_context(Contestant(build.OUT / "ours"))
        agent = stack.enter_context(Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url))
        agent.wait_attached(ours.pid, build.OUT / "ours")
        results.facts["nop"] = re.search(r"probes on the (\S+ nop)", agent.output())[1]
        results.facts["links"] = link_type_of(agent.pid)
        calls.with_agent(results, ours, rounds, ms)
        probed.measure(results, agent, ours, ms)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--only", action="append", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if os.geteuid():
        raise SystemExit("bench: loading BPF programs needs root: sudo make bench")
    rounds, ms, seconds = (2, 20, 1) if options.quick else (9, 250, 11)
    parts = options.only or PARTS
    begun = time.monotonic()
    results = Results()
    results.facts.update(date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                         kernel=os.uname().release, machine=os.uname().machine, cpu=calls.cpu_model(), cpus=os.cpu_count(),
                         rounds=rounds, load_average=os.getloadavg()[0])

    whole = not options.quick and not options.only
    seconds_in_all, targets_in_all = expected()

    def say(what):
        of = f" of about {seconds_in_all}" if whole else ""
        print(f"bench: {time.monotonic() - begun:4.0f}{of} s: {what}", flush=True)

    def tell(target):
        of = f" of {targets_in_all}" if whole else ""
        say(f"  {len(results.targets)}{of}: {target.text}")

    results.tell = tell

    say("building")
    build.build()
    for name, why in build.absent.items():
        say(f"no {name}: {why}")
    if not options.quick:
        nobody_else()
    if "calls" in parts:
        say("calls")
        measure_calls(results, rounds, ms)
    if "export" in parts:
        say("one export of 10,000 series")
        export.measure(results, rounds)
    if "attaching" in parts:
        say("attaching to 50 binaries")
        attaching.measure(results, 2 if options.quick else 5)
    if "saturation" in parts:
        say("the sample service at saturation")
        saturation.measure(results, 2 if options.quick else 5, seconds)
    results.facts.update(absent=build.absent, took_s=round(time.monotonic() - begun))
    print()
    print(table.text(results))
    if whole:
        LAST.write_text(json.dumps(table.document(results), indent=1) + "\n")
        (build.ROOT / "build" / "bench.svg").write_text(picture.svg(results))
        print("\nwritten: build/bench.json, build/bench.svg; into README: cp build/bench.svg scripts/bench.svg && make readme")
    return 0


if __name__ == "__main__":
    sys.exit(main())
