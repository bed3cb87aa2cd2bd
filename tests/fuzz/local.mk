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
check_PROGRAMS += $(fuzz_programs)
TESTS += $(fuzz_programs)
fuzz_main = %D%/replay.c
fuzz_ldflags =
endif
EXTRA_DIST += %D%/replay.c
fuzz: $(fuzz_programs)
.PHONY: fuzz

tests_fuzz_fuzz_store_SOURCES = %D%/fuzz_store.c $(fuzz_main)
tests_fuzz_fuzz_store_LDFLAGS = $(AM_LDFLAGS) $(fuzz_ldflags)
