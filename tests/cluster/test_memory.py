# SPDX-License-Identifier: BSD-3-Clause
"""Nodes that now and then get no memory: they live, and what was purged stays purged."""
import os
import random
import sys
import threading
import time

from lib import case, settle, wait

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nomemory import NoMemory  # noqa: E402

SECONDS = float(os.environ.get("MEMORY_SECONDS", 4))
SHARES = (0.003, 0.03, 0.2)
LEASES_S = 0.4  # in which nodes have their leases back
CLIENTS = 6


class Load(threading.Thread):
    """Stores tagged and other keys of its own through any node, purges its tag, and reads them afterwards through any node."""

    def __init__(self, nodes, number):
        super().__init__(daemon=True)
        self.nodes, self.rng = nodes, random.Random(number)
        self.tag = f"t{number}"
        self.ended, self.purges, self.seen, self.wrong = False, 0, 0, []

    def run(self):
        while not self.ended and not self.wrong:
            try:
                self.round()
            except (OSError, EOFError):
                pass  # a node closes a connection that it has no memory for,
            except AssertionError as e:
                if "SERVER_ERROR out of memory" not in str(e):  # or says so in the place of values
                    raise

    def round(self):
        keys = [f"{self.tag}-{i}" for i in range(10)]
        with self.rng.choice(self.nodes).client() as c:
            for key in keys:
                c.set(f"{key}|#|t={self.tag}", "v" * self.rng.choice((1, 100, 20000, 100000)))
            c.set(f"{self.tag}-plain", "v" * self.rng.choice((1, 5000, 200000)))
        with self.rng.choice(self.nodes).client() as c:
            found = c.get_many(keys)
            self.seen += len(found)
            c.stats()
            c.get(f"{self.tag}-plain")
            c.ask(f"delete {self.tag}-plain")
            purged = c.ask(f"purge {self.tag}") == "PURGED"
        if not purged:
            return
        self.purges += 1
        with self.rng.choice(self.nodes).client() as c:
            left = c.get_many(keys)
        if left:
            self.wrong.append(f"purged, and served afterwards: {sorted(left)}")


@case(quick=True)
def no_memory_now_and_then(lab):
    memory = NoMemory()
    if not memory.suits(lab.program):
        print("skipped: a build with sanitizers")
        return
    nodes = lab.founders(3, state=True)
    for n in nodes:
        n.prefix = ("env", *(f"{name}={value}" for name, value in memory.env.items()))
        n.start(serves=False)
    settle(nodes)
    loads = [Load(nodes, i) for i in range(CLIENTS)]
    for load in loads:
        load.start()
    memory.now_and_then(SECONDS, SHARES, LEASES_S, lambda: all(n.runs() for n in nodes))
    for load in loads:
        load.ended = True
    for load in loads:
        load.join()
    purges = sum(load.purges for load in loads)
    print(f"{memory.failed()} allocations failed, {purges} purges were confirmed, {sum(load.seen for load in loads)} values seen")
    assert not any(load.wrong for load in loads), [load.wrong for load in loads]
    settle(nodes)
    assert memory.failed() > 20 and purges > 0
    with nodes[0].client() as c:
        wait("purges are confirmed again", lambda: c.ask("purge other") == "PURGED")
        begun, answers = time.monotonic(), {}

        def stored():
            got = [c.set(f"after-{i}", "v") for i in range(50)]
            for a in got:
                answers[a] = answers.get(a, 0) + 1
            return got == ["STORED"] * 50

        wait("all is stored again", stored)
        print(f"after {time.monotonic() - begun:.2f} s", answers)
    memory.end()
