# SPDX-License-Identifier: Apache-2.0
"""Images for the tests with containerd, made of programs of this machine, since no registry that
has any can be reached. Each is an archive of an OCI layout, as `ctr images import` reads it."""
import functools
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile

from image_layout import MANIFEST, Layout
from serve_client import example
from worker_client import ROOT, build_guests, guest

OUT = os.path.join(ROOT, "build/containerd")
PLATFORM = ("linux", {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine))
NATIVE_PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
# How WebAssembly is put into images.
FORMS = ("files", "compat", "layers", "artifact")


def layer(files, links=(), folders=()):
    """A tar of {path: (bytes, mode)} (bytes alone are a program's), [(path, target)] and
    [(path, mode)] or [(path, mode, user and group)]."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        def add(path, kind, mode, data=b"", target="", owner=0):
            info = tarfile.TarInfo(path.lstrip("/"))
            info.type, info.mode, info.size, info.linkname = kind, mode, len(data), target
            info.uid = info.gid = owner
            tar.addfile(info, io.BytesIO(data))

        for path, mode, *owner in folders:
            add(path, tarfile.DIRTYPE, mode, owner=owner[0] if owner else 0)
        for path, data in files.items():
            data, mode = data if isinstance(data, tuple) else (data, 0o755)
            add(path, tarfile.REGTYPE, mode, data)
        for path, target in links:
            add(path, tarfile.SYMTYPE, 0o777, target=target)
    return buffer.getvalue()


def read(path):
    with open(path, "rb") as f:
        return f.read()


def with_libraries(program):
    """{path: bytes} of the program and what it is linked with."""
    program = os.path.realpath(program)
    said = subprocess.run(["ldd", program], stdout=subprocess.PIPE, check=True).stdout.decode()
    return {path: read(path) for path in [program, *re.findall(r"(/\S+) \(0x", said)]}


class Image:
    """`name` is how it is asked for, `archive` the file to import, `platform` (OS/ARCHITECTURE)
    what its layers are unpacked for; None when there is nothing to unpack."""

    def __init__(self, name, platform, sources, write):
        """write(layout) gives the manifest's descriptor. It is written anew when a source or this
        file is younger."""
        self.name, self.platform = name, platform
        self.archive = os.path.join(OUT, "images", re.sub(r"[^\w.-]", "_", name) + ".tar")
        made = os.path.getmtime(self.archive) if os.path.exists(self.archive) else 0
        if any(os.path.getmtime(p) >= made for p in [__file__, *sources]):
            self._make(write)

    def _make(self, write):
        os.makedirs(os.path.dirname(self.archive), exist_ok=True)
        with tempfile.TemporaryDirectory(dir=os.path.dirname(self.archive)) as folder:
            layout = Layout(os.path.join(folder, "layout"))
            layout.tag(self.name, write(layout))
            # The first is containerd's, which takes the other for a tag alone.
            layout.manifests[0]["annotations"]["io.containerd.image.name"] = self.name
            layout.write("index.json", {"schemaVersion": 2, "manifests": layout.manifests})
            new = os.path.join(folder, "new.tar")
            with tarfile.open(new, "w") as tar:
                for name in ("oci-layout", "index.json", "blobs"):
                    tar.add(os.path.join(layout.dir, name), name)
            os.rename(new, self.archive)


def _native(name, tar, config, sources):
    # Not compressed: read often, kept nowhere for long.
    return Image(name, "/".join(PLATFORM), sources, lambda layout: layout.container(
        [("", tar())], {"Env": [NATIVE_PATH], **config}, os_name=PLATFORM[0],
        architecture=PLATFORM[1]))


def native(program):
    """A static program alone, as /NAME."""
    name = os.path.basename(program)
    return _native(f"localhost/native-{name}:1", lambda: layer({"/" + name: read(program)}),
                   {"Cmd": ["/" + name]}, [program])


@functools.cache
def pause():
    path = os.path.join(OUT, "pause")
    return _native("localhost/pause:3", lambda: layer({"/pause": read(path)}),
                   {"Entrypoint": ["/pause"]}, [path])


NOBODY = 65534
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n"
PASSWD += b"nobody:x:65534:65534::/:/bin/false\n"
GROUP = b"root:x:0:\nuser:x:1000:\nextra:x:2000:user\nnogroup:x:65534:\n"
FOLDERS = [("tmp", 0o1777), ("root", 0o700), ("etc", 0o755)]


def busybox_with(name, files, config, folders=(), link="busybox"):
    """It with more files, folders and settings; sources of the files are the caller's. Its tools
    are links of this kind."""
    path = shutil.which("busybox")

    def tar():
        said = subprocess.run([path, "--list"], stdout=subprocess.PIPE, check=True)
        return layer({"/bin/busybox": read(path), "/etc/passwd": (PASSWD, 0o644),
                      "/etc/group": (GROUP, 0o644), **files},
                     [("bin/" + n, link) for n in said.stdout.decode().split()
                      if n != "busybox"], [*FOLDERS, *folders])

    return _native(f"localhost/{name}:1", tar, {"Cmd": ["sh"], **config}, [path])


@functools.cache
def busybox():
    """Debian's, with a link for each of its tools, and the users root, user (1000) and nobody."""
    return busybox_with("busybox", {}, {})


