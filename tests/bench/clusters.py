# SPDX-License-Identifier: BSD-3-Clause
"""The table about clusters: what it costs to ask the wrong node, to ask the right one, to purge, and to do nothing.

The nodes are tests/cluster's, of one worker each, with a key, so links between them are encrypted. Each of two nodes has a
CPU, and the load runs on the one that is not the asked node's: bytes between CPUs cost more than those that stay on one,
so both sides of a comparison have to be asked from the other CPU. What is compared is the CPU time of processes, not how
long it took."""
import contextlib
import glob
import json
import os
import re
import select
import subprocess
import sys
import time

from output import fixed
from servers import LOAD_CPU, SERVER_CPU, Failed, Server, run
from tables import median

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
import lib  # noqa: E402
from cputime import cpu_ns  # noqa: E402

LOADS = {"get, one per write": ["-d", 1], "set, one per write": ["-d", 1, "-g", 0],
         "get, pipelined 16": ["-d", 16], "set, pipelined 16": ["-d", 16, "-g", 0]}


def cluster(job):
    lib.Lab.program = job.tools.tagcached
    forwarded(job)
    owned(job)
    owned_instructions(job)
    purges(job)
    idle(job)


@contextlib.contextmanager
def nodes_of(count, *args):
    """A settled cluster; the nodes are kept on the two CPUs in turn."""
    with lib.Lab() as lab:
        nodes = lab.cluster(count, "-t", "1", "-m", "1024", "-c", "4096", *args, state=True, key=lab.key_file())
        for i, n in enumerate(nodes):
            run(["taskset", "-a", "-p", "-c", (SERVER_CPU, LOAD_CPU)[i % 2], n.p.pid])
        yield nodes


def load(job, port, pids, options, duration, *more, cpu=LOAD_CPU):
    """cacheload on that port, with as many keys as the table of CPU has: the CPU time of these processes for each key,
    microseconds."""
    cmd = [job.tools.cacheload, "-p", port, "--cpus", cpu, "--pid", ",".join(map(str, pids)),
           "-k", 100000 if job.quick else 1000000, "-K", 20, "-v", 100, "--prefix", "v100:", *options, *more]
    if duration:
        cmd += ["-w", 0.1, "-D", duration, "--seq", 1 << 19]
    phases = {o["phase"]: o for o in map(json.loads, run(cmd).splitlines())}
    if not duration:
        return None
    if phases["run"]["misses"]:
        raise Failed(f"{phases['run']['misses']} misses of keys that were stored")
    return phases["run"]["server_cpu_us_per_key"]


def in_turn(job, rounds, duration, sides, loads):
    """Runs each load on each side in turn, so many rounds: {load: ({side: median}, [ratio of the second of each round])}.
    sides: {name: (port, pids, the load's CPU)}."""
    got = {}
    for name, options in loads.items():
        seen = {side: [] for side in sides}
        for _ in range(rounds):
            for side, (port, pids, cpu) in sides.items():
                seen[side].append(load(job, port, pids, options, duration, cpu=cpu))
        first, second = seen.values()
        got[name] = {side: median(v) for side, v in seen.items()}, [b / a for a, b in zip(first, second)]
    return got


def forwarded(job):
    """One of two nodes owns nothing: what a request to it costs both, and what it costs the owner alone."""
    rounds = 3 if job.quick else 20
    rows = []
    with nodes_of(2) as (asked, owner):
        answer = asked.admin(f"cluster drain {asked.name}")
        if not answer.startswith("OK"):
            raise Failed(answer)
        lib.wait("all keys are the other's", lambda: asked.status()["state"] == "drained" and asked.stat("ring_nodes") == "1")
        pids = asked.p.pid, owner.p.pid
        load(job, owner.port, pids, [], 0, "--fill-only")
        before = int(asked.stat("forwards_sent"))
        sides = {"local": (owner.port, pids, SERVER_CPU), "forwarded": (asked.port, pids, LOAD_CPU)}
        for name, (us, ratios) in in_turn(job, rounds, 0.2 if job.quick else 0.6, sides, LOADS).items():
            job.out.record("forwarded", row=name, rounds=rounds, us_per_key=us, ratio=median(ratios))
            rows.append([name, fixed(us["local"]), fixed(us["forwarded"]), fixed(median(ratios))])
        if int(asked.stat("forwards_sent")) == before:
            raise Failed("nothing was forwarded")
    job.out.table("CPU of both nodes per key, microseconds: asked at the owner, and at a node that owns nothing",
                  ["work", "owner", "forwarded", "of it"], rows)


