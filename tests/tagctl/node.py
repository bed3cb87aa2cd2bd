# SPDX-License-Identifier: BSD-3-Clause
"""A scripted node of a cluster of three, for tests of tagctl: answers what it is told, and notes what it was asked."""
import hashlib
import socket
import ssl
import threading

NODES = [("c1:11211", 1), ("c2:11211", 1), ("c3:11211", 2)]
HANG, CLOSE = object(), object()  # in place of an answer: none at all; the end of the connection


def lines(*rows):
    return "".join(r + "\r\n" for r in rows).encode()


def digest(nodes):
    """The digest of a ring, as cluster/ring.h says."""
    d = bytes(16)
    for name, weight in sorted(nodes):
        d = hashlib.md5(d + f"{name} {weight}".encode()).digest()
    return d.hex()[:16]


def ring(nodes=NODES, version=39):
    d = digest(nodes)
    shares = {"c1:11211": "0.241000", "c2:11211": "0.262000", "c3:11211": "0.497000"}
    return lines(f"RING version={version} id={d[:6]} digest={d} nodes={len(nodes)} points=480",
                 *(f"NODE name={n} weight={w} points=160 share={shares.get(n, '0.100000')}" for n, w in nodes), "END")


def status(verdict="ok", reason="", problems=(), alive=3, dead=0, lag=4, handoffs=0, handed=0, to_hand=0, left_s=0,
           version=41):
    return lines("STATUS cluster=prod id=000102030405060708090a0b0c0d0e0f node=c1:11211 state=serving lease=held epoch=7 "
                 f"version={version} voters=3 quorum=yes ring={digest(NODES)[:6]} ring_version=39 alive={alive} suspect=0 dead={dead} "
                 f"left=0 pending=0 lag_ms={lag} handoffs={handoffs} handed={handed} to_hand={to_hand} "
                 f"handoff_left_s={left_s} verdict={verdict} reason={reason}",
                 *(f"PROBLEM text={p}" for p in problems), "END")


def members(health=("alive", "alive", "alive"), states=("serving", "serving", "serving")):
    return lines(*(f"MEMBER name=c{i}:11211 id={i:02x}{'00' * 15} number={i + 10} boot={1795000000 + i} state={states[i - 1]} "
                   f"health={health[i - 1]} weight={NODES[i - 1][1]} addr=10.0.0.{i}:21211 version=0.1.0 "
                   f"voter={'yes' if i < 3 else 'no'} lag_ms={i}" for i in (1, 2, 3)), "END")


def stats(i):
    values = {"pid": 4000 + i, "uptime": 86400, "curr_items": 9200000 + i, "limit_maxbytes": 8 << 30, "bytes": 6549825126,
              "get_hits": 961000, "get_misses": 39000, "cmd_get": 1000000, "cmd_set": 50000, "cmd_touch": 0,
              "delete_hits": 5, "delete_misses": 5, "incr_hits": 0, "incr_misses": 0, "decr_hits": 0, "decr_misses": 0,
              "evictions": 0, "cmd_purge": 14, "version": "1.6.45"}
    return lines(*(f"STAT {k} {v}" for k, v in values.items()), "END")


def hotkeys(*keys):
    return lines(*(f"STAT {i} key={k} served={s} asked={a} share={p} holders={h}" for i, (k, s, a, p, h) in enumerate(keys, 1)),
                 "END")


HOTKEYS = (hotkeys(("frontpage", 2100, 0, "21.0", 2), ("user:42", 0, 400, "4.0", 0), ("a%20b", 33, 0, "0.3", 0)),
           hotkeys(("frontpage", 0, 24100, "50.1", 0), ("user:42", 310, 0, "3.1", 0)),
           hotkeys(("frontpage", 0, 24200, "49.9", 0), ("user:42", 0, 250, "0.5", 0), ("new", 0, 64, "0.1", 0)))

PURGES = {
    "4-88422": lines("PURGE id=4-88422 state=confirmed kind=hard acked=3 members=3 age_ms=1500 took_ms=1.900 items=48110 bytes=327155712 gone_ms=1200.000 by=legal@10.0.3.9:51230 "
                     "selectors=licence:7+region:de",
                     "ACK name=c1:11211 acked=yes ms=1.100", "ACK name=c2:11211 acked=yes ms=1.300",
                     "ACK name=c3:11211 acked=yes ms=1.900", "END"),
    "4-88423": lines("PURGE id=4-88423 state=pending kind=soft acked=2 members=3 age_ms=61000 took_ms=- selectors=-",
                     "ACK name=c1:11211 acked=yes ms=1.100", "ACK name=c2:11211 acked=yes ms=1.300",
                     "ACK name=c3:11211 acked=no ms=-", "END"),
}
NUMBER = (4 << 40) + 88422  # what `mp s` says of 4-88422

KEYS = ("KEY id=7f3109be42aa01c9 use=seal nodes=3 of=3 sealing=3 missing=-",
        "KEY id=02acb1d3ee7f6405 use=open nodes=2 of=3 sealing=0 missing=c3:11211")
