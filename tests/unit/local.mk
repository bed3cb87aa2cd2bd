# SPDX-License-Identifier: BSD-3-Clause
# One line a program: tests/unit/test_x.c is built into tests/unit/test_x, linked with the library and cmocka.
# Those with one thread only are listed as single_tests. A test that needs more says e.g. tests_unit_test_x_SOURCES = %D%/test_x.c %D%/helper.c
unit_tests +=
noinst_HEADERS +=

# The tree's own order: who includes whom.
if !SANITIZED
TESTS += %D%/test_check_includes.py
endif
EXTRA_DIST += %D%/test_check_includes.py

# The page of the benchmarks.
if !SANITIZED
TESTS += %D%/test_bench_report.py
endif
EXTRA_DIST += %D%/test_bench_report.py

# The checker of tests/cluster/faults.
single_tests += %D%/test_faultmodel
tests_unit_test_faultmodel_SOURCES = %D%/test_faultmodel.c tests/cluster/faultmodel.c

# The process: exit codes, signals, files, a service manager.
TESTS += %D%/test_main.py
EXTRA_DIST += %D%/test_main.py %D%/tls_files.py

# What Prometheus' exporter makes of the statistics.
TESTS += %D%/test_exporter.py
EXTRA_DIST += %D%/test_exporter.py tests/vectors/exporter_memcached-1.6.18.txt

# The metrics that it has by itself.
TESTS += %D%/test_metrics.py
EXTRA_DIST += %D%/test_metrics.py

# The example of a configuration file.
TESTS += %D%/test_example.py
EXTRA_DIST += %D%/test_example.py

# The options: parsing; what each does, seen from outside and from inside; tools/check-options runs them.
TESTS += %D%/test_options.py
EXTRA_DIST += %D%/test_options.py %D%/test_options_cluster.py tests/options.tsv
unit_tests += %D%/test_node_options
tests_unit_test_node_options_SOURCES = %D%/test_node_options.c %D%/node_lab.c
noinst_HEADERS += %D%/node_lab.h
tests_unit_test_node_options_LDADD = $(LDADD) $(OPENSSL_LIBS)
single_tests += %D%/test_option %D%/test_md5
unit_tests += %D%/test_log
tests_unit_test_md5_LDADD = $(LDADD) $(OPENSSL_LIBS)
unit_tests += %D%/test_pages %D%/test_tls
tests_unit_test_tls_LDADD = $(LDADD) $(OPENSSL_LIBS)
single_tests += %D%/test_store %D%/test_erase %D%/test_store_rules %D%/test_full_bucket %D%/test_receive %D%/test_moved %D%/test_purge %D%/test_lowest
unit_tests += %D%/test_age %D%/test_index
single_tests += %D%/test_turn %D%/test_idle %D%/test_ghost %D%/test_compact %D%/test_evict %D%/test_reuse %D%/test_segment
single_tests += %D%/test_binary %D%/test_login
tests_unit_test_login_SOURCES = %D%/test_login.c tests/fuzz/fake_net.c
single_tests += %D%/test_packets_full
tests_unit_test_packets_full_SOURCES = %D%/test_packets_full.c tests/fuzz/fake_net.c tests/wire/script.c tests/wire/script_packet.c
unit_tests += %D%/test_auth %D%/test_dump %D%/test_stats %D%/test_watch %D%/test_conns
noinst_HEADERS += %D%/talk.h

# Connections over real sockets.
unit_tests += %D%/test_stall_packets
tests_unit_test_stall_packets_SOURCES = %D%/test_stall_packets.c tests/wire/script.c tests/wire/script_packet.c
unit_tests += %D%/test_stall %D%/test_hold %D%/test_conn %D%/test_park %D%/test_net %D%/test_listen %D%/test_handlers
tests_unit_test_conn_SOURCES = %D%/test_conn.c %D%/net_lab.c
tests_unit_test_hold_SOURCES = %D%/test_hold.c %D%/net_lab.c
tests_unit_test_park_SOURCES = %D%/test_park.c %D%/net_lab.c
tests_unit_test_net_SOURCES = %D%/test_net.c %D%/net_lab.c
tests_unit_test_handlers_SOURCES = %D%/test_handlers.c %D%/net_lab.c
tests_unit_test_listen_SOURCES = %D%/test_listen.c %D%/net_lab.c
noinst_HEADERS += %D%/net_lab.h

