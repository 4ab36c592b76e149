#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`wherry image inspect --remote`, and history: what a real docker-registry has of artifacts, of
images of files and of images for several platforms, without storing it; with passwords, mirrors and
short names; and what a fake registry that misbehaves does to it."""
import gzip
import hashlib
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from faulty_registry import FaultyRegistry, other_bytes  # noqa: E402
from image_layout import INDEX, MANIFEST, Layout  # noqa: E402
from machine import Machine, hello  # noqa: E402
from registry import Registry, login_file, push_layout  # noqa: E402
from serve_client import BOX, example, output, run, tap  # noqa: E402

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def show(m, *argv):
    """(status, the list, standard error)"""
    status, out, said = m.wherry("image", "inspect", "--remote", "-o", "json", *argv)
    return status, json.loads(out), said


def push_all(layout, tag, registry):
    """With all that an index lists; the name there."""
    name = f"{registry.address}/test/app:{tag}"
    status, _, said = output("skopeo", "copy", "--insecure-policy", "--all",
                             "--dest-tls-verify=false", layout.name(tag), "docker://" + name)
    if status:
        raise RuntimeError(said)
    return name


def nothing_stored(what, m):
    tap.ok(f"{what}: nothing is stored", not os.path.exists(m.path("")), os.listdir(m.dir))


# ---- Documents -------------------------------------------------------------------------------


def artifact(registry):
    layout, digest = hello()
    name = push_all(layout, "v1", registry)
    m = Machine()
    before = len(registry.requests())
    status, (got,), said = show(m, name)
    asked = registry.requests()[before:]
    tap.equal("an artifact: no word", (status, said), (0, ""))
    nothing_stored("an artifact", m)
    manifest = layout.read(digest)
    layer = manifest["layers"][0]
    tap.ok("an artifact: the program is not fetched", not [r for r in asked if layer["digest"] in str(r)],
           asked)
    tap.equal("an artifact: the name in full, the manifest, and how much there is to fetch",
              (got["names"], got["digest"], got["mediaType"], got["size"], got["downloadBytes"]),
              ([name], digest, MANIFEST, os.path.getsize(layout.blob_path(digest)),
               os.path.getsize(layout.blob_path(digest)) + manifest["config"]["size"] + layer["size"]))
    tap.equal("an artifact: the program", got["program"],
              {"digest": layer["digest"], "size": layer["size"]})
    m.wherry("pull", "-q", name)
    local, = m.json("image", "inspect", name)
    own = {k: got[k] for k in got if k not in ("downloadBytes", "program")}
    tap.equal("an artifact: all else is as after a pull", own, {k: local[k] for k in own})
    tap.equal("an artifact: what is missing are its files and what is in the program",
              set(local) - set(got), {"diskBytes", "fetchedAt"})
    by_digest = f"{registry.address}/test/app@{digest}"
    tap.equal("an artifact, by digest", show(m, by_digest)[1][0]["names"], [by_digest])
    status, out, _ = Machine().wherry("image", "inspect", "--remote", name)
    tap.ok("an artifact: as text", status == 0 and all(part in out for part in (
        name, digest, "wasip2/wasm", "To fetch:", f"Program:     {layer['digest']}")) and not any(
            part in out for part in ("On disk:", "Fetched:", "Compiled:", "Index:")), out)
    status, out, said = m.wherry("image", "inspect", "--remote", f"{name}x", name)
    tap.ok("what is not there is said, the rest shown", status == 1 and "does not have" in said and
           digest in out, (status, said))


def files(registry):
    layout = Layout(os.path.join(BOX, "files"))
    contents = [b"\0" * 1024, b"\0" * 2048]
    layers = [layout.blob(LAYER, gzip.compress(data, mtime=0)) for data in contents]
    config = layout.blob("application/vnd.oci.image.config.v1+json", {
        "architecture": "wasm", "os": "wasi", "rootfs": {"type": "layers", "diff_ids": [
            "sha256:" + hashlib.sha256(data).hexdigest() for data in contents]},
        "history": [{"created_by": "one\x1b[31m"}, {"created_by": "two"}]})
    layout.tag("files", layout.blob(MANIFEST, {
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}))
    name = push_all(layout, "files", registry)
    m = Machine()
    status, (got,), _ = show(m, name)
    tap.ok("an image of files: its program is not known", status == 0 and "program" not in got and
           got["config"]["content"]["os"] == "wasi" and got["layers"] == layers and got["downloadBytes"]
           == got["size"] + config["size"] + sum(part["size"] for part in layers), got)
    tap.ok("an image of files: and not said to be none",
           "Program" not in m.wherry("image", "inspect", "--remote", name)[1])
    status, out, _ = m.wherry("image", "history", "--remote", "-o", "json", name)
    tap.equal("history: by the configuration", [(s["createdBy"], s["digest"]) for s in
                                                json.loads(out)[0]["history"]],
              [("two", layers[1]["digest"]), ("one\x1b[31m", layers[0]["digest"])])
    status, out, _ = m.wherry("image", "history", "--remote", name)
    tap.ok("history: nothing speaks to the terminal", status == 0 and "one?[31m" in out, out)
    nothing_stored("an image of files", m)


def platforms(registry):
    layout = Layout(os.path.join(BOX, "platforms"))
    arm = layout.container([b"\0" * 10240], {}, architecture="arm", os_name="linux",
                           platform={"os": "linux", "architecture": "arm", "variant": "v7"})
    s390 = layout.container([b"\0" * 10240], {}, architecture="s390x", os_name="linux",
                            platform={"os": "linux", "architecture": "s390x"})
    wasm = layout.artifact(example("c"), platform={"os": "wasip1", "architecture": "wasm"},
                           annotations={"a": "b"})
    layout.tag("multi", layout.blob(INDEX, {
        "schemaVersion": 2, "mediaType": INDEX, "manifests": [arm, s390, wasm],
        "annotations": {"of": "the index"}}))
    layout.tag("other", layout.blob(INDEX, {
        "schemaVersion": 2, "mediaType": INDEX, "manifests": [arm, s390]}))
    m = Machine()
    name = push_all(layout, "multi", registry)
    status, (got,), said = show(m, name)
    tap.equal("an index: all platforms, and which one a pull takes", (status, said, [
        (p["digest"], p["platform"], p["pulled"], p.get("annotations")) for p in
        got["index"]["manifests"]]),
        (0, "", [(arm["digest"], arm["platform"], False, None),
                 (s390["digest"], s390["platform"], False, None),
                 (wasm["digest"], wasm["platform"], True, {"a": "b"})]))
    tap.equal("an index: itself", (got["index"]["mediaType"], got["index"]["annotations"],
                                   got["index"]["digest"]),
              (INDEX, {"of": "the index"}, next(
                  d["digest"] for d in layout.manifests if d["mediaType"] == INDEX)))
    tap.equal("an index: the manifest for WebAssembly is shown", (got["digest"], got["mediaType"]),
              (wasm["digest"], MANIFEST))
    out = m.wherry("image", "inspect", "--remote", name)[1]
    tap.ok("an index: as text", all(part in out for part in (
        "Index:", "linux/arm/v7", "linux/s390x", "wasip1/wasm  (shown here")), out)
    name = push_all(layout, "other", registry)
    status, (got,), said = show(m, name)
    tap.ok("an index without WebAssembly: the platforms, and why a pull takes none",
           status == 0 and "digest" not in got and len(got["index"]["manifests"]) == 2 and
           "for WebAssembly" in got["index"]["problem"] and not said, (status, got, said))
    out = m.wherry("image", "inspect", "--remote", name)[1]
    tap.ok("an index without WebAssembly: as text", "linux/s390x" in out and "Pull:" in out and
           "Digest:" not in out, out)
    status, _, said = m.wherry("image", "history", "--remote", name)
    tap.ok("an index without WebAssembly has no history", status == 1 and "linux/s390x" in said,
           (status, said))
    nothing_stored("an index", m)


def documents():
    with Registry() as registry:
        artifact(registry)
        files(registry)
        platforms(registry)


# ---- The way there ---------------------------------------------------------------------------


def ways():
    layout, digest = hello()
    with Registry(htpasswd={"alice": "secret"}) as registry:
        push_layout(layout.dir, "v1", registry, credentials=("alice", "secret"))
        auth = os.path.join(BOX, "auth.json")
        login_file(auth, registry, ("alice", "secret"))
        name = f"{registry.address}/test/app:v1"
        m = Machine()
        status, got, said = show(m, name)
        tap.ok("passwords: what to type", status == 1 and not got and "wherry login" in said, said)
        tap.equal("--authfile", show(m, "--authfile", auth, name)[1][0]["digest"], digest)
        m.registries_conf("unqualified-search-registries = ['images.example']\n"
                          "[[registry]]\nlocation = 'images.example'\n"
                          f"mirror = [{{location = '{registry.address}'}}]\n")
        tap.equal("a short name, of a mirror: the name in full",
                  show(m, "--authfile", auth, "test/app:v1")[1][0]["names"],
                  ["images.example/test/app:v1"])
        for option in (["--plain-http"], ["--insecure"], ["--authfile", auth]):
            status, out, said = m.wherry("image", "inspect", *option, name)
            tap.ok(f"{option[0]} is for --remote", status == 125 and "--remote" in said and not out,
                   (status, said))
    status, _, said = m.wherry("image", "inspect", "--remote", name)
    tap.ok("no registry: what and why", status == 1 and registry.address in said, said)
    nothing_stored("any way", m)


def faults():
    layout, digest = hello()
    config = layout.read(digest)["config"]["digest"]
    with FaultyRegistry() as registry:
        registry.add_layout(layout.dir)
        name = f"{registry.address}/test/app:v1"
        for what, where, wanted in (("a config", config, "its content is not that of"),
                                    ("a manifest", "manifests/", "")):
            registry.inject(other_bytes(), rf"^GET .*{where}")
            status, got, said = show(Machine(), name)
            tap.ok(f"{what} of other bytes", status == 1 and got == [] and said and wanted in said,
                   (status, got, said))
            registry.heal()
        registry.add_manifest("test/app", "empty", {})
        status, got, said = show(Machine(), f"{registry.address}/test/app:empty")
        tap.ok("a manifest that is none", status == 1 and "no layers" in said, (status, said))
        registry.add_manifest("test/app", "large", {"schemaVersion": 2, "config": {
            "digest": "sha256:" + "0" * 64, "size": 2**62}, "layers": [
                {"digest": "sha256:" + "1" * 64, "size": 2**62 + n} for n in range(3)]})
        status, (got,), said = show(Machine(), f"{registry.address}/test/app:large")
        tap.ok("sizes beyond all that there is, and a configuration that is no document",
               status == 0 and "content" not in got["config"] and got["downloadBytes"] > 2**62,
               (status, got, said))


run(documents, ways, faults, needs=("docker-registry", "skopeo"))
