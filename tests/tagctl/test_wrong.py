#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tagctl where something is wrong: a node that is not there, lies, closes or passes nothing on, or that nobody vouches for;
command lines and files that are no good. And tagctl with the daemon itself.
"""
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from node import CLOSE, HANG, KEYS, NODES, Node, digest, lines, members, ring, status  # noqa: E402
from tls import CERTIFICATE, KEY  # noqa: E402
from tool import (  # noqa: E402
    DONE, ENV, FAILED, NOT_FOUND, PROGRAM, READS, UNREACHABLE, USAGE, check, on_terminal, piped, run_tests)


def fails(what, script, args, code, said, **more):
    node = Node(script)
    got, text, err = piped(*args, server=node, **more)
    check(what, got == code and said in err and len(err.strip().splitlines()) <= 4, (got, text, err))
    node.close()
    return text


def test_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    for args in (["status"], ["members", "ls"], ["ping"], ["purge", "a"], ["key", "get", "k"], ["ring", "show"], ["stats"],
                 ["keyring", "ls"], ["cluster", "set", "voters", "3"], ["version"]):
        code, _, err = piped("-s", f"127.0.0.1:{port}", *args)
        check(f"{args} refused", code == UNREACHABLE and "Connection refused" in err and f"127.0.0.1:{port}" in err, err)
    code, _, err = piped("status", env={"TAGCTL_SERVERS": f"127.0.0.1:{port}"})
    check("TAGCTL_SERVERS", code == UNREACHABLE and str(port) in err)
    check("no such socket", piped("-s", "/nonexistent/admin.sock", "status")[0] == UNREACHABLE)
    check("no address", piped("-s", "nonsense", "status")[0] == UNREACHABLE)
    node = Node()
    code, text, err = piped("-s", f"127.0.0.1:{port},127.0.0.1:{node.port}", "members", "ls")
    check("the next one", code == DONE and text.count("\n") == 3 and str(port) in err, err)
    node.close()


def test_unix_socket():
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "admin.sock")
        node = Node(listener=unix_listener(path))
        code, text, err = piped("-s", path, "members", "ls")
        check("unix socket", code == DONE and text.count("\n") == 3, err)
        node.close()
    check("too long a path", piped("-s", "/" + "x" * 200, "members", "ls")[0] == UNREACHABLE)


def unix_listener(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen()
    return s


def test_bad_answers():
    cut = members()[:150]
    fails("closed at once", {"cluster status": CLOSE}, ["members", "ls"], UNREACHABLE, "without an answer")
    fails("closed in the middle", {"cluster members": (cut,)}, ["members", "ls"], UNREACHABLE, "in the middle of its answer")
    fails("closed between lines", {"cluster members": (lines("MEMBER name=c1:11211 state=serving"),)}, ["members", "ls"],
          UNREACHABLE, "closed the connection")
    fails("silence", {"cluster status": HANG}, ["status", "--timeout", "0.05"], UNREACHABLE, "did not answer within 0.05 s")
    fails("silence in the middle", {"cluster at c2:11211 mn": HANG}, ["ping", "--timeout", "0.05"], UNREACHABLE,
          "within 0.05 s")
    http = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    for args in (["status"], ["members", "ls"], ["ring", "show"], ["purge", "ls"], ["keyring", "ls"], ["stats"],
                 ["key", "explain", "k"], ["key", "get", "user:42"], ["key", "set", "k", "v"], ["key", "del", "user:42"],
                 ["key", "touch", "user:42", "300"], ["purge", "a"], ["cluster", "set", "voters", "3"]):
        words = ("cluster status", "cluster members", "cluster ring", "cluster purges", "cluster key ls", "stats", "explain",
                 "mg user:42 v f t c", "ms", "md user:42", "touch user:42 300", "mp", "cluster set voters 3")
        fails(f"{args} to a web server", {w: http for w in words}, args, FAILED, "HTTP/1.1 400")
    fails("recover without a version", {"cluster recover": lines("RECOVER gone=2", "END")}, ["cluster", "recover", "-y"],
          FAILED, "which version")
    fails("control bytes", {"cluster status": b"\x1b[2Jgo away\r\n"}, ["status"], FAILED, '"?[2Jgo away"')
    fails("an endless line", {"cluster status": b"x" * (2 << 20)}, ["status"], FAILED, "without an end")
    fails("no STATUS", {"cluster status": lines("END")}, ["status"], FAILED, "does not say how it is")
    fails("a member without a name", {"cluster members": lines("MEMBER state=serving", "END")}, ["members", "ls"], FAILED,
          "without a name")
    fails("another digest", {"cluster ring": ring().replace(digest(NODES).encode(), b"0123456789abcdef")},
          ["ring", "locate", "k"], FAILED, "another version")
    fails("an impossible ring", {"cluster ring": lines("RING version=1", "NODE name=x weight=1", "END")}, ["ring", "show"],
          FAILED, "cannot be")
    fails("twice the same", {"cluster ring": lines("RING version=1", "NODE name=x:1 weight=1", "NODE name=x:1 weight=1",
                                                   "END")},
          ["ring", "show"], FAILED, "named twice")
    fails("nobody owns anything", {"cluster ring": lines("RING version=1", "END")}, ["ring", "show"], FAILED, "no node owns")
    fails("a value without its end", {"mg k v f t c": b"VA 3 f0 t1 c1\r\nabcdef\r\n"}, ["key", "get", "k"], FAILED,
          "does not end where")
    fails("a value that stops", {"mg k v f t c": (b"VA 30 f0 t1 c1\r\nabc",)}, ["key", "get", "k"], UNREACHABLE,
          "in the middle")
    fails("a huge value", {"mg k v f t c": b"VA 99999999999 f0\r\n"}, ["key", "get", "k"], FAILED, "announces")
    fails("a purge's answer", {"mp": lines("HD nonsense")}, ["purge", "a", "-o", "json"], DONE, "")
    rows = members().decode().replace("END\r\n", "NEWS of=tomorrow\r\nEND\r\n").replace("lag_ms", "future=1 lag_ms")
    check("what is new is skipped", fails("new lines and fields", {"cluster members": rows.encode()}, ["members", "ls"],
                                          DONE, "").count("\n") == 3)


def test_refusals():
    fails("not allowed", {"cluster set voters 3": lines("CLIENT_ERROR not allowed here")}, ["cluster", "set", "voters", "3"],
          FAILED, "not allowed here")
    fails("no quorum", {"cluster leave c3:11211": lines("SERVER_ERROR no quorum: b, c gone")},
          ["members", "leave", "c3:11211", "-y"], FAILED, "no quorum: b, c gone")
    fails("no member", {},
          ["stats", "--node", "c9:11211"], NOT_FOUND, "no member is called c9:11211")
    fails("old node", {"cluster status": lines("ERROR")}, ["members", "ls"], FAILED, "belongs to no cluster")
    fails("no cluster", {"cluster status": lines("CLIENT_ERROR this node belongs to no cluster")},
          ["members", "leave", "x:1", "-y"], FAILED, "belongs to no cluster")
    single = Node({"cluster status": lines("ERROR"), "mp": lines("HD n1/1 s77")})
    code, text = on_terminal("status", "--interval", "0", server=single, env={"NO_COLOR": "1"})
    check("no cluster, terminal", code == DONE and text.startswith(f"127.0.0.1:{single.port}  no cluster  OK\n"), text)
    code, text = on_terminal("purge", "a", server=single)
    check("no cluster, purge", code == DONE and text.startswith("confirmed on 1/1 in ") and text.endswith("id 77\n"), text)
    single.close()
    fails("refused status", {"cluster status": lines("SERVER_ERROR busy")}, ["status"], FAILED, "busy")
    text = fails("no cluster, status", {"cluster status": lines("CLIENT_ERROR this node belongs to no cluster")},
                 ["status", "-o", "json", "--interval", "0"], DONE, "")
    check("no cluster, JSON", json.loads(text)["cluster"] is None and json.loads(text)["nodes"][0]["items"] == 9200001)
    fails("stored not", {"ms": lines("SERVER_ERROR out of memory storing object")}, ["key", "set", "k", "v"], FAILED,
          "out of memory")
    fails("a selector that the node refuses", {"mp": lines("CLIENT_ERROR flush_all not allowed")}, ["purge", "*", "-y"],
          FAILED, "not allowed")
    used, removed = "7f3109be42aa01c9", "02acb1d3ee7f6405"
    use, remove = ["keyring", "use", used], ["keyring", "remove", removed, "-y"]
    fails("a node lacks the key", {f"cluster key use {used}": lines("SERVER_ERROR nothing was changed: c3:11211 lacks the key")},
          use, FAILED, "nothing was changed: c3:11211 lacks the key")
    fails("no such key", {f"cluster key use {used}": lines(f"CLIENT_ERROR no such key: no node has {used}")}, use, NOT_FOUND,
          "no node has")
    text = fails("used by some", {f"cluster key use {used}": lines(KEYS[0].replace("sealing=3", "sealing=2"), "END")},
                 [*use, "-o", "json"], FAILED, "not all nodes seal with")
    check("used by some, JSON", json.loads(text)["nodes"] == 2, text)
    text = fails("removed by some", {f"cluster key remove {removed}": lines(*KEYS, "END")}, [*remove, "-o", "json"], FAILED,
                 "not all nodes have removed")
    check("removed by some, JSON", json.loads(text)["nodes"] == 1, text)
    behind = members().decode().replace("lag_ms=3", "lag_ms=1730").encode()
    node = Node({"cluster members": behind})
    text = on_terminal("status", "--interval", "0", server=node)[1]
    check("the largest lag", "(max lag 1730 ms)" in text, text)
    check("the largest lag, JSON", json.loads(piped("status", "-o", "json", "--interval", "0", server=node)[1])["max_lag_ms"] == 1730)
    node.close()
    gone = lines("SERVER_ERROR node c3:11211 cannot be reached")
    text = fails("partial status", {"cluster at c3:11211 stats": gone}, ["status", "-o", "json", "--interval", "0"], FAILED,
                 "c3:11211: node c3:11211 cannot be reached")
    check("partial status, JSON", [n["items"] for n in json.loads(text)["nodes"]] == [9200001, 9200002, None])
    fails("partial ping", {"cluster at c3:11211 mn": gone}, ["ping"], UNREACHABLE, "1 of 3 unreachable")
    fails("partial stats", {"cluster at c3:11211 stats": gone}, ["stats", "--all"], FAILED, "c3:11211: node c3:11211 cannot")
    fails("partial verify", {"cluster at c3:11211 cluster ring": gone}, ["ring", "verify"], FAILED,
          "c3:11211: node c3:11211 cannot")
    other = Node({"cluster at c3:11211 cluster ring": ring([("c1:11211", 1), ("c2:11211", 1)], 38)})
    code, text, _ = piped("ring", "verify", server=other)
    check("one node has another ring", code == FAILED and text.splitlines()[2].endswith("38\tno"), text)
    other.close()


def test_asked_directly():
    """A node that passes nothing on: the others are asked under their own names."""
    others = [Node() for _ in range(2)]
    rows = members().decode().replace("c2:11211", f"127.0.0.1:{others[0].port}").replace("c3:11211",
                                                                                         f"127.0.0.1:{others[1].port}")
    nothing = {"cluster": lines("CLIENT_ERROR bad command line format"), "cluster members": rows.encode()}
    node = Node(nothing)
    node.script.update({k: nothing["cluster"] for k in node.script if k.startswith("cluster at")})
    code, text, err = piped("status", "--interval", "0", server=node)
    check("direct status", code == DONE and text.count("9200001") == 3 and not err, (text, err))
    code, text, err = piped("ping", server=node)
    check("direct ping", code == DONE and text.count("ok") == 3 and others[1].asked[-1] == "mn", (text, err))
    check("direct stats", "9200001" in piped("stats", "--node", f"127.0.0.1:{others[1].port}", server=node)[1])
    others[1].close()
    code, text, err = piped("status", "--interval", "0", server=node)
    check("direct, not there", code == FAILED and text.count("9200001") == 2 and "Connection refused" in err, (text, err))
    code, text, err = piped("ping", server=node)
    check("direct ping, not there", code == UNREACHABLE and text.count("ok") == 2 and "1 of 3" in err, (text, err))
    others[0].script["stats"] = others[0].script["mn"] = CLOSE
    code, text, err = piped("status", "--interval", "0", server=node)
    check("direct, closed", code == FAILED and text.count("9200001") == 1 and "closed the connection" in err, (text, err))
    code, text, err = piped("ping", server=node)
    check("direct ping, closed", code == UNREACHABLE and text.count("ok") == 1 and "2 of 3" in err, (text, err))
    for n in (node, others[0]):
        n.close()


def test_gone():
    """Who is dead or was ejected is not asked, and named where it is missed."""
    node = Node({"cluster status": status("degraded", "c3:11211 is dead"), "cluster members":
                 members(("alive", "alive", "dead"), ("serving", "ejected", "serving"))})
    code, text, err = piped("status", "--interval", "0", server=node)
    check("gone: status", code == FAILED and not err and text.splitlines()[2].startswith("c3:11211\tdead\t0.497\t-\t"),
          (text, err))
    code, text, err = piped("ping", server=node)
    check("gone: ping", code == UNREACHABLE and "c2:11211\t-\tit is ejected" in text and "it is dead" in text, (text, err))
    code, text, err = piped("stats", "--all", server=node)
    check("gone: stats", code == FAILED and "c2:11211: it is ejected" in err and "c3:11211: it is dead" in err, err)
    check("gone: not asked", not any(c.startswith("cluster at") for c in node.asked), node.asked)
    node.close()


def test_usage():
    bad = [["nonsense"], ["members", "nonsense"], ["members", "show"], ["members", "show", "a", "b"], ["status", "x"],
           ["--nonsense"],
           ["status", "--yes"], ["status", "-o", "xml"], ["status", "--interval", "x"], ["status", "--interval"],
           ["status", "--watch=1"],
           ["purge"], ["purge", "a b"], ["purge", "a,b"], ["purge", "a++b"], ["purge", "a", "--stdin"],
           ["purge", "a", "--ttl", "5"],
           ["purge", "a", "--soft", "--ttl", "x"], ["purge", "a", "--wait", "some"], ["purge", "show"],
           ["purge", "show", "x y"],
           ["key", "get", "a b"], ["key", "get", "k" * 251], ["key", "get", ""], ["key", "set", "k"],
           ["key", "set", "k", "v", "--file", "-"],
           ["key", "set", "k", "v", "--tag", "a,b"], ["key", "set", "k", "v", "--ttl", "x"],
           ["key", "set", "k", "v", "--flags", "-1"],
           ["key", "del", "x|#|p=a"], ["key", "touch", "k", "soon"], ["ring", "locate"],
           ["ring", "locate", "k", "--servers", "a"],
           ["ring", "locate", "k", "--servers", "a:1:0"], ["ring", "locate", "k", "--stdin", "--servers", "a:1"],
           ["ring", "plan", "add"], ["ring", "plan", "jump", "a:1", "--servers", "b:1"],
           ["ring", "plan", "add", "b:1", "--servers", "b:1"],
           ["ring", "plan", "remove", "b:1", "--servers", "b:1"], ["ring", "plan", "weight", "b:1", "--servers", "b:1,a:1"],
           ["ring", "plan", "add", "c:1", "1001", "--servers", "b:1"], ["ring", "verify", "--stdin"],
           ["members", "weight", "c1:11211", "0"], ["members", "weight", "c1:11211", "1001"],
           ["keyring", "use", "xyz"], ["stats", "--all", "--node", "x:1"], ["--user", "u", "stats"]]
    node = Node()
    for args in bad:
        node.asked.clear()
        code, text, err = piped(*args, server=node)
        check(f"usage {args}", code == USAGE and (err or text.startswith("usage")), (code, text, err))
        check(f"usage {args} only looks", all(READS.match(c) for c in node.asked), node.asked)
    check("like", "did you mean `tagctl status`" in piped("stauts")[2] and "did you mean" in piped("drian")[2])
    check("not in the ring", piped("ring", "plan", "remove", "x:1", server=node)[0] == NOT_FOUND)
    check("two servers of one name", piped("ring", "show", "--servers", "a:1,a:1")[0] == FAILED)
    check("--version", piped("--version")[1].startswith("tagctl "))
    node.close()


def test_key_files():
    node = Node()
    with tempfile.NamedTemporaryFile() as f:
        f.write(b"from a file\n")
        f.flush()
        check("--file", piped("key", "set", "k", "-f", f.name,
                              server=node)[0] == DONE and node.asked == ["ms k 12 T0 F0|from a file\n"], node.asked)
    node.asked.clear()
    check("--file -", piped("key", "set", "k", "-f", "-", server=node,
                            stdin="piped")[0] == DONE and node.asked == ["ms k 5 T0 F0|piped"], node.asked)
    large = "x" * (5 << 20)  # more than the buffers between the two hold
    check("a large value", piped("key", "set", "k", "-f", "-", server=node,
                                 stdin=large)[0] == DONE and node.asked[-1] == "ms k 5242880 T0 F0|" + large)
    check("no such file", piped("key", "set", "k", "-f", "/nonexistent", server=node)[0] == FAILED)
    one, two = (piped("keyring", "generate")[1] for _ in range(2))
    made = json.loads(piped("keyring", "generate", "-o", "json")[1])
    check("generate, JSON", len(made["id"]) == 16 and len(made["key"]) == 44, made)
    check("generate", re.fullmatch(r"# [0-9a-f]{16}\n[A-Za-z0-9+/]{43}=\n", one) and one != two, one)
    node.close()


def test_login():
    node = Node()
    with tempfile.NamedTemporaryFile() as f:
        f.write(b"from the file\n")
        f.flush()
        for how, password in ((dict(env={"TAGCTL_PASSWORD": "from the environment"}), "from the environment"),
                              ({}, "from the file")):
            node.asked.clear()
            args = [] if how else ["--password-file", f.name]
            code, _, err = piped("stats", "--user", "me", *args, server=node, **how)
            check(f"login {password}", code == DONE and node.asked[0] == f"set tagctl 0 0 {3 + len(password)}|me {password}",
                  (node.asked, err))
    node.close()
    fails("wrong password", {"set": lines("CLIENT_ERROR authentication failure")}, ["stats", "--user", "me"], FAILED,
          "refuses the user me", env={"TAGCTL_PASSWORD": "x"})


def test_tls():
    with tempfile.TemporaryDirectory() as d:
        cert, key = os.path.join(d, "cert"), os.path.join(d, "key")
        for path, text in ((cert, CERTIFICATE), (key, KEY)):
            with open(path, "w") as f:
                f.write(text)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        node = Node(context=context)
        code, text, err = piped("members", "ls", "--tls", "--ca", cert, server=node)
        check("TLS", code == DONE and text.count("\n") == 3, err)
        code, _, err = piped("members", "ls", "--tls", server=node)
        check("nobody vouches", code == UNREACHABLE and "certificate" in err, err)
        code, _, err = piped("-s", f"localhost:{node.port}", "members", "ls", "--tls", "--ca", cert)
        check("another name", code == UNREACHABLE and "ostname mismatch" in err, err)
        code, _, err = piped("members", "ls", "--tls", "--ca", "/nonexistent", server=node)
        check("no such file", code == UNREACHABLE and "--ca" in err, err)
        check("no TLS there", piped("members", "ls", "--timeout", "0.2", server=node)[0] == UNREACHABLE)
        node.close()
        plain = Node()
        check("no TLS here", piped("members", "ls", "--tls", "--ca", cert, "--timeout", "0.2",
                                   server=plain)[0] == UNREACHABLE)
        plain.close()


# --- and a node that is none of ours -----------------------------------------------------------------------------------------

def test_daemon():
    """The daemon itself, alone: what tagctl sends is what it understands."""
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "socket")
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(os.path.join(d, "notify"))
        notify.settimeout(60)
        root = ["-u", "root"] if os.geteuid() == 0 else []
        p = subprocess.Popen([os.path.join(os.path.dirname(PROGRAM), "tagcached"), *root, "-s", path],
                             stderr=subprocess.DEVNULL,
                             env=dict(ENV, NOTIFY_SOCKET=os.path.join(d, "notify")))
        try:
            check("READY=1", notify.recv(100) == b"READY=1")

            def ask(*args):
                return piped("-s", path, *args)

            code, text, err = ask("status", "-o", "json", "--interval", "0")
            check("alone: status", code == DONE and json.loads(text)["nodes"][0]["items"] == 0, (text, err))
            check("alone: set", ask("key", "set", "k", "hello", "--tag", "a", "--tag", "b", "--ttl", "100", "--flags",
                                    "7")[0] == DONE)
            code, text, _ = ask("key", "get", "k", "-o", "json")
            got = json.loads(text)
            check("alone: get", (got["value"], got["flags"], got["ttl"]) == ("hello", 7, 100), text)
            check("alone: touch", ask("key", "touch", "k", "200")[0] == DONE and json.loads(ask("key", "get", "k", "-o",
                                                                                                "json")[1])["ttl"] == 200)
            code, text, err = ask("key", "explain", "k", "-o", "json")
            check("alone: explain, live", code == DONE and json.loads(text)["state"] == "live" and json.loads(text)["tags"] == 2, (text, err))
            check("alone: explain, absent", ask("key", "explain", "none")[0] == NOT_FOUND)
            code, text, err = ask("purge", "a+b", "c")
            check("alone: purge", code == DONE and text.split("\t")[1:] == ["confirmed", "1", "1", "2\n"], (text, err))
            check("alone: explain", ask("key", "explain", "k")[0] in (DONE, NOT_FOUND))  # a sweep may have been there
            check("alone: purged", ask("key", "get", "k")[0] == NOT_FOUND)
            check("alone: soft", ask("key", "set", "k", "v", "--tag", "a")[0] == DONE and ask("purge", "a", "--soft",
                                                                                              "--ttl", "9")[0] == DONE)
            check("alone: everything", ask("purge", "*", "-y")[0] == DONE and ask("key", "get", "k")[0] == NOT_FOUND)
            check("alone: set and del", ask("key", "set", "k", "v")[0] == DONE and ask("key", "del", "k")[0] == DONE)
            check("alone: gone", ask("key", "del", "k")[0] == NOT_FOUND)
            check("alone: ping, stats, version", all(ask(v)[0] == DONE for v in ("ping", "stats",
                                                                                 "version")) and ask("stats",
                                                                                                     "settings")[0] == DONE)
            check("alone: no members", ask("members", "ls")[0] == FAILED)
        finally:
            p.terminate()
            p.wait(timeout=60)
            notify.close()


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
