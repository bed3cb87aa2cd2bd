# SPDX-License-Identifier: BSD-3-Clause
tagcached_sources += \
  %D%/base64.c \
  %D%/cluster_id.c \
  %D%/keytags.c \
  %D%/meta.c \
  %D%/purge_event.c \
  %D%/text.c
noinst_HEADERS += \
  %D%/base64.h \
  %D%/cluster_id.h \
  %D%/cmd.def \
  %D%/keytags.h \
  %D%/meta.def \
  %D%/meta.h \
  %D%/peer_purge.h \
  %D%/purge_event.h \
  %D%/text.h
EXTRA_DIST += %D%/PROTOCOL.md
