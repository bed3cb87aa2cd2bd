# SPDX-License-Identifier: BSD-3-Clause
"""Who belongs to a cluster: founding, joining, leaving, coming back, weights."""
import os
import pwd
import subprocess
import time

from lib import Node, case, is_settled, sees, settle, wait


@case(quick=True)
def founds_alone(lab):
    n = lab.node().start()
    settle([n])
    assert n.stat("voters") == "1" and n.stat("ring_nodes") == "1"
    assert n.status()["verdict"] == "ok", n.status()
    assert n.wait_event("founded", "cluster=test")


@case()
def two_found(lab):
    nodes = lab.cluster(2)
    assert nodes[0].stat("voters") == "1"


@case(quick=True)
def three_found(lab):
    nodes = lab.cluster(3)
    stats = [n.stats() for n in nodes]
    assert all(s["voters"] == "3" and s["ring_nodes"] == "3" and s["state"] == "serving" for s in stats), stats
    assert len({s["member_number"] for s in stats}) == 3 and len({s["node_id"] for s in stats}) == 3
    assert {n for n in nodes[0].owners()} == {n.name for n in nodes}
    assert sum(len(n.events("founded")) for n in nodes) == 1


@case()
def five_found(lab):
    nodes = lab.cluster(5)
    assert nodes[4].stat("voters") == "5"


@case()
def one_founder_is_late(lab):
    nodes = lab.founders(3)
    for n in nodes[:2]:
        n.start()
    wait("two of three have founded", lambda: all(n.status()["state"] == "serving" for n in nodes[:2]))
    assert nodes[0].ask("purge a") == "PURGED"
    with nodes[0].client() as c:
        assert [c.set(f"k{i}", "v") for i in range(100)] == ["STORED"] * 100
    nodes[2].start()
    settle(nodes)
    assert nodes[2].stat("voters") == "3" and int(nodes[2].stat("epoch")) == 2


@case()
def founders_killed_while_they_found(lab):
    """They are started again without --found: whether the first configuration was on a disk or not, they serve."""
    for attempt in range(3):
        nodes = lab.founders(3, state=True)
        for n in nodes:
            n.start(serves=False)
        records = [os.path.join(n.dir, "cluster") for n in nodes]
        wait("each has begun its record", lambda: all(os.path.exists(r) for r in records))
        if attempt:
            wait("one has founded", lambda: any(n.events("founded") for n in nodes))
        for n in nodes:
            n.p.kill()
        for n in nodes:
            n.kill()
            n.args.remove("--found")
            n.start(serves=False)
        settle(nodes)
        for n in nodes:
            n.stop()


@case()
def waits_for_the_other_founders(lab):
    n = lab.founders(3)[0].start()
    wait("it waits", lambda: n.stat("state").startswith("waiting"))
    assert n.status()["verdict"] == "down"
    with n.client() as c:
        assert c.set("k", "v") == "STORED"
        assert c.get("k") is None
        assert c.ask("purge a") == "SERVER_ERROR no cluster yet"
        assert c.ask("flush_all") == "SERVER_ERROR no cluster yet"


@case()
def grows_one_at_a_time(lab):
    first = lab.node(state=True)
    first.args += ["--founders", first.name, "--found"]
    first.start()
    settle([first])
    nodes = [first]
    with first.client() as c:
        for i in range(300):
            assert c.set(f"k{i}", f"v{i}") == "STORED"
        for count in (2, 3, 4):
            nodes.append(lab.joiner(nodes[:1], state=True).start())
            settle(nodes)
            # Moved keys begin empty; nothing else is lost, and nothing is wrong.
            left = [i for i in range(300) if c.get(f"k{i}") is not None]
            assert all(c.get(f"k{i}") == f"v{i}".encode() for i in left)
            assert len(left) > 300 * (count - 1) / count * 0.6, (count, len(left))
            for i in range(300):
                assert c.set(f"k{i}", f"v{i}") == "STORED"
    wait("three vote", lambda: nodes[3].stat("voters") == "3")


