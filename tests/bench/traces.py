# SPDX-License-Identifier: BSD-3-Clause
"""The tables about what a cache keeps: miss ratios on traces, and sizes that change."""
import os
import subprocess

from output import fixed
from servers import META, Failed, Server, family, run

SEED = 20240611
RSS_MB = 64
KINDS = {"zipf": 1.0, "drift": 1.0, "scan": 1.0}
TTL_SPEED = 50.0  # seconds of the ttl trace to one of ours: 5,000 s are replayed in 100; the servers' sweepers do not hurry
TTL_SLOWER = 10.0  # for tagcached once more


def make(job, kind, requests, objects):
    path = os.path.join(job.tmp, f"{kind}.trace")
    run([job.tools.tracegen, kind, KINDS.get(kind, 1.0), objects, requests, SEED, path])
    return path


def replay(job, kind, memory_mb, path, extra=()):
    with Server(job.tools, kind, memory_mb, args=["--maxmemory-samples", "10"] if kind == "redis" else []) as s:
        if s.family in META:
            s.proto = "meta"  # of which memcached too answers a batch with one write
        r = s.load("--trace", path, "--vmin", 1, "--vmax", 32768, "-d", 32, *extra)["trace"]
        return r["miss_ratio"], r["byte_miss_ratio"], s.rss_bytes() / 1048576


usual_excess = {"tagcached": 4, "memcached": 5, "redis": 15}  # MiB of RSS beyond the setting; learned as traces go by


def at_equal_rss(job, kind, path, target_mb, tries, extra=()):
    """Finds the memory setting at which the server's RSS after the trace is the target, and what it missed then."""
    memory = target_mb - usual_excess.setdefault(kind, 5 if family(kind) == "memcached" else 15)
    best = None
    for _ in range(tries):
        got = replay(job, kind, max(memory, 2), path, extra) + (memory,)
        if best is None or abs(got[2] - target_mb) < abs(best[2] - target_mb):
            best = got
        if abs(got[2] - target_mb) < 0.75:
            break
        step = round(target_mb - got[2])
        memory += step or (1 if got[2] < target_mb else -1)
    usual_excess[kind] = round(best[2] - best[3])
    return best


def model(job, path, memory_mb):
    """The eviction model's miss ratio, and LRU's, when everything an item costs comes out of memory_mb."""
    if not os.path.exists(job.tools.model):
        return {}
    import json
    return json.loads(run([job.tools.model, path, int(memory_mb * 1048576)]))


def miss(job):
    requests, objects, target = (2000000, 1000000, RSS_MB) if job.quick else (10000000, 1000000, RSS_MB)
    kinds = ["zipf"] if job.quick else [*KINDS, "ttl"]
    tries = 1 if job.quick else 3
    rows = []
    for kind in kinds:
        path = make(job, kind, requests, objects)
        extra = ["--trace-ttl", path + ".ttl", "--trace-speed", TTL_SPEED] if kind == "ttl" else []
        row = {}
        for server in job.servers:
            if server == "floor":
                continue
            m, b, rss, setting = at_equal_rss(job, server, path, target, 1 if kind == "ttl" else tries, extra)
            row[server] = m
            job.out.record("miss", row=kind, server=server, miss_ratio=m, byte_miss_ratio=b, rss_mb=rss, memory_mb=setting,
                           target_mb=target, requests=requests)
            rows.append([kind, server, fixed(m, 4), fixed(b, 4), fixed(rss, 1), setting])
        if kind == "ttl" and "tagcached" in row:
            extra[-1] = TTL_SLOWER
            m, b, rss, setting = at_equal_rss(job, "tagcached", path, target, 1, extra)
            job.out.record("miss", row=f"ttl, {TTL_SPEED / TTL_SLOWER:.0f} times slower", server="tagcached", miss_ratio=m,
                           byte_miss_ratio=b, rss_mb=rss, memory_mb=setting, target_mb=target, requests=requests)
            rows.append(["ttl, slower", "tagcached", fixed(m, 4), fixed(b, 4), fixed(rss, 1), setting])
        for name, m in model(job, path, target).items():
            job.out.record("miss", row=kind, server=name, miss_ratio=m, target_mb=target, requests=requests)
            rows.append([kind, name, fixed(m, 4), None, None, None])
        os.remove(path)
    job.out.table(f"Miss ratio, {requests:,} requests, memory set so that RSS is {target} MiB after the replay",
                  ["trace", "server", "misses", "of bytes", "RSS MiB", "setting MiB"], rows)


# ------------------------------------------------------------------ sizes that change

PHASES = {"10": 10, "uniform:20:200": 110, "lognormal:400:1.2": 822, "5000": 5000, "uniform:20000:60000": 40000, "100": 100,
          "1000000": 1000000, "300": 300}  # values, and their mean
PHASE_REQUESTS, PHASE_BYTES = 3000000, 60e9  # what a minute has, at most: 50,000 a second, 1 GB/s


def pressure(job):
    """-m 64; a phase is a minute's requests at a moderate rate, and in each all sizes and keys are new. The hit ratio of
    the whole phase, against a server that began with that phase and is asked for the very same keys."""
    phases = list(PHASES)[1:3] if job.quick else PHASES
    rows = []
    for kind in job.servers:
        if kind == "floor":
            continue
        args = ["-I", "2m"] if family(kind) in META else []
        with Server(job.tools, kind, 64, args=args) as old:
            for i, value in enumerate(phases):
                aged, errors = phase(job, old, i, value)
                with Server(job.tools, kind, 64, args=args) as new:
                    fresh, _ = phase(job, new, i, value)
                job.out.record("pressure", server=kind, phase=i, value=value, aged=aged, fresh=fresh, errors=errors)
                rows.append([f"{i}: {value}", kind, fixed(aged, 4), fixed(fresh, 4), fixed(fresh - aged, 4), errors])
    job.out.table("Hit ratio when every size changes each minute, -m 64: the running server against a fresh one",
                  ["values", "server", "running", "fresh", "lost", "errors"], rows)


def phase(job, s, i, value):
    """Reads through (misses are set), Zipf 0.9 over twice what fits. Hit ratio, and replies that were errors: memcached's
    slabs may have no page left for a size."""
    mean = PHASES[value]
    keys = max(int(2 * 64 * 1048576 / (mean + 60)), 50)
    n = int(min(PHASE_REQUESTS, PHASE_BYTES / mean)) // (20 if job.quick else 1)
    r = s.load("-k", keys, "-v", value, "--vmin", 1, "--vmax", 1000000, "--prefix", f"p{i}:", "-z", 0.9, "--set-misses",
               "-d", 8, "-c", 8, "-w", 0, "--seq", n, "-n", n, strict=s.kind == "tagcached")["run"]
    return r["hit_ratio"], r["errors"]
