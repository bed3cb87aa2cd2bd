# SPDX-License-Identifier: BSD-3-Clause
"""The servers that are measured, and the programs that load them: starting, finding, stopping, asking."""
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cputime import cpu_ns  # noqa: E402
from ports import free_port  # noqa: E402

SERVER_CPU, LOAD_CPU = 0, 1
BOTH_CPUS = "0,1"
VALGRIND_FILES = 1012  # what valgrind leaves of a limit of 1024; memcached insists on setting exactly its limit
VALGRIND_CONNS = 900   # tagcached counts what it opens beside its connections, too


class Failed(Exception):
    pass


def run(cmd, **kw):
    p = subprocess.run([str(c) for c in cmd], capture_output=True, text=True, **kw)
    if p.returncode:
        raise Failed(f"{' '.join(map(str, cmd))}: exit {p.returncode}\n{p.stdout[-500:]}{p.stderr[-500:]}")
    return p.stdout


# Who speaks memcached's meta protocol, too.
META = ("tagcached", "memcached")
# What a peer is started as: --peer NAME=PATH takes each NAME that begins with one of these. pogocache is two servers.
PEERS = {"memcached": [""], "pogocache": ["", "-epoll"]}


def family(kind):
    """How a server is started and spoken to, by its name: memcached-1.6.45 is a memcached."""
    return next((f for f in (*PEERS, "redis") if kind.startswith(f)), kind)


class Tools:
    """Where the built programs are. peers: {name: path} of servers beside those that this machine has."""

    def __init__(self, build, tagcached=None, peers=()):
        self.build = os.path.abspath(build)
        bench = os.path.join(self.build, "tests", "bench")
        self.cacheload, self.tracegen, self.floor, self.model, self.bench_store = (
            os.path.join(bench, n) for n in ("cacheload", "tracegen", "floor", "model_eviction", "bench_store"))
        self.tagcached = tagcached or os.path.join(self.build, "tagcached")
        self.paths = {"tagcached": self.tagcached, "memcached": shutil.which("memcached")}
        for name, path in peers:
            if family(name) not in PEERS:
                raise Failed(f"--peer {name}: nobody knows how to start it; a name begins with {' or '.join(PEERS)}")
            self.paths.update({name + suffix: path for suffix in PEERS[family(name)]})
        self.paths.update(redis=shutil.which("redis-server"), floor=self.floor)
        if not all(os.access(p, os.X_OK) for p in (self.cacheload, self.tracegen, self.floor)):
            raise Failed(f"no programs in {bench}: run `make bench` in the build directory first")


def may_be_first():
    """Whether a program can be given real-time priority."""
    return subprocess.run(["chrt", "-f", "1", "true"], capture_output=True).returncode == 0


