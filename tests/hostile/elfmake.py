# SPDX-License-Identifier: BSD-2-Clause
"""Makes small ELF programs that do nothing but wait, with whatever descriptors an attack wants. x86-64, no compiler.

    image = elfmake.Image()
    image.metric("attack.total")
    image.write(path)

Everything a header says can be said wrong: Image(phnum=...), image.note([...fields]), image.levels(...).
"""
import pathlib
import struct

BASE, DATA = 0x400000, 0x10000000
PAGE = 4096
COUNTER, UPDOWN, LATEST, GAUGE, HISTOGRAM = 1, 2, 3, 4, 5
METRIC, TEXT, SEMAPHORE, SITE, FAST, SLOW, BOUNDS, LEVELS = range(1, 9)
# What a level table is made of (include/probemeter/abi.h).
SLOTS, LEVEL_TEXT = 2048, 131072
USED, SLOT_AT = 32768, 32768 + 16 + 2 * 4096
TEXT_AT = SLOT_AT + 24 * SLOTS
TABLE = 225280

PAUSE = bytes.fromhex("b8220000000f05ebf7")  # mov $34, %eax; syscall; jmp back


def place(target):
    """A place: where it points, relative to itself."""
    return lambda address: struct.pack("<i", (target - address + 0x80000000) % 0x100000000 - 0x80000000)


class Image:
    def __init__(self, code=PAUSE, **header):
        self.header = header  # phnum, shnum, shoff, phoff, machine, bits: said in place of the truth
        self.body = bytearray(code + b"\x90" * 7)  # behind the program headers' page
        self.notes = []
        self.data = bytearray(16)
        self.level_metrics = 0
        self.extra_segments = []  # (type, flags, offset, address, bytes in file, in memory)

    # --- parts, each returns its address

    def text(self, data):
        self.body += bytes(-len(self.body) % 8)
        self.body += data
        return BASE + PAGE + len(self.body) - len(data)

    def semaphore(self):
        self.data += bytes(8)
        return DATA + len(self.data) - 8

    def site(self):
        return self.text(b"\x90" + b"\x0f\x1f\x44\x00\x00" + b"\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00" + b"\x90\xc3")

    def levels(self, used, text_used, slots, text):
        """A level table as it stands in the file: slots are (key, metric's semaphore, text offset, flags, value, set_ns)."""
        self.data += bytes(-len(self.data) % PAGE)
        address = DATA + len(self.data)
        table = bytearray(TABLE)
        struct.pack_into("<IIII", table, USED, used, text_used, 1, 0)
        for number, (key, semaphore, offset, flags, value, set_ns) in enumerate(slots):
            struct.pack_into("<QQ", table, 16 * number, value & (1 << 64) - 1, set_ns)
            struct.pack_into("<QiIII", table, SLOT_AT + 24 * number, key, semaphore - address, offset, flags, 0)
        table[TEXT_AT:TEXT_AT + len(text)] = text
        self.data += table
        return address

    # --- descriptors

    def note(self, fields, owner=b"probemeter\0", kind=1, size=None):
        """One note of (tag, payload) fields; a payload is bytes, or a list of bytes and place()s."""
        self.notes.append((fields, owner, kind, size))

    def fields(self, name, kind=COUNTER, unit="1", scope="Hostile", description="", labels=(), bounds=None, levels=None,
               semaphore=None):
        if isinstance(name, str):
            name = name.encode()
        strings = [scope.encode(), name, unit.encode(), description.encode(), *(label.encode() for label in labels)]
        text = b"".join(one + b"\0" for one in strings)
        site = self.site()
        found = [(METRIC, struct.pack("<II", kind, len(labels))),
                 (TEXT, [place(self.text(text)), struct.pack("<I", len(text))]),
                 (SEMAPHORE, [place(semaphore or self.semaphore())]),
                 (SITE, [place(site)]), (FAST, [place(site + 1), place(site + 6)]), (SLOW, [place(site + 16)])]
        if bounds is not None:
            packed = struct.pack(f"<{len(bounds)}d", *bounds)
            found.append((BOUNDS, [place(self.text(packed)), struct.pack("<I", len(packed))]))
        if levels is not None:
            found.append((LEVELS, [place(levels), struct.pack("<I", 1)]))
        return found

    def metric(self, name, *args, **more):
        self.note(self.fields(name, *args, **more))
        return self

    # --- the file

    def _note_bytes(self, at):
        out = bytearray()
        for fields, owner, kind, size in self.notes:
            start = len(out) + 12 + (len(owner) + 3) // 4 * 4
            packed = bytearray()
            for tag, parts in fields:
                payload = bytearray()
                for part in parts if isinstance(parts, list) else [parts]:
                    payload += part(at + start + len(packed) + 4 + len(payload)) if callable(part) else part
                packed += struct.pack("<HH", tag, len(payload)) + payload
            out += struct.pack("<III", len(owner), len(packed) if size is None else size, kind)
            out += owner + bytes(-len(owner) % 4) + packed + bytes(-len(packed) % 4)
        return bytes(out)

    def bytes(self):
        self.body += bytes(-len(self.body) % 8)
        note_at = PAGE + len(self.body)
        notes = self._note_bytes(BASE + note_at)
        code_end = note_at + len(notes)
        data_at = (code_end + PAGE - 1) // PAGE * PAGE
        segments = [(1, 5, 0, BASE, code_end, code_end), (1, 6, data_at, DATA, len(self.data), len(self.data)),
                    (4, 4, note_at, BASE + note_at, len(notes), len(notes)), *self.extra_segments]
        say = {"phnum": len(segments), "phoff": 64, "shnum": 0, "shoff": 0, "machine": 62, "bits": 2, **self.header}
        out = bytearray(struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF" + bytes([say["bits"], 1, 1]), 2, say["machine"], 1,
                                    BASE + PAGE, say["phoff"], say["shoff"], 0, 64, 56, say["phnum"], 64, say["shnum"], 0))
        for kind, flags, offset, address, in_file, in_memory in segments:
            out += struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, in_file, in_memory, PAGE)
        out += bytes(PAGE - len(out)) + self.body + notes
        return bytes(out + bytes(data_at - len(out)) + self.data)

    def write(self, path):
        path = pathlib.Path(path)
        path.write_bytes(self.bytes())
        path.chmod(0o755)
        return path
