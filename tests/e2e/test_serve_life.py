#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The life of `wherry serve`: how it ends, how it takes new programs while it serves, which sockets
and threads it has, which program answers what, that instances are fresh, and what is written of each
request.

FULL=1 asks for fresh instances a million times."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from serve_client import (  # noqa: E402
    BOX, CGI, IS_FULL, PATIENCE_S, PROBE, PROBE3, WHERRY, Cut, Http, Server, chunk, example, get,
    head, load, load_end, load_start, output, run, tap, threads, wait_until)
from slow_module import slow_module  # noqa: E402
from worker_client import children, has_ended  # noqa: E402


def is_refused(address):
    try:
        socket.create_connection(address, timeout=5).close()
        return False
    except ConnectionRefusedError:
        return True


# ---- The end ---------------------------------------------------------------------------------


def drain():
    for number in (signal.SIGTERM, signal.SIGINT):
        with Server(PROBE) as server, Http(server) as busy, Http(server) as idle, \
                Http(server) as upload:
            idle.get("/hello")
            upload.send(head("POST", "/echo", "Transfer-Encoding: chunked") + chunk(b"one "))
            begun = upload.begin()
            upload.next_chunk(begun)
            busy.send(head("GET", "/sleep?1000"))
            server.wait_metric("wherry_http_instances", 2)
            server.signal(number)
            tap.ok(f"{number.name}: an idle connection is closed", idle.is_closed())
            tap.ok(f"{number.name}: new connections are refused",
                   wait_until(lambda: is_refused(server.address), "nobody listens") is None)
            a = busy.answer()
            tap.equal(f"{number.name}: a request in flight is answered, and closed",
                      (a.status, a.body, busy.is_closed()), (200, b"slept\n", True))
            upload.send(chunk(b"two") + b"0\r\n\r\n")
            tap.equal(f"{number.name}: and one whose body is still coming",
                      upload.rest(begun).body, b"one two")
            tap.equal(f"{number.name}: then it ends with 0", server.process.wait(60), 0)

    with Server("--drain-timeout", "500ms", PROBE) as server, Http(server) as h:
        h.send(head("GET", "/sleep?60000"))
        server.wait_metric("wherry_http_instances", 1)
        start = time.monotonic()
        status = server.stop()
        took = time.monotonic() - start
        tap.ok("--drain-timeout: a request that does not end is dropped, status 0",
               status == 0 and 0.4 < took < 5, (status, took))
        try:
            h.answer()
            tap.ok("--drain-timeout: its client is not left waiting", False)
        except Cut:
            tap.ok("--drain-timeout: its client is not left waiting", True)
        tap.ok("--drain-timeout: the log says so", "drain" in server.log(), server.log())

    for path in ("/sleep?60000", "/loop"):
        with Server(PROBE) as server, Http(server) as h, Http(server) as idle:
            h.send(head("GET", path))
            idle.get("/hello")
            server.signal(signal.SIGTERM)
            idle.is_closed()  # it drains
            start = time.monotonic()
            status = server.stop()
            tap.ok(f"a second SIGTERM ends it at once during {path}",
                   status == 0 and time.monotonic() - start < 3, status)

    with Server(PROBE, start_new_session=True) as server, Http(server) as h:
        h.send(head("GET", "/sleep?60000"))
        server.wait_metric("wherry_http_instances", 1)
        server.process.kill()
        server.process.wait()
        left = subprocess.run(["ps", "-o", "pid=", "-s", str(server.pid)], capture_output=True)
        tap.equal("kill -9 leaves no process", left.stdout.split(), [])
        tap.ok("kill -9 leaves nobody at the port", is_refused(server.address))
        with Server(PROBE, listen=(f"127.0.0.1:{server.port}",)) as next_one:
            tap.equal("kill -9: the next server has the port", get(next_one, "/hello").status, 200)


