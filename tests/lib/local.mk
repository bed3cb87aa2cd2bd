# SPDX-License-Identifier: BSD-3-Clause
# What several tests share. Linked into every test program as libtagtest.a.
test_sources += %D%/peer.c
noinst_HEADERS += %D%/peer.h
