# SPDX-License-Identifier: BSD-3-Clause
"""pylibmc in its binary protocol. Arguments: host:port [user password]."""
import sys

import pylibmc


def check(what, good):
    if not good:
        sys.exit(f"failed: {what}")


def is_not_there(ask, *args):
    """Whether a key is not found: of some requests pylibmc raises that."""
    try:
        return not ask(*args)
    except pylibmc.NotFound:
        return True


login = {"username": sys.argv[2], "password": sys.argv[3]} if len(sys.argv) > 2 else {}
mc = pylibmc.Client([sys.argv[1]], binary=True, behaviors={"tcp_nodelay": True, "cas": True}, **login)
check("set", mc.set("py", "value"))
check("get", mc.get("py") == "value" and mc.get("none") is None)
check("add", not mc.add("py", "x") and mc.add("py:2", [1, 2]))
check("replace", is_not_there(mc.replace, "none", "x") and mc.replace("py:2", {"a": 1}) and mc.get("py:2") == {"a": 1})
check("set_multi", mc.set_multi({f"m:{i}": i for i in range(200)}) == [])
check("get_multi", mc.get_multi([f"m:{i}" for i in range(300)]) == {f"m:{i}": i for i in range(200)})
check("delete_multi", mc.delete_multi([f"m:{i}" for i in range(200)]) and mc.get("m:7") is None)
check("append", mc.set("raw", b"b") and mc.append("raw", b"c") and mc.prepend("raw", b"a") and mc.get("raw") == b"abc")
check("incr", mc.set("n", 41) and mc.incr("n") == 42 and mc.decr("n", 2) == 40)
value, cas = mc.gets("py")
check("cas", value == "value" and mc.cas("py", "other", cas) and not mc.cas("py", "third", cas) and mc.get("py") == "other")
check("touch", mc.touch("py", 100) and is_not_there(mc.touch, "none", 100))
check("large", mc.set("big", b"x" * 900000) and mc.get("big") == b"x" * 900000)
check("tags", mc.set("song|#|t=artist:42", "x") and mc.get("song") == "x" and mc.delete("any|#|p=artist:42") and mc.get("song") is None)
check("delete", mc.delete("py") and is_not_there(mc.delete, "py"))
check("stats", int(mc.get_stats()[0][1]["curr_items"]) > 0)
check("flush", mc.flush_all() and mc.get("big") is None)
