# SPDX-License-Identifier: BSD-3-Clause
"""A whole site loses its power: all nodes are killed at once and started again. How long until a majority serves by itself."""
import os
import random
import time

import lib

KEYS = 60
P95_S, MAX_S = 10.0, 30.0
SLOW_S = 4.0  # is told of
CALM_S = 2.5  # without another configuration


def wait_for_calm(nodes):
    """All is as before the last try, and what was agreed is on disk: with `--found` gone a founder that was killed before
    the first configuration was written would wait to join for ever. The origins of dead voters are retired about a second
    after all are there; of a cluster that is killed as a whole each time before that (--hurry), ten times, most voters have
    to do without a number of their own for a while."""
    lib.settle(nodes, 90)
    seen = [None, 0.0]

    def is_calm():
        version = [n.stat("config_version") for n in nodes]
        if version != seen[0]:
            seen[:] = version, time.monotonic()
        written = not any(os.path.exists(os.path.join(n.dir, "cluster.new")) for n in nodes)
        return written and time.monotonic() - seen[1] > CALM_S

    lib.wait("nothing changes any more", is_calm, 60)


def start_anew(nodes, stateful):
    """Another cluster, of the same nodes, with state directories or without."""
    for n in nodes:
        if n.runs():
            n.kill()
        n.forget_state()
    for n in nodes:
        n.state = stateful(n)
        usual = n.args
        n.args = usual + (["--found"] if n.state else [])
        n.start(serves=False)
        n.args = usual
    wait_for_calm(nodes)


def fill(nodes, value):
    with nodes[0].client() as c:
        for i in range(KEYS):
            lib.wait("a value is stored", lambda: c.meta(f"ms site{i} {len(value)} Gt{i % 7}", value.encode()) == ["HD"])
        lib.wait("a purge is confirmed", lambda: c.ask("purge t0 t3") == "PURGED")


def serves(n, value):
    """Whether it stores and finds a tagged item of its own; nothing old may be found. Keys of nodes that are not there yet
    only cost time."""
    with n.client(5) as c:
        for i in range(KEYS):
            had = c.get(f"site{i}")
            assert had in (None, value.encode()), f"{n.name} served {had!r}, which was stored before all were killed"
            if c.meta(f"ms site{i} {len(value)} Gt{i % 7}", value.encode()) == ["HD"] and c.get(f"site{i}") == value.encode():
                return True
        return False


def one_try(nodes, rng, number, count, hurry):
    """Seconds from when so many of the processes are up until these serve, and one of them confirms a purge."""
    fill(nodes, f"before{number}")
    for n in nodes:
        n.p.kill()
    for n in nodes:
        n.kill()
    order = rng.sample(nodes, len(nodes))
    late = rng.random() < 0.5  # the rest comes only when these serve
    for n in order[:count] if late else order:
        n.start(serves=False)
        if n is order[count - 1]:
            begun = time.monotonic()
    lib.wait("they serve", lambda: all(serves(n, f"after{number}") for n in order[:count]), 60)
    serving = time.monotonic() - begun
    lib.wait("a purge is confirmed", lambda: order[0].ask("purge t1") == "PURGED", 60)
    took = time.monotonic() - begun
    if took > SLOW_S:
        print(f"slow: served after {serving:.2f} s, a purge was confirmed after {took:.2f} s; "
              f"{'the others came later' if late else 'all were started'}")
    for n in order[count:] if late else ():
        n.start(serves=False)
    if not hurry:
        wait_for_calm(nodes)
    lib.settle(nodes, 90)
    return took


def run(a, lab):
    nodes, rng = lab.founders_in_spaces(a.nodes, *a.daemon.split()), random.Random(a.seed)
    good, majority = True, len(nodes) // 2 + 1
    # Where some have one, those without it have forgotten what they agreed to: the majority is of those that have.
    for name, stateful, count in (("with state directories", lambda n: True, majority), ("without", lambda n: False, majority),
                                  ("two of five without", lambda n: n.number % 2 == 1, len(nodes))):
        start_anew(nodes, stateful)
        times = []
        for i in range(a.tries):
            times.append(one_try(nodes, rng, i, count, a.hurry))
            if a.verbose:
                print(f"{name}: {times[-1]:.2f} s", flush=True)
        times.sort()
        p95 = times[(len(times) * 95 + 99) // 100 - 1]
        print(f"{name}: {len(times)} tries, serve after p50 {times[len(times) // 2]:.2f} s, p95 {p95:.2f} s, "
              f"max {times[-1]:.2f} s; nothing old was served", flush=True)
        good = good and p95 < P95_S and times[-1] < MAX_S
    return 0 if good else 1
