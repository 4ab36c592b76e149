#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""wherry load of archives as docker before 25 wrote them, of an image that buildah built: layers
that are not named by their digest, links between them, and what is wrong with such an archive."""
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import fake_docker20_archive as docker20  # noqa: E402
from machine import Machine  # noqa: E402
from serve_client import BOX, example, output, run, tap  # noqa: E402

NAME = "localhost/hello:1"


def path(name):
    return os.path.join(BOX, name)


def built():
    """(config, {diff_id: layer}) of an image of two layers as buildah builds it."""
    context = path("context")
    os.mkdir(context)
    shutil.copy(example("c"), os.path.join(context, "hello.wasm"))
    with open(os.path.join(context, "Containerfile"), "w", encoding="utf-8") as f:
        f.write("FROM scratch\nCOPY Containerfile /data/file\nCOPY hello.wasm /hello.wasm\n"
                'ENTRYPOINT ["/hello.wasm"]\n')
    buildah = ["buildah", "--root", path("buildah/root"), "--runroot", path("buildah/run"),
               "--storage-driver", "vfs"]
    archive = path("buildah.tar")
    for argv in (["build", "--isolation", "chroot", "--layers", "-q", "--platform", "wasi/wasm",
                  "-t", NAME, context], ["push", "-q", NAME, "docker-archive:" + archive]):
        status, _, said = output(*buildah, *argv)
        if status:
            raise RuntimeError(f"buildah {argv}: {said}")
    return docker20.read(archive)


def changed(config, change):
    document = json.loads(config)
    change(document)
    return docker20.encode(document)


def repeated(config):
    """The same with its first layer once more, twice: what is links in the archive."""
    def again(document):
        ids = document["rootfs"]["diff_ids"]
        ids += [ids[0], ids[0]]
        document["history"] += [{"created_by": "again"}] * 2
    return changed(config, again)


def blobs(m):
    return {"sha256:" + name for name in m.files("blobs/sha256")}


def loaded(what, m, config, layers, *argv, name=NAME, **more):
    status, out, said = m.wherry("load", "-q", *argv, **more)
    tap.ok(f"{what}: loaded", status == 0 and out.startswith(name + "@sha256:") and not said,
           (status, out, said))
    tap.ok(f"{what}: the blobs are whole, and those of the config", m.damaged() == [] and
           {"sha256:" + docker20.sha256(config), *layers} <= blobs(m), m.files("blobs/sha256"))
    tap.equal(f"{what}: runs", m.wherry("run", "--pull", "never", name),
              m.wherry("run", example("c")))
    tap.equal(f"{what}: nothing is left over", m.files("partial"), [])


def good(config, layers):
    archive = docker20.write(path("docker20.tar"), docker20.entries([(config, layers, [NAME])]))
    m = Machine()
    status, _, said = Machine().wherry("load", "-i", archive)
    tap.ok("docker 20.10: nothing was here before", status == 0 and "already here" not in said, said)
    loaded("docker 20.10", m, config, layers, "-i", archive)
    shown, = m.json("image", "inspect", NAME)
    tap.equal("docker 20.10: the layers in their order, as files that are not packed",
              ([part["digest"] for part in shown["layers"]], {p["mediaType"] for p in shown["layers"]}),
              (json.loads(config)["rootfs"]["diff_ids"], {"application/vnd.oci.image.layer.v1.tar"}))
    status, _, said = m.wherry("load", "-i", archive)
    tap.ok("docker 20.10: progress by the digests", status == 0 and
           all(f"{d[:19]}: " in said for d in layers), said)
    with open(archive, "rb") as f:
        loaded("docker 20.10, by a pipe", Machine(), config, layers, stdin=subprocess.Popen(
            ["cat"], stdin=f, stdout=subprocess.PIPE).stdout)
    packed = docker20.write(path("docker20.tgz"), docker20.entries([(config, layers, [NAME])]),
                            mode="w:gz")
    loaded("docker 20.10, packed", Machine(), config, layers, "-i", packed)
    config = repeated(config)
    found = docker20.entries([(config, layers, [NAME])])
    tap.equal("docker 20.10: a layer once more is a link",
              sum(isinstance(value, str) for value in found.values()), 2)
    for what, kind in (("symbolic", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE)):
        archive = docker20.write(path("links.tar"), found, link_type=kind)
        # A hard link leads to what came before it.
        if kind == tarfile.LNKTYPE and not in_order(archive):
            archive = reordered(archive)
        loaded(f"docker 20.10, {what} links", Machine(), config, layers, "-i", archive)
    names = sorted(n for n, value in found.items() if isinstance(value, str))
    found[names[0]] = "../" + names[1]
    loaded("docker 20.10, a link to a link", Machine(), config, layers, "-i",
           docker20.write(path("links.tar"), found))


def in_order(archive):
    with tarfile.open(archive) as tar:
        names = tar.getnames()
        return all(names.index(m.linkname) < names.index(m.name) for m in tar if m.islnk())


def reordered(archive):
    with tarfile.open(archive) as tar, tarfile.open(archive + ".new", "w") as new:
        for member in sorted(tar.getmembers(), key=lambda m: m.islnk()):
            new.addfile(member, tar.extractfile(member) if member.isreg() else None)
    return archive + ".new"


def several(config, layers):
    other = changed(config, lambda document: document.update(author="somebody else"))
    archive = docker20.write(path("several.tar"), docker20.entries(
        [(config, layers, [NAME, "localhost/hello:2"]), (other, layers, ["localhost/other:1"])]))
    m = Machine()
    status, out, said = m.wherry("load", "-q", "-i", archive)
    tap.equal("several images that share layers", (status, [line.partition("@")[0] for line in
                                                            out.splitlines()], said),
              (0, [NAME, "localhost/hello:2", "localhost/other:1"], ""))
    archive = docker20.write(path("nameless.tar"), docker20.entries([(config, layers, [])]))
    status, _, said = Machine().wherry("load", "-q", "-i", archive)
    tap.ok("an image without a name needs --name", status == 1 and "--name" in said, said)
    loaded("--name", Machine(), config, layers, "-i", archive, "--name", "localhost/mine:1",
           name="localhost/mine:1")
    status, _, said = Machine().wherry("run", f"oci-archive:{archive}")
    tap.ok("oci-archive: says how it is used", status == 125 and "wherry load -i" in said,
           (status, said))


def harmful(config, layers):
    """(what, entries, what is said)"""
    found = docker20.entries([(config, layers, [NAME])])
    layer = json.loads(found["manifest.json"])[0]["Layers"][0]

    def with_layer(value):
        return {**found, layer: value}
    yield "another layer", with_layer(found[layer] + b"\0"), "is not what the configuration says"
    yield "a layer that is packed", with_layer(gzip.compress(found[layer])), \
        "is not what the configuration says"
    yield "an empty layer", with_layer(b""), "is not what the configuration says"
    yield "a layer that is missing", {k: v for k, v in found.items() if k != layer}, "no layer '"
    for target, said in (("/etc/passwd", "no layer '"), ("../../etc/passwd", "out of the image"),
                         ("layer.tar", "have no end"), ("../nowhere/layer.tar", "no layer '"),
                         ("../manifest.json", "no layer '"), ("..", "no layer '")):
        yield f"a layer that is a link to {target}", with_layer(target), said
    other = json.loads(found["manifest.json"])[0]["Layers"][1]
    yield "layers that are links in a circle", {**with_layer("../" + other), other: "../" + layer}, \
        "have no end"
    for what, change, said in (
            ("one diff_id too few", lambda d: d["rootfs"]["diff_ids"].pop(), "tells of 1 (diff_ids)"),
            ("no diff_ids", lambda d: d.pop("rootfs"), "tells of 0 (diff_ids)"),
            ("diff_ids that are none", lambda d: d["rootfs"].update(diff_ids=["x", "y"]),
             "instead of x"),
            ("diff_ids the other way round", lambda d: d["rootfs"]["diff_ids"].reverse(),
             "is not what the configuration says")):
        bad = changed(config, change)
        name = docker20.sha256(bad) + ".json"
        manifest = json.loads(found["manifest.json"])
        manifest[0]["Config"] = name
        yield what, {**found, name: bad, "manifest.json": docker20.encode(manifest)}, said
    yield "a config with another content", {k: v + b" " if v == config else v
                                            for k, v in found.items()}, "is another"
    yield "no config", {k: v for k, v in found.items() if v != config}, "is not in the image store"
    manifest = json.loads(found["manifest.json"])
    manifest[0]["Layers"] = ["../../../etc/passwd", "/etc/passwd"]
    yield "layers by paths that lead out", {**found, "manifest.json": docker20.encode(manifest)}, \
        "leads to"


def harm(config, layers):
    archive = path("harm.tar")
    for what, found, wanted in harmful(config, layers):
        m = Machine()
        docker20.write(archive, found)
        status, out, said = m.wherry("load", "-q", "-i", archive)
        tap.ok(f"{what}: an error that says so, and no image", status == 1 and wanted in said and
               not out and m.json("images") == [] and m.damaged() == [] and not m.files("partial"),
               (status, said, m.files("partial")))
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        info = tarfile.TarInfo("x/layer.tar")
        info.type = tarfile.FIFOTYPE
        tar.addfile(info)
    with open(archive, "wb") as f:
        f.write(data.getvalue())
    m = Machine()
    status, _, said = m.wherry("load", "-q", "-i", archive)
    tap.ok("a layer that is a FIFO", status == 1 and "no regular file" in said, said)
    good_one = docker20.write(archive, docker20.entries([(config, layers, [NAME])]))
    with open(good_one, "rb") as f:
        whole = f.read()
    for part in (0.3, 0.6, 0.9):
        with open(archive, "wb") as f:
            f.write(whole[:int(len(whole.rstrip(b"\0")) * part)])
        status, out, said = m.wherry("load", "-q", "-i", archive)
        tap.ok(f"cut at {part}: an error, and no image", status == 1 and said and not out and
               m.json("images") == [] and not m.files("partial"), (status, said))


def all_of_it():
    image = built()
    good(*image)
    several(*image)
    harm(*image)


run(all_of_it, needs=("buildah",))
