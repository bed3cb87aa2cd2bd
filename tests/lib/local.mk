# SPDX-License-Identifier: BSD-3-Clause
# What several tests share. Linked into every test program as libtagtest.a.
test_sources += %D%/subject.c
noinst_HEADERS += %D%/subject.h
test_sources += %D%/store_lab.c %D%/model_store.c
noinst_HEADERS += %D%/store_lab.h %D%/model_store.h
test_sources += %D%/page.c %D%/purge_lab.c
noinst_HEADERS += %D%/page.h %D%/purge_lab.h
test_sources += %D%/nodes.c
noinst_HEADERS += %D%/nodes.h %D%/slow.h

# What the tests in Python share.
EXTRA_DIST += %D%/cputime.py %D%/ending.py %D%/nomemory.c %D%/nomemory.py %D%/on_socket.py %D%/ports.py %D%/standstill.py

# The daemon as a test build: it obeys TAGCACHED_LEAVE_OUT (server/base/option.c) and TAGCACHED_MUTATION (shortcut.c).
check_PROGRAMS += tests/tagcached_test
tests_tagcached_test_SOURCES = server/main.c %D%/shortcut.c
tests_tagcached_test_LDADD = libtagcached_test.a $(base_libs)
