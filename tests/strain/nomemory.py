#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A server that now and then gets no memory from the system: it lives, and serves on when there is some again.

    nomemory.py PROGRAM [--seconds N] [--seed S]

Some of the process's allocations fail, in its libraries as well (tests/lib/nomemory.c), for a third of a second at a time, while
clients do all that needs memory: values of all sizes, get lines of 200 keys, purges, statistics, dumps, watchers, packets, HTTP. A
request may be refused and a connection closed. In between, all is answered as if nothing had been. Prints a line; exits 1 if
the server ended, or was not itself again afterwards. A build with sanitizers is skipped.
"""
import argparse
import os
import random
import socket
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nomemory import NoMemory  # noqa: E402
from on_socket import OnSocket  # noqa: E402
from ports import free_port  # noqa: E402

SHARES = (0.003, 0.03, 0.3)  # of the allocations
CALM_S = 0.1
ANSWER_S = 20
KEYS = 500
CLIENTS = 8
HTTP = (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"POST /api/purge HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b"Content-Length: 17\r\n\r\n{\"tags\":[\"tag1\"]}")
LISTS = (b"stats", b"stats items", b"stats settings", b"stats conns", b"stats purge", b"stats tags", b"stats detail dump",
         b"lru_crawler metadump all")


def packet(opcode, key=b"", extras=b"", value=b""):
    body = extras + key + value
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(body), 0, 0) + body


class Client(threading.Thread):
    """Does one thing after the other, each to the end of its answer."""

    def __init__(self, server, http, number):
        super().__init__(daemon=True)
        self.server, self.http, self.rng = server, http, random.Random(number)
        self.ended, self.answers, self.closed, self.stuck = False, 0, 0, []

    def run(self):
        while not self.ended:
            try:
                with self.server.dial(ANSWER_S) as s:
                    for _ in range(20):
                        self.rng.choice((self.set, self.get, self.meta, self.tag, self.list, self.change))(s)
                        self.answers += 1
                for alone in (self.ask_http, self.watch, self.packets):
                    alone()
            except TimeoutError:
                self.stuck.append(f"not answered within {ANSWER_S} s")
            except OSError:
                self.closed += 1

    def key(self):
        return b"k%d" % self.rng.randrange(KEYS)

    def value(self):
        return b"v" * self.rng.choice((1, 100, 5000, 70000, 900000))

    @staticmethod
    def until(s, *ends):
        """Reads to one of the ends, or to an error."""
        got = b""
        while not got.endswith(ends) and not (b"ERROR" in got[-200:] and got.endswith(b"\r\n")):
            more = s.recv(1 << 20)
            if not more:
                raise ConnectionError("closed")
            got += more
        return got

    def set(self, s):
        value = self.value()
        s.sendall(b"set %s 0 %d %d\r\n%s\r\n" % (self.key(), self.rng.choice((0, 1, 100)), len(value), value))
        self.until(s, b"\r\n")

    def get(self, s):
        s.sendall(b"get " + b" ".join(self.key() for _ in range(self.rng.choice((1, 3, 200)))) + b"\r\n")
        self.until(s, b"END\r\n")

    def meta(self, s):
        value = self.value()
        s.sendall(b"ms %s %d T60 Gtag%d\r\n%s\r\nmg %s t f N30\r\nmn\r\n" %
                  (self.key(), len(value), self.rng.randrange(9), value, self.key()))
        self.until(s, b"MN\r\n")

    def tag(self, s):
        tag = self.rng.randrange(9)
        s.sendall(b"set %s|#|t=tag%d 0 0 3\r\nabc\r\npurge tag%d\r\n" % (self.key(), tag, tag))
        self.until(s, b"PURGED\r\n")

    def list(self, s):
        s.sendall(self.rng.choice(LISTS) + b"\r\n")
        self.until(s, b"END\r\n")

    def change(self, s):
        s.sendall(b"append %s 0 0 1000\r\n%s\r\n" % (self.key(), b"a" * 1000))
        self.until(s, b"\r\n")
        s.sendall(b"incr %s 1\r\n" % self.key())
        self.until(s, b"\r\n")

    def ask_http(self):
        with socket.create_connection(("127.0.0.1", self.http), ANSWER_S) as s:
            s.sendall(self.rng.choice(HTTP))
            while s.recv(1 << 16):
                pass

    def watch(self):
        with self.server.dial(ANSWER_S) as s:
            s.sendall(b"watch fetchers mutations purges\r\n")
            s.recv(1 << 16)

    def packets(self):
        with self.server.dial(ANSWER_S) as s:
            value = self.value()
            s.sendall(packet(0x01, self.key(), struct.pack(">II", 0, 0), value) + packet(0x10) +
                      b"".join(packet(0x0d, self.key()) for _ in range(20)) + packet(0x07))
            while s.recv(1 << 20):
                pass


def is_itself(server):
    """Whether it stores and answers as if there had always been memory."""
    with server.dial(ANSWER_S) as s:
        for i in range(100):
            s.sendall(b"set after 0 0 5000\r\n" + b"%05d" % i * 1000 + b"\r\nget after\r\nstats\r\n")
            got = Client.until(s, b"END\r\n")
            while got.count(b"END\r\n") < 2:
                got += Client.until(s, b"END\r\n")
            if not got.startswith(b"STORED\r\nVALUE after 0 5000\r\n" + b"%05d" % i * 1000):
                return False
    return True


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program", metavar="PROGRAM")
    p.add_argument("--seconds", type=float, default=4)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    memory, http = NoMemory(), free_port()
    if not memory.suits(args.program):
        print("skipped: a build with sanitizers")
        return 0
    server = OnSocket(args.program, "-m", 64, "-t", 2, "-I", "4m", "--http", f"127.0.0.1:{http}", stderr=subprocess.DEVNULL,
                      env=dict(os.environ, **memory.env))
    clients = [Client(server, http, 1000 * args.seed + i) for i in range(CLIENTS)]
    for c in clients:
        c.start()
    memory.now_and_then(args.seconds, SHARES, CALM_S, lambda: server.process.poll() is None)
    for c in clients:
        c.ended = True
    for c in clients:
        c.join()
    lives = server.process.poll() is None
    stuck = sum((c.stuck for c in clients), [])
    well = lives and is_itself(server)
    print(f"{memory.failed()} allocations failed; {sum(c.answers for c in clients)} requests were answered, "
          f"{sum(c.closed for c in clients)} connections closed" + ("" if lives else "; THE SERVER ENDED") +
          ("" if well or not lives else "; IT IS NOT ITSELF AGAIN") + (f"; {len(stuck)} {stuck[0]}" if stuck else ""))
    good = well and not stuck and memory.failed() > 20
    try:
        server.stop()
    finally:
        memory.end()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
