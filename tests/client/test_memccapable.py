#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""memccapable, the protocol checker that comes with libmemcached, against the daemon: the tests of its text part."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

BUILD = os.environ.get("TAGCACHED_BUILDDIR", ".")
SKIP = 77
# What it expects that memcached has long ceased to do: it wants an error for `delete KEY WORD`, which deletes.
OUTDATED = {"ascii delete", "ascii delete noreply"}


def start_daemon(folder):
    """The daemon on a free port, which it tells by writing a file into a FIFO's place; and that port."""
    ports = os.path.join(folder, "ports")
    log = open(os.path.join(folder, "log"), "w+")
    command = [os.path.join(BUILD, "tagcached"), "-l", "127.0.0.1:0", "-m", "64"]
    if os.geteuid() == 0:
        command += ["-u", "root"]
    daemon = subprocess.Popen(command, env={**os.environ, "MEMCACHED_PORT_FILENAME": ports}, stdin=subprocess.DEVNULL,
                              stdout=log, stderr=log)
    while not os.path.exists(ports):  # renamed into place when complete
        try:
            daemon.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        log.seek(0)
        sys.exit("the daemon did not start: " + log.read())
    return daemon, re.search(r"TCP INET: *(\d+)", open(ports).read()).group(1)


def main():
    if shutil.which("memccapable") is None:
        print("memccapable (Debian: libmemcached-tools) is not installed")
        return SKIP
    with tempfile.TemporaryDirectory() as folder:
        daemon, port = start_daemon(folder)
        said = subprocess.run(["memccapable", "-h", "127.0.0.1", "-p", port, "-t", "30", "-a"], capture_output=True,
                              text=True, timeout=120)
        daemon.send_signal(signal.SIGTERM)
        ended = daemon.wait(30)
    # "name   [pass]"; the verdict of a failed one goes to standard error, and the next name follows at once.
    failed = set()
    for name in re.findall(r"(ascii [a-z ]+?) {2,}", said.stdout):
        good = re.search(re.escape(name) + r" {2,}\[pass\]", said.stdout) is not None
        if not good:
            failed.add(name)
        if good or name not in OUTDATED:
            print(f"[ {'      OK' if good else ' FAILED '} ] {name}")
    if failed != OUTDATED or ended or "ascii stat" not in said.stdout:
        print(said.stdout + said.stderr + f"\nfailed: {sorted(failed)}; the daemon ended with {ended}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
