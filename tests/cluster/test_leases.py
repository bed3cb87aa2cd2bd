# SPDX-License-Identifier: BSD-3-Clause
"""Purges are confirmed though a member does not answer, and who hears of no majority of the voters stops serving."""
import time

from lib import case, settle, wait
from test_faults import split_by_owner

TAG_LEASE_S = 1.0
WAITED_S = TAG_LEASE_S * 1.05 / 0.95  # as long as others' tag leases are waited for
BIT_S = 0.35  # of a busy machine


def purge_takes(node, tag):
    """Seconds, and the answer."""
    with node.client() as c:
        begun = time.monotonic()
        answer = c.ask(f"purge {tag}")
        return time.monotonic() - begun, answer


def store_tagged(nodes, count, tag):
    """{node: keys that it owns}, of tagged items."""
    owned = split_by_owner(nodes, count)
    with nodes[0].client() as c:
        for keys in owned.values():
            for key in keys:
                assert c.meta(f"ms {key} 1 G{tag}", b"v") == ["HD"]
    return owned


def warmed_up(nodes):
    """Past the wait for leases of before the first epoch."""
    wait("purges are confirmed at once", lambda: purge_takes(nodes[0], "warm")[0] < 0.1)


@case(quick=True)
def confirmed_though_one_is_killed(lab):
    nodes = lab.cluster(3)
    warmed_up(nodes)
    nodes[2].kill()
    took, answer = purge_takes(nodes[0], "a")
    assert answer == "PURGED" and took < WAITED_S + BIT_S, (took, answer)
    print(f"confirmed {took:.2f} s after SIGKILL")
    took, answer = purge_takes(nodes[1], "b")
    assert answer == "PURGED" and took < 0.2, (took, answer)  # nobody waits for it any more
    with nodes[0].client() as c:
        assert c.ask("flush_all").startswith("SERVER_ERROR purge pending 2/3"), "a flush waits for every member"
    nodes[2].start()
    settle(nodes)
    wait("it is confirmed", lambda: nodes[0].stat("purges_pending") == "0")
    assert "OK" == wait("flushes are confirmed", lambda: nodes[1].ask("flush_all") == "OK" and "OK", 40)


@case(quick=True)
def nothing_stale_at_one_that_was_stopped(lab):
    nodes = lab.cluster(3)
    owned = store_tagged(nodes, 60, "a")[nodes[2]]
    warmed_up(nodes)
    for turn in range(3):
        with nodes[2].client() as c:
            for key in owned:
                assert c.meta(f"ms {key} 1 Ga", b"v") == ["HD"]
            assert all(c.get(key) == b"v" for key in owned)
            nodes[2].pause()
            took, answer = purge_takes(nodes[turn % 2], "a")
            assert answer == "PURGED" and took < WAITED_S + BIT_S, (took, answer)
            nodes[2].go_on()
            assert not c.get_many(owned), "a stale hit after SIGCONT"
        settle(nodes)
    print(f"confirmed {took:.2f} s after SIGSTOP")


@case(quick=True)
def cut_off_from_the_voters(lab):
    """Two of three voters stand still: the third serves tagged items for a tag lease, others for a serve lease."""
    nodes = lab.cluster(3, "--serve-lease", "3", "--eject-after", "34")
    owned = split_by_owner(nodes, 60)[nodes[2]]
    tagged, plain = owned[0], owned[1]
    with nodes[2].client() as c:
        assert c.meta(f"ms {tagged} 1 Ga", b"1") == ["HD"] and c.set(plain, "2") == "STORED"
        assert c.get(tagged) == b"1" and c.get(plain) == b"2"
        begun = time.monotonic()
        for n in nodes[:2]:
            n.pause()
        wait("tagged items are misses", lambda: c.get(tagged) is None, 5)
        took = time.monotonic() - begun
        assert 0.5 < took < TAG_LEASE_S + 0.2, took
        assert c.get(plain) == b"2" and c.set(plain, "3") == "STORED"
        assert c.meta(f"ma {tagged} v") == ["NF"] and c.ask(f"touch {tagged} 9") == "NOT_FOUND"
        assert c.meta(f"mg {tagged} v") == ["EN"] and c.meta(f"mg {plain} v") == ["VA", "1", b"3"]
        nodes[2].wait_event("lease_lost", nodes[0].name)
        assert nodes[2].status()["lease"] == "none" and nodes[2].stat("state").startswith("no lease: voters ")
        wait("all are misses", lambda: c.get(plain) is None, 8)
        took = time.monotonic() - begun
        assert 2 < took < 3.3, took
        for write in (f"delete {plain}", f"incr {plain} 1", f"tag_add x {plain}"):
            assert c.ask(write) == "SERVER_ERROR no lease", write
        assert c.set(plain, "4") == "SERVER_ERROR no lease" and c.set(plain, "x" * 100000) == "SERVER_ERROR no lease"
        assert c.meta(f"ms {plain} 1", b"5") == ["SERVER_ERROR", "no", "lease"]
        for n in nodes[:2]:
            n.go_on()
        wait("it serves again", lambda: c.get(plain) == b"3" and c.get(tagged) == b"1", 5)
        nodes[2].wait_event("lease_back")
    settle(nodes)


