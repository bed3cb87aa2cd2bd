# SPDX-License-Identifier: BSD-3-Clause
"""What /readyz and /metrics say of a node in a cluster."""
import http.client
import signal
import socket

from lib import case, free_port, settle, wait
from test_faults import split_by_owner


HARD = 'tagcached_purges_total{kind="hard"}'


def get(node, path):
    """(status, text)"""
    c = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=5)
    c.request("GET", path)
    answer = c.getresponse()
    text = answer.read().decode()
    c.close()
    return answer.status, text


def metrics(node):
    status, text = get(node, "/metrics")
    assert status == 200
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}


def says(node, status, begin=""):
    wait(f"/readyz is {status} {begin}", lambda: get(node, "/readyz")[0] == status and get(node, "/readyz")[1].startswith(begin))


def with_http(nodes):
    for n in nodes:
        n.http_port = free_port()
        n.args += ["--http", f"127.0.0.1:{n.http_port}"]
    return nodes


@case(quick=True)
def readiness(lab):
    nodes = with_http(lab.founders(3, state=True))
    nodes[0].start()
    says(nodes[0], 503, "joining: ")
    assert get(nodes[0], "/healthz") == (200, "healthy\n")
    for n in nodes[1:]:
        n.start(serves=False)
    settle(nodes)
    for n in nodes:
        says(n, 200, "ready")
    for n in nodes[1:]:
        n.pause()
    says(nodes[0], 503, "lease: ")
    for n in nodes[1:]:
        n.go_on()
    settle(nodes)
    says(nodes[0], 200)
    assert nodes[0].admin(f"cluster drain {nodes[1].name}").startswith("OK")
    says(nodes[1], 503, "draining: ")
    assert nodes[0].admin(f"cluster undrain {nodes[1].name}").startswith("OK")
    says(nodes[1], 200)
    with socket.create_connection(("127.0.0.1", nodes[2].port)) as c:
        c.sendall(b"set k 0 0 5\r\nab")  # a request that the node's end has to wait for
        nodes[2].signal(signal.SIGUSR1)
        says(nodes[2], 503, "draining: ")
        c.sendall(b"cde\r\n")
        assert c.recv(100) == b"STORED\r\n"
    nodes[2]._gone(20)


@case(quick=True)
def figures(lab):
    nodes = with_http(lab.founders(3))
    for n in nodes:
        n.start(serves=False)
    settle(nodes)
    keys = [k for owned in split_by_owner(nodes, 300).values() for k in owned]
    first = [metrics(n) for n in nodes]  # what a founder dropped when the cluster was founded counts as a purge
    with nodes[0].client() as c:
        for k in keys:
            assert c.set(k, "v") == "STORED"
        for i in range(5):
            assert c.ask(f"purge a{i}") == "PURGED"
        for k in keys * 3:
            assert c.get(k) == b"v"
    m = [metrics(n) for n in nodes]
    assert m[0]["tagcached_purge_confirm_seconds_count"] == 5 and m[1]["tagcached_purge_confirm_seconds_count"] == 0
    assert all(1 <= x["tagcached_purge_apply_seconds_count"] <= 5 for x in m), m
    assert all(x[HARD] - before[HARD] == 5 for x, before in zip(m, first)), [x[HARD] for x in m]
    assert abs(sum(x["tagcached_ring_owned_ratio"] for x in m) - 1) < 1e-5
    assert all(x['tagcached_cluster_members{state="alive"}'] == 3 and x["tagcached_lease_held"] == 1 for x in m)
    names = {f'tagcached_purge_lag_seconds{{member="{n.name}"}}' for n in nodes}
    assert all(names == {s for s in x if s.startswith("tagcached_purge_lag")} for x in m), m[0]
    assert m[0]['tagcached_forwarded_total{result="answered"}'] > 300
    # 1,205 reads of that client, one in 64 timed, whether another node was asked or not.
    timed = sum(v for s, v in m[0].items() if s.startswith("tagcached_command_seconds_count"))
    assert 15 <= timed <= 40, timed
