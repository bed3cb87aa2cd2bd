#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Hostile HTTP clients, and what the clients of the cache notice of them: started servers, plain sockets, real time.

    http.py PROGRAM [--rounds N] [--seconds S] [--rate GETS]

48 connections send a byte a second of a request that never ends, 16 more flood the listener with scrapes and garbage, and come
back when they are turned away. Two servers run; a probe asks the first one for a key, at fixed times. A round is two halves:
the attack goes to the second server, then to the first, so that the machine is as busy in both. A line a round: p99 of the
probe in both halves; then the median of their ratios. Exits 1 if that is above 1.2."""
import argparse
import multiprocessing
import os
import re
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time

PATIENCE = 60
LIMIT = 1.2
SLOW = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 1000
FLOOD = (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50,
         b"GET /" + b"a" * 9000, b"\0" * 4000)


class Server:
    def __init__(self, program):
        self.dir = tempfile.TemporaryDirectory()
        ports = self.dir.name + "/ports"
        root = ["-u", "root"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen([program, "-s", self.dir.name + "/s", "-t", "1", "-m", "64", "--http", "127.0.0.1:0", *root],
                                        env=dict(os.environ, MEMCACHED_PORT_FILENAME=ports))
        until = time.monotonic() + PATIENCE
        while not os.path.exists(ports) and time.monotonic() < until:
            time.sleep(0.05)
        with open(ports) as f:
            self.port = int(re.search(r"HTTP INET: (\d+)", f.read())[1])

    def dial(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(PATIENCE)
        s.connect(self.dir.name + "/s")
        return s

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.dir.cleanup()


def call(port, last):
    s = socket.socket()
    s.bind((f"127.0.0.{last}", 0))
    s.setblocking(False)
    s.connect_ex(("127.0.0.1", port))
    return s


def attack(port, stop, served):
    """Until stop is set; counts the bytes of answers."""
    os.nice(19)  # the attackers are on other machines
    slow, flood, turn, due = {}, {}, 0, 0.0
    while not stop.is_set():
        while len(slow) < 48:
            slow[call(port, 2 + len(slow) % 3)] = 0
        while len(flood) < 16:
            flood[call(port, 5)] = FLOOD[turn % len(FLOOD)]
            turn += 1
        now = time.monotonic()
        readable, writable, _ = select.select([*slow, *flood], [*flood], [], 0.02)
        for s in readable:
            try:
                got = s.recv(1 << 16)
            except OSError:
                got = b""
            served.value += len(got)
            if not got:
                slow.pop(s, None)
                flood.pop(s, None)
                s.close()
        for s in writable:
            try:
                if s in flood:
                    s.send(flood[s])
            except OSError:
                flood.pop(s)
                s.close()
        if now >= due:
            due = now + 1
            for s in list(slow):
                try:
                    s.send(SLOW[slow[s]:slow[s] + 1])
                    slow[s] += 1
                except OSError:
                    slow.pop(s)
                    s.close()


def probe(s, seconds, rate):
    """p99 of gets that are due at fixed times, in microseconds from when they were due."""
    took, begun = [], time.perf_counter()
    for i in range(int(seconds * rate)):
        due = begun + i / rate
        while time.perf_counter() < due:
            time.sleep(max(0, due - time.perf_counter() - 0.0001))
        s.sendall(b"get k\r\n")
        got = b""
        while not got.endswith(b"END\r\n"):
            got += s.recv(4096)
        took.append(time.perf_counter() - due)
    took.sort()
    return took[len(took) * 99 // 100] * 1e6


def half(target, s, args):
    stop, served = multiprocessing.Event(), multiprocessing.Value("Q", 0, lock=False)
    attacker = multiprocessing.Process(target=attack, args=(target.port, stop, served))
    attacker.start()
    time.sleep(1)
    p99 = probe(s, args.seconds, args.rate)
    stop.set()
    attacker.join(PATIENCE)
    assert served.value > 0, "the attack was not answered at all"
    return p99, served.value


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("program")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--rate", type=int, default=2000)
    args = p.parse_args()
    first, second, ratios = Server(args.program), Server(args.program), []
    try:
        s = first.dial()
        s.sendall(b"set k 0 0 100\r\n" + b"x" * 100 + b"\r\n")
        assert s.recv(100) == b"STORED\r\n"
        for i in range(args.rounds):
            quiet, _ = half(second, s, args)
            attacked, answered = half(first, s, args)
            ratios.append(attacked / quiet)
            print(f"round {i + 1}: p99 {quiet:.0f} us, under attack {attacked:.0f} us ({ratios[-1]:.2f}), "
                  f"{answered / 1e6 / (args.seconds + 1):.1f} MB/s of answers", flush=True)
    finally:
        first.stop()
        second.stop()
    ratio = statistics.median(ratios)
    print(f"median ratio {ratio:.2f}")
    return 1 if ratio > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
