# SPDX-License-Identifier: BSD-3-Clause
"""Who does not belong here: other clusters, other keys, other settings, garbage."""
import os
import random
import re
import socket
import struct
import time

from lib import Client, case, settle, wait


@case(quick=True)
def another_name(lab):
    ours = lab.node().start()
    settle([ours])
    other = lab.joiner([ours])
    other.cluster_name = "another"
    other.start()
    line = wait("one of them says why", lambda: ours.events("link_refused") or other.events("link_refused"))[0]
    assert "cluster_name" in line or "cluster" in line, line
    assert "reason=" in line, line
    assert ours.stat("members_alive") == "1" and other.stat("cluster_id") == "-"


@case(quick=True)
def another_key(lab):
    ours = lab.node(key=lab.key_file("one")).start()
    settle([ours])
    other = lab.joiner([ours], key=lab.key_file("two")).start()
    line = wait("one of them says why", lambda: ours.events("link_refused") or other.events("link_refused"))[0]
    assert re.search("key", line), line
    naked = lab.joiner([ours]).start()
    wait("one of them says why", lambda: naked.events("link_refused") or ours.events("link_refused"))
    assert ours.stat("members_alive") == "1" and other.stat("cluster_id") == "-" and naked.stat("cluster_id") == "-"


def refused(lab, setting, ours, theirs):
    first = lab.node(*ours).start()
    settle([first])
    other = lab.joiner([first], *theirs).start()
    for n in (first, other):
        n.wait_event("link_refused", setting)
    assert first.stat("members_alive") == "1" and other.stat("cluster_id") == "-"


@case(quick=True)
def other_key_tags(lab):
    refused(lab, "key-tags|tag_marker|key_tags", ["--key-tags", "@@"], [])


@case(quick=True)
def other_prefix_tags(lab):
    refused(lab, "prefix", ["--prefix-tags", ":"], [])


@case()
def other_strip_prefix(lab):
    refused(lab, "strip", ["--ring-strip-prefix", "app:"], [])


@case(quick=True)
def a_name_in_use(lab):
    first = lab.node().start()
    settle([first])
    second = lab.joiner([first], name=first.name).start(serves=False)
    line = second.wait_event("key_in_use|link_refused|conflict|refused")
    assert first.name in line and ("--ring-name" in line), line
    assert first.stat("member_number") == "1" and set(first.members()) == {first.name}
    assert first.status()["verdict"] == "ok"


@case()
def a_copied_state_directory(lab):
    import shutil
    nodes = lab.cluster(3, state=True)
    copy = lab.joiner(nodes, state=True)
    shutil.copytree(nodes[1].dir, copy.dir, ignore=shutil.ignore_patterns("admin.sock", "lock"))
    before, boot = nodes[1].stat("member_number"), int(nodes[1].stat("boot"))
    copy.start(serves=False)
    wait("somebody says so", lambda: any(re.search("--state-dir reason=.*(own directory|stop one)", n.log()) for n in [copy, *nodes]))
    copy.kill()
    # A boot number is the time in seconds, or one more than the last: the original's must be above the copy's.
    newest = max(boot + 1, int(time.time()))
    wait("the clock has moved on", lambda: time.time() > newest + 1)
    nodes[1].restart()
    settle(nodes)
    assert int(nodes[1].stat("member_number")) > int(before)


@case(quick=True)
def a_state_directory_in_use(lab):
    first = lab.node(state=True).start()
    second = lab.node()
    second.args += ["--state-dir", first.dir]
    second.start(serves=False)
    wait("it ends", lambda: not second.runs())
    assert "another" in second.log() or "in use" in second.log(), second.log()
    assert second.kill() != 0


def garbage(rng):
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 1400))
    if kind == 1:
        return b"\0" * rng.randrange(1, 1400)
    if kind == 2:
        return struct.pack("<II", rng.randrange(2 ** 32), 1) + rng.randbytes(rng.randrange(100))
    return b"\x16\x03\x01" + struct.pack(">H", rng.randrange(2 ** 16)) + rng.randbytes(rng.randrange(600))


def throw(nodes, rng, datagrams, connections):
    to = [("127.0.0.1", n.peer_port) for n in nodes]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(datagrams):
            s.sendto(garbage(rng), rng.choice(to))
    open_ones = []
    for _ in range(connections):
        s = socket.create_connection(rng.choice(to), 5)
        try:
            for _ in range(rng.randrange(1, 4)):
                s.sendall(garbage(rng))
        except OSError:
            pass
        open_ones.append(s)
        if rng.random() < 0.5:
            open_ones.pop(rng.randrange(len(open_ones))).close()
    return open_ones


