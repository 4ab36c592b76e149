#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTPS of `wherry serve`: TLS 1.2 and 1.3, HTTP/2 and 1.1 by ALPN, certificates that change while
connections go on, and files that cannot be used."""
import os
import shutil
import signal
import ssl
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from serve_client import (  # noqa: E402
    BOX, PROBE, PROBE3, Http, Server, authority, certificate, get, head, load, output, run, tap,
    wait_until)

CA = authority(BOX)
FIRST, SECOND = (certificate(BOX, CA, file=name) for name in ("first", "second"))


class TlsServer(Server):
    """With files of its own for certificate and key, that a test may change."""

    def __init__(self, *args, pair=FIRST, **options):
        self.cert, self.key = (os.path.join(BOX, f"used-{os.urandom(4).hex()}{end}")
                               for end in (".pem", ".key"))
        self.use(pair)
        super().__init__("--tls-cert", self.cert, "--tls-key", self.key, *args, **options)

    def use(self, pair):
        for source, used in zip(pair, (self.cert, self.key)):
            shutil.copy(source, used + ".new")
            os.rename(used + ".new", used)

    def url(self, path):
        return f"https://localhost:{self.port}{path}"


def context(lowest=ssl.TLSVersion.TLSv1_2, highest=ssl.TLSVersion.TLSv1_3, alpn=("http/1.1",)):
    c = ssl.create_default_context(cafile=CA[0])
    c.minimum_version, c.maximum_version = lowest, highest
    if alpn:
        c.set_alpn_protocols(list(alpn))
    return c


def serial(connection):
    return int(connection.socket.getpeercert()["serialNumber"], 16)


def serial_of(pair):
    return int(output("openssl", "x509", "-noout", "-serial", "-in", pair[0])[1]
               .decode().strip().partition("=")[2], 16)


def curl(server, *argv, path="/hello"):
    return output("curl", "-sS", "--max-time", "20", "--cacert", CA[0], "--resolve",
                  f"localhost:{server.port}:127.0.0.1", *argv, server.url(path))


# ---- Versions and protocols ------------------------------------------------------------------


def versions():
    with TlsServer(PROBE) as server:
        tap.ok("it says https", server.urls[0].startswith("https://"), server.urls)
        for version in ("1.2", "1.3"):
            status, out, err = curl(server, "--tlsv" + version, "--tls-max", version)
            tap.equal(f"TLS {version} by curl", (status, out), (0, b"hello\n"))
            status, out, err = output(
                "openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername",
                "localhost", "-CAfile", CA[0], "-verify_return_error",
                "-tls" + version.replace(".", "_"))
            tap.ok(f"TLS {version} by openssl", status == 0 and b"Verify return code: 0" in out,
                   out + err.encode())
            which = getattr(ssl.TLSVersion, "TLSv" + version.replace(".", "_"))
            with Http(server, context(which, which)) as h:
                tap.equal(f"TLS {version}: requests, one after the other",
                          ([h.get("/hello").status for _ in range(3)], h.socket.version()),
                          ([200] * 3, "TLSv" + version))
        for version in ("1", "1_1"):
            status, out, err = output(
                "openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls" + version,
                "-cipher", "DEFAULT:@SECLEVEL=0")
            tap.ok(f"TLS {version.replace('_', '.')} is refused",
                   status != 0 and "SSL alert number" in err and b"New, (NONE)" in out, out + err.encode())
        status, out, _ = curl(server, path="/headers")
        tap.ok("the guest is told the scheme", b"scheme https\n" in out, out)
        try:
            # What is no handshake is closed, and nothing plain is answered.
            with Http(server) as h:
                h.send(head("GET", "/hello"))
                plain = h.file.read()
        except ConnectionResetError:
            plain = b""
        tap.ok("plain HTTP is not answered", b"HTTP/1" not in plain, plain)


def protocols():
    for kind, guest in (("WASI 0.2", PROBE), ("WASI 0.3", PROBE3)):
        with TlsServer(guest) as server:
            written = ("-w", " %{http_version}")
            for option, version in (("--http2", b"2"), ("--http1.1", b"1.1")):
                status, out, err = curl(server, option, *written)
                tap.equal(f"{kind}: ALPN for curl {option}", (status, out),
                          (0, b"hello\n " + version))
            status, out, _ = curl(server, "--no-alpn", *written)
            tap.equal(f"{kind}: without ALPN it is HTTP/1.1", (status, out), (0, b"hello\n 1.1"))
            with Http(server, context(alpn=("h2", "http/1.1"))) as h:
                tap.equal(f"{kind}: of both HTTP/2 is chosen", h.socket.selected_alpn_protocol(),
                          "h2")
            status, out, _ = output("h2load", "-n", "1000", "-c", "10", "-m", "10",
                                    f"https://127.0.0.1:{server.port}/hello")
            tap.ok(f"{kind}: h2load over TLS", b"1000 succeeded, 0 failed, 0 errored" in out,
                   out.decode())
            status, out, _ = curl(server, "--data-binary", "@" + __file__, path="/echo")
            with open(__file__, "rb") as f:
                tap.equal(f"{kind}: a body by HTTPS comes back unchanged", (status, out),
                          (0, f.read()))


def unix_stays_plain():
    path = os.path.join(BOX, "plain.sock")
    with TlsServer(PROBE, listen=("unix:" + path, "127.0.0.1:0")) as server:
        tap.equal("with TLS, a unix socket stays plain", get(path, "/hello").body, b"hello\n")
        tap.equal("beside HTTPS", curl(server)[1], b"hello\n")


# ---- Another certificate ---------------------------------------------------------------------


def exchange():
    first, second = serial_of(FIRST), serial_of(SECOND)
    with TlsServer(PROBE) as server, Http(server, context()) as old:
        tap.equal("the certificate of the file", (serial(old), old.get("/hello").status),
                  (first, 200))
        server.use(SECOND)
        with Http(server, context()) as h:
            tap.equal("a new file is not looked at before SIGHUP", serial(h), first)
        server.reload()
        with Http(server, context()) as new:
            tap.equal("after SIGHUP new connections get the new certificate",
                      (serial(new), new.get("/hello").status), (second, 200))
        tap.equal("and old connections go on", old.get("/hello").status, 200)

        # The key of another certificate, no PEM at all, and no file.
        for what, spoil in (("a key that is another's", lambda: shutil.copy(FIRST[1], server.key)),
                            ("a file without a certificate",
                             lambda: shutil.copy(__file__, server.cert)),
                            ("a file that is gone", lambda: os.unlink(server.cert))):
            said = server.log().count("the certificate from before goes on")
            spoil()
            server.signal(signal.SIGHUP)
            wait_until(lambda: server.log().count("certificate from before goes on") > said, what)
            with Http(server, context()) as h:
                tap.equal(f"{what}: the log says so, and the certificate from before goes on",
                          (serial(h), h.get("/hello").status), (second, 200))
            server.use(SECOND)
        line = [text for text in server.log().splitlines() if "goes on" in text][-1]
        tap.ok("the message names the file", server.cert in line, line)
        server.use(FIRST)
        server.reload()
        with Http(server, context()) as h:
            tap.equal("and the next good one is taken", serial(h), first)
        tap.equal("the oldest connection still goes on", old.get("/hello").status, 200)


def bad_files():
    empty = os.path.join(BOX, "empty.pem")
    open(empty, "wb").close()
    for what, argv, wanted in (
            ("no such certificate", ("--tls-cert", "/no/such.pem", "--tls-key", FIRST[1]),
             "/no/such.pem"),
            ("no such key", ("--tls-cert", FIRST[0], "--tls-key", "/no/such.key"), "/no/such.key"),
            ("an empty certificate", ("--tls-cert", empty, "--tls-key", FIRST[1]), empty),
            ("a key without a key", ("--tls-cert", FIRST[0], "--tls-key", FIRST[0]), "key"),
            ("certificate and key in the wrong order",
             ("--tls-cert", FIRST[1], "--tls-key", FIRST[0]), "certificate"),
            ("a key that is another's", ("--tls-cert", FIRST[0], "--tls-key", SECOND[1]), "key"),
            ("a certificate without a key", ("--tls-cert", FIRST[0]), "--tls-key is missing"),
            ("a key without a certificate", ("--tls-key", FIRST[1]), "--tls-cert is missing")):
        with Server(PROBE, *argv, is_awaited=False) as server:
            status = server.process.wait(60)
            log = server.log()
        tap.ok(f"{what}: 125, and one line says it", status == 125 and wanted in log
               and log.startswith("wherry: serve: ") and log.count("\n") == 1, (status, log))
    both = os.path.join(BOX, "both.pem")
    with open(both, "wb") as f:
        for part in FIRST:
            with open(part, "rb") as p:
                f.write(p.read())
    with Server(PROBE, "--tls-cert", both, "--tls-key", both) as server, \
            Http(server, context()) as h:
        tap.equal("one file may hold both", h.get("/hello").status, 200)


run(versions, protocols, unix_stays_plain, exchange, bad_files, needs=("curl", "h2load", "openssl"))