def owned(job):
    """Keys of the node that is asked, in a cluster, beside a node that is alone."""
    rounds = 3 if job.quick else 30
    rows = []
    with nodes_of(2) as (owner, other), Server(job.tools, "tagcached", 1024) as alone:
        answer = owner.admin(f"cluster drain {other.name}")
        if not answer.startswith("OK"):
            raise Failed(answer)
        lib.wait("all keys are its own", lambda: other.status()["state"] == "drained" and owner.stat("ring_nodes") == "1")
        sides = {"alone": (alone.port, [alone.pid], LOAD_CPU), "in a cluster": (owner.port, [owner.p.pid], LOAD_CPU)}
        for port, pids, _ in sides.values():
            load(job, port, pids, [], 0, "--fill-only")
        for name, (us, ratios) in in_turn(job, rounds, 0.2 if job.quick else 0.6, sides, LOADS).items():
            job.out.record("owned", row=name, rounds=rounds, us_per_key=us, ratio=median(ratios))
            rows.append([name, fixed(us["alone"]), fixed(us["in a cluster"]), fixed(median(ratios), 3)])
        if int(owner.stat("forwards_sent")):
            raise Failed("keys that the node owns were forwarded")
    job.out.table("CPU per key, microseconds: a node that is alone, and the owner in a cluster",
                  ["work", "alone", "in a cluster", "of it"], rows)


def owned_instructions(job):
    """bench_forward under callgrind: the worker's instructions a request, of three kinds of nodes."""
    program, counts = os.path.join(job.tools.build, "tests", "bench", "bench_forward"), (8000, 40000)
    rows = []
    for op in ("get", "mg", "set"):
        of = {}
        for mode in ("alone", "here", "forward"):
            few, more = (busiest(job, program, mode, op, n) for n in counts)
            of[mode] = sum(b - a for a, b in zip(few, more)) / (counts[1] - counts[0])
        job.out.record("forward_instructions", row=op, of=of)
        rows.append([op] + [fixed(of[m], 0) for m in ("alone", "here", "forward")])
    job.out.table("Instructions of a pipelined request: alone, in a cluster, forwarded (both nodes)",
                  ["work", "alone", "in a cluster", "forwarded"], rows)


