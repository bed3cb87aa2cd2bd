#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Purges over HTTP at one node, as a client sees them: tokens, what is gone and what is still there, the audit.

    test_http_purges.py [CASE...]     (default: all)
"""
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import sys
import time

from test_options import LOCAL, PATIENCE_S, Process, ROOT, SOURCE, Server, ask

SECRETS = {"deploy": ("purge,purge_all", ""), "pages": ("purge", " tags=page:,post: "), "slow": ("purge", " rate=2"),
           "reader": ("read", ""), "flush": ("purge_all", "")}
cases = {}


def case(option=None):
    """A case, known by its function's name, or by the option whose effect it shows (tests/options.tsv)."""
    return lambda fn: cases.setdefault(option or fn.__name__, fn)


def token_line(name, scopes, more):
    return f"{name} blake2b:{hashlib.blake2b(('tct_' + name).encode(), digest_size=32).hexdigest()} {scopes}{more}\n"


def write_tokens(path, secrets=None):
    with open(path, "w") as f:
        f.writelines(token_line(name, *rest) for name, rest in (secrets or SECRETS).items())
    os.chmod(path, 0o640)


class Cache(Server):
    """A node with tokens and an audit, and items to purge."""

    def __init__(self, *args, audit=None):
        self.tokens = f"/tmp/test_http_purges.{os.getpid()}.tokens"
        write_tokens(self.tokens)
        self.audit_path = self.tokens + ".audit"
        super().__init__(*LOCAL, "--http", "127.0.0.1:0", "--http-tokens", self.tokens, "--audit", audit or self.audit_path, *args)
        self.seen = 0

    def __exit__(self, *what):
        super().__exit__(*what)
        for path in (self.tokens, self.audit_path):
            if os.path.exists(path):
                os.unlink(path)

    def http_port(self):
        with open(self.ports) as f:
            return int(next(line for line in f if line.startswith("HTTP")).split()[-1])

    def request(self, method, path, body=None, token="deploy", **headers):
        """The status, the headers, the body."""
        c = http.client.HTTPConnection("127.0.0.1", self.http_port(), timeout=PATIENCE_S)
        if token:
            headers["X-Tagcached-Token"] = "tct_" + token
        c.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, r, text

    def fill(self, *items):
        """Stores items, each named by its tags."""
        with self.dial() as s:
            for tags in items:
                assert ask(s, f"ms {tags} 1 G{tags}\r\nx\r\n".encode()) == b"HD\r\n"

    def there(self, *items):
        with self.dial() as s:
            got = ask(s, f"get {' '.join(items)}\r\n".encode(), b"END\r\n")
        return [item for item in items if f"VALUE {item} ".encode() in got]

    def audit(self, n):
        """The next n lines of the audit, and that there are no more; they are written soon after the answers."""
        end = time.monotonic() + PATIENCE_S
        while True:
            with open(self.audit_path) as f:
                lines = f.readlines()[self.seen:]
            if len(lines) >= n and (not lines or lines[-1].endswith("\n")):
                break
            assert time.monotonic() < end, lines
            time.sleep(0.005)
        assert len(lines) == n, lines
        self.seen += n
        return [json.loads(line) for line in lines]


# ------------------------------------------------------------------ purging


@case()
def what_is_gone_when_it_is_answered():
    with Cache() as c:
        for method, path, body, headers in [
                ("POST", "/service/S/purge", '{"surrogate_keys":["a","b"]}', {}),
                ("POST", "/client/v4/zones/Z/purge_cache", '{"tags":["a","b"]}', {}),
                ("POST", "/api/purge", '{"selectors":["a","b"]}', {}),
                ("PURGEKEYS", "/", None, {"xkey_purge": "a b"}),
                ("PURGETAGS", "/", None, {"X_Cache_Tags": "a,b"}),
                ("BAN", "/", None, {"X_Cache_Tags": "(^|,)(a|b)(,|$)"}),
                ("PURGE", "/", None, {"X_Magento_Tags_Pattern": "((^|,)a(,|$))|((^|,)b(,|$))"})]:
            c.fill("a", "b", "c")
            status, r, _ = c.request(method, path, body, **headers)
            assert status == 200 and r.getheader("X-Tagcached-Purge").endswith(" confirmed 1/1"), (path, status)
            assert c.there("a", "b", "c") == ["c"], path
            line, = c.audit(1)
            assert (line["stage"], line["mode"], line["selectors"]) == ("confirmed", "hard", ["a", "b"]), line
            assert line["actor"]["token"] == "deploy" and r.getheader("X-Tagcached-Purge").startswith(line["id"] + " ")