def unharmed(lab, **more):
    nodes = lab.cluster(3, **more)
    before = [n.stats() for n in nodes]
    with nodes[0].client() as c:
        assert all(c.set(f"k{i}", "v") == "STORED" for i in range(100))
        rss = [n.rss_kib() for n in nodes]
        kept = throw(nodes, random.Random(), 3000, 200)
        assert all(c.get(f"k{i}") == b"v" for i in range(100))
        assert c.ask("purge a") == "PURGED"
        wait("it is counted", lambda: all(int(n.stat("datagrams_refused")) > 100 for n in nodes))
        wait("what broke off is counted", lambda: all(
            int(n.stat("peer_protocol_errors")) > int(b["peer_protocol_errors"]) for n, b in zip(nodes, before)))
        for n, b, r in zip(nodes, before, rss):
            now = n.stats()
            for row in ("node_id", "member_number", "config_version", "epoch", "members_alive", "members_dead"):
                assert now[row] == b[row], (row, b, now)
            assert n.rss_kib() - r < 16 * 1024, (r, n.rss_kib())
        for s in kept:
            s.close()


@case(quick=True)
def garbage_at_the_cluster_port(lab):
    unharmed(lab, key=lab.key_file())


@case()
def garbage_without_a_key(lab):
    unharmed(lab)


@case()
def silent_connections(lab):
    """Connections that say nothing take the place of nobody."""
    nodes = lab.cluster(2)
    quiet = [socket.create_connection(("127.0.0.1", nodes[0].peer_port), 5) for _ in range(300)]
    third = lab.joiner(nodes[:1]).start()
    settle([*nodes, third])
    for s in quiet:
        s.close()


@case(quick=True)
def what_may_be_asked_where(lab):
    first = lab.node(state=True)
    first.args += ["--founders", first.name, "--found"]
    ordinary, admin = first.port, lab.node().port
    first.args += ["-l", f"tag[admin]:127.0.0.1:{admin}"]
    first.start()
    settle([first])
    change = "cluster set eject-after 40000"
    with Client(ordinary) as c:
        assert c.ask(change) == "CLIENT_ERROR not allowed here"
        assert c.ask("cluster nonsense").startswith("CLIENT_ERROR")
    with Client(admin) as c:
        assert c.ask(change).startswith("OK version="), c.ask(change)
    assert first.admin("cluster set eject-after 41000").startswith("OK version=")
    assert first.admin("cluster set eject-after 5").startswith("SERVER_ERROR")
    plan = "cluster recover"
    with Client(ordinary) as c:
        for asked in (plan, "cluster join 127.0.0.1:1", "cluster key reload"):
            assert c.ask(asked) == "CLIENT_ERROR not allowed here", asked
        assert re.fullmatch(r"KEY id=[0-9a-f]{16} use=seal nodes=1 of=1 sealing=1 missing=-", "".join(c.lines("cluster key ls")))
    assert first.admin(plan).startswith("RECOVER version=")
    assert first.admin("cluster recover 1").startswith("CLIENT_ERROR the configuration has another version"), "not the plan's"
    assert first.admin("cluster join nonsense").startswith("CLIENT_ERROR an address is")
    path = os.path.join(first.dir, "admin.sock")
    assert os.stat(path).st_mode & 0o777 == 0o700, oct(os.stat(path).st_mode)
    assert os.stat(first.dir).st_mode & 0o777 == 0o700


@case()
def events_are_logged_once_a_second(lab):
    """Each event of the documentation that these nodes can be made to log, and no flood."""
    nodes = lab.cluster(3, state=True)
    for n in nodes:
        n.wait_event("configuration", "by=")
    assert any(n.events("founded") for n in nodes) and all(n.events("joined") for n in nodes)
    nodes[2].pause()
    nodes[0].wait_event("suspect", nodes[2].name)
    nodes[0].wait_event("dead", nodes[2].name)
    assert nodes[0].ask("mp * w1").startswith("PA")
    nodes[0].forget_log()
    with nodes[0].client() as c:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert c.meta("mp * w1")[0] == "PA"
    assert 0 < len(nodes[0].events("purge_unconfirmed")) <= 3, nodes[0].events("purge_unconfirmed")
    nodes[2].go_on()
    nodes[0].wait_event("refuted|joined", nodes[2].name)
    settle(nodes)
    nodes[0].forget_log()
    begun, number = time.monotonic(), 40000

    def change():
        nonlocal number
        number += 1
        assert nodes[0].admin(f"cluster set eject-after {number}").startswith("OK version="), number
        return nodes[0].events("configuration unlogged=[0-9]+ version=[0-9]+ by=[^ ]+ members=3")

    wait("the next line says how many were left out", change)
    seen, took = nodes[0].events("configuration"), time.monotonic() - begun
    assert len(seen) == 1 or len(seen) == 2 and took > 0.95, (took, number, seen)
    nodes[2].stop()
    nodes[0].wait_event("left", nodes[2].name)
    strangers = [lab.joiner(nodes[:1]) for _ in range(3)]
    nodes[0].forget_log()
    for n in strangers:
        n.cluster_name = "another"
        n.start()
    for n in strangers:
        n.wait_event("link_refused")


