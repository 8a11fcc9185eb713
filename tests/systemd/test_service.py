#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""The package as a service of a real systemd: installed, reloaded, restarted, hung, upgraded, stopped and purged.

A small Debian (scripts/tools.sh debian) boots in QEMU with the newest kernel, as its own initramfs; the packages that `make deb`
has built are in it, and tests/systemd/steps is what happens there. A service fires through all of it, and what is exported
after each step is compared with what it fired. No systemd runs on this machine but its own.

  test_service.py [--keep DIR]    part of `make test-packages`; leave what the guest said in DIR
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "e2e"), str(HERE.parent / "kernels")]

from checks import Checks  # noqa: E402
from driven import drops, series, steps_back  # noqa: E402
from found import Body  # noqa: E402
from machine import MACHINES  # noqa: E402
from process import BUILD, TOOLS, scratch  # noqa: E402
from run import boot  # noqa: E402
from test_exact import Truth, compare  # noqa: E402
from test_packages import next_version  # noqa: E402

MACHINE, SUITE, CPUS = MACHINES["x86-64"], "trixie-backports", 2
DEBIAN = TOOLS / "debian/root.cpio"
LIMIT_S, SILENT_S = 1500, 240
EXPOSURE = 3.0
# As README and the unit list them: what /proc shows as bits.
CAPABILITIES = {"CAP_DAC_READ_SEARCH": 2, "CAP_SYS_PTRACE": 19, "CAP_LEASE": 28, "CAP_PERFMON": 38, "CAP_BPF": 39,
                "CAP_CHECKPOINT_RESTORE": 40}
SERVICE = "hammer"  # by its unit
# The service does nothing but fire. Debian's kernels have kernel.perf_event_paranoid=3, and refuse records of processes to the unit.
# An export that was under way when the interval changed is sent again.
EXPECTED = r"--max-overhead|the kernel tells of no new processes: Permission denied|failed: stopped"


def initramfs(directory, packages):
    """Debian, and over it what is tested and what tests it. A kernel unpacks one archive after the other."""
    tree = directory / "tree"
    for source, target in ((HERE / "steps", "usr/local/bin/steps"), (BUILD / "services/hammer", "usr/local/bin/hammer"),
                           (HERE / "guest.service", "etc/systemd/system/guest.service"),
                           (HERE / "hammer.service", "etc/systemd/system/hammer.service"),
                           (HERE / "slow.conf", "etc/systemd/system/probemeter.service.d/slow.conf"),
                           *((path, f"packages/{name}") for name, path in packages.items())):
        (tree / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tree / target)
    wants = tree / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    (wants / "guest.service").symlink_to("../guest.service")
    (tree / "init").symlink_to("/lib/systemd/systemd")
    (tree / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (tree / "etc/hostname").write_text("guest\n")
    (tree / "etc/hosts").write_text("127.0.0.1 localhost guest\n")
    path = directory / "initramfs"
    shutil.copy(DEBIAN, path)
    names = subprocess.run(["find", ".", "-mindepth", "1"], cwd=tree, stdout=subprocess.PIPE, check=True).stdout
    with open(path, "ab") as out:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=tree, input=names, stdout=out, check=True)
    return path


class Guest:
    """What the guest said, section by section."""

    def __init__(self, said):
        self._said = said

    def text(self, section):
        return self._said.get(section, b"").decode(errors="replace")

    def properties(self, section):
        """What systemctl show said."""
        return dict(line.split("=", 1) for line in self.text(section).splitlines() if "=" in line)

    def body(self, section):
        return Body(self._said[section])

    def truth(self, section):
        return Truth([json.loads(self.text(section))])


def succeeded(checks, guest, *sections):
    for section in sections:
        text = guest.text(section)
        checks.ok(f"{section}: succeeds", text.endswith("exit 0\n"), text[-600:])


