#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images in files: save and load, between two stores, with skopeo and podman on the other side, and
with archives that somebody made to do harm; and run, compile, inspect and serve of
oci-archive:FILE[:TAG][@sha256:HEX]."""
import gzip
import hashlib
import io
import json
import os
import pty
import shutil
import subprocess
import sys
import tarfile
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from image_layout import INDEX, MANIFEST, Layout  # noqa: E402
from machine import Machine, hello  # noqa: E402
from serve_client import (  # noqa: E402
    BOX, IS_FULL, PROBE, WHERRY, Server, example, get, output, run, tap)

KILLS = 100 if IS_FULL else 10
REF_NAME = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"


def path(name):
    return os.path.join(BOX, name)


def read(name):
    with open(name, "rb") as f:
        return f.read()


def pack(folder, name, mode="w"):
    """A tar archive of what is in the folder, as `tar -C folder -c .` makes it."""
    with tarfile.open(path(name), mode) as tar:
        tar.add(folder, ".")
    return path(name)


def names(m):
    return [i["name"] for i in json.loads(m.wherry("images", "-o", "json")[1])]


# ---- Between two stores ----------------------------------------------------------------------


def round_trip():
    layout, digest = hello()
    a, b = Machine(), Machine()
    wanted = a.wherry("run", example("c"))
    tap.equal("load: a folder, and a tag as podman calls it", a.wherry("load", "-q", "-i", layout.dir),
              (0, f"localhost/v1:latest@{digest}\n", ""))
    a.wherry("tag", "localhost/v1", "ghcr.io/team/hello:1.0")
    a.wherry("tag", "localhost/v1", f"ghcr.io/team/hello@{digest}")
    both = ("ghcr.io/team/hello:1.0", "localhost/v1")
    one, two = path("one.tar"), path("two.tar")
    tap.equal("save", a.wherry("save", "-o", one, *both), (0, "", ""))
    with tarfile.open(one) as tar:
        members = tar.getmembers()
        index = json.load(tar.extractfile("index.json"))
    tap.equal("save: sorted, of nobody and of no time",
              ([m.name for m in members], {(m.uid, m.gid, m.mtime, m.uname) for m in members}),
              (sorted(m.name for m in members), {(0, 0, 0, "")}))
    tap.equal("save: the names as containerd and docker, and as skopeo write them",
              [m["annotations"] for m in index["manifests"]],
              [{FULL_NAME: "ghcr.io/team/hello:1.0", REF_NAME: "1.0"},
               {FULL_NAME: "localhost/v1:latest", REF_NAME: "latest"}])
    with open(two, "wb") as f:
        saving = subprocess.Popen([WHERRY, "save", *reversed(both), "localhost/v1:latest"],
                                  env=a.env, stdout=f)
    tap.equal("save: to standard output the same bytes, whatever the order",
              (saving.wait(), read(two)), (0, read(one)))
    first = subprocess.Popen([WHERRY, "save", *both, f"ghcr.io/team/hello@{digest}"], env=a.env,
                             stdout=subprocess.PIPE)
    status, out, said = b.wherry("load", "-q", stdin=first.stdout)
    tap.equal("save | load: all names, by a pipe", (first.wait(), status, out.split(), said),
              (0, 0, [f"ghcr.io/team/hello:1.0@{digest}", f"ghcr.io/team/hello@{digest}",
                      f"localhost/v1:latest@{digest}"], ""))
    tap.equal("save | load: the same images", (names(b), b.files("blobs/sha256"), b.damaged()),
              (names(a), a.files("blobs/sha256"), []))
    tap.equal("and they run", b.wherry("run", "--pull", "never", "ghcr.io/team/hello:1.0"), wanted)
    status, _, said = b.wherry("load", "-i", one)
    tap.ok("load again: tells that it is here", status == 0 and said.count("already here") == 3, said)
    folder = path("saved")
    tap.equal("save --format oci-dir, and load it",
              (a.wherry("save", "--format", "oci-dir", "-o", folder, both[0])[0],
               Machine().wherry("load", "-q", "-i", folder)),
              (0, (0, f"{both[0]}@{digest}\n", "")))
    tap.equal("run: the saved folder", b.wherry("run", f"oci:{folder}:1.0"), wanted)
    m = Machine()
    tap.equal("load --name", (m.wherry("load", "-q", "-i", layout.dir, "--name", "mine:1")[1], names(m)),
              (f"docker.io/library/mine:1@{digest}\n", ["docker.io/library/mine:1"]))
    status, _, said = m.wherry("load", "-q", "-i", one, "--name", "mine:2")
    tap.ok("load --name: there are two", status == 1 and "name one of: 1.0, latest" in said, said)


def refusals():
    layout, _ = hello()
    m = Machine()
    m.wherry("load", "-i", layout.dir)
    out = path("kept.tar")
    with open(out, "wb") as f:
        f.write(b"before")
    status, _, said = m.wherry("save", "-o", out, "localhost/v1", "nothing:1")
    tap.ok("save: what is not there is said, and the file stays",
           status == 1 and "no image 'nothing:1'" in said and read(out) == b"before", said)
    status, _, said = m.wherry("save", "--format", "docker-archive", "-o", out, "localhost/v1")
    tap.ok("save --format docker-archive: no artifacts", status == 1 and "oci-archive" in said, said)
    status, _, said = m.wherry("save", "--format", "oci-dir", "-o", BOX, "localhost/v1")
    tap.ok("save --format oci-dir: not into a folder with files", status == 125 and
           "not empty" in said, said)
    os.remove(os.path.join(m.state, "images/blobs/sha256", max(
        m.files("blobs/sha256"), key=lambda b: os.path.getsize(
            os.path.join(m.state, "images/blobs/sha256", b)))))
    status, _, said = m.wherry("save", "-o", out, "localhost/v1")
    tap.ok("save: a store that lacks something: the file stays, and nothing beside it",
           status == 1 and "is missing; pull the image again" in said and read(out) == b"before" and
           not [n for n in os.listdir(BOX) if n.startswith(".kept")], said)
    primary, secondary = pty.openpty()
    for command in (["save", "localhost/v1"], ["load"]):
        done = subprocess.run([WHERRY, *command], env=m.env, stdin=secondary, stdout=secondary,
                              stderr=subprocess.PIPE)
        tap.ok(f"{command[0]}: not on a terminal", done.returncode == 125 and b"give -" in done.stderr,
               done.stderr)
    os.close(primary)
    os.close(secondary)
    status, _, said = m.wherry("load", "-i", path("nowhere.tar"))
    tap.ok("load: no such file", status == 1 and "nowhere.tar" in said, said)


# ---- Other tools -----------------------------------------------------------------------------


def with_skopeo():
    layout, digest = hello()
    m = Machine()
    archive = path("skopeo.tar")
    for tag, name in (("v1", "localhost/v1:latest"), ("quay.io/a/b:3", "quay.io/a/b:3"), ("c:4",
                      "docker.io/library/c:4")):
        status, _, said = output("skopeo", "copy", "--insecure-policy", layout.name("v1"),
                                 f"oci-archive:{archive}:{tag}")
        tap.ok(f"skopeo writes an archive with {tag}", status == 0, said)
        tap.equal(f"load: what skopeo wrote as {tag}", m.wherry("load", "-q", "-i", archive),
                  (0, f"{name}@{digest}\n", ""))
        os.remove(archive)
    m.wherry("save", "-o", archive, "quay.io/a/b:3")
    status, out, said = output("skopeo", "inspect", "--raw", f"oci-archive:{archive}")
    tap.ok("skopeo inspects what save wrote", status == 0 and
           "sha256:" + hashlib.sha256(out).hexdigest() == digest, said)
    copy = path("skopeo-copy")
    status, _, said = output("skopeo", "copy", "--insecure-policy", f"oci-archive:{archive}:3",
                             f"oci:{copy}:copied")
    tap.ok("skopeo copies what save wrote, by its tag", status == 0, said)
    tap.equal("and that runs", m.wherry("run", f"oci:{copy}:copied"), m.wherry("run", example("c")))
    with tarfile.open(path("unicode.tar"), "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("\u043a\u043b\u044e\u0447" * 60))
        with tarfile.open(archive) as source:
            for member in source.getmembers():
                tar.addfile(member, source.extractfile(member))
    tap.equal("load: beside files with long names in other letters", Machine().wherry(
        "load", "-q", "-i", path("unicode.tar")), (0, f"quay.io/a/b:3@{digest}\n", ""))
    for program in ("gzip", "bzip2", "xz", "zstd"):
        if not shutil.which(program):
            tap.skip(f"load: packed with {program}", f"missing: {program}")
            continue
        packed = path("packed.tar")
        with open(packed, "wb") as f:
            subprocess.run([program, "-c", archive], stdout=f, check=True)
        tap.equal(f"load: packed with {program}", Machine().wherry("load", "-q", "-i", packed),
                  (0, f"quay.io/a/b:3@{digest}\n", ""))


def container():
    """A layout with a FROM scratch image as it is built for WebAssembly."""
    layout = Layout(path("container"))
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w") as tar:
        tar.add(example("c"), "hello.wasm")
    layer = layout.blob("application/vnd.oci.image.layer.v1.tar+gzip",
                        gzip.compress(text.getvalue(), mtime=0))
    config = layout.blob("application/vnd.oci.image.config.v1+json", {
        "architecture": "wasm", "os": "wasi", "config": {"Entrypoint": ["/hello.wasm"]},
        "rootfs": {"type": "layers",
                   "diff_ids": ["sha256:" + hashlib.sha256(text.getvalue()).hexdigest()]},
        "history": [{"created": "2026-11-26T00:00:00Z", "created_by": "COPY hello.wasm /"}]})
    descriptor = layout.blob(MANIFEST, {"schemaVersion": 2, "mediaType": MANIFEST,
                                        "config": config, "layers": [layer]})
    layout.tag("localhost/hello:1", descriptor)
    return layout, descriptor["digest"]


def with_podman():
    if not shutil.which("podman"):
        tap.skip("what podman saves and loads", "missing: podman")
        return
    podman = ["podman", "--root", path("podman/root"), "--runroot", path("podman/run"),
              "--storage-driver", "vfs"]
    layout, digest = container()
    m = Machine()
    tap.equal("load: an image of files", m.wherry("load", "-q", "-i", layout.dir),
              (0, f"localhost/hello:1@{digest}\n", ""))
    wanted = m.wherry("run", example("c"))
    tap.equal("run: an image of files that was loaded", m.wherry("run", "localhost/hello:1"), wanted)
    archive = pack(layout.dir, "container.tar.gz", "w:gz")
    tap.equal("run: an image of files in an archive",
              Machine().wherry("run", f"oci-archive:{archive}:localhost/hello:1"), wanted)
    for form in ("oci-archive", "docker-archive"):
        archive = path(form)
        tap.equal(f"save --format {form}",
                  m.wherry("save", "--format", form, "-o", archive, "localhost/hello:1"), (0, "", ""))
        status, out, said = output(*podman, "load", "-q", "-i", archive)
        tap.ok(f"podman loads the {form}", status == 0 and b"localhost/hello:1" in out, (out, said))
        os.remove(archive)
        status, _, said = output(*podman, "save", "-q", "--format", form, "-o", archive,
                                 "localhost/hello:1")
        tap.ok(f"podman saves as {form}", status == 0, said)
        b = Machine()
        status, out, said = b.wherry("load", "-q", "-i", archive)
        tap.equal(f"run: the {form} of podman", b.wherry("run", "localhost/hello:1"), wanted)
        tap.ok(f"load: the {form} of podman", status == 0 and
               out.startswith("localhost/hello:1@sha256:") and b.damaged() == [], (out, said))
        config = {c for c in b.files("blobs/sha256") if b'"diff_ids"' in
                  read(os.path.join(b.state, "images/blobs/sha256", c))}
        tap.equal(f"load: the {form} has the same config",
                  {"sha256:" + c for c in config}, {layout.read(digest)["config"]["digest"]})
        output(*podman, "rmi", "-af")


# ---- References ------------------------------------------------------------------------------


def references():
    layout, digest = hello()
    layout = Layout(path("references"))
    layout.tag("v1", layout.artifact(example("c")))
    archive = pack(layout.dir, "references.tar")
    m = Machine()
    wanted = m.wherry("run", example("c"))
    tap.equal("run: the only image", m.wherry("run", f"oci-archive:{archive}"), wanted)
    tap.equal("run: by tag", m.wherry("run", f"oci-archive:{archive}:v1"), wanted)
    tap.equal("run: by digest", m.wherry("run", f"oci-archive:{archive}@{digest}"), wanted)
    tap.equal("run: packed, by a relative path", m.wherry(
        "run", f"oci-archive:{os.path.basename(pack(layout.dir, 'references.tgz', 'w:gz'))}:v1",
        cwd=BOX), wanted)
    tap.equal("run: no image gets a name", names(m), [])
    tap.equal("compile: it is the file's code", m.wherry("compile", f"oci-archive:{archive}")[:2],
              (0, f"oci-archive:{archive}: in the cache already\n"))
    status, out, _ = m.wherry("inspect", "-o", "json", f"oci-archive:{archive}:v1")
    tap.equal("inspect: it is the file", (status, json.loads(out)["digest"]),
              (0, "sha256:" + hashlib.sha256(read(example("c"))).hexdigest()))
    layout.tag("files", layout.blob(MANIFEST, {"schemaVersion": 2, "layers": [
        layout.blob("application/octet-stream", b"x")]}))
    several = pack(layout.dir, "several.tar")
    for what, name, status, said in (
            ("no such tag", f"{several}:bad", 127, "it has: v1, files"),
            ("no tag, and two images", several, 127, "name one of: v1, files"),
            ("no such file", "/nowhere:v1", 127, "/nowhere"),
            ("a folder", f"{BOX}:v1", 126, "not a regular file"),
            ("no archive", f"{WHERRY}", 125, "no tar archive"),
            ("an image without a program", f"{several}:files", 126, "application/octet-stream")):
        for command in ("run", "inspect", "compile"):
            got, out, err = m.wherry(command, "oci-archive:" + name)
            tap.ok(f"{what}: {command} ends with {status} and says why, once",
                   got == status and said in err and not out and err.count("\n") == 1,
                   (got, out, err))


def served():
    layout = Layout(path("served"))
    layout.tag("app", layout.artifact(PROBE))
    layout.tag("c", layout.artifact(example("http-c")))
    archive = pack(layout.dir, "served.tar")
    m = Machine()
    with Server("--route", f"/c=oci-archive:{archive}:c", f"oci-archive:{archive}:app",
                env=m.env) as server:
        tap.equal("serve: an image", get(server, "/hello").body, b"hello\n")
        tap.equal("serve: another by --route", get(server, "/c").body, b"Hello from C!\n")
        os.remove(archive)
        server.reload()
        tap.equal("serve: SIGHUP keeps the program that the archive had",
                  get(server, "/hello").body, b"hello\n")


# ---- Archives that somebody made to do harm --------------------------------------------------


class Tar:
    """An archive, entry by entry."""

    def __init__(self, mode="w"):
        self.data = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.data, mode=mode)

    def file(self, name, data, size=None):
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        info = tarfile.TarInfo(name)
        info.size = len(data) if size is None else size
        self.tar.fileobj.write(info.tobuf(self.tar.format))
        self.tar.fileobj.write(data + b"\0" * (-len(data) % 512))
        return self

    def other(self, name, kind, link=""):
        info = tarfile.TarInfo(name)
        info.type = kind
        info.linkname = link
        self.tar.addfile(info)
        return self

    def layout(self):
        return self.file("oci-layout", {"imageLayoutVersion": "1.0.0"})

    def index(self, *descriptors):
        return self.file("index.json", {"schemaVersion": 2, "manifests": descriptors})

    def blob(self, media_type, data, **more):
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        digest = hashlib.sha256(data).hexdigest()
        self.file("blobs/sha256/" + digest, data)
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data), **more}

    def artifact(self, **more):
        layer = self.blob("application/wasm", read(example("c")))
        return self.blob(MANIFEST, {"schemaVersion": 2, "layers": [layer], **more},
                         annotations={REF_NAME: "x:1"})

    def bytes(self):
        self.tar.close()
        return self.data.getvalue()


def whole():
    tar = Tar().layout()
    return tar.index(tar.artifact()).bytes()


def bombs():
    """What becomes gigabytes."""
    name = "blobs/sha256/" + "0" * 64
    zeros = gzip.compress(b"\0" * (16 << 20), 9)
    head = tarfile.TarInfo(name)
    head.size = 8 << 30
    start = gzip.compress(head.tobuf(tarfile.PAX_FORMAT))
    yield "a blob of 8 GiB in gzip", start + zeros * 512, "times its size"
    head.name = "skipped"
    yield "8 GiB that nobody wants in gzip", gzip.compress(head.tobuf()) + zeros * 512, "times its size"
    sparse = path("sparse")
    os.makedirs(os.path.join(sparse, "blobs/sha256"))
    with open(os.path.join(sparse, name), "wb") as f:
        f.seek(1 << 40)
        f.write(b"x")
    yield ("a sparse blob of 1 TiB",
           subprocess.run(["tar", "-C", sparse, "-Sc", name], capture_output=True, check=True).stdout,
           "times its size")
    if shutil.which("zstd"):
        with open(os.path.join(sparse, name), "r+b") as f:
            f.truncate(256 << 20)
        tar = subprocess.Popen(["tar", "-C", sparse, "-c", name], stdout=subprocess.PIPE)
        yield ("a blob of 256 MiB in zstd",
               subprocess.run(["zstd", "-c"], stdin=tar.stdout, capture_output=True, check=True).stdout,
               "times its size")
        tar.wait()


def harmful():
    """(what, archive, what is said)"""
    good = whole()
    for name in ("../up", "/absolute", "a/../../up", "..", "blobs/sha256/../../../up"):
        tar = Tar().layout().file(name, b"x")
        yield f"a file named {name}", tar.index(tar.artifact()).bytes(), "leads out of it"
    for what, name, kind, link in (
            ("index.json that is a link", "index.json", tarfile.SYMTYPE, "/etc/passwd"),
            ("a blob that is a link", "blobs/sha256/" + "0" * 64, tarfile.SYMTYPE, "/etc/passwd"),
            ("a blob that is a hard link", "blobs/sha256/" + "0" * 64, tarfile.LNKTYPE, "oci-layout"),
            ("a folder of blobs that is a link", "blobs/sha256", tarfile.SYMTYPE, "/tmp"),
            ("index.json that is a folder", "index.json", tarfile.DIRTYPE, ""),
            ("a device", "dev", tarfile.CHRTYPE, ""),
            ("a disk", "disk", tarfile.BLKTYPE, ""),
            ("a FIFO", "fifo", tarfile.FIFOTYPE, "")):
        yield what, Tar().other(name, kind, link).bytes() + good, "no regular file"
    yield "index.json twice", Tar().layout().index().index().bytes(), "twice"
    yield "oci-layout twice", Tar().layout().layout().bytes(), "twice"
    yield ("index.json of 1 GB", Tar().layout().file("index.json", b"{", 10**9).bytes(),
           "1000000000 bytes")
    yield "an index.json that is none", Tar().layout().file("index.json", b"<html>").bytes(), "index.json"
    yield "an index of indexes in circles", *nested()
    yield "no index", Tar().layout().bytes(), "no images in the archive"
    yield "no oci-layout", Tar().index().bytes(), "no OCI image layout"
    yield ("a layout of version 2", Tar().file("oci-layout", {"imageLayoutVersion": "2.0"}).index().bytes(),
           "version 2")
    yield "an index without images", Tar().layout().index().bytes(), "no images in it"
    yield "nothing", b"", "no tar archive"
    yield "no archive", b"hello" * 1000, "no tar archive"
    yield "a size that lies", Tar().file("blobs/sha256/" + "0" * 64, b"x", 1 << 40).bytes(), "Truncated"
    yield "other bytes", Tar().file("blobs/sha256/" + "0" * 64, b"x").bytes(), "another"
    packed = gzip.compress(good)
    for quarter in (0.25, 0.5, 0.75, 0.99):
        yield f"cut at {quarter}", good[:int(len(good.rstrip(b"\0")) * quarter)], ""
        yield f"packed, and cut at {quarter}", packed[:int(len(packed) * quarter)], ""
    yield "damaged in the pack", packed[:200] + b"\xff" * 50 + packed[250:], ""
    tar = Tar().layout()
    lacks = tar.blob(MANIFEST, {"schemaVersion": 2, "layers": [
        {"mediaType": "application/wasm", "digest": "sha256:" + "0" * 64, "size": 1}]},
        annotations={REF_NAME: "x:1"})
    yield "a layer that is missing", tar.index(lacks).bytes(), "is missing"
    tar = Tar().layout()
    yield ("a manifest of another size", tar.index({**tar.artifact(), "size": 7}).bytes(),
           "instead of 7")
    tar = Tar().layout()
    yield ("a manifest that is an index too", tar.index(tar.artifact(manifests=[
        {"digest": "sha256:" + "0" * 64, "size": 1}])).bytes(), "both")
    tar = Tar().layout()
    yield ("a name that is none", tar.index({**tar.artifact(), "annotations": {REF_NAME: "../x:1"}}).bytes(),
           "no image name")
    tar = Tar().layout()
    yield "an image without a name", tar.index({**tar.artifact(), "annotations": {}}).bytes(), "--name"
    yield ("docker's manifest with a path", Tar().file("manifest.json", [
        {"Config": "../../etc/passwd", "RepoTags": ["x:1"], "Layers": []}]).bytes(), "named by its digest")
    yield "docker's manifest that is none", Tar().file("manifest.json", b"[{}]").bytes(), "Config"
    yield from bombs()


def nested():
    tar = Tar().layout()
    descriptor = tar.artifact()
    for _ in range(6):
        descriptor = tar.blob(INDEX, {"schemaVersion": 2, "manifests": [descriptor]},
                              annotations={REF_NAME: "x:1"})
    return tar.index(descriptor).bytes(), "too deep"


def harm():
    m = Machine()
    archive = path("harm.tar")
    example("c")
    for what, data, wanted in harmful():
        with open(archive, "wb") as f:
            f.write(data)
        status, out, said = m.wherry("load", "-q", "-i", archive)
        left = sum(os.path.getsize(os.path.join(m.state, "images/partial", p))
                   for p in m.files("partial"))
        tap.ok(f"{what}: an error that says so, and nothing of it is there",
               status == 1 and wanted in said and not out and names(m) == [] and
               m.damaged() == [] and not left, (status, said, names(m), m.files("partial")))
    tap.equal("nothing came out of an archive", [n for n in ("up", "../up") if
                                                  os.path.exists(path(n))], [])
    tar = Tar().layout()
    good, bad = tar.artifact(), {**tar.artifact(), "size": 7, "annotations": {REF_NAME: "y:1"}}
    with open(archive, "wb") as f:
        f.write(tar.index(bad, good).bytes())
    status, out, said = m.wherry("load", "-q", "-i", archive)
    tap.ok("a bad image beside a good one: that is loaded, and the other one told of",
           status == 1 and out.startswith("docker.io/library/x:1@") and "y:1" in said and
           names(m) == ["docker.io/library/x:1"], (status, out, said))


def kills():
    big = path("big.wasm")
    with open(big, "wb") as f:
        f.write(b"\0asm\1\0\0\0" + os.urandom(16 << 20))
    layout = Layout(path("big"))
    descriptor = layout.artifact(big)
    layout.tag("big:1", descriptor)
    archive = pack(layout.dir, "big.tar")
    m = Machine()
    for i in range(KILLS):
        p = m.start("load", "-q", "-i", archive)
        threading.Event().wait(0.005 + 0.008 * (i % 10))  # at another place each time
        p.kill()
        p.wait()
        if m.damaged() or (names(m) and len(m.files("blobs/sha256")) != 3):
            break
    tap.equal(f"{KILLS} times killed in load: nothing half-written is visible",
              (m.damaged(), not names(m) or len(m.files("blobs/sha256")) == 3), ([], True))
    tap.equal("and then it is loaded",
              (m.wherry("load", "-q", "-i", archive), m.damaged(), m.files("partial")),
              ((0, f"docker.io/library/big:1@{descriptor['digest']}\n", ""), [], []))
    many = [m.start("load", "-q", "-i", archive) for m in [Machine()] * 8]
    tap.equal("8 loads at once", {p.wait() for p in many}, {0})


run(round_trip, refusals, with_skopeo, with_podman, references, served, harm, kills,
    needs=("skopeo",))
