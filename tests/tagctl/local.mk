# SPDX-License-Identifier: BSD-3-Clause
# The cluster's tool against a scripted node.
TESTS += %D%/test_tagctl.py
EXTRA_DIST += %D%/test_tagctl.py %D%/node.py %D%/tls.py %D%/golden.txt
