# SPDX-License-Identifier: BSD-3-Clause
"""Daemons that now and then get no memory: some of their allocations fail (nomemory.c). Not with sanitizers' builds."""
import mmap
import os
import struct
import subprocess
import tempfile

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nomemory.c")


class NoMemory:
    """For the daemons that are started with `env`; how often is theirs in common."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="tagcached-nomemory-")
        library, path = os.path.join(self.dir.name, "nomemory.so"), os.path.join(self.dir.name, "wanted")
        subprocess.run([os.environ.get("CC", "cc"), "-O1", "-fPIC", "-shared", "-o", library, SOURCE], check=True)
        with open(path, "w+b") as f:
            f.truncate(mmap.PAGESIZE)
            self.wanted = mmap.mmap(f.fileno(), mmap.PAGESIZE)
        self.env = {"LD_PRELOAD": library, "NOMEMORY": path}

    def fail(self, share):
        """From now on this share of the allocations fails."""
        self.wanted[:8] = struct.pack("=Q", round(share * 1e6))

    def failed(self):
        """How many allocations have failed."""
        return struct.unpack("=Q", self.wanted[16:24])[0]

    def end(self):
        self.wanted.close()
        self.dir.cleanup()
