# SPDX-License-Identifier: BSD-3-Clause
"""Nodes that die, stop, and come back, while clients go on."""
import re
import threading
import time

from lib import case, sees, settle, wait


def split_by_owner(nodes, count):
    """{node: the keys that it owns}, by where a set puts them."""
    owned = {n: [] for n in nodes}
    before = {n: int(n.stats("")["curr_items"]) for n in nodes}
    with nodes[0].client() as c:
        for i in range(count):
            assert c.set(f"k{i}", f"v{i}") == "STORED"
            for n in nodes:
                now = int(n.stats("")["curr_items"])
                if now != before[n]:
                    owned[n].append(f"k{i}")
                    before[n] = now
    return owned


@case(quick=True)
def one_is_killed(lab):
    nodes = lab.cluster(3)
    owned = split_by_owner(nodes, 60)
    nodes[2].kill()
    begun = time.monotonic()
    wait("the death is seen", lambda: all(sees(n, nodes[2], "dead") for n in nodes[:2]))
    print(f"kill seen by both after {time.monotonic() - begun:.2f} s")
    nodes[0].wait_event("dead", nodes[2].name)
    for n in nodes[:2]:
        with n.client() as c:
            begun = time.monotonic()
            for key in owned[nodes[2]]:
                assert c.get(key) is None
                assert c.set(key, "w") == "SERVER_ERROR owner is down"
                assert c.ask(f"delete {key}") == "SERVER_ERROR owner is down"
                assert c.ask(f"touch {key} 9") == "NOT_FOUND"
                assert c.meta(f"mg {key} v") == ["EN"]
            assert time.monotonic() - begun < 1, "they fail at once"
            for key in owned[nodes[0]] + owned[nodes[1]]:
                assert c.get(key) == b"v" + key[1:].encode(), "the others' keys do not notice"
    assert nodes[0].ask(f"cluster at {nodes[2].name} version") == "SERVER_ERROR that node is down"
    assert nodes[0].ask(f"cluster at {nodes[1].name} version").startswith("VERSION ")
    assert nodes[0].ask(f"cluster at {nodes[0].name} version").startswith("CLIENT_ERROR that is this node")
    assert nodes[0].ask("cluster at nobody:1 version") == "CLIENT_ERROR no member of that name"
    assert nodes[0].ask(f"cluster at {nodes[1].name} set a 0 0 1").startswith("CLIENT_ERROR cluster at cannot")
    status = nodes[0].status()
    assert status["verdict"] == "degraded" and nodes[2].name in status["reason"] and status["quorum"] == "yes", status
    nodes[2].start()
    settle(nodes)
    with nodes[1].client() as c:
        for key in owned[nodes[2]]:
            assert c.get(key) is None, "it comes back empty"
            assert c.set(key, "w") == "STORED"
    with nodes[0].client() as c:
        assert all(c.get(key) == b"w" for key in owned[nodes[2]])


@case()
def before_the_death_is_seen(lab):
    """Between the kill and its being seen nothing takes longer than the deadline."""
    nodes = lab.cluster(3, "--peer-timeout", "200")
    owned = split_by_owner(nodes, 60)
    nodes[2].kill()
    worst = 0
    with nodes[0].client() as c:
        for key in owned[nodes[2]] * 20:
            begun = time.monotonic()
            assert c.get(key) is None
            worst = max(worst, time.monotonic() - begun)
            begun = time.monotonic()
            assert c.set(key, "w").startswith("SERVER_ERROR ")
            worst = max(worst, time.monotonic() - begun)
    assert worst < 0.45, worst


class Load(threading.Thread):
    """Reads keys for as long as it is let; what it saw since the last look."""

    def __init__(self, node, keys, want):
        super().__init__(daemon=True)
        self.node, self.keys, self.want = node, keys, want
        self.ending, self.error = False, None
        self.reset()

    def reset(self):
        self.hits = self.misses = 0
        self.times = [0.0]

    def run(self):
        try:
            with self.node.client(10) as c:
                while not self.ending:
                    for at in range(0, len(self.keys), 4):
                        keys = self.keys[at:at + 4]
                        begun = time.monotonic()
                        got = c.get_many(keys)
                        self.times.append(time.monotonic() - begun)
                        for k in keys:
                            if k in got:
                                self.hits += 1
                                if got[k][0] != self.want(k):
                                    raise AssertionError(f"{k} is {got[k][0]!r}")
                            else:
                                self.misses += 1
        except Exception as e:  # told by the test
            self.error = e

    def end(self):
        self.ending = True
        self.join(30)
        assert not self.is_alive(), "a client hangs"
        if self.error:
            raise self.error


