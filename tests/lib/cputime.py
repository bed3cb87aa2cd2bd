# SPDX-License-Identifier: BSD-3-Clause
"""The CPU time of a process's threads."""
import os


def cpu_ns(pid, name=None):
    """Nanoseconds of CPU time, by the scheduler, that the threads of this name have used so far (None: all threads have).
    0 if there is none of this name. Of a thread that ends meanwhile nothing is counted."""
    total, tasks = 0, f"/proc/{pid}/task"
    for task in os.listdir(tasks):
        try:
            with open(f"{tasks}/{task}/comm") as comm, open(f"{tasks}/{task}/schedstat") as stat:
                if name in (None, comm.read().strip()):
                    total += int(stat.read().split()[0])
        except OSError:
            pass
    return total
