# SPDX-License-Identifier: Apache-2.0
"""For the tests of `wherry serve`: a server of one's own and what it tells of itself, HTTP/1.1 on a
bare socket, certificates, and loads."""
import atexit
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from worker_client import GUESTS, PATIENCE_S, ROOT, Tap, build_guests, wait_until

WHERRY = os.environ.get("WHERRY", os.path.join(ROOT, "build/wherry"))
BUILD = os.path.join(ROOT, os.environ.get("WHERRY_BUILD", "build/meson"))
IS_FULL = os.environ.get("FULL") == "1"
PROBE, PROBE3, CGI = (os.path.join(GUESTS, f"http/{n}.wasm") for n in ("probe", "probe3", "cgi"))
tap = Tap()

# The cache of the tests is not the one of the machine.
BOX = tempfile.mkdtemp(prefix="wherry-serve-test-")
atexit.register(shutil.rmtree, BOX, ignore_errors=True)


def run(*parts, needs=()):
    """Builds the guests, runs the parts, ends. What a part raises is a failure of the part."""
    missing = [n for n in needs if not shutil.which(n)]
    if missing:
        tap.skip("all of it", "missing: " + " ".join(missing))
        tap.finish()
    build_guests("http/probe", "http/probe3", "http/cgi")
    for part in parts:
        tap.run(part)
    tap.finish()


def example(name):
    """The component or module that examples/NAME builds."""
    folder = os.path.join(ROOT, "examples", name)
    subprocess.run(["make", "-s", "-C", folder], check=True, stdout=sys.stderr)
    return next(p for p in (os.path.join(folder, "build", "hello" + end)
                            for end in (".component.wasm", ".wasm")) if os.path.exists(p))


# ---- The server ------------------------------------------------------------------------------