@case()
def everything():
    with Cache() as c:
        c.fill("a", "b")
        assert c.request("POST", "/service/S/purge_all")[0] == 200
        assert c.there("a", "b") == []
        assert c.audit(1)[0]["mode"] == "all"


@case()
def softly():
    """One reader is asked to refill, the others are served what is there."""
    with Cache() as c:
        c.fill("a")
        assert c.request("POST", "/client/v4/zones/Z/invalidate_cache", '{"tags":["a"]}')[0] == 200
        with c.dial() as s:
            assert sorted(ask(s, b"mg a s\r\n").split()) == [b"HD", b"W", b"X", b"s1"]
            assert sorted(ask(s, b"mg a s\r\n").split()) == [b"HD", b"X", b"Z", b"s1"]
        assert c.audit(1)[0]["mode"] == "soft"


@case()
def many_tags_are_several_purges():
    with Cache() as c:
        tags = [f"t{i}" for i in range(130)]
        c.fill("t0", "t64", "t129", "t130")
        status, r, text = c.request("POST", "/service/S/purge", json.dumps({"surrogate_keys": tags}))
        assert status == 200 and list(json.loads(text)) == tags
        assert r.getheader("X-Tagcached-Purge").count("confirmed 1/1") == 3
        assert c.there("t0", "t64", "t129", "t130") == ["t130"]
        assert sum((line["selectors"] for line in c.audit(3)), []) == tags
        page = c.request("GET", "/metrics", token=None)[2].splitlines()
        assert 'tagcached_purges_requested_total{source="http"} 3' in page
        assert "tagcached_purge_apply_seconds_count 1" in page and "tagcached_purge_confirm_seconds_count 1" in page  # an answer
        assert 'tagcached_http_requests_total{dialect="fastly",code="200"} 1' in page


@case()
def a_conjunction():
    with Cache() as c:
        c.fill("de,licence:7", "licence:7", "de")
        assert c.request("POST", "/api/purge", '{"selectors":["licence:7+de"],"reason":"TICKET-12"}')[0] == 200
        with c.dial() as s:
            assert ask(s, b"get de,licence:7 licence:7 de\r\n", b"END\r\n").count(b"VALUE") == 2
        assert c.audit(1)[0]["reason"] == "TICKET-12"


@case()
def a_receipt():
    """What was taken out is counted, and gone from memory's index, before the answer."""
    with Cache() as c, c.dial() as s:
        for i in range(300):
            assert ask(s, b"ms k%d 1000 Ga\r\n%b\r\n" % (i, b"v" * 1000)) == b"HD\r\n"
        c.fill("b")
        status, _, text = c.request("POST", "/api/purge", '{"selectors":["a"],"receipt":true}')
        body = json.loads(text)
        assert status == 200 and body["items"] == 300 and 300_000 < body["bytes"] < 400_000, body
        assert b"STAT curr_items 1\r\n" in ask(s, b"stats\r\n", b"END\r\n")
        for line, stage in zip(c.audit(2), ("confirmed", "swept")):
            assert (line["stage"], line["items"], line["bytes"]) == (stage, body["items"], body["bytes"]), line
        assert line["erased_at"] is None, line
        assert ask(s, b"mp b c s\r\n").startswith(b"HD c1 b")
        assert ask(s, b"mp b I c\r\n") == b"HD c0 b0\r\n"
        assert [x["stage"] for x in c.audit(3)] == ["confirmed", "swept", "confirmed"]


@case()
def a_receipt_in_any_dialect():
    """?receipt=true, or a header: counted as in the own form; with --erase the audit says since when nothing is left."""
    with Cache("--erase") as c:
        for method, path, headers in [("POST", "/service/S/purge/a?receipt=true", {}),
                                      ("PURGETAGS", "/", {"X_Cache_Tags": "a", "X_Tagcached_Receipt": "true"})]:
            c.fill("a", "b")
            assert c.request(method, path, **headers)[0] == 200
            assert c.there("a", "b") == ["b"]
            done, swept = c.audit(2)
            assert (done["stage"], done["items"], swept["stage"], swept["items"]) == ("confirmed", 1, "swept", 1), swept
            assert swept["id"] == done["id"] and done["ts"][:10] == swept["erased_at"][:10], swept
        assert c.request("POST", "/client/v4/zones/Z/invalidate_cache?receipt=true", '{"tags":["a"]}')[0] == 400
        assert c.audit(1)[0]["stage"] == "refused"


# ------------------------------------------------------------------ what is refused


