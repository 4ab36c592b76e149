#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs in containers' images (FROM scratch): as buildah builds them and pushes them to a real
docker-registry, as this test writes them with every spelling, and with layers that are bad."""
import functools
import gzip
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from image_layout import INDEX, Layout  # noqa: E402
from machine import Machine  # noqa: E402
from registry import Registry, pull_layout, push_layout  # noqa: E402
from serve_client import (  # noqa: E402
    BOX, IS_FULL, PROBE, WHERRY, Server, example, get, output, run, tap)


@functools.cache
def program():
    with open(example("c"), "rb") as f:
        return f.read()


@functools.cache
def wanted():
    """What the program does, as a file."""
    return Machine().wherry("run", example("c"))


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE,
                          check=True).stdout


# ---- What buildah builds ---------------------------------------------------------------------


class Buildah:
    """With a storage of its own."""

    def __init__(self, name="buildah"):
        self.dir = os.path.join(BOX, name)
        self.context = os.path.join(self.dir, "context")
        os.makedirs(self.context)
        shutil.copy(example("c"), os.path.join(self.context, "app.wasm"))

    def __call__(self, *argv):
        env = {**os.environ, "STORAGE_DRIVER": "vfs"}
        status, out, said = output("buildah", "--root", f"{self.dir}/root", "--runroot",
                                   f"{self.dir}/run", *argv, env=env, cwd=self.context)
        if status:
            raise RuntimeError(f"buildah {argv}: {said}")
        return out.decode().strip()

    def build(self, name, lines, *options):
        path = os.path.join(self.dir, "Containerfile")
        with open(path, "w", encoding="utf-8") as f:
            f.write("FROM scratch\n" + lines + "\n")
        self("build", "--isolation", "chroot", "-q", "-t", name, "-f", path, *options, ".")

    def push(self, name, registry, *options):
        where = f"{registry.address}/test/{name}:1"
        self("push", "-q", "--tls-verify=false", *options, name, "docker://" + where)
        return where


def built():
    buildah = Buildah()
    m = Machine()
    copy = 'COPY app.wasm /app.wasm\nENTRYPOINT ["/app.wasm"]'
    with Registry() as registry:
        def check(what, name, *push_options, wanted=wanted()):
            where = buildah.push(name, registry, *push_options)
            pulled = m.wherry("pull", "-q", where)
            tap.ok(f"buildah, {what}: pull", pulled[0] == 0 and not pulled[2], pulled)
            tap.equal(f"buildah, {what}: run", m.wherry("run", "--pull", "never", where), wanted)
            return where

        for platform in ("wasi/wasm", "wasip1/wasm", "wasi/wasm32", "linux/amd64"):
            name = platform.replace("/", "-")
            buildah.build(name, copy, "--platform", platform)
            where = check(platform, name)
        check("zstd", "wasi-wasm", "--compression-format", "zstd")
        check("docker's formats", "wasi-wasm", "--format", "v2s2")
        buildah.build("relative", 'COPY app.wasm /srv/\nWORKDIR /srv\nENTRYPOINT ["./app.wasm"]',
                      "--platform", "wasi/wasm")
        check("a relative entry point", "relative")
        buildah.build("path", 'COPY app.wasm /usr/bin/hello\nCMD ["hello", "word"]',
                      "--platform", "wasi/wasm")
        check("an entry point of PATH", "path", wanted=Machine().wherry(
            "run", example("c"), "word"))

        # Layers upon another: a removed file, and what replaces it.
        with open(os.path.join(buildah.context, "bad"), "wb") as f:
            f.write(b"\0asm this is another")
        buildah.build("layers", 'COPY bad /app.wasm\nCOPY bad /data/x\nCOPY app.wasm /app.wasm\n'
                      'COPY bad /y\nENTRYPOINT ["/app.wasm"]', "--layers", "--platform",
                      "wasi/wasm")
        where = check("several layers", "layers")
        container = buildah("from", "--pull-never", "layers")
        mounted = buildah("mount", container)
        os.remove(os.path.join(mounted, "app.wasm"))
        os.mkdir(os.path.join(mounted, "bin"))
        shutil.copy(example("c"), os.path.join(mounted, "bin/real.wasm"))
        buildah("umount", container)
        buildah("config", "--entrypoint", '["/bin/real.wasm"]', container)
        buildah("commit", "-q", container, "moved")
        check("one removed, one added", "moved")
        buildah("config", "--entrypoint", '["/app.wasm"]', container)
        buildah("commit", "-q", container, "removed")
        where = buildah.push("removed", registry)
        status, _, said = m.wherry("pull", "-q", where)
        tap.ok("buildah, the entry point was removed: pulled, and said", status == 0 and
               "there is no '/app.wasm' in its layers" in said, (status, said))
        status, _, said = m.wherry("run", where)
        tap.ok("buildah, the entry point was removed: 126", status == 126, (status, said))

        for command in ("compile", "inspect"):
            status, _, said = m.wherry(command, f"{registry.address}/test/moved:1")
            tap.ok(f"{command}: an image of buildah", status == 0, said)
        listed = json.loads(m.wherry("images", "-o", "json")[1])
        tap.equal("images: the program is the file in the layers",
                  {i["program"] for i in listed if i["program"]}, {digest(program())})
        tap.equal("images: its blobs are whole", m.damaged(), [])
        name = f"{registry.address}/test/moved:1"
        os.remove(os.path.join(m.state, "images/blobs/sha256", digest(program())[7:]))
        tap.equal("pull again: the program comes back", m.wherry("pull", "-q", name)[0], 0)
        tap.equal("pull again: and runs", m.wherry("run", "--pull", "never", name), wanted())


# ---- What is pushed --------------------------------------------------------------------------


def pushed():
    m = Machine()
    hello, component = example("c"), example("c-component")
    with Registry() as registry:
        name = f"{registry.address}/test/hello:1"
        arguments = ("push", "--format", "image", hello, name, "--annotation", "org.example.a=b c")
        status, out, said = m.wherry(*arguments)
        tap.ok("push --format image: the name with the digest", status == 0 and
               out.startswith(name + "@sha256:"), (status, out, said))
        layout = Layout(os.path.join(BOX, "pushed"))
        os.remove(os.path.join(layout.dir, "oci-layout"))
        manifest = layout.read(pull_layout(registry, "1", layout.dir, "test/hello"))
        config = layout.read(manifest["config"]["digest"])
        tap.equal("push: the annotations", manifest["annotations"],
                  {"org.example.a": "b c", "module.wasm.image/variant": "compat-smart"})
        tap.equal("push: the platform and what it runs", (config["os"], config["architecture"],
                  config["config"]), ("wasip1", "wasm", {
                      "Entrypoint": ["/hello.wasm"], "WorkingDir": "/",
                      "Labels": {"org.example.a": "b c"}}))
        with open(layout.blob_path(manifest["layers"][0]["digest"]), "rb") as f:
            packed = f.read()
        with tarfile.open(fileobj=io.BytesIO(packed)) as t:
            tap.equal("push: the layer, without owner and time",
                      [(i.name, i.mode, i.uid, i.gid, i.mtime, i.uname, t.extractfile(i).read())
                       for i in t], [("hello.wasm", 0o755, 0, 0, 0, "", program())])
        tap.equal("push: gzip has no time either", packed[4:8], bytes(4))
        tap.equal("push: the layer's diff_id", config["rootfs"]["diff_ids"],
                  [digest(gzip.decompress(packed))])
        tap.equal("push again: the layer is there", (m.wherry(*arguments)[0], len(
            registry.requests("PUT", "/blobs/uploads/.*" + manifest["layers"][0]["digest"][7:]))),
            (0, 1))
        tap.equal("run: what was pushed", m.wherry("run", name)[:2], wanted()[:2])

        status, out, said = output("skopeo", "inspect", "--tls-verify=false", "docker://" + name)
        seen = json.loads(out) if status == 0 else {}
        tap.equal("skopeo sees it", (seen.get("Os"), seen.get("Architecture"), seen.get("Labels")),
                  ("wasip1", "wasm", {"org.example.a": "b c"}))
        buildah = Buildah("reader")
        container = buildah("from", "--tls-verify=false", "docker://" + name)
        mounted = buildah("mount", container)
        with open(os.path.join(mounted, "hello.wasm"), "rb") as f:
            tap.ok("buildah unpacks it", f.read() == program())

        strange = os.path.join(BOX, "a name, with\u00e4 much " + "x" * 120)
        shutil.copy(component, strange)
        name = f"{registry.address}/test/component:1"
        status, _, said = m.wherry("push", "--format=image", strange, name)
        tap.ok("push: a component with a strange name", status == 0, said)
        status, out, said = output("skopeo", "inspect", "--config", "--tls-verify=false",
                                   "docker://" + name)
        config = json.loads(out) if status == 0 else {}
        entry_point = config.get("config", {}).get("Entrypoint", [""])[0]
        tap.ok("push: it is for wasip2, under a plain name", config.get("os") == "wasip2" and
               entry_point.startswith("/a_name__with__") and entry_point.endswith("x.wasm"), config)
        tap.equal("run: the component", m.wherry("run", name)[:2], m.wherry("run", component)[:2])
        status, _, said = m.wherry("push", "--format", "tar", hello, name)
        tap.ok("push: another format is none", status == 125 and "artifact" in said, said)


# ---- What this test writes -------------------------------------------------------------------


def entry(name, data=None, kind=tarfile.REGTYPE, link="", **fields):
    """(TarInfo, data) for tar()."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o755
    info.size = len(data or b"")
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def symlink(name, to):
    return entry(name, kind=tarfile.SYMTYPE, link=to)


