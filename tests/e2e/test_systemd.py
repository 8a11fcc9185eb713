#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""The unit: systemd finds no fault in it and little to attack, it gives what the agent needs and no more; and the agent tells
the service manager what it promises to. The unit is only looked at: no service manager is started here.
"""
import json
import os
import re
import socket
import subprocess
import sys
import time

import capture
from agent import Agent, Fired, build_fired
from checks import Checks
from driven import start_agent
from process import BUILD, ROOT, free_port, scratch, wait_until

UNIT = ROOT / "scripts/systemd/probemeter.service"
GENERATOR = ROOT / "scripts/systemd/probemeter-generator"
EXPOSURE = 3.0
# Of kernels: is it older than 6.6, where links that are no perf events begin?
RELEASES = (("5.15.0-25-generic", True), ("6.1.0-50-cloud-amd64", True), ("6.5.13", True), ("6.6.0", False), ("6.6-rc1", False),
            ("6.12.95+deb12-cloud-amd64", False), ("7.3.4+deb13-cloud-amd64", False), ("10.0", False))
WATCHDOG_S = 2.0


def settings(name):
    """All values of one setting of the unit."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def table(name):
    """First cells of a table that the program documents itself with."""
    said = subprocess.run([BUILD / "document", name], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [line.split("|")[1].split("`")[1] for line in said.splitlines()[2:]]


def call_sets():
    """{@name: system calls} as systemd has them, nested ones resolved."""
    said = subprocess.run(["systemd-analyze", "syscall-filter"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=True).stdout
    raw, name = {}, None
    for line in said.splitlines():
        word = line.strip()
        if line.startswith("@"):
            name = word
            raw[name] = []
        elif name and word and not word.startswith("#"):
            raw[name].append(word)

    def resolve(word):
        return {one for each in raw[word] for one in resolve(each)} if word.startswith("@") else {word}

    return {name: resolve(name) for name in raw}


def unit(checks, directory):
    """systemd's own judgement, offline."""
    copy = directory / UNIT.name
    copy.write_text(UNIT.read_text().replace("/usr/local/bin/probemeter", str(BUILD / "probemeter")))
    verify = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, check=False)
    checks.equal("systemd-analyze verify: clean", (verify.returncode, verify.stdout), (0, ""))
    security = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE * 10:.0f}",
                               copy], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", security.stdout)
    checks.ok(f"systemd-analyze security: exposure {level[1] if level else '?'}, at most {EXPOSURE}",
              security.returncode == 0 and level and float(level[1]) <= EXPOSURE, security.stdout[-300:])
    for name in ("CapabilityBoundingSet", "AmbientCapabilities"):
        # What only kernels before 6.6 want is for who has one to add.
        checks.equal(f"{name} is the agent's table", " ".join(settings(name)).split(),
                     [one for one in table("capabilities") if one != "CAP_SYS_ADMIN"])
    checks.equal("stopping the unit leaves the guard of attached files", settings("KillMode"), ["process"])
    checks.ok("out of memory, the agent goes before a service", settings("OOMScoreAdjust") and int(settings("OOMScoreAdjust")[0]) > 0,
              settings("OOMScoreAdjust"))
    sets, allowed = call_sets(), set()
    for value in settings("SystemCallFilter"):
        words = {call for word in value.lstrip("~").split() for call in sets.get(word, {word})}
        allowed = allowed - words if value.startswith("~") else allowed | words
    wanted = {call for row in table("calls") for call in row.split()}
    checks.ok("the two filters have been read", len(wanted) > 100 and len(allowed) > 200, (len(wanted), len(allowed)))
    checks.equal("SystemCallFilter lets through what the agent's own filter does", wanted - allowed, set())


def generated(checks, directory):
    """What the generator makes on kernels of several ages: for those before 6.6 a drop-in that adds one capability, by systemd's own
    account; for others nothing. A mount namespace of its own shows it each release."""
    for number, (release, wanted) in enumerate(RELEASES):
        units, shown = directory / f"units-{number}", directory / "osrelease"
        units.mkdir()
        shown.write_text(release + "\n")
        unit_file = units / UNIT.name
        unit_file.write_text(UNIT.read_text().replace("/usr/local/bin/probemeter", str(BUILD / "probemeter")))
        made = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-ec",
                               'mount --bind "$1" /proc/sys/kernel/osrelease; shift; exec "$@"', "sh", shown, GENERATOR, units,
                               directory / "early", directory / "late"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        checks.equal(f"{release}: the generator succeeds and says nothing", (made.returncode, made.stdout), (0, ""))
        found = sorted(str(path.relative_to(units)) for path in units.rglob("*") if path.is_file())
        checks.equal(f"{release}: {'a drop-in' if wanted else 'no drop-in'}", found,
                     [UNIT.name] + ["probemeter.service.d/perf-events.conf"] * wanted)
        verify = subprocess.run(["systemd-analyze", "verify", "--man=no", unit_file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, check=False)
        checks.equal(f"{release}: systemd-analyze verify: clean", (verify.returncode, verify.stdout), (0, ""))
        said = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--json=short",
                               f"--threshold={EXPOSURE * 10:.0f}", unit_file], stdout=subprocess.PIPE, text=True, check=False)
        free_of = {row["json_field"].removeprefix("CapabilityBoundingSet_"): row["set"] for row in json.loads(said.stdout)}
        checks.ok(f"{release}: CAP_SYS_ADMIN {'among its capabilities' if wanted else 'withheld'}; exposure of {EXPOSURE} at most",
                  free_of["CAP_SYS_ADMIN"] is not wanted and free_of["CAP_SYS_MODULE"] and said.returncode == 0, said.stdout[-300:])
        if found[1:]:
            text = (units / found[1]).read_text()
            checks.ok(f"{release}: the agent's user has it, too, and the drop-in says why", "AmbientCapabilities=CAP_SYS_ADMIN\n" in text and
                      "older than 6.6" in text, text)


