#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Drive a running scriptd over HTTP with real scripts, and report exactly what was seen.

Good and bad jobs of several users at a given rate, bursts that run into the rate limits,
server-sent-event clients (some hang up early), webhook targets (some fail), health checks.
Which jobs are sent is decided by the seed alone. Bounded in jobs, time and memory.
"""
import argparse
import collections
import http.client
import http.server
import json
import queue
import random
import signal
import socket
import sys
import threading
import time
import urllib.parse

POLL_S = 0.25           # between two looks at one job
MAX_OUTSTANDING = 500   # jobs sent and not known to have ended
MAX_DURATIONS = 10000   # listed in the report, for each language
MAX_ERRORS = 20         # unanswered requests, then the load gives up


class Report:
    """What was seen; every count is made when the answer is in hand."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = collections.defaultdict(collections.Counter)
        self.durations = collections.defaultdict(list)
        self.errors = []

    def count(self, table, key, n=1):
        with self.lock:
            self.counts[table][key] += n

    def error(self, what):
        with self.lock:
            if len(self.errors) < MAX_ERRORS:
                self.errors.append(what)

    def duration(self, lang, seconds):
        with self.lock:
            if len(self.durations[lang]) < MAX_DURATIONS:
                self.durations[lang].append(seconds)

    def nested(self, table):
        """{(a, b): n} as {a: {b: n}}"""
        out = collections.defaultdict(dict)
        with self.lock:
            for (a, b), n in sorted(self.counts[table].items()):
                out[a][b] = n
        return dict(out)

    def flat(self, table):
        with self.lock:
            return dict(sorted(self.counts[table].items()))


class Client:
    """One keep-alive connection; each thread has its own."""

    def __init__(self, url, report):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port = parts.hostname, parts.port or 80
        self.report = report
        self.connection = None

    def request(self, method, path, endpoint, user=None, body=None):
        """Return (status, decoded JSON, headers); status 0 if there was no answer."""
        headers = {"Authorization": "Bearer " + user} if user else {}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        try:
            if not self.connection:
                self.connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            data = json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            self.report.error(f"{method} {path}: {error!r}")
            return 0, None, {}
        self.report.count("requests", (f"{method} {endpoint}", str(answer.status)))
        return answer.status, data, answer.headers

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


# --- webhook targets -------------------------------------------------------------------------

