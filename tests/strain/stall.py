#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Clients that stall, and what the others notice of it: started servers, plain sockets, real time.

    stall.py PROGRAM [--connections N] [--kinds a,b] [-m MB] [-t THREADS] [--seconds S]

Each kind of stalling client is tried against a fresh server: N connections stall, a probe goes on storing and asking
meanwhile, then the stalling ones go on or leave. A line a kind: what the server's memory grew by, the longest that the
probe waited, what became of the stalled. Exits 1 when a promise of server/net/README.md was broken."""
import argparse
import os
import select
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from on_socket import OnSocket  # noqa: E402

MIB = 1 << 20
PATIENCE = 60
NO_ROOM = b"SERVER_ERROR out of memory storing object\r\n"


class Server(OnSocket):
    def __init__(self, args):
        super().__init__(args.program, "-m", args.memory, "-t", args.threads, "-c", 4096, stderr=subprocess.DEVNULL)
        self.memory = args.memory * MIB

    def dial(self):
        return super().dial(PATIENCE)

    def rss(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) * 1024

    def stat(self, name):
        with self.dial() as s:
            s.sendall(b"stats\r\n")
            text = b""
            while not text.endswith(b"END\r\n"):
                text += s.recv(MIB)
        return next((int(l.split()[2]) for l in text.decode().splitlines() if l.startswith(f"STAT {name} ")), 0)

    def bound(self):
        """What all connections together may hold of input and output."""
        return max(self.memory // 8, 16 * MIB)


def line(s):
    text = b""
    while not text.endswith(b"\n"):
        c = s.recv(1)
        if not c:
            raise EOFError(text)
        text += c
    return text


def exactly(s, n):
    parts = []
    while n > 0:
        p = s.recv(min(n, MIB))
        if not p:
            raise EOFError
        parts.append(p)
        n -= len(p)
    return b"".join(parts)


def store(s, key, value):
    s.sendall(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
    return line(s)


def offer(s, data):
    """Sends what the server takes without waiting for it; returns how much."""
    s.setblocking(False)
    sent = 0
    try:
        while sent < len(data):
            sent += s.send(data[sent:])
    except OSError:
        pass
    s.settimeout(PATIENCE)
    return sent


class Probe(threading.Thread):
    """Stores and asks for a value, again and again; notes the longest wait and what failed."""

    def __init__(self, server, size):
        super().__init__()
        self.socket, self.value = server.dial(), b"p" * size
        self.longest, self.done, self.failed, self.ending = 0.0, 0, [], False

    def run(self):
        while not self.ending:
            began = time.monotonic()
            try:
                got = store(self.socket, b"probe", self.value)
                if got != b"STORED\r\n":
                    self.failed.append(got.decode().strip())
                self.socket.sendall(b"get probe\r\n")
                head = line(self.socket)
                if head != b"END\r\n":
                    exactly(self.socket, len(self.value) + 2 + 5)
            except (OSError, EOFError) as e:
                self.failed.append(repr(e))
                return
            self.longest = max(self.longest, time.monotonic() - began)
            self.done += 1
            time.sleep(0.001)

    def end(self):
        self.ending = True
        self.join()


class Kind:
    probe = 100  # bytes of the probe's value
    longest = 0.5  # seconds that it may wait
    most = None  # bytes that the server may grow by; None: the bound of all connections

    def prepare(self, server):
        """Stores what the stalling clients ask for."""

    def begin(self, s, i):
        """Connection i begins, and stalls."""

    def go_on(self, server, sockets):
        """The stalled ones go on. Returns what became of them, or what is wrong in a list."""
        return "left", []


class Upload(Kind):
    """Bodies of `size` bytes that stop half way. (With hundreds before and behind it in line the probe may be refused.)"""
    longest = 3

    def __init__(self, size):
        self.size = self.probe = size

    def request(self, i):
        return b"set u%d 0 0 %d\r\n%s\r\nmn\r\n" % (i, self.size, b"u" * self.size)

    def begin(self, s, i):
        self.sent = getattr(self, "sent", [])
        self.sent.append(offer(s, self.request(i)[:self.size // 2]))

    def go_on(self, server, sockets):
        seen, wrong = {}, []
        for i, s in enumerate(sockets):
            try:
                s.sendall(self.request(i)[self.sent[i]:])
                first, second = line(s), line(s)
            except (OSError, EOFError) as e:
                wrong.append(repr(e))
                continue
            name = first.decode().strip()
            seen[name] = seen.get(name, 0) + 1
            if second != b"MN\r\n" or first not in (b"STORED\r\n", NO_ROOM):
                wrong.append(f"{first} {second}")
        return ", ".join(f"{n} {name}" for name, n in sorted(seen.items())), wrong


class Reader(Kind):
    """A get of 100 keys of 900 KB each, of which nobody reads the answer. (The newest of them lie in memory at -m 64.)"""
    size, keys = 900000, 100
    check = 3  # connections that read it all in the end

    def request(self):
        return b"get " + b" ".join(b"v%d" % k for k in range(self.keys)) + b"\r\n"

    def prepare(self, server):
        with server.dial() as s:
            for k in range(self.keys):
                store(s, b"v%d" % k, b"v" * self.size)

    def begin(self, s, i):
        offer(s, self.request())

    def go_on(self, server, sockets):
        whole = 0
        for s in sockets[-self.check:]:
            try:
                got = b""
                while not got.endswith(b"END\r\n"):
                    p = s.recv(MIB)
                    if not p:
                        break
                    got = got[-8:] + p
                whole += got.endswith(b"END\r\n")
            except OSError:
                pass
        return f"{whole} of {min(self.check, len(sockets))} were answered to the end", []


class Small(Reader):
    """A get line of thousands of small keys."""
    size, keys = 500, 5000


class Pipeline(Reader):
    """mg, gets and gat of large values, pipelined."""
    def request(self):
        return b"".join(b"mg v%d v\r\ngets v%d\r\ngat 0 v%d\r\nget v%d\r\n" % (k, k, k, k) for k in range(self.keys)) * 3

    def go_on(self, server, sockets):
        return "left", []


class Stats(Kind):
    """stats, pipelined. (A thousand that ask for it at once are load, too, as are those that dump.)"""
    longest = 5

    def begin(self, s, i):
        offer(s, b"stats\r\nstats conns\r\nstats settings\r\nstats sizes\r\n" * 100)


class Dump(Small):
    """lru_crawler metadump all, again and again."""
    size, keys = 10, 50000
    longest = 3

    def begin(self, s, i):
        offer(s, b"lru_crawler metadump all\r\n" * 3)

    def go_on(self, server, sockets):
        return "left", []


class Watch(Kind):
    """watch, as many as there may be."""
    def begin(self, s, i):
        offer(s, b"watch fetchers mutations\r\n")


class Deaf(Kind):
    """Requests without end, whose answers nobody reads."""
    def begin(self, s, i):
        for _ in range(8):
            offer(s, b"mn\r\nget probe\r\nset s 0 0 1000\r\n" + b"s" * 1000 + b"\r\n" * 100)


class Line(Kind):
    """Lines of nearly 64 KiB without an end."""
    def begin(self, s, i):
        offer(s, b"mg key P" + b"x" * 65000)


class Body(Kind):
    """Bodies of 16,000 bytes, which wait in the connection's buffer, but for the last byte."""
    def begin(self, s, i):
        offer(s, b"set b 0 0 16000\r\n" + b"b" * 15999)


