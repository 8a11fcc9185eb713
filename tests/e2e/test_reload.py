#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""SIGHUP: the configuration file is read again. A collector that moves gets every count, in totals as in deltas; what is wrong
changes nothing; what cannot change says so; an agent that had nothing to do begins."""
import os
import signal

import capture
from agent import Agent, Fired, build_fired, own_name, wait_totals
from checks import Checks
from process import Failed, scratch, wait_until

EVENTS = 5000


class Configured(Agent):
    """An agent with a configuration file, made anew and announced by set()."""

    def __init__(self, directory, rules, *arguments, **settings):
        self.file = directory / f"{len(os.listdir(directory))}.conf"
        self.rules = rules
        self.write(settings)
        super().__init__(directory, "--config", self.file, *arguments)

    def write(self, settings, more=""):
        lines = [f"{name.replace('_', '-')} = {value}" for name, value in settings.items()] + self.rules
        self.file.write_text("\n".join(lines + [more, ""]))

    def set(self, more="", **settings):
        """Return what the log says from then on up to the reload's own line."""
        mark = len(self.lines())
        self.write(settings, more)
        os.kill(self.pid, signal.SIGHUP)
        wait_until("the reload's line", lambda: any("reload: " in line for line in self.lines()[mark:]), 20)
        return "\n".join(self.lines()[mark:])


def delta_sum(requests, service):
    """As totals(), of deltas: all that came, added up."""
    sums = {}
    for request in requests:
        for point in request.points():
            if point.service == service:
                sums[point.name] = sums.get(point.name, 0) + (point.value or 0)
    return tuple(sums.get(name, 0) for name in ("e2e.fired.total", "e2e.bare.total", "e2e.size"))


def deltas_arrive(checks, agent, fired, servers, want):
    """All deltas of @fired reach one of @servers, once, unless an answer was lost and the agent says so."""
    def both():
        return tuple(map(sum, zip(*(delta_sum(server.requests, fired.service) for server in servers))))

    try:
        wait_until("all deltas", lambda: all(seen >= want for seen in both()), 20)
    except Failed:
        pass
    seen, again = both(), "may be counted twice" in "\n".join(agent.lines())
    checks.ok("deltas at both", seen == (want,) * 3 or (again and all(s >= want for s in seen)),
              f"{seen}, expected {want} each; sent again: {again}")


def moves(checks, directory, binary, temporality):
    """A collector moves while events are fired and an export is under way; headers, interval and log level change with it."""
    rules = [f"include = path:{binary}"]
    with capture.Server() as first, capture.Server() as second, \
            Configured(directory, rules, endpoint=first.otlp, interval=300, temporality=temporality) as agent, \
            Fired(binary, temporality) as fired:
        agent.wait_attached(fired.pid, binary)
        fired.fire(EVENTS)
        if temporality == "cumulative":
            checks.equal("totals at the first", wait_totals(first, fired, EVENTS), (EVENTS,) * 3)
        secret = directory / f"headers-{temporality}"
        secret.write_text("Authorization: Bearer of-the-second\n")
        secret.chmod(0o600)
        first.answer = capture.stall(2)  # one is under way, and slow
        fired.fire(EVENTS)
        said = agent.set(endpoint=second.otlp, interval=200, temporality=temporality, log_level="debug", headers_file=secret)
        for name in ("endpoint", "interval", "log-level", "headers-file"):
            checks.ok(f"{temporality}: the log names {name}", name in said.rpartition("reload: ")[2], said)
        fired.fire(EVENTS)
        if temporality == "cumulative":
            checks.equal("totals at the second", wait_totals(second, fired, 3 * EVENTS), (3 * EVENTS,) * 3)
        else:
            deltas_arrive(checks, agent, fired, (first, second), 3 * EVENTS)
        wait_until("the second is asked", lambda: second.requests)
        checks.equal("the header from the file", second.requests[-1].headers.get("Authorization"), "Bearer of-the-second")
        count, mark = len(first.requests), len(second.requests)
        fired.fire(1)
        wait_until("exports", lambda: len(second.requests) > mark + 2)
        checks.equal("the first gets nothing more", len(first.requests), count)


