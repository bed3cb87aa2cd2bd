#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tagctl against a scripted node: what each verb prints on a terminal, through a pipe and as JSON (golden.txt), what it sends,
how it ends when a node refuses, lies, stalls or is not there.

    test_tagctl.py [--update]       --update writes golden.txt anew, to be read before it is committed
"""
import hashlib
import json
import os
import pty
import re
import socket
import ssl
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from node import CLOSE, HANG, KEYS, NODES, NUMBER, PURGES, Node, digest, lines, members, ring, status  # noqa: E402
from tls import CERTIFICATE, KEY  # noqa: E402

PROGRAM = os.path.join(os.environ.get("TAGCACHED_BUILDDIR", "."), "tagctl")
GOLDEN = os.path.join(HERE, "golden.txt")
DONE, FAILED, USAGE, NOT_FOUND, UNREACHABLE, DECLINED = range(6)
ENV = {k: v for k, v in os.environ.items() if not k.startswith("TAGCTL_") and k not in ("NO_COLOR", "TERM")}
ENV["TERM"] = "xterm"
failures = []


def check(what, good, note=""):
    if not good:
        failures.append(what)
        print(f"FAIL {what}\n     {note}")


def piped(*args, server=None, env=None, stdin=""):
    """Runs tagctl without a terminal: status, output, errors."""
    where = ["-s", f"127.0.0.1:{server.port}"] if server else []
    p = subprocess.run([PROGRAM, *where, *args], capture_output=True, timeout=60, env=dict(ENV, **(env or {})),
                       **({"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin.encode()}))
    return p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")


def read_terminal(master):
    """All that was written to the other side, when that is closed."""
    seen = b""
    while True:
        try:
            some = os.read(master, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            some = b""
        if not some:
            os.close(master)
            return seen
        seen += some


def on_terminal(*args, server, env=None, typed=None):
    """Runs tagctl with output (and, if something is typed, input) on a terminal: status, all that was seen."""
    master, slave = pty.openpty()
    p = subprocess.Popen([PROGRAM, "-s", f"127.0.0.1:{server.port}", *args], stdout=slave, stderr=slave,
                         stdin=slave if typed is not None else subprocess.DEVNULL, env=dict(ENV, **(env or {})))
    os.close(slave)
    if typed is not None:
        os.write(master, typed.encode())
    seen = read_terminal(master)
    return p.wait(timeout=60), seen.decode(errors="replace").replace("\r\n", "\n")


# What only looks; and what verbs send that change something.
READS = re.compile(r"(cluster at \S+ )?(cluster (status|members|ring|purges.*|key ls|recover)|stats.*|mn|version|explain .*|mg .*)$")
CHANGES = {
    "purge a b+c": "mp a,b+c n s w2000", "purge a --soft": "mp a n s w2000 I",
    "purge a --soft --ttl 9": "mp a n s w2000 I T9",
    "purge a --receipt": "mp a n s w2000 c",
    "purge a --reason TICKET-12": "mp a n s w2000 rTICKET-12",
    "purge a --wait none": "mp a n s w0", "purge a --timeout 30": "mp a n s w30000", "purge -- ls": "mp ls n s w2000",
    "key set k v --tag a --tag b --ttl 5 --flags 7": "ms k 1 T5 F7 Ga,b|v", "key del k": "md k",
    "key touch k 9": "touch k 9",
    "members join 10.0.0.9:21211": "cluster join 10.0.0.9:21211", "members leave c3:11211 -y": "cluster leave c3:11211",
    "members drain c3:11211 -y": "cluster drain c3:11211", "members undrain c3:11211 -y": "cluster undrain c3:11211",
    "members forget c3:11211 -y": "cluster forget c3:11211", "members weight c3:11211 3 -y": "cluster weight c3:11211 3",
    "keyring use 7f3109be42aa01c9": "cluster key use 7f3109be42aa01c9", "keyring add": "cluster key reload",
    "keyring remove 02acb1d3ee7f6405 -y": "cluster key remove 02acb1d3ee7f6405",
    "cluster set eject-after 60000": "cluster set eject-after 60000", "cluster recover -y": "cluster recover 41",
}
CHANGING = {tuple(c.split(" ")[:2]) for c in CHANGES if not c.startswith("purge")}

# --- what each verb prints -----------------------------------------------------------------------------------------------

# Command lines; each is run on a terminal, through a pipe and with -o json.
SHOWN = [
    "status --interval 0", "members ls", "members show c2:11211", "members show c9:11211", "members join 10.0.0.9:21211",
    "members leave c3:11211 --yes", "members drain c3:11211 --yes", "members undrain c3:11211 --yes",
    "members weight c3:11211 3 --yes", "members weight c3:11211 none --yes", "members forget c3:11211 --yes",
    "members drain c3:11211 --yes --wait",
    "members leave c3:11211 --dry-run", "members leave c9:11211 --yes",
    "members restart ssh-{host} --dry-run", "members restart ssh-{host} c2:11211 --keep --dry-run", "members restart false c9:11211 --yes",
    "ping",
    "purge licence:7+region:de product:77", "purge --soft --ttl 60 product:77", "purge * --yes",
    "purge product:77 --dry-run", "purge ls", "purge show 4-88422", "purge show 4-88423", "purge show 4-9",
    "purge wait 4-88422", "purge wait 4-88423 --timeout 0", "key get user:42", "key get bytes", "key get none",
    "key set user:42 hello --ttl 60 --tag users --tag org7 --flags 7", "key del user:42", "key del none",
    "key del user:42 --dry-run", "key touch user:42 300", "key touch none 300", "key explain user:42", "key explain live",
    "key explain none", "ring show", "ring show --servers a:11211,b:11212:2,[::1]:11213", "ring locate user:42 user:43",
    "ring locate user:42 --servers a:11211,b:11212:2", "ring plan add c4:11211", "ring plan remove c1:11211",
    "ring plan weight c1:11211 2", "ring plan add b:1 --servers a:1", "ring verify",
    "ring verify --servers c1:11211,c2:11211,c3:11211:2", "ring verify --servers c1:11211:2,c2:11211,c4:11211",
    "stats", "stats cluster", "stats --node c2:11211", "stats --all", "hotkeys", "keyring ls", "keyring add",
    "keyring add 7f3109be42aa01c9", "keyring add 0000000000000000", "keyring use 7f3109be42aa01c9",
    "keyring remove 02acb1d3ee7f6405 --yes", "cluster set eject-after 60000", "cluster set eject-after 60000 --dry-run",
    "cluster recover --yes", "cluster recover --dry-run", "version", "keyring generate",
    "token create deploy --scope purge,read --tags page:,post: --rate 10 --file @TOKENS", "token create ops --file @TOKENS",
    "token create deploy --file @TOKENS --dry-run", "token create a/b --file @TOKENS", "token ls --file @TOKENS",
    "token revoke ops --file @TOKENS --yes", "token revoke nobody --file @TOKENS --yes",
]
TOKENS = f"# who\nops blake2b:{'0123456789abcdef' * 4} admin,purge_all\nfeed blake2b:{'f' * 64} purge tags=feed: rate=2\n"


def steady(command, text, port):
    """What differs from run to run made the same: the port, and measured times with the blanks before them."""
    text = text.replace(f"127.0.0.1:{port}", "127.0.0.1:PORT")
    if command == "keyring generate":
        return re.sub(r"[A-Za-z0-9+/]{43}=", "KEY", re.sub(r"(# )?\b[0-9a-f]{16}\b", "ID", text))
    if command == "ping":
        text = re.sub(r'"ms": [0-9.]+', '"ms": TIME', text)
        return re.sub(r"( +|\t)[0-9.]+( ms)?(?=\t|  ok)", " TIME", re.sub(r"NODE +", "NODE ", text))
    text = re.sub(r"(last copy gone|:51230 at) \S+Z", r"\1 WHEN", text)
    if command.split(" ")[1:2] not in (["ls"], ["show"], ["wait"]):
        text = re.sub(r'"took_ms": [0-9.]+', '"took_ms": TIME', text)
        text = re.sub(r"^(confirmed|pending) on (.*) in [0-9.]+ ms", r"\1 on \2 in TIME ms", text, flags=re.M)
    return text


def show(command):
    if "@TOKENS" in command:
        with tempfile.TemporaryDirectory() as d:
            return show_in(command, os.path.join(d, "tokens"))
    return show_in(command, None)


def show_in(command, tokens):
    """tokens: a file that stands for @TOKENS, as it is at the beginning each time."""
    args = command.replace("@TOKENS", tokens or "").split(" ")
    out = [f"# {command}\n"]
    for way in ("terminal", "plain", "json"):
        node = Node()
        if tokens:
            with open(tokens, "w") as f:
                f.write(TOKENS)
        if way == "terminal":
            code, text = on_terminal(*args, server=node)
        else:
            code, text, err = piped(*args, *(["-o", "json"] if way == "json" else []), server=node, stdin=None)
            text += "".join(f"! {line}\n" for line in err.splitlines())
        text = steady(command, text, node.port)
        if tokens:
            text = re.sub(r"tct_[0-9a-f]{64}", "SECRET", text.replace(tokens, "TOKENS"))
        out.append(f"## {way}, {code}\n{text}" + ("" if text.endswith("\n") or not text else "\n"))
        words = tuple(command.split(" ")[:2])
        if words not in CHANGING and (words[0] != "purge" or words[1] in ("ls", "show", "wait")):
            check(f"{command} only looks", all(READS.match(c) for c in node.asked), node.asked)
        if way == "json" and code == DONE:
            silent = command.startswith(("key set", "key del", "key touch")) and "dry-run" not in command
            check(f"{command}: JSON", text == "" if silent else parses(text), text)
        node.close()
    return "".join(out)


def parses(text):
    try:
        json.loads("\n".join(line for line in text.replace("TIME", "0").splitlines() if not line.startswith("! ")))
        return True
    except ValueError:
        return False


def test_shown():
    shown = [show(c) for c in SHOWN]
    if "--update" in sys.argv:
        with open(GOLDEN, "w", newline="") as f:
            f.write("\n".join(shown))
        return
    with open(GOLDEN, newline="") as f:
        golden = dict((part.split("\n", 1)[0], part) for part in re.split(r"\n(?=# )", f.read()))
    for part in shown:
        name = part.split("\n", 1)[0]
        check(f"golden {name[2:]}", golden.get(name, "").rstrip("\n") == part.rstrip("\n"),
              f"expected\n{golden.get(name)}\nseen\n{part}")
    check("nothing else in golden.txt", len(golden) == len(shown))


def test_help():
    """Every verb, and every group, explains itself with an example, and needs nobody for it."""
    code, text, _ = piped("--help")
    check("--help", code == DONE and "Examples:" in text and "--server" in text)
    check("no words", piped()[0] == USAGE)
    for words in sorted({tuple(w for w in command.split(" ")[:2] if not w.startswith("-")) for command in SHOWN}):
        code, text, _ = piped(*words, "--help")
        check(f"{words} --help", code == DONE and "xample" in text and f"tagctl {words[0]}" in text, text)
        check(f"{words} --help is narrow", all(len(line) <= 110 for line in text.splitlines()))
    check("a group alone", piped("members")[0] == USAGE and piped("members", "--help")[0] == DONE)
    for option in ("--man-verbs", "--man-options"):
        check(option, piped(option)[1].count(".TP") > 15)


def test_tokens():
    """What is in the file after each verb: lines of others stay as they are, its mode too, and only a hash is kept."""
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "tokens")
        code, text, _ = piped("token", "create", "deploy", "--scope", "purge,read", "--file", path)
        secret = text.splitlines()[-1]
        check("a secret", code == DONE and re.fullmatch(r"tct_[0-9a-f]{64}", secret), text)
        check("nobody else reads it", os.stat(path).st_mode & 0o777 == 0o600)
        digest = hashlib.blake2b(secret.encode(), digest_size=32).hexdigest()
        with open(path) as f:
            check("its line", f.read() == f"deploy blake2b:{digest} read,purge\n")
        with open(path, "w") as f:
            f.write(TOKENS.rstrip("\n"))
        os.chmod(path, 0o640)
        check("create", piped("token", "create", "new", "--file", path)[0] == DONE)
        check("revoke", piped("token", "revoke", "new", "--file", path, "--yes")[0] == DONE)
        with open(path) as f:
            check("all as it was", f.read() == TOKENS)
        check("its mode as it was", os.stat(path).st_mode & 0o777 == 0o640)
        check("declined", piped("token", "revoke", "ops", "--file", path, stdin=None)[0] == DECLINED)
        check("no such file", piped("token", "ls", "--file", path + "x")[0] == NOT_FOUND)
        check("no file named", piped("token", "ls")[0] == USAGE)
        for more in (["--scope", "all"], ["--rate", "0"], ["--tags", "a+b"]):
            check(f"{more}", piped("token", "create", "x", "--file", path, *more)[0] == USAGE)
        with open(path, "a") as f:
            f.write("no token\n")
        code, _, err = piped("token", "create", "x", "--file", path)
        check("a file that is none", code == FAILED and "line 4" in err, err)


# --- what is sent --------------------------------------------------------------------------------------------------------

def test_sent():
    """What goes over the wire, and that --dry-run sends nothing that changes anything."""
    for command, sent in CHANGES.items():
        node = Node()
        piped(*command.split(" "), server=node)
        check(f"{command} sends {sent}", sent in node.asked, node.asked)
        node.asked.clear()
        args = command.split(" ")
        args.insert(1, "--dry-run")
        code, text, err = piped(*args, server=node)
        check(f"{command} --dry-run", code == DONE and "nothing was changed" in text, (code, text, err))
        check(f"{command} --dry-run only looks", all(READS.match(c) for c in node.asked), node.asked)
        node.close()


def test_waiting_for_items():
    """--wait asks the node until its items are through, or it is gone; a bar shows how far it is."""
    moving = "cluster at c3:11211 cluster status"
    old, gone = status(version=41), members(states=("serving", "serving", "leaving"), health=("alive", "alive", "left"))
    steps = [old, status(version=42, handoffs=2, handed=100, to_hand=400, left_s=3), status(version=42)]
    for way in (piped, on_terminal):
        node = Node({moving: list(steps)})
        code, text, *_ = way("members", "drain", "c3:11211", "--yes", "--wait", server=node)
        check("it waits", code == DONE and node.asked.count(moving) == 3 and "is drained" in text, (code, text, node.asked))
        if way is on_terminal:
            check("a bar", "[########......................]  25 %  100 of about 400 items, 3 s left" in text, text)
        node.close()
    node = Node({moving: list(steps)})
    code, text, _ = piped("members", "drain", "c3:11211", "--yes", server=node)
    check("it does not wait", code == DONE and moving not in node.asked, node.asked)
    node.close()
    node = Node({"cluster status": status(handoffs=2, handed=100, to_hand=400, left_s=3)})
    check("status shows it", "items move: 25 %, 3 s left  (max lag" in on_terminal("status", "--interval", "0", server=node)[1])
    node.close()
    node = Node({"cluster members": [members(), members(), gone], moving: [steps[1]]})
    code, text, _ = piped("--wait", "members", "leave", "c3:11211", "--yes", server=node)
    check("a flag before its verb is the other --wait", code == USAGE, (code, text))
    code, text, _ = piped("members", "leave", "c3:11211", "--yes", "--wait", server=node)
    check("who is gone is waited for no more", code == DONE and "leaves" in text, (code, text))
    node.close()


def test_many_selectors():
    """64 a purge, several purges under way; the worst of them is the result."""
    node = Node()
    code, text, err = piped("purge", "--stdin", "-o", "json", server=node,
                            stdin="\n".join(f"tag{i}" for i in range(1500)) + "\n")
    sent = [c for c in node.asked if c.startswith("mp ")]
    check("24 purges", code == DONE and len(sent) == 24 and len(json.loads(text)["purges"]) == 24, err)
    check("all selectors, once", ",".join(c.split(" ")[1] for c in sent) == ",".join(f"tag{i}" for i in range(1500)))
    node.close()
    node = Node({"mp": lines(f"PA n2/3 s{NUMBER + 1}")})
    code, text, err = piped("purge", "a", server=node)
    check("pending", code == FAILED and text == "4-88423\tpending\t2\t3\t1\n" and "purge wait 4-88423" in err, (text, err))
    check("--wait none", piped("purge", "a", "--wait", "none", server=node)[0] == DONE)
    check("--wait local", piped("purge", "a", "--wait", "local", server=node)[0] == DONE)
    code, text = on_terminal("purge", "a", server=node)
    node.script["cluster purges 4-88423"] = lines("PURGE id=4-88423 state=pending acked=1 members=2",
                                                  "ACK name=c1:11211 acked=yes",
                                                  "ACK name=c2:11211 acked=no", "END")
    check("without times", on_terminal("purge", "a", server=node)[1].startswith("c1:11211   c2:11211 missing\n"))
    check("without anything", on_terminal("purge", "show", "4-88423", server=node)[1].startswith("pending 1/2\n"))
    check("who is missing", code == FAILED and "c3:11211 missing" in text and "pending on 2/3" in text, text)
    node.close()
    node = Node({"mp": lines("PA n0/3")})
    check("--wait local, not even here", piped("purge", "a", "--wait", "local", server=node)[0] == FAILED)
    check("* from a pipe", piped("purge", "--stdin", server=node,
                                 stdin="a\n*\n")[0] == DECLINED and node.asked[-1] != "mp * n s w2000")
    node.close()


def test_wait():
    """purge wait looks again until the purge is confirmed."""
    class Slow(Node):
        looks = 0

        def answer(self, command):
            if command.startswith("cluster purges"):
                self.looks += 1
                return PURGES["4-88423" if self.looks < 3 else "4-88422"]
            return super().answer(command)

    node = Slow()
    code, text, _ = piped("purge", "wait", "4-88422", "--timeout", "60", server=node)
    check("waits", code == DONE and node.looks == 3 and "confirmed" in text, (node.looks, text))
    node.close()


def test_progress():
    """Progress is for a terminal only, and is wiped away."""
    node = Node()
    master, slave = pty.openpty()
    p = subprocess.run([PROGRAM, "-s", f"127.0.0.1:{node.port}", "purge", "--stdin", "-o", "json"], stderr=slave, env=ENV,
                       timeout=60,
                       stdout=subprocess.PIPE, input="\n".join(f"tag{i}" for i in range(3000)).encode())
    os.close(slave)
    seen = read_terminal(master).decode()
    check("progress", p.returncode == DONE and "selectors in 16 purges" in seen and seen.endswith("\r\033[K"), seen)
    node.close()


def test_locate_stdin():
    node = Node()
    code, text, _ = piped("ring", "locate", "--stdin", "--servers", "a:11211,b:11211", stdin="k1\nk2\nk3|#|t=x\nk3\n")
    rows = [line.split("\t") for line in text.splitlines()]
    check("key, tab, owner", code == DONE and [r[0] for r in rows] == ["k1", "k2", "k3|#|t=x", "k3"] and
          all(r[1] in ("a:11211", "b:11211") for r in rows) and len(rows) == 4, text)
    # A client hashes a key as it is; nodes without suffix and prefix, as they say (or have it by default).
    tagged = [f"key{i}|#|t=x" for i in range(40)]
    theirs = piped("ring", "locate", *tagged, "--servers", "c1:11211,c2:11211,c3:11211:2")[1]
    plain = piped("ring", "locate", *(f"key{i}" for i in range(40)), server=node)[1]
    check("a client hashes the suffix", [r.split("\t")[1] for r in theirs.splitlines()] != [r.split("\t")[1] for r in plain.splitlines()])
    for rule, form in (("", "key{}|#|t=x"), (" marker=@@ strip_prefix=ns:", "ns:key{}@@t=x"),
                       (" marker=- strip_prefix=-", "key{}")):
        other = Node({"cluster ring": ring().replace(b" nodes=3", rule.encode() + b" nodes=3")})
        text = piped("ring", "locate", *(form.format(i) for i in range(40)), server=other)[1]
        check(f"nodes hash{rule}", [r.split("\t")[1] for r in text.splitlines()] == [r.split("\t")[1] for r in plain.splitlines()], text)
        code, text, _ = piped("ring", "verify", "--stdin", "--servers", "c1:11211,c2:11211,c3:11211:2", server=other,
                              stdin="\n".join(form.format(i) for i in range(40)))
        check(f"verify{rule}", code == (DONE if form == "key{}" else FAILED), text)
        other.close()
    keys = "\n".join(f"key{i}" for i in range(500)) + "\n"
    code, text, _ = piped("ring", "verify", "--stdin", "--servers", "c1:11211,c2:11211,c3:11211:2", server=node, stdin=keys)
    check("verify keys", code == DONE, text)
    code, text, _ = piped("ring", "verify", "--stdin", "--servers", "c1:11211,c2:11211", "-o", "json", server=node,
                          stdin=keys)
    check("verify keys that differ", code == FAILED and json.loads(text)["keys_that_differ"] > 0.3, text)
    check("asks nobody", piped("ring", "locate", "k", "--servers", "a:1,b:1",
                               env={"TAGCTL_SERVERS": "127.0.0.1:1"})[0] == DONE)
    node.close()


def test_questions():
    node = Node()
    code, text = on_terminal("members", "drain", "c3:11211", server=node, typed="y\n")
    check("yes", code == DONE and "go on? [y/N]" in text and "49.7 % of the keys" in text and "cluster drain c3:11211" in node.asked, text)
    for typed in ("n\n", "\n", "yep\n", "\x04"):
        node.asked.clear()
        code, text = on_terminal("members", "drain", "c3:11211", server=node, typed=typed)
        check(f"{typed!r} is no yes", code == DECLINED and "cluster drain c3:11211" not in node.asked, text)
    for args in (["members", "forget", "c3:11211"], ["purge", "*"], ["cluster", "recover"],
                 ["keyring", "remove", "02acb1d3ee7f6405"],
                 ["members", "weight", "c3:11211", "3"]):
        node.asked.clear()
        code, _, err = piped(*args, server=node)
        check(f"{args} without a terminal", code == DECLINED and "--yes" in err and all(READS.match(c) for c in node.asked),
              err)
    node.close()


def test_colour():
    node = Node({"cluster status": status("degraded", "c3 is dead", ["c3:11211 is dead since 9 s"], 2, 1),
                 "cluster members": members(("alive", "alive", "dead"))})
    for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        code, text = on_terminal("status", "--interval", "0", server=node, env=env)
        check(f"colour {env}", code == FAILED and ("\033[31mdead\033[0m" in text) == coloured and ("\033" in text) == coloured, text)
        check("what is wrong", "2/3 alive" in text and ": c3 is dead" in text and "! c3:11211 is dead since 9 s" in text,
              text)
    problems = json.loads(piped("status", "-o", "json", "--interval", "0", server=node)[1])
    check("problems, JSON", problems["problems"] == ["c3:11211 is dead since 9 s"] and problems["verdict"] == "degraded" and
          problems["nodes"][2]["state"] == "dead", problems)
    check("no colour in a pipe", "\033" not in piped("status", "-o", "table", "--interval", "0", server=node)[1])
    node.close()


def test_watch():
    """Again and again: rates between two looks; it ends with the node."""
    n = {"looks": 0}

    class Counting(Node):
        def answer(self, command):
            if command == "stats":
                n["looks"] += 1
                if n["looks"] == 6:
                    return CLOSE
                return lines(f"STAT cmd_get {1000 * n['looks']}", *(f"STAT {s} 0" for s in (
                    "cmd_set", "cmd_touch", "delete_hits", "delete_misses", "incr_hits", "incr_misses", "decr_hits",
                    "decr_misses")), "END")
            return lines("ERROR") if command.startswith("cluster") else super().answer(command)

    node = Counting()
    code, text, err = piped("status", "--watch", "--interval", "0.01", server=node)
    rows = [line.split("\t") for line in text.splitlines()]
    check("two looks each", code == UNREACHABLE and len(rows) == 2 and "closed the connection" in err, (text, err))
    check("rates", all(1000 < float(r[7]) <= 1000 / 0.01 for r in rows), rows)
    node.close()


# --- what can go wrong ---------------------------------------------------------------------------------------------------

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


def verbs():
    """Every verb of verbs.def, as words."""
    with open(os.path.join(HERE, "..", "..", "tools", "tagctl", "verbs.def")) as f:
        return [tuple(w for w in v if w) for v in re.findall(r'^VERB\("([a-z]*)", "([a-z]*)"', f.read(), re.M)]


class Faulty(Node):
    """Answers everything alike."""

    def answer(self, command):
        return self.script["all"]


def test_faults():
    """Every verb is shown in golden.txt, and ends as it should when the node refuses, hangs up, or says nothing."""
    shown = [tuple(c.split(" ")) for c in SHOWN]
    check("there are verbs", len(verbs()) > 25)
    for verb in verbs():
        line = next((c for c in shown if c[:len(verb)] == verb and (len(verb) > 1 or c[1:2] != ("ls",))), None)
        check(f"{verb} is in golden.txt", line is not None)
        if line is None or verb == ("keyring", "generate") or verb[0] == "token":  # which ask nobody
            continue
        args = [*line, *(["-y"] if verb in CHANGING and "--yes" not in line and verb[0] in ("members", "cluster") and
                         verb[1] not in ("join", "set") else [])]
        for what, answer, code, said in (("refuses", lines("SERVER_ERROR busy"), FAILED, "busy"),
                                         ("hangs up", CLOSE, UNREACHABLE, "closed the connection"),
                                         ("is silent", HANG, UNREACHABLE, "did not answer within 0.05 s")):
            if answer is HANG and verb in (("purge",), ("purge", "wait")):  # whose time limit is another
                continue
            node = Faulty({"all": answer})
            got, _, err = piped(*args, *(["--timeout", "0.05"] if answer is HANG else []), server=node)
            check(f"{args}: the node {what}", got == code and said in err, (got, err))
            node.close()


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


def main():
    for name, test in list(globals().items()):
        if name.startswith("test_") and callable(test):
            test()
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
