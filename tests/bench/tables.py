# SPDX-License-Identifier: BSD-3-Clause
"""The tables about work, tags and memory. Each function measures one and prints it; `job` says with what."""
import os
import socket
import statistics
import time
from dataclasses import dataclass, field

import locked
from output import fixed
from servers import Failed, Server, family


@dataclass
class Job:
    tools: object
    servers: list
    quick: bool
    rounds: int
    out: object
    tmp: str
    keep: str
    rows: str = ""  # only the work with this in its name


@dataclass
class Work:
    """A kind of load: cacheload's options, and the floor's that answers the same bytes."""
    name: str
    load: list
    floor: list
    value: int = 100
    keys: int = 1000000
    peers: list = field(default_factory=lambda: ["tagcached", "memcached", "redis", "pogocache", "floor", "wide"])
    proto: str = None  # of memcached and tagcached; None: text
    many: bool = False  # instructions are counted with many keys, too
    instructions: bool = True
    quick: bool = True  # counted by callgrind in quick mode too
    wide: int = 0  # replies of which a floor takes as much memory as the items


WORKS = [
    Work("get, one per write", ["-d", 1], ["--get", 100], wide=1000000, many=True),
    Work("get, pipelined 16", ["-d", 16], ["--get", 100], wide=1000000, many=True),
    Work("get, pipelined 64", ["-d", 64], ["--get", 100], quick=False, wide=1000000),
    Work("mg, pipelined 16", ["-d", 16], None, peers=["tagcached", "memcached"], proto="meta", many=True),
    Work("multi-get of 50, per key", ["-m", 50], ["--get", 100, "--multiget", 50], wide=20000, many=True),
    Work("set, one per write", ["-g", 0], ["--set", 100]),
    Work("set, pipelined 16", ["-g", 0, "-d", 16], ["--set", 100], many=True),
    Work("ms, pipelined 16", ["-g", 0, "-d", 16], None, peers=["tagcached", "memcached"], proto="meta", many=True),
    Work("binary get, pipelined 16", ["-d", 16], None, peers=["tagcached", "memcached"], proto="binary"),
    Work("binary getkq of 50, per key", ["-m", 50], None, peers=["tagcached", "memcached"], proto="binary"),
    Work("binary set, pipelined 16", ["-g", 0, "-d", 16], None, peers=["tagcached", "memcached"], proto="binary"),
    Work("90/10, pipelined 16", ["-g", 0.9, "-d", 16], None, quick=False),
    Work("get of 10 KiB", ["-d", 1], ["--get", 10240], value=10240, keys=5000, quick=False, wide=5000),
    Work("get of 100 KiB", ["-d", 1], ["--get", 102400], value=102400, keys=500, instructions=False, wide=500),
]


def median(xs):
    return statistics.median(xs) if xs else None


def ratio(a, b):
    return a / b if a is not None and b else None


def common(work, keys):
    """Options that say which keys and values a work uses: one set of keys for each value size."""
    return ["-k", keys, "-K", 20, "-v", work.value, "--prefix", f"v{work.value}:"]


# ------------------------------------------------------------------ instructions


def instructions(job):
    """Per request (multi-get: per key), between two counts of requests, so that start-up and accepting cancel. With few
    keys, which are in the caches and have been read before, and with many, of which most are read for the first time."""
    counts = (20, 60) if job.quick else (40, 240)  # batches on each of the 50 connections
    works = [w for w in WORKS if job.rows in w.name and w.instructions and (w.quick or not job.quick)]
    few, many = 10000, 100000 if job.quick else 1000000
    rows = [(w, few if w.value < 1000 else 500) for w in works] + [(w, many) for w in works if w.many]
    got = {}
    for kind in job.servers:
        path = os.path.join(job.keep, f"callgrind.{kind}")
        if kind == "floor":
            for w, keys in rows:
                if w.floor and keys <= few:
                    with Server(job.tools, kind, args=map(str, w.floor), callgrind=path) as s:
                        got[w.name, keys, kind] = work_instructions(job, s, w, keys, counts)
            continue
        with Server(job.tools, kind, 1024, callgrind=path) as s:
            filled = None
            for w, keys in rows:
                if family(kind) not in w.peers:
                    continue
                if filled != (w.value, keys):
                    s.load(*common(w, keys), "--fill-only")
                    time.sleep(2)  # what other threads have left to do is not counted
                filled = w.value, keys
                got[w.name, keys, kind] = work_instructions(job, s, w, keys, counts)
    show_instructions(job, rows, got)


