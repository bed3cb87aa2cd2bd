# SPDX-License-Identifier: BSD-3-Clause
"""State directories that cannot be written to for a while: a full disk."""
import os

from lib import case, settle, wait


def fill(node):
    """Nothing can be written: the place of the new record is taken, by what cannot be opened as a file."""
    os.mkdir(os.path.join(node.dir, "cluster.new"))


def empty(node):
    os.rmdir(os.path.join(node.dir, "cluster.new"))


def change(node, milliseconds):
    return node.admin(f"cluster set eject-after {milliseconds}")


@case(quick=True)
def one_disk_is_full(lab):
    """The others are a majority; later this one has part in what is agreed again, without a restart."""
    nodes = lab.cluster(3, state=True)
    fill(nodes[2])
    assert change(nodes[0], 40001).startswith("OK version=")
    wait("it says so", lambda: nodes[2].events("state_dir_failed"))
    settle(nodes)  # it goes by what was agreed
    status = nodes[2].status()
    assert status["verdict"] == "degraded" and "cannot write its state directory" in status["reason"], status
    empty(nodes[2])
    wait("it can write again", lambda: nodes[2].events("state_dir_written"))
    assert nodes[2].status()["verdict"] == "ok"
    fill(nodes[1])
    assert change(nodes[0], 40002).startswith("OK version="), "a majority can write"
    settle(nodes)
    empty(nodes[1])


@case(quick=True)
def all_disks_are_full(lab):
    nodes = lab.cluster(3, state=True)
    for n in nodes:
        fill(n)
    answer = change(nodes[0], 40001)
    print("with all disks full:", answer)
    assert answer.startswith("SERVER_ERROR "), answer
    with nodes[0].client() as c:
        for i in range(50):
            assert c.set(f"k{i}", "v") == "STORED"
        assert c.ask("purge a") == "PURGED"
    for n in nodes:
        empty(n)
    wait("changes are agreed again", lambda: change(nodes[0], 40002).startswith("OK version="))
    settle(nodes)
    for n in nodes:
        n.restart()
    settle(nodes)
    assert change(nodes[0], 40003).startswith("OK version=")