@case()
def comes_back_as_itself(lab):
    nodes = lab.cluster(3, state=True)
    before = nodes[1].stats()

    def agreed():
        """What is agreed of the others, without what their pings say."""
        rows = [nodes[0].member(n) for n in (nodes[0], nodes[2])]
        return [{k: v for k, v in row.items() if k not in ("version", "lag_ms")} for row in rows]

    others = agreed()
    nodes[1].restart()
    settle(nodes)
    after = nodes[1].stats()
    assert after["node_id"] == before["node_id"], (before, after)
    assert int(after["boot"]) > int(before["boot"])
    assert int(after["epoch"]) > int(before["epoch"]), "it votes: a new process begins an epoch"
    assert after["cluster_id"] == before["cluster_id"]
    assert agreed() == others


@case()
def comes_back_without_a_state_directory(lab):
    for end in (Node.stop, Node.kill):
        nodes = lab.cluster(3)
        before = nodes[1].stats()
        end(nodes[1])
        nodes[1].start()
        settle(nodes)
        after = nodes[1].stats()
        assert after["node_id"] != before["node_id"] and after["member_number"] != before["member_number"]
        assert set(nodes[0].members()) == {n.name for n in nodes}
        for n in nodes:  # no line blames a setting that is right
            assert not n.events("conflict"), n.log()
            assert all("that was started again without its --state-dir, or" in e for e in n.events("link_refused")), n.log()


@case()
def all_come_back(lab):
    nodes = lab.cluster(3, state=True)
    before = nodes[0].stats()
    with nodes[0].client() as c:
        assert c.set("k", "v") == "STORED"
    for n in nodes:
        n.stop()
    for n in nodes:
        n.start(serves=False)
    settle(nodes)
    after = nodes[0].stats()
    assert after["cluster_id"] == before["cluster_id"] and after["node_id"] == before["node_id"]
    with nodes[1].client() as c:
        assert c.get("k") is None
        assert c.set("k", "w") == "STORED"
    with nodes[2].client() as c:
        assert c.get("k") == b"w"
        assert c.ask("purge x") == "PURGED"


@case()
def all_come_back_without_state(lab):
    nodes = lab.cluster(3)
    before = nodes[0].stat("cluster_id")
    for n in nodes:
        n.kill()
    for n in nodes:
        n.start(serves=False)
    settle(nodes)
    assert nodes[0].stat("cluster_id") != before
    assert nodes[1].ask("purge x") == "PURGED"


@case(quick=True)
def weights(lab):
    first = lab.node(state=True).start()
    settle([first])
    heavy = lab.joiner([first], "--weight", "3").start()
    settle([first, heavy])
    share = lambda: float(first.owners()[heavy.name]["share"])
    assert 0.65 < share() < 0.85, share()
    answer = first.admin(f"cluster weight {heavy.name} 1")
    assert answer.startswith("OK version="), answer
    wait("both go by the new weight", lambda: all(
        n.owners()[heavy.name]["weight"] == "1" for n in (first, heavy)) and 0.4 < share() < 0.6)
    assert first.admin("cluster weight nobody:1 2") == "CLIENT_ERROR no member nobody:1"
    assert first.admin(f"cluster weight {heavy.name} 1001").startswith("CLIENT_ERROR")


@case()
def a_witness_votes_and_owns_nothing(lab):
    nodes = lab.founders(3)
    nodes[2].args += ["--weight", "none"]
    for n in nodes:
        n.start(serves=False)
    settle(nodes)
    assert set(nodes[0].owners()) == {n.name for n in nodes[:2]}
    assert nodes[2].status()["state"] == "witness"
    assert nodes[2].stat("voters") == "3"
    with nodes[2].client() as c, nodes[0].client() as d:
        for i in range(200):
            assert c.set(f"k{i}", f"v{i}") == "STORED"
            assert d.get(f"k{i}") == f"v{i}".encode()
        assert c.stats()["curr_items"] == "0"
        assert c.ask("purge a") == "PURGED"
    assert nodes[2].rss_kib() < 64 * 1024
    nodes[0].kill()
    wait("the death is seen", lambda: sees(nodes[1], nodes[0], "dead"))
    assert nodes[1].status()["quorum"] == "yes"


