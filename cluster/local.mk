# SPDX-License-Identifier: BSD-3-Clause
noinst_HEADERS += \
  %D%/configuration.h \
  %D%/statedir.h
tagcached_sources += \
  %D%/configuration.c \
  %D%/statedir.c

EXTRA_DIST += %D%/README.md

# The agreed configuration.
noinst_HEADERS += %D%/config.h %D%/config_record.h %D%/config_state.h %D%/configuration_pack.h
tagcached_sources += %D%/config.c %D%/config_describe.c %D%/config_found.c %D%/config_join.c %D%/config_news.c \
  %D%/config_outs.c %D%/config_paxos.c %D%/config_plan.c %D%/config_record.c %D%/config_recover.c %D%/config_request.c \
  %D%/config_seats.c %D%/configuration_pack.c
