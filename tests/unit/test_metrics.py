#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""/metrics of a node: the metrics of memcached_exporter with the values of `stats`, the server's own, two formats, and as
many series whatever clients do.

    test_metrics.py [TAGS]      how many tags, keys and clients' purges to try with (default 2000)

Reads both formats strictly by itself; python3-prometheus-client and promtool check them too where they are installed."""
import gzip
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
import ending  # noqa: E402
from cputime import cpu_ns  # noqa: E402
from test_exporter import collect, expected, stats  # noqa: E402

PROGRAM = os.path.join(os.environ.get("TAGCACHED_BUILDDIR", "."), "tagcached")
# Milliseconds of a core that a scrape may take. ThreadSanitizer makes everything ten times as slow.
SCRAPE_MS = 50 if os.environ.get("TAGCACHED_SANITIZER") == "thread" else 5
# What Prometheus 2.42 sends.
PROMETHEUS = ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
              "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
# Counters of the exporter whose names do not end in _total: promtool names them, OpenMetrics cannot have them as counters.
ODD = {"memcached_uptime_seconds", "memcached_slab_items_evicted_time_seconds", "memcached_slab_items_moves_to_cold",
       "memcached_slab_items_moves_to_warm", "memcached_slab_items_moves_within_lru", "memcached_slab_mem_requested_bytes"}
# What the dashboard and the alerts of grafana/jsonnet-libs' memcached-mixin ask for.
MIXIN = {"memcached_up", "memcached_commands_total", "memcached_current_connections", "memcached_max_connections",
         "memcached_items_evicted_total", "memcached_items_total", "memcached_process_user_cpu_seconds_total",
         "memcached_process_system_cpu_seconds_total", "memcached_current_bytes", "memcached_current_items",
         "memcached_connections_total", "memcached_read_bytes_total", "memcached_written_bytes_total", "memcached_version",
         "memcached_uptime_seconds", "memcached_limit_bytes", "memcached_slab_items_outofmemory_total"}
# What differs between two moments by the mere passing of time, or by asking.
MOVING = {"uptime_seconds", "time_seconds", "process_user_cpu_seconds_total", "process_system_cpu_seconds_total",
          "read_bytes_total", "written_bytes_total", "slab_items_age_seconds", "slab_items_evicted_time_seconds"}
NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?"
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (%s)' % NUMBER)


class Page:
    """A page, read by the rules of its format: types by family, values by series."""

    def __init__(self, text, open_metrics):
        self.types, self.series = {}, {}
        family = None
        lines = text.split("\n")
        assert lines.pop() == "" and "\r" not in text
        if open_metrics:
            assert lines.pop() == "# EOF"
        for line in lines:
            if line.startswith("#"):
                word, name, rest = line[2:].split(" ", 2)
                assert word in ("HELP", "TYPE") or (open_metrics and word == "UNIT" and name.endswith("_" + rest)), line
                if word == "TYPE":
                    assert name not in self.types, name + " twice"
                    self.types[name] = rest
                if word == ("TYPE" if open_metrics else "HELP"):
                    family = name
                assert name == family, line
                continue
            name, labels, value = SAMPLE.fullmatch(line).groups()
            kind = self.types[family]
            suffixes = {"histogram": ("_bucket", "_sum", "_count")}.get(kind, ("",))
            if open_metrics and kind == "counter":
                suffixes = ("_total",)
            assert name in [family + s for s in suffixes], line
            series = name + "".join(" " + p for p in sorted(filter(None, re.split(r',(?=[a-z])', labels or ""))))
            assert series not in self.series, series + " twice"
            self.series[series] = float(value)

    def buckets_rise(self):
        """Each histogram's buckets never fall, and the last one is its count."""
        by = {}
        for series, value in self.series.items():
            m = re.match(r'(\w+)_bucket(.*) le="(.*?)"(.*)', series)
            if m:
                by.setdefault((m[1], m[2] + m[4]), []).append((float(m[3].replace("+Inf", "inf")), value))
        assert len(by) >= 8, by
        for (name, labels), values in by.items():
            counts = [v for _, v in sorted(values)]
            assert counts == sorted(counts) and counts[-1] == self.series[name + "_count" + labels], (name, labels)


