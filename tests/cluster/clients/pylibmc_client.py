# SPDX-License-Identifier: BSD-3-Clause
"""pylibmc through the servers on these ports: pylibmc_client.py ketama|modula PORT..."""
import sys

import pylibmc

behaviors = {"ketama_weighted": True} if sys.argv[1] == "ketama" else {}
m = pylibmc.Client([f"127.0.0.1:{port}" for port in sys.argv[2:]], behaviors={"cas": True, **behaviors})
values = {f"py{i}": f"value {i}" for i in range(300)}
for key, value in values.items():
    assert m.set(key, value), key
for key, value in values.items():
    assert m.get(key) == value, key
assert m.get_multi(list(values)) == values
assert m.set_multi({f"many{i}": i for i in range(50)}) == []
assert m.get_multi([f"many{i}" for i in range(50)]) == {f"many{i}": i for i in range(50)}
assert not m.add("py1", "x") and m.add("py-new", "x")
assert m.replace("py1", "y") and m.get("py1") == "y"
m.set("py-n", 41)
assert m.incr("py-n") == 42 and m.decr("py-n", 2) == 40
value, cas = m.gets("py1")
assert m.cas("py1", "z", cas) and not m.cas("py1", "w", cas) and m.get("py1") == "z"
assert m.touch("py1", 100) and not m.touch("py-none", 100)
assert m.delete("py1") and m.get("py1") is None
assert m.set("py-large", b"x" * 500000) and len(m.get("py-large")) == 500000
print("ok")
