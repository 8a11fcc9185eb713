#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What the agent says, as machines read it: one JSON object per line, and fields in systemd's journal, which really runs, in
namespaces of its own. A hostile service name gets into neither."""
import json
import os
import pathlib
import re
import subprocess
import sys

import capture
from agent import PROBEMETER, Agent, Fired, build_fired, own_name
from checks import Checks
from process import Child, scratch, wait_until

JOURNALD = "/lib/systemd/systemd-journald"


def json_lines(checks, directory, binary):
    with capture.Server() as server, \
            Agent(directory, "--log-format=json", "--include", f"path:{binary}", OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp,
                  OTEL_METRIC_EXPORT_INTERVAL=300) as agent, Fired(binary, "json") as fired:
        agent.wait_attached(fired.pid, binary)
        fired.fire(10)
        said = [json.loads(line) for line in agent.lines()]
        checks.ok("each line is an object with these fields", said and all(
            set(line) == {"time", "level", "message", "objects"} and line["level"] in ("error", "warn", "info") and
            re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) for line in said), said)
        checks.equal("each names what one may act on: an object, a flag, an address or a command", [
            line["message"] for line in said if not (line["objects"] or re.search(r"--[a-z]|https?://|'probemeter ", line["message"]))], [])
        checks.ok("the file that was attached is an object",
                  any("attached:" in line["message"] and line["objects"] == [str(binary)] for line in said), said)


def child(directory, binary):
    """Inside the namespaces: a journal and an agent whose standard error it is."""
    directory = pathlib.Path(directory)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/log"], check=True)
    os.makedirs("/run/systemd/journal")
    with Child([JOURNALD], directory / "journald.log") as journald:
        journald.wait_ready("the journal listens", lambda: os.path.exists("/run/systemd/journal/socket") and
                            os.path.exists("/run/systemd/journal/stdout"))
        with open(directory / "stderr", "w", encoding="utf-8") as stderr:
            st = os.fstat(stderr.fileno())
            for name, stream in (("journal", f"{st.st_dev}:{st.st_ino}"), ("other", "1:1")):
                done = subprocess.run([PROBEMETER, "probes", f"/no/such\x1b[2J{name}"], stderr=stderr, check=False,
                                      env={"JOURNAL_STREAM": stream, "LC_ALL": "C.UTF-8"})
                assert done.returncode == 1
        os.sync()

        def entries():
            subprocess.run(["journalctl", "--sync"], check=False, capture_output=True)
            text = subprocess.run(["journalctl", "-D", "/run/log/journal", "-o", "json", "--no-pager", "SYSLOG_IDENTIFIER=probemeter"],
                                  capture_output=True, text=True, check=False).stdout
            return text if text.strip() else None
        print(wait_until("an entry", entries, 20))


def journal(checks, directory, binary):
    if not os.path.exists(JOURNALD):
        checks.ok("systemd's journal is installed", False, f"{JOURNALD} is missing: scripts/deps.sh")
        return
    done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "/usr/bin/python3", __file__,
                           "--inside", str(directory), str(binary)], capture_output=True, text=True, timeout=60, check=False)
    entries = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not checks.equal("one entry, by whom the journal is standard error", len(entries), 1):
        print(done.stdout[-1500:], done.stderr[-1500:])
        return
    entry = entries[0]
    checks.equal("its message", entry.get("MESSAGE"), "probes: '/no/such\\x1b[2Jjournal': No such file or directory")
    checks.equal("its priority", entry.get("PRIORITY"), "3")
    checks.equal("its object", entry.get("PROBEMETER_OBJECT"), "/no/such\\x1b[2Jjournal")
    checks.equal("who said it", entry.get("SYSLOG_IDENTIFIER"), "probemeter")
    text = (directory / "stderr").read_text()
    checks.equal("where it is not, text", text, "probemeter: error: probes: '/no/such\\x1b[2Jother': No such file or directory\n")


def main():
    if sys.argv[1:2] == ["--inside"]:
        child(*sys.argv[2:])
        return
    checks = Checks("log")
    with scratch("log") as directory:
        binary = build_fired(directory, own_name("fired"))
        for part in (json_lines, journal):
            with checks.run(part.__name__):
                part(checks, directory, binary)
    checks.exit()


if __name__ == "__main__":
    main()
