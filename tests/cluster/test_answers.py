# SPDX-License-Identifier: BSD-3-Clause
"""Any node answers for any key: against a model, and in one voice."""
import os
import random
import re

from lib import Client, case, settle, wait


@case(quick=True)
def written_through_one_read_through_all(lab):
    nodes = lab.cluster(3)
    count = 3000
    with nodes[0].client() as c:
        c.send(b"".join(b"set key%d %d 0 %d\r\n%s\r\n" % (i, i, len(b"v%d" % i), b"v%d" % i) for i in range(count)))
        assert all(c.line() == "STORED" for _ in range(count))
    for n in nodes:
        with n.client() as c:
            for at in range(0, count, 50):
                got = c.get_many([f"key{i}" for i in range(at, at + 50)])
                assert list(got) == [f"key{i}" for i in range(at, at + 50)], "in the order that was asked"
                assert all(got[f"key{i}"] == (b"v%d" % i, i, None) for i in range(at, at + 50))
    stats = [n.stats() for n in nodes]
    assert all(int(s["forwards_sent"]) > count / 2 for s in stats), stats
    items = [int(n(lambda c: c.stats())["curr_items"]) for n in nodes]
    assert sum(items) == count and min(items) > count / 6, items
    assert all(s["forward_errors"] == "0" and s["forward_timeouts"] == "0" for s in stats), stats


class Model:
    """What memcached would say."""

    def __init__(self):
        self.items = {}  # key: [value, flags]

    def set(self, c, key, value, flags):
        self.items[key] = [value, flags]
        assert c.set(key, value, flags) == "STORED"

    def add(self, c, key, value, flags):
        want = "NOT_STORED" if key in self.items else "STORED"
        self.items.setdefault(key, [value, flags])
        assert c.set(key, value, flags, verb="add") == want

    def replace(self, c, key, value, flags):
        want = "STORED" if key in self.items else "NOT_STORED"
        if key in self.items:
            self.items[key] = [value, flags]
        assert c.set(key, value, flags, verb="replace") == want

    def append(self, c, key, value, flags):
        self.extend(c, key, value, "append")

    def prepend(self, c, key, value, flags):
        self.extend(c, key, value, "prepend")

    def extend(self, c, key, value, verb):
        want = "STORED" if key in self.items else "NOT_STORED"
        if key in self.items:
            old = self.items[key][0]
            self.items[key][0] = (old + value if verb == "append" else value + old)[:4000]
            if len(old) + len(value) > 4000:  # keep them small: store what the model has
                return self.set(c, key, self.items[key][0], self.items[key][1])
        assert c.set(key, value, verb=verb) == want

    def delete(self, c, key, *_):
        want = "DELETED" if self.items.pop(key, None) else "NOT_FOUND"
        assert c.ask(f"delete {key}") == want

    def touch(self, c, key, *_):
        assert c.ask(f"touch {key} 1000") == ("TOUCHED" if key in self.items else "NOT_FOUND")

    def cas(self, c, key, value, flags):
        got = c.get_many([key], "gets")
        if key not in self.items:
            assert not got and c.set(key, value, verb="cas", cas="7") == "NOT_FOUND"
            return
        cas = got[key][2]
        assert c.set(key, value, verb="cas", cas=str(int(cas) + 1)) == "EXISTS"
        assert c.set(key, value, flags, verb="cas", cas=cas) == "STORED"
        self.items[key] = [value, flags]

    def gat(self, c, key, *_):
        self.check(c, [key], "gat 100")

    def incr(self, c, key, *_):
        if key not in self.items:
            assert c.ask(f"incr {key} 3") == "NOT_FOUND"
            return
        value = self.items[key][0]
        if re.fullmatch(rb"\d{1,15}", value):
            self.items[key][0] = b"%d" % (int(value) + 3)
            assert c.ask(f"incr {key} 3") == str(int(value) + 3)
            self.items[key][0] = b"%d" % (int(value) + 1)
            assert c.ask(f"decr {key} 2") == str(int(value) + 1)
        elif not value.isdigit():
            assert c.ask(f"incr {key} 3").startswith("CLIENT_ERROR cannot increment"), value

    def ms(self, c, key, value, flags):
        self.items[key] = [value, flags]
        assert c.meta(f"ms {key} {len(value)} F{flags} k Oabc", value) == ["HD", f"k{key}", "Oabc"]

    def md(self, c, key, *_):
        want = "HD" if self.items.pop(key, None) else "NF"
        assert c.meta(f"md {key}")[0] == want

    def mg(self, c, key, *_):
        got = c.meta(f"mg {key} v f k")
        if key in self.items:
            value, flags = self.items[key]
            assert got == ["VA", str(len(value)), f"f{flags}", f"k{key}", value], (got, value, flags)
        else:
            assert got == ["EN", f"k{key}"], got

    def ma(self, c, key, *_):
        if key not in self.items:
            assert c.meta(f"ma {key} v N0 J5") == ["VA", "1", b"5"]
            self.items[key] = [b"5", 0]
        else:
            self.delete(c, key)

    def quiet(self, c, key, value, flags):
        """Whatever is quiet, and the end that shows that all before was done."""
        c.send(b"set %s %d 0 %d noreply\r\n%s\r\n" % (key.encode(), flags, len(value), value))
        c.send(b"mg absent-%s q v\r\nms %s %d q F%d\r\n%s\r\nmn\r\n" % (key.encode(), key.encode(), len(value), flags, value))
        assert c.line() == "MN"
        self.items[key] = [value, flags]

    def check(self, c, keys, verb="get"):
        got = c.get_many(keys, verb)
        want = {k: (bytes(self.items[k][0]), self.items[k][1], None) for k in keys if k in self.items}
        assert got == want, (verb, got, want)

    OPS = (set, set, add, replace, append, prepend, delete, touch, cas, gat, incr, ms, md, mg, ma, quiet)