class Server:
    """`wherry serve` with these arguments; its first address is a free port when none is said.
    The access log is JSON, the metrics are on a unix socket."""

    def __init__(self, *args, listen=("127.0.0.1:0",), access_log="json", stdout=None, env=None,
                 command=(WHERRY, "serve"), is_awaited=True, **options):
        self.dir = tempfile.mkdtemp(dir=BOX)
        self.metrics_path = os.path.join(self.dir, "metrics")
        self.log_path, self.access_path = (os.path.join(self.dir, n) for n in ("log", "access"))
        argv = [*command, "--metrics", "unix:" + self.metrics_path]
        argv += [word for a in listen for word in ("--listen", a)]
        argv += ["--access-log", access_log] if access_log else []
        argv += [str(a) for a in args]
        with open(self.log_path, "wb") as log, open(self.access_path, "wb") as access:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=access if stdout is None else stdout,
                stderr=log, env={**os.environ, "XDG_CACHE_HOME": os.path.join(BOX, "cache"),
                                 **(env or {})}, **options)
        self.pid = self.process.pid
        self.urls = []
        if is_awaited:
            self._listens()

    def _listens(self):
        wait_until(lambda: "listening on " in self.log() or self.process.poll() is not None,
                   "the server listens")
        self.urls = re.findall(r"listening on (\S+)\n", self.log())
        if not self.urls:
            raise RuntimeError("wherry serve does not listen: " + self.log())

    @property
    def port(self):
        return int(next(u for u in self.urls if "://" in u).rpartition(":")[2])

    @property
    def address(self):
        return "127.0.0.1", self.port

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        status = self.process.poll()
        if status is None:
            self.process.kill()
        self.process.wait()
        if exception[0]:
            sys.stderr.write(f"the server's status was {status}, its log:\n" + self.log()[-4000:])
        shutil.rmtree(self.dir, ignore_errors=True)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """The exit status after SIGTERM."""
        self.signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def reload(self):
        """SIGHUP; returns when it has been acted upon."""
        n = self.log().count(": reloaded ")
        self.signal(signal.SIGHUP)
        wait_until(lambda: self.log().count(": reloaded ") > n, "the server reloads")

    def log(self):
        with open(self.log_path, "rb") as f:
            return f.read().decode("utf-8", "replace")

    def wait_log(self, text):
        """Waits for it; True, so that it can be a result."""
        wait_until(lambda: text in self.log(), f"the log has '{text}': {self.log()[-2000:]}")
        return True

    def access(self):
        """The records of the access log so far."""
        with open(self.access_path, "rb") as f:
            return [json.loads(line) for line in f.read().split(b"\n")[:-1]]

    def record(self, path, n=1):
        """The n-th record of this path, once it is there."""
        def found():
            return [r for r in self.access() if r["path"] == path]

        wait_until(lambda: len(found()) >= n, f"the access log has {path}")
        return found()[n - 1]

    def metrics(self):
        """{'name{label="value"}': number}"""
        with Http(self.metrics_path) as h:
            page = h.ask("GET", "/metrics").body.decode()
        return {k: float(v) for k, _, v in (line.rpartition(" ") for line in page.splitlines()
                                            if not line.startswith("#"))}

    def metric(self, name):
        """Of all labels together."""
        return int(sum(v for k, v in self.metrics().items() if k.partition("{")[0] == name))

    def failures(self, reason):
        return int(sum(v for k, v in self.metrics().items()
                       if k.startswith("wherry_http_failures_total{")
                       and f'reason="{reason}"' in k))

    def wait_metric(self, name, value):
        wait_until(lambda: self.metric(name) == value,
                   f"{name} is {value} (it is {self.metric(name)})")


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def private_kb(pid):
    """Memory that the process has for itself."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return sum(int(n) for n in re.findall(r"(?:Private_\w+|Swap): +(\d+) kB", f.read()))


def wait_settled(look, quiet_s=0.3):
    """Until what look() tells has been the same for a while: for what has no last event."""
    before = object()
    while before != (before := look()):
        select.select([], [], [], quiet_s)
    return before


# ---- HTTP/1.1 --------------------------------------------------------------------------------


def head(method, path, *lines, version="1.1", host="localhost"):
    """The bytes of a request's head; `lines` are further headers."""
    hosts = [f"Host: {host}"] if host is not None else []
    return "\r\n".join([f"{method} {path} HTTP/{version}", *hosts, *lines, "", ""]).encode()


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


class Cut(Exception):
    """The connection ended before the answer did; `answer` is what came, or None."""

    def __init__(self, answer=None):
        super().__init__("the answer was cut" if answer else "there was no answer")
        self.answer = answer


class Answer:
    def __init__(self, status, headers):
        self.status, self.headers, self.trailers = status, headers, []
        self.body = bytearray()

    def header(self, name):
        return next((v for k, v in self.headers if k == name), None)

    def trailer(self, name):
        return next((v for k, v in self.trailers if k == name), None)


