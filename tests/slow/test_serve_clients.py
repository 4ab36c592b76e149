#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`wherry serve` with the programs that people use it with: the examples in every language, nginx in
front of it, and a browser."""
import os
import re
import shutil
import socket
import subprocess
import sys
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from serve_client import (  # noqa: E402
    BOX, PROBE, Http, Server, ask, authority, certificate, example, get, letters, load, load_end,
    load_start, output, run, tap, wait_until)

MB = 1 << 20


# ---- Programs --------------------------------------------------------------------------------


def languages():
    for name, program in (("http-c", "C"), ("http-js", "JavaScript"), ("http-python", "Python"),
                          ("cgi-go", "Go"), ("cgi-rust", "Rust"), ("http-p3", "")):
        if name == "cgi-go" and not shutil.which("go"):
            tap.skip(f"the example {name}", "missing: go")
            continue
        with Server(example(name)) as server:
            a = get(server, "/a/b?name=Ada")
            tap.ok(f"the example {name}", a.status == 200 and b"Hello" in a.body
                   and program.encode() in a.body, a.body)
            a = ask(server, "POST", "/", body=b"ninechars")
            tap.ok(f"the example {name}: POST", a.status == 200 and (
                name not in ("http-js", "http-python") or b"9 " in a.body), a.body)
            report = load(server, "/", 8, 500)
            tap.equal(f"the example {name}: 500 requests, 8 at a time", report["failures"], 0)


# ---- nginx -----------------------------------------------------------------------------------

NGINX = """daemon off; master_process off; pid {box}/nginx.pid; error_log {box}/nginx.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off; default_type text/html; {temporary}
    upstream app {{ server {upstream}; keepalive 32; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 1g;
        location /static/ {{ alias {box}/static/; }}
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Request-Id $request_id;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_request_buffering off;
            proxy_buffering off;
        }}
    }}
}}
"""


class Nginx:
    """nginx in front of a server; `address` is where it listens."""

    def __init__(self, upstream):
        self.box = os.path.join(BOX, "nginx-" + os.urandom(4).hex())
        os.makedirs(os.path.join(self.box, "static"))
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.address = s.getsockname()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = " ".join(f"{k}_temp_path {self.box}/{k};" for k in kinds)
        conf = os.path.join(self.box, "nginx.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(NGINX.format(box=self.box, temporary=temporary, upstream=upstream,
                                 port=self.address[1]))
        program = shutil.which("nginx", path="/usr/sbin:" + os.environ["PATH"])
        self.process = subprocess.Popen([program, "-p", self.box, "-c", conf, "-e",
                                         os.path.join(self.box, "nginx.log")],
                                        stdin=subprocess.DEVNULL)
        wait_until(self.listens, "nginx listens")

    def listens(self):
        try:
            socket.create_connection(self.address).close()
            return True
        except ConnectionRefusedError:
            if self.process.poll() is not None:
                raise RuntimeError("nginx: " + self.log()) from None
            return False

    def log(self):
        with open(os.path.join(self.box, "nginx.log"), encoding="utf-8") as f:
            return f.read()

    def page(self, name, text):
        with open(os.path.join(self.box, "static", name), "w", encoding="utf-8") as f:
            f.write(text)
        return f"http://127.0.0.1:{self.address[1]}/static/{name}"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if exception[0]:
            sys.stderr.write(self.log())
        self.process.terminate()
        self.process.wait()


def nginx():
    if not shutil.which("nginx", path="/usr/sbin:" + os.environ["PATH"]):
        tap.skip("nginx in front", "missing: nginx")
        return
    for kind in ("tcp", "unix"):
        path = os.path.join(BOX, "behind-nginx.sock")
        listen = "unix:" + path if kind == "unix" else "127.0.0.1:0"
        with Server("--threads", "2", PROBE, listen=(listen,)) as server, \
                Nginx(listen if kind == "unix" else "127.0.0.1:%d" % server.port) as front:
            a = get(front.address, "/headers", host="site.test")
            id = a.header("x-request-id")
            tap.ok(f"nginx by {kind}: the guest sees what nginx was asked",
                   b"authority site.test\n" in a.body and b"x-forwarded-for: 127.0.0.1\n" in a.body
                   and re.fullmatch(r"\w{32}", id or ""), a.body)
            tap.equal(f"nginx by {kind}: one id for both", server.record("/headers")["request_id"],
                      id)
            before = server.metric("wherry_http_connections_total")
            report = load("127.0.0.1:%d" % front.address[1], "/hello", 16, 10000, "--expect-body",
                          "hello\n")
            used = server.metric("wherry_http_connections_total") - before
            tap.ok(f"nginx by {kind}: 10,000 requests over few connections",
                   report["failures"] == 0 and used < 100, (report, used))
            # One after the other: once an answer has begun, nginx stops sending the request.
            body = os.urandom(20 * MB)
            with Http(front.address) as h:
                a = h.ask("POST", "/upload", body=body)
                tap.equal(f"nginx by {kind}: 20 MB up", a.body.decode(),
                          f"{len(body)} bytes, {zlib.adler32(body)}\n")
                a = h.get(f"/download?{len(body)}")
                tap.ok(f"nginx by {kind}: 20 MB down", a.body == letters(len(body)), len(a.body))
            a = get(front.address, "/trap")
            tap.equal(f"nginx by {kind}: a trap", a.status, 500)
            steady = load_start("127.0.0.1:%d" % front.address[1], "/hello", 8, "--rate", "500",
                                "--duration", "10m")
            for _ in range(10):
                after = server.metric("wherry_http_requests_total") + 100
                server.reload()
                wait_until(lambda: server.metric("wherry_http_requests_total") > after, "load")
            report = load_end(steady, is_stopped=True)
            tap.equal(f"nginx by {kind}: nobody notices 10 reloads", report["failed"], {})
            tap.equal(f"nginx by {kind}: it has no complaint", front.log(), "")


# ---- A browser -------------------------------------------------------------------------------

PAGE = """<!doctype html><title>a page</title><body><script>
(async () => {
  const one = await (await fetch('/sub/page?name=Browser')).text();
  const two = await (await fetch('/api', {method: 'POST', body: 'x'.repeat(100000)})).text();
  const many = await Promise.all([...Array(40).keys()].map(
      async i => (await fetch('/n' + i)).status));
  const pre = document.createElement('pre');
  pre.textContent = one + two.slice(0, 80) + ' ' + many.filter(s => s === 200).length + ' done';
  document.body.append(pre);
})();
</script>
"""


def chromium(url, *argv):
    """(the page's text as HTML, what was said)"""
    home = os.path.join(BOX, "browser-" + os.urandom(4).hex())
    os.mkdir(home)
    status, out, err = output(
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--disable-dev-shm-usage", f"--user-data-dir={home}",
        "--virtual-time-budget=20000", *argv, "--dump-dom", url, env={**os.environ, "HOME": home})
    return out.decode("utf-8", "replace"), f"status {status}\n{err[-2000:]}"


def browser():
    if not shutil.which("chromium"):
        tap.skip("a browser", "missing: chromium")
        return
    js = example("http-js")
    with Server(js) as server:
        out, err = chromium(server.url("/there?name=Browser"))
        tap.ok("a browser shows what the JavaScript example answers",
               "Hello from JavaScript, Browser!\nGET /there" in out, out + err)
        agent = server.record("/there?name=Browser")["user_agent"]
        tap.ok("it is a browser", "Chrome/" in agent, agent)
        if shutil.which("nginx", path="/usr/sbin:" + os.environ["PATH"]):
            with Nginx("127.0.0.1:%d" % server.port) as front:
                out, err = chromium(front.page("page.html", PAGE))
                tap.ok("a page of nginx fetches from it, by GET, by POST and many at once",
                       "Hello from JavaScript, Browser!\nGET /sub/page" in out
                       and "POST /api\n100000 characters came with it" in out
                       and "40 done" in out, out + err)
    ca = authority(BOX)
    pair = certificate(BOX, ca)
    with Server("--tls-cert", pair[0], "--tls-key", pair[1], js) as server:
        url = f"https://127.0.0.1:{server.port}/secure"
        out, err = chromium(url, "--ignore-certificate-errors")
        tap.ok("by HTTPS", "GET /secure" in out, out + err)
        tap.equal("which is HTTP/2", server.record("/secure")["protocol"], "HTTP/2.0")
        form = os.path.join(BOX, "form.html")
        with open(form, "w", encoding="ascii") as f:
            f.write(f'<form method=post enctype=text/plain action="{url}">'
                    '<input name=a value=b></form><script>document.forms[0].submit()</script>')
        out, err = chromium("file://" + form, "--ignore-certificate-errors")
        tap.ok("a form is posted", "POST /secure\n5 characters came with it" in out, out + err)


run(languages, nginx, browser, needs=("openssl",))