def busiest(job, program, mode, op, count):
    """Instructions of the two workers' threads: the ones that the tool's main thread is not."""
    stem = os.path.join(job.tmp, "callgrind.forward")
    for f in glob.glob(stem + "*"):
        os.remove(f)
    run(["valgrind", "-q", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={stem}", program, mode, op, count])
    totals = {}
    for f in glob.glob(stem + "-*"):
        with open(f) as h:
            totals[f] = next((int(line.split()[1]) for line in h if line.startswith(("summary:", "totals:"))), 0)
    totals.pop(stem + "-01", None)
    return sorted(totals.values())[-2:]


# ------------------------------------------------------------------ purges


def purges(job):
    seconds = 1 if job.quick else 5
    with nodes_of(5) as nodes:
        times = one_at_a_time(nodes[0], 300 if job.quick else 5000)
        latency = {"p50_ms": times[len(times) // 2] * 1e3, "p99_ms": times[len(times) * 99 // 100] * 1e3,
                   "per_s": len(times) / sum(times)}
        job.out.record("purge_latency", nodes=5, **latency)
    with nodes_of(3) as nodes:
        rate = pipelined(nodes, 32, 256, seconds)
        lib.wait("all is confirmed", lambda: all(n.stat("purges_pending") == "0" for n in nodes))
        job.out.record("purge_rate", nodes=3, connections=96, depth=256, per_s=rate)
    job.out.table("Confirmed purges", ["", ""], [
        ["five nodes, one at a time: p50 ms", fixed(latency["p50_ms"])], ["p99 ms", fixed(latency["p99_ms"])],
        ["a second", fixed(latency["per_s"], 0)], ["three nodes, 96 connections, pipelined 256: a second", fixed(rate, 0)]])


def one_at_a_time(node, count):
    times = []
    with node.client() as c:
        for i in range(count):
            begun = time.perf_counter()
            answer = c.ask(f"purge tag{i}")
            times.append(time.perf_counter() - begun)
            if answer != "PURGED":
                raise Failed(f"a purge was answered {answer}")
    return sorted(times)


def pipelined(nodes, connections, depth, seconds):
    """So many connections to each node, each with so many purges under way: answers a second."""
    requests = [b"".join(b"purge tag%d\r\n" % (i * depth + k) for k in range(depth)) for i in range(64)]
    poll, clients, want, counted = select.epoll(), {}, {}, 0
    for n in nodes:
        for _ in range(connections):
            c = n.client()
            clients[c.s.fileno()] = c
            poll.register(c.s.fileno(), select.EPOLLIN)
    for fd, c in clients.items():
        c.send(requests[fd % 64])
        want[fd] = depth * len(b"PURGED\r\n")
    begun = time.monotonic()
    end = begun + seconds
    while want:
        for fd, _ in poll.poll(30) or [(None, None)]:
            if fd is None:
                raise Failed("purges are not answered")
            got = clients[fd].s.recv(1 << 16)
            if not got or got.strip(b"PURGED\r\n"):  # any other letter
                raise Failed(f"a purge was answered {got[:200]}")
            want[fd] -= len(got)
            if want[fd] > 0:
                continue
            counted += depth
            if time.monotonic() < end:
                clients[fd].send(requests[(fd + counted) % 64])
                want[fd] = depth * len(b"PURGED\r\n")
            else:
                del want[fd]
    for c in clients.values():
        c.close()
    return counted / (time.monotonic() - begun)


# ------------------------------------------------------------------ a hot key


def hotkey(job):
    """Four nodes; half of all gets are of one key, half of many, and clients ask every node alike: the CPU of the key's
    owner beside the others', and the key's latency beside other keys', without copies and with them."""
    rows = []
    lib.Lab.program = job.tools.tagcached
    for copies in ("off", "on"):
        got = hotkey_run(job, copies)
        job.out.record("hotkey", copies=copies, **got)
        rows.append([copies, fixed(got["owner_cpu"] / got["others_cpu"]), fixed(got["hot_p99"], 0), fixed(got["cold_p99"], 0),
                     fixed(got["hot_p99"] / got["cold_p99"]), fixed(100 * got["copied"], 1)])
    job.out.table("One key with half of all gets, four nodes", ["copies", "owner's CPU of the others'", "p99 us of the key",
                                                                 "of others", "of it", "% of its gets from copies"], rows)


def copy_hits(nodes):
    return sum(int(n.stat("copy_hits")) for n in nodes)


def hotkey_run(job, copies):
    seconds, depth, rate = (3, 8, 300) if job.quick else (20, 8, 600)
    args = ("-t", "1", "-m", "256", "--hot-copies", copies)
    kinds = {"hot": ["--prefix", "hot:", "-k", 1], "cold": ["--prefix", "cold:", "-k", 100000]}
    with lib.Lab() as lab:
        key = lab.key_file()
        nodes = lab.cluster(3, *args, key=key)
        nodes.append(lab.joiner(nodes, *args, key=key).start(serves=False))
        lib.settle(nodes)
        base = [job.tools.cacheload, "-K", 20, "-v", 100]
        run([*base, *kinds["hot"], "-p", nodes[0].port, "--fill-only"])
        owner = next(n for n in nodes if n.stat("curr_items", "") == "1")
        run([*base, *kinds["cold"], "-p", nodes[0].port, "--fill-only"])

        def begin(duration):
            return [(kind, subprocess.Popen([str(x) for x in (*base, *options, "-p", n.port, "-c", 8, "-d", depth, "--rate", rate,
                                                              "--sleep", "-w", 0, "-D", duration)], stdout=subprocess.PIPE, text=True))
                    for n in nodes for kind, options in kinds.items()]

        for _, p in begin(2):  # the key becomes hot
            p.communicate()
        before, hits = [cpu_s(n) for n in nodes], copy_hits(nodes)
        p99, asked = {"hot": [], "cold": []}, 0
        for kind, p in begin(seconds):
            phase = next(o for o in map(json.loads, p.communicate()[0].splitlines()) if o["phase"] == "run")
            if phase["misses"] or phase["errors"]:
                raise Failed(f"{phase['misses']} misses, {phase['errors']} errors")
            p99[kind].append(phase["lat_us"]["p99"])
            asked += phase["gets"] if kind == "hot" else 0
        spent = {n: cpu_s(n) - was for n, was in zip(nodes, before)}
        hits = copy_hits(nodes) - hits
        others = [s for n, s in spent.items() if n is not owner]
        return {"owner_cpu": spent[owner], "others_cpu": sum(others) / len(others), "hot_p99": median(p99["hot"]),
                "cold_p99": median(p99["cold"]), "copied": hits / asked}


# ------------------------------------------------------------------ idle


def loopback_bytes():
    with open("/proc/net/dev") as f:
        return int(re.search(r"^\s*lo:\s*(\d+)", f.read(), re.M).group(1))


def idle(job):
    """Three nodes that hold some items and that nobody asks; what passes over loopback is theirs."""
    seconds = 5 if job.quick else 20
    with nodes_of(3) as nodes:
        load(job, nodes[0].port, [nodes[0].p.pid], [], 0, "--fill-only")
        time.sleep(3)  # what the filling has left to do is done
        spent, sent, begun = [cpu_s(n) for n in nodes], loopback_bytes(), time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - begun
        share = max(cpu_s(n) - was for n, was in zip(nodes, spent)) / took
        rate = (loopback_bytes() - sent) / took / len(nodes)
    job.out.record("idle_cluster", nodes=3, seconds=seconds, cpu_share=share, bytes_per_s=rate)
    job.out.table(f"An idle cluster of three, {seconds} s", ["busiest node's share of a core", "bytes/s sent by a node"],
                  [[f"{share * 100:.2f} %", fixed(rate, 0)]])


def cpu_s(node):
    """CPU time of all its threads, from the scheduler (nanoseconds there)."""
    return cpu_ns(node.p.pid) / 1e9