class Http:
    """A connection to a Server, an address or a unix socket's path."""

    def __init__(self, to, tls=None, name="localhost"):
        to = to.address if isinstance(to, Server) else to
        self.socket = socket.socket(socket.AF_UNIX if isinstance(to, str) else socket.AF_INET)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(to)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=name)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, method, path, *lines, body=None, **how):
        if body is not None:
            lines += (f"Content-Length: {len(body)}",)
        self.send(head(method, path, *lines, **how) + (body or b""))
        return self.answer(method)

    def get(self, path, *lines, **how):
        return self.ask("GET", path, *lines, **how)

    def _fields(self):
        fields = []
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            fields.append((name.lower(), value.strip()))
        return fields

    def begin(self):
        """The next head, of an interim answer too."""
        try:
            line = self.file.readline()
        except ConnectionResetError:
            line = b""
        found = re.match(rb"HTTP/1\.[01] (\d{3})", line)
        if not found:
            raise Cut()
        return Answer(int(found[1]), self._fields())

    def _take(self, answer, size):
        try:
            data = self.file.read(size)
        except ConnectionResetError:
            data = b""
        answer.body += data
        if len(data) < size:
            raise Cut(answer)

    def next_chunk(self, answer):
        """Adds the next chunk to the answer; False for the last one, with which trailers come."""
        line = self.file.readline()
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise Cut(answer) from None
        if not size:
            answer.trailers = self._fields()
            return False
        self._take(answer, size)
        self.file.readline()
        return True

    def answer(self, method="GET"):
        while (a := self.begin()).status < 200:
            pass
        return self.rest(a, method)

    def rest(self, answer, method="GET"):
        """The body behind the head."""
        length = answer.header("content-length")
        if method == "HEAD" or answer.status in (204, 304):
            return answer
        if answer.header("transfer-encoding") == "chunked":
            while self.next_chunk(answer):
                pass
        elif length is not None:
            self._take(answer, int(length))
        else:
            answer.body = self.file.read()
        return answer

    def is_closed(self):
        """Waits until the server ends the connection; True when nothing else came."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True


def letters(n):
    """What the probes' `download?N` sends."""
    return (b"abcdefghijklmnopqrstuvwxyz" * (n // 26 + 1))[:n]


def ask(to, method, path, *lines, **how):
    """On a connection of its own."""
    with Http(to) as h:
        return h.ask(method, path, *lines, **how)


def get(to, path, *lines, **how):
    return ask(to, "GET", path, *lines, **how)


# ---- Programs --------------------------------------------------------------------------------


def output(*argv, **options):
    """(status, standard output, standard error)"""
    done = subprocess.run([str(a) for a in argv], stdin=options.pop("stdin", subprocess.DEVNULL),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE_S,
                          **options)
    return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")


def load_start(to, path, connections, *options):
    """bench/http_load in the background; load_end() has its report."""
    subprocess.run(["ninja", "-C", BUILD, "--quiet", "bench/http_load"], check=True,
                   stdout=sys.stderr)
    to = "127.0.0.1:%d" % to.port if isinstance(to, Server) else to
    return subprocess.Popen([os.path.join(BUILD, "bench/http_load"), "--json", "--timeout", "30s",
                             "--connections", str(connections), "--path", path,
                             *map(str, options), to], stdout=subprocess.PIPE, text=True)


def load_end(process, is_stopped=False):
    if is_stopped:
        process.send_signal(signal.SIGTERM)
    return json.loads(process.communicate(timeout=PATIENCE_S if is_stopped else 600)[0])


def load(to, path, connections, requests, *options):
    return load_end(load_start(to, path, connections, "--requests", requests, "--duration", "10m",
                               *options))


# ---- Certificates ----------------------------------------------------------------------------


def _openssl(*argv):
    status, _, text = output("openssl", *argv)
    if status:
        raise RuntimeError("openssl: " + text)


def authority(folder, name="ca"):
    """(certificate, key) that certificates can be made with."""
    cert, key = (os.path.join(folder, name + end) for end in (".pem", ".key"))
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", "/CN=Authority of a test", "-keyout", key, "-out", cert,
             "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    return cert, key


def certificate(folder, ca, name="localhost", file="server"):
    """(certificate, key) of a server with this name, 127.0.0.1, and 0.0.0.0, which leads here too."""
    cert, key, request, extensions = (os.path.join(folder, file + end)
                                      for end in (".pem", ".key", ".csr", ".ext"))
    _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-subj", "/CN=" + name, "-keyout", key, "-out", request)
    with open(extensions, "w", encoding="ascii") as f:
        f.write(f"subjectAltName=DNS:{name},IP:127.0.0.1,IP:0.0.0.0\nbasicConstraints=CA:FALSE\n")
    _openssl("x509", "-req", "-in", request, "-CA", ca[0], "-CAkey", ca[1], "-days", "2",
             "-extfile", extensions, "-out", cert)
    return cert, key
