# SPDX-License-Identifier: BSD-3-Clause
# Against a running daemon; tools/test and whoever measures run it, make check does not.
EXTRA_DIST += %D%/bursts.py
EXTRA_DIST += %D%/grid.py %D%/stall.py
