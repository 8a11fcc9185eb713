# SPDX-License-Identifier: BSD-2-Clause
"""What differs by machine in a guest: the emulator, where kernels, programs and their libraries are, how results leave."""
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

from process import BUILD, TOOLS  # noqa: E402


class X86:
    """This machine's own programs. The second serial port takes the results."""
    name, build, compiler = "x86-64", BUILD, ["gcc"]
    emulator = ["qemu-system-x86_64"]
    console, port = "ttyS0", "ttyS1"
    oldest = r"Linux 5\.15"  # that a refusal names
    patience = 1

    @staticmethod
    def data(path):
        return ["-serial", f"file:{path}"]

    @staticmethod
    def processor(suite, part):
        """Without cmpxchg16b, which QEMU 7.2 gets wrong often enough for Linux 6.12 to die in its allocator while it boots. Since
        6.19 the allocator does without, but task storage cannot be had."""
        return "max,-cx16" if part == "scarce" or suite != "trixie-backports" else "max"

    @staticmethod
    def kernel(suite, full):
        """The kernel, and the words that make it fully preemptible if it is to be."""
        return TOOLS / f"linux-{suite}" / "vmlinuz", "preempt=full" if full else ""

    @staticmethod
    def busybox():
        return shutil.which("busybox")

    @staticmethod
    def libraries(program):
        """Files that the dynamic linker maps for @program, itself included: {place in the guest: file}."""
        said = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
        return {path: path for path in re.findall(r"(?:=> )?(/\S+) \(0x", said)}


class Arm64:
    """What `make arm64` has built, with the libraries of the root that scripts/tools.sh arm64 has unpacked. The board has one
    serial port; a second one is put on its PCI bus. Signed return addresses in a cheap way: it is all emulated. The guest's clock
    goes by the instructions it has run, 4 ns each, and leaps over its sleep: how busy this machine is, nothing in there can see."""
    root = TOOLS / "arm64"
    name, build, compiler = "arm64", BUILD / "arm64", ["aarch64-linux-gnu-gcc", f"--sysroot={root}"]
    emulator = ["qemu-system-aarch64", "-machine", "virt", "-icount", "shift=2,sleep=off"]
    console, port = "ttyAMA0", "ttyS0"
    oldest = r"Linux 6\.0"
    patience = 3  # everything takes longer

    @staticmethod
    def data(path):
        return ["-chardev", f"file,id=data,path={path}", "-device", "pci-serial,chardev=data"]

    @staticmethod
    def processor(suite, part):
        return "max,pauth-impdef=on"

    @staticmethod
    def kernel(suite, full):
        """Debian's for arm64 heed no such word; those for real time are built so."""
        return TOOLS / f"linux-{suite}{'-rt' * full}-arm64" / "vmlinuz", ""

    @classmethod
    def busybox(cls):
        return cls.root / "bin/busybox"

    @classmethod
    def libraries(cls, program):
        """As above, but nothing of it runs here: what it and its libraries say that they need."""
        found, files = {}, [pathlib.Path(program)]
        for file in files:
            said = subprocess.run(["readelf", "-ldW", file], stdout=subprocess.PIPE, text=True, check=True).stdout
            names = re.findall(r"interpreter: (\S+)\]", said)
            names += [f"/usr/lib/aarch64-linux-gnu/{name}" for name in re.findall(r"\(NEEDED\).*\[(\S+)\]", said)]
            for name in names:
                if name not in found:
                    found[name] = cls.root / name.lstrip("/")
                    files.append(found[name])
        return found


MACHINES = {machine.name: machine for machine in (X86, Arm64)}
