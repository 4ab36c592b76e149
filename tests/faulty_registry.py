# SPDX-License-Identifier: Apache-2.0
"""A registry that misbehaves as a test says. It is a fake: what it does when it behaves is as
little of the distribution specification as a client can pull and push with, all in memory, and
without any check of what is pushed. What a real registry does is to be asked of registry.Registry.
"""
import hashlib
import json
import os
import re
import secrets
import threading
import urllib.parse
from dataclasses import dataclass, field

from image_layout import INDEX, MANIFEST
from registry import HttpServer
from serve_client import chunk

PIECE_BYTES = 65536


@dataclass
class Request:
    method: str
    path: str       # with the query
    headers: dict   # names in lower case
    body: bytes = b""
    status: int = 0  # of the answer, 0 when none was begun
    sent: int = 0    # bytes of the answer's body so far

    @property
    def range(self):
        return self.headers.get("range")

    @property
    def authorization(self):
        return self.headers.get("authorization")


@dataclass
class Reply:
    """What is going to be answered: the faults change it."""
    status: int
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    whole: bytes | None = None   # of a blob, whatever range was asked for
    length: int | None = None    # what Content-Length says, when it lies
    filler_bytes: float = 0      # so many spaces follow the body
    is_chunked: bool = False     # no Content-Length
    stop: str = ""               # "hang", "cut" or "reset" ...
    stop_at: float | None = None  # ... after so much of the body; None: before the head
    piece_bytes: int = PIECE_BYTES
    pause_s: float = 0           # after each piece
    raw: bytes | None = None     # instead of all that; the connection ends behind it

    def stop_bytes(self):
        """An int is a number of bytes, a float a part of the body."""
        at = self.stop_at
        return int(at * len(self.body)) if isinstance(at, float) else min(at, len(self.body))


# ---- Faults: functions that change a reply ---------------------------------------------------


def answers(status, headers=None, body=None):
    """This instead, say answers(429, {"Retry-After": "1"}); the body is an error of the OCI's."""
    def fault(_, reply):
        reply.status = status
        reply.headers = {"Content-Type": "application/json", **(headers or {})}
        reply.body = _error("UNKNOWN", "a fault of a test") if body is None else body
    return fault


def unauthorized(challenge='Basic realm="a test"'):
    """401 whatever the client says."""
    return answers(401, {"WWW-Authenticate": challenge}, _error("UNAUTHORIZED", "who are you"))


def demands(authorization, challenge='Basic realm="a test"'):
    """401 unless the Authorization header is this (registry.basic() makes one)."""
    def fault(request, reply):
        if request.authorization != authorization:
            unauthorized(challenge)(request, reply)
    return fault


def hangs(at=None):
    """Stops until release(): before the head, or after `at` of the body (0.5: half, 10: 10 bytes).
    Request.sent tells when it is there."""
    return _set(stop="hang", stop_at=at)


def cuts(at=None, is_reset=False):
    """Ends the connection: before the head, or after `at` of the body."""
    return _set(stop="reset" if is_reset else "cut", stop_at=at)


def trickles(piece_bytes, pause_s):
    """Sends the body slowly."""
    return _set(piece_bytes=piece_bytes, pause_s=pause_s)


def redirects(to, status=307):
    """The same path at another registry, or the URL `to`."""
    def fault(request, reply):
        location = to.url + request.path if isinstance(to, HttpServer) else to
        answers(status, {"Location": location}, b"")(request, reply)
    return fault


def ignores_range():
    """The whole blob, whatever part was asked for."""
    def fault(_, reply):
        if reply.status in (206, 416):
            reply.status, reply.body = 200, reply.whole
            reply.headers.pop("Content-Range", None)
    return fault


def lies_length(by):
    """Content-Length says so many bytes more (or fewer, below 0) than there are."""
    def fault(_, reply):
        reply.length = len(reply.body) + by
    return fault


def says(header, value):
    """This header, or not any with None: Docker-Content-Digest, Content-Type, Content-Range."""
    def fault(_, reply):
        reply.headers.pop(header, None)
        if value is not None:
            reply.headers[header] = value
    return fault


def other_bytes(data=None):
    """A body that is not what the digest says: `data`, or one byte changed."""
    def fault(_, reply):
        reply.body = reply.body[:-1] + bytes([reply.body[-1] ^ 1]) if data is None else data
    return fault


def other_rest(more=0):
    """Whoever asks for the rest of a blob gets other bytes, and some more of them."""
    def fault(request, reply):
        if reply.status == 206:
            reply.body = os.urandom(len(reply.body) + more)
    return fault


def html(status=200):
    """As a portal does in which one has to log in first."""
    return answers(status, {"Content-Type": "text/html; charset=utf-8"},
                   b"<!DOCTYPE html><html><body>Please log in</body></html>\n")


