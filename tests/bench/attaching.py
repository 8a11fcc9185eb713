# SPDX-License-Identifier: BSD-2-Clause
"""Target 10: a thousand sites in fifty running binaries: how long until all are attached, and who has to wait."""
import contextlib
import os
import tempfile
import time

import build
from agent import Agent
from contestant import Talker
from result import Target
from sink import Sink


def attach_once(directory, url, started):
    """(seconds from the agent's start until it has said of every service that it attached, bare of waiting for output)"""
    begun = time.monotonic()
    with Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=url) as agent:
        while True:
            done = sum("attached: '" in line and "/fifty/service-" in line for line in agent.lines())
            if done == len(started):
                took = time.monotonic() - begun
                break
            if time.monotonic() - begun > 60:
                raise RuntimeError(f"after 60 s the agent has attached to {done} of {len(started)} binaries: {agent.tail()}")
            time.sleep(0.005)
        yield took
        agent.stop()


def measure(results, rounds):
    cpus = sorted(os.sched_getaffinity(0))
    took, still_gaps, attach_gaps, detach_gaps = [], [], [], []
    with contextlib.ExitStack() as stack:
        # The thread that must not wait has the last CPU for itself; we, the agent and all else have the others.
        if len(cpus) > 1:
            os.sched_setaffinity(0, cpus[:-1])
            stack.callback(os.sched_setaffinity, 0, cpus)
        sink = stack.enter_context(Sink())
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        binaries = sorted((build.OUT / "fifty").glob("service-*"))
        started = [stack.enter_context(Talker(binary, *([str(cpus[-1])] if not number else [])))
                   for number, binary in enumerate(binaries)]

        def gap_us():
            return int(started[0].ask("").split()[0]) / 1000

        for _ in range(rounds):
            gap_us()
            # As long as an attach takes, about, without one.
            time.sleep(2)
            still_gaps.append(gap_us())
            for seconds in attach_once(directory, sink.url, started):
                attach_gaps.append(gap_us())
                took.append(seconds)
            detach_gaps.append(gap_us())
    results.add(Target("10a", f"from the agent's start until {20 * len(started)} sites in {len(started)} binaries are attached",
                       2.0, unit="s"), took)
    results.add(Target("10b", "longest stop of a thread during that", 1000, unit="us"), attach_gaps,
                detail=f"by round {', '.join(f'{gap:.0f}' for gap in attach_gaps)}; with no agent "
                       f"{', '.join(f'{gap:.0f}' for gap in still_gaps)}; at detach {', '.join(f'{gap:.0f}' for gap in detach_gaps)}")
    results.facts["attach_gaps_us"] = {"attach": attach_gaps, "still": still_gaps, "detach": detach_gaps}
