# SPDX-License-Identifier: BSD-3-Clause
# Programs for measuring; built by `make bench`, never by `make` or `make check`.
EXTRA_PROGRAMS += $(bench_programs)
CLEANFILES += $(bench_programs)
bench: $(bench_programs)
.PHONY: bench
EXTRA_DIST +=
