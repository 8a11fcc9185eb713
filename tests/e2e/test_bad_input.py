#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""What the agent does with bad input: flags, variables, collectors, privileges, binaries.

Each case expects a clear message that names the object, or a counted drop, and that whatever is healthy beside the
bad input is still counted to the unit.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

import capture
import elf
from agent import PROBEMETER, Agent, Fired, build_fired, held_programs, run_to_end, wait_totals
from checks import Checks
from process import PATIENCE, Failed, free_port, scratch, wait_until

INTERVAL_MS = 400
GIVE_UP_MS = 700  # of one export with all its tries
TRIES = 4  # failing exports that an outage lasts after it was first complained of


def mentions(lines, *words):
    """Lines that hold every one of @words."""
    return [line for line in lines if all(word in line for word in words)]


def wrong_arguments(checks):
    """A wrong flag or command ends with status 2 and one line that names it and what was expected."""
    cases = [
        (["run", "--no-such-flag"], "--no-such-flag"),
        (["run", "--interval", "soon"], "soon"),
        (["run", "--interval"], "--interval"),
        (["run", "--exporter", "carrier-pigeon"], "carrier-pigeon"),
        (["no-such-command"], "no-such-command"),
        (["run", "stray-operand"], "stray-operand"),
    ]
    for arguments, name in cases:
        status, out, err = run_to_end(*arguments)
        shown = " ".join(arguments)
        checks.equal(f"'{shown}': exit status", status, 2)
        checks.ok(f"'{shown}': one line on stderr that names it", len(err) == 1 and name in err[0] and not out,
                  f"stdout {out}, stderr {err}")
        checks.ok(f"'{shown}': says what was expected", any(re.search(r"expect|unknown|needs|one of|try", line)
                                                            for line in err), err)


def unwritten(checks, directory, _):
    """Output that cannot be written is an error of its command; an agent says so once, and counts on."""
    full = directory / "full.err"
    for arguments in (["check"], ["probes", PROBEMETER], ["probes", "--json", PROBEMETER], ["--help"], ["--version"]):
        with open("/dev/full", "wb") as out, open(full, "wb") as err:
            status = subprocess.run([PROBEMETER, *arguments], stdout=out, stderr=err, check=False, timeout=60 * PATIENCE).returncode
        lines = full.read_text().splitlines()
        checks.ok(f"'{arguments[0]}' to a full disk: status 1 and one line", status == 1 and len(lines) == 1 and
                  "the output cannot be written" in lines[0], (status, lines))
    for name, shell in (("a full disk", "exec \"$@\" >/dev/full"), ("a pipe that is closed", "exec \"$@\" > >(exec true)")):
        with Agent(directory, "--exporter", "console,prometheus", "--prometheus-port", "0", "--interval", "200",
                   prefix=[shutil.which("bash"), "-c", shell, "bash"]) as agent:
            agent.wait_ready("the warning", lambda: mentions(agent.lines(), "console: standard output cannot be written"))
            time.sleep(1.5)
            checks.equal(f"console to {name}: one warning for many intervals", len(agent.warnings(directory)), 1)
            status, lines, _ = run_to_end("snapshot", "--run-dir", agent.socket.parent)
            checks.ok(f"console to {name}: the agent lives and shows it", status == 0 and
                      any("console to standard output: failing" in line for line in lines), lines[-8:])
            checks.ok("a page that nobody has asked for is no exporter that fails to start",
                      any(re.search(r"prometheus on http://\S+: listening, not scraped yet", line) for line in lines), lines[-8:])
            with open("/dev/full", "wb") as out:
                done = subprocess.run([PROBEMETER, "snapshot", "--run-dir", agent.socket.parent], stdout=out, stderr=subprocess.PIPE,
                                      check=False, timeout=60 * PATIENCE)
            checks.ok("'snapshot' to a full disk: status 1 and one line", done.returncode == 1 and
                      done.stderr.count(b"\n") == 1 and b"the output cannot be written" in done.stderr, done)


def program_ids():
    """Ids of all BPF programs that the kernel holds."""
    listing = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True).stdout
    return {row["id"] for row in json.loads(listing or b"[]")}


