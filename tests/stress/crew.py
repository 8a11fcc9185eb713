# SPDX-License-Identifier: BSD-2-Clause
"""The services under stress: processes of build/services/stress that come, fire, rest together, and are killed.

Each process has a file of truth of its own, which is added up and removed once it is dead (account.py says how).
"""
import json
import pathlib
import shutil
import signal
import struct
import subprocess

import account
from agent import clean_environment
from driven import own
from process import BUILD, PR_SET_PDEATHSIG, Failed, _libc, wait_until

THREADS = 12  # of a process, and two of one that floods
PROCESSES = 8
FLOODS = 2
NAMES = ("orders", "search", "mail", "billing")  # of services; a process that takes a dead one's place may have another


class Process:
    def __init__(self, crew, number, service, flood, seed):
        self.service = own(service)
        self.name = f"p{number}"
        self.flood = flood
        self.path = crew.directory / f"truth-{number}"
        arguments = [crew.binary, crew.control.path, self.path, self.name, 2 if flood else THREADS, seed, *(["flood"] if flood else [])]

        def in_child():
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

        self.process = subprocess.Popen(list(map(str, arguments)), stdin=subprocess.DEVNULL, cwd="/", preexec_fn=in_child,
                                        env=clean_environment(OTEL_SERVICE_NAME=self.service))

    def data(self):
        return self.path.read_bytes() if self.path.exists() else b""


class Control:
    """What all of them are told, in memory that they share."""

    def __init__(self, path):
        self.path = path
        self.number = 0
        path.write_bytes(bytes(12))

    def _write(self, at, value):
        with open(self.path, "r+b") as file:  # in place: it is mapped
            file.seek(at)
            file.write(struct.pack("I", value))

    def order(self, command):
        """Tell @command; what a thread says it has heard."""
        self.number += 1
        word = self.number << 2 | command
        self._write(0, word)
        return word

    def hard(self, on):
        self._write(4, on)

    def flood(self, on):
        self._write(8, on)


class Crew:
    """All processes, and what the dead ones have fired."""

    def __init__(self, directory):
        self.directory = directory
        # A file of this run's own: nobody else runs it.
        self.binary = pathlib.Path(shutil.copy(BUILD / "services/stress", directory / "stress"))
        self.layout = account.Layout(json.loads(subprocess.run([self.binary, "--describe"], check=True, capture_output=True).stdout))
        self.control = Control(directory / "control")
        self.living = []
        self.dead = account.Truth()
        self.born = 0
        self.killed = 0
        self.word = self.control.order(self.layout.rest)

    def __enter__(self):
        for number in range(PROCESSES):
            self.start(NAMES[number % len(NAMES)], False)
        for number in range(FLOODS):
            self.start(f"flood{number}", True)
        return self

    def __exit__(self, *exc):
        for one in self.living:
            one.process.kill()
            one.process.wait()

    def start(self, service, flood):
        self.born += 1
        self.living.append(Process(self, self.born, service, flood, self.born))

    def run(self):
        self.word = self.control.order(self.layout.run)

    def rest(self):
        """All threads stop between two events."""
        self.word = self.control.order(self.layout.rest)
        self.look()
        for one in self.living:
            wait_until(f"{one.name} rests", lambda one=one: account.rests(self.layout, one.data(), self.word), 60)

    def kill(self, count, dice):
        """SIGKILL to @count of them at once, at whatever they are doing, and new ones in their place."""
        chosen = dice.sample(self.living, count)
        for one in chosen:
            one.process.kill()
        for one in chosen:
            one.process.wait()
            self.bury(one)
            self.killed += 1
        for one in chosen:
            self.start(one.service.rpartition("-")[0] if one.flood or dice.random() < 0.5 else dice.choice(NAMES), one.flood)

    def bury(self, one):
        self.living.remove(one)
        account.read(self.layout, one.data(), one.service, one.name, True, self.dead)
        one.path.unlink(missing_ok=True)

    def look(self):
        """None may have died of itself."""
        for one in self.living:
            if one.process.poll() is not None:
                raise Failed(f"a service died: {one.service} {one.name}: {one.process.returncode}")

    def end(self):
        """All end in good order."""
        self.control.order(self.layout.end)
        for one in list(self.living):
            if one.process.wait(30):
                raise Failed(f"{one.service} {one.name} ended with {one.process.returncode}")
            self.bury(one)

    def truth(self):
        """All that was ever fired; everybody rests."""
        living = account.Truth()
        for one in self.living:
            account.read(self.layout, one.data(), one.service, one.name, False, living)
        return self.dead.plus(living)

    def settled(self, landed):
        """Of the events that were under way, @landed were counted, and the others were not."""
        self.dead.under_way = {}
        self.dead = self.dead.plus(landed)

    def events(self):
        """About how many were fired so far."""
        return self.dead.events() + sum(account.fired(self.layout, one.data()) for one in self.living)
