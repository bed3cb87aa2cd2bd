#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tagctl against a scripted node: what each verb prints on a terminal, through a pipe and as JSON (golden.txt), what it sends,
how it ends when a node refuses, hangs up or says nothing.

    test_tagctl.py [--update]       --update writes golden.txt anew, to be read before it is committed
"""
import hashlib
import json
import os
import pty
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from node import CLOSE, HANG, NUMBER, PURGES, Node, lines, members, ring, status  # noqa: E402
from tool import (  # noqa: E402
    DECLINED, DONE, ENV, FAILED, NOT_FOUND, PROGRAM, READS, UNREACHABLE, USAGE, check, on_terminal, piped,
    read_terminal, run_tests)

GOLDEN = os.path.join(HERE, "golden.txt")

# What verbs send that change something.
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


# --- every verb when the node fails ---------------------------------------------------------------------------------------

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


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
