#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Tests of the sample service: does it really do what its metrics say?

usage: test_scriptd.py [--binary FILE] [--seconds N] [NAME...]

Starts the service on free ports in temporary directories. GET /stats is the service's own account of
what it fired; each test compares it with what the test, or the load script, saw from outside.
"""
import argparse
import collections
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
TESTS = []


def test(function):
    TESTS.append(function)
    return function


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(got, want, what):
    expect(got == want, f"{what}: got {got!r}, expected {want!r}")


def wait_until(condition, what, seconds=15, every_s=0.02):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(every_s)
    raise AssertionError(f"not within {seconds} s: {what}")


def sanitized():
    data = pathlib.Path(Service.binary).read_bytes()
    return b"__tsan_init" in data or b"__asan_init" in data


# --- the service under test --------------------------------------------------------------------

class Service:
    binary = None
    started = []

    def __init__(self, *flags, data=None):
        self.own = None if data else tempfile.TemporaryDirectory(prefix="scriptd-")
        self.data = data or os.path.join(self.own.name, "data")
        self.process = subprocess.Popen([Service.binary, "--data", self.data, "--quiet", *flags],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        Service.started.append(self)
        line = self.process.stdout.readline()
        match = re.search(r":(\d+)$", line.strip())
        if not match:
            raise AssertionError(f"did not start: {line}{self.process.stderr.read()}")
        self.port = int(match[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        code, errors = self.stop()
        left = self.processes()
        if self.own:
            self.own.cleanup()
        if kind is None:
            equal(code, 0, f"exit code ({errors})")
            equal(left, [], "processes left behind")

    def stop(self, signo=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(signo)
        try:
            _, errors = self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise AssertionError("did not end within 20 s of the signal") from None
        self.errors = errors
        return self.process.returncode, errors

    @classmethod
    def end_all(cls):
        """After a test that failed half-way."""
        while cls.started:
            process = cls.started.pop().process
            if process.poll() is None:
                process.kill()
                process.communicate()

    def processes(self):
        """The launcher, monitors and scripts: whatever works below the data directory."""
        found = []
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and os.readlink(f"/proc/{entry}/cwd").startswith(self.data):
                    found.append(int(entry))
            except OSError:
                pass
        return found

    def call(self, method, path, body=None, user=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            if body is not None and not isinstance(body, bytes):
                body = json.dumps(body).encode()
            connection.request(method, path, body, {"Authorization": f"Bearer {user}"} if user else {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), answer.headers
        finally:
            connection.close()

    def submit(self, language, script, **more):
        status, answer, _ = self.call("POST", "/jobs", {"language": language, "script": script, **more})
        equal(status, 202, f"submission ({answer})")
        return answer["id"]

    def job(self, job_id):
        return self.call("GET", f"/jobs/{job_id}")[1]

    def finish(self, job_id, seconds=15):
        def ended():
            job = self.job(job_id)
            return job if job.get("state") in ("completed", "failed", "timeout") else None
        return wait_until(ended, f"job {job_id} ends", seconds)

    def run(self, language, script, **more):
        return self.finish(self.submit(language, script, **more))

    def events(self, job_id):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", f"/jobs/{job_id}/events")
        answer = connection.getresponse()
        equal(answer.status, 200, "stream")
        text = answer.read().decode()
        connection.close()
        return [(re.search(r"^event: (.*)$", f, re.M)[1], json.loads(re.search(r"^data: (.*)$", f, re.M)[1]))
                for f in text.split("\n\n") if "event:" in f]

    def metrics(self):
        return Metrics(self.call("GET", "/stats")[1]["metrics"])


class Metrics:
    def __init__(self, metrics):
        self.metrics = metrics

    def series(self, name):
        """{labels, in the reference's order: value, or count of a histogram}"""
        return {tuple(s["labels"].values()): s.get("value", s.get("count"))
                for s in self.metrics[name]["series"]}

    def get(self, name, *labels):
        return self.series(name).get(labels, 0)

    def total(self, name):
        return sum(self.series(name).values())

    def by(self, name, *positions):
        """Summed over all labels but those at @positions."""
        out = collections.Counter()
        for labels, value in self.series(name).items():
            out[tuple(labels[p] for p in positions)] += value
        return dict(out)


class Target:
    """A webhook target that answers as its list says, and 200 afterwards."""

    def __init__(self, *answers):
        self.answers, self.got = list(answers), []
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                target.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(target.answers.pop(0) if target.answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


# --- starting ----------------------------------------------------------------------------------

@test
def bad_flags_are_refused_in_one_line():
    """Exit 2, and one line that names the flag and what was expected."""
    for flags, want in [
        (["--nonsense"], "unknown option '--nonsense'"),
        (["--data"], "--data: expected a value"),
        ([], "--data is missing"),
        (["--data", "x", "--port", "70000"], "--port '70000': expected a number from 0 to 65535"),
        (["--data", "x", "--workers", "many"], "--workers 'many': expected a number"),
        (["--data", "x", "--limit", "execution=5"], "--limit 'execution=5': expected GROUP=REQUESTS/SECONDS"),
        (["--data", "x", "--limit", "other=5/1"], "--limit 'other=5/1'"),
    ]:
        run = subprocess.run([Service.binary, *flags], capture_output=True, text=True, timeout=20, check=False)
        equal(run.returncode, 2, f"exit code of {flags}")
        equal(run.stderr.count("\n"), 1, f"lines on stderr of {flags}")
        expect(want in run.stderr, f"{flags}: {run.stderr!r} does not say {want!r}")


@test
def help_lists_every_flag():
    """--help prints to stdout and exits 0."""
    run = subprocess.run([Service.binary, "--help"], capture_output=True, text=True, timeout=20, check=False)
    equal(run.returncode, 0, "exit code")
    for flag in ("--data", "--port", "--workers", "--limit", "--stats-file"):
        expect(flag in run.stdout, f"help does not list {flag}")


@test
def a_taken_port_or_directory_is_named():
    """Exit 1 with the port, or the directory, and the remedy."""
    with Service() as service, tempfile.TemporaryDirectory() as other:
        for flags, want in [
            (["--data", f"{other}/data", "--port", str(service.port)],
             f"cannot listen on 127.0.0.1:{service.port}: Address already in use; choose another --port"),
            (["--data", service.data], f"'{service.data}' is used by another scriptd"),
            (["--data", "/proc/nowhere"], "cannot make '/proc/nowhere/work'"),
        ]:
            run = subprocess.run([Service.binary, *flags], capture_output=True, text=True, timeout=20, check=False)
            equal(run.returncode, 1, f"exit code of {flags}")
            expect(want in run.stderr, f"{flags}: {run.stderr!r} does not say {want!r}")


# --- running -----------------------------------------------------------------------------------

@test
def scripts_run_and_are_measured():
    """Duration, peak memory and CPU are those of the script, not of the service."""
    small = 40 if sanitized() else 10   # MiB; a sanitizer's own memory is in every fork of the launcher
    with Service() as service:
        job = service.run("bash", "echo one; echo two >&2; sleep 0.3")
        run = job["executions"][0]
        equal((job["state"], run["exit_code"], run["output"]), ("completed", 0, "one\ntwo\n"), "sleeper")
        expect(0.3 <= run["duration_s"] < 2, f"duration {run['duration_s']}")
        expect(run["memory_mib"] < small, f"memory of a trivial script {run['memory_mib']}")
        expect(run["cpu_millicores"] < 300, f"cpu of a sleeper {run['cpu_millicores']}")

        run = service.run("python", "b = bytearray(100 << 20)")["executions"][0]
        expect(100 < run["memory_mib"] < 125, f"memory of 100 MiB {run['memory_mib']}")
        run = service.run("bash", "true")["executions"][0]
        expect(run["memory_mib"] < small, f"memory after a big one {run['memory_mib']}")
        run = service.run("python", "import time\nwhile time.process_time() < 0.5: pass")["executions"][0]
        used_s = run["cpu_millicores"] / 1000 * run["duration_s"]
        expect(0.5 <= used_s < 0.7, f"cpu time of a script that burns 0.5 s {used_s}")

        m = service.metrics()
        equal(m.by("script.executions.total", 0), {("completed",): 4}, "executions")
        equal(m.total("script.cpu.utilization"), 4, "cpu values")
        equal(m.get("script.executions.active"), 0, "active")
        expect(all(re.fullmatch(r"(bash|python)-\d+\.\d+", lang) for _, lang in
                   m.series("script.executions.total")), "lang_and_version")


@test
def failures_have_their_error_type():
    """A non-zero exit, a signal, and a refused allocation are told apart."""
    with Service() as service:
        equal(service.run("bash", "exit 7")["executions"][0]["exit_code"], 7, "exit code")
        equal(service.run("bash", "kill -SEGV $$")["executions"][0]["exit_code"], 139, "signal")
        job = service.run("python", "bytearray(4 << 30)")
        expect("MemoryError" in job["executions"][0]["output"], "memory limit")
        m = service.metrics()
        equal(m.series("script.errors.total"), {("nonzero_exit",): 2, ("signal",): 1}, "errors")
        equal(m.by("script.executions.total", 0), {("failed",): 3}, "executions")


@test
def a_time_limit_kills_every_descendant():
    """A spinning script ends at its limit, and what it left in other sessions with it."""
    with Service() as service:
        job = service.run("bash", "setsid sleep 100 & sleep 100 & (setsid sleep 100 &) ; while :; do :; done",
                          timeout_ms=300)
        run = job["executions"][0]
        equal((job["state"], run["error_type"]), ("timeout", "timeout"), "state")
        expect(0.3 <= run["duration_s"] < 1.5, f"duration {run['duration_s']}")
        wait_until(lambda: len(service.processes()) == 1, "only the launcher is left", 5)

        equal(service.run("bash", "setsid sleep 100 & exit 0")["state"], "completed", "a script that leaves one behind")
        wait_until(lambda: len(service.processes()) == 1, "the one left behind is gone", 5)
        equal(service.metrics().by("script.executions.total", 0), {("timeout",): 1, ("completed",): 1}, "executions")


@test
def awkward_output_is_survived():
    """No newline, very long, binary: kept in part, never a broken answer."""
    with Service() as service:
        equal(service.run("bash", "printf abc")["executions"][0]["output"], "abc", "no newline")
        equal(len(service.run("bash", "head -c 300000 /dev/zero | tr '\\0' x")["executions"][0]["output"]), 4095, "long")
        equal(service.run("bash", "printf '\\xff\\x00\\x1b\"ok'")["executions"][0]["output"], '???"ok', "binary")
        equal(service.run("bash", "exec >&- 2>&-; sleep 0.2")["state"], "completed", "closed")


@test
def higher_priority_runs_first():
    """One worker, kept busy: what waits is taken by priority, then in order."""
    with Service("--workers", "1") as service:
        first = service.submit("bash", "sleep 1")
        wait_until(lambda: service.job(first)["state"] == "running", "the worker is busy")
        jobs = [("a", "low"), ("b", "normal"), ("c", "critical"), ("d", "high"), ("e", "normal")]
        for n, (name, priority) in enumerate(jobs, 1):
            service.submit("bash", f"echo {name} >> order", priority=priority)
            # The log's two partitions keep no order between them, so let each arrive before the next.
            wait_until(lambda n=n: service.metrics().get("execution.queue.depth") == n, f"{name} waits", 5)
        wait_until(lambda: service.metrics().by("script.executions.total", 0) == {("completed",): 6}, "all have run")
        order = pathlib.Path(service.data, "work", "order").read_text(encoding="utf-8").split()
        equal(order, ["c", "d", "b", "e", "a"], "order")
        m = service.metrics()
        equal(m.series("coordinator.queue.wait_time"),
              {("critical",): 1, ("high",): 1, ("normal",): 3, ("low",): 1}, "waits by priority")
        equal(m.get("execution.queue.depth"), 0, "depth")


# --- streams -----------------------------------------------------------------------------------

@test
def streams_tell_all_that_happens():
    """Every line in order, the end, then the end of the stream; also for one who comes late."""
    with Service() as service:
        job_id = service.submit("bash", "for i in 1 2 3; do echo step $i; sleep 0.1; done")
        events = service.events(job_id)
        equal([name for name, _ in events], ["started", "output", "output", "output", "finished"], "events")
        equal([data["line"] for name, data in events if name == "output"], ["step 1", "step 2", "step 3"], "lines")
        equal(events[-1][1]["state"], "completed", "state")
        late = service.events(job_id)
        equal([(name, data["state"]) for name, data in late], [("finished", "completed")], "late")
        equal(service.call("GET", "/jobs/none/events")[0], 404, "stream of no job")

        wait_until(lambda: service.metrics().get("connections.active", "sse") == 0, "connections are closed")
        m = service.metrics()
        equal(m.get("connections.total", "sse"), 2, "connections")
        equal(m.get("connections.duration", "sse"), 2, "durations")
        equal(m.get("connections.messages.sent", "sse"), 6, "messages")


@test
def a_client_that_hangs_up_is_noticed():
    """The level falls though the job, and so the stream, goes on."""
    with Service() as service:
        job_id = service.submit("bash", "sleep 5")
        client = socket.create_connection(("127.0.0.1", service.port))
        client.sendall(f"GET /jobs/{job_id}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: service.metrics().get("connections.active", "sse") == 1, "connected")
        client.close()
        wait_until(lambda: service.metrics().get("connections.active", "sse") == 0, "noticed", 4)
        equal(service.job(job_id)["state"], "running", "job")


# --- limits ------------------------------------------------------------------------------------

@test
def token_buckets_refill():
    """The burst passes, the next is refused with Retry-After, and later some pass again."""
    with Service("--limit", "execution=4/2") as service:
        def post(user):
            return service.call("POST", "/jobs", {"language": "bash", "script": "true"}, user)
        equal([post("ada")[0] for _ in range(5)], [202] * 4 + [429], "burst")
        status, _, headers = post("ada")
        equal((status, headers["Retry-After"], headers["X-RateLimit-Limit"]), (429, "1", "4"), "refusal")
        equal([post("trial-x")[0] for _ in range(3)], [202] * 2 + [429], "half the quota")
        equal([post("premium-x")[0] for _ in range(9)], [202] * 8 + [429], "twice the quota")
        equal(post(None)[0], 202, "anonymous")
        time.sleep(0.75)
        equal([post("ada")[0] for _ in range(2)], [202, 429], "one token after 0.75 s")

        m = service.metrics()
        equal(m.series("rate_limit.allowed.total"), {("execution", "10", "1.0"): 6, ("execution", "10", "0.5"): 2,
                                                     ("execution", "10", "2.0"): 8}, "allowed")
        equal(m.series("rate_limit.rejected.total"), {("execution", "10", "1.0"): 3, ("execution", "10", "0.5"): 1,
                                                      ("execution", "10", "2.0"): 1}, "rejected")
        equal(m.series("rate_limit.requests.total"), {("true", "/jobs", "token_bucket"): 20,
                                                      ("false", "/jobs", "token_bucket"): 1}, "requests")
        equal(m.get("rate_limit.token_bucket.tokens", "/jobs"), 21, "tokens")
        equal(m.get("rate_limit.redis.duration", "hget"), 21, "store reads")


@test
def sliding_windows_slide():
    """So many in any stretch of time; then none; then, when the first is old enough, one more."""
    with Service("--limit", "query=3/1") as service:
        def get():
            return service.call("GET", "/jobs", user="ada")[0]
        equal([get() for _ in range(5)], [200, 200, 200, 429, 429], "window")
        time.sleep(1.1)
        equal(get(), 200, "after the window")
        m = service.metrics()
        equal(m.series("rate_limit.requests.total"), {("true", "/jobs", "sliding_window"): 6}, "requests")
        equal((m.total("rate_limit.allowed.total"), m.total("rate_limit.rejected.total")), (4, 2), "allowed, rejected")
        equal(m.total("rate_limit.token_bucket.tokens"), 0, "no bucket")
        equal(m.series("rate_limit.bypass.total"), {("/stats",): 1}, "bypass")


# --- what goes wrong ---------------------------------------------------------------------------

@test
def bad_requests_get_clear_answers():
    """Each with its status and a sentence; none runs anything."""
    job = {"language": "bash", "script": "true"}
    with Service("--limit", "execution=100/1") as service:
        for method, path, body, status, want in [
            ("POST", "/jobs", b"{", 400, "not JSON"),
            ("POST", "/jobs", b"", 400, "not JSON"),
            ("POST", "/jobs", [], 400, "JSON object"),
            ("POST", "/jobs", {"language": "bash"}, 400, "required"),
            ("POST", "/jobs", {**job, "language": 7}, 400, "'language' must be a string"),
            ("POST", "/jobs", {**job, "language": "cobol"}, 422, "supported are bash and python"),
            ("POST", "/jobs", {**job, "script": ""}, 400, "'script'"),
            ("POST", "/jobs", {**job, "script": "a\0b"}, 400, "'script'"),
            ("POST", "/jobs", {**job, "script": "x" * 140000}, 400, "'script'"),
            ("POST", "/jobs", {**job, "script": "x" * 300000}, 413, "exceeds"),
            ("POST", "/jobs", {**job, "timeout_ms": 0}, 400, "'timeout_ms' must be 1 to 60000"),
            ("POST", "/jobs", {**job, "timeout_ms": 10**30}, 400, "'timeout_ms'"),
            ("POST", "/jobs", {**job, "priority": "urgent"}, 400, "'priority' must be"),
            ("POST", "/jobs", {**job, "retries": 99}, 400, "'retries' must be 0 to 5"),
            ("POST", "/jobs", {**job, "id": "../../etc"}, 400, "'id' must be"),
            ("POST", "/jobs", {**job, "webhook": "http://192.0.2.1/"}, 400, "loopback"),
            ("POST", "/jobs", {**job, "webhook": "file:///etc/passwd"}, 400, "loopback"),
            ("POST", "/jobs", {**job, "colour": "red"}, 400, "unknown field"),
            ("GET", "/jobs/none", None, 404, "no such job"),
            ("GET", "/jobs?limit=0", None, 400, "'limit'"),
            ("GET", "/nowhere", None, 404, "no such path"),
            ("DELETE", "/jobs", None, 405, "method"),
            ("POST", "/dlq/retry?topic=none", b"", 404, "no such topic"),
        ]:
            got, answer, _ = service.call(method, path, body)
            equal(got, status, f"{method} {path} {str(body)[:60]} ({answer})")
            expect(want in answer["error"], f"{answer} does not say {want!r}")
        equal(service.call("POST", "/jobs", {**job, "id": "once"})[0], 202, "first of an id")
        equal(service.call("POST", "/jobs", {**job, "id": "once"})[0], 409, "second of an id")
        service.finish("once")
        m = service.metrics()
        equal(m.total("script.executions.total"), 1, "executions")
        equal(m.series("script.errors.total"), {("unsupported_language",): 1}, "errors")
        equal(m.series("database.errors.total"), {("insert", "constraint"): 1}, "database errors")


@test
def failed_jobs_are_retried_then_parked():
    """A flaky job succeeds at its retry; a hopeless one ends in the dead-letter queue, and can be retried by hand."""
    with Service("--dlq-backoff", "50") as service:
        flaky = service.run("bash", "if [ -e mark ]; then exit 0; fi; touch mark; exit 1", retries=2)
        equal([e["status"] for e in flaky["executions"]], ["failed", "completed"], "flaky")
        hopeless = service.run("bash", "exit 3", retries=1, id="hopeless")
        equal([e["status"] for e in hopeless["executions"]], ["failed", "failed"], "hopeless")

        dlq = service.call("GET", "/dlq")[1]
        equal(dlq["size"]["execution_requests"], 1, "size")
        equal([(letter["key"], letter["parked"]) for letter in dlq["letters"]], [("hopeless", True)], "letters")
        m = service.metrics()
        equal(m.series("dlq.messages.total"), {("execution_requests", "failed"): 3}, "messages")
        equal(m.series("dlq.retries.total"), {("execution_requests",): 2}, "retries")
        equal(m.get("dlq.size", "execution_requests"), 1, "level")

        equal(service.call("POST", "/dlq/retry?topic=execution_requests")[1], {"retried": 1}, "retry by hand")
        wait_until(lambda: len(service.job("hopeless")["executions"]) == 3, "it ran again")
        wait_until(lambda: service.metrics().get("dlq.size", "execution_requests") == 1, "it is parked again")
        equal(service.metrics().get("dlq.messages.total", "execution_requests", "failed"), 4, "messages")


@test
def a_service_at_rest_fires_nothing():
    """Two looks apart in time differ by the first look alone."""
    with Service("--health-interval", "3600000") as service:
        service.run("bash", "exit 1", retries=1)
        # Its letters and notifications end behind it, later on a busy machine.
        for _ in range(20):
            before = service.metrics()
            time.sleep(0.5)
            after = service.metrics()
            moved = [name for name in before.metrics if before.series(name) != after.series(name)]
            if moved == ["rate_limit.bypass.total"]:
                break
        equal(moved, ["rate_limit.bypass.total"], "what moved")


@test
def a_full_queue_sends_jobs_to_the_dead_letters():
    """They run later, and the refusals are counted."""
    with Service("--workers", "1", "--queue", "1", "--dlq-backoff", "300", "--dlq-attempts", "10") as service:
        jobs = [service.submit("bash", "sleep 0.2") for _ in range(4)]
        equal([service.finish(job)["state"] for job in jobs], ["completed"] * 4, "all run")
        m = service.metrics()
        refused = m.get("coordinator.executions.scheduled.total", "queue_full")
        expect(refused >= 2, f"refused {refused}")
        equal(m.get("coordinator.executions.scheduled.total", "scheduled"), 4, "scheduled")
        equal(m.get("dlq.messages.total", "execution_requests", "queue_full"), refused, "dead letters")
        equal(m.get("events.errors.total", "execution.requested", "queue_full"), refused, "event errors")
        equal((m.get("dlq.size", "execution_requests"), m.get("coordinator.executions.active")), (0, 0), "levels")


@test
def notifications_are_delivered_or_retried():
    """The webhook gets the result, also after refusing it twice; one that never takes it is parked; the log has a line."""
    good, slow_to_learn = Target(), Target(500, 404)
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    with Service("--dlq-backoff", "50") as service:
        service.run("bash", "true", id="good", webhook=good.url, notify_log=True)
        service.run("bash", "exit 1", id="learn", webhook=slow_to_learn.url)
        service.run("bash", "true", id="lost", webhook=f"http://127.0.0.1:{closed.getsockname()[1]}/")
        wait_until(lambda: len(slow_to_learn.got) == 3, "two refusals and a delivery")
        wait_until(lambda: service.metrics().get("notifications.failed.total", "execution.completed", "connect") == 3,
                   "three tries at a closed port")
        wait_until(lambda: service.metrics().get("dlq.size", "notifications") == 1, "one is parked")

        equal([(hook["id"], hook["state"]) for hook in good.got], [("good", "completed")], "webhook")
        line = json.loads(pathlib.Path(service.data, "notifications.log").read_text(encoding="utf-8"))
        equal((line["id"], line["state"]), ("good", "completed"), "log line")
        m = service.metrics()
        equal(m.series("notifications.sent.total"), {
            ("execution.completed", "webhook"): 1, ("execution.completed", "log"): 1,
            ("execution.failed", "webhook"): 1}, "sent")
        equal(m.series("notifications.failed.total"), {
            ("execution.completed", "connect"): 3, ("execution.failed", "http_5xx"): 1,
            ("execution.failed", "http_4xx"): 1}, "failed")
        equal(m.series("notifications.delivery.duration"), {("webhook",): 7, ("log",): 1}, "durations")
    for target in (good, slow_to_learn):
        target.close()
    closed.close()


@test
def a_missing_interpreter_is_unhealthy():
    """503 that names it, its level 0, its jobs failed; all good again once it is there."""
    with tempfile.TemporaryDirectory() as place:
        python = os.path.join(place, "python3")
        with Service("--python", python, "--health-interval", "100") as service:
            status, answer, _ = service.call("GET", "/healthz")
            equal((status, answer["dependencies"]["python"]["status"]), (503, "unhealthy"), "healthz")
            equal(answer["dependencies"]["bash"]["status"], "healthy", "bash")
            job = service.run("python", "print(1)")
            equal((job["state"], job["executions"][0]["error_type"]), ("failed", "start_failed"), "job")
            m = service.metrics()
            equal((m.get("health.dependencies.status", "python"), m.get("health.dependencies.status", "bash")),
                  (0, 1), "levels")
            expect(m.get("health.checks.total", "python", "unhealthy") > 0, "checks")
            equal(m.total("script.execution.duration"), 0, "what did not run has no duration")
            os.symlink("/usr/bin/python3", python)
            wait_until(lambda: service.metrics().get("health.dependencies.status", "python") == 1, "it is seen again")
            equal(service.call("GET", "/healthz")[0], 200, "healthz")


# --- ending ------------------------------------------------------------------------------------

@test
def sigterm_keeps_what_waits_and_leaves_nothing():
    """Running scripts die, waiting jobs run at the next start, levels end at 0, no stray file or process."""
    with tempfile.TemporaryDirectory() as place:
        data, stats = os.path.join(place, "data"), os.path.join(place, "stats.json")
        flags = ("--workers", "1", "--grace", "200", "--stats-file", stats)
        service = Service(*flags, data=data)
        running = service.submit("bash", "setsid sleep 100 & sleep 100", timeout_ms=60000)
        wait_until(lambda: service.job(running)["state"] == "running", "one runs")
        waiting = service.submit("bash", "echo later")
        wait_until(lambda: service.metrics().get("execution.queue.depth") == 1, "one waits")
        heard = []
        streams = [threading.Thread(target=lambda: heard.append(service.events(running))) for _ in range(3)]
        for stream in streams:
            stream.start()
        wait_until(lambda: service.metrics().get("connections.active", "sse") == 3, "three listen")
        start = time.monotonic()
        equal(service.stop()[0], 0, "exit code")
        expect(time.monotonic() - start < 5, "it took too long")
        for stream in streams:
            stream.join(5)
            expect(not stream.is_alive(), "a stream did not end")
        equal([[name for name, _ in events] for events in heard], [["started"]] * 3, "streams, ended in good order")
        equal(service.processes(), [], "processes left")
        equal(sorted(os.listdir(data)), ["jobs.db", "limits.db", "lock", "work"], "files left")
        with open(stats, encoding="utf-8") as file:
            m = Metrics(json.load(file)["metrics"])
        for level in ("script.executions.active", "execution.queue.depth", "coordinator.executions.active",
                      "database.connections.active", "connections.active"):
            equal(m.total(level), 0, level)
        equal(m.get("script.errors.total", "shutdown"), 1, "the killed one")

        with Service(data=data) as service:
            equal(service.finish(waiting)["executions"][0]["output"], "later\n", "the waiting one")
            equal(service.job(running)["state"], "running", "the interrupted one runs again")


@test
def an_empty_service_stops_at_once():
    """SIGINT, too."""
    for signo in (signal.SIGTERM, signal.SIGINT):
        service = Service()
        start = time.monotonic()
        equal(service.stop(signo), (0, ""), f"signal {signo}")
        expect(time.monotonic() - start < 2, "it took too long")
        service.own.cleanup()


@test
def scripts_die_with_a_killed_service():
    """SIGKILL of the service alone: its launcher and scripts end by themselves, and the next start works."""
    with tempfile.TemporaryDirectory() as place:
        data = os.path.join(place, "data")
        service = Service(data=data)
        job = service.submit("bash", "setsid sleep 100 & sleep 100", timeout_ms=60000)
        wait_until(lambda: service.job(job)["state"] == "running", "it runs")
        service.stop(signal.SIGKILL)
        wait_until(lambda: not service.processes(), "everything has ended", 5)
        with Service("--grace", "0", data=data) as service:
            wait_until(lambda: service.job(job)["state"] == "running", "it runs again")


# --- all of it ---------------------------------------------------------------------------------

def check_identities(m):
    """What holds for any service at rest, whatever it was asked to do."""
    equal(m.series("events.consumed.total"), m.series("events.produced.total"), "events consumed and produced")
    equal(m.by("events.processing.duration", 0), m.by("events.consumed.total", 0), "event durations")
    equal(set(m.series("events.lag").values()), {0}, "lag")
    equal(m.series("database.operation.duration"), m.series("database.operations.total"), "database durations")
    equal(m.total("rate_limit.allowed.total") + m.total("rate_limit.rejected.total"),
          m.total("rate_limit.requests.total"), "limiter decisions")
    for name in ("rate_limit.check.duration", "rate_limit.remaining", "rate_limit.quota.usage"):
        equal(m.total(name), m.total("rate_limit.requests.total"), name)
    equal(m.by("rate_limit.requests.total", 2)[("token_bucket",)], m.total("rate_limit.token_bucket.tokens"), "tokens")
    equal(m.by("script.execution.duration", 0), m.by("script.executions.total", 1), "durations by language")
    equal(m.by("script.memory.usage", 0), m.by("script.executions.total", 1), "memory by language")
    equal(m.by("execution.queue.wait_time", 0), m.by("script.executions.total", 1), "waits by language")
    equal(m.total("coordinator.queue.wait_time"), m.total("script.executions.total"), "waits by priority")
    equal(m.total("coordinator.scheduling.duration"), m.total("coordinator.executions.scheduled.total"), "scheduling")
    equal(m.total("connections.duration"), m.total("connections.total"), "connections")
    equal(m.by("health.check.duration", 0), m.by("health.checks.total", 0), "health durations")
    equal(m.total("notifications.delivery.duration"),
          m.total("notifications.sent.total") + m.total("notifications.failed.total"), "deliveries")
    sizes, messages, retries = (m.by(n, 0) for n in ("dlq.size", "dlq.messages.total", "dlq.retries.total"))
    equal(sizes, {t: messages.get(t, 0) - retries.get(t, 0) for t in sizes}, "dead letters in, out and there")
    for level in ("script.executions.active", "execution.queue.depth", "coordinator.executions.active",
                  "connections.active"):
        equal(m.total(level), 0, level)


def compare_with_load(m, report):
    requests = report["requests"]

    def sum_of(*keys, status=None):
        return sum(n for key in keys for s, n in requests.get(key, {}).items() if status in (None, s))

    executions = {(status, lang): n for status, langs in report["executions"].items() for lang, n in langs.items()}
    equal(m.series("script.executions.total"), executions, "executions by status and language")
    jobs = report["jobs"]
    equal(jobs.get("completed", 0) + jobs.get("failed", 0) + jobs.get("timeout", 0), jobs["submitted"], "jobs ended")
    equal(jobs["submitted"], sum_of("POST /jobs", status="202"), "jobs accepted")

    limited = ["POST /jobs", "GET /jobs", "GET /jobs/{id}", "GET /jobs/{id}/events", "GET /dlq"]
    equal(m.total("rate_limit.requests.total"), sum_of(*limited), "limiter checks")
    equal(m.total("rate_limit.rejected.total"), sum_of(*limited, status="429"), "429s")
    equal(m.by("rate_limit.requests.total", 1), {
        (e,): n for e, n in {
            "/jobs": sum_of("POST /jobs", "GET /jobs"), "/jobs/{id}": sum_of("GET /jobs/{id}"),
            "/jobs/{id}/events": sum_of("GET /jobs/{id}/events"), "/dlq": sum_of("GET /dlq")}.items() if n}, "by endpoint")
    equal(m.get("rate_limit.bypass.total", "/healthz"), sum_of("GET /healthz"), "bypass")
    equal(m.get("script.errors.total", "unsupported_language"), sum_of("POST /jobs", status="422"), "422s")
    equal(m.total("database.errors.total"), sum_of("POST /jobs", status="409"), "409s")
    equal(m.get("database.operations.total", "insert", "jobs"),
          sum_of("POST /jobs", status="202") + sum_of("POST /jobs", status="409"), "inserts")
    equal(m.total("connections.total"), report["sse"]["opened"], "streams")
    expect(m.total("connections.messages.sent") >= report["sse"]["events"], "events on streams")
    if not report["sse"].get("hung_up"):
        equal(m.total("connections.messages.sent"), report["sse"]["events"], "events on streams")
    equal(m.by("notifications.sent.total", 1).get(("webhook",), 0), report["webhooks"]["ok"], "webhooks taken")
    equal(m.by("notifications.failed.total", 1).get(("http_5xx",), 0), report["webhooks"].get("fail", 0), "refused")


@test
def a_load_and_the_service_agree():
    """Under mixed load, what the load script saw and what the service counted are the same; all 43 metrics moved."""
    with tempfile.TemporaryDirectory() as place:
        report_file, stats_file = os.path.join(place, "report.json"), os.path.join(place, "stats.json")
        service = Service("--stats-file", stats_file, "--webhook-timeout", "500", "--dlq-backoff", "200")
        try:
            wait_until(lambda: service.call("GET", "/healthz")[0] == 200, "up")
            files = len(os.listdir(f"/proc/{service.process.pid}/fd"))
            load = subprocess.run([sys.executable, str(HERE / "load.py"), "--url", service.url, "--quiet", "--rate", "20",
                                   "--seconds", str(OPTIONS.seconds), "--json-report", report_file],
                                  capture_output=True, text=True, timeout=120, check=False)
            equal((load.returncode, load.stderr), (0, ""), "load")
            with open(report_file, encoding="utf-8") as file:
                report = json.load(file)
            # The looks of this test are not the load's.
            report["requests"]["GET /healthz"]["200"] += 1
            wait_until(lambda: all(letter["parked"] for letter in service.call("GET", "/dlq")[1]["letters"]),
                       "every dead letter is parked", 20, every_s=0.5)     # no faster than the limit of /dlq
            looks = service.metrics().get("rate_limit.requests.total", "false", "/dlq", "token_bucket")
            report["requests"].setdefault("GET /dlq", {})
            report["requests"]["GET /dlq"]["200"] = report["requests"]["GET /dlq"].get("200", 0) + looks
            expect(len(os.listdir(f"/proc/{service.process.pid}/fd")) <= files + 20, "files stay open")
            zombies = [p for p in service.processes() if " Z " in
                       pathlib.Path(f"/proc/{p}/stat").read_text(encoding="utf-8")]
            equal(zombies, [], "zombies")
        finally:
            code, errors = service.stop()
        equal((code, errors), (0, ""), "exit")
        equal(service.processes(), [], "processes left")
        with open(stats_file, encoding="utf-8") as file:
            m = Metrics(json.load(file)["metrics"])
        equal(len(m.metrics), 43, "metrics")
        equal([name for name in m.metrics if not m.series(name)], [], "metrics that never moved")
        check_identities(m)
        compare_with_load(m, report)
        seen = m.by("script.executions.total", 0)
        equal(set(seen), {("completed",), ("failed",), ("timeout",)}, "statuses")
        expect(m.total("rate_limit.rejected.total") > 0, "something was rejected")
        print(f"     {report['jobs']}, {m.total('rate_limit.rejected.total')} rejected, "
              f"{m.total('dlq.messages.total')} dead letters, {m.total('connections.total')} streams")


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=str(HERE.parent.parent / "build" / "services" / "scriptd"))
    parser.add_argument("--seconds", type=float, default=8, help="of load (8)")
    parser.add_argument("names", nargs="*", help="run only these tests")
    OPTIONS = parser.parse_args()
    Service.binary = os.path.abspath(OPTIONS.binary)
    if not os.access(Service.binary, os.X_OK):
        print(f"test_scriptd: no {Service.binary}; build it, or give --binary", file=sys.stderr)
        return 1

    passed = failed = 0
    for function in TESTS:
        if OPTIONS.names and function.__name__ not in OPTIONS.names:
            continue
        start = time.monotonic()
        try:
            function()
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f"FAIL {function.__name__}: {error}", flush=True)
            if not isinstance(error, AssertionError):
                traceback.print_exc()
        else:
            passed += 1
            print(f"ok   {function.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
        finally:
            Service.end_all()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