# Orders of steps in the store.
unit_tests += %D%/test_order_purge %D%/test_order_write %D%/test_order_sweep %D%/test_order_memory
unit_tests += %D%/test_read_tags
tests_unit_test_read_tags_SOURCES = %D%/test_read_tags.c %D%/order.c
tests_unit_test_order_purge_SOURCES = %D%/test_order_purge.c %D%/order.c
tests_unit_test_order_write_SOURCES = %D%/test_order_write.c %D%/order.c
tests_unit_test_order_sweep_SOURCES = %D%/test_order_sweep.c %D%/order.c
tests_unit_test_order_memory_SOURCES = %D%/test_order_memory.c %D%/order.c
unit_tests += %D%/test_order_locks
tests_unit_test_order_locks_SOURCES = %D%/test_order_locks.c %D%/order.c
noinst_HEADERS += %D%/order.h

# What threads share memory by: waiting for locks; the rest of base/sync; and what ThreadSanitizer sees of it.
unit_tests += %D%/test_sync %D%/test_sync_shared %D%/test_sync_epoch
if TSAN
check_PROGRAMS += %D%/tsan_probe
tests_unit_tsan_probe_LDADD = libtagcached_test.a $(base_libs)
TESTS += %D%/test_tsan.py
endif
EXTRA_DIST += %D%/test_tsan.py %D%/tsan_probe.c
noinst_HEADERS += %D%/threads.h

# The store under real threads.
unit_tests += %D%/test_threads_purge %D%/test_threads_fill %D%/test_threads_memory %D%/test_threads_answers
unit_tests += %D%/test_threads_move
tests_unit_test_threads_move_SOURCES = %D%/test_threads_move.c %D%/stage.c
tests_unit_test_threads_purge_SOURCES = %D%/test_threads_purge.c %D%/stage.c
tests_unit_test_threads_fill_SOURCES = %D%/test_threads_fill.c %D%/stage.c
tests_unit_test_threads_memory_SOURCES = %D%/test_threads_memory.c %D%/stage.c
tests_unit_test_threads_answers_SOURCES = %D%/test_threads_answers.c %D%/stage.c
noinst_HEADERS += %D%/stage.h

# The commands: their parsers, and all of them over connections in memory (no net is linked).
single_tests += %D%/test_tagname
EXTRA_DIST += tests/vectors/tag_encoding.tsv
single_tests += %D%/test_text %D%/test_meta %D%/test_keytags %D%/test_cmd %D%/test_ttl %D%/test_refused
single_tests += %D%/test_quick
tests_unit_test_quick_SOURCES = %D%/test_quick.c tests/fuzz/fake_net.c tests/wire/script.c tests/wire/script_packet.c
tests_unit_test_cmd_SOURCES = %D%/test_cmd.c tests/fuzz/fake_net.c
tests_unit_test_ttl_SOURCES = %D%/test_ttl.c tests/fuzz/fake_net.c
tests_unit_test_refused_SOURCES = %D%/test_refused.c tests/fuzz/fake_net.c
single_tests += %D%/test_lease_hits
tests_unit_test_lease_hits_SOURCES = %D%/test_lease_hits.c tests/fuzz/fake_net.c
noinst_HEADERS += tests/fuzz/fake_net.h

# Purges that take time, in the store and over connections.
single_tests += %D%/test_purge_waits
unit_tests += %D%/test_purging
tests_unit_test_purging_SOURCES = %D%/test_purging.c %D%/order.c
tests_unit_test_purge_waits_SOURCES = %D%/test_purge_waits.c tests/fuzz/fake_net.c

# Numbers that are promises, beside the options.
single_tests += %D%/test_promises
tests_unit_test_promises_SOURCES = %D%/test_promises.c tests/fuzz/fake_net.c
unit_tests += %D%/test_promises_node
tests_unit_test_promises_node_SOURCES = %D%/test_promises_node.c %D%/node_lab.c

# The cluster's values and pure machines.
single_tests += %D%/test_configuration
unit_tests += %D%/test_statedir
single_tests += %D%/test_hostport
single_tests += %D%/test_ring %D%/test_ringdiff %D%/test_hot %D%/test_holders
EXTRA_DIST += tests/vectors/ketama.tsv tests/vectors/ketama_equal_weight_points.tsv tests/vectors/ketama_points_eq3.tsv

# What nodes say to each other.
single_tests += %D%/test_peer_codec %D%/test_keyring %D%/test_datagram %D%/test_hello

