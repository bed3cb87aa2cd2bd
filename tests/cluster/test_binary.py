# SPDX-License-Identifier: BSD-3-Clause
"""Packets of the binary protocol at any node: keys of others, quiet forms, large values, flushes and purges, hot keys, and
keys that are moving."""
import struct
import threading

from lib import Client, case, settle, wait

GET, SET, ADD, DELETE, INCREMENT, FLUSH, GETQ, NOOP, GETKQ, APPEND, STAT, SETQ = 0, 1, 2, 4, 5, 8, 9, 0xa, 0xd, 0xe, 0x10, 0x11
ADDQ, DELETEQ, FLUSHQ, TOUCH, GAT = 0x12, 0x14, 0x18, 0x1c, 0x1d
OK, NOT_FOUND, EXISTS, TOO_LARGE, TEMPORARY = 0, 1, 2, 3, 0x86
HEADER = struct.Struct(">BBHBBHIIQ")
SETS = (SET, ADD, SETQ, ADDQ)


class Packets(Client):
    """A connection that speaks packets."""

    def put(self, opcode, key="", value=b"", extras=None, cas=0, opaque=0):
        """The bytes of a request."""
        key = key.encode()
        value = value if isinstance(value, bytes) else value.encode()
        if extras is None:
            extras = bytes(8) if opcode in SETS else b""
        body = extras + key + value
        return HEADER.pack(0x80, opcode, len(key), len(extras), 0, 0, len(body), opaque, cas) + body

    def take(self):
        """The next answer: (opcode, status, opaque, cas, extras, key, value)."""
        while len(self.kept) < HEADER.size:
            self._more()
        magic, opcode, nkey, nextras, _, status, nbody, opaque, cas = HEADER.unpack(self.kept[:HEADER.size])
        assert magic == 0x81
        while len(self.kept) < HEADER.size + nbody:
            self._more()
        body, self.kept = self.kept[HEADER.size:HEADER.size + nbody], self.kept[HEADER.size + nbody:]
        return opcode, status, opaque, cas, body[:nextras], body[nextras:nextras + nkey], body[nextras + nkey:]

    def packet(self, opcode, *args, **more):
        """(status, value, cas) of what answers a request."""
        self.send(self.put(opcode, *args, **more))
        got = self.take()
        assert got[0] == opcode, got
        return got[1], got[6], got[3]

    def pipeline(self, requests):
        """All answers to requests that are sent in one write, up to that of a noop behind them."""
        self.send(b"".join(requests) + self.put(NOOP))
        answers = []
        while True:
            got = self.take()
            if got[0] == NOOP:
                return answers
            answers.append(got)


def value_of(i):
    return b"%d:" % i + b"x" * (200_000 if i % 100 == 7 else i % 300)


def fill(node, count, tag="all"):
    with Packets(node.port) as c:
        assert c.pipeline(c.put(SETQ, f"key{i}|#|t={tag},row{i}", value_of(i)) for i in range(count)) == []


def hits(node, count):
    """The indexes of the keys that a node finds, each of which has its value."""
    with Packets(node.port) as c:
        got = c.pipeline(c.put(GETKQ, f"key{i}", opaque=i) for i in range(count))
    assert [a[2] for a in got] == sorted(a[2] for a in got), "in the order that was asked"
    for opcode, status, i, _, _, key, value in got:
        assert (opcode, status, key, value) == (GETKQ, OK, b"key%d" % i, value_of(i)), (opcode, status, key)
    return {a[2] for a in got}


