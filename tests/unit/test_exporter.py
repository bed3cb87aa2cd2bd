#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What prometheus/memcached_exporter makes of our statistics: the same metrics, with the same types and labels, as of
memcached 1.6.18 (tests/vectors/exporter_memcached-1.6.18.txt, a scrape), none of them twice. The exporter puts what
`stats items` and `stats slabs` say of a class into one series of metrics: a name in both makes it fail altogether."""
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import ending  # noqa: E402

ROOT = Path(os.environ.get("TAGCACHED_SRCDIR") or Path(__file__).resolve().parents[2])
PROGRAM = os.path.join(os.environ.get("TAGCACHED_BUILDDIR", "."), "tagcached")

GENERAL = {  # field of `stats`: metric, type
    "uptime": ("uptime_seconds", "counter"),
    "time": ("time_seconds", "gauge"),
    "rusage_user": ("process_user_cpu_seconds_total", "counter"),
    "rusage_system": ("process_system_cpu_seconds_total", "counter"),
    "bytes_read": ("read_bytes_total", "counter"),
    "bytes_written": ("written_bytes_total", "counter"),
    "bytes": ("current_bytes", "gauge"),
    "limit_maxbytes": ("limit_bytes", "gauge"),
    "evictions": ("items_evicted_total", "counter"),
    "reclaimed": ("items_reclaimed_total", "counter"),
    "store_too_large": ("item_too_large_total", "counter"),
    "store_no_memory": ("item_no_memory_total", "counter"),
    "direct_reclaims": ("direct_reclaims_total", "counter"),
    "total_connections": ("connections_total", "counter"),
    "rejected_connections": ("connections_rejected_total", "counter"),
    "conn_yields": ("connections_yielded_total", "counter"),
    "listen_disabled_num": ("connections_listener_disabled_total", "counter"),
    "accepting_conns": ("accepting_connections", "gauge"),
    "curr_connections": ("current_connections", "gauge"),
    "curr_items": ("current_items", "gauge"),
    "total_items": ("items_total", "counter"),
    "lru_crawler_starts": ("lru_crawler_starts_total", "counter"),
    "crawler_reclaimed": ("lru_crawler_reclaimed_total", "counter"),
    "crawler_items_checked": ("lru_crawler_items_checked_total", "counter"),
    "moves_to_cold": ("lru_crawler_moves_to_cold_total", "counter"),
    "moves_to_warm": ("lru_crawler_moves_to_warm_total", "counter"),
    "moves_within_lru": ("lru_crawler_moves_within_lru_total", "counter"),
}
SETTINGS = {
    "lru_crawler_sleep": "lru_crawler_sleep",
    "lru_crawler_tocrawl": "lru_crawler_to_crawl",
    "lru_maintainer_thread": "lru_crawler_maintainer_thread",
    "hot_lru_pct": "lru_crawler_hot_percent",
    "warm_lru_pct": "lru_crawler_warm_percent",
    "hot_max_factor": "lru_crawler_hot_max_factor",
    "warm_max_factor": "lru_crawler_warm_max_factor",
}
ITEMS = {
    "number": ("current_items", "gauge"),
    "age": ("items_age_seconds", "gauge"),
    "number_hot": ("hot_items", "gauge"),
    "number_warm": ("warm_items", "gauge"),
    "number_cold": ("cold_items", "gauge"),
    "number_temp": ("temporary_items", "gauge"),
    "age_hot": ("hot_age_seconds", "gauge"),
    "age_warm": ("warm_age_seconds", "gauge"),
    "crawler_reclaimed": ("items_crawler_reclaimed_total", "counter"),
    "evicted": ("items_evicted_total", "counter"),
    "evicted_nonzero": ("items_evicted_nonzero_total", "counter"),
    "evicted_time": ("items_evicted_time_seconds", "counter"),
    "evicted_unfetched": ("items_evicted_unfetched_total", "counter"),
    "expired_unfetched": ("items_expired_unfetched_total", "counter"),
    "outofmemory": ("items_outofmemory_total", "counter"),
    "reclaimed": ("items_reclaimed_total", "counter"),
    "tailrepairs": ("items_tailrepairs_total", "counter"),
    "moves_to_cold": ("items_moves_to_cold", "counter"),
    "moves_to_warm": ("items_moves_to_warm", "counter"),
    "moves_within_lru": ("items_moves_within_lru", "counter"),
    "mem_requested": ("mem_requested_bytes", "counter"),
}
SLABS = {
    "chunk_size": "chunk_size_bytes",
    "chunks_per_page": "chunks_per_page",
    "total_pages": "current_pages",
    "total_chunks": "current_chunks",
    "used_chunks": "chunks_used",
    "free_chunks": "chunks_free",
    "free_chunks_end": "chunks_free_end",
}
# The names that memcached 1.6.45 has in these groups.
ITEM_NAMES = set(ITEMS) | {"evicted_active", "crawler_items_checked", "lrutail_reflocked", "direct_reclaims",
                           "hits_to_hot", "hits_to_warm", "hits_to_cold", "hits_to_temp"}
SLAB_NAMES = set(SLABS) | {"get_hits", "cmd_set", "delete_hits", "incr_hits", "decr_hits", "cas_hits", "cas_badval",
                           "touch_hits"}


def stats(sock, group):
    sock.sendall(b"stats%s\r\n" % group)
    text = b""
    while not text.endswith(b"END\r\n"):
        more = sock.recv(65536)
        assert more, text
        text += more
    pairs = [line.split(" ", 2)[1:] for line in text.decode().split("\r\n")[:-2]]
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), "a name twice in stats%s" % group.decode()
    return dict(pairs)


class Scrape:
    def __init__(self):
        self.types, self.series = {}, {}

    def put(self, metric, kind, value, **labels):
        assert self.types.setdefault(metric, kind) == kind, metric
        series = metric + "".join(' %s="%s"' % pair for pair in sorted(labels.items()))
        assert series not in self.series, "%s was collected before" % series
        self.series[series] = float(value)

    def commands(self, metric, s, ops, misses, **labels):
        for op in ops:
            for status in ("hit", "miss") if op in misses else ("hit",):
                field = "%s_%s" % (op, "hits" if status == "hit" else "misses")
                self.put(metric, "counter", s[field], command=op, status=status, **labels)
        self.put(metric, "counter", s["cas_badval"], command="cas", status="badval", **labels)
        sets = sum(int(s[f]) for f in ("cas_hits", "cas_misses", "cas_badval") if f in s)
        self.put(metric, "counter", int(s["cmd_set"]) - sets, command="set", status="hit", **labels)


def collect(general, items, slabs, settings):
    x = Scrape()
    x.put("up", "gauge", 1)
    x.put("version", "gauge", 1, version=general["version"])
    for field, (metric, kind) in GENERAL.items():
        x.put(metric, kind, general[field])
    ops = ("get", "delete", "incr", "decr", "cas", "touch")
    x.commands("commands_total", general, ops, ops)
    x.put("commands_total", "counter", general["cmd_flush"], command="flush", status="hit")
    x.put("max_connections", "gauge", settings["maxconns"])
    if settings.get("lru_crawler") == "yes":
        x.put("lru_crawler_enabled", "gauge", 1)
        for field, metric in SETTINGS.items():
            value = settings[field]
            x.put(metric, "gauge", {"yes": "1", "no": "0"}.get(value, value))
    x.put("malloced_bytes", "gauge", slabs["total_malloced"])
    classes = {}
    for name, value in items.items():
        _, slab, field = name.split(":")
        classes.setdefault(slab, []).append((field, value))
    for name, value in slabs.items():
        if ":" in name:
            slab, field = name.split(":")
            classes.setdefault(slab, []).append((field, value))
    for slab, fields in classes.items():
        for field, value in fields:
            if field in ITEMS:
                metric, kind = ITEMS[field]
                x.put("slab_" + metric, kind, value, slab=slab)
            if field in SLABS:
                x.put("slab_" + SLABS[field], "gauge", value, slab=slab)
            if field.startswith("hits_to_"):
                lru = field[8:].replace("temp", "temporary")
                x.put("slab_lru_hits_total", "counter", value, slab=slab, lru=lru)
        x.commands("slab_commands_total", dict(fields), ops, (), slab=slab)
    return x


def expected():
    types, series = {}, set()
    for line in (ROOT / "tests/vectors/exporter_memcached-1.6.18.txt").read_text().splitlines():
        if line.startswith("# TYPE "):
            _, _, metric, kind = line.split()
            types[metric[len("memcached_"):]] = kind
        elif not line.startswith("#"):
            name, labels = re.match(r"memcached_(\w+)(?:\{(.*)\})? ", line).groups()
            series.add(name + "".join(" " + pair for pair in sorted((labels or "").split(",")) if pair))
    return types, {s.replace('"1.6.18"', '"1.6.45"') for s in series}


def main():
    with tempfile.TemporaryDirectory() as d:
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(d + "/notify")
        notify.settimeout(60)
        root = ["-u", "root"] if os.geteuid() == 0 else []
        child = subprocess.Popen([PROGRAM, "-s", d + "/s", *root], env=dict(os.environ, NOTIFY_SOCKET=d + "/notify"))
        try:
            assert notify.recv(100) == b"READY=1"
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(60)
            sock.connect(d + "/s")
            sock.sendall(b"set k 0 0 1\r\nx\r\n")
            assert sock.recv(100) == b"STORED\r\n"
            groups = [stats(sock, g) for g in (b"", b" items", b" slabs", b" settings")]
        finally:
            ending.end(child)
            notify.close()
    _, items, slabs, _ = groups
    fields = [n.split(":")[2] for n in items], [n.split(":")[1] for n in slabs if ":" in n]
    strange = (set(fields[0]) - ITEM_NAMES) | (set(fields[1]) - SLAB_NAMES)
    assert not strange, "memcached has no %s" % strange
    assert not set(fields[0]) & set(fields[1]), "in both groups: %s" % (set(fields[0]) & set(fields[1]))
    x = collect(*groups)
    types, series = expected()
    assert x.types == types, set(x.types.items()) ^ set(types.items())
    assert set(x.series) == series, set(x.series) ^ series
    print("%d metrics, %d series" % (len(types), len(series)))


if __name__ == "__main__":
    main()
    sys.exit(0)
