# SPDX-License-Identifier: BSD-3-Clause
# The node (everything but main) belongs to the library, so that a test can hold several in one process. When main.c
# exists:
#   bin_PROGRAMS += tagcached
#   tagcached_SOURCES = %D%/main.c
#   tagcached_CPPFLAGS = $(base_cppflags)
#   tagcached_LDADD = libtagcached.a $(base_libs)
tagcached_sources +=
noinst_HEADERS +=
