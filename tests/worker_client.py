# SPDX-License-Identifier: Apache-2.0
"""A supervisor for tests: starts a worker and speaks its protocol. Also results as TAP."""
import http.client
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.path.join(ROOT, "build/libexec/wherry/wherry-worker")
GUESTS = os.path.join(ROOT, "build/guests")
PATIENCE_S = 60  # for what must happen; never waited for when all is well


def build_guests(*names):
    """Builds the guests named, as tests/guests/README.md calls them; their folder is GUESTS."""
    done = subprocess.run(["make", "-s", "-C", os.path.join(ROOT, "tests/guests"), "OUT=" + GUESTS]
                          + [guest(n) for n in names],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.stderr.write(done.stdout.decode("utf-8", "replace"))
        print("not ok 1 - the guests build")
        sys.exit(1)


def guest(name):
    return os.path.join(GUESTS, name + ".wasm")


class Tap:
    def __init__(self):
        self.number = self.failed = 0

    def ok(self, name, is_true, detail=""):
        self.number += 1
        self.failed += not is_true
        print(f"{'ok' if is_true else 'not ok'} {self.number} - {name}")
        if not is_true:
            print(f"# {name}: {detail}", file=sys.stderr)
        sys.stdout.flush()
        return is_true

    def equal(self, name, got, wanted):
        return self.ok(name, got == wanted, f"got {got!r}, wanted {wanted!r}")

    def skip(self, name, why):
        self.number += 1
        print(f"ok {self.number} - {name} # SKIP {why}")

    def run(self, part, *args):
        """Of a part that tells results: what it raises is one more, that it failed. True when it
        went through. With PART=WORD in the environment only parts with that in their names run."""
        if os.environ.get("PART", "") not in part.__name__:
            return False
        try:
            part(*args)
        except Exception as e:  # the others still have something to tell
            traceback.print_exc()
            return self.ok(f"{part.__name__}: goes through", False, repr(e))
        return True

    def promise(self, part, *args):
        """Of a part that is one result, by what it raises or does not."""
        if self.run(part, *args):
            self.ok(part.__name__, True)

    def finish(self):
        print(f"1..{self.number}")
        sys.exit(1 if self.failed else 0)


class Closed(Exception):
    """The worker closed the connection."""


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(path)
        self.data = b""
        self.waiting = []  # messages that were read while another one was awaited

    def close(self):
        self.socket.close()

    def send(self, type, id=None, fds=(), **fields):
        message = {"type": type, **fields}
        if id is not None:
            message["id"] = id
        body = json.dumps(message).encode()
        frame = struct.pack("<II", len(body), len(fds)) + body
        try:
            sent = socket.send_fds(self.socket, [frame], list(fds)) if fds else 0
            self.socket.sendall(frame[sent:])
        except (BrokenPipeError, ConnectionResetError):
            pass  # the worker has closed in the middle of it, which reading tells

    def receive(self):
        while True:
            if len(self.data) >= 8:
                length, n_fds = struct.unpack_from("<II", self.data)
                assert n_fds == 0, "a worker sends no descriptors"
                if len(self.data) >= 8 + length:
                    body, self.data = self.data[8:8 + length], self.data[8 + length:]
                    return json.loads(body)
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                raise Closed
            self.data += more

    def expect(self, *types, id=None):
        """The next message of one of these types for this guest; others are kept."""
        def fits(m):
            return m["type"] in types and (id is None or m.get("id") == id)

        for i, m in enumerate(self.waiting):
            if fits(m):
                return self.waiting.pop(i)
        while True:
            m = self.receive()
            if fits(m):
                return m
            self.waiting.append(m)

    def is_closed(self):
        """Waits until the worker closes; True when it did."""
        try:
            while True:
                self.receive()
        except Closed:
            return True
        except socket.timeout:
            return False

    def start(self, id, module, *args, stdin=None, stdout=None, stderr=None, log_dir=None, dirs=(),
              listeners=(), cpu_group=None, **fields):
        """Asks for a guest: `module` is a path, streams are descriptors, dirs (fd, path, ro) and
        listeners (fd, url)."""
        fds = []

        def place(fd):
            fds.append(fd)
            return len(fds) - 1

        module_fd = os.open(module, os.O_RDONLY | os.O_CLOEXEC)
        name = os.path.basename(module)
        spec = {"id": id, "name": name, "module_fd": place(module_fd), "args": [name, *args]}
        for key, fd in (("stdin_fd", stdin), ("stdout_fd", stdout), ("stderr_fd", stderr),
                        ("log_dir_fd", log_dir), ("cpu_group_fd", cpu_group)):
            if fd is not None:
                spec[key] = place(fd)
        spec["dirs"] = [{"fd": place(fd), "path": path, "read_only": ro} for fd, path, ro in dirs]
        spec["listeners"] = [{"fd": place(fd), "url": url} for fd, url in listeners]
        spec.update(fields)
        if "invoke" in fields:
            spec["args"] = list(args)
        try:
            self.send("start", spec=spec, fds=fds)
        finally:
            os.close(module_fd)

    def accepted(self, id, module, *args, **options):
        self.start(id, module, *args, **options)
        answer = self.expect("started", "refused", id=id)
        assert answer["type"] == "started", answer
        return answer

    def ended(self, id):
        """The status of the guest, once it has ended."""
        return self.expect("exited", id=id)["status"]

    def run(self, id, module, *args, **options):
        self.accepted(id, module, *args, **options)
        status = self.ended(id)
        self.send("forget", id)
        return status

    def figures(self, id):
        self.send("measure", id)
        return self.expect("figures", id=id)["figures"]

    def list(self):
        """{id: "started" or "exited"}"""
        self.send("list")
        guests = {}
        while True:
            m = self.receive()
            if m["type"] == "listed":
                return guests
            if m["type"] in ("started", "exited"):
                guests[m["id"]] = m["type"]


class Worker:
    """A worker process with a folder of its own."""

    def __init__(self, cache_dir=None, command=(PROGRAM,), preexec_fn=None):
        self.dir = tempfile.mkdtemp(prefix="wherry-worker-test-")
        os.chmod(self.dir, 0o777)  # also for a worker of another user
        self.socket_path = os.path.join(self.dir, "socket")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.socket_path)
        os.chmod(self.socket_path, 0o777)
        listener.listen(16)
        dir_fd = os.open(self.dir, os.O_RDONLY | os.O_DIRECTORY)
        argv = [*command, "--listen-fd", str(listener.fileno()), "--dir-fd", str(dir_fd)]
        if cache_dir:
            argv += ["--cache-dir", cache_dir]
        self.log = open(os.path.join(self.dir, "worker.log"), "w+b")
        self.process = subprocess.Popen(argv, pass_fds=(listener.fileno(), dir_fd),
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        preexec_fn=preexec_fn)
        listener.close()
        os.close(dir_fd)

    def connect(self):
        c = Connection(self.socket_path)
        self.hello = c.expect("hello")
        return c

    def record(self, id):
        """The record of a guest's end, or None."""
        try:
            with open(os.path.join(self.dir, id + ".exit"), encoding="utf-8") as f:
                return json.load(f)
        except FileNotFoundError:
            return None

    def log_text(self):
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if exception[0]:
            sys.stderr.write(self.log_text())
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def wait_until(condition, what):
    """For what no descriptor announces."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        select.select([], [], [], 0.005)


def free_port():
    """On every address."""
    with socket.socket() as s:
        s.bind(("", 0))
        return s.getsockname()[1]


def lines(path):
    """[] when there is no such file."""
    try:
        with open(path, encoding="utf-8") as f:
            return f.read().split()
    except FileNotFoundError:
        return []


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        own = f.read().split()
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
                own += f.read().split()
        except FileNotFoundError:
            pass
    return sorted({int(k) for k in own})


def has_ended(pid):
    """Also when nobody has waited for it yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


# ---- Guests that answer HTTP -------------------------------------------------------------------


def get(port, path, timeout=20):
    """(status, body)"""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        c.request("GET", path)
        r = c.getresponse()
        return r.status, r.read()
    finally:
        c.close()


def slow_request(port):
    """A request that takes the probe a second, under way in a thread, and what becomes of it."""
    result = []

    def ask():
        try:
            result.append(get(port, "/sleep?1000")[0])
        except (OSError, http.client.HTTPException) as e:
            result.append(type(e).__name__)

    t = threading.Thread(target=ask)
    t.start()
    return t, result


def is_refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False
