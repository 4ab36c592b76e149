# SPDX-License-Identifier: Apache-2.0
"""A client of a shim that is not containerd: calls by ttrpc in any order, also such as no containerd
makes, and bundles to create containers from."""
import itertools
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import time

from worker_client import GUESTS, PATIENCE_S, ROOT

SHIM = os.path.join(os.environ.get("WHERRY_SHIMS") or os.path.join(ROOT, "build"),
                    "containerd-shim-wherry-v1")
SERVICE = "containerd.task.v2.Task"
REQUEST, RESPONSE = 1, 2
# gRPC's codes of status.
(OK, CANCELED, UNKNOWN, INVALID_ARGUMENT, _, NOT_FOUND, ALREADY_EXISTS, _, RESOURCE_EXHAUSTED,
 FAILED_PRECONDITION, _, _, UNIMPLEMENTED, *_) = range(17)
CREATED, RUNNING, STOPPED, PAUSED = 1, 2, 3, 4

# The fields of the requests by name; src/shim/messages/task.proto.
_ID = {"id": 1, "exec_id": 2}
FIELDS = {
    "Create": {"id": 1, "bundle": 2, "rootfs": 3, "terminal": 4, "stdin": 5, "stdout": 6,
               "stderr": 7, "checkpoint": 8, "options": 10},
    "Kill": {**_ID, "signal": 3, "all": 4},
    "Exec": {**_ID, "terminal": 3, "stdin": 4, "stdout": 5, "stderr": 6, "spec": 7},
    "ResizePty": {**_ID, "width": 3, "height": 4},
    "CloseIO": {**_ID, "stdin": 3},
    "Update": {"id": 1, "resources": 2},
    "Shutdown": {"id": 1, "now": 2},
}
METHODS = ("State", "Create", "Start", "Delete", "Pids", "Pause", "Resume", "Checkpoint", "Kill",
           "Exec", "ResizePty", "CloseIO", "Update", "Wait", "Stats", "Connect", "Shutdown")


# ---- Messages --------------------------------------------------------------------------------


def varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def pack(fields):
    """{number: value}; a list is a field that is repeated, a dict a message."""
    out = b""
    for number, value in fields.items():
        for v in value if isinstance(value, list) else [value]:
            if isinstance(v, int):
                out += varint(number << 3) + varint(v)
                continue
            v = pack(v) if isinstance(v, dict) else v.encode() if isinstance(v, str) else v
            out += varint(number << 3 | 2) + varint(len(v)) + v
    return out


def unpack(data):
    """{number: the last value}: numbers and bytes."""
    at, found = 0, {}

    def number():
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return n

    while at < len(data):
        key = number()
        if key & 7 == 0:
            found[key >> 3] = number()
        else:
            assert key & 7 == 2, key
            size = number()
            found[key >> 3] = data[at:at + size]
            at += size
    return found


def any_of(document, type_url="types.containerd.io/opencontainers/runtime-spec/1/Process"):
    return {1: type_url, 2: document if isinstance(document, bytes) else json.dumps(document)}


def request(method, payload, service=SERVICE, timeout_ns=0):
    return pack({1: service, 2: method, 3: payload, 4: timeout_ns})


def frame(stream, body, type=REQUEST, flags=0, length=None):
    return struct.pack(">IIBB", len(body) if length is None else length, stream, type, flags) + body


# ---- Calls -----------------------------------------------------------------------------------


class Refused(Exception):
    def __init__(self, method, code, message):
        super().__init__(f"{method}: {code}: {message}")
        self.code, self.message = code, message


