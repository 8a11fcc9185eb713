# SPDX-License-Identifier: BSD-2-Clause
"""Just enough ELF (64 bit, little endian) to find the descriptor notes of a binary, damage them, and see in a running
process whether the kernel has raised their semaphores. Written from include/probemeter/ABI.md, not from the agent.
"""
import pathlib
import struct

PT_LOAD, PT_NOTE, ET_DYN = 1, 4, 3
OWNER = b"probemeter\0"
TAG_METRIC, TAG_TEXT, TAG_SEMAPHORE, TAG_SITE, TAG_FAST, TAG_SLOW = 1, 2, 3, 4, 5, 6
COUNTER, HISTOGRAM = 1, 5


class Note:
    """One descriptor note: file offsets of its header and its payload, and what its fields say."""

    def __init__(self, image, header, descriptor, size, address):
        self.header = header
        self.descriptor = descriptor
        self.size = size
        self.fields = {}  # tag -> (file offset of the payload, its address, its bytes)
        at = 0
        while at + 4 <= size:
            tag, length = struct.unpack_from("<HH", image, descriptor + at)
            start = at + 4
            self.fields[tag] = (descriptor + start, address + start,
                                image[descriptor + start:descriptor + start + length])
            at = start + length

    @property
    def kind(self):
        return struct.unpack_from("<I", self.fields[TAG_METRIC][2])[0]

    @property
    def semaphore(self):
        """Link-time address of the semaphore."""
        _, address, payload = self.fields[TAG_SEMAPHORE]
        return address + struct.unpack_from("<i", payload)[0]

    @property
    def text_address(self):
        _, address, payload = self.fields[TAG_TEXT]
        return address + struct.unpack_from("<i", payload)[0]


class Elf:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.image = bytearray(self.path.read_bytes())
        if self.image[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path} is no 64-bit little-endian ELF")
        self.type = struct.unpack_from("<H", self.image, 16)[0]
        offset, = struct.unpack_from("<Q", self.image, 32)
        size, count = struct.unpack_from("<HH", self.image, 54)
        self.segments = []
        for index in range(count):
            kind, _, at, address, _, bytes_in_file = struct.unpack_from("<IIQQQQ", self.image, offset + index * size)
            self.segments.append((kind, at, address, bytes_in_file))

    def notes(self):
        """The descriptors, in file order."""
        found = {}
        for kind, at, address, size in self.segments:
            if kind != PT_NOTE:
                continue
            end = at + size
            cursor = at
            while cursor + 12 <= end:
                name_size, desc_size, _ = struct.unpack_from("<III", self.image, cursor)
                name = bytes(self.image[cursor + 12:cursor + 12 + name_size])
                descriptor = cursor + 12 + (name_size + 3) // 4 * 4
                if name == OWNER:
                    found[cursor] = Note(self.image, cursor, descriptor, desc_size, address + descriptor - at)
                cursor = descriptor + (desc_size + 3) // 4 * 4
        return [found[key] for key in sorted(found)]

    def name_of(self, note):
        """The metric's name: the second of the strings that the note points at."""
        for kind, at, address, size in self.segments:
            if kind == PT_LOAD and address <= note.text_address < address + size:
                offset = at + note.text_address - address
                return bytes(self.image[offset:offset + 512]).split(b"\0")[1].decode(errors="replace")
        raise ValueError("the note's text is in no segment")

    def places(self, metric):
        """Offsets from the first byte of @metric's stub: 5-byte nop, 10-byte nop, slow nop."""
        note = next(n for n in self.notes() if self.name_of(n) == metric)

        def addresses(tag):
            _, address, payload = note.fields[tag]
            return [address + 4 * i + place for i, (place,) in enumerate(struct.iter_unpack("<i", payload))]

        site, = addresses(TAG_SITE)
        return [address - site for address in addresses(TAG_FAST) + addresses(TAG_SLOW)]

    def file_offset(self, address):
        """Where a link-time address lies in the file."""
        return next(address - start + at for kind, at, start, size in self.segments
                    if kind == PT_LOAD and start <= address < start + size)

    def first_address(self):
        return min(address for kind, _, address, _ in self.segments if kind == PT_LOAD) & ~0xfff

    def write(self, path):
        """Write the image, as changed, as an executable."""
        path = pathlib.Path(path)
        path.write_bytes(self.image)
        path.chmod(0o755)
        return path


def semaphores(pid, elf):
    """{metric name: semaphore value} of the counters and histograms of @elf in the running process @pid."""
    base = 0
    if elf.type == ET_DYN:
        inode = pathlib.Path(f"/proc/{pid}/exe").stat().st_ino
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, _, offset, _, mapped_inode = line.split()[:5]
            if int(mapped_inode) == inode and int(offset, 16) == 0:
                base = int(span.split("-")[0], 16) - elf.first_address()
                break
        else:
            return {}
    values = {}
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for note in elf.notes():
            if note.kind not in (COUNTER, HISTOGRAM):
                continue
            memory.seek(base + note.semaphore)
            values[elf.name_of(note)] = struct.unpack("<H", memory.read(2))[0]
    return values


def attached(pid, elf):
    """Has the kernel raised every semaphore of @elf in @pid?"""
    try:
        values = semaphores(pid, elf)
    except (OSError, struct.error):
        return False
    return bool(values) and all(values.values())
