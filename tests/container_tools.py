# SPDX-License-Identifier: Apache-2.0
"""skopeo, buildah and podman."""
import hashlib
import json
import os

from serve_client import example, output


class Tools:
    """The others, with the home folder and settings of a machine, and a storage of their own."""

    def __init__(self, machine):
        self.machine = machine
        os.makedirs(machine.env["XDG_RUNTIME_DIR"])
        self.storage = ["--root", os.path.join(machine.dir, "storage"),
                        "--runroot", os.path.join(machine.dir, "runroot"),
                        "--storage-driver", "vfs"]
        with open(os.path.join(machine.dir, ".config/containers/policy.json"), "w",
                  encoding="ascii") as f:
            json.dump({"default": [{"type": "insecureAcceptAnything"}]}, f)

    def run(self, *argv, **more):
        status, out, said = output(*argv, env=self.machine.env, **more)
        if status:
            raise RuntimeError(f"{argv}: {status} {out!r} {said}")
        return out.decode()

    def podman(self, *argv):
        return self.run("podman", *self.storage, *argv)

    def buildah(self, *argv):
        return self.run("buildah", *self.storage, *argv)

    def skopeo(self, command, *argv):
        tls = ["--src-tls-verify=false", "--dest-tls-verify=false"] if command == "copy" else [
            "--tls-verify=false"]
        return self.run("skopeo", command, *tls, *argv)

    def scratch(self, name, os_name, architecture):
        """An image of files with the C example in it."""
        self.buildah("from", "--name", name, "scratch")
        self.buildah("copy", "-q", name, example("c"), "/hello.wasm")
        self.buildah("config", "--os", os_name, "--arch", architecture, "--entrypoint",
                     '["/hello.wasm"]', name)
        self.buildah("commit", "-q", name, f"localhost/{name}:1")
        return f"localhost/{name}:1"

    def digest(self, name):
        """Of the manifest that the registry has under the name."""
        text = self.skopeo("inspect", "--raw", f"docker://{name}")
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
