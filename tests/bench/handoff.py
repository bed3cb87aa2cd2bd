#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What moving keys costs those who use them: three nodes become four and three again, under a steady load.

    handoff.py [--items N] [--rate PER_SECOND] [--times N] [--still S] [--memory MB] [--handoff-rate MIB] [--build DIR]
    handoff.py --restart [--other PROGRAM] ...

`moveload` fills the cluster and goes on reading, setting and deleting by Zipf's law, through connections to the three nodes
that stay, and knows what each key must hold. First nothing moves for some seconds; then a node joins, and leaves when it has
its keys; as often as --times says. Behind each of these as many seconds without a move follow, to compare with.

With --restart, `tagctl members restart` restarts the three nodes one after the other instead, as often as --times says; with
--other, half of the nodes begin with that program, and each restart gives a node the other one.

Told in the end: how far the hit ratio fell in any second, which part of the moved keys was kept, what came back that was
deleted or old, errors, and how late answers were with and without a move: the p99 of all answers in these seconds, and of the
worst second. The exit status is 1 if a deleted or an old value came back, a client saw an error, more than one key in a
thousand of those that moved was lost, or the p99 with a move is more than --late times that without (if given)."""
import argparse
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
import lib  # noqa: E402

FIELDS = ("ops", "gets", "hits", "dead_gets", "lost", "old", "resurrected", "errors", "closed")


class Load:
    """moveload, and what it says second by second."""

    def __init__(self, a, nodes):
        cmd = [os.path.join(a.build, "tests", "bench", "moveload"), "-n", a.items, "-r", a.rate, "-t", a.threads,
               "-c", a.connections, "-v", a.value, *(["-R"] if a.restart else []), *(n.port for n in nodes)]
        self.p = subprocess.Popen(list(map(str, cmd)), stdout=subprocess.PIPE, text=True)
        self.seconds, self.sums, self.marks = [], {}, []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.p.stdout:
            o = json.loads(line)
            if o["what"] == "second":
                self.seconds.append(o)
            else:
                self.sums[o["what"]] = o

    def mark(self, what):
        """From here on the seconds are of this kind."""
        self.marks.append((len(self.seconds), what))

    def of_kind(self, what):
        ends = [at for at, _ in self.marks[1:]] + [len(self.seconds)]
        return [s for (at, kind), end in zip(self.marks, ends) if kind == what for s in self.seconds[at:end]]

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


class moving:
    """The seconds of a move, and as many without one behind them."""

    def __init__(self, load, what):
        self.load, self.what = load, what

    def __enter__(self):
        self.load.wait_seconds(1)
        self.load.mark("move")
        self.before = len(self.load.seconds)

    def __exit__(self, kind, *_):
        if kind is not None:
            return
        self.load.wait_seconds(1)
        n = len(self.load.seconds) - self.before
        print(f"{self.what}: {n} s", flush=True)
        self.load.mark("still")
        self.load.wait_seconds(n)


def join_and_leave(lab, a, nodes, load, moved):
    """One node more, and one less again. Adds the items that moved."""
    with moving(load, "joined"):
        node = lab.joiner(nodes, *options(a), state=True).start(serves=False)
        lib.settle(nodes + [node], 120)
        wait_over(nodes + [node])
    got = int(node.stat("curr_items", ""))
    print(f"{got} items there, {node.stat('handoff_received')} of them handed over, "
          f"pulls {node.stat('pulls_kept')} of {node.stat('pulls_sent')}", flush=True)
    moved.append(got)
    pulls = stat_sum(nodes + [node], "pulls_sent")
    load.wait_seconds(2)
    assert stat_sum(nodes + [node], "pulls_sent") == pulls, "it is over, and items are pulled"
    with moving(load, "left"):
        assert node.admin(f"cluster leave {node.name}").startswith("OK")
        lib.wait("it has left", lambda: node.p.poll() is not None, 600)
        lib.settle(nodes, 120)
        wait_over(nodes)
    moved.append(got)


class Restarter:
    """Restarts nodes when tagctl's command asks for it by a fifo, and says when that is done by another."""

    def __init__(self, lab, a, nodes):
        self.nodes, self.a = {str(n.port): n for n in nodes}, a
        self.ask, self.done = (os.path.join(lab.dir, name) for name in ("ask", "done"))
        for path in (self.ask, self.done):
            os.mkfifo(path)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            with open(self.ask) as f:
                node = self.nodes[f.read().strip()]
            node.stop()
            if self.a.other:
                node.program = self.a.other if node.program is None else None
            node.start(serves=False)
            with open(self.done, "w") as f:
                f.write("done\n")

    def all(self):
        command = f"echo {{port}} > {self.ask} && read x < {self.done}"
        sockets = ",".join(os.path.join(n.dir, "admin.sock") for n in self.nodes.values())
        tagctl = [os.path.join(self.a.build, "tagctl"), "-s", sockets, "members", "restart", command, "--yes"]
        subprocess.run(tagctl, check=True)


