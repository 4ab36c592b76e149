#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests that a guest of `wherry serve` makes: to whom it may, by name and by address, with
connections that are kept, with TLS, and to servers that misbehave."""
import http.server
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from serve_client import (  # noqa: E402
    BOX, PROBE, WHERRY, Cut, Http, Server, authority, certificate, get, load, run, tap, wait_until)

MB = 1 << 20


class Peer:
    """A server for guests: keeps connections, counts them and remembers what it was asked."""

    def __init__(self, address="127.0.0.1", tls=None, closes_quietly=False):
        peer = self
        self.connections, self.requests = 0, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                peer.connections += 1
                super().setup()

            def do_GET(self):
                peer.requests.append((self.path, self.headers))
                size = re.search(r"size=(\d+)", self.path)
                body = b"z" * int(size[1]) if size else f"you asked for {self.path}\n".encode()
                if self.path == "/elsewhere":
                    self.send_response(302)
                    self.send_header("Location", peer.url("/target"))
                else:
                    self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = closes_quietly

            def log_message(self, *_):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
            request_queue_size = 128

            def finish_request(self, request, client):
                try:
                    if tls:
                        request = tls.wrap_socket(request, server_side=True)
                    super().finish_request(request, client)
                except OSError:
                    pass  # the client has gone, or does not trust this server

        self.scheme = "https" if tls else "http"
        self.address = address
        self.server = Listener((address, 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, path, host=None):
        host = host or (f"[{self.address}]" if ":" in self.address else self.address)
        return f"{self.scheme}://{host}:{self.port}{path}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Rude:
    """A listener that hands each connection to the function after its request was read."""

    def __init__(self, behave):
        self.behave = behave
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.kept = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            self.kept.append(c)
            threading.Thread(target=self.answer, args=(c,), daemon=True).start()

    def answer(self, c):
        try:
            c.recv(65536)
            self.behave(c)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for c in self.kept:
            c.close()


def fetch(server, url, *lines):
    return get(server, "/fetch?" + url, *lines).body.decode()


def denied(text):
    return text in ("error destination-IP-prohibited\n", "error HTTP-request-denied\n")


# ---- To whom ---------------------------------------------------------------------------------


def addresses():
    with Peer() as peer, Peer("::1") as six:
        good = "status 200\nyou asked for /x?y=z\n"
        url = peer.url("/x?y=z")
        for grants, wanted in (((), False), ((f"127.0.0.1:{peer.port}",), True),
                               (("127.0.0.0/8:*",), True), (("*:*",), True),
                               ((f"127.0.0.1:{six.port}",), False),
                               ((f"127.0.0.2:{peer.port}",), False),
                               ((f"localhost:{peer.port}",), False),
                               ((f"[::1]:{six.port}",), False)):
            with Server(*(word for g in grants for word in ("--allow-net", g)), PROBE) as server:
                text = fetch(server, url)
                tap.ok(f"an address with {' '.join(grants).replace(str(peer.port), 'PORT') or 'no grant'}"
                       f" is {'reached' if wanted else 'refused'}".replace(str(six.port), "OTHER"),
                       text == good if wanted else denied(text), text)
        tap.equal("what was refused was not asked", len(peer.requests), 3)
        with Server("--allow-net", f"[::1]:{six.port}", PROBE) as server:
            tap.equal("an IPv6 address", fetch(server, six.url("/x?y=z")), good)
            tap.equal("the server sees whom it was asked as", six.requests[-1][1]["Host"],
                      f"[::1]:{six.port}")
        for odd in (f"http://user@127.0.0.1:{peer.port}/", "http://:80/", "http://127.0.0.1:99999/",
                    "http://127.0.0.1:/", "http:///"):
            with Server("--allow-net", "*:*", PROBE) as server:
                text = fetch(server, odd)
                tap.ok(f"{odd.replace(str(peer.port), 'PORT')} is no URL to ask",
                       text.startswith(("error ", "not a URL")), text)


def names():
    hosts = os.path.join(BOX, "hosts")
    with open(hosts, "w", encoding="ascii") as f:
        f.write("127.0.0.1 good.test other.test\n127.0.0.2 far.test\n")
    command = ("unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts)
    if subprocess.run([*command, "true"], stderr=subprocess.DEVNULL).returncode:
        tap.skip("names", "a table of hosts of one's own needs root")
        return
    command = (*command, WHERRY, "serve")
    with Peer() as peer:
        def server(*grants):
            return Server(*(word for g in grants for word in ("--allow-net", g)), PROBE,
                          command=command)

        with server(f"good.test:{peer.port}") as s:
            tap.ok("a name's address is granted only through the name",
                   denied(fetch(s, peer.url("/"))))
            text = fetch(s, peer.url("/x", "GOOD.test"))
            tap.equal("a granted name", text, "status 200\nyou asked for /x\n")
            tap.equal("the server sees the name", peer.requests[-1][1]["Host"].lower(),
                      f"good.test:{peer.port}")
            tap.ok("another name of the same address is refused",
                   denied(fetch(s, peer.url("/", "other.test"))))
            text = fetch(s, f"http://good.test:{peer.port + 1}/")
            tap.ok("another port of the name is refused", denied(text), text)
            text = fetch(s, peer.url("/", "sub.good.test"))
            tap.ok("a name below it is refused", denied(text), text)
        with server(f"127.0.0.1:{peer.port}") as s:
            tap.ok("a granted address does not grant its names",
                   denied(fetch(s, peer.url("/", "good.test"))))
        with server("10.0.0.0/8:*", f"far.test:{peer.port + 1}") as s:
            tap.ok("a name is judged by its own grant, not by one that has another port",
                   denied(fetch(s, peer.url("/", "far.test"))))
        with server("*:*") as s:
            tap.equal("any name with *", fetch(s, peer.url("/x", "other.test")),
                      "status 200\nyou asked for /x\n")
        with server(f"good.test:{peer.port}", f"no-such.test:{peer.port}") as s:
            before = len(peer.requests)
            text = fetch(s, peer.url("/elsewhere", "good.test"))
            tap.ok("a redirect is the guest's matter", text.startswith("status 302\n") and
                   [r[0] for r in peer.requests[before:]] == ["/elsewhere"], text)
            text = fetch(s, peer.url("/", "no-such.test"))
            tap.equal("a granted name that does not exist", text, "error DNS-error\n")


def headers():
    with Peer() as peer, Server("--allow-net", f"127.0.0.1:{peer.port}", PROBE) as server:
        trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
        fetch(server, peer.url("/traced"), f"traceparent: 00-{trace}-{parent}-01")
        sent = peer.requests[-1][1]["traceparent"] or ""
        found = re.fullmatch(r"00-(\w{32})-(\w{16})-01", sent)
        tap.ok("a trace goes on to whom the guest asks", found and found[1] == trace and
               found[2] != parent, sent)
        fetch(server, peer.url("/untraced"))
        tap.equal("where none came none is made", peer.requests[-1][1]["traceparent"], None)
        tap.equal("the server sees whom it was asked as", peer.requests[-1][1]["Host"],
                  f"127.0.0.1:{peer.port}")


# ---- Connections -----------------------------------------------------------------------------


def reuse():
    with Peer() as peer, Server("--threads", "1", "--allow-net", "127.0.0.1:*", PROBE) as server:
        with Http(server) as h:
            texts = {bytes(h.get("/fetch?" + peer.url("/same")).body) for _ in range(200)}
        tap.equal("200 requests, each by its own instance, over one connection",
                  (texts, len(peer.requests), peer.connections),
                  ({b"status 200\nyou asked for /same\n"}, 200, 1))
        report = load(server, "/fetch?" + peer.url("/same"), 8, 1000, "--expect-body",
                      "status 200\nyou asked for /same\n")
        tap.ok("8 at a time need no more connections than that",
               report["failures"] == 0 and peer.connections <= 9, (report, peer.connections))
        text = fetch(server, peer.url(f"/?size={20 * MB}"))
        tap.ok("20 MB arrive whole", text == "status 200\n" + "z" * 20 * MB, len(text))
    # It closes after each answer without having said so, which is not known before the next one.
    with Peer(closes_quietly=True) as peer, \
            Server("--threads", "1", "--allow-net", "127.0.0.1:*", PROBE) as server, \
            Http(server) as h:
        texts = [bytes(h.get("/fetch?" + peer.url("/x")).body) for _ in range(300)]
        tap.equal("connections that the other side closes are no error",
                  {t: texts.count(t) for t in texts}, {b"status 200\nyou asked for /x\n": 300})


# ---- HTTPS -----------------------------------------------------------------------------------


def https():
    ca = authority(BOX)
    other_ca = authority(BOX, "other-ca")

    def tls(name, by=ca):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(*certificate(BOX, by, name, "peer-" + name))
        return c

    with Peer(tls=tls("localhost")) as peer, Peer(tls=tls("elsewhere.test")) as wrong, \
            Peer() as plain:
        grants = ("--allow-net", "localhost:*", "--allow-net", "127.0.0.1:*")
        good = "status 200\nyou asked for /x\n"
        with Server(*grants, "--ca", ca[0], PROBE) as server:
            tap.equal("HTTPS with --ca", fetch(server, peer.url("/x", "localhost")), good)
            tap.equal("and by an address in the certificate", fetch(server, peer.url("/x")), good)
            for _ in range(50):
                fetch(server, peer.url("/x", "localhost"))
            tap.ok("HTTPS connections are kept", peer.connections <= 2 + 2 * os.cpu_count(),
                   peer.connections)
            text = fetch(server, wrong.url("/x", "localhost"))
            tap.ok("a certificate of another name is refused",
                   text.startswith("error TLS-") and not wrong.requests, text)
            text = fetch(server, plain.url("/x", "localhost").replace("http:", "https:"))
            tap.ok("a server without TLS is refused", text.startswith("error ")
                   and not plain.requests, text)
            text = fetch(server, peer.url("/x", "localhost").replace("https:", "http:"))
            tap.ok("HTTP to a server with TLS is an error", text.startswith("error "), text)
        before = len(peer.requests)
        for what, options in (("without --ca", ()), ("with another --ca", ("--ca", other_ca[0]))):
            with Server(*grants, *options, PROBE) as server:
                text = fetch(server, peer.url("/x", "localhost"))
                tap.ok(f"an authority that is not trusted, {what}: refused",
                       text.startswith("error TLS-") and len(peer.requests) == before, text)
    for what, path, said in (("no file", "/no/such.pem", "/no/such.pem"),
                             ("no certificate", __file__, __file__)):
        with Server("--ca", path, PROBE, is_awaited=False) as server:
            wait_until(lambda: server.process.poll() is not None or "listening" in server.log(),
                       "it ends")
            status = server.process.poll()
            tap.ok(f"--ca with {what}: 125, and it is said", status == 125 and said in server.log(),
                   (status, server.log()))


# ---- Servers that misbehave ------------------------------------------------------------------


def rude_servers():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    endless = b"X: " + b"y" * 60000 + b"\r\n"

    def flood(c):
        c.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(1000):
            c.sendall(endless)

    with Server("--allow-net", "127.0.0.1:*", "--timeout", "20s", PROBE) as server:
        for what, behave in (
                ("closes without an answer", lambda c: c.shutdown(socket.SHUT_RDWR)),
                ("answers garbage", lambda c: c.sendall(b"\0\1\2garbage\r\n\r\n")),
                ("speaks something else", lambda c: c.sendall(b"220 mail.test ESMTP\r\n")),
                ("closes in the head", lambda c: (c.sendall(head[:20]),
                                                  c.shutdown(socket.SHUT_RDWR))),
                ("has two lengths", lambda c: c.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")),
                ("has an endless head", flood)):
            with Rude(behave) as rude:
                text = fetch(server, f"http://127.0.0.1:{rude.port}/")
                tap.ok(f"a server that {what}: the guest gets an error",
                       re.fullmatch(r"error [-\w]+\n", text), text)
                print(f"# a server that {what}: {text.strip()}")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))  # and does not listen
            tap.equal("a port where nobody listens",
                      fetch(server, f"http://127.0.0.1:{s.getsockname()[1]}/"),
                      "error connection-refused\n")
        for what, behave in (
                ("closes in the body", lambda c: (c.sendall(head + b"half"),
                                                  c.shutdown(socket.SHUT_RDWR))),
                ("sends a bad chunk", lambda c: c.sendall(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n"))):
            with Rude(behave) as rude:
                try:
                    a = get(server, f"/fetch?http://127.0.0.1:{rude.port}/")
                    how = (a.status, bytes(a.body))
                    is_shown = a.status >= 500
                except Cut as e:
                    how = bytes(e.answer.body) if e.answer else b""
                    is_shown = b"half".startswith(how.partition(b"\n")[2])
                tap.ok(f"a server that {what}: the answer made of it does not look whole",
                       is_shown, how)

        def drip(c):
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n")
            for i in range(30):
                c.sendall(b".")
                threading.Event().wait(0.02)  # the pace of the server

        with Rude(drip) as rude:
            tap.equal("a slow server is waited for", fetch(server, f"http://127.0.0.1:{rude.port}/"),
                      "status 200\n" + "." * 30)
    with Server("--allow-net", "127.0.0.1:*", "--timeout", "700ms", PROBE) as server:
        for what, behave in (("never answers", lambda c: c.recv(1)),
                             ("stops in the head", lambda c: (c.sendall(head[:20]), c.recv(1)))):
            with Rude(behave) as rude:
                a = get(server, f"/fetch?http://127.0.0.1:{rude.port}/")
                tap.equal(f"a server that {what}: --timeout ends it", a.status, 504)
                wait_until(lambda: rude.kept[0].recv(1) == b"", "its connection is closed")
        with Rude(lambda c: (c.sendall(head + b"half"), c.recv(1))) as rude:
            try:
                get(server, f"/fetch?http://127.0.0.1:{rude.port}/")
                tap.ok("a server that stops in the body: --timeout cuts the answer", False)
            except Cut:
                tap.ok("a server that stops in the body: --timeout cuts the answer", True)
        tap.equal("and wherry goes on", get(server, "/hello").status, 200)


run(addresses, names, headers, reuse, https, rude_servers, needs=("openssl",))
