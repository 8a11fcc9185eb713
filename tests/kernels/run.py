#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Other kernels: boots Debian's in QEMU, lets the agent count in each, and compares with what the services fired.

  run.py               the oldest and the newest that count, and those that must be refused: part of `make test`
  run.py --all         every kernel, each also with full preemption and four CPUs: `make test-kernels`; README
                       gets the table of it, with what failed
  run.py --keep DIR    leave what the guests said there
  run.py --only PATTERN  the guests whose name has it
  run.py --machine arm64   the kernels for arm64 with the programs of `make arm64`: `make test-arm64`

The guest is an initramfs with this build's own programs and their libraries; init says what it does. Its clock is slow
(software emulation), so it fires thousands of events, not millions. One thread emulates all CPUs in turn: with one each,
QEMU 7.2 now and then runs instructions that another CPU has just replaced, and kernels that patch themselves die while
they boot.
"""
import argparse
import base64
import gzip
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from checks import Checks  # noqa: E402
from driven import drops, series  # noqa: E402
from found import REAL_TIME, Body, Guest, about, answers, publish, table  # noqa: E402
from machine import MACHINES  # noqa: E402
from process import BUILD, PR_SET_PDEATHSIG, ROOT, _libc, scratch  # noqa: E402
from test_exact import Truth, compare  # noqa: E402

SERVICES = ("hammer", "forker", "unwind")
RED_ZONE = {f"redzone{level}": level for level in ("-O0", "-O2")}
RED_ZONE_CALLS = 2000
MODES = ROOT / "tests/headers/modes"
BOOT_S = 300
# The emulation now and then stops while a kernel boots, long before anything of ours runs.
SILENT_S, BOOTS = 60, 3

# suite of the kernel, whether it is to be fully preemptible, CPUs, what to do; first, so that a plain run takes part of them
PLAIN, FULL = (False, 2), (True, 4)
COUNTS = ("bookworm", "jammy", "bookworm-backports", "trixie-backports")
X86_ALONE = ("jammy",)  # not in Debian; how it preempts is built in
# Where no task storage is to be had, as then the programs find out at each process's first event who it is: see processor().
SCARCE = ("trixie-backports", FULL, "scarce", None)
REFUSED = (("bookworm", "nobtf", r"BTF|btf"), ("bullseye", "refuse", None))


def initramfs(machine, directory):
    """A compressed archive of everything the guest needs."""
    tree = directory / "tree"
    for place in ("bin", "usr/bin"):
        (tree / place).mkdir(parents=True)
    shutil.copy(HERE / "init", tree / "init")
    shutil.copy(machine.busybox(), tree / "bin/busybox")
    programs = [machine.build / "probemeter", *(machine.build / "services" / name for name in SERVICES)]
    for name, level in RED_ZONE.items():
        path = directory / name
        subprocess.run([*machine.compiler, "-std=c11", level, f"-DCALLS={RED_ZONE_CALLS}", f"-I{ROOT}/include",
                        str(ROOT / "tests/e2e/redzone.c"), "-o", str(path)], check=True)
        programs.append(path)
    # Looks at itself, so no agent is to look at it, too.
    programs.append(directory / "modes")
    subprocess.run([*machine.compiler, "-std=c11", "-O2", f"-I{ROOT}/include", *map(str, (MODES / "main.c", MODES / "other.c")),
                    "-o", str(programs[-1])], check=True)
    subprocess.run(["/usr/bin/python3", "-B", str(MODES.parent / "notes.py"), "hide", str(programs[-1])], check=True)
    for program in programs:
        shutil.copy(program, tree / "bin" / program.name)
        for place, library in machine.libraries(program).items():
            to = tree / place.lstrip("/")
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, to)
    names = subprocess.run(["find", "."], cwd=tree, stdout=subprocess.PIPE, check=True).stdout
    archive = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=tree, input=names, stdout=subprocess.PIPE,
                             check=True).stdout
    path = directory / "initramfs"
    path.write_bytes(gzip.compress(archive, 1))
    return path


def boot(machine, suite, kernel, archive, words, cpus, part, directory, limit_s=BOOT_S, silent_s=SILENT_S):
    """{section: bytes} of what the guest said; what it said on its console under "console"."""
    directory.mkdir(parents=True, exist_ok=True)
    console, data = directory / "console", directory / "data"
    command = [*machine.emulator, "-cpu", machine.processor(suite, part), "-accel", "tcg,thread=single", "-m", "1G", "-smp", str(cpus), "-display", "none", "-monitor",
               "none", "-nic", "none", "-no-reboot", "-serial", f"file:{console}", *machine.data(data),
               "-kernel", str(kernel), "-initrd", str(archive), "-append",
               f"console={machine.console} quiet panic=-1 no_timer_check rdinit=/init pm.port={machine.port} pm.part={part} {words}".strip()]
    for _ in range(BOOTS):
        data.unlink(missing_ok=True)
        guest = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                 preexec_fn=lambda: _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
        try:
            begun = time.monotonic()
            while guest.poll() is None and time.monotonic() < begun + limit_s * machine.patience and \
                    (data.exists() and data.stat().st_size or time.monotonic() < begun + silent_s * machine.patience):
                time.sleep(0.1)
        finally:
            guest.kill()
            guest.wait()
        if data.exists() and data.stat().st_size:
            break
        print(f"     it did not come to its first program: {kernel}, booted again", flush=True)
    said = {"console": console.read_bytes() if console.exists() else b""}
    for section in re.split(r"^== ", data.read_text("ascii", "replace") if data.exists() else "", flags=re.M)[1:]:
        name, _, text = section.partition("\n")
        said[name.strip()] = base64.b64decode(re.sub(r"[^A-Za-z0-9+/=]", "", text))
    return said


def forks(checks, name, request, told):
    """Every command of forker: nobody died, all is counted."""
    fired = {}
    for number, answer in enumerate(told):
        checks.ok(f"{name}: forks, command {number + 1}: {answer['processes']} processes, none died",
                  answer["processes"] and not answer["died"], answer)
        for who, count in answer["fired"].items():
            fired[who,] = fired.get((who,), 0) + count
    found = series(request, "kernel-forker")
    for metric in ("forker.count", "forker.time"):
        checks.equal(f"{name}: forks: {metric}: {sum(fired.values())} events",
                     {key[1]: point.value for key, point in found.items() if key[0] == metric}, fired)


def counted(checks, name, said, full, cpus):
    """A guest in which the agent counted."""
    agent = said.get("agent", b"").decode(errors="replace")
    if not checks.ok(f"{name}: the guest came to its end", "end" in said and "body" in said,
                     said["console"][-600:].decode(errors="replace") + agent[-600:]):
        return
    checks.equal(f"{name}: CPUs", int(said["cpus"]), cpus)
    checks.ok(f"{name}: preemption is what was asked for", not full or about(said)["preempt"] in ("full", REAL_TIME), about(said))
    request = Body(said["body"])
    compare(checks, name, request, "kernel-hammer", Truth(answers(said, "hammer")[:1]))
    forks(checks, name, request, answers(said, "forker"))
    told = answers(said, "unwind")[0]
    checks.equal(f"{name}: exceptions: caught, destroyed, right", (told["caught"], told["alive"], told["wrong"]), (500, 0, 0))
    checks.equal(f"{name}: exceptions: all events are counted",
                 sum(p.value for key, p in series(request, "kernel-unwind").items() if key[0] == "unwind.count"), told["fired"])
    for service in RED_ZONE:
        checks.equal(f"{name}: {service}: wrong results of {RED_ZONE_CALLS} calls", answers(said, service)[0]["wrong"], [0, 0, 0])
        found = {}
        for (metric, _), point in series(request, f"kernel-{service}").items():
            found[metric] = found.get(metric, 0) + point.value
        checks.equal(f"{name}: {service}: every event is counted", sorted(found.values()), [RED_ZONE_CALLS] * 3)
    checks.equal(f"{name}: what arrives at each place, unwinding, levels over a fork: as ABI.md says",
                 said.get("modes", b"").decode(errors="replace").strip(), "exit 0")
    checks.equal(f"{name}: nothing is dropped", drops(request, ""), {})
    checks.equal(f"{name}: every service lives on", sorted(said["alive"].decode().split()), sorted([*SERVICES, *RED_ZONE]))
    checks.ok(f"{name}: the agent ended with status 0", agent.rstrip().endswith("exit 0"), agent[-300:])
    warned = [line for line in agent.splitlines() if re.search(r"\b(warning|error)\b", line) and "--max-overhead" not in line]
    checks.equal(f"{name}: no warning", warned, [])


def refused(checks, name, said, wanted):
    """A guest whose kernel does not do: it must be told so, by name."""
    for section in ("check", "refused"):
        text = said.get(section, b"").decode(errors="replace")
        checks.ok(f"{name}: '{section}' names what is missing", re.search(wanted, text), text[-600:] or said["console"][-600:])
        checks.ok(f"{name}: '{section}' fails", re.search(r"^exit 1$", text, re.M), text[-300:])


def is_there(checks, name, kernel):
    """One that scripts/tools.sh could not bring skips the guest; in CI it is an error."""
    note = kernel.with_name("why-not")
    why = note.read_text().strip() if note.exists() else ""
    if why and not os.environ.get("CI"):
        checks.skip(name, why)
        return False
    return checks.ok(f"{name}: its kernel is there", kernel.exists(), why or "scripts/tools.sh [kernels|arm64] brings it")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--only", default="", metavar="PATTERN")
    parser.add_argument("--machine", choices=MACHINES, default="x86-64")
    options = parser.parse_args()
    checks = Checks("kernels")
    machine = MACHINES[options.machine]
    if not shutil.which(machine.emulator[0]) or os.uname().machine != "x86_64":
        checks.skip("everything", f"no {machine.emulator[0]}; scripts/deps.sh installs it")
        return checks.finish()
    wanted = [(suite, how, "count", None) for suite in (COUNTS if options.all else (COUNTS[0], COUNTS[-1])) if suite not in X86_ALONE or machine.name == "x86-64"
              for how in ((PLAIN, FULL) if options.all else (PLAIN,))]
    if options.all and machine.name == "x86-64":
        wanted.append(SCARCE)
    wanted += [(suite, PLAIN, part, words or machine.oldest) for suite, part, words in REFUSED[:None if options.all else 1]]
    guests = []
    with scratch("kernels") as directory:
        archive = initramfs(machine, directory)
        for suite, (full, cpus), part, pattern in wanted:
            kernel, words = machine.kernel(suite, full)
            name = " ".join(word for word in (suite, "preempt=full" * full, f"{cpus} CPUs", part) if word)
            if not re.search(options.only, name):
                continue
            guest = Guest(suite, cpus, part)
            guests.append(guest)
            before = len(checks.failures)
            with checks.run(name):
                if is_there(checks, name, kernel):
                    place = (options.keep or directory) / name.replace(" ", "-")
                    begun = time.monotonic()
                    guest.said = boot(machine, suite, kernel, archive, words, cpus, part, place)
                    print(f"     {time.monotonic() - begun:.0f} s", flush=True)
                    if pattern:
                        refused(checks, name, guest.said, pattern)
                    else:
                        counted(checks, name, guest.said, full and suite not in X86_ALONE, cpus)
            guest.failures = [failure.removeprefix(f"{name}: ") for failure in checks.failures[before:]]
    lines = table(guests)
    print("\n".join(lines))
    if options.all:
        (machine.build / "kernels.md").write_text("\n".join(lines) + "\n")
        if not options.only:
            publish(lines, ROOT / "README.md", machine.name)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