class Server:
    """One running server on SERVER_CPU. kind: one of tools.paths. first: before all others there. callgrind: where it
    leaves its counts (of what runs while counting is on)."""

    def __init__(self, tools, kind, memory_mb=1024, args=(), callgrind=None, threads=1, cpus=None, first=False):
        self.tools, self.kind, self.port, self.callgrind = tools, kind, free_port(), callgrind
        self.family = family(kind)
        self.proto = "resp" if kind == "redis" else "text"
        self.log = tempfile.TemporaryFile("w+")
        cmd = self._command(memory_mb, list(args), threads)
        if callgrind:
            for f in glob.glob(glob.escape(callgrind) + "*"):
                os.remove(f)  # an earlier server's dumps carry the same numbers
            cmd = ["valgrind", "-q", "--tool=callgrind", "--separate-threads=yes", "--dump-instr=yes", "--compress-pos=no",
                   "--instr-atstart=no", f"--callgrind-out-file={callgrind}"] + cmd
        if cpus is None:
            cpus = str(SERVER_CPU)
        cmd = ["taskset", "-c", cpus] + (["chrt", "-f", "1"] if first and may_be_first() else []) + cmd
        if callgrind:
            cmd = ["sh", "-c", 'ulimit -n 1024; exec "$@"', "sh"] + cmd
        self.proc = subprocess.Popen(cmd, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        self.pid = self.proc.pid
        self._wait()

    def _command(self, memory_mb, args, threads):
        conns = str(VALGRIND_FILES if self.callgrind else 4096)
        user = ["-u", "root"] if os.geteuid() == 0 else []
        path = self.tools.paths[self.kind]
        if self.family in META:
            if self.callgrind and self.family == "tagcached":
                conns = str(VALGRIND_CONNS)
            udp = ["-U", "0"] if self.family == "memcached" else []
            return [path, "-l", "127.0.0.1", "-p", str(self.port), "-t", str(threads), "-m", str(memory_mb), "-c",
                    conns] + udp + user + args
        if self.family == "pogocache":
            return [path, "-h", "127.0.0.1", "-p", str(self.port), "--threads", str(threads), "--maxmemory",
                    f"{memory_mb}mb", "--maxconns", conns, "--uring", "no" if self.kind.endswith("-epoll") else "yes"]
        if self.kind == "redis":
            return [path, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly",
                    "no", "--maxmemory", f"{int(memory_mb * 1024)}kb", "--maxmemory-policy", "allkeys-lfu"] + args
        return [self.tools.floor, "--port", str(self.port)] + [str(a) for a in args]

    def _wait(self):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if self.proc.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.log.seek(0)
        text = self.log.read()[-800:]
        self.stop()
        raise Failed(f"{self.kind} did not start: {text}")

    def stop(self):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(60)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def alive(self):
        return self.proc.poll() is None

    def load(self, *args, cpus=str(LOAD_CPU), strict=True):
        """Runs cacheload against it; {phase: its JSON object}. Not strict: the server may have answered with errors."""
        cmd = [self.tools.cacheload, "-p", self.port, "--cpus", cpus, "--pid", self.pid, "-P", self.proto] + list(args)
        p = subprocess.run([str(c) for c in cmd], capture_output=True, text=True)
        if p.returncode and (strict or not p.stdout):
            raise Failed(f"{self.kind}: {' '.join(map(str, cmd))}: exit {p.returncode}\n{p.stderr[-800:]}{p.stdout[-800:]}")
        return {o["phase"]: o for o in map(json.loads, p.stdout.splitlines())}

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def cpu_s(self):
        """CPU time of all its threads, from the scheduler (nanoseconds there)."""
        return cpu_ns(self.pid) / 1e9

    def wakeups(self):
        """How often its threads have gone to sleep of themselves, in all."""
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/status") as f:
                total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", f.read(), re.M).group(1))
        return total

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), 30)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def ask(self, line, end=b"\r\n"):
        """One request line; the reply up to `end`."""
        with self.connect() as s:
            s.sendall(line.encode() + b"\r\n")
            got = b""
            while not got.endswith(end):
                b = s.recv(65536)
                if not b:
                    break
                got += b
            return got.decode(errors="replace")

    def stats(self):
        return dict(l.split(" ", 2)[1:] for l in self.ask("stats", b"END\r\n").split("\r\n") if l.startswith("STAT "))

    # -------------------------------------------------------------- callgrind

    def count(self, on):
        """Turns counting on or off: off, it runs several times as fast."""
        run(["callgrind_control", "-i", "on" if on else "off", self.pid])

    def dump(self):
        """{thread: (instructions since the last dump, the file that says where they went)}."""
        out = run(["callgrind_control", "-d", self.pid])
        if "OK" not in out:
            raise Failed(f"callgrind_control: {out}")
        folder, stem = os.path.split(self.callgrind)
        numbered = [(int(m.group(1)), int(m.group(2)), f) for f in os.listdir(folder)
                    if (m := re.fullmatch(re.escape(stem) + r"\.(\d+)-(\d+)", f))]
        last, found = max(n for n, _, _ in numbered), {}
        for n, thread, f in numbered:
            if n == last:
                path = os.path.join(folder, f)
                with open(path) as h:
                    total = next((int(l.split()[1]) for l in h if l.startswith(("summary:", "totals:"))), 0)
                found[thread] = total, path
        return found


def versions(tools):
    """What runs here, one line each."""
    def first(cmd):
        try:
            p = subprocess.run(cmd, capture_output=True, text=True, timeout=10)
            return (p.stdout + p.stderr).strip().splitlines()[0]
        except (OSError, IndexError, subprocess.TimeoutExpired):
            return "-"
    with open("/proc/cpuinfo") as f:
        info = f.read()
    model = re.search(r"model name\s*: (.*)", info)
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) // 1024
    peers = {k: first([path, "--version" if family(k) in ("redis", "pogocache") else "-V"])
             for k, path in tools.paths.items() if path and os.path.exists(path) and k != "floor"}
    return {
        "machine": f"{model.group(1) if model else os.uname().machine}, {os.cpu_count()} CPUs, {memory} MiB",
        "kernel": f"{os.uname().sysname} {os.uname().release}",
        "valgrind": first(["valgrind", "--version"]),
        "compiler": first(["cc", "--version"]),
        "servers": peers,
    }
