#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Stores of every size in memories of every size: each is answered within a second, and then the server is idle.

    tests/strain/grid.py --build BUILD [--seconds N] [--seed S] [--part K/N [--from N] | --cell m,t,size,reads,tagged,purging,clients]

A cell of the grid is a fresh server (-m, -t), values of one size (at, below and above every threshold of the store, and
random ones), each read 0, 1 or 3 times, with tags or without, with purges going on or not, by one client that only stores
new keys or by two for each worker that overwrite some. The cells come in a random order that the seed fixes, for as many
seconds as are given; --seconds 0 runs them all, which takes two to three hours. A cell keeps one core busy: on a machine with
more of them, runs of the same seed share the grid as --part 1/2 and --part 2/2. Two seconds after the last request of a cell the
store's thread may use at most one percent of a core; or, where the machine is busy and the sweeper's last pass takes longer,
a little later.

Ends, also when it is stopped with Ctrl-C, with the line "N of M cells, F failed" and exit status 1 if any failed; --from N, with
the same seed and part, goes on from there. Each failed cell is printed as --cell takes it.
"""
import argparse
import os
import random
import resource
import select
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cputime import cpu_ns  # noqa: E402
from on_socket import OnSocket  # noqa: E402

ANSWER_S = 1.0       # a request is answered within this
IDLE_AFTER_S = 2.0   # after the last request
IDLE_WINDOW_S = 1.0  # for so long the thread is watched
IDLE_SHARE = 0.01    # of a core
IDLE_WINDOWS = 4     # on a busy machine the sweeper's last pass may take longer: one of so many windows must be idle
MEMORIES = (1, 2, 3, 8, 16, 48, 64, 256)
THREADS = (1, 4)
READS = (0, 1, 3)


class Failed(Exception):
    pass


def segment_bytes(limit, workers):
    """As server/store/life.c chooses it."""
    n = 1 << 20
    while n > 32 << 10 and n * n * (5 * workers + 3) // 2 > limit * 600:
        n >>= 1
    return n


def item_max(m):
    return 512 << 10 if m == 1 else 1 << 20


def sizes(m, t, rng):
    """At, below and above every threshold, then random ones."""
    limit = m << 20
    segment = segment_bytes(limit, t)
    most = item_max(m) - 64
    thresholds = (min(segment // 4, 16383), segment // 4, segment - 14, 2 * segment, limit // 8, most)
    found = {1, 100, 4000}
    for at in thresholds:
        found.update(n for n in (at - 1, at, at + 1) if 0 < n <= most + 1)
    found.update(int(2 ** rng.uniform(4, 20)) for _ in range(3))
    return sorted(n for n in found if n <= most + 1)


def cells(rng):
    every = [(m, t, size, reads, tagged, purging, clients)
             for m in MEMORIES for t in THREADS for size in sizes(m, t, rng)
             for reads in READS for tagged in (0, 1) for purging in (0, 1) for clients in (1, 2 * t)]
    rng.shuffle(every)
    return every


class Server(OnSocket):
    def __init__(self, build, m, t):
        try:
            super().__init__(os.path.join(build, "tagcached"), "-m", m, "-t", t, "-I", item_max(m), stderr=subprocess.DEVNULL)
        except TimeoutError as e:
            raise Failed(str(e)) from e

    def thread_ns(self):
        """CPU time of the store's thread so far."""
        used = cpu_ns(self.process.pid, "tc-store")
        if used == 0:
            raise Failed("the store's thread is gone")
        return used

    def stop(self):
        self.process.kill()  # one that hangs would not end, and is what is looked for
        super().stop()


class Client:
    def __init__(self, server):
        self.socket = server.dial()
        self.socket.setblocking(False)

    def ask(self, request, ends, what):
        """Sends a request; returns its answers once there are `ends` lines or blocks that end one."""
        view, answer, until = memoryview(request), bytearray(), time.monotonic() + ANSWER_S
        while len(view) or ends(answer) is False:
            left = until - time.monotonic()
            if left <= 0:
                raise Failed(f"{what} not answered within {ANSWER_S} s ({len(view)} bytes not taken)")
            readable, writable, _ = select.select([self.socket], [self.socket] if len(view) else [], [], left)
            if writable:
                try:
                    view = view[self.socket.send(view[:1 << 18]):]
                except BlockingIOError:
                    pass
            if readable:
                got = self.socket.recv(1 << 20)
                if not got:
                    raise Failed(f"{what}: the server closed the connection")
                answer += got
        return bytes(answer)

    def stat(self, name):
        for line in self.ask(b"stats\r\n", lambda a: a.endswith(b"END\r\n"), "stats").split(b"\r\n"):
            if line.startswith(b"STAT %s " % name.encode()):
                return line.split()[2].decode()
        return "unknown"


def lines(n):
    return lambda answer: answer.count(b"\n") >= n


def value_of(i, size):
    return bytes([97 + i % 26]) * size


