# SPDX-License-Identifier: BSD-3-Clause
"""Which faults come when, by a seed."""
import heapq
import random
import signal
import subprocess
import threading
import time

import faultnet

ALL_RAN_S = 3.0  # a directory is only taken when all have run for so long, and serve: a majority of them must not be lost


class Fault:
    """nodes: those that are away; pairs: who does not reach whom. It begins when it is made, before what makes it: to kill
    a process takes a while on a busy machine."""

    def __init__(self, kind, nodes=(), pairs=()):
        self.kind, self.nodes, self.pairs = kind, frozenset(nodes), frozenset(pairs)
        self.begun, self.ended = time.monotonic(), None

    def told(self):
        """For the file that --keep leaves: who by their numbers, times as `seen` has them."""
        return {"kind": self.kind, "nodes": [n.number for n in self.nodes], "begun": self.begun, "ended": self.ended,
                "pairs": [(a.number, b.number) for a, b in self.pairs]}

    def __str__(self):
        return " ".join([self.kind, *sorted(str(n.number) for n in self.nodes),
                         *sorted(f"{a.number}>{b.number}" for a, b in self.pairs)])


class Plan:
    """Makes about so many faults of each kind in so many seconds, for as long as `step` is called; `quiet` ends them all.
    nodes: those that have founded the cluster; guest: one that joins and leaves; how_many: {kind: number};
    longest: how long a partition may last."""

    def __init__(self, nodes, guest, seed, seconds, how_many, longest, say):
        self.founders, self.guest, self.rng, self.say = nodes, guest, random.Random(seed), say
        self.every = {kind: seconds / max(n, 1e-9) for kind, n in how_many.items()}
        self.every["clock"] = 4.0
        self.longest = longest
        self.moving = None  # a thread that has the ring changed
        self.faults, self.queue = [], []
        self.counts = dict.fromkeys(
            ("partitions", "one_way", "cables", "kills", "kills_with_directory_gone", "stops", "clock_steps", "joins",
             "leaves", "weights", "changes_refused"), 0)
        self.under_way = {}  # what ends a fault: its begin
        self.split, self.next_is_gone = None, True
        self.up_since = dict.fromkeys([*nodes, guest], time.monotonic())
        for kind in self.every:
            self.again(kind, self.rng.random())

    @property
    def nodes(self):
        return self.founders + ([self.guest] if self.guest.runs() else [])

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
        if self.moving:
            self.moving.join(90)
            assert not self.moving.is_alive(), "a change of the ring does not end"

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
        free = [n for n in (candidates or self.nodes) if n not in away and n.runs()]
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
            self.split = Fault("cable", some[:1])
            some[0].cable(False)
            end = lambda: some[0].cable(True)
        else:
            self.counts["one_way"] += way > 0.7
            pairs = there + back if way < 0.7 else there if way < 0.85 else back
            self.split = Fault("partition", pairs=pairs)
            faultnet.cut(pairs)
            end = faultnet.heal
        self.lasts(self.rng.uniform(0.3, self.longest), self.split, end)

    def make_kill(self):
        """Half of them take what the node had in its state directory; a node without one always forgets."""
        gone = self.next_is_gone
        ran = all(n.runs() and time.monotonic() - self.up_since[n] > ALL_RAN_S for n in self.nodes)
        n = self.pick(None if gone else [n for n in self.nodes if n.state])
        if n is None or (gone and not (ran and self.all_serve())):
            self.at(0.2, self.make_kill)
            return
        self.again("kill")
        self.next_is_gone = not gone
        self.counts["kills"] += 1
        self.counts["kills_with_directory_gone"] += gone
        fault = Fault("kill", [n])
        n.kill()
        if gone:
            n.forget_state()

        def end():
            n.start(serves=False)
            self.up_since[n] = time.monotonic()

        self.lasts(self.rng.uniform(0.1, 2), fault, end)

    def all_serve(self):
        """Whoever lost its directory has its seat again: on a busy machine that may take longer than ALL_RAN_S."""
        try:
            return not self.away() and all(n.stat("state") == "serving" for n in self.nodes)
        except (OSError, EOFError):
            return False

    def make_stop(self):
        n = self.pick()
        if n is None:
            self.at(0.2, self.make_stop)
            return
        self.again("stop")
        self.counts["stops"] += 1
        fault = Fault("stop", [n])
        n.signal(signal.SIGSTOP)  # the guest may just have ended
        self.lasts(self.rng.choice((self.rng.uniform(0.1, 1), self.rng.uniform(0.1, 5))), fault, n.go_on)

    def make_clock(self):
        self.again("clock")
        self.counts["clock_steps"] += 1
        self.rng.choice(self.nodes).wall.set(self.rng.randrange(-3600, 3601))

    # -------------------------------------------------------------- changes of the ring

    def make_move(self):
        """The guest joins or leaves, or the weight of another node changes; one at a time."""
        if (self.moving and self.moving.is_alive()) or self.guest in self.away():
            self.at(0.5, self.make_move)
            return
        self.again("move")
        if not self.guest.runs():
            self.guest.p = None
            self.guest.forget_state()
            self.guest.state = self.rng.random() < 0.5
            self.guest.start(serves=False)
            self.up_since[self.guest] = time.monotonic()
            self.counts["joins"] += 1
            self.say("join")
            return
        if self.rng.random() < 0.5:
            what, name = f"cluster leave {self.guest.name}", "leaves"
        else:
            what, name = f"cluster weight {self.rng.choice(self.founders).name} {self.rng.randrange(1, 4)}", "weights"
        self.moving = threading.Thread(target=self.move, args=(what, name), daemon=True)
        self.moving.start()

    def move(self, what, name):
        """Asks one node after the other, as an operator would."""
        self.say(what)
        for n in self.rng.sample([n for n in self.founders if n.state], 2):
            try:
                answer = n.admin(what)
            except (OSError, EOFError) as e:
                answer = str(e)
            self.say(f"{what}: {answer}")
            if answer.startswith("OK"):
                self.counts[name] += 1
                break
        else:
            self.counts["changes_refused"] += 1
            return
        process = self.guest.p
        if name == "leaves" and process is not None:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                self.say(f"{self.guest.name} was to leave, and runs on")
                self.counts["changes_refused"] += 1
