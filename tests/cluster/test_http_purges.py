# SPDX-License-Identifier: BSD-3-Clause
"""Purges over HTTP at a cluster: what is gone on all nodes when they are answered, what is said when a node is missing; the
vendors' own clients (npm fastly and cloudflare; NODE_PATH says where, without them it is said)."""
import hashlib
import http.client
import json
import os
import subprocess
import threading
import time

from lib import PATIENCE_S, case, free_port, settle, wait
from test_clients import HERE, is_there
from test_purges import percentiles

TOKEN = "tct_test"


def serve(lab, count, **more):
    """A cluster whose nodes listen for HTTP."""
    tokens = os.path.join(lab.dir, "tokens")
    with open(tokens, "w") as f:
        f.write(f"test blake2b:{hashlib.blake2b(TOKEN.encode(), digest_size=32).hexdigest()} purge,purge_all\n")
    os.chmod(tokens, 0o600)
    nodes = lab.founders(count, "--http-tokens", tokens, **more)
    for n in nodes:
        n.http_port = free_port()
        n.args += ["--http", f"127.0.0.1:{n.http_port}", "--audit", os.path.join(lab.dir, f"audit-{n.port}")]
        n.start(serves=False)
    settle(nodes)
    return nodes


def request(n, method, path, body=None, source="127.0.0.1", connection=None, **headers):
    c = connection or http.client.HTTPConnection("127.0.0.1", n.http_port, timeout=PATIENCE_S, source_address=(source, 0))
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    c.request(method, path, body, {"X-Tagcached-Token": TOKEN, **headers})
    r = c.getresponse()
    text = r.read().decode()
    if not connection:
        c.close()
    return r.status, r.getheader("X-Tagcached-Purge"), text


def fill(n, *items):
    with n.client() as c:
        for key, tag in items:
            assert c.meta(f"ms {key} 1 G{tag}", b"v") == ["HD"]


def there(nodes, *keys):
    """The keys that any node still has an item of."""
    found = set()
    for n in nodes:
        with n.client() as c:
            found |= set(c.get_many(keys))
    return sorted(found)


def audit(lab, n):
    with open(os.path.join(lab.dir, f"audit-{n.port}")) as f:
        return [json.loads(line) for line in f]


def staged(lab, n, id_, stage):
    return wait(f"{id_} is {stage}", lambda: [x for x in audit(lab, n) if x["id"] == id_ and x["stage"] == stage])[0]


@case(quick=True)
def receipts_in_a_cdns_dialect(lab):
    """The id that Fastly's client is given has a receipt, of every node, if the request asks for one."""
    nodes = serve(lab, 3, state=True)
    fill(nodes[0], *((f"k{i}", "a") for i in range(60)))
    status, _, text = request(nodes[1], "POST", "/service/S/purge/a?receipt=true&timeout=10s")
    assert status == 200, text
    rows = nodes[1].list(f"cluster purges {json.loads(text)['id']}")
    assert rows[0][1]["items"] == "60" and all(f["gone_ms"] != "-" for word, f in rows if word == "ACK"), rows
    assert sum(x["items"] for x in staged(lab, nodes[1], json.loads(text)["id"], "swept")["gone"]) == 60


@case(quick=True)
def the_audit_tells_of_changes(lab):
    """What an operator changes, and what the cluster has agreed on, on every node."""
    nodes = serve(lab, 3, state=True)
    address = os.path.join(nodes[0].dir, "admin.sock")
    assert nodes[0].admin("cluster set tag-lease 1500").startswith("OK")
    assert nodes[0].admin("cluster weight nobody 3").startswith("CLIENT_ERROR")
    assert nodes[1].ask("cluster set tag-lease 2000") == "CLIENT_ERROR not allowed here"

    def changes(n, count):
        lines = [x for x in audit(lab, n) if x["event"] == "cluster"]
        return lines if len(lines) == count else None

    done, refused = wait("two lines", lambda: changes(nodes[0], 2))
    assert (done["stage"], done["detail"], done["actor"]["addr"]) == ("applied", "set tag-lease 1500", "unix:" + address), done
    assert (refused["stage"], refused["detail"], refused["error"]) == \
        ("refused", "weight nobody 3", "CLIENT_ERROR no member nobody"), refused
    assert wait("a line", lambda: changes(nodes[1], 1))[0]["stage"] == "refused"
    for n in nodes:
        wait(f"{n.name} tells of it", lambda n=n: [x for x in audit(lab, n) if x["event"] == "configuration"
                                                  and "tag_lease_ms=1500" in x["detail"] and x["stage"] == "applied"])