@case()
def bad_input_purges_nothing():
    """Each dialect's own error, nothing purged, one line of the audit."""
    with Cache() as c:
        c.fill("a")
        for method, path, body, headers, form in [
                ("POST", "/service/S/purge", '{"surrogate_keys":["a",7]}', {}, "msg"),
                ("POST", "/client/v4/zones/Z/purge_cache", '{"tags":["a"],"hosts":["b"]}', {}, "errors"),
                ("POST", "/api/purge", '{"selectors":["a","b c"]}', {}, "error"),
                ("POST", "/ccu/v3/delete/tag/production", '{"objects":["a",""]}', {}, "httpStatus"),
                ("POST", "/pullzone/1/purgeCache", '{"CacheTag":["a"]}', {}, "ErrorKey"),
                ("BAN", "/", None, {"X_Cache_Tags": "(^|,)(a|b.*)(,|$)"}, None),
                ("PURGEKEYS", "/", None, {}, None)]:
            status, _, text = c.request(method, path, body, **headers)
            assert status == 400 and (form is None or form in json.loads(text)), (path, status, text)
            line, = c.audit(1)
            assert line["stage"] == "refused" and line["error"], line
        assert c.there("a") == ["a"]


@case()
def a_body_that_is_cut_off_purges_nothing():
    with Cache() as c:
        c.fill("a")
        body = b'{"surrogate_keys":["a"]}'
        for sent in (b"", body[:-2], body[:-1]):
            with socket.create_connection(("127.0.0.1", c.http_port())) as s:
                s.sendall(b"POST /service/S/purge HTTP/1.1\r\nHost: a\r\nFastly-Key: tct_deploy\r\nContent-Length: "
                          + str(len(body)).encode() + b"\r\n\r\n" + sent)
                s.shutdown(socket.SHUT_WR)
                while s.recv(1000):
                    pass
        assert c.there("a") == ["a"]
        c.audit(0)


@case()
def who_may_not():
    with Cache("-F") as c:
        c.fill("a", "page:1", "page:1,x")
        fastly, everything = "/service/S/purge", "/service/S/purge_all"
        for status, token, path, keys in [(401, None, fastly, "a"), (401, "nobody", fastly, "a"), (403, "reader", fastly, "a"),
                                          (403, "pages", fastly, "a"), (403, "pages", fastly, "page:1 a"),
                                          (403, "pages", everything, None), (403, "flush", fastly, "a"),
                                          (403, "flush", everything, None)]:  # the last one: -F
            got, _, text = c.request("POST", path, token=token, **({"Surrogate_Key": keys} if keys else {}))
            assert got == status and "msg" in json.loads(text), (token, path, got)
            line, = c.audit(1)
            assert line["stage"] == "refused" and line["actor"]["token"] == (token if token in SECRETS else None), line
        assert c.there("a", "page:1") == ["a", "page:1"]
        assert c.request("POST", "/api/purge", '{"selectors":["page:1","x+post:2"]}', token="pages")[0] == 200
        assert c.there("a", "page:1") == ["a"]


@case("http-tokens")
def tokens_in_all_headers():
    with Cache() as c:
        for headers in [{"Fastly_Key": "tct_deploy"}, {"Authorization": "Bearer tct_deploy"}, {"X_Auth_Key": "tct_deploy"},
                        {"AccessKey": "tct_deploy"}, {"Authorization": "Basic dXNlcjp0Y3RfZGVwbG95"}]:
            assert c.request("POST", "/service/S/purge/a", token=None, **headers)[0] == 200, headers
        for headers in [{"Authorization": "Basic dXNlcjp0Y3RfZGVwbG9"}, {"Authorization": "Digest tct_deploy"},
                        {"Authorization": "Basic "}, {"Fastly_Key": ""}, {"Fastly_Key": "tct_deploy "[:-2]}]:
            assert c.request("POST", "/service/S/purge/a", token=None, **headers)[0] == 401, headers


@case()
def rates():
    """Two a second: a burst of ten gets two, or as many more as half seconds have passed."""
    with Cache() as c:
        begun = time.monotonic()
        got = [c.request("POST", "/service/S/purge/a", token="slow")[0] for _ in range(10)]
        passed = time.monotonic() - begun
        assert got[:2] == [200, 200] and got.count(200) <= 3 + 2 * passed and set(got) <= {200, 429}, got
        assert 429 in got or passed > 3, got
        assert c.request("POST", "/service/S/purge/a")[0] == 200  # another token's rate is its own


# ------------------------------------------------------------------ files


