# SPDX-License-Identifier: BSD-3-Clause
# What an installation begins with; installed as documentation.
dist_doc_DATA += %D%/tagcached.conf.example
nodist_doc_DATA += %D%/tagcached.service
EXTRA_DIST += %D%/tagcached.service.in
CLEANFILES += %D%/tagcached.service
%D%/tagcached.service: %D%/tagcached.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) %D% && sed 's|@bindir@|$(bindir)|' $(srcdir)/%D%/tagcached.service.in > $@.new && mv $@.new $@
