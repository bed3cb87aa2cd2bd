# SPDX-License-Identifier: BSD-3-Clause
noinst_HEADERS += \
  %D%/cluster.h \
  %D%/cluster.options.def \
  %D%/cluster_config.h \
  %D%/cluster_gauges.h \
  %D%/cluster_task.h \
  %D%/configuration.h \
  %D%/datagram.h \
  %D%/hello.h \
  %D%/keyring.h \
  %D%/ring.h \
  %D%/ringdiff.h \
  %D%/statedir.h
tagcached_sources += \
  %D%/configuration.c \
  %D%/datagram.c \
  %D%/hello.c \
  %D%/keyring.c \
  %D%/ring.c \
  %D%/ringdiff.c \
  %D%/statedir.c

EXTRA_DIST += %D%/README.md