# Membership.
single_tests += %D%/test_peer_swim %D%/test_member
single_tests += %D%/test_swim %D%/test_swim_wire
tests_unit_test_swim_SOURCES = %D%/test_swim.c %D%/swim_hand.c
tests_unit_test_swim_wire_SOURCES = %D%/test_swim_wire.c %D%/swim_hand.c
noinst_HEADERS += %D%/swim_hand.h

# The agreed configuration.
single_tests += %D%/test_config_acceptor %D%/test_config_propose %D%/test_config_join %D%/test_config_found
single_tests += %D%/test_config_request %D%/test_config_record %D%/test_peer_config
tests_unit_test_config_request_SOURCES = %D%/test_config_request.c %D%/config_lab.c
tests_unit_test_config_record_SOURCES = %D%/test_config_record.c %D%/config_lab.c
single_tests += %D%/test_config_leases
tests_unit_test_config_leases_SOURCES = %D%/test_config_leases.c %D%/config_lab.c
tests_unit_test_config_join_SOURCES = %D%/test_config_join.c %D%/config_lab.c
tests_unit_test_config_found_SOURCES = %D%/test_config_found.c %D%/config_lab.c
tests_unit_test_config_propose_SOURCES = %D%/test_config_propose.c %D%/config_lab.c
tests_unit_test_config_acceptor_SOURCES = %D%/test_config_acceptor.c %D%/config_lab.c
noinst_HEADERS += %D%/config_lab.h

# Purges as events of the cluster.
single_tests += %D%/test_purgelog %D%/test_outbox %D%/test_purging_confirm
single_tests += %D%/test_address %D%/test_cluster_receipts %D%/test_cluster_ahead %D%/test_cluster_reset %D%/test_purge_known
single_tests += %D%/test_captured
tests_unit_test_captured_SOURCES = %D%/test_captured.c %D%/captured.c
noinst_HEADERS += %D%/captured.h
unit_tests += %D%/test_dns %D%/test_cluster
unit_tests += %D%/test_transport
tests_unit_test_transport_SOURCES = %D%/test_transport.c %D%/link_lab.c
noinst_HEADERS += %D%/link_lab.h
# Links between nodes: the asking side, the owner's side, large values.
unit_tests += %D%/test_link %D%/test_link_down %D%/test_pull %D%/test_pull_given %D%/test_link_packets %D%/test_serve %D%/test_transfer
unit_tests += %D%/test_copies_held %D%/test_copies_given
tests_unit_test_link_packets_SOURCES = %D%/test_link_packets.c tests/wire/script.c tests/wire/script_packet.c
noinst_HEADERS += %D%/asking.h %D%/frames.h
unit_tests += %D%/test_transport_bad
tests_unit_test_transport_bad_SOURCES = %D%/test_transport_bad.c %D%/link_lab.c
unit_tests += %D%/test_transport_heal
tests_unit_test_transport_heal_SOURCES = %D%/test_transport_heal.c %D%/link_lab.c
noinst_HEADERS += %D%/leases.h
single_tests += %D%/test_lease %D%/test_lease_epochs %D%/test_polls_many
single_tests += %D%/test_peer_purge %D%/test_purging_outbox %D%/test_purging_repair
unit_tests += %D%/test_conn_link
tests_unit_test_conn_link_SOURCES = %D%/test_conn_link.c %D%/net_lab.c
tests_unit_test_conn_link_LDADD = $(LDADD) $(OPENSSL_LIBS)
# Purges over HTTP: what requests mean, and how they are answered.
single_tests += %D%/test_dialects %D%/test_token
EXTRA_DIST += tests/vectors/http_purges.txt

TESTS += %D%/test_http_purges.py
EXTRA_DIST += %D%/test_http_purges.py

# The audit.
unit_tests += %D%/test_audit
tests_unit_test_audit_LDADD = $(LDADD) $(JANSSON_LIBS)


# HTTP: the parser and its lookups.
single_tests += %D%/test_http_parser
unit_tests += %D%/test_http
tests_unit_test_http_SOURCES = %D%/test_http.c %D%/net_lab.c
unit_tests += %D%/test_monitor
tests_unit_test_monitor_SOURCES = %D%/test_monitor.c %D%/node_lab.c

# Keys that move.
unit_tests += %D%/test_written
single_tests += %D%/test_cover %D%/test_handoff
tests_unit_test_handoff_SOURCES = %D%/test_handoff.c %D%/handoff_lab.c
noinst_HEADERS += %D%/handoff_lab.h