def show_instructions(job, rows, got):
    for table, digits, i, title in (("instructions", 0, 0, "User-space instructions"), ("locked", 2, 1, "Locked instructions")):
        lines = []
        for w, keys in rows:
            v = {k: got[w.name, keys, k][i] for k in job.servers if (w.name, keys, k) in got}
            job.out.record(table, row=w.name, keys=keys, of=v)
            lines.append([w.name, f"{keys:,}"] + [fixed(v.get(k), digits) for k in job.servers])
        job.out.table(f"{title} per request (of the busiest thread)", ["work", "keys"] + job.servers, lines)


def count_instructions(s, w, options, batches):
    """Runs so many batches: how many requests (or keys of a multi-get) these were, and what each thread did."""
    depth = w.load[w.load.index("-d") + 1] if "-d" in w.load else 1
    requests = 50 * depth * max(batches // (4 if depth > 1 or "-m" in w.load else 1), 2)
    s.load(*options, "-w", 0, "-n", requests, "--seq", 65536, "--timeout", 120)
    return requests * (50 if "-m" in w.load else 1), s.dump()


def work_instructions(job, s, w, keys, counts):
    """(instructions, locked ones) of one request, in the thread that had most to do for more requests."""
    proto = s.proto
    if s.proto == "text":
        s.proto = w.proto or s.proto
    options = common(w, keys) + w.load
    if s.kind == "floor":
        counts = tuple(c * 10 for c in counts)  # it does so little that accepting connections would show
    s.count(True)
    s.dump()
    na, a = count_instructions(s, w, options, counts[0])
    nb, b = count_instructions(s, w, options, counts[1])
    s.count(False)
    s.proto = proto
    thread = max(b, key=lambda t: b[t][0] - a[t][0] if t in a else 0)
    (few, few_path), (more, path) = a[thread], b[thread]
    one = (more - few) / (nb - na), (locked.count(path) - locked.count(few_path)) / (nb - na)
    if job.keep != job.tmp:
        name = f"{s.kind}.{w.name.replace(' ', '_').replace(',', '').replace('/', '-')}.{keys}.callgrind"
        os.replace(path, os.path.join(job.keep, name))
    return one


# ------------------------------------------------------------------ CPU


def cpu(job):
    """Server CPU per key: the servers in turn, as many rounds as asked; medians of CPU and of each round's ratios."""
    scale = 10 if job.quick else 1
    duration = 0.25 if job.quick else 1
    rows = []
    with_servers = {k: Server(job.tools, k, 1024) for k in job.servers if k != "floor"}
    try:
        filled = set()
        for w in (w for w in WORKS if job.rows in w.name):
            rows.append(cpu_row(job, w, with_servers, scale, duration, filled))
    finally:
        for s in with_servers.values():
            s.stop()
    names = job.servers + (["wide"] if "floor" in job.servers else [])
    job.out.table("Server CPU per key, microseconds (kernel included), and ratios",
                  ["work"] + names + [f"of {k}" for k in names if k != "tagcached"], rows)


def cpu_row(job, w, running, scale, duration, filled):
    present = dict(running)
    keys = max(w.keys // scale, 100)
    floors = []
    try:
        if w.floor and "floor" in job.servers:
            present["floor"] = Server(job.tools, "floor", args=map(str, w.floor))
            floors.append(present["floor"])
        if w.wide and "floor" in job.servers:
            present["wide"] = Server(job.tools, "floor", args=map(str, w.floor + ["--replies", max(w.wide // scale, 1)]))
            floors.append(present["wide"])
        present = {k: s for k, s in present.items() if family(k) in w.peers}
        seen = {k: [] for k in present}
        for k, s in present.items():
            if s.kind != "floor" and (k, w.value) not in filled:
                s.load(*common(w, keys), "--fill-only")
                filled.add((k, w.value))
        for _ in range(job.rounds):
            for k, s in present.items():
                proto, s.proto = s.proto, (w.proto or s.proto) if s.proto == "text" else s.proto
                r = s.load(*common(w, keys), *w.load, "-w", 0.1, "-D", duration, "--seq", 1 << 19)["run"]
                s.proto = proto
                if s.kind != "floor" and r["misses"]:
                    raise Failed(f"{k}: {r['misses']} misses in {w.name}")
                seen[k].append((r["server_cpu_us_per_key"], r["keys_per_s"], r["lat_us"]["p99"]))
    finally:
        for s in floors:
            s.stop()
    us = {k: median([x[0] for x in v]) for k, v in seen.items()}
    rates = {k: median([x[1] for x in v]) for k, v in seen.items()}
    ratios = {k: median([a[0] / b[0] for a, b in zip(seen["tagcached"], v)])
              for k, v in seen.items() if "tagcached" in seen and k != "tagcached"}
    job.out.record("cpu", row=w.name, rounds=job.rounds, us_per_key=us, keys_per_s=rates, ratio_of=ratios,
                   runs={k: [x[0] for x in v] for k, v in seen.items()})
    names = job.servers + (["wide"] if "floor" in job.servers else [])
    return [w.name] + [fixed(us.get(k)) for k in names] + [fixed(ratios.get(k)) for k in names if k != "tagcached"]


# ------------------------------------------------------------------ idle


def idle(job):
    """A server that holds some items, and that nobody is connected to: how often its threads wake up, what that costs."""
    seconds = 5 if job.quick else 20
    rows = []
    for kind in job.servers:
        if kind == "floor":
            continue
        with Server(job.tools, kind, 256, threads=4) as s:
            s.load("-k", 100000, "-v", 100, "--fill-only")
            time.sleep(3)  # what the filling has left to do is done
            wakeups, cpu_s, begun = s.wakeups(), s.cpu_s(), time.monotonic()
            time.sleep(seconds)
            took = time.monotonic() - begun
            row = {"wakeups_per_s": (s.wakeups() - wakeups) / took, "cpu_us_per_s": (s.cpu_s() - cpu_s) * 1e6 / took}
        job.out.record("idle", server=kind, threads=4, seconds=seconds, **row)
        rows.append([kind, fixed(row["wakeups_per_s"], 1), fixed(row["cpu_us_per_s"], 0)])
    job.out.table(f"Idle for {seconds} s, four worker threads", ["server", "wake-ups/s", "CPU us/s"], rows)


# ------------------------------------------------------------------ tags


def tags(job):
    if "tagcached" not in job.servers:
        print("tags: only tagcached has them")
        return
    keys = 20000 if job.quick else 200000
    duration = 0.5 if job.quick else 1
    with Server(job.tools, "tagcached", 1024) as s:
        base = ["-k", keys, "-v", 100]
        s.load(*base, "--prefix", "plain:", "--fill-only")
        s.load(*base, "--prefix", "tagged:", "--tags", 3, "--tag-space", 20000, "--fill-only")
        tag_rows(job, s, base, duration)
        large_tag(job, s, 50000 if job.quick else 1000000)


def tag_rows(job, s, base, duration):
    purge = ["--purge-rate", 1000]
    kinds = {"untagged, no purges": ["--prefix", "plain:"], "tagged, no purges": ["--prefix", "tagged:"],
             "untagged, 1,000 purges/s": ["--prefix", "plain:"] + purge,
             "3 tags, 1,000 purges/s": ["--prefix", "tagged:"] + purge}
    seen = {k: {1: [], 16: []} for k in kinds}
    for _ in range(job.rounds):
        for depth in (1, 16):
            for k, options in kinds.items():
                r = s.load(*base, "-d", depth, *options, "-w", 0.1, "-D", duration, "--seq", 1 << 18)["run"]
                if r["misses"]:
                    raise Failed(f"tags: {r['misses']} misses of {k}")
                seen[k][depth].append(r["server_cpu_us_per_key"])
    rows = []
    for k in kinds:
        us = {d: median(v) for d, v in seen[k].items()}
        of = {d: median([a / b for a, b in zip(v, seen["untagged, 1,000 purges/s"][d])]) for d, v in seen[k].items()}
        job.out.record("tags", row=k, us_per_key=us, of_untagged=of)
        rows.append([k] + [fixed(us[1]), fixed(of[1]), fixed(us[16]), fixed(of[16])])
    job.out.table("Reading tagged items while tags of other items are purged: CPU per get, microseconds",
                  ["items", "one per write", "of untagged", "pipelined 16", "of untagged"], rows)


def large_tag(job, s, n):
    """Purges one tag that n items carry: how long the answer takes, how long until a read misses, what sweeping costs."""
    s.load("-k", n, "-v", 100, "--prefix", "big:", "--tags", 1, "--tag-space", 1, "--fill-only")
    key = "big:" + "0" * (20 - 4 - 1) + "5"
    c = s.connect()

    def ask(line):
        t = time.perf_counter()
        c.sendall(line)
        got = c.recv(4096)
        return got, (time.perf_counter() - t) * 1e3

    before, _ = ask(f"mg {key} v\r\n".encode())
    held, cpu0 = items(s), s.cpu_s()
    reply, ms = ask(b"mp t0\r\n")
    after, read_ms = ask(f"mg {key} v\r\n".encode())
    if not before.startswith(b"VA ") or not reply.startswith(b"HD") or after != b"EN\r\n":
        raise Failed(f"large tag: {before[:20]!r} {reply!r} {after!r}")
    begun = time.perf_counter()
    gone = wait_swept(s, held - n + n // 1000)
    swept_s = time.perf_counter() - begun
    row = {"items": n, "purge_ms": ms, "first_read_ms": read_ms, "sweep_s": swept_s if gone else None,
           "sweep_cpu_share": (s.cpu_s() - cpu0) / max(swept_s, 1e-9)}
    job.out.record("large_tag", **row)
    job.out.table(f"Purging one tag of {n:,} items", ["", "value"], [
        ["purge answered, ms", fixed(ms, 3)], ["next read (a miss), ms", fixed(read_ms, 3)],
        ["index rid of them after, s", fixed(swept_s, 2) if gone else "not within 60 s"],
        ["CPU of the server meanwhile, cores", fixed(row["sweep_cpu_share"], 3)]])
    c.close()


def items(s):
    return int(s.stats()["curr_items"])


def wait_swept(s, left):
    """Waits until no more items are left (asking ten times a second); False after 60 s."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if items(s) <= left:
            return True
        time.sleep(0.1)
    return False


# ------------------------------------------------------------------ memory


def memory(job):
    limit = 32 if job.quick else 256
    rows = []
    for name, value, mean in (("10 bytes", "10", 10), ("100 bytes", "100", 100),
                              ("lognormal, median 400 bytes", "lognormal:400:1.2", 822)):
        keys = int(limit * 1048576 / (mean + 20 + 16) * 1.5)
        for kind in job.servers:
            if kind == "floor":
                continue
            with Server(job.tools, kind, limit) as s:
                options = ["-k", keys, "-v", value, "--vmin", 32, "--vmax", 32768, "-c", 4]
                r = s.load(*options, "--fill-only", "--scan")["scan"]
                rss = s.rss_bytes()
            held, payload = r["hits"], r["hit_bytes"] + r["hits"] * 20
            overhead = (rss - payload) / held
            job.out.record("memory", row=name, server=kind, limit_mb=limit, items=held, rss_mb=rss / 1048576,
                           overhead_bytes=overhead, payload_mb=payload / 1048576)
            rows.append([name, kind, f"{held:,}", fixed(payload / 1048576, 1), fixed(rss / 1048576, 1), fixed(overhead, 1)])
    job.out.table(f"Items held at -m {limit}, keys of 20 bytes (RSS less keys and values, per resident item)",
                  ["values", "server", "items", "payload MiB", "RSS MiB", "overhead B"], rows)
