#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every example under containerd, in every form that WebAssembly has in images, by the way that it
takes in the world: made by buildah or `wherry push`, put into a registry, and pulled from there by CRI
and by ctr. Also the demo, under each containerd."""
import base64
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [TESTS, os.path.join(TESTS, "containerd")]
from container_tools import Tools  # noqa: E402
from daemon import VERSIONS, WHERRY, Containerd, peers  # noqa: E402
import images  # noqa: E402
from machine import Machine  # noqa: E402
from registry import Registry  # noqa: E402
from serve_client import ROOT, example, tap  # noqa: E402

COMMANDS = ("c", "c-component", "cgi-go", "cgi-rust", "go", "js", "p3", "python", "rust")
SERVICES = ("http-c", "http-js", "http-p3", "http-python")
NATIVE = "/".join(images.PLATFORM)
# The platform that buildah is told, and an annotation.
FILES = {"files": ("wasi/wasm", None), "wasm32": ("wasi/wasm32", None), "plain": (NATIVE, None),
         "compat": (NATIVE, "module.wasm.image/variant=compat")}
# The program as a layer: what runwasi's tool makes, and what `wherry push` makes.
LAYERS = ("layers", "artifact")
# To compile 18 MB of Python takes this long on a busy machine.
COMPILE_S = 300
# A CGI program is a command, which is given its request in variables.
VARIABLES = {n: ["GATEWAY_INTERFACE=CGI/1.1", "REQUEST_METHOD=GET", "SERVER_PROTOCOL=HTTP/1.1",
               "SCRIPT_NAME=", "PATH_INFO=/", "QUERY_STRING=", "SERVER_NAME=x", "SERVER_PORT=80"]
           for n in ("cgi-go", "cgi-rust")}


class Making:
    """A registry with the images."""

    def __init__(self, registry):
        self.registry, self.machine = registry, Machine()
        self.tools = Tools(self.machine)

    def image(self, name, form):
        """Its name in the registry."""
        pushed = f"{self.registry.address}/{name}:{form}"
        if form == "layers":
            made = images.wasm("example/" + name, form)
            self.tools.skopeo("copy", f"oci-archive:{made.archive}:{made.name}",
                              f"docker://{pushed}")
            return pushed
        if form == "artifact":
            status, _, said = self.machine.wherry("push", example(name), pushed)
            assert status == 0, said
            return pushed
        platform, annotation = FILES[form]
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(example(name), os.path.join(folder, "app.wasm"))
            with open(os.path.join(folder, "Containerfile"), "w", encoding="ascii") as f:
                f.write('FROM scratch\nCOPY app.wasm /\nENTRYPOINT ["/app.wasm"]\n')
            local = f"localhost/{name}:{form}"
            self.tools.buildah("build", "-q", "--platform", platform, "-t", local,
                               *(["--annotation", annotation] if annotation else []), folder)
        self.tools.buildah("push", "-q", "--tls-verify=false", local, pushed)
        self.tools.buildah("rmi", local)
        return pushed


def by_wherry(name):
    """What it prints by `wherry run`: [status, stdout]."""
    options = [w for v in VARIABLES.get(name, ()) for w in ("--env", v)]
    done = subprocess.run([os.path.join(ROOT, "build/wherry"), "run", *options, example(name)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=COMPILE_S,
                          check=False)
    return done.returncode, done.stdout.decode()


def pull(daemon, image):
    daemon.cri("PullImage", image={"image": image})


def command_by_cri(daemon, pod, name, form, image):
    """[status, stdout]"""
    pairs = (v.encode().partition(b"=") for v in VARIABLES.get(name, ()))
    config = {"envs": [{"key": k.decode(), "value": base64.b64encode(v).decode()}
                       for k, _, v in pairs]}
    title = f"{name}-{form}"
    # An artifact does not say what it is called.
    container = pod.start(title, image, *(["/app.wasm"] if form == "artifact" else []), **config)
    end = time.monotonic() + COMPILE_S
    while (state := daemon.cri.state(container))["state"] != "CONTAINER_EXITED":
        assert time.monotonic() < end, state
        time.sleep(0.01)
    said = [text for stream, text in pod.log(title) if stream == "stdout"]
    return state["exit_code"], "".join(line + "\n" for line in said)


def service_by_cri(daemon, pod, name, form, image):
    """What it answers."""
    container = pod.start(f"{name}-{form}", image,
                          *(["/app.wasm"] if form == "artifact" else []))
    url = f"http://{pod.status()['network']['ip']}:8080/"
    end = time.monotonic() + COMPILE_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=COMPILE_S) as response:
                answer = response.status, response.read().decode()
            break
        except urllib.error.HTTPError as e:
            answer = e.code, e.read().decode()
            break
        except OSError:
            state = daemon.cri.state(container)
            assert state["state"] == "CONTAINER_RUNNING" and time.monotonic() < end, state
            time.sleep(0.01)
    daemon.cri("StopContainer", container_id=container, timeout=10)
    return answer


def by_ctr(daemon, name, form, image):
    """(status, stdout) of a command that ctr has pulled."""
    platform = FILES[form][0]
    local = [] if daemon.version == "1.6" else ["--local"]
    daemon.ctr("images", "pull", *local, "--plain-http", "--platform", platform, image)
    return daemon.ctr("run", "--rm", "--runtime", WHERRY, image, f"{name}-{form}",
                      is_checked=False)[:2]


def of_kind(daemon, made, names):
    """(name, form, image) of these, in the forms that the daemon takes: 1.6.20 files alone."""
    return [(name, form, image) for (name, form), image in made.items()
            if name in names and (form in FILES or daemon.version != "1.6")]


def same(printed):
    """Without what differs from run to run, and the last line's end, which a log always has."""
    return printed.rstrip("\n").split("\n")