def told(c, event):
    end = time.monotonic() + PATIENCE_S
    while event not in c.text(c.err):
        assert time.monotonic() < end, c.text(c.err)
        time.sleep(0.005)


@case()
def tokens_are_read_again():
    with Cache() as c:
        assert c.request("POST", "/service/S/purge/a", token="new")[0] == 401
        write_tokens(c.tokens, {"new": ("purge", "")})
        os.kill(c.pid, signal.SIGHUP)
        told(c, "reloaded")
        assert c.request("POST", "/service/S/purge/a", token="new")[0] == 200
        assert c.request("POST", "/service/S/purge/a")[0] == 401
        line = next(x for x in c.audit(4) if x["event"] == "tokens")
        assert line["stage"] == "applied" and line["actor"]["kind"] == "node", line
        assert set(line["detail"].split()) == {"created=new"} | {f"revoked={name}" for name in SECRETS}, line
        os.chmod(c.tokens, 0o644)
        os.kill(c.pid, signal.SIGHUP)
        told(c, "tokens_reload_failed")
        line, = c.audit(1)
        assert line["event"] == "tokens" and line["stage"] == "refused" and "chmod o=" in line["error"], line
        assert c.request("POST", "/service/S/purge/a", token="new")[0] == 200


@case()
def files_that_are_refused():
    path = f"/tmp/test_http_purges.{os.getpid()}.bad"
    for mode, text, sentence in [(0o644, "", "may be read by others: chmod o= takes that away"),
                                 (0o660, "", "may be written by its group"), (0o600, "a b c\n", "line 1: behind the name comes"),
                                 (None, "", "No such file")]:
        if mode is not None:
            with open(path, "w") as f:
                f.write(text)
            os.chmod(path, mode)
        with Process(*ROOT, *LOCAL, "--http", "127.0.0.1:0", "--http-tokens", path) as p:
            assert not p.serves
            p.p.wait(PATIENCE_S)
            assert sentence in p.text(p.err), p.text(p.err)
        if mode is not None:
            os.unlink(path)
    for args, sentence in [(["--http-tokens", path], "is of use with --http only"), (["--audit", "required"], "takes one file"),
                           (["--audit", "a,b"], "takes one file"), (["--audit-hash", path], "is of use with --audit only"),
                           (["--audit", "/nonexistent/a"], "cannot write to --audit /nonexistent/a"),
                           (["--http", "127.0.0.1:0", "--http-url-tag", "u"], "is of use with --http-tokens only")]:
        with Process(*ROOT, *LOCAL, *args) as p:
            assert not p.serves
            p.p.wait(PATIENCE_S)
            assert sentence in p.text(p.err), (args, p.text(p.err))


@case("http-url-tag")
def urls():
    with Cache("--http-url-tag", "url:") as c:
        c.fill("url:www.example.com/a", "url:www.example.com/b")
        assert c.request("POST", "/client/v4/zones/Z/purge_cache", '{"files":["https://www.example.com/a?x=1"]}')[0] == 200
        assert c.there("url:www.example.com/a", "url:www.example.com/b") == ["url:www.example.com/b"]


# ------------------------------------------------------------------ the audit


@case("audit")
def every_command_is_audited():
    with Cache() as c, c.dial() as s:
        for request, answer, dialect, mode, selectors in [
                (b"purge a b+c\r\n", b"PURGED\r\n", "purge", "hard", ["a", "b+c"]),
                (b"mp a,b I T5 rTICKET%207\r\n", b"HD\r\n", "mp", "soft", ["a", "b"]),
                (b"delete x|#|p=a,b\r\n", b"DELETED\r\n", "delete", "hard", ["a", "b"]),
                (b"tags_delete a b\r\n", b"0 ITEMS_DELETED\r\n", "tags_delete", "hard", ["a", "b"]),
                (b"flush_all\r\n", b"OK\r\n", "flush_all", "all", ["*"])]:
            assert ask(s, request) == answer, request
            line, *swept = c.audit(2 if dialect == "tags_delete" else 1)  # which counts
            assert [x["stage"] for x in swept] == ["swept"] * (dialect == "tags_delete"), swept
            actor = line["actor"]
            assert (actor["kind"], actor["dialect"], line["mode"], line["selectors"], line["stage"]) == \
                ("text", dialect, mode, selectors, "confirmed"), line
            assert actor["addr"] == "%s:%d" % s.getsockname() and line["id"].isdigit()
            assert line["reason"] == ("TICKET 7" if b"rTICKET" in request else None)
        assert ask(s, b"flush_all 60\r\n") == b"OK\r\n"
        assert c.audit(1)[0]["stage"] == "planned"
        with c.dial() as b:  # a binary flush
            b.sendall(b"\x80\x08" + bytes(22))
            assert b.recv(24)[6:8] == b"\0\0"
        line, = c.audit(1)
        assert line["actor"]["kind"] == "binary" and line["mode"] == "all"


