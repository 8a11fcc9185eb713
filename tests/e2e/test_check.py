#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""`probemeter check`: each requirement fails where it is not met, alone, says why it matters, and the command that it names mends
it, which is tried. Namespaces and cgroups of the test's own stand for hosts that lack something.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import time

import capture
import certs
from agent import PROBEMETER, Agent, build_library, clean_environment, preload, run_to_end
from checks import Checks
from process import free_port, scratch
from refuse import refusing
from test_privilege import NEEDED, user_with

ALL = {*NEEDED, "CAP_LEASE"}


def check(*arguments, prefix=(), timeout_s=60.0, **variables):
    """(exit status, {requirement: row}) of `check --json`."""
    status, out, err = run_to_end("check", "--json", *arguments, prefix=prefix, timeout_s=timeout_s, **variables)
    return status, {row["requirement"]: row for row in json.loads("\n".join(out))}, err


def unmet(rows):
    return {name for name, row in rows.items() if not row["met"]}


def shell(script):
    """A prefix: a mount namespace of its own, in which @script runs first, and nothing of it is seen outside."""
    return [shutil.which("unshare"), "--mount", "--propagation", "private", "sh", "-c", f"{script}\nexec \"$@\"", "sh"]


def capabilities(checks, usual):
    """One by one."""
    for missing in sorted(ALL):
        status, rows, _ = check(prefix=user_with(ALL - {missing}))
        checks.ok(f"without {missing}: not met, with a reason and a remedy",
                  not rows[missing]["met"] and rows[missing]["why"].startswith("to ") and missing in rows[missing]["remedy"],
                  rows[missing])
        checks.equal(f"without {missing}: all others are held", {name for name in ALL if rows[name]["met"]}, ALL - {missing})
        checks.equal(f"without {missing}: exit status", status, 0 if missing == "CAP_LEASE" else 1)
    status, rows, _ = check(prefix=user_with(ALL))
    checks.equal("an ordinary user with all of them: as root", (status, unmet(rows)), (0, usual))


def namespaces(checks, usual):
    """What looks like the host and is not."""
    unshare = shutil.which("unshare")
    status, rows, _ = check(prefix=[unshare, "--user", "--map-root-user"])
    checks.ok("a user namespace: not met, though all capabilities seem to be held",
              status == 1 and "user namespace" in unmet(rows) and not ALL & unmet(rows), unmet(rows))
    status, rows, _ = check(prefix=[unshare, "--pid", "--fork", "--mount-proc", "--cgroup"])
    checks.equal("namespaces of pids and cgroups: the agent runs, and is told", (status, unmet(rows) - usual),
                 (0, {"pid namespace", "cgroup namespace"}))
    checks.ok("a remedy each", "--pid=host" in rows["pid namespace"]["remedy"] and
              "--cgroupns=host" in rows["cgroup namespace"]["remedy"], rows)


def kernels(checks, usual):
    """Kernels that lack something: by what they say of themselves."""
    status, rows, _ = check(prefix=[shutil.which("setarch"), "--uname-2.6"])
    checks.equal("a kernel that is too old", (status, unmet(rows) - usual), (1, {"kernel"}))
    fake = ("mount -t tmpfs none /proc/sys/kernel && cd /proc/sys/kernel && mkdir yama && echo 3 >yama/ptrace_scope && "
            "echo 0 >perf_event_mlock_kb && echo 2 >perf_event_paranoid; ulimit -l 0; cd /")
    status, rows, _ = check(prefix=shell(fake))
    checks.equal("settings: nobody may read another's memory, nobody may lock any: warnings", (status, unmet(rows) - usual),
                 (0, {"ptrace", "memlock"}))
    remedy = rows["memlock"]["remedy"].split("   ")[0]
    checks.ok("memlock: the remedy is a command", re.fullmatch(r"ulimit -l \d+", remedy), remedy)
    status, rows, _ = check(prefix=shell(fake.replace("ulimit -l 0", remedy)))
    checks.equal("memlock: the remedy mends it", unmet(rows) - usual, {"ptrace"})
    status, rows, _ = check(prefix=shell("mount --bind /dev/null /sys/kernel/btf/vmlinux"))
    checks.ok("BTF is hidden: not met, exit status 1", status == 1 and "btf" in unmet(rows), unmet(rows))
    if not os.path.isdir("/sys/kernel/security"):
        checks.skip("lockdown", "no /sys/kernel/security on this host to mount a fake one over")
        return
    status, rows, _ = check(prefix=shell("mount -t tmpfs none /sys/kernel/security && "
                                         "echo 'none integrity [confidentiality]' >/sys/kernel/security/lockdown"))
    checks.equal("lockdown: not met, exit status 1", (status, unmet(rows) - usual), (1, {"lockdown"}))


