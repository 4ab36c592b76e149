# SPDX-License-Identifier: Apache-2.0
"""A user of a machine, for tests of what is kept there between commands, and what he may have."""
import functools
import hashlib
import json
import os
import subprocess

from image_layout import Layout
from serve_client import BOX, WHERRY, example, output


@functools.cache
def hello():
    """A layout with the C example as v1, and its manifest's digest."""
    layout = Layout(os.path.join(BOX, "hello"))
    descriptor = layout.artifact(example("c"))
    layout.tag("v1", descriptor)
    return layout, descriptor["digest"]


class Machine:
    """A user with a store of its own, and what is in it. Of this machine's settings for registries
    none counts. `prefix` is put before each command."""
    count = 0

    def __init__(self, prefix=(), **env):
        Machine.count += 1
        self.prefix = prefix
        self.dir = os.path.join(BOX, f"machine{Machine.count}")
        os.mkdir(self.dir)
        self.state = os.path.join(self.dir, "state")
        self.env = {**os.environ, "HOME": self.dir, "XDG_RUNTIME_DIR": os.path.join(self.dir, "run"),
                    "XDG_CACHE_HOME": os.path.join(BOX, "cache"), "WHERRY_STATE_DIR": self.state,
                    **env}
        for name in ("XDG_CONFIG_HOME", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE",
                     "CONTAINERS_REGISTRIES_CONF"):
            self.env.pop(name, None)
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            self.env.pop(name, None)
            self.env.pop(name.upper(), None)
        self.registries_conf("")

    def registries_conf(self, text):
        """Its path."""
        path = os.path.join(self.dir, ".config/containers/registries.conf")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def wherry(self, *argv, **more):
        """(status, stdout, stderr) as text"""
        status, out, err = output(*self.prefix, WHERRY, *argv, env=self.env, **more)
        return status, out.decode("utf-8", "replace"), err

    def json(self, *argv):
        return json.loads(self.wherry(*argv, "-o", "json")[1])

    def start(self, *argv):
        return subprocess.Popen([*self.prefix, WHERRY, *argv], env=self.env,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def path(self, name):
        """Of a file of the image store."""
        return os.path.join(self.state, "images", name)

    def files(self, folder):
        try:
            return sorted(os.listdir(self.path(folder)))
        except FileNotFoundError:
            return []

    def damaged(self):
        """Blobs that are not what their names say."""
        bad = []
        for name in self.files("blobs/sha256"):
            with open(self.path(os.path.join("blobs/sha256", name)), "rb") as f:
                if hashlib.sha256(f.read()).hexdigest() != name:
                    bad.append(name)
        return bad
