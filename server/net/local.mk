# SPDX-License-Identifier: BSD-3-Clause
tagcached_sources += \
  %D%/acceptor.c \
  %D%/conn.c \
  %D%/conn_hold.c \
  %D%/conn_out.c \
  %D%/listen.c \
  %D%/listener.c \
  %D%/loop.c \
  %D%/net.c \
  %D%/openssl.c \
  %D%/tls.c \
  %D%/worker.c
noinst_HEADERS += \
  %D%/acceptor.h \
  %D%/conn.h \
  %D%/conn_hold.h \
  %D%/conn_internal.h \
  %D%/conn_out.h \
  %D%/listener.h \
  %D%/loop.h \
  %D%/net.h \
  %D%/net.metrics.def \
  %D%/net.options.def \
  %D%/net_internal.h \
  %D%/openssl.h \
  %D%/socket.h \
  %D%/tls.h \
  %D%/worker.h \
  %D%/worker_internal.h
EXTRA_DIST += %D%/README.md
