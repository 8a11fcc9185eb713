#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""What `make run` does once everything is built: it says where the live page is, the page answers, the sample service is on it and
moves; Ctrl-C ends all of it, and leaves neither a process nor a file."""
import contextlib
import os
import pathlib
import re
import signal

from agent import clean_environment
from ask import Snapshot, ask
from checks import Checks
from process import ROOT, Child, Failed, scratch, wait_until

SERVICE = "script-runner"
MOVING = 10  # metrics of the sample service whose counts grow, of the 43 that it has


def running(directory):
    """{pid: command line} of what was started with this directory as its TMPDIR, is told a place in it, or works there."""
    found = {}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes()
            if bytes(directory) in words + (process / "environ").read_bytes() + os.fsencode(os.readlink(process / "cwd")):
                found[int(process.name)] = words.replace(b"\0", b" ").decode(errors="replace")
    return found


def totals(where):
    """{metric: how much of it was counted} of the sample service."""
    seen = Snapshot(where)
    counted = [metric["name"] for metric in seen.metrics if metric["kind"] in ("counter", "histogram")]
    return {name: total for name in counted if (total := seen.total(SERVICE, name))}


def is_ready(where):
    with contextlib.suppress(OSError):
        return ask(where, "/readyz")[0] == 200
    return False


def watch(checks, run):
    """What somebody sees who opens the page."""
    said = run.wait_ready("the address", lambda: re.search(r"Look at http://([\d.]+):(\d+)/ with a browser", run.output()))
    where = said[1], int(said[2])
    wait_until("the page is ready", lambda: is_ready(where))
    checks.ok("the address answers with the page", b"Why is there nothing?" in ask(where, "/")[2], said[0])
    first = run.wait_ready("the sample service is counted", lambda: totals(where))

    def grown():
        now = totals(where)
        return sorted(name for name, total in now.items() if total > first.get(name, 0))

    with contextlib.suppress(Failed):
        wait_until("it moves", lambda: len(grown()) >= MOVING, 15)
    checks.ok(f"at least {MOVING} of its metrics grow", len(grown()) >= MOVING, (grown(), first))


def main():
    checks = Checks("run")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        checks.exit()
    # Who was started with it ignored, as in the background of a script, would hand that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with scratch("run") as directory, scratch("log") as logs, checks.run("make run"):
        with Child([ROOT / "scripts/run.sh"], logs / "run.log", env=clean_environment(TMPDIR=directory), cwd=ROOT) as run:
            with checks.run("the page"):
                watch(checks, run)
            started = running(directory)
            checks.ok("nothing is said of what Ctrl-C would leave", "counting goes on" not in run.output(), run.tail())
            checks.ok("service, load and agent run", all(any(name in line for line in started.values()) for name in
                                                         ("services/scriptd", "services/load.py", "probemeter run")), started)
            os.killpg(run.pid, signal.SIGINT)  # as a terminal does
            checks.equal("Ctrl-C: it ends with status 0", run.wait(15), 0)
        with contextlib.suppress(Failed):
            wait_until("all of it has ended", lambda: not running(directory))
        left = running(directory)
        checks.equal("no process is left", left, {})
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        checks.equal("no file is left", [str(path) for path in directory.rglob("*")], [])
    checks.exit()


if __name__ == "__main__":
    main()
