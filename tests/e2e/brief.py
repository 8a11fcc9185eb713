# SPDX-License-Identifier: BSD-2-Clause
"""The service `brief`, and what is exported of it, by resource."""
import contextlib
import os
import pathlib
import shutil
import subprocess

import otlp
from agent import HERE, clean_environment
from process import ROOT, Failed, wait_until


def build(directory, name="brief", *flags):
    """Compile brief.c under a name that no other run of a test has."""
    path = pathlib.Path(directory) / f"{name}-{os.getpid()}"
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include",
                    *flags, str(HERE / "brief.c"), "-o", str(path)], check=True)
    return path


def copy(binary, name):
    """Another file of the same bytes, beside the first."""
    return pathlib.Path(shutil.copy(binary, binary.parent / f"{name}-{os.getpid()}"))


def fire(process, count):
    """@count more events of a process that stays."""
    process.stdin.write(f"{count}\n".encode())
    process.stdin.flush()
    if process.stdout.readline() != b"ready\n":
        raise Failed(f"pid {process.pid} is gone: {process.poll()}")


def run(binary, count, *arguments, prefix=(), **variables):
    """Run it to its end."""
    subprocess.run([*map(str, prefix), str(binary), *arguments, str(count)], check=True, cwd="/", timeout=60,
                   stdin=subprocess.DEVNULL, env=clean_environment(**variables))


@contextlib.contextmanager
def staying(binary, count, *arguments, prefix=(), settled=1, **variables):
    """Run it until the block ends; @settled processes have fired when the block begins."""
    process = subprocess.Popen([*map(str, prefix), str(binary), "--stay", *arguments, str(count)], cwd="/",
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_environment(**variables))
    try:
        for _ in range(settled):
            if process.stdout.readline() != b"ready\n":
                raise Failed(f"{binary} did not start: {process.poll()}")
        yield process
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


class Resources:
    """The resources of one request, by what they say; those that carry brief's metrics."""

    def __init__(self, request):
        self.rows = []  # (attributes, {metric: value})
        for resource in request.message().resource_metrics:
            attributes = otlp.attributes(resource.resource.attributes)
            values = {}
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name.startswith("brief."):
                        for point in metric.sum.data_points:
                            values[metric.name] = None if point.flags & 1 else point.as_int
            if values:
                self.rows.append((attributes, values))

    def named(self, name):
        return [row for row in self.rows if row[0].get("service.name") == name]

    def total(self, name, metric="brief.total"):
        """Over the resources of this name; None without any."""
        found = [values[metric] for _, values in self.named(name) if values.get(metric) is not None]
        return sum(found) if found else None


def wait_total(server, name, want, timeout_s=20.0, metric="brief.total"):
    """Wait until the newest export has @want events of @name; return what was seen last."""
    seen = [None]

    def there():
        seen[0] = Resources(server.requests[-1]).total(name, metric) if server.requests else None
        return seen[0] == want

    with contextlib.suppress(Failed):
        wait_until(f"{name}: {want} events exported", there, timeout_s, every_s=0.1)
    return seen[0]
