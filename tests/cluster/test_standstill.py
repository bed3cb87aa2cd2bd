# SPDX-License-Identifier: BSD-3-Clause
"""One thread of a node stands still, as one does that gets no processor, while all others go on."""
import os
import sys
import threading
import time

from lib import case, settle, wait

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from standstill import standing_still, threads  # noqa: E402

STILL_S = 1.5  # less than what a forwarded request waits for its owner (2 s)
WORKERS = ("worker-0", "worker-1")


class Load(threading.Thread):
    """Stores, reads and purges keys of its own through one node."""

    def __init__(self, node, number):
        super().__init__(daemon=True)
        self.node, self.number = node, number
        self.ended, self.wrong, self.rounds = False, [], 0
        self.longest, self.longest_purge = 0.0, 0.0

    def timed(self, ask, what):
        begun = time.monotonic()
        got = ask()
        setattr(self, what, max(getattr(self, what), time.monotonic() - begun))
        return got

    def run(self):
        try:
            self.go_on_until_ended()
        except (OSError, EOFError) as e:
            self.wrong.append(repr(e))

    def go_on_until_ended(self):
        with self.node.client() as c:
            while not self.ended and not self.wrong:
                self.rounds += 1
                key, value = f"load{self.number}-{self.rounds % 500}", b"%d" % self.rounds
                tag = f"tag{self.number}-{self.rounds % 50}"
                stored = self.timed(lambda: c.meta(f"ms {key} {len(value)} G{tag}", value), "longest")
                found = self.timed(lambda: c.get(key), "longest")
                if stored != ["HD"] or found != value:
                    self.wrong.append((stored, found))
                if self.rounds % 20 == 0:
                    purged = self.timed(lambda: c.ask(f"purge {tag}"), "longest_purge")
                    if purged != "PURGED" or c.get(key) is not None:
                        self.wrong.append(purged)


def allowed(lab):
    """Whether this process may stop a node's threads; says so if not."""
    try:
        with standing_still(lab.nodes[0].p.pid, "acceptor"):
            return True
    except PermissionError as e:
        print("skipped:", e)
        return False


@case()
def nobody_else_waits_for_a_thread(lab):
    nodes = lab.cluster(3, "-t", "2")
    if not allowed(lab):
        return
    pid = nodes[0].p.pid
    for name in threads(pid):
        if name == "tc-cluster":
            continue  # below
        loads = [Load(node, i) for i, node in enumerate((nodes[0], nodes[0], nodes[1], nodes[2]))]
        for load in loads:
            load.start()
        wait("all loads run", lambda: all(load.rounds > 20 for load in loads))
        for load in loads:
            load.longest = load.longest_purge = 0.0
        with standing_still(pid, name):
            until = time.monotonic() + STILL_S
            wait("it has stood still for long enough", lambda: time.monotonic() > until)
        for load in loads:
            load.ended = True
        for load in loads:
            load.join(30)
        print(f"{name}: longest wait {max(load.longest for load in loads):.2f} s, "
              f"of a purge {max(load.longest_purge for load in loads):.2f} s")
        assert not any(load.is_alive() for load in loads), name
        assert not any(load.wrong for load in loads), (name, [load.wrong for load in loads])
        if name not in WORKERS:
            assert max(load.longest for load in loads) < STILL_S * 2 / 3, name


@case()
def a_node_without_its_cluster_thread_serves_nothing_purged(lab):
    """Without its cluster thread a node renews no lease, and learns of no purge. It is ejected, and serves nothing then."""
    nodes = lab.cluster(3, "-t", "2")
    if not allowed(lab):
        return
    with nodes[0].client() as there, nodes[1].client() as here:
        keys = [f"key{i}" for i in range(400)]
        for key in keys:
            assert there.meta(f"ms {key} 1 Gtag", b"v") == ["HD"]
        assert all(there.get(key) == b"v" for key in keys)
        with standing_still(nodes[0].p.pid, "tc-cluster"):
            begun = time.monotonic()
            assert here.ask("purge tag") == "PURGED"
            print(f"purged after {time.monotonic() - begun:.2f} s")
            assert time.monotonic() - begun > 0.5, "it had a lease"
            for key in keys:
                there.send(f"get {key}\r\n")
                assert not there.line().startswith("VALUE"), key
    settle(nodes)