class Kept(Kind):
    """Large bodies that wait for their turn with all of a long line, and input behind them."""
    def begin(self, s, i):
        offer(s, b"ms key%d 700000 P%s\r\n" % (i, b"x" * 60000) + b"k" * 100000)

    longest = 3


KINDS = {
    "upload700k": Upload(700000), "upload100k": Upload(100000), "upload20k": Upload(20000), "get": Reader(), "small": Small(),
    "pipeline": Pipeline(), "stats": Stats(), "dump": Dump(), "watch": Watch(), "deaf": Deaf(), "line": Line(),
    "body": Body(), "kept": Kept(),
}
SLACK = 12 * MIB  # of the heap, the store's own growth, the connections


def try_kind(name, kind, args):
    server = Server(args)
    wrong = []
    try:
        kind.prepare(server)
        # What the probe and the memory of -m grow by is there before.
        with server.dial() as s:
            for k in range(args.memory + args.memory // 4):
                store(s, b"fill%d" % k, b"f" * 1000000)
            kind.prepare(server)
        sockets = [server.dial() for _ in range(args.connections)]
        before = server.rss()
        probe = Probe(server, kind.probe)
        probe.start()
        most = 0
        for i, s in enumerate(sockets):
            kind.begin(s, i)
            most = max(most, server.rss() - before)
        until = time.monotonic() + args.seconds
        while time.monotonic() < until:
            most = max(most, server.rss() - before)
            select.select([], [], [], 0.05)
        during, failed, held = probe.longest, list(probe.failed), server.stat("read_buf_bytes")
        closed = server.stat("holders_closed")
        fate, wrong = kind.go_on(server, sockets)
        for s in sockets:
            s.close()
        probe.end()
        allowed = SLACK + (server.bound() if kind.most is None else kind.most)
        if held > server.bound():
            wrong.append(f"connections hold {held / MIB:.1f} MiB, may {server.bound() / MIB:.0f}")
        if most > allowed:
            wrong.append(f"grew by {most / MIB:.0f} MiB, may by {allowed / MIB:.0f}")
        if max(during, probe.longest) > kind.longest:
            wrong.append(f"the probe waited {max(during, probe.longest):.2f} s, may {kind.longest} s")
        if failed or probe.failed:
            wrong.append(f"{len(probe.failed)} of the probe's failed: {probe.failed[0]}")
        print(f"{name:11} {args.connections:5} connections: +{most / MIB:6.1f} MiB, held {held / MIB:4.1f}, closed {closed:3}; probe {probe.done:6} times, longest "
              f"{during:.3f} s, until the end {probe.longest:.3f} s; {fate}" + "".join(f"\n    WRONG: {w}" for w in wrong[:4]),
              flush=True)
    finally:
        server.stop()
    return not wrong


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program")
    p.add_argument("--connections", "-n", type=int, default=30)
    p.add_argument("--kinds", default=",".join(KINDS), help="which, of: " + " ".join(KINDS))
    p.add_argument("-m", dest="memory", type=int, default=64)
    p.add_argument("-t", dest="threads", type=int, default=4)
    p.add_argument("--seconds", type=float, default=2, help="for which they stall")
    args = p.parse_args()
    ok = [try_kind(k, KINDS[k], args) for k in args.kinds.split(",")]
    sys.exit(0 if all(ok) else 1)


if __name__ == "__main__":
    main()
