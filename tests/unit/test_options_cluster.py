#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the options of a cluster do, seen from outside: a case for each.

    test_options_cluster.py [OPTION...]     (default: all)

As test_options.py, but with nodes on ports of their own; tools/check-options has the daemon leave an option out.
"""
import hashlib
import os
import signal
import socket
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in "cluster", "lib":
    sys.path.insert(0, os.path.join(os.environ.get("TAGCACHED_SRCDIR") or os.path.join(HERE, "..", ".."), "tests", folder))
from lib import Client, Lab, wait  # noqa: E402
from ports import free_port  # noqa: E402

Lab.program = os.path.join(os.environ.get("TAGCACHED_BUILDDIR", "."), "tests", "tagcached_test")
PATIENCE_S = 20
cases = {}


def case(option):
    return lambda fn: cases.setdefault(option, fn)


def bare(lab, *args):
    """A node with these options and no others of a cluster; its ports are free ones."""
    n = lab.node()
    n.command = lambda: [lab.program, *(["-u", "root"] if os.geteuid() == 0 else []), "-l", "127.0.0.1", "-p", str(n.port),
                         "-t", "1", "-m", "64", *args]
    n.args = []
    return n


def begins_with(n, text):
    """What the node does, once it is not `waiting` any more; it never is if it founds nothing."""
    wait(f"it is {text}", lambda: n.stat("state").startswith(text), 4)


@case("cluster")
def cluster(lab):
    n = bare(lab, "--cluster", "prod")
    n.port = free_port(10000)  # other nodes come to the port that is 10,000 higher
    n.start()
    assert n.stats().get("cluster_name") == "prod", n.stats()
    socket.create_connection(("127.0.0.1", n.port + 10000), 5).close()


@case("founders")
def founders(lab):
    n = lab.node()
    n.args += ["--founders", n.name, "--join", "127.0.0.1:1"]
    begins_with(n.start(), "serving")


@case("found")
def found(lab):
    n = lab.node("--found", state=True)
    n.args += ["--founders", n.name]
    begins_with(n.start(), "serving")


@case("join")
def join(lab):
    first = lab.node().start()
    second = lab.joiner([first]).start()
    wait("it has no cluster of its own", lambda: second.stat("members_alive") == "2", 4)


@case("cluster-bind")
def cluster_bind(lab):
    n = lab.node().start()
    socket.create_connection(("127.0.0.1", n.peer_port), 5).close()


@case("cluster-advertise")
def cluster_advertise(lab):
    n = lab.node("--cluster-advertise", "127.0.0.2:7").start()
    begins_with(n, "serving")
    assert n.list("cluster members")[0][1]["addr"] == "127.0.0.2:7"


@case("ring-name")
def ring_name(lab):
    n = lab.node(name="cache.example:4711").start()
    begins_with(n, "serving")
    with n.client() as c:
        text = c.get("AmazonElastiCache:cluster")
    assert b"cache.example|" in text and b"|4711" in text, text


@case("weight")
def weight(lab):
    n = lab.node("--weight", "none").start()
    begins_with(n, "witness")
    assert n.owners() == {}


def points(name):
    """A server's points on the ring of two of the same weight (cluster/README.md)."""
    for j in range(40):
        for x in struct.unpack("<4I", hashlib.md5(f"{name}-{j}".encode()).digest()):
            yield x, name


@case("ring-strip-prefix")
def ring_strip_prefix(lab):
    first = lab.node("--ring-strip-prefix", "app:").start()
    second = lab.joiner([first], "--ring-strip-prefix", "app:").start()
    wait("both serve", lambda: all(len(n.owners()) == 2 for n in (first, second)))
    ring = sorted([*points(first.name), *points(second.name)])
    with first.client() as c:
        have = 0
        for i in range(30):
            at = struct.unpack("<I", hashlib.md5(b"key%d" % i).digest()[:4])[0]
            owner = next((name for point, name in ring if point >= at), ring[0][1])
            assert c.set(f"app:key{i}", "v") == "STORED"
            now = int(c.stats()["curr_items"])
            assert (now > have) == (owner == first.name), f"app:key{i} is not where key{i} belongs"
            have = now


@case("cluster-key")
def cluster_key(lab):
    first = lab.node(key=lab.key_file("one")).start()
    second = lab.joiner([first], key=lab.key_file("two")).start()
    wait("they meet", lambda: first.events("link_refused") or second.events("link_refused") or
         second.stat("members_alive") == "2")
    assert second.stat("members_alive") == "1"


@case("insecure-cluster")
def insecure_cluster(lab):
    n = lab.node()
    n.address = f"0.0.0.0:{n.peer_port}"
    n.args += ["--cluster-advertise", f"127.0.0.1:{n.peer_port}", "--insecure-cluster"]
    n.start()


@case("cluster-links")
def cluster_links(lab):
    first = lab.node("--cluster-links", "plain").start()
    second = lab.joiner([first]).start()
    wait("they meet", lambda: first.events("link_refused") or second.events("link_refused") or
         second.stat("members_alive") == "2")
    assert second.stat("members_alive") == "1"