def p99_ms(loads):
    times = sorted(t for x in loads for t in list(x.times))
    return times[len(times) * 99 // 100] * 1e3


@case(quick=True)
def one_is_stopped_under_load(lab):
    nodes = lab.cluster(3, "--peer-timeout", "200")
    owned = split_by_owner(nodes, 80)
    value = lambda key: b"v" + key[1:].encode()
    stopped, others = owned[nodes[2]], owned[nodes[0]] + owned[nodes[1]]
    loads = [Load(nodes[i % 2], others, value) for i in range(4)] + [Load(nodes[i % 2], stopped, value) for i in range(4)]
    steady, hit = loads[:4], loads[4:]
    for x in loads:
        x.start()
    wait("all read", lambda: all(x.hits > 100 for x in loads))
    assert all(x.misses == 0 for x in loads), "before: only hits"
    rss, before = [n.rss_kib() for n in nodes[:2]], p99_ms(steady)
    nodes[2].pause()
    for x in loads:
        x.reset()
    wait("the reads of its keys miss, and go on", lambda: all(x.misses > 200 for x in hit))
    wait("it is dead to the others", lambda: all(sees(n, nodes[2], "dead") for n in nodes[:2]))
    assert all(x.misses == 0 and x.hits > 0 for x in steady), "the others' keys: only hits"
    assert max(max(x.times) for x in loads) < 1, [max(x.times) for x in loads]
    stopped_p99 = p99_ms(steady)
    assert all(n.rss_kib() - r < 8 * 1024 for n, r in zip(nodes[:2], rss))
    nodes[2].go_on()
    begun = time.monotonic()

    def all_hit():
        for x in hit:
            x.reset()
        time.sleep(0.02)
        return all(x.hits > 0 and x.misses == 0 for x in hit) or any(x.error for x in loads)

    wait("its keys are hits again", all_hit)
    took = time.monotonic() - begun
    for x in loads:
        x.end()
    print(f"hits again {took:.2f} s after SIGCONT; reads of the others' keys: p99 {before:.1f} ms before, {stopped_p99:.1f} ms "
          f"while it is stopped, the slowest {max(max(x.times) for x in steady) * 1e3:.0f} ms")
    assert took < 1, f"only hits again after {took:.2f} s"
    settle(nodes)


@case()
def a_pause_too_short_to_be_dead(lab):
    nodes = lab.cluster(3)
    with nodes[0].client() as c:
        assert all(c.set(f"k{i}", "v") == "STORED" for i in range(100))
        number = nodes[2].stat("member_number")
        nodes[2].pause()
        wait("it is suspect", lambda: sees(nodes[0], nodes[2], "suspect"))
        nodes[2].go_on()
        wait("it is alive", lambda: all(sees(n, nodes[2], "alive") for n in nodes))
        assert nodes[2].stat("member_number") == number
        nodes[0].wait_event("refuted|suspect")
        wait("its items are there", lambda: all(c.get(f"k{i}") == b"v" for i in range(100)))


@case()
def two_of_three_are_killed(lab):
    """Without a majority nothing changes, and what is said is said plainly; with it all goes on."""
    nodes = lab.cluster(3, state=True)
    mine = split_by_owner(nodes, 300)[nodes[0]]
    with nodes[0].client() as c:
        for i, key in enumerate(mine):
            assert c.meta(f"ms {key} 1" + (" Gsome" if i % 2 else ""), b"v") == ["HD"]
    nodes[1].kill()
    nodes[2].kill()
    wait("it has no quorum", lambda: nodes[0].status()["quorum"] == "no")
    assert nodes[0].status()["verdict"] == "degraded"
    with nodes[0].client() as c:
        begun = time.monotonic()
        assert c.ask("purge a") == "PARTIAL 1/3"
        assert time.monotonic() - begun < 3
        answer = nodes[0].admin("cluster set voters 5")
        assert answer.startswith("SERVER_ERROR no quorum"), answer
    nodes[1].start()
    nodes[2].start()
    settle(nodes)
    assert nodes[0].ask("purge a") == "PURGED"
    # Purges that only the lost voters knew are unknown: what carries a tag is dropped, and nothing else.
    with nodes[0].client() as c:
        left = [c.get(key) for key in mine]
    assert left == [None if i % 2 else b"v" for i in range(len(mine))], left


@case()
def killed_in_turn(lab):
    """Purges and flushes while each node in turn dies and returns: no value comes back."""
    nodes = lab.cluster(3, state=True)
    for turn in range(4):
        victim = nodes[turn % 3]
        rest = [n for n in nodes if n is not victim]
        with rest[0].client() as a, rest[1].client() as b:
            victim.kill()
            for i in range(20):
                stored = a.meta(f"ms t{turn}-{i} 1 Gturn", b"v")
                assert stored == ["HD"] or stored[0] == "SERVER_ERROR", stored
            assert b.meta("mp turn w100")[0] == "PA"
            assert all(a.get(f"t{turn}-{i}") is None and b.get(f"t{turn}-{i}") is None for i in range(20))
            victim.start()
            settle(nodes)
            with victim.client() as c:
                assert all(c.get(f"t{turn}-{i}") is None for i in range(20))
                assert c.ask("purge x") == "PURGED"


@case()
def idle_costs_little(lab):
    nodes = lab.cluster(3)
    before, begun = [n.cpu_s() for n in nodes], time.monotonic()
    end = begun + 10
    wait("ten seconds have passed", lambda: time.monotonic() > end)
    share = [(n.cpu_s() - b) / (time.monotonic() - begun) for n, b in zip(nodes, before)]
    print("idle:", ", ".join(f"{s * 100:.2f} % of a core" for s in share))
    assert max(share) < 0.02, share


@case()
def recovers_alone(lab):
    """Two of three are gone for good: the third shows what it would do, and then does it."""
    nodes = lab.cluster(3, state=True)
    for n in nodes[:2]:
        n.kill()
    last = nodes[2]
    wait("nobody can decide", lambda: last.status()["quorum"] == "no")
    plan = last.admin("cluster recover")
    version = re.search(r"version=(\d+)", plan).group(1)
    assert "gone=2" in plan, plan
    answer = last.admin(f"cluster recover {version}")
    assert answer.startswith("OK version="), answer
    wait("it decides alone", lambda: last.status()["quorum"] == "yes")
    for n in nodes[:2]:
        assert last.admin(f"cluster forget {n.name}").startswith("OK version=")
    wait("it serves alone", lambda: last.status()["verdict"] == "ok")
    assert list(last.owners()) == [last.name] and last.stat("voters") == "1"
    with last.client() as c:
        assert all(c.set(f"k{i}", "v") == "STORED" for i in range(50))
        assert c.ask("purge a") == "PURGED"
    assert last.status()["quorum"] == "yes", "it did not give seats to the dead"