@case()
def drains(lab):
    nodes = lab.cluster(3, state=True)
    answer = nodes[0].admin(f"cluster drain {nodes[1].name}")
    assert answer.startswith("OK version="), answer
    wait("it owns nothing", lambda: all(nodes[1].name not in n.owners() for n in nodes))
    with nodes[1].client() as c:
        for i in range(200):
            assert c.set(f"k{i}", "v") == "STORED" and c.get(f"k{i}") == b"v"
    assert nodes[1].member(nodes[1])["state"] == "drained"
    assert nodes[0].admin(f"cluster undrain {nodes[1].name}").startswith("OK")
    settle(nodes)
    assert len(nodes[2].owners()) == 3


@case()
def leaves(lab):
    nodes = lab.cluster(3, state=True) 
    nodes.append(lab.joiner(nodes, state=True).start())
    settle(nodes)
    with nodes[0].client() as c:
        for i in range(400):
            assert c.set(f"k{i}", f"v{i}") == "STORED"
        answer = nodes[1].admin(f"cluster leave {nodes[2].name}")
        assert answer.startswith("OK version="), answer
        wait("it has ended", lambda: nodes[2].p.poll() is not None)
        assert nodes[2].kill() == 0, "it ends by itself, and well"
        rest = [nodes[0], nodes[1], nodes[3]]
        settle(rest)
        assert all(nodes[2].name not in n.members() for n in rest)
        wait("another has its seat", lambda: nodes[0].stat("voters") == "3" and nodes[0].member(nodes[3])["voter"] == "yes")
        for i in range(400):
            assert c.get(f"k{i}") in (None, f"v{i}".encode())
            assert c.set(f"k{i}", "w") == "STORED"
        assert c.ask("purge a") == "PURGED"


@case()
def forgets(lab):
    """Two nodes eject nobody by themselves; an operator says that one is gone."""
    nodes = lab.cluster(2, state=True)
    stays = [n for n in nodes if nodes[0].member(n)["voter"] == "yes"][0]
    goes = [n for n in nodes if n is not stays][0]
    goes.kill()
    wait("the death is seen", lambda: sees(stays, goes, "dead"))
    answer = stays.admin(f"cluster forget {goes.name}")
    assert answer.startswith("OK version="), answer
    wait("one has all keys", lambda: set(stays.owners()) == {stays.name})
    with stays.client() as c:
        assert all(c.set(f"k{i}", "v") == "STORED" for i in range(50))
        assert c.ask("purge a") == "PURGED"
    goes.start()
    settle(nodes)


@case(quick=True)
def sigterm_is_told(lab):
    """A node that is ended by a signal tells the others: it is down at once, not after a suspicion."""
    nodes = lab.cluster(3)
    begun = time.monotonic()
    nodes[2].stop()
    ended = time.monotonic()
    wait("it has left", lambda: all(sees(n, nodes[2], "left") for n in nodes[:2]))
    assert time.monotonic() - ended < 0.5, f"seen {time.monotonic() - ended:.2f} s later"
    assert ended - begun < 2
    nodes[0].wait_event("left")
    assert not nodes[0].events("suspect.*" + nodes[2].name)
    nodes[2].start()
    settle(nodes)


@case(quick=True)
def another_user_has_the_state_directory(lab):
    """Who is started by root and becomes another user can still write what it has to remember."""
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam("nobody")
    os.chmod(lab.dir, 0o755)
    n = lab.node("-u", "nobody", "--found", state=True)
    n.args += ["--founders", n.name]
    for _ in range(2):
        n.start()
        settle([n])
        for name in ("", "lock", "cluster", "admin.sock"):
            at = os.stat(os.path.join(n.dir, name))
            assert (at.st_uid, at.st_gid) == (user.pw_uid, user.pw_gid), name
        version = int(n.stat("config_version"))
        answer = n.admin(f"cluster set eject-after {50000 + version}")
        assert answer.startswith("OK version="), answer
        n.stop()
    assert not n.events("state_dir_failed")