def refusals(checks, usual):
    """System calls that a kernel does not have, or that a filter around the agent keeps from it."""
    _, rows, _ = check()
    checks.ok("process events, seccomp: met where nothing refuses them", rows["process events"]["met"] and rows["seccomp"]["met"], rows)
    mends = r"docker run --security-opt seccomp=unconfined .*SystemCallFilter={}\)"
    for name, rules, error, why, remedy in (
            ("process events", ["perf_event_open=EPERM"], "Operation not permitted", "every second", mends.format("perf_event_open")),
            ("process events", ["perf_event_open=ENOSYS"], "not implemented", "every second", "CONFIG_PERF_EVENTS=y"),
            ("process events", ["perf_event_open=EACCES"], "Permission denied", "every second", r"sysctl kernel\.perf_event_paranoid=2"),
            ("seccomp", ["seccomp=ENOSYS", "prctl:22=EINVAL"], "not implemented", "locks itself in", "CONFIG_SECCOMP_FILTER=y"),
            ("seccomp", ["seccomp=EPERM", "prctl:22=EPERM"], "Operation not permitted", "locks itself in", mends.format("seccomp"))):
        status, rows, _ = check(prefix=refusing(*rules))
        row = rows[name]
        checks.equal(f"{' '.join(rules)}: {name} alone is not met, a warning", (status, unmet(rows) - usual, row["needed"]),
                     (0, {name}, False))
        checks.ok(f"{' '.join(rules)}: what it says, why it matters, what mends it",
                  error in row["detail"] and why in row["why"] and re.search(remedy, row["remedy"]), row)
    # The older way does, and the agent takes it.
    status, rows, _ = check(prefix=refusing("seccomp=EPERM"))
    checks.equal("seccomp=EPERM, prctl allowed: met", (status, unmet(rows) - usual), (0, set()))
    status, rows, _ = check(prefix=refusing("adjtimex=EPERM", "clock_adjtime=EPERM"))
    checks.ok("clock is set: a kernel that may not be asked is no clock that nobody sets",
              not rows["clock is set"]["met"] and "does not say: Operation not permitted" in rows["clock is set"]["detail"], rows["clock is set"])


def running(checks, directory):
    """What the agent does where a filter, or the kernel's events, cannot be had: as `check` says."""
    for rules, filters, said in (((), 1, ""), (("seccomp=EPERM",), 2, ""),
                                 (("seccomp=EPERM", "prctl:22=EPERM"), 1, "no filter can be had: Operation not permitted; running without"),
                                 (("perf_event_open=EPERM",), 2, "tells of no new processes: Operation not permitted")):
        with Agent(directory, prefix=refusing(*rules) if rules else (), OTEL_METRICS_EXPORTER="console",
                   OTEL_METRIC_EXPORT_INTERVAL=500) as agent:
            agent.wait_ready("it counts", lambda agent=agent: "its maps take" in agent.output())
            found = re.search(r"^Seccomp_filters:\s*(\d+)", pathlib.Path(f"/proc/{agent.pid}/status").read_text(), re.MULTILINE)
            name = " ".join(rules) or "nothing refused"
            checks.ok(f"run, {name}: {filters} filters in all", found and int(found[1]) == filters, found)
            checks.ok(f"run, {name}: what is missing is said, and nothing else", said in agent.output() if said else not re.search(
                "no filter can|tells of no new", agent.output()), agent.tail())
            checks.equal(f"run, {name}: ends with status 0", agent.stop(), 0)


def clock(checks, directory, usual):
    """A clock that stands at a time before this program."""
    offset = directory / "offset"
    offset.write_bytes(struct.pack("q", -int(time.time()) + 86400))
    status, rows, _ = check(LD_PRELOAD=preload(build_library(directory, "clock")), CLOCK_OFFSET=offset)
    row = rows["clock"]
    checks.equal("a clock that stands in 1970: not met, alone, exit status 1", (status, unmet(rows) - usual), (1, {"clock"}))
    checks.ok("what it says, why it matters, what mends it", row["detail"].startswith("1970-01-02T") and "refuse points" in row["why"] and
              row["remedy"] == "timedatectl set-ntp true", row)
    offset.write_bytes(struct.pack("q", 0))
    status, rows, _ = check(LD_PRELOAD=preload(build_library(directory, "clock")), CLOCK_OFFSET=offset)
    checks.equal("once it is set: met", (status, unmet(rows) - usual, rows["clock"]["met"]), (0, set(), True))