@case()
def without_its_line_no_purge():
    """A full disk, and --audit=required: nothing is purged, and that is said."""
    with Cache(audit="/dev/full,required") as c, c.dial() as s:
        c.fill("a")
        refused = b"SERVER_ERROR the audit cannot be written\r\n"
        assert ask(s, b"purge a\r\n") == refused
        assert ask(s, b"mp a\r\n") == refused
        assert ask(s, b"flush_all\r\n") == refused
        assert ask(s, b"purge a\r\npurge a\r\nversion\r\n", b".45\r\n").count(refused) == 2
        status, _, text = c.request("POST", "/service/S/purge/a")
        assert status == 503 and "the audit cannot be written" in text
        assert c.there("a") == ["a"]
    with Cache(audit="/dev/full") as c, c.dial() as s:  # not required: the purge is made, the loss is logged
        c.fill("a")
        assert ask(s, b"purge a\r\n") == b"PURGED\r\n" and c.there("a") == []
        told(c, "audit_lost")


@case()
def its_line_comes_first():
    with Cache("--audit", "required") as c, c.dial() as s:
        c.fill("a", "b")
        assert ask(s, b"purge a\r\n") == b"PURGED\r\n"
        assert [line["stage"] for line in c.audit(2)] == ["asked", "confirmed"]
        assert c.request("POST", "/service/S/purge/b")[0] == 200
        assert [line["stage"] for line in c.audit(2)] == ["asked", "confirmed"]
        assert c.there("a", "b") == []
        s.sendall(b"purge a\r\n" * 50 + b"mn\r\n")
        got = ask(s, b"", b"MN\r\n")
        assert got == b"PURGED\r\n" * 50 + b"MN\r\n", got
        c.audit(100)
        assert ask(s, b"flush_all\r\n") == b"OK\r\n"
        assert [line["stage"] for line in c.audit(2)] == ["asked", "confirmed"]


@case()
def a_reason_is_demanded():
    path = f"/tmp/test_http_purges.{os.getpid()}.tokens.audit"
    with Cache(audit=path + ",reason") as c, c.dial() as s:
        c.fill("a", "b", "c")
        for request in (b"purge a\r\n", b"mp a\r\n", b"mp a r\r\n", b"delete x|#|p=a\r\n", b"flush_all\r\n", b"flush_all 5\r\n"):
            assert ask(s, request).startswith(b"CLIENT_ERROR "), request
        assert c.request("POST", "/service/S/purge/a")[0] == 400
        assert c.request("POST", "/service/S/purge/a?reason=")[0] == 400
        assert c.there("a", "b", "c") == ["a", "b", "c"]
        assert [x["stage"] for x in c.audit(8)] == ["refused"] * 8
        assert ask(s, b"mp a rT-1\r\n") == b"HD\r\n"
        assert c.request("POST", "/service/S/purge/b", X_Tagcached_Reason="T-2")[0] == 200
        assert c.there("a", "b", "c") == ["c"]
        assert [x["reason"] for x in c.audit(2)] == ["T-1", "T-2"]


@case("audit-hash")
def no_name_in_clear():
    path = f"/tmp/test_http_purges.{os.getpid()}.key"
    with open(path, "w") as f:
        f.write("00" * 32 + "\n")
    with Cache("--audit-hash", path) as c, c.dial() as s:
        assert ask(s, b"purge user:42\r\n") == b"PURGED\r\n"
        want = "b2:" + hashlib.blake2b(b"user:42", digest_size=16, key=bytes(32)).hexdigest()
        assert c.audit(1)[0]["selectors"] == [want]
    os.unlink(path)


@case()
def alerts_ask_for_metrics_that_there_are():
    there = set()
    for name in ("metrics.memcached.def", "metrics.tagcached.def", "metrics.c"):
        with open(os.path.join(SOURCE, "server", "http", name)) as f:
            there |= set(re.findall(r"(?:tagcached|memcached)_\w+", f.read()))
    with open(os.path.join(SOURCE, "docs", "alerts.md")) as f:
        asked = set(re.findall(r"\b(?:tagcached|memcached)_\w+", f.read()))
    assert len(asked) > 12 and asked <= there, asked - there


def main():
    for name in sys.argv[1:] or cases:
        print(name, flush=True)
        cases[name]()


if __name__ == "__main__":
    main()
