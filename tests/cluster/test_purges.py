# SPDX-License-Identifier: BSD-3-Clause
"""A purge that was answered has been carried out everywhere."""
import os
import random
import threading
import time

from lib import case, settle, wait


def percentiles(times):
    times = sorted(times)
    return f"p50 {times[len(times) // 2] * 1e3:.2f} ms, p99 {times[len(times) * 99 // 100] * 1e3:.2f} ms, max {times[-1] * 1e3:.2f} ms"


def set_purge_get(nodes, rounds, request, answer):
    """Set through one, purge through another, get through a third: a miss, every time."""
    clients, times = [n.client() for n in nodes], []
    for i in range(rounds):
        a, b, c = random.choice(clients), random.choice(clients), random.choice(clients)
        key, tag = f"key{i % 97}", f"tag{i % 13}"
        assert a.meta(f"ms {key} 1 G{tag}", b"v") == ["HD"], i
        assert random.choice(clients).get(key) == b"v", i
        begun = time.monotonic()
        got = b.ask(request.format(tag=tag, key=key))
        times.append(time.monotonic() - begun)
        assert answer(got), (i, got)
        assert c.get(key) is None, f"round {i}: {key} is there after {got}"
    for c in clients:
        c.close()
    return times


@case(quick=True)
def seen_by_all_at_once(lab):
    nodes = lab.cluster(3)
    times = set_purge_get(nodes, 2000, "purge {tag}", lambda got: got == "PURGED")
    print("purge, one at a time, three nodes:", percentiles(times))
    nodes_acked = nodes[0].list("cluster status", "STATUS")[0][1]["pending"]
    wait("nothing is pending", lambda: nodes[0].stat("purges_pending") == "0")
    assert nodes_acked in ("0", "1")


@case()
def five_nodes(lab):
    times = set_purge_get(lab.cluster(5), 5000, "purge {tag}", lambda got: got == "PURGED")
    print("purge, one at a time, five nodes:", percentiles(times))


@case(quick=True)
def in_all_spellings(lab):
    nodes = lab.cluster(3, state=True)  # without, a flush waits for leases of a cluster that may have been forgotten
    set_purge_get(nodes, 100, "mp {tag} n", lambda got: got == "HD n3/3")
    set_purge_get(nodes, 100, "mp other,{tag} s", lambda got: got.startswith("HD s"))
    set_purge_get(nodes, 100, "delete any|#|p={tag}", lambda got: got == "DELETED")
    set_purge_get(nodes, 100, "incr any|#|p={tag} 1", lambda got: got.isdigit())
    set_purge_get(nodes, 100, "md any|#|p={tag}", lambda got: got == "HD")
    set_purge_get(nodes, 50, "flush_all", lambda got: got == "OK")
    set_purge_get(nodes, 50, "purge *", lambda got: got == "PURGED")
    with nodes[1].client() as c:
        for i in range(30):
            assert c.meta(f"ms c{i} 1 Gcount", b"v") == ["HD"]
        assert nodes[2].ask("tags_delete count") == "30 ITEMS_DELETED"
        assert all(c.get(f"c{i}") is None for i in range(30))
        words = c.meta("mp a s n")
        assert words[0] == "HD" and words[2] == "n3/3", words
        number = int(words[1][1:])
        purge = f"{number >> 40}-{number & ((1 << 40) - 1)}"
    for n in nodes:
        lines = wait("it is known everywhere as confirmed",
                     lambda: [x for x in n.list(f"cluster purges {purge}") if x[1].get("state") == "confirmed"])
        assert lines, purge
        assert [f["acked"] for _, f in n.list(f"cluster purges {purge}", "ACK")] == ["yes"] * 3


