#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The same random packets of the binary protocol to a node and to memcached; the answers must be the same bytes.

    differential_binary.py [--seed N] [--requests N] --spawn-ours PROGRAM [--spawn-theirs memcached]
    differential_binary.py [--seed N] [--requests N] --ours HOST:PORT --theirs HOST:PORT
    TAGCACHED_BUILDDIR=BUILD differential_binary.py         2000 packets, always the same (make check)

Both must be empty and not used by anybody else; any memcached from 1.6.18 to 1.6.45 will do. KNOWN has every difference on
purpose. CAS ids are compared by the order in which they appear. Prints the seed and the packets that led to a
difference; exit status 1 if there is one."""

import os
import random
import select
import shutil
import socket
import struct
import sys

from differential import arguments, run

(GET, SET, ADD, REPLACE, DELETE, INCR, DECR, QUIT, FLUSH, GETQ, NOOP, VERSION, GETK, GETKQ, APPEND, PREPEND, STAT, SETQ, ADDQ,
 REPLACEQ, DELETEQ, INCRQ, DECRQ, QUITQ, FLUSHQ, APPENDQ, PREPENDQ, VERBOSITY, TOUCH, GAT, GATQ) = range(0x1f)
SASL_LIST, SASL_AUTH, SASL_STEP, GATK, GATKQ = range(0x20, 0x25)
STORES = [SET, SET, ADD, REPLACE, SETQ, ADDQ, REPLACEQ]
JOINS = [APPEND, PREPEND, APPENDQ, PREPENDQ]
GETS = [GET, GETQ, GETK, GETKQ]
TOUCHES = [TOUCH, GAT, GATQ, GATK, GATKQ]
TURNED = [INCR, DECR, INCRQ, DECRQ]
NUMBERS = [b"n%d" % i for i in range(3)]
KEYS = [b"k%d" % i for i in range(6)] + [b"a b", b"line\r\n", b"\0\xff", b"k" * 250]
VALUES = [b"", b"a", b"abc", b"x" * 100, b"line\r\nline", b"\x80\n" + b"\0" * 22, b"y" * 2047, b"z" * 2500, b"w" * 20000]
STATS = [b"", b"", b"settings", b"items", b"slabs", b"sizes", b"reset", b"detail on", b"detail off", b"detail dump"]
ODD_STATS = [b"nonsense", b"conns", b"cachedump 1 0", b"extstore", b"items 1", b" items", b" ", b"item", b"resetx", b"detail onx"]
HEADER = struct.Struct(">BBHBBHIIQ")
END = 0xfeedface

# Every difference on purpose: opcodes, which packets of them, what memcached does, and the line of 1.6.45's protocol.
KNOWN = [
    ({VERBOSITY}, lambda p: True, "unknown to memcached; its clients send it all the same",
     '3.3: "0x1A PrependQ" is the last of the list'),
    (None, lambda p: p.unknown and p.key + p.extras != b"", "memcached skips key and extras twice, and is out of step",
     '2: "Total body length: Length in bytes of extra + key + value."'),
    (set(TOUCHES), lambda p: p.value != b"", "memcached reads the value as the next packet",
     '4.2: get "MUST NOT have value"'),
    ({STAT}, lambda p: p.key.startswith((b"reset", b"settings", b"detail")) and p.key not in STATS,
     "memcached looks at the first letters alone, and behind the key: resetx resets", '4.11: "MAY have key."'),
    (set(TURNED), lambda p: False, "memcached leaves blanks behind a number that has become shorter: normal() drops them",
     'protocol.txt, Increment: "The number MAY be space-padded at the end"'),
    ({STAT}, lambda p: p.value != b"", "memcached reads the value as the next packet", '4.11: stat "MUST NOT have value."'),
    (None, lambda p: p.body is not None and p.body > 1 << 30,
     "1.6.18 waits for it, or answers Too large; 1.6.45 answers as the node does", '3.2: "0x0004 Invalid arguments"'),
]


class Packet:
    """A request. `cas` is the place of an id in the order of appearance, or a number as bytes."""

    def __init__(self, opcode, key=b"", extras=b"", value=b"", cas=None, body=None, magic=0x80, keylen=None):
        self.opcode, self.key, self.extras, self.value, self.cas = opcode, key, extras, value, cas
        self.body, self.magic, self.keylen = body, magic, keylen
        self.unused = 0  # the data type and the reserved bytes
        self.unknown = opcode > GATKQ or opcode == 0x1f

    def bytes(self, side, opaque):
        cas = 0 if self.cas is None else side.ids[self.cas % len(side.ids)] if side.ids else 7
        body = len(self.extras) + len(self.key) + len(self.value) if self.body is None else self.body
        keylen = len(self.key) if self.keylen is None else self.keylen
        head = HEADER.pack(self.magic, self.opcode, keylen, len(self.extras), self.unused, self.unused, body, opaque, cas)
        return head + self.extras + self.key + self.value

    def is_known(self):
        return any((ops is None or self.opcode in ops) and when(self) for ops, when, _, _ in KNOWN)

    def __repr__(self):
        return "%02x %02x key=%r extras=%s value=%r cas=%s body=%s" % (
            self.magic, self.opcode, self.key[:40], self.extras.hex(), self.value[:40], self.cas, self.body)


class Side:
    """One server, and its CAS ids in the order they were seen."""

    def __init__(self, where):
        self.where = where
        self.ids = []
        self.sock = None
        self.connect()

    def connect(self):
        if isinstance(self.where, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(self.where)
        else:
            self.sock = socket.create_connection(self.where)
        self.sock.settimeout(10)
        self.kept = bytearray()
        self.ask([])

    def send(self, data):
        """Sends, and takes answers meanwhile: a server stops reading while nobody takes them."""
        at = 0
        while at < len(data):
            readable, writable, _ = select.select([self.sock], [self.sock], [], 10)
            if readable:
                more = self.sock.recv(1 << 20)
                if not more:
                    return
                self.kept += more
            if writable:
                at += self.sock.send(data[at:at + 65536])
            if not readable and not writable:
                raise TimeoutError("nothing is read nor answered")

    def read(self, n):
        while len(self.kept) < n:
            more = self.sock.recv(1 << 20)
            if not more:
                return None
            self.kept += more
        got, self.kept = self.kept[:n], self.kept[n:]
        return bytes(got)

    def ask(self, packets, cut=0):
        """The answers as (header fields, body), in order; ["closed"] at their end if the connection was closed. The
        packets go in two pieces, the first of which is so many percent."""
        data = b"".join(p.bytes(self, i) for i, p in enumerate(packets))
        answers = []
        try:
            data += HEADER.pack(0x80, NOOP, 0, 0, 0, 0, 0, END, 0)
            at = len(data) * cut // 100
            self.send(data[:at])
            self.send(data[at:])
        except (BrokenPipeError, ConnectionResetError):
            pass
        while True:
            try:
                head = self.read(HEADER.size)
                fields = HEADER.unpack(head) if head is not None else None
                body = self.read(fields[6]) if fields is not None else None
            except ConnectionResetError:
                body = None
            if body is None:
                self.sock.close()
                self.connect()
                return answers + ["closed"]
            if fields[7] == END:
                return answers
            answers.append((fields, body))

    def ordinal(self, cas):
        if cas == 0:
            return 0
        if cas not in self.ids:
            self.ids.append(cas)
        return 1 + self.ids.index(cas)


def normal(side, answers, packets):
    """What may differ, made equal: CAS ids, and what statistics and the version say."""
    out = []
    for a in answers:
        if a == "closed":
            out.append(a)
            continue
        f, body = a
        if f[1] in (STAT, VERSION) and f[5] == 0:
            body = b""
            f = f[:2] + (0, 0, 0, 0, 0) + f[7:]
            if out and out[-1][0][:8] == f[:8]:
                continue  # how many statistics there are
        if f[1] in GETS + TOUCHES and packets[f[7]].key in NUMBERS and f[5] == 0:
            blanks = len(body) - len(body.rstrip(b" "))
            body = body[:len(body) - blanks]
            f = f[:6] + (f[6] - blanks,) + f[7:]
        out.append((f[:8] + (side.ordinal(f[8]),), body))
    return out


def extras_of(rnd, opcode):
    exptime = rnd.choice([0, 0, 0, 1000, 4294967295, 2592001])
    if opcode in STORES:
        return struct.pack(">II", rnd.choice([0, 0, 5, 4294967295]), exptime)
    if opcode in TURNED:
        delta = rnd.choice([rnd.randint(0, 99), rnd.randint(0, 99), 8888888, 1 << 63, (1 << 64) - 1])
        return struct.pack(">QQI", delta, rnd.randint(1, 9999999), rnd.choice([0, 1000, 4294967295]))
    return struct.pack(">I", rnd.choice([0, 1000, 4294967295])) if opcode in TOUCHES else b""


def good(rnd):
    kind = rnd.choices([STORES, JOINS, GETS, TOUCHES, TURNED, [DELETE, DELETEQ]], [30, 8, 30, 8, 14, 8])[0]
    opcode = rnd.choice(kind)
    cas = rnd.randrange(1 << 20) if kind is not GETS and kind is not TOUCHES and rnd.random() < 0.15 else None
    number = kind is TURNED or (kind is not JOINS and rnd.random() < 0.15)
    key = rnd.choice(NUMBERS) if number and rnd.random() < 0.9 else rnd.choice(KEYS)
    value = b""
    if kind is STORES or kind is JOINS:
        value = b"%d" % rnd.choice([rnd.randint(0, 9000000), (1 << 64) - 5]) if key in NUMBERS else rnd.choice(VALUES)
    if kind in (STORES, JOINS) and key not in NUMBERS and rnd.random() < 0.01:
        value = b"v" * rnd.choice([600000, 1 << 20, 3 << 20])
    if kind is TURNED and key not in NUMBERS:
        opcode, value = rnd.choice(GETS), b""
        return Packet(opcode, key)
    p = Packet(opcode, key, extras_of(rnd, opcode), value, cas)
    p.unused = rnd.choice([0, 0, 0, 0xff])
    return p


def other(rnd):
    opcode = rnd.choice([NOOP, VERSION, STAT, STAT, SASL_LIST, SASL_AUTH, SASL_STEP, 0x1f, 0x40, 0xff, VERBOSITY, QUIT, QUITQ,
                         FLUSH, FLUSHQ])
    if opcode == STAT:
        return Packet(opcode, rnd.choice(STATS + ODD_STATS))
    if opcode in (SASL_AUTH, SASL_STEP):
        return Packet(opcode, rnd.choice([b"PLAIN", b"m" * 33]), b"", rnd.choice([b"", b"\0a\0b", b"m" * 3000]))
    if opcode in (FLUSH, FLUSHQ):
        return Packet(opcode, b"", rnd.choice([b"", b"\0\0\0\0"]))
    if opcode in (0x1f, 0x40, 0xff):
        return Packet(opcode, rnd.choice([b"", b"", b"key"]), b"", rnd.choice([b"", b"value", b"v" * 30000]))
    return Packet(opcode, b"", b"\0\0\0\0" if opcode == VERBOSITY else b"")


def bad(rnd):
    p = rnd.choice([good, good, other])(rnd)
    what = rnd.randrange(8)
    if what == 0:
        p.extras = rnd.choice([b"", b"\0", b"\0" * 4, b"\0" * 8, b"\0" * 20, b"\0" * 30])
    elif what == 1:
        p.key = b""
    elif what == 2:
        p.key = b"k" * rnd.choice([251, 300, 1000])
    elif what == 3:
        p.value += b"value"
    elif what == 4:
        p.body = max(0, len(p.key) + len(p.extras) - rnd.randint(1, 3))
        p.value = b""
    elif what == 5:
        p.body = rnd.choice([(1 << 30) + 1, 1 << 31, (1 << 32) - 1])
    elif what == 6:
        p.magic = rnd.choice([0, 0x7f, 0x81, 0xff])
    else:
        p.opcode = rnd.randrange(256)
        p.unknown = p.opcode > GATKQ or p.opcode == 0x1f
    return p


def compare(ours, theirs, seed, count):
    rnd = random.Random(seed)
    history, differences, i = [], 0, 0
    while i < count:
        packets = [rnd.choices([good, other, bad], [92, 4, 4])[0](rnd) for _ in range(rnd.choice([1, 1, 2, 5, 20]))]
        # By itself goes what is no packet (memcached then drops the answers before it), and what is known: only the node
        # gets that, and goes on or closes the connection.
        apart = next((k for k, p in enumerate(packets) if p.magic != 0x80 or p.is_known()), None)
        if apart is not None:
            packets = packets[:apart] or packets[:1]
        i += len(packets)
        if packets[0].is_known():
            ours.ask(packets)
            continue
        history = (history + packets)[-40:]
        cut = rnd.randrange(100)
        x, y = normal(ours, ours.ask(packets, cut), packets), normal(theirs, theirs.ask(packets, cut), packets)
        if x != y:
            differences += 1
            print("difference at packet %d, seed %d:" % (i, seed))
            for p in history:
                print("   ", p)
            for a, b in zip(x + [None] * (len(y) - len(x)), y + [None] * (len(x) - len(y))):
                if a != b:
                    print("  ours:  ", str(a)[:300], "\n  theirs:", str(b)[:300], flush=True)
                    break
            if differences == 5:
                break
        # Whatever the one did and the other did not: begin again.
        if x != y or rnd.random() < 0.002:
            for side in (ours, theirs):
                side.ask([Packet(FLUSH)])
                side.ids.clear()
    return differences


def main():
    build = os.environ.get("TAGCACHED_BUILDDIR")  # of make check: a short run, which is the same each time
    args = arguments(seed=1, requests=2000) if build else arguments()
    assert len(KNOWN) <= 12
    if build and args.ours is None and args.spawn_ours is None:
        args.spawn_ours = os.path.join(build, "tagcached")
        if shutil.which(args.spawn_theirs) is None:
            print("memcached is not installed")
            return 77
    differences = run(args, Side, compare)
    print("%d differences; of those on purpose there are %d kinds" % (differences, len(KNOWN)))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