NOTES = ("NOTE text=the key file of c2:11211 does not begin with 7f3109be42aa01c9: change it, too",
         "NOTE text=the key file of c1:11211,c2:11211 has 02acb1d3ee7f6405, which is not in use there: take it out")


def answers():
    """Command -> answer of a node where all is well."""
    a = {
        "mn": lines("MN"), "version": lines("VERSION 1.6.45"), "stats": stats(1),
        "cluster status": status(), "cluster members": members(), "cluster ring": ring(),
        "cluster purges": lines(PURGES["4-88423"].decode().split("\r\n")[0], PURGES["4-88422"].decode().split("\r\n")[0],
                                "END"),
        "cluster purges 4-9": lines("PURGE id=4-9 state=unknown", "END"),
        "cluster key ls": lines(*KEYS, NOTES[0], "END"), "cluster key reload": lines(*KEYS, "END"),
        "cluster key use 7f3109be42aa01c9": lines(*KEYS, NOTES[0], "END"),
        "cluster key remove 02acb1d3ee7f6405": lines(KEYS[0], NOTES[1], "END"),
        "cluster recover": lines("RECOVER version=41 voters=3 gone=2 text=two of three voters are silent",
                                 "DOWN name=c2:11211 number=12 addr=10.0.0.2:21211 silent_ms=90000",
                                 "DOWN name=c3:11211 number=13 addr=10.0.0.3:21211 silent_ms=90000", "END"),
        "mg user:42 v f t c": b"VA 5 f7 t211 c99\r\nhello\r\n", "mg none v f t c": lines("EN"),
        "mg bytes v f t c": b"VA 4 f0 t-1 c1\r\n\x00\xff\r\n\r\n",
        "md user:42": lines("HD"), "md none": lines("NF"),
        "touch user:42 300": lines("TOUCHED"), "touch none 300": lines("NOT_FOUND"),
        "explain user:42": lines("EXPLAIN owner=c2:11211 state=stale size=412 ttl=211 age=30 cas=99 fetched=yes tags=2 "
                                 "purge=4-88419 tag=org7 key=user:42", "END"),
        "explain live": lines("EXPLAIN owner=c1:11211 state=live size=1412 ttl=-1 age=3 cas=100 fetched=no tags=0 purge=- tag=- "
                              "key=live", "END"),
        "explain none": lines("EXPLAIN owner=c3:11211 state=absent key=none", "END"),
        "stats hotkeys": HOTKEYS[0],
        "stats settings": lines("STAT handoff_rate 32", "END"),
        "cluster at c3:11211 cluster status": status(version=42),
        "stats cluster": lines("STAT cluster_name prod", "STAT state no lease: voters b, c silent 4 s",
                               "STAT ring_version 39", "END"),
    }
    for k, v in PURGES.items():
        a["cluster purges " + k] = v
    for i in (2, 3):
        for command in ("mn", "cluster ring"):
            a[f"cluster at c{i}:11211 {command}"] = a[command]
        a[f"cluster at c{i}:11211 stats"] = stats(i)
        a[f"cluster at c{i}:11211 stats hotkeys"] = HOTKEYS[i - 1]
    for change in ("leave c3:11211", "drain c3:11211", "undrain c3:11211", "forget c3:11211", "weight c3:11211 3",
                   "weight c3:11211 none", "set eject-after 60000", "recover 41"):
        a["cluster " + change] = lines("OK version=42")
    a["cluster join 10.0.0.9:21211"] = lines("OK")
    return a


class Node:
    """Listens on a port of its own; each connection is served by a thread of its own."""

    def __init__(self, script=None, context=None, listener=None):
        self.script = dict(answers(), **(script or {}))
        self.asked = []
        self.context = context
        self.listener = listener or socket.create_server(("127.0.0.1", 0))
        self.port = None if listener else self.listener.getsockname()[1]
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            if self.context:
                s = self.context.wrap_socket(s, server_side=True)
            with s, s.makefile("rb") as f:
                for line in f:
                    command = line.decode(errors="replace").rstrip("\r\n")
                    if command.startswith(("ms ", "set ")):
                        size = int(command.split()[2 if command[0] == "m" else 4])
                        command += "|" + f.read(size + 2)[:-2].decode()
                    self.asked.append(command)
                    answer = self.answer(command)
                    if answer is HANG:
                        f.read()
                        return
                    if answer is CLOSE:
                        return
                    s.sendall(answer[0] if isinstance(answer, tuple) else answer)
                    if isinstance(answer, tuple):  # the last that it says
                        return
        except (OSError, ssl.SSLError):
            pass

    def answer(self, command):
        if isinstance(self.script.get(command), list):  # one after the other; the last one again and again
            return self.script[command].pop(0) if len(self.script[command]) > 1 else self.script[command][0]
        if command in self.script:
            return self.script[command]
        words = command.split(" ")
        if words[0] == "mp" and "mp" not in self.script:
            return lines(f"HD n3/3 s{NUMBER}")
        if words[0] in ("ms", "set") and words[0] not in self.script:
            return lines("HD" if words[0] == "ms" else "STORED")
        return self.script.get(words[0], lines("ERROR"))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread; it must be gone before its descriptor is used again
        self.acceptor.join()
        self.listener.close()
