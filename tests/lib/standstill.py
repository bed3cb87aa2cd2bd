# SPDX-License-Identifier: BSD-3-Clause
"""A thread of another process that stands still, as one does that gets no processor while all others go on (ptrace(2))."""
import contextlib
import ctypes
import os

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17  # <sys/ptrace.h>
WALL = 0x40000000                              # <bits/waitflags.h>: whatever kind of thread it is

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request, tid):
    if _libc.ptrace(request, tid, None, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"ptrace of thread {tid}: {os.strerror(error)}")


def threads(pid):
    """The names of a process's threads, and their numbers."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm") as comm:
            found[comm.read().strip()] = int(task)
    return found


@contextlib.contextmanager
def standing_still(pid, name):
    """Has the thread of this name stand still until the block ends. PermissionError where this process may not do that. The
    block has to begin and end in one thread of the caller's."""
    tid = threads(pid)[name]
    _ptrace(SEIZE, tid)
    try:
        _ptrace(INTERRUPT, tid)
        os.waitpid(tid, WALL)
        yield
    finally:
        _ptrace(DETACH, tid)
