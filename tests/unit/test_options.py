#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the options of the daemon do, seen from outside: a case for each option that no transcript can show.

    test_options.py [OPTION...]     (default: all, and whether each option of the daemon has its row in options.tsv)

Runs the daemon of the test build, so that tools/check-options can have it leave an option out, and see the case fail.
"""
import base64
import os
import re
import resource
import select
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile

from tls_files import CERTIFICATE, KEY

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import ending  # noqa: E402

BUILD = os.environ.get("TAGCACHED_BUILDDIR", ".")
SOURCE = os.environ.get("TAGCACHED_SRCDIR") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PROGRAM = os.path.join(BUILD, "tests", "tagcached_test")
ROOT = ["-u", "root"] if os.geteuid() == 0 else []
LOCAL = ["-p", "-1", "-l", "127.0.0.1"]
PATIENCE_S = 60
cases = {}


class Skipped(Exception):
    pass


def case(option):
    return lambda fn: cases.setdefault(option, fn)


class Process:
    """The daemon, until it serves or ends, whichever comes first. As systemd would, it is told by NOTIFY_SOCKET."""

    def __init__(self, *args, **more):
        self.dir = tempfile.TemporaryDirectory()
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address, self.ports = self.path("notify"), self.path("ports")
        notify.bind(address)
        os.chmod(self.dir.name, 0o777)  # for whom it may become (-u)
        os.chmod(address, 0o777)
        # The daemon and `text` share the place in the file: what it writes must go to the end all the same.
        self.err = open(self.path("err"), "a+")
        self.out = open(self.path("out"), "a+")
        self.p = subprocess.Popen([PROGRAM, *args], stdout=self.out, stderr=self.err, stdin=subprocess.DEVNULL,
                                  env=dict(os.environ, MEMCACHED_PORT_FILENAME=self.ports, NOTIFY_SOCKET=address), **more)
        self.pid = self.p.pid
        with open(os.pidfd_open(self.pid)) as end:
            ready, _, _ = select.select([notify, end], [], [], PATIENCE_S)
        self.serves = notify in ready and notify.recv(100) == b"READY=1"
        notify.close()

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def text(self, f):
        f.seek(0)
        return f.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.p.poll() is None:
            ending.end(self.p, PATIENCE_S)
        self.out.close()
        self.err.close()
        self.dir.cleanup()


class Server(Process):
    """A daemon that must come to serve."""

    def __init__(self, *args, **more):
        super().__init__(*ROOT, *args, **more)
        if not self.serves:
            told = self.text(self.err)
            self.__exit__()
            raise AssertionError(f"it does not serve: {told}")

    def port(self):
        with open(self.ports) as f:
            return int(f.readline().split()[-1])

    def dial(self):
        s = socket.create_connection(("127.0.0.1", self.port()))
        s.settimeout(PATIENCE_S)
        return s

    def proc(self, name):
        with open(f"/proc/{self.pid}/{name}") as f:
            return f.read()


def dial_unix(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(PATIENCE_S)
    s.connect(path)
    return s


def ask(s, request, end=b"\r\n"):
    s.sendall(request)
    got = b""
    while not got.endswith(end):
        part = s.recv(65536)
        if not part:
            break
        got += part
    return got


def ends(*args):
    """Runs what must not come to serve: its status, what it printed, what it complained of."""
    with Process(*args) as p:
        assert not p.serves, f"{args}: it serves"
        return p.p.wait(PATIENCE_S), p.text(p.out), p.text(p.err)


def refused(*args):
    status, _, err = ends(*ROOT, *LOCAL, *args)
    assert status == 64 and err, (status, err)


# ------------------------------------------------------------------ connections


@case("port")
def port():
    with Server("-p", "-1", "-l", "127.0.0.1") as s:  # any free one
        assert s.port() != 11211
        assert ask(s.dial(), b"mn\r\n") == b"MN\r\n"


@case("listen")
def listen():
    with Server("-p", "-1", "-l", "127.0.0.1") as s:
        assert ask(s.dial(), b"mn\r\n") == b"MN\r\n"
        try:
            socket.create_connection(("127.0.0.2", s.port())).close()
        except ConnectionRefusedError:
            return
        raise AssertionError("it listens on other addresses too")


@case("unix-socket")
def unix_socket():
    with tempfile.TemporaryDirectory() as d, Server("-s", os.path.join(d, "sock")):
        assert ask(dial_unix(os.path.join(d, "sock")), b"mn\r\n") == b"MN\r\n"


@case("unix-mask")
def unix_mask():
    with tempfile.TemporaryDirectory() as d, Server("-s", os.path.join(d, "sock"), "-a", "772"):
        assert stat.S_IMODE(os.stat(os.path.join(d, "sock")).st_mode) == 0o772


@case("conn-limit")
def conn_limit():
    with Server(*LOCAL, "-c", "2") as s:
        two = [s.dial(), s.dial()]
        assert [ask(c, b"mn\r\n") for c in two] == [b"MN\r\n"] * 2
        third = s.dial()
        third.settimeout(15)
        assert ask(third, b"") == b"ERROR Too many open connections\r\n"


@case("maxconns_fast")
def maxconns_fast():
    with Server(*LOCAL, "-c", "1", "-o", "no_maxconns_fast") as s:
        first, second = s.dial(), s.dial()
        while all(counter + b" 0\r\n" in ask(first, b"stats\r\n", b"END\r\n")
                  for counter in (b"listen_disabled_num", b"rejected_connections")):
            pass  # the limit has not shown yet: the second would be let in for the first, whatever the option says
        second.sendall(b"mn\r\n")
        first.close()
        assert second.recv(100) == b"MN\r\n"  # instead of an error


@case("listen-backlog")
def listen_backlog():
    with tempfile.TemporaryDirectory() as d, Server("-s", os.path.join(d, "sock"), "-b", "3") as s:
        os.kill(s.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, s.pid, os.WSTOPPED | os.WNOWAIT)
        waiting = []
        try:
            for _ in range(20):  # nobody accepts: the kernel lets 3 and one more wait
                c = socket.socket(socket.AF_UNIX)
                c.setblocking(False)
                waiting.append(c)
                c.connect(os.path.join(d, "sock"))
            raise AssertionError("20 wait")
        except BlockingIOError:
            pass
        finally:
            os.kill(s.pid, signal.SIGCONT)
        assert len(waiting) - 1 == 4, len(waiting)


@case("threads")
def threads():
    counts = []
    for n in ("2", "5"):
        with Server(*LOCAL, "-t", n) as s:
            counts.append(len(os.listdir(f"/proc/{s.pid}/task")))
    assert counts[1] - counts[0] == 3, counts


# ------------------------------------------------------------------ HTTP


def http_port(s):
    with open(s.ports) as f:
        return int(next(line for line in f if line.startswith("HTTP ")).split()[-1])


def web(s, path, wrap=lambda sock: sock, host="localhost"):
    """The status that an HTTP client is answered with."""
    with wrap(socket.create_connection(("127.0.0.1", http_port(s)))) as c:
        c.settimeout(PATIENCE_S)
        return int(ask(c, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), b"\n").split()[1])


@case("http")
def http():
    with Server(*LOCAL, "--http", "127.0.0.1:0,127.0.0.2:0") as s:
        assert web(s, "/healthz") == 200 and web(s, "/metrics") == 200 and web(s, "/x") == 404
        with open(s.ports) as f:
            assert [line.split(":")[0] for line in f] == ["TCP INET", "HTTP INET", "HTTP INET"]
    with Secure(more=["--http", "127.0.0.1:0"]) as s:
        assert web(s, "/readyz", s.context().wrap_socket) == 200
    with Secure(more=["--http", "notls:127.0.0.1:0"]) as s:
        assert web(s, "/readyz") == 200
    refused("--http", "[::1")
    refused("--http", "mtls:127.0.0.1:0")
    refused("--http", "127.0.0.1:http")


@case("http-host")
def http_host():
    with Server(*LOCAL, "--http", "127.0.0.1:0", "--http-host", "a.example,b.example") as s:
        assert web(s, "/metrics", host="b.example:8211") == 200
        assert web(s, "/metrics", host="c.example") == 403
    refused("--http-host", "a.example")


# ------------------------------------------------------------------ TLS

class Secure(Server):
    """A daemon that serves TLS. files: what each of KEY, CERTIFICATE, .. is called; options may name them by {dir}."""

    def __init__(self, *options, chain=KEY + CERTIFICATE, more=()):
        self.files = tempfile.TemporaryDirectory()
        der = base64.b64decode("".join(KEY.splitlines()[1:-1]))
        for name, data in (("chain", chain.encode()), ("key", KEY.encode()), ("der", der), ("both", (KEY + CERTIFICATE).encode())):
            with open(self.file(name), "wb") as f:
                f.write(data)
        words = ["ssl_chain_cert=" + self.file("chain")] + [o.format(dir=self.files.name) for o in options]
        super().__init__("-Z", "-o", ",".join(words), *LOCAL, *more)

    def file(self, name):
        return os.path.join(self.files.name, name)

    def context(self):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.check_hostname = False
        c.verify_mode = ssl.CERT_NONE
        return c

    def answer(self, context=None, **more):
        """What it says over TLS; "" when it does not let us in."""
        try:
            with (context or self.context()).wrap_socket(self.dial(), **more) as s:
                return ask(s, b"mn\r\n")
        except (ssl.SSLError, ConnectionError):
            return b""


@case("enable-ssl")
@case("ssl_chain_cert")
def tls():
    with Secure() as s:
        assert s.answer() == b"MN\r\n"


@case("ssl_key")
def ssl_key():
    with Secure("ssl_key={dir}/key", chain=CERTIFICATE) as s:
        assert s.answer() == b"MN\r\n"


@case("ssl_keyformat")
def ssl_keyformat():
    with Secure("ssl_key={dir}/der,ssl_keyformat=DER", chain=CERTIFICATE) as s:
        assert s.answer() == b"MN\r\n"


@case("ssl_verify_mode")
def ssl_verify_mode():
    with Secure("ssl_verify_mode=2,ssl_ca_cert={dir}/both") as s:
        assert s.answer() == b""


@case("ssl_ca_cert")
def ssl_ca_cert():
    with Secure("ssl_verify_mode=2,ssl_ca_cert={dir}/both") as s:
        known = s.context()
        known.load_cert_chain(s.file("both"))
        assert s.answer(known) == b"MN\r\n"


@case("ssl_ciphers")
def ssl_ciphers():
    with Secure("ssl_ciphers=ECDHE-ECDSA-AES128-GCM-SHA256") as s:
        for cipher, answer in (("ECDHE-ECDSA-AES128-GCM-SHA256", b"MN\r\n"), ("ECDHE-ECDSA-AES256-GCM-SHA384", b"")):
            c = s.context()
            c.maximum_version = ssl.TLSVersion.TLSv1_2
            c.set_ciphers(cipher)
            assert s.answer(c) == answer, cipher


@case("ssl_min_version")
def ssl_min_version():
    with Secure("ssl_min_version=3") as s:
        c = s.context()
        c.maximum_version = ssl.TLSVersion.TLSv1_2
        assert s.answer() == b"MN\r\n" and s.answer(c) == b""


@case("ssl_session_cache")
def ssl_session_cache():
    with Secure("ssl_session_cache") as s:
        c = s.context()
        c.maximum_version = ssl.TLSVersion.TLSv1_2
        c.options |= ssl.OP_NO_TICKET  # only what the server has kept helps then
        with c.wrap_socket(s.dial()) as one:
            ask(one, b"mn\r\n")
            session = one.session
            one.settimeout(PATIENCE_S)
            one.sendall(b"quit\r\n")
            one.unwrap()
        with c.wrap_socket(s.dial(), session=session) as two:
            assert ask(two, b"mn\r\n") == b"MN\r\n" and two.session_reused


@case("ssl_wbuf_size")
def ssl_wbuf_size():
    with Secure("ssl_wbuf_size=2") as s:
        raw, arriving, leaving = s.dial(), ssl.MemoryBIO(), ssl.MemoryBIO()
        tls, wire = s.context().wrap_bio(arriving, leaving), b""

        def until_done(step):
            nonlocal wire
            while True:
                try:
                    done = step()
                except ssl.SSLWantReadError:
                    done = None
                raw.sendall(leaving.read())
                if done is not None:
                    return done
                part = raw.recv(65536)
                assert part
                wire += part
                arriving.write(part)

        until_done(lambda: tls.do_handshake() or True)
        tls.write(b"set k 0 0 20000\r\n" + b"x" * 20000 + b"\r\nget k\r\n")
        got = b""
        while not got.endswith(b"END\r\n"):
            got += until_done(lambda: tls.read(65536))
        sizes, at = [], 0
        while at < len(wire):
            length = int.from_bytes(wire[at + 3:at + 5], "big")
            sizes.append(length)
            at += 5 + length
        assert len(got) > 20000 and max(sizes) < 2048 + 256, sizes


# ------------------------------------------------------------------ the store and the process


@case("enable-largepages")
def enable_largepages():
    if not os.path.exists("/sys/kernel/mm/transparent_hugepage"):
        raise Skipped("this kernel has no huge pages")
    with Server(*LOCAL, "-L") as s:
        assert re.search(r"^VmFlags:.* hg\b", s.proc("smaps"), re.M)


@case("erase")
def erase():
    with Server(*LOCAL) as s:
        c = s.dial()
        assert ask(c, b"ms a 100 Gt\r\n" + b"x" * 100 + b"\r\n") == b"HD\r\n"
        assert ask(c, b"mp t c\r\n").startswith(b"HD c1 b")
        without = int(re.search(rb"erased_bytes (\d+)", ask(c, b"stats purge\r\n", b"END\r\n")).group(1))
    with Server(*LOCAL, "--erase") as s:
        c = s.dial()
        assert ask(c, b"ms a 100 Gt\r\n" + b"x" * 100 + b"\r\n") == b"HD\r\n"
        assert ask(c, b"mp t c\r\n").startswith(b"HD c1 b")
        assert without == 0
        assert int(re.search(rb"erased_bytes (\d+)", ask(c, b"stats purge\r\n", b"END\r\n")).group(1)) > 100


@case("daemon")
def daemon():
    with tempfile.TemporaryDirectory() as d:
        # Its end, with status 0, and the word that it serves come in any order.
        with Process(*ROOT, "-d", "-P", os.path.join(d, "pid"), "-s", os.path.join(d, "sock")) as s:
            c = dial_unix(os.path.join(d, "sock"))
            assert ask(c, b"mn\r\n") == b"MN\r\n"
            with open(os.path.join(d, "pid")) as f:
                other = int(f.read())
            assert other != s.pid and s.p.wait(PATIENCE_S) == 0
            ending.end_by_pid(other, c, PATIENCE_S)
            while os.path.exists(os.path.join(d, "pid")):  # removed at the end
                os.sched_yield()


@case("pidfile")
def pidfile():
    with tempfile.TemporaryDirectory() as d, Server(*LOCAL, "-P", os.path.join(d, "pid")) as s:
        with open(os.path.join(d, "pid")) as f:
            assert int(f.read()) == s.pid


@case("user")
def user():
    if os.geteuid() != 0:
        raise Skipped("only root becomes somebody else")
    with Process("-u", "nobody", *LOCAL) as p:
        assert p.serves
        with open(f"/proc/{p.pid}/status") as f:
            uids = re.search(r"^Uid:\s+(\d+)\s+(\d+)", f.read(), re.M).groups()
        assert "0" not in uids, uids


@case("enable-coredumps")
def enable_coredumps():
    def few():
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0 and os.geteuid() != 0:
        raise Skipped("the limit cannot be raised here")
    with Server(*LOCAL, "-r", preexec_fn=few) as s:
        soft = re.search(r"^Max core file size +(\S+)", s.proc("limits"), re.M).group(1)
        assert soft != "0"


@case("lock-memory")
def lock_memory():
    with Server(*LOCAL, "-k") as s:
        terabytes = int(re.search(r"^VmSize:\s+(\d+)", s.proc("status"), re.M).group(1)) >> 30 # a sanitizer's shadow memory
        if terabytes or re.search(r"lib(asan|tsan|ubsan)", s.proc("maps")):
            raise Skipped("sanitizers lock no memory")
        locked = int(re.search(r"^VmLck:\s+(\d+)", s.proc("status"), re.M).group(1))
        ending.end(s.p, PATIENCE_S)
        assert locked > 0 or "mlockall failed" in s.text(s.err)


@case("verbose")
def verbose():
    with Server(*LOCAL, "-vv") as s:
        assert ask(s.dial(), b"mn\r\n") == b"MN\r\n"
        ending.end(s.p, PATIENCE_S)  # another thread writes the log: all of it is there at the end
        told = s.text(s.err)
        assert "conn_new" in told and 'line="mn"' in told, told


@case("config")
def config():
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "conf"), "w") as f:
            f.write("# no flush_all\n-F\n")
        with Server(*LOCAL, "--config", os.path.join(d, "conf")) as s:
            assert ask(s.dial(), b"flush_all\r\n") == b"CLIENT_ERROR flush_all not allowed\r\n"


@case("drain-seconds")
def drain_seconds():
    with Server(*LOCAL, "--drain-seconds=0") as s:
        c = s.dial()
        c.sendall(b"mn\r\nset a 0 0 5\r\nhe")  # a request that does not end
        assert c.recv(100) == b"MN\r\n"
        s.p.send_signal(signal.SIGUSR1)
        assert s.p.wait(5) == 0  # not after ten seconds
        assert "drain_timeout" in s.text(s.err)


@case("help")
def help_():
    status, out, _ = ends("-h", *ROOT, *LOCAL)
    assert status == 0 and "--memory-limit" in out


@case("version")
def version():
    status, out, _ = ends("-V", *ROOT, *LOCAL)
    assert status == 0 and out.startswith("tagcached ") and out.count("\n") == 1


@case("license")
def license_():
    status, out, _ = ends("-i", *ROOT, *LOCAL)
    assert status == 0 and "BSD-3-Clause" in out


@case("man-options")
def man_options():
    status, out, _ = ends("--man-options", *ROOT, *LOCAL)
    assert status == 0 and out.startswith(".SS ")


# ------------------------------------------------------------------ what is refused


@case("udp-port")
def udp_port():
    refused("-U", "11211")


@case("memory-file")
def memory_file():
    refused("-e", "/tmp/there-is-no-such-file")


@case("ext_*")
def ext():
    refused("-o", "ext_path=/x:1g")


@case("proxy_*")
def proxy():
    refused("-o", "proxy_config=/x")


# ------------------------------------------------------------------


def table():
    """Every option has its row in options.tsv, and what the row names is there."""
    check = [sys.executable, os.path.join(SOURCE, "tools", "check-options"), "--table", BUILD]
    subprocess.run(check, check=True, env={k: v for k, v in os.environ.items() if k != "TAGCACHED_LEAVE_OUT"})


def main():
    wanted = sys.argv[1:] or [*cases, "the table"]
    failed = skipped = 0
    for name in wanted:
        try:
            (table if name == "the table" else cases[name])()
            print(f"[       OK ] {name}")
        except Skipped as e:
            skipped += 1
            print(f"[  SKIPPED ] {name}: {e}")
        except Exception as e:  # each case is a test of its own
            failed += 1
            print(f"[  FAILED  ] {name}: {type(e).__name__}: {e}")
    return 1 if failed else 77 if skipped == len(wanted) else 0


if __name__ == "__main__":
    sys.exit(main())
