#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How programs of containers' images are started: with the arguments and variables of the config, as
buildah and podman build it, from a real docker-registry, layouts and archives. What the arguments
have to be, podman says, of containers that it creates and does not start."""
import io
import json
import os
import shutil
import signal
import sys
import tarfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from container_tools import Tools  # noqa: E402
from image_layout import Layout  # noqa: E402
from machine import Machine  # noqa: E402
from registry import Registry  # noqa: E402
from serve_client import BOX, PROBE, Server, build_guests, get, run, tap  # noqa: E402
from worker_client import GUESTS, wait_until  # noqa: E402

ARGS, NOP = (os.path.join(GUESTS, f"{n}.wasm") for n in ("args", "nop"))
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # of every build
ENV = [PATH, "GREETING=hello world", "EMPTY=", "EQUALS=a=b", "LANG=C.UTF-8"]


def shown(argv, env):
    """What the guest that prints both prints."""
    return "".join([f"argv[{i}]={word}\n" for i, word in enumerate(argv)] +
                   [v + "\n" for v in env])


def context():
    """A folder to build in."""
    path = os.path.join(BOX, "context")
    if not os.path.isdir(path):
        os.makedirs(path)
        for file in (ARGS, NOP):
            shutil.copy(file, path)
    return path


def build(tools, builder, name, *lines):
    path = os.path.join(BOX, "Containerfile")
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(("FROM scratch", "COPY args.wasm nop.wasm /", *lines)) + "\n")
    getattr(tools, builder)("build", "--isolation", "chroot", "-q", "--platform", "wasi/wasm", "-t",
                            name, "-f", path, context())
    return name


LINES = ('ENV GREETING="hello world" EMPTY= EQUALS=a=b', "ENV LANG=C LANG=C.UTF-8",
         'ENTRYPOINT ["/args.wasm", "--always", "two words"]', 'CMD ["default", "äöü €😀", ""]')


def created(tools, image, *argv):
    """What a container of podman's is started with. It has more variables, in no order."""
    container = tools.podman("create", image, *argv).strip()
    seen = json.loads(tools.podman("inspect", container))[0]
    tools.podman("rm", container)
    return shown([seen["Path"], *seen["Args"]], [v for v in ENV if v in seen["Config"]["Env"]])


# ---- With the tools --------------------------------------------------------------------------


