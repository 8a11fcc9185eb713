# SPDX-License-Identifier: BSD-2-Clause
"""A FUSE file system with a few files in its root, that can be told not to answer. Spoken by hand, as the kernel's
include/uapi/linux/fuse.h has it: only what reading, mapping and running these files takes.
"""
import ctypes
import errno
import os
import stat
import struct
import threading

from process import _libc

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR = \
    1, 2, 3, 14, 15, 17, 18, 25, 26, 27, 28, 29
BATCH_FORGET, INTERRUPT = 42, 36
NO_ANSWER = (FORGET, BATCH_FORGET, INTERRUPT)
HEADER = struct.Struct("=IIQQIIII")
MAX_WRITE = 128 << 10


class Mount:
    """Serves {name: bytes} in @directory while the context lasts. The mount is this mount namespace's."""

    def __init__(self, directory, files):
        self.directory = str(directory)
        self.files = list(files.items())  # node id 2 and up
        self.held, self.budget, self.waiting = None, 0, []
        self.lock = threading.Lock()
        self.device = None

    def __enter__(self):
        self.device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if _libc.mount(b"probemeter-test", self.directory.encode(), b"fuse", ctypes.c_ulong(0), options):
            raise OSError(ctypes.get_errno(), "mount fuse")
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.release()
        _libc.umount2(self.directory.encode(), 2)  # MNT_DETACH
        os.close(self.device)

    def hold_opens(self, name, after):
        """From now on, answer @after more calls of open() for @name, and then none until release()."""
        with self.lock:
            self.held, self.budget = name, after

    def release(self):
        with self.lock:
            self.held = None
            waiting, self.waiting = self.waiting, []
        for unique in waiting:
            self._answer(unique, struct.pack("=QII", 0, 2, 0))

    def _answer(self, unique, payload=b"", error=0):
        try:
            os.write(self.device, struct.pack("=IiQ", 16 + len(payload), -error, unique) + payload)
        except OSError:  # whoever asked is gone
            pass

    def _attributes(self, node):
        size = 0 if node == 1 else len(self.files[node - 2][1])
        mode = stat.S_IFDIR | 0o755 if node == 1 else stat.S_IFREG | 0o755
        return struct.pack("=QQQQQQIIIIIIIIII", node, size, (size + 511) // 512, 1, 1, 1, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def _serve(self):
        while True:
            try:
                request = os.read(self.device, MAX_WRITE + 4096)
            except OSError:  # unmounted
                return
            _, opcode, unique, node, *_ = HEADER.unpack_from(request)
            if opcode not in NO_ANSWER:
                self._request(opcode, unique, node, request[HEADER.size:])

    def _request(self, opcode, unique, node, body):
        if opcode == INIT:
            self._answer(unique, struct.pack("=IIIIHHIIHHI28x", 7, 31, 65536, 0, 12, 10, MAX_WRITE, 1, 0, 0, 0))
        elif opcode == LOOKUP:
            names = [name for name, _ in self.files]
            name = body.rstrip(b"\0").decode()
            if name not in names:
                self._answer(unique, error=errno.ENOENT)
                return
            found = names.index(name) + 2
            self._answer(unique, struct.pack("=QQQQII", found, 0, 3600, 3600, 0, 0) + self._attributes(found))
        elif opcode == GETATTR:
            self._answer(unique, struct.pack("=QII", 3600, 0, 0) + self._attributes(node))
        elif opcode == OPEN:
            with self.lock:
                if self.held and self.held == self.files[node - 2][0]:
                    self.budget -= 1
                    if self.budget < 0:
                        self.waiting.append(unique)
                        return
            self._answer(unique, struct.pack("=QII", 0, 2, 0))  # FOPEN_KEEP_CACHE
        elif opcode == READ:
            _, offset, size = struct.unpack_from("=QQI", body)
            self._answer(unique, self.files[node - 2][1][offset:offset + size])
        elif opcode == OPENDIR:
            self._answer(unique, struct.pack("=QII", 0, 0, 0))
        elif opcode in (RELEASE, RELEASEDIR, FLUSH, READDIR):
            self._answer(unique)
        elif opcode == STATFS:
            self._answer(unique, bytes(80))
        else:
            self._answer(unique, error=errno.ENOSYS)
