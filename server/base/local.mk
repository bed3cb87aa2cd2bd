# SPDX-License-Identifier: BSD-3-Clause
tagcached_sources += \
  %D%/audit.c \
  %D%/audit_line.c \
  %D%/clock.c \
  %D%/erase.c \
  %D%/fault.c \
  %D%/hash.c \
  %D%/hostport.c \
  %D%/log.c \
  %D%/loop.c \
  %D%/md5.c \
  %D%/openssl.c \
  %D%/option.c \
  %D%/pages.c \
  %D%/rand.c \
  %D%/standard.c \
  %D%/sync.c
noinst_HEADERS += \
  %D%/audit.h \
  %D%/audit_line.h \
  %D%/bytes.h \
  %D%/check.h \
  %D%/ck_tsan.h \
  %D%/clock.h \
  %D%/erase.h \
  %D%/fault.h \
  %D%/hash.h \
  %D%/histogram.def \
  %D%/histogram.h \
  %D%/hostport.h \
  %D%/log.h \
  %D%/loop.h \
  %D%/md5.h \
  %D%/md5_lanes.h \
  %D%/metric.h \
  %D%/openssl.h \
  %D%/option.h \
  %D%/pages.h \
  %D%/rand.h \
  %D%/standard.h \
  %D%/sync.h
