# SPDX-License-Identifier: BSD-3-Clause
noinst_HEADERS += \
  %D%/configuration.h \
  %D%/outbox.h \
  %D%/purgelog.h \
  %D%/viatable.h
tagcached_sources += \
  %D%/configuration.c \
  %D%/outbox.c \
  %D%/purgelog.c \
  %D%/viatable.c

EXTRA_DIST += %D%/README.md
