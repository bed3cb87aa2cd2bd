#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tools/check-includes: this tree is clean, and each kind of offence in a made-up tree is found."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(os.environ.get("TAGCACHED_SRCDIR") or Path(__file__).resolve().parents[2])
failed = 0


def run(root):
    p = subprocess.run([sys.executable, str(ROOT / "tools/check-includes"), str(root)], capture_output=True, text=True)
    return p.returncode, p.stdout


def case(name, files, expect):
    """files: path -> text. expect: None for a clean tree, else a text that the complaint must hold."""
    global failed
    with tempfile.TemporaryDirectory() as d:
        for path, text in files.items():
            p = Path(d, path)
            p.parent.mkdir(parents=True, exist_ok=True)
            p.write_text(text)
        code, out = run(d)
    good = code == 0 if expect is None else code == 1 and expect in out
    print(f"[ {'      OK' if good else ' FAILED '} ] {name}")
    if not good:
        failed += 1
        print(out)


def main():
    code, out = run(ROOT)
    print(f"[ {'      OK' if code == 0 else ' FAILED '} ] this_tree")
    if code:
        print(out)

    base = {"server/base/a.h": ""}
    case("allowed_edges", {**base, "proto/p.h": '#include "base/a.h"\n', "server/net/n.h": '#include "base/a.h"\n',
                           "server/cmd/c.c": '#include "net/n.h"\n#include "proto/p.h"\n',
                           "server/main.c": '#include "cmd/c.h"\n', "server/cmd/c.h": "",
                           "tests/unit/t.c": '#include "net/n.h"\n#include "cmd/c.h"\n'}, None)
    case("base_knows_nobody", {"server/base/a.c": '#include "store/s.h"\n', "server/store/s.h": ""},
         "server/base/a.c:1")
    case("net_knows_no_command", {"server/net/n.c": '\n#include "cmd/c.h"\n', "server/cmd/c.h": ""},
         "server/net/n.c:2")
    case("store_knows_no_net", {"server/store/s.c": '#  include "net/n.h"\n', "server/net/n.h": ""},
         "server/store/s.c:1")
    case("proto_knows_no_store", {"proto/p.c": '#include "store/s.h"\n', "server/store/s.h": ""}, "proto/p.c:1")
    case("cmd_knows_no_node", {"server/cmd/c.c": '#include "node.h"\n', "server/node.h": ""}, "server/cmd/c.c:1")
    case("nobody_knows_tests", {"server/main.c": '#include "tests/lib/x.h"\n', "tests/lib/x.h": ""},
         "server/main.c:1")
    case("a_def_counts_as_its_folder", {"server/net/n.c": '#include "store/x.def"\n', "server/store/x.def": ""},
         "server/net/n.c:1")
    case("a_path_with_dots", {"server/net/n.c": '#include "../store/s.h"\n', "server/store/s.h": ""},
         "server/net/n.c:1")
    case("missing_file", {"server/net/n.c": '#include "net/gone.h"\n'}, "is not in the tree")
    case("generated_counts_as_its_source", {"proto/a.proto": "", "proto/a.c": '#include "proto/a.pb-c.h"\n'}, None)
    case("generated_has_a_folder", {"proto/a.proto": "", "server/net/n.c": '#include "proto/a.pb-c.h"\n'}, "server/net/n.c:1")
    case("generated_of_nothing", {"proto/a.c": '#include "proto/a.pb-c.h"\n'}, "is not in the tree")
    case("cluster_knows_no_net", {"cluster/c.c": '#include "net/n.h"\n', "server/net/n.h": ""}, "cluster/c.c:1")
    case("proto_knows_no_cluster", {"proto/p.c": '#include "cluster/c.h"\n', "cluster/c.h": ""}, "proto/p.c:1")
    case("cmd_knows_the_cluster", {"server/cmd/c.c": '#include "cluster/c.h"\n', "cluster/c.h": ""}, None)
    star = "| file | what |\n| --- | --- |\n| `m.[ch]`, `n_*.c` * | pure |\n| `o.c` | not |\n"
    case("a_pure_file_reads_no_clock", {"cluster/README.md": star, "cluster/m.c": "x = clock_boot_ns(c);\n"},
         "cluster/m.c:1: uses clock_boot_ns")
    case("a_pure_file_found_by_pattern", {"cluster/README.md": star, "cluster/n_a.c": "\nsocket(1, 2, 3);\n"},
         "cluster/n_a.c:2: uses socket")
    case("others_may", {"cluster/README.md": star, "cluster/o.c": "x = clock_boot_ns(c);\n", "cluster/m.c": "/* time() */\n"},
         None)
    case("unknown_folder_of_server", {"server/misc/m.c": "", **base}, "server/misc/m.c:1")
    case("circle", {"server/base/a.h": '#include "base/b.h"\n', "server/base/b.h": '#include "base/c.h"\n',
                    "server/base/c.h": '#include "base/a.h"\n'}, "files include each other")
    case("circle_within_a_folder", {"server/cmd/a.h": '#include "b.h"\n', "server/cmd/b.h": '#include "cmd/a.h"\n',
                                    "server/cmd/c.c": '#include "cmd/a.h"\n'}, "server/cmd/a.h -> server/cmd/b.h -> server/cmd/a.h")
    case("circle_through_a_def", {"server/store/a.h": '#include "x.def"\n', "server/store/x.def": '#include "a.h"\n'},
         "files include each other")
    case("circle_of_units", {"server/store/a.c": '#include "store/b.h"\n', "server/store/a.h": "",
                             "server/store/b.c": '#include "store/b.h"\n#include "store/c.h"\n', "server/store/b.h": "",
                             "server/store/c.h": '#include "store/a.h"\n'},
         "units include each other: server/store/a.c includes server/store/b.h, server/store/b.c includes server/store/c.h, "
         "server/store/c.h includes server/store/a.h")
    case("a_unit_is_of_one_folder", {"server/cmd/a.h": '#include "store/a.h"\n', "server/store/a.h": "",
                                     "server/cmd/a.c": '#include "cmd/a.h"\n#include "store/a.h"\n'}, None)
    case("units_in_an_order", {"server/store/a.c": '#include "store/a.h"\n#include "store/b.h"\n', "server/store/a.h": "",
                               "server/store/b.c": '#include "store/b.h"\n#include "store/x.def"\n',
                               "server/store/b.h": "", "server/store/x.def": ""}, None)
    for word, use in (("epoll_wait", "n = epoll_wait(fd, e, 1, -1);"), ("poll", "poll (p, 2, -1);"),
                       ("signalfd", "#include <sys/signalfd.h>"), ("timerfd_create", "timerfd_create(0, 0);"),
                       ("__atomic_load_n", "__atomic_load_n(&x, 0);"), ("__sync_synchronize", "__sync_synchronize();")):
        case(f"uses_{word}", {"server/net/n.c": f"\n/* for */ {use}\n" if "#" not in use else f"\n{use}\n"},
             f"server/net/n.c:2: uses {word};")
    case("tsan_has_atomics", {"server/base/ck_tsan.h": "__atomic_load_n(&x, 0);\n"}, None)
    case("tsan_polls_nothing", {"server/base/ck_tsan.h": "poll(p, 1, 0);\n"}, "uses poll;")
    case("words_that_are_no_use", {"server/net/n.c": "/* epoll_wait, not\n * poll() */ // timerfd \n" 'p = "a \\" signalfd";\n'
                                   "ck_epoch_poll(r); conn_poll(c); x = '\"';\n"}, None)
    case("tests_may", {**base, "tests/unit/t.c": "poll(p, 1, 0); __atomic_load_n(&x, 0);\n"}, None)
    case("itself", {"server/base/a.h": '#include "base/a.h"\n'}, "files include each other")
    case("empty_tree", {}, "no sources")
    return 1 if failed or code else 0


if __name__ == "__main__":
    sys.exit(main())
