# SPDX-License-Identifier: BSD-3-Clause
# Each tests/fuzz/fuzz_x.c defines LLVMFuzzerTestOneInput. Configured with CC=clang --enable-fuzzer, `make fuzz` builds
# fuzzers; otherwise replay.c's main runs each over tests/fuzz/corpus/x, as `make check` does. One line a program.
fuzz_programs += %D%/fuzz_store
EXTRA_DIST += %D%/corpus

if FUZZER
EXTRA_PROGRAMS += $(fuzz_programs)
fuzz_main =
fuzz_ldflags = -fsanitize=fuzzer
else
if !TSAN
check_PROGRAMS += $(fuzz_programs)
TESTS += $(fuzz_programs)
else
EXTRA_PROGRAMS += $(fuzz_programs)
endif
fuzz_main = %D%/replay.c
fuzz_ldflags =
endif
EXTRA_DIST += %D%/replay.c
fuzz: $(fuzz_programs)
.PHONY: fuzz

tests_fuzz_fuzz_store_SOURCES = %D%/fuzz_store.c %D%/store_input.c %D%/store_compare.c %D%/store_put.c \
  %D%/store_change.c %D%/store_win.c $(fuzz_main)
tests_fuzz_fuzz_store_LDFLAGS = $(AM_LDFLAGS) $(fuzz_ldflags)
noinst_HEADERS += %D%/store_run.h

# A whole conversation over connections in memory: no net is linked.
fuzz_programs += %D%/fuzz_session
tests_fuzz_fuzz_session_SOURCES = %D%/fuzz_session.c %D%/fake_net.c $(fuzz_main)
tests_fuzz_fuzz_session_LDFLAGS = $(AM_LDFLAGS) $(fuzz_ldflags)

fuzz_programs += %D%/fuzz_binary
tests_fuzz_fuzz_binary_SOURCES = %D%/fuzz_binary.c %D%/fake_net.c $(fuzz_main)
tests_fuzz_fuzz_binary_LDFLAGS = $(AM_LDFLAGS) $(fuzz_ldflags)

fuzz_programs += %D%/fuzz_text
tests_fuzz_fuzz_text_SOURCES = %D%/fuzz_text.c $(fuzz_main)
tests_fuzz_fuzz_text_LDFLAGS = $(AM_LDFLAGS) $(fuzz_ldflags)

fuzz_programs += %D%/fuzz_meta
tests_fuzz_fuzz_meta_SOURCES = %D%/fuzz_meta.c $(fuzz_main)
tests_fuzz_fuzz_meta_LDFLAGS = $(AM_LDFLAGS) $(fuzz_ldflags)

fuzz_programs += %D%/fuzz_keytags
tests_fuzz_fuzz_keytags_SOURCES = %D%/fuzz_keytags.c $(fuzz_main)
tests_fuzz_fuzz_keytags_LDFLAGS = $(AM_LDFLAGS) $(fuzz_ldflags)

fuzz_programs += %D%/fuzz_swim
tests_fuzz_fuzz_swim_SOURCES = %D%/fuzz_swim.c $(fuzz_main)
tests_fuzz_fuzz_swim_LDFLAGS = $(AM_LDFLAGS) $(fuzz_ldflags)
# What nodes send each other, behind the TLS record and behind the seal.
fuzz_programs += %D%/fuzz_peer_control
tests_fuzz_fuzz_peer_control_SOURCES = %D%/fuzz_peer_control.c $(fuzz_main)
tests_fuzz_fuzz_peer_control_LDFLAGS = $(AM_LDFLAGS) $(fuzz_ldflags)

fuzz_programs += %D%/fuzz_peer_datagram
tests_fuzz_fuzz_peer_datagram_SOURCES = %D%/fuzz_peer_datagram.c $(fuzz_main)
tests_fuzz_fuzz_peer_datagram_LDFLAGS = $(AM_LDFLAGS) $(fuzz_ldflags)

fuzz_programs += %D%/fuzz_config
tests_fuzz_fuzz_config_SOURCES = %D%/fuzz_config.c tests/unit/config_lab.c $(fuzz_main)
tests_fuzz_fuzz_config_LDFLAGS = $(AM_LDFLAGS) $(fuzz_ldflags)

fuzz_programs += %D%/fuzz_purging
tests_fuzz_fuzz_purging_SOURCES = %D%/fuzz_purging.c $(fuzz_main)
tests_fuzz_fuzz_purging_LDFLAGS = $(AM_LDFLAGS) $(fuzz_ldflags)

# Purges over HTTP.
fuzz_programs += %D%/fuzz_dialects
tests_fuzz_fuzz_dialects_SOURCES = %D%/fuzz_dialects.c $(fuzz_main)
tests_fuzz_fuzz_dialects_LDFLAGS = $(AM_LDFLAGS) $(fuzz_ldflags)
fuzz_programs += %D%/fuzz_token
tests_fuzz_fuzz_token_SOURCES = %D%/fuzz_token.c $(fuzz_main)
tests_fuzz_fuzz_token_LDFLAGS = $(AM_LDFLAGS) $(fuzz_ldflags)

fuzz_programs += %D%/fuzz_http
tests_fuzz_fuzz_http_SOURCES = %D%/fuzz_http.c $(fuzz_main)
tests_fuzz_fuzz_http_LDFLAGS = $(AM_LDFLAGS) $(fuzz_ldflags)