def held_by_others(pid):
    """Ids of the BPF programs that processes other than @pid hold."""
    held = set()
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        if process.name != str(pid):
            held |= held_programs(process.name)
    return held


def no_op(checks, directory, _):
    """Switched off, the agent says so in one line that names the variable, loads nothing, and waits for SIGTERM."""
    endpoint = f"http://127.0.0.1:{free_port()}"
    cases = [
        ("ENABLE_TRACING=false", "ENABLE_TRACING", dict(ENABLE_TRACING="false", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)),
        ("OTEL_SDK_DISABLED=true", "OTEL_SDK_DISABLED",
         dict(OTEL_SDK_DISABLED="true", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)),
        ("no endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", {}),
        ("an empty endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", dict(OTEL_EXPORTER_OTLP_ENDPOINT="")),
        ("OTEL_METRICS_EXPORTER=none", "OTEL_METRICS_EXPORTER",
         dict(OTEL_METRICS_EXPORTER="none", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)),
    ]
    for name, variable, environment in cases:
        before = program_ids()
        with Agent(directory, **environment) as agent:
            wait_until(f"{name}: a line", agent.lines, 5.0)
            time.sleep(1.2)  # processes are looked at within a second
            checks.ok(f"{name}: waits", agent.running(), f"exited: {agent.tail()}")
            lines = agent.lines()
            checks.ok(f"{name}: one line that names {variable}", len(lines) == 1 and variable in lines[0], lines)
            if agent.running():
                checks.equal(f"{name}: holds no BPF object", agent.loaded_bpf(), 0)
            # Another process may load BPF meanwhile; a new program that nobody else holds must not be there.
            new = program_ids() - before
            checks.equal(f"{name}: loads no BPF program", new and new - held_by_others(agent.pid), set())
            checks.equal(f"{name}: SIGTERM ends it with status 0", agent.stop(), 0)
            checks.ok(f"{name}: at once", agent.stop_s < 1.0 * PATIENCE, f"{agent.stop_s:.2f} s")

    # The same look at an agent that does work: otherwise the checks above could not fail.
    before = program_ids()
    with Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as agent:
        def ours():
            return (program_ids() - before) & held_programs(agent.pid)

        loaded = agent.wait_ready("a working agent is seen to load BPF programs", ours)
        checks.ok("a working agent is seen to hold BPF objects", agent.loaded_bpf() >= len(loaded), agent.loaded_bpf())
        checks.equal("a working agent ends with status 0", agent.stop(), 0)
    wait_until("its BPF programs are gone", lambda: not loaded & program_ids(), 5.0)


def bad_interval(checks, directory, _):
    """A bad OTEL_METRIC_EXPORT_INTERVAL is named in a warning, and the default of 10 s holds."""
    with capture.Server() as server:
        for value in ("abc", "-5", "0", "10s", "99999999999999999999"):
            with Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=value) as agent:
                found = agent.wait_ready("a warning", lambda: mentions(agent.warnings(directory),
                                                                       "OTEL_METRIC_EXPORT_INTERVAL"))
                checks.ok(f"'{value}': one warning that shows the value", len(found) == 1 and value in found[0],
                          agent.lines())
                if value == "abc":
                    first = server.wait_requests(2, 25.0)
                    gap = (first[-1].time_ns() - first[-2].time_ns()) / 1e9
                    checks.ok("exports every 10 s all the same", 9.0 <= gap <= 11.5, f"{gap:.2f} s apart")
                checks.equal(f"'{value}': ends with status 0", agent.stop(), 0)


def agent_for(directory, server, **variables):
    """An agent that exports often, and gives up an export soon enough to see many of them fail."""
    variables = {"OTEL_METRIC_EXPORT_INTERVAL": INTERVAL_MS, "OTEL_METRIC_EXPORT_TIMEOUT": GIVE_UP_MS,
                 "OTEL_EXPORTER_OTLP_TIMEOUT": GIVE_UP_MS, **variables}
    return Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, **variables)


def outlast(agent, directory, mark):
    """Wait for the first complaint after @mark lines and then for TRIES more failing exports; all complaints."""
    try:
        wait_until("a complaint", lambda: agent.warnings(directory, mark), 15.0)
    except Failed:
        return []
    time.sleep(TRIES * max(INTERVAL_MS, GIVE_UP_MS) / 1000)
    return agent.warnings(directory, mark)


