#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What watching a host costs, and that nothing is lost while 2,000 processes come and go; and an idle host.

A job enters each event in a shared file before and after it fires, so that what one that was killed has fired is known
to within the event that it died in. Jobs that end by themselves are exact.

    test_churn.py [churn | idle] [--rules]    --rules: the agent has some, of each kind, that nobody here falls under
"""
import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import capture
from agent import Agent
from checks import Checks
from driven import snapshot_after, values
from jobs import Jobs, copies, cpu_seconds, load, resident_bytes
from process import SANITIZED, in_own_pid_namespace, scratch

BINARIES = 20
PROCESSES = 2000
SECONDS = 60
CHURN_CPU = 0.10
IDLE_PROCESSES = 500
IDLE_SECONDS = 30
IDLE_CPU = 0.002
SEED = 5
RULES = ("--exclude", "uid:64999", "--exclude", "cgroup:*/not-there-*", "--exclude", "path:/not/there/*", "--service",
         "path:/not/there/*=nobody") if "--rules" in sys.argv else ()


def plan(generator):
    """(second, binary number, events, ms, kill after ms or None) of each job, in the order of starting."""
    jobs = []
    for number in range(PROCESSES):
        ms = 1 if number % 4 == 0 else int(10 ** generator.uniform(0, 3.7))  # 1 ms to 5 s
        killed = number % 10 == 9
        jobs.append((generator.uniform(0, SECONDS - 6), number % BINARIES,
                     -1 if killed else generator.randrange(200), ms, max(ms, 20) if killed else None))
    return sorted(jobs)


def drive(jobs, binaries, todo):
    """Start all jobs in time, kill those that are to be, and wait for all."""
    began, kills = time.monotonic(), []
    for at, binary, events, ms, kill_ms in todo:
        while True:
            now = time.monotonic()
            while kills and kills[0][0] <= now:
                jobs.processes[kills.pop(0)[1]].kill()
            if now - began >= at:
                break
            time.sleep(max(0.0, min([began + at] + [when for when, _ in kills[:1]]) - now))
        # One that is to be killed has an end far away.
        slot = jobs.start(binaries[binary], events, 60000 if kill_ms else ms)
        if kill_ms:
            kills.append((now + kill_ms / 1000, slot))
            kills.sort()
    for when, slot in kills:
        time.sleep(max(0.0, when - time.monotonic()))
        jobs.processes[slot].kill()
    for process in jobs.processes:
        process.wait(30)
    return time.monotonic() - began


def at_most(checks, want, share):
    """The agent's share of a CPU."""
    if SANITIZED:
        checks.skip(f"the agent takes at most {100 * want:g} % of a CPU", "sanitizers slow it down")
    else:
        checks.ok(f"the agent takes at most {100 * want:g} % of a CPU", share <= want, share)


def churn(checks, directory):
    """2,000 processes of 20 binaries in a minute: fired = exported; the agent stays cheap and small."""
    binaries = copies(directory, BINARIES, "churn")
    todo = plan(random.Random(SEED))
    with capture.Server() as server, \
            Agent(directory, "--attach", f"{directory}/churn-*", *RULES, OTEL_METRIC_EXPORT_INTERVAL=2000,
                  OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp) as agent, \
            Jobs(directory, "churn") as jobs:
        server.wait_requests(1)
        agent.wait_ready("all attached", lambda: agent.output().count(f"attached: '{directory}/churn-") == BINARIES)
        jobs.run(binaries[0], 0)
        before, used = resident_bytes(agent.pid), cpu_seconds(agent.pid)
        took = drive(jobs, binaries, todo)
        used = cpu_seconds(agent.pid) - used
        middle = resident_bytes(agent.pid)
        request = snapshot_after(server)
        accounts = jobs.accounts()
        killed = [account for account in accounts if not account.at_end]
        ended = [account for account in accounts if account.at_end]
        print(f"     {len(accounts)} processes in {took:.1f} s, {len(killed)} killed; {load()}")
        checks.ok("as many as planned, some killed", len(accounts) == PROCESSES + 1 and 150 < len(killed) < 250,
                  (len(accounts), len(killed)))
        events = values(request, jobs.service, "job.events.total")
        checks.equal("fired = exported: jobs that ended", events.get(("exit",)), sum(a.done for a in ended))
        checks.equal("fired = exported: how many ended", values(request, jobs.service, "job.runs.total").get(()),
                     len(ended))
        least, most = sum(a.done for a in killed), sum(a.begun for a in killed)
        print(f"     killed ones fired {least} to {most} events, exported are {events.get(('killed',))}")
        checks.ok("fired = exported: jobs that were killed, to within the event they died in",
                  least <= events.get(("killed",), 0) <= most and most - least <= len(killed), (least, events, most))
        checks.equal("nobody is left: the level is 0", values(request, jobs.service, "job.alive").get(()), 0)
        print(f"     agent: {100 * used / took:.2f} % of a CPU, {before >> 10} KiB before, {middle >> 10} KiB after")
        at_most(checks, CHURN_CPU, used / took)

        # Once more, faster: what memory the first time took is enough.
        for number in range(PROCESSES // 4):
            jobs.run(binaries[number % BINARIES], 1)
        snapshot_after(server)
        after = resident_bytes(agent.pid)
        if SANITIZED:
            checks.skip("its memory is flat", "AddressSanitizer keeps what is freed")
        else:
            checks.ok("its memory is flat", after - middle <= 256 << 10, f"{middle} bytes, then {after}")
        checks.equal("ends with status 0", agent.stop(), 0)


def idle(checks, directory):
    """500 processes that have nothing to do with us: hardly anything to do for the agent."""
    with contextlib.ExitStack() as stack, capture.Server() as server:
        for _ in range(IDLE_PROCESSES):
            process = subprocess.Popen(["/bin/sleep", "600"], stdin=subprocess.DEVNULL, env={})
            stack.callback(process.wait)
            stack.callback(process.kill)
        # With its own interval of 10 s.
        with Agent(directory, *RULES, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp) as agent:
            server.wait_requests(1, 60)
            # What others of the host do wakes us, too, so the best of three counts.
            shares = []
            while len(shares) < 3 and not (shares and min(shares) <= IDLE_CPU):
                used = cpu_seconds(agent.pid)
                time.sleep(IDLE_SECONDS)
                shares.append((cpu_seconds(agent.pid) - used) / IDLE_SECONDS)
            print(f"     {IDLE_PROCESSES} processes, {IDLE_SECONDS} s: " +
                  ", ".join(f"{100 * share:.3f} %" for share in shares) + f" of a CPU; {load()}")
            at_most(checks, IDLE_CPU, min(shares))
            checks.equal("ends with status 0", agent.stop(), 0)


def main():
    checks = Checks("churn")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    in_own_pid_namespace()
    with scratch("churn") as directory:
        for name, part in (("churn", churn), ("idle", idle)):
            if len(sys.argv) > 1 and sys.argv[1] in ("churn", "idle") and sys.argv[1] != name:
                continue
            with checks.run(name):
                part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
