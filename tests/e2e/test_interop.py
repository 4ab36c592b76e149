#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same images and the same logins with skopeo, buildah and podman: what they push wherry pulls,
what wherry pushes skopeo copies, through a real docker-registry, by tag and by digest, in the
manifests of OCI and of Docker. podman 4.3 and buildah 1.28 pull no artifacts, so what they pull of
wherry's has to be an image of files."""
import hashlib
import http.client
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from container_tools import Tools  # noqa: E402
from image_layout import Layout  # noqa: E402
from machine import Machine  # noqa: E402
from registry import Registry, login_file  # noqa: E402
from serve_client import BOX, IS_FULL, example, output, run, tap  # noqa: E402

TAGS = 100 if IS_FULL else 6
ARTIFACT = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def pulled(m, name):
    """(digest, media type) of what wherry pulls."""
    status, out, said = m.wherry("pull", "-q", name)
    if status:
        return status, said
    found = [i for i in json.loads(m.wherry("images", "-o", "json")[1]) if i["name"] == name]
    return out.strip().rpartition("@")[2], found[0]["mediaType"]


def artifacts():
    wanted = Machine().wherry("run", example("c"))
    m = Machine()
    tools = Tools(m)
    with Registry() as registry:
        name = f"{registry.address}/art/hello"
        status, out, said = m.wherry("push", example("c"), f"{name}:1")
        digest = out.strip().rpartition("@")[2]
        tap.ok("push", status == 0, (status, said))
        tools.skopeo("copy", f"docker://{name}:1", f"docker://{name}:2")
        tools.skopeo("copy", f"docker://{name}@{digest}", f"docker://{registry.address}/art/copy:1")
        tap.equal("skopeo: copies what wherry has pushed, by tag and by digest",
                  (tools.digest(f"{name}:2"), tools.digest(f"{registry.address}/art/copy:1")),
                  (digest, digest))
        for copied in (f"{name}:2", f"{registry.address}/art/copy:1", f"{name}@{digest}"):
            tap.equal(f"wherry: pulls {copied.partition('/')[2]}", pulled(Machine(), copied),
                      (digest, ARTIFACT))
        tap.equal("run: by digest", m.wherry("run", "-q", f"{registry.address}/art/copy@{digest}"),
                  wanted)
        folder = os.path.join(m.dir, "layout")
        tools.skopeo("copy", f"docker://{name}:1", f"oci:{folder}:x")
        tap.equal("run: from skopeo's layout", m.wherry("run", f"oci:{folder}:x"), wanted)


def images_of_files():
    if os.geteuid():
        tap.skip("images of podman and buildah", "they need root to make some without newuidmap")
        return
    tools = Tools(Machine())
    with Registry(has_schema_1=True) as registry:
        wasm = tools.scratch("wasm", "wasi", "wasm")
        other = tools.scratch("other", "linux", "amd64")
        name = f"{registry.address}/files/hello"
        tools.buildah("push", "-q", "--tls-verify=false", "--format", "v2s2", wasm,
                      f"docker://{name}:docker")
        tools.podman("push", "-q", "--tls-verify=false", "--format", "oci", wasm, f"{name}:oci")
        tools.skopeo("copy", "--format", "v2s2", f"docker://{name}:oci", f"docker://{name}:back")
        for tag, media_type in (("docker", DOCKER_MANIFEST), ("oci", ARTIFACT),
                                ("back", DOCKER_MANIFEST)):
            digest = tools.digest(f"{name}:{tag}")
            tap.equal(f"an image that is pushed as {tag}: pulled by tag and by digest",
                      (pulled(Machine(), f"{name}:{tag}"), pulled(Machine(), f"{name}@{digest}")),
                      ((digest, media_type),) * 2)
        tools.buildah("manifest", "create", "list", wasm, other)
        tools.buildah("manifest", "push", "-q", "--all", "--tls-verify=false", "--format", "v2s2",
                      "list", f"docker://{name}:list")
        listed = json.loads(tools.skopeo("inspect", "--raw", f"docker://{name}:list"))
        tap.equal("a manifest list of Docker: the manifest for wasm",
                  (listed["mediaType"], pulled(Machine(), f"{name}:list")),
                  ("application/vnd.docker.distribution.manifest.list.v2+json",
                   next((d["digest"], DOCKER_MANIFEST) for d in listed["manifests"]
                        if d["platform"]["architecture"] == "wasm")))
        tools.skopeo("copy", "--format", "v2s1", f"docker://{name}:docker",
                     f"docker://{name}:schema1")
        status, said = pulled(Machine(), f"{name}:schema1")
        tap.ok("schema 1 is refused, with what to do", status == 1 and "schema 1" in said and
               "skopeo copy --format oci" in said and name in said, (status, said))