class Hooks:
    """Loopback targets: /ok takes, /fail refuses, /slow is too slow; and a port nobody listens on."""

    def __init__(self, report):
        hooks = self
        self.report = report
        self.stopping = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                report.count("webhooks", self.path.strip("/"))
                if self.path == "/slow":
                    hooks.stopping.wait(3)
                try:
                    self.send_response(500 if self.path == "/fail" else 200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    pass  # The service has given up waiting, as it should.

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.closed = socket.socket()       # bound and never listening: connecting is refused
        self.closed.bind(("127.0.0.1", 0))
        threading.Thread(target=self.server.serve_forever, args=(0.1,), daemon=True).start()

    def pick(self, rng):
        target = rng.choices(["ok", "fail", "slow", "closed"], [70, 15, 3, 12])[0]
        if target == "closed":
            return f"http://127.0.0.1:{self.closed.getsockname()[1]}/"
        return f"{self.url}/{target}"

    def close(self):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self.closed.close()


# --- the jobs ----------------------------------------------------------------------------------

def quick_bash(rng):
    return {"language": "bash", "script": f"echo hello {rng.randrange(1000)}\n"}


def quick_python(rng):
    return {"language": "python", "script": f"print(sum(range({rng.randrange(1000)})))\n"}


def cpu_bash(rng):
    return {"language": "bash", "script": f"for ((i = 0; i < {rng.randrange(20000, 80000)}; i++)); do :; done\n"}


def cpu_python(rng):
    return {"language": "python",
            "script": f"import time\nend = time.process_time() + {rng.uniform(0.05, 0.3):.3f}\n"
                      "while time.process_time() < end: pass\nprint('done')\n"}


def memory_python(rng):
    return {"language": "python", "script": f"b = bytearray({rng.randrange(10, 100)} << 20)\nprint(len(b))\n"}


def too_much_memory(rng):
    return {"language": "python", "script": "b = bytearray(4000 << 20)\n"}


def progress_bash(rng):
    return {"language": "bash", "script": f"for i in $(seq {rng.randrange(3, 9)}); do echo step $i; sleep 0.05; done\n"}


def failing_bash(rng):
    return {"language": "bash", "script": f"echo oops >&2\nexit {rng.randrange(1, 100)}\n"}


def failing_python(rng):
    return {"language": "python", "script": "raise RuntimeError('as planned')\n"}


def killed_bash(rng):
    return {"language": "bash", "script": "kill -SEGV $$\n"}


def sleeping_bash(rng):
    return {"language": "bash", "script": "sleep 30\n", "timeout_ms": rng.randrange(100, 500)}


def spinning_python(rng):
    return {"language": "python", "script": "while True: pass\n", "timeout_ms": rng.randrange(100, 400)}


def background_bash(rng):
    return {"language": "bash", "script": "setsid sleep 60 >/dev/null 2>&1 &\necho left one behind\n"}


def hopeless_bash(rng):
    return {"language": "bash", "script": "exit 7\n", "retries": 1}


def flaky_bash(rng):
    name = f"flaky-{rng.getrandbits(48):012x}"
    return {"language": "bash", "retries": 2,
            "script": f"if [ -e {name} ]; then rm {name}; echo second time lucky; else touch {name}; exit 1; fi\n"}


KINDS = [
    (30, quick_bash), (20, quick_python), (8, cpu_bash), (8, cpu_python), (8, memory_python), (1, too_much_memory),
    (8, progress_bash), (4, failing_bash), (3, failing_python), (1, killed_bash), (3, sleeping_bash),
    (2, spinning_python), (1, background_bash), (1, hopeless_bash), (2, flaky_bash),
]
USERS = [(40, "premium-ada"), (35, "grace"), (15, "trial-bob"), (10, None)]
PRIORITIES = [(5, "critical"), (20, "high"), (60, "normal"), (15, "low")]


def pick(rng, rows):
    return rng.choices([row[1] for row in rows], [row[0] for row in rows])[0]


def make_jobs(rng, hooks, burst_every=25, burst_size=15):
    """An endless sequence of (user, kind, request body); each burst is one trial user in a hurry."""
    first = [kind for _, kind in KINDS]     # one of each, so that a short load has all of them
    rng.shuffle(first)
    n = 0
    while True:
        n += 1
        if n % burst_every == 0:
            for _ in range(burst_size):
                yield "trial-burst", "burst", quick_bash(rng)
        if n % 30 == 0:
            yield "grace", "taken_id", {"language": "bash", "script": "true\n", "id": "only-once"}
        if n % 20 == 0:
            yield "grace", "unknown_language", {"language": "cobol", "script": "STOP RUN.\n"}
        if n % 33 == 0:
            yield "grace", "not_json", b"{"
        kind = first.pop() if first else pick(rng, KINDS)
        job = kind(rng)
        job["priority"] = pick(rng, PRIORITIES)
        if rng.random() < 0.25:
            job["webhook"] = hooks.pick(rng)
        if rng.random() < 0.15:
            job["notify_log"] = True
        yield pick(rng, USERS), kind.__name__, job


# --- the threads -------------------------------------------------------------------------------

class Load:
    def __init__(self, args):
        self.args = args
        self.report = Report()
        self.hooks = Hooks(self.report)
        self.jobs_rng = random.Random(args.seed)        # which jobs; the others decide when
        self.stream_rng = random.Random(args.seed + 1)
        self.pace_rng = random.Random(args.seed + 2)
        self.stop = threading.Event()       # no more jobs
        self.end = threading.Event()        # no more anything
        self.streams = queue.Queue(maxsize=64)
        self.lock = threading.Lock()
        self.outstanding = collections.deque()  # (when to look again, id)

    def say(self, text):
        if not self.args.quiet:
            print(f"load: {text}", file=sys.stderr, flush=True)

    def submit(self, client, user, kind, body):
        """A job that was refused is not sent again: refusals are part of the load."""
        self.report.count("sent", kind)
        status, answer, _ = client.request("POST", "/jobs", "/jobs", user, body)
        if status != 202:
            return
        self.report.count("jobs", "submitted")
        with self.lock:
            self.outstanding.append((time.monotonic() + POLL_S, answer["id"]))
        if kind != "burst" and self.stream_rng.random() < 0.4:
            try:
                self.streams.put_nowait(answer["id"])
            except queue.Full:
                pass

    def produce(self):
        """At most --jobs, at --rate on average; bursts come at once."""
        client = Client(self.args.url, self.report)
        next_s = time.monotonic()
        for n, (user, kind, body) in enumerate(make_jobs(self.jobs_rng, self.hooks)):
            if self.stop.is_set() or (self.args.jobs and n >= self.args.jobs):
                break
            while len(self.outstanding) >= MAX_OUTSTANDING and not self.stop.wait(0.1):
                pass
            if kind != "burst":
                next_s += self.pace_rng.expovariate(self.args.rate)
                if self.stop.wait(max(0, next_s - time.monotonic())):
                    break
            self.submit(client, user, kind, body)
        client.close()

    def collect(self):
        """Look at each outstanding job until it has ended; its executions are counted then."""
        client = Client(self.args.url, self.report)
        while not self.end.is_set():
            with self.lock:
                due = self.outstanding and self.outstanding[0][0] <= time.monotonic()
                job_id = self.outstanding.popleft()[1] if due else None
            if not job_id:
                if self.stop.is_set() and not self.outstanding:
                    break
                self.end.wait(0.02)
                continue
            status, job, headers = client.request("GET", f"/jobs/{job_id}", "/jobs/{id}", "premium-collector")
            if status == 200 and job["state"] in ("completed", "failed", "timeout"):
                self.report.count("jobs", job["state"])
                for execution in job["executions"]:
                    self.report.count("executions", (execution["status"], job["lang_and_version"]))
                    self.report.duration(job["lang_and_version"], execution["duration_s"])
                continue
            with self.lock:
                self.outstanding.append((time.monotonic() + POLL_S, job_id))
            if status == 429:
                self.end.wait(float(headers.get("Retry-After", 1)))
            elif status != 200:
                self.end.wait(0.2)
        client.close()

    def follow(self, number):
        """Read the streams of some jobs to their end; one in eight hangs up after the first event."""
        rng = random.Random(self.args.seed + 100 + number)
        while not self.end.is_set():
            try:
                job_id = self.streams.get(timeout=0.1)
            except queue.Empty:
                if self.stop.is_set():
                    return
                continue
            try:
                self.read_stream(job_id, hang_up=rng.random() < 0.125)
            except (OSError, http.client.HTTPException) as error:
                self.report.error(f"stream of {job_id}: {error!r}")

    def read_stream(self, job_id, hang_up):
        parts = urllib.parse.urlsplit(self.args.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=30)
        try:
            connection.request("GET", f"/jobs/{job_id}/events", headers={"Authorization": "Bearer grace"})
            answer = connection.getresponse()
            self.report.count("requests", ("GET /jobs/{id}/events", str(answer.status)))
            if answer.status != 200:
                answer.read()
                return
            self.report.count("sse", "opened")
            while not self.end.is_set():
                line = answer.readline()
                if not line:
                    return
                if not line.startswith(b"event: "):
                    continue
                self.report.count("sse", "events")
                if line.strip() == b"event: finished":
                    self.report.count("sse", "finished")
                elif hang_up:
                    self.report.count("sse", "hung_up")
                    return
        finally:
            connection.close()

    def look_around(self):
        """What dashboards and impatient users do: health checks, lists, a burst of them now and then."""
        client = Client(self.args.url, self.report)
        n = 0
        while not self.stop.wait(1.0):
            n += 1
            client.request("GET", "/healthz", "/healthz")
            client.request("GET", "/jobs?limit=5", "/jobs", "grace")
            client.request("GET", "/jobs/no-such-job", "/jobs/{id}", "grace")
            if n % 2 == 0:
                client.request("GET", "/dlq", "/dlq", "premium-ada")
            if n % 5 == 2:
                for _ in range(120):
                    if self.stop.is_set():
                        break
                    client.request("GET", "/jobs?limit=1", "/jobs", "trial-impatient")
        client.close()

    def settled(self, client):
        """No event is waiting: notifications have been tried, results are in the audit trail."""
        status, stats, _ = client.request("GET", "/stats", "/stats")
        lags = stats["metrics"]["events.lag"]["series"] if status == 200 else []
        return bool(lags) and not any(series["value"] for series in lags)

    def progress(self):
        r = self.report
        jobs = r.flat("jobs")
        limited = sum(n for (_, status), n in r.flat("requests").items() if status == "429")
        self.say(f"submitted {jobs.get('submitted', 0)}: completed {jobs.get('completed', 0)}, "
                 f"failed {jobs.get('failed', 0)}, timeout {jobs.get('timeout', 0)}, "
                 f"waiting {len(self.outstanding)}; rate limited {limited}")

    def wait(self, until_s, done):
        """Until @done or the time; says how it goes every 2 s. Return: done?"""
        next_s = time.monotonic() + 2
        while not done():
            now = time.monotonic()
            if len(self.report.errors) == MAX_ERRORS:
                self.end.set()
            if until_s is not None and now >= until_s or self.end.is_set():
                return False
            if now >= next_s:
                self.progress()
                next_s += 2
            self.end.wait(0.05)
        return True

    def run(self):
        client = Client(self.args.url, self.report)
        if client.request("GET", "/healthz", "/healthz")[0] == 0:
            print(f"load: no service at {self.args.url}: {self.report.errors[0]}", file=sys.stderr)
            return 1
        client.close()

        start_s = time.monotonic()
        producer = threading.Thread(target=self.produce)
        followers = [threading.Thread(target=self.follow, args=(n,)) for n in range(4)]
        others = [threading.Thread(target=self.collect), threading.Thread(target=self.look_around)]
        for thread in [producer, *followers, *others]:
            thread.start()

        until_s = start_s + self.args.seconds if self.args.seconds else None
        self.wait(until_s, lambda: not producer.is_alive() or self.stop.is_set())
        self.stop.set()
        self.say("no more jobs; waiting for the last ones")
        drained = self.wait(time.monotonic() + self.args.drain,
                            lambda: not any(t.is_alive() for t in [producer, *followers, *others]))
        drained = drained and self.wait(time.monotonic() + self.args.drain, lambda: self.settled(client))
        self.end.set()
        for thread in [producer, *followers, *others]:
            thread.join()
        self.hooks.close()
        client.close()
        self.progress()
        self.write(time.monotonic() - start_s, drained)
        return 0 if drained and not self.report.errors else 1

    def write(self, took_s, drained):
        for error in self.report.errors[:3]:
            print(f"load: no answer to {error}", file=sys.stderr)
        if len(self.report.errors) > 3:
            print(f"load: no answer to {len(self.report.errors) - 3} more", file=sys.stderr)
        if not self.args.json_report:
            return
        r = self.report
        out = {
            "seed": self.args.seed,
            "seconds": round(took_s, 3),
            "drained": drained,
            "sent": r.flat("sent"),
            "jobs": r.flat("jobs"),
            "unfinished": len(self.outstanding),
            "executions": r.nested("executions"),
            "durations_s": {lang: sorted(values) for lang, values in sorted(r.durations.items())},
            "requests": r.nested("requests"),
            "rate_limited": {e: s["429"] for e, s in r.nested("requests").items() if "429" in s},
            "sse": r.flat("sse"),
            "webhooks": r.flat("webhooks"),
            "transport_errors": r.errors,
        }
        with open(self.args.json_report, "w", encoding="utf-8") as file:
            json.dump(out, file, indent=1)
            file.write("\n")


def positive(text):
    value = float(text)
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError(f"'{text}': expected a number above 0")
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="of the service, like http://127.0.0.1:8080")
    parser.add_argument("--seconds", type=positive, help="send jobs for so long (10, unless --jobs is given)")
    parser.add_argument("--jobs", type=int, help="send so many jobs")
    parser.add_argument("--rate", type=positive, default=10, help="jobs per second, bursts apart (10)")
    parser.add_argument("--drain", type=positive, default=30, help="seconds to wait for the last jobs (30)")
    parser.add_argument("--seed", type=int, default=1, help="decides which jobs are sent (1)")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    parser.add_argument("--json-report", metavar="FILE", help="write what was seen there")
    args = parser.parse_args()
    if args.jobs is not None and args.jobs < 1:
        parser.error("--jobs: expected a number above 0")
    if not args.seconds and not args.jobs:
        args.seconds = 10
    if urllib.parse.urlsplit(args.url).hostname not in ("127.0.0.1", "localhost"):
        parser.error("--url: expected a service on loopback")

    load = Load(args)
    for signo in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signo, lambda *_: load.end.set() if load.stop.is_set() else load.stop.set())
    return load.run()


if __name__ == "__main__":
    sys.exit(main())
