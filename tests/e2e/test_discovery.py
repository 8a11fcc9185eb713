#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Who is counted from when: new binaries within a tenth of a second, known ones and those of --attach from their first event.

Jobs keep their own account (tests/services/job.c), with which the exports are compared.
"""
import contextlib
import fcntl
import mmap
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import capture
import elf
import fuse
from agent import Agent
from checks import Checks
from driven import Driven, snapshot_after, values, warnings
from jobs import JOB, Jobs, copies, load, percentile
from process import BUILD, Failed, in_own_pid_namespace, scratch, strangers, wait_until

INTERVAL_MS = 500
FRESH = 120
P99_MS = 100


@contextlib.contextmanager
def start_agent(directory, server, *arguments, **variables):
    """An agent that has looked around: its first export is out."""
    variables.setdefault("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MS)
    with Agent(directory, *arguments, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, **variables) as agent:
        server.wait_requests(1)
        yield agent


def counted(request, service):
    """(events that ended by themselves, runs) of a service in one export."""
    return (values(request, service, "job.events.total").get(("exit",)), values(request, service, "job.runs.total").get(()))


def wait_said(agent, words, timeout_s=20):
    agent.wait_ready(words, lambda: words in agent.output(), timeout_s)


def run_first(agent, jobs, binary, events):
    """The first job of a binary: it waits until somebody listens, and then so does this agent. Others of the host do, too."""
    jobs.run(binary, events, wait=True)
    wait_said(agent, f"attached: '{binary}'")


def measure(jobs, directory, attempt):
    """How long each of FRESH new binaries waits for us, in ms."""
    waits = []
    for path in copies(directory, FRESH, f"fresh-{attempt}"):
        account = jobs.run(path, 1, wait=True)
        if account.waited_ms is None:
            raise Failed(f"'{path}' was not attached within 20 s")
        waits.append(account.waited_ms)
    return waits


def fresh(checks, directory):
    """From the exec of a never-seen binary to attached: p99 within 100 ms, and the same as the agent's own metric."""
    with capture.Server() as server, start_agent(directory, server) as agent, Jobs(directory, "fresh") as jobs:
        # A host that is busy with other things may delay anybody: the better of three tries counts, and all are shown.
        for attempt in range(3):
            waits = measure(jobs, directory, attempt)
            print(f"     {len(waits)} new binaries: p50 {percentile(waits, 0.5):.1f} ms, p99 {percentile(waits, 0.99):.1f} ms, "
                  f"longest {max(waits):.1f} ms; {load()}")
            if percentile(waits, 0.99) <= P99_MS:
                break
        checks.ok(f"attached within {P99_MS} ms, p99", percentile(waits, 0.99) <= P99_MS, f"{percentile(waits, 0.99):.1f} ms")
        request = snapshot_after(server)
        events = FRESH * (attempt + 1)
        got = counted(request, jobs.service)
        # Another agent of this host that was faster lets a job fire before this one listens.
        checks.ok("all events of new binaries are counted", got == (events, events) or
                  strangers() and None not in got and max(got) <= events, f"{got} of {events}")
        own = [p for p in request.points() if p.name == "probemeter.agent.attach.duration"]
        checks.equal("the agent's own metric is there", len(own), 1)
        point = own[0].point
        checks.ok("it has them all", point.count >= events or strangers() and point.count > 0.9 * events, point.count)
        within = {limit: sum(count for count, bound in zip(point.bucket_counts, point.explicit_bounds) if bound <= limit)
                  for limit in (2**-10, 2**-3)}
        print(f"     by its own metric: {within[2**-3]} of {point.count} within 125 ms, "
              f"mean {1000 * point.sum / max(point.count, 1):.1f} ms")
        checks.ok("it is in seconds: nearly all between 1 ms and 125 ms", within[2**-3] - within[2**-10] > 0.9 * point.count,
                  (within, point.count))
        checks.equal("ends with status 0", agent.stop(), 0)
        checks.equal("no warning", warnings(agent), [])


def later(checks, directory):
    """A known binary's later processes are counted from their very first event, also when none has run for a while."""
    binary, = copies(directory, 1, "known")
    with capture.Server() as server, start_agent(directory, server) as agent, Jobs(directory, "later") as jobs:
        run_first(agent, jobs, binary, 0)
        before = counted(snapshot_after(server), jobs.service)[1] or 0  # 1, unless another agent was faster than this one
        for _ in range(200):
            jobs.run(binary, 7)
        checks.equal("200 processes of a known binary, a millisecond each", counted(snapshot_after(server), jobs.service),
                     (200 * 7, before + 200))
        jobs.run(binary, 0, 1500)  # long enough to be looked at, and missed
        time.sleep(2.5)  # nobody runs it
        jobs.run(binary, 5)
        checks.equal("and one much later", counted(snapshot_after(server), jobs.service), (200 * 7 + 5, before + 202))
        checks.equal("ends with status 0", agent.stop(), 0)