def docker_manifest():
    """A manifest of Docker's schema 2 with a program as a layer, which no tool here makes."""
    m = Machine()
    with Registry() as registry:
        name = f"{registry.address}/art/hello"
        m.wherry("push", example("c"), f"{name}:1")
        manifest = json.loads(Tools(m).skopeo("inspect", "--raw", f"docker://{name}:1"))
        manifest["mediaType"] = DOCKER_MANIFEST
        connection = http.client.HTTPConnection(registry.address)
        connection.request("PUT", "/v2/art/hello/manifests/2", json.dumps(manifest),
                           {"Content-Type": DOCKER_MANIFEST})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        tap.equal("a program in a manifest of Docker: run",
                  (answer.status, m.wherry("run", "-q", f"{name}:2")),
                  (201, m.wherry("run", example("c"))))


def tags():
    m = Machine()
    tools = Tools(m)
    names = [f"v{i}" for i in range(TAGS)]
    with Registry() as registry:
        name = f"{registry.address}/art/hello"
        pushed = {}
        for tag in names:
            out = m.wherry("push", example("c"), f"{name}:{tag}", "--annotation", f"n={tag}")[1]
            pushed[tag] = out.strip().rpartition("@")[2]
        listed = json.loads(tools.skopeo("list-tags", f"docker://{name}"))["Tags"]
        other = Machine()
        tap.equal(f"{TAGS} tags: each pulled as it was pushed",
                  (sorted(listed), {t: pulled(other, f"{name}:{t}")[0] for t in names}),
                  (sorted(names), pushed))
        program = json.loads(tools.skopeo("inspect", "--raw", f"docker://{name}:v0"))["layers"][0]
        tap.equal(f"{TAGS} tags: the program is fetched once",
                  len(registry.requests("GET", program["digest"])), 1)


def logins():
    layout = Layout(os.path.join(BOX, "login"))
    layout.tag("v1", layout.artifact(example("c")))
    with Registry(htpasswd={"alice": "secret", "bob": "other"}) as registry:
        m = Machine()
        tools = Tools(m)
        name = f"{registry.address}/art/hello:1"
        files = {"REGISTRY_AUTH_FILE": os.path.join(BOX, "shared-auth.json")}
        m.env.update(files)
        tools.podman("login", "--tls-verify=false", "-u", "alice", "-p", "secret",
                     registry.address)
        tap.equal("podman login counts for wherry", m.wherry("push", example("c"), name)[0], 0)
        tools.podman("logout", registry.address)
        tap.ok("and podman logout too", "wherry login" in m.wherry("pull", name)[2])
        with open(os.path.join(BOX, "password"), "w+", encoding="ascii") as f:
            f.write("other\n")
            f.seek(0)
            tap.equal("wherry login", m.wherry("login", "-u", "bob", "--password-stdin",
                                               registry.address, stdin=f)[0], 0)
        tap.equal("wherry login counts for podman and skopeo",
                  (tools.podman("login", "--get-login", registry.address).strip(),
                   tools.digest(name)), ("bob", pulled(m, name)[0]))
        m.wherry("logout", registry.address)
        status, _, _ = output("skopeo", "inspect", "--tls-verify=false", f"docker://{name}",
                              env=m.env)
        tap.ok("and wherry logout too", status != 0)
        with open(os.path.join(BOX, "password"), encoding="ascii") as f:
            tap.equal("wherry login for a part of a registry counts for skopeo there",
                      (m.wherry("login", "-u", "bob", "--password-stdin",
                                f"{registry.address}/art", stdin=f)[0],
                       tools.digest(name) == pulled(m, name)[0]), (0, True))
        other = Machine()
        os.mkdir(os.path.join(other.dir, ".docker"))
        login_file(os.path.join(other.dir, ".docker/config.json"), registry, ("alice", "secret"))
        tap.equal("docker's config.json counts for wherry", other.wherry("pull", "-q", name)[0], 0)


