#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Colours are for terminals, and for nobody who sets NO_COLOR: `probes`, `snapshot` and `check` on a terminal, with and
without it, and in a pipe. --json has none anywhere, and says the same on a terminal as in a pipe. Of `top`, which fills a
terminal, test_top.py knows more."""
import json
import os
import pty
import re
import subprocess
import sys

from agent import PROBEMETER, Agent, Fired, build_fired, clean_environment, own_name, run_to_end
from ask import Snapshot
from checks import Checks
from process import Failed, scratch, wait_until

INK = re.compile(rb"\x1b\[[0-9;]*m")


def on_terminal(*arguments, timeout_s=60, **variables):
    """(exit status, what a command writes to its standard output, a terminal)."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([PROBEMETER, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE,
                          env=clean_environment(TERM="xterm-256color", **variables), cwd="/") as child:
        os.close(theirs)
        said = b""
        try:
            while True:
                piece = os.read(ours, 1 << 16)
                if not piece:
                    break
                said += piece
        except OSError:  # a terminal's way to say that nobody writes to it any more
            pass
        os.close(ours)
        try:
            child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            raise Failed(f"probemeter {arguments} still runs") from None
        return child.returncode, said.replace(b"\r\n", b"\n")


def words(said):
    """How each line begins, colours and numbers aside: those move."""
    return [re.sub(rb"\d+", b"0", line.split()[0]) for line in INK.sub(b"", said).splitlines() if line.strip()]


def colours(checks, name, *arguments):
    status, inked = on_terminal(*arguments)
    checks.ok(f"{name}: on a terminal it has colours", status == 0 and INK.search(inked), inked[:300])
    checks.ok(f"{name}: each ends before its line does",
              all(line.endswith(b"\x1b[0m") or not INK.search(line) or INK.findall(line)[-1] == b"\x1b[0m" for line in inked.split(b"\n")),
              inked[:300])
    status, plain = on_terminal(*arguments, NO_COLOR="1")
    checks.ok(f"{name}: with NO_COLOR it has no colours, nor any other order to the terminal", status == 0 and plain
              and b"\x1b" not in plain, plain[:300])
    checks.equal(f"{name}: and the same words", words(plain), words(inked))
    status, lines, _ = run_to_end(*arguments, timeout_s=60)
    checks.ok(f"{name}: in a pipe it has none", status == 0 and lines and not any("\x1b" in line for line in lines), lines[:5])


def as_json(checks, name, *arguments):
    status, said = on_terminal(*arguments, "--json")
    checks.ok(f"{name} --json: no colours on a terminal either", status == 0 and b"\x1b" not in said, said[:300])
    piped = json.loads("\n".join(run_to_end(*arguments, "--json", timeout_s=60)[1]))
    shown = json.loads(said)

    def shape(value):
        """Names and texts; numbers move from one look to the next."""
        if isinstance(value, dict):
            return {key: shape(child) for key, child in value.items()}
        if isinstance(value, list):
            return [shape(child) for child in value]
        return value if isinstance(value, bool) else re.sub(r"\d+(\.\d+)?", "0", value) if isinstance(value, str) else None

    checks.ok(f"{name} --json: something, and the same on a terminal as in a pipe", shown and shape(shown) == shape(piped),
              (str(shown)[:300], str(piped)[:300]))


def main():
    checks = Checks("colours")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("colours") as directory:
        binary = build_fired(directory, own_name("fired"))
        with Agent(directory, "--exporter", "console", "--include", f"path:{binary}", OTEL_METRIC_EXPORT_INTERVAL=2000) as agent, \
                Fired(binary, "coloured") as fired:
            agent.wait_attached(fired.pid, binary)
            fired.fire(7)
            wait_until("an export", lambda: Snapshot(agent.socket).exporters[0]["state"] == "ok")
            where = "--run-dir", agent.socket.parent
            for name, arguments in (("probes PID", ("probes", fired.pid)), ("probes FILE", ("probes", binary)),
                                    ("snapshot", ("snapshot", *where)), ("check", ("check",))):
                with checks.run(name):
                    colours(checks, name, *arguments)
                    as_json(checks, name, *arguments)
            checks.ok("an empty NO_COLOR is none", INK.search(on_terminal("probes", binary, NO_COLOR="")[1]))
            with checks.run("top"):
                as_json(checks, "top", "top", *where)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
