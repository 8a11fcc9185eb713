#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the attacks of this directory, one per file, at the agent and at the same agent with sanitizers.

    files/NAME.py       make(path) writes a file; `probemeter probes` must say EXPECT about it, in bounded time and memory.
                        Where it can be run (RUN), a running agent must survive it, too. disturb(path, stop) goes on meanwhile.
    services/NAME.py    make(path) writes a program that is run with ENVIRONMENT; the agent's log or table must show EXPECT,
                        and judge(message) find nothing wrong in the last export.
    services/NAME.c     the same in C, with "expects:" in its first comment.
    collectors/NAME.py  start(directory, stack) gives an agent's variables and what must hold afterwards; the log shows EXPECT.
    options/NAME.py     arguments(directory) gives a command line and variables; it must end and say EXPECT, and never NEVER.

EXPECT is a regular expression. Whatever is attacked, nothing that is printed gives a terminal an order, and a service beside
the attacks is counted to the unit. No sanitizer finds
anything, no system call is refused. Then one cycle of the agent runs under valgrind. Arguments choose attacks by name.
"""
import concurrent.futures
import contextlib
import importlib.util
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
import capture  # noqa: E402
from agent import PROBEMETER, Agent, Fired, build_fired, clean_environment, defects, own_name, wait_totals  # noqa: E402
from ask import ask  # noqa: E402
from checks import Checks  # noqa: E402
from process import BUILD, PR_SET_PDEATHSIG, ROOT, Failed, _libc, in_own_pid_namespace, scratch, wait_until  # noqa: E402

# What an agent may take at most, and what its sanitizers need besides.
AGENTS = [("agent", PROBEMETER, 160, 1.0), ("with sanitizers", BUILD / "unit/probemeter", 1200, 4.0)]
# What meets libcurl and no code of ours: once is enough.
OF_CURL = re.compile("certificate|insecure|plain|tls|redirect|continue|headers|status_line|http2")
# Ten thousand processes keep the host busy for a minute, and the kernel longer, which takes a probe out of each: only when
# named (make soak-flood).
NAMED = {"level_crowd"}
FILE_S, FILE_MIB = 10.0, 64
MOST_S = 120.0  # for whatever ends by itself, on a machine that is busy
# What is in a file can be told without any capability; with them, `probes` would try the kernel's probes each time.
UNPRIVILEGED = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
ORDERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Attack:
    """One file of this directory."""

    def __init__(self, path):
        self.path = path
        self.name = f"{path.parent.name}/{path.stem}"
        if path.suffix == ".c":
            comment = path.read_text().partition("*/")[0]
            self.expect = comment.partition("expects: ")[2].strip()
            self.module = None
            return
        spec = importlib.util.spec_from_file_location(path.stem, path)
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.expect = self.module.EXPECT

    def get(self, name, default):
        return getattr(self.module, name, default) if self.module else default

    def seen(self, output):
        return self.expect is None or re.search(self.expect, output)


def attacks(kind, chosen):
    found = [Attack(path) for path in sorted((HERE / kind).iterdir()) if path.suffix in (".py", ".c")]
    return [attack for attack in found if attack.path.stem in chosen or (not chosen and attack.path.stem not in NAMED)]


def run_measured(argv, timeout_s, **variables):
    """(exit status or None if it did not end, all output, seconds, MiB at most)."""
    started = time.monotonic()
    with subprocess.Popen([str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd="/",
                          stderr=subprocess.STDOUT, env=clean_environment(**variables)) as child:
        killer = threading.Timer(timeout_s, child.kill)
        killer.start()
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        killer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
    ended = child.returncode != -signal.SIGKILL
    return child.returncode if ended else None, output.decode(errors="surrogateescape"), time.monotonic() - started, \
        usage.ru_maxrss / 1024


def orders_in(output):
    """What a terminal would obey, or bytes that are no text."""
    return ascii(ORDERS.findall(output)[:5] + re.findall("[\udc80-\udcff]", output)[:5])


def alone(arguments, directory):
    """The command line of an agent that has a lock of its own and leaves nothing."""
    return [arguments[0], "--bpffs", directory / "none", "--run-dir", directory / "run", *arguments[1:]]


@contextlib.contextmanager
def disturbed(attack, path):
    stop = threading.Event()
    disturb = attack.get("disturb", None)
    thread = threading.Thread(target=disturb, args=(path, stop)) if disturb else None
    if thread:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if thread:
            thread.join()


def files(checks, label, binary, slow, more_mib, found, directory):
    for attack in found:
        path = directory / attack.path.stem
        attack.module.make(path)
        with disturbed(attack, path):
            runs = [run_measured([*UNPRIVILEGED, binary, "probes", *more, path], 4 * FILE_S * slow)
                    for more in [[]] * attack.get("TIMES", 1) + [["--json"]]]
        shown = [run for run in runs[:-1] if not attack.seen(run[1])]
        checks.ok(f"{label}: {attack.name}: is answered", not shown, shown[:1])
        bad = [run for run in runs if run[0] not in (0, 1) or run[2] > FILE_S * slow or run[3] > FILE_MIB + more_mib]
        checks.ok(f"{label}: {attack.name}: in bounded time and memory, status 0 or 1", not bad, bad[:1])
        orders = [run[1] for run in runs if orders_in(run[1]) != "[]"]
        checks.ok(f"{label}: {attack.name}: nothing that a terminal obeys", not orders, ascii(orders[:1])[:300])
        found_bad = [defects(run[1]) for run in runs if defects(run[1])]
        checks.ok(f"{label}: {attack.name}: no sanitizer finds anything", not found_bad, found_bad[:1])


def in_child():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def make_all(found, directory):
    """Every program that is not there yet."""
    found = [attack for attack in found if not (directory / attack.path.stem).exists()]

    def one(attack):
        path = directory / attack.path.stem
        subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O1", "-w", f"-I{ROOT}/include", str(attack.path), "-o",
                        str(path), "-lpthread"], check=True)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(one, [attack for attack in found if not attack.module]))
    for attack in found:
        if attack.module:
            attack.module.make(directory / attack.path.stem)


@contextlib.contextmanager
def started(found, directory):
    """Every attack that is a program, running; killed in the end."""
    running = []
    try:
        for attack in found:
            path = directory / attack.path.stem
            environment = clean_environment(OTEL_SERVICE_NAME=own_name(attack.path.stem))
            environment.update(attack.get("ENVIRONMENT", {}))
            running.append(subprocess.Popen([str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/",
                                            stderr=subprocess.DEVNULL, env=environment, preexec_fn=in_child))
        yield running
    finally:
        for child in running:
            child.kill()
        for child in running:
            child.wait()


def peak_mib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", text).group(1)) / 1024


def services(checks, label, binary, most_mib, slow, found, directory):
    """All at once, beside a service that does nothing wrong."""
    fired = directory / "fired"
    with capture.Server() as server, Fired(fired, "healthy") as healthy, started(found, directory) as running, \
            Agent(directory, binary=binary, OTEL_METRICS_EXPORTER="console,otlp", OTEL_METRIC_EXPORT_INTERVAL=1000,
                  OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp) as agent:
        agent.wait_attached(healthy.pid, fired, 60.0)
        healthy.fire(500)
        left = list(found)

        def all_seen():
            output = agent.output()
            left[:] = [attack for attack in left if not attack.seen(output)]
            return not left

        with contextlib.suppress(Failed):
            agent.wait_ready("every attack seen", all_seen, 15.0 * slow)
        healthy.fire(500)
        for attack in found:
            checks.ok(f"{label}: {attack.name}: is seen", attack not in left, f"not in the log or table: {attack.expect}")
        checks.equal(f"{label}: the service beside them is counted", wait_totals(server, healthy, 1000, 30.0), (1000,) * 3)
        for attack in [attack for attack in found if attack.get("judge", None)]:
            checks.equal(f"{label}: {attack.name}: is exported as it should", attack.module.judge(server.requests[-1].message()),
                         None)
        mine = [child.args[0] for child in running if child.poll() is not None]
        checks.equal(f"{label}: nobody's program has died", mine, [])
        checks.ok(f"{label}: at most {most_mib} MiB", peak_mib(agent.pid) <= most_mib, f"{peak_mib(agent.pid):.0f} MiB")
        print(f"     {peak_mib(agent.pid):.0f} MiB at most", flush=True)
        broken = [complaint for request in server.requests[-2:] for complaint in broken_rules(request)]
        checks.equal(f"{label}: exports obey the data model", broken[:3], [])
        checks.equal(f"{label}: ends with status 0", agent.stop(), 0)
        # Each probe that goes waits for the kernel, and that for whoever it has stopped: on a busy host for seconds.
        most_s = 60.0 if any(attack.path.stem in NAMED for attack in found) else 25.0
        checks.ok(f"{label}: in bounded time", agent.stop_s < most_s * slow, f"{agent.stop_s:.1f} s")
        output = agent.log.read_bytes().decode(errors="surrogateescape")
        checks.equal(f"{label}: nothing that a terminal obeys", orders_in(output), "[]")


def valgrind(checks, directory):
    """A full cycle: attach, count levels and events of services that lie too, export to two places, be asked, reload to another
    collector, end. Children are where the trial's own probe is hit, and a uprobe ends whoever runs under valgrind: they are
    left out. What bpf() has filled in counts as undefined or not by valgrind's own idea of each command: valgrind.supp."""
    # Those that only wait: under valgrind the agent has little of a CPU as it is.
    found = [attack for attack in attacks("services", set()) if attack.module]
    make_all(found, directory)
    fired, report, configuration = directory / "fired", directory / "valgrind.log", directory / "valgrind.conf"
    prefix = [shutil.which("valgrind"), "-q", "--vgdb=no", "--error-exitcode=9", "--leak-check=full",
              "--child-silent-after-fork=yes", f"--suppressions={HERE}/valgrind.supp", f"--log-file={report}"]
    with Fired(fired, "memory") as service, started(found, directory), capture.Server() as first, capture.Server() as second:
        configuration.write_text(f"endpoint = {first.otlp}\n")
        with Agent(directory, "--config", configuration, prefix=prefix, OTEL_METRICS_EXPORTER="console,otlp",
                   OTEL_METRIC_EXPORT_INTERVAL=2000) as agent:
            agent.wait_attached(service.pid, fired, MOST_S)
            service.fire(200)
            checks.equal("valgrind: it attached, counted and exported", wait_totals(first, service, 200, MOST_S), (200,) * 3)
            checks.equal("valgrind: it answers", ask(agent.socket, "/api/snapshot", timeout_s=MOST_S)[0], 200)
            configuration.write_text(f"endpoint = {second.otlp}\n")
            agent.signal(signal.SIGHUP)
            service.fire(200)
            checks.equal("valgrind: after a reload it goes on at another collector", wait_totals(second, service, 400, MOST_S),
                         (400,) * 3)
            checks.ok("valgrind: it reads levels of services that lie", "level.own" in agent.output(), agent.tail())
            checks.equal("valgrind: ends with status 0, which no error or leak would let it", agent.stop(MOST_S), 0)
            said = [line for line in report.read_text().splitlines() if line.startswith("==")]  # others name calls that it does not know
            checks.ok("valgrind: no error and no leak in a full cycle", not said, "\n       ".join(said[:25]))


