#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The process: exit codes, signals, files it writes, what a service manager hands it and is told."""
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile

from tls_files import CERTIFICATE, KEY

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import ending  # noqa: E402

PROGRAM = os.path.join(os.environ.get("TAGCACHED_BUILDDIR", "."), "tagcached")
ROOT = ["-u", "root"] if os.geteuid() == 0 else []
failures = []


def check(what, condition, note=""):
    if not condition:
        failures.append(what)
        print(f"FAIL {what} {note}")


def run(*args, **more):
    """Runs it to its end: status, output, error output."""
    p = subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=60, **more)
    return p.returncode, p.stdout, p.stderr


class Server:
    """A server on a free port. Its port file says when it is ready; systemd's way to wait is used for that."""

    def __init__(self, *args, env=None, **more):
        self.dir = tempfile.TemporaryDirectory()
        self.ports = os.path.join(self.dir.name, "ports")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = os.path.join(self.dir.name, "notify")
        self.notify.bind(address)
        self.notify.settimeout(60)
        environment = dict(os.environ, MEMCACHED_PORT_FILENAME=self.ports, NOTIFY_SOCKET=address, **(env or {}))
        self.p = subprocess.Popen([PROGRAM, *ROOT, *args], stderr=subprocess.PIPE, text=True, env=environment, **more)
        check("READY=1", self.notify.recv(100) == b"READY=1")

    def port(self):
        with open(self.ports) as f:
            return int(f.readline().split()[-1])

    def dial(self):
        s = socket.create_connection(("127.0.0.1", self.port()))
        s.settimeout(60)
        return s

    def end(self, how):
        if how is not None:
            ending.end(self.p, how=how)
        _, err = self.p.communicate(timeout=60)
        self.notify.close()
        self.dir.cleanup()
        return self.p.returncode, err


def ask(s, request):
    s.sendall(request)
    return s.recv(65536)


def end_of(s):
    got = b""
    while part := s.recv(65536):
        got += part
    return got


def exits():
    status, out, _ = run("-V")
    check("-V", status == 0 and out.startswith("tagcached ") and out.count("\n") == 1, out)
    status, out, _ = run("-h")
    check("-h", status == 0 and "--memory-limit" in out)
    check("-i", run("-i")[0] == 0)
    for args, part in [
        (["--nonsense"], "no such option"),
        (["-U", "11211"], "UDP"),
        (["-B", "nonsense"], "binary"),
        (["-S", "-B", "ascii"], "-B ascii"),
        (["-o", "ext_path=/x:1g"], "external storage"),
        (["-Z"], "ssl_chain_cert"),
        (["-I", "40m"], "1/2 of memory"),
    ]:
        status, _, err = run(*args, *ROOT)
        check(f"{args} exits 64", status == 64 and part in err and err.count("\n") == 1, err)
    status, _, err = run("-Z", "-o", "ssl_chain_cert=/does/not/exist", *ROOT)
    check("a missing certificate exits 64", status == 64 and "/does/not/exist: No such file" in err, err)
    status, _, err = run("-p", "0", *ROOT)
    check("nothing to listen on is an error", status == 64 and "-p 0 turns TCP off" in err, err)
    status, _, err = run("-l", "256.256.256.256:1", *ROOT)
    check("an address that is none exits 71", status == 71 and "256.256.256.256" in err, err)
    taken = socket.create_server(("127.0.0.1", 0))
    status, _, err = run("-l", f"127.0.0.1:{taken.getsockname()[1]}", *ROOT)
    check("a port that is taken exits 71", status == 71 and "in use" in err, err)
    if os.geteuid() == 0:
        status, _, err = run("-l", "127.0.0.1:0")
        check("root without -u exits 64", status == 64 and "can't run as root without the -u switch" in err, err)
        status, _, err = run("-l", "127.0.0.1:0", "-u", "no-such-user")
        check("no such user exits 67", status == 67 and "no-such-user" in err, err)


