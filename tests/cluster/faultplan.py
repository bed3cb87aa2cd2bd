# SPDX-License-Identifier: BSD-3-Clause
"""Which faults come when, by a seed."""
import heapq
import random
import time

import faultnet

ALL_RAN_S = 3.0  # a directory is only taken when all have run for so long: a majority of them must not be lost


class Fault:
    """nodes: those that are away; pairs: who does not reach whom."""

    def __init__(self, kind, nodes=(), pairs=()):
        self.kind, self.nodes, self.pairs = kind, frozenset(nodes), frozenset(pairs)
        self.begun, self.ended = time.monotonic(), None

    def __str__(self):
        return " ".join([self.kind, *sorted(str(n.number) for n in self.nodes),
                         *sorted(f"{a.number}>{b.number}" for a, b in self.pairs)])


class Plan:
    """Makes about so many faults of each kind in so many seconds, for as long as `step` is called; `quiet` ends them all."""

    def __init__(self, nodes, seed, seconds, partitions, kills, stops, say):
        self.nodes, self.rng, self.say = nodes, random.Random(seed), say
        self.every = {"partition": seconds / max(partitions, 1e-9), "kill": seconds / max(kills, 1e-9),
                      "stop": seconds / max(stops, 1e-9), "clock": 4.0}
        self.faults, self.queue = [], []
        self.counts = dict.fromkeys(
            ("partitions", "one_way", "cables", "kills", "kills_with_directory_gone", "stops", "clock_steps"), 0)
        self.under_way = {}  # what ends a fault: its begin
        self.split, self.next_is_gone = None, True
        self.up_since = dict.fromkeys(nodes, time.monotonic())
        for kind in self.every:
            self.again(kind, self.rng.random())

    def step(self):
        """Does what is due."""
        while self.queue and self.queue[0][0] <= time.monotonic():
            heapq.heappop(self.queue)[-1]()

    def quiet(self):
        """Ends all faults, and makes no more."""
        self.queue = []
        for end in list(self.under_way):
            end()
        for n in self.nodes:
            n.wall.set(0)

    # -------------------------------------------------------------- what all kinds share

    def at(self, seconds, what):
        heapq.heappush(self.queue, (time.monotonic() + seconds, self.rng.random(), what))

    def again(self, kind, share=None):
        share = self.rng.uniform(0.5, 1.5) if share is None else share
        self.at(share * self.every[kind], getattr(self, "make_" + kind))

    def lasts(self, seconds, fault, end):
        """The fault has begun; after so long, or when all is to be quiet, end() ends it."""
        self.faults.append(fault)
        self.say(str(fault))

        def over():
            if self.under_way.pop(over, None) is not None:
                end()
                fault.ended = time.monotonic()
                self.say(f"end of {fault}")

        self.under_way[over] = fault
        self.at(seconds, over)

    def away(self):
        return {n for f in self.under_way.values() for n in f.nodes}

    def pick(self, candidates=None):
        """A node that has no fault of its own; as a rule only one node is away at a time, sometimes two are."""
        away = self.away()
        free = [n for n in (candidates or self.nodes) if n not in away]
        if not free or len(away) > 1 or (away and self.rng.random() < 0.7):
            return None
        return self.rng.choice(free)

    # -------------------------------------------------------------- the kinds

    def make_partition(self):
        """A part is cut off, in both directions or in one, or a cable is pulled; one partition at a time."""
        if self.split in self.under_way.values():
            self.at(0.2, self.make_partition)
            return
        self.again("partition")
        some = self.rng.sample(self.nodes, self.rng.choice((1, 1, 2)))
        rest = [n for n in self.nodes if n not in some]
        there, back = [(a, b) for a in some for b in rest], [(b, a) for a in some for b in rest]
        way, away = self.rng.random(), self.away()
        self.counts["partitions"] += 1
        if way < 0.15 and some[0] not in away:
            self.counts["cables"] += 1
            some[0].cable(False)
            self.split = Fault("cable", some[:1])
            end = lambda: some[0].cable(True)
        else:
            self.counts["one_way"] += way > 0.7
            pairs = there + back if way < 0.7 else there if way < 0.85 else back
            faultnet.cut(pairs)
            self.split = Fault("partition", pairs=pairs)
            end = faultnet.heal
        self.lasts(self.rng.uniform(0.3, 3), self.split, end)

    def make_kill(self):
        """Half of them take what the node had in its state directory; a node without one always forgets."""
        gone = self.next_is_gone
        ran = all(n.runs() and time.monotonic() - self.up_since[n] > ALL_RAN_S for n in self.nodes)
        n = self.pick(None if gone else [n for n in self.nodes if n.state])
        if n is None or (gone and not ran):
            self.at(0.2, self.make_kill)
            return
        self.again("kill")
        self.next_is_gone = not gone
        self.counts["kills"] += 1
        self.counts["kills_with_directory_gone"] += gone
        n.kill()
        if gone:
            n.forget_state()

        def end():
            n.start(serves=False)
            self.up_since[n] = time.monotonic()

        self.lasts(self.rng.uniform(0.1, 2), Fault("kill", [n]), end)

    def make_stop(self):
        n = self.pick()
        if n is None:
            self.at(0.2, self.make_stop)
            return
        self.again("stop")
        self.counts["stops"] += 1
        n.pause()
        self.lasts(self.rng.choice((self.rng.uniform(0.1, 1), self.rng.uniform(0.1, 5))), Fault("stop", [n]), n.go_on)

    def make_clock(self):
        self.again("clock")
        self.counts["clock_steps"] += 1
        self.rng.choice(self.nodes).wall.set(self.rng.randrange(-3600, 3601))
