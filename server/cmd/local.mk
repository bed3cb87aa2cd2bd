# SPDX-License-Identifier: BSD-3-Clause
tagcached_sources += \
  %D%/cmd.c \
  %D%/cmd_body.c \
  %D%/cmd_expiry.c \
  %D%/cmd_get.c \
  %D%/cmd_meta.c \
  %D%/cmd_meta_change.c \
  %D%/cmd_meta_get.c \
  %D%/cmd_meta_set.c \
  %D%/cmd_parse.c \
  %D%/cmd_plain.c \
  %D%/cmd_reply.c \
  %D%/cmd_set.c \
  %D%/cmd_table.c \
  %D%/cmd_tag.c \
  %D%/cmd_value.c
noinst_HEADERS += \
  %D%/cmd.h \
  %D%/cmd.metrics.def \
  %D%/cmd_internal.h \
  %D%/cmd_meta.h \
  %D%/cmd_parse.h \
  %D%/cmd_table.h

# What the operator sees and does: statistics, watchers, dumps, authentication, administration.
tagcached_sources += \
  %D%/cmd_admin.c \
  %D%/cmd_auth.c \
  %D%/cmd_conns.c \
  %D%/cmd_detail.c \
  %D%/cmd_dump.c \
  %D%/cmd_log.c \
  %D%/cmd_stats.c \
  %D%/cmd_watch.c \
  %D%/cmd_watch_line.c
noinst_HEADERS += \
  %D%/cmd_auth.h \
  %D%/cmd_dump.h \
  %D%/cmd_stats.h \
  %D%/cmd_watch.h \
  %D%/stats.general.def \
  %D%/stats.items.def \
  %D%/stats.purge.def \
  %D%/stats.slabs.def \
  %D%/stats.tags.def

EXTRA_DIST += %D%/README.md
