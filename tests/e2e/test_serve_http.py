#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`wherry serve` speaks HTTP/1.0, 1.1 and 2 with clients of every kind, for programs of every kind:
wasi:http of WASI 0.2 and 0.3, and CGI."""
import hashlib
import os
import re
import sys
import threading

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), HERE]
import http_attacks  # noqa: E402
from serve_client import (  # noqa: E402
    BOX, CGI, PROBE, PROBE3, Http, Server, ask, chunk, cpu_ticks, example, get, head, letters,
    output, private_kb, run, tap, wait_settled)

MB = 1 << 20


def each_kind():
    for name, guest in (("WASI 0.2", PROBE), ("WASI 0.3", PROBE3), ("CGI", CGI)):
        with Server("--max-body", "4Gi", guest) as server:
            yield name, server


# ---- Connections -----------------------------------------------------------------------------


def connections():
    for kind, server in each_kind():
        with Http(server) as h:
            statuses = [h.get("/hello").status for _ in range(5)]
            tap.equal(f"{kind}: a connection is kept for the next request", statuses, [200] * 5)
            tap.equal(f"{kind}: Connection: close is heeded",
                      (h.get("/hello", "Connection: close").status, h.is_closed()), (200, True))
        tap.equal(f"{kind}: that was one connection", server.metric("wherry_http_connections_total"),
                  1)

        # The first answer is the slowest to make.
        paths = ["/echo"] + [f"/{i}/no-such" for i in range(30)] + ["/hello"]
        with Http(server) as h:
            h.send(head("POST", paths[0], "Content-Length: 200000") + letters(200000)
                   + b"".join(head("GET", p) for p in paths[1:]))
            answers = [h.answer() for _ in paths]
        tap.equal(f"{kind}: pipelined requests are answered in order",
                  ([a.status for a in answers], len(answers[0].body), answers[-1].body[:5].lower()),
                  ([200] + [404] * 30 + [200], 200000, b"hello"))


def old_clients():
    for kind, server in each_kind():
        with Http(server) as h:
            a = h.get("/hello", version="1.0", host=None)
            tap.equal(f"{kind}: HTTP/1.0 without Host is answered, and closed",
                      (a.status, h.is_closed()), (200, True))
        if kind != "CGI":  # whose length nobody knows before the end
            with Http(server) as h:
                a = [h.get("/hello", "Connection: keep-alive", version="1.0") for _ in range(2)]
                tap.equal(f"{kind}: HTTP/1.0 with keep-alive is kept where the length is known",
                          [x.status for x in a], [200, 200])
        path = "/big?300000" if kind == "CGI" else "/download?300000"
        a = get(server, path, version="1.0")
        tap.equal(f"{kind}: HTTP/1.0 gets no chunks but an end by closing",
                  (a.status, a.header("transfer-encoding"), len(a.body)), (200, None, 300000))


def heads():
    for kind, server in each_kind():
        path = "/big?300000" if kind == "CGI" else "/download?300000"
        with Http(server) as h:
            with_body = h.get("/hello")
            without = h.ask("HEAD", "/hello")
            tap.equal(f"{kind}: HEAD has the headers of GET",
                      (without.status, without.header("content-length"),
                       without.header("content-type")),
                      (200, with_body.header("content-length"), with_body.header("content-type")))
            a = h.ask("HEAD", path)
            tap.equal(f"{kind}: HEAD of a long answer, and what comes next on the connection",
                      (a.status, h.get("/hello").body), (200, with_body.body))
    with Server(PROBE) as server, Http(server) as h:
        for status in (204, 304):
            a = h.get(f"/status?{status}")
            tap.equal(f"{status} has no body and no length of one, and the connection goes on",
                      (a.status, a.header("content-length"), a.header("transfer-encoding"),
                       h.get("/hello").body), (status, None, None, b"hello\n"))


def expectations():
    for kind, server in each_kind():
        with Http(server) as h:
            h.send(head("POST", "/echo", "Content-Length: 5", "Expect: 100-continue"))
            first = h.begin()
            h.send(b"hello")
            a = h.answer() if first.status == 100 else h.rest(first)
            # The components answer before they read, which makes 100 needless (RFC 9110, 10.1.1).
            tap.equal(f"{kind}: 100 Continue for a guest that reads, or its answer",
                      (first.status, a.status, a.body),
                      (100 if kind == "CGI" else 200, 200, b"hello"))
    with Server("--max-body", "10", PROBE) as server, Http(server) as h:
        h.send(head("POST", "/noread", "Content-Length: 5", "Expect: 100-continue"))
        tap.equal("no 100 Continue from a guest that does not read", h.begin().status, 200)
    with Server("--max-body", "10", PROBE) as server, Http(server) as h:
        h.send(head("POST", "/echo", "Content-Length: 11", "Expect: 100-continue"))
        tap.equal("no 100 Continue for a body that is too large", h.begin().status, 413)


# ---- Bodies ----------------------------------------------------------------------------------


def streams():
    for kind, server in each_kind():
        with Http(server) as h:
            h.send(head("POST", "/echo", "Transfer-Encoding: chunked"))
            h.send(chunk(b"piece 0 "))
            a = h.begin()
            for i in range(1, 50):
                while len(a.body) < 8 * i:  # each piece is back before the next one leaves
                    h.next_chunk(a)
                h.send(chunk(b"piece %d " % (i % 10)))
            h.send(b"0\r\n\r\n")
            while h.next_chunk(a):
                pass
            tap.equal(f"{kind}: a slow upload is streamed, and its echo too", a.body,
                      b"".join(b"piece %d " % (i % 10) for i in range(50)))

        body = os.urandom(8 * MB)
        with Http(server) as h:
            def send():
                h.send(head("POST", "/echo", "Transfer-Encoding: chunked"))
                for at in range(0, len(body), 100001):
                    h.send(chunk(body[at:at + 100001]))
                h.send(b"0\r\n\r\n")

            sender = threading.Thread(target=send)
            sender.start()
            a = h.answer()
            sender.join()
            tap.ok(f"{kind}: 8 MB in chunks come back unchanged", a.body == body, len(a.body))
            tap.equal(f"{kind}: and the access log has their number",
                      [(r["body_in_bytes"], r["body_out_bytes"])
                       for r in [server.record("/echo", 2)]], [(8 * MB, 8 * MB)])

        wanted = b"x" * (20 * MB) if kind == "CGI" else letters(20 * MB)
        a = get(server, f"/{'big' if kind == 'CGI' else 'download'}?{20 * MB}")
        tap.ok(f"{kind}: a download of 20 MB is complete", a.body == wanted, len(a.body))


def trailers():
    for kind, server in each_kind():
        if kind == "CGI":
            continue
        with Http(server) as h:
            h.send(head("POST", "/echo", "Transfer-Encoding: chunked", "TE: trailers",
                        "Trailer: X-Sum, X-Other")
                   + chunk(b"hello") + b"0\r\nX-Sum: 42\r\nX-Other: yes\r\n\r\n")
            a = h.answer()
            tap.equal(f"{kind}: trailers reach the guest, and the client",
                      (a.body, a.trailer("x-sum"), a.trailer("x-other")), (b"hello", "42", "yes"))
            tap.equal(f"{kind}: after them the connection goes on", h.get("/hello").status, 200)


def unread_downloads():
    size, n = 200 * MB, 5
    for kind, server in each_kind():
        get(server, "/hello")
        before = private_kb(server.pid)
        path = f"/{'big' if kind == 'CGI' else 'download'}?{size}"
        clients = [Http(server) for _ in range(n)]
        for c in clients:
            c.send(head("GET", path))
            c.begin()
        http2 = http_attacks.Http2(server.address)
        http2.send(http_attacks.frame(
            http_attacks.HEADERS, http_attacks.END_STREAM | http_attacks.END_HEADERS, 1,
            http_attacks.hpack_get(path)))
        http2.read_until(lambda c: c.status_of(1))
        wait_settled(lambda: cpu_ticks(server.pid))
        grown = private_kb(server.pid) - before
        tap.ok(f"{kind}: {n + 1} clients that take nothing of 200 MB cost less than 5 MB each",
               grown < (n + 1) * 5 * 1024, f"{grown} KB")
        tap.equal(f"{kind}: others are answered meanwhile", get(server, "/hello").status, 200)
        for c in [*clients, http2.socket]:
            c.close()
        server.record(path, n + 1)
        tap.ok(f"{kind}: the log says that they have gone, and when",
               all(r.get("reason") == "ClientGone" and r["body_out_bytes"] < size // 4
                   for r in server.access() if r["path"] == path), server.access())
        server.wait_metric("wherry_http_instances", 0)


def unread_uploads():
    for kind, server in each_kind():
        if kind == "CGI":
            continue
        with Http(server) as h:
            get(server, "/hello")
            before = private_kb(server.pid)
            h.send(head("POST", "/sleep?60000", "Content-Length: 2000000000"))
            h.socket.setblocking(False)
            sent = 0

            def send():
                nonlocal sent
                try:
                    while sent < 100 * MB:
                        sent += h.socket.send(bytes(MB))
                except BlockingIOError:
                    pass
                return sent

            wait_settled(send)
            grown = private_kb(server.pid) - before
            tap.ok(f"{kind}: a guest that does not read stops the client, at little cost",
                   sent < 50 * MB and grown < 5 * 1024, f"{sent} bytes sent, {grown} KB")


def large_heads():
    with Server(PROBE) as server:
        value = "v" * 29000
        a = get(server, "/headers", "X-Large: " + value)
        tap.ok("a header of 29 KB arrives", a.status == 200 and value.encode() in a.body, a.status)
        many = [f"X-{i}: {i}" for i in range(98)]
        a = get(server, "/headers", *many)
        tap.ok("99 headers arrive", a.status == 200 and
               all(m.lower().encode() in a.body for m in many), a.status)
        target = "/headers?" + "q" * 20000
        a = get(server, target)
        tap.ok("a target of 20 KB arrives", a.status == 200 and target.encode() in a.body, a.status)
        a = ask(server, "BREW", "/a/b/headers?x=1&y")
        lines = a.body.decode().splitlines()
        tap.equal("method, path, scheme and authority are those of the request", lines[:4],
                  ["method BREW", "path-with-query /a/b/headers?x=1&y", "scheme http",
                   "authority localhost"])


# ---- Clients ---------------------------------------------------------------------------------


def http2():
    upload = os.path.join(BOX, "upload")
    with open(upload, "wb") as f:
        f.write(os.urandom(5 * MB))
    with open(upload, "rb") as f:
        uploaded = hashlib.sha256(f.read()).hexdigest()
    for kind, server in each_kind():
        def curl(path, *argv):
            return output("curl", "-sS", "--max-time", "30", "--http2-prior-knowledge", *argv,
                          server.url(path))

        status, out, err = curl("/hello", "-w", "%{http_version} %{http_code}")
        tap.ok(f"{kind}: HTTP/2 by prior knowledge", status == 0 and out.endswith(b"2 200"),
               (status, out, err))
        status, out, err = curl("/echo", "--data-binary", "@" + upload)
        tap.equal(f"{kind}: 5 MB by HTTP/2 come back unchanged",
                  (status, hashlib.sha256(out).hexdigest()), (0, uploaded))
        status, out, err = curl("/hello", "-I")
        tap.ok(f"{kind}: HEAD by HTTP/2", status == 0 and out.startswith(b"HTTP/2 200"), (out, err))
        status, out, err = output("h2load", "-n", "2000", "-c", "10", "-m", "10",
                                  server.url("/hello"))
        tap.ok(f"{kind}: h2load", b"2000 succeeded, 0 failed, 0 errored" in out, out.decode())
        if kind != "CGI":
            status, out, err = output("nghttp", "-v", "-d", __file__, "--trailer", "x-sum: 42",
                                      "-H", "te: trailers", "-H", "trailer: x-sum",
                                      server.url("/echo"))
            tap.ok(f"{kind}: trailers by HTTP/2", status == 0 and
                   re.search(rb"recv \(stream_id=\d+\) x-sum: 42", out), out[-1500:])
    with Server(PROBE) as server:
        status, out, _ = output("curl", "-sS", "--http2-prior-knowledge", server.url("/headers"))
        lines = out.decode().splitlines()
        tap.equal("by HTTP/2 the guest sees the same", lines[:4],
                  ["method GET", "path-with-query /headers", "scheme http",
                   f"authority 127.0.0.1:{server.port}"])
        tap.equal("and the log says HTTP/2", server.record("/headers")["protocol"], "HTTP/2.0")


def loads():
    for kind, server in each_kind():
        status, out, err = output("wrk", "-t", "1", "-c", "20", "-d", "1", server.url("/hello"))
        tap.ok(f"{kind}: wrk", status == 0 and b"Requests/sec" in out and
               b"Non-2xx" not in out and b"Socket errors" not in out, out.decode() + err)


def unix_sockets():
    path = os.path.join(BOX, "server.sock")
    with Server(PROBE, listen=("unix:" + path, "127.0.0.1:0")) as server:
        tap.equal("it says where it listens", [u.partition(":")[0] for u in server.urls],
                  ["unix", "http"])
        status, out, err = output("curl", "-sS", "--unix-socket", path, "http://any.host/headers")
        tap.ok("a unix socket", status == 0 and b"authority any.host" in out, (out, err))
        status, out, err = output("curl", "-sS", "--http2-prior-knowledge", "--unix-socket", path,
                                  "http://localhost/hello")
        tap.equal("HTTP/2 on a unix socket", (status, out), (0, b"hello\n"))
        tap.equal("the log names the client", server.record("/headers")["peer"], "unix:")
        tap.equal("and TCP beside it", get(server, "/hello").body, b"hello\n")
        tap.equal("it stops", server.stop(), 0)
    with Server(PROBE, listen=("unix:" + path,)) as server:
        tap.equal("what the last server left is no hindrance", get(path, "/hello").status, 200)


def ipv6():
    with Server(PROBE, listen=("[::1]:0",)) as server:
        status, out, err = output("curl", "-sSg", server.urls[0] + "/hello")
        tap.equal("IPv6", (status, out), (0, b"hello\n"))


def examples():
    for name, wanted in (("http-c", b"Hello from C!\n"), ("http-p3", b"")):
        with Server(example(name)) as server:
            a = get(server, "/")
            tap.ok(f"the example {name}", a.status == 200 and wanted in a.body, (a.status, a.body))


run(connections, old_clients, heads, expectations, streams, trailers, unread_downloads, unread_uploads,
    large_heads, http2, loads, unix_sockets, ipv6, examples, needs=("curl", "h2load", "nghttp", "wrk"))
