# SPDX-License-Identifier: BSD-3-Clause
noinst_HEADERS += \
  %D%/configuration.h
tagcached_sources += \
  %D%/configuration.c

EXTRA_DIST += %D%/README.md
