# SPDX-License-Identifier: BSD-3-Clause
tagcached_sources +=
noinst_HEADERS +=
EXTRA_DIST +=
