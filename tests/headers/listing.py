#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""listing.py - what a use and a stub are made of on arm64, read from objdump's listing of modes/use.c.

  listing.py FILE -- FLAGS      which it was compiled with

A use costs, while nobody listens, the semaphore's load and a branch: the path of a semaphore that is 0 is walked and counted.
The stub is `bti c`, the nop, `ret`, one for each metric; the function around it saves the return address, calls the stub once and
returns; constants for it may be moved into registers.
"""
import argparse
import re
import sys

USES = ("use_plain", "use_four", "use_real")
METRICS = ("u_plain", "u_four", "u_real", "u_level")
STUB = ["bti c", "nop", "ret"]
# adrp, ldrh, cbnz and ret. What a volatile short holds, gcc 12 widens once more.
MOST = 5
# What a function keeps for itself before it looks, where the compiler does not put that off.
KEEPS = ("stp", "ldp", "str", "ldr", "mov", "sub", "add", "bti", "paciasp", "autiasp")


class Wrong(Exception):
    pass


def expect(test, what):
    if not test:
        raise Wrong(what)


def functions(path):
    """{name: [(address, mnemonic, operands)]}"""
    found, current = {}, None
    for line in open(path, encoding="utf-8"):
        head = re.match(r"[0-9a-f]+ <(\S+)>:$", line)
        if head:
            current = found.setdefault(head[1], [])
            continue
        code = re.match(r"\s+([0-9a-f]+):\s+(\S+)\s*([^/\n]*)", line)
        if code and current is not None:
            current.append((int(code[1], 16), code[2], code[3].strip()))
    return found


def path_of_zero(code):
    """The instructions that run when what was loaded is 0, from the start to the first ret."""
    at, passed, places = 0, [], {address: n for n, (address, _, _) in enumerate(code)}
    while len(passed) < 100:
        _, mnemonic, operands = code[at]
        passed.append(mnemonic)
        target = re.search(r"\b([0-9a-f]+) <", operands)
        if mnemonic == "ret":
            return passed
        taken = mnemonic in ("cbz", "b", "b.eq", "tbz")
        at = places[int(target[1], 16)] if taken and target else at + 1
    raise Wrong("no way out: %s" % passed)


def check(found, flags):
    for name in [] if "-O0" in flags else USES:
        passed = path_of_zero(found[name])
        loads = [word for word in passed if word.startswith("ldr") and word not in KEEPS]
        expect(loads == ["ldrh"], "%s: loads %s" % (name, passed))
        expect("bl" not in passed and "blr" not in passed, "%s: calls %s" % (name, passed))
        if re.search("-O1|-Os|-mbranch", flags):
            passed = [word for word in passed if word not in KEEPS]
        expect(len(passed) <= MOST, "%s: %d instructions: %s" % (name, len(passed), passed))
    for name in METRICS:
        stub = found["probemeter_site_" + name]
        words = [("%s %s" % code[1:]).strip() for code in stub[:3]]
        expect(words == STUB, "%s: the stub is %s" % (name, words))
        around = found["probemeter_stub_" + name]
        calls = [operands for _, mnemonic, operands in around if mnemonic in ("bl", "blr", "b", "br")]
        expect(len(calls) == 1 and "<probemeter_site_%s>" % name in calls[0], "%s: calls %s" % (name, calls))
        words = [code[1] for code in around]
        words = [word for word in words[:words.index("ret") + 1] if not word.startswith(("mov", "bti", "pac", "aut"))]
        expect("-O0" in flags or len(words) <= 4, "%s: around the stub are %s" % (name, words))
    code = found["probemeter_levels_init"]
    expect(" ".join(code[0][1:]) == "bti c", "the constructor begins with %s" % (code[0],))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("flags")
    arguments = parser.parse_args()
    try:
        check(functions(arguments.file), arguments.flags)
    except (Wrong, KeyError, IndexError) as error:
        print("listing.py: %s: error: %s" % (arguments.file, error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
