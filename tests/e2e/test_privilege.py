#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Least privilege: an ordinary user with the capabilities of the table and no other counts exactly; without any single one
the agent says which, and what for; what it was given beyond them it gives up.

Files and services belong to users other than the agent's, and the executable may be run by all and read by nobody.
"""
import contextlib
import os
import pathlib
import re
import shutil
import sys

import capture
from agent import run_to_end
from checks import Checks
from driven import Driven, drops, snapshot_after, start_agent, warnings
from host import Host
from process import BUILD, Failed, in_own_pid_namespace, scratch, wait_until
from test_exact import Truth, compare

NEEDED = {  # and what for, in the words of the refusal
    "CAP_BPF": "load the counting programs", "CAP_PERFMON": "attach them",
    "CAP_SYS_PTRACE": "see what processes have mapped", "CAP_DAC_READ_SEARCH": "read the executables",
    "CAP_CHECKPOINT_RESTORE": "open what a process has mapped",
}
BITS = {"CAP_BPF": 39, "CAP_PERFMON": 38, "CAP_SYS_PTRACE": 19, "CAP_DAC_READ_SEARCH": 2, "CAP_CHECKPOINT_RESTORE": 40,
        "CAP_LEASE": 28, "CAP_SYS_ADMIN": 21}
NOBODY, SERVICE = 65534, 61234
FIELDS = ("Uid", "CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs", "Seccomp")


def bits(capabilities):
    return sum(1 << BITS[name] for name in capabilities)


def user_with(capabilities, uid=NOBODY):
    """A prefix that runs a program as @uid with exactly these capabilities, as a unit with AmbientCapabilities= does."""
    given = "-all" + "".join(f",+{name.removeprefix('CAP_').lower()}" for name in capabilities)
    return [shutil.which("setpriv"), f"--reuid={uid}", f"--regid={uid}", "--clear-groups", f"--inh-caps={given}",
            f"--ambient-caps={given}", f"--bounding-set={given}"]


def held(pid):
    """What the kernel says of each thread: {(uid, inheritable, permitted, effective, ambient, no_new_privs, seccomp)}."""
    found = set()
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
        said = dict(line.split(":", 1) for line in path.read_text().splitlines())
        found.add(tuple(int(said[name].split()[0], 16 if name.startswith("Cap") else 10) for name in FIELDS))
    return found


def leases(pid):
    """Inodes on which @pid has a lease."""
    return {int(line.split()[5].split(":")[2]) for line in pathlib.Path("/proc/locks").read_text().splitlines()
            if line.split()[1] == "LEASE" and int(line.split()[4]) == pid}


def program(directory, name):
    """A copy of a service that belongs to a third user, may be run by everybody and read by nobody else."""
    path = pathlib.Path(directory) / name
    shutil.copy(BUILD / "services/hammer", path)
    os.chown(path, SERVICE + 1, SERVICE + 1)
    path.chmod(0o711)
    return path


class Place:
    """Where an agent that is nobody may lock; no bpffs."""

    def __init__(self, directory, name):
        run_dir = pathlib.Path(directory) / f"{name}.run"
        run_dir.mkdir()
        os.chown(run_dir, NOBODY, NOBODY)
        self.flags = ["--bpffs", f"{directory}/none", "--run-dir", str(run_dir)]


def exact(checks, directory):
    """Counters, histograms, levels and names of two users' services, by an agent that is a third user, and pins."""
    binary, other = program(directory, "hammer"), user_with((), SERVICE)
    with Host(directory, "exact") as host, capture.Server() as server, Driven(binary, "priv-user", "--threads", 4, prefix=other) as user, \
            Driven(binary, "priv-root", "--threads", 4, "--seed", 7) as root, \
            agent_of_nobody(directory, server, host) as agent:
        for one in (user, root):
            one.answer()
            agent.wait_ready("attached", lambda: f"attached: '{binary}'" in agent.output(), 60.0)
            agent.wait_attached(one.pid, binary)
        checks.equal("ordinary user: all threads have these capabilities and no other, no_new_privs, a filter", held(agent.pid),
                     {(NOBODY, 0, bits(NEEDED), bits(NEEDED), 0, 1, 2)})
        needs = bits({"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"})
        want = [{(NOBODY, 0, needs, needs, 0, 1, 2)}]
        with contextlib.suppress(Failed):  # it begins with what it was given
            wait_until("the guard has begun", lambda: [held(pid) for pid in host.guards()] == want)
        checks.equal("its guard has what it needs, and lives behind the same filter", [held(pid) for pid in host.guards()], want)
        truths = [Truth([one.ask("fire 500")]) for one in (user, root)]
        request = snapshot_after(server)
        for one, truth, name in zip((user, root), truths, ("another user's service", "root's service")):
            compare(checks, name, request, one.service, truth)
        checks.equal("nothing is dropped", drops(request, "hammer."), {})
        said = warnings(agent)
        checks.ok("it says that it has no CAP_LEASE, and what that means; no other warning",
                  len(said) == 1 and re.search(r"CAP_LEASE is missing .* may crash", said[0]), said)
        checks.equal("no lease, then", leases(agent.pid), set())
        checks.ok("links and maps are pinned", len(host.pins()) > 10, host.pins())
        checks.equal("ends with status 0", agent.stop(), 0)
        status, err = host.stop("--detach")
        checks.equal("stop --detach as root: status 0", status, 0)
        wait_until("no guard is left", lambda: not host.guards())


