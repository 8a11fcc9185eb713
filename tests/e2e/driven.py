# SPDX-License-Identifier: BSD-2-Clause
"""The small services of tests/services that do as they are told, and what is exported of them.

They read commands from stdin and answer each with one line of JSON, which says what they fired: that is the truth. An
export is compared with it only after a snapshot that was taken later than the answer came.
"""
import errno
import functools
import json
import os
import re
import select
import signal
import subprocess
import sys
import time

import elf
import otlp
from agent import Agent, clean_environment
from process import BUILD, PR_SET_PDEATHSIG, ROOT, Failed, _libc, wait_until

INTERVAL_MS = 500
ATTACH_S = 60.0  # an agent of somebody else's that detaches can hold up ours for long


def own(name):
    """@name as this run's own: an agent counts all processes of the host, also those of another run of this test."""
    return f"{name}-{os.getpid()}"


def fast_nop():
    """The nop that this kernel turns into a call, by what its system call for that says when called from elsewhere; None
    where it has none. In a child, as some versions answer with a signal."""
    if os.uname().machine != "x86_64":
        return None
    child = subprocess.run([sys.executable, "-c", "import ctypes; libc = ctypes.CDLL(None, use_errno=True); "
                            "print(libc.syscall(336), ctypes.get_errno())"], capture_output=True, text=True, check=False)
    return {f"-1 {errno.ENXIO}": "5-byte", f"-1 {errno.EPROTO}": "10-byte"}.get(child.stdout.strip())