def refuses(checks, directory, binary):
    """A wrong file, and an option that needs a restart."""
    rules = [f"include = path:{binary}"]
    with capture.Server() as server, \
            Configured(directory, rules, endpoint=server.otlp, interval=300) as agent, Fired(binary, "refuses") as fired:
        agent.wait_attached(fired.pid, binary)
        said = agent.set("endpiont = x", endpoint="http://127.0.0.1:1", interval=300)
        checks.ok("a wrong line is named", f"{agent.file} line 4: there is no 'endpiont'; did you mean 'endpoint'?; nothing is changed"
                  in said, said)
        fired.fire(EVENTS)
        checks.equal("and nothing has changed", wait_totals(server, fired, EVENTS), (EVENTS,) * 3)
        said = agent.set(endpoint=server.otlp, interval=300, temporality="delta", per_process="true")
        for name in ("temporality", "per-process"):
            checks.ok(f"{name} needs a restart", f"'{name}' has changed ({agent.file} line" in said and "restart" in said, said)
        checks.ok("nothing else has changed", "no option has changed" in "\n".join(agent.lines()), said)
        fired.fire(EVENTS)
        checks.equal("totals are still totals", wait_totals(server, fired, 2 * EVENTS), (2 * EVENTS,) * 3)
        said = agent.set(interval=300)
        checks.ok("without an endpoint it goes on", "reload: endpoint" in said, said)
        fired.fire(EVENTS)
        agent.set(endpoint=server.otlp, interval=300)
        checks.equal("and sends what it counted meanwhile", wait_totals(server, fired, 3 * EVENTS), (3 * EVENTS,) * 3)


def rules_change(checks, directory, binary):
    """A rule for services that come; the known one keeps its verdict."""
    other = directory / "other"
    other.write_bytes(binary.read_bytes())
    other.chmod(0o755)
    rules = [f"include = path:{binary}"]
    with capture.Server() as server, \
            Configured(directory, rules, endpoint=server.otlp, interval=300) as agent, Fired(binary, "known") as known:
        agent.wait_attached(known.pid, binary)
        known.fire(EVENTS)
        wait_totals(server, known, EVENTS)
        said = agent.set(f"include = path:{other}", endpoint=server.otlp, interval=300)
        checks.ok("the log names include", "include" in said.rpartition("reload: ")[2], said)
        with Fired(other, "newcomer") as newcomer:
            agent.wait_attached(newcomer.pid, other)
            newcomer.fire(EVENTS)
            checks.equal("the new one is counted", wait_totals(server, newcomer, EVENTS), (EVENTS,) * 3)
        known.fire(EVENTS)
        checks.equal("the known one still", wait_totals(server, known, 2 * EVENTS), (2 * EVENTS,) * 3)


def begins(checks, directory, binary):
    """Installed without an endpoint, told one later."""
    rules = [f"include = path:{binary}"]
    with capture.Server() as server, Configured(directory, rules, interval=300) as agent, Fired(binary, "begins") as fired:
        agent.wait_ready("says why it rests", lambda: any("nowhere to send" in line for line in agent.lines()))
        agent.set(endpoint=server.otlp, interval=300)
        agent.wait_attached(fired.pid, binary)
        fired.fire(EVENTS)
        checks.equal("it counts", wait_totals(server, fired, EVENTS), (EVENTS,) * 3)


def main():
    checks = Checks("reload")
    with scratch("reload") as directory:
        binary = build_fired(directory, own_name("fired"))
        for temporality in ("cumulative", "delta"):
            with checks.run(f"the collector moves, {temporality}"):
                moves(checks, directory, binary, temporality)
        for part in (refuses, rules_change, begins):
            with checks.run(part.__name__):
                part(checks, directory, binary)
    checks.exit()


if __name__ == "__main__":
    main()
