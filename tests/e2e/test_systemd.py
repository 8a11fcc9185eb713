#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""The unit: systemd finds no fault in it and little to attack, it gives what the agent needs and no more; and the agent tells
the service manager what it promises to. The unit is only looked at: no service manager is started here.
"""
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
EXPOSURE = 3.0
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
        for name, part in (("the unit", unit), ("what systemd is told", notified), ("nothing to do", idle)):
            with checks.run(name):
                part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
