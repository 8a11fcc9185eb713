#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What people see of a running agent: `top` on real terminals of tmux, of several sizes and kinds, and as plain text; `snapshot`
as text and JSON. However top ends the terminal is as it was, and nothing that a service calls itself steers it."""
import contextlib
import itertools
import json
import os
import re
import shlex
import signal
import subprocess

from agent import PROBEMETER, Agent, Fired, build_fired, clean_environment, own_name, run_to_end
from checks import Checks
from process import Failed, scratch, wait_until

EVENTS = 4321
COLOUR = re.compile(rb"\x1b\[(?:\d+;)*3[0-7](?:;\d+)*m")
NUMBERS = itertools.count()
HOSTILE = "evil\x1b]0;owned\x07\x1b[2J\u202e\x9b31m"


class Terminal:
    """A tmux server of its own with one window, in which a shell says how top has ended."""

    def __init__(self, directory, command, columns=80, lines=24, term="screen-256color", **variables):
        self.name = f"pm-{os.getpid()}-{next(NUMBERS)}"
        self.environment = clean_environment(TMUX_TMPDIR=directory, TERM="xterm-256color")
        self.raw = directory / "raw"
        self.raw.unlink(missing_ok=True)
        # The file is open before top writes its first byte.
        script = f"sleep 1; {shlex.join(map(str, command))}; echo ended: $?; stty -a; exec sleep 60"
        settings = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in variables.items())
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", lines,
                  f"exec env {settings} TERM={term} bash --norc -c {shlex.quote(script)}")
        self.tmux("pipe-pane", f"exec cat >{self.raw}")

    def tmux(self, *words):
        done = subprocess.run(["tmux", "-L", self.name, *map(str, words)], env=self.environment, capture_output=True, text=True,
                              timeout=20, check=False)
        if done.returncode:
            raise Failed(f"tmux {words[0]}: {done.stderr}")
        return done.stdout

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def shows(self, what, pattern, timeout_s=20):
        """Wait until the screen matches; return it."""
        seen = [""]

        def there():
            seen[0] = self.screen()
            return re.search(pattern, seen[0], re.M)
        try:
            wait_until(what, there, timeout_s, every_s=0.2)
        except Failed as error:
            raise Failed(f"{error}; the screen is:\n{seen[0]}") from None
        return seen[0]

    def pid(self):
        """Of top."""
        shell = self.tmux("list-panes", "-F", "#{pane_pid}").strip()
        return int(subprocess.run(["pgrep", "-P", shell], capture_output=True, text=True, check=True).stdout.split()[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(Failed):
            self.tmux("kill-server")


def restored(checks, name, terminal, status):
    """Top has ended with this status, and the shell's terminal is one on which one can type."""
    text = terminal.shows("the end", r"^ended: \d+")
    checks.equal(f"{name}: exit status", re.search(r"ended: (\d+)", text).group(1), str(status))
    text = terminal.shows("stty", r"-?echoke")
    checks.ok(f"{name}: the terminal echoes and edits again",
              all(re.search(rf"(?<!-)\b{mode}\b", text) for mode in ("echo", "icanon", "isig", "icrnl", "opost")), text)
    checks.ok(f"{name}: nothing of the view is left", "q quit" not in text, text)
    checks.ok(f"{name}: the cursor is back", terminal.raw.read_bytes().rfind(b"\x1b[?25l") < max(
        terminal.raw.read_bytes().rfind(b"\x1b[?25h"), terminal.raw.read_bytes().rfind(b"\x1b[34h")), "")


