# SPDX-License-Identifier: BSD-3-Clause
"""How long a purge takes to be confirmed by five nodes: idle, and after one was killed, stopped, or lost its power."""
import time

import lib

IDLE_PURGES = 3000
AFTER_S = {"killed": 1.25, "stopped": 1.5, "without power": 1.5}  # what the wait may be, at most
IDLE_P50_S, IDLE_P99_S = 0.001, 0.020
AT_ONCE_S = 0.25  # of a busy machine: a purge that takes longer has waited for somebody
WATCHED_S = 3.0  # purges go on for so long after the fault


def fail(n, how):
    if how == "killed":
        n.kill()
    elif how == "stopped":
        n.pause()
    else:  # no reset reaches anybody
        n.cable(False)
        n.kill()


def mend(n, how):
    if how == "stopped":
        n.go_on()
        return
    n.cable(True)
    n.start(serves=False)


def purge(client):
    begun = time.monotonic()
    answer = client.ask("purge a")
    return time.monotonic() - begun, answer


def idle(nodes):
    clients = [n.client() for n in nodes]
    times = []
    for i in range(IDLE_PURGES):
        took, answer = purge(clients[i % len(nodes)])
        assert answer == "PURGED", answer
        times.append(took)
    for c in clients:
        c.close()
    times.sort()
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    print(f"idle: p50 {p50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms, max {times[-1] * 1e3:.2f} ms of {len(times)}")
    return p50 <= IDLE_P50_S and p99 <= IDLE_P99_S


def after(nodes, victim, how):
    """Purges asked for one after the other from the fault on: (the first one's time, how many waited, not confirmed)."""
    asked = nodes[(nodes.index(victim) + 1) % len(nodes)]
    lib.settle(nodes)
    lib.wait("purges are confirmed at once", lambda: all(asked(purge)[0] < AT_ONCE_S / 5 for _ in range(20)))
    fail(victim, how)
    times, partial, end = [], 0, time.monotonic() + WATCHED_S
    with asked.client() as c:
        while time.monotonic() < end:
            took, answer = purge(c)
            times.append(took)
            partial += answer != "PURGED"
    mend(victim, how)
    return max(times), sum(t > AT_ONCE_S for t in times), partial


def run(a, lab):
    nodes = lab.cluster_in_spaces(a.nodes, *a.daemon.split(), stateless=[int(x) for x in a.stateless.split(",") if x])
    lib.wait("purges are confirmed at once", lambda: nodes[0](purge)[0] < AT_ONCE_S / 5)
    good = idle(nodes)
    for how, most in AFTER_S.items():
        tries = [after(nodes, nodes[i % len(nodes)], how) for i in range(a.tries)]
        worst = sorted(t for t, _, _ in tries)
        waits, partial = max(w for _, w, _ in tries), sum(p for _, _, p in tries)
        print(f"{how}: {len(tries)} tries, the longest wait of each: median {worst[len(worst) // 2]:.3f} s, max {worst[-1]:.3f} s "
              f"(at most {most} s); at most {waits} waited; {partial} not confirmed in time", flush=True)
        good = good and worst[-1] <= most and waits <= 1 and partial == 0
    lib.settle(nodes)
    return 0 if good else 1
