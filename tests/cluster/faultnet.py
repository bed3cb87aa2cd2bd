# SPDX-License-Identifier: BSD-3-Clause
"""Nodes in network namespaces of their own, on one bridge, and what can go wrong between them.

The whole program runs in namespaces that end with it (`enter`), so nothing of the machine's own network is touched and
nothing is left behind. Clients reach all nodes through the bridge itself, whatever is cut between nodes: a node that hears of
no other one still has its clients. What is cut and lost stands in one ruleset, which frames pass that go from node to node.
"""
import mmap
import os
import shutil
import struct
import subprocess
import sys
import time

import lib

NET = "10.99.0"
CLIENT = 254
PORT, PEER_PORT = 11211, 21211
SKIPPED = 77
RULES = """
table bridge faults {
    set cut { type ipv4_addr . ipv4_addr; }
    chain between {
        type filter hook forward priority 0; policy accept;
        ip saddr . ip daddr @cut drop
        meta l4proto udp jump lossy
    }
    chain lossy { }
}
"""


def sh(*words, text=None):
    subprocess.run([str(w) for w in words], input=text, text=True, check=True, capture_output=True)


def enter():
    """Goes on in namespaces of its own; where these cannot be made it says why, and the program ends with 77."""
    inside = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.environ.get("TAGCACHED_FAULTS_INSIDE") != "1":
        missing = [w for w in ("unshare", "ip", "nft") if shutil.which(w) is None]
        why = (f"needs {', '.join(missing)} (tools/install test)" if missing else
               "needs root, to make network namespaces" if os.geteuid() != 0 else
               None if subprocess.run([*inside, "true"], capture_output=True).returncode == 0 else
               "network namespaces cannot be made here")
        if why is None:
            os.environ["TAGCACHED_FAULTS_INSIDE"] = "1"
            os.makedirs("/run/netns", exist_ok=True)
            os.execvp(inside[0], [*inside, sys.executable, *sys.argv])
        print(f"skipped: {why}")
        sys.exit(SKIPPED)
    try:
        sh("mount", "-t", "tmpfs", "netns", "/run/netns")
        sh("ip", "link", "set", "lo", "up")
        sh("ip", "link", "add", "bridge", "type", "bridge")
        sh("ip", "addr", "add", f"{NET}.{CLIENT}/24", "dev", "bridge")
        sh("ip", "link", "set", "bridge", "up")
        sh("nft", "-f", "-", text=RULES)
    except subprocess.CalledProcessError as e:
        print(f"skipped: {' '.join(e.cmd)}: {e.stderr.strip()}")
        sys.exit(SKIPPED)
    # A client whose node was away asks again within a second; so what is measured is the node.
    rto = "/proc/sys/net/ipv4/tcp_rto_max_ms"
    if os.path.exists(rto):
        with open(rto, "w") as f:
            f.write("1000")


class Wall:
    """How much later than it is a process believes it to be, in seconds."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.write(bytes(8))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 8)

    def set(self, seconds):
        self.map[:] = struct.pack("=q", seconds)


class NetNode(lib.Node):
    """A node with an address, a cable and a wall clock of its own."""

    def __init__(self, lab, args, number, clockshift, **more):
        super().__init__(lab, args, **more)
        self.number, self.host = number, f"{NET}.{number}"
        self.port, self.peer_port = PORT, PEER_PORT
        self.name, self.address = f"{self.host}:{PORT}", f"{self.host}:{PEER_PORT}"
        self.dir, self.log_path = (os.path.join(lab.dir, f"{what}-{number}") for what in ("state", "log"))
        self.wall = Wall(os.path.join(lab.dir, f"wall-{number}"))
        self.space = f"n{number}"
        self.prefix = ["ip", "netns", "exec", self.space, "env", f"LD_PRELOAD={clockshift}", f"CLOCKSHIFT={self.wall.path}"]
        sh("ip", "netns", "add", self.space)
        sh("ip", "link", "add", self.space, "type", "veth", "peer", "name", "eth0", "netns", self.space)
        sh("ip", "link", "set", self.space, "master", "bridge", "up")
        for words in (("addr", "add", f"{self.host}/24", "dev", "eth0"), ("link", "set", "eth0", "up"), ("link", "set", "lo", "up")):
            sh("ip", "-n", self.space, *words)

    def cable(self, plugged):
        sh("ip", "link", "set", self.space, "up" if plugged else "down")

    def check_wall(self):
        """The daemon goes by the wall clock that it was given: a library that it does not obey would test nothing."""
        self.wall.set(-3000)
        lib.wait("its wall clock is set back", lambda: abs(time.time() - 3000 - int(self.stat("time", ""))) < 3, 5)
        uptime = int(self.stat("uptime", ""))
        assert 0 <= uptime < 600, f"its other clock moved as well: uptime {uptime}"
        self.wall.set(0)


class NetLab(lib.Lab):
    clockshift = None

    def founders_in_spaces(self, count, *args, stateless=()):
        """Nodes that found a cluster together, not started; those whose numbers are in `stateless` keep nothing."""
        key = self.key_file()
        numbers = range(1, count + 1)
        names = ",".join(f"{NET}.{i}:{PORT}" for i in numbers)
        addresses = ",".join(f"{NET}.{i}:{PEER_PORT}" for i in numbers)
        for i in numbers:
            own = ["--founders", names, "--join", addresses, "--peer-timeout", "200", *args]
            n = NetNode(self, own, i, self.clockshift, key=key, state=i not in stateless)
            self.nodes.append(n)
        return self.nodes

    def guest(self, *args):
        """A node with the next number, which is to join the others; not started."""
        addresses = ",".join(n.address for n in self.nodes)
        n = NetNode(self, ["--join", addresses, "--peer-timeout", "200", *args], len(self.nodes) + 1, self.clockshift,
                    key=self.nodes[0].key)
        self.nodes.append(n)
        return n

    def cluster_in_spaces(self, count, *args, stateless=()):
        """The same, founded and serving. `--found` is for the first start only."""
        nodes = list(self.founders_in_spaces(count, *args, stateless=stateless))
        for n in nodes:
            first = n.args
            n.args = first + (["--found"] if n.state else [])
            n.start(serves=False)
            n.args = first
        lib.settle(nodes)
        return nodes


def set_loss(percent):
    """So many of a hundred datagrams between nodes are lost."""
    rule = f"add rule bridge faults lossy numgen random mod 100 < {percent} drop\n" if percent else ""
    sh("nft", "-f", "-", text="flush chain bridge faults lossy\n" + rule)


def cut(pairs):
    """What the first of a pair sends does not reach the second any more."""
    if pairs:
        items = ", ".join(f"{a.host} . {b.host}" for a, b in pairs)
        sh("nft", "-f", "-", text=f"add element bridge faults cut {{ {items} }}\n")


def heal():
    sh("nft", "-f", "-", text="flush set bridge faults cut\n")