def started(checks, guest):
    """After its installation it is a service like any other; configured by a reload, it counts."""
    succeeded(checks, guest, "install", "configured", "check")
    checks.equal("install: enabled", guest.text("enabled"), "enabled\nexit 0\n")
    idle = guest.properties("installed")
    checks.equal("install: active", (idle.get("ActiveState"), idle.get("SubState"), idle.get("Result")),
                 ("active", "running", "success"))
    checks.ok("install: the status says why it does nothing yet", "endpoint" in idle.get("StatusText", "").lower() or
              "ENDPOINT" in idle.get("StatusText", ""), idle.get("StatusText"))
    running = guest.properties("running")
    checks.equal("how it is run", {name: running.get(name) for name in ("Type", "User", "Group", "NotifyAccess", "WatchdogUSec")},
                 {"Type": "notify", "User": "probemeter", "Group": "probemeter", "NotifyAccess": "main", "WatchdogUSec": "1min"})
    checks.ok("the status has what is attached and how the export went",
              re.search(r"1 binaries attached; export to http://127\.0\.0\.1:4318\S*: delivered", running.get("StatusText", "")),
              running.get("StatusText"))


def confined(checks, guest):
    """As its own user, with its capabilities and no others, behind its filter."""
    status = dict(line.split(":\t", 1) for line in guest.text("status").splitlines() if ":\t" in line)
    wanted = sum(1 << bit for bit in CAPABILITIES.values())
    for name in ("CapPrm", "CapEff", "CapBnd"):
        checks.equal(f"{name} is {', '.join(CAPABILITIES)}", int(status.get(name, "0"), 16), wanted)
    checks.equal("no_new_privs, a seccomp filter", (status.get("NoNewPrivs"), status.get("Seccomp")), ("1", "2"))
    checks.ok("a user of its own", status.get("Uid") and len(set(status["Uid"].split())) == 1 and status["Uid"].split()[0] != "0",
              status.get("Uid"))
    level = re.search(r"Overall exposure level for probemeter\.service: ([\d.]+)", guest.text("security"))
    checks.ok(f"systemd-analyze security: exposure {level[1] if level else '?'}, at most {EXPOSURE}",
              level and float(level[1]) <= EXPOSURE, guest.text("security")[-600:])


def counted(checks, guest):
    """Each event is in the totals, whatever happened to the agent while it was fired; start times stay."""
    requests = []
    for step in ("counted", "restarted", "hung", "upgraded", "reloaded", "stopped"):
        with checks.run(step):
            request = guest.body(step)
            requests.append(request)
            compare(checks, step, request, SERVICE, guest.truth(f"{step}-truth"))
            checks.equal(f"{step}: nothing is dropped", drops(request, "hammer."), {})
    checks.equal("no total fell, and no start time moved, from step to step", steps_back(requests, {SERVICE})[:5], [])
    starts = {point.point.start_time_unix_nano for request in requests for key, point in series(request, SERVICE).items()
              if key[0] == "hammer.count.none"}
    checks.equal("one start time through all of it", len(starts), 1)


def watched(checks, guest):
    """systemd's side of each step."""
    succeeded(checks, guest, "restart", "watchdog", "upgrade", "reload", "stop", "start")
    for section in ("restarted-state", "watchdog-state", "upgraded-state"):
        state = guest.properties(section)
        checks.equal(f"{section}: active", (state.get("ActiveState"), state.get("Result")), ("active", "success"))
    journal = guest.text("journal")
    checks.ok("the hung agent was ended by the watchdog", re.search(r"probemeter\.service: Watchdog timeout", journal), journal[-600:])
    checks.ok("and started again", re.search(r"probemeter\.service: Scheduled restart job", journal), journal[-600:])
    checks.ok("the next version is installed", guest.text("upgraded-version").endswith("+next"), guest.text("upgraded-version"))
    before, after = guest.text("reloaded-pids").split()
    checks.equal("a reload starts no other process", before, after)
    checks.ok("a reload says what changed", "reload: interval, by /etc/probemeter/probemeter.conf" in guest.text("reloaded-log"),
              guest.text("reloaded-log"))
    checks.equal("the sandbox refused nothing", re.findall(r".*sandbox:.*", journal), [])
    checks.equal("the kernel killed nothing for a system call", re.findall(r".*type=1326.*", guest.text("dmesg")), [])
    entries = [json.loads(line) for line in guest.text("objects").splitlines()]
    checks.ok("the journal finds by PROBEMETER_OBJECT what was attached", entries and all(
        entry.get("PROBEMETER_OBJECT") == "/usr/local/bin/hammer" and entry["SYSLOG_IDENTIFIER"] == "probemeter" for entry in entries) and
        any("attached:" in entry["MESSAGE"] for entry in entries), entries[:2])
    warned = [line for line in guest.text("warnings").splitlines() if not re.search(EXPECTED, line)]
    checks.equal("it warns of nothing else", warned, [])


