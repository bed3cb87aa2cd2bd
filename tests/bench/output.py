# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmarks print: aligned tables for a reader, JSON lines for a program."""
import json
import sys


class Output:
    def __init__(self, path):
        self.f = open(path, "a")

    def versions(self, what):
        for k, v in {**what, **what["servers"]}.items():
            if k != "servers":
                print(f"{k:16} {v}")
        print(flush=True)
        self.record("versions", **what)

    def record(self, table, **fields):
        """One line of JSON: {"table": ..., fields}."""
        self.f.write(json.dumps({"table": table, **fields}) + "\n")
        self.f.flush()

    def table(self, title, header, rows):
        """Prints rows (lists of text) under a header, the first column to the left, the others to the right."""
        cells = [header] + [[("-" if c is None else str(c)) for c in r] for r in rows]
        width = [max(len(r[i]) for r in cells) for i in range(len(header))]
        print(title)
        for n, r in enumerate(cells):
            print("  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, width))))
            if n == 0:
                print("  " + "  ".join("-" * w for w in width))
        sys.stdout.flush()


def fixed(x, digits=2):
    return None if x is None else f"{x:,.{digits}f}"
