# SPDX-License-Identifier: BSD-3-Clause
# Against a running daemon; tools/test and whoever measures run them, make check does not.
EXTRA_DIST += %D%/bursts.py %D%/grid.py %D%/http.py %D%/nomemory.py %D%/stall.py %D%/standstill.py
