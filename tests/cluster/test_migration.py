# SPDX-License-Identifier: BSD-3-Clause
"""From three memcacheds to three nodes, one at a time, and back (docs/from-memcached.md), as a client of libmemcached
sees it whose list of servers stays the same. Without memcached or libmemcached there is nothing to try."""
import ctypes
import ctypes.util
import shutil
import signal
import subprocess

from lib import ROOT, Client, case, settle, wait

KETAMA_WEIGHTED = 16  # MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED
KEYS = [f"key:{i}" for i in range(300)]


class Ketama:
    """libmemcached itself, with these servers in its list."""

    def __init__(self, ports):
        m = ctypes.CDLL(ctypes.util.find_library("memcached"))
        m.memcached_create.restype = m.memcached_get.restype = ctypes.c_void_p
        self.m, self.at = m, ctypes.c_void_p(m.memcached_create(None))
        assert m.memcached_behavior_set(self.at, KETAMA_WEIGHTED, ctypes.c_uint64(1)) == 0
        for port in ports:
            assert m.memcached_server_add(self.at, b"127.0.0.1", ctypes.c_uint16(port)) == 0
        self.libc = ctypes.CDLL(None)

    def owner(self, key):
        return self.m.memcached_generate_hash(self.at, key.encode(), ctypes.c_size_t(len(key)))

    def set(self, key, value):
        r = self.m.memcached_set(self.at, key.encode(), ctypes.c_size_t(len(key)), value.encode(),
                                 ctypes.c_size_t(len(value)), ctypes.c_long(0), ctypes.c_uint32(0))
        assert r == 0, (key, r)

    def get(self, key):
        n, flags, error = ctypes.c_size_t(), ctypes.c_uint32(), ctypes.c_int()
        p = self.m.memcached_get(self.at, key.encode(), ctypes.c_size_t(len(key)), ctypes.byref(n),
                                 ctypes.byref(flags), ctypes.byref(error))
        if not p:
            return None
        value = ctypes.string_at(p, n.value).decode()
        self.libc.free(ctypes.c_void_p(p))
        return value

    def close(self):
        self.m.memcached_free(self.at)


class Memcached:
    def __init__(self, port):
        self.p = subprocess.Popen(["memcached", *ROOT, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "1"],
                                  stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait("memcached serves", lambda: self._serves(port))

    @staticmethod
    def _serves(port):
        with Client(port) as c:
            return c.ask("version").startswith("VERSION")

    def stop(self):
        self.p.send_signal(signal.SIGTERM)
        self.p.wait()


def replaced(ports, server, value):
    """What a client finds after this server was replaced: its own share is gone, and nothing else. Then fills it."""
    c = Ketama(ports)
    for key in KEYS:
        found = c.get(key)
        assert found == (None if c.owner(key) == server else value), (server, key, found)
        if found is None:
            c.set(key, value)
    c.close()


@case(quick=True)
def one_at_a_time_from_memcached_and_back(lab):
    if shutil.which("memcached") is None or ctypes.util.find_library("memcached") is None:
        print("memcached or libmemcached is not installed: not tried")
        return
    nodes = [lab.node(state=True) for _ in range(3)]
    ports = [n.port for n in nodes]
    nodes[0].args += ["--founders", nodes[0].name, "--found"]
    for n in nodes[1:]:
        n.args += ["--join", nodes[0].address]
    old = [Memcached(port) for port in ports]
    try:
        c = Ketama(ports)
        assert {c.owner(key) for key in KEYS} == {0, 1, 2}
        for key in KEYS:
            c.set(key, "first")
        c.close()
        for i, n in enumerate(nodes):
            old[i].stop()
            n.start()
            settle(nodes[:i + 1])
            replaced(ports, i, "first")
        assert [int(n.stat("forwards_sent")) for n in nodes] == [0, 0, 0]
        assert nodes[1].ask("purge nothing") == "PURGED"
        for i in (2, 1, 0):
            if i > 0:
                assert nodes[i].admin(f"cluster leave {nodes[i].name}").startswith("OK")
                wait("it is out of the ring", lambda: nodes[i].name not in nodes[0].owners())
            nodes[i].stop()
            old[i] = Memcached(ports[i])
            replaced(ports, i, "first")
    finally:
        for m in old:
            m.stop()
