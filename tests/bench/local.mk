# SPDX-License-Identifier: BSD-3-Clause
# Programs for measuring; built by `make bench`, never by `make` or `make check`.
bench_programs += %D%/cacheload %D%/tracegen %D%/floor %D%/model_eviction
tests_bench_cacheload_SOURCES = %D%/cacheload.c %D%/load.h %D%/load_build.c %D%/load_reply.c %D%/load_report.c \
  %D%/load_run.c %D%/load_side.c %D%/hist.c %D%/hist.h %D%/proc.c %D%/proc.h %D%/rng.h %D%/trace.h %D%/value.c \
  %D%/value.h %D%/zipf.c %D%/zipf.h
tests_bench_cacheload_CPPFLAGS = $(base_cppflags)
tests_bench_cacheload_LDADD = -lm
tests_bench_tracegen_SOURCES = %D%/tracegen.c %D%/rng.h %D%/trace.h %D%/zipf.c %D%/zipf.h
tests_bench_tracegen_CPPFLAGS = $(base_cppflags)
tests_bench_tracegen_LDADD = -lm
tests_bench_floor_SOURCES = %D%/floor.c
tests_bench_floor_CPPFLAGS = $(base_cppflags)
tests_bench_floor_LDADD = $(LIBEVENT_LIBS)
tests_bench_model_eviction_SOURCES = %D%/model_eviction.c %D%/rng.h %D%/trace.h
tests_bench_model_eviction_CPPFLAGS = $(base_cppflags)
tests_bench_model_eviction_LDADD = -lm

EXTRA_PROGRAMS += $(bench_programs)
CLEANFILES += $(bench_programs)
bench: $(bench_programs)
.PHONY: bench
EXTRA_DIST += %D%/run %D%/servers.py %D%/tables.py %D%/traces.py %D%/output.py
