#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/bench/report: what was measured replaces its section of a page, says where, and all else of the page stays."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(os.environ.get("TAGCACHED_SRCDIR") or Path(__file__).resolve().parents[2])
BEGIN, END = "<!-- figures: begin, written by tests/bench/report -->", "<!-- figures: end -->"
PAGE = f"""# A page

{BEGIN}

### Instructions

Measured on another machine.

### Idle

An old figure: 777.

{END}

The end.
"""
failed = 0


def check(name, good):
    global failed
    print(f"[ {'      OK' if good else ' FAILED '} ] {name}")
    failed += not good


def versions(machine):
    return {"table": "versions", "machine": machine, "kernel": "Linux 1", "compiler": "cc 1", "valgrind": "valgrind 1",
            "servers": {"tagcached": "tagcached 1"}}


def idle(wakeups):
    return {"table": "idle", "server": "tagcached", "threads": 4, "seconds": 20, "wakeups_per_s": wakeups, "cpu_us_per_s": 20}


def report(page, records):
    """The page after the report of these records; None: the report refused."""
    with tempfile.TemporaryDirectory() as d:
        to, measured = Path(d, "page.md"), Path(d, "bench.jsonl")
        to.write_text(page)
        measured.write_text("".join(json.dumps(r) + "\n" for r in records))
        p = subprocess.run([sys.executable, str(ROOT / "tests/bench/report"), str(measured), str(to)], capture_output=True, text=True)
        plots = sorted(f.name for f in Path(d).glob("plots/*"))
        return (to.read_text(), plots) if p.returncode == 0 else (None, p.stderr)


def main():
    text, plots = report(PAGE, [versions("machine A"), idle(9), versions("machine B"), idle(.5), versions("machine C")])
    check("the_last_measurement_counts", "0.5" in text and "9.0" not in text and "777" not in text)
    check("a_section_says_where_it_was_measured", "machine B" in text and "machine A" not in text and "machine C" not in text)
    check("what_was_not_measured_stays", "Measured on another machine." in text)
    check("the_rest_of_the_page_stays", text.startswith("# A page\n") and text.endswith(END + "\n\nThe end.\n"))
    check("sections_keep_their_order", text.index("### Instructions") < text.index("### Idle"))
    check("a_figure_that_is_reached_stands_out", "**0.5 (" in text)
    check("the_plot_is_beside_the_page", plots == ["idle.svg"] and "(plots/idle.svg)" in text)
    text, _ = report(PAGE, [versions("machine A"), idle(9)])
    check("one_that_is_missed_does_not", "9.0 (" in text and "**9.0" not in text)
    text, said = report("no place", [versions("machine A"), idle(9)])
    check("a_page_without_the_comments_is_refused", text is None and "has no place for figures" in said)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
