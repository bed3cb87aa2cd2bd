#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""contrib/tagcached.conf.example: it names every option of the cluster, and a node starts with all that it suggests."""
import os
import re
import select
import socket
import subprocess
import sys
import tempfile

BUILD = os.environ.get("TAGCACHED_BUILDDIR", ".")
SOURCE = os.environ.get("TAGCACHED_SRCDIR") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(SOURCE, "tests", "lib"))
import ending  # noqa: E402
from ports import free_port  # noqa: E402

PROGRAM = os.path.join(BUILD, "tests", "tagcached_test")
KEY = "QizofzM5TXTULFxHWuAEboqidsUhj6J9vqOg9kU2Lt0=\n"


def read(*path):
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as f:
        return f.read()


def options(text):
    """[(name, value)] of the lines that are options, and of those that would be without their #."""
    return re.findall(r"^#?([a-z][a-z-]*)(?: (.*))?$", text, re.M)


def names_every_option(example):
    rows = re.findall(r'^OPTION\(\w+, \w+, [^,]+, \d+, \d+, \d+, "([a-z-]+)"', read("cluster", "cluster.options.def"), re.M)
    assert len(rows) > 10 and "state-dir" in rows, rows
    missing = set(rows) - {name for name, _ in options(example)}
    assert not missing, f"contrib/tagcached.conf.example lacks {', '.join(sorted(missing))}"


def everything_is_accepted(example):
    """All of it at once, on loopback; the node tells systemd that it serves, and shows what it was given."""
    with tempfile.TemporaryDirectory() as d:
        files = {"cluster.key": KEY, "users": "a:b:admin\n", "tokens": ""}
        for name, content in files.items():
            with open(os.path.join(d, name), "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
                f.write(content)
        ports = free_port(), free_port()
        lines = ["user root"] if os.geteuid() == 0 else []
        for name, value in options(example):
            value = value.replace("/etc/tagcached", d).replace("/var/log/tagcached", d).replace("/var/lib/tagcached", os.path.join(d, "state"))
            value = value.replace("10.0.0.1:21211", f"127.0.0.1:{ports[1]}").replace("10.0.0.1", "127.0.0.1")
            if name == "listen":
                value += f":{ports[0]}"
            lines.append(f"{name} {value}".strip())
        with open(os.path.join(d, "conf"), "w") as f:
            f.write("\n".join(lines) + "\n")
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(os.path.join(d, "notify"))
        with open(os.path.join(d, "log"), "a+") as log:
            p = subprocess.Popen([PROGRAM, "--config", os.path.join(d, "conf")], stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log, env=dict(os.environ, NOTIFY_SOCKET=os.path.join(d, "notify")))
            try:
                with open(os.pidfd_open(p.pid)) as end:
                    ready, _, _ = select.select([notify, end], [], [], 60)
                told = notify in ready and notify.recv(100) == b"READY=1"
                log.seek(0)
                assert told, f"a node does not start with it: {log.read()}"
            finally:
                assert ending.end(p) == 0, "it did not end well"
        notify.close()


def main():
    example = read("contrib", "tagcached.conf.example")
    failed = 0
    for test in (names_every_option, everything_is_accepted):
        try:
            test(example)
            print(f"[       OK ] {test.__name__}")
        except AssertionError as e:
            failed += 1
            print(f"[  FAILED  ] {test.__name__}\n{e}")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
