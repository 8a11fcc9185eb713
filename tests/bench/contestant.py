# SPDX-License-Identifier: BSD-2-Clause
"""One contestant: a process that runs an operation when told to, and says how long a call took (loop.h)."""
import os
import pathlib
import re
import subprocess
import threading
import time

BPF_PROG_TYPE_KPROBE = 2


class Gone(Exception):
    """A program of the benchmark ended, or did not answer in time."""


class Talker:
    """A child that answers one line to one line, and ends when its stdin does."""

    def __init__(self, *argv, ready=True, **more):
        self.argv = [str(part) for part in argv]
        self.child = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more)
        self.greeting = self.answer() if ready else None

    def answer(self, timeout_s=60):
        """The next line; a child that says nothing for @timeout_s is ended."""
        timer = threading.Timer(timeout_s, self.child.kill)
        timer.start()
        line = self.child.stdout.readline()
        timer.cancel()
        if not line:
            raise Gone(f"{pathlib.Path(self.argv[0]).name}: ended with {self.child.wait()}")
        return line.strip()

    def ask(self, line):
        self.child.stdin.write(f"{line}\n")
        self.child.stdin.flush()
        return self.answer()

    @property
    def pid(self):
        return self.child.pid

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        try:
            self.child.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()


class Contestant(Talker):
    """run() gives (ns per call and thread, calls per second of all threads)."""

    def run(self, operation, threads, ms):
        ns, per_second = self.ask(f"{operation} {threads} {ms}").split()
        return float(ns), float(per_second)


class Bpftrace:
    """bpftrace counting one USDT probe by two strings, attached when the constructor returns."""

    def __init__(self, binary, probe):
        script = f"usdt:{binary}:{probe} {{ @[str(arg1), str(arg2)] = hist(arg0); }}"
        self.child = subprocess.Popen(["bpftrace", "-e", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, env={**os.environ, "BPFTRACE_STRLEN": "64"})
        said = []
        # Where it may not raise its own limits it says so, and goes on.
        while not (said and said[-1].startswith("Attaching")):
            said.append(self.child.stdout.readline())
            if not said[-1]:
                raise Gone(f"bpftrace: {' '.join(''.join(said).split())}, ended with {self.child.wait()}")
        # It says so before it attaches.
        time.sleep(2)

    @property
    def pid(self):
        return self.child.pid

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.child.terminate()
        try:
            # It prints its histograms, which nobody wants.
            self.child.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def programs_of(pid):
    """{program id: (run_time_ns, run_cnt)} of the uprobe programs that process @pid holds, as the kernel's fdinfo has them.
    Those that see exec and fork run for whoever starts a thread, the contestant's own among them."""
    found = {}
    for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = info.read_text()
        except OSError:
            continue
        fields = dict(re.findall(r"^(prog_type|prog_id|run_time_ns|run_cnt):\s*(\d+)$", text, re.MULTILINE))
        if len(fields) == 4 and int(fields["prog_type"]) == BPF_PROG_TYPE_KPROBE:
            found[int(fields["prog_id"])] = (int(fields["run_time_ns"]), int(fields["run_cnt"]))
    return found


def link_type_of(pid):
    """uprobe_multi or perf_event, from a link on probes that process @pid holds."""
    for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            found = re.search(r"^link_type:\s*(\S+)$", info.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found and found[1] not in ("raw_tracepoint", "tracing", "iter", "2"):
            return "uprobe_multi" if found[1] in ("uprobe_multi", "12") else found[1]
    return "none"
