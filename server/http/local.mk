# SPDX-License-Identifier: BSD-3-Clause
tagcached_sources += \
  %D%/http_parser.c \
  %D%/http_request.c \
  %D%/http_router.c

# Purges in the dialects of CDNs and caches.
tagcached_sources += \
  %D%/dialect.c \
  %D%/dialect_akamai.c \
  %D%/dialect_bunny.c \
  %D%/dialect_cloudflare.c \
  %D%/dialect_fastly.c \
  %D%/dialect_own.c \
  %D%/dialect_souin.c \
  %D%/dialect_varnish.c \
  %D%/purge_pattern.c \
  %D%/purge_wanted.c
noinst_HEADERS += \
  %D%/dialect.h \
  %D%/http.purges.def \
  %D%/purge_pattern.h \
  %D%/purge_wanted.h
