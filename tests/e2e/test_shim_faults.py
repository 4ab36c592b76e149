#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shim beside faulty callers, faulty bundles and faulty machines: what it refuses, what goes on,
and that nothing is left. tests/e2e/test_shim_load.py has large numbers."""
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "../containerd")]
import daemon  # noqa: E402
import shim_client as shim  # noqa: E402
from shim_client import (ALREADY_EXISTS, FAILED_PRECONDITION, INVALID_ARGUMENT,  # noqa: E402
                         NOT_FOUND, OK, UNIMPLEMENTED)
from worker_client import Tap, build_guests, has_ended, wait_until  # noqa: E402

IS_FULL = os.environ.get("FULL") == "1"
STORM_CALLS = int(os.environ.get("CALLS") or (20000 if IS_FULL else 400))
SEED = int(os.environ.get("SEED") or random.randrange(1 << 32))
tap = Tap()


class Own:
    """A pod's shim that this test has started itself, without a sandbox container, and speaks to
    beside containerd, which gets its events. `env` is added to that of containerd; `prefix` is a
    command that executes the shim's."""

    def __init__(self, d, name, env=None, prefix=()):
        self.d, self.name, self.prefix = d, name, prefix
        self.env = {**d.env, **(env or {})}
        self.dir = os.path.join(d.dir, "own", name)
        self.group = d.namespace
        os.makedirs(self.dir)
        self.client = self.pid = None
        self.ids = set()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if exception[0]:
            log = os.path.join(self.dir, "log")
            sys.stderr.write(f"the log of the shim {self.name}:\n" + (
                said(log)[-8000:] if os.path.exists(log) else "none\n"))
            for group in self.groups():
                for pid in said(os.path.join(group, "cgroup.procs")).split():
                    os.kill(int(pid), signal.SIGKILL)
                wait_until(lambda g=group: not said(os.path.join(g, "cgroup.procs")), "they end")
                os.rmdir(group)

    def bundle(self, id, *args, annotations=None, **options):
        self.ids.add(id)
        return shim.Bundle(self.dir, id, *args, group=self.group, annotations={
            "io.kubernetes.cri.sandbox-id": self.name, **(annotations or {})}, **options)

    def start(self, bundle):
        if self.client:
            return
        with open(os.path.join(self.dir, "log"), "ab"):
            os.symlink("../log", os.path.join(bundle.dir, "log"))
        self.socket = shim.start(bundle.dir, self.d.namespace, self.d.socket_path, self.env,
                                 self.prefix)
        self.client = shim.Client(self.socket)

    def connect(self):
        return shim.Client(self.socket)

    def create(self, bundle, **streams):
        """Its pid."""
        self.start(bundle)
        pid = self.client("Create", id=bundle.id, bundle=bundle.dir, **streams)[1]
        self.pid = self.client("Connect", id=bundle.id)[1]
        return pid

    def refusal(self, bundle):
        """What is said when it cannot be created; None when it can."""
        self.start(bundle)
        try:
            self.client("Create", id=bundle.id, bundle=bundle.dir)
        except shim.Refused as e:
            return e.message
        return None

    def remove(self, *bundles):
        for b in bundles:
            if self.client.code("State", id=b.id) == OK:
                self.client.code("Kill", id=b.id, signal=9, all=1)
                self.client("Wait", id=b.id)
                self.client("Delete", id=b.id)

    def delete(self, bundle):
        """What containerd calls when a shim has gone. Its orphans are children of this process,
        which waits for them as init does: a PID namespace ends with the last that was waited for."""
        return shim.unpack(shim.run("delete", bundle.dir, self.d.namespace, self.d.socket_path,
                                    self.env, meanwhile=self.d.processes))

    def close(self):
        """Ends the shim; what is left of it, [] when all is well."""
        try:
            self.client("Shutdown", id=self.name)
        except ConnectionError:
            pass
        self.client.close()
        return self.settled()

    def settled(self):
        """What is left when all that was to end has had the time for it."""
        try:
            wait_until(lambda: not self.left(), "the shim has left")
        except TimeoutError:
            pass
        return self.left()

    def groups(self):
        return [os.path.join(p, n) for root in os.listdir("/sys/fs/cgroup")
                if os.path.isdir(p := f"/sys/fs/cgroup/{root}/{self.group}")
                for n in os.listdir(p) if n in self.ids and os.path.isdir(os.path.join(p, n))]

    def sockets(self):
        return [self.socket] if os.path.exists(self.socket) else []

    def left(self):
        return [*self.groups(), *self.d.leftovers()]