class Client:
    """client("Start", id="c1"); any number of threads may call at a time."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(path)
        self._streams = itertools.count(1, 2)
        self._lock = threading.Condition()
        self._answers, self._is_over = {}, False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        try:
            with self.socket.makefile("rb") as stream:
                while len(head := stream.read(10)) == 10:
                    length, number, type, _ = struct.unpack(">IIBB", head)
                    body = unpack(stream.read(length))
                    assert type == RESPONSE, type
                    with self._lock:
                        self._answers[number] = body
                        self._lock.notify_all()
        except (OSError, ValueError):
            pass
        with self._lock:
            self._is_over = True
            self._lock.notify_all()

    def begin(self, method, service=SERVICE, payload=None, **fields):
        """The number that answer() takes."""
        names = FIELDS.get(method, _ID)
        if payload is None:
            payload = pack({names[k]: v for k, v in fields.items()})
        with self._lock:
            number = next(self._streams)
            self.socket.sendall(frame(number, request(method, payload, service)))
        return number, method

    def answer(self, call, timeout_s=PATIENCE_S):
        """The fields of the answer by number; Refused, or ConnectionError when there is none."""
        number, method = call
        with self._lock:
            if not self._lock.wait_for(lambda: number in self._answers or self._is_over, timeout_s):
                raise TimeoutError(f"{method} is not answered")
            if number not in self._answers:
                raise ConnectionError(f"{method}: the shim has gone")
            body = self._answers.pop(number)
        status = unpack(body.get(1, b""))
        if status.get(1):
            raise Refused(method, status[1], status.get(2, b"").decode("utf-8", "replace"))
        return unpack(body.get(2, b""))

    def __call__(self, method, **fields):
        return self.answer(self.begin(method, **fields))

    def code(self, method, **fields):
        """The code of the answer's status, 0 when it was not refused."""
        try:
            self(method, **fields)
        except Refused as e:
            return e.code
        return OK

    def state(self, id, exec_id=""):
        return self("State", id=id, exec_id=exec_id).get(4, 0)

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._reader.join()
        self.socket.close()


# ---- Bundles ---------------------------------------------------------------------------------


def process(*args, **more):
    return {"user": {"uid": 0, "gid": 0}, "args": list(args), "cwd": "/",
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], **more}


class Bundle:
    """A folder with config.json and a root file system that has the guest as /app.wasm, or
    busybox."""

    def __init__(self, folder, id, *args, guest="sleep", group="wherry-test", **config):
        self.id, self.dir = id, os.path.join(folder, id)
        self.root = os.path.join(self.dir, "rootfs")
        os.makedirs(os.path.join(self.root, "bin"))
        for name in ("proc", "dev", "etc", "tmp"):
            os.mkdir(os.path.join(self.root, name))
        if guest == "busybox":
            shutil.copy(shutil.which("busybox"), os.path.join(self.root, "bin/busybox"))
            os.symlink("busybox", os.path.join(self.root, "bin/sh"))
            os.symlink("busybox", os.path.join(self.root, "bin/sleep"))
        else:
            shutil.copy(os.path.join(GUESTS, guest + ".wasm"), os.path.join(self.root, "app.wasm"))
            args = ("/app.wasm", *args)
        self.config = {
            "ociVersion": "1.0.2", "process": process(*args), "root": {"path": "rootfs"},
            "hostname": "test", "annotations": {},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"cgroupsPath": f"/{group}/{id}", "resources": {},
                      "namespaces": [{"type": n} for n in ("pid", "ipc", "uts", "mount")]},
            **config}
        self.write()

    def write(self):
        with open(os.path.join(self.dir, "config.json"), "w", encoding="utf-8") as f:
            json.dump(self.config, f)

    def remove(self):
        shutil.rmtree(self.dir)


# ---- The shim --------------------------------------------------------------------------------


def run(action, bundle, namespace, address, env, prefix=(), meanwhile=None):
    """What the shim's command prints, as bytes; CalledProcessError. `meanwhile` is called with the
    command's pid again and again while it runs."""
    argv = [*prefix, SHIM, "-namespace", namespace, "-id", os.path.basename(bundle), "-bundle", bundle,
            "-address", address, *(["-publish-binary", "/bin/true"] if action != "start" else []),
            action]
    with subprocess.Popen(argv, cwd=bundle, env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                out, err = process.communicate(timeout=0.02 if meanwhile else PATIENCE_S)
                break
            except subprocess.TimeoutExpired:
                if not meanwhile or time.monotonic() > end:
                    process.kill()
                    raise
                meanwhile(process.pid)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv, out, err)
    return out


def start(bundle, namespace, address, env, prefix=()):
    """Starts the daemon of a bundle as containerd 1.6 does; the path of its socket."""
    said = run("start", bundle, namespace, address,
               {**env, "TTRPC_ADDRESS": address + ".ttrpc"}, prefix=prefix)
    return said.decode().removeprefix("unix://")