def signals():
    for sig, name in [(signal.SIGTERM, "Terminated"), (signal.SIGINT, "Interrupt")]:
        server = Server("-l", "127.0.0.1:0")
        s = server.dial()
        check("serves", ask(s, b"version\r\n") == b"VERSION 1.6.45\r\n")
        status, err = server.end(sig)
        check(f"{name} exits 0", status == 0 and err == f"Signal handled: {name}.\n", err)
        s.close()
    server = Server("-l", "127.0.0.1:0")
    s, idle = server.dial(), server.dial()
    s.sendall(b"set a 0 0 5\r\nhe")  # a request under way
    check("mn", ask(idle, b"mn\r\n") == b"MN\r\n")
    server.p.send_signal(signal.SIGUSR1)
    check("USR1 closes the idle", end_of(idle) == b"")
    s.sendall(b"llo\r\nget a\r\n")
    check("USR1 lets a request end", end_of(s).startswith(b"STORED\r\n"))
    status, err = server.end(None)
    check("USR1 exits 0", status == 0, err)
    server = Server("-A", "-l", "127.0.0.1:0")
    s = server.dial()
    s.sendall(b"shutdown\r\n")
    check("shutdown exits 0", server.end(None)[0] == 0)
    s.close()


def logs():
    server = Server("-vv", "-l", "127.0.0.1:0")
    s = server.dial()
    check("stores", ask(s, b'set a 0 0 1\r\nx\r\n') == b"STORED\r\n")
    check("answers", ask(s, b'get a q"\r\nmn\r\n').endswith(b"MN\r\n"))
    check("less", ask(s, b"verbosity 1\r\nget b\r\n") == b"OK\r\nEND\r\n")
    check("more", ask(s, b"verbosity 9\r\nget c\r\n") == b"OK\r\nEND\r\n")
    check("a setting", ask(s, b"verbosity 1\r\ncache_memlimit 100\r\n") == b"OK\r\nOK\r\n")
    check("without effect", ask(s, b"verbosity 0\r\nslabs automove 1\r\nslabs automove 0\r\n") == b"OK\r\n" * 3)
    check("dead at birth", ask(s, b"set d 0 5184000 1\r\nx\r\nms d 1 T5184000\r\nx\r\nset d 0 -1 1\r\nx\r\n") ==
          b"STORED\r\nHD\r\nSTORED\r\n")
    s.close()
    status, err = server.end(signal.SIGTERM)
    lines = [line.split("line=")[1] for line in err.splitlines() if line.startswith("command fd=")]
    check("-vv logs commands", status == 0 and lines == [
        '"set a 0 0 1"', '"get a"', '"get q\\x22"', '"mn"', '"verbosity 1"', '"get c"', '"verbosity 1"'], err)
    check("-v logs what was set", err.count("memlimit ") == 1, err)
    check("what has no effect is told once, to whom it concerns", err.count("no_effect command=slabs ") == 1, err)
    check("the first item that was dead at birth is told, and what may have been meant",
          err.count("expired_at_birth exptime=5184000 ") == 1 and err.count("expired_at_birth exptime") == 1 and
          "relative_ttl_max" in err, err)
    check("-vv logs connections", "conn_new" in err, err)


def logs_unread():
    """Nobody reads the standard error: no client waits for that."""
    server = Server("-t", "1", "-l", "127.0.0.1:0")
    one, other = server.dial(), server.dial()
    check("verbosity", ask(one, b"verbosity 2\r\n") == b"OK\r\n")
    for _ in range(3000):  # 300 KB of log; a pipe takes 64
        if ask(one, b"get " + b"k" * 80 + b"\r\n") != b"END\r\n":
            check("all are answered", False)
            break
    check("others, too", ask(other, b"version\r\n").startswith(b"VERSION "))
    status, err = server.end(signal.SIGTERM)
    commands = err.count("\ncommand fd=")
    check("the log begins as usual, and ends", status == 0 and 100 < commands < 3000, f"status {status}, {commands} commands")