def words(pid):
    try:
        return said(f"/proc/{pid}/cmdline").split("\0")
    except OSError:
        return []


def said(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


# ---- The wire --------------------------------------------------------------------------------


def frames(d):
    """Frames and messages that are cut, oversized, repeated or unknown."""
    with Own(d, "frames") as own:
        b = own.bundle("frames", "1000")
        own.create(b)
        good = shim.frame(1, shim.request("State", shim.pack({1: b.id})))
        cases = [good[:n] for n in (1, 9, 10, 11, len(good) - 1)] + [
            os.urandom(4096), b"\0" * 4096, b"\xff" * 4096,
            shim.frame(1, b"", length=(4 << 20) + 1) + b"x" * 8192,
            shim.frame(1, b"", length=(1 << 32) - 1), shim.frame(2, good[10:]),
            shim.frame(0, good[10:]), shim.frame(1, good[10:], type=2),
            shim.frame(1, good[10:], type=9), shim.frame(1, good[10:], flags=0xff),
            shim.frame(1, b"\xff" * 50), shim.frame(1, b""), good * 200,
            shim.frame(3, good[10:]) + shim.frame(1, good[10:])]
        for case in cases:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(own.socket)
                try:
                    s.sendall(case)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536):
                        pass
                except (BrokenPipeError, ConnectionResetError):
                    pass
        tap.equal("the shim serves others after frames that are none", own.client.state(b.id),
                  shim.CREATED)
        payloads = [b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05ab", b"\x08\x01",
                    b"\x0b" * 50, shim.pack({1: b"\xff\xfe"})]
        codes = {own.client.code(m, payload=p) for m in shim.METHODS for p in payloads}
        tap.ok("messages that are none are refused", codes <= {
            INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED, shim.UNKNOWN, OK}, codes)
        harmless = [b"", shim.pack({1: "x" * 70000}), shim.pack({1: "\0"}), shim.pack({99: "new"})]
        codes = {own.client.code(m, payload=p) for m in shim.METHODS if m not in ("Shutdown", "Connect")
                 for p in harmless}
        tap.ok("those that name nothing find nothing", OK not in codes, codes)
        tap.equal("unknown methods and services are told so",
                  [own.client.code("Nothing"), own.client.code("State", service="no.such")],
                  [UNIMPLEMENTED] * 2)
        # Unknown fields are of a newer containerd, and a field that is repeated has its last value.
        tap.equal("unknown fields are ignored", own.client.code(
            "State", payload=shim.pack({1: ["other", b.id], 77: "x", 78: 5})), OK)
        own.remove(b)
        tap.equal("nothing is left of frames", own.close(), [])


