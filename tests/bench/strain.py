# SPDX-License-Identifier: BSD-3-Clause
"""The tables about strain: latency while the store is busy with itself, and more load than can be served."""
from output import fixed
from servers import BOTH_CPUS, Server
from tables import median

# ------------------------------------------------------------------ latency

RATE = 20000
VALUE = 400
PREFILLED = 90000  # items of VALUE bytes, about 60 % of -m 64: the rest of the growth, then eviction, falls into a round


def latency_round(job, kind, seconds):
    """One server's life: the index grows, after some seconds the memory is full and segments are evicted, and all along
    tags are purged and swept. The floor answers as many requests of the same length."""
    with Server(job.tools, "floor", first=True) as echo, \
            Server(job.tools, kind, 64, args=["--set", VALUE] if kind == "floor" else []) as s:
        tags = ["--tags", 1] if kind == "tagcached" else []
        options = ["-g", 0] if kind == "floor" else ["-g", 0.5] + tags
        if kind != "floor":
            s.load("-k", PREFILLED, "-v", VALUE, *tags, "--fill-only")
        if tags:
            options += ["--purge-rate", 10, "--purge-prefix", "t", "--purge-space", 1000]
        r = s.load("-k", 4000000, "-v", VALUE, *options, "--rate", RATE, "-w", 0, "-D", seconds,
                   "--echo", echo.port, "--echo-rate", 5000)["run"]
        if kind == "tagcached":
            r["worked"] = {k: int(s.stats().get(k, 0)) for k in ("evictions", "curr_items")}
        return r


def latency(job):
    """An open loop of half gets, half sets of new keys into a small memory, against an echo at the same rate, in turn."""
    seconds = 3 if job.quick else 6
    seen = {k: [] for k in job.servers}
    for _ in range(1 if job.quick else 6):
        for k in job.servers:
            seen[k].append(latency_round(job, k, seconds))
    rows = []
    for k, rounds in seen.items():
        lat = [r["lat_us"] for r in rounds]
        row = {q: median([l[q] for l in lat]) for q in ("p50", "p99", "p999", "max")}
        row["quietest_max"] = min(l["max"] for l in lat)
        row["over_5ms"] = sum(l["over_5ms"] for l in lat)
        row["rounds_over_5ms"] = sum(l["over_5ms"] > 0 for l in lat)
        row["machine_max"] = median([r["echo"]["lat_us"]["max"] for r in rounds])
        row["own_over_5ms"] = sum(r["own"]["over_5ms"] for r in rounds)
        worst = max((r["own"] for r in rounds), key=lambda own: own["max"])
        row["own_max"], row["own_max_of"] = worst["max"], worst["of"]
        job.out.record("latency", server=k, rate=RATE, seconds=seconds, rounds=len(lat), worked=rounds[-1].get("worked"),
                       **row)
        rows.append([k] + [fixed(row[q], 0) for q in ("p50", "p99", "p999", "max", "quietest_max")] +
                    [row["over_5ms"], f"{row['rounds_over_5ms']} of {len(lat)}", fixed(row["machine_max"], 0),
                     row["own_over_5ms"], fixed(row["own_max"], 0), fixed(row["own_max_of"], 0)])
    job.out.table(f"Latency, microseconds: {RATE:,} requests a second, half of them sets of new keys, -m 64; medians of "
                  f"rounds of {seconds} s",
                  ["server", "p50", "p99", "p99.9", "max", "max, quietest round", "over 5 ms", "rounds with such", "machine's max",
                   "own over 5 ms", "own max", "of"], rows)


# ------------------------------------------------------------------ overload


def overload(job):
    """Connections that ask again as soon as they are answered, from more CPUs than the server has: it is always behind.
    The floor says how much of what many connections cost is the kernel's."""
    seconds = 0.5 if job.quick else 2
    base = ["-k", 100000, "-v", 100, "-d", 16, "-t", 2, "-w", 0.3, "-D", seconds]
    running = {k: Server(job.tools, k, 256, args=["--get", 100, "--replies", 100000] if k == "floor" else [])
               for k in job.servers}
    seen = {k: [] for k in job.servers}
    try:
        for k, s in running.items():
            if k != "floor":
                s.load("-k", 100000, "-v", 100, "--fill-only")
        for _ in range(1 if job.quick else 5):
            for k, s in running.items():
                seen[k].append(tuple(s.load(*base, "-c", c, cpus=BOTH_CPUS)["run"] for c in (50, 500, 2000)))
    finally:
        for s in running.values():
            s.stop()
    rows = []
    for k, rounds in seen.items():
        row = {
            "best_per_s": median([max(r["req_per_s"] for r in x) for x in rounds]),
            "many_per_s": median([x[2]["req_per_s"] for x in rounds]),
            "of_best": median([x[2]["req_per_s"] / max(r["req_per_s"] for r in x) for x in rounds]),
            "least_share": min(x[2]["conn_share"]["least"] for x in rounds),
            "p99_ms": median([x[2]["lat_us"]["p99"] for x in rounds]) / 1e3,
            "max_ms": max(x[2]["lat_us"]["max"] for x in rounds) / 1e3,
        }
        job.out.record("overload", server=k, **row)
        rows.append([k, fixed(row["best_per_s"], 0), fixed(row["many_per_s"], 0), fixed(row["of_best"]),
                     fixed(row["least_share"]), fixed(row["p99_ms"], 1), fixed(row["max_ms"], 1)])
    job.out.table("Overload: 2,000 connections pipelining 16 gets each as fast as they are answered",
                  ["server", "best with fewer/s", "2,000 conns/s", "of best", "least share", "p99 ms", "max ms"], rows)