def left(checks, guest):
    """What a stop leaves on purpose, and that a purge leaves nothing."""
    state = guest.properties("stopped-state")
    checks.equal("stopped: inactive", (state.get("ActiveState"), state.get("Result")), ("inactive", "success"))
    checks.ok("stopped: links and maps stay pinned", len(guest.text("stopped-pins").splitlines()) > 20, guest.text("stopped-pins"))
    processes = guest.text("stopped-processes").splitlines()
    checks.ok("stopped: of its processes the guard stays, alone", len(processes) == 1 and "probemeter-guard" in processes[0], processes)
    checks.equal("stopped: services are listened to", json.loads(guest.text("enabled-before"))["enabled"], True)
    succeeded(checks, guest, "purge")
    checks.equal("purged: services are not listened to", json.loads(guest.text("enabled-after"))["enabled"], False)
    checks.equal("purged: the service lives on", guest.text("hammer").strip(), "active")
    rows = json.loads(guest.text("probes-after") or "[]")
    checks.ok("purged: no semaphore is raised", rows and not any(row["attached"] for row in rows), rows[:2])
    checks.equal("purged: as before the installation, no file, user, process or unit", guest.text("after"), guest.text("before"))

    def names(section):
        return sorted(re.findall(r"name (\S+)", guest.text(section))), len(re.findall(r"uprobe|kprobe|perf_event", guest.text(section)))

    before, after = names("kernel-before"), names("kernel-after")
    checks.equal("purged: as before the installation, no BPF program, map or link",
                 ([name for name in after[0] if not name.startswith("sd_")], after[1]),
                 ([name for name in before[0] if not name.startswith("sd_")], before[1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=pathlib.Path)
    options = parser.parse_args()
    checks = Checks("service")
    package = next(iter(sorted((BUILD / "deb").glob("probemeter_*.deb"))), None)
    for what, there, remedy in (("qemu-system-x86_64", shutil.which("qemu-system-x86_64"), "scripts/deps.sh test"),
                                ("an x86-64 host", os.uname().machine == "x86_64", "there are no kernels for another one"),
                                ("a kernel", MACHINE.kernel(SUITE, False)[0].exists(), "scripts/tools.sh"),
                                ("a small Debian", DEBIAN.exists(), "scripts/tools.sh debian")):
        if not there:
            checks.skip("everything", f"no {what}: {remedy}")
            return checks.finish()
    if not checks.ok("the package is there", package, "make deb"):
        return checks.finish()
    with scratch("service") as directory:
        archive = initramfs(directory, {"probemeter.deb": package, "next.deb": next_version(directory, package)})
        said = boot(MACHINE, SUITE, MACHINE.kernel(SUITE, False)[0], archive, "systemd.show_status=false systemd.mask=getty.target", CPUS, "service", options.keep or directory / "said", LIMIT_S,
                    SILENT_S)
        guest = Guest(said)
        if options.keep:
            for name, content in said.items():
                (options.keep / f"{name}.txt").write_bytes(content)
        if not checks.ok("the guest came to its end", "end" in said and "kernel-after" in said,
                         guest.text("console")[-1500:] + guest.text("steps")[-1500:]):
            checks.ok("its last words", False, guest.text("journal")[-3000:])
        print(f"{guest.text('systemd').strip()}, Linux {guest.text('release').strip()}")
        for part in (started, confined, counted, watched, left):
            with checks.run(part.__name__):
                part(checks, guest)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
