# SPDX-License-Identifier: BSD-3-Clause
# The simulator, linked into whoever uses it as part of libtagtest.a; and the clusters that run in it.
test_sources += %D%/sim_core.c %D%/sim_net.c %D%/sim_stream.c
noinst_HEADERS += %D%/sim.h %D%/sim_world.h
sim_programs = %D%/test_sim %D%/sim_swim
tests_sim_sim_swim_SOURCES = %D%/sim_swim.c %D%/swim_lab.c
noinst_HEADERS += %D%/swim_lab.h
EXTRA_DIST += %D%/README.md

# The agreed configuration.
sim_programs += %D%/test_sim_config
tests_sim_test_sim_config_SOURCES = %D%/test_sim_config.c %D%/config_world.c %D%/config_bytes.c %D%/config_node.c %D%/config_check.c %D%/config_faults.c
noinst_HEADERS += %D%/config_world.h %D%/config_bytes.h
# The whole cluster.
sim_programs += %D%/sim_cluster
tests_sim_sim_cluster_SOURCES = %D%/sim_cluster.c %D%/lab_run.c %D%/lab_place.c %D%/lab_node.c %D%/lab_purges.c \
	%D%/lab_links.c %D%/lab_handoff.c %D%/lab_copies.c %D%/lab_swim.c %D%/lab_clients.c %D%/lab_store.c %D%/config_bytes.c %D%/lab_check.c %D%/lab_items.c %D%/lab_faults.c %D%/lab_vary.c
noinst_HEADERS += %D%/lab.h %D%/lab_state.h %D%/lab_store.h %D%/lab_vary.h

single_tests += $(sim_programs)
sims: $(sim_programs)
.PHONY: sims