def without_standard_descriptors():
    """Whoever starts it may have closed some: what is opened later must not get their numbers."""
    for closed in ((0, 1, 2), (2,), (0,)):
        server = Server("-vv", "-l", "127.0.0.1:0", preexec_fn=lambda: [os.close(fd) for fd in closed])
        s = server.dial()
        check("it serves", ask(s, b"get a\r\n") == b"END\r\n")
        names = [os.readlink(f"/proc/{server.p.pid}/fd/{fd}") for fd in closed]
        check("they are nobody's", names == ["/dev/null"] * len(closed), f"{closed}: {names}")
        check("it ends", server.end(signal.SIGTERM)[0] == 0)


def logs_packets():
    """Packets are logged as the text commands that mean the same; what a login brings is not."""

    def packet(opcode, key=b"", extras=b"", value=b""):
        body = extras + key + value
        return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(body), 0, 0) + body

    server = Server("-vv", "-l", "127.0.0.1:0")
    s = server.dial()
    s.sendall(packet(0x11, b"a b", struct.pack(">II", 7, 100), b"xyz") + packet(0x09, b"none") + packet(0x14, b"a b") +
              packet(0x10, b"items") + packet(0x21, b"PLAIN", value=b"\0ann\0secret") + packet(0x40, b"k") + packet(0x07))
    end_of(s)
    status, err = server.end(signal.SIGTERM)
    lines = [line.split("line=")[1] for line in err.splitlines() if line.startswith("command fd=")]
    check("-vv logs packets", status == 0 and lines == [
        '"set a b 7 100 3"', '"get none"', '"delete a b"', '"stats items"', '"sasl PLAIN"', '"unknown"', '"quit"'], err)
    check("no password", "secret" not in err, err)


def version_6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        print("this machine has no IPv6")
        return
    server = Server("-l", "[::1]:0")
    s = socket.create_connection(("::1", server.port()))
    check("serves over IPv6", ask(s, b"mn\r\n") == b"MN\r\n")
    conns = ask(s, b"stats conns\r\n")
    check("an IPv6 peer is shown", b"tcp6:[::1]:" in conns, conns)
    s.close()
    check("exit", server.end(signal.SIGTERM)[0] == 0)


def reload():
    with tempfile.TemporaryDirectory() as d:
        users = os.path.join(d, "users")
        with open(users, "w") as f:
            f.write("me:one\n")
        server = Server("-Y", users, "-l", "127.0.0.1:0")
        s = server.dial()
        check("password", ask(s, b"set x 0 0 6\r\nme one\r\n") == b"STORED\r\n")
        with open(users, "w") as f:
            f.write("me:two\n")
        server.p.send_signal(signal.SIGHUP)
        check("RELOADING=1", server.notify.recv(100).startswith(b"RELOADING=1"))
        check("READY=1 again", server.notify.recv(100) == b"READY=1")
        t = server.dial()
        check("new password", ask(t, b"set x 0 0 6\r\nme two\r\n") == b"STORED\r\n")
        s.close()
        t.close()
        check("exit after a reload", server.end(signal.SIGTERM)[0] == 0)


def files():
    with tempfile.TemporaryDirectory() as d:
        pid, conf = os.path.join(d, "pid"), os.path.join(d, "conf")
        with open(conf, "w") as f:
            f.write("# a comment\n-m 100\n-d\nconn-limit 99\n-l 127.0.0.1:0\n")
        server = Server("--config", conf, "-P", pid, "-o", "modern")
        with open(pid) as f:
            check("pid file", int(f.read()) == server.p.pid)
        s = server.dial()
        settings = ask(s, b"stats settings\r\n")
        check("config", b"maxbytes 104857600\r\n" in settings and b"maxconns 99\r\n" in settings)
        s.close()
        status, err = server.end(signal.SIGTERM)
        check("one warning", status == 0 and err.count("warning") == 1 and "modern" in err, err)
        check("the pid file stays without -d", os.path.exists(pid))
        os.unlink(pid)
        ports = os.path.join(d, "ports")
        path = os.path.join(d, "sock")
        status, _, err = run("-d", "-P", pid, "-s", path, *ROOT, env=dict(os.environ, MEMCACHED_PORT_FILENAME=ports))
        check("-d returns once it serves", status == 0 and os.path.exists(pid), err)
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        check("-d serves", ask(s, b"mn\r\n") == b"MN\r\n")
        with open(pid) as f:
            ending.end_by_pid(int(f.read()), s)
        while os.path.exists(pid):  # removed at the end
            os.sched_yield()
        check("the socket file is removed", not os.path.exists(path))
        status, _, err = run("-d", "-s", "/does/not/exist/sock", *ROOT)
        check("-d tells of a failure", status == 71, err)


