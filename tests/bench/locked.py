# SPDX-License-Identifier: BSD-3-Clause
"""Locked instructions of a request: how often the server's busiest thread executes an instruction that the processor
carries out with the cache line held (x86: a `lock` prefix, or an `xchg` with memory). They cost some twenty times as
much as others, and more when threads meet on a line. Callgrind counts each instruction by its address; objdump tells
which addresses are such ones, of the server and of the libraries that it has loaded."""
import os
import re
from collections import Counter

from output import fixed
from servers import Failed, Server, run
from tables import WORKS, work_requests

# An exchange with memory is locked without a prefix; between two registers it is not.
INSTRUCTION = re.compile(r"\s*([0-9a-f]+):\s+(lock\b|xchg\b.*\()")


def locked_addresses(program):
    """{address: function} of the locked instructions of a program or library, as its file numbers them."""
    found, function = {}, ""
    for line in run(["objdump", "-d", "--no-show-raw-insn", program]).splitlines():
        if line.endswith(">:"):
            function = re.split(r"[.@]", line.split("<", 1)[1][:-2])[0]  # without what the linker adds to names
        m = INSTRUCTION.match(line)
        if m:
            found[int(m.group(1), 16)] = function
    return found


def executed(path, names):
    """{(program, address): executions} of a dump made with --dump-instr=yes. `names` remembers the short names that
    callgrind gives to programs: a dump may use one that an earlier dump of the same process has introduced."""
    counts, program, inclusive, address = Counter(), None, False, 0
    with open(path) as f:
        for line in f:
            m = re.match(r"ob=(\(\d+\))(?: (.+))?", line)
            if m:
                if m.group(2):
                    names[m.group(1)] = m.group(2)
                program = names.get(m.group(1))
            elif m := re.match(r"cob=(\(\d+\)) (.+)", line):
                names[m.group(1)] = m.group(2)
            elif line.startswith("calls="):
                inclusive = True  # the next line is what the function called costs: it has lines of its own
            elif m := re.match(r"(0x[0-9a-f]+|\+\d+|-\d+|\*) \S+ (\d+)", line):
                word = m.group(1)
                if word != "*":
                    address = address + int(word) if word[0] in "+-" else int(word, 16)
                if not inclusive:
                    counts[program, address] += int(m.group(2))
                inclusive = False
    return counts


class Counting:
    """A server of which locked instructions are counted, from one look to the next."""

    def __init__(self, server):
        self.server, self.names, self.addresses = server, {}, {}

    def look(self):
        """{function: executions of locked instructions} since the last look."""
        _, path = self.server.dump()
        if not path:
            raise Failed("callgrind wrote nothing")
        for other in self.server.dumps():  # each thread's dump may introduce names that this one uses
            executed(other, self.names)
        seen = Counter()
        for (program, address), n in executed(path, self.names).items():
            if program not in self.addresses:
                real = program is not None and os.path.exists(program)
                self.addresses[program] = locked_addresses(program) if real else {}
            if address in self.addresses[program]:
                seen[self.addresses[program][address]] += n
        return seen


def locked(job):
    """Per request (multi-get: per key), between two counts of requests, so that accepting connections cancels."""
    batches = (20, 60) if job.quick else (40, 240)
    works = [w for w in WORKS if w.instructions and w.value < 1000]
    rows = []
    with Server(job.tools, "tagcached", 256, callgrind=os.path.join(job.tmp, "callgrind.locked"),
                callgrind_options=["--dump-instr=yes"]) as s:
        counting = Counting(s)
        for w in works:
            s.proto = w.proto or "text"
            seen = work_requests(s, w, batches, counting.look)
            (a, na), (b, nb) = seen
            b.subtract(a)
            where = {f: n / (nb - na) for f, n in b.items() if n / (nb - na) >= 0.01}
            total = sum(b.values()) / (nb - na)
            job.out.record("locked", row=w.name, tagcached=total, where=where)
            rows.append([w.name, fixed(total), ", ".join(f"{f} {fixed(n)}" for f, n in
                                                         sorted(where.items(), key=lambda x: -x[1]))])
    job.out.table("Locked instructions per request (of the busiest thread)", ["work", "tagcached", "where"], rows)
