# SPDX-License-Identifier: BSD-3-Clause
tagcached_sources += \
  %D%/acceptor.c \
  %D%/conn.c \
  %D%/conn_hold.c \
  %D%/conn_link.c \
  %D%/conn_serve.c \
  %D%/conn_tick.c \
  %D%/conn_write.c \
  %D%/listen.c \
  %D%/listener.c \
  %D%/net.c \
  %D%/net_state.c \
  %D%/tls.c \
  %D%/worker.c \
  %D%/worker_erase.c \
  %D%/worker_loop.c
noinst_HEADERS += \
  %D%/acceptor.h \
  %D%/conn.h \
  %D%/conn_hold.h \
  %D%/conn_link.h \
  %D%/conn_link_state.h \
  %D%/conn_out.h \
  %D%/conn_room.h \
  %D%/conn_serve.h \
  %D%/conn_state.h \
  %D%/conn_tick.h \
  %D%/conn_write.h \
  %D%/handler.h \
  %D%/listener.h \
  %D%/net.h \
  %D%/net.metrics.def \
  %D%/net.options.def \
  %D%/net_config.h \
  %D%/net_state.h \
  %D%/post.h \
  %D%/socket.h \
  %D%/tls.h \
  %D%/worker.h \
  %D%/worker_erase.h \
  %D%/worker_loop.h \
  %D%/worker_state.h
EXTRA_DIST += %D%/README.md
