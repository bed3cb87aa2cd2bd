# SPDX-License-Identifier: BSD-3-Clause
"""Clusters of real processes on loopback, for the tests of this folder.

A Lab owns a temporary directory and the nodes in it, and ends them all. A Node is a daemon that may be started, stopped,
killed, paused and started again under the same ports. A Client is a connection that speaks the text protocol. Nothing here
sleeps for a fixed time: `wait` asks again and again until what it waits for has come, or its patience is over.
"""
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from ports import free_port  # noqa: E402

PATIENCE_S = float(os.environ.get("CLUSTER_PATIENCE", "30"))
LOOK_S = 0.01
ROOT = ["-u", "root"] if os.geteuid() == 0 else []
# A line of the log: an event and its fields.
LOGFMT = re.compile(r'[a-z][a-z0-9_]*( [a-z][a-z0-9_]*=("[^"]*"|[^ "=]*))*')
cases = []


def case(quick=False, slow=False):
    """Makes a function a test. quick: part of the short run; slow: only run when it is named, or with --slow."""

    def add(fn):
        cases.append((fn.__name__, fn, quick, slow))
        return fn

    return add


def wait(what, condition, patience=None):
    """Until condition() is true: its value. What it raises meanwhile because a node is away counts as false."""
    patience = PATIENCE_S if patience is None else patience
    end, last = time.monotonic() + patience, None
    while True:
        try:
            last = condition()
        except (OSError, EOFError) as e:
            last = e
        else:
            if last:
                return last
        if time.monotonic() > end:
            raise AssertionError(f"not within {patience:g} s: {what} (last seen: {last!r})")
        time.sleep(LOOK_S)


# ------------------------------------------------------------------ clients


class Client:
    """A connection to a port of loopback, to a (host, port), or to a UNIX socket."""

    def __init__(self, where, timeout=PATIENCE_S):
        if isinstance(where, str):
            self.s = socket.socket(socket.AF_UNIX)
            self.s.settimeout(timeout)
            self.s.connect(where)
        else:
            self.s = socket.create_connection(where if isinstance(where, tuple) else ("127.0.0.1", where), timeout)
            self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.kept = b""

    def close(self):
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.s.sendall(data if isinstance(data, bytes) else data.encode())

    def _more(self):
        part = self.s.recv(1 << 18)
        if not part:
            raise EOFError("the node closed the connection")
        self.kept += part

    def line(self):
        while True:
            at = self.kept.find(b"\r\n")
            if at >= 0:
                line, self.kept = self.kept[:at], self.kept[at + 2:]
                return line.decode("latin-1")
            self._more()

    def block(self, n):
        """n bytes and the line's end behind them."""
        while len(self.kept) < n + 2:
            self._more()
        data, self.kept = self.kept[:n], self.kept[n + 2:]
        return data

    def ask(self, line):
        """The one line that answers a line."""
        self.send(line + "\r\n")
        return self.line()

    def lines(self, request):
        """The lines of a list, up to END; an error stands alone."""
        self.send(request + "\r\n")
        got = []
        while True:
            line = self.line()
            if line == "END":
                return got
            got.append(line)
            if re.match(r"(CLIENT_|SERVER_)?ERROR", line):
                return got

    def stats(self, group=""):
        return dict((line.split(" ", 2) + [""])[1:3] for line in self.lines(("stats " + group).strip()))

    def set(self, key, value, flags=0, ttl=0, verb="set", cas=""):
        value = value if isinstance(value, bytes) else value.encode()
        self.send(f"{verb} {key} {flags} {ttl} {len(value)}{' ' + cas if cas else ''}\r\n".encode() + value + b"\r\n")
        return self.line()

    def read_values(self):
        """{key: (value, flags, id or None)} of a get's answer."""
        got = {}
        while True:
            line = self.line()
            if line == "END":
                return got
            word = line.split(" ")
            if word[0] != "VALUE":
                raise AssertionError(f"a get was answered {line!r}")
            got[word[1]] = (self.block(int(word[3])), int(word[2]), word[4] if len(word) > 4 else None)

    def get_many(self, keys, verb="get"):
        self.send(f"{verb} {' '.join(keys)}\r\n")
        return self.read_values()

    def get(self, key):
        """The value, or None."""
        return self.get_many([key]).get(key, (None,))[0]

    def meta(self, line, value=None):
        """A meta command: its answer as a list of words; the value of a VA stands at its end."""
        self.send(line.encode() + b"\r\n" + (b"" if value is None else value + b"\r\n"))
        words = self.line().split(" ")
        if words[0] == "VA":
            words.append(self.block(int(words[1])))
        return words