def mix(nodes, rounds, seed):
    rng = random.Random(seed)
    model, clients = Model(), [n.client() for n in nodes]
    keys = [f"{'k' * rng.randrange(1, 40)}{i}" for i in range(200)]
    for _ in range(rounds):
        key, c = rng.choice(keys), rng.choice(clients)
        value = b"%d" % rng.randrange(10 ** 6) if rng.random() < 0.4 else b"x" + bytes(rng.choices(b"abc \r\n\0", k=rng.randrange(300)))
        rng.choice(Model.OPS)(model, c, key, value, rng.randrange(2 ** 32))
        if rng.random() < 0.1:
            model.check(rng.choice(clients), list(dict.fromkeys(rng.choices(keys, k=rng.randrange(1, 60)))))
    for c in clients:
        model.check(c, keys)
        c.close()


@case(quick=True)
def every_command_through_every_node(lab):
    mix(lab.cluster(3), 3000, random.randrange(10 ** 9))


@case()
def every_command_at_length(lab):
    nodes = lab.cluster(5, state=True)  # without, flushes are pending at first
    for _ in range(10):
        mix(nodes, 5000, random.randrange(10 ** 9))
        assert nodes[0].ask("flush_all") == "OK"


@case()
def encrypted(lab):
    mix(lab.cluster(3, key=lab.key_file()), 2000, random.randrange(10 ** 9))


@case()
def plain_links(lab):
    mix(lab.cluster(3, "--cluster-links", "plain"), 2000, random.randrange(10 ** 9))


@case()
def large_values(lab):
    nodes = lab.cluster(3, "-I", "8m", "-m", "256")
    sizes = [0, 1, 1000, 16000, 16384, 16385, 65000, 65536, 70000, 300000, 1048576, 5000000]
    clients = [n.client() for n in nodes]
    for rounds in range(4):
        for size in sizes:
            value = random.randbytes(size)
            key = f"large{rounds}-{size}"
            assert random.choice(clients).set(key, value, 5) == "STORED", size
            for c in clients:
                assert c.get_many([key])[key] == (value, 5, None), size
            assert clients[0].ask(f"delete {key}") == "DELETED"
    assert clients[0].set("x", b"z" * 9000000).startswith("SERVER_ERROR object too large")
    assert clients[0].ask("version").startswith("VERSION")


@case(quick=True)
def lists_of_nodes(lab):
    nodes = lab.cluster(3)
    want = {n.name for n in nodes}

    def read(c, request, first):
        c.send(request)
        n = int(re.fullmatch(first, c.line()).group(1))
        lines = c.block(n).decode().split("\n")
        assert c.line() == "END"
        assert lines[0] == nodes[0].stat("ring_version")
        return {f"{host}:{port}" for host, _, port in (x.split("|") for x in lines[1].split(" "))}

    for n in nodes:
        with n.client() as c:
            assert read(c, "config get cluster\r\n", r"CONFIG cluster 0 (\d+)") == want
            assert read(c, "get AmazonElastiCache:cluster\r\n", r"VALUE AmazonElastiCache:cluster 0 (\d+)") == want


