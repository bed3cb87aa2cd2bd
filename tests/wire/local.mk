# SPDX-License-Identifier: BSD-3-Clause
check_PROGRAMS += %D%/transcript
%C%_transcript_SOURCES = %D%/transcript.c %D%/client.c %D%/script.c %D%/script_packet.c
# All transcripts of this folder, in a node of the test's own.
TESTS += %D%/transcript
noinst_HEADERS += %D%/client.h %D%/script.h %D%/script_packet.h
# The same through a node that owns nothing: in one mode, or (make check-through) in all.
TESTS += %D%/through
EXTRA_DIST += %D%/through
check-through: %D%/transcript
	TAGCACHED_SRCDIR='$(abs_srcdir)' %D%/transcript --through
.PHONY: check-through

EXTRA_DIST += %D%/README.md %D%/peer/README.md
# Every transcript of the folder belongs to the release; a new one needs no line anywhere.
dist-hook:
	$(MKDIR_P) $(distdir)/tests/wire
	cp $(srcdir)/tests/wire/*.tr $(distdir)/tests/wire/
	$(MKDIR_P) $(distdir)/tests/wire/peer
	cp $(srcdir)/tests/wire/peer/*.hex $(distdir)/tests/wire/peer/

EXTRA_DIST += %D%/differential.py %D%/differential_binary.py
TESTS += %D%/differential_binary.py