def built():
    m = Machine()
    tools = Tools(m)
    for builder in ("buildah", "podman"):
        name = build(tools, builder, f"localhost/args-{builder}:1", *LINES)
        archive = os.path.join(BOX, f"{builder}.tar")
        tools.podman("save", "-q", "--format", "oci-archive", "-o", archive, name)
        older = os.path.join(BOX, f"{builder}-docker.tar")
        tools.podman("save", "-q", "--format", "docker-archive", "-o", older, name)
        layout = os.path.join(BOX, f"{builder}-layout")
        tools.podman("save", "-q", "--format", "oci-dir", "-o", layout, name)
        loaded = Machine()
        status, out, said = loaded.wherry("load", "-q", "-i", older)
        tap.ok(f"{builder}: the docker-archive is loaded", status == 0, (out, said))
        with Registry() as registry:
            where = f"{registry.address}/test/args:1"
            tools.podman("push", "-q", "--tls-verify=false", name, where)
            forms = {"a registry": (m, where), "a layout": (m, f"oci:{layout}"),
                     "an archive": (m, f"oci-archive:{archive}"),
                     "a docker-archive": (loaded, name)}
            for what, (user, image) in forms.items():
                of = f"{builder}, {what}"
                for argv in ((), ("one",), ("one", "--two", "")):
                    tap.equal(f"{of}: argv is podman's with {len(argv)} arguments",
                              user.wherry("run", "-q", image, *argv),
                              (0, created(tools, name, *argv), ""))
                files = os.path.join(BOX, "env")
                with open(files, "w", encoding="utf-8") as f:
                    f.write("EMPTY=file\nLANG=file\nNEW=file\n")
                tap.equal(f"{of}: --env over --env-file over Env", user.wherry(
                    "run", "--env-file", files, "-e", "LANG=de", "-e", "LAST=1", image, "x"),
                    (0, shown(["/args.wasm", "--always", "two words", "x"],
                              [PATH, "GREETING=hello world", "EMPTY=file", "EQUALS=a=b", "LANG=de",
                               "NEW=file", "LAST=1"]), ""))
                inspected = json.loads(user.wherry("inspect", "-o", "json", image)[1])
                tap.equal(f"{of}: inspect", inspected.get("command"), {
                    "entrypoint": ["/args.wasm", "--always", "two words"],
                    "cmd": ["default", "äöü €😀", ""], "env": ENV, "function": None})
            text = m.wherry("inspect", where)[1]
            tap.ok(f"{builder}: inspect, for people", all(line in text for line in (
                'Command:   ["/args.wasm","--always","two words"]\n',
                '"GREETING=hello world","EMPTY=","EQUALS=a=b","LANG=C.UTF-8"]\n')), text)
            program = json.loads(m.wherry("image", "inspect", "-o", "json", where)[1])[0]["program"]
            tap.equal(f"{builder}: image inspect", program.get("command"), inspected["command"])
            text = m.wherry("image", "inspect", where)[1]
            tap.ok(f"{builder}: image inspect, for people",
                   'Command:     ["/args.wasm","--always","two words"]\n' in text, text)
            m.wherry("tag", where, "localhost/tagged:1")
            tap.equal(f"{builder}: under another name", m.wherry("run", "localhost/tagged:1", "x")[1],
                      shown(["/args.wasm", "--always", "two words", "x"], ENV))

    only_cmd = build(tools, "buildah", "localhost/cmd:1", 'CMD ["/args.wasm", "a", "b"]')
    archive = os.path.join(BOX, "cmd.tar")
    tools.podman("save", "-q", "--format", "oci-archive", "-o", archive, only_cmd)
    tap.equal("only Cmd: it is the command", m.wherry("run", f"oci-archive:{archive}")[1],
              shown(["/args.wasm", "a", "b"], [PATH]))
    tap.equal("only Cmd: so it is with podman", created(tools, only_cmd),
              shown(["/args.wasm", "a", "b"], [PATH]))
    tap.equal("only Cmd: arguments replace what follows the program",
              m.wherry("run", f"oci-archive:{archive}", "c")[1], shown(["/args.wasm", "c"], [PATH]))

    function = build(tools, "buildah", "localhost/function:1",
                     'ENTRYPOINT ["/nop.wasm#add"]', 'CMD ["40", "2"]')
    archive = os.path.join(BOX, "function.tar")
    tools.podman("save", "-q", "--format", "oci-archive", "-o", archive, function)
    name = f"oci-archive:{archive}"
    tap.equal("a function: Cmd is its arguments", m.wherry("run", name), (0, "42\n", ""))
    tap.equal("a function: arguments replace Cmd", m.wherry("run", name, "1", "2"), (0, "3\n", ""))
    tap.equal("a function: --invoke is stronger", m.wherry("run", "--invoke", "fib", name, "20"),
              (0, "6765\n", ""))
    tap.equal("a function: inspect", json.loads(m.wherry("inspect", "-o", "json", name)[1])
              ["command"]["function"], "add")
    m.wherry("load", "-q", "-i", archive)
    text = m.wherry("image", "inspect", function)[1]
    tap.ok("a function: image inspect", 'Function:    ["add"]\n' in text, text)
    tap.equal("a function: of the store", m.wherry("run", function), (0, "42\n", ""))


# ---- By the book -----------------------------------------------------------------------------


def container(layout, config, program=ARGS, **more):
    """The image of a container with app.wasm."""
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w") as t:
        t.add(program, "app.wasm")
    return layout.container([text.getvalue()], config, **more)


def spellings():
    layout, m = Layout(os.path.join(BOX, "spellings")), Machine()
    cases = [
        ("no function: _start", {"Entrypoint": ["/app.wasm#_start", "a"]}, ["/app.wasm#_start", "a"]),
        ("no function: an empty one", {"Entrypoint": ["/app.wasm#"]}, ["/app.wasm#"]),
        ("a relative entry point", {"Entrypoint": ["app.wasm"], "Cmd": ["x"]}, ["app.wasm", "x"]),
        ("variables without a name or a value to set",
         {"Entrypoint": ["/app.wasm"], "Env": ["HOME", "=x", "", "A=1", "A=2"]}, ["/app.wasm"],
         ["A=2"]),
    ]
    for what, config, argv, *env in cases:
        layout.tag("1", container(layout, config))
        tap.equal(what, m.wherry("run", layout.name("1")), (0, shown(argv, *(env or [[]])), ""))
    layout.tag("1", container(layout, {"Entrypoint": ["/app.wasm#nothing"]}))
    status, _, said = m.wherry("run", layout.name("1"))
    tap.ok("a function that is not there", status == 126 and
           "the entry point of the image: it exports no function 'nothing'" in said, (status, said))
    bad = {"too many variables": {"Env": ["A=1"] * 1001}, "too many words": {"Cmd": ["x"] * 1001},
           "too much text": {"Env": ["A=" + "x" * (1 << 18)]}, "a NUL": {"Env": ["A=\0"]}}
    for what, config in bad.items():
        layout.tag("1", container(layout, {"Entrypoint": ["/app.wasm"], **config}))
        status, _, said = m.wherry("run", layout.name("1"))
        tap.ok(f"{what}: why", status == 125 and "the image's config: " in said, (status, said))
    most = {"Entrypoint": ["/app.wasm"], "Cmd": ["\x01" * 300] * 850}
    layout.tag("1", container(layout, most))
    tap.equal("as much as there may be", m.wherry("run", layout.name("1"))[1],
              shown(["/app.wasm", *most["Cmd"]], []))
    m.wherry("load", "-q", "-i", layout.dir, "--name", "localhost/most:1")
    archive = os.path.join(BOX, "most.tar")
    m.wherry("save", "-o", archive, "localhost/most:1")
    tap.equal("as much as there may be, of an archive", m.wherry("run", f"oci-archive:{archive}")[1],
              shown(["/app.wasm", *most["Cmd"]], []))
    layout.tag("artifact", layout.artifact(ARGS))
    tap.equal("an artifact: argv[0] is the image's name", m.wherry(
        "run", layout.name("artifact"), "x")[1], shown([os.path.basename(layout.name("artifact")),
                                                        "x"], []))


