#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""A running agent is asked: what it says, to whom, that nobody who asks badly can hold it up, and that its exports say the
same as if nobody had asked.
"""
import errno
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

from agent import PROBEMETER, Agent, Fired, build_fired, run_to_end
from ask import Snapshot, ask, page_address
from capture import Server
from checks import Checks
from process import in_own_pid_namespace, scratch, wait_until

EVENTS = 20000
CONNECTIONS = 64  # as many as the port takes


def content(checks, directory, binary):
    with Fired(binary, "ask") as service, \
            Agent(directory, OTEL_METRICS_EXPORTER="console", OTEL_METRIC_EXPORT_INTERVAL=60000) as agent:
        agent.wait_attached(service.pid, binary)
        quiet = Snapshot(agent.socket)
        checks.equal("a service whose probes never fired is named",
                     [subject for subject, _ in quiet.whys("no_hits")], [service.service])
        service.fire(EVENTS)
        snapshot = Snapshot(agent.socket)
        for metric in ("e2e.fired.total", "e2e.bare.total", "e2e.size"):
            checks.equal(f"between two exports: {metric}", snapshot.total(service.service, metric), service.total)
        checks.equal("now it is not", snapshot.whys("no_hits"), [])
        found = snapshot.service(service.service)
        checks.equal("its processes", (found["processes"], found["pids"]), (1, [service.pid]))
        checks.equal("its attributes", found["attributes"]["service.name"], service.service)
        runs = [snapshot.binaries[place] for place in found["binaries"]]
        checks.equal("its binary", [(row["path"], row["attached"], row["reason"], row["processes"]) for row in runs],
                     [(str(binary), True, None, 1)])
        names = {snapshot.metrics[place]["name"] for place in runs[0]["metrics"]}
        checks.ok("and the metrics of that", {"e2e.fired.total", "e2e.bare.total", "e2e.size", "e2e.level"} <= names, names)
        metric = next(row for row in snapshot.metrics if row["name"] == "e2e.size")
        checks.equal("a metric's words", (metric["unit"], metric["description"], metric["kind"], metric["labels"]),
                     ("{byte}", "Sizes recorded", "histogram", ["kind"]))
        row, = snapshot.series_of(service.service, "e2e.size")
        checks.equal("a histogram's count is its buckets'", sum(row["counts"]), row["count"])
        checks.equal("one bucket more than bounds", len(row["counts"]), len(metric["bounds"]) + 1)
        checks.equal("its sum", row["sum"], 100.0 * service.total)
        checks.ok("its quantiles lie in the bucket of its one value", all(64 <= row[q] <= 128 for q in ("p50", "p90", "p99")),
                  row)
        checks.equal("exporters", [(row["name"], row["state"]) for row in snapshot.exporters], [("console", "starting")])
        checks.ok("the agent tells of itself", snapshot.agent["pid"] and snapshot.agent["noop"] is None
                  and snapshot.agent["ready"] and snapshot.agent["sites"] > 0, snapshot.agent)
        for path, want in (("/healthz", 200), ("/readyz", 200), ("/nothing", 404), ("/api/snapshot/", 404)):
            checks.equal(path, ask(agent.socket, path)[0], want)
        checks.equal("the socket's mode", stat.S_IMODE(agent.socket.stat().st_mode), 0o660)
        checks.equal("no warnings", agent.warnings(directory), [])
        checks.equal("the agent ends with status 0", agent.stop(), 0)
        checks.ok("and takes its socket away", not agent.socket.exists())


class History(Snapshot):
    """What /api/history said: the same, and what was before."""

    path = "/api/history"

    def past(self, service, metric):
        """(what was new at each moment, the total then) of the one series of that, or (None, None)."""
        rows = self.series_of(service, metric)
        return (rows[0].get("past"), rows[0].get("past_total")) if rows else (None, None)


def history(checks, directory, binary):
    """What nobody looked at is remembered from the exports, ten seconds apart."""
    with Fired(binary, "past") as service, \
            Agent(directory, OTEL_METRICS_EXPORTER="console", OTEL_METRIC_EXPORT_INTERVAL=1000) as agent:
        agent.wait_attached(service.pid, binary)
        service.fire(300)
        wait_until("a moment with all of that", lambda: History(agent.socket).past(service.service, "e2e.bare.total")[1] == 300)
        before = len(History(agent.socket).history["times_unix_ms"])
        service.fire(500)
        time.sleep(11)
        found = History(agent.socket)
        times = found.history["times_unix_ms"]
        past, total = found.past(service.service, "e2e.bare.total")
        checks.ok("a moment came although nobody asked", before < len(times) <= before + 2, (before, times))
        checks.ok("moments are about ten seconds apart, and in the past", all(8900 < b - a < 12000 for a, b in zip(times, times[1:]))
                  and times[-1] <= found.time_unix_ms, times)
        checks.equal("a counter: what was new since", (sum(past[before:]), total), (500, 800))
        checks.equal("one number for each moment", len(past), len(times))
        histogram, = [row for row in found.history["histograms"]
                      if found.services[row["service"]]["name"] == service.service]
        row, = found.series_of(service.service, "e2e.size")
        checks.equal("a histogram: in its buckets", (histogram["past_totals"], sum(map(sum, histogram["past"][before:]))),
                     (row["counts"], 500))
        level, = found.series_of(service.service, "e2e.level")
        checks.equal("a level: its value", level["past"][-1], level["value"])
        checks.ok("a snapshot is without it", "history" not in Snapshot(agent.socket).data and
                  not any("past" in row for row in Snapshot(agent.socket).series))
        checks.equal("no warnings", agent.warnings(directory), [])
        checks.equal("the agent ends with status 0", agent.stop(), 0)
    with Agent(directory, OTEL_METRICS_EXPORTER="console") as agent:
        agent.wait_ready("it answers", lambda: _is_ready(agent.socket))
        checks.ok("another agent begins anew", len(History(agent.socket).history["times_unix_ms"]) <= 1)


NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
CONNECT = """import socket, sys
try: socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except OSError as error: sys.exit(error.errno)"""


def strangers(checks, directory, _):
    """Who may not."""
    with Agent(directory, OTEL_METRICS_EXPORTER="prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=0) as agent:
        port = page_address(agent)
        wait_until("readiness", lambda: ask(port, "/readyz")[0] == 200)
        os.chmod(directory, 0o755)
        done = subprocess.run([*NOBODY, "/usr/bin/python3", "-c", CONNECT, str(agent.socket)], check=False)
        checks.equal("another user may not connect to the socket", done.returncode, 13)
        copy = shutil.copy(PROBEMETER, directory / "probemeter")  # nobody may be unable to reach the work tree
        for command in ("snapshot", "top", "stop"):
            status, _, err = run_to_end(command, "--run-dir", agent.socket.parent, prefix=NOBODY, binary=copy)
            checks.ok(f"another user's 'probemeter {command}' is refused, and told who may", status == 1 and
                      err and "as root" in err[-1], err)
        with socket.socket() as other:
            checks.equal("the port is on loopback's first address and no other", other.connect_ex(("127.0.0.2", port[1])),
                         errno.ECONNREFUSED)
        agent.socket.chmod(0o666)
        done = subprocess.run([*NOBODY, "curl", "-s", "-X", "POST", "--unix-socket", str(agent.socket),
                               "http://agent/api/stop", "-o", "/dev/null", "-w", "%{http_code}"], capture_output=True, check=False)
        checks.equal("nor, if he could, end the agent", done.stdout, b"403")
        checks.equal("nor may anybody over the port", ask(port, "/api/stop", "POST")[0], 403)
        checks.ok("it still runs", agent.running())
        for name, arguments, want in (
                ("another method", ("/metrics", "DELETE"), 405),
                ("a POST to a page", ("/metrics", "POST"), 405),
                ("a GET of a command", ("/api/stop", "GET"), 405),
                ("a body", ("/metrics", "GET", None, b"x" * 100), 413),
                ("another site's name for this host", ("/metrics", "GET", {"Host": "rebound.example:9464"}), 421),
                ("localhost by name", ("/metrics", "GET", {"Host": "localhost:9464"}), 200),
                ("a head that never ends", ("/metrics", "GET", {"X": "y" * 100000}), 431)):
            try:
                got = ask(port, *arguments)[0]
            except OSError as error:  # closed before all of it was sent
                got = 431 if want == 431 else error
            checks.equal(name, got, want)
        checks.equal("the same agent over its socket, as root", ask(agent.socket, "/api/stop", "POST")[0], 200)
        checks.equal("ends it", agent.wait(), 0)


def connect(port):
    connection = socket.create_connection(port)
    connection.settimeout(20.0)
    return connection


def hostile(checks, directory, binary):
    """A port full of clients that never finish: exports go on in time, the socket answers, and they are thrown out."""
    interval_ms = 500
    with Server() as server, Fired(binary, "hostile") as service, \
            Agent(directory, OTEL_METRICS_EXPORTER="otlp,prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=0,
                  OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=interval_ms) as agent:
        port = page_address(agent)
        agent.wait_attached(service.pid, binary)
        held = []
        try:
            for number in range(CONNECTIONS):
                connection = connect(port)
                held.append(connection)
                if number % 2:  # asks, and never reads
                    connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 5)
                else:  # never ends asking
                    connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
            service.fire(1000)
            begun, seen = time.monotonic(), server.count()
            took = []
            while time.monotonic() - begun < 4:
                asked = time.monotonic()
                Snapshot(agent.socket)
                took.append(time.monotonic() - asked)
                time.sleep(0.1)
            exports = server.count() - seen
            checks.ok("exports go on meanwhile", exports >= 6, f"{exports} in 4 s, one is due each {interval_ms} ms")
            checks.ok("and the socket answers", max(took) < 2, f"the slowest of {len(took)} took {max(took):.2f} s")
            wait_until("the silent ones are thrown out, and the port answers again",
                       lambda: _is_ready(port), timeout_s=30.0, every_s=0.5)
            checks.ok("the silent ones are thrown out, and the port answers again", True)
        finally:
            for connection in held:
                connection.close()
        checks.equal("what was fired meanwhile is counted", Snapshot(agent.socket).total(service.service, "e2e.bare.total"),
                     service.total)
        checks.equal("no warnings", agent.warnings(directory), [])
        checks.equal("the agent ends with status 0", agent.stop(), 0)


def _is_ready(where):
    try:
        return ask(where, "/readyz", timeout_s=1.0)[0] == 200
    except OSError:
        return False


def undisturbed(checks, directory, binary):
    """While clients ask as fast as they can, deltas still add up to what was fired, each event in one of them."""
    with Server() as server, Fired(binary, "undisturbed") as service, \
            Agent(directory, OTEL_METRICS_EXPORTER="otlp,prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=0,
                  OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=200,
                  OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta") as agent:
        port = page_address(agent)
        agent.wait_attached(service.pid, binary)
        ended = threading.Event()
        answers, steps_back, errors = [], [], []

        def look():
            last = 0
            while not ended.is_set():
                try:
                    total = Snapshot(port).total(service.service, "e2e.bare.total") or 0
                except Exception as error:  # any is a failure of the check below
                    errors.append(repr(error))
                    return
                if total < last:
                    steps_back.append((last, total))
                last = total
                answers.append(total)

        clients = [threading.Thread(target=look) for _ in range(3)]
        for client in clients:
            client.start()
        try:
            for _ in range(30):
                service.fire(3000)
                time.sleep(0.05)
        finally:
            ended.set()
            for client in clients:
                client.join()
        checks.equal("all requests are answered", errors, [])
        checks.ok("there were many", len(answers) > 20, len(answers))
        checks.equal("and none showed less than the one before", steps_back, [])
        checks.equal("the agent ends with status 0", agent.stop(), 0)
        for metric in ("e2e.bare.total", "e2e.fired.total", "e2e.size"):
            got = sum(point.value for request in server.requests for point in request.points()
                      if point.service == service.service and point.name == metric)
            checks.equal(f"deltas of {metric} add up", got, service.total)


def places(checks, directory, _):
    """Sockets that cannot be had, and agents that have nothing to do."""
    run = pathlib.Path(directory) / "shared"
    with Agent(directory, "--run-dir", str(run), OTEL_METRICS_EXPORTER="console") as first:
        wait_until("it answers", lambda: _is_ready(run / "agent.sock"))
        with Agent(directory, "--run-dir", str(run), OTEL_METRICS_EXPORTER="console") as second:
            checks.ok("a second agent there ends", second.wait() != 0, second.output())
        checks.equal("a second agent leaves the first one's socket alone", ask(run / "agent.sock", "/healthz")[0], 200)
        first.signal(signal.SIGKILL)
        first.wait()
        checks.ok("an agent that was killed leaves its socket", (run / "agent.sock").exists())
    with Agent(directory, "--run-dir", str(run), OTEL_METRICS_EXPORTER="console") as third:
        wait_until("the next one takes its place", lambda: _is_ready(run / "agent.sock"))
        checks.equal("without a warning", third.warnings(directory), [])
        checks.equal("and ends well", third.stop(), 0)
    deep = pathlib.Path(directory) / ("deep" * 30)
    with Agent(directory, "--run-dir", str(deep), OTEL_METRICS_EXPORTER="console") as agent:
        agent.wait_ready("it works without a socket", lambda: "kernel: probes on" in agent.output())
        checks.equal("a path that is too long for a socket: one warning, with the remedy",
                     [("File name too long" in line, "--run-dir" in line) for line in agent.warnings(directory)], [(True, True)])
        agent.stop()
    with Agent(directory, ENABLE_TRACING="false", OTEL_METRICS_EXPORTER="prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=0) as agent:
        port = page_address(agent)
        snapshot = Snapshot(port)
        checks.equal("an agent that does nothing says why", snapshot.whys("noop"), [("agent", "ENABLE_TRACING is false")])
        checks.equal("and is healthy and ready", [ask(port, path)[0] for path in ("/healthz", "/readyz", "/metrics")],
                     [200, 200, 200])
        checks.equal("and loaded nothing", agent.loaded_bpf(), 0)
        checks.equal("and ends well", agent.stop(), 0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        done = subprocess.run([PROBEMETER, "run", "--exporter", "prometheus", "--prometheus-port", str(number), "--run-dir",
                               str(run)], capture_output=True, text=True, timeout=20, check=False)
        checks.ok("a port that is taken, and nothing else to do: the agent ends and names it",
                  done.returncode == 1 and f"port {number}" in done.stderr and "OTEL_EXPORTER_PROMETHEUS_PORT" in done.stderr,
                  (done.returncode, done.stderr))


def main():
    checks = Checks("asking the agent")
    if os.geteuid() != 0:
        checks.skip("everything", "attaching needs root")
        return checks.finish()
    in_own_pid_namespace()
    with scratch("ask") as directory:
        binary = build_fired(directory)
        for part in (content, history, strangers, hostile, undisturbed, places):
            with checks.run(part.__name__):
                part(checks, directory, binary)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
