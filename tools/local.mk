# SPDX-License-Identifier: BSD-3-Clause
EXTRA_DIST += \
  %D%/README.md \
  %D%/check-includes \
  %D%/check-options \
  %D%/debian-packages \
  %D%/demo \
  %D%/install \
  %D%/sim \
  %D%/test

if HAVE_LIBMEMCACHED
EXTRA_PROGRAMS += %D%/demo-client
CLEANFILES += %D%/demo-client
endif
%C%_demo_client_SOURCES = %D%/demo-client.c
%C%_demo_client_CPPFLAGS = -D_GNU_SOURCE= $(LIBMEMCACHED_CFLAGS)
%C%_demo_client_LDADD = $(LIBMEMCACHED_LIBS)