def order(d):
    """Calls in wrong order."""
    with Own(d, "order") as own:
        b, other = own.bundle("order", "1000"), own.bundle("order2", "1000")
        own.start(b)
        call = {m: (lambda m: lambda **f: own.client.code(m, id=b.id, **f))(m)
                for m in shim.METHODS}
        spec = shim.any_of(shim.process("sleep", "1000"))
        tap.equal("before Create nothing is there", {m: call[m]() for m in shim.METHODS
                                                     if m not in ("Create", "Checkpoint",
                                                                  "Shutdown")},
                  {m: NOT_FOUND for m in shim.METHODS
                   if m not in ("Create", "Checkpoint", "Shutdown")})
        own.create(b)
        own.create(other)
        tap.equal("what is created is neither created again nor executed in",
                  [call["Create"](bundle=b.dir), call["Exec"](exec_id="e", spec=spec),
                   call["Pause"](), call["Resume"]()],
                  [ALREADY_EXISTS, *[FAILED_PRECONDITION] * 3])
        tap.equal("what runs is neither started again nor deleted", [
            call["Start"](), call["Start"](), call["Delete"](), call["Create"](bundle=b.dir)],
            [OK, FAILED_PRECONDITION, FAILED_PRECONDITION, ALREADY_EXISTS])
        tap.equal("an exec's name is there once, and it starts once", [
            call["Exec"](exec_id="e", spec=spec), call["Exec"](exec_id="e", spec=spec),
            call["Kill"](exec_id="e", signal=9), call["Start"](exec_id="e"),
            call["Start"](exec_id="e"), call["Delete"](exec_id="e"), call["Exec"](spec=spec),
            call["Exec"](exec_id="f")],
            [OK, ALREADY_EXISTS, FAILED_PRECONDITION, OK, FAILED_PRECONDITION,
             FAILED_PRECONDITION, INVALID_ARGUMENT, INVALID_ARGUMENT])
        added = own.client.begin("Wait", id=b.id, exec_id="never") if not call["Exec"](
            exec_id="never", spec=spec) else None
        tap.equal("signals that there are none are refused, and the others arrive",
                  [call["Kill"](signal=1000) != OK, call["Kill"](signal=9)], [True, OK])
        tap.equal("the end is told", own.client("Wait", id=b.id)[1], 137)
        tap.equal("what has ended is not there to be signalled, paused, updated or executed in", [
            call["Kill"](signal=9), call["Pause"](), call["Update"](resources=shim.any_of({})),
            call["Exec"](exec_id="g", spec=spec), call["Start"]()],
            [NOT_FOUND, FAILED_PRECONDITION, NOT_FOUND, *[FAILED_PRECONDITION] * 2])
        tap.equal("Delete is done once", [call["Delete"](), call["Delete"](), call["Start"]()],
                  [OK, NOT_FOUND, NOT_FOUND])
        own.client.answer(added)
        created = own.client.begin("Wait", id=other.id)
        tap.equal("a container that was never started can be deleted",
                  own.client.code("Delete", id=other.id), OK)
        tap.equal("and who waits for it is told", own.client.answer(created)[1], 137)
        own.create(b)
        tap.equal("a shim with a container does not shut down", [
            *(call["Shutdown"]() for _ in range(5)), call["Start"]()], [OK] * 6)
        vanishing(own, b)
        own.remove(b)
        own.client("Shutdown", id=b.id)
        tap.equal("nothing is left of calls in wrong order", own.close(), [])


def vanishing(own, b):
    """Many that wait and go away."""
    before = None
    for _ in range(100 if IS_FULL else 8):
        clients = [own.connect() for _ in range(30)]
        for c in clients:
            for _ in range(5):
                c.begin("Wait", id=b.id)
        for c in clients:
            c.close()
        wait_until(lambda: own.client.state(b.id) and len(os.listdir(
            f"/proc/{own.pid}/fd")) <= (before or 1 << 20), "connections are closed")
        before = before or len(os.listdir(f"/proc/{own.pid}/fd")) + 30
    waiting = own.client.begin("Wait", id=b.id)
    own.client("Kill", id=b.id, signal=15)
    tap.equal("after waits that nobody waits for any more one is answered",
              own.client.answer(waiting)[1], 143)


# ---- What it is given ------------------------------------------------------------------------


