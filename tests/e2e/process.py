# SPDX-License-Identifier: BSD-2-Clause
"""Child processes that end with the test: started by a context manager, ended by pid, their output kept in a file.

A child also asks the kernel for a signal when the test process dies, so that even a killed test leaves nothing.
"""
import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from http.client import HTTPException

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
TOOLS = BUILD / "tools"
# Another agent than the usual one, for all tests: `make test-sanitized` names the one with sanitizers.
OTHER_AGENT = "PROBEMETER_TEST_AGENT"
SANITIZED = OTHER_AGENT in os.environ
# How much longer whatever is waited for may take with it.
PATIENCE = 5 if SANITIZED else 1

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
# A proxy that the environment names is not for loopback.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    """What was waited for did not come."""


def wait_until(what, condition, timeout_s=10.0, every_s=0.05):
    """Poll @condition until it is true and return its value; raise Failed, naming @what, after @timeout_s."""
    end = time.monotonic() + timeout_s * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {timeout_s:g} s")
        time.sleep(every_s)


def free_port():
    """A TCP port of loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def http(url, data=None, headers=None, timeout_s=10.0):
    """(status, body) of one request; an HTTP error status is a result, a connection error raises OSError."""
    request = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with _opener.open(request, timeout=timeout_s) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def answers(url):
    """Does @url answer 200 now?"""
    try:
        return http(url, timeout_s=1.0)[0] == 200
    except (OSError, HTTPException):
        return False


@contextlib.contextmanager
def scratch(name):
    """A directory of one's own, removed afterwards whatever happened."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"probemeter-{name}-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


STRANGERS = "PROBEMETER_TEST_STRANGERS"


def in_own_pid_namespace():
    """Run this very test again in a pid namespace of its own, with its own /proc: an agent there sees nobody else's processes.
    Comes back only inside. What is counted and exported is then this test's alone, but agents outside see us, too."""
    if STRANGERS not in os.environ:
        count = sum(b"probemeter\0run" in path.read_bytes() for path in _command_lines())
        os.execvpe("unshare", ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, *sys.argv],
                   {**os.environ, STRANGERS: str(count)})


def _command_lines():
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            path.read_bytes()
            yield path


def strangers():
    """Were there agents outside when in_own_pid_namespace() was called? They may attach sooner than this test's."""
    return os.environ.get(STRANGERS, "0") != "0"


class Child:
    """One running program. Use as a context manager; stdout and stderr go to @log and can be read at any time."""

    def __init__(self, argv, log, env=None, cwd=None, user=None):
        self.argv = [str(a) for a in argv]
        self.log = pathlib.Path(log)
        self.env = env
        self.cwd = cwd
        self.user = user
        self.process = None
        self.stop_s = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.end()

    def start(self):
        if not os.access(self.argv[0], os.X_OK):
            raise Failed(f"{self.argv[0]} is not there; run make, scripts/tools.sh")
        parent = os.getpid()

        def in_child():
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:  # died in between
                os._exit(1)

        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.env, cwd=self.cwd, user=self.user, preexec_fn=in_child,
                                            start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def output(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def lines(self):
        return [line for line in self.output().splitlines() if line.strip()]

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout_s=10.0):
        """Exit status, or Failed when it still runs after @timeout_s."""
        try:
            return self.process.wait(timeout_s * PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.argv[0]} (pid {self.pid}) still runs after {timeout_s:g} s") from None

    def stop(self, timeout_s=60.0):
        """SIGTERM, then the exit status; how long that took is in self.stop_s."""
        asked = time.monotonic()
        self.signal(signal.SIGTERM)
        status = self.wait(timeout_s)
        self.stop_s = time.monotonic() - asked
        return status

    def end(self):
        """Make sure that it is gone: SIGTERM, and SIGKILL for what does not listen."""
        if not self.running():
            return
        self.process.terminate()
        try:
            self.process.wait(5 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait_ready(self, what, condition, timeout_s=20.0):
        """wait_until, but a child that has exited meanwhile fails at once, with its last words."""
        def ready():
            if not self.running():
                raise Failed(f"{what}: {self.argv[0]} exited with {self.process.returncode}: {self.tail()}")
            return condition()

        try:
            return wait_until(what, ready, timeout_s)
        except Failed as error:
            raise Failed(f"{error}; it says: {self.tail()}") from None

    def tail(self, count=8):
        return " | ".join(self.lines()[-count:])
