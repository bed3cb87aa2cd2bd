#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The same random requests to a node and to memcached; the answers must be the same bytes.

    differential.py [--seed N] [--requests N] --ours HOST:PORT --theirs HOST:PORT
    differential.py [--seed N] [--requests N] --spawn-ours PROGRAM [--spawn-theirs memcached]

Both must be empty and not used by anybody else. The other one may be any memcached from 1.6.18 to 1.6.45; it is asked
which. What differs on purpose (the node's own rules, see proto/PROTOCOL.md, and what 1.6.18 did before the current
version) is either not generated or listed in known() and known_of_old() below, each with its reason. CAS ids are compared by the order in
which they appear. Prints the seed and the requests that led to a difference; exit status 1 if there is one."""

import argparse
import base64
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time

KEYS = [b"k%d" % i for i in range(6)] + [b"n%d" % i for i in range(3)]
STORAGE = [b"set", b"add", b"replace", b"append", b"prepend", b"cas"]
VALUES = [b"", b"a", b"abc", b"x" * 100, b"line\r\nline", b"y" * 2047, b"z" * 2500, b"w" * 20000]


class Side:
    """One server, and its CAS ids in the order they were seen."""

    def __init__(self, address):
        self.address = address
        self.connect()
        self.ids = {}
        self.last = [0]
        version = self.ask(b"version\r\n").split()[1].split(b".")
        self.current = [int(n) for n in version[:3]] >= [1, 6, 45]

    def connect(self):
        if isinstance(self.address, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(self.address)
        else:
            self.sock = socket.create_connection(self.address)
        self.sock.settimeout(10)
        self.buffer = b""

    def ask(self, request):
        """The answer; if the server closed the connection, what came before, and "<closed>"."""
        request = request.replace(b"{id}", b"%d" % max(self.last[-1], 1)).replace(b"{low}", b"1")
        self.sock.sendall(request + b"mn\r\n")
        while not self.buffer.endswith(b"MN\r\n"):
            more = self.sock.recv(1 << 16)
            if not more:
                answer = self.buffer + b"<closed>"
                self.sock.close()
                self.connect()
                return answer
            self.buffer += more
        answer, self.buffer = self.buffer[:-4], b""
        return answer

    def ordinal(self, number):
        """CAS ids become their place in the order of appearance."""
        value = int(number)
        if value != 0:
            self.last.append(value)
        return b"#%d" % self.ids.setdefault(value, len(self.ids))


def normal(side, answer, request):
    """What may differ, made equal: CAS ids, and times that are a second apart."""
    lines = answer.split(b"\r\n")
    for i, line in enumerate(lines):
        if re.match(rb"VALUE \S+ \d+ \d+ \d+$", line):
            head, number = line.rsplit(b" ", 1)
            lines[i] = head + b" " + side.ordinal(number)
        elif re.match(rb"(HD|VA|EX|NF|NS|EN)( |$)", line):
            words = line.split(b" ")
            for j, word in enumerate(words):
                if re.match(rb"c\d+$", word):
                    words[j] = b"c" + side.ordinal(word[1:])
                elif re.match(rb"t\d+$", word):
                    words[j] = b"t%d" % ((int(word[1:]) + 50) // 100 * 100)
            lines[i] = b" ".join(words)
        elif line.startswith(b"ME "):
            lines[i] = re.sub(rb"(la|cas|size|exp|cls|fetch)=(-?\d+|yes|no)", rb"\1=", line)
    return b"\r\n".join(lines)


def known_of_all(words, ours, theirs):
    """Differences on purpose from every version."""
    # An opaque that is too long is told before anything is done.
    if ours == b"CLIENT_ERROR opaque token too long\r\n":
        return True
    # A key stored in base64 stays one; memcached forgets that with append, prepend and arithmetic.
    if ours.startswith(b"ME ") and theirs.startswith(b"ME "):
        a, b = ours.split(b" ", 2)[1:], theirs.split(b" ", 2)[1:]
        return base64.b64encode(b[0]) == a[0] and a[1] == b[1]
    if words[:1] == [b"mg"] and b"k" in words:
        echo = re.search(rb" k(\S+)", theirs)
        if echo and ours == theirs.replace(echo.group(0), b" k" + base64.b64encode(echo.group(1)) + b" b", 1):
            return True
    # Whether an item counts as read after incr and decr is memcached's chance.
    if words[:1] == [b"mg"] and b"h" in words and re.sub(rb" h[01]", b"", ours) == re.sub(rb" h[01]", b"", theirs):
        return True
    # So it is whether one that was stale still is.
    if words[:1] == [b"mg"] and re.sub(rb"( [XZW])+\r", b"\r", ours) == theirs:
        return True
    # A storage line whose key seems to hold a blank, or to be empty, is refused with the same words; then the block is
    # not run, but the connection closed.
    return ours.endswith(b"<closed>") and theirs.startswith(ours[:-len(b"<closed>")])


def known(request, ours, theirs):
    """Differences on purpose from the current version: True if this is one."""
    line = request.split(b"\r\n", 1)[0].split(b"\n", 1)[0]
    words = line.split()
    bad = b"CLIENT_ERROR bad command line format\r\n"
    # me with b does not find what it should; and a key that is no base64 is told of.
    if words[:1] == [b"me"] and words[-1:] == [b"b"] and theirs[:2] in (b"EN", b"ME"):
        return ours.startswith(b"ME ") or ours == bad
    # An extra empty line after a get with a key that is too long; answers before it lost.
    if theirs == bad + b"\r\n" and ours == bad:
        return True
    # ma says what is wrong with a key as the other commands do.
    if words[:1] == [b"ma"] and len(words) > 1 and len(words[1]) > 250 and ours == bad:
        return True
    # A flag led by punctuation: the block of the ms is swallowed all the same.
    if words[:1] == [b"ms"] and ours == bad and theirs.startswith(bad):
        return True
    # Flags led by punctuation.
    if words[:1] == [b"ma"] and ours == b"CLIENT_ERROR invalid or duplicate flag\r\n" and theirs == bad:
        return True
    # Numbers that do not fit 32 bits are refused, not cut off.
    if re.search(rb" -\d|\d{10}", line) and ours == bad:
        return True
    return known_of_all(words, ours, theirs)


def known_of_old(request, ours, theirs):
    """Differences on purpose from 1.6.18."""
    line = request.split(b"\r\n", 1)[0].split(b"\n", 1)[0]
    words = line.split()
    bad = b"CLIENT_ERROR bad command line format\r\n"
    # Too few words, an empty line: the current version says what is wrong; 1.6.18 says ERROR.
    if theirs.startswith(b"ERROR\r\n") and ours.startswith(bad):
        return True
    # A command after a leading blank: ERROR now; 1.6.18 runs it.
    if line.startswith(b" "):
        return True
    # The block of a refused set is swallowed now; 1.6.18 runs it as commands.
    if ours == bad and theirs.startswith(bad) and not theirs[len(bad):].replace(b"ERROR\r\n", b""):
        return True
    if ours == b"" and words[-1:] == [b"noreply"] and not theirs.replace(b"ERROR\r\n", b"").replace(bad, b""):
        return True
    # Behind a bad data chunk what is left is parsed: short lines are told what is wrong with them now.
    chunk = b"CLIENT_ERROR bad data chunk\r\n"
    if ours.startswith(chunk) and theirs.startswith(chunk):
        return ours[len(chunk):].replace(bad, b"ERROR\r\n") == theirs[len(chunk):].replace(bad, b"ERROR\r\n")
    if line.rstrip() == b"delete noreply":
        return True
    # delete takes anything behind the key now; extra words of set & co are no error any more.
    if words[:1] == [b"delete"] and len(words) > 2:
        return True
    if words[:1] in [[w] for w in STORAGE] + [[b"incr"], [b"decr"], [b"touch"]] and theirs.startswith(b"ERROR\r\n"):
        return True
    # ms M without a letter; flags led by punctuation.
    if b"incorrect length for M token" in theirs or (ours == bad and b"CLIENT_ERROR invalid " in theirs):
        return True
    # 1.6.18 says the same of every bad flag of md.
    if words[:1] == [b"md"] and theirs == b"CLIENT_ERROR invalid or duplicate flag\r\n" and ours.startswith(b"CLIENT_ERROR "):
        return True
    # gat without a key; a cas whose id is the word noreply.
    if words[:1] in ([b"gat"], [b"gats"]) and len(words) == 2 and ours == bad:
        return True
    # With noreply, 1.6.18 is silent about lines that are not even complete.
    if words[-1:] == [b"noreply"] and words[0] in STORAGE and ours == bad and theirs == b"":
        return True
    # q hides what ma N says of an item it made.
    if words[:1] == [b"ma"] and any(w.startswith(b"q") for w in words[2:]) and ours == b"" and theirs[:2] in (b"HD", b"VA"):
        return True
    # s is answered by ms now.
    if words[:1] == [b"ms"] and b"s" in words[3:]:
        return re.sub(rb" s\d+", b"", ours) == theirs
    # A sign before a number is refused now; numbers that do not fit 32 bits are refused, not cut off.
    if re.search(rb" \+\d| -\d|\d{10}", line) and ours == bad:
        return True
    # A cas without its id: the block is swallowed now.
    if words[:1] == [b"cas"] and ours in (bad, b"") and theirs.replace(b"ERROR\r\n", b"") == b"":
        return True
    # An unknown command that says noreply gets no answer now.
    if words[-1:] == [b"noreply"] and ours == b"" and theirs == b"ERROR\r\n":
        return True
    # A line that is closed on has too few words for 1.6.18, which says ERROR, or nothing.
    if ours.endswith(b"<closed>") and theirs.replace(b"ERROR\r\n", b"") in (b"", bad):
        return True
    return known_of_all(words, ours, theirs)


def random_flags(rnd, letters):
    flags = []
    for letter in rnd.sample(letters, rnd.randint(0, min(5, len(letters)))):
        value = {"T": b"%d" % rnd.choice([0, 1000, 5000, 90000]), "F": b"%d" % rnd.randint(0, 9), "O": b"opaque",
                 "C": rnd.choice([b"{id}", b"{low}", b"900000000000000"]), "D": b"%d" % rnd.randint(0, 9), "J": b"5000007",
                 "N": b"%d" % rnd.choice([0, 1000]), "R": b"%d" % rnd.choice([10, 2000]),
                 "M": rnd.choice([b"E", b"A", b"P", b"R", b"S"])}.get(letter, b"")
        flags.append(letter.encode() + value)
    return b"".join(b" " + f for f in flags)


def noreply(rnd):
    return b" noreply" if rnd.random() < 0.1 else b""


def storage(rnd):
    key = rnd.choice(KEYS)
    value = b"%d" % rnd.randint(1000000, 9999999) if key.startswith(b"n") else rnd.choice(VALUES)
    verb = rnd.choice([b"set", b"set", b"add", b"replace", b"append", b"prepend", b"cas"])
    if key.startswith(b"n") and verb in (b"append", b"prepend"):
        verb = b"set"
    flags, exptime = rnd.randint(0, 5), rnd.choice([0, 0, 1000, -1])
    id_ = b" " + rnd.choice([b"{id}", b"7"]) if verb == b"cas" else b""
    return b"%s %s %d %d %d%s%s\r\n%s\r\n" % (verb, key, flags, exptime, len(value), id_, noreply(rnd), value)


def meta(rnd):
    key = rnd.choice(KEYS)
    b64 = rnd.random() < 0.15
    name = base64.b64encode(key) if b64 else key
    verb = rnd.choice(["mg", "mg", "mg", "ms", "md", "ma", "me"])
    if verb == "me":
        return b"me %s%s\r\n" % (name, b" b" if b64 else b"")
    letters = {"mg": "tfskchvOqTNRu", "ms": "ckOqTFC", "md": "kOqCIT", "ma": "tckvOqDNJT"}[verb]
    flags = random_flags(rnd, letters) + (b" b" if b64 else b"")
    if b64 and verb in ("mg", "ma"):
        flags = flags.replace(b" N", b" T") if b" T" not in flags else re.sub(rb" N\d+", b"", flags)
    if verb == "ms":
        value = b"%d" % rnd.randint(1000000, 9999999) if key.startswith(b"n") else rnd.choice(VALUES)
        if rnd.random() < 0.3 and not key.startswith(b"n"):
            flags += b" M" + rnd.choice([b"E", b"A", b"P", b"R", b"S"])
        return b"ms %s %d%s\r\n%s\r\n" % (name, len(value), flags, value)
    return b"%s %s%s\r\n" % (verb.encode(), name, flags)


def plain(rnd):
    key = rnd.choice(KEYS)
    some = b" ".join(rnd.choice(KEYS) for _ in range(rnd.randint(1, 8)))
    return rnd.choice([
        b"get %s\r\n" % some, b"gets %s\r\n" % some, b"gat %d %s\r\n" % (rnd.choice([0, 1000]), some),
        b"gats 0 %s\r\n" % some, b"delete %s%s\r\n" % (key, noreply(rnd)),
        b"touch %s %d%s\r\n" % (key, rnd.choice([0, 1000, -1]), noreply(rnd)),
        b"incr %s %d%s\r\n" % (key, rnd.randint(0, 99), noreply(rnd)), b"incr %s x\r\n" % key,
        b"verbosity 0\r\n", b"get  %s \n" % some, b"decr %s 1\r\n" % rnd.choice(KEYS[6:]),
    ])


def mangled(rnd):
    """A request with something wrong in its line."""
    request = rnd.choice([storage, meta, plain])(rnd)
    line, rest = request.split(b"\n", 1)
    words = line.rstrip(b"\r").split(b" ")
    # Ids of the other server would differ, and these lines are not about values.
    words = [w for w in words if b"{" not in w]
    where = rnd.randrange(len(words))
    what = rnd.randrange(6)
    if what == 0:
        del words[where]
    elif what == 1:
        words[where] = words[where] + rnd.choice([b"x", b"-1", b"k" * 251])
    elif what == 2:
        words.append(rnd.choice([b"zz", b"v", b"Q", b"k", b"!", b"1", b"T", b"Tx", b"Fx", b"O" + b"o" * 32]))
    elif what == 3:
        words[0] = rnd.choice([b"GET", b"ge", b"foo", b"setx"])
    elif what == 4 and len(words) > 1:
        words[1] = b"k" * rnd.choice([249, 250, 251, 300])
    line = b" ".join(words)
    # The block of a request whose length is not known would be read as commands: then leave it out.
    if words[:1] and words[0] in (b"set", b"add", b"replace", b"append", b"prepend", b"cas", b"ms"):
        at = 2 if words[0] == b"ms" else 4
        length = words[at] if len(words) > at else b""
        if length.isdigit() and int(length) > 3000:
            return b"verbosity 0\r\n"  # the one would wait for a block, the other not
        if not length.isdigit():
            return line + b"\r\n"
        return line + b"\r\n" + b"zzzz" * (int(length) // 4) + b"z" * (int(length) % 4) + b"\r\n"
    return line + b"\r\n"


def compare(ours, theirs, seed, count):
    rnd = random.Random(seed)
    history, differences = [], 0
    for i in range(count):
        request = rnd.choices([storage, meta, plain, mangled], [30, 40, 20, 10])[0](rnd)
        history.append(request)
        a, b = ours.ask(request), theirs.ask(request)
        x, y = normal(ours, a, request), normal(theirs, b, request)
        same = known if theirs.current else known_of_old
        if x != y and not same(request, x, y):
            differences += 1
            print("difference at request %d, seed %d:" % (i, seed))
            for r in history[-25:]:
                print("   ", r[:160])
            print("  ours:  ", x[:400])
            print("  theirs:", y[:400], flush=True)
            if differences == 10:
                break
        # Whatever the one did and the other did not: begin again. (An opaque that is too long is told by 1.6.18 after
        # the deed; and its ma T can set the time of an item that is replaced in the same step.)
        if x != y or re.search(rb" O\S{32,}", request) or (request.startswith(b"ma ") and b" T" in request) or rnd.random() < 0.002:
            for side in (ours, theirs):
                side.ids.clear()
                side.last = [0]
                for key in KEYS:
                    side.ask(b"delete %s noreply\r\nmd %s q\r\n" % (key, base64.b64encode(key)))
    return differences


def spawn_at(program, path, side):
    child = subprocess.Popen([program, "-s", path, "-m", "64", "-u", "root"])
    for _ in range(10000):
        try:
            return child, side(path)
        except OSError:
            if child.poll() is not None:
                sys.exit("%s ended" % program)
            time.sleep(0.001)
    sys.exit("%s does not answer" % program)


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def arguments(seed=None, requests=20000):
    """The command line; seed None: another one each time."""
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big") if seed is None else seed)
    p.add_argument("--requests", type=int, default=requests)
    p.add_argument("--ours", type=address)
    p.add_argument("--theirs", type=address)
    p.add_argument("--spawn-ours")
    p.add_argument("--spawn-theirs", default="memcached")
    return p.parse_args()


def run(args, side, compare_sides):
    """How many differences the two sides show that the arguments name; what was started for it is ended."""
    children = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            if args.spawn_ours:
                one, ours = spawn_at(args.spawn_ours, folder + "/ours", side)
                children.append(one)
                other, theirs = spawn_at(args.spawn_theirs, folder + "/theirs", side)
                children.append(other)
            else:
                ours, theirs = side(args.ours), side(args.theirs)
            print("seed %d, %d requests" % (args.seed, args.requests), flush=True)
            return compare_sides(ours, theirs, args.seed, args.requests)
        finally:
            for child in children:
                child.terminate()
                child.wait()


def main():
    differences = run(arguments(), Side, compare)
    print("%d differences" % differences)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
