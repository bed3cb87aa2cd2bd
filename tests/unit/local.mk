# SPDX-License-Identifier: BSD-3-Clause
# One line a program: tests/unit/test_x.c is built into tests/unit/test_x, linked with the library and cmocka.
# A test that needs more says e.g. tests_unit_test_x_SOURCES = %D%/test_x.c %D%/helper.c
unit_tests +=
noinst_HEADERS +=

# The tree's own order: who includes whom.
TESTS += %D%/test_check_includes.py
EXTRA_DIST += %D%/test_check_includes.py

unit_tests += %D%/test_conn %D%/test_option %D%/test_tls
unit_tests += %D%/test_store %D%/test_store_order %D%/test_store_threads %D%/test_auth %D%/test_dump %D%/test_stats %D%/test_watch
noinst_HEADERS += %D%/talk.h
