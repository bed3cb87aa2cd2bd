# SPDX-License-Identifier: BSD-3-Clause
"""Daemons that now and then get no memory: some of their allocations fail (nomemory.c). Builds with sanitizers
have allocations of their own, and do not suit."""
import mmap
import os
import shlex
import struct
import subprocess
import tempfile
import time

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nomemory.c")


class NoMemory:
    """For the daemons that are started with `env`; how often is theirs in common."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="tagcached-nomemory-")
        library, path = os.path.join(self.dir.name, "nomemory.so"), os.path.join(self.dir.name, "wanted")
        subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-O1", "-fPIC", "-shared", "-o", library, SOURCE], check=True)
        with open(path, "w+b") as f:
            f.truncate(mmap.PAGESIZE)
            self.wanted = mmap.mmap(f.fileno(), mmap.PAGESIZE)
        self.env = {"LD_PRELOAD": library, "NOMEMORY": path}

    def suits(self, program):
        """Whether the program's allocations are those that can fail. Before a daemon is started."""
        self.fail(1)
        subprocess.run([program, "-V"], env=dict(os.environ, **self.env), capture_output=True)
        suits = self.failed() > 0
        self.wanted[:24] = bytes(24)
        return suits

    def now_and_then(self, seconds, shares, calm_s, go_on):
        """For so long, and while go_on() holds: each share of the allocations in turn fails for a third of a second, and then
        none, so that the daemons can recover."""
        until, turn = time.monotonic() + seconds, 0
        while time.monotonic() < until and go_on():
            self.fail(shares[turn % len(shares)])
            time.sleep(0.3)
            self.fail(0)
            time.sleep(calm_s)
            turn += 1

    def fail(self, share):
        """From now on this share of the allocations fails."""
        self.wanted[:8] = struct.pack("=Q", round(share * 1e6))

    def failed(self):
        """How many allocations have failed."""
        return struct.unpack("=Q", self.wanted[16:24])[0]

    def end(self):
        self.wanted.close()
        self.dir.cleanup()