@case(slow=True)
def ejects(lab):
    """The least that --eject-after may be is 34 seconds."""
    nodes = lab.cluster(3, "--eject-after", "34", state=True)
    nodes.append(lab.joiner(nodes, state=True).start())
    settle(nodes)
    with nodes[0].client() as c:
        nodes[1].kill()
        begun = time.monotonic()
        wait("it is ejected", lambda: nodes[1].name not in nodes[0].members(), 60)
        took = time.monotonic() - begun
        assert 33 < took < 45, took
        print(f"ejected after {took:.1f} s")
        rest = [nodes[0], nodes[2], nodes[3]]
        settle(rest)
        assert all(c.set(f"k{i}", "v") == "STORED" for i in range(200))
        assert c.ask("flush_all") == "OK"
    for n in rest:
        n.wait_event("ejected", f"name={nodes[1].name} number=")
    nodes[1].start()
    settle(nodes)


@case(quick=True)
def nothing_comes_back_with_an_arc(lab):
    """What a node stored before it lost a part of the ring is not served when it gets that part back."""
    nodes = lab.cluster(3, state=True)
    keys = [f"k{i}" for i in range(300)]
    with nodes[0].client() as c, nodes[1].client() as own:
        assert all(c.set(k, "old") == "STORED" for k in keys)
        assert nodes[0].admin(f"cluster drain {nodes[1].name}").startswith("OK version=")
        wait("it owns nothing", lambda: all(nodes[1].name not in n.owners() for n in nodes))
        for k in keys[:200]:
            assert c.set(k, "new") == "STORED"
        for k in keys[200:]:
            assert c.ask(f"delete {k}") in ("DELETED", "NOT_FOUND")
        assert nodes[0].admin(f"cluster undrain {nodes[1].name}").startswith("OK version=")
        settle(nodes)
        assert len(nodes[2].owners()) == 3
        for client in (c, own):
            for k in keys[:200]:
                assert client.get(k) in (None, b"new"), f"{k} came back"
            for k in keys[200:]:
                assert client.get(k) is None, f"{k} came back"
        for k in keys[200:]:
            assert own.set(k, "third", verb="add") == "STORED", k
            got = c.get(k)
            assert got == b"third", (k, got, c.ask(f"explain {k}"), own.get(k), c.get(k))


def tagctl(lab, n, *words):
    """tagctl, built beside the daemon, through a node's admin socket: a process that runs."""
    program = os.path.join(os.path.dirname(lab.program), "tagctl")
    return subprocess.Popen([program, "-s", os.path.join(n.dir, "admin.sock"), *words], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@case(quick=True)
def restarts_one_after_the_other(lab):
    """tagctl members restart: the command asks this test to restart a node, and waits until that is done."""
    nodes = lab.cluster(3, state=True)
    boots = [n.member(n)["boot"] for n in nodes]
    command = f"touch {lab.dir}/ask-{{port}}-{{host}}-{{name}}; while test -e {lab.dir}/ask-{{port}}-*; do sleep 0.02; done"
    ctl = tagctl(lab, nodes[1], "members", "restart", command, "--yes", "--timeout", "30")
    order, others_serve = [], []

    def restart():
        for n in nodes:
            asked = os.path.join(lab.dir, f"ask-{n.port}-127.0.0.1-{n.name}")
            if os.path.exists(asked):
                order.append(n)
                others_serve.append(n.name not in n.owners() and len(n.owners()) == 2)
                n.restart()
                os.remove(asked)

    wait("it ends", lambda: restart() or ctl.poll() is not None, 60)
    out, err = ctl.communicate()
    assert ctl.returncode == 0, (out, err, [n.name for n in order])
    assert sorted(map(id, order)) == sorted(map(id, nodes)) and order[-1] is nodes[1], "the node that is asked is the last"
    assert all(others_serve), "it was not drained before"
    assert [line.split(" ")[0] for line in out.splitlines()] == [n.name for n in order], out
    settle(nodes)
    assert len(nodes[0].owners()) == 3
    assert all(int(n.member(n)["boot"]) > int(b) for n, b in zip(nodes, boots))


@case()
def a_restart_that_fails_says_how_to_go_on(lab):
    nodes = lab.cluster(3, state=True)
    ctl = tagctl(lab, nodes[0], "members", "restart", "exit 3", nodes[2].name, "--yes")
    out, err = ctl.communicate(timeout=60)
    assert ctl.returncode == 1 and "ended with status 3" in err, (out, err)
    assert f"tagctl members undrain {nodes[2].name}" in err, err
    wait("it is drained", lambda: nodes[2].name not in nodes[0].owners())
