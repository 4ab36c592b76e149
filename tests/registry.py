# SPDX-License-Identifier: Apache-2.0
"""Registries for the tests of a registry client: a real docker-registry, a token server that it
trusts, and skopeo to push to it and pull from it. faulty_registry.py has one that misbehaves."""
import base64
import ctypes
import hashlib
import http.server
import json
import os
import re
import secrets
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse
from dataclasses import dataclass, field
from typing import NamedTuple

from serve_client import BOX, WHERRY, authority, certificate, output
from worker_client import PATIENCE_S, wait_until

# docker-registry 2.8 takes a token for this much longer than the token says.
REGISTRY_LEEWAY_S = 60


def basic(user, password):
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# ---- Certificates ----------------------------------------------------------------------------


class PrivateCa(NamedTuple):
    ca: tuple       # (certificate, key) of the authority
    server: tuple   # (certificate, key) of a server on localhost and 127.0.0.1
    cert_dir: str   # for skopeo's --src-cert-dir and --dest-cert-dir

    @property
    def ca_file(self):
        return self.ca[0]


def private_ca(folder):
    """An authority that nobody knows, and a server's certificate by it."""
    ca = authority(folder)
    cert_dir = os.path.join(folder, "certs.d")
    os.makedirs(cert_dir)
    shutil.copy(ca[0], os.path.join(cert_dir, "ca.crt"))
    return PrivateCa(ca, certificate(folder, ca), cert_dir)


# ---- A registry ------------------------------------------------------------------------------


class Logged(NamedTuple):
    method: str
    path: str  # with the query
    status: int


def _bcrypt(password):
    """As htpasswd -B writes it; the only kind that docker-registry takes."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    # The last of 22 letters of a salt has two bits only.
    salt = "$2b$04$" + secrets.token_hex(16)[:21] + "u"
    return crypt(password.encode(), salt.encode()).decode()


class Registry:
    """docker-registry on a free port of 127.0.0.1, with a folder of its own. Open, or with
    htpasswd={"user": "password"} or token=TokenServer; plain HTTP, or tls=(certificate, key)."""

    _ACCESS = re.compile(r'^\S+ \S+ \S+ \[[^]]*\] "([A-Z]+) (\S+) HTTP/[\d.]+" (\d{3}) ', re.M)

    def __init__(self, *, htpasswd=None, token=None, tls=None, has_schema_1=False):
        self.dir = tempfile.mkdtemp(prefix="registry-", dir=BOX)
        self.scheme = "https" if tls else "http"
        self._access_path = os.path.join(self.dir, "access")
        self._errors_path = os.path.join(self.dir, "log")
        config = os.path.join(self.dir, "config.yml")
        with open(config, "w", encoding="utf-8") as f:
            json.dump(self._config(htpasswd, token, tls, has_schema_1), f)  # it is YAML, too
        # Only the file says what it is to do.
        env = {k: v for k, v in os.environ.items() if not k.startswith("REGISTRY_")}
        with open(self._access_path, "wb") as access, open(self._errors_path, "wb") as errors:
            self.process = subprocess.Popen(["docker-registry", "serve", config], cwd=self.dir,
                                            env=env, stdin=subprocess.DEVNULL, stdout=access,
                                            stderr=errors)
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise

    def _config(self, htpasswd, token, tls, has_schema_1):
        config = {
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": os.path.join(self.dir, "data")},
                        "delete": {"enabled": True},
                        "maintenance": {"uploadpurging": {"enabled": False}}},
            "compatibility": {"schema1": {"enabled": has_schema_1}},
            "http": {"addr": "127.0.0.1:0", "secret": "of a test"}}
        if tls:
            config["http"]["tls"] = {"certificate": tls[0], "key": tls[1]}
        if htpasswd:
            path = os.path.join(self.dir, "htpasswd")
            with open(path, "w", encoding="utf-8") as f:
                f.writelines(f"{user}:{_bcrypt(password)}\n" for user, password in htpasswd.items())
            config["auth"] = {"htpasswd": {"realm": "a test", "path": path}}
        if token:
            config["auth"] = {"token": {"realm": token.realm, "service": token.service,
                                        "issuer": token.issuer,
                                        "rootcertbundle": token.certificate}}
        return config

    def wait(self):
        """Until it listens; its port is known then."""
        def port():
            return re.search(r"listening on 127\.0\.0\.1:(\d+)", self.errors())

        wait_until(lambda: port() or self.process.poll() is not None, "docker-registry listens")
        if not port():
            raise RuntimeError("docker-registry does not listen: " + self.errors())
        self.port = int(port()[1])

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if exception[0]:
            sys.stderr.write("the registry's log:\n" + self.log()[-4000:] + self.errors()[-4000:])
        self.stop()

    def stop(self):
        """Ends it, and its folder with it."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"{self.scheme}://{self.address}"

    def blob_path(self, digest):
        """Where the blob lies, for tests that damage it."""
        kind, _, digits = digest.partition(":")
        return os.path.join(self.dir, "data/docker/registry/v2/blobs", kind, digits[:2], digits,
                            "data")

    def errors(self):
        """What it says about itself."""
        return self._read(self._errors_path)

    def log(self):
        """The access log, with every request of clients that have closed their connection: a
        request's line may come after its answer, but not after the end of its connection."""
        if self.process.poll() is None:
            wait_until(lambda: not self._unfinished(), "the registry ends closed connections")
        return self._read(self._access_path)

    def requests(self, method=None, path=""):
        """[(method, path, status)] of the access log: of this method, the path with this regular
        expression in it."""
        found = (Logged(m[1], m[2], int(m[3])) for m in self._ACCESS.finditer(self.log()))
        return [r for r in found if method in (None, r.method) and re.search(path, r.path)]

    def _unfinished(self):
        """The connections that the client has ended and the registry has not."""
        held = set()
        folder = f"/proc/{self.process.pid}/fd"
        for fd in os.listdir(folder):
            try:
                held.update(re.findall(r"^socket:\[(\d+)\]$", os.readlink(f"{folder}/{fd}")))
            except FileNotFoundError:
                pass  # closed in the meantime
        with open(f"/proc/{self.process.pid}/net/tcp", encoding="ascii") as f:
            rows = [line.split() for line in f][1:]
        alive = {row[9] for row in rows if row[3] in ("01", "0A")}  # established, listens
        return held - alive

    @staticmethod
    def _read(path):
        try:
            with open(path, "rb") as f:
                return f.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""  # stopped


