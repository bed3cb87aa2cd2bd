#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The store's thread stands still while clients fill the memory: they wait for it, and nothing is refused.

    standstill.py PROGRAM [--sets N]

A thread gets no processor for a while on a machine that is busy, or a virtual one whose host is. Each load stores new keys
until nothing is answered any more; then the thread goes on, and all of it has to be stored. Loads: small items, for which
the index has to grow; larger ones, for which something has to be evicted. A line a load. Exits 1 if a set was refused.
Where a process may not stop another's threads it says so and exits 0.
"""
import argparse
import os
import select
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from on_socket import OnSocket  # noqa: E402
from standstill import standing_still  # noqa: E402

LOADS = ((8, 1), (3, 51), (2, 100), (8, 5000), (8, 100000))  # -m, bytes of a value
QUIET_S = 0.2   # nothing was answered for so long: all wait
PATIENCE_S = 8  # shorter than the ten seconds after which a set that waits is refused


class Load:
    def __init__(self, server, sets, size):
        self.socket = server.dial()
        self.socket.setblocking(False)
        value = b"v" * size
        self.left = memoryview(b"".join(b"set key-%d 0 0 %d\r\n%s\r\n" % (i, size, value) for i in range(sets)))
        self.sets, self.answers = sets, bytearray()

    def go_on(self, wait):
        """Sends and reads what can be; False if nothing was answered for so long."""
        until, seen = time.monotonic() + wait, len(self.answers)
        while len(self.answers) == seen and time.monotonic() < until:
            readable, writable, _ = select.select([self.socket], [self.socket] if len(self.left) else [], [], wait)
            if writable:
                self.left = self.left[self.socket.send(self.left[:1 << 16]):]
            if readable:
                part = self.socket.recv(1 << 16)
                if not part:
                    sys.exit("the server closed the connection")
                self.answers += part
        return len(self.answers) > seen

    def done(self):
        return self.answers.count(b"\n")


def tried(program, memory, size, sets):
    """True if all was stored."""
    with OnSocket(program, "-m", memory, "-t", 1, stderr=subprocess.DEVNULL) as server:
        load = Load(server, sets, size)
        with standing_still(server.process.pid, "tc-store"):
            while load.done() < sets and load.go_on(QUIET_S):
                pass
            meanwhile = load.done()
        while load.done() < sets and load.go_on(PATIENCE_S):
            pass
    stored = load.answers.count(b"STORED\r\n")
    print(f"-m {memory}, values of {size}: {meanwhile} of {sets} sets answered while the store's thread stood still, "
          f"{stored} stored in the end, {load.answers.count(b'SERVER_ERROR')} refused", flush=True)
    if meanwhile == sets:
        print("that is all of them: nobody had to wait; more --sets are needed")
    return stored == sets and meanwhile < sets


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", metavar="PROGRAM")
    parser.add_argument("--sets", type=int, default=60000, metavar="N", help="of each load; fewer of large values")
    args = parser.parse_args()
    try:
        good = [tried(args.program, memory, size, min(args.sets, (3 * memory << 20) // size))
                for memory, size in LOADS]
    except PermissionError as e:
        print(f"skipped: {e}")
        return 0
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
