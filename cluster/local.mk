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

# Purges as events.
noinst_HEADERS += \
  %D%/mutation.h \
  %D%/outbox.h \
  %D%/purgelog.h \
  %D%/purging.h \
  %D%/purging_state.h \
  %D%/viatable.h
tagcached_sources += \
  %D%/outbox.c \
  %D%/purgelog.c \
  %D%/purging_machine.c \
  %D%/purging_adopt.c \
  %D%/purging_collect.c \
  %D%/purging_member.c \
  %D%/purging_origin.c \
  %D%/purging_poll.c \
  %D%/purging_submit.c \
  %D%/viatable.c

EXTRA_DIST += %D%/README.md