def configurations(d):
    """config.json that is too large, cut, or of wrong types; a bundle that is none."""
    with Own(d, "config") as own:
        good, b = own.bundle("config-good", "1000"), own.bundle("config")
        path = os.path.join(b.dir, "config.json")
        text = said(path)

        def refusals(documents):
            """What is not refused, or not with a sentence about it."""
            found = []
            for name, document in documents:
                with open(path, "w", encoding="utf-8") as f:
                    f.write(document)
                why = own.refusal(b)
                if not why or ("config" not in why.lower() and b.id not in why):
                    found.append((name, why))
            return found

        def with_value(*keys, value):
            document = json.loads(text)
            at = document
            for k in keys[:-1]:
                at = at[k]
            at[keys[-1]] = value
            return ".".join(keys) + f"={value!r}"[:40], json.dumps(document)

        size = (100 << 20) if IS_FULL else (5 << 20)
        with open(path, "w", encoding="utf-8") as f:
            f.write(json.dumps({"ociVersion": "1.0.2", "pad": "x" * size}))
        try:
            shim.run("start", b.dir, d.namespace, d.socket_path, own.env)
            why = None
        except subprocess.CalledProcessError as e:
            why = e.stderr.decode()
        tap.ok("start says that config.json is too large", why and "larger than" in why, why)
        own.create(good)
        cuts = range(0, len(text), len(text) // 20)
        tap.equal("config.json that is too large or cut is refused", refusals(
            [("large", json.dumps({"ociVersion": "1.0.2", "pad": "x" * size})),
             ("deep", "[" * 100000), *((f"cut at {n}", text[:n]) for n in cuts)]), [])
        wrong = [with_value(*k, value=v) for k in (
            ("process",), ("root",), ("mounts",), ("linux",), ("hooks",), ("annotations",),
            ("process", "args"), ("process", "user"), ("process", "cwd"), ("root", "path"),
            ("linux", "namespaces"), ("linux", "resources"), ("linux", "cgroupsPath"),
            ("ociVersion",)) for v in (7, "x", [7], True) if not (k[-1] in (
                "path", "cgroupsPath") and v == "x")]
        tap.equal("config.json of wrong types is refused", refusals(wrong), [])
        tap.equal("values that cannot be are refused", refusals([
            with_value("process", "args", value=[]), with_value("process", "cwd", value="tmp"),
            with_value("mounts", value=[{"type": "bind"}]),
            with_value("root", value={"path": "nowhere"}),
            with_value("hooks", value={"createRuntime": [{"path": "relative"}]}),
            with_value("linux", "namespaces", value=[{"type": "network", "path": "/config"}]),
            with_value("ociVersion", value="2.0.0")]), [])
        shutil.rmtree(b.root)
        tap.equal("a bundle without a root file system is refused",
                  refusals([("rootfs", text)]), [])
        os.mkdir(b.root)
        own.client.code("Create", id="gone", bundle=os.path.join(own.dir, "gone"))
        tap.equal("bundles that are none are refused", [OK in {
            own.client.code("Create", id="config", bundle=x)
            for x in ("", ".", "/", "/nowhere", path, "x" * 5000)}], [False])
        tap.equal("what was refused has left nothing",
                  [g for g in own.groups() if not g.endswith(good.id)], [])
        shutil.copytree(good.root, b.root, dirs_exist_ok=True)
        b.config["process"]["args"] = ["/app.wasm", "1000"]
        b.write()
        own.create(b)
        tap.equal("and its name is free", own.client.code("Start", id=b.id), OK)
        own.remove(b, good)
        tap.equal("nothing is left of bad configurations", own.close(), [])


def mounts(d):
    """Root file systems and mounts that lead out of the container."""
    # In a mount namespace of its own, where only it mounts; other tests run beside this one.
    with Own(d, "mounts", prefix=in_mount_namespace("true")) as own:
        secret, data = os.path.join(own.dir, "secret"), os.path.join(own.dir, "data")
        for path, content in ((secret, "secret"), (data, "data")):
            os.mkdir(path)
            with open(os.path.join(path, "file"), "w", encoding="ascii") as f:
                f.write(content + "\n")
        b = own.bundle("mounts", "1000", mounts=[
            {"destination": n, "type": "bind", "source": data, "options": ["rbind", "rw"]}
            for n in ("/absolute", "/relative/inner", "/../../../../../up", "/loop/../plain")])
        up = "../" * 20
        os.symlink(secret, os.path.join(b.root, "absolute"))
        os.symlink(up + secret[1:], os.path.join(b.root, "relative"))
        os.symlink("/etc", os.path.join(b.root, "out"))
        os.symlink("loop", os.path.join(b.root, "loop2"))
        own.start(b)
        mountinfo = f"/proc/{own.client('Connect')[1]}/mountinfo"
        before = said(mountinfo)
        if (why := own.refusal(b)) is None:
            own.client("Start", id=b.id)
            out = os.path.join(own.dir, "out")
            for i, name in enumerate(("absolute/file", "out/passwd", "up/file", "plain/file",
                                      up + secret[1:] + "/file", secret + "/file")):
                own.client("Exec", id=b.id, exec_id=f"e{i}", stdout="file://" + out,
                           spec=shim.any_of(shim.process("cat", "/" + name)))
                own.client("Start", id=b.id, exec_id=f"e{i}")
                own.client("Wait", id=b.id, exec_id=f"e{i}")
            text = said(out)
            tap.ok("a guest sees what is mounted and nothing of the host",
                   "data" in text and "secret" not in text and "root:" not in text, text)
            own.remove(b)
        else:
            tap.ok("mounts that lead out are refused", "mount" in why, why)
        tap.equal("nothing is mounted elsewhere", said(mountinfo), before)
        b.config["mounts"] = [{"destination": "/x", "type": "bind", "source": "/nowhere"}]
        b.write()
        why = own.refusal(b)
        tap.ok("a mount of what is not there is refused", why and "/nowhere" in why, why)
        tap.equal("nothing is left of mounts", own.close(), [])


MOMENTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart",
           "poststop")