def start_failures():
    with Server(PROBE) as server:
        for what, status, said, argv in (
                ("a port that is taken", 125, "another program listens there",
                 ("--listen", f"127.0.0.1:{server.port}", PROBE)),
                ("a file that is not there", 127, "/no/such.wasm", ("/no/such.wasm",)),
                ("a file that is no program", 126, "test_serve_life.py", (__file__,)),
                ("no file", 125, "FILE", ())):
            with Server(*argv, listen=(), is_awaited=False) as other:
                ended = other.process.wait(60)
                tap.ok(f"{what}: {status}, and it is said", ended == status and said in other.log(),
                       (ended, other.log()))


# ---- Another program -------------------------------------------------------------------------


def program_put(source, path):
    shutil.copy(source, path + ".new")
    os.rename(path + ".new", path)


def switches():
    versions = [(PROBE, b"hello\n"), (example("http-c"), b"Hello from C!\n")]
    path = os.path.join(BOX, "switched.wasm")
    program_put(PROBE, path)
    with Server(path) as server:
        steady = load_start(server, "/hello", 8, "--rate", "1000", "--duration", "10m")
        seen = []
        with Http(server) as kept, Http(server) as slow:
            for i in range(20):
                if i == 10:
                    slow.send(head("GET", "/sleep?1500"))  # PROBE's, and begun with it
                    server.record("/hello")
                program_put(versions[(i + 1) % 2][0], path)
                server.reload()
                seen.append((bytes(get(server, "/hello").body), bytes(kept.get("/hello").body)))
                after = server.metric("wherry_http_requests_total") + 200
                wait_until(lambda: server.metric("wherry_http_requests_total") >= after,
                           "the load goes on")
            a = slow.answer()
        wanted = [(versions[(i + 1) % 2][1],) * 2 for i in range(20)]
        tap.equal("20 times SIGHUP: the next request has the new program", seen, wanted)
        tap.equal("a request that runs goes on with the old one", (a.status, a.body),
                  (200, b"slept\n"))

        # What cannot be served changes nothing.
        for what, spoil in (("no WebAssembly", lambda: program_put(__file__, path)),
                            ("no HTTP", lambda: program_put(
                                os.path.join(os.path.dirname(path), "nop"), path)),
                            ("nothing", lambda: os.unlink(path))):
            with open(os.path.join(os.path.dirname(path), "nop"), "wb") as f:
                f.write(b"\0asm\1\0\0\0")
            said = server.log().count("the program from before goes on")
            spoil()
            server.reload()
            tap.ok(f"a new file with {what}: the log says so, the program from before goes on",
                   server.log().count("the program from before goes on") == said + 1 and
                   get(server, "/hello").body == wanted[-1][0], server.log())
        program_put(versions[1][0], path)
        server.reload()
        tap.equal("and the next good one is taken", get(server, "/hello").body, versions[1][1])
        report = load_end(steady, is_stopped=True)
        tap.ok(f"no request of a steady load was lost ({report['requests']})",
               report["failures"] == 0 and report["requests"] > 3500, report)


def uncompiled(path):
    """Puts a CGI program there that no cache has, and that takes seconds to compile."""
    slow_module(path + ".new", 400000)
    with open(path + ".new", "ab") as f:
        f.write(b"\0\x11\0" + os.urandom(16))  # a custom section
    os.rename(path + ".new", path)


def compiler(server):
    """The process that compiles for it, once it does."""
    wait_until(lambda: children(server.pid), "the program is compiled")
    return children(server.pid)[0]


def is_gone(pid):
    wait_until(lambda: has_ended(pid), f"process {pid} is gone")
    return True


def compiling():
    path = os.path.join(BOX, "compiled.wasm")
    uncompiled(path)
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        with Server(path, is_awaited=False) as server:
            pid = compiler(server)
            server.signal(number)
            tap.equal(f"{signal.Signals(number).name} ends a start that compiles, and the compiler",
                      (server.process.wait(PATIENCE_S), is_gone(pid)), (status, True))

    program_put(PROBE, path)
    with Server(path) as server:
        uncompiled(path)
        server.signal(signal.SIGHUP)
        compiler(server)
        tap.equal("requests are answered while a new program is compiled",
                  get(server, "/hello").body, b"hello\n")
        program_put(example("http-c"), path)
        server.signal(signal.SIGHUP)
        wait_until(lambda: server.log().count(": reloaded ") == 2, "both reloads are done")
        tap.equal("SIGHUP while a program is compiled: it is read once more",
                  get(server, "/hello").body, b"Hello from C!\n")
        uncompiled(path)
        server.signal(signal.SIGHUP)
        pid = compiler(server)
        tap.equal("SIGTERM does not wait for a reload, which is given up",
                  (server.stop(), server.log().count(": reloaded "), is_gone(pid)),
                  (0, 2, True))


