# SPDX-License-Identifier: BSD-3-Clause
# Run by hand and by tools/test; not part of `make check`.
EXTRA_DIST += %D%/README.md %D%/run.py %D%/lib.py %D%/test_answers.py %D%/test_clients.py %D%/test_enemies.py \
    %D%/test_faults.py %D%/test_handoff.py %D%/test_hotkeys.py %D%/test_leases.py %D%/test_members.py %D%/test_migration.py \
    %D%/test_options.py \
    %D%/test_purges.py %D%/clients/memcached.js %D%/clients/memcached.php %D%/clients/memcached.pl \
    %D%/clients/pylibmc_client.py %D%/clients/pymemcache_client.py