class Manager:
    """A socket as $NOTIFY_SOCKET; told() is everything said so far: [(when, {name: value})]."""

    def __init__(self, directory):
        self.path = str(directory / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.messages = []
        self.variables = {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}

    def __enter__(self):
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        return self

    def __exit__(self, *exc):
        self.socket.close()
        os.unlink(self.path)

    def told(self):
        while True:
            try:
                text = self.socket.recv(8192).decode()
            except BlockingIOError:
                return self.messages
            self.messages.append((time.monotonic(), dict(line.split("=", 1) for line in text.splitlines())))

    def values(self, name):
        return [said[name] for _, said in self.told() if name in said]

    def listen(self, seconds):
        """Keep reading, so that the times are right."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.told()
            time.sleep(0.01)

    def silence(self):
        """The longest time without WATCHDOG=1, from the first one on."""
        times = [at for at, said in self.told() if said.get("WATCHDOG") == "1"]
        return max((b - a for a, b in zip(times, times[1:])), default=float("inf"))


def notified(checks, directory):
    """Ready when what lives is attached, alive while it counts, a line of status, stopping."""
    binary = build_fired(directory)
    with Manager(directory) as manager, capture.Server() as server, Fired(binary, "notify"), \
            start_agent(directory, server, **manager.variables) as agent:
        wait_until("READY=1", lambda: manager.values("READY"), 60.0, every_s=0.005)
        checks.ok("READY=1 comes when what lives is attached", f"attached: '{binary}'" in agent.output(), agent.tail())
        manager.listen(3 * WATCHDOG_S)
        checks.ok(f"WATCHDOG=1 in time: {manager.silence():.2f} s between two at most", manager.silence() < WATCHDOG_S,
                  manager.silence())
        wait_until("a delivery", lambda: any("delivered" in text for text in manager.values("STATUS")))
        checks.equal("no STOPPING=1 before it is told to end", manager.values("STOPPING"), [])
        checks.equal("ends with status 0", agent.stop(), 0)
        checks.equal("READY=1 once", manager.values("READY"), ["1"])
        checks.equal("STOPPING=1 once", manager.values("STOPPING"), ["1"])
    with Manager(directory) as manager, \
            Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}", OTEL_METRIC_EXPORT_INTERVAL=300,
                  OTEL_METRIC_EXPORT_TIMEOUT=200, **manager.variables) as agent:
        wait_until("a status", lambda: any(re.search(r"export to http://127\S+: .*onnect", text)
                                           for text in manager.values("STATUS")), 60.0)
        checks.ok("a collector that is not there is in the status, and no reason not to be ready", manager.values("READY"))
        agent.stop()


def idle(checks, directory):
    """With nothing to do it is ready, says why it does nothing, and is alive."""
    with Manager(directory) as manager, Agent(directory, ENABLE_TRACING="false", **manager.variables) as agent:
        wait_until("READY=1", lambda: manager.values("READY"))
        manager.listen(2 * WATCHDOG_S)
        checks.ok("nothing to do: the status says why", "ENABLE_TRACING" in manager.values("STATUS")[0], manager.values("STATUS"))
        checks.ok(f"nothing to do: WATCHDOG=1 in time: {manager.silence():.2f} s", manager.silence() < WATCHDOG_S,
                  manager.silence())
        checks.equal("nothing to do: ends with status 0", agent.stop(), 0)
    with Manager(directory) as manager, Agent(directory, ENABLE_TRACING="false", NOTIFY_SOCKET=manager.path) as agent:
        wait_until("READY=1", lambda: manager.values("READY"))
        manager.listen(0.5)
        checks.equal("no watchdog asked for: none", manager.values("WATCHDOG"), [])
        checks.equal("no watchdog: ends with status 0", agent.stop(), 0)


def main():
    checks = Checks("systemd")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("systemd") as directory:
        for name, part in (("the unit", unit), ("the generator", generated), ("what systemd is told", notified), ("nothing to do", idle)):
            if len(sys.argv) < 2 or any(wanted in name for wanted in sys.argv[1:]):
                with checks.run(name):
                    part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
