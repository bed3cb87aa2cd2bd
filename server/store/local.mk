# SPDX-License-Identifier: BSD-3-Clause
tagcached_sources += \
  %D%/account.c \
  %D%/age.c \
  %D%/change.c \
  %D%/cold.c \
  %D%/compact.c \
  %D%/evict.c \
  %D%/ghost.c \
  %D%/index.c \
  %D%/item.c \
  %D%/line.c \
  %D%/maintain.c \
  %D%/modify.c \
  %D%/move.c \
  %D%/number.c \
  %D%/purge.c \
  %D%/purge_place.c \
  %D%/purge_write.c \
  %D%/purging.c \
  %D%/read.c \
  %D%/room.c \
  %D%/segment.c \
  %D%/store.c \
  %D%/sweep.c \
  %D%/tag.c \
  %D%/turn.c \
  %D%/upload.c \
  %D%/write.c
noinst_HEADERS += \
  %D%/account.h \
  %D%/age.h \
  %D%/ghost.h \
  %D%/index.h \
  %D%/internal.h \
  %D%/item.h \
  %D%/lowest.h \
  %D%/move.h \
  %D%/purge.h \
  %D%/segment.h \
  %D%/store.h \
  %D%/store.metrics.def \
  %D%/upload.h