# ---- Servers in a thread ---------------------------------------------------------------------


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def pieces(self):
        """The request's body as it comes."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().partition(b";")[0] or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        left = int(self.headers.get("Content-Length", 0))
        while left and (piece := self.rfile.read(min(left, 65536))):
            left -= len(piece)
            yield piece

    def begin(self, status, headers):
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def reply(self, status, document, headers={}):
        body = json.dumps(document).encode()
        self.begin(status, {"Content-Type": "application/json", **headers,
                            "Content-Length": str(len(body))})
        self.wfile.write(body)

    def do_any(self):
        self.server.answer(self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_any


class HttpServer(socketserver.ThreadingTCPServer):
    """On a free port of 127.0.0.1 from where `with` begins; where it ends, every connection and
    every thread has. Subclasses say answer(handler) and keep what was asked in `seen`."""

    daemon_threads = False  # they are joined
    request_queue_size = 128

    def __init__(self, tls=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "https" if tls else "http"
        self.seen = []
        self.is_ending = threading.Event()
        self._connections = {}  # socket: is it to be reset
        self._tls = None
        if tls:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*tls)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    @property
    def address(self):
        return "127.0.0.1:%d" % self.server_address[1]

    @property
    def url(self):
        return f"{self.scheme}://{self.address}"

    def requests(self, method=None, path=""):
        """What was asked so far: of this method, the path with this regular expression in it."""
        return [r for r in list(self.seen)
                if method in (None, r.method) and re.search(path, r.path)]

    def wait_requests(self, count, method=None, path=""):
        """The requests, once there are so many."""
        wait_until(lambda: len(self.requests(method, path)) >= count,
                   f"{count} requests {method} {path}: {self.seen}")
        return self.requests(method, path)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.is_ending.set()
        self.shutdown()
        self._thread.join()
        for connection in list(self._connections):
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:
                pass  # ended in the meantime
        self.server_close()

    def get_request(self):
        connection, address = super().get_request()
        if self._tls:
            # The handshake comes with the first read, in the thread of the connection.
            connection = self._tls.wrap_socket(connection, server_side=True,
                                               do_handshake_on_connect=False)
        self._connections[connection] = False
        return connection, address

    def reset_later(self, connection):
        """When it is closed the peer gets a reset instead of an end."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connections[connection] = True

    def shutdown_request(self, request):
        if self._connections.pop(request, False):
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # which is a peer that has gone
            traceback.print_exc()