def beforehand(checks, directory):
    """--attach: a job of a millisecond of a binary that nobody has ever run is counted."""
    place = pathlib.Path(directory) / "bin"
    place.mkdir()
    one, = copies(place, 1, "one")
    many = copies(place, 10, "many")
    script = place / "script"
    for path in (script, place / "many-script"):
        path.write_text("#!/bin/sh\n")
    absent = place / "absent"
    with capture.Server() as server, start_agent(directory, server, "--attach", one, f"--attach={place}/many-*", "--attach",
                                                 absent, "--attach", script) as agent, Jobs(directory, "beforehand") as jobs:
        for path in (one, *many):
            wait_said(agent, f"attached: '{path}'")
        for number, path in enumerate((one, *many)):
            jobs.run(path, number + 1)
        total = sum(range(1, 12))
        checks.equal("the first run of each of 11 binaries, from the first event", counted(snapshot_after(server), jobs.service),
                     (total, 11))
        said = agent.output()
        checks.ok("a file without probes is named once", said.count(f"'{script}': no probes in it") == 1, said)
        checks.ok("of a pattern it is said how many have any", "/many-*': 10 of 11 files have probes" in said, said)
        checks.ok("a path that is not there is named", f"'{absent}': not there yet" in said, said)
        shutil.copyfile(JOB, place / "absent.new")
        (place / "absent.new").chmod(0o755)
        (place / "absent.new").rename(absent)
        wait_said(agent, f"attached: '{absent}'", 40)
        jobs.run(absent, 100)
        checks.equal("and one that came later, from the first event", counted(snapshot_after(server), jobs.service),
                     (total + 100, 12))
        checks.equal("ends with status 0", agent.stop(), 0)


def lost(checks, directory):
    """More events than the rings hold while the agent does not run: it looks at everything, and misses nobody for long."""
    binary, = copies(directory, 1, "in-the-flood")
    with capture.Server() as server, start_agent(directory, server, OTEL_LOG_LEVEL="debug") as agent, \
            Jobs(directory, "lost") as jobs:
        one_cpu = {min(os.sched_getaffinity(0))}
        everywhere = os.sched_getaffinity(0)
        agent.signal(signal.SIGSTOP)
        try:
            os.sched_setaffinity(0, one_cpu)  # and so all children's: one ring takes them all
            for _ in range(400):
                subprocess.run(["/bin/true"], check=True, env={})
            slot = jobs.start(binary, 50, 0, wait=True)
            wait_until("the job waits", lambda: elf.semaphores(jobs.processes[slot].pid, elf.Elf(binary)), 5)
        finally:
            os.sched_setaffinity(0, everywhere)
            agent.signal(signal.SIGCONT)
        jobs.processes[slot].wait(30)
        waited = jobs.account(slot).waited_ms
        wait_said(agent, "events were lost")
        checks.ok("its own words: events were lost", True)
        checks.ok("a process that started meanwhile is found", waited is not None, waited)
        checks.equal("and counted", counted(snapshot_after(server), jobs.service), (50, 1))
        print(f"     it waited {waited:.0f} ms")
        checks.equal("ends with status 0", agent.stop(), 0)


def replugged(checks, directory):
    """A CPU that the kernel says has come online is listened to anew, at once. None is really unplugged: cgroups of
    version 1 do not get it back."""
    cpu = max(os.sched_getaffinity(0))
    told = pathlib.Path(f"/sys/devices/system/cpu/cpu{cpu}/uevent")
    if not os.access(told, os.W_OK):
        checks.skip("a CPU that comes back", f"{told} cannot be written to")
        return
    binary, = copies(directory, 1, "replugged")
    with capture.Server() as server, start_agent(directory, server, OTEL_LOG_LEVEL="debug") as agent, \
            Jobs(directory, "replugged") as jobs:
        told.write_text("online")  # the kernel says so to all who listen, as it does when it is true
        wait_said(agent, f"CPU {cpu} went offline or came back", 5)
        wait_said(agent, "looking at all processes", 5)
        checks.ok("the kernel's word is heard, and that something may have been missed", True)
        everywhere = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {cpu})  # and so all children's
            account = jobs.run(binary, 9, wait=True)
        finally:
            os.sched_setaffinity(0, everywhere)
        wait_said(agent, f"attached: '{binary}'", 5)
        checks.ok("what starts there is attached within a second, not by the sweep", (account.waited_ms or 1e9) < 1000,
                  account.waited_ms)
        checks.equal("ends with status 0", agent.stop(), 0)


def leased(checks, directory):
    """A file whose owner holds a lease on it, which makes open() wait, delays nobody."""
    held, other = copies(directory, 2, "held")
    descriptor = os.open(held, os.O_RDWR | os.O_CLOEXEC)
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # the kernel asks us to give it up
    try:
        with capture.Server() as server, start_agent(directory, server) as agent, Jobs(directory, "leased") as jobs:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            with mmap.mmap(descriptor, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC):
                account = jobs.run(other, 9, wait=True)
                checks.ok("another new binary is attached meanwhile", account.waited_ms and account.waited_ms < 1000,
                          account.waited_ms)
                wait_said(agent, f"attached: '{other}'")
                checks.ok("the leased one is not", f"attached: '{held}'" not in agent.output(), agent.output())
                fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
                os.close(descriptor)
                descriptor = -1
            run_first(agent, jobs, held, 4)
            checks.ok("it is when the lease is given up", True)
            checks.equal("ends with status 0", agent.stop(), 0)
    finally:
        signal.signal(signal.SIGIO, before)
        if descriptor >= 0:
            os.close(descriptor)