class Node:
    def __init__(self, folder):
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(folder + "/notify")
        notify.settimeout(60)
        root = ["-u", "root"] if os.geteuid() == 0 else []
        env = dict(os.environ, NOTIFY_SOCKET=folder + "/notify", MEMCACHED_PORT_FILENAME=folder + "/ports")
        self.child = subprocess.Popen([PROGRAM, "-s", folder + "/s", "--http", "127.0.0.1:0", *root], env=env)
        assert notify.recv(100) == b"READY=1"
        notify.close()
        with open(folder + "/ports") as f:
            self.port = int(re.fullmatch(r"HTTP INET: (\d+)\n", f.read())[1])
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(folder + "/s")
        self.web = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def say(self, text, *answers):
        self.sock.sendall(text)
        want, got = b"".join(answers), b""
        while len(got) < len(want):
            got += self.sock.recv(len(want) - len(got))
        assert got == want, (got, want)

    def get(self, path, **headers):
        self.web.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = self.web.getresponse()
        body = answer.read()
        body = (gzip.decompress(body) if answer.getheader("Content-Encoding") == "gzip" else body).decode()
        assert answer.status == 200, (answer.status, body)
        return answer.getheader("Content-Type"), body

    def page(self, open_metrics=False):
        kind, text = self.get("/metrics?format=" + ("openmetrics" if open_metrics else "text"))
        assert kind.startswith("application/openmetrics-text; version=1.0.0" if open_metrics else "text/plain; version=0.0.4")
        return Page(text, open_metrics)


def check_exporter(node):
    """The names, types and labels of the exporter's scrape, and its values as its rules make them of `stats`."""
    before = node.page()
    x = collect(*[stats(node.sock, g) for g in (b"", b" items", b" slabs", b" settings")])
    after = node.page()
    ours = {s[len("memcached_"):] for s in before.series if s.startswith("memcached_")}
    types, series = expected()
    assert {n[len("memcached_"):]: t for n, t in before.types.items() if n.startswith("memcached_")} == types
    assert ours == series, ours ^ series
    assert set(x.series) == ours, set(x.series) ^ ours
    for s, value in x.series.items():
        low, high = before.series["memcached_" + s], after.series["memcached_" + s]
        if s.split(" ")[0] in MOVING:
            assert low <= value <= high, (s, low, value, high)
        else:
            assert low == value == high, (s, low, value, high)
    assert MIXIN <= set(before.types), MIXIN - set(before.types)
    return len(ours)


def check_formats(node):
    text, openm = node.page(), node.page(True)
    assert text.types.keys() == {n + ("_total" if t == "counter" else "") for n, t in openm.types.items()}
    odd = {n for n, t in openm.types.items() if t == "unknown"}
    assert odd == ODD, odd ^ ODD
    assert text.series.keys() == openm.series.keys()
    text.buckets_rise()
    for accept, wants in ((PROMETHEUS, True), ("text/plain", False), ("*/*", False), ("", False), ("application/openmetrics-text", True),
                          ("text/plain;q=0.9, application/openmetrics-text;version=1.0.0; q=0.5", False),
                          ("text/plain;q=0.5,application/openmetrics-text;q=0", False)):
        kind, _ = node.get("/metrics", Accept=accept)
        assert kind.startswith("application/openmetrics-text") == wants, (accept, kind)
    for accept, wants in (("gzip", True), ("deflate, gzip;q=0.5", True), ("gzip;q=0", False), ("gzipped", False), ("", False)):
        node.web.request("GET", "/metrics?format=text", headers={"Accept-Encoding": accept})
        answer = node.web.getresponse()
        body = answer.read()
        assert (answer.getheader("Content-Encoding") == "gzip") == wants, accept
        if wants:
            assert len(body) < 6000
            body = gzip.decompress(body)
        assert Page(body.decode(), False).series.keys() == text.series.keys()


