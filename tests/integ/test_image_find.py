#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which program an image has that is no file of a root file system, as real containerds tell it:
every form that images have, what is kept of them, and what is wrong with some."""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "../containerd")]
import daemon  # noqa: E402
import images  # noqa: E402
from image_layout import INDEX, MANIFEST  # noqa: E402
from worker_client import PATIENCE_S, ROOT, Tap, guest  # noqa: E402

tap = Tap()
IS_FULL = os.environ.get("FULL") == "1"
PROGRAM = os.path.join(os.environ.get("WHERRY_BUILD", os.path.join(ROOT, "build")),
                       "meson/tests/integ/image_find")
GUEST = "arguments"
WASM, OLD = "application/wasm", "application/vnd.wasm.content.layer.v1+wasm"
COMPONENT = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
# Several pieces, and the last one is not whole.
LARGE = b"\0asm\1\0\0\0" + bytes(range(256)) * (5 << 12) + b"end"


def small(text):
    return b"\0asm\1\0\0\0" + text.encode()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def manifest(layout, layers, config=None, config_type=OCI_CONFIG, **more):
    """[(media type, bytes)], and the config's member of that name."""
    described = [layout.blob(t, data) for t, data in layers]
    return layout.blob(MANIFEST, {
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": described,
        "config": layout.blob(config_type, {
            "architecture": "wasm", "os": "wasi", "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": [d["digest"] for d in described]}})}, **more)


def image(name, write):
    """Nothing of it is unpacked here."""
    return images.Image(f"localhost/find-{name}:1", None, [__file__], write)