# ---- Sockets, threads, routes ----------------------------------------------------------------


def socket_activation():
    launcher = ("import os, sys\nos.dup2(int(sys.argv[1]), 3)\n"
                "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
                "os.execv(sys.argv[2], sys.argv[2:])\n")
    for family, address in ((socket.AF_INET, ("127.0.0.1", 0)),
                            (socket.AF_UNIX, os.path.join(BOX, "passed.sock"))):
        with socket.socket(family) as s:
            s.bind(address)
            s.listen()
            to = s.getsockname()
            # As systemd does it: the first client is there before the server is.
            with Http(to) as first:
                first.send(head("GET", "/hello"))
                with Server(PROBE, listen=(), pass_fds=(s.fileno(),), command=(
                        sys.executable, "-c", launcher, str(s.fileno()), WHERRY, "serve")) as server:
                    tap.equal(f"socket activation, {family.name}: who came before is answered",
                              (first.answer().status, get(to, "/hello").status), (200, 200))
                    tap.equal(f"socket activation, {family.name}: it stops", server.stop(), 0)


def all_threads():
    counted = {}
    for n in (1, 3):
        with Server("--threads", n, PROBE) as server:
            report = load(server, "/hello", 16, 2000, "--expect-body", "hello\n")
            tap.equal(f"--threads {n} serves", report["failures"], 0)
            counted[n] = threads(server.pid)
            with Http(server) as h:
                h.send(head("GET", "/loop"))
                server.wait_metric("wherry_http_instances", 1)
                tap.equal(f"--threads {n}: a guest that computes holds nobody up",
                          [get(server, "/hello").status for _ in range(20)], [200] * 20)
    tap.equal("as many threads as wanted", counted[3] - counted[1], 2)


def routes():
    hello, p3 = example("http-c"), PROBE3
    with Server("--route", f"/api={CGI}", "--route", f"/api/deep={p3}",
                "--host", f"one.test={hello}", "--host", f"two.test/api={hello}", PROBE) as server:
        for n, (path, host, wanted) in enumerate((
                ("/", "localhost", "probe.wasm"), ("/apiary", "localhost", "probe.wasm"),
                ("/api", "localhost", "cgi.wasm"), ("/api/x", "localhost", "cgi.wasm"),
                ("/api/deep", "localhost", "probe3.wasm"),
                ("/api/deep/x", "localhost", "probe3.wasm"),
                ("/api/deeper", "localhost", "cgi.wasm"), ("/", "one.test", "hello.component.wasm"),
                ("/", "ONE.test:1234", "hello.component.wasm"),
                ("/api", "one.test", "cgi.wasm"),  # the longest path wins
                ("/api", "two.test", "hello.component.wasm"), ("/", "two.test", "probe.wasm"),
                ("/api", "other.test", "cgi.wasm"))):
            get(server, f"{path}?{n}", host=host)
            who = server.record(f"{path}?{n}")["service"]
            tap.equal(f"{host}{path} is answered by {wanted}", who, wanted)
        a = get(server, "/api/env?x=1")
        tap.ok("a CGI program is told what led to it",
               b"SCRIPT_NAME=/api\n" in a.body and b"PATH_INFO=/env\n" in a.body and
               b"QUERY_STRING=x=1\n" in a.body, a.body)


# ---- Instances -------------------------------------------------------------------------------