def lives(checks, directory, run_dir, fired):
    """Numbers, keys and sizes."""
    name = fired.service
    with Terminal(directory, [PROBEMETER, "top", "--run-dir", run_dir, "--interval", 500]) as terminal:
        terminal.keys("/")
        terminal.keys("-l", name)
        terminal.keys("Enter")
        text = terminal.shows("the total", rf"^  e2e\.bare\.total +{EVENTS} ")
        print(text)
        checks.ok("heading, captions and keys", re.search(rf"^{name} \(1 process\)", text, re.M) and
                  re.search(r"^service, metric, labels +value +\*rate +p99 trend", text, re.M) and "q quit" in text, text)
        checks.ok("80 columns are enough", all(len(line) <= 80 for line in text.splitlines()), text)
        fired.fire(1000)
        text = terminal.shows("the new total and its trend", rf"^  e2e\.bare\.total +{EVENTS + 1000} .*[▂-█]")
        checks.ok("only what was asked for", not re.search(r"^[^ ].*process", text.replace(name, ""), re.M) and
                  text.count(" process") == 1, text)
        terminal.keys("s")
        terminal.shows("sorted by value", r"\*value")
        terminal.tmux("resize-window", "-x", 130, "-y", 40)
        text = terminal.shows("the median", r"p50 +p99 trend")
        checks.ok("a large one is used", len(text.splitlines()) > 30 and max(map(len, text.splitlines())) > 100, text)
        terminal.tmux("resize-window", "-x", 32, "-y", 8)
        text = terminal.shows("a small one", r"^  e2e")
        checks.ok("a small one shows what fits", all(len(line) <= 32 for line in text.splitlines()), text)
        terminal.tmux("resize-window", "-x", 80, "-y", 24)
        terminal.keys("Space")
        terminal.shows("it says that it pauses", r"space go on")
        fired.fire(1)
        terminal.keys("Space")
        terminal.shows("and goes on", rf"^  e2e\.bare\.total +{EVENTS + 1001} ")
        terminal.keys("q")
        restored(checks, "q", terminal, 0)


def ends(checks, directory, run_dir):
    """Ctrl-C, a signal, a crash."""
    for name, signal_number, status in (("Ctrl-C", None, 0), ("SIGTERM", signal.SIGTERM, 143), ("crash", signal.SIGSEGV, 139)):
        with Terminal(directory, [PROBEMETER, "top", "--run-dir", run_dir]) as terminal:
            terminal.shows("the view", "q quit")
            if signal_number:
                os.kill(terminal.pid(), signal_number)
            else:
                terminal.keys("C-c")
            restored(checks, name, terminal, status)


def kinds(checks, directory, run_dir):
    """Terminals of other kinds, with and without colours."""
    for term in ("xterm", "linux", "vt100", "tmux-256color"):
        with Terminal(directory, [PROBEMETER, "top", "--run-dir", run_dir], term=term) as terminal:
            text = terminal.shows("the view", r"q quit")
            checks.ok(f"{term}: drawn", "service, metric, labels" in text, text)
            terminal.keys("q")
            terminal.shows("the end", "ended: 0")
            colours = COLOUR.search(terminal.raw.read_bytes())
            checks.ok(f"{term}: colours", bool(colours) == (term != "vt100"), terminal.raw.read_bytes())
    with Terminal(directory, [PROBEMETER, "top", "--run-dir", run_dir], NO_COLOR=1) as terminal:
        terminal.shows("the view", r"q quit")
        terminal.keys("q")
        terminal.shows("the end", "ended: 0")
        checks.ok("NO_COLOR: none", not COLOUR.search(terminal.raw.read_bytes()), terminal.raw.read_bytes()[:300])
    with Terminal(directory, [PROBEMETER, "top", "--run-dir", run_dir, "--interval", 300], LC_ALL="C") as terminal:
        text = terminal.shows("a trend", r"trend\n(.*\n)*.*[#_] *$")
        checks.ok("without UTF-8: ASCII", text.isascii(), text)
    with Terminal(directory, [PROBEMETER, "top", "--run-dir", run_dir], term="no-such-terminal") as terminal:
        text = terminal.shows("the end", "ended: 0")
        checks.ok("unknown: said, and printed once", "'no-such-terminal' is not known" in terminal.tmux("capture-pane", "-p", "-S", "-3000"),
                  text)


