#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs from OCI image layouts, as this test writes them and as skopeo copies them: run, compile,
inspect and serve take oci:DIR[:TAG][@sha256:HEX] where they take a file."""
import hashlib
import json
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from image_layout import INDEX, MANIFEST, Layout  # noqa: E402
from serve_client import BOX, PROBE, WHERRY, Server, example, get, output, run, tap  # noqa: E402


def wherry(*argv):
    """(status, stdout, stderr) as text"""
    env = {**os.environ, "XDG_CACHE_HOME": os.path.join(BOX, "cache")}
    status, out, err = output(WHERRY, *argv, env=env)
    return status, out.decode("utf-8", "replace"), err


def commands():
    hello = example("c")
    wanted = wherry("run", hello)
    layout = Layout(os.path.join(BOX, "commands"))
    descriptor = layout.artifact(hello)
    layout.tag("v1", descriptor)
    tap.equal("run: the only image", wherry("run", f"oci:{layout.dir}"), wanted)
    tap.equal("run: by tag", wherry("run", layout.name("v1")), wanted)
    tap.equal("run: by digest", wherry("run", f"oci:{layout.dir}@{descriptor['digest']}"), wanted)
    there = subprocess.run([WHERRY, "run", "oci:commands:v1"], cwd=BOX, capture_output=True)
    tap.equal("run: by a relative path", there.stdout.decode(), wanted[1])
    tap.equal("compile: it is the file's code", wherry("compile", layout.name("v1"))[:2],
              (0, f"{layout.name('v1')}: in the cache already\n"))
    status, out, _ = wherry("inspect", "-o", "json", layout.name("v1"))
    with open(hello, "rb") as f:
        digest = "sha256:" + hashlib.sha256(f.read()).hexdigest()
    tap.equal("inspect: it is the file", (status, json.loads(out)["digest"]), (0, digest))
    layout.tag("older", layout.artifact(hello, "application/vnd.wasm.content.layer.v1+wasm"))
    tap.equal("run: the layer type of older tools", wherry("run", layout.name("older")), wanted)
    wasm = {**descriptor, "platform": {"os": "wasip1", "architecture": "wasm"}}
    other = layout.blob(MANIFEST, {"schemaVersion": 2, "layers": []},
                        platform={"os": "linux", "architecture": "amd64"})
    layout.tag("multi", layout.blob(INDEX, {"schemaVersion": 2, "mediaType": INDEX,
                                            "manifests": [other, wasm]}))
    tap.equal("run: the platform for wasm of an index", wherry("run", layout.name("multi")), wanted)

    if not shutil.which("skopeo"):
        tap.skip("what skopeo copies", "missing: skopeo")
        return
    copy = os.path.join(BOX, "copy")
    status, _, said = output("skopeo", "copy", "--insecure-policy", layout.name("v1"),
                             f"oci:{copy}:copied")
    tap.ok("skopeo copies an image", status == 0, said)
    tap.equal("run: what skopeo copied", wherry("run", f"oci:{copy}:copied"), wanted)


def failures():
    layout = Layout(os.path.join(BOX, "failures"))
    descriptor = layout.artifact(example("c"))
    layout.tag("good", descriptor)
    layout.tag("files", layout.blob(MANIFEST, {"schemaVersion": 2, "layers": [
        layout.blob("application/vnd.oci.image.layer.v1.tar+gzip", b"x")]}))
    for what, name, status, said in (
            ("no such tag", layout.name("bad"), 127, "it has: good, files"),
            ("no tag, and two images", f"oci:{layout.dir}", 127, "name one of: good, files"),
            ("no such folder", "oci:/nowhere:v1", 127, "'/nowhere'"),
            ("a file instead of a folder", f"oci:{WHERRY}:v1", 126, "wherry'"),
            ("a folder that is no layout", f"oci:{BOX}", 125, "it is no OCI image layout"),
            ("an image without a program", layout.name("files"), 126, "layer.v1.tar+gzip")):
        for command in ("run", "inspect", "compile"):
            got, out, err = wherry(command, name)
            tap.ok(f"{what}: {command} ends with {status} and says why",
                   got == status and said in err and not out, (got, out, err))
    with open(layout.blob_path(descriptor["digest"]), "r+b") as f:
        f.write(b"[")
    status, _, err = wherry("run", layout.name("good"))
    tap.ok("a damaged image is not run", status == 125 and "is damaged" in err, (status, err))


def serve():
    layout = Layout(os.path.join(BOX, "serve"))
    layout.tag("app", layout.artifact(PROBE))
    layout.tag("c", layout.artifact(example("http-c")))
    with Server("--route", f"/c={layout.name('c')}", layout.name("app")) as server:
        tap.equal("serve: an image", get(server, "/hello").body, b"hello\n")
        tap.equal("serve: another by --route", get(server, "/c").body, b"Hello from C!\n")
        layout.tag("app", layout.artifact(example("http-c")))
        server.reload()
        tap.equal("serve: SIGHUP looks at the tag again", get(server, "/hello").body,
                  b"Hello from C!\n")
        shutil.rmtree(layout.dir)
        server.reload()
        tap.ok("serve: a layout that is gone changes nothing",
               "the program from before goes on" in server.log()
               and get(server, "/hello").body == b"Hello from C!\n", server.log())


run(commands, failures, serve)