def hanging(checks, directory):
    """A binary in a FUSE file system counts like any other; one that hangs there delays nobody else."""
    if not os.path.exists("/dev/fuse"):
        checks.skip("binaries in FUSE", "no /dev/fuse here")
        return
    other, = copies(directory, 1, "beside")
    mount = pathlib.Path(directory) / "mount"
    mount.mkdir()
    with fuse.Mount(mount, {"good": JOB.read_bytes(), "held": JOB.read_bytes()}) as served, capture.Server() as server, \
            start_agent(directory, server) as agent, Jobs(directory, "fuse") as jobs, contextlib.ExitStack() as stack:
        run_first(agent, jobs, mount / "good", 0)
        jobs.run(mount / "good", 12)
        checks.equal("in FUSE, counted", counted(snapshot_after(server), jobs.service)[0], 12)
        stack.callback(served.release)  # nobody ends who waits for an answer
        served.hold_opens("held", after=1)  # the job's own, at its exec, is answered; ours is not
        jobs.start(mount / "held", 5, 60000, wait=True)
        wait_said(agent, "its file system does not answer")
        mark = server.count()
        account = jobs.run(other, 9, wait=True)
        checks.ok("another new binary is attached meanwhile", account.waited_ms and account.waited_ms < 1000, account.waited_ms)
        wait_said(agent, f"attached: '{other}'")
        server.wait_requests(mark + 3, 10)
        checks.ok("exports go on", True)
        checks.equal("what hangs is spoken of once", agent.output().count("does not answer"), 1)
        served.release()
        wait_said(agent, f"attached: '{mount}/held'", 40)
        checks.ok("it is attached when it answers", True)
        checks.equal("ends with status 0", agent.stop(), 0)


def rewritten(checks, directory):
    """A file that is only touched stays attached once; one that is deleted after its last process is let go of."""
    binary, = copies(directory, 1, "touched")
    with capture.Server() as server, start_agent(directory, server) as agent, Jobs(directory, "touched") as jobs:
        run_first(agent, jobs, binary, 0)
        before = counted(snapshot_after(server), jobs.service)[1] or 0
        for _ in range(5):
            os.utime(binary)
            jobs.run(binary, 10, 30)
        checks.equal("a touched file counts once", counted(snapshot_after(server), jobs.service), (50, before + 5))
        checks.equal("and was attached once", agent.output().count(f"attached: '{binary}'"), 1)
        slot = jobs.start(binary, 10, 1500)
        time.sleep(0.2)
        binary.unlink()
        jobs.processes[slot].wait()
        wait_said(agent, f"detached: '{binary}'")
        checks.equal("a deleted file counted to the end", counted(snapshot_after(server), jobs.service), (60, before + 6))
        checks.equal("ends with status 0", agent.stop(), 0)


def overwritten(checks, directory):
    """A file that is written over in place is another binary, and after that the first one again."""
    binary, = copies(directory, 1, "over")
    said = f"attached: '{binary}'"

    def attached(times):
        agent.wait_ready(f"attached for the {times}. time", lambda: agent.output().count(said) == times)

    with capture.Server() as server, start_agent(directory, server) as agent, Jobs(directory, "over") as jobs:
        run_first(agent, jobs, binary, 0)
        before = counted(snapshot_after(server), jobs.service)[1] or 0
        shutil.copyfile(BUILD / "services/loader", binary)
        with Driven(str(binary), "over-other") as other:
            other.answer()
            other.ask("listened 0")
            attached(2)
            other.ask("fire 0 here 33")
            other.ask("change 0 here 2")
            request = snapshot_after(server)
            checks.equal("the other program's events and level", [values(request, other.service, name) for name in
                                                                 ("plugin.events.total", "plugin.open")],
                         [{("here",): 33}, {("here",): 2}])
            other.end()
        shutil.copyfile(JOB, binary)
        jobs.run(binary, 0, wait=True)
        attached(3)
        again = counted(snapshot_after(server), jobs.service)[1] - before
        jobs.run(binary, 10)
        checks.equal("the first program again, each event once", (counted(snapshot_after(server), jobs.service), again in (0, 1)),
                     ((10, before + again + 1), True))
        checks.equal("what was written over was let go of", agent.output().count(f"detached: '{binary}"), 2)
        checks.equal("ends with status 0", agent.stop(), 0)


def main():
    checks = Checks("discovery")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    in_own_pid_namespace()
    with scratch("discovery") as directory:
        for name, part in (("new binaries", fresh), ("known binaries", later), ("--attach", beforehand),
                           ("lost events", lost), ("a CPU comes back", replugged),
                           ("a file under a lease", leased), ("a file that hangs", hanging),
                           ("touched and deleted", rewritten),
                           ("written over", overwritten)):
            if len(sys.argv) > 1 and sys.argv[1] not in name:
                continue
            with checks.run(name):
                part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