def agent_of_nobody(directory, server, host):
    host.run_dir.mkdir()
    os.chown(host.run_dir, NOBODY, NOBODY)
    return start_agent(directory, server, prefix=user_with(NEEDED), host=host)


def without(checks, directory):
    """Each needed capability left out: refused at once, by name and reason."""
    for missing, why in NEEDED.items():
        status, _, err = run_to_end("run", "--exporter", "console", prefix=user_with(set(NEEDED) - {missing}))
        checks.equal(f"without {missing}: status 1", status, 1)
        checks.ok(f"without {missing}: one line that names it, and it alone, and what it is for",
                  len(err) == 1 and re.findall(r"CAP_\w+", err[0]).count(missing) == 1 and f"(to {why}" in err[0] and
                  not any(f"{name} (to" in err[0] for name in NEEDED if name != missing), err)
    stand_in = {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"}
    with capture.Server() as server, start_agent(directory, server, prefix=user_with(stand_in), host=Place(directory, "stand-in")) as agent:
        snapshot_after(server)
        checks.equal("CAP_SYS_ADMIN in place of those that were split off from it", held(agent.pid),
                     {(NOBODY, 0, bits(stand_in), bits(stand_in), 0, 1, 2)})
        checks.equal("ends with status 0", agent.stop(), 0)


def perf_events(checks, directory):
    """Where links are perf events, CAP_SYS_ADMIN is kept; without it the agent counts, if this kernel lets it, or refuses."""
    links = ["--links", "perf_event"]
    with capture.Server() as server, start_agent(directory, server, *links, prefix=user_with(NEEDED),
                                                 host=Place(directory, "refused")) as agent:
        try:
            status = agent.wait(15.0)
        except Failed:
            status = None
        if status is None:
            checks.ok("perf events without CAP_SYS_ADMIN: this kernel allows it", server.count() > 0, agent.tail())
        else:
            checks.ok("perf events without CAP_SYS_ADMIN: status 1, and it is named, with the remedy", status == 1 and
                      re.search(r"error: .*missing: CAP_SYS_ADMIN.*--links perf_event.*with CAP_SYS_ADMIN", agent.lines()[-1]),
                      agent.lines())
            done, out, _ = run_to_end("check", *links, prefix=user_with(NEEDED), timeout_s=60.0)
            checks.ok("check says so, too", done == 1 and any(re.match(r"FAIL  probes .*CAP_SYS_ADMIN", line) for line in out), out)
    more = {*NEEDED, "CAP_SYS_ADMIN"}
    with capture.Server() as server, Driven("hammer", "priv-events") as one, \
            start_agent(directory, server, *links, prefix=user_with(more), host=Place(directory, "events")) as agent:
        one.answer()
        agent.wait_attached(one.pid, one.binary, 60.0)
        checks.equal("perf events: it is kept", held(agent.pid), {(NOBODY, 0, bits(more), bits(more), 0, 1, 2)})
        truth = Truth([one.ask("fire 50")])
        compare(checks, "perf events", snapshot_after(server), one.service, truth)
        checks.equal("perf events: ends with status 0", agent.stop(), 0)


def root(checks, directory):
    """Root gives up what it does not need, and asks to be asked before an attached file is written to."""
    binary = program(directory, "leased")
    keep = bits({*NEEDED, "CAP_LEASE"})
    with capture.Server() as server, Driven(binary, "priv-lease") as one, start_agent(directory, server) as agent:
        one.answer()
        agent.wait_ready("attached", lambda: f"attached: '{binary}'" in agent.output(), 60.0)
        checks.equal("root: all threads have what the table names, no_new_privs, a filter", held(agent.pid),
                     {(0, 0, keep, keep, 0, 1, 2)})
        bound = re.search(r"^CapBnd:\s*(\w+)", pathlib.Path(f"/proc/{agent.pid}/status").read_text(), re.MULTILINE)[1]
        checks.equal("root: nor can a program that it would start", int(bound, 16), keep)
        checks.ok("root: a lease on a file of another user", binary.stat().st_ino in leases(agent.pid), leases(agent.pid))
        checks.equal("root: no warning", warnings(agent), [])
        checks.equal("ends with status 0", agent.stop(), 0)


def main():
    checks = Checks("privilege")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    in_own_pid_namespace()
    with scratch("privilege") as directory:
        directory.chmod(0o755)
        for name, part in (("an ordinary user with exactly the needed capabilities", exact),
                           ("each capability left out", without), ("perf events", perf_events), ("root", root)):
            with checks.run(name):
                part(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
