# SPDX-License-Identifier: BSD-2-Clause
"""Builds family.c, a service of three linked objects that forks, and compares what it fired with what is exported of it.

A build may take altered headers, so that a test can show what a part of the stub is there for. The public ones have no
switch for that.
"""
import pathlib
import shutil
import subprocess

import elf
from driven import ATTACH_S, Driven, drops, series, snapshot_after
from process import ROOT, Failed, wait_until

HERE = pathlib.Path(__file__).resolve().parent
METRICS = ("family.count", "family.time", "family.size")


def altered_headers(directory, name, old, new):
    """A copy of include/ under @directory in which @old, which must be there once, has become @new."""
    copy = pathlib.Path(directory) / f"include-{name}"
    shutil.copytree(ROOT / "include", copy)
    site = copy / "probemeter" / "stub_x86_64.h"
    text = site.read_text()
    if text.count(old) != 1:
        raise Failed(f"stub_x86_64.h has {old!r} {text.count(old)} times: what does the stub look like now?")
    site.write_text(text.replace(old, new))
    return copy


class Family(Driven):
    """A build of its own of family.c under @directory, not started."""

    def __init__(self, directory, name, include=ROOT / "include"):
        base = pathlib.Path(directory) / name
        base.mkdir()
        compile_ = ["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{include}"]
        for part in ("linked", "loaded"):
            subprocess.run([*compile_, f'-DPART="{part}"', f"-DPART_ID={part}", "-fPIC", "-shared", str(HERE / "family.c"),
                            "-o", str(base / f"{part}.so")], check=True)
        subprocess.run([*compile_, '-DPART="program"', "-DPART_ID=program", "-DPROGRAM", str(HERE / "family.c"),
                        str(base / "linked.so"), f"-Wl,-rpath,{base}", "-ldl", "-lpthread", "-o", str(base / "family")],
                       check=True)
        image = elf.Elf(base / "family")
        self.files = [base / "family", base / "linked.so", base / "loaded.so"]
        super().__init__(str(base / "family"), name, base / "loaded.so", *image.places("family.count")[:2])
        self.image = image
        self.before = {}

    def wait_attached(self, agent):
        """Until @agent has attached to all three objects."""
        def attached():
            said = agent.output()
            return all(f"attached: '{file}'" in said for file in self.files) and elf.attached(self.pid, self.image)

        agent.wait_ready(f"attached to {[file.name for file in self.files]}", attached, ATTACH_S)

    def counts(self, request):
        """{(metric, who, part): events} as exported, and what is in another bucket than it should be."""
        found, astray = {}, []
        for (metric, labels), point in series(request, self.service).items():
            if metric not in METRICS:
                continue
            found[metric, labels[0], labels[1]] = point.value
            if metric == "family.size" and list(point.point.bucket_counts) != [0, point.value, 0, 0]:
                astray.append((labels, list(point.point.bucket_counts)))
        return found, astray

    def restarted(self):
        """The agent is another one: its counts begin at 0."""
        self.before = {}

    def fork(self, checks, server, what, command, timeout_s=120.0):
        """Let it fork, and compare: nobody died, and every event of every process and object is there."""
        told = self.ask(command, timeout_s)
        checks.ok(f"{what}: {told['processes']} processes, none died", told["processes"] and not told["died"],
                  f"{told['died']} died, the last one with wait status {told['last_status']:#x}")
        request = snapshot_after(server)
        now, astray = self.counts(request)
        got = {key: count - self.before.get(key, 0) for key, count in now.items() if count != self.before.get(key, 0)}
        want = {(metric, who, part): events for who, part, events in told["fired"] if events for metric in METRICS}
        checks.equal(f"{what}: {sum(want.values())} events of {len(want)} series are exported", got, want)
        checks.equal(f"{what}: values at a bound are in its bucket", astray, [])
        checks.equal(f"{what}: nothing is dropped", drops(request, "family."), {})
        self.before = now
        return told

    def ways(self, told, who):
        """{way: objects of processes} of @who in an answer."""
        found = {}
        for name, _, way, count in told["ways"]:
            if name == who and count:
                found[way] = found.get(way, 0) + count
        return found

    def raised(self):
        """The metrics of the program whose semaphores are raised."""
        return [name for name, value in elf.semaphores(self.pid, self.image).items() if value]

    def detached(self, timeout_s=10.0):
        """Wait until there is none; Failed if that does not come."""
        wait_until("semaphores at 0", lambda: not self.raised(), timeout_s)
