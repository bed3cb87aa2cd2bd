# SPDX-License-Identifier: BSD-3-Clause
tagcached_sources +=
noinst_HEADERS += \
  %D%/store.h \
  %D%/store.metrics.def
