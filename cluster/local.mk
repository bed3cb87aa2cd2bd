# SPDX-License-Identifier: BSD-3-Clause
noinst_HEADERS += \
  %D%/cluster.h \
  %D%/cluster.options.def \
  %D%/cluster_config.h \
  %D%/cluster_gauges.h \
  %D%/cluster_state.h \
  %D%/cluster_task.h \
  %D%/config.h \
  %D%/config_record.h \
  %D%/config_state.h \
  %D%/configuration.h \
  %D%/configuration_pack.h \
  %D%/datagram.h \
  %D%/hello.h \
  %D%/keyring.h \
  %D%/member.h \
  %D%/mutation.h \
  %D%/outbox.h \
  %D%/purgelog.h \
  %D%/purging.h \
  %D%/purging_state.h \
  %D%/ring.h \
  %D%/ringdiff.h \
  %D%/statedir.h \
  %D%/suspicion.h \
  %D%/swim.h \
  %D%/swim_state.h \
  %D%/viatable.h \
  %D%/view.h
tagcached_sources += \
  %D%/cluster.c \
  %D%/cluster_agree.c \
  %D%/cluster_answers.c \
  %D%/cluster_links.c \
  %D%/cluster_members.c \
  %D%/cluster_purges.c \
  %D%/cluster_view.c \
  %D%/config.c \
  %D%/config_describe.c \
  %D%/config_found.c \
  %D%/config_join.c \
  %D%/config_news.c \
  %D%/config_outs.c \
  %D%/config_paxos.c \
  %D%/config_plan.c \
  %D%/config_record.c \
  %D%/config_recover.c \
  %D%/config_request.c \
  %D%/config_seats.c \
  %D%/configuration.c \
  %D%/configuration_pack.c \
  %D%/datagram.c \
  %D%/hello.c \
  %D%/keyring.c \
  %D%/member.c \
  %D%/outbox.c \
  %D%/purgelog.c \
  %D%/purging.c \
  %D%/purging_adopt.c \
  %D%/purging_collect.c \
  %D%/purging_member.c \
  %D%/purging_origin.c \
  %D%/purging_poll.c \
  %D%/purging_submit.c \
  %D%/ring.c \
  %D%/ringdiff.c \
  %D%/statedir.c \
  %D%/suspicion.c \
  %D%/swim.c \
  %D%/swim_evidence.c \
  %D%/swim_gossip.c \
  %D%/swim_probe.c \
  %D%/swim_sync.c \
  %D%/viatable.c \
  %D%/view.c

EXTRA_DIST += %D%/README.md
