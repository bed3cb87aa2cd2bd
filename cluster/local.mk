# SPDX-License-Identifier: BSD-3-Clause
noinst_HEADERS += \
  %D%/configuration.h \
  %D%/member.h \
  %D%/statedir.h \
  %D%/suspicion.h \
  %D%/swim.h \
  %D%/swim_state.h
tagcached_sources += \
  %D%/configuration.c \
  %D%/member.c \
  %D%/statedir.c \
  %D%/suspicion.c \
  %D%/swim.c \
  %D%/swim_evidence.c \
  %D%/swim_gossip.c \
  %D%/swim_probe.c \
  %D%/swim_sync.c

EXTRA_DIST += %D%/README.md