@case(quick=True)
def http_purges_reach_all(lab):
    nodes = serve(lab, 3, state=True)
    keys = [f"k{i}" for i in range(60)]
    fill(nodes[0], *((k, "a") for k in keys), ("other", "b"))
    status, header, text = request(nodes[1], "POST", "/service/S/purge", Surrogate_Key="a q")
    assert status == 200 and there(nodes, *keys, "other") == ["other"]
    id_ = json.loads(text)["a"]
    assert header == f"{id_} confirmed 3/3" and "-" in id_, header
    line = nodes[2].list(f"cluster purges {id_}", "PURGE")[0][1]
    assert line["state"] == "confirmed", line
    wait("its line", lambda: [x for x in audit(lab, nodes[1]) if x["id"] == id_ and x["acked"] == 3])


@case(quick=True)
def a_receipt_has_every_node(lab):
    """A purge that is counted says how many items it took out on each node, and when the last copy was gone."""
    nodes = serve(lab, 3, state=True)
    with nodes[0].client() as c:
        for i in range(600):
            assert c.meta(f"ms k{i} 1000 Glicence:7,region:{'de' if i % 2 else 'fr'}", b"v" * 1000) == ["HD"]
    counts = [int(n.stat("curr_items", "")) for n in nodes]
    assert sum(counts) == 600 and min(counts) > 0
    status, header, text = request(nodes[1], "POST", "/api/purge?timeout=10s",
                                   '{"selectors":["licence:7+region:de"],"receipt":true,"reason":"TICKET-12"}')
    body = json.loads(text)
    assert status == 200 and body["confirmed"] and body["items"] == 300 and 300_000 < body["bytes"] < 400_000, text
    left = [int(n.stat("curr_items", "")) for n in nodes]
    assert sum(left) == 300, left
    rows = nodes[1].list(f"cluster purges {body['id']}")
    (kind, whole), acks = rows[0], [f for word, f in rows if word == "ACK"]
    assert kind == "PURGE" and whole["items"] == "300" and int(whole["bytes"]) == body["bytes"], whole
    assert [int(f["items"]) for f in sorted(acks, key=lambda f: f["name"])] == \
        [before - after for _, before, after in sorted(zip((n.name for n in nodes), counts, left))], acks
    assert whole["by"].startswith("test@127.0.0.1:") and whole["selectors"] == "licence:7+region:de", whole
    assert all(0 < float(f["ms"]) <= float(f["gone_ms"]) for f in acks), acks
    with nodes[2].client() as c:
        assert c.ask("mp licence:7 c n w10000").startswith("HD c300 b")
        assert c.ask("mp licence:7+a+b+d c n w10000") == "HD c0 b0 n3/3"
    line = staged(lab, nodes[1], body["id"], "confirmed")
    assert (line["items"], line["reason"], line["actor"]["token"]) == (300, "TICKET-12", "test"), line
    swept = staged(lab, nodes[1], body["id"], "swept")
    assert (swept["items"], swept["bytes"], swept["erased_at"]) == (300, body["bytes"], None), swept
    assert sorted((g["node"], str(g["items"])) for g in swept["gone"]) == \
        sorted((f["name"], f["items"]) for f in acks), (swept, acks)
    assert swept["actor"]["token"] == "test" and swept["selectors"] == ["licence:7+region:de"], swept


