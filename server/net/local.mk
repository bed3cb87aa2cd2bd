# SPDX-License-Identifier: BSD-3-Clause
tagcached_sources +=
noinst_HEADERS += \
  %D%/conn.h \
  %D%/worker.h
