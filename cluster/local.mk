# SPDX-License-Identifier: BSD-3-Clause
noinst_HEADERS += \
  %D%/configuration.h \
  %D%/datagram.h \
  %D%/hello.h \
  %D%/keyring.h
tagcached_sources += \
  %D%/configuration.c \
  %D%/datagram.c \
  %D%/hello.c \
  %D%/keyring.c

EXTRA_DIST += %D%/README.md
