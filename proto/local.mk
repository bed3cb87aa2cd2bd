# SPDX-License-Identifier: BSD-3-Clause
tagcached_sources += \
  %D%/base64.c \
  %D%/binary.c \
  %D%/cluster_id.c \
  %D%/keytags.c \
  %D%/meta.c \
  %D%/moved_item.c \
  %D%/peer_ask.c \
  %D%/peer_codec.c \
  %D%/peer_handoff.c \
  %D%/peer_link.c \
  %D%/peer_purge.c \
  %D%/peer_swim.c \
  %D%/purge_event.c \
  %D%/text.c
noinst_HEADERS += \
  %D%/base64.h \
  %D%/binary.def \
  %D%/binary.h \
  %D%/cluster_id.h \
  %D%/cmd.def \
  %D%/keytags.h \
  %D%/link.h \
  %D%/meta.def \
  %D%/meta.h \
  %D%/moved_item.h \
  %D%/peer_ask.h \
  %D%/peer_codec.h \
  %D%/peer_handoff.h \
  %D%/peer_link.h \
  %D%/peer_swim.h \
  %D%/peer_purge.h \
  %D%/purge_event.h \
  %D%/text.h
EXTRA_DIST += %D%/PROTOCOL.md %D%/peer.proto

# What protoc-c makes of peer.proto lies in the build directory and in no release. Objects of the library wait for it, so
# that `make tests/unit/test_x` works in a fresh directory too.
generated_sources += %D%/peer.pb-c.c %D%/peer.pb-c.h
BUILT_SOURCES += %D%/peer.pb-c.c %D%/peer.pb-c.h
CLEANFILES += %D%/peer.pb-c.c %D%/peer.pb-c.h
%D%/peer.pb-c.c: %D%/peer.proto
	$(AM_V_GEN)$(PROTOC_C) -I$(srcdir) --c_out=. $(srcdir)/%D%/peer.proto && touch $@
%D%/peer.pb-c.h: %D%/peer.pb-c.c
	@test -f $@ || { rm -f $<; $(MAKE) $(AM_MAKEFLAGS) $<; }
	@touch $@
$(libtagcached_a_OBJECTS) $(libtagcached_test_a_OBJECTS): | %D%/peer.pb-c.h
tagcached_sources += %D%/peer_config.c
noinst_HEADERS += %D%/peer_config.h