def stored():
    """What is in the store: as older wherry left it, damaged, moved and removed."""
    layout, m = Layout(os.path.join(BOX, "stored")), Machine()
    descriptor = container(layout, {"Entrypoint": ["/app.wasm"], "Env": ["A=1"], "Cmd": ["b"]})
    layout.tag("quay.io/a/b:1", descriptor)
    m.wherry("load", "-q", "-i", layout.dir)
    wanted = (0, shown(["/app.wasm", "b"], ["A=1"]), "")
    tap.equal("a loaded image", m.wherry("run", "quay.io/a/b:1"), wanted)
    record = m.path("names/quay.io/a/b/:1")
    with open(record, encoding="utf-8") as f:
        written = json.load(f)
    config = written.pop("config")
    tap.equal("its record has the config", config, layout.read(descriptor["digest"])
              ["config"]["digest"])
    with open(record, "w", encoding="utf-8") as f:
        json.dump(written, f)
    tap.equal("a record of before: the manifest tells", m.wherry("run", "quay.io/a/b:1"), wanted)
    shutil.rmtree(m.path("programs"))
    tap.equal("without the folder of programs", m.wherry("run", "quay.io/a/b:1"), wanted)
    tap.equal("check: all is well", m.wherry("system", "check")[0], 0)

    blob = m.path("blobs/sha256/" + config[7:])
    with open(blob, "rb") as f:
        whole = f.read()
    os.remove(blob)
    status, _, said = m.wherry("run", "quay.io/a/b:1")
    tap.ok("a config that is gone", status == 125 and "pull the image again" in said, (status, said))
    with open(blob, "wb") as f:
        f.write(whole.replace(b"A=1", b"A=2"))
    status, _, said = m.wherry("run", "quay.io/a/b:1")
    tap.ok("a config that was changed", status == 125 and "is damaged" in said, (status, said))
    m.wherry("system", "check", "--repair")
    m.wherry("load", "-q", "-i", layout.dir)
    tap.equal("and after a repair", m.wherry("run", "quay.io/a/b:1"), wanted)


def served():
    layout = Layout(os.path.join(BOX, "served"))
    m = Machine()

    def tag(value):
        layout.tag("quay.io/a/probe:1", container(layout, {
            "Entrypoint": ["/app.wasm#ignored"], "Cmd": ["x"],
            "Env": [f"FROM_IMAGE={value}", "BOTH=image"]}, PROBE))
        m.wherry("load", "-q", "-i", layout.dir)

    tag("1")
    arguments = ("-e", "BOTH=user", "-e", "OWN=1")
    both = b"FROM_IMAGE=1\nBOTH=user\nOWN=1\n"
    with Server(*arguments, layout.name("quay.io/a/probe:1")) as server:
        tap.equal("serve: variables, of a layout", get(server, "/env").body, both)
    with Server(*arguments, "--pull", "never", "quay.io/a/probe:1", env=m.env) as server:
        tap.equal("serve: variables, of the store", get(server, "/env").body, both)
        tag("2")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: get(server, "/env").body.startswith(b"FROM_IMAGE=2\n"),
                   "the new image's variables")
        tap.equal("serve: SIGHUP takes those of the image that the name has then",
                  get(server, "/env").body, both.replace(b"=1\nB", b"=2\nB"))
    with Server(*arguments, "--route", "/a=" + layout.name("quay.io/a/probe:1"), "--route",
                "/b=" + PROBE) as server:
        tap.equal("serve: each program has its own",
                  (get(server, "/a/env").body, get(server, "/b/env").body),
                  (both.replace(b"=1\nB", b"=2\nB"), b"BOTH=user\nOWN=1\n"))


build_guests("args", "nop")
run(built, spellings, stored, served, needs=("buildah", "podman", "docker-registry"))
