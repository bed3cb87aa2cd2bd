#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""memccapable, the protocol checker that comes with libmemcached, against the daemon: all of its tests."""
import re
import shutil
import subprocess
import sys
import tempfile

from daemon import start_daemon

SKIP = 77
TESTS = 54  # of which 27 are of the binary protocol
# What it expects that memcached has long ceased to do: it wants an error for `delete KEY WORD`, which deletes.
OUTDATED = {"ascii delete", "ascii delete noreply"}


def main():
    if shutil.which("memccapable") is None:
        print("memccapable (Debian: libmemcached-tools) is not installed")
        return SKIP
    with tempfile.TemporaryDirectory() as folder:
        daemon = start_daemon(folder)
        said = subprocess.run(["memccapable", "-h", "127.0.0.1", "-p", daemon.port, "-t", "30"], capture_output=True, text=True,
                              timeout=120)
        ended = daemon.end()
    # "name   [pass]"; the verdict of a failed one goes to standard error, and the next name follows at once.
    failed = set()
    names = re.findall(r"((?:ascii|binary) [a-z ]+?) {2,}", said.stdout)
    for name in names:
        good = re.search(re.escape(name) + r" {2,}\[pass\]", said.stdout) is not None
        if not good:
            failed.add(name)
        if good or name not in OUTDATED:
            print(f"[ {'      OK' if good else ' FAILED '} ] {name}")
    if failed != OUTDATED or ended or len(names) != TESTS:
        print(said.stdout + said.stderr + f"\nfailed: {sorted(failed)}; the daemon ended with {ended}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
