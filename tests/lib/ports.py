# SPDX-License-Identifier: BSD-3-Clause
"""Ports of loopback for daemons that a test starts."""
import random
import socket
import threading

# The kernel gives the ports from 32768 on to whoever connects (net.ipv4.ip_local_port_range), so a daemon that is to listen
# on one of them may find it taken by a client of another test that runs at the same time.
LOWEST, BEHIND = 12000, 32768

_lock = threading.Lock()
_given = set()


def is_free(port):
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(*beside):
    """A TCP and UDP port that nobody has and that this process was not given before. With `beside`, the ports that are so
    much higher are free, too. Nothing keeps it: another process may take it, but ports are drawn at random."""
    while True:
        first = random.randrange(LOWEST, BEHIND - max(beside, default=0))
        ports = {first, *(first + more for more in beside)}
        with _lock:
            if ports & _given:
                continue
            _given.update(ports)
        if all(is_free(p) for p in ports):
            return first