def outage(checks, directory, binary):
    """A collector that is down costs one warning per outage, not per try, and loses nothing of the totals."""
    with capture.Server() as server, Fired(binary, "outage") as fired, agent_for(directory, server) as agent:
        agent.wait_attached(fired.pid, binary)
        fired.fire(10)
        checks.equal("before the outage all is exported", wait_totals(server, fired, 10), (10, 10, 10))
        for number, close in enumerate((server.close_door, lambda: setattr(server, "answer", capture.status(503))), 1):
            name = ("refused connections", "503")[number - 1]
            mark = len(agent.lines())
            close()
            fired.fire(1000)
            found = outlast(agent, directory, mark)
            fired.fire(100)
            checks.equal(f"{name}: warnings in an outage of more than {TRIES} exports", len(found), 1)
            checks.ok(f"{name}: the warning names the endpoint", mentions(found, f"127.0.0.1:{server.port}"), found)
            server.answer = capture.OK
            server.open_door()
            want = 10 + number * 1100
            checks.equal(f"{name}: totals are complete afterwards", wait_totals(server, fired, want, 40.0), (want,) * 3)
            checks.equal(f"{name}: no second warning", len(agent.warnings(directory, mark)), 1)
        checks.equal("ends with status 0", agent.stop(), 0)
    torn = [r for r in server.requests if r.body and not r.points()]
    checks.equal("every request decoded strictly", torn, [])


def never_there(checks, directory, binary):
    """A collector that appears only after the agent: one warning until then, and the totals from the attach on."""
    with capture.Server() as server, Fired(binary, "never-there") as fired:
        server.close_door()
        with agent_for(directory, server) as agent:
            agent.wait_attached(fired.pid, binary)
            fired.fire(77)
            checks.equal("one warning before it appears", len(outlast(agent, directory, 0)), 1)
            server.open_door()
            checks.equal("totals are complete afterwards", wait_totals(server, fired, 77, 40.0), (77,) * 3)

    with capture.Server() as server, Fired(binary, "down-at-end") as fired:
        server.close_door()
        with agent_for(directory, server) as agent:
            agent.wait_attached(fired.pid, binary)
            checks.equal("SIGTERM with the collector down: status 0", agent.stop(), 0)
            checks.ok("SIGTERM with the collector down: in bounded time", agent.stop_s < 5.0 * PATIENCE, f"{agent.stop_s:.1f} s")


def not_otlp(checks, directory, binary):
    """An endpoint that answers, but not as OTLP does: said once, with the endpoint and what came; nothing is lost."""
    kinds = [
        ("HTML with 404", capture.HTML_404, "404"),
        ("HTML with 200", capture.HTML_200, "html"),
        ("garbage with 200", capture.GARBAGE, ""),
        ("an answer torn off", capture.TORN, ""),
        ("hanging up", capture.DROP, ""),
        ("status 500", capture.status(500), "500"),
    ]
    for name, answer, word in kinds:
        with capture.Server() as server, Fired(binary, "not-otlp") as fired, agent_for(directory, server) as agent:
            agent.wait_attached(fired.pid, binary)
            fired.fire(5)
            wait_totals(server, fired, 5)
            mark = len(agent.lines())
            count = server.count()
            server.answer = answer
            fired.fire(50)
            started = time.monotonic()
            found = outlast(agent, directory, mark)
            tries, most = server.count() - count, (time.monotonic() - started) * 1000 / INTERVAL_MS + 2
            checks.equal(f"{name}: one warning over {TRIES} exports", len(found), 1)
            checks.ok(f"{name}: it names the endpoint" + (f" and '{word}'" if word else ""),
                      mentions(found, f"127.0.0.1:{server.port}", word), found)
            if answer is not capture.DROP and answer is not capture.TORN:  # those two may be tried again
                checks.ok(f"{name}: not retried", tries <= most, f"{tries} requests where {most:.0f} were due")
            server.answer = capture.OK
            checks.equal(f"{name}: totals are complete afterwards", wait_totals(server, fired, 55, 40.0), (55,) * 3)
            checks.equal(f"{name}: ends with status 0", agent.stop(), 0)

    with capture.Server(capture.stall(30)) as server, Fired(binary, "stalled") as fired, \
            agent_for(directory, server) as agent:
        agent.wait_attached(fired.pid, binary)
        wait_until("a warning", lambda: agent.warnings(directory), 15.0)
        checks.equal("a collector that stalls: SIGTERM ends with status 0", agent.stop(), 0)
        checks.ok("a collector that stalls: in bounded time", agent.stop_s < 5.0 * PATIENCE, f"{agent.stop_s:.1f} s")


