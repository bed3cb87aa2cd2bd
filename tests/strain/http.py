#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Hostile HTTP clients, and what the clients of the cache notice of them: started servers, plain sockets, real time.

    http.py PROGRAM [--rounds N] [--seconds S] [--rate GETS] [--machine US]

48 connections send a byte a second of a request that never ends, 16 more flood the listener with scrapes and garbage, and come
back when they are turned away. Two servers run, each under an attack of its own or not; a probe asks the first one for a key, at
fixed times. A round is two halves: the second server is attacked, or the first, so that the machine is as busy in both; which half
comes first changes from round to round. With each get an idle echo is asked, too: what it takes longer than it usually does is the
machine's doing, and is taken off the get's time. A line a round: p99 of the probe so corrected in both halves; then the
median of the rounds' ratios, and where half of them lie. Exits 1 if the median is above 1.2, 2 if the machine was too busy to
say: a round counts only if the echo itself was answered in time (--machine).

Short rounds and many: what else the machine does comes and goes, and hits one half of a round and not the other."""
import argparse
import multiprocessing
import os
import select
import socket
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from on_socket import OnSocket  # noqa: E402
from ports import free_port  # noqa: E402

PATIENCE = 60
LIMIT = 1.2
SLOW = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 1000
FLOOD = (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50,
         b"GET /" + b"a" * 9000, b"\0" * 4000)


class Server(OnSocket):
    def __init__(self, program):
        self.port = free_port()
        super().__init__(program, "-t", 1, "-m", 64, "--http", f"127.0.0.1:{self.port}")


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


class Echo:
    """A process that sends back what it gets."""

    def __init__(self):
        self.s, far = socket.socketpair()
        self.process = multiprocessing.Process(target=self.run, args=(far,), daemon=True)
        self.process.start()
        far.close()

    @staticmethod
    def run(s):
        while True:
            got = s.recv(4096)
            if not got:
                return
            s.sendall(got)


def ask_both(s, echo, due):
    """Asks both, and says how long after `due` each has answered: neither waits for the other."""
    took = {}
    s.sendall(b"get k\r\n")
    echo.sendall(b"END\r\n")
    got = {s: b"", echo: b""}
    while len(took) < 2:
        ready = select.select([w for w in got if w not in took], [], [], PATIENCE)[0]
        now = time.perf_counter() - due
        for w in ready:
            got[w] += w.recv(4096)
            if got[w].endswith(b"END\r\n"):
                took[w] = now
    return took[s], took[echo]


def p99_us(times):
    return times[len(times) * 99 // 100] * 1e6


def probe(s, echo, seconds, rate):
    """p99 of gets that are due at fixed times, in microseconds from when they were due: all of it, without what the machine has
    added, and that of the echo."""
    took, waits, begun = [], [], time.perf_counter()
    for i in range(int(seconds * rate)):
        due = begun + i / rate
        while time.perf_counter() < due:
            time.sleep(max(0, due - time.perf_counter() - 0.0001))
        one, other = ask_both(s, echo, due)
        took.append(one)
        waits.append(other)
    usual = statistics.median(waits)
    own = sorted(t - min(t, max(0, w - usual)) for t, w in zip(took, waits))
    took.sort()
    waits.sort()
    return {"all": p99_us(took), "own": p99_us(own), "machine": p99_us(waits)}


def half(target, s, echo, args):
    stop, served = multiprocessing.Event(), multiprocessing.Value("Q", 0, lock=False)
    attacker = multiprocessing.Process(target=attack, args=(target.port, stop, served))
    attacker.start()
    time.sleep(0.3)
    p99 = probe(s, echo, args.seconds, args.rate)
    stop.set()
    attacker.join(PATIENCE)
    assert served.value > 0, "the attack was not answered at all"
    return p99, served.value


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("program")
    p.add_argument("--rounds", type=int, default=30)
    p.add_argument("--seconds", type=float, default=1)
    p.add_argument("--machine", type=float, default=500, metavar="US", help="p99 of the echo up to which a round counts")
    p.add_argument("--rate", type=int, default=2000)
    args = p.parse_args()
    first, second, echo, ratios = Server(args.program), Server(args.program), Echo(), []
    try:
        s = first.dial(PATIENCE)
        s.sendall(b"set k 0 0 100\r\n" + b"x" * 100 + b"\r\n")
        assert s.recv(100) == b"STORED\r\n"
        for i in range(args.rounds):
            seen = {}
            for target in (first, second)[::1 if i % 2 else -1]:
                seen[target] = half(target, s, echo.s, args)
            (attacked, answered), (quiet, _) = seen[first], seen[second]
            counts = max(attacked["machine"], quiet["machine"]) <= args.machine
            if counts:
                ratios.append(attacked["own"] / quiet["own"])
            print(f"round {i + 1}: p99 {quiet['own']:.0f} us (as seen {quiet['all']:.0f}, machine {quiet['machine']:.0f}), under "
                  f"attack {attacked['own']:.0f} us ({attacked['all']:.0f}, {attacked['machine']:.0f}): "
                  f"{attacked['own'] / quiet['own']:.2f}{'' if counts else ', not counted'}; "
                  f"{answered / 1e6 / args.seconds:.1f} MB/s of answers", flush=True)
    finally:
        first.stop()
        second.stop()
        echo.process.terminate()
    if len(ratios) < max(2, args.rounds / 3):
        print(f"the machine was too busy: {len(ratios)} of {args.rounds} rounds count")
        return 2
    low, ratio, high = statistics.quantiles(ratios, n=4)
    print(f"median ratio {ratio:.2f}, half of them from {low:.2f} to {high:.2f}, of {len(ratios)} rounds that count")
    return 1 if ratio > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