def hook(script, **more):
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **more}


def hooks(d):
    """Hooks that fail at each moment, and that hang."""
    with Own(d, "hooks") as own:
        good = own.bundle("hooks-good", "1000")
        own.create(good)
        found = {}
        for moment in MOMENTS:
            b = own.bundle("hooks-" + moment, "1000",
                           hooks={moment: [hook("echo the hook is broken >&2; exit 3")]})
            if moment == "startContainer":  # of the container's programs, with its rights
                shutil.copy(shutil.which("busybox"), os.path.join(b.root, "bin/sh"))
                b.config["process"]["user"] = {"uid": 77, "gid": 78}
                b.config["hooks"][moment] = [hook("test -e /app.wasm && test $(id -u) = 77 && "
                                                  "! umount / && echo the hook is broken >&2; exit 3",
                                                  env=["PATH=/bin"])]
                b.write()
            why = own.refusal(b)
            if why is None:
                try:
                    own.client("Start", id=b.id)
                except shim.Refused as e:
                    why = e.message
                own.remove(b)
            found[moment] = bool(why and "the hook is broken" in why)
        tap.equal("a hook that fails says so, and where it can keeps the container from running",
                  found, {m: m != "poststop" for m in MOMENTS})
        own.remove(*(good,))
        hanging = own.bundle("hanging", "1000", hooks={"createRuntime": [hook("sleep 1000")]})
        create = own.client.begin("Create", id=hanging.id, bundle=hanging.dir)
        wait_until(lambda: own.client.code("Create", id=hanging.id, bundle=hanging.dir)
                   == ALREADY_EXISTS, "it is being created")
        own.client.code("Delete", id=hanging.id)
        try:
            own.client.answer(create)
            tap.ok("a create whose hook hangs is ended by Delete", False)
        except shim.Refused as e:
            tap.ok("a create whose hook hangs is ended by Delete", "hook" in e.message, e.message)
        tap.equal("nothing is left of hooks", own.close(), [])


def hanging_hook_killed(d):
    """The shim is killed beside a hook that hangs: the command takes all away."""
    with Own(d, "hanging") as own:
        b = own.bundle("hang", "1000", hooks={"createRuntime": [
            hook("touch here; exec sleep 31415")]})
        good = own.bundle("hang-good", "1000")
        own.create(good)
        own.client("Start", id=good.id)
        own.client.begin("Create", id=b.id, bundle=b.dir)
        wait_until(lambda: os.path.exists(os.path.join(b.dir, "here")), "the hook runs")
        os.kill(own.pid, signal.SIGKILL)
        own.client.close()
        ends = [own.delete(x)[2] for x in (b, good)]
        tap.equal("delete takes away what a killed shim has left", ends, [137, 137])
        tap.equal("nothing is left of a killed shim", [*own.settled(), *own.sockets(), *(
            p for p in os.listdir("/proc") if p.isdigit() and "31415" in words(p))], [])


CALLS_TO_KILL_AT = ("mkdir,mkdirat,mount,umount2,openat,write,writev,sendmsg,clone,clone3,renameat,"
                    "renameat2,unlinkat,pidfd_send_signal,rmdir,close")
KILLS = range(1, 60) if IS_FULL else (1, 3, 8, 20)


def life(own, b, rootfs):
    """All that happens to a container. False when the shim went away in the middle."""
    c = own.client
    try:
        c("Create", id=b.id, bundle=b.dir, rootfs=rootfs)
        c("Start", id=b.id)
        c("Exec", id=b.id, exec_id="e", spec=shim.any_of(b.config["process"]))
        c("Start", id=b.id, exec_id="e")
        c("Kill", id=b.id, signal=9)
        c("Wait", id=b.id)
        c("Wait", id=b.id, exec_id="e")
        c("Delete", id=b.id, exec_id="e")
        c("Delete", id=b.id)
    except (ConnectionError, OSError):
        return False
    return True