def fresh():
    n = 1000000 if IS_FULL else 20000
    for kind, guest in (("WASI 0.2", PROBE), ("WASI 0.3", PROBE3)):
        with Server(guest) as server:
            count = n if guest == PROBE else n // 10
            report = load(server, "/counter", 32, count, "--expect-body", "1\n")
            tap.ok(f"{kind}: each of {count} instances is fresh",
                   report["failures"] == 0 and report["requests"] == count, report)
    with Server("--threads", "2", PROBE) as server:
        tap.ok("secrets can be found", int(get(server, "/secret-both?x").body) > 0)
        planting = load_start(server, "/secret-plant?of-another", 4, "--duration", "10m",
                              "--expect-body", "planted\n")
        count = n // 100
        report = load(server, "/secret-look", 4, count, "--expect-body", "0\n")
        planted = load_end(planting, is_stopped=True)
        tap.ok(f"none of {count} instances finds what others ({planted['requests']}) left",
               report["failures"] == planted["failures"] == 0 and planted["requests"] > count // 10,
               (report, planted))


def reuse():
    for kind, guest in (("WASI 0.2", PROBE), ("WASI 0.3", PROBE3)):
        with Server("--reuse", "5", "--threads", "1", guest) as server, Http(server) as h:
            tap.equal(f"{kind}: --reuse 5: five requests, then a fresh instance",
                      [int(h.get("/counter").body) for _ in range(12)],
                      [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2])
            h.get("/trap")
            tap.equal(f"{kind}: --reuse: an instance that trapped is gone",
                      int(h.get("/counter").body), 1)
            report = load(server, "/counter", 16, 1000)
            tap.equal(f"{kind}: --reuse under load", report["failures"], 0)


# ---- What is written -------------------------------------------------------------------------

TEXT = re.compile(
    r'127\.0\.0\.1:\d+ - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "(\S+) (\S+) (\S+)" (\d{3}) '
    r'(\d+) "([^"]*)" "([^"]*)" request_id=(\S+) duration_us=\d+ cpu_us=\d+ reason=(\S+)$')


def access_logs():
    n = 3000
    with Server(PROBE) as server:
        load(server, "/hello?json", 16, n)
        wait_until(lambda: len(server.access()) >= n, "every request is in the log")
        records = server.access()
        tap.ok(f"JSON: {n} requests, {n} records with ids of their own",
               len(records) == n == len({r["request_id"] for r in records}) and
               all((r["method"], r["path"], r["status"], r["protocol"], r["body_out_bytes"],
                    r["service"]) == ("GET", "/hello?json", 200, "HTTP/1.1", 6, "probe.wasm")
                   for r in records), len(records))
        tap.equal("the figures agree",
                  (server.metric("wherry_http_requests_total"),
                   server.metric("wherry_http_request_duration_seconds_count"),
                   server.metric("wherry_http_response_bytes_total")), (n, n, 6 * n))
        with Http(server) as h:
            h.get("/hello?odd", 'User-Agent: a "quoted" \\ agent', "Referer: http://x/\xff")
        r = server.record("/hello?odd")
        tap.equal("JSON: what has to be escaped is", r["user_agent"], 'a "quoted" \\ agent')
    with Server(PROBE, access_log="text") as server:
        load(server, "/hello?text", 16, n)

        def lines():
            with open(server.access_path, encoding="utf-8") as f:
                return f.read().splitlines()

        wait_until(lambda: len(lines()) >= n, "every request is in the log")
        found = [TEXT.match(line) for line in lines()]
        tap.ok(f"text: {n} requests, {n} lines of one form",
               len(found) == n and all(found) and
               {m.group(1, 2, 3, 4, 5, 9) for m in found} ==
               {("GET", "/hello?text", "HTTP/1.1", "200", "6", "-")},
               next((x for x, m in zip(lines(), found) if not m), len(found)))
        get(server, "/hello", 'User-Agent: a" 200 1 "b', "Referer: \\\tx")
        wait_until(lambda: len(lines()) > n, "one more")
        match = TEXT.match(lines()[-1])
        tap.equal("text: no header can forge a field",
                  match and match.group(6, 7), ("\\x5C\\x09x", "a\\x22 200 1 \\x22b"))