# ---- A token server --------------------------------------------------------------------------


@dataclass
class TokenRequest:
    method: str
    path: str
    fields: dict   # of the query or the form: {name: [value]}
    authorization: str | None
    user: str | None = None  # who it was, "" for anybody, None for nobody who is known
    status: int = 0
    scopes: list = field(default_factory=list)


def _base64url(data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class TokenServer(HttpServer):
    """Issues tokens by the distribution project's specification (spec/auth/token, jwt, oauth): GET
    with Basic authentication, POST with grant_type password or refresh_token. The attributes below
    can be changed at any time; requests() has TokenRequests."""

    service = "registry of a test"
    issuer = "token server of a test"

    def __init__(self, users, tls=None):
        """users: {user: password}"""
        super().__init__(tls)
        self.users = dict(users)
        self.identities = {}           # {identity token: user}
        self.is_open = False           # anybody may pull
        self.is_refusing = False       # nobody gets a token
        self.is_useless = False        # the registry will refuse the tokens: for loops
        self.has_oauth = True          # without it POST is not found
        self.lifetime_s = 300          # how long the registry takes a token
        self.said_s = None             # what the answer says instead
        self.names = ("token", "access_token")  # under which the answer has the token
        self.dir = tempfile.mkdtemp(prefix="token-", dir=BOX)
        self.certificate = os.path.join(self.dir, "token.pem")
        self._key = os.path.join(self.dir, "token.key")
        status, _, text = output("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
                                 "-days", "2", "-subj", "/CN=Tokens of a test",
                                 "-keyout", self._key, "-out", self.certificate)
        if status:
            raise RuntimeError("openssl: " + text)
        with open(self.certificate, encoding="ascii") as f:
            self._der = ssl.PEM_cert_to_DER_cert(f.read())

    def __exit__(self, *exception):
        super().__exit__(*exception)
        shutil.rmtree(self.dir, ignore_errors=True)

    @property
    def realm(self):
        return self.url + "/token"

    def identity(self, user):
        """A new identity token of the user: what grant_type refresh_token gives."""
        token = secrets.token_urlsafe(24)
        self.identities[token] = user
        return token

    def token(self, user, scopes, service=None):
        """A token for the scopes ("repository:NAME:pull,push")."""
        now = time.time()
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            # Anybody may only pull.
            access.append({"type": kind, "name": name,
                           "actions": [a for a in actions.split(",") if user or a == "pull"]})
        claims = {"iss": "nobody" if self.is_useless else self.issuer, "sub": user,
                  "aud": service or self.service, "nbf": int(now), "iat": int(now),
                  "exp": int(now + self.lifetime_s - REGISTRY_LEEWAY_S),
                  "jti": secrets.token_hex(8), "access": access}
        head = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(self._der).decode()]}
        text = _base64url(head) + b"." + _base64url(claims)
        done = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self._key], input=text,
                              stdout=subprocess.PIPE, check=True, timeout=PATIENCE_S)
        return (text + b"." + _base64url(done.stdout)).decode()

    def _user(self, request):
        """Who asks: "" for anybody, None when it is not to have a token."""
        def value(name):
            return request.fields.get(name, [""])[0]

        user = None
        if request.method == "POST":
            if value("grant_type") == "refresh_token":
                user = self.identities.get(value("refresh_token"))
            elif value("grant_type") == "password" \
                    and self.users.get(value("username")) == value("password"):
                user = value("username")
        elif request.authorization is None:
            user = "" if self.is_open else None
        else:
            user = next((u for u, p in self.users.items() if request.authorization == basic(u, p)),
                        None)
        return None if self.is_refusing else user

    def answer(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        body = b"".join(handler.pieces()).decode("utf-8", "replace")
        fields = urllib.parse.parse_qs(body if handler.command == "POST" else url.query)
        request = TokenRequest(handler.command, handler.path, fields,
                               handler.headers.get("Authorization"))
        request.scopes = [w for s in fields.get("scope", []) for w in s.split()]
        request.user = self._user(request)
        if url.path != "/token" or request.method not in ("GET", "POST") \
                or (request.method == "POST" and not self.has_oauth):
            request.status, document = 404, {"details": "not found"}
        elif request.user is None:
            request.status, document = 401, {"details": "incorrect username or password"}
        else:
            request.status, document = 200, self._issued(request)
        self.seen.append(request)
        handler.reply(request.status, document)

    def _issued(self, request):
        fields = request.fields
        token = self.token(request.user, request.scopes, fields.get("service", [None])[0])
        document = {name: token for name in self.names}
        document["expires_in"] = self.lifetime_s if self.said_s is None else self.said_s
        document["issued_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if request.method == "POST":
            document["scope"] = " ".join(request.scopes)
        if "refresh_token" in fields:
            document["refresh_token"] = fields["refresh_token"][0]
        elif request.user and ("offline" in fields.get("access_type", [])
                               or "true" in fields.get("offline_token", [])):
            document["refresh_token"] = self.identity(request.user)
        return document


# ---- skopeo ----------------------------------------------------------------------------------


class SkopeoError(Exception):
    pass


def login_file(path, registry, credentials=None, identity=None):
    """What `docker login` writes (auth.json, config.json): credentials (user, password) or an
    identity token, or an empty one. Its path."""
    auths = {}
    if credentials:
        auths["auth"] = base64.b64encode(":".join(credentials).encode()).decode()
    elif identity:
        auths = {"auth": base64.b64encode(b"<token>:").decode(), "identitytoken": identity}
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"auths": {registry.address: auths} if auths else {}}, f)
    return path


