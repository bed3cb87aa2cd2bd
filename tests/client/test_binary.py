#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Clients of the binary protocol that other people wrote, against the daemon: libmemcached's tools, Dalli (Ruby),
php-memcached (as Symfony sets it, too) and PHP's sessions in it, pylibmc, memjs and @keyv/memcache (npm; NODE_PATH says where they are), each without and with a
login by SASL. One that is not installed is left out."""
import os
import shutil
import subprocess
import sys
import tempfile

from daemon import start_daemon

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"  # the one that Debian's packages are for
SKIP = 77


def runs(*command):
    """Whether a command is there and ends well."""
    return shutil.which(command[0]) is not None and subprocess.run(command, capture_output=True).returncode == 0


def tools(host, port, login):
    """memccp, memccat and their kin, in binary mode."""
    if shutil.which("memccp") is None:
        return None
    if login:
        return []  # those of Debian know no passwords
    server = f"--servers={host}:{port}"
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/tool_file", "w") as f:
            f.write("hello\n")
        failed = []

        def tool(name, *args, status=0, out=None):
            said = subprocess.run([name, "--binary", server, *args], capture_output=True, text=True, timeout=60)
            if said.returncode != status or (out is not None and out not in said.stdout):
                failed.append(f"{name} {args}: {said.returncode} {said.stdout}{said.stderr}")

        tool("memccp", folder + "/tool_file")
        tool("memccat", "tool_file", out="hello")
        tool("memcexist", "tool_file")
        tool("memctouch", "--expire=100", "tool_file")
        tool("memcrm", "tool_file")
        tool("memcexist", "tool_file", status=1)
        tool("memcstat", out="curr_items")
        tool("memcflush")
    return failed


def script(*command):
    said = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return [] if said.returncode == 0 else [said.stdout + said.stderr]


def dalli(host, port, login):
    if not runs("ruby", "-e", "require 'dalli'"):
        return None
    return script("ruby", HERE + "/binary.rb", f"{host}:{port}", *login)


def php(host, port, login):
    if not runs("php", "-r", "exit(class_exists('Memcached') ? 0 : 1);"):
        return None
    return script("php", HERE + "/binary.php", host, port, *login)


def pylibmc(host, port, login):
    if not runs(PYTHON, "-c", "import pylibmc"):
        return None
    return script(PYTHON, HERE + "/binary.py", f"{host}:{port}", *login)


def node(host, port, login):
    if not runs("node", "-e", "require('memjs'); require.resolve('@keyv/memcache')"):
        return None
    return script("node", HERE + "/binary.cjs", f"{host}:{port}", *login)


def main():
    done, bad = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/users", "w") as f:
            f.write("ann:se cret\n")
        for login in ([], ["ann", "se cret"]):
            daemon = start_daemon(folder, "-S", "-Y", folder + "/users") if login else start_daemon(folder)
            for client in (tools, dalli, php, pylibmc, node):
                failed = client("127.0.0.1", daemon.port, login)
                verdict = "SKIPPED " if failed is None else " FAILED " if failed else "      OK"
                print(f"[ {verdict} ] {client.__name__}{' with a login' if login else ''}")
                if failed:
                    print("\n".join(failed))
                done += failed is not None
                bad += bool(failed)
            if daemon.end() != 0:
                print("the daemon did not end well")
                bad += 1
    return 1 if bad else 0 if done else SKIP


if __name__ == "__main__":
    sys.exit(main())
