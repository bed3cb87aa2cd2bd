# SPDX-License-Identifier: BSD-3-Clause
"""Erasing a person (--erase): when the receipt says that the last copy is gone, the memory of no node has anything of it."""
import array
import itertools
import mmap
import random
import struct

from lib import case, settle, wait

TAG = "user:42"
# Values are recognised by these, wherever in a process they lie: as text, and as a number that incr counts up.
CANARY, NUMBER = b"canary-5f3c19e7-", b"73918462055182"
LARGE = 300_000
STEP, OVERLAP = 1 << 24, 64  # of what is read of a process at once
PAGE = mmap.PAGESIZE


def places(data, word):
    at = data.find(word)
    while at >= 0:
        yield at
        at = data.find(word, at + len(word))


def resident(node, begin, end):
    """The parts of a mapping that have memory, at most STEP bytes each."""
    with open(f"/proc/{node.p.pid}/pagemap", "rb", buffering=0) as f:
        f.seek(begin // PAGE * 8)
        pages = array.array("Q", f.read((end - begin) // PAGE * 8))
    for there, run in itertools.groupby(range(len(pages)), lambda i: pages[i] >> 62 != 0):
        run = list(run)
        if there:
            last = begin + (run[-1] + 1) * PAGE
            yield from ((at, min(last, at + STEP + OVERLAP)) for at in range(begin + run[0] * PAGE, last, STEP))


def scan(node):
    """What is found in the node's memory: where, in what, and the bytes there."""
    found = []
    with open(f"/proc/{node.p.pid}/maps") as maps, open(f"/proc/{node.p.pid}/mem", "rb", buffering=0) as mem:
        for span, access, *more in (line.split() for line in maps):
            name = more[-1] if len(more) > 3 else "anonymous"
            if "w" not in access:  # nothing that clients send gets there
                continue
            for at, end in resident(node, *(int(x, 16) for x in span.split("-"))):
                mem.seek(at)
                data = mem.read(end - at)
                found += [(hex(at + i), name, data[max(0, i - 16):i + 40])
                          for word in (CANARY, NUMBER) for i in places(data, word) if i < STEP]
    return found


def value(way, n=200):
    return (CANARY + way.encode() + b" ").ljust(n, b"+")


def large(way):
    return (CANARY + way.encode() + b" ") * (LARGE // 32)


def packet(opcode, key, extras=b"", body=b""):
    return struct.pack("!BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(extras) + len(key) + len(body), 0, 0) + \
        extras + key + body


def read_packet(s):
    head = s.recv(24, 0x100)
    left, body = struct.unpack("!I", head[8:12])[0], b""
    while len(body) < left:
        body += s.recv(left - len(body))
    return struct.unpack("!H", head[6:8])[0], body


def store(nodes, clients):
    """In every way there is, through every node."""
    for i in range(60):
        c, tagged = random.choice(clients), f"|#|t={TAG}"
        assert c.set(f"text{i}{tagged}", value(f"text{i}")) == "STORED"
        assert c.set(f"again{i}{tagged}", value(f"before{i}", 90)) == "STORED"
        assert random.choice(clients).set(f"again{i}{tagged}", value(f"behind{i}", 3000)) == "STORED"
        assert c.meta(f"ms meta{i} 500 G{TAG}", value(f"meta{i}", 500)) == ["HD"]
        assert c.set(f"joined{i}{tagged}", value(f"first{i}")) == "STORED"
        assert c.set(f"joined{i}", value(f"append{i}"), verb="append") == "STORED"
        assert random.choice(clients).set(f"joined{i}", value(f"prepend{i}"), verb="prepend") == "STORED"
        assert c.set(f"count{i}{tagged}", NUMBER + b"0000") == "STORED"
        assert c.ask(f"incr count{i} {i + 1}") == (NUMBER + f"{i + 1:04}".encode()).decode()
        assert c.set(f"left{i}{tagged}", value(f"deleted{i}")) == "STORED"
        assert c.ask(f"delete left{i}") == "DELETED"
    for i in range(6):
        assert random.choice(clients).set(f"large{i}|#|t={TAG}", large(f"large{i}")) == "STORED"
    for n in nodes:
        with n.client() as b:
            b.send(packet(0x01, f"binary{n.port}|#|t={TAG}".encode(), bytes(8), value("binary")))
            assert read_packet(b.s)[0] == 0
            b.send(packet(0x00, f"binary{n.port}".encode()))
            assert value("binary") in read_packet(b.s)[1]


def read(clients):
    for c in clients:
        for i in range(60):
            assert c.get(f"text{i}") == value(f"text{i}")
            assert c.meta(f"mg meta{i} v")[-1] == value(f"meta{i}", 500)
        assert len(c.get_many([f"again{i}" for i in range(60)], "gets")) == 60
        for i in range(6):
            assert c.get(f"large{i}") == large(f"large{i}")


def give_up(node):
    """A client that sends half of a large value, and one that asks for one and reads nothing."""
    with node.client() as c:
        c.send(f"set half|#|t={TAG} 0 0 {LARGE}\r\n".encode() + large("half")[:LARGE // 2])
    with node.client() as c:
        c.send("get large0 large1 large2\r\n")


def crowd(clients):
    """Values enough to have records moved and evicted."""
    for i in range(28000):
        random.choice(clients).send(f"set crowd{i}|#|t={TAG if i % 2 else 'others'} 0 0 2000 noreply\r\n".encode() +
                                    (value(f"crowd{i}", 2000) if i % 2 else b"." * 2000) + b"\r\n")
    for c in clients:
        assert c.ask("version").startswith("VERSION")


def get_hot(nodes):
    def copied():
        for n in nodes:
            n(lambda c: (c.send("get text1\r\n" * 2000), [c.read_values() for _ in range(2000)]))
        return sum(int(n.stat("copy_hits")) for n in nodes) > 0
    wait("a copy of a hot key is taken", copied)


def purge_with_receipt(node, nodes):
    words = node(lambda c: c.meta(f"mp {TAG} n s c w20000"))
    assert words[:2] == ["HD", f"n{len(nodes)}/{len(nodes)}"], words
    id_ = int(words[2][1:])
    acks = node.list(f"cluster purges {id_ >> 40}-{id_ & ((1 << 40) - 1)}", "ACK")
    assert len(acks) == len(nodes) and all(f["gone_ms"] != "-" for _, f in acks), acks
    return sum(int(f["items"]) for _, f in acks)


def erase(lab, *args):
    """A cluster in which everything happens to a person's data, then the purge. What the scans find."""
    key = lab.key_file()
    nodes = lab.cluster(3, "-m", "16", *args, key=key)
    clients = [n.client() for n in nodes]
    store(nodes, clients)
    read(clients)
    give_up(nodes[0])
    crowd(clients)
    assert sum(int(n.stat("evictions", "")) for n in nodes) > 0
    store(nodes, clients)
    read(clients)
    nodes.append(lab.joiner(nodes, "-m", "16", *args, key=key).start(serves=False))  # items are handed over to it
    settle(nodes)
    wait("they are", lambda: all(n.stat("handoff_active") == "0" for n in nodes) and int(nodes[3].stat("handoff_received")))
    read(clients)
    get_hot(nodes)
    assert purge_with_receipt(nodes[1], nodes) > 100
    for n in nodes:
        n.pause()  # nothing that comes later is to hide anything
    found = {n.name: scan(n) for n in nodes}
    for n in nodes:
        n.go_on()
    settle(nodes)
    assert clients[0].get("text1") is None
    assert clients[0].get("crowd27998") == b"." * 2000
    for c in clients:
        c.close()
    return found


@case(quick=True)
def a_person_is_erased(lab):
    found = erase(lab, "--erase")
    for name, hits in found.items():
        assert not hits, f"{name}: {len(hits)} places, {hits[:8]}"


@case()
def without_erase_the_scan_finds_it(lab):
    found = erase(lab)
    assert all(len(hits) > 100 for hits in found.values()), {name: len(hits) for name, hits in found.items()}