def _skopeo_copy(source, target, side, registry, credentials, identity, cert_dir):
    """The digest of the manifest. `side` is which of the two is the registry."""
    with tempfile.TemporaryDirectory(dir=BOX) as folder:
        digest_file = os.path.join(folder, "digest")
        # Always a file: nobody's own is to be used.
        login = login_file(os.path.join(folder, "auth.json"), registry, credentials, identity)
        argv = ["skopeo", "copy", "--insecure-policy", "--all", "--preserve-digests",
                "--authfile", login, "--digestfile", digest_file]
        if cert_dir:
            argv += [f"--{side}-cert-dir", cert_dir]
        elif registry.scheme == "http":
            argv += [f"--{side}-tls-verify=false"]
        status, _, said = output(*argv, source, target)
        if status:
            raise SkopeoError(said)
        with open(digest_file, encoding="ascii") as f:
            return f.read().strip()


def push_layout(layout_dir, tag, registry, name="test/app", to_tag=None, *, credentials=None,
                identity=None, cert_dir=None):
    """The image of the layout by skopeo to NAME:TAG (or TO_TAG) of a registry; the digest of its
    manifest. credentials: (user, password). SkopeoError has what skopeo says."""
    return _skopeo_copy(f"oci:{layout_dir}:{tag}",
                        f"docker://{registry.address}/{name}:{to_tag or tag}", "dest", registry,
                        credentials, identity, cert_dir)


def pull_layout(registry, tag, layout_dir, name="test/app", to_tag=None, *, credentials=None,
                identity=None, cert_dir=None):
    """The other way."""
    return _skopeo_copy(f"docker://{registry.address}/{name}:{tag}",
                        f"oci:{layout_dir}:{to_tag or tag}", "src", registry, credentials, identity,
                        cert_dir)
