# SPDX-License-Identifier: BSD-3-Clause
"""A server that listens on a UNIX socket in a folder of its own."""
import os
import select
import socket
import subprocess
import tempfile
import time

from ending import end


class OnSocket:
    """Runs from here on until stop(), or to the end of a `with`. `options` are the command line's, `popen` is for Popen."""

    def __init__(self, program, *options, patience=10, **popen):
        self.dir = tempfile.TemporaryDirectory(prefix="tagcached-")
        self.path = os.path.join(self.dir.name, "socket")
        root = ["-u", "root"] if os.getuid() == 0 else []
        self.process = subprocess.Popen([program, "-s", self.path, *map(str, options), *root], **popen)
        until = time.monotonic() + patience
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                ended = self.process.poll()
                self.stop()
                raise TimeoutError("the server does not start" + ("" if ended is None else f": it ended with {ended}"))
            select.select([], [], [], 0.005)

    def _answers(self):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.path) == 0

    def dial(self, timeout=None):
        """A connection; it blocks for at most `timeout` seconds (None: for any time)."""
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        s.connect(self.path)
        return s

    def stop(self):
        """Has it end as an operator would; subprocess.TimeoutExpired: it did not, and was killed."""
        try:
            end(self.process)
        finally:
            self.process.kill()
            self.process.wait()
            self.dir.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()
