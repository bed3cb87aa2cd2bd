# SPDX-License-Identifier: BSD-3-Clause
tagcached_sources += \
  %D%/cmd_lease.c \
  %D%/cmd_life.c \
  %D%/cmd_binary.c \
  %D%/cmd_binary_admin.c \
  %D%/cmd_binary_get.c \
  %D%/cmd_binary_parse.c \
  %D%/cmd_binary_sasl.c \
  %D%/cmd_binary_set.c \
  %D%/cmd_body.c \
  %D%/cmd_copy.c \
  %D%/cmd_deadline.c \
  %D%/cmd_expiry.c \
  %D%/cmd_forward_record.c \
  %D%/cmd_get.c \
  %D%/cmd_hold.c \
  %D%/cmd_input.c \
  %D%/cmd_job.c \
  %D%/cmd_key.c \
  %D%/cmd_explain.c \
  %D%/cmd_link_ask.c \
  %D%/cmd_meta.c \
  %D%/cmd_meta_change.c \
  %D%/cmd_meta_get.c \
  %D%/cmd_meta_set.c \
  %D%/cmd_moved.c \
  %D%/cmd_owner.c \
  %D%/cmd_parse.c \
  %D%/cmd_parse_block.c \
  %D%/cmd_parse_keys.c \
  %D%/cmd_parse_usual.c \
  %D%/cmd_moving.c \
  %D%/cmd_place.c \
  %D%/cmd_pull.c \
  %D%/cmd_plain.c \
  %D%/cmd_producer.c \
  %D%/cmd_purge.c \
  %D%/cmd_route.c \
  %D%/cmd_run.c \
  %D%/cmd_serve.c \
  %D%/cmd_set.c \
  %D%/cmd_table.c \
  %D%/cmd_tag.c \
  %D%/cmd_tell.c \
  %D%/cmd_transfer.c \
  %D%/cmd_value.c \
  %D%/cmd_view.c \
  %D%/packet.c \
  %D%/reply.c
noinst_HEADERS += \
  %D%/cmd.h \
  %D%/cmd.metrics.def \
  %D%/cmd_batch.h \
  %D%/cmd_binary.h \
  %D%/cmd_binary_get.h \
  %D%/cmd_binary_parse.h \
  %D%/cmd_binary_set.h \
  %D%/cmd_body.h \
  %D%/cmd_config.h \
  %D%/cmd_copy.h \
  %D%/cmd_deadline.h \
  %D%/cmd_expiry.h \
  %D%/cmd_forward.h \
  %D%/cmd_get.h \
  %D%/cmd_hold.h \
  %D%/cmd_input.h \
  %D%/cmd_job.h \
  %D%/cmd_key.h \
  %D%/cmd_lease.h \
  %D%/cmd_link.h \
  %D%/cmd_meta.h \
  %D%/cmd_meta_get.h \
  %D%/cmd_meta_set.h \
  %D%/cmd_moved.h \
  %D%/cmd_owner.h \
  %D%/cmd_parse.h \
  %D%/cmd_parse_block.h \
  %D%/cmd_parse_keys.h \
  %D%/cmd_parse_usual.h \
  %D%/cmd_moving.h \
  %D%/cmd_place.h \
  %D%/cmd_pull.h \
  %D%/cmd_producer.h \
  %D%/cmd_purge.h \
  %D%/cmd_route.h \
  %D%/cmd_run.h \
  %D%/cmd_set.h \
  %D%/cmd_table.h \
  %D%/cmd_tag.h \
  %D%/cmd_tell.h \
  %D%/cmd_transfer.h \
  %D%/cmd_value.h \
  %D%/cmd_view.h \
  %D%/instance.h \
  %D%/observers.h \
  %D%/packet.h \
  %D%/reply.h \
  %D%/request.h \
  %D%/session.h

# What the operator sees and does: statistics, watchers, dumps, authentication, administration.
tagcached_sources += \
  %D%/cmd_admin.c \
  %D%/cmd_auth.c \
  %D%/cmd_cluster.c \
  %D%/cmd_conns.c \
  %D%/cmd_detail.c \
  %D%/cmd_dump.c \
  %D%/cmd_hot.c \
  %D%/cmd_log.c \
  %D%/cmd_metrics.c \
  %D%/cmd_stat_line.c \
  %D%/cmd_stats.c \
  %D%/cmd_watch.c \
  %D%/cmd_watch_line.c
noinst_HEADERS += \
  %D%/cmd_auth.h \
  %D%/cmd_cluster.h \
  %D%/cmd_conns.h \
  %D%/cmd_detail.h \
  %D%/cmd_dump.h \
  %D%/cmd_hot.h \
  %D%/cmd_log.h \
  %D%/cmd_metrics.h \
  %D%/cmd_stat_line.h \
  %D%/cmd_stats.h \
  %D%/cmd_watch.h \
  %D%/cmd_watch_line.h \
  %D%/stats.cluster.def \
  %D%/stats.general.def \
  %D%/stats.items.def \
  %D%/stats.purge.def \
  %D%/stats.slabs.def \
  %D%/stats.tags.def \
  %D%/watch.def

EXTRA_DIST += %D%/README.md
