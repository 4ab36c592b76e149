#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The registries that tests of a registry client use are what they say: docker-registry and the
token server as skopeo meets them, and each fault of the faulty one as it is on the wire."""
import http.client
import json
import math
import os
import shutil
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from faulty_registry import (FaultyRegistry, answers, cuts, demands, digest_of, hangs,  # noqa: E402
                             html, huge, ignores_range, lies_length, other_bytes, raw, redirects,
                             says, trickles, unauthorized)
from image_layout import INDEX, MANIFEST, Layout  # noqa: E402
from registry import (Registry, SkopeoError, TokenServer, basic, private_ca,  # noqa: E402
                      pull_layout, push_layout)
from serve_client import BOX, tap  # noqa: E402
from worker_client import PATIENCE_S, children, wait_until  # noqa: E402

PROGRAM = b"\0asm\1\0\0\0" + os.urandom(200_000)
ALICE = ("alice", "secret:1")


def make_layout(name):
    """(layout, digest of its image v1, digest of the program)"""
    layout = Layout(os.path.join(BOX, name))
    path = os.path.join(BOX, name + ".wasm")
    with open(path, "wb") as f:
        f.write(PROGRAM)
    descriptor = layout.artifact(path)
    layout.tag("v1", descriptor)
    return layout, descriptor["digest"], digest_of(PROGRAM)


def is_refused(copy, *args, **options):
    """What skopeo says when it fails."""
    try:
        copy(*args, **options)
    except SkopeoError as e:
        return str(e)
    return ""


def goes_around(what, registry, **options):
    """Pushed and pulled it is what it was."""
    layout, digest, program = make_layout(what)
    back = os.path.join(BOX, what + "-back")
    tap.equal(f"{what}: skopeo pushes",
              push_layout(layout.dir, "v1", registry, to_tag="v2", **options), digest)
    tap.equal(f"{what}: skopeo pulls it", pull_layout(registry, "v2", back, **options), digest)
    with open(os.path.join(back, "blobs/sha256", program.partition(":")[2]), "rb") as f:
        tap.ok(f"{what}: it is what it was", f.read() == PROGRAM)
    return layout, program


# ---- docker-registry -------------------------------------------------------------------------


def open_registry():
    with Registry() as registry:
        layout, program = goes_around("open", registry)
        path = f"/v2/test/app/blobs/{program}"
        tap.equal("the access log counts requests", registry.requests("GET", program),
                  [("GET", path, 200)])
        # The line of a blob comes after its end.
        counts = []
        for _ in range(50):
            ask(registry, path)
            counts.append(len(registry.requests("GET", program)))
        tap.equal("... none is missing when the client is done", counts, list(range(2, 52)))
        with open(registry.blob_path(program), "rb") as f:
            tap.ok("blob_path is the blob's", f.read() == PROGRAM)
        found = ask(registry, "/v2/test/app/manifests/v2", {"Accept": MANIFEST})
        digest = found.headers["Docker-Content-Digest"]
        tap.equal("the manifest is the one of the OCI", found.headers["Content-Type"], MANIFEST)
        gone = ask(registry, f"/v2/test/app/manifests/{digest}", method="DELETE")
        tap.equal("images can be deleted", (gone.status, ask(
            registry, f"/v2/test/app/manifests/{digest}", {"Accept": MANIFEST}).status), (202, 404))
        layout.tag("multi", layout.blob(INDEX, {"schemaVersion": 2, "mediaType": INDEX,
                                                "manifests": layout.manifests[:1]}))
        push_layout(layout.dir, "multi", registry)
        found = ask(registry, "/v2/test/app/manifests/multi", {"Accept": INDEX})
        path = "/v2/test/app/manifests/" + json.loads(found.body)["manifests"][0]["digest"]
        tap.equal("an index is pushed with what it names", (found.headers["Content-Type"], ask(
            registry, path, {"Accept": MANIFEST}).status), (INDEX, 200))
        process, folder = registry.process, registry.dir
    tap.ok("it leaves nothing behind", process.poll() is not None and not os.path.exists(folder)
           and registry.requests() == [])


def htpasswd():
    with Registry(htpasswd=dict([ALICE, ("bob", "b")])) as registry:
        goes_around("htpasswd", registry, credentials=ALICE)
        layout, _, _ = make_layout("htpasswd-not")
        for what, credentials in (("a wrong password", ("alice", "b")), ("nobody", None)):
            said = is_refused(push_layout, layout.dir, "v1", registry, credentials=credentials)
            tap.ok(f"htpasswd: {what} is refused",
                   "authentication required" in said or "unauthorized" in said, said)
        answer = ask(registry, "/v2/")
        tap.equal("htpasswd: it asks for Basic", (
            answer.status, answer.headers["WWW-Authenticate"]), (401, 'Basic realm="a test"'))
        tap.equal("htpasswd: the next user", ask(
            registry, "/v2/", {"Authorization": basic("bob", "b")}).status, 200)


def tls():
    folder = os.path.join(BOX, "ca")
    other_folder = os.path.join(BOX, "other-ca")
    os.mkdir(folder)
    os.mkdir(other_folder)
    ca, other = private_ca(folder), private_ca(other_folder)
    with Registry(tls=ca.server) as registry:
        goes_around("tls", registry, cert_dir=ca.cert_dir)
        said = is_refused(pull_layout, registry, "v2", os.path.join(BOX, "tls-not"),
                          cert_dir=other.cert_dir)
        tap.ok("tls: another authority is refused", "x509" in said, said)
        context = ssl.create_default_context(cafile=ca.ca_file)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                             urllib.request.HTTPSHandler(context=context))
        with opener.open(registry.url + "/v2/", timeout=PATIENCE_S) as answer:
            tap.equal("tls: urllib with the authority", answer.status, 200)
    with FaultyRegistry(tls=ca.server) as faulty:
        digest = faulty.add_blob(PROGRAM)
        with opener.open(f"{faulty.url}/v2/a/blobs/{digest}", timeout=PATIENCE_S) as answer:
            tap.ok("tls: the faulty registry has it, too", answer.read() == PROGRAM)


# ---- Tokens ----------------------------------------------------------------------------------


def token_answer(server, form=None, authorization=None, **query):
    """(status, document)"""
    request = urllib.request.Request(
        server.realm + ("?" + urllib.parse.urlencode(query) if query else ""),
        data=urllib.parse.urlencode(form).encode() if form else None,
        headers={"Authorization": authorization} if authorization else {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        with e:
            return e.code, json.load(e)


def tokens():
    with TokenServer(dict([ALICE])) as server, Registry(token=server) as registry:
        goes_around("token", registry, credentials=ALICE)
        asked = server.requests("GET")
        tap.equal("token: what was asked for", [(r.user, r.scopes, r.status) for r in asked], [
            ("alice", ["repository:test/app:pull,push"], 200),
            ("alice", ["repository:test/app:pull"], 200)])
        layout, _, _ = make_layout("token-not")
        said = is_refused(push_layout, layout.dir, "v1", registry, credentials=("alice", "b"))
        tap.ok("token: a wrong password is refused", "incorrect username or password" in said, said)
        tap.equal("token: ... by the token server", server.requests()[-1].status, 401)
        push_layout(layout.dir, "v1", registry, identity=server.identity("alice"))
        tap.equal("token: an identity token is good for a push",
                  (server.requests()[-1].method, server.requests()[-1].user), ("POST", "alice"))
        oauth(server, registry)
        changes(server, registry)


def manifest_status(registry, token):
    """Of a question with this token."""
    return ask(registry, "/v2/test/app/manifests/v1", {"Authorization": "Bearer " + token,
                                                       "Accept": MANIFEST}).status


def oauth(server, registry):
    pull = "repository:test/app:pull"
    form = {"grant_type": "password", "username": ALICE[0], "password": ALICE[1], "scope": pull,
            "service": server.service, "client_id": "test", "access_type": "offline"}
    status, document = token_answer(server, form)
    tap.equal("oauth: a password gives a token", (status, document["scope"], manifest_status(
        registry, document["access_token"])), (200, pull, 200))
    refresh = {"grant_type": "refresh_token", "refresh_token": document["refresh_token"],
               "service": server.service, "client_id": "test", "scope": pull}
    status, document = token_answer(server, refresh)
    tap.equal("oauth: ... and a refresh token, for the next", (status, manifest_status(
        registry, document["access_token"])), (200, 200))
    tap.equal("oauth: a wrong password gives none",
              token_answer(server, {**form, "password": "b"})[0], 401)
    tap.equal("oauth: a wrong refresh token gives none",
              token_answer(server, {**refresh, "refresh_token": "b"})[0], 401)
    server.has_oauth = False
    tap.equal("oauth: POST may be missing", token_answer(server, form)[0], 404)
    server.has_oauth = True


def changes(server, registry):
    alice = {"authorization": basic(*ALICE), "service": server.service,
             "scope": "repository:test/app:pull"}
    tap.equal("nobody gets no token", token_answer(server, service=server.service)[0], 401)
    server.is_open = True
    token = server.token("", ["repository:test/app:pull,push"])
    tap.equal("anybody may pull when it is open, and not push", (
        token_answer(server, service=server.service)[0], manifest_status(registry, token),
        ask(registry, "/v2/test/app/blobs/uploads/", {"Authorization": "Bearer " + token},
            method="POST").status), (200, 200, 401))
    server.lifetime_s, server.said_s, server.names = 0, 77, ("access_token",)
    document = token_answer(server, **alice)[1]
    tap.equal("a token that has expired, and says another time", (
        manifest_status(registry, document["access_token"]), document["expires_in"],
        "token" in document), (401, 77, False))
    server.lifetime_s, server.names = 3, ("token", "access_token")
    document = token_answer(server, **alice)[1]
    end = time.time() + 3
    tap.equal("a token that expires works at first", manifest_status(registry, document["token"]),
              200)
    wait_until(lambda: time.time() > end, "the time of the token")
    tap.equal("... and then no more", manifest_status(registry, document["token"]), 401)
    server.lifetime_s, server.is_useless = 300, True
    document = token_answer(server, **alice)[1]
    tap.equal("a useless token is refused", manifest_status(registry, document["token"]), 401)
    server.is_useless, server.is_refusing = False, True
    tap.equal("nobody gets a token of one that refuses", token_answer(server, **alice)[0], 401)


# ---- The faulty registry ---------------------------------------------------------------------


class Seen:
    """An answer, as far as it came."""

    def __init__(self, status=None, headers=None, body=b"", error=None):
        self.status, self.headers, self.body, self.error = status, headers, body, error


def connect(registry):
    host, _, port = registry.address.partition(":")
    return http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)


def ask(registry, path, headers={}, method="GET", body=None, limit=None):
    """On a connection of its own; `limit` bytes of the body at most."""
    connection = connect(registry)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        try:
            return Seen(answer.status, answer.headers, answer.read(limit))
        except http.client.IncompleteRead as e:
            return Seen(answer.status, answer.headers, e.partial, e)
        except OSError as e:
            return Seen(answer.status, answer.headers, error=e)
    except (OSError, http.client.HTTPException) as e:
        return Seen(error=e)
    finally:
        connection.close()


BLOB = "/v2/test/app/blobs/" + digest_of(PROGRAM)
IMAGE = "/v2/test/app/manifests/v1"


def well(registry):
    with registry:
        layout, digest, program = make_layout("faulty")
        registry.add_layout(layout.dir)
        back = os.path.join(BOX, "faulty-back")
        tap.equal("without a fault skopeo pulls", pull_layout(registry, "v1", back), digest)
        tap.equal("it records what was asked", [r.path for r in registry.requests("GET", program)],
                  [BLOB])
        tap.equal("... skopeo pushes", push_layout(layout.dir, "v1", registry, name="test/new"),
                  digest)
        tap.equal("... and what it pushed is there",
                  registry.manifests["test/new", "v1"], registry.manifests["test/app", "v1"])
        tap.equal("tags", json.loads(ask(registry, "/v2/test/app/tags/list").body)["tags"], ["v1"])
        part = ask(registry, BLOB, {"Range": "bytes=10-19", "Authorization": "Basic eA=="})
        tap.equal("ranges", (part.status, part.body, part.headers["Content-Range"]),
                  (206, PROGRAM[10:20], f"bytes 10-19/{len(PROGRAM)}"))
        last = registry.requests()[-1]
        tap.equal("ranges and authorization are recorded", (last.range, last.authorization),
                  ("bytes=10-19", "Basic eA=="))
        tap.equal("no such part", ask(registry, BLOB, {"Range": "bytes=999999-"}).status, 416)
        head = ask(registry, BLOB, method="HEAD")
        tap.equal("HEAD", (head.status, int(head.headers["Content-Length"])), (200, len(PROGRAM)))
        tap.equal("what is not there", (ask(registry, "/v2/test/app/manifests/v9").status, ask(
            registry, "/v2/a/blobs/" + digest_of(b"")).status), (404, 404))
        new = b"pushed at once"
        tap.equal("a push in one request", (ask(
            registry, "/v2/a/blobs/uploads/?digest=" + digest_of(new), method="POST",
            body=new).status, registry.blobs.get(digest_of(new))), (201, new))
        registry.upload_cut_bytes = 1000
        lost = ask(registry, "/v2/a/blobs/uploads/", method="POST", body=PROGRAM)
        tap.ok("a push that is cut", isinstance(lost.error, OSError), lost.error)


def statuses(registry):
    with registry:
        registry.inject(unauthorized(), times=3)
        tap.equal("401 in a loop", [ask(registry, BLOB).status for _ in range(4)],
                  [401, 401, 401, 200])
        registry.inject(answers(404), where="manifests")
        tap.equal("404 where it is to be", [ask(registry, path).status for path in (IMAGE, BLOB)],
                  [404, 200])
        registry.heal()
        registry.inject(answers(429, {"Retry-After": "7"}), where="blobs", times=1)
        registry.inject(answers(500), where="blobs", times=2)  # the later one counts
        busy = [ask(registry, BLOB) for _ in range(3)]
        tap.equal("500 twice, then well", [a.status for a in busy], [500, 500, 200])
        registry.heal()
        registry.inject(answers(429, {"Retry-After": "7"}), times=1)
        busy = [ask(registry, BLOB) for _ in range(2)]
        tap.equal("429, then well", ([a.status for a in busy], busy[0].headers["Retry-After"]),
                  ([429, 200], "7"))
        registry.inject(demands(basic(*ALICE)))
        tap.equal("a password", [ask(registry, BLOB, headers).status for headers in (
            {}, {"Authorization": basic("alice", "b")}, {"Authorization": basic(*ALICE)})],
            [401, 401, 200])
        registry.heal()
        registry.inject(lambda request, reply: answers(418)(request, reply) if request.range else 0)
        tap.equal("a fault of the test's own", [ask(registry, BLOB, headers).status for headers in (
            {}, {"Range": "bytes=0-"})], [200, 418])


def bodies(registry):
    with registry:
        def with_fault(fault, path=BLOB, **options):
            registry.heal()
            registry.inject(fault, times=1)
            return ask(registry, path, **options)

        got = with_fault(cuts(0.5))
        tap.equal("a connection that is cut in the middle", (got.body, type(got.error)),
                  (PROGRAM[:len(PROGRAM) // 2], http.client.IncompleteRead))
        got = ask(registry, BLOB, {"Range": f"bytes={len(got.body)}-"})
        tap.equal("... goes on behind it", (got.status, got.body),
                  (206, PROGRAM[len(PROGRAM) // 2:]))
        got = with_fault(ignores_range(), headers={"Range": "bytes=10-"})
        tap.equal("... or begins again", (got.status, got.body, got.headers["Content-Range"]),
                  (200, PROGRAM, None))
        got = with_fault(cuts())
        tap.equal("cut before the head", type(got.error), http.client.RemoteDisconnected)
        got = with_fault(cuts(100, is_reset=True))
        tap.ok("a reset", isinstance(got.error, ConnectionResetError), got.error)
        got = with_fault(lies_length(5))
        tap.equal("a length that is too long", (got.body, type(got.error)),
                  (PROGRAM, http.client.IncompleteRead))
        got = with_fault(lies_length(-5))
        tap.equal("a length that is too short", got.body, PROGRAM[:-5])
        got = with_fault(other_bytes())
        tap.ok("other bytes", got.body != PROGRAM and len(got.body) == len(PROGRAM)
               and got.headers["Docker-Content-Digest"] == digest_of(PROGRAM))
        tap.equal("the test's bytes", with_fault(other_bytes(b"{"), IMAGE).body, b"{")
        got = with_fault(html())
        tap.ok("HTML with 200", got.status == 200 and b"<html>" in got.body
               and got.headers["Content-Type"].startswith("text/html"))
        got = with_fault(says("Docker-Content-Digest", digest_of(b"")), IMAGE)
        tap.equal("a wrong digest", got.headers["Docker-Content-Digest"], digest_of(b""))
        got = with_fault(says("Content-Type", "text/plain"), IMAGE)
        tap.equal("a wrong type", got.headers["Content-Type"], "text/plain")
        tap.equal("no type", with_fault(says("Content-Type", None), IMAGE).headers["Content-Type"],
                  None)
        got = with_fault(raw(b"SSH-2.0-test\r\n"))
        tap.ok("no HTTP", isinstance(got.error, http.client.BadStatusLine), got.error)
        got = with_fault(trickles(20_000, 0.001))
        tap.equal("slowly", got.body, PROGRAM)
        for what, fault, length in (("of 1 GB", huge(), str(1 << 30)),
                                    ("without an end", huge(math.inf, is_chunked=True), None)):
            got = with_fault(fault, IMAGE, limit=1 << 20)
            tap.ok(f"a manifest {what}", len(got.body) == 1 << 20 and got.body.startswith(b'{"')
                   and got.headers["Content-Length"] == length, got.headers)
            wait_until(lambda: registry.requests()[-1].sent > 1 << 20, "it tells how much was sent")


def hanging(registry):
    with registry:
        registry.inject(hangs())
        connection = connect(registry)
        connection.request("GET", BLOB)
        registry.wait_requests(1, "GET", "blobs")
        connection.sock.settimeout(0.05)
        try:
            connection.sock.recv(1)
            tap.ok("a head that does not come", False)
        except TimeoutError:
            tap.ok("a head that does not come", True)
        connection.sock.settimeout(PATIENCE_S)
        registry.heal()
        tap.equal("... until it is released", connection.getresponse().read(), PROGRAM)
        connection.close()
        registry.inject(hangs(1000))
        connection = connect(registry)
        connection.request("GET", BLOB)
        answer = connection.getresponse()
        tap.equal("a body that stops", answer.read(1000), PROGRAM[:1000])
        wait_until(lambda: registry.requests()[-1].sent == 1000, "it hangs")
    try:
        rest = answer.read()
    except http.client.IncompleteRead as e:
        rest = e.partial
    tap.equal("... until the registry ends", rest, b"")
    connection.close()


def redirected(registry):
    with registry, FaultyRegistry(blobs=registry.blobs) as other:
        registry.inject(redirects(other), where="GET .*blobs")
        got = ask(registry, BLOB, {"Authorization": "Basic eA=="})
        tap.equal("a redirect", (got.status, got.headers["Location"]), (307, other.url + BLOB))
        host, port = urllib.parse.urlsplit(got.headers["Location"]).netloc.split(":")
        tap.ok("... is to another port", (host, int(port)) == other.server_address)
        # urllib takes the Authorization header along.
        request = urllib.request.Request(registry.url + BLOB,
                                         headers={"Authorization": "Basic eA=="})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=PATIENCE_S) as answer:
            tap.ok("... the blob is there", answer.read() == PROGRAM)
        tap.equal("... which tells of the header that came along",
                  [r.authorization for r in other.requests()], ["Basic eA=="])
        registry.inject(redirects(registry))
        got = ask(registry, BLOB)
        tap.equal("a redirect to itself", got.headers["Location"], registry.url + BLOB)


def faulty():
    for part in (well, statuses, bodies, hanging, redirected):
        registry = FaultyRegistry()
        registry.add_layout(make_layout(part.__name__)[0].dir)
        part(registry)
        try:
            socket.create_connection(registry.server_address, PATIENCE_S).close()
            tap.ok(f"{part.__name__}: its port is closed", False)
        except ConnectionRefusedError:
            pass
    tap.equal("no thread is left", threading.active_count(), 1)


def main():
    missing = [n for n in ("docker-registry", "skopeo", "openssl") if not shutil.which(n)]
    if missing:
        tap.skip("all of it", "missing: " + " ".join(missing))
        tap.finish()
    for part in (open_registry, htpasswd, tls, tokens, faulty):
        tap.run(part)
    tap.equal("no process is left", children(os.getpid()), [])
    tap.finish()


main()
