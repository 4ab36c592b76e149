# SPDX-License-Identifier: Apache-2.0
"""Drives tests/integ/pods.c."""
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading

from supervisor_client import Supervisor
from worker_client import PATIENCE_S, PROGRAM, ROOT, wait_until

PODS = os.path.join(ROOT, os.environ.get("WHERRY_BUILD", "build/meson"), "tests/integ/pods")
LIBEXEC = os.path.dirname(PROGRAM)


class Pods(Supervisor):
    """A supervisor of pods; `known` are those that an earlier one had."""

    def __init__(self, dir, known=()):  # pylint: disable=super-init-not-called
        self.process = subprocess.Popen([PODS, dir, LIBEXEC], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1,
                                        env={**os.environ,
                                             "WHERRY_STATE_DIR": os.path.join(dir, "state")})
        self.pid = self.process.pid
        self.lines = queue.Queue()
        self.waiting = []
        threading.Thread(target=self.read, daemon=True).start()
        self.expect("adopted")
        for uid, file in known:
            self.do("add", uid, file)
        self.do("restore")

    def status(self, uid):
        self.do("status", uid)
        return json.loads(self.expect(f"status {uid}").split(" ", 2)[2])

    def phase(self, uid, phase):
        """Waits until it is in that phase; its status then."""
        self.expect(f"phase {uid} {phase}")
        return self.status(uid)

    def container(self, uid, name):
        s = self.status(uid)
        return next(c for c in s.get("initContainerStatuses", []) + s["containerStatuses"]
                    if c["name"] == name)

    def events(self, uid):
        """(container, reason, text) of what was told so far."""
        self.status(uid)
        return [tuple(line.split(" ", 4)[2:]) for line in self.waiting
                if line.startswith(f"event {uid} ")]

    def log(self, uid, container):
        """What the container said."""
        self.do("log", uid, container)
        path = self.expect(f"log {uid}").split(" ", 2)[2]
        if path == "none":
            return None
        try:
            with open(path, encoding="utf-8") as f:
                return "".join(line.split(" ", 3)[3] for line in f)
        except FileNotFoundError:  # the worker makes it with the first line
            return None

    def exec(self, uid, container, *words):
        """(what it wrote, status)"""
        self.do("exec", uid, container, *words)
        end = self.expect(f"exec {uid}").split(" ", 4)
        return int(end[2]), end[3]


class Folder:
    """Below it nothing runs any more when it is left."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="wherry-pods-test-")
        self.drivers = []
        return self

    def pods(self, known=()):
        p = Pods(self.dir, known)
        self.drivers.append(p)
        return p

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def write(self, name, *objects):
        """The file with these objects as a manifest."""
        path = self.path(name + ".json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"apiVersion": "v1", "kind": "List", "items": objects}, f)
        return path

    def left(self):
        """Files of pods."""
        found = []
        for top in ("state/pods", "logs"):
            found += [os.path.join(top, n) for n in os.listdir(self.path(*top.split("/")))]
        return found

    def records(self, space="default"):
        run = self.path("run", space)
        return [n for n in os.listdir(run) if n.endswith(".exit")] if os.path.isdir(run) else []

    def worker(self, space="default"):
        with open(self.path("run", space, "worker.json"), encoding="utf-8") as f:
            return json.load(f)["pid"]

    def __exit__(self, *exception):
        for p in self.drivers:
            if p.process.poll() is None:
                p.kill()
        last = Pods(self.dir)
        last.do("down")
        last.process.wait(PATIENCE_S)
        shutil.rmtree(self.dir)


def metadata(name, **more):
    return {"name": name, **more}


def pod(name, *containers, annotations=None, **spec):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": metadata(name, annotations=annotations or {}),
            "spec": {"containers": list(containers), **spec}}


def kill_hard(pid):
    os.kill(pid, signal.SIGKILL)


__all__ = ["Folder", "Pods", "pod", "metadata", "kill_hard", "wait_until"]