@case("state-dir")
def state_dir(lab):
    n = lab.node("--found", state=True)
    n.args += ["--founders", n.name]
    n.start()
    begins_with(n, "serving")
    before = n.stat("node_id")
    assert os.path.exists(os.path.join(n.dir, "cluster"))
    n.restart()
    assert n.stat("node_id") == before


def agreed(lab, option, given, change):
    """What founding has agreed on need not be changed to become so."""
    port = free_port()
    n = lab.node(option, given, "-l", f"tag[admin]:127.0.0.1:{port}").start()
    begins_with(n, "serving")
    with Client(port) as c:
        answer = c.ask(change)
    assert answer == "OK version=1", answer


@case("voters")
def voters(lab):
    agreed(lab, "--voters", "5", "cluster set voters 5")


@case("tag-lease")
def tag_lease(lab):
    agreed(lab, "--tag-lease", "500", "cluster set tag-lease 500")


@case("serve-lease")
def serve_lease(lab):
    agreed(lab, "--serve-lease", "20", "cluster set serve-lease 20000")


@case("eject-after")
def eject_after(lab):
    agreed(lab, "--eject-after", "100", "cluster set eject-after 100000")


@case("peer-timeout")
def peer_timeout(lab):
    nodes = [lab.node("--peer-timeout", "1000")]
    nodes.append(lab.joiner(nodes, "--peer-timeout", "1000"))
    for n in nodes:
        n.start()
    wait("both serve", lambda: all(len(n.owners()) == 2 for n in nodes))
    with nodes[0].client() as c:
        keys = [f"k{i}" for i in range(40)]
        assert all(c.set(k, "v") == "STORED" for k in keys)
        nodes[1].pause()
        begun = time.monotonic()
        assert len(c.get_many(keys)) < 40
        took = time.monotonic() - begun
    nodes[1].signal(signal.SIGCONT)
    assert 0.9 < took < 1.8, f"{took:.2f} s"


@case("hot-copies")
def hot_copies(lab):
    nodes = [lab.node("--hot-copies", "off")]
    nodes.append(lab.joiner(nodes, "--hot-copies", "off"))
    for n in nodes:
        n.start()
    wait("both serve", lambda: all(len(n.owners()) == 2 for n in nodes))
    with nodes[0].client() as c:
        key = next(k for k in (f"k{i}" for i in range(1000)) if c.set(k, "v") == "STORED" and nodes[0].stat("forwards_sent") != "0")
        end = time.monotonic() + 0.5  # a copy that is wanted is there within some milliseconds
        while time.monotonic() < end:
            c.send(f"get {key}\r\n" * 64)
            assert all(c.read_values()[key][0] == b"v" for _ in range(64))
    assert nodes[0].stat("copies_taken") == "0"


def serves_alone(lab, *args):
    n = lab.node("--found", *args, state=True)
    n.args += ["--founders", n.name]
    n.start()
    begins_with(n, "serving")
    return n


def fill(n, mib):
    with n.client() as c:
        for i in range(mib * 8):
            assert c.set(f"k{i}", b"x" * (1 << 17)) == "STORED"


@case("handoff-rate")
def handoff_rate(lab):
    first = serves_alone(lab, "--handoff-rate", "1")
    fill(first, 4)
    second = lab.joiner([first]).start()
    line = second.wait_event("handoff_end", "received=[1-9]")
    field = dict(f.split("=", 1) for f in line.split()[1:])
    least_ms = int(field["received_bytes"]) / (1 << 20) * 1000 - 200
    assert 500 < least_ms < int(field["ms"]), line
    assert first.stat("handoff_rate", "settings") == "1"
    assert [second.stat(name, "settings") for name in ("handoff_rate", "drain_timeout")] == ["32", "60"]  # by default


@case("drain-timeout")
def drain_timeout(lab):
    first = serves_alone(lab, "--handoff-rate", "1", "--drain-timeout", "1")
    second = lab.joiner([first], state=True).start()
    wait("both serve", lambda: all(len(n.owners()) == 2 and n.stat("handoff_active") == "0" for n in (first, second)))
    fill(first, 12)
    begun = time.monotonic()
    answer = first.admin(f"cluster leave {first.name}")
    assert answer.startswith("OK"), answer
    wait("it goes", lambda: first.p.poll() is not None)
    took = time.monotonic() - begun
    assert 0.9 < took < 5, f"{took:.2f} s, {first.p.poll()}"
    second.wait_event("handoff_abandoned", f"from={first.name} ")


def main():
    wanted = sys.argv[1:] or list(cases)
    failed = 0
    for name in wanted:
        try:
            with Lab() as lab:
                cases[name](lab)
            print(f"[       OK ] {name}")
        except Exception as e:  # each case is a test of its own
            failed += 1
            print(f"[  FAILED  ] {name}: {type(e).__name__}: {e}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
