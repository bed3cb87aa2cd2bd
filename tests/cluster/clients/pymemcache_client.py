# SPDX-License-Identifier: BSD-3-Clause
"""pymemcache, which hashes in its own way, or asks one server: pymemcache_client.py PORT..."""
import sys

from pymemcache.client.base import Client
from pymemcache.client.hash import HashClient

servers = [("127.0.0.1", int(port)) for port in sys.argv[1:]]
for m in (HashClient(servers), Client(servers[0])):
    values = {f"pm{i}": b"value %d" % i for i in range(300)}
    for key, value in values.items():
        assert m.set(key, value, noreply=False), key
    for key, value in values.items():
        assert m.get(key) == value, key
    assert m.get_many(list(values)) == values
    assert m.set_many({f"many{i}": b"%d" % i for i in range(50)}, noreply=False) == []
    assert m.get_many([f"many{i}" for i in range(50)]) == {f"many{i}": b"%d" % i for i in range(50)}
    assert not m.add("pm1", b"x", noreply=False) and m.replace("pm1", b"y", noreply=False) and m.get("pm1") == b"y"
    m.set("pm-n", b"41", noreply=False)
    assert m.incr("pm-n", 1) == 42 and m.decr("pm-n", 2) == 40
    value, cas = m.gets("pm1")
    assert m.cas("pm1", b"z", cas) and m.cas("pm1", b"w", cas) is False and m.get("pm1") == b"z"
    assert m.append("pm1", b"!", noreply=False) and m.prepend("pm1", b">", noreply=False) and m.get("pm1") == b">z!"
    assert m.touch("pm1", 100, noreply=False) and m.delete("pm1", noreply=False) and m.get("pm1") is None
    assert m.set("pm-large", b"x" * 500000, noreply=False) and len(m.get("pm-large")) == 500000
    for i in range(100):
        m.set(f"quiet{i}", b"q", noreply=True)
    assert m.get("pm2") == b"value 2"
print("ok")
