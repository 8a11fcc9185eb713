#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""notes.py - an independent reader of probemeter's descriptors, for tests.

Knows the format from ABI.md alone and shares no code with the headers or the agent.

  notes.py list FILE                       every metric, one line each, in the form of modes/expected.txt
  notes.py check FILE EXPECTED [options]   FILE carries exactly EXPECTED's metrics, each once, each place right
      --optional NAME     this one of them may be missing
      --usdt all|any      USDT notes: one per metric (default), or possibly stripped
  notes.py hide FILE      rename the notes' owner in place, so that an agent on this host leaves the process alone
  notes.py bytes FILE NAME                 one descriptor, its text and stub in hex, what a linker decides masked
"""

import argparse
import struct
import sys

KINDS = {1: "counter", 2: "updowncounter", 3: "updowncounter_latest", 4: "gauge", 5: "histogram"}
LEVEL_BYTES = 225280


class X86:
    """A stub of x86-64: three ways past the site, aligned to a line of the cache."""
    places = {"site": b"\x90", "fast5": bytes.fromhex("0f1f440000"), "fast10": bytes.fromhex("662e0f1f840000000000"),
              "slow": b"\x90"}
    entry, stub_bytes, align, linked = 0, 55, 64, (3, 28, 37, 44)  # where the stub begins before its site; distances in it
    arguments = ["%rdi", "%rsi", "%rdx", "%rcx", "%r8", "%r9"]
    level_page, level_offset = 4096, 0


class Arm64:
    """A stub of arm64: bti c, the site, ret."""
    places = {"site": bytes.fromhex("1f2003d5")}
    entry, stub_bytes, align, linked = 4, 12, 4, ()
    arguments = ["x0", "x1", "x2", "x3", "x4", "x5"]
    level_page, level_offset = 65536, 32768


MACHINES = {62: X86, 183: Arm64}


class Wrong(Exception):
    pass


def expect(test, what):
    if not test:
        raise Wrong(what)


class Elf:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        expect(self.data[:6] == b"\x7fELF\x02\x01", "not a 64-bit little-endian ELF")
        machine, = struct.unpack_from("<H", self.data, 18)
        expect(machine in MACHINES, "machine %d" % machine)
        self.machine = MACHINES[machine]
        phoff, shoff = struct.unpack_from("<QQ", self.data, 32)
        phentsize, phnum, shentsize, shnum, shstrndx = struct.unpack_from("<5H", self.data, 54)
        self.segments = [
            dict(zip(("type", "flags", "offset", "vaddr", "paddr", "filesz", "memsz", "align"),
                     struct.unpack_from("<IIQQQQQQ", self.data, phoff + i * phentsize)))
            for i in range(phnum)
        ]
        self.sections = {}
        if shoff and shnum:
            headers = [struct.unpack_from("<IIQQQQIIQQ", self.data, shoff + i * shentsize) for i in range(shnum)]
            names = headers[shstrndx][4]
            for header in headers:
                end = self.data.index(b"\0", names + header[0])
                self.sections.setdefault(self.data[names + header[0]:end].decode(), []).append(header)

    def segment(self, vaddr, length, what):
        for segment in self.segments:
            if segment["type"] == 1 and segment["vaddr"] <= vaddr and \
                    vaddr + length <= segment["vaddr"] + segment["memsz"]:
                return segment
        raise Wrong("%s: %#x is in no PT_LOAD" % (what, vaddr))

    def read(self, vaddr, length, what):
        segment = self.segment(vaddr, length, what)
        at = vaddr - segment["vaddr"]
        expect(at + length <= segment["filesz"], "%s: %#x has no place in the file" % (what, vaddr))
        return self.data[segment["offset"] + at:segment["offset"] + at + length]


def notes(data, offset, size):
    """(owner, type, offset of the payload, its size) of each note in a region with 4-byte alignment."""
    at, end = offset, offset + size
    while at + 12 <= end:
        namesz, descsz, kind = struct.unpack_from("<III", data, at)
        desc = at + 12 + (namesz + 3 & ~3)
        expect(desc + descsz <= end, "a note runs over its segment's end")
        yield data[at + 12:at + 12 + namesz], kind, desc, descsz
        at = desc + (descsz + 3 & ~3)


class Metric:
    pass


def descriptor(elf, offset, size, vaddr):
    metric = Metric()
    metric.offset, metric.size = offset, size
    metric.bounds, metric.levels = b"", None
    at, end, seen = offset, offset + size, []

    def place(i=0):
        return vaddr + (at - offset) + i + struct.unpack_from("<i", elf.data, at + i)[0]

    while at < end:
        expect(at + 4 <= end, "a torn field")
        tag, length = struct.unpack_from("<HH", elf.data, at)
        at += 4
        expect(at + length <= end and length % 4 == 0, "field %d runs over its descriptor's end" % tag)
        words = struct.unpack_from("<%dI" % (length // 4), elf.data, at)
        seen.append((tag, length))
        if tag == 1:
            metric.kind, metric.labels = words
        elif tag == 2:
            metric.text = elf.read(place(), words[1], "text")
        elif tag == 3:
            metric.semaphore = place()
        elif tag == 4:
            metric.site = place()
        elif tag == 5:
            metric.fast5, metric.fast10 = place(), place(4)
        elif tag == 6:
            metric.slow = place()
        elif tag == 7:
            metric.bounds = elf.read(place(), words[1], "bounds")
        elif tag == 8:
            metric.levels = place()
            expect(words[1] == 1, "level table version %d" % words[1])
        else:
            raise Wrong("unknown tag %d" % tag)
        at += length
    wanted = [(1, 8), (2, 8), (3, 4), (4, 4)]
    wanted += [(5, 8), (6, 4)] if elf.machine is X86 else []
    wanted += [(7, 8)] if metric.bounds else []
    wanted += [(8, 8)] if metric.kind in (2, 3, 4) else []
    expect(seen == wanted, "fields %s, not %s" % (seen, wanted))
    parts = metric.text.split(b"\0")
    expect(parts.pop() == b"", "text without its last NUL")
    expect(len(parts) == 4 + metric.labels, "%d strings for %d labels" % (len(parts), metric.labels))
    metric.scope, metric.name, metric.unit, metric.description = (part.decode() for part in parts[:4])
    metric.label_names = [part.decode() for part in parts[4:]]
    return metric


def metrics_of(elf):
    found = []
    for segment in elf.segments:
        # In steps of 4 whatever the alignment: mold puts notes of alignment 8 and 4 into one PT_NOTE.
        if segment["type"] != 4:
            continue
        for owner, kind, offset, size in notes(elf.data, segment["offset"], segment["filesz"]):
            if owner == b"probemeter\0" and kind == 1:
                found.append(descriptor(elf, offset, size, segment["vaddr"] + offset - segment["offset"]))
    return found


def row(metric):
    bounds = struct.unpack("<%dd" % (len(metric.bounds) // 8), metric.bounds)
    return (metric.scope, metric.name, KINDS[metric.kind], metric.unit, metric.description,
            ",".join(metric.label_names), bounds)


def check_places(elf, metrics):
    for metric in metrics:
        def code(place, wanted, what):
            segment = elf.segment(place, len(wanted), metric.name + ": " + what)
            expect(segment["flags"] & 1, "%s: %s is not in executable memory" % (metric.name, what))
            got = elf.read(place, len(wanted), metric.name + ": " + what)
            expect(got == wanted, "%s: %s holds %s" % (metric.name, what, got.hex()))

        for what, wanted in elf.machine.places.items():
            code(getattr(metric, what), wanted, what)
        places = [getattr(metric, what) for what in elf.machine.places]
        expect(places == sorted(set(places)) and places[-1] < metric.site + 64, metric.name + ": order")
        expect(metric.site % elf.machine.align == 0, metric.name + ": the stub is not aligned")
        what = metric.name + ": semaphore"
        segment = elf.segment(metric.semaphore, 2, what)
        expect(segment["flags"] & 2, what + " is not writable")
        expect(metric.semaphore % 2 == 0, what + " is not aligned")
        expect(elf.read(metric.semaphore, 2, what) == b"\0\0", what + " is not 0")
        if metric.levels is not None:
            segment = elf.segment(metric.levels, LEVEL_BYTES, metric.name + ": levels")
            expect(segment["flags"] & 2, metric.name + ": levels are not writable")
            expect(metric.levels % elf.machine.level_page == elf.machine.level_offset,
                   metric.name + ": levels are not where pages can be cleared")
            expect(metric.levels >= segment["vaddr"] + segment["filesz"], metric.name + ": levels are in the file")
    for what in ("site", "semaphore"):
        places = [getattr(metric, what) for metric in metrics]
        expect(len(set(places)) == len(places), "two metrics share a " + what)
    expect(len({metric.levels for metric in metrics if metric.levels is not None}) <= 1, "two level tables")


def usdt_of(elf):
    base = [header[3] for header in elf.sections.get(".stapsdt.base", [])]
    for header in elf.sections.get(".note.stapsdt", []):
        for owner, kind, offset, size in notes(elf.data, header[4], header[5]):
            expect(owner == b"stapsdt\0" and kind == 3, "a foreign note in .note.stapsdt")
            location, noted_base, semaphore = struct.unpack_from("<QQQ", elf.data, offset)
            provider, name, arguments = elf.data[offset + 24:offset + size].split(b"\0")[:3]
            # Tools correct for a base that moved after linking (prelink).
            shift = base[0] - noted_base if base else 0
            if provider == b"probemeter":
                yield name.decode(), location + shift, semaphore + shift, arguments.decode()


def check_usdt(elf, metrics, ids, any_number):
    probes = list(usdt_of(elf))
    if any_number and not probes:
        return
    expect(len(probes) == len(metrics), "%d USDT notes for %d metrics" % (len(probes), len(metrics)))
    by_site = {metric.site: metric for metric in metrics}
    for name, location, semaphore, arguments in probes:
        expect(location in by_site, "USDT %s: no site at %#x" % (name, location))
        metric = by_site.pop(location)
        expect(name == ids.get(metric.name, metric.name.replace(".", "_")), "USDT %s at %s" % (name, metric.name))
        expect(semaphore == metric.semaphore, "USDT %s: semaphore %#x" % (name, semaphore))
        sign = "8" if metric.kind == 5 else "-8"
        value, *others = elf.machine.arguments[:2 + metric.labels]
        wanted = " ".join([sign + "@" + value] + ["8@" + register for register in others])
        expect(arguments == wanted, "USDT %s: arguments %s" % (name, arguments))


def expected_rows(path):
    rows, ids = [], {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("#") or not line.strip():
                continue
            scope, name, kind, unit, description, labels, bounds, ident = line.rstrip("\n").split("|")
            rows.append((scope, name, kind, unit, description, labels, tuple(float(b) for b in bounds.split(",") if b)))
            ids[name] = ident
    return rows, ids


def command_check(arguments):
    elf = Elf(arguments.file)
    rows, ids = expected_rows(arguments.expected)
    metrics = metrics_of(elf)
    got = sorted(row(metric) for metric in metrics)
    for wrong in got:
        expect(wrong in rows, "unexpected: %s" % (wrong,))
    for wanted in rows:
        times = got.count(wanted)
        expect(times == 1 or times == 0 and wanted[1] in arguments.optional, "%d times: %s" % (times, wanted))
    names = [metric.name for metric in metrics]
    expect(len(set(names)) == len(names), "a metric twice")
    check_places(elf, metrics)
    check_usdt(elf, metrics, ids, arguments.usdt == "any")


def command_list(arguments):
    for metric in metrics_of(Elf(arguments.file)):
        fields = row(metric)
        print("|".join(fields[:6]) + "|" + ",".join("%g" % bound for bound in fields[6]))


def command_hide(arguments):
    elf = Elf(arguments.file)
    with open(arguments.file, "r+b") as file:
        for metric in metrics_of(elf):
            file.seek(metric.offset - 12)
            expect(file.read(12) == b"probemeter\0\0", "no owner before a payload")
            file.seek(metric.offset - 12)
            file.write(b"unwatched!\0\0")


def command_bytes(arguments):
    elf = Elf(arguments.file)
    for metric in metrics_of(elf):
        if metric.name != arguments.name:
            continue
        header = metric.offset - 12 - 12
        print("note      " + elf.data[header:metric.offset].hex())
        at = metric.offset
        while at < metric.offset + metric.size:
            tag, length = struct.unpack_from("<HH", elf.data, at)
            payload = elf.data[at + 4:at + 4 + length].hex()
            places = {2: 1, 3: 1, 4: 1, 5: 2, 6: 1, 7: 1, 8: 1}.get(tag, 0)
            print("field     %s %s" % (elf.data[at:at + 4].hex(), "place" * places + payload[8 * places:]))
            at += 4 + length
        print("text      " + metric.text.hex())
        if metric.bounds:
            print("bounds    " + metric.bounds.hex())
        # The stub: distances to `home` and `state` are the linker's.
        stub = elf.read(metric.site - elf.machine.entry, elf.machine.stub_bytes, "stub").hex()
        for at in elf.machine.linked:
            stub = stub[:2 * at] + "xxxxxxxx" + stub[2 * at + 8:]
        print("stub      " + stub)
        print("places    " + " ".join("+%d" % (getattr(metric, what) - metric.site) for what in elf.machine.places))
        for name, location, _, usdt_arguments in usdt_of(elf):
            if location == metric.site:
                print("usdt      probemeter:%s %s" % (name, usdt_arguments))
        return
    raise Wrong("no metric " + arguments.name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check")
    check.add_argument("file")
    check.add_argument("expected")
    check.add_argument("--optional", action="append", default=[])
    check.add_argument("--usdt", choices=("all", "any"), default="all")
    check.set_defaults(run=command_check)
    listing = commands.add_parser("list")
    listing.add_argument("file")
    listing.set_defaults(run=command_list)
    hide = commands.add_parser("hide")
    hide.add_argument("file")
    hide.set_defaults(run=command_hide)
    single = commands.add_parser("bytes")
    single.add_argument("file")
    single.add_argument("name")
    single.set_defaults(run=command_bytes)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except (Wrong, struct.error, IndexError, UnicodeDecodeError) as error:
        print("notes.py: %s: %s" % (arguments.file, error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