def broken_rules(request):
    import otlp
    return otlp.complaints(request.message())


def collector(label, binary, slow, attack, timeout_ms):
    """(check's name, condition, detail) of one; several run at a time."""
    with scratch("hostile-collector") as directory, contextlib.ExitStack() as stack:
        variables, holds = attack.module.start(directory, stack)
        variables = {"OTEL_METRIC_EXPORT_TIMEOUT": timeout_ms, "OTEL_EXPORTER_OTLP_TIMEOUT": timeout_ms, **variables}
        status, output, seconds, _ = run_measured([binary, *alone(["run", "--once", "--interval", "200"], directory)],
                                                  MOST_S, **variables)
        held = holds()
        wanted = attack.expect is None and "failed" not in output or attack.expect is not None and attack.seen(output)
        return [(f"{label}: {attack.name}: is said", wanted, output[-600:]),
                (f"{label}: {attack.name}: what must hold does", held, output[-300:]),
                (f"{label}: {attack.name}: ends by itself", status in (0, 1),
                 f"status {status}, {seconds:.1f} s"),
                (f"{label}: {attack.name}: no system call is refused, no sanitizer finds anything", not defects(output), defects(output)),
                (f"{label}: {attack.name}: nothing that a terminal obeys", orders_in(output) == "[]", orders_in(output))]


