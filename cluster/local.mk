# SPDX-License-Identifier: BSD-3-Clause
noinst_HEADERS += \
  %D%/configuration.h \
  %D%/outbox.h \
  %D%/mutation.h \
  %D%/purgelog.h \
  %D%/purging.h \
  %D%/purging_state.h \
  %D%/viatable.h
tagcached_sources += \
  %D%/configuration.c \
  %D%/outbox.c \
  %D%/purgelog.c \
  %D%/purging.c \
  %D%/purging_adopt.c \
  %D%/purging_collect.c \
  %D%/purging_member.c \
  %D%/purging_origin.c \
  %D%/purging_poll.c \
  %D%/purging_submit.c \
  %D%/viatable.c

EXTRA_DIST += %D%/README.md
