#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images from registries: pull, images, rmi, login, logout, and run of an image that has to be
fetched first; with a real docker-registry (open, with passwords, with tokens, with TLS of a private
authority) to which skopeo pushes, and with a fake one that misbehaves."""
import json
import os
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import faulty_registry as faults  # noqa: E402
from faulty_registry import FaultyRegistry  # noqa: E402
from image_layout import INDEX, MANIFEST, Layout  # noqa: E402
from machine import Machine, hello  # noqa: E402
from registry import (  # noqa: E402
    Registry, TokenServer, basic, login_file, private_ca, pull_layout, push_layout)
from serve_client import BOX, example, run, tap  # noqa: E402


def big_layout():
    """With a program that takes a while to send; it is never run."""
    path = os.path.join(BOX, "big.wasm")
    with open(path, "wb") as f:
        f.write(b"\0asm\1\0\0\0" + os.urandom(8 << 20))
    layout = Layout(os.path.join(BOX, "big"))
    layout.tag("v1", layout.artifact(path))
    return layout


def open_registry():
    layout, digest = hello()
    m = Machine()
    wanted = m.wherry("run", "--no-cache", example("c"))
    with Registry() as registry:
        push_layout(layout.dir, "v1", registry)
        name = f"{registry.address}/test/app:v1"
        tap.equal("pull: the name in full with its digest", m.wherry("pull", "-q", name),
                  (0, f"{name}@{digest}\n", ""))
        layer = json.loads(open(layout.blob_path(digest), "rb").read())["layers"][0]["digest"]
        tap.equal("pull: one GET of the program", len(registry.requests("GET", layer)), 1)
        tap.equal("pull again: nothing but the manifest is asked for",
                  (m.wherry("pull", "-q", name)[0], len(registry.requests("GET", "/blobs/"))),
                  (0, 2))
        status, _, said = m.wherry("pull", name)
        tap.ok("pull: tells of each blob", status == 0 and said.count("already here") == 2, said)
        status, out, _ = m.wherry("images", "-o", "json")
        listed = json.loads(out)
        tap.equal("images: what is there", (status, [(i["name"], i["digest"]) for i in listed]),
                  (0, [(name, digest)]))
        tap.ok("images: as a table", name in m.wherry("images")[1])
        tap.equal("pull: has compiled it already", m.wherry("compile", name)[:2],
                  (0, f"{name}: in the cache already\n"))
        tap.equal("run: what was pulled, without the registry",
                  m.wherry("run", "--pull", "never", name), wanted)
        tap.equal("inspect: it is the file",
                  json.loads(m.wherry("inspect", "-o", "json", name)[1])["digest"], layer)
        by_digest = f"{registry.address}/test/app@{digest}"
        tap.equal("pull by digest", m.wherry("pull", "-q", by_digest), (0, by_digest + "\n", ""))
        tap.equal("run by digest", m.wherry("run", by_digest), wanted)
        asked = len(registry.requests())
        answers = [m.wherry("pull", "-q", "--policy", policy, name) for policy in ("missing", "never")]
        tap.equal("pull --policy missing or never: what is here, without the registry",
                  (answers, len(registry.requests())), ([(0, f"{name}@{digest}\n", "")] * 2, asked))
        tap.equal("rmi", m.wherry("rmi", name), (0, f"Untagged: {name}\n", ""))
        status, _, said = m.wherry("rmi", name)
        tap.ok("rmi: what is not there is said", status == 1 and "wherry images" in said, said)
        status, _, said = m.wherry("run", "--pull", "never", name)
        tap.ok("run --pull never: 127 and what to type", status == 127 and
               f"wherry pull {name}" in said, (status, said))
        status, _, said = m.wherry("pull", "--policy", "never", name)
        tap.ok("pull --policy never: fails", status == 1 and "--policy is never" in said,
               (status, said))
        tap.equal("pull --policy missing: fetches it",
                  m.wherry("pull", "-q", "--policy", "missing", name)[:2], (0, f"{name}@{digest}\n"))
        m.wherry("rmi", name)
        status, out, _ = m.wherry("run", name)
        tap.equal("run: fetches what is missing, and its output is the guest's", (status, out),
                  wanted[:2])
        status, _, said = m.wherry("run", f"{registry.address}/test/nothing:v1")
        tap.ok("run: no such image", status == 125 and "does not have" in said, (status, said))
        layout.tag("v1", layout.artifact(example("c"), "application/vnd.wasm.content.layer.v1+wasm"))
        push_layout(layout.dir, "v1", registry)
        m.wherry("run", "--pull", "always", name)
        moved = [i for i in json.loads(m.wherry("images", "-o", "json")[1]) if i["name"] == name]
        tap.ok("run --pull always: the tag that moved", moved[0]["digest"] != digest, moved)
    status, _, said = m.wherry("pull", name)
    tap.ok("pull: no registry: what and why", status == 1 and registry.address in said, said)


def pushing():
    m = Machine()
    component = example("c-component")
    with TokenServer({"alice": "secret"}) as tokens, Registry(token=tokens) as registry:
        name = f"{registry.address}/team/hello:1"
        status, _, said = m.wherry("push", example("c"), name)
        tap.ok("push: who may not is told", status == 1 and "wherry login" in said, said)
        auth = login_file(os.path.join(BOX, "auth5.json"), registry, ("alice", "secret"))
        m.env["REGISTRY_AUTH_FILE"] = auth
        status, out, said = m.wherry("push", example("c"), name, "--annotation", "a.b=c d")
        tap.ok("push: the name in full with its digest", status == 0 and
               out.startswith(name + "@sha256:"), (status, out, said))
        pulled = Layout(os.path.join(BOX, "pushed"))
        os.remove(os.path.join(pulled.dir, "oci-layout"))
        digest = pull_layout(registry, "1", pulled.dir, "team/hello", credentials=("alice", "secret"))
        tap.equal("push: skopeo pulls the same", digest or out.strip().rpartition("@")[2],
                  out.strip().rpartition("@")[2])
        manifest = pulled.read(out.strip().rpartition("@")[2])
        config = pulled.read(manifest["config"]["digest"])
        tap.equal("push: a CNCF wasm artifact",
                  (manifest["config"]["mediaType"], manifest["layers"][0]["mediaType"],
                   manifest["annotations"], config["architecture"], config["os"],
                   config["layerDigests"]),
                  ("application/vnd.wasm.config.v0+json", "application/wasm", {"a.b": "c d"},
                   "wasm", "wasip1", [manifest["layers"][0]["digest"]]))
        tap.equal("push, pull and run", m.wherry("run", "--pull", "always", name)[:2],
                  m.wherry("run", example("c"))[:2])
        before = len(registry.requests("PUT", "/blobs/"))
        m.wherry("push", example("c"), name)
        tap.ok("push again: the program is not sent",
               len(registry.requests("PUT", "/blobs/")) <= before + 1)
        status, out, said = m.wherry("push", component, f"{registry.address}/team/component:1")
        digest = out.strip().rpartition("@")[2]
        pull_layout(registry, "1", pulled.dir, "team/component", to_tag="2",
                    credentials=("alice", "secret"))
        config = pulled.read(pulled.read(digest)["config"]["digest"])
        tap.ok("push: a component's world", config["os"] == "wasip2" and
               any(x.startswith("wasi:cli/run@") for x in config["component"]["exports"]) and
               config["component"]["imports"], config)
        tap.equal("push: no program", m.wherry("push", __file__, name)[0], 1)
        tap.equal("tag and run", (m.wherry("tag", name, "mine:1"), m.wherry("run", "mine:1")[0]),
                  ((0, "", ""), m.wherry("run", example("c"))[0]))


def platforms():
    m = Machine()
    layout = Layout(os.path.join(BOX, "platforms"))
    wasm = {**layout.artifact(example("c")), "platform": {"os": "wasip1", "architecture": "wasm"}}
    other = layout.artifact(example("c"), platform={"os": "linux", "architecture": "amd64"})
    tar = layout.blob(MANIFEST, {"schemaVersion": 2, "mediaType": MANIFEST, "config": layout.blob(
        "application/vnd.oci.image.config.v1+json", {"os": "wasi", "architecture": "wasm"}),
        "layers": [layout.blob("application/vnd.oci.image.layer.v1.tar", b"\0" * 1024)]})
    layout.tag("multi", layout.blob(INDEX, {"schemaVersion": 2, "mediaType": INDEX,
                                            "manifests": [other, wasm]}))
    layout.tag("files", tar)
    with FaultyRegistry() as registry:
        registry.add_layout(layout.dir)
        name = f"{registry.address}/test/app"
        tap.equal("an index: the platform for wasm", m.wherry("run", f"{name}:multi")[0],
                  m.wherry("run", example("c"))[0])
        tap.equal("an image of files can be pulled", m.wherry("pull", "-q", f"{name}:files")[0], 0)
        status, _, said = m.wherry("run", f"{name}:files")
        tap.ok("an image of files is not run, and says so", status == 126 and
               "no WebAssembly program" in said, (status, said))


def logins():
    layout, _ = hello()
    with Registry(htpasswd={"alice": "secret"}) as registry:
        m = Machine()
        auth = os.path.join(BOX, "auth.json")
        login_file(auth, registry, ("alice", "secret"))
        name = f"{registry.address}/test/app:v1"
        push_layout(layout.dir, "v1", registry, credentials=("alice", "secret"))
        status, _, said = m.wherry("pull", name)
        tap.ok("a registry with passwords: what to type", status == 1 and
               f"wherry login {registry.address}" in said, said)
        tap.equal("pull --authfile", m.wherry("pull", "-q", "--authfile", auth, name)[0], 0)
        status, _, said = m.wherry("login", "-u", "alice", "--password-stdin", registry.address,
                                   stdin=typed("no\n"))
        tap.ok("login: a wrong password is not kept", status == 1 and "refused" in said and
               m.wherry("pull", "-q", name)[0] == 1, (status, said))
        status, out, said = m.wherry("login", "-u", "alice", "--password-stdin", registry.address,
                                     stdin=typed("secret\n"))
        tap.ok("login: says where it is kept", status == 0 and m.dir in out, (out, said))
        tap.equal("pull after the login", m.wherry("pull", "-q", name)[0], 0)
        tap.ok("logout", m.wherry("logout", registry.address)[0] == 0 and
               m.wherry("pull", "-q", name)[0] == 1)
        tap.equal("logout: there was none", m.wherry("logout", registry.address)[0], 1)
    with TokenServer({"alice": "secret"}) as tokens, Registry(token=tokens) as registry:
        m = Machine()
        name = f"{registry.address}/test/app:v1"
        push_layout(layout.dir, "v1", registry, credentials=("alice", "secret"))
        tap.equal("a registry with tokens refuses who has none", m.wherry("pull", name)[0], 1)
        auth = login_file(os.path.join(BOX, "auth2.json"), registry, ("alice", "secret"))
        tap.equal("pull with a token by password",
                  m.wherry("pull", "-q", "--authfile", auth, name)[0], 0)
        auth = login_file(os.path.join(BOX, "auth3.json"), registry,
                          identity=tokens.identity("alice"))
        m = Machine()
        tap.equal("pull with a token by identity token",
                  m.wherry("pull", "-q", "--authfile", auth, name)[0], 0)
        m = Machine()
        tokens.is_useless = True
        status, _, said = m.wherry("pull", "--authfile", auth, name)
        tap.ok("tokens that are no use end in an error", status == 1 and "refused" in said, said)
        tokens.is_useless = False
        tokens.is_open = True
        tap.equal("pull with a token for anybody", Machine().wherry("pull", "-q", name)[0], 0)


def typed(text):
    """A file to read it from."""
    path = os.path.join(BOX, "input")
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    return open(path, "rb")


def authority_folder(name):
    folder = os.path.join(BOX, name)
    os.mkdir(folder)
    return private_ca(folder)


def encrypted():
    layout, _ = hello()
    ca = authority_folder("ca")
    with Registry(tls=ca.server) as registry:
        push_layout(layout.dir, "v1", registry, cert_dir=ca.cert_dir)
        m = Machine()
        name = f"{registry.address}/test/app:v1"
        status, _, said = m.wherry("pull", name)
        tap.ok("a certificate of nobody known is refused", status == 1 and "certificate" in said,
               said)
        tap.equal("pull --insecure", m.wherry("pull", "-q", "--insecure", name)[0], 0)
        folder = os.path.join(m.dir, ".config/containers/certs.d", registry.address)
        os.makedirs(folder)
        shutil.copy(ca.ca_file, os.path.join(folder, "ca.crt"))
        tap.equal("pull with the authority in certs.d", m.wherry("pull", "-q", name)[0], 0)


# ---- A registry that misbehaves --------------------------------------------------------------


def misbehaving():
    layout, _ = hello()
    ca = authority_folder("faulty-ca")
    with FaultyRegistry(tls=ca.server) as registry:
        registry.add_layout(layout.dir)
        registry.inject(faults.unauthorized('Bearer realm="http://127.0.0.1:1/token"'))
        status, _, said = Machine().wherry("pull", "--insecure", f"{registry.address}/test/app:v1")
        tap.ok("a token is not fetched less safely than the image", status == 1 and
               "no URL of https" in said, said)
    with FaultyRegistry() as registry, FaultyRegistry(blobs=registry.blobs) as other:
        registry.add_layout(layout.dir)
        name = f"{registry.address}/test/app:v1"
        for what, fault, where, times, wanted, said_wanted in (
                ("401 in a loop", faults.unauthorized(), "GET", None, 1, "login"),
                ("404", faults.answers(404), "GET .*/manifests/", None, 1, "does not have"),
                ("429, then well", faults.answers(429, {"Retry-After": "1"}), "GET .*/manifests/",
                 2, 0, ""),
                ("500, then well", faults.answers(500), "GET .*/blobs/", 2, 0, ""),
                ("500 for ever", faults.answers(500), "GET .*/manifests/", None, 1, "status 500"),
                ("hangs before the head", faults.hangs(), "GET .*/blobs/", 1, 0, ""),
                ("hangs in the body", faults.hangs(0.5), "GET .*/blobs/", 1, 0, ""),
                ("hangs for ever", faults.hangs(), "GET .*/manifests/", None, 1, "nothing moved"),
                ("a longer Content-Length", faults.lies_length(10), "GET .*/blobs/", 1, 0, ""),
                ("other bytes", faults.other_bytes(), "GET .*/blobs/", None, 1, "sha256:"),
                ("other bytes as the manifest", faults.other_bytes(), "GET .*/manifests/", None, 1,
                 ""),
                ("HTML as the manifest", faults.html(), "GET .*/manifests/", None, 1, ""),
                ("HTML as a blob", faults.html(), "GET .*/blobs/", None, 1, "sha256:"),
                ("a manifest of 1 GB", faults.huge(), "GET .*/manifests/", None, 1, "more than"),
                ("a manifest without an end", faults.huge(float("inf"), is_chunked=True),
                 "GET .*/manifests/", None, 1, "more than"),
                ("a blob without an end", faults.huge(float("inf"), is_chunked=True),
                 "GET .*/blobs/", None, 1, "more comes"),
                ("no HTTP", faults.raw(b"SSH-2.0-x\r\n"), "GET", None, 1, registry.address)):
            m = Machine()
            registry.inject(fault, where=where, times=times)
            status, _, said = m.wherry("pull", "-q", "--stall-timeout", "300ms", name)
            registry.heal()
            tap.ok(f"{what}: {'an error that says so' if wanted else 'it is fetched'}",
                   status == wanted and said_wanted in said, (status, said))
            tap.equal(f"{what}: nothing is there that should not be",
                      (m.damaged(), m.wherry("images", "-o", "json")[1] != "[]\n"),
                      ([], not wanted))
        registry.inject(faults.demands(basic("alice", "secret")))
        auth = login_file(os.path.join(BOX, "auth4.json"), registry, ("alice", "secret"))
        registry.inject(faults.redirects(other), where="GET .*/blobs/")
        tap.equal("blobs at another host", Machine().wherry("pull", "-q", "--authfile", auth, name)[0],
                  0)
        tap.ok("blobs at another host: no secret goes there", other.requests() and
               all(r.authorization is None for r in other.requests()), other.requests())


def cuts():
    layout = big_layout()
    with FaultyRegistry() as registry:
        registry.add_layout(layout.dir)
        name = f"{registry.address}/test/app:v1"
        layer = max(registry.blobs, key=lambda d: len(registry.blobs[d]))
        for quarter in (0, 0.25, 0.5, 0.75):
            for is_ignored in (False, True):
                m = Machine()
                before = len(registry.requests("GET", layer))
                registry.inject(faults.cuts(quarter), where="GET .*/blobs/" + layer, times=1)
                if is_ignored:
                    registry.inject(faults.ignores_range(), where="GET .*/blobs/")
                status, _, said = m.wherry("pull", "-q", name)
                registry.heal()
                what = f"cut at {quarter}{', and Range is ignored' if is_ignored else ''}"
                tap.ok(f"{what}: it is fetched", status == 0 and m.damaged() == [], (status, said))
                asked = registry.requests("GET", layer)[before:]
                tap.ok(f"{what}: from there on", len(asked) == 2 and
                       (not quarter or asked[1].range), [a.range for a in asked])

        for more in (0, 100):
            m = Machine()
            before = len(registry.requests("GET", layer))
            registry.inject(faults.cuts(0.5), where="GET .*/blobs/" + layer, times=1)
            registry.inject(faults.other_rest(more), where="GET .*/blobs/")
            status, _, said = m.wherry("pull", "-q", name)
            registry.heal()
            asked = [a.range for a in registry.requests("GET", layer)[before:]]
            tap.ok(f"cut, and then another rest{' that is too long' if more else ''}: once more "
                   "from the start", status == 0 and m.damaged() == [] and len(asked) == 3 and
                   asked[1] and not asked[2], (status, said, asked))

run(logins, encrypted, pushing, misbehaving, platforms, cuts, open_registry,
    needs=("docker-registry", "skopeo"))
