# SPDX-License-Identifier: BSD-3-Clause
"""Client libraries that other people wrote, with three nodes in their list of servers. Those that are not installed are
left out, which is said. Debian has them as php-memcached, python3-pylibmc, python3-pymemcache, libcache-memcached-perl and
libcache-memcached-fast-perl; npm as memcached (NODE_PATH says where)."""
import os
import shutil
import subprocess

from lib import case

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients")
PYTHON = "/usr/bin/python3"  # the one that Debian's packages are for


def is_there(*command):
    """Whether a library can be loaded: the command says so."""
    if shutil.which(command[0]) and subprocess.run(command, capture_output=True).returncode == 0:
        return True
    print("not installed:", *command)
    return False


def forwards(nodes):
    return sum(int(n.stat("forwards_sent")) for n in nodes)


def run(nodes, command):
    """The requests of a whole run, all answered right, and how many of them were passed on."""
    assert nodes[0].ask("flush_all") == "OK"
    before, asked = forwards(nodes), sum(int(n.stat("cmd_get", "")) + int(n.stat("cmd_set", "")) for n in nodes)
    p = subprocess.run([*command, *(str(n.port) for n in nodes)], capture_output=True, text=True, timeout=120)
    assert p.returncode == 0 and p.stdout.endswith("ok\n"), (command, p.stdout, p.stderr)
    asked = sum(int(n.stat("cmd_get", "")) + int(n.stat("cmd_set", "")) for n in nodes) - asked
    print(f"{os.path.basename(command[1])} {' '.join(command[2:])}: {asked} gets and sets, {forwards(nodes) - before} passed on")
    return asked, forwards(nodes) - before


@case()
def they_ask_the_owner(lab):
    """Hashing as libmemcached does with weighted ketama, each request reaches its key's owner."""
    nodes = lab.cluster(3, state=True)
    if is_there("php", "-r", "exit(extension_loaded('memcached') ? 0 : 1);"):
        asked, passed = run(nodes, ["php", f"{HERE}/memcached.php", "ketama"])
        assert asked > 600 and passed == 0
        assert run(nodes, ["php", f"{HERE}/memcached.php", "modula"])[1] > 200
    if is_there(PYTHON, "-c", "import pylibmc"):
        asked, passed = run(nodes, [PYTHON, f"{HERE}/pylibmc_client.py", "ketama"])
        assert asked > 600 and passed == 0
        assert run(nodes, [PYTHON, f"{HERE}/pylibmc_client.py", "modula"])[1] > 200
    if is_there("node", "-e", "require('memcached')"):
        asked, passed = run(nodes, ["node", f"{HERE}/memcached.js"])
        assert asked > 600 and passed == 0


@case()
def they_hash_in_their_own_way(lab):
    """Whatever node they ask, every answer is right."""
    nodes = lab.cluster(3, state=True)
    if is_there(PYTHON, "-c", "import pymemcache"):
        assert run(nodes, [PYTHON, f"{HERE}/pymemcache_client.py"])[1] > 200
    for module in ("Cache::Memcached", "Cache::Memcached::Fast"):
        if is_there("perl", f"-M{module}", "-e", "1"):
            assert run(nodes, ["perl", f"{HERE}/memcached.pl", module])[1] > 200
