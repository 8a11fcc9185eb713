# SPDX-License-Identifier: BSD-2-Clause
"""A place of a test's own where agents pin and lock: a bpffs and a run directory, both gone with the test.

The bpffs is mounted in a mount namespace that only this process and its children are in: even a killed test leaves
neither a mount nor a pin.
"""
import contextlib
import ctypes
import json
import mmap
import os
import pathlib
import subprocess

from agent import run_to_end

CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
MNT_DETACH = 2
SYS_BPF = {"x86_64": 321, "aarch64": 280}
BPF_OBJ_GET = 7
_libc = ctypes.CDLL(None, use_errno=True)
_private = False


def _call(function, *arguments):
    if function(*arguments):
        error = ctypes.get_errno()
        raise OSError(error, f"{function.__name__}: {os.strerror(error)}")


def _enter_namespace():
    """Once per process, and before it has threads."""
    global _private
    if not _private:
        _call(_libc.unshare, CLONE_NEWNS)
        _call(_libc.mount, b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        _private = True


class Host:
    """with Host(directory, "name") as host: Agent(directory, host=host, ...); @bpffs=False leaves the mount out."""

    def __init__(self, directory, name, bpffs=True):
        _enter_namespace()
        self.bpffs = pathlib.Path(directory) / f"{name}.bpffs"
        self.run_dir = pathlib.Path(directory) / f"{name}.run"
        self.mounted = bpffs
        self.flags = ["--bpffs", str(self.bpffs), "--run-dir", str(self.run_dir)]

    def __enter__(self):
        self.bpffs.mkdir()
        if self.mounted:
            _call(_libc.mount, b"bpf", str(self.bpffs).encode(), b"bpf", 0, None)
        return self

    def __exit__(self, *exc):
        if self.mounted:
            _call(_libc.umount2, str(self.bpffs).encode(), MNT_DETACH)

    def stop(self, *arguments, timeout_s=90.0, **more):
        """`probemeter stop`: (exit status, stderr lines)."""
        status, _, err = run_to_end("stop", *self.flags, *arguments, timeout_s=timeout_s, **more)
        return status, err

    def guards(self):
        """Process ids of what protects the files of killed agents here."""
        found = []
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError, ValueError):
                words = pathlib.Path("/proc", str(int(entry)), "cmdline").read_bytes().split(b"\0")
                if words[0] == b"probemeter-guard" and str(self.run_dir).encode() in words:
                    found.append(int(entry))
        return found

    def sets(self):
        """The directories of pins that are there."""
        base = self.bpffs / "probemeter"
        return sorted(path for path in base.iterdir() if path.is_dir()) if base.is_dir() else []

    def pins(self):
        return [path for path in self.bpffs.rglob("*") if path.is_file() and path.parent != self.bpffs]

    @contextlib.contextmanager
    def memory(self, name):
        """That array of the one set that is pinned, as 64-bit words; only while no agent runs."""
        path, = (one / name for one in self.sets())
        shown = json.loads(bpftool("map", "show", "pinned", str(path)))
        size = -(shown["bytes_value"] * shown["max_entries"] // -mmap.PAGESIZE) * mmap.PAGESIZE
        text = ctypes.create_string_buffer(bytes(path))
        attributes = (ctypes.c_uint64 * 2)(ctypes.addressof(text), 0)
        fd = _libc.syscall(SYS_BPF[os.uname().machine], BPF_OBJ_GET, attributes, ctypes.sizeof(attributes))
        if fd < 0:
            raise OSError(ctypes.get_errno(), f"open {path}")
        with os.fdopen(fd, "rb", buffering=0) as file, mmap.mmap(file.fileno(), size) as memory, \
                memoryview(memory) as view, view.cast("Q") as words:
            yield words

    def ids(self):
        """{("map" or "link", id)} of everything pinned, asked of bpftool."""
        found = set()
        for path in self.pins():
            kind = "link" if path.parent.name == "links" else "map"
            found.add((kind, json.loads(bpftool(kind, "show", "pinned", str(path)))["id"]))
        return found


def bpftool(*arguments):
    for tool in ("/usr/sbin/bpftool", "/sbin/bpftool"):
        if os.access(tool, os.X_OK):
            break
    return subprocess.run([tool, "-j", *arguments], check=True, capture_output=True, timeout=20).stdout


def known(ids):
    """Those of Host.ids() that the kernel still has."""
    return {(kind, one["id"]) for kind in {kind for kind, _ in ids} for one in json.loads(bpftool(kind, "show"))} & ids
