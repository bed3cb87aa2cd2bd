#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Clusters of real processes on loopback, as a user and an attacker meet them.

    run.py [--all] [--slow] [--jobs N] [--program PATH] [TEST...]

Without a name the quick tests (a step of tools/test: 25 seconds); --all: all but those that wait for more than half a
minute by design, which --slow adds. The exit status is 0 if all have passed.
"""
import argparse
import concurrent.futures
import os
import resource
import sys
import time
import traceback

import lib
import test_answers
import test_binary
import test_clients
import test_disk
import test_enemies
import test_erase
import test_faults
import test_handoff
import test_hotkeys
import test_http
import test_http_purges
import test_leases
import test_members
import test_memory
import test_migration
import test_moves
import test_options
import test_purges
import test_standstill

MODULES = (test_members, test_answers, test_purges, test_leases, test_faults, test_http, test_http_purges, test_enemies, test_erase,
           test_options, test_handoff, test_moves, test_hotkeys, test_migration, test_clients, test_binary,
           test_standstill, test_disk, test_memory)


def run(name, fn):
    begun = time.monotonic()
    try:
        with lib.Lab() as lab:
            fn(lab)
    except Exception:
        print(f"[  FAILED  ] {name} ({time.monotonic() - begun:.1f} s)\n{traceback.format_exc()}", flush=True)
        return False
    print(f"[       OK ] {name} ({time.monotonic() - begun:.1f} s)", flush=True)
    return True


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--all", action="store_true")
    ap.add_argument("--slow", action="store_true")
    ap.add_argument("--jobs", type=int, default=4, help="tests at once; most of their time is waiting")
    ap.add_argument("--program", default=os.environ.get("TAGCACHED", "build/gcc/tagcached"))
    ap.add_argument("tests", nargs="*", metavar="TEST")
    a = ap.parse_args()
    lib.Lab.program = os.path.abspath(a.program)
    unknown = set(a.tests) - {name for name, *_ in lib.cases}
    if unknown:
        ap.error(f"no test {', '.join(sorted(unknown))}")
    chosen = [(name, fn) for name, fn, quick, slow in lib.cases
              if name in a.tests or (not a.tests and (a.slow or not slow) and (quick or a.all or a.slow))]
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        results = list(pool.map(lambda c: run(*c), chosen))
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(u.ru_utime + u.ru_stime for u in used)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed; {time.monotonic() - begun:.0f} s, {cpu:.1f} CPU-seconds")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
