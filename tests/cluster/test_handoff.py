# SPDX-License-Identifier: BSD-3-Clause
"""Keys that move between nodes take their items with them."""
import threading

from lib import case, settle, wait

KEYS = [f"item:{i}" for i in range(2000)]


def fill(node, keys=KEYS):
    """Items with flags, a time to live and tags, and some large ones."""
    with node.client() as c:
        for i, key in enumerate(keys):
            value = value_of(i)
            ttl = f"T{3600 + i}" if i % 3 else "T0"
            c.send(f"ms {key} {len(value)} {ttl} F{i} Gall,row{i}\r\n".encode() + value + b"\r\n")
        for key in keys:
            assert c.line() == "HD", key


def value_of(i):
    return b"%d:" % i + b"x" * (100_000 if i % 500 == 7 else i % 300)


def read(node, keys=KEYS, asks="v f t g"):
    """{index: words of the answer} of the keys that are there, whichever node has them."""
    found = {}
    with node.client() as c:
        for at in range(0, len(keys), 100):
            part = range(at, min(at + 100, len(keys)))
            c.send("".join(f"mg {keys[i]} {asks}\r\n" for i in part))
            for i in part:
                words = c.line().split(" ")
                if words[0] == "VA":
                    found[i] = words[2:] + [c.block(int(words[1]))]
                elif words[0] == "HD":
                    found[i] = words[1:]
    return found


def assert_kept(before, now, but=(), least=0.999):
    """All but a few are as they were, tags and the time that is left among it."""
    wanted = [i for i in before if i not in but]
    kept = [i for i in wanted if i in now]
    assert len(kept) >= least * len(wanted), f"{len(kept)} of {len(wanted)} kept"
    for i in kept:
        (flags, old_ttl, *old), (new_flags, new_ttl, *new) = before[i], now[i]
        assert (flags, old) == (new_flags, new), (i, flags, new_flags, old[:-1], new[:-1])
        old_ttl, new_ttl = int(old_ttl[1:]), int(new_ttl[1:])
        assert old_ttl == new_ttl == -1 or 0 <= old_ttl - new_ttl < 60, (i, old_ttl, new_ttl)


def is_over(nodes):
    return all(n.stat("handoff_active") == "0" for n in nodes)


def forwards(nodes):
    return sum(int(n.stat("forwards_sent")) for n in nodes)


@case(quick=True)
def a_node_that_joins_gets_its_items(lab):
    nodes = lab.cluster(3)
    fill(nodes[0])
    before = read(nodes[1])
    assert len(before) == len(KEYS)
    nodes.append(lab.joiner(nodes).start(serves=False))
    settle(nodes)
    wait("the hand-off is over", lambda: is_over(nodes))
    assert_kept(before, read(nodes[2]))
    got, sent = int(nodes[3].stat("handoff_received")), sum(int(n.stat("handoff_sent")) for n in nodes[:3])
    assert got > len(KEYS) / 8 and sent >= got, (got, sent)
    assert int(nodes[3].stat("curr_items", "")) == got  # the donors hold nothing of it any more:
    assert sum(int(n.stat("curr_items", "")) for n in nodes) == len(KEYS)
    assert nodes[3].wait_event("handoff_end", f"ring=.* done=3 abandoned=0 received={got} ")
    assert nodes[0].wait_event("handoff_end", f"done=1 abandoned=0 .*sent={nodes[0].stat('handoff_sent')} ")
    # A tag of an item that has moved can still be purged.
    assert nodes[0].ask("purge row1 row2 row3") == "PURGED"
    assert not {1, 2, 3} & set(read(nodes[1]))


@case(quick=True)
def a_node_that_leaves_gives_its_items(lab):
    nodes = lab.cluster(3, state=True)
    leaving = lab.joiner(nodes, state=True).start(serves=False)
    settle(nodes + [leaving])
    fill(nodes[0])
    before = read(nodes[1])
    assert leaving.admin(f"cluster leave {leaving.name}").startswith("OK")
    wait("it ends by itself", lambda: leaving.p.poll() is not None)
    assert leaving.p.wait() == 0
    settle(nodes)
    assert_kept(before, read(nodes[2]))
    assert int(nodes[0].stat("handoff_received")) > 0


@case()
def a_drained_node_gives_its_items_and_gets_them_back(lab):
    nodes = lab.cluster(3, state=True)
    fill(nodes[0])
    before = read(nodes[1])
    for verb in ("drain", "undrain"):
        assert nodes[0].admin(f"cluster {verb} {nodes[2].name}").startswith("OK")
        settle(nodes)
        wait("the hand-off is over", lambda: is_over(nodes))
        assert_kept(before, read(nodes[1]))
        assert (int(nodes[2].stat("curr_items", "")) == 0) == (verb == "drain")


@case()
def a_weight_moves_items(lab):
    nodes = lab.cluster(3, state=True)
    fill(nodes[0])
    before = read(nodes[1])
    for weight in (3, 1):
        assert nodes[0].admin(f"cluster weight {nodes[1].name} {weight}").startswith("OK")
        settle(nodes)
        wait("the hand-off is over", lambda: is_over(nodes))
        assert_kept(before, read(nodes[1]))


