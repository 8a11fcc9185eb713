#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Runs a program behind a seccomp filter that refuses some system calls, as that of a container or of a service manager does, or
as a kernel does that was built without them.

  refuse.py CALL[:FIRST ARGUMENT]=ERRNO... -- PROGRAM [ARGUMENT...]       seccomp=ENOSYS prctl:22=EINVAL -- ...
"""
import ctypes
import errno
import os
import pathlib
import sys

ALLOW, ERRNO, EQUAL = 0x7FFF0000, 0x00050000, 4  # seccomp.h


class Comparison(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("how", ctypes.c_int), ("value", ctypes.c_uint64), ("unused", ctypes.c_uint64)]


def refusing(*rules):
    """A prefix for a program's command line."""
    return [sys.executable, "-B", pathlib.Path(__file__).resolve(), *rules, "--"]


def load(rules):
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint,
                                               ctypes.POINTER(Comparison)]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    context = library.seccomp_init(ALLOW)
    for rule in rules:
        call, _, error = rule.partition("=")
        name, _, value = call.partition(":")
        number = library.seccomp_syscall_resolve_name(name.encode())
        wanted = (Comparison * 1)(Comparison(0, EQUAL, int(value or 0)))
        if number < 0 or library.seccomp_rule_add_array(context, ERRNO | getattr(errno, error), number, 1 if value else 0, wanted):
            sys.exit(f"refuse.py: '{rule}' cannot be made a rule")
    if library.seccomp_load(context):
        sys.exit("refuse.py: the kernel takes no filter")


if __name__ == "__main__":
    end = sys.argv.index("--")
    load(sys.argv[1:end])
    os.execv(sys.argv[end + 1], sys.argv[end + 1:])
