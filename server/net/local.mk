# SPDX-License-Identifier: BSD-3-Clause
tagcached_sources += \
  %D%/conn.c \
  %D%/conn_hold.c \
  %D%/conn_out.c \
  %D%/listen.c \
  %D%/listener.c \
  %D%/net.c \
  %D%/openssl.c \
  %D%/poll.c \
  %D%/tls.c \
  %D%/worker.c
noinst_HEADERS += \
  %D%/conn.h \
  %D%/net.h \
  %D%/net.metrics.def \
  %D%/net.options.def \
  %D%/net_internal.h \
  %D%/openssl.h \
  %D%/worker.h
EXTRA_DIST += %D%/README.md
