# SPDX-License-Identifier: BSD-3-Clause
tagcached_sources += \
  %D%/clock.c \
  %D%/fault.c \
  %D%/hash.c
noinst_HEADERS += \
  %D%/check.h \
  %D%/clock.h \
  %D%/fault.h \
  %D%/hash.h \
  %D%/sync.h