@case(quick=True)
def what_operators_are_told(lab):
    """The node that was asked for a purge knows its words and times; every node whether it was soft, and who has it."""
    nodes = lab.cluster(3, state=True)
    a, b, c = nodes
    begun = time.monotonic()
    assert a.ask("purge one two+three") == "PURGED" and a.ask("mp soft I T9").startswith("HD")
    assert a.ask("delete any|#|p=x,y") == "DELETED" and a.ask("flush_all") == "OK"
    rows = [f for _, f in a.list("cluster purges", "PURGE")]
    assert [(f["selectors"], f["kind"]) for f in rows] == [("*", "hard"), ("x,y", "hard"), ("soft", "soft"), ("one,two+three", "hard")]
    age = (time.monotonic() - begun) * 1000
    for f in rows:
        assert f["state"] == "confirmed" and f["acked"] == f["members"] == "3", f
        assert 0 < float(f["took_ms"]) <= float(f["age_ms"]) + 1 <= age + 1, (f, age)
    assert b.list("cluster purges", "PURGE") == [], "it was asked for none"
    one = rows[2]["id"]
    known = dict(b.list(f"cluster purges {one}"))["PURGE"]
    assert (known["kind"], known["selectors"], known["took_ms"], known["age_ms"]) == ("soft", "-", "-", "-"), known
    asked = a.list(f"cluster purges {one}")
    assert asked[0][1]["took_ms"] == rows[2]["took_ms"] and asked[0][1]["selectors"] == "soft", asked
    times = [float(f["ms"]) for w, f in asked if w == "ACK"]
    assert len(times) == 3 and 0 < max(times) <= float(rows[2]["took_ms"]) + 0.5, (times, rows[2])
    wait("all have said their release", lambda: all(
        f["version"][0].isdigit() and f["lag_ms"] == "0" for n in nodes for f in n.members().values()))
    assert a.status()["lag_ms"] == "0"
    c.pause()
    assert a.ask("mp gone w1").startswith("PA")
    pending = a.list("cluster purges", "PURGE")[0][1]
    assert (pending["state"], pending["selectors"], pending["took_ms"]) == ("pending", "gone", "-"), pending
    rows = a.list(f"cluster purges {pending['id']}", "ACK")
    assert [f["acked"] for _, f in rows if f["name"] == c.name] == ["no"], rows
    assert [f["ms"] for _, f in rows if f["name"] == c.name] == ["-"], rows
    c.go_on()
    wait("it is confirmed", lambda: a.list("cluster purges", "PURGE")[0][1]["state"] == "confirmed")
    for i in range(100):
        assert a.ask(f"purge many{i}") == "PURGED"
    assert [f["selectors"] for _, f in a.list("cluster purges", "PURGE")] == [f"many{i}" for i in range(99, 35, -1)]


@case(quick=True)
def soft(lab):
    nodes = lab.cluster(3, state=True)
    with nodes[0].client() as a, nodes[1].client() as b, nodes[2].client() as c:
        for _ in range(20):  # a sweep that writes the purge into an item has its name forgotten: then once more
            for i in range(60):
                assert a.meta(f"ms s{i} 1 Gsoft", b"v") == ["HD"]
            words = b.meta("mp soft I T30 n s")
            assert words[:2] == ["HD", "n3/3"], words
            number = int(words[2][1:])
            found = [nodes[2].list(f"explain s{i}", "EXPLAIN")[0][1] for i in range(60)]
            assert all(f["state"] == "stale" for f in found), found
            if all(f["purge"] != "-" for f in found):
                break
        for f in found:  # every owner knows which purge it was; the one that was asked for it, how its tag is written
            assert f["purge"] == f"{number >> 40}-{number & ((1 << 40) - 1)}", f
            assert f["tag"] == ("soft" if f["owner"] == nodes[1].name else "-"), f
        for i in range(60):
            first, second = c.meta(f"mg s{i} v"), b.meta(f"mg s{i} v")
            assert first == ["VA", "1", "W", "X", b"v"] or first == ["VA", "1", "X", "W", b"v"], first
            assert set(second[2:4]) == {"Z", "X"}, second


@case(quick=True)
def watched_ones_begin_together(lab):
    """Pipelined purges wait for others at the same time though somebody watches, who is told of each once, in order."""
    nodes, count = lab.cluster(3), 40
    with nodes[0].client() as c, nodes[0].client() as watcher:
        watcher.send(b"watch purges rawcmds\r\n")
        assert watcher.line() == "OK"
        nodes[2].pause()
        begun = time.monotonic()
        c.send(b"".join(b"mp w%d w500\r\n" % i for i in range(count)))
        assert [c.line()[:2] for _ in range(count)] == ["PA"] * count
        took = time.monotonic() - begun
        assert took < count * 0.5 / 2, f"{took:.1f} s: they waited one by one"
        seen = b""  # its lines end in a newline alone
        while seen.count(b"\n") < 2 * count:
            seen += watcher.s.recv(1 << 16)
        seen = seen.decode().splitlines()
        nodes[2].go_on()
        for i in range(count):
            assert sum(line.endswith(f" sel=w{i}") for line in seen) == 1, (i, seen)
            assert sum(line.endswith(f" cmd=mp%20w{i}%20w500") for line in seen) == 1, (i, seen)


