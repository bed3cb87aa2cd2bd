# SPDX-License-Identifier: BSD-3-Clause
# Through client libraries and tools that other people wrote.
if HAVE_LIBMEMCACHED
unit_tests += %D%/test_libmemcached
single_tests += %D%/test_libmemcached_ring
endif
%C%_test_libmemcached_SOURCES = %D%/test_libmemcached.c
%C%_test_libmemcached_CPPFLAGS = $(AM_CPPFLAGS) $(LIBMEMCACHED_CFLAGS)
%C%_test_libmemcached_LDADD = $(LDADD) $(LIBMEMCACHED_LIBS)
%C%_test_libmemcached_ring_SOURCES = %D%/test_libmemcached_ring.c
%C%_test_libmemcached_ring_CPPFLAGS = $(AM_CPPFLAGS) $(LIBMEMCACHED_CFLAGS)
%C%_test_libmemcached_ring_LDADD = $(LDADD) $(LIBMEMCACHED_LIBS)

TESTS += %D%/test_memccapable.py %D%/test_binary.py
EXTRA_DIST += %D%/test_memccapable.py %D%/test_binary.py %D%/daemon.py %D%/binary.rb %D%/binary.php %D%/binary.py %D%/binary.cjs