def without_privilege(checks, directory, _):
    """Without the privilege it needs the agent exits at once and names the capability that is missing."""
    copy = shutil.copy(PROBEMETER, directory / "probemeter")  # nobody may be unable to reach the work tree
    os.chmod(copy, 0o755)
    os.chmod(directory, 0o755)
    endpoint = f"http://127.0.0.1:{free_port()}"
    cases = [
        ("as nobody", ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
         r"CAP_(BPF|PERFMON|SYS_ADMIN|SYS_PTRACE)"),
        ("as root without CAP_BPF and CAP_SYS_ADMIN",
         ["setpriv", "--bounding-set=-bpf,-sys_admin", "--inh-caps=-bpf,-sys_admin"], r"CAP_(BPF|SYS_ADMIN)"),
        ("as root without CAP_PERFMON and CAP_SYS_ADMIN",
         ["setpriv", "--bounding-set=-perfmon,-sys_admin", "--inh-caps=-perfmon,-sys_admin"],
         r"CAP_(PERFMON|SYS_ADMIN)"),
    ]
    for name, prefix, pattern in cases:
        try:
            status, _, err = run_to_end("run", prefix=prefix, binary=copy, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        except Failed as error:
            checks.ok(f"{name}: exits", False, str(error))
            continue
        checks.ok(f"{name}: exit status is an error", status not in (0, 2) and status > 0, f"status {status}")
        checks.ok(f"{name}: names the capability", any(re.search(pattern, line) for line in err), err)
        checks.ok(f"{name}: in at most three lines", 1 <= len(err) <= 3, err)


def torn(note, image, how):
    """Damage one descriptor note of @image in the way called @how."""
    if how == "the note runs past its segment":
        struct.pack_into("<I", image, note.header + 4, 0xfffffff0)
    elif how == "the note is cut to nothing":
        struct.pack_into("<I", image, note.header + 4, 0)
    elif how == "a field runs past the note":
        struct.pack_into("<H", image, note.descriptor + 2, 0xfffc)
    elif how == "its text lies nowhere":
        offset, _, _ = note.fields[elf.TAG_TEXT]
        struct.pack_into("<i", image, offset, 0x7ffffff0)
    elif how == "its semaphore lies nowhere":
        offset, _, _ = note.fields[elf.TAG_SEMAPHORE]
        struct.pack_into("<i", image, offset, -0x7ffffff0)
    elif how == "its site lies nowhere":
        offset, _, _ = note.fields[4]
        struct.pack_into("<i", image, offset, 0x7ffffff0)
    elif how == "its kind is unknown":
        struct.pack_into("<I", image, note.fields[elf.TAG_METRIC][0], 4711)
    elif how == "it has too many labels":
        struct.pack_into("<I", image, note.fields[elf.TAG_METRIC][0] + 4, 0xffffffff)
    elif how == "all its bytes are 0xff":
        image[note.descriptor:note.descriptor + note.size] = b"\xff" * note.size
    else:
        raise ValueError(how)


TORN = ["the note runs past its segment", "the note is cut to nothing", "a field runs past the note",
        "its text lies nowhere", "its semaphore lies nowhere", "its site lies nowhere", "its kind is unknown",
        "it has too many labels", "all its bytes are 0xff"]


def torn_notes(checks, directory, binary):
    """A descriptor that is damaged is named with its file, once; the service runs on, and others are counted."""
    with capture.Server() as server, Fired(binary, "healthy") as healthy, agent_for(directory, server) as agent:
        agent.wait_attached(healthy.pid, binary)
        for number, how in enumerate(TORN):
            image = elf.Elf(binary)
            torn(image.notes()[0], image.image, how)
            path = image.write(directory / f"torn-{number}")
            with Fired(path, f"torn-{number}") as service:
                agent.wait_ready(f"{how}: a line about {path.name}", lambda: mentions(agent.lines(), path.name), 10.0)
                service.fire(20)
                time.sleep(1.3)  # it must not say so again
                found = mentions(agent.warnings(directory), path.name)
                # What follows a note of wrong size may be unreadable too, and is said so.
                checks.ok(f"{how}: one warning that names the file", len(found) == 1 or len(found) == 2 and
                          how.startswith("the note"), found)
                checks.equal(f"{how}: the service runs on", service.fire(1), 21)
            status, out, err = run_to_end("probes", path)
            checks.ok(f"{how}: 'probes' names it and ends by itself", status in (0, 1) and
                      mentions(out + err, path.name), f"status {status}, stdout {out[:3]}, stderr {err[:3]}")
        healthy.fire(500)
        checks.equal("the healthy service is counted", wait_totals(server, healthy, 500), (500,) * 3)

        for name, size in (("cut inside the header", 30), ("cut inside the notes", None), ("empty", 0)):
            image = elf.Elf(binary)
            cut = image.image[:image.notes()[1].descriptor if size is None else size]
            path = directory / f"cut-{size}"
            path.write_bytes(cut)
            status, out, err = run_to_end("probes", path)
            checks.ok(f"a file {name}: 'probes' names it", status in (0, 1) and mentions(err, path.name),
                      f"status {status}, stdout {out[:3]}, stderr {err[:3]}")
        status, out, err = run_to_end("probes", directory / "not-there")
        checks.ok("a file that is not there: 'probes' names it", status == 1 and mentions(err, "not-there"),
                  f"status {status}, {err}")
        checks.ok("the agent still runs", agent.running(), agent.tail())
        checks.equal("ends with status 0", agent.stop(), 0)


def deleted_binary(checks, directory, binary):
    """A binary that is unlinked or replaced while it runs is still counted, before the agent came or after."""
    early = shutil.copy(binary, directory / "deleted-early")
    with Fired(early, "deleted-early") as before, capture.Server() as server:
        os.unlink(early)
        late = shutil.copy(binary, directory / "deleted-late")
        replaced = shutil.copy(binary, directory / "replaced")
        with Fired(late, "deleted-late") as after, Fired(replaced, "replaced") as old, \
                agent_for(directory, server) as agent:
            agent.wait_attached(after.pid, binary)
            agent.wait_attached(old.pid, binary)
            after.fire(40)
            os.unlink(late)
            after.fire(2)
            os.unlink(replaced)
            other = shutil.copy(binary, directory / "replaced")
            with Fired(other, "replacement") as new:
                agent.wait_attached(new.pid, binary, times=2)
                old.fire(7)
                new.fire(9)
                checks.equal("deleted after the attach: counted on", wait_totals(server, after, 42), (42,) * 3)
                checks.equal("replaced: the old process is counted on", wait_totals(server, old, 7), (7,) * 3)
                checks.equal("replaced: the new one too", wait_totals(server, new, 9), (9,) * 3)
            try:
                agent.wait_attached(before.pid, binary, 5.0)
                before.fire(30)
                checks.equal("deleted before the agent came: counted", wait_totals(server, before, 30), (30,) * 3)
            except Failed:
                found = mentions(agent.warnings(directory), "deleted-early")
                checks.ok("deleted before the agent came: named in one warning", len(found) == 1, agent.lines())
            checks.equal("ends with status 0", agent.stop(), 0)


def main():
    checks, only = Checks("bad input"), sys.argv[1:]
    with checks.run("arguments"):
        wrong_arguments(checks)
    if os.geteuid() != 0:
        checks.skip("everything that attaches", "needs root")
        return checks.finish()
    with scratch("bad-input") as directory:
        binary = build_fired(directory)
        for name, part in (("no-op", no_op), ("without privilege", without_privilege), ("invalid interval", bad_interval),
                           ("output that cannot be written", unwritten), ("outage", outage), ("collector that comes late, or never", never_there),
                           ("endpoint that is not OTLP", not_otlp), ("torn notes", torn_notes),
                           ("deleted binary", deleted_binary)):
            if only and name not in only:
                continue
            with checks.run(name):
                part(checks, directory, binary)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