@case(quick=True)
def a_key_is_changed_under_way(lab):
    """The key files first, then one command to any node: no link breaks, and the new key seals."""
    path = lab.key_file()
    nodes = lab.cluster(2, state=True, key=path)

    def keys():
        return {f["id"]: f for _, f in nodes[0].list("cluster key ls", "KEY")}

    old = keys()
    assert [f["nodes"] for f in old.values()] == ["2"], old
    with open(path) as f, open(lab.key_file("new")) as new:
        both = new.read() + f.read()
    with open(path, "w") as f:
        f.write(both)
    assert nodes[1].admin("cluster key reload").startswith("KEY id=")
    now = keys()
    assert len(now) == 2 and all(f["nodes"] == f["of"] == "2" and f["missing"] == "-" for f in now.values()), now
    assert {k for k, f in now.items() if f["use"] == "seal"} == now.keys() - old.keys(), now
    assert nodes[0].ask("purge a") == "PURGED"
    with open(path, "w") as f:
        f.write("no key\n")
    assert nodes[0].admin("cluster key reload").startswith("SERVER_ERROR the key file cannot be used")
    assert keys() == now, "the keys stay"


@case(quick=True)
def a_key_is_used_and_removed_by_commands(lab):
    """The new key is added to the files, used by a command, and the old one removed by one; nobody is ever cut off."""
    with open(lab.key_file()) as f, open(lab.key_file("new")) as g:
        old, new = f.read(), g.read()
    nodes = lab.founders(2, state=True, key=True)
    for i, n in enumerate(nodes):
        n.key = lab.key_file(f"key-{i}")

    def write(n, text):
        with open(n.key, "w") as f:
            f.write(text)

    def say(n, line):
        """KEY lines by id, or the refusal; and the notes."""
        with Client(os.path.join(n.dir, "admin.sock")) as c:
            got = c.lines("cluster key " + line)
        if not got[0].startswith("KEY"):
            return got[0], []
        rows = [dict(f.split("=", 1) for f in g.split(" ")[1:]) for g in got if g.startswith("KEY")]
        return {r["id"]: r for r in rows}, [g.partition("=")[2] for g in got if g.startswith("NOTE")]

    for n in nodes:
        write(n, old)
        n.start(serves=False)
    settle(nodes)
    a, b = nodes
    (old_id,), notes = say(a, "ls")
    assert not notes
    for n in nodes:
        n.wait_event("key_in_use", f"seal={old_id} open=- by=start")
    write(a, old + new)
    keys, _ = say(b, "reload")
    new_id = (keys.keys() - {old_id}).pop()
    assert keys[new_id]["missing"] == b.name and keys[new_id]["sealing"] == "0", keys
    assert say(b, f"use {new_id}")[0] == f"SERVER_ERROR nothing was changed: {b.name} lacks the key: copy the key file there"
    assert say(a, f"use {'0' * 16}")[0] == f"CLIENT_ERROR no such key: no node has {'0' * 16}"
    assert say(a, "use xyz")[0].startswith("CLIENT_ERROR a key's id is")
    assert a.ask(f"cluster key use {new_id}") == "CLIENT_ERROR not allowed here"
    write(b, old + new)
    say(a, "reload")
    keys, notes = say(b, f"use {new_id}")
    assert keys[new_id]["sealing"] == keys[new_id]["nodes"] == "2" and keys[old_id]["nodes"] == "2", keys
    assert len(notes) == 1 and f"does not begin with {new_id}" in notes[0] and a.name in notes[0] and b.name in notes[0], notes
    for n in nodes:
        n.wait_event("key_in_use", f"seal={new_id} open={old_id} by=command")
    assert a.ask("purge a") == "PURGED"
    assert "begins with the key" in say(a, f"remove {old_id}")[0], "a restarted node would be cut off"
    b.restart()
    settle(nodes)
    assert say(a, "ls")[0][old_id]["sealing"] == "1", "a node that starts goes by its file"
    assert f"{b.name} seals with the key" in say(a, f"remove {old_id}")[0]
    for n in nodes:
        write(n, new + old)
    assert say(a, f"use {new_id}")[1] == []
    keys, notes = say(a, f"remove {old_id}")
    assert keys.keys() == {new_id} and keys[new_id]["sealing"] == "2", keys
    assert len(notes) == 1 and f"has {old_id}, which is not in use there" in notes[0], notes
    a.wait_event("key_in_use", f"seal={new_id} open=- by=command")
    stranger = lab.joiner([a], key=lab.key_file("third")).start()
    write(stranger, old)
    stranger.restart()
    a.wait_event("link_refused", "cluster-key")
    assert stranger.stat("cluster_id") == "-"
    b.restart()
    settle(nodes)
    assert a.ask("purge b") == "PURGED"
    b.kill()
    wait("the death is seen", lambda: a.member(b)["health"] == "dead")
    assert say(a, f"use {new_id}")[0] == f"SERVER_ERROR nothing was changed: no list of keys from {b.name}"
