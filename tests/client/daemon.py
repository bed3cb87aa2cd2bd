# SPDX-License-Identifier: BSD-3-Clause
"""The daemon for tests of clients, on a free port."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import ending  # noqa: E402

BUILD = os.environ.get("TAGCACHED_BUILDDIR", ".")


class Daemon:
    """A daemon that runs; its port, as text."""

    def __init__(self, process, port):
        self.process, self.port = process, port

    def end(self):
        """Ends it; its exit status."""
        return ending.end(self.process, 30)


def start_daemon(folder, *options):
    """The daemon on a free port, which it tells by writing a file."""
    ports = os.path.join(folder, "ports")
    if os.path.exists(ports):
        os.unlink(ports)
    log = open(os.path.join(folder, "log"), "a+")
    command = [os.path.join(BUILD, "tagcached"), "-l", "127.0.0.1:0", "-m", "64", *options]
    if os.geteuid() == 0:
        command += ["-u", "root"]
    process = subprocess.Popen(command, env={**os.environ, "MEMCACHED_PORT_FILENAME": ports}, stdin=subprocess.DEVNULL, stdout=log,
                               stderr=log)
    while not os.path.exists(ports):  # renamed into place when complete
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        log.seek(0)
        sys.exit("the daemon did not start: " + log.read())
    return Daemon(process, re.search(r"TCP INET: *(\d+)", open(ports).read()).group(1))