def descriptors(checks, usual):
    """Too few for the agent's own maps: said as that by both commands, and not as what fails for want of them."""
    for few in (12, 48):
        status, rows, _ = check(prefix=shell(f"ulimit -n {few}"))
        row = rows["file descriptors"]
        checks.ok(f"{few} descriptors: not met, with the numbers and the remedy", status == 1 and not row["met"] and
                  f"at most {few} may be open" in row["detail"] and "LimitNOFILE=" in row["remedy"], row)
        for exporter in (["--exporter", "console"], ["--endpoint", "http://127.0.0.1:9"]):
            status, _, lines = run_to_end("run", "--once", *exporter, prefix=shell(f"ulimit -n {few}"))
            checks.ok(f"{few} descriptors, {exporter[0]}: the agent says so in one line, and ends", status == 1 and len(lines) == 1 and
                      f"file descriptors: too few: at most {few} may be open" in lines[0] and "ulimit -n" in lines[0], lines)
    least = int(re.search(r"(\d+) are needed", row["detail"])[1])
    _, rows, _ = check(prefix=shell(f"ulimit -S -n 64; ulimit -H -n {least}"))
    checks.equal("a soft limit is no obstacle", unmet(rows), usual)


def bpffs(checks):
    """Mounted, and not."""
    hidden = "mount -t tmpfs none /sys/fs/bpf"
    _, rows, _ = check(prefix=shell(hidden))
    checks.ok("no bpffs: a warning", not rows["bpffs"]["met"] and not rows["bpffs"]["needed"], rows["bpffs"])
    _, rows, _ = check(prefix=shell(f"{hidden}; {rows['bpffs']['remedy']}"))
    checks.ok("no bpffs: the remedy mends it", rows["bpffs"]["met"], rows["bpffs"])


@contextlib.contextmanager
def small_cgroup():
    """A cgroup of the memory controller that leaves 64 MiB: its directory, or None where there is none to be had."""
    for base, name in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        path = pathlib.Path(base) / f"probemeter-check-{os.getpid()}"
        try:
            path.mkdir()
        except OSError:
            continue
        try:
            if (path / name).exists():
                (path / name).write_text(str(64 << 20))
                yield path
                return
        finally:
            path.rmdir()
    yield None