def store(client, i, batch, size, tagged):
    request = bytearray()
    for k in range(i, i + batch):
        tags = b"|#|t=t%d,u%d" % (k % 50, k % 7) if tagged else b""
        request += b"set key-%d%s 0 0 %d\r\n" % (k, tags, size) + value_of(k, size) + b"\r\n"
    refused = 0
    for answer in client.ask(bytes(request), lines(batch), f"set {i}").split(b"\r\n")[:-1]:
        refused += answer.startswith(b"SERVER_ERROR")
        if answer != b"STORED" and not answer.startswith(b"SERVER_ERROR"):
            raise Failed(f"set {i}: {answer[:80]!r}")
    return refused


def read(client, k, size):
    answer = client.ask(b"get key-%d\r\n" % k, lambda a: a.endswith(b"END\r\n"), f"get {k}")
    if answer == b"END\r\n":
        return
    head, _, rest = answer.partition(b"\r\n")
    if head.split()[1:] != [b"key-%d" % k, b"0", b"%d" % size] or rest != value_of(k, size) + b"\r\nEND\r\n":
        raise Failed(f"get {k}: not what was stored, or not all of it: {head[:80]!r}")


def run_cell(build, cell, rng):
    """Loads a fresh server; returns it, idle from now on."""
    m, t, size, reads, tagged, purging, nclients = cell
    server = Server(build, m, t)
    try:
        clients = [Client(server) for _ in range(nclients)]
        total = min(3 * (m << 20), 400 << 20)
        count = max(200, min(total // (size + 40), 60000))
        batch = 50 if size < 2000 else 1
        refused = 0
        for n, i in enumerate(range(0, count, batch)):
            client = clients[n % len(clients)]
            at = i if nclients == 1 or rng.random() < 0.9 else rng.randrange(0, i + 1)
            refused += store(client, at, batch, size, tagged)
            for _ in range(reads):
                read(clients[(n + 1) % len(clients)], at, size)
            if purging and n % 20 == 0:
                client.ask(b"mp t%d%s\r\n" % (n // 20 % 50, b" I" if n % 40 else b""), lines(1), "purge")
        refused += store(clients[0], 0, 1, 1, 0)
        if refused and size <= item_max(m) - 64 - 250:
            raise Failed(f"{refused} of {count} sets were refused; room_exhausted {clients[0].stat('room_exhausted')}")
        return server
    except BaseException:
        server.stop()
        raise


class Idle:
    """Servers that have had their last request, until they were found idle."""

    def __init__(self):
        self.waiting = []

    def add(self, cell, server):
        self.waiting.append([cell, server, time.monotonic() + IDLE_AFTER_S, None, 1])

    def stop(self):
        for _, server, *_ in self.waiting:
            server.stop()

    def look(self, wait):
        """Yields (cell, reason) of those that are not idle; waits for all of them if asked to."""
        while self.waiting and (wait or self.waiting[0][2] < time.monotonic()):
            entry = self.waiting[0]
            cell, server, due, before, windows = entry
            select.select([], [], [], max(0, due - time.monotonic()))
            now = time.monotonic()
            if before is None:
                entry[2:4] = [now + IDLE_WINDOW_S, (now, server.thread_ns())]
                self.waiting.sort(key=lambda e: e[2])
                continue
            share = (server.thread_ns() - before[1]) / 1e9 / (now - before[0])
            if share > IDLE_SHARE and windows < IDLE_WINDOWS:
                entry[3:] = [None, windows + 1]
                continue
            self.waiting.pop(0)
            server.stop()
            if share > IDLE_SHARE:
                yield cell, f"the store's thread uses {100 * share:.1f} % of a core"


def part_of(text):
    """K/N: K of N equal parts."""
    k, _, n = text.partition("/")
    if not (k.isdigit() and n.isdigit() and 1 <= int(k) <= int(n)):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N, such as 1/2 for the first half")
    return int(k), int(n)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="where tagcached was built")
    parser.add_argument("--seconds", type=float, default=60, help="how long (0: the whole grid)")
    parser.add_argument("--seed", type=int, default=1)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--part", type=part_of, default=(1, 1), metavar="K/N", help="run the K-th of N parts of the grid")
    which.add_argument("--cell", help="run this cell alone")
    parser.add_argument("--from", type=int, default=0, metavar="N", dest="first", help="leave out the first N cells")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    rng = random.Random(args.seed)
    every = [tuple(int(x) for x in args.cell.split(","))] if args.cell else cells(rng)
    every = every[args.part[0] - 1::args.part[1]]
    if not 0 <= args.first < len(every):
        parser.error(f"--from {args.first}: there are {len(every)} cells")
    until = time.monotonic() + args.seconds if args.seconds else float("inf")
    done, failures, idle = args.first, [], Idle()

    def failed(found):
        for cell, what in found:
            failures.append((cell, what))
            print("FAILED --cell", ",".join(map(str, cell)), what, flush=True)

    try:
        for cell in every[args.first:]:
            if time.monotonic() > until:
                break
            try:
                idle.add(cell, run_cell(args.build, cell, random.Random(args.seed)))
            except Failed as e:
                failed([(cell, str(e))])
            done += 1
            failed(idle.look(wait=len(idle.waiting) > 6))
        failed(idle.look(wait=True))
    except KeyboardInterrupt:
        done -= len(idle.waiting)  # not looked at to the end
        idle.stop()
    print(f"{done} of {len(every)} cells, {len(failures)} failed")
    return 1 if failures or done == args.first else 0


if __name__ == "__main__":
    sys.exit(main())
