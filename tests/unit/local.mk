# SPDX-License-Identifier: BSD-3-Clause
# One line a program: tests/unit/test_x.c is built into tests/unit/test_x, linked with the library and cmocka.
# A test that needs more says e.g. tests_unit_test_x_SOURCES = %D%/test_x.c %D%/helper.c
unit_tests +=
noinst_HEADERS +=

# The tree's own order: who includes whom.
TESTS += %D%/test_check_includes.py
EXTRA_DIST += %D%/test_check_includes.py

# The process: exit codes, signals, files, a service manager.
TESTS += %D%/test_main.py
EXTRA_DIST += %D%/test_main.py

unit_tests += %D%/test_conn %D%/test_option %D%/test_pages %D%/test_tls
unit_tests += %D%/test_store %D%/test_store_order %D%/test_store_threads %D%/test_store_rules %D%/test_purge %D%/test_index %D%/test_lowest %D%/test_ghost %D%/test_evict %D%/test_segment %D%/test_auth %D%/test_dump %D%/test_stats %D%/test_watch
noinst_HEADERS += %D%/talk.h

# The commands: their parsers, and all of them over connections in memory (no net is linked).
unit_tests += %D%/test_text %D%/test_meta %D%/test_keytags %D%/test_cmd
tests_unit_test_cmd_SOURCES = %D%/test_cmd.c tests/fuzz/fake_net.c
noinst_HEADERS += tests/fuzz/fake_net.h
