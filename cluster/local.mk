# SPDX-License-Identifier: BSD-3-Clause
noinst_HEADERS += \
  %D%/configuration.h \
  %D%/statedir.h
tagcached_sources += \
  %D%/configuration.c \
  %D%/statedir.c

noinst_HEADERS += %D%/ring.h %D%/ringdiff.h
tagcached_sources += %D%/ring.c %D%/ringdiff.c

EXTRA_DIST += %D%/README.md

noinst_HEADERS += %D%/view.h
tagcached_sources += %D%/view.c
