# SPDX-License-Identifier: BSD-3-Clause
# Each tests/fuzz/fuzz_x.c defines LLVMFuzzerTestOneInput. Configured with CC=clang --enable-fuzzer it becomes a fuzzer;
# otherwise replay.c's main runs it over the corpus given on the command line, as `make check` does.
EXTRA_DIST +=
