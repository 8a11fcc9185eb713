# SPDX-License-Identifier: BSD-2-Clause
"""What a call executes while nobody listens: walk the loops of quiet.o as they run then, and compare them."""
import re

import build
from result import Target

# "  7e:	movzwl 0x0(%rip),%eax        # 85 <quiet_counter+0x35>"
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\t(\S+)\s*([^#<]*)")
RELOCATION = re.compile(r"^\s*[0-9a-f]+: R_\S+\s+(\S+)")


class Instruction:
    def __init__(self, address, verb, operands):
        self.address, self.verb, self.operands = address, verb, operands.strip()
        self.symbol = ""  # what a relocation puts into it

    @property
    def semaphore(self):
        return "probemeter_semaphore" in self.symbol


def functions():
    """{name: [Instruction]}"""
    found, current = {}, None
    for line in build.output("objdump", "-dr", "--no-show-raw-insn", build.OUT / "quiet.o").splitlines():
        named = re.match(r"^[0-9a-f]+ <(quiet_\w+)>:", line)
        if named:
            current = found.setdefault(named[1], [])
        elif not line.strip():
            current = None
        elif current is not None:
            relocation, instruction = RELOCATION.match(line), INSTRUCTION.match(line)
            if relocation:
                current[-1].symbol = relocation[1]
            elif instruction:
                current.append(Instruction(int(instruction[1], 16), instruction[2], instruction[3]))
    return found


def loop_of(code):
    """The instructions of one turn. A jump on the semaphore goes as for zero, any other as for "more to do"."""
    at = {instruction.address: index for index, instruction in enumerate(code)}
    path, index, zero = [], 0, False
    while index not in path:
        path.append(index)
        instruction = code[index]
        index += 1
        if instruction.semaphore:
            zero = True
        if instruction.verb.startswith("j"):
            taken = instruction.verb == "jmp" or instruction.verb == ("je" if zero else "jne")
            zero = False
            if taken:
                index = at[int(instruction.operands.split()[0], 16)]
    return [code[i] for i in path[path.index(index):]]


def measure(results):
    code = functions()
    plain = loop_of(code["quiet_nothing"])
    for letter, name in (("c", "counter"), ("d", "histogram")):
        loop = loop_of(code[f"quiet_{name}"])
        load = [i for i in loop if i.semaphore]
        behind = loop[loop.index(load[0]) + 1:] if load else []
        # gcc loads and tests, clang compares with memory: the one load either way, and its flags.
        flags = [behind[0]] if load and load[0].verb.startswith("mov") and behind[0].verb == "test" else []
        branch = behind[len(flags)] if load else None
        wanted = len(load) == 1 and branch.verb in ("je", "jne")
        more = len(loop) - len(plain) - len(load) - len(flags) - 1
        said = "; ".join(f"{i.verb} {i.symbol or i.operands}" for i in [*load, *flags, *([branch] if branch else [])])
        results.add(Target(f"1{letter}", f"{name}, no agent: instructions executed besides the load, its test and the branch",
                           0, unit="instructions"), [more if wanted else max(more, 1)], detail=said)
