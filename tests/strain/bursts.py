#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Bursts of purges take nothing along that they do not name.

Starts a daemon, fills it with tagged items, and purges tags that no item of these carries: once as fast as a pipeline
goes, once at a steady rate. Afterwards every item must still be there, no purge may have been let go of (purge_floors
of `stats purge`), and between the bursts a purge of a tag that items do carry must take exactly those.

  tests/strain/bursts.py build/dev/tagcached --items 2000000 --memory 512 --pipeline 100000 --rate 5000 --seconds 60
"""
import argparse
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from on_socket import OnSocket  # noqa: E402

BATCH = 1000  # requests in one write


class Client:
    def __init__(self, server):
        self.sock = server.dial()

    def ask(self, requests, end):
        """Sends bytes and returns all that comes up to the bytes `end`."""
        self.sock.sendall(requests)
        got = b""
        while not got.endswith(end):
            more = self.sock.recv(1 << 20)
            if not more:
                sys.exit("bursts: the connection was closed")
            got += more
        return got

    def stats(self, group):
        lines = self.ask(b"stats %s\r\n" % group, b"END\r\n").decode().splitlines()
        return {words[1]: words[2] for words in (line.split() for line in lines) if words[0] == "STAT"}

    def purge(self, tags):
        """Purges one by one in a pipeline; every answer must be PURGED."""
        requests = b"".join(b"purge %s\r\n" % tag for tag in tags)
        sender = threading.Thread(target=self.sock.sendall, args=(requests,))
        sender.start()
        want, got = len(tags) * len(b"PURGED\r\n"), []
        while want > 0:
            more = self.sock.recv(1 << 20)
            if not more:
                sys.exit("bursts: the connection was closed")
            got.append(more)
            want -= len(more)
        sender.join()
        if b"".join(got).count(b"PURGED\r\n") != len(tags):
            sys.exit("bursts: a purge was not answered PURGED")


def fill(client, items):
    for first in range(0, items, BATCH):
        keys = range(first, min(first + BATCH, items))
        # No ttl: nothing but a purge or eviction takes an item out.
        client.sock.sendall(b"".join(b"ms k%d 5 Gt%d,g%d,all q\r\nhello\r\n" % (k, k, k % 1000) for k in keys))
    client.ask(b"mn\r\n", b"MN\r\n")


def missing(client, items):
    """How many items are not there."""
    gone = 0
    for first in range(0, items, BATCH):
        keys = range(first, min(first + BATCH, items))
        gone += client.ask(b"".join(b"mg k%d\r\n" % k for k in keys) + b"mn\r\n", b"MN\r\n").count(b"EN\r\n")
    return gone


def steadily(client, rate, seconds):
    """`rate` purges a second, in writes of 20 ms; returns how many seconds late the last one was answered."""
    each, began = max(1, rate // 50), time.monotonic()
    for n in range(0, rate * seconds, each):
        ahead = n / rate - (time.monotonic() - began)
        if ahead > 0:
            time.sleep(ahead)
        client.purge([b"s%d" % k for k in range(n, n + each)])
    return time.monotonic() - began - seconds


def run(client, args):
    fill(client, args.items)
    if missing(client, args.items):
        sys.exit("bursts: the items do not fit into -m %d" % args.memory)
    began = time.monotonic()
    client.purge([b"p%d" % k for k in range(args.pipeline)])
    took = time.monotonic() - began
    print("bursts: %d purges in a pipeline: %.0f a second" % (args.pipeline, args.pipeline / took))
    gone = missing(client, args.items)
    client.purge([b"g7"])
    of_one = missing(client, args.items) - gone
    late = steadily(client, args.rate, args.seconds)
    print("bursts: %d purges a second for %d s: %.2f s late" % (args.rate, args.seconds, late))
    gone_then = missing(client, args.items) - of_one
    stats = client.stats(b"purge")
    floors, waits = int(stats["purge_floors"]), int(stats["purge_waits"])
    print("bursts: %d and then %d of %d items lost, %d purges let go of, %d waited, %s passes of the sweeper"
          % (gone, gone_then, args.items, floors, waits, stats["sweep_passes"]))
    expected = len(range(7, args.items, 1000))
    if of_one != expected:
        sys.exit("bursts: a purge of %d items took %d" % (expected, of_one))
    if gone or gone_then or floors:
        sys.exit("bursts: purges took items along that they do not name")
    if args.least and args.pipeline / took < args.least:
        sys.exit("bursts: fewer than %d purges a second in a pipeline" % args.least)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("daemon")
    parser.add_argument("--items", type=int, default=20000)
    parser.add_argument("--memory", type=int, default=64, help="-m of the daemon")
    parser.add_argument("--pipeline", type=int, default=100000, help="purges in one pipeline")
    parser.add_argument("--rate", type=int, default=5000, help="purges a second afterwards")
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--least", type=int, default=0, help="purges a second that the pipeline must reach; 0: any")
    args = parser.parse_args()
    with OnSocket(args.daemon, "-m", args.memory) as daemon:
        run(Client(daemon), args)


if __name__ == "__main__":
    main()