@functools.cache
def redis():
    """redis-server on port 6379; redis-cli beside it."""
    # Of the package redis-tools, which starts no service: it is one program under several names.
    server, client = shutil.which("redis-check-rdb"), shutil.which("redis-cli")

    def tar():
        files = {**with_libraries(server), **with_libraries(client)}
        files["/usr/bin/redis-server"] = files.pop(os.path.realpath(server))
        return layer({**files, "/etc/passwd": (PASSWD, 0o644), "/etc/group": (GROUP, 0o644)},
                     folders=FOLDERS)

    return _native("localhost/redis:1", tar, {
        "Entrypoint": ["/usr/bin/redis-server", "--bind", "0.0.0.0", "--protected-mode", "no",
                       "--save", ""], "WorkingDir": "/tmp"}, [server, client])


NGINX = b"""daemon off; user root; pid /tmp/nginx.pid; error_log /dev/stderr;
events { }
http {
    access_log /dev/stdout;
    server { listen 80; location / { return 200 "hello from nginx\\n"; } }
}
"""


@functools.cache
def nginx():
    """Debian's nginx-light on port 80; None without it."""
    path = shutil.which("nginx")
    if not path:
        return None

    def tar():
        files = with_libraries(path)
        return layer({**files, "/etc/nginx/nginx.conf": (NGINX, 0o644),
                      "/etc/passwd": (PASSWD, 0o644), "/etc/group": (GROUP, 0o644)},
                     folders=[*FOLDERS, ("var/log/nginx", 0o755), ("var/lib/nginx", 0o755)])

    return _native("localhost/nginx:1", tar, {"Entrypoint": [path]}, [path])


# ---- WebAssembly -----------------------------------------------------------------------------


def _artifact(layout, path, config):
    """One layer that is the program itself, with a config of the type that is said."""
    program = layout.blob("application/wasm", read(path))
    if config == "image":
        # containerd counts only layers that are tar files.
        described = layout.blob("application/vnd.oci.image.config.v1+json", {
            "architecture": "wasm", "os": "wasi", "config": {
                "Entrypoint": ["/app.wasm"],
                # CRI takes images with the same configuration for one.
                "Labels": {"program": program["digest"]}},
            "rootfs": {"type": "layers", "diff_ids": []}})
    else:
        described = layout.blob("application/vnd.wasm.config.v0+json", {
            "created": "2026-11-26T00:00:00Z", "architecture": "wasm",
            "os": "wasip2" if path.endswith(".component.wasm") else "wasip1",
            "layerDigests": [program["digest"]]})
    return layout.blob(MANIFEST, {"schemaVersion": 2, "mediaType": MANIFEST, "config": described,
                                  "layers": [program]})


@functools.cache
def wasm(name, form="files"):
    """A guest of tests/guests, "example/NAME" or "toolbox", as /app.wasm in an image of a form:

    files      FROM scratch and a file, for the platform wasi/wasm
    compat     the same for this machine's platform, with the annotation that crun looks for
    layers     an image's config, and a layer that is the program (containerd >= 1.6.25)
    artifact   the CNCF's: a config of its own, and such a layer
    """
    assert form in FORMS, form
    if name.startswith("example/"):
        path = example(name.removeprefix("example/"))
    elif name == "toolbox":
        path = os.path.join(ROOT, "build/libexec/wherry/toolbox.wasm")
    else:
        build_guests(name)
        path = guest(name)

    os_name, architecture = PLATFORM if form == "compat" else ("wasi", "wasm")
    has_files = form in ("files", "compat")

    def write(layout):
        if not has_files:
            return _artifact(layout, path, "image" if form == "layers" else "wasm")
        return layout.container(
            [("", layer({"/app.wasm": read(path)}))], os_name=os_name, architecture=architecture,
            annotations={"module.wasm.image/variant": "compat"} if form == "compat" else None)

    return Image(f"localhost/{re.sub('[/.]', '-', name)}-{form}:1",
                 f"{os_name}/{architecture}" if has_files else None, [path], write)