def collectors(checks, label, binary, slow, found):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for results in pool.map(lambda attack: collector(label, binary, slow, attack, 3000 if slow == 1 else 12000), found):
            for name, condition, detail in results:
                checks.ok(name, condition, detail)


def options(checks, label, binary, slow, found):
    for attack in found:
        with scratch("hostile-options") as directory:
            arguments, variables = attack.module.arguments(directory)
            status, output, seconds, _ = run_measured([binary, *alone(arguments, directory)], MOST_S, **variables)
        never = attack.get("NEVER", None)
        checks.ok(f"{label}: {attack.name}: is said", attack.seen(output) and not (never and re.search(never, output)),
                  output[-600:])
        checks.ok(f"{label}: {attack.name}: ends by itself", status is not None, f"{seconds:.1f} s")
        checks.equal(f"{label}: {attack.name}: no sanitizer finds anything", defects(output), [])


@contextlib.contextmanager
def timed():
    begun = time.monotonic()
    yield
    print(f"     {time.monotonic() - begun:.1f} s", flush=True)


def main():
    checks = Checks("hostile")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    in_own_pid_namespace()
    chosen = set(sys.argv[1:])
    for label, binary, most_mib, slow in AGENTS:
        with scratch("hostile") as directory:
            with timed(), checks.run(f"{label}: options"):
                options(checks, label, binary, slow, attacks("options", chosen))
            with timed(), checks.run(f"{label}: collectors"):
                found = attacks("collectors", chosen)
                collectors(checks, label, binary, slow,
                           [attack for attack in found if slow == 1 or not OF_CURL.match(attack.path.stem)])
            with timed(), checks.run(f"{label}: files"):
                files(checks, label, binary, slow, most_mib if slow > 1 else 0, attacks("files", chosen), directory)
            with timed(), checks.run(f"{label}: services"):
                found = attacks("services", chosen)
                build_fired(directory)
                make_all(found, directory)
                # Files that can be run: what is said of them is the same, now by an agent.
                found += [attack for attack in attacks("files", chosen) if attack.get("RUN", True)]
                services(checks, label, binary, most_mib, slow, found, directory)
            if slow == 1:
                with timed(), checks.run("valgrind"):
                    valgrind(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