@case(quick=True)
def packets_are_answered_at_any_node(lab):
    nodes = lab.cluster(3)
    count = 600
    fill(nodes[0], count)
    for n in nodes:
        assert hits(n, count) == set(range(count))
        assert int(n.stat("forwards_sent")) > count / 2
    a, b, c = (Packets(n.port) for n in nodes)
    for i in range(60):
        key = f"other{i}"
        status, _, cas = a.packet(SET, key, "one")
        assert status == OK and cas > 0
        assert b.packet(ADD, key, "x")[0] == EXISTS
        assert c.packet(SET, key, "x", cas=cas + 1)[0] == EXISTS
        assert b.packet(APPEND, key, "+", cas=cas)[0] == OK
        assert c.packet(GET, key)[:2] == (OK, b"one+")
        assert a.packet(TOUCH, key, extras=struct.pack(">I", 1000))[0] == OK
        assert b.packet(GAT, key, extras=struct.pack(">I", 1000))[:2] == (OK, b"one+")
        add = struct.pack(">QQI", 5, 10, 0)
        assert [n.packet(INCREMENT, f"n{i}", extras=add)[1][-1] for n in (a, b, c)] == [10, 15, 20]
        assert c.packet(DELETE, key)[0] == OK and a.packet(GET, key)[0] == NOT_FOUND
    # Quiet ones among loud ones, over keys of all nodes: answers come in order, and no others.
    got = b.pipeline(p for i in range(200) for p in (
        b.put(SETQ, f"q{i}", "v", opaque=i), b.put(ADDQ, f"q{i}", "w", opaque=i), b.put(GETQ, f"none{i}", opaque=i),
        b.put(DELETEQ, f"q{i}", opaque=i), b.put(GET, f"q{i}", opaque=i)))
    assert [g[:3] for g in got] == [g for i in range(200) for g in ((ADDQ, EXISTS, i), (GET, NOT_FOUND, i))]
    # Too large for any node.
    assert [b.packet(SET, f"large{i}", bytes(1 << 21))[0] for i in range(6)] == [TOO_LARGE] * 6
    # Statistics are those of the node that is asked.
    for n, conn in zip(nodes, (a, b, c)):
        conn.send(conn.put(STAT))
        stats = dict(iter(lambda: conn.take()[5:], (b"", b"")))
        assert int(stats[b"pid"]) == n.p.pid
    for conn in (a, b, c):
        conn.close()


@case(quick=True)
def flushes_and_purges_by_packet_reach_all(lab):
    nodes = lab.cluster(3)
    count = 120
    wait("purges are confirmed at once", lambda: nodes[0].ask("purge warm") == "PURGED")

    def check(left, node, *request, quiet=False, **more):
        """What every node finds as soon as a request at one of them was answered; or later, when it says that the purge
        is pending."""
        fill(nodes[0], count)
        assert all(len(hits(n, count)) == count for n in nodes)
        with Packets(node.port) as c:
            got = c.pipeline([c.put(*request, **more)])
        if [g[1] for g in got] == [TEMPORARY]:
            assert got[0][6].startswith(b"purge pending "), got
            wait("the purge is everywhere", lambda: all(hits(n, count) == left for n in nodes))
        else:
            assert [g[1] for g in got] == ([] if quiet else [OK]), got
            assert [hits(n, count) for n in nodes] == [left] * 3

    check(set(), nodes[1], FLUSH)
    check(set(), nodes[2], FLUSHQ, quiet=True)
    check(set(), nodes[0], FLUSH, extras=bytes(4))
    left = set(range(count)) - {5}
    check(left, nodes[1], DELETE, "any|#|p=row5")
    check(left, nodes[2], DELETEQ, "any|#|p=row5", quiet=True)
    check(left, nodes[0], INCREMENT, "any|#|p=row5", extras=bytes(20))
    # The guard: an id that was read before a purge of the item's tag stores nothing behind it.
    with Packets(nodes[0].port) as a, Packets(nodes[1].port) as b:
        for i in range(20):
            cas = a.packet(SET, f"page{i}|#|t=user{i}", "old")[2]
            assert b.packet(DELETE, f"any|#|p=user{i}")[0] in (OK, TEMPORARY)
            wait("the purge is everywhere", lambda: b.packet(GET, f"page{i}")[0] == NOT_FOUND)
            assert a.packet(SET, f"page{i}|#|t=user{i}", "stale", cas=cas)[0] == NOT_FOUND


