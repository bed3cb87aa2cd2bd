# SPDX-License-Identifier: BSD-3-Clause
# Run by hand and by tools/test; not part of `make check`.
EXTRA_DIST += \
  %D%/README.md \
  %D%/clients/memcached.js \
  %D%/clients/memcached.php \
  %D%/clients/memcached.pl \
  %D%/clients/purges.js \
  %D%/clients/pylibmc_client.py \
  %D%/clients/pymemcache_client.py \
  %D%/lib.py \
  %D%/run.py \
  %D%/test_answers.py \
  %D%/test_binary.py \
  %D%/test_clients.py \
  %D%/test_enemies.py \
  %D%/test_erase.py \
  %D%/test_faults.py \
  %D%/test_handoff.py \
  %D%/test_hotkeys.py \
  %D%/test_http.py \
  %D%/test_http_purges.py \
  %D%/test_leases.py \
  %D%/test_members.py \
  %D%/test_memory.py \
  %D%/test_migration.py \
  %D%/test_moves.py \
  %D%/test_options.py \
  %D%/test_purges.py \
  %D%/test_disk.py %D%/test_standstill.py

# The load and the checker of `faults`, and what moves a daemon's wall clock: `make faults`.
EXTRA_PROGRAMS += %D%/faultload
tests_cluster_faultload_SOURCES = %D%/faultload.c %D%/faultload.h %D%/faultwork.c %D%/faultconn.c %D%/faultconn.h \
  %D%/faultmodel.c %D%/faultmodel.h tests/bench/hist.c tests/bench/hist.h tests/bench/rng.h
tests_cluster_faultload_CPPFLAGS = $(base_cppflags)
tests_cluster_faultload_LDADD = -lm
%D%/clockshift.so: %D%/clockshift.c
	$(AM_V_CCLD)$(CC) -std=gnu11 -D_GNU_SOURCE= -O1 $(WARN_CFLAGS) -fPIC -shared -o $@ $(srcdir)/%D%/clockshift.c
faults: %D%/faultload$(EXEEXT) %D%/clockshift.so
.PHONY: faults
CLEANFILES += %D%/faultload %D%/clockshift.so
EXTRA_DIST += %D%/faults %D%/faultnet.py %D%/faultplan.py %D%/faultseen.py %D%/faultsite.py %D%/faultconfirm.py %D%/clockshift.c
