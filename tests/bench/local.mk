# SPDX-License-Identifier: BSD-3-Clause
# Programs for measuring; built by `make bench`, never by `make` or `make check`.
bench_programs += %D%/cacheload %D%/tracegen %D%/floor %D%/model_eviction %D%/soakload %D%/bench_store %D%/bench_ring
tests_bench_cacheload_SOURCES = %D%/cacheload.c %D%/load.h %D%/load_build.c %D%/load_reply.c %D%/load_report.c \
  %D%/load_run.c %D%/load_side.c %D%/hist.c %D%/hist.h %D%/late.c %D%/late.h %D%/proc.c %D%/proc.h %D%/rng.h \
  %D%/trace.h %D%/value.c %D%/value.h %D%/zipf.c %D%/zipf.h
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
tests_bench_soakload_SOURCES = %D%/soakload.c %D%/soak.h %D%/soak_ops.c %D%/soak_run.c %D%/soak_purge.c %D%/hist.c \
  %D%/hist.h %D%/proc.c %D%/proc.h %D%/rng.h %D%/value.c %D%/value.h
tests_bench_soakload_CPPFLAGS = $(base_cppflags)
tests_bench_soakload_LDADD = -lm
tests_bench_bench_store_SOURCES = %D%/bench_store.c %D%/proc.c %D%/proc.h %D%/rng.h
tests_bench_bench_store_CPPFLAGS = $(base_cppflags)
tests_bench_bench_store_LDADD = libtagcached.a $(base_libs)
tests_bench_bench_ring_SOURCES = %D%/bench_ring.c %D%/rng.h
tests_bench_bench_ring_CPPFLAGS = $(base_cppflags)
tests_bench_bench_ring_LDADD = libtagcached.a $(base_libs)
bench_programs += %D%/moveload
tests_bench_moveload_SOURCES = %D%/moveload.c %D%/hist.c %D%/hist.h %D%/rng.h %D%/zipf.c %D%/zipf.h
tests_bench_moveload_CPPFLAGS = $(base_cppflags)
tests_bench_moveload_LDADD = -lm
bench_programs += %D%/bench_forward
tests_bench_bench_forward_SOURCES = %D%/bench_forward.c tests/lib/nodes.c
tests_bench_bench_forward_CPPFLAGS = $(base_cppflags)
tests_bench_bench_forward_LDADD = libtagcached.a $(base_libs)

EXTRA_PROGRAMS += $(bench_programs)
CLEANFILES += $(bench_programs)
bench: $(bench_programs)
.PHONY: bench
EXTRA_DIST += tests/soak tests/strain/stall.py %D%/handoff.py %D%/run %D%/servers.py %D%/locked.py %D%/tables.py %D%/clusters.py %D%/strain.py %D%/traces.py %D%/output.py %D%/plot \
  %D%/report %D%/README.md %D%/plots
