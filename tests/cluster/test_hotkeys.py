# SPDX-License-Identifier: BSD-3-Clause
"""One key with most of all requests, asked for at every node while it is set, deleted, and purged: no node answers with what
was there before the change was answered, though most answers come from copies."""
import random
import threading
import time

from lib import case, settle, wait

KEY, TAG = "hot", "t"
BATCH = 32


class History:
    """What the one writer has done: operation n leaves the value n, or (a delete, a purge) none."""

    def __init__(self):
        self.sets = [True]  # by operation: whether it is a set
        self.begun = self.done = 0
        self.stop = False
        self.stale, self.served = [], 0

    def check(self, before, value, where):
        """A value that was read by a request that was sent when operation `before` had been answered."""
        self.served += 1
        if value is None:
            return
        least = before if self.sets[before] else before + 1
        if int(value) < least or int(value) > self.begun or not self.sets[int(value)]:
            self.stale.append((where, before, self.begun, value))


def read(node, history):
    with node.client() as c:
        while not history.stop:
            before = history.done
            c.send(f"get {KEY}\r\n" * BATCH)
            for _ in range(BATCH):
                got = c.read_values()
                history.check(before, got[KEY][0] if KEY in got else None, node.name)


def change(clients, history, n):
    """One operation of the writer at a random node."""
    c = random.choice(clients)
    how = random.choice(("set", "set", "ms", "delete", "md", "purge", "soft")) if n > 1 else "ms"
    history.sets.append(how in ("set", "ms"))
    history.begun = n
    if how == "set":
        answer = c.set(f"{KEY}|#|t={TAG}", str(n))
    elif how == "ms":
        answer = " ".join(c.meta(f"ms {KEY} {len(str(n))} G{TAG}", str(n).encode()))
    else:
        answer = c.ask({"delete": f"delete {KEY}", "md": f"md {KEY}", "purge": f"purge {TAG}", "soft": f"mp {TAG} I T1"}[how])
    if how == "soft":  # after which the old value may be shown for a second
        assert answer.startswith("HD"), answer
        answer = c.ask(f"delete {KEY}")
    assert answer in ("STORED", "HD", "DELETED", "NOT_FOUND", "NF", "PURGED"), (how, answer)
    history.done = n


def total(nodes, name):
    return sum(int(n.stat(name)) for n in nodes)


@case(quick=True)
def hot_keys_are_copied_and_never_stale(lab):
    nodes = lab.cluster(3)
    nodes.append(lab.joiner(nodes).start(serves=False))
    settle(nodes)
    wait("purges are confirmed at once", lambda: nodes[0].ask("purge warm") == "PURGED")
    history = History()
    readers = [threading.Thread(target=read, args=(n, history)) for n in nodes]
    clients = [n.client() for n in nodes]
    try:
        change(clients, history, 1)
        for t in readers:
            t.start()
        n = 1
        wait("a copy is taken", lambda: total(nodes, "copies_taken") > 0)
        end = time.monotonic() + 3
        while time.monotonic() < end and not history.stale:
            n += 1
            change(clients, history, n)
            time.sleep(random.choice((0, 0.02, 0.3)))  # a copy is taken only in the longer pauses
    finally:
        history.stop = True
        for t in readers:
            t.join()
        for c in clients:
            c.close()
    assert not history.stale, history.stale[:5]
    hits, taken, recalled = (total(nodes, s) for s in ("copy_hits", "copies_taken", "copies_recalled"))
    print(f"{history.served} reads, {hits} from copies; {n} changes, {taken} copies taken, {recalled} recalled")
    assert taken > 3 and recalled > 0 and hits > 1000, (hits, taken, recalled)
    shown = nodes[0].stats("hotkeys")
    assert any(v.startswith(f"key={KEY} ") for v in shown.values()), shown
