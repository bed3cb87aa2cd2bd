# SPDX-License-Identifier: BSD-3-Clause
tagcached_sources += \
  %D%/exposition.c \
  %D%/http_life.c \
  %D%/http_gzip.c \
  %D%/http_job.c \
  %D%/http_parser.c \
  %D%/http_quality.c \
  %D%/http_reply.c \
  %D%/http_request.c \
  %D%/http_router.c \
  %D%/metrics.c \
  %D%/monitor.c
noinst_HEADERS += \
  %D%/exposition.h \
  %D%/http.dialects.def \
  %D%/http.h \
  %D%/http.options.def \
  %D%/http.statuses.def \
  %D%/http_gzip.h \
  %D%/http_job.h \
  %D%/http_parser.h \
  %D%/http_quality.h \
  %D%/http_request.h \
  %D%/http_route.h \
  %D%/http_router.h \
  %D%/http_state.h \
  %D%/metrics.h \
  %D%/metrics.memcached.def \
  %D%/metrics.tagcached.def \
  %D%/monitor.h
EXTRA_DIST += %D%/README.md

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
  %D%/http_purge.c \
  %D%/purge_pattern.c \
  %D%/purge_wanted.c \
  %D%/tokens.c
noinst_HEADERS += \
  %D%/dialect.h \
  %D%/http.purges.def \
  %D%/purge_pattern.h \
  %D%/purge_wanted.h \
  %D%/http_purge.h \
  %D%/tokens.h