def index(layout, *manifests):
    return layout.blob(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


# ---- A containerd, and containers in it ----


def field(number, value):
    """A string, bytes or message of Protocol Buffers; all are short."""
    value = value.encode() if isinstance(value, str) else value
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


class Asker:
    """A daemon whose containers are asked for. They are records only: `ctr` makes none of an image
    that it cannot unpack, whereas CRI does."""

    def __init__(self, d):
        self.daemon, self.n = d, 0
        self.cache = tempfile.mkdtemp(prefix="wherry-find-", dir="/var/tmp")

    def container(self, image_name):
        self.n += 1
        name = f"c{self.n}"
        record = field(1, name) + field(4, field(1, "io.containerd.wherry.v1")) + \
            field(5, field(1, "x") + field(2, "{}"))
        if image_name:
            record += field(3, image_name)
        request = field(1, record)
        said = subprocess.run(
            ["curl", "-sS", "--http2-prior-knowledge", "--unix-socket", self.daemon.socket_path,
             "-H", "content-type: application/grpc", "-H", "te: trailers", "-D", "-",
             "-H", "containerd-namespace: " + self.daemon.namespace, "-o", "/dev/null",
             "--data-binary", "@-", "http://localhost/containerd.services.containers.v1.Containers"
             "/Create"], input=b"\0" + len(request).to_bytes(4, "big") + request,
            stdout=subprocess.PIPE, timeout=PATIENCE_S, check=True).stdout.decode()
        assert "grpc-status: 0" in said, said
        return name

    def ask(self, container, *more, address=None):
        done = subprocess.run(
            [PROGRAM, address or "unix://" + self.daemon.socket_path, self.daemon.namespace,
             container, self.cache, *more],
            stdout=subprocess.PIPE, timeout=PATIENCE_S, check=True)
        return json.loads(done.stdout or "null")

    def find(self, wanted, *more):
        self.daemon.load(wanted)
        return self.ask(self.container(wanted.name), *more)


def assert_program(found, data):
    assert found.get("digest") == digest(data) == found.get("file_digest"), found


def assert_none(found):
    assert found["digest"] == "" and "file_digest" not in found, found


# ---- Forms ----


def every_form_is_recognised(a):
    with open(guest(GUEST), "rb") as f:
        data = f.read()
    for form in images.FORMS:
        found = a.find(images.wasm(GUEST, form))
        if form in ("layers", "artifact"):
            assert_program(found, data)
        else:
            assert_none(found)
        # The CNCF's config has no such thing.
        assert found["entrypoint"] == ([] if form == "artifact" else ["/app.wasm"]), found


def older_types_of_layers_are_programs(a):
    assert_program(a.find(image("old", lambda layout: manifest(
        layout, [(OLD, small("old"))], config_type="application/vnd.wasm.config.v1+json"))),
        small("old"))
    assert_program(a.find(image("component", lambda layout: manifest(
        layout, [(COMPONENT, small("component"))]))), small("component"))


def a_layer_of_files_beside_the_program_does_not_matter(a):
    tar = images.layer({"/etc/x": (b"x", 0o644)})
    assert_program(a.find(image("mixed", lambda layout: manifest(
        layout, [("application/vnd.oci.image.layer.v1.tar", tar), (WASM, small("mixed"))]))),
        small("mixed"))


def two_programs_are_refused_with_their_types(a):
    found = a.find(image("two", lambda layout: manifest(
        layout, [(WASM, small("one")), (COMPONENT, small("two"))])))
    assert found.get("reason") == "NotRunnable", found
    assert WASM in found["message"] and COMPONENT in found["message"], found


def of_an_index_the_manifest_for_webassembly_is_taken(a):
    def write(layout):
        here = layout.container([("", images.layer({"/bin/x": b"x"}))], os_name="linux",
                                architecture=images.PLATFORM[1],
                                platform={"os": "linux", "architecture": images.PLATFORM[1]})
        parts = [manifest(layout, [(WASM, small(name))],
                          platform={"os": name, "architecture": "wasm"})
                 for name in ("wasip1", "wasip2", "js")]
        return index(layout, here, *parts)

    assert_program(a.find(image("index", write)), small("wasip2"))


def of_an_index_without_platforms_the_one_with_a_program_is_taken(a):
    def write(layout):
        native = layout.container([("", images.layer({"/bin/x": b"x"}))], os_name="linux",
                                  architecture=images.PLATFORM[1])
        return index(layout, native, manifest(layout, [(WASM, small("bare"))]))

    assert_program(a.find(image("bare", write)), small("bare"))


def what_the_config_says_comes_with_it(a):
    config = {"Entrypoint": ["/a"], "Cmd": ["b"], "Env": ["A=1"],
              "ExposedPorts": {"53/udp": {}, "9090/tcp": {}, "8080/tcp": {}}}
    native = image("native", lambda layout: layout.container(
        [("", images.layer({"/a": b"x"}))], config, os_name="linux",
        architecture=images.PLATFORM[1]))
    for found in (a.find(image("config", lambda layout: manifest(
            layout, [(WASM, small("config"))], config)), "config"), a.find(native, "config"),
            a.find(native)):
        assert_none(found)  # also of the one that has a program: it was not asked for
        assert found["port"] == 8080 and found["env"] == ["A=1"], found
        assert (found["entrypoint"], found["cmd"]) == (["/a"], ["b"]), found


def a_program_of_many_pieces_comes_whole(a):
    assert_program(a.find(image("large", lambda layout: manifest(layout, [(WASM, LARGE)]))), LARGE)


# ---- What is kept ----


def a_second_container_reads_nothing_of_the_program(a):
    wanted = image("kept", lambda layout: manifest(layout, [(WASM, small("kept"))]))
    first = a.find(wanted)
    assert_program(first, small("kept"))
    a.daemon.ctr("content", "rm", digest(small("kept")))
    second = a.ask(a.container(wanted.name))
    assert_program(second, small("kept"))
    assert first["file_inode"] == second["file_inode"]
    # But who has not kept it learns what to do.
    shutil.rmtree(os.path.join(a.cache, "modules"))
    gone = a.ask(a.container(wanted.name))
    assert gone.get("reason") == "NotFound" and "pull the image again" in gone["message"], gone


def a_file_of_another_size_is_read_anew(a):
    wanted = image("damaged", lambda layout: manifest(layout, [(WASM, small("damaged"))]))
    assert_program(a.find(wanted), small("damaged"))
    path = os.path.join(a.cache, "modules", digest(small("damaged")).partition(":")[2])
    os.truncate(path, 3)
    assert_program(a.ask(a.container(wanted.name)), small("damaged"))


def a_cache_that_others_may_write_to_is_not_used(a):
    wanted = image("open", lambda layout: manifest(layout, [(WASM, small("open"))]))
    a.daemon.load(wanted)
    modules = os.path.join(a.cache, "modules")
    os.makedirs(modules, exist_ok=True)
    os.chmod(modules, 0o777)
    found = a.ask(a.container(wanted.name))
    os.chmod(modules, 0o700)
    assert found.get("reason") == "UntrustedFolder", found


def who_gives_up_is_told_nothing_and_nothing_half_is_kept(a):
    wanted = image("given-up", lambda layout: manifest(layout, [(WASM, LARGE + b"2")]))
    a.daemon.load(wanted)
    container = a.container(wanted.name)
    modules = os.path.join(a.cache, "modules")
    whole = digest(LARGE + b"2").partition(":")[2]
    for ms in range(12):
        before = set(os.listdir(modules))
        found = a.ask(container, str(ms))
        more = set(os.listdir(modules)) - before
        assert not found or found.get("digest", "").endswith(whole), found
        assert more <= {whole}, more
    assert_program(a.ask(container), LARGE + b"2")


# ---- What is wrong ----


def a_daemon_that_does_not_answer_is_not_waited_for_long(a):
    wanted = image("stopped", lambda layout: manifest(layout, [(WASM, small("stopped"))]))
    a.daemon.load(wanted)
    container = a.container(wanted.name)
    a.daemon.process.send_signal(signal.SIGSTOP)
    try:
        found = a.ask(container)
    finally:
        a.daemon.process.send_signal(signal.SIGCONT)
    assert found.get("reason") == "TimedOut" and container in found["message"], found
    assert_program(a.ask(container), small("stopped"))


def a_container_without_an_image_has_no_program(a):
    found = a.ask(a.container(None))
    assert_none(found)
    assert found["name"] == "", found


def what_is_not_there_is_named(a):
    found = a.ask("nobody")
    assert found.get("reason") == "NotFound" and "nobody" in found["message"], found
    found = a.ask(a.container("localhost/none:1"))
    assert found.get("reason") == "NotFound" and "localhost/none:1" in found["message"], found
    found = a.ask("c1", address="/nowhere.sock")
    assert found.get("reason") == "ConnectFailed" and "/nowhere.sock" in found["message"], found


# What containerd has to do with; the rest is the shim's own, and is asked of the newest.
OF_EACH_VERSION = (every_form_is_recognised, what_the_config_says_comes_with_it,
                   a_program_of_many_pieces_comes_whole, what_is_not_there_is_named)
PARTS = (every_form_is_recognised, older_types_of_layers_are_programs,
         a_layer_of_files_beside_the_program_does_not_matter,
         two_programs_are_refused_with_their_types,
         of_an_index_the_manifest_for_webassembly_is_taken,
         of_an_index_without_platforms_the_one_with_a_program_is_taken,
         what_the_config_says_comes_with_it, a_program_of_many_pieces_comes_whole,
         a_second_container_reads_nothing_of_the_program, a_file_of_another_size_is_read_anew,
         a_cache_that_others_may_write_to_is_not_used,
         who_gives_up_is_told_nothing_and_nothing_half_is_kept,
         a_container_without_an_image_has_no_program, what_is_not_there_is_named)

if IS_FULL:
    PARTS += (a_daemon_that_does_not_answer_is_not_waited_for_long,)


def main():
    daemon.peers()
    for version in daemon.VERSIONS:
        with daemon.Containerd(version) as d:
            asker = Asker(d)
            for part in PARTS if IS_FULL or version == daemon.VERSIONS[-1] else OF_EACH_VERSION:
                if tap.run(part, asker):
                    tap.ok(f"containerd {version}: {part.__name__}", True)
            shutil.rmtree(asker.cache)
    tap.finish()


main()