def hard_link(name, to):
    return entry(name, kind=tarfile.LNKTYPE, link=to)


def tar(*entries, form=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as t:
        for info, data in entries:
            t.addfile(info, io.BytesIO(data) if data is not None else None)
    return out.getvalue()


def app(name="app.wasm", **fields):
    return entry(name, program(), **fields)


def written():
    layout = Layout(os.path.join(BOX, "written"))
    m = Machine()
    plain = tar(app())
    ids = [digest(plain)]
    long_name = "very/" * 60 + "long-name-ä-ж.wasm"
    other = entry("app.wasm", b"\0asm, but another")
    images = {
        "gzip": layout.container([plain]),
        "tar": layout.container([("", plain)]),
        "zstd": layout.container([("+zstd", zstd(plain))], diff_ids=ids),
        "gzip of docker": layout.container([(".gzip", gzip.compress(plain))], kind="docker"),
        "another compression than said": layout.container([("+gzip", zstd(plain))], diff_ids=ids),
        "frames of zstd to skip": layout.container(
            [("+zstd", zstd(plain) + b"\x50\x2a\x4d\x18\x04\0\0\0ABCD")], diff_ids=ids),
        "two members of gzip": layout.container(
            [("+gzip", gzip.compress(plain[:700]) + gzip.compress(plain[700:]))]),
        "an empty layer": layout.container([tar(), plain, ("", b"")]),
        "GNU's long names": layout.container([tar(app(long_name), form=tarfile.GNU_FORMAT)],
                                             {"Entrypoint": ["/" + long_name]}),
        "POSIX's long names": layout.container([tar(app(long_name))],
                                               {"Entrypoint": ["/" + long_name]}),
        "only Cmd": layout.container([plain], {"Entrypoint": None, "Cmd": ["app.wasm"]}),
        "a symbolic link": layout.container(
            [tar(app("opt/v1/app.wasm"), symlink("app.wasm", "opt/current/app.wasm")),
             tar(symlink("opt/current", "/opt/v1"))]),
        "a hard link": layout.container([tar(app("a.wasm"), hard_link("app.wasm", "a.wasm")),
                                         tar(entry(".wh.a.wasm", b""))]),
        "a whiteout below": layout.container([tar(other), tar(entry(".wh.app.wasm", b"")), plain]),
        "an opaque folder": layout.container(
            [tar(entry("bin/app", program()), entry("usr/bin/app", program())),
             tar(entry("bin/.wh..wh..opq", b""))], {"Cmd": ["app"]}),
        "annotated for crun": layout.container(
            [tar(app("app"))], {"Entrypoint": ["/app"]}, architecture="amd64", os_name="linux",
            annotations={"module.wasm.image/variant": "compat"}),
        "bad names beside it": layout.container(
            [tar(entry("../up", b"x"), entry("/etc/passwd", b"x"), app(),
                 entry("dev/null", kind=tarfile.CHRTYPE), symlink("loop", "loop"))]),
    }
    for what, descriptor in images.items():
        name = f"oci:{layout.dir}@{descriptor['digest']}"
        layout.tag(what.replace(" ", "-").replace("'", ""), descriptor)
        tap.equal(f"{what}: run", m.wherry("run", name), wanted())
    tap.equal("the store has one program, and no blob of the layouts",
              m.files("blobs/sha256"), [digest(program())[7:]])
    tap.equal("nothing is half-written", m.files("partial"), [])
    first = f"oci:{layout.dir}@{images['gzip']['digest']}"
    tap.equal("inspect: it is the file", json.loads(m.wherry("inspect", "-o", "json", first)[1])
              ["digest"], digest(program()))
    tap.equal("compile: it is the file's code", m.wherry("compile", first)[:2],
              (0, f"{first}: in the cache already\n"))
    shutil.rmtree(os.path.join(m.state, "images/blobs/sha256"))
    tap.equal("a program that is gone from the store is taken out again", m.wherry("run", first),
              wanted())

    def platform(os_name, architecture, **more):
        return layout.container([tar(app())] if architecture != "arm" else [tar(other)],
                                architecture=architecture, os_name=os_name, **more,
                                platform={"os": os_name, "architecture": architecture})

    for one in (("wasi", "wasm"), ("wasi", "wasm32"), ("linux", "wasm"), ("wasip1", "wasm"),
                ("wasip2", "wasm"), ("js", "wasm")):
        layout.tag("index", layout.blob(INDEX, {"schemaVersion": 2, "mediaType": INDEX,
                                                "manifests": [platform("linux", "arm"),
                                                              platform(*one)]}))
        tap.equal(f"an index with {'/'.join(one)}: run", m.wherry("run", layout.name("index")),
                  wanted())

    with open(PROBE, "rb") as f:
        probe = f.read()
    layout.tag("probe", layout.container([tar(entry("app.wasm", probe))]))
    with Server(layout.name("probe")) as server:
        tap.equal("serve: a container's image", get(server, "/hello").body, b"hello\n")


# ---- Bad layers ------------------------------------------------------------------------------


def bomb(pack):
    """A tar with 128 MiB of zeros, compressed."""
    info, _ = entry("app.wasm")
    info.size = 128 << 20
    process = subprocess.Popen(pack, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, _ = process.communicate(info.tobuf() + bytes(info.size + 1024))
    return out


def bad():
    layout = Layout(os.path.join(BOX, "bad"))
    m = Machine()
    plain = tar(app())
    packed = gzip.compress(plain)
    none = [digest(b"")]
    cases = [
        # what, layers or their tar, status, in the message, more
        ("a name with ..", [tar(app("../app.wasm"))], 125, "'../app.wasm', which is out of the image"),
        ("an absolute name", [tar(app("/app.wasm"))], 125, "'/app.wasm', which is out of the image"),
        ("a link out of the root", [tar(symlink("app.wasm", "../../../../etc/passwd"))], 125,
         "which is out of the image"),
        ("an absolute link is into the image", [tar(symlink("app.wasm", "/etc/passwd"))], 126,
         "there is no '/app.wasm' in its layers"),
        ("a hard link out of the root", [tar(hard_link("app.wasm", "../../etc/passwd"))], 125,
         "which is out of the image"),
        ("a hard link with an absolute name", [tar(hard_link("app.wasm", "/etc/passwd"))], 125,
         "which is out of the image"),
        ("links in a circle", [tar(symlink("app.wasm", "b"), symlink("b", "app.wasm"))], 125,
         "have no end"),
        ("a device", [tar(entry("app.wasm", kind=tarfile.CHRTYPE, devmajor=1, devminor=5))], 126,
         "is a device or a FIFO"),
        ("a FIFO", [tar(entry("app.wasm", kind=tarfile.FIFOTYPE))], 126, "is a device or a FIFO"),
        ("a folder", [tar(entry("app.wasm", kind=tarfile.DIRTYPE))], 126, "is a folder"),
        ("an empty file", [tar(entry("app.wasm", b""))], 126, "is no WebAssembly program"),
        ("another kind of program", [tar(entry("app.wasm", b"#!/bin/sh\n"))], 126,
         "is no WebAssembly program"),
        ("a removed file", [plain, tar(entry(".wh.app.wasm", b""))], 126, "there is no '/app.wasm'"),
        ("no layers with files", [tar()], 126, "there is no '/app.wasm'"),
        ("no tar", [b"this is no tar file, is it" * 100], 125, "layer 1 of 1: it is damaged"),
        ("a truncated tar", [plain, plain[:2000]], 125, "layer 2 of 2: it is damaged"),
        ("a truncated gzip", [("+gzip", packed[:-30])], 125, "it is damaged", {"diff_ids": none}),
        ("a truncated zstd", [("+zstd", zstd(plain)[:-30])], 125, "it is damaged",
         {"diff_ids": none}),
        ("a damaged gzip", [("+gzip", packed[:500] + bytes(100) + packed[600:])], 125,
         "it is damaged", {"diff_ids": none}),
        ("another diff_id", [plain], 125, "its content is not what the config says",
         {"diff_ids": none}),
        ("too few diff_ids", [plain, plain], 125, "2 layers, and its config tells of 1",
         {"diff_ids": none}),
        ("a diff_id that is none", [plain], 125, "diff_ids", {"diff_ids": ["sha256:x"]}),
        ("a bomb of gzip", [("+gzip", bomb(["gzip"]))], 125, "more than 200 times its size",
         {"diff_ids": none}),
        ("a bomb of zstd", [("+zstd", bomb(["zstd", "-q"]))], 125,
         "more than 200 times its size", {"diff_ids": none}),
        ("a sparse file of 2 TiB", [sparse()], 125, "the program has more than 1024 MiB"),
        ("no entry point", [plain], 126, "its config names no entry point", {"config": {}}),
        ("a shell for the entry point", [plain], 126, "its entry point '/bin/sh' is no .wasm",
         {"config": {"Entrypoint": ["/bin/sh", "-c", "/app.wasm"]}, "architecture": "amd64"}),
    ]
    for what, layers, status, said, *more in cases:
        descriptor = layout.container(layers, **(more[0] if more else {}))
        name = f"oci:{layout.dir}@{descriptor['digest']}"
        layout.tag(what.replace(" ", "-"), descriptor)
        got, out, err = m.wherry("run", name)
        tap.ok(f"{what}: {status} and why", got == status and said in err and not out
               and err.count("\n") == 1, (got, out, err))
    tap.equal("nothing of it is kept", (m.files("blobs/sha256"), m.files("partial")), ([], []))
    with Registry() as registry:
        for what, kept in (("another diff_id", False), ("a bomb of gzip", False), ("a device", True)):
            tag = what.replace(" ", "-")
            push_layout(layout.dir, tag, registry, to_tag="1", name=f"test/{tag}")
            name = f"{registry.address}/test/{tag}:1"
            got, out, err = m.wherry("pull", "-q", name)
            tap.ok(f"pull, {what}: {'kept, and said' if kept else 'an error'}",
                   (got == 0) == kept and err.count("\n") == 1, (got, out, err))
            listed = json.loads(m.wherry("images", "-o", "json")[1])
            tap.equal(f"pull, {what}: the name", any(i["name"] == name for i in listed), kept)


def killed():
    """kill -9 at any moment leaves nothing but what the next one goes on with."""
    big = b"\0asm\1\0\0\0" + os.urandom(8 << 20)  # it is never run
    layout = Layout(os.path.join(BOX, "killed"))
    layout.tag("1", layout.container([("+zstd", zstd(tar(entry("app.wasm", big))))],
                                     diff_ids=[digest(tar(entry("app.wasm", big)))]))
    m = Machine()
    helper = os.path.join(os.path.dirname(WHERRY), "libexec/wherry/wherry-image")

    def start():
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            return ours, subprocess.Popen(["unpack-layout", layout.dir, "1"], executable=helper,
                                          env=m.env, stdout=its)

    def unpacked():
        """What it sends: the path of the program, and the descriptor."""
        ours, process = start()
        with ours:
            text, fds, _, _ = socket.recv_fds(ours, 4096, 2)
        process.wait()
        with open(fds[0], "rb") as file:
            return text.decode(), file.read()

    begun = time.monotonic()
    unpacked()
    whole_s = time.monotonic() - begun
    kills = 100 if IS_FULL else 10
    bad = []
    for i in range(kills):
        shutil.rmtree(os.path.join(m.state, "images"))
        ours, unpacking = start()
        time.sleep(whole_s * i / kills)
        unpacking.kill()
        unpacking.wait()
        ours.close()
        bad += m.damaged()
        if any(name != digest(big)[7:] for name in m.files("partial")):
            bad.append(m.files("partial"))
        path, content = unpacked()
        if not path.endswith(digest(big)[7:]) or content != big or m.damaged() or \
                m.files("partial"):
            bad.append((i, path))
    tap.equal(f"{kills} times kill -9: whole or not there, and the next one succeeds", bad, [])


def sparse():
    """GNU's form of one, in 1.5 KiB."""
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "app.wasm",
           "GNU.sparse.realsize": str(2 << 40)}
    data = b"2\n0\n512\n%d\n0\n" % (2 << 40)
    data = data.ljust(512, b"\0") + b"\0asm".ljust(512, b"\0")
    info = tarfile.TarInfo("GNUSparseFile.0/app.wasm")
    info.size, info.pax_headers = len(data), pax
    return tar((info, data))


run(built, pushed, written, bad, killed, needs=("buildah", "docker-registry", "zstd"))
