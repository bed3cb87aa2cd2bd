# SPDX-License-Identifier: BSD-3-Clause
# tagctl: of the library it uses the ring, the keyring, the protocol's pure parts and base; nothing of the server.
bin_PROGRAMS += tagctl
tagctl_SOURCES = \
  %D%/conn.c %D%/conn.h \
  %D%/handing.c %D%/handing.h \
  %D%/help.c \
  %D%/main.c \
  %D%/nodes.c %D%/nodes.h \
  %D%/options.c %D%/options.def %D%/options.h \
  %D%/reply.c %D%/reply.h \
  %D%/rings.c %D%/rings.h \
  %D%/say.c %D%/say.h \
  %D%/table.c %D%/table.h \
  %D%/tagctl.h \
  %D%/verb_hotkeys.c \
  %D%/verb_key.c \
  %D%/verb_keyring.c \
  %D%/verb_members.c \
  %D%/verb_ping.c \
  %D%/verb_purge.c \
  %D%/verb_purges.c \
  %D%/verb_restart.c \
  %D%/verb_ring.c \
  %D%/verb_ring_verify.c \
  %D%/verb_stats.c \
  %D%/verb_status.c \
  %D%/verb_token.c \
  %D%/verbs.def %D%/verbs.h
tagctl_CPPFLAGS = $(base_cppflags) $(JANSSON_CFLAGS)
tagctl_LDADD = $(daemon_library) $(OPENSSL_LIBS) $(JANSSON_LIBS) $(SODIUM_LIBS)
tagctl_LDFLAGS = $(AM_LDFLAGS) $(BIND_FLAGS)
EXTRA_DIST += %D%/README.md
