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
  %D%/handshake.h \
  %D%/hello.h \
  %D%/idmap.h \
  %D%/keyring.h \
  %D%/link.h \
  %D%/outbuf.h \
  %D%/peers.h \
  %D%/psk.h \
  %D%/ring.h \
  %D%/ringdiff.h \
  %D%/sockets.h \
  %D%/statedir.h \
  %D%/stream.h \
  %D%/transport.h \
  %D%/transport_config.h \
  %D%/transport_state.h
tagcached_sources += \
  %D%/address.c \
  %D%/configuration.c \
  %D%/datagram.c \
  %D%/dns.c \
  %D%/handshake.c \
  %D%/hello.c \
  %D%/idmap.c \
  %D%/keyring.c \
  %D%/link.c \
  %D%/outbuf.c \
  %D%/peers.c \
  %D%/psk.c \
  %D%/ring.c \
  %D%/ringdiff.c \
  %D%/sockets.c \
  %D%/statedir.c \
  %D%/stream.c \
  %D%/transport.c \
  %D%/transport_state.c

EXTRA_DIST += %D%/README.md
