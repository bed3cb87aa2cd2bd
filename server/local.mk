# SPDX-License-Identifier: BSD-3-Clause
# The node (everything but main) belongs to the library, so that a test can hold several in one process.
tagcached_sources += \
  %D%/node.c \
  %D%/node_audit.c \
  %D%/node_cluster.c \
  %D%/node_erase.c \
  %D%/node_handoff.c \
  %D%/node_http.c \
  %D%/settings.c \
  %D%/settings_cluster.c
noinst_HEADERS += \
  %D%/cmd/cmd.options.def \
  %D%/store/store.options.def \
  %D%/audit.options.def \
  %D%/main.options.def \
  %D%/node_audit.h \
  %D%/node.h \
  %D%/node_cluster.h \
  %D%/node_erase.h \
  %D%/node_handoff.h \
  %D%/node_handles.h \
  %D%/node_http.h \
  %D%/settings.h \
  %D%/settings_cluster.h

bin_PROGRAMS += tagcached
tagcached_SOURCES = %D%/main.c %D%/erase_heap.c
tagcached_CPPFLAGS = $(base_cppflags)
tagcached_LDADD = $(daemon_library) $(base_libs)
tagcached_CFLAGS = $(AM_CFLAGS) $(LTO_FLAGS)
tagcached_LDFLAGS = $(AM_LDFLAGS) $(LTO_FLAGS) $(BIND_FLAGS)
