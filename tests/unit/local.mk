# SPDX-License-Identifier: BSD-3-Clause
# One line a program: tests/unit/test_x.c is built into tests/unit/test_x, linked with the library and cmocka.
# A test that needs more says e.g. tests_unit_test_x_SOURCES = %D%/test_x.c %D%/helper.c
unit_tests +=
noinst_HEADERS +=