def huge(size=1 << 30, is_chunked=False):
    """The body with spaces behind it, up to `size`; math.inf, chunked, has no end."""
    def fault(_, reply):
        reply.filler_bytes, reply.is_chunked = max(size - len(reply.body), 0), is_chunked
    return fault


def raw(data):
    """These bytes instead of HTTP."""
    return _set(raw=data)


def _set(**fields):
    def fault(_, reply):
        for name, value in fields.items():
            setattr(reply, name, value)
    return fault


def _error(code, message):
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


# ---- The registry ----------------------------------------------------------------------------


class FaultyRegistry(HttpServer):
    """A fake registry; requests() has Requests. Several of them can share the dicts `blobs` and
    `manifests`. Blobs belong to every repository."""

    _PATH = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|tags)/(?P<what>.+)")

    def __init__(self, *, tls=None, blobs=None, manifests=None):
        super().__init__(tls)
        self.blobs = {} if blobs is None else blobs  # {digest: bytes}
        # {(repository, tag or digest): (media type, bytes)}
        self.manifests = {} if manifests is None else manifests
        self.upload_cut_bytes = None  # ends the connection when a request's body is longer
        self._uploads = {}            # {id: bytearray}
        self._faults = []             # [function, regular expression, how often]
        self._lock = threading.Lock()  # of the faults and the uploads
        self._released = threading.Event()

    # ---- For tests ----

    def add_blob(self, data):
        """Its digest."""
        self.blobs[digest_of(data)] = data
        return digest_of(data)

    def add_manifest(self, name, tag, document, media_type=MANIFEST):
        """Its digest; by it and by the tag (None: only by it) it can be asked for."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        for reference in (tag, digest_of(data)):
            if reference:
                self.manifests[name, reference] = media_type, data
        return digest_of(data)

    def add_layout(self, layout_dir, name="test/app"):
        """Every image of an image layout, by its tag."""
        def blob(digest):
            path = os.path.join(layout_dir, "blobs", *digest.split(":"))
            with open(path, "rb") as f:
                return f.read()

        def add(descriptor, tag):
            data = blob(descriptor["digest"])
            self.add_manifest(name, tag, data, descriptor["mediaType"])
            document = json.loads(data)
            if descriptor["mediaType"] == INDEX:
                for child in document["manifests"]:
                    add(child, None)
            for part in [document.get("config"), *document.get("layers", [])]:
                if part:
                    self.blobs[part["digest"]] = blob(part["digest"])

        with open(os.path.join(layout_dir, "index.json"), encoding="utf-8") as f:
            for descriptor in json.load(f)["manifests"]:
                add(descriptor, descriptor["annotations"]["org.opencontainers.image.ref.name"])

    def inject(self, fault, where=r"^GET ", times=None):
        """fault(request, reply) changes the replies to the next `times` requests (None: to all)
        with this regular expression in "METHOD PATH". Several faults work one after the other."""
        with self._lock:
            self._faults.append([fault, where, times])

    def heal(self):
        """No more faults; what hangs goes on."""
        with self._lock:
            self._faults.clear()
            self.upload_cut_bytes = None
        self.release()

    def release(self):
        """What hangs goes on; what hangs from now on does not."""
        released, self._released = self._released, threading.Event()
        released.set()

    def __exit__(self, *exception):
        self.is_ending.set()
        self.release()
        super().__exit__(*exception)

    # ---- What it does ----

    def answer(self, handler):
        headers = {k.lower(): v for k, v in handler.headers.items()}
        request = Request(handler.command, handler.path, headers)
        self.seen.append(request)
        body = bytearray()
        for piece in handler.pieces():
            body += piece
            if self.upload_cut_bytes is not None and len(body) > self.upload_cut_bytes:
                request.body, handler.close_connection = bytes(body), True
                self.reset_later(handler.connection)
                return
        request.body = bytes(body)
        reply = self._honest(request)
        for fault in self._due(f"{request.method} {request.path}"):
            fault(request, reply)
        self._send(handler, request, reply)

    def _due(self, what):
        with self._lock:
            due = [f for f in self._faults if f[2] != 0 and re.search(f[1], what)]
            for f in due:
                f[2] = None if f[2] is None else f[2] - 1
        return [f[0] for f in due]

    def _send(self, handler, request, reply):
        if reply.stop and reply.stop_at is None and not self._goes_on(handler, reply):
            return
        if reply.raw is not None:
            handler.close_connection = True
            handler.wfile.write(reply.raw)
            return
        request.status = reply.status
        total = len(reply.body) + reply.filler_bytes
        length = total if reply.length is None else reply.length
        handler.close_connection |= length != total
        framing = {"Transfer-Encoding": "chunked"} if reply.is_chunked else {
            "Content-Length": str(length)}
        handler.begin(reply.status, {**reply.headers, **(framing if reply.status != 204 else {})})
        if request.method == "HEAD" or reply.status == 204:
            return
        stop = len(reply.body)
        if reply.stop and reply.stop_at is not None:
            stop = reply.stop_bytes()
        self._send_body(handler, request, reply, reply.body[:stop])
        if reply.stop and reply.stop_at is not None and not self._goes_on(handler, reply):
            return
        self._send_body(handler, request, reply, reply.body[stop:])
        self._send_filler(handler, request, reply)
        if reply.is_chunked:
            handler.wfile.write(b"0\r\n\r\n")

    def _goes_on(self, handler, reply):
        """After hanging it does, after the others not."""
        if reply.stop == "hang":
            # release() replaces the event, after is_ending was set.
            released = self._released
            if not self.is_ending.is_set():
                released.wait()
            return not self.is_ending.is_set()
        if reply.stop == "reset":
            self.reset_later(handler.connection)
        handler.close_connection = True
        return False

    def _send_body(self, handler, request, reply, data):
        for start in range(0, len(data), reply.piece_bytes):
            piece = data[start:start + reply.piece_bytes]
            handler.wfile.write(chunk(piece) if reply.is_chunked else piece)
            request.sent += len(piece)
            if reply.pause_s:
                self.is_ending.wait(reply.pause_s)

    def _send_filler(self, handler, request, reply):
        left = reply.filler_bytes
        while left > 0 and not self.is_ending.is_set():
            size = int(min(left, PIECE_BYTES))
            self._send_body(handler, request, reply, b" " * size)
            left -= size

    def _honest(self, request):
        path, _, query = request.path.partition("?")
        if path == "/v2/":
            return Reply(200, {"Content-Type": "application/json"}, b"{}")
        found = self._PATH.fullmatch(path)
        if not found:
            return self._missing("NAME_UNKNOWN", path)
        name, kind, what = found["name"], found["kind"], found["what"]
        if kind == "tags":
            return self._tags(name)
        if kind == "manifests":
            return self._manifest(request, name, what)
        if what.startswith("uploads"):
            return self._upload(request, name, what.partition("/")[2],
                                urllib.parse.parse_qs(query))
        return self._blob(request, what)

    @staticmethod
    def _missing(code, what):
        return Reply(404, {"Content-Type": "application/json"}, _error(code, f"{what} unknown"))

    def _tags(self, name):
        tags = sorted(t for n, t in list(self.manifests) if n == name and ":" not in t)
        return Reply(200, {"Content-Type": "application/json"},
                     json.dumps({"name": name, "tags": tags}).encode())

    def _manifest(self, request, name, reference):
        if request.method == "PUT":
            media_type = request.headers.get("content-type", MANIFEST)
            digest = self.add_manifest(name, reference, request.body, media_type)
            return Reply(201, {"Location": f"/v2/{name}/manifests/{digest}",
                               "Docker-Content-Digest": digest})
        if (name, reference) not in self.manifests:
            return self._missing("MANIFEST_UNKNOWN", reference)
        media_type, data = self.manifests[name, reference]
        return Reply(200, {"Content-Type": media_type, "Docker-Content-Digest": digest_of(data)},
                     data)

    def _blob(self, request, digest):
        if digest not in self.blobs:
            return self._missing("BLOB_UNKNOWN", digest)
        data = self.blobs[digest]
        reply = Reply(200, {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes",
                            "Docker-Content-Digest": digest}, data, whole=data)
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", request.range or "")
        if part:
            first, last = int(part[1]), min(int(part[2] or len(data)), len(data) - 1)
            if first > last:
                reply.status, reply.body = 416, b""
                reply.headers["Content-Range"] = f"bytes */{len(data)}"
            else:
                reply.status, reply.body = 206, data[first:last + 1]
                reply.headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return reply

    def _upload(self, request, name, id, query):
        with self._lock:
            if request.method == "POST":
                id = secrets.token_hex(8)
                self._uploads[id] = bytearray()
            if id not in self._uploads:
                return self._missing("BLOB_UPLOAD_UNKNOWN", id)
            data = self._uploads[id]
            if request.method in ("POST", "PATCH", "PUT"):
                data += request.body
            if "digest" in query and request.method in ("POST", "PUT"):
                digest = query["digest"][0]
                self.blobs[digest] = bytes(self._uploads.pop(id))
                return Reply(201, {"Location": f"/v2/{name}/blobs/{digest}",
                                   "Docker-Content-Digest": digest})
        return Reply(204 if request.method == "GET" else 202, {
            "Location": f"/v2/{name}/blobs/uploads/{id}", "Range": f"0-{max(len(data) - 1, 0)}"})