def killed_at_each_step(d):
    """The shim is killed after its n-th call of a kind."""
    n_killed, bad = 0, []
    for kind in ("wasm", "native"):
        for n in KILLS:
            with Own(d, f"kill-{kind}-{n}") as own:
                b = own.bundle(f"kill-{kind}-{n}", *(("sleep", "1000") if kind == "native" else (
                    "1000",)), guest="busybox" if kind == "native" else "sleep")
                b.config["process"]["args"][0] = "/bin/sleep" if kind == "native" else "/app.wasm"
                b.write()
                source = os.path.join(own.dir, "source")
                os.rename(b.root, source)
                os.mkdir(b.root)
                rootfs = [{1: "bind", 2: source, 4: ["rbind", "rw"]}]
                own.start(b)
                assert life(own, b, rootfs)  # the pool has its threads now
                pid = next(int(p) for p in os.listdir("/proc") if p.isdigit() and
                           b.dir in words(p) and "start" in words(p))
                threads = [x for t in os.listdir(f"/proc/{pid}/task") for x in ("-p", t)]
                tracer = subprocess.Popen(["strace", "-o", os.path.join(own.dir, "trace"), *threads,
                    "-e", f"inject={CALLS_TO_KILL_AT}:signal=KILL:when={n}"],
                    stderr=subprocess.PIPE)
                for _ in range(len(threads) // 2):
                    tracer.stderr.readline()  # "attached"
                is_alive = life(own, b, rootfs)
                if is_alive:
                    tracer.terminate()
                try:
                    tracer.communicate(timeout=5)
                except subprocess.TimeoutExpired:
                    # It waits for a leader that cannot go before its threads, which wait for it.
                    tracer.kill()
                    tracer.communicate()
                n_killed += not is_alive
                if not is_alive:
                    own.client.close()
                    own.delete(b)
                    if left := [*own.settled(), *own.sockets()]:
                        bad.append((kind, n, left))
                    own.client = None
                    os.unlink(os.path.join(b.dir, "log"))
                    own.start(b)
                    if not life(own, b, rootfs):
                        bad.append((kind, n, "its name is not free"))
                own.close()
    tap.ok("the shim was killed", n_killed >= len(KILLS), n_killed)
    tap.equal("a shim that is killed at any step leaves nothing, and the name is free", bad, [])


# ---- Where it runs ---------------------------------------------------------------------------


def in_mount_namespace(script):
    """A command that executes the one behind it in a world of mounts that the script has changed."""
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", script + '; exec "$@"', "sh"]


def machines(d):
    """Programs that are missing or broken, a full disk, control groups that cannot be written."""
    with Own(d, "no-runc", prefix=in_mount_namespace(
            "for p in $(which -a runc crun); do mount --bind /dev/null $p || exit; done")) as own:
        native, b = own.bundle("no-runc", "sleep", "9", guest="busybox"), own.bundle("wasm", "1000")
        why = own.refusal(native)
        tap.ok("without runc a native container is refused, with what to do",
               why and "install runc" in why, why)
        own.create(b)
        tap.equal("and WebAssembly runs", own.client.code("Start", id=b.id), OK)
        own.remove(b)
        tap.equal("nothing is left without runc", own.close(), [])
    with Own(d, "no-worker", env={"WHERRY_EXEC_PATH": "/nowhere"}) as own:
        try:
            own.create(own.bundle("no-worker"))
            why = None
        except subprocess.CalledProcessError as e:
            why = e.stderr.decode()
        tap.ok("a missing wherry-worker is told at once", why and "wherry-worker" in why, why)
        tap.equal("nothing is left without a worker", own.settled(), [])
    programs = os.path.join(d.dir, "broken")
    os.mkdir(programs)
    with open(os.path.join(programs, "wherry-worker"), "w", encoding="ascii") as f:
        f.write("#!/bin/sh\nkill -9 $$\n")
    os.chmod(f.name, 0o755)
    with Own(d, "bad-worker", env={"WHERRY_EXEC_PATH": programs,
                                   "XDG_CACHE_HOME": os.path.join(d.dir, "cache")}) as own:
        why = own.refusal(own.bundle("bad-worker", "1000"))
        tap.ok("a worker that is killed while it compiles fails the create", why, why)
        native = own.bundle("beside", "sleep", "1000", guest="busybox")
        own.create(native)
        tap.equal("and native containers run", own.client.code("Start", id=native.id), OK)
        own.remove(native)
        tap.equal("nothing is left of a broken worker", own.close(), [])
    full_disk(d)
    read_only_groups(d)


def full_disk(d):
    with Own(d, "full") as own:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", own.dir], check=True)
        try:
            b, good = own.bundle("full", "1000"), own.bundle("full-good", "1000")
            own.create(good)
            filler = os.path.join(own.dir, "filler")
            subprocess.run(["dd", "if=/dev/zero", "of=" + filler, "bs=4k"],
                           stderr=subprocess.DEVNULL)
            why = own.refusal(b)
            tap.ok("on a full disk a container is refused", why and "space" in why, why)
            tap.equal("one that is there goes on", own.client.code("Start", id=good.id), OK)
            own.remove(good)
            os.unlink(filler)
            own.create(b)
            tap.equal("and with room again it is created", own.client.code("Start", id=b.id), OK)
            own.remove(b)
        finally:
            subprocess.run(["umount", "-l", own.dir], check=True)
        tap.equal("nothing is left of a full disk", own.close(), [])


def read_only_groups(d):
    with Own(d, "read-only", prefix=in_mount_namespace(
            "for m in $(awk '$5 ~ /^\\/sys\\/fs\\/cgroup/ {print $5}' /proc/self/mountinfo); "
            "do mount -o remount,bind,ro $m || exit; done")) as own:
        b = own.bundle("read-only", "1000")
        why = own.refusal(b)
        tap.ok("without a control group to write to a container is refused",
               why and "cgroup" in why.lower() and "read-only" in why.lower(), why)
        tap.equal("nothing is left of read-only groups", own.close(), [])


# ---- All at once -----------------------------------------------------------------------------


def storm(d):
    """Calls in any order from several connections: each is answered."""
    print(f"# SEED={SEED}")
    with Own(d, "storm") as own:
        bundles = [own.bundle(f"storm{i}", "1000") for i in range(3)]
        bundles.append(own.bundle("storm-native", "sleep", "1000", guest="busybox"))
        own.start(bundles[0])
        failed, lock, done = [], threading.Lock(), {}

        def calls(seed):
            r = random.Random(seed)
            c = shim.Client(own.socket)
            open_waits = []
            for _ in range(STORM_CALLS // 4):
                b = r.choice(bundles)
                exec_id = r.choice(["", "", "", "x", "y"])
                method = r.choice(["State", "Create", "Create", "Start", "Start", "Delete", "Pids",
                                   "Pause", "Resume", "Kill", "Kill", "Exec", "ResizePty", "CloseIO",
                                   "Update", "Wait", "Stats", "Connect"])
                fields = {"id": b.id}
                if method == "Create":
                    fields.update(bundle=b.dir)
                elif method == "Kill":
                    fields.update(exec_id=exec_id, signal=r.choice([9, 9, 15, 0, 99]),
                                  all=r.randrange(2))
                elif method == "Exec":
                    fields.update(exec_id=exec_id, spec=shim.any_of(shim.process(
                        r.choice(["/app.wasm", "sleep", "true"]), "1000")))
                elif method == "Update":
                    fields.update(resources=shim.any_of({"memory": {"limit": 256 << 20}}))
                elif method in ("Start", "Delete", "State", "Wait", "CloseIO", "ResizePty"):
                    fields.update(exec_id=exec_id)
                try:
                    call = c.begin(method, **fields)
                    if method == "Wait" or r.random() < 0.3:
                        open_waits.append(call)
                        if len(open_waits) > 20 and r.random() < 0.2:
                            c.close()
                            c, open_waits = shim.Client(own.socket), []
                    else:
                        c.answer(call)
                        done[method] = done.get(method, 0) + 1
                except shim.Refused:
                    pass
                except Exception as e:
                    with lock:
                        failed.append(f"{method} {fields}: {e!r}")
                    return
            c.close()

        threads = [threading.Thread(target=calls, args=(SEED + i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        print(f"# succeeded: {done}")
        tap.equal("calls in any order are all answered", failed, [])
        for b in bundles:
            # A create whose caller has gone may still be under way, which nothing but this tells.
            def is_gone(b=b):
                if own.client.code("Create", id=b.id, bundle=b.dir) != ALREADY_EXISTS:
                    return True
                own.remove(b)
                return False

            wait_until(is_gone, f"{b.id} can be created")
            own.remove(b)
        tap.equal("nothing is left of them", own.close(), [])


def main():
    daemon.peers()
    build_guests("sleep", "exitcode")
    with daemon.Containerd("1.6") as d:
        for part in (frames, order, configurations, mounts, hooks, hanging_hook_killed, killed_at_each_step, machines,
                     storm):
            tap.run(part, d)
    tap.equal("nothing is left", d.left, [])
    tap.finish()


main()