def check_others(node):
    """The checkers that others have made, where they are."""
    said = []
    python = next((p for p in (sys.executable, "/usr/bin/python3") if subprocess.run(  # Debian's packages are for its own
        [p, "-c", "import prometheus_client"], capture_output=True).returncode == 0), None)
    if python is None:
        said.append("no python3-prometheus-client")
    else:
        for module, form in (("prometheus_client.openmetrics.parser", "openmetrics"), ("prometheus_client.parser", "text")):
            read = f"import sys; from {module} import text_string_to_metric_families as read; print(len(list(read(sys.stdin.read()))))"
            run = subprocess.run([python, "-c", read], input=node.get("/metrics?format=" + form)[1], text=True, capture_output=True)
            assert run.returncode == 0 and int(run.stdout) > 100, run
    if shutil.which("promtool") is None:
        said.append("no promtool")
    else:
        run = subprocess.run(["promtool", "check", "metrics"], input=node.get("/metrics")[1], text=True, capture_output=True)
        odd = {line.split(" ")[0] for line in (run.stdout + run.stderr).splitlines()}
        assert odd == ODD, run
    return said


def check_series(node, n):
    """Tags, keys, purges and what HTTP clients send make no new series."""
    before = node.page()
    sets = [b"set key:%d|#|t=tag:%d 0 0 1\r\nx\r\n" % (i, i) for i in range(n)]
    for at in range(0, n, 500):
        part = sets[at:at + 500]
        node.say(b"".join(part), b"STORED\r\n" * len(part))
    for at in range(0, n, 500):
        part = [b"purge tag:%d\r\n" % i for i in range(at, min(at + 500, n))]
        node.say(b"".join(part), b"PURGED\r\n" * len(part))
    for i in range(20):
        node.web.request("GET", "/no%d" % i, headers={"X-Token": str(i)})
        node.web.getresponse().read()
    after = node.page()
    assert before.series.keys() == after.series.keys(), before.series.keys() ^ after.series.keys()
    assert after.series["tagcached_purges_total kind=\"hard\""] - before.series["tagcached_purges_total kind=\"hard\""] == n
    assert after.series["tagcached_purge_apply_seconds_count"] - before.series["tagcached_purge_apply_seconds_count"] == n
    return len(after.series)


def check_cost(node):
    """What a scrape takes of a core: of the one thread that HTTP has."""
    before = cpu_ns(node.child.pid, "http-0")
    assert before > 0
    for _ in range(50):
        node.get("/metrics", Accept=PROMETHEUS, Accept_Encoding="gzip")
    each = (cpu_ns(node.child.pid, "http-0") - before) / 50e6
    assert each < SCRAPE_MS, each
    return each


def check_latency(node):
    """One in 64 reads is timed: of 640 gets in turn about ten."""
    before = node.page().series
    for _ in range(640):
        node.say(b"get none\r\n", b"END\r\n")
    for _ in range(640):
        node.say(b"mg none v\r\n", b"EN\r\n")
    after = node.page().series
    for command in ("get", "meta_get"):
        name = 'tagcached_command_seconds_count command="%s"' % command
        assert 9 <= after[name] - before[name] <= 11, (name, before[name], after[name])


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as d:
        node = Node(d)
        try:
            node.say(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
            node.say(b"get k none\r\ncas k 0 0 1 1\r\ny\r\nincr none 1\r\n",
                     b"VALUE k 0 1\r\nx\r\nEND\r\nEXISTS\r\nNOT_FOUND\r\n")
            exported = check_exporter(node)
            check_formats(node)
            check_latency(node)
            said = check_others(node)
            cost = check_cost(node)
            series = check_series(node, n)
        finally:
            ending.end(node.child)
    print("%d series of the exporter, %d in all, %.2f ms a scrape%s" % (exported, series, cost, "".join("; " + s for s in said)))


if __name__ == "__main__":
    main()
    sys.exit(0)