@case(quick=True)
def many_pending(lab):
    """So many purges that no voter can number: each is remembered by the node that was asked, and reaches all in the end.
    CLUSTER_PENDING=65536: as many as there can be; the next one is refused."""
    count, most = int(os.environ.get("CLUSTER_PENDING", "500")), 65536
    voters = lab.cluster(3)
    asked = lab.joiner(voters)
    asked.start()
    settle([*voters, asked])
    with voters[0].client() as c:
        for i in (0, count - 1):
            assert c.meta(f"ms item{i} 1 Gp{i}", b"v") == ["HD"]
    for v in voters:
        v.pause()
    clients = [asked.client() for _ in range(4)]
    for first in range(0, count, 1000):
        share = [[i for i in range(first, min(first + 1000, count)) if i % len(clients) == k] for k in range(len(clients))]
        for c, numbers in zip(clients, share):
            c.send(b"".join(b"mp p%d w0\r\n" % i for i in numbers))
        for c, numbers in zip(clients, share):
            for i in numbers:
                got = c.line()
                assert got.startswith("PA"), (i, got)
    pending = asked.stat("purges_pending")
    assert pending == str(count), pending
    if count == most:
        clients[0].send(b"mp over w0\r\n")
        got = clients[0].line()
        assert got == "SERVER_ERROR too many purges pending", got
    for v in voters:
        v.go_on()
    wait("all have reached all", lambda: asked.stat("purges_pending") == "0")
    with voters[1].client() as c:
        assert c.get("item0") is None and c.get(f"item{count - 1}") is None
    for c in clients:
        c.close()


@case(quick=True)
def pipelined(lab):
    """Purges of one connection are in order with what is around them; thousands a second."""
    nodes = lab.cluster(3)
    count = 3000
    with nodes[0].client() as c:
        request = b"".join(b"set p%d|#|t=t%d 0 0 1\r\nv\r\npurge t%d\r\nget p%d\r\n" % (i, i % 7, i % 7, i) for i in range(count))
        begun = time.monotonic()
        threading.Thread(target=c.send, args=(request,)).start()
        for i in range(count):
            assert (c.line(), c.line(), c.line()) == ("STORED", "PURGED", "END"), i
        print(f"{count / (time.monotonic() - begun):.0f} rounds of set, purge, get a second on one connection")


@case(quick=True)
def many_in_a_row(lab):
    """Purges that follow each other in one write are carried out together, and answered each in its place."""
    nodes = lab.cluster(3, state=True)
    with nodes[0].client() as c, nodes[1].client() as other:
        for i in range(100):
            assert other.meta(f"ms r{i} 1 Grow{i}", b"v") == ["HD"]
        c.send(b"".join(b"purge row%d\r\n" % i if i % 2 else b"mp row%d n O%d\r\n" % (i, i) for i in range(100)) +
               b"purge bad+\r\nmp row1 Tx\r\npurge row2 noreply\r\nget r1\r\npurge row3\r\nversion\r\n")
        for i in range(100):
            assert c.line() == ("PURGED" if i % 2 else f"HD n3/3 O{i}"), i
        assert c.line() == "CLIENT_ERROR bad command line format"
        assert c.line().startswith("CLIENT_ERROR")
        assert (c.line(), c.line()) == ("END", "PURGED") and c.line().startswith("VERSION")
        assert all(other.get(f"r{i}") is None for i in range(100))
        nodes[2].kill()
        begun = time.monotonic()
        c.send(b"mp late w500 n\r\n" * 60)
        assert [c.line() for _ in range(60)] == ["PA n2/3"] * 60
        took = time.monotonic() - begun
        assert 0.5 <= took < 5, f"60 waits of 0.5 s took {took:.1f} s"
        c.send(b"purge left\r\n" * 60)  # whose client has gone when they end
    nodes[2].start()
    settle(nodes)
    wait("nothing is pending", lambda: all(n.stat("purges_pending") == "0" for n in nodes))