def commands(daemon, made, wanted):
    with tempfile.TemporaryDirectory() as logs:
        pod = daemon.cri.run_pod("commands", "wherry", log_directory=logs)
        for name, form, image in of_kind(daemon, made, COMMANDS):
            status, out = wanted[name]
            title = f"{daemon.version}: {name} as {form}"
            pull(daemon, image)
            got = command_by_cri(daemon, pod, name, form, image)
            tap.ok(f"{title}, by CRI", (got[0], same(got[1])) == (status, same(out)), got)
            # Of layers test_shim_ctr.py has more. What CGI reads, ctr leaves open.
            if form in FILES and name not in VARIABLES:
                got = by_ctr(daemon, name, form, image)
                tap.ok(f"{title}, by ctr", (got[0], same(got[1])) == (status, same(out)), got)
        pod.remove()


def services(daemon, made):
    with tempfile.TemporaryDirectory() as logs:
        pod = daemon.cri.run_pod("services", "wherry", log_directory=logs)
        for name, form, image in of_kind(daemon, made, SERVICES):
            pull(daemon, image)
            status, body = service_by_cri(daemon, pod, name, form, image)
            tap.ok(f"{daemon.version}: {name} as {form}", status == 200 and "Hello" in body,
                   (status, body))
        pod.remove()


def everything():
    with Registry() as registry:
        making = Making(registry)
        wanted = {name: by_wherry(name) for name in COMMANDS}
        for name, (status, out) in wanted.items():
            tap.ok(f"{name} by wherry run", status == 0 and "Hello" in out, (status, out))
        made = {(name, form): making.image(name, form)
                for name in COMMANDS + SERVICES for form in (*FILES, *LAYERS)}
        for version in VERSIONS:
            with Containerd(version) as daemon:
                daemon.load_cri()  # the pause image
                commands(daemon, made, wanted)
                services(daemon, made)
            tap.equal(f"{version}: nothing is left", daemon.left, [])


def demo():
    for version in VERSIONS:
        done = subprocess.run([os.path.join(TESTS, "containerd/demo.py")], text=True,
                              env={**os.environ, "VERSION": version}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        tap.ok(f"{version}: the demo does what it says", done.returncode == 0, done.stdout)


def main():
    peers()
    for part in (demo, everything):
        tap.run(part)
    tap.finish()


main()
