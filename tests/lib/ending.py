# SPDX-License-Identifier: BSD-3-Clause
"""Ending a daemon that a test has started."""
import os
import signal
import subprocess
import time

# ThreadSanitizer's runtime loses a signal now and then that comes while the main thread is on its way into epoll_wait: of
# 1,080 daemons that were ended as soon as they said READY, six at a time, 14 went on, and a second signal ended those that
# got one. Of 2,400 without it none went on. So there, and only there, the signal is sent again.
AGAIN_S = 5 if os.environ.get("TAGCACHED_SANITIZER") == "thread" else None


def _signal_until(send, wait, patience):
    """Sends the signal, and returns what wait(SECONDS) does; what it raises when that was too short comes at the end only."""
    until = time.monotonic() + patience
    while True:
        send()
        left = max(0.001, until - time.monotonic())
        try:
            return wait(left if AGAIN_S is None else min(AGAIN_S, left))
        except (TimeoutError, subprocess.TimeoutExpired):
            if AGAIN_S is None or left <= AGAIN_S:
                raise


def end(process, patience=60, how=signal.SIGTERM):
    """Sends the signal and waits for so many seconds; the exit status. subprocess.TimeoutExpired: it runs on."""
    return _signal_until(lambda: process.send_signal(how), process.wait, patience)


def end_by_pid(pid, connection, patience=60):
    """The same for a daemon that is no child of the test: waits until it closes the connection. TimeoutError: it runs on."""
    def closed(seconds):
        connection.settimeout(seconds)
        while connection.recv(100):
            pass

    _signal_until(lambda: os.kill(pid, signal.SIGTERM), closed, patience)
