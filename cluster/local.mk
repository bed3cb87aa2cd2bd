# SPDX-License-Identifier: BSD-3-Clause
noinst_HEADERS += \
  %D%/address.h \
  %D%/cluster.h \
  %D%/cluster.options.def \
  %D%/cluster_config.h \
  %D%/cluster_gauges.h \
  %D%/cluster_task.h \
  %D%/configuration.h \
  %D%/datagram.h \
  %D%/dns.h \
  %D%/hello.h \
  %D%/idmap.h \
  %D%/keyring.h \
  %D%/psk.h \
  %D%/ring.h \
  %D%/ringdiff.h \
  %D%/statedir.h \
  %D%/stream.h
tagcached_sources += \
  %D%/address.c \
  %D%/configuration.c \
  %D%/datagram.c \
  %D%/dns.c \
  %D%/hello.c \
  %D%/idmap.c \
  %D%/keyring.c \
  %D%/psk.c \
  %D%/ring.c \
  %D%/ringdiff.c \
  %D%/statedir.c \
  %D%/stream.c

EXTRA_DIST += %D%/README.md