def hostile(checks, directory, run_dir):
    """A service that calls itself so that a terminal would obey."""
    with Terminal(directory, [PROBEMETER, "top", "--run-dir", run_dir]) as terminal:
        terminal.keys("/")
        terminal.keys("-l", "evil")
        terminal.keys("Enter")
        text = terminal.shows("the name, escaped", r"^evil\\x1b\]0;owned\\x07\\x1b\[2J\\u\{202e\}")
        raw = terminal.raw.read_bytes()
        checks.ok("nothing of it reaches the terminal", not any(bad in raw for bad in (
            b"\x1b]0;owned", b"\x1b[2J\xe2", "\u202e".encode(), "\x9b31m".encode())), text)
    for command in ("snapshot", "top"):
        status, out, _ = run_to_end(command, "--run-dir", run_dir)
        checks.ok(f"{command}: nor a pipe", status == 0 and any("evil\\x1b" in line for line in out) and
                  not any(bad in "".join(out) for bad in ("\x1b", "\x07", "\u202e", "\x9b")), out[:5])
    status, out, _ = run_to_end("snapshot", "--json", "--run-dir", run_dir)
    names = [service["name"] for service in json.loads("\n".join(out))["services"]]
    checks.ok("as JSON it is whole, and escaped", HOSTILE in names and
              not any(bad in "\n".join(out) for bad in ("\x1b", "\x07", "\u202e", "\x9b")), names)


def plain(checks, run_dir, fired):
    """Text and JSON for pipes."""
    status, out, err = run_to_end("snapshot", "--run-dir", run_dir)
    checks.equal("snapshot: exit status and complaints", (status, err), (0, []))
    checks.ok("snapshot: a total", any(re.match(rf"  e2e\.bare\.total +{fired.total}$", line) for line in out), out[:20])
    status, out, err = run_to_end("top", "--run-dir", run_dir)
    checks.ok("top in a pipe prints once, with rates", status == 0 and not err and
              any(re.match(rf"  e2e\.bare\.total +{fired.total} +0/s ", line) for line in out), (out[:20], err))
    for command in ("snapshot", "top"):
        status, out, _ = run_to_end(command, "--json", "--run-dir", run_dir)
        held = json.loads("\n".join(out))
        place = {metric["name"]: i for i, metric in enumerate(held["metrics"])}
        values = [series["value"] for series in held["series"] if series["metric"] == place["e2e.bare.total"] and
                  held["services"][series["service"]]["name"] == fired.service]
        checks.equal(f"{command} --json: the total", (status, values), (0, [fired.total]))
    for command in ("snapshot", "top"):
        status, out, err = run_to_end(command, "--run-dir", "/nonexistent/run")
        checks.ok(f"{command}: no agent is an error with a remedy", status == 1 and not out and len(err) == 1 and
                  "'/nonexistent/run/agent.sock'" in err[0] and "probemeter run" in err[0], err)


def goes(checks, directory, agent, run_dir):
    """The agent ends while somebody looks."""
    with Terminal(directory, [PROBEMETER, "top", "--run-dir", run_dir, "--interval", 300]) as terminal:
        terminal.shows("the view", "q quit")
        agent.stop()
        text = terminal.shows("what is wrong", r"^.*! no agent runs here")
        checks.ok("and what was last seen stays", "service, metric, labels" in text and re.search(r"^  e2e", text, re.M), text)
        terminal.keys("q")
        restored(checks, "after that", terminal, 0)


def main():
    checks = Checks("top")
    with scratch("top") as directory:
        binary = build_fired(directory, own_name("fired"))
        with Agent(directory, "--exporter", "console", "--include", f"path:{binary}", OTEL_METRIC_EXPORT_INTERVAL=2000) as agent, \
                Fired(binary, "shown") as fired, Fired(binary, "hostile") as evil:
            run_dir = agent.socket.parent
            agent.wait_attached(fired.pid, binary)
            fired.fire(EVENTS)
            evil.__exit__()
            evil.environment["OTEL_SERVICE_NAME"] = HOSTILE
            evil.__enter__()
            evil.fire(1)
            with checks.run("live"):
                lives(checks, directory, run_dir, fired)
            with checks.run("plain"):
                plain(checks, run_dir, fired)
            for part in (ends, kinds, hostile):
                with checks.run(part.__name__):
                    part(checks, directory, run_dir)
            with checks.run("the agent goes"):
                goes(checks, directory, agent, run_dir)
    checks.exit()


if __name__ == "__main__":
    main()