HELPER = """#!/bin/sh
# A credential helper that keeps one credential of one registry in a file.
kept=${0%/*}/kept.json
none() { echo 'credentials not found in native keychain'; exit 1; }
case $1 in
store) cat >"$kept" ;;
get) read -r url || :; grep -q '"ServerURL":"'"$url"'"' "$kept" 2>/dev/null || none; cat "$kept" ;;
erase) [ -f "$kept" ] || none; rm "$kept" ;;
list) echo '{}' ;;
esac
"""


def helpers():
    """credential-helpers of registries.conf, with a helper that both sides ask."""
    with Registry(htpasswd={"alice": "secret"}) as registry:
        m = Machine()
        tools = Tools(m)
        folder = os.path.join(m.dir, "bin")
        os.mkdir(folder)
        helper = os.path.join(folder, "docker-credential-test")
        with open(helper, "w", encoding="ascii") as f:
            f.write(HELPER)
        os.chmod(helper, 0o755)
        m.env["PATH"] = f"{folder}:{m.env['PATH']}"
        m.registries_conf('credential-helpers = ["test", "containers-auth.json"]\n')
        name = f"{registry.address}/art/helped:1"
        kept = os.path.join(folder, "kept.json")
        tools.podman("login", "--tls-verify=false", "-u", "alice", "-p", "secret",
                     registry.address)
        tap.ok("credential-helpers: podman login keeps them there", os.path.exists(kept))
        tap.equal("credential-helpers: and wherry finds them",
                  m.wherry("push", example("c"), name)[0], 0)
        tap.equal("credential-helpers: wherry logout", m.wherry("logout", registry.address),
                  (0, f"Forgot the credentials for {registry.address}\n", ""))
        status, _, said = m.wherry("pull", name)
        tap.ok("credential-helpers: and then there are none",
               not os.path.exists(kept) and status == 1 and "wherry login" in said, said)
        with open(os.path.join(BOX, "alices"), "w+", encoding="ascii") as f:
            f.write("secret\n")
            f.seek(0)
            tap.equal("credential-helpers: wherry login says where it keeps them",
                      m.wherry("login", "-u", "alice", "--password-stdin", registry.address, stdin=f),
                      (0, f"Logged in to {registry.address}; the credentials are in the credential "
                       "helper 'test'\n", ""))
        tap.equal("credential-helpers: and podman and skopeo find them",
                  (tools.podman("login", "--get-login", registry.address).strip(),
                   tools.digest(name)), ("alice", pulled(m, name)[0]))
        os.remove(helper)
        status, _, said = m.wherry("pull", name)
        tap.ok("credential-helpers: one that is missing is told, with the place that names it",
               status == 125 and "docker-credential-test" in said and "registries.conf:1" in said,
               (status, said))
        os.mkdir(os.path.join(m.dir, ".docker"))
        login_file(os.path.join(m.dir, ".docker/config.json"), registry, ("alice", "secret"))
        tap.equal("credential-helpers: unless another has them", m.wherry("pull", "-q", name)[0], 0)


run(artifacts, images_of_files, docker_manifest, tags, logins, helpers,
    needs=("docker-registry", "skopeo", "buildah", "podman"))