def purge_for(node, seconds, batch, done, at):
    count = 0
    with node.client() as c:
        end = time.monotonic() + seconds
        request = b"".join(b"purge t%d\r\n" % (i % 1000) for i in range(batch))
        while time.monotonic() < end:
            c.send(request)
            for _ in range(batch):
                got = c.line()
                assert got == "PURGED", got
            count += batch
    done[at] = count


@case()
def many_clients(lab):
    nodes, seconds = lab.cluster(3), 3
    done = [0] * 24
    threads = [threading.Thread(target=purge_for, args=(nodes[i % 3], seconds, 100, done, i)) for i in range(24)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert min(done) > 0, done
    print(f"{sum(done) / seconds:.0f} purges a second over three nodes, 24 connections, batches of 100 "
          "(the clients are Python, on the same CPUs)")
    wait("all is confirmed", lambda: all(n.stat("purges_pending") == "0" for n in nodes))


@case()
def not_confirmed_and_then_it_is(lab):
    """A node that is dead holds purges of everything up, and others for a tag lease; it has all when it is back."""
    nodes = lab.cluster(3, state=True)
    with nodes[0].client() as c:
        nodes[2].kill()
        assert c.meta("mp b w100 n")[0] == "PA", "it may still serve"
        assert c.ask("purge a") == "PURGED"
        assert c.meta("mp a n") == ["HD", "n2/3"], "it holds no lease, so it is not waited for"
        begun = time.monotonic()
        assert c.ask("purge *") == "PARTIAL 2/3"
        assert 1.9 < time.monotonic() - begun < 3, time.monotonic() - begun
        begun = time.monotonic()
        assert c.meta("mp * w300 n s")[:2] == ["PA", "n2/3"]
        assert 0.29 < time.monotonic() - begun < 1
        assert c.meta("mp * w0 n")[0] == "PA"
        assert c.ask("flush_all") == "SERVER_ERROR purge pending 2/3"
        assert c.ask("purge c") == "PURGED", "the others do not wait behind it"
        nodes[0].wait_event("purge_unconfirmed", nodes[2].name)
        words = c.meta("mp * w200 s")
        number = int([w for w in words if w[0] == "s"][0][1:])
        purge = f"{number >> 40}-{number & ((1 << 40) - 1)}"
        acks = {f["name"]: f["acked"] for _, f in nodes[0].list(f"cluster purges {purge}", "ACK")}
        assert acks == {nodes[0].name: "yes", nodes[1].name: "yes", nodes[2].name: "no"}, acks
        nodes[2].start()
        settle(nodes)
        wait("nothing is pending", lambda: all(n.stat("purges_pending") == "0" for n in nodes))
        wait("it is confirmed", lambda: nodes[0].list(f"cluster purges {purge}", "PURGE")[0][1]["state"] == "confirmed")
        assert c.ask("purge a") == "PURGED"


@case()
def at_once_when_it_need_not_wait(lab):
    """w0: on its way, and everywhere a moment later."""
    nodes = lab.cluster(3)
    with nodes[0].client() as a, nodes[2].client() as c:
        for i in range(300):
            assert a.meta(f"ms w{i} 1 Gw{i}", b"v") == ["HD"]
            words = a.meta(f"mp w{i} w0 n s")
            assert words[0] in ("HD", "PA"), words
            wait("it is gone", lambda: c.get(f"w{i}") is None)


@case()
def flush_later(lab):
    nodes = lab.cluster(3)
    with nodes[0].client() as c:
        assert c.set("k", "v") == "STORED"
        assert nodes[1].ask("flush_all 2") == "OK"
        assert c.get("k") == b"v"
        wait("it is flushed", lambda: c.get("k") is None, 6)


@case()
def fills_are_guarded(lab):
    """A value that was read before a purge does not come in after it, whoever purges."""
    nodes = lab.cluster(3)
    clients = [n.client() for n in nodes]
    for i in range(300):
        a, b = random.choice(clients), random.choice(clients)
        key = f"f{i}"
        words = a.meta(f"mg {key} N30 c v Gfill{i}")
        token = next(w[1:] for w in words if isinstance(w, str) and w[:1] == "c")
        assert b.ask(f"purge fill{i}") == "PURGED"
        assert random.choice(clients).meta(f"ms {key} 3 C{token} Gfill{i}", b"old")[0] in ("EX", "NF"), i
        assert random.choice(clients).get(key) in (None, b"")
