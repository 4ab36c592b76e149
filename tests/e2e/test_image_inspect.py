#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`wherry image inspect` and `wherry image history`: of wasm artifacts and of images of files."""
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from image_layout import MANIFEST, Layout  # noqa: E402
from machine import Machine  # noqa: E402
from serve_client import BOX, example, run, tap  # noqa: E402

LAYER = "application/vnd.oci.image.layer.v1.tar"


def machine(name, layout):
    m = Machine()
    m.env["XDG_CACHE_HOME"] = os.path.join(m.dir, "cache")
    status, _, said = m.wherry("load", "-q", "--no-compile", "-i", layout.dir)
    tap.ok(f"{name} is loaded", status == 0, said)
    return m


def on_disk(m, digests):
    return sum(os.path.getsize(os.path.join(m.state, "images/blobs/sha256", d.partition(":")[2]))
               for d in digests)


def artifact():
    layout = Layout(os.path.join(BOX, "artifact"))
    with open(example("c-component"), "rb") as f:
        layer = layout.blob("application/wasm", f.read(), annotations={"title": "hello"})
    config = {"created": "2026-11-26T01:02:03.456Z", "author": "me", "architecture": "wasm",
              "os": "wasip2", "layerDigests": [layer["digest"]],
              "component": {"exports": ["wasi:cli/run@0.2.0"], "imports": ["wasi:io/streams@0.2.0"],
                            "target": "wasi:cli/command@0.2.0"}}
    config_part = layout.blob("application/vnd.wasm.config.v0+json", config)
    annotations = {"org.opencontainers.image.source": "https://example.org", "e": "\x1b[31m"}
    manifest = layout.blob(MANIFEST, {"schemaVersion": 2, "mediaType": MANIFEST,
                                      "artifactType": "application/wasm", "config": config_part,
                                      "layers": [layer], "annotations": annotations})
    layout.tag("quay.io/a/hello:1", manifest)
    m = machine("an artifact", layout)
    m.wherry("tag", "quay.io/a/hello:1", "hello:2")
    status, out, said = m.wherry("image", "inspect", "-o", "json", "hello:2")
    tap.ok("inspect: one object in a list", status == 0 and said == "" and len(json.loads(out)) == 1,
           (status, said))
    got = json.loads(out)[0]
    program = json.loads(m.wherry("inspect", "-o", "json", "hello:2")[1])
    tap.equal("inspect: names", got["names"], ["docker.io/library/hello:2", "quay.io/a/hello:1"])
    tap.equal("inspect: digest and types", (got["digest"], got["mediaType"], got["artifactType"]),
              (manifest["digest"], MANIFEST, "application/wasm"))
    tap.equal("inspect: platform, times, author",
              (got["platform"], got["created"], got["author"]),
              ({"os": "wasip2", "architecture": "wasm"}, "2026-11-26T01:02:03.456Z", "me"))
    tap.equal("inspect: annotations", got["annotations"], annotations)
    tap.equal("inspect: the configuration", got["config"], {**config_part, "content": config})
    tap.equal("inspect: layers with their sizes", got["layers"], [layer])
    tap.equal("inspect: a component's world", got["component"], config["component"])
    tap.equal("inspect: size on disk", (got["size"], got["diskBytes"]),
              (manifest["size"], on_disk(m, (manifest["digest"], config_part["digest"],
                                             layer["digest"]))))
    tap.equal("inspect: the contract is the program's, and nothing is compiled yet", got["program"],
              {"digest": layer["digest"], "size": layer["size"], "contract": program["contract"],
               "reason": program["reason"], "compiled": {"run": False, "serve": False}})
    m.wherry("compile", "hello:2")
    tap.equal("inspect: compiled for run", json.loads(m.wherry(
        "image", "inspect", "-o", "json", "hello:2")[1])[0]["program"]["compiled"],
        {"run": True, "serve": False})
    m.wherry("compile", "--shared", "hello:2")
    text = m.wherry("image", "inspect", "hello:2")[1]
    tap.ok("inspect: as text", all(part in text for part in (
        "quay.io/a/hello:1", manifest["digest"], "wasip2/wasm", "2026-11-26T01:02:03.456Z",
        'title = "hello"', "https://example.org", "wasi:cli/command@0.2.0", program["contract"],
        "for run, for serve")) and "\x1b" not in text, text)
    status, out, _ = m.wherry("image", "history", "hello:2")
    lines = out.splitlines()
    tap.ok("history: of an artifact its layer", status == 0 and len(lines) == 2 and
           lines[1].split()[:3] == [layer["digest"][:19], "2026-11-26T01:02:03Z", "application/wasm"],
           out)
    status, out, said = m.wherry("image", "inspect", "nothing:1", "hello:2")
    tap.ok("inspect: what is not there is said, the rest shown", status == 1 and
           "no image 'nothing:1'" in said and "hello:2" in out, (status, said))
    status, out, said = m.wherry("image", "delete", "hello:2")
    tap.ok("no such action", status == 125 and "neither" in said and not out, (status, said))


def files():
    layout = Layout(os.path.join(BOX, "files"))
    layers = [layout.blob(LAYER, b"\0" * 1024), layout.blob(LAYER, b"\0" * 2048)]
    config = layout.blob("application/vnd.oci.image.config.v1+json", {
        "architecture": "wasm", "os": "wasi", "rootfs": {"type": "layers", "diff_ids": []},
        "history": [{"created": "2026-11-25T00:00:00Z", "created_by": "first " + "x" * 60},
                    {"created": "2026-11-26T00:00:00Z", "created_by": "ENV\n\x1b[31mA=1",
                     "empty_layer": True},
                    {"created_by": "third", "comment": "a comment"}]})
    layout.tag("files:1", layout.blob(MANIFEST, {
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}))
    other = layout.blob("text/plain", b"no JSON")
    layout.tag("odd:1", layout.blob(MANIFEST, {
        "schemaVersion": 2, "mediaType": MANIFEST, "config": other,
        "layers": [layout.blob("application/octet-stream", b"anything")]}))
    m = machine("an image of files", layout)
    status, out, _ = m.wherry("image", "history", "-o", "json", "files:1")
    steps = json.loads(out)[0]["history"]
    tap.equal("history: the last first, each with its layer",
              [(s.get("createdBy"), s["size"], s.get("digest"), s["emptyLayer"]) for s in steps],
              [("third", 2048, layers[1]["digest"], False), ("ENV\n\x1b[31mA=1", 0, None, True),
               ("first " + "x" * 60, 1024, layers[0]["digest"], False)])
    status, out, _ = m.wherry("image", "history", "files:1")
    lines = out.splitlines()
    tap.ok("history: a line each, shortened, and nothing speaks to the terminal",
           len(lines) == 4 and "a comment" in lines[1] and "ENV ?[31mA=1" in lines[2] and
           "xxx..." in lines[3] and "x" * 60 not in out and "\x1b" not in out, out)
    tap.ok("history --no-trunc", "x" * 60 in m.wherry("image", "history", "--no-trunc", "files:1")[1])
    status, out, said = m.wherry("image", "inspect", "-o", "json", "odd:1")
    tap.ok("inspect: a configuration that is no JSON says nothing", status == 0 and
           json.loads(out)[0]["config"] == other, (status, out, said))
    os.remove(os.path.join(m.state, "images/blobs/sha256", config["digest"].partition(":")[2]))
    status, _, said = m.wherry("image", "inspect", "files:1")
    tap.ok("inspect: a store that lacks something: what, and of what image", status == 1 and
           "files:1" in said and config["digest"].partition(":")[2] in said, (status, said))


run(artifact, files)