def completeness():
    with Server(PROBE) as server:
        for version in ("--http1.1", "--http2-prior-knowledge"):
            for path, size in (("nothing", 0), ("sized?0", 0), ("sized?10", 10),
                               ("sized?5000000", 5000000), ("download?5000000", 5000000),
                               ("status?204", 0), ("status?304", 0)):
                path = f"/{version}/{path}"
                status, out, said = output("curl", "-sS", version, server.url(path))
                r = server.record(path)
                tap.equal(f"{path}: complete for the client and in the log",
                          (status, len(out), r["body_out_bytes"], r.get("reason")),
                          (0, size, size, None))
            path = f"/{version}/sized?10#HEAD"
            status, out, said = output("curl", "-sSI", version, server.url(path))
            tap.ok(f"{path}: complete", status == 0 and b"content-length: 10\r\n" in out, out)
        tap.equal("no failure is counted", server.metric("wherry_http_failures_total"), 0)


def stalled_log():
    reader, writer = os.pipe()
    with Server(PROBE, stdout=writer) as server:
        os.close(writer)
        n = 12000
        report = load(server, "/hello?" + "x" * 600, 16, n)
        tap.equal("a log that nobody reads stalls no request", report["failures"], 0)
        lost = server.metric("wherry_access_log_lost_lines_total")
        tap.ok("what was lost is counted", 0 < lost < n, lost)
        server.signal(signal.SIGTERM)
        text = b""
        while more := os.read(reader, 1 << 16):
            text += more
        os.close(reader)
        lines = text.split(b"\n")
        tap.equal("the rest is whole, line by line",
                  (len(lines) - 1 + lost, lines[-1], len([json.loads(x) for x in lines[:-1]])),
                  (n, b"", len(lines) - 1))
        tap.equal("and the server ends", server.process.wait(60), 0)
    reader, writer = os.pipe()
    with Server(PROBE, stdout=writer) as server:
        os.close(writer)
        os.close(reader)
        tap.equal("a reader of the log that has gone", load(server, "/hello", 4, 200)["failures"], 0)
        tap.equal("and the server ends with 0", server.stop(), 0)
    reader, writer = os.pipe()
    with Server("--drain-timeout", "1s", PROBE, stdout=writer) as server:
        load(server, "/hello?" + "x" * 600, 16, 1000)
        tap.equal("a log that nobody ever reads does not hold up the end", server.stop(), 0)
    os.close(reader)
    os.close(writer)


def marks():
    with Server(PROBE) as server:
        a = get(server, "/headers")
        made = a.header("x-request-id")
        tap.ok("a request gets an id", re.fullmatch(r"[0-9a-f]{16}", made or ""), made)
        a = get(server, "/headers?own", "X-Request-Id: my-own.id_1")
        tap.equal("an id of the client's is taken over",
                  (a.header("x-request-id"), server.record("/headers?own")["request_id"]),
                  ("my-own.id_1",) * 2)
        for id in ("bad id", "x" * 65, 'a"b', ""):
            a = get(server, "/headers", "X-Request-Id: " + id)
            tap.ok(f"but not {id[:9]!r}", re.fullmatch(r"[0-9a-f]{16}", a.header("x-request-id")),
                   a.headers)
        trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
        a = get(server, "/headers?traced", f"traceparent: 00-{trace}-{parent}-01")
        found = re.findall(rb"^traceparent: 00-(\w{32})-(\w{16})-01$", a.body, re.M)
        tap.ok("a trace is continued to the guest, as a child",
               len(found) == 1 and found[0][0] == trace.encode()
               and found[0][1] != parent.encode(), a.body)
        tap.equal("and is in the log", server.record("/headers?traced")["trace_id"], trace)
        a = get(server, "/headers?untraced")
        tap.ok("without a trace none is made", b"traceparent" not in a.body, a.body)


run(drain, start_failures, switches, compiling, socket_activation, all_threads, routes, fresh,
    reuse, access_logs, completeness, stalled_log, marks)