@case(quick=True)
def http_says_who_is_missing(lab):
    """A node stands still: in time that is a 504 with the id and its name; ?wait=local is content; then it comes back."""
    nodes = serve(lab, 3, state=True)
    fill(nodes[0], ("k", "a"))
    nodes[2].pause()
    status, header, text = request(nodes[0], "POST", "/service/S/purge/a?timeout=300ms")
    body = json.loads(text)
    assert status == 504 and body["id"] in header and header.split(" ", 1)[1] == f"pending 2/3 {nodes[2].name}", (header, text)
    status, header, _ = request(nodes[0], "POST", "/client/v4/zones/Z/purge_cache?wait=local&timeout=300ms", '{"tags":["a"]}')
    assert status == 200 and " pending 2/3 " in header, header
    begun = time.monotonic()
    status, header, _ = request(nodes[0], "POST", "/api/purge?wait=none", '{"selectors":["a"]}')
    assert status == 200 and time.monotonic() - begun < 0.3, header
    status, header, _ = request(nodes[0], "POST", "/service/S/purge/a?timeout=10s")  # its lease ends before that
    assert status == 200 and " confirmed 2/3" in header, header
    counted = nodes[0](lambda c: c.meta("mp a s c w5000"))  # confirmed without it, but its memory may still have something
    assert counted[0] == "HD", counted
    counted = f"{int(counted[1][1:]) >> 40}-{int(counted[1][1:]) & ((1 << 40) - 1)}"
    rows = nodes[0].list(f"cluster purges {counted}")
    assert rows[0][1]["gone_ms"] == "-" and [f["gone_ms"] for _, f in rows[1:]].count("-") == 1, rows
    nodes[2].go_on()
    wait("the last copy is gone", lambda: nodes[0].list(f"cluster purges {counted}", "PURGE")[0][1]["gone_ms"] != "-")
    assert len(staged(lab, nodes[0], counted, "swept")["gone"]) == 3
    wait("the first one is everywhere", lambda: nodes[0].list(f"cluster purges {body['id']}", "PURGE")[0][1]["acked"] == "3")
    stages = [x["stage"] for x in audit(lab, nodes[0])]
    assert stages.count("pending") >= 2, stages
    late = staged(lab, nodes[0], body["id"], "confirmed")  # it was answered long before
    assert late["ms"] > 300 and late["selectors"] == ["a"] and late["actor"]["kind"] == "node", late


@case()
def http_purges_a_second(lab):
    """1,000 a second over 64 connections, 16 from each of four addresses."""
    nodes, times, lock = serve(lab, 3, state=True), [], threading.Lock()
    begun, seconds, per_connection = time.monotonic() + 0.2, 4, 1000 / 64

    def one(i):
        c = http.client.HTTPConnection("127.0.0.1", nodes[0].http_port, timeout=PATIENCE_S,
                                       source_address=(f"127.0.0.{1 + i // 16}", 0))
        mine = []
        for k in range(int(seconds * per_connection)):
            due = begun + (k + i / 64) / per_connection
            time.sleep(max(0, due - time.monotonic()))
            assert request(nodes[0], "POST", f"/service/S/purge/t{k}-{i}", connection=c)[0] == 200
            mine.append(time.monotonic() - due)
        with lock:
            times.extend(mine)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(64)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(f"{len(times)} purges over HTTP, {len(times) / (time.monotonic() - begun):.0f}/s:", percentiles(times))
    assert len(times) == 64 * int(seconds * per_connection)


@case()
def vendors_clients(lab):
    """Each call resolves, and at that moment exactly what it names is gone, or stale."""
    if not is_there("node", "-e", "require('fastly'), require('cloudflare')"):
        return
    nodes = serve(lab, 3, state=True)
    p = subprocess.Popen(["node", f"{HERE}/purges.js", str(nodes[1].http_port), TOKEN], text=True, stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)

    def call(name):
        p.stdin.write(name + "\n")
        p.stdin.flush()
        word, rest = p.stdout.readline().rstrip("\n").split(" ", 1)
        return word, rest

    items = ("a", "a"), ("b", "b"), ("c", "c"), ("x", "artist:42/x%20y")
    for name, left in [("fastly_body", "cx"), ("fastly_header", "cx"), ("fastly_key", "abc"), ("fastly_all", ""),
                       ("cloudflare_tags", "cx"), ("cloudflare_all", "")]:
        fill(nodes[0], *items)
        word, rest = call(name)
        assert word == "ok" and "".join(there(nodes, *"abcx")) == left, (name, word, rest)
        print(name, rest)
    for name in ("fastly_soft", "cloudflare_soft"):
        fill(nodes[0], *items)
        assert call(name)[0] == "ok"
        with nodes[2].client() as c:
            assert {"X", "W"} <= set(c.meta("mg a s")) and {"X", "Z"} <= set(c.meta("mg a s")) and c.meta("mg c s") == ["HD", "s1"]
    fill(nodes[0], *items)
    for name in ("fastly_url", "cloudflare_prefixes"):
        word, rest = call(name)
        assert (word, rest.split(" ")[0]) == ("error", "400"), (name, word, rest)
    assert there(nodes, *"abcx") == list("abcx")
    p.stdin.close()
    p.wait(PATIENCE_S)
