# SPDX-License-Identifier: BSD-3-Clause
"""How long a purge takes to be confirmed: idle, and after a node was killed, stopped, or lost its power."""
import time

import lib


def run(a, lab):
    raise NotImplementedError
