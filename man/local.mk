# SPDX-License-Identifier: BSD-3-Clause
dist_man_MANS += %D%/tagcached-protocol.7