@case(quick=True)
def stats_have_their_rows(lab):
    n = lab.node().start()
    settle([n])
    rows = ("cluster_name cluster_id node_id member_number boot state epoch config_version voters members_alive "
            "members_suspect members_dead members_left ring_version ring_nodes ring_points forwards_sent "
            "forwards_received forward_errors forward_timeouts ring_disagreements links_open copy_hits "
            "copies_taken copies_given copies_recalled copy_waits pulls_sent "
            "pulls_kept pulls_received pulls_given purges_sent purges_received purges_confirmed purges_pending "
            "handoff_active handoff_sent handoff_received handoff_refused_written handoff_refused_purged handoff_abandoned peer_protocol_errors datagrams_refused")
    assert list(n.stats()) == rows.split()
    with n.client() as c:
        assert sum(len(line) + 2 for line in c.lines("stats")) < 3800


@case()
def one_address_only(lab):
    """A client that knows one node, as pymemcache does: pipelined, multi-gets, noreply."""
    nodes = lab.cluster(3)
    with nodes[1].client() as c:
        for turn in range(20):
            items = {f"t{turn}:{i}": random.randbytes(random.randrange(1, 400)) for i in range(200)}
            for k, v in items.items():
                c.send(b"set %s 0 100 %d noreply\r\n%s\r\n" % (k.encode(), len(v), v))
            got = c.get_many(list(items))
            assert {k: v[0] for k, v in got.items()} == items
            c.send("".join(f"delete {k} noreply\r\n" for k in items))
            assert c.get_many(list(items)) == {}
    assert nodes[1].stat("forward_errors") == "0"


@case(quick=True)
def names_that_differ_are_told_of(lab):
    """Clients that do not ask the owners cost a hop a request: the log says so, once an hour. Those that do cost none."""
    nodes = lab.cluster(3)
    with nodes[0].client() as c:
        for _ in range(120):
            c.send("get " + " ".join(f"n{i}" for i in range(100)) + "\r\n")
            assert c.line() == "END"
        nodes[0].wait_event("names_differ", f"forwarded=[4-9][0-9]% name={nodes[0].name} .*--ring-name")
        for _ in range(120):
            c.send("get " + " ".join(f"n{i}" for i in range(100)) + "\r\n")
            assert c.line() == "END"
    wait("it was judged again", lambda: int(nodes[0].stats()["forwards_sent"]) > 12000)
    assert len(nodes[0].events("names_differ")) == 1
    assert not nodes[1].events("names_differ") and not nodes[2].events("names_differ"), "they were asked as owners"


def documented():
    """{first word: names of its fields} of proto/PROTOCOL.md, "Cluster commands"."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto", "PROTOCOL.md")) as f:
        text = f.read().partition("## Cluster commands")[2].partition("The lines:")[2].partition("(They are")[0]
    lines = re.sub(r"\n {8,}", " ", text).splitlines()
    return {line.split()[0]: set(re.findall(r"([a-z_]+)=", line)) for line in lines if line.startswith("    ")}


@case(quick=True)
def every_field_of_the_documentation(lab):
    """Each line of what operators ask has the fields that proto/PROTOCOL.md names, and no other."""
    nodes = lab.cluster(3, state=True, key=lab.key_file())
    fields = documented()
    assert nodes[0].ask("purge a") == "PURGED"
    purge = nodes[0].list("cluster purges", "PURGE")[0][1]["id"]
    nodes[2].kill()
    wait("a problem is seen", lambda: nodes[0].list("cluster status", "PROBLEM"))
    seen = {}
    with nodes[0].client() as c, Client(os.path.join(nodes[0].dir, "admin.sock")) as admin:
        for request in ("cluster status", "cluster members", "cluster ring", "cluster purges", f"cluster purges {purge}",
                        "cluster key ls", "cluster recover"):
            for line in admin.lines(request):
                word, _, rest = line.partition(" ")
                rest = re.sub(r"(reason|text)=.*", r"\1=", rest)
                seen.setdefault(word, set()).update(re.findall(r"([a-z_]+)=", rest))
        live = next(k for k in (f"k{i}" for i in range(100)) if c.set(k, "v") == "STORED")
        for n in nodes[:2]:
            with n.client() as d:
                for line in d.lines(f"explain {live}"):
                    seen.setdefault("EXPLAIN", set()).update(re.findall(r"([a-z_]+)=", line))
    assert seen == fields, {w: (seen.get(w, set()) ^ fields.get(w, set())) for w in seen.keys() | fields.keys()
                            if seen.get(w) != fields.get(w)}
