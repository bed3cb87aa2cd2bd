#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What moving keys costs those who use them: three nodes become four and three again, under a steady load.

    handoff.py [--items N] [--rate PER_SECOND] [--times N] [--still S] [--memory MB] [--handoff-rate MIB] [--build DIR]

`moveload` fills the cluster and goes on reading, setting and deleting by Zipf's law, through connections to the three nodes
that stay, and knows what each key must hold. First nothing moves for some seconds; then a node joins, and leaves when it has
its keys; as often as --times says. Told in the end: how far the hit ratio fell in any second, which part of the moved keys was
kept, what came back that was deleted or old, errors, and late requests with and without a move. The exit status is 1 if a
deleted or an old value came back, a client saw an error, or more than one key in a thousand of those that moved was lost."""
import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
import lib  # noqa: E402

FIELDS = ("ops", "gets", "hits", "dead_gets", "lost", "old", "resurrected", "errors")


class Load:
    """moveload, and what it says second by second."""

    def __init__(self, a, nodes):
        cmd = [os.path.join(a.build, "tests", "bench", "moveload"), "-n", a.items, "-r", a.rate, "-t", a.threads,
               "-c", a.connections, "-v", a.value, *(n.port for n in nodes)]
        self.p = subprocess.Popen(list(map(str, cmd)), stdout=subprocess.PIPE, text=True)
        self.seconds, self.sums = [], {}
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.p.stdout:
            o = json.loads(line)
            if o["what"] == "second":
                self.seconds.append(o)
            else:
                self.sums[o["what"]] = o

    def wait_seconds(self, n):
        until = len(self.seconds) + n
        lib.wait("the load goes on", lambda: len(self.seconds) >= until or self.p.poll() is not None, 600 + 10 * n)

    def end(self):
        self.p.send_signal(signal.SIGTERM)
        self.p.wait()
        self.reader.join()


def options(a):
    return ["-m", str(a.memory), "--handoff-rate", str(a.handoff_rate), "--peer-timeout", str(a.peer_timeout)]


def stat_sum(nodes, name, group="cluster"):
    return sum(int(n.stat(name, group)) for n in nodes)


def wait_over(nodes):
    lib.wait("the hand-off is over", lambda: all(n.stat("handoff_active") == "0" for n in nodes), 600)


def join_and_leave(lab, a, nodes, load, moved):
    """One node more, and one less again. Adds the items that moved."""
    before = len(load.seconds)
    node = lab.joiner(nodes, *options(a), state=True).start(serves=False)
    lib.settle(nodes + [node], 120)
    wait_over(nodes + [node])
    load.wait_seconds(1)
    joined = len(load.seconds)
    got = int(node.stat("curr_items", ""))
    print(f"joined: {joined - before} s, {got} items there, {node.stat('handoff_received')} of them handed over, "
          f"pulls {node.stat('pulls_kept')} of {node.stat('pulls_sent')}", flush=True)
    moved.append(got)
    pulls = stat_sum(nodes + [node], "pulls_sent")
    load.wait_seconds(2)
    assert stat_sum(nodes + [node], "pulls_sent") == pulls, "it is over, and items are pulled"
    before = len(load.seconds)
    assert node.admin(f"cluster leave {node.name}").startswith("OK")
    lib.wait("it has left", lambda: node.p.poll() is not None, 600)
    lib.settle(nodes, 120)
    wait_over(nodes)
    load.wait_seconds(1)
    moved.append(got)
    print(f"left: {len(load.seconds) - before} s", flush=True)


def tell(load, still, moved):
    """Prints the figures; returns whether they are good."""
    quiet, moving = load.seconds[2:still], load.seconds[still:]
    ratio = lambda s: 100 * s["hits"] / s["gets"] if s["gets"] else 100.0  # noqa: E731
    for o in moving:
        if o["lost"] or o["errors"]:
            print(f"  t={o['t']:.0f} hits {ratio(o):.2f} % lost {o['lost']} errors {o['errors']} p99 {o['p99_us']} us")
    total = {f: sum(s[f] for s in load.seconds) + load.sums["check"][f] for f in FIELDS}
    kept = 1 - total["lost"] / sum(moved)
    p99 = lambda part: sorted(s["p99_us"] for s in part)[len(part) // 2]  # noqa: E731
    print(f"hit ratio of keys that are there: {min(map(ratio, quiet)):.3f} % in the worst second without a move, "
          f"{min(map(ratio, moving)):.3f} % with one")
    print(f"kept: {100 * kept:.4f} % of {sum(moved)} moved items ({total['lost']} lost)")
    print(f"came back: {total['resurrected']} deleted, {total['old']} old values; {total['errors']} errors of clients")
    print(f"late, median of the seconds' p99: {p99(quiet)} us without a move, {p99(moving)} us with one; "
          f"worst second {max(s['p99_us'] for s in quiet)} and {max(s['p99_us'] for s in moving)} us")
    print(f"in the end: {load.sums['check']['hits']} of {load.sums['check']['gets']} keys as they must be, "
          f"{load.sums['check']['dead_gets']} deleted")
    return not (total["resurrected"] or total["old"] or total["errors"]) and kept >= .999


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--items", type=int, default=20000)
    ap.add_argument("--rate", type=int, default=2000)
    ap.add_argument("--times", type=int, default=1)
    ap.add_argument("--still", type=int, default=5, help="seconds without a move before")
    ap.add_argument("--memory", type=int, default=64)
    ap.add_argument("--value", type=int, default=100)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--connections", type=int, default=16)
    ap.add_argument("--handoff-rate", type=int, default=32)
    ap.add_argument("--peer-timeout", type=int, default=200)
    ap.add_argument("--build", default="build/gcc")
    a = ap.parse_args()
    lib.Lab.program = os.path.abspath(os.path.join(a.build, "tagcached"))
    began = time.monotonic()
    with lib.Lab() as lab:
        nodes = lab.cluster(3, *options(a), state=True)
        load = Load(a, nodes)
        lib.wait("it is filled", lambda: load.seconds or load.p.poll() is not None, 600)
        print(f"filled after {time.monotonic() - began:.0f} s: {stat_sum(nodes, 'curr_items', '')} items", flush=True)
        load.wait_seconds(a.still)
        still, moved = len(load.seconds), []
        try:
            for _ in range(a.times):
                join_and_leave(lab, a, nodes, load, moved)
        finally:
            load.end()
        good = tell(load, still, moved)
        held, known = stat_sum(nodes, "curr_items", ""), load.sums["check"]["hits"]
        print(f"items held in the end: {held}, of {known} keys")
        good &= held == known
        for n in lab.nodes:
            odd = [e for e in ("link_out_of_step", "peer_out_of_step", "handoff_abandoned") if e in n.log()]
            if odd:
                print(f"{n.name} has logged {', '.join(odd)}")
                good = False
        if not good:
            for n in lab.nodes:
                print(f"--- {n.name}: log and stats\n{n.log()[-4000:]}", n.stats() if n.runs() else "", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
