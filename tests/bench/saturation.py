# SPDX-License-Identifier: BSD-2-Clause
"""Target 11: requests per second of the sample service at saturation, with the agent as it is and without. Each run is
longer than the agent's interval, so that each has its export."""
import contextlib
import re
import statistics
import tempfile
import time

import build
from agent import Agent
from process import Child, wait_until
from result import Target
from sink import Sink

SCRIPTD = build.ROOT / "build" / "services" / "scriptd"
UNIT_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def load(url, seconds):
    """(requests per second, 99th percentile in ms)"""
    said = build.output("wrk", "-t1", "-c16", f"-d{seconds}s", "--latency", f"{url}/jobs")
    if "Non-2xx" in said:
        raise RuntimeError(f"wrk: {said}")
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", said).groups()
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]), float(number) * UNIT_MS[unit]


def measure(results, rounds, seconds):
    throughput = Target("11a", "requests per second of the sample service at saturation, agent on against absent", 0.97, at_least=True)
    latency = Target("11b", "99th percentile of its answers, agent on against absent", 1.05)
    if "wrk" in build.absent:
        results.add(throughput, not_measured=build.absent["wrk"])
        results.add(latency, not_measured=build.absent["wrk"])
        return
    rates, tails, absolute = [], [], {"on": [], "absent": []}
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(Sink())
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        data = stack.enter_context(tempfile.TemporaryDirectory())
        service = stack.enter_context(Child([SCRIPTD, "--data", data, "--quiet", "--limit",
                                             "query=1000000/1"], f"{directory}/service.log"))
        url = wait_until("scriptd's address", lambda: re.search(r"http://127\.0\.0\.1:\d+", service.output()))[0]

        def one(agent_on):
            with contextlib.ExitStack() as inner:
                if agent_on:
                    agent = inner.enter_context(Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url))
                    agent.wait_attached(service.pid, SCRIPTD)
                time.sleep(0.5)
                found = load(url, seconds)
            absolute["on" if agent_on else "absent"].append(found)
            return found

        load(url, seconds)
        for number in range(rounds):
            first = one(bool(number % 2))
            second = one(not number % 2)
            on, off = (first, second) if number % 2 else (second, first)
            rates.append(on[0] / off[0])
            tails.append(on[1] / off[1])
    results.add(throughput, rates, detail=f"{statistics.median(a[0] for a in absolute['on']):.0f} against "
                                          f"{statistics.median(a[0] for a in absolute['absent']):.0f} requests per second")
    results.add(latency, tails, detail=f"{statistics.median(a[1] for a in absolute['on']):.2f} against "
                                       f"{statistics.median(a[1] for a in absolute['absent']):.2f} ms")
    results.facts["saturation"] = absolute