@case()
def changes_by_packet_reach_copies_of_hot_keys(lab):
    """One key is read at every node, by lines, so that it is copied, and by packets, which the owner answers. It is changed by
    packets: nobody reads what was there before."""
    nodes = lab.cluster(3)
    nodes.append(lab.joiner(nodes).start(serves=False))
    settle(nodes)
    stop, done, stale = threading.Event(), [0], []

    def check(node, values, least):
        stale.extend((node.name, least, v) for v in values if int(v) < least)

    def read(node):
        with node.client() as lines, Packets(node.port) as packets:
            while not stop.is_set():
                least = done[0]
                lines.send("get hot\r\n" * 32)
                check(node, [lines.read_values().get("hot", (b"99",))[0] for _ in range(32)], least)
                least = done[0]
                check(node, [got[6] for got in packets.pipeline([packets.put(GETQ, "hot")])], least)

    def total(name):
        return sum(int(n.stat(name)) for n in nodes)

    readers = [threading.Thread(target=read, args=(n,)) for n in nodes]
    writers = [Packets(n.port) for n in nodes]
    try:
        assert writers[0].packet(SET, "hot", "0")[0] == OK
        for t in readers:
            t.start()
        for n in range(1, 7):
            taken = total("copies_taken")
            wait("a copy is taken", lambda: total("copies_taken") > taken)
            w = writers[n % 4]
            if n % 4 == 3:
                assert w.pipeline([w.put(DELETEQ, "hot"), w.put(SETQ, "hot", str(n))]) == []
            else:
                assert w.packet(SET, "hot", str(n))[0] == OK
            done[0] = n
    finally:
        stop.set()
        for t in readers:
            t.join()
        for w in writers:
            w.close()
    assert not stale, stale[:5]
    assert total("copy_hits") > 100 and total("copies_recalled") > 0


@case()
def keys_that_move_are_there_for_packets(lab):
    """During a slow hand-off a get by packet finds what has not moved yet, and a set or delete by packet holds."""
    nodes = lab.cluster(3, "--handoff-rate", "1")
    count = 400
    fill(nodes[0], count)
    with Packets(nodes[0].port) as c:  # some megabytes that are read often, so that they go first and take a while
        ballast = [f"ballast:{i}" for i in range(150)]
        assert c.pipeline(c.put(SETQ, k, bytes(100_000)) for k in ballast) == []
        for _ in range(6):
            for k in ballast:
                assert c.packet(GET, k)[0] == OK
    nodes.append(lab.joiner(nodes, "--handoff-rate", "1").start(serves=False))
    wait("the hand-off is under way", lambda: int(nodes[3].stat("handoff_active")) > 0)
    deleted, changed = set(range(0, 120, 2)), set(range(1, 120, 2))
    with Packets(nodes[3].port) as c:
        assert hits(nodes[3], count) == set(range(count))
        answers = c.pipeline(c.put(DELETEQ, f"key{i}") for i in sorted(deleted))
        assert answers == [], answers
        assert c.pipeline(c.put(SETQ, f"key{i}", value_of(i) + b"new") for i in sorted(changed)) == []
    assert int(nodes[3].stat("handoff_active")) > 0, "it was over too soon to be a test"
    assert int(nodes[3].stat("pulls_sent")) > 0
    for over in (False, True):
        if over:
            wait("the hand-off is over", lambda: all(n.stat("handoff_active") == "0" for n in nodes), 60)
        for n in nodes:
            with Packets(n.port) as c:
                for i in range(120):
                    status, value, _ = c.packet(GET, f"key{i}")
                    want = (NOT_FOUND, None) if i in deleted else (OK, value_of(i) + b"new")
                    assert (status, value if status == OK else None) == want, (n.name, over, i, status, value[-10:])