@case(quick=True)
def what_happens_during_a_move_holds(lab):
    """Deletes, sets and purges while a slow hand-off is under way are not undone by it."""
    nodes = lab.cluster(3, "--handoff-rate", "1")
    fill(nodes[0])
    with nodes[0].client() as c:  # some megabytes that are read often, so that they go first and take a while
        for i in range(150):
            assert c.set(f"ballast:{i}", b"y" * 100_000) == "STORED"
        for _ in range(6):
            for at in range(0, 150, 50):
                c.get_many([f"ballast:{i}" for i in range(at, at + 50)])
    before = read(nodes[1])
    nodes.append(lab.joiner(nodes, "--handoff-rate", "1").start(serves=False))
    wait("the hand-off is under way", lambda: int(nodes[3].stat("handoff_active")) > 0)
    deleted, changed, purged = set(range(0, 600, 3)), set(range(1, 600, 3)), set(range(600, 900))
    with nodes[0].client() as c:
        for i in sorted(deleted):
            assert c.ask(f"delete {KEYS[i]}") in ("DELETED", "NOT_FOUND")
        for i in sorted(changed):
            assert c.set(KEYS[i], b"new") == "STORED"
        for at in range(600, 900, 50):
            assert c.ask("purge " + " ".join(f"row{i}" for i in range(at, at + 50))) == "PURGED"
    assert int(nodes[3].stat("handoff_active")) > 0, "it was over too soon to be a test"
    now = read(nodes[2])
    wait("the hand-off is over", lambda: is_over(nodes), 60)
    for found in (now, read(nodes[1])):
        assert not deleted & set(found)
        assert not purged & set(found)
        assert all(found[i][-1] == b"new" for i in changed)
    assert_kept(before, read(nodes[2]), deleted | changed | purged)
    assert int(nodes[3].stat("handoff_refused_written")) > 0


@case()
def reads_go_on_during_a_move(lab):
    """Clients that only read see no miss and no error, whichever node they ask, while a node joins and leaves."""
    nodes = lab.cluster(3, state=True)
    fill(nodes[0])
    joiner = lab.joiner(nodes, state=True)
    stop, seen = threading.Event(), []

    def look(node):
        while not stop.is_set():
            seen.append(len(read(node, asks="v t")))

    readers = [threading.Thread(target=look, args=(n,)) for n in nodes[:2]]
    for t in readers:
        t.start()
    try:
        joiner.start(serves=False)
        settle(nodes + [joiner])
        wait("the hand-off is over", lambda: is_over(nodes + [joiner]))
        assert joiner.admin(f"cluster leave {joiner.name}").startswith("OK")
        wait("it ends by itself", lambda: joiner.p.poll() is not None)
    finally:
        stop.set()
        for t in readers:
            t.join()
    assert len(seen) > 2
    assert sum(seen) >= 0.999 * len(seen) * len(KEYS), (sum(seen), len(seen))


@case()
def the_next_change_waits(lab):
    """The only voter owns nothing, so it takes part in no hand-off; it hears of them by the others' polls."""
    witness = lab.node("--weight", "none", "--voters", "1").start()
    nodes = [lab.joiner([witness], "--handoff-rate", "1").start()]
    wait("it owns all", lambda: len(nodes[0].owners()) == 1)
    with nodes[0].client() as c:
        for i in range(40):
            assert c.set(f"ballast:{i}", b"y" * 100_000) == "STORED"
    nodes.append(lab.joiner([witness], "--handoff-rate", "1").start(serves=False))
    wait("the hand-off is under way", lambda: int(nodes[1].stat("handoff_active")) > 0)
    nodes.append(lab.joiner([witness]).start(serves=False))
    wait("the third owns keys", lambda: len(nodes[2].owners()) == 3)
    nodes[1].wait_event("handoff_end", "done=1 abandoned=0 received=[1-9]")
    assert not nodes[0].events("handoff_abandoned") and not nodes[1].events("handoff_abandoned")
    wait("all is over", lambda: is_over(nodes))
    assert len(read(nodes[0], [f"ballast:{i}" for i in range(40)])) == 40


@case()
def a_further_change_of_the_ring_ends_it(lab):
    """A node that is forgotten is not waited for: the ring changes, and what is under way is given up."""
    nodes = lab.cluster(3, "--handoff-rate", "1", state=True)
    with nodes[0].client() as c:
        for i in range(200):
            assert c.set(f"ballast:{i}", b"y" * 100_000) == "STORED"
    nodes.append(lab.joiner(nodes, state=True).start(serves=False))
    wait("the hand-off is under way", lambda: int(nodes[3].stat("handoff_active")) > 1)
    nodes[2].kill()
    assert nodes[0].admin(f"cluster forget {nodes[2].name}").startswith("OK")
    for n in (nodes[0], nodes[3]):
        n.wait_event("handoff_abandoned", "reason=\"the (ring has changed|other node cannot be reached)\"")
    del nodes[2]
    settle(nodes)
    wait("what is left is over", lambda: is_over(nodes), 60)
    fill(nodes[1])
    assert len(read(nodes[0])) == len(KEYS)


@case()
def a_donor_that_dies_ends_its_hand_off(lab):
    nodes = lab.cluster(3, "--handoff-rate", "1", state=True)
    with nodes[0].client() as c:
        for i in range(100):
            assert c.set(f"ballast:{i}", b"y" * 100_000) == "STORED"
    nodes.append(lab.joiner(nodes).start(serves=False))
    wait("the hand-off is under way", lambda: int(nodes[3].stat("handoff_active")) > 1)
    nodes[2].kill()
    nodes[3].wait_event("handoff_abandoned", f"from={nodes[2].name} ")
    wait("the others get on", lambda: is_over([nodes[0], nodes[1], nodes[3]]), 60)
    nodes[3].wait_event("handoff_end", "done=2 abandoned=1 ")
