# SPDX-License-Identifier: BSD-3-Clause
# The cluster's tool against a scripted node.
if !SANITIZED
TESTS += %D%/test_tagctl.py %D%/test_wrong.py
endif
EXTRA_DIST += %D%/test_tagctl.py %D%/test_wrong.py %D%/tool.py %D%/node.py %D%/tls.py %D%/golden.txt
