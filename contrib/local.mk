# SPDX-License-Identifier: BSD-3-Clause
# What an installation begins with; installed as documentation.
dist_doc_DATA += %D%/tagcached.conf.example \
  docs/alerts.md docs/clients.md docs/cluster.md docs/from-memcached.md docs/http.md docs/operating.md \
  docs/options.md docs/purging-by-http.md docs/tags.md
nodist_doc_DATA += %D%/tagcached.service
EXTRA_DIST += %D%/tagcached.service.in
CLEANFILES += %D%/tagcached.service
# (configure would replace the name in this rule, too.)
%D%/tagcached.service: %D%/tagcached.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) %D% && sed 's|@[b]indir@|$(bindir)|' $(srcdir)/%D%/tagcached.service.in > $@.new && mv $@.new $@