# ------------------------------------------------------------------ nodes


class Node:
    host = "127.0.0.1"
    prefix = ()  # a command that runs the daemon somewhere
    program = None  # instead of the Lab's

    def __init__(self, lab, args, state=False, key=None, name=None):
        self.lab, self.args, self.state = lab, list(args), state
        self.port, self.peer_port = free_port(), free_port()
        self.name = name or f"127.0.0.1:{self.port}"
        self.address = f"127.0.0.1:{self.peer_port}"
        self.key = key
        self.dir = os.path.join(lab.dir, f"state-{self.port}")
        self.log_path = os.path.join(lab.dir, f"log-{self.port}")
        self.p = None
        self.seen = 0  # bytes of the log that `forget_log` has passed
        self.cluster_name = "test"
        self.clients = {}  # by thread: a node may be asked by several

    def command(self):
        line = [*self.prefix, self.program or self.lab.program, *ROOT, "-l", self.host, "-p", str(self.port), "-t", "2", "-m", "64", "-U", "0"]
        # A machine that does many things at once needs patience; tests of deadlines give their own.
        line += ["--cluster", self.cluster_name, "--cluster-bind", self.address, "--peer-timeout", "2000"]
        if self.state:
            line += ["--state-dir", self.dir]
        if self.key:
            line += ["--cluster-key", self.key]
        if self.name != f"{self.host}:{self.port}":
            line += ["--ring-name", self.name]
        return line + self.args

    def start(self, serves=True):
        assert self.p is None, "it runs"
        with open(self.log_path, "ab") as log:
            self.p = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                      preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
        if serves:
            wait(f"{self.name} serves", self._serves)
        return self

    def _serves(self):
        if self.p.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.p.returncode}: {self.log()[-2000:]}")
        with self.client(5) as c:
            return c.ask("version").startswith("VERSION")

    def runs(self):
        return self.p is not None and self.p.poll() is None

    def signal(self, sig):
        self.p.send_signal(sig)

    def pause(self):
        """SIGSTOP, and until it has."""
        self.signal(signal.SIGSTOP)
        wait("it is stopped", lambda: self.proc("stat").rsplit(")", 1)[1].split()[0] == "T")

    def go_on(self):
        self.signal(signal.SIGCONT)

    def _gone(self, patience):
        p, self.p = self.p, None
        self._hang_up()
        try:
            return p.wait(patience)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            raise AssertionError(f"{self.name} did not end: {self.log()[-1000:]}") from None

    def kill(self):
        self.signal(signal.SIGKILL)
        return self._gone(10)

    def stop(self, patience=20):
        """SIGTERM; its exit status, which must be a good one."""
        self.signal(signal.SIGTERM)
        status = self._gone(patience)
        if status != 0:
            raise AssertionError(f"{self.name} ended with {status}: {self.log()[-3000:]}")

    def restart(self):
        if self.runs():
            self.stop()
        return self.start()

    def forget_state(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    # -------------------------------------------------------------- asking it

    def client(self, timeout=PATIENCE_S):
        return Client((self.host, self.port), timeout)

    def _own(self):
        key = threading.get_ident()
        if key not in self.clients:
            self.clients[key] = self.client()
        return self.clients[key]

    def _hang_up(self):
        for c in self.clients.values():
            c.close()
        self.clients = {}

    def __call__(self, fn):
        """fn(client) on a connection that is kept; it is made anew if it broke."""
        try:
            return fn(self._own())
        except (OSError, EOFError):
            c = self.clients.pop(threading.get_ident(), None)
            if c is not None:
                c.close()
            raise

    def stats(self, group="cluster"):
        return self(lambda c: c.stats(group))

    def stat(self, name, group="cluster"):
        return self.stats(group)[name]

    def ask(self, line):
        return self(lambda c: c.ask(line))

    def list(self, request, word=None):
        """A list as [(word, {field: value})]."""
        found = []
        for line in self(lambda c: c.lines(request)):
            first, _, rest = line.partition(" ")
            at = re.match(r"(.*?)(?:(?:^| )((?:reason|text)=.*))?$", rest)
            fields = dict(f.partition("=")[::2] for f in at.group(1).split())
            if at.group(2):
                fields.update([at.group(2).partition("=")[::2]])
            if word is None or first == word:
                found.append((first, fields))
        return found

    def members(self):
        """{name: fields} as this node has them, the ejected left out."""
        return {f["name"]: f for _, f in self.list("cluster members", "MEMBER") if f["state"] != "ejected"}

    def member(self, other):
        return self.members().get(other.name, {})

    def status(self):
        return self.list("cluster status", "STATUS")[0][1]

    def owners(self):
        return {f["name"]: f for _, f in self.list("cluster ring", "NODE")}

    def admin(self, line):
        with Client(os.path.join(self.dir, "admin.sock")) as c:
            return c.ask(line)

    # -------------------------------------------------------------- its log and its process

    def log(self):
        try:
            with open(self.log_path, errors="replace") as f:
                f.seek(self.seen)
                return f.read()
        except FileNotFoundError:
            return ""

    def forget_log(self):
        self.seen = os.path.getsize(self.log_path)

    def events(self, name):
        """Lines of the log about an event, such as `joined`."""
        return [line for line in self.log().splitlines() if re.search(rf"(^|[ ]){name} ", line + " ")]

    def wait_event(self, name, pattern="", patience=None):
        return wait(f"{self.name} logs {name} {pattern}",
                    lambda: [e for e in self.events(name) if re.search(pattern, e)], patience)[0]

    def proc(self, name):
        with open(f"/proc/{self.p.pid}/{name}") as f:
            return f.read()

    def rss_kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", self.proc("status")).group(1))

    def cpu_s(self):
        word = self.proc("stat").rsplit(")", 1)[1].split()
        return (int(word[11]) + int(word[12])) / os.sysconf("SC_CLK_TCK")


class Lab:
    program = "tagcached"

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="tagcached-cluster-")
        self.nodes = []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        complaints = []
        for n in self.nodes:
            if not n.runs():
                continue
            if kind is not None:
                if "Sanitizer" in n.log():  # it is still writing
                    n.p.wait(60)
                else:
                    n.kill()
                continue
            try:
                n.go_on()
                n.signal(signal.SIGTERM)
            except OSError:
                pass
        for n in self.nodes:
            if n.p is not None and kind is None:
                status = n._gone(20)
                if status != 0:
                    complaints.append(f"{n.name} ended with {status}")
        for n in self.nodes:
            n.seen = 0
            if kind is None:
                complaints += [f"{n.name} logged what is no line of fields: {line}" for line in n.log().splitlines()
                               if not LOGFMT.fullmatch(line) and not line.startswith(("Signal handled: ", "tagcached: "))]
            if re.search(r"Sanitizer|runtime error|panic|CHECK", n.log()):
                complaints.append(f"the log of {n.name}: {n.log()[-6000:]}")
        if kind is not None:
            for n in self.nodes:
                print(f"--- log of {n.name}\n{n.log()[-3000:]}")
        shutil.rmtree(self.dir, ignore_errors=True)
        if kind is None and complaints:
            raise AssertionError("\n".join(complaints))

    def node(self, *args, **more):
        n = Node(self, args, **more)
        self.nodes.append(n)
        return n

    def founders(self, count, *args, state=False, key=None):
        """Nodes that are to found a cluster together; not started."""
        nodes = [self.node(*args, state=state, key=key) for _ in range(count)]
        names, addresses = ",".join(n.name for n in nodes), ",".join(n.address for n in nodes)
        for n in nodes:
            n.args += ["--founders", names, "--join", addresses]
            if state:
                n.args.append("--found")
        return nodes

    def cluster(self, count, *args, **more):
        """A cluster that has been founded, and serves."""
        nodes = self.founders(count, *args, **more)
        for n in nodes:
            n.start(serves=False)
        settle(nodes)
        return nodes

    def joiner(self, to, *args, **more):
        """A node that joins those; not started."""
        return self.node("--join", ",".join(n.address for n in to), *args, **more)

    def key_file(self, name="key"):
        import base64
        path = os.path.join(self.dir, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(base64.b64encode(os.urandom(32)).decode() + "\n")
        return path


def is_settled(nodes):
    """All serve, hold leases, see each other alive, and go by one ring and one configuration."""
    stats = [n.stats() for n in nodes]
    if len({(s["config_version"], s["cluster_id"], s["ring_version"]) for s in stats}) != 1:
        return False
    if stats[0]["cluster_id"] == "-" or any(int(s["members_alive"]) < len(nodes) for s in stats):
        return False
    own = [n.status() for n in nodes]
    if any(s["lease"] == "none" for s in own):
        return False
    return all(s["state"] in ("serving", "witness", "drained") for s in own) and all(
        all(n.member(o).get("state") in ("serving", "drained") for o in nodes) for n in nodes)


def settle(nodes, patience=None):
    wait("the cluster has settled", lambda: all(n.runs() or died(n) for n in nodes) and is_settled(nodes), patience)


def died(n):
    raise AssertionError(f"{n.name} has ended: {n.log()[-3000:]}")


def sees(n, other, health):
    return n.member(other).get("health") == health