@case()
def two_nodes_need_no_lease(lab):
    first = lab.node(state=True)
    second = lab.joiner([first], state=True)
    first.start()
    second.start()
    settle([first, second])
    assert first.status()["lease"] == second.status()["lease"] == "not_needed"
    owned = store_tagged([first, second], 40, "a")
    first.pause()
    begun = time.monotonic()
    with second.client() as c:
        wait("two seconds have passed", lambda: time.monotonic() > begun + 2)
        assert all(c.get(key) == b"v" for key in owned[second]), "it serves on without the voter"
        assert c.ask("purge b") == "PARTIAL 1/2"
    first.go_on()
    settle([first, second])
    wait("it is confirmed", lambda: second.stat("purges_pending") == "0")


@case()
def the_third_node_brings_leases(lab):
    """With one voter nodes serve without leases; with three these bind, and nothing is lost in between."""
    nodes = [lab.node(state=True)]
    nodes += [lab.joiner(nodes[:1], state=True) for _ in range(2)]
    for n in nodes[:2]:
        n.start()
    settle(nodes[:2])
    with nodes[0].client() as c:
        assert all(c.set(f"k{i}", "v") == "STORED" for i in range(50))
        nodes[2].start()
        wait("there are three voters", lambda: c.set("w", "v") == "STORED" and nodes[0].stat("voters") == "3")
        seen = [None, 0]

        def is_steady():
            assert c.set("w", "v") == "STORED", "no lease is missing at any time"
            version = nodes[0].stat("config_version")
            if version != seen[0]:
                seen[:] = version, time.monotonic()
            return time.monotonic() > seen[1] + 2

        wait("leases bind, and nothing else changes", is_steady)
    settle(nodes)
    assert all(n.status()["lease"] == "held" and not n.events("lease_lost") for n in nodes)
    warmed_up(nodes)
    nodes[2].kill()
    took, answer = purge_takes(nodes[0], "a")
    assert answer == "PURGED" and took < WAITED_S + BIT_S, (took, answer)


@case()
def leases_are_agreed(lab):
    """The founders' values count, operators change them, and who has others says so once."""
    nodes = lab.cluster(3, "--tag-lease", "2000", state=True)
    late = lab.joiner(nodes, "--tag-lease", "500", state=True).start()
    settle(nodes + [late])
    assert len(late.events("setting_differs")) == 1 and 'own="tag-lease=500" agreed="tag-lease=2000"' in late.events("setting_differs")[0]
    assert not nodes[0].events("setting_differs")
    answer = nodes[0].admin("cluster set tag-lease 500")
    assert answer.startswith("OK version="), answer
    version = int(answer.split("=")[1])
    assert nodes[0].admin("cluster set serve-lease 34000").startswith("SERVER_ERROR ")
    assert nodes[0].admin("cluster set tag-lease 31000").startswith("SERVER_ERROR ")
    wait("all know", lambda: all(int(n.stat("config_version")) >= version for n in nodes))
    warmed_up(nodes)
    late.kill()  # leases of before the change may still run: they are waited for
    took, answer = purge_takes(nodes[0], "a")
    assert answer == "PURGED" or took > 1.9, (took, answer)
    time_out = time.monotonic() + 4
    wait("the old ones have ended", lambda: time.monotonic() > time_out)
    nodes[2].pause()
    took, answer = purge_takes(nodes[0], "b")
    nodes[2].go_on()
    assert answer == "PURGED" and took < 0.5 * 1.05 / 0.95 + BIT_S, (took, answer)
