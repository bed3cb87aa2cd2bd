# SPDX-License-Identifier: BSD-3-Clause
dist_man_MANS += %D%/tagcached-protocol.7
EXTRA_DIST += %D%/tagcached.1.in
CLEANFILES += %D%/tagcached.1
man_MANS = %D%/tagcached.1

# tagcached(1): its options come out of the rows they are made of, so the program says them itself.
%D%/tagcached.1: %D%/tagcached.1.in tagcached$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) %D% && ./tagcached$(EXEEXT) --man-options > $@.options && \
	  sed -e '/^@OPTIONS@$$/ {' -e 'r $@.options' -e 'd' -e '}' -e 's/@VERSION@/$(PACKAGE_VERSION)/' \
	    $(srcdir)/%D%/tagcached.1.in > $@.new && \
	  rm -f $@.options && mv $@.new $@

# tagctl(1): likewise, its verbs and options.
EXTRA_DIST += %D%/tagctl.1.in
CLEANFILES += %D%/tagctl.1
man_MANS += %D%/tagctl.1
%D%/tagctl.1: %D%/tagctl.1.in tagctl$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) %D% && ./tagctl$(EXEEXT) --man-verbs > $@.verbs && ./tagctl$(EXEEXT) --man-options > $@.options && \
	  sed -e '/^@VERBS@$$/ {' -e 'r $@.verbs' -e 'd' -e '}' -e '/^@OPTIONS@$$/ {' -e 'r $@.options' -e 'd' -e '}' \
	    -e 's/@VERSION@/$(PACKAGE_VERSION)/' $(srcdir)/%D%/tagctl.1.in > $@.new && \
	  rm -f $@.verbs $@.options && mv $@.new $@
