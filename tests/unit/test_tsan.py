#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What ThreadSanitizer finds in uses of base/sync: tests/unit/tsan_probe has each as it should be, which must pass in
silence, and with one mistake, which must be reported. Builds with ThreadSanitizer only (tests/unit/local.mk)."""
import os
import subprocess
import sys
from pathlib import Path

PROBE = Path(os.environ.get("TAGCACHED_BUILDDIR", ".")) / "tests/unit/tsan_probe"
REPORTED = 66  # ThreadSanitizer's exit code
ENVIRONMENT = dict(os.environ, TSAN_OPTIONS=f"exitcode={REPORTED}:halt_on_error=1")


def run(*args):
    p = subprocess.run([str(PROBE), *args], capture_output=True, text=True, timeout=60, env=ENVIRONMENT)
    return p.returncode, p.stdout, p.stderr


def main():
    failed = 0
    code, names, _ = run()
    names = names.split()
    if code != 0 or not names:
        print(f"[  FAILED  ] {PROBE} names no probes")
        return 1
    for name in names:
        for use in ("right", "broken"):
            code, _, said = run(name, use)
            race = "WARNING: ThreadSanitizer: data race" in said
            good = (code == 0 and said == "") if use == "right" else (code == REPORTED and race)
            print(f"[ {'      OK' if good else ' FAILED '} ] {name}, {use}")
            if not good:
                print(f"exit code {code}\n{said}")
                failed = 1
    return failed


sys.exit(main())
