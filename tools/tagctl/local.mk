# SPDX-License-Identifier: BSD-3-Clause
# tagctl: links the ring, the protocol's pure parts and base; nothing of the server.
bin_PROGRAMS += tagctl
tagctl_SOURCES = \
  %D%/conn.c %D%/conn.h \
  %D%/help.c \
  %D%/main.c \
  %D%/nodes.c %D%/nodes.h \
  %D%/options.c %D%/options.def %D%/options.h \
  %D%/reply.c %D%/reply.h \
  %D%/rings.c %D%/rings.h \
  %D%/table.c %D%/table.h \
  %D%/tagctl.h \
  %D%/verb_key.c \
  %D%/verb_keyring.c \
  %D%/verb_members.c \
  %D%/verb_ping.c \
  %D%/verb_purge.c \
  %D%/verb_purges.c \
  %D%/verb_ring.c \
  %D%/verb_ring_verify.c \
  %D%/verb_stats.c \
  %D%/verb_status.c \
  %D%/verbs.def %D%/verbs.h \
  cluster/ring.c cluster/ringdiff.c proto/base64.c proto/cluster_id.c proto/keytags.c proto/text.c \
  server/base/hostport.c server/base/md5.c
tagctl_CPPFLAGS = -D_GNU_SOURCE= -I$(srcdir)/server -I$(srcdir) $(OPENSSL_CFLAGS) $(JANSSON_CFLAGS)
tagctl_LDADD = $(OPENSSL_LIBS) $(JANSSON_LIBS)
tagctl_LDFLAGS = $(AM_LDFLAGS) $(BIND_FLAGS)
