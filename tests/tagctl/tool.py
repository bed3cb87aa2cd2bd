# SPDX-License-Identifier: BSD-3-Clause
"""Running tagctl, with a terminal and without, and noting what was not as it should be."""
import os
import pty
import re
import subprocess

PROGRAM = os.path.join(os.environ.get("TAGCACHED_BUILDDIR", "."), "tagctl")
DONE, FAILED, USAGE, NOT_FOUND, UNREACHABLE, DECLINED = range(6)
ENV = {k: v for k, v in os.environ.items() if not k.startswith("TAGCTL_") and k not in ("NO_COLOR", "TERM")}
ENV["TERM"] = "xterm"
# What only looks.
READS = re.compile(r"(cluster at \S+ )?(cluster (status|members|ring|purges.*|key ls|recover)|stats.*|mn|version|explain .*|mg .*)$")
failures = []


def check(what, good, note=""):
    if not good:
        failures.append(what)
        print(f"FAIL {what}\n     {note}")


def piped(*args, server=None, env=None, stdin=""):
    """Runs tagctl without a terminal: status, output, errors."""
    where = ["-s", f"127.0.0.1:{server.port}"] if server else []
    p = subprocess.run([PROGRAM, *where, *args], capture_output=True, timeout=60, env=dict(ENV, **(env or {})),
                       **({"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin.encode()}))
    return p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")


def read_terminal(master):
    """All that was written to the other side, when that is closed."""
    seen = b""
    while True:
        try:
            some = os.read(master, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            some = b""
        if not some:
            os.close(master)
            return seen
        seen += some


def on_terminal(*args, server, env=None, typed=None):
    """Runs tagctl with output (and, if something is typed, input) on a terminal: status, all that was seen."""
    master, slave = pty.openpty()
    p = subprocess.Popen([PROGRAM, "-s", f"127.0.0.1:{server.port}", *args], stdout=slave, stderr=slave,
                         stdin=slave if typed is not None else subprocess.DEVNULL, env=dict(ENV, **(env or {})))
    os.close(slave)
    if typed is not None:
        os.write(master, typed.encode())
    seen = read_terminal(master)
    return p.wait(timeout=60), seen.decode(errors="replace").replace("\r\n", "\n")


def run_tests(names):
    """Runs each test_... of a program's globals(); its exit status."""
    for name, test in list(names.items()):
        if name.startswith("test_") and callable(test):
            test()
    print(f"{len(failures)} failures")
    return 1 if failures else 0