class Driven:
    """One of build/services, under own(@service): ask("command") returns its answer, or tell() now and answer() later."""

    def __init__(self, program, service, *arguments, prefix=(), **variables):
        self.binary = BUILD / "services" / program if "/" not in str(program) else program
        self.service = own(service)
        self.argv = [*map(str, prefix), str(self.binary), *map(str, arguments)]
        self.environment = clean_environment(OTEL_SERVICE_NAME=self.service, **variables)
        self.process = None
        self._rest = b""

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.kill()

    def start(self):
        """Start it without waiting for anything."""
        if not os.access(self.binary, os.X_OK):
            raise Failed(f"{self.binary} is not there; run make")

        def in_child():
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/",
                                        env=self.environment, preexec_fn=in_child)

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def tell(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def answer(self, timeout_s=60.0):
        """The next line, decoded; Failed if the program dies or says nothing."""
        end = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise Failed(f"{self.binary} (pid {self.pid}) says nothing for {timeout_s:g} s")
            chunk = os.read(self.process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise Failed(f"{self.binary} (pid {self.pid}) is gone: exit status {self.process.wait()}")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def ask(self, command, timeout_s=60.0):
        self.tell(command)
        return self.answer(timeout_s)

    def end(self, timeout_s=10.0):
        """End of input; its exit status."""
        self.process.stdin.close()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.binary} (pid {self.pid}) does not end") from None

    def kill(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if not self.process.stdin.closed:
            try:
                self.process.stdin.close()
            except OSError:
                pass
        self.process.stdout.close()


def build_series(directory):
    """Compile tests/bench/series.c, a service with 2,500 series of which 500 are histograms, and return the path."""
    path = directory / "series"
    subprocess.run(["cc", "-std=gnu11", "-O2", f"-I{ROOT}/include", str(ROOT / "tests/bench/series.c"), "-o", str(path)],
                   check=True)
    return path


def start_agent(directory, server, *arguments, prefix=(), **variables):
    variables.setdefault("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MS)
    return Agent(directory, *arguments, prefix=prefix, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, **variables)


def wait_attached(agent, *services):
    """Until this agent, and not another one of the host, has attached to what @services run."""
    for service in services:
        path = os.path.realpath(service.binary)
        agent.wait_ready(f"attached to {path}", lambda path=path: f"attached: '{path}'" in agent.output(), ATTACH_S)
        agent.wait_attached(service.pid, service.binary)


def warnings(agent):
    """What the agent warns of, but for other files and services of the host, and for what its probes cost: services that
    do nothing but fire are told so, rightly. Ours are the files of the build and of the test's directory, where its log is."""
    ours = str(BUILD), str(agent.log.parent)

    def stranger(line):
        return any(not path.startswith(ours) for path in re.findall(r"'(/[^']*)'", line)) or \
            any(not name.endswith(f"-{os.getpid()}") for name in re.findall(r"service '([^']*)'", line))

    return [line for line in agent.warnings() if "--max-overhead" not in line and not stranger(line)]


def others_attached(service):
    """Is some other agent of this host attached to @service? Then its semaphores say nothing about ours."""
    time.sleep(1.5)  # agents sweep each second
    return any(elf.semaphores(service.pid, elf.Elf(service.binary)).values())


def snapshot_after(server, timeout_s=20.0):
    """An export whose snapshot began after this moment. It comes after this moment, too: each request is looked at once."""
    start_ns, next_one = time.time_ns(), server.count()

    def newer():
        nonlocal next_one
        for request in server.requests[next_one:]:
            next_one += 1
            if request.time_ns() > start_ns:
                return request
        return None

    return wait_until("an export of a snapshot taken after this point", newer, timeout_s)


@functools.lru_cache(maxsize=2)  # asked for once per metric, and large
def series(request, service):
    """{(metric name, label values in their order): Point} of one service in one request, to be read only. In place of the
    values of an overflow series stands "overflow"."""
    found = {}
    for point in request.points():
        if point.service != service:
            continue
        values = tuple(point.labels.values())
        if point.labels == {"otel.metric.overflow": True}:
            values = "overflow"
        key = point.name, values
        if key in found:
            raise otlp.Malformed(f"{service}: two points for {key}")
        found[key] = point
    return found


def values(request, service, name):
    """{label values: value} of one metric; the count of a histogram."""
    return {key[1]: point.value for key, point in series(request, service).items() if key[0] == name}


def total(request, service, name):
    """Over all label sets; None if there is no point."""
    found = values(request, service, name)
    return sum(found.values()) if found else None


def wait_total(server, service, name, want, timeout_s=20.0):
    """Wait until the latest export has @want of @name over all label sets; what was seen last."""
    seen = [None]

    def there():
        seen[0] = total(server.requests[-1], service, name) if server.requests else None
        return seen[0] == want

    try:
        wait_until(f"{service}: {name} is {want}", there, timeout_s, every_s=0.05)
    except Failed:
        pass
    return seen[0]


def drops(request, prefix):
    """{(reason, metric name): events} as the agent exports them, of metrics whose names begin with @prefix."""
    return {(p.labels["reason"], p.labels["metric"]): p.value for p in request.points()
            if p.name == "probemeter.agent.events.dropped" and p.labels["metric"].startswith(prefix)}


def steps_back(requests, services):
    """What is not as a cumulative stream must be over consecutive @requests: values, buckets or sums that fall, start
    times that move, series that vanish, times that stand still. An empty list if all is well."""
    found, before = [], {}

    for number, request in enumerate(list(requests)):  # a copy: more may come in meanwhile
        now = {}
        for point in request.points():
            if point.service not in services or point.kind == "gauge":
                continue
            if point.kind == "sum" and not point.data.is_monotonic:
                continue
            now[point.key()] = point
        for key, old in before.items():
            new = now.get(key)
            if new is None:
                found.append(f"request {number}: {key} is gone")
                continue
            a, b = old.point, new.point
            if b.start_time_unix_nano != a.start_time_unix_nano:
                found.append(f"request {number}: {key}: start moved by {b.start_time_unix_nano - a.start_time_unix_nano}")
            if b.time_unix_nano <= a.time_unix_nano:
                found.append(f"request {number}: {key}: its time stands still")
            if new.value < old.value:
                found.append(f"request {number}: {key}: from {old.value} to {new.value}")
            if new.kind == "histogram":
                if list(a.explicit_bounds) != list(b.explicit_bounds):
                    found.append(f"request {number}: {key}: other bounds")
                if any(y < x for x, y in zip(a.bucket_counts, b.bucket_counts)):
                    found.append(f"request {number}: {key}: a bucket fell")
                if a.HasField("sum") and b.HasField("sum") and b.sum < a.sum:
                    found.append(f"request {number}: {key}: sum from {a.sum} to {b.sum}")
        before = now
    return found