def activation():
    listening = socket.create_server(("127.0.0.1", 0))
    # LISTEN_PID must name the process itself, so a shell sets it before it becomes the server.
    with tempfile.TemporaryDirectory() as d:
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(os.path.join(d, "n"))
        notify.settimeout(60)
        p = subprocess.Popen(
            ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", PROGRAM, *ROOT],
            env=dict(os.environ, LISTEN_FDS="1", NOTIFY_SOCKET=os.path.join(d, "n")),
            pass_fds=[3], preexec_fn=lambda: os.dup2(listening.fileno(), 3), stderr=subprocess.DEVNULL)
        check("ready", notify.recv(100) == b"READY=1")
        s = socket.create_connection(listening.getsockname())
        s.settimeout(60)
        check("socket activation", ask(s, b"mn\r\n") == b"MN\r\n")
        p.send_signal(signal.SIGTERM)
        check("STOPPING=1", notify.recv(100) == b"STOPPING=1")
        check("exits 0", p.wait(timeout=60) == 0)
        notify.close()
        s.close()


def dial_tls(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(server.dial())


def stats_of(s):
    s.sendall(b"stats\r\n")
    text = b""
    while not text.endswith(b"END\r\n"):
        text += s.recv(65536)
    return text


def tls():
    with tempfile.TemporaryDirectory() as d:
        pem = os.path.join(d, "pem")
        with open(pem, "w") as f:
            f.write(KEY + CERTIFICATE)
        options = ["-Z", "-o", "ssl_chain_cert=" + pem, "-l"]
        server = Server(*options, "127.0.0.1:0")
        with dial_tls(server) as s:
            text = stats_of(s)
            check("no new sessions without a session cache", b"ssl_new_sessions" not in text, text)
            check("errors", b"\r\nSTAT ssl_handshake_errors 0\r\nSTAT ssl_proto_errors 0\r\n" in text, text)
        status, err = server.end(signal.SIGTERM)
        check("nothing to say of CA certificates", status == 0 and "tls_no_ca" not in err, err)
        # Everything that `stats` may show, with counters of 13 digits: what collectd reads, and room to spare.
        server = Server("-o", "ssl_session_cache,idle_timeout=100", *options, "127.0.0.1:0")
        with dial_tls(server) as s:
            text = stats_of(s)
            check("new sessions", b"\r\nSTAT ssl_new_sessions 1\r\n" in text, text)
            lines = [line.split(b" ", 2) for line in text.split(b"\r\n")[:-2]]
            size = sum(len(b"STAT  \r\n") + len(name) + max(len(value), 13) for _, name, value in lines)
            check("stats stays short", size + len(b"END\r\n") < 3800, size)
        server.end(signal.SIGTERM)
        # mtls: without CA certificates: it starts, says so, and lets nobody in.
        server = Server(*options, "mtls:127.0.0.1:0")
        try:
            with dial_tls(server) as s:
                s.sendall(b"version\r\n")
                check("nobody is let in", s.recv(100) == b"")
        except (ssl.SSLError, ConnectionError):
            pass
        status, err = server.end(signal.SIGTERM)
        check("mtls without a CA", status == 0 and "tls_no_ca" in err, err)


for test in (tls, exits, signals, logs, logs_unread, without_standard_descriptors, logs_packets, version_6, reload, files, activation):
    test()
    print(test.__name__)
sys.exit(1 if failures else 0)