def memory(checks, directory, usual):
    """A cgroup that is too small for what the maps may become."""
    with small_cgroup() as cgroup:
        if not cgroup:
            checks.skip("memory", "no memory cgroup can be made on this host")
            return
        prefix = ["sh", "-c", f"echo $$ >{cgroup}/cgroup.procs; exec \"$@\"", "sh"]
        status, rows, _ = check(prefix=prefix)
        checks.equal("a cgroup of 64 MiB: not met, exit status 1", (status, unmet(rows) - usual), (1, {"memory"}))
        checks.ok("it names the file, what is wanted and what there is",
                  str(cgroup) in rows["memory"]["detail"] and "64 MiB" in rows["memory"]["detail"], rows["memory"])
        flag = re.search(r"by (--max-memory) (\d+)\)", rows["memory"]["remedy"])
        checks.ok("it names the flag that makes them fit", flag, rows["memory"]["remedy"])
        status, rows, _ = check(*(flag.groups() if flag else ()), prefix=prefix)
        checks.equal("and that flag does", (status, unmet(rows) - usual), (0, set()))
        status, rows, _ = check("--max-cells", 3000, prefix=prefix)
        checks.ok("limits that do not fit together: the flag is named", status == 1 and
                  "--max-cells 3000: expected a power of two" in rows["memory"]["detail"], rows["memory"])
        status, rows, _ = check(prefix=prefix)
        remedy = rows["memory"]["remedy"].split("   ")[0]
        subprocess.run(["sh", "-c", remedy], check=True)
        status, rows, _ = check(prefix=prefix)
        checks.equal(f"the remedy '{remedy.replace(str(cgroup), '...')}' mends it", (status, unmet(rows) - usual), (0, set()))
        status, rows, _ = check("--max-cells", 1 << 19, prefix=prefix)
        checks.equal("more cells than it was mended for: not met again", (status, unmet(rows) - usual), (1, {"memory"}))
        config = directory / "small.conf"
        config.write_text("max-cells = 524288\n")
        _, rows, _ = check("--config", config, prefix=prefix)
        checks.ok("the same from a configuration file", not rows["memory"]["met"], rows["memory"])
        _, rows, _ = check("--endpoint", f"http://127.0.0.1:{free_port()}", prefix=prefix,
                           OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta")
        checks.ok("what delta temporality remembers is in it", not rows["memory"]["met"], rows["memory"])


def collector(checks, directory, usual):
    """One that answers, one that does not listen, one that is not to be trusted."""
    with capture.Server() as server:
        status, rows, _ = check(OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp)
        checks.equal("a collector that answers", (status, rows["collector"]["met"], server.count()), (0, True, 1))
    status, rows, _ = check("--endpoint", f"http://127.0.0.1:{free_port()}")
    checks.ok("a collector that does not listen: not met, exit status 1, and why",
              status == 1 and unmet(rows) - usual <= {"collector"} and "refused" in rows["collector"]["detail"], rows["collector"])
    pair = certs.Authority(directory, "check").issue("localhost")
    with capture.Server(tls=capture.tls(pair)) as server:
        status, rows, _ = check("--endpoint", server.otlp)
        checks.ok("a collector whose certificate nobody vouches for: not met", status == 1 and
                  re.search(r"certificate", rows["collector"]["detail"]), rows["collector"])
    authority = certs.Authority(directory, "named")
    with capture.Server(tls=capture.tls(authority.issue("elsewhere", "DNS:elsewhere.test"))) as server:
        _, rows, _ = check("--endpoint", server.otlp, OTEL_EXPORTER_OTLP_CERTIFICATE=authority.cert)
        detail = rows["collector"]["detail"]
        checks.ok("a certificate for another name: what would mend it, and not an authority", not rows["collector"]["met"] and
                  "a name that the certificate is for" in detail and "OTEL_EXPORTER_OTLP_CERTIFICATE" not in detail, rows["collector"])
    _, rows, _ = check("--endpoint", f"unix:{directory}/no.sock")
    checks.ok("a Unix socket that is not there: named, and no host", f"'{directory}/no.sock'" in rows["collector"]["detail"] and
              "No such file" in rows["collector"]["detail"] and "localhost" not in rows["collector"]["detail"], rows["collector"])
    done = subprocess.run([PROBEMETER, "check", "--endpoint", f"http://127.0.0.1:{free_port()}"], capture_output=True, text=True,
                          env=clean_environment(), check=False)
    checks.ok("for people: one line each, and for what is not met why and what to do",
              done.returncode == 1 and re.search(r"^FAIL  collector .*\n      why: .+\n      do:  curl ", done.stdout, re.MULTILINE)
              and re.search(r"^pass  CAP_BPF +held$", done.stdout, re.MULTILINE), done.stdout)


def main():
    checks, only = Checks("check"), sys.argv[1:]
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("check") as directory:
        status, rows, _ = check()
        checks.equal("this host is fit", status, 0)
        checks.ok("each row has a reason", all(row["why"] and "remedy" in row for row in rows.values()), rows)
        lines = run_to_end("probes", PROBEMETER)[1]
        checks.ok("'probes' says how an agent would attach, and not that there is one",
                  any(line.startswith("if an agent runs on this host, it attaches so: probes on") for line in lines), lines)
        usual = unmet(rows)  # what this very host lacks: a bpffs, a collector, time from the network
        checks.ok("what is not met here is not needed", usual <= {"bpffs", "collector", "clock is set", "pid namespace",
                                                                 "cgroup namespace"}, usual)
        for name, part in (("capabilities", lambda: capabilities(checks, usual)), ("namespaces", lambda: namespaces(checks, usual)),
                           ("kernels", lambda: kernels(checks, usual)), ("refusals", lambda: refusals(checks, usual)), ("running", lambda: running(checks, directory)),
                           ("clock", lambda: clock(checks, directory, usual)), ("bpffs", lambda: bpffs(checks)),
                           ("descriptors", lambda: descriptors(checks, usual)),
                           ("memory", lambda: memory(checks, directory, usual)),
                           ("collector", lambda: collector(checks, directory, usual))):
            if len(sys.argv) < 2 or name in sys.argv[1:]:
                with checks.run(name):
                    part()
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
