# SPDX-License-Identifier: BSD-3-Clause
# The simulator, linked into whoever uses it as part of libtagtest.a; and the clusters that run in it.
test_sources += %D%/sim_core.c %D%/sim_net.c %D%/sim_stream.c
noinst_HEADERS += %D%/sim.h %D%/sim_world.h
single_tests += %D%/test_sim
EXTRA_DIST += %D%/README.md

# Purges as events.
single_tests += %D%/sim_purges
tests_sim_sim_purges_SOURCES = %D%/sim_purges.c %D%/purge_world.c
noinst_HEADERS += %D%/purge_world.h
