#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Processes of containers count exactly once each: in other mount, pid and user namespaces, from overlayfs, through
links and bind mounts, after chroot, from memory alone, and after their file was replaced or deleted. Where their cgroup
names a container, it is part of the resource."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import brief
import elf
from agent import Agent, own_name
from capture import Server
from checks import Checks
from driven import snapshot_after
from process import Failed, scratch, wait_until

INTERVAL_MS = 500


def start(directory, server, *arguments):
    return Agent(directory, *arguments, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=INTERVAL_MS)


@contextlib.contextmanager
def namespaces(script, *flags):
    """New namespaces in which @script has run: the arguments that run a program in them. They end with the block."""
    holder = subprocess.Popen(["unshare", *flags, "sh", "-ec", script + "\necho ready\nexec cat"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    try:
        if holder.stdout.readline() != b"ready\n":
            raise Failed(f"no namespaces by {flags}: {script}")
        inside = holder.pid
        if "--fork" in flags:
            inside = int(pathlib.Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()[0])
        kinds = [flag for flag in flags if flag in ("--mount", "--pid", "--user")]
        yield ["nsenter", "--target", inside, *kinds, "--"]
    finally:
        holder.stdin.close()
        holder.wait(10)
        holder.stdout.close()


def pid_of(process, binary):
    """The process that @process, or a child that a wrapper made, has become; by the name of its program."""
    def find():
        pids = [process.pid]
        for pid in pids:
            try:
                if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == binary.name[:15]:
                    return pid
                pids += [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
            except OSError:
                continue
        return None

    return wait_until(f"the process of {binary.name}", find)


def wait_attached(agent, process, binary, times=1):
    agent.wait_attached(pid_of(process, binary), binary, times=times)


def attached(agent, binary):
    """How often this agent said that it attached to a file of this name."""
    return sum("attached: '" in line and f"/{binary.name}" in line for line in agent.lines())


def swept(server):
    """Until whatever a sweep finds is done: two snapshots, a second apart."""
    snapshot_after(server)
    time.sleep(1.1)
    snapshot_after(server)


def overlay(checks, directory, binary):
    """Two containers of one image, and the image's file run as it lies: one file, each event counted once."""
    image, work = directory / "image", directory / "overlay"
    for path in (image, work):
        path.mkdir()
    file = pathlib.Path(shutil.copy(binary, image))
    script = "\n".join(f"mount -t tmpfs none {path}\nmkdir {path}/upper {path}/work {path}/merged\nmount -t overlay none "
                       f"-o lowerdir={image},upperdir={path}/upper,workdir={path}/work {path}/merged" for path in (work,))
    flags = ("--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")
    merged = work / "merged" / binary.name
    with Server() as server, start(directory, server) as agent, namespaces(script, *flags) as one, \
            namespaces(script, *flags) as two, \
            brief.staying(merged, 0, prefix=one, OTEL_SERVICE_NAME=own_name("one")) as first, \
            brief.staying(merged, 0, prefix=two, OTEL_SERVICE_NAME=own_name("two")) as second, \
            brief.staying(file, 0, OTEL_SERVICE_NAME=own_name("below")) as below:
        wait_until("attached", lambda: attached(agent, binary))
        swept(server)
        checks.equal("attached once", attached(agent, binary), 1)
        for process, count in ((first, 11), (second, 22), (below, 33)):
            brief.fire(process, count)
        for prefix, name in ((one, "one"), (two, "two")):
            brief.run(merged, 100, prefix=prefix, OTEL_SERVICE_NAME=own_name(name))
        for name, want in (("one", 111), ("two", 122), ("below", 33)):
            checks.equal(f"{name}: exact", brief.wait_total(server, own_name(name), want), want)
        swept(server)
        for name, want in (("one", 111), ("two", 122), ("below", 33)):
            checks.equal(f"{name}: no more", brief.Resources(snapshot_after(server)).total(own_name(name)), want)
        for name, want in (("one", 11), ("two", 22), ("below", 33)):
            checks.equal(f"{name}: the level", brief.Resources(snapshot_after(server)).total(own_name(name), "brief.level"),
                         want)
        # Written to, a file is the container's own: another one, with probes of its own.
        subprocess.run([*map(str, one), "sh", "-ec", f"cp {merged} {merged}.new; mv {merged}.new {merged}"], check=True)
        with brief.staying(merged, 0, prefix=one, OTEL_SERVICE_NAME=own_name("one")) as changed:
            wait_until("attached to the changed file", lambda: attached(agent, binary) == 2)
            wait_attached(agent, changed, binary, times=2)
            brief.fire(changed, 1000)
            brief.fire(first, 10000)
            brief.fire(second, 20000)
            checks.equal("a changed copy beside the old one", brief.wait_total(server, own_name("one"), 11111), 11111)
            checks.equal("the other container", brief.wait_total(server, own_name("two"), 20122), 20122)


def apart(checks, directory, binary):
    """Namespaces of every kind, from the first event of a known file."""
    with Server() as server, start(directory, server) as agent:
        with brief.staying(binary, 0, OTEL_SERVICE_NAME=own_name("known")) as process:
            wait_attached(agent, process, binary)
        kinds = {"mount": ["--mount"], "pid": ["--pid", "--fork"], "user": ["--user", "--map-root-user"],
                 "all": ["--user", "--map-root-user", "--mount", "--pid", "--fork", "--ipc", "--uts", "--net", "--cgroup"]}
        for turn, (name, flags) in enumerate(kinds.items()):
            for _ in range(3):
                brief.run(binary, 7 + turn, prefix=["unshare", *flags], OTEL_SERVICE_NAME=own_name(name))
            with brief.staying(binary, 100, prefix=["unshare", *flags], OTEL_SERVICE_NAME=own_name(name)) as process:
                want = 100 + 3 * (7 + turn)
                checks.equal(f"{name}: exact", brief.wait_total(server, own_name(name), want), want)
                checks.equal(f"{name}: the level", brief.wait_total(server, own_name(name), 100, metric="brief.level"), 100)
                if "--fork" in flags:
                    subprocess.run(["kill", str(pid_of(process, binary))], check=False)


def found(checks, directory, binary):
    """Files that are found in odd places: a new one each, attached to while they run."""
    def counts(agent, server, process, file, name, times=1):
        wait_attached(agent, process, file, times)
        brief.fire(process, 77)
        checks.equal(f"{name}: exact", brief.wait_total(server, own_name(name), 77), 77)

    with Server() as server, start(directory, server) as agent:
        # chroot
        root = directory / "root"
        (root / "bin").mkdir(parents=True)
        file = pathlib.Path(shutil.copy(binary, root / "bin" / f"jailed-{os.getpid()}"))
        with brief.staying(f"/bin/{file.name}", 0, prefix=["chroot", root], OTEL_SERVICE_NAME=own_name("chroot")) as process:
            counts(agent, server, process, file, "chroot")
        # memory alone
        memory = os.memfd_create("memory", 0)
        os.write(memory, binary.read_bytes())
        with subprocess.Popen([f"/proc/self/fd/{memory}", "--stay", "0"], pass_fds=[memory], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, env={"OTEL_SERVICE_NAME": own_name("memfd")}) as process:
            process.stdout.readline()
            wait_until("attached to a memfd", lambda: "attached: '/memfd:memory" in agent.output(), 20)
            wait_until("the semaphores", lambda: elf.attached(process.pid, elf.Elf(binary)), 20)
            brief.fire(process, 77)
            checks.equal("memfd: exact", brief.wait_total(server, own_name("memfd"), 77), 77)
            process.stdin.close()
        os.close(memory)
        # deleted, replaced
        file = brief.copy(binary, "replaced")
        with brief.staying(file, 0, OTEL_SERVICE_NAME=own_name("old")) as old:
            os.unlink(file)
            wait_until("attached to a deleted file", lambda: f"attached: '{file}" in agent.output(), 20)
            wait_until("the semaphores", lambda: elf.attached(old.pid, elf.Elf(binary)), 20)
            brief.fire(old, 5)
            shutil.copy(binary, file)
            with brief.staying(file, 0, OTEL_SERVICE_NAME=own_name("new")) as new:
                wait_until("attached to its successor", lambda: agent.output().count(f"attached: '{file}") == 2, 20)
                wait_until("the semaphores", lambda: elf.attached(new.pid, elf.Elf(binary)), 20)
                brief.fire(new, 50)
                brief.fire(old, 500)
                checks.equal("deleted, then replaced: exact", brief.wait_total(server, own_name("old"), 505), 505)
                checks.equal("its successor: exact", brief.wait_total(server, own_name("new"), 50), 50)
        # links and bind mounts: one file
        file, link, mount = brief.copy(binary, "linked"), directory / f"link-{os.getpid()}", directory / "bound"
        os.link(file, link)
        mount.mkdir()
        with namespaces(f"mount --bind {directory} {mount}", "--mount", "--propagation", "private") as inside, \
                brief.staying(file, 0, OTEL_SERVICE_NAME=own_name("linked")) as process, \
                brief.staying(link, 0, OTEL_SERVICE_NAME=own_name("linked")) as linked, \
                brief.staying(mount / file.name, 0, prefix=inside, OTEL_SERVICE_NAME=own_name("linked")) as bound:
            wait_until("attached to a linked file", lambda: attached(agent, file) + attached(agent, link), 20)
            wait_until("the semaphores", lambda: elf.attached(process.pid, elf.Elf(binary)), 20)
            swept(server)
            for number, one in enumerate((process, linked, bound)):
                brief.fire(one, 10 ** number)
            checks.equal("hard link and bind mount: exact", brief.wait_total(server, own_name("linked"), 111), 111)
            checks.equal("attached once", attached(agent, file) + attached(agent, link), 1)


def cgroups():
    """Where cgroups may be made: {"v2": ..., "v1": ...}."""
    places = {}
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, at, kind, options = line.split()[:4]
        if kind == "cgroup2" or (kind == "cgroup" and "memory" in options.split(",")):
            version = "v2" if kind == "cgroup2" else "v1"
            own = pathlib.Path(at) / f"probemeter-{os.getpid()}"
            try:
                own.mkdir()
                own.rmdir()
                places.setdefault(version, pathlib.Path(at))
            except OSError:
                continue
    return places


@contextlib.contextmanager
def cgroup(place, path):
    """A cgroup below @place, and the arguments that run a program in it."""
    made, at = [], place
    for part in pathlib.Path(path).parts:
        at = at / part
        if not at.exists():
            at.mkdir()
            made.append(at)
    try:
        yield ["sh", "-c", f'echo $$ >{at}/cgroup.procs; exec "$@"', "sh"]
    finally:
        for one in reversed(made):
            with contextlib.suppress(OSError):
                wait_until(f"{one} to be empty", lambda one=one: not (one / "cgroup.procs").read_text().strip(), 10)
            one.rmdir()


def containers(checks, directory, binary):
    """container.id and k8s.pod.uid, of the living and of who was gone before anybody looked; one name, two resources."""
    places = cgroups()
    ids = [digit * 64 for digit in "abc"]
    pod = "12345678-aaaa-bbbb-cccc-123456789abc"
    paths = {ids[0]: f"probemeter-{os.getpid()}/docker-{ids[0]}.scope",
             ids[1]: f"probemeter-{os.getpid()}/kubepods-burstable-pod{pod.replace('-', '_')}.slice/cri-containerd-{ids[1]}.scope",
             ids[2]: f"probemeter-{os.getpid()}/kubepods/pod{pod}/{ids[2]}"}
    for version in ("v2", "v1"):
        if version not in places:
            checks.skip(f"containers by cgroup {version}", "no such hierarchy here that may be written to")
            continue
        for brevity in ("brief", "staying"):
            name = own_name(f"pod-{version}-{brevity}")
            with Server() as server, start(directory, server) as agent, contextlib.ExitStack() as stack:
                with brief.staying(binary, 0, OTEL_SERVICE_NAME=own_name("known")) as process:
                    wait_attached(agent, process, binary)
                inside = [stack.enter_context(cgroup(places[version], paths[one])) for one in ids]
                for number, prefix in enumerate(inside):
                    if brevity == "brief":
                        brief.run(binary, 10 ** number, prefix=prefix, OTEL_SERVICE_NAME=name)
                    else:
                        stack.enter_context(brief.staying(binary, 10 ** number, prefix=prefix, OTEL_SERVICE_NAME=name))
                checks.equal(f"{version}, {brevity}: exact", brief.wait_total(server, name, 111), 111)
                rows = brief.Resources(snapshot_after(server)).named(name)
                seen = {(row[0].get("container.id"), row[0].get("k8s.pod.uid")): row[1]["brief.total"] for row in rows}
                checks.equal(f"{version}, {brevity}: each in its container", seen,
                             {(ids[0], None): 1, (ids[1], pod): 10, (ids[2], pod): 100})
                checks.equal(f"{version}, {brevity}: three service.instance.ids",
                             len({row[0]["service.instance.id"] for row in rows}), 3)


def main():
    checks = Checks("containers")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    only = sys.argv[1:]
    with scratch("containers") as directory:
        binary = brief.build(directory, "brief", "-static")
        for name, part in (("overlayfs", overlay), ("namespaces", apart), ("files", found), ("cgroups", containers)):
            if only and name not in only:
                continue
            with checks.run(name):
                part(checks, directory, binary)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
