# SPDX-License-Identifier: BSD-2-Clause
"""Target 9 and memory: 10,000 series, of which 2,000 histograms with 12 touched buckets, from maps to request body."""
import contextlib
import gzip
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import build
from agent import Agent
from contestant import Gone, Talker
from result import Target
from sink import Sink

SERVICES = 4  # a quarter of the series each; one service alone may not have that many cells
MIB = 1 << 20


def services(stack):
    started = []
    for number in range(SERVICES):
        environment = {**os.environ, "OTEL_SERVICE_NAME": f"bench-{number}"}
        started.append(stack.enter_context(Talker(build.OUT / "series", env=environment)))
    return started


def fire(started):
    return all([service.ask("") == "1" for service in started])


def in_process(results, rounds):
    """The agent's objects without the network (collect.c)."""
    with contextlib.ExitStack() as stack:
        started = services(stack)
        collect = stack.enter_context(Talker(build.OUT / "collect"))

        def ask(line):
            return json.loads(collect.ask(line))

        ask("sweep")
        if not fire(started):
            raise RuntimeError("the services do not see that anybody listens")
        ask("sweep")
        first = ask("collect")
        found = []
        for _ in range(rounds):
            fire(started)
            found.append(ask("collect"))
        memory = ask("memory")
    last = found[-1]
    made = f"{last['series']} series, {last['cells']} cells, {last['points']} points, {last['body_bytes'] / MIB:.1f} MiB body"
    results.add(Target("9a", "one snapshot to one request body, 10,000 series: CPU time of the agent", 60, unit="ms"),
                [one["cpu_ms"] for one in found],
                detail=f"{made}; of it {last['encode_ms']:.0f} ms encoding; the first one, which reads all names, {first['cpu_ms']:.0f} ms")
    results.add(Target("9c", "calls of malloc, calloc and realloc in that, per cell", 0.01, unit="calls"),
                [one["allocations"] / one["cells"] for one in found],
                detail=f"{last['allocations']} calls for {last['cells']} cells")
    results.add(Target("9d", "kernel memory of all maps with these series, read back", 16, unit="MiB"),
                [memory["bytes"] / MIB], detail=f"predicted at most {memory['at_most'] / MIB:.1f} MiB for the default limits")
    results.add(Target("9e", "encoding these series to protobuf, apart from reading and merging: CPU time", 15, unit="ms"),
                [one["encode_ms"] for one in found],
                detail=f"to JSON {statistics.median(one['json_ms'] for one in found):.1f} ms")
    results.facts["bodies"] = [{"what": "probemeter, protobuf", "bytes": last["body_bytes"], "gzip_bytes": last["gzip_bytes"]},
                               {"what": "probemeter, JSON", "bytes": last["json_bytes"], "gzip_bytes": last["json_gzip_bytes"]}]
    results.facts["memory"] = {"read_back": memory, "first_export": first, "exports": found}


def peer_bodies(results, fired):
    """The same series from as many services, by opentelemetry-cpp's own exporter, with our bounds; fired @fired times, too.

    Requests that follow each other are one request to a decoder of protobuf, and so to gzip here.
    """
    row = {"what": "opentelemetry-cpp, protobuf (has min and max too)"}
    results.facts["bodies"].append(row)
    if "opentelemetry-cpp" in build.absent:
        row["not_measured"] = build.absent["opentelemetry-cpp"]
        return
    bounds = build.output(build.OUT / "collect", "--bounds", "s").split()
    body = b""
    try:
        for number in range(SERVICES):
            with Sink(keep=True) as sink:
                with Talker(build.OUT / "opentelemetry-series", f"{sink.url}/v1/metrics", f"bench-{number}", *bounds) as peer:
                    for _ in range(fired):
                        peer.ask("")
                # Its first export may come while it is still being fired; the totals at its end have everything.
                if not sink.bodies:
                    raise Gone("opentelemetry-cpp exported nothing")
                body += sink.bodies[-1]
    except (Gone, OSError) as error:
        row["not_measured"] = str(error)
        return
    row.update({"bytes": len(body), "gzip_bytes": len(gzip.compress(body, 6))})


def stat_ms(pid):
    """CPU time of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def whole_agent(results, exports):
    """The real agent, which also sweeps /proc and ships: resident memory, and CPU time per interval of one second."""
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(Sink())
        started = services(stack)
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        agent = stack.enter_context(Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_METRIC_EXPORT_INTERVAL=1000))
        agent.wait_attached(started[0].pid, build.OUT / "series")
        fire(started)
        before = sink.requests
        while sink.requests < before + 3:
            time.sleep(0.05)
        cpu_ms, before = stat_ms(agent.pid), sink.requests
        while sink.requests < before + exports:
            fire(started)
            time.sleep(0.2)
        cpu_ms = (stat_ms(agent.pid) - cpu_ms) / (sink.requests - before)
        status = pathlib.Path(f"/proc/{agent.pid}/status").read_text()
        kib = {name: int(status.split(f"{name}:")[1].split()[0]) for name in ("VmHWM", "RssAnon", "RssFile", "RssShmem")}
    results.add(Target("9b", "resident memory of the agent with these series, at its highest", 48, unit="MiB"),
                [kib["VmHWM"] / 1024],
                detail=f"anonymous {kib['RssAnon'] / 1024:.1f}, mapped (the kernel's own cells among it) "
                       f"{(kib['RssFile'] + kib['RssShmem']) / 1024:.1f} MiB; {cpu_ms:.0f} ms of CPU per second with an export every second")


def by_cpus(results, counts=(2, 64, 128)):
    """Kernel bytes at the default limits on other hosts: the agent's own code, told that there are more CPUs."""
    table = results.facts["memory_by_cpus"] = []
    for count in counts:
        with tempfile.NamedTemporaryFile("w") as possible:
            possible.write(f"0-{count - 1}\n")
            possible.flush()
            os.chmod(possible.name, 0o644)
            # In a mount namespace of its own, which ends with the command.
            done = subprocess.run(["unshare", "-m", "sh", "-ec", 'mount --bind "$0" /sys/devices/system/cpu/possible; exec "$@"',
                                   possible.name, str(build.OUT / "collect"), "--limits", str(count)],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        table.append(json.loads(done.stdout) if not done.returncode else {"cpus": count, "not_measured": done.stderr.strip()})


def measure(results, rounds):
    in_process(results, rounds)
    peer_bodies(results, rounds + 1)
    whole_agent(results, rounds)
    by_cpus(results)
