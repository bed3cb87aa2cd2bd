# SPDX-License-Identifier: BSD-3-Clause
"""How many locked instructions ran, from callgrind's counts of each instruction and objdump's word on what it is.

On x86 these are what has a lock prefix, and xchg with memory, which needs none. Elsewhere there is no such count.
"""
import functools
import re
import subprocess

LOCKED = re.compile(r"^\s*([0-9a-f]+):\s+(?:lock\b|xchg\b.*\()")


@functools.lru_cache(maxsize=None)
def addresses(program):
    """Where a program or library has locked instructions."""
    try:
        p = subprocess.run(["objdump", "-d", "--no-show-raw-insn", program], capture_output=True, text=True)
    except OSError:
        return frozenset()
    return frozenset(int(m.group(1), 16) for m in map(LOCKED.match, p.stdout.splitlines()) if m)


def count(path):
    """The locked instructions counted in a dump (of --dump-instr=yes --compress-pos=no --separate-threads=yes)."""
    names, here, total, skip = {}, frozenset(), 0, False
    with open(path) as f:
        for line in f:
            if line.startswith("ob="):
                number, _, name = line[3:].rstrip("\n").partition(" ")
                names.setdefault(number, name)
                here = addresses(names[number])
            elif line.startswith("cob="):
                number, _, name = line[4:].rstrip("\n").partition(" ")
                names.setdefault(number, name)
            elif line.startswith("calls="):
                skip = True  # the next line is the cost of the called
            elif line.startswith("0x"):
                if not skip:
                    address, _, cost = line.split()[:3]
                    if int(address, 16) in here:
                        total += int(cost)
                skip = False
    return total
