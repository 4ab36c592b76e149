# SPDX-License-Identifier: Apache-2.0
"""A supervisor in few lines: starts wherry-worker and speaks its protocol (src/guest/message.h)."""
import array
import json
import os
import select
import socket
import struct
import subprocess
import tempfile
import time

from processes import private_kb, wait_until_asleep


class SharedWorker:
    """A worker under this process, until close()."""

    def __init__(self, program, cache_dir):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "socket")
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(path)
                listening.listen()
                fd = listening.fileno()
                self.process = subprocess.Popen(
                    [program, "--listen-fd", str(fd), "--cache-dir", cache_dir], pass_fds=[fd])
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.connect(path)
        self.received = b""
        self.expect("hello")

    def send(self, type_, fds=(), **fields):
        body = json.dumps({"type": type_, **fields}).encode()
        frame = struct.pack("<II", len(body), len(fds)) + body
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.socket.sendmsg([frame], rights)
        if sent < len(frame):
            self.socket.sendall(frame[sent:])

    def _take(self, n):
        while len(self.received) < n:
            more = self.socket.recv(65536)
            if not more:
                raise RuntimeError("the worker closed the connection")
            self.received += more
        taken, self.received = self.received[:n], self.received[n:]
        return taken

    def expect(self, type_):
        """The next message, which must be of this type."""
        length, _ = struct.unpack("<II", self._take(8))
        message = json.loads(self._take(length))
        if message["type"] != type_:
            raise RuntimeError(f"the worker said {message} instead of {type_}")
        return message

    def start(self, id_, wasm, stdin, stdout):
        module = os.open(wasm, os.O_RDONLY)
        spec = {"id": id_, "name": os.path.basename(wasm), "args": [os.path.basename(wasm)],
                "module_fd": 0, "stdin_fd": 1, "stdout_fd": 2}
        self.send("start", [module, stdin, stdout], spec=spec)
        os.close(module)
        self.expect("started")

    def read_from_guest(self, fd, limit):
        """Output of a guest; a guest or worker that ends instead is an error."""
        ready, _, _ = select.select([fd, self.socket], [], [])
        if fd in ready:
            return os.read(fd, limit)
        raise RuntimeError(f"instead of output: {self.expect('output')}")

    def guest_cpu_ns(self, id_):
        self.send("measure", id=id_)
        return self.expect("figures")["figures"]["cpu_ns"]

    def stop(self, id_):
        self.send("stop", id=id_)
        self.expect("exited")

    def forget(self, id_):
        self.send("forget", id=id_)

    def close(self):
        self.send("shutdown")
        self.socket.close()
        self.process.wait()

    def wait_until_asleep(self):
        wait_until_asleep(self.process.pid)

    def private_kb(self):
        return private_kb(self.process.pid)


def measure_stops(worker, wasm, n):
    """Microseconds from the request to the news of the end, n times."""
    taken = []
    for i in range(n):
        reading, writing = os.pipe()
        nothing = os.open("/dev/null", os.O_RDONLY)
        worker.start(f"spin{i}", wasm, nothing, writing)
        os.close(writing)
        os.close(nothing)
        worker.read_from_guest(reading, 64)
        # It has said that it runs; CPU time that grows after that is its loop.
        begun = worker.guest_cpu_ns(f"spin{i}")
        while worker.guest_cpu_ns(f"spin{i}") < begun + 1000000:
            os.sched_yield()
        start = time.monotonic()
        worker.stop(f"spin{i}")
        taken.append((time.monotonic() - start) * 1e6)
        worker.forget(f"spin{i}")
        os.close(reading)
    return taken


class IdleGuests:
    """Guests that wait for input."""

    def __init__(self, worker, wasm):
        self.worker, self.wasm, self.n = worker, wasm, 0
        self.stdin = os.pipe()
        self.stdout = os.pipe()

    def grow_to(self, n):
        said = 0
        while self.n < n:
            self.worker.start(f"idle{self.n}", self.wasm, self.stdin[0], self.stdout[1])
            self.n += 1
            said += len("idle\n")
        while said > 0:
            said -= len(self.worker.read_from_guest(self.stdout[0], said))
        self.worker.wait_until_asleep()
