# SPDX-License-Identifier: BSD-2-Clause
"""The sample service build/services/scriptd and its load script, as a test runs them."""
import json
import os
import pathlib
import re
import subprocess
import time

from agent import clean_environment
from process import BUILD, ROOT, Child, Failed, http, wait_until
from truth import Truth

SCRIPTD = BUILD / "services/scriptd"
LOAD = ROOT / "tests/services/load.py"

# Levels that are 0 when nothing is under way.
AT_REST = ("script.executions.active", "execution.queue.depth", "coordinator.executions.active", "events.lag")


class Scriptd(Child):
    """One sample service under @name, with its own port and data; self.url is its base."""

    def __init__(self, directory, name, *arguments, workers=2):
        self.name = name
        self.url = None
        self.directory = pathlib.Path(directory) / f"{name}-{time.monotonic_ns()}"
        self.directory.mkdir()
        # No health checks of its own accord: at rest, nothing but our GET /stats moves a metric.
        super().__init__([SCRIPTD, "--data", self.directory / "data", "--workers", workers, "--health-interval",
                          3600000, "--quiet", *arguments], self.directory / "log",
                         env=clean_environment(OTEL_SERVICE_NAME=name), cwd=self.directory)

    def start(self):
        super().start()
        found = self.wait_ready(f"{self.name} ready", lambda: re.search(r"listening on (\S+)", self.output()))
        self.url = found.group(1)

    def stats(self, values=False):
        """What the service says it fired: a Truth."""
        status, body = http(f"{self.url}/stats" + ("?values=1" if values else ""))
        if status != 200:
            raise Failed(f"{self.name}: /stats answered {status}: {body[:200]!r}")
        return Truth(json.loads(body)["metrics"])

    def submit(self, script, language="bash", **fields):
        """Ask for one execution; its id."""
        job = {"language": language, "script": script, **fields}
        status, body = http(f"{self.url}/jobs", json.dumps(job).encode(),
                            {"Content-Type": "application/json", "Authorization": "Bearer premium-e2e"})
        if status not in (200, 201, 202):
            raise Failed(f"{self.name}: submit answered {status}: {body[:200]!r}")
        return json.loads(body)["id"]

    def at_rest(self):
        now = self.stats()
        return not any(now.value(name) for name in AT_REST)

    def wait_at_rest(self, timeout_s=30.0):
        """Until nothing is under way and nothing begins for a while; then the Truth with all recorded values."""
        def quiet():
            before = self.stats()
            if any(before.value(name) for name in AT_REST):
                return False
            time.sleep(0.25)
            after = self.stats()
            return before.metrics["script.executions.total"] == after.metrics["script.executions.total"] and \
                before.metrics["events.consumed.total"] == after.metrics["events.consumed.total"]

        wait_until(f"{self.name} at rest", quiet, timeout_s, every_s=0.1)
        return self.stats(values=True)


def load(service, directory, seed, jobs, timeout_s=120.0):
    """Run the load script against @service and return its report."""
    report = pathlib.Path(directory) / f"load-{time.monotonic_ns()}.json"
    done = subprocess.run(["/usr/bin/python3", str(LOAD), "--url", service.url, "--jobs", str(jobs), "--seed",
                           str(seed), "--json-report", str(report)], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=timeout_s, env=clean_environment(HOME=os.environ.get("HOME")), check=False)
    if done.returncode:
        raise Failed(f"load.py ended with {done.returncode}: {done.stderr.decode(errors='replace')[-400:]}")
    return json.loads(report.read_text())
