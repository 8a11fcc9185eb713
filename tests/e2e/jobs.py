# SPDX-License-Identifier: BSD-2-Clause
"""build/services/job as a test runs it: short processes whose account is kept in a file that they share."""
import mmap
import os
import pathlib
import shutil
import signal
import struct
import subprocess

from agent import clean_environment, own_name
from process import BUILD, PR_SET_PDEATHSIG, _libc

JOB = BUILD / "services/job"
SLOTS = 65536
ACCOUNT = struct.Struct("=4Q")


class Account:
    def __init__(self, begun, done, waited_ns, state):
        self.begun, self.done, self.state = begun, done, state
        self.waited_ms = None if waited_ns in (0, 2**64 - 1) else waited_ns / 1e6
        self.at_end = state == 2


def _in_child():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Jobs:
    """Starts jobs of one service; accounts[slot] stay when they are gone. All of them end with the context."""

    def __init__(self, directory, service):
        self.service = own_name(service)
        self.path = pathlib.Path(directory) / f"{self.service}.accounts"
        self.path.write_bytes(bytes(SLOTS * ACCOUNT.size))
        with open(self.path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)
        self.environment = clean_environment(OTEL_SERVICE_NAME=self.service)
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.memory.close()

    def start(self, binary, events, ms, wait=False):
        """One job; its slot. The process is self.processes[slot]."""
        slot = len(self.processes)
        self.processes.append(subprocess.Popen(
            [str(binary), str(self.path), str(slot), str(events), str(ms), *(["wait"] if wait else [])],
            stdin=subprocess.DEVNULL, env=self.environment, cwd="/", preexec_fn=_in_child))
        return slot

    def run(self, binary, events, ms=0, wait=False):
        """One job to its end; its account."""
        slot = self.start(binary, events, ms, wait)
        self.processes[slot].wait(60)
        return self.account(slot)

    def account(self, slot):
        return Account(*ACCOUNT.unpack_from(self.memory, slot * ACCOUNT.size))

    def accounts(self):
        return [self.account(slot) for slot in range(len(self.processes))]


def copies(directory, count, prefix="job", source=JOB):
    """@count files of their own, that nobody has run."""
    paths = []
    for number in range(count):
        path = pathlib.Path(directory) / f"{prefix}-{number:03}"
        shutil.copyfile(source, path)
        path.chmod(0o755)
        paths.append(path)
    return paths


def percentile(values, share):
    """The smallest value that @share of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]


def cpu_seconds(pid):
    """What a process has used so far, of all its threads, to the nanosecond where the kernel tells."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_bytes(pid):
    """Memory of its own: anonymous pages."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no RssAnon in /proc/{pid}/status")


def load():
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"