def restart_all(lab, a, nodes, load, moved):
    """Each node is restarted once. Adds the items that moved: out of each node and back."""
    restarter = lab.restarter = getattr(lab, "restarter", None) or Restarter(lab, a, nodes)
    held = stat_sum(nodes, "curr_items", "")
    with moving(load, "restarted"):
        restarter.all()
        lib.settle(nodes, 120)
        wait_over(nodes)
    moved.append(2 * held)


def p99(seconds):
    """Of all answers in these seconds, microseconds."""
    bins = sorted((us, n) for s in seconds for us, n in s["late"])
    left = math.ceil(.99 * sum(n for _, n in bins))
    for us, n in bins:
        left -= n
        if left <= 0:
            return us
    return 0


def tell(a, load, moved):
    """Prints the figures; returns whether they are good."""
    quiet, moving = load.of_kind("still"), load.of_kind("move")
    ratio = lambda s: 100 * s["hits"] / s["gets"] if s["gets"] else 100.0  # noqa: E731
    for o in moving:
        if o["lost"] or o["errors"]:
            print(f"  t={o['t']:.0f} hits {ratio(o):.2f} % lost {o['lost']} errors {o['errors']} p99 {p99([o]):.0f} us")
    total = {f: sum(s[f] for s in load.seconds) + load.sums["check"][f] for f in FIELDS}
    kept = 1 - total["lost"] / sum(moved)
    print(f"hit ratio of keys that are there: {min(map(ratio, quiet)):.3f} % in the worst second without a move, "
          f"{min(map(ratio, moving)):.3f} % with one")
    print(f"kept: {100 * kept:.4f} % of {sum(moved)} moved items ({total['lost']} lost)")
    print(f"came back: {total['resurrected']} deleted, {total['old']} old values; {total['errors']} errors of clients")
    late, without = p99(moving), p99(quiet)
    worst = [max(p99([o]) for o in part) for part in (quiet, moving)]
    print(f"late, p99 of {len(moving)} s with a move: {late:.0f} us, of {len(quiet)} s without: {without:.0f} us "
          f"({late / without:.2f} x); worst second {worst[1]:.0f} and {worst[0]:.0f} us ({worst[1] / worst[0]:.2f} x)")
    print(f"in the end: {load.sums['check']['hits']} of {load.sums['check']['gets']} keys as they must be, "
          f"{load.sums['check']['dead_gets']} deleted")
    if total["closed"]:
        print(f"connections closed: {total['closed']}")
    timely = a.late is None or late <= a.late * without
    return not (total["resurrected"] or total["old"] or total["errors"]) and kept >= .999 and timely


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
    ap.add_argument("--late", type=float, help="what p99 with a move may be, as a multiple of that without")
    ap.add_argument("--restart", action="store_true")
    ap.add_argument("--other", help="with --restart: a program of another release, for half of the nodes")
    a = ap.parse_args()
    lib.Lab.program = os.path.abspath(os.path.join(a.build, "tagcached"))
    began = time.monotonic()
    with lib.Lab() as lab:
        nodes = lab.founders(3, *options(a), state=True)
        for i, n in enumerate(nodes):
            n.program = a.other if a.other and i % 2 else None
            n.start(serves=False)
        lib.settle(nodes)
        load = Load(a, nodes)
        lib.wait("it is filled", lambda: load.seconds or load.p.poll() is not None, 600)
        print(f"filled after {time.monotonic() - began:.0f} s: {stat_sum(nodes, 'curr_items', '')} items", flush=True)
        load.wait_seconds(2)
        load.mark("still")
        load.wait_seconds(a.still)
        moved = []
        try:
            for _ in range(a.times):
                (restart_all if a.restart else join_and_leave)(lab, a, nodes, load, moved)
        finally:
            load.end()
        good = tell(a, load, moved)
        held, check = stat_sum(nodes, "curr_items", ""), load.sums["check"]
        known = check["hits"] + check["unknown"]  # the latter: a write of it was not answered
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
