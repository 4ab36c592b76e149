# SPDX-License-Identifier: Apache-2.0
"""A containerd of a test's own: its folders, sockets, network and settings are nobody else's, and
what it leaves behind is found. Also what speaks to it: ctr, and a CRI client (cri/)."""
import ctypes
import errno
import fcntl
import glob
import hashlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import images
from worker_client import PATIENCE_S, ROOT, children, has_ended, wait_until

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "wherry")
# Where containerd, ctr and containerd-shim-runc-v2 of a version are. 1.6 is Debian's.
PROGRAMS = {"1.6": "/usr/bin", **{v: os.path.join(CACHE, "tools/containerd-" + full) for v, full in
                                  (("1.7", "1.7.35"), ("2.0", "2.0.14"), ("2.2", "2.2.9"), ("2.4", "2.4.2"))}}
VERSIONS = ("1.6", "2.4")
BETWEEN = ("1.7", "2.0", "2.2")  # built by who asks for them in peers()
CRI = os.path.join(images.OUT, "cri")
# Where containerd-shim-wherry-v1 is: one that is instrumented may be tried in the place of the usual.
SHIMS = os.environ.get("WHERRY_SHIMS") or os.path.join(ROOT, "build")
CNI = "/usr/lib/cni"
SHIM_SOCKETS = "/run/containerd/s"
WHERRY, RUNC = "io.containerd.wherry.v1", "io.containerd.runc.v2"
KUBERNETES = "k8s.io"  # CRI's namespace
PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 30  # a shim gives its last events ten seconds; never waited for when all is well


def wanted_versions():
    """Those of a test that is run under each: that of the environment's VERSION, or VERSIONS, with
    FULL=1 also those BETWEEN."""
    if "VERSION" in os.environ:
        return (os.environ["VERSION"],)
    return tuple(sorted(VERSIONS + BETWEEN)) if os.environ.get("FULL") == "1" else VERSIONS


def peers(versions=VERSIONS):
    """Builds what is missing. Without it, or when this is not root, the test does not go on."""
    if os.geteuid() != 0:
        print("ok 1 - all of it # SKIP containerd needs root")
        sys.exit(0)
    os.makedirs(images.OUT, exist_ok=True)
    with open(os.path.join(images.OUT, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["make", "-s", "-C", os.path.join(ROOT, "tests/containerd"),
                               "OUT=" + images.OUT, "peers",
                               *(PROGRAMS[v] + "/containerd" for v in versions if v != "1.6")],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.stderr.write(done.stdout.decode("utf-8", "replace"))
        print("not ok 1 - the peers of the shim build")
        sys.exit(1)
    # Whatever loses its parent comes to this process, so that nothing escapes leftovers().
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Failed(Exception):
    """What a program said, and its status."""

    def __init__(self, argv, status, said):
        super().__init__(f"{' '.join(argv)}: status {status}: {said}")
        self.status, self.said = status, said


def finished(process, data=None):
    """(status, stdout, stderr) of a process that is given data; killed when it takes too long."""
    try:
        out, err = process.communicate(data, PATIENCE_S)
    except BaseException:
        process.kill()
        raise
    return process.returncode, out, err


# ---- The network -----------------------------------------------------------------------------


class Network:
    """A bridge and a subnet for the pods of a daemon, which no other test on this machine has."""

    def __init__(self, folder):
        for number in range(256):
            # A file of its own that stays: whoever removed it would take the lock from the next.
            self.lock = open(f"/run/lock/wherry-test-network-{number}", "w", encoding="ascii")
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                self.lock.close()
        else:
            raise RuntimeError("no network is free")
        self.number = number
        self.bridge = f"wherrytest{number}"
        self.subnet = f"198.18.{number}.0/24"  # RFC 2544: for tests, routed by nobody
        self.gateway = f"198.18.{number}.1"
        self.leases = os.path.join(folder, "leases")
        self.remove()  # of a test that was killed
        self.conf_dir = os.path.join(folder, "net.d")
        os.mkdir(self.conf_dir)
        with open(os.path.join(self.conf_dir, "10-test.conflist"), "w", encoding="ascii") as f:
            json.dump({"cniVersion": "0.4.0", "name": self.bridge, "plugins": [
                {"type": "bridge", "bridge": self.bridge, "isGateway": True,
                 "ipam": {"type": "host-local", "dataDir": self.leases,
                          "ranges": [[{"subnet": self.subnet}]],
                          "routes": [{"dst": "0.0.0.0/0"}]}},
                {"type": "portmap", "capabilities": {"portMappings": True}}]}, f)
        with open(os.path.join(self.conf_dir, "99-loopback.conf"), "w", encoding="ascii") as f:
            json.dump({"cniVersion": "0.4.0", "name": "lo", "type": "loopback"}, f)

    def left(self):
        """What is still attached to it, or noted of it."""
        found = []
        try:
            found += [f"link {n}" for n in os.listdir(f"/sys/class/net/{self.bridge}/brif")]
            found += [f"address {n}" for n in os.listdir(os.path.join(self.leases, self.bridge))
                      if re.fullmatch(r"[\d.]+", n)]
        except FileNotFoundError:
            pass  # nothing has used it
        return found + [f"record {r}" for r in self._records()]

    def _records(self):
        return glob.glob(f"/var/lib/cni/*/{self.bridge}-*")

    def remove(self):
        if os.path.exists(f"/sys/class/net/{self.bridge}"):
            subprocess.run(["ip", "link", "delete", self.bridge], check=True)
        for path in self._records():
            os.unlink(path)

    def close(self):
        self.remove()
        self.lock.close()


# ---- Settings --------------------------------------------------------------------------------


def toml(tables):
    """{"a.b": {key: value}} as text; a list is the words of a table's name."""
    lines = []
    for name, values in tables:
        if name:
            lines.append("[" + ".".join(json.dumps(n) for n in name) + "]")
        lines += [f"{k} = {json.dumps(v)}" for k, v in values.items()]
    return "\n".join(lines) + "\n"


def settings(version, folder, network, runtimes, snapshotter, level, more):
    """The text of config.toml. runtimes: {handler: {key: value}}; more: [(table, {key: value})],
    which go before what is here."""
    cni = {"conf_dir": network.conf_dir, "max_conf_num": 0,
           **({"bin_dir": CNI} if version in ("1.6", "1.7", "2.0") else {"bin_dirs": [CNI]})}
    streaming = {"stream_server_address": "127.0.0.1", "stream_server_port": "0"}
    # Test machines may lack CAP_SYS_RESOURCE, without which a pause container's -998 is refused.
    namespaces = {"netns_mounts_under_state_dir": True, "disable_apparmor": True,
                  "restrict_oom_score_adj": True}
    is_version_1 = version.startswith("1.")
    tables = [
        ([], {"version": 2 if is_version_1 else 3, "root": os.path.join(folder, "root"),
              "state": os.path.join(folder, "state"),
              "disabled_plugins": ["io.containerd.snapshotter.v1." + n
                                   for n in ("aufs", "btrfs", "devmapper", "zfs", "blockfile")]}),
        (["grpc"], {"address": os.path.join(folder, "containerd.sock")}),
        (["debug"], {"level": level}),
        (["plugins", "io.containerd.internal.v1.opt"], {"path": os.path.join(folder, "opt")})]
    if is_version_1:
        cri = ["plugins", "io.containerd.grpc.v1.cri"]
        tables += [(cri, {"sandbox_image": images.pause().name, **streaming, **namespaces}),
                   ([*cri, "cni"], cni),
                   ([*cri, "containerd"], {"default_runtime_name": "runc",
                                           "snapshotter": snapshotter})]
    else:
        cri = ["plugins", "io.containerd.cri.v1.runtime"]
        # Otherwise images for wasi/wasm are pulled, but unpacked only those for this machine.
        tables += [(["plugins", "io.containerd.cri.v1.images"],
                    {"snapshotter": snapshotter, "use_local_image_pull": True}),
                   (["plugins", "io.containerd.cri.v1.images", "pinned_images"],
                    {"sandbox": images.pause().name}),
                   (["plugins", "io.containerd.grpc.v1.cri"], streaming),
                   (cri, namespaces),
                   ([*cri, "cni"], cni),
                   ([*cri, "containerd"], {"default_runtime_name": "runc"})]
    for handler, values in runtimes.items():
        options = values.pop("options", None)
        tables.append(([*cri, "containerd", "runtimes", handler], values))
        if options:
            tables.append(([*cri, "containerd", "runtimes", handler, "options"], options))
    for name, values in more:
        found = next((t for n, t in tables if n == name), None)
        if found is None:
            tables.append((name, values))
        else:
            found.update(values)
    return toml(tables)


# ---- CRI -------------------------------------------------------------------------------------


class CriError(Exception):
    """`code` is gRPC's word for it, as "NotFound"."""

    def __init__(self, method, error):
        super().__init__(f"{method}: {error['code']}: {error['message']}")
        self.code, self.message = error["code"], error["message"]


class Cri:
    """Calls by their names in CRI: cri("Version"), cri("StopContainer", container_id=...,
    timeout=1). From any thread, several at a time."""

    def __init__(self, socket_path):
        self.socket_path = socket_path
        self._lock = threading.Condition()
        self._answers, self._last, self._is_reading = {}, 0, False
        self.connect()

    def connect(self):
        """Returns when the server is ready and has its network."""
        self.process = subprocess.Popen([CRI, self.socket_path, "serve"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        wait_until(self._is_ready, "CRI is ready")

    def _is_ready(self):
        try:
            conditions = self("Status")["status"]["conditions"]
        except CriError as e:
            # Until it has recovered what ran before.
            if e.code not in ("Unavailable", "Unknown"):
                raise
            return False
        return all(c["status"] for c in conditions if c["type"].endswith("Ready"))

    def __call__(self, method, **request):
        with self._lock:
            self._last += 1
            number = self._last
            self.process.stdin.write(json.dumps(
                {"id": number, "method": method, "request": request}).encode() + b"\n")
            self.process.stdin.flush()
        answer = self._await(number)
        if "error" in answer:
            raise CriError(method, answer["error"])
        return answer["response"]

    def _await(self, number):
        """One of those that wait reads for all."""
        while True:
            with self._lock:
                self._lock.wait_for(lambda: number in self._answers or not self._is_reading)
                if number in self._answers:
                    return self._answers.pop(number)
                self._is_reading = True
            try:
                line = self.process.stdout.readline()
            finally:
                with self._lock:
                    self._is_reading = False
                    self._lock.notify_all()
            if not line:
                raise RuntimeError("the CRI client has ended")
            with self._lock:
                answer = json.loads(line)
                self._answers[answer["id"]] = answer
                self._lock.notify_all()

    def stream(self, command, *args, sizes_fd=None, **options):
        """A process of `cri exec`, `attach` or `port-forward` with a request; options are Popen's.
        The terminal's sizes are read from sizes_fd as lines "WIDTH HEIGHT"."""
        argv = [CRI, self.socket_path, command,
                *[json.dumps(a) if isinstance(a, dict) else str(a) for a in args]]
        if sizes_fd is not None:
            argv.append(str(sizes_fd))
            options["pass_fds"] = (sizes_fd,)
        return subprocess.Popen(argv, **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                                         "stderr": subprocess.PIPE, **options})

    def exec(self, container, *argv, data=None, tty=False):
        """(status, stdout, stderr) of a command by streams, as kubectl exec has it."""
        with self.stream("exec", {"container_id": container, "cmd": list(argv), "tty": tty,
                                  "stdin": data is not None, "stdout": True, "stderr": not tty},
                         stdin=subprocess.DEVNULL if data is None else subprocess.PIPE) as process:
            return finished(process, data)

    # What a kubelet does for a pod, in few words.

    def run_pod(self, name, handler="", **config):
        """The id of a new sandbox; what is not in the config is the smallest that works. Logs of
        its containers go to the folder `log_directory`."""
        config = {"metadata": {"name": name, "namespace": "test", "uid": "uid-" + name},
                  "linux": {}, **config}
        answer = self("RunPodSandbox", config=config, runtime_handler=handler)
        return Pod(self, answer["pod_sandbox_id"], config)

    def state(self, container):
        """The status of a container, a dict."""
        return self("ContainerStatus", container_id=container)["status"]

    def wait_exit(self, container):
        """The status of the container once it has ended."""
        found = {}

        def has_exited():
            found.update(self.state(container))
            return found["state"] == "CONTAINER_EXITED"

        wait_until(has_exited, f"container {container} ends")
        return found

    def close(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()


class Pod:
    def __init__(self, cri, id, config):
        self.cri, self.id, self.config = cri, id, config

    def create(self, name, image, *args, **config):
        """The id of a new container with these arguments, which has not been started."""
        answer = self.cri("CreateContainer", pod_sandbox_id=self.id, sandbox_config=self.config,
                          config={"metadata": {"name": name}, "image": {"image": image},
                                  "args": list(args), "linux": {}, "log_path": name + ".log",
                                  **config})
        return answer["container_id"]

    def start(self, *args, **config):
        container = self.create(*args, **config)
        self.cri("StartContainer", container_id=container)
        return container

    def log(self, name):
        """[(stream, text)] of the lines of a container's log."""
        path = os.path.join(self.config["log_directory"], name + ".log")
        with open(path, encoding="utf-8") as f:
            return [tuple(line.rstrip("\n").split(" ", 3)[i] for i in (1, 3)) for line in f]

    def wait_log(self, name, text):
        """Until a line of the container's log is this."""
        wait_until(lambda: any(line == text for _, line in self.log(name)),
                   f"the log of {name} has '{text}'")

    def status(self):
        return self.cri("PodSandboxStatus", pod_sandbox_id=self.id)["status"]

    def remove(self):
        try:
            self.cri("StopPodSandbox", pod_sandbox_id=self.id)
        except CriError as e:
            # On a busy machine containerd's own: when the end that follows a Kill was handled, and
            # the connection closed, before the Kill's caller has looked at its answer, ttrpc's
            # dispatch() takes one of both at random. A kubelet asks again.
            if "ttrpc: closed" not in e.message:
                raise
            self.cri("StopPodSandbox", pod_sandbox_id=self.id)
        self.cri("RemovePodSandbox", pod_sandbox_id=self.id)


# ---- The daemon ------------------------------------------------------------------------------


class Containerd:
    """`with Containerd("1.6") as daemon:`; afterwards `daemon.left` has what leftovers() found when
    the block was through, which is told unless is_quiet. `shims` is put before PATH, `runtimes`
    added to runc and wherry, `level` is what it logs, `more` settings, as settings() has them."""

    def __init__(self, version, shims=SHIMS, runtimes=None, snapshotter="overlayfs", env=None,
                 is_quiet=False, level="debug", more=()):
        self.version, self.snapshotter = version, snapshotter
        self.programs = PROGRAMS[version]
        # Not /tmp, which may be in memory: overlayfs keeps more on a file system of a disk.
        self.dir = tempfile.mkdtemp(prefix=f"containerd-{version}-", dir="/var/tmp")
        self.socket_path = os.path.join(self.dir, "containerd.sock")
        self.log_path = os.path.join(self.dir, "log")
        self.path = os.pathsep.join([shims, self.programs, "/usr/sbin:/usr/bin:/sbin:/bin"])
        self.env = {**os.environ, "PATH": self.path,
                    "CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS": "1", **(env or {})}
        self.is_quiet, self.left = is_quiet, None
        self._cri = self.events = self.process = None
        self.sockets = self._sockets()
        self.network = Network(self.dir)
        # ctr's default; runc's state and control groups are named after namespace and container
        # alone, whichever daemon they belong to.
        self.namespace = f"wherry-test-{self.network.number}"
        # The process has a name that is no other's.
        self.program = os.path.join(self.dir, f"containerd-{self.network.number}")
        os.symlink(os.path.join(self.programs, "containerd"), self.program)
        self.env["CONTAINERD_NAMESPACE"] = self.namespace
        self._groups_clear()  # of a test that was killed, as is what runc notes
        shutil.rmtree(os.path.join("/run/containerd/runc", self.namespace), ignore_errors=True)
        try:
            with open(os.path.join(self.dir, "config.toml"), "w", encoding="ascii") as f:
                f.write(settings(version, self.dir, self.network, {
                    "runc": {"runtime_type": RUNC},
                    "wherry": {"runtime_type": WHERRY, "pod_annotations": ["*", "wherry.dev/*"],
                               "container_annotations": ["*"]},
                    **(runtimes or {})}, snapshotter, level, more))
            self._start()
            self.events = Events(self)
        except BaseException:
            self._stop()
            raise

    def _start(self):
        """Returns when it serves: it says so as systemd has it, by NOTIFY_SOCKET."""
        path = os.path.join(self.dir, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, \
                open(self.log_path, "ab") as log:
            notify.bind(path)
            self.process = subprocess.Popen(
                [self.program, "--config", os.path.join(self.dir, "config.toml")], cwd=self.dir,
                env={**self.env, "NOTIFY_SOCKET": path}, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)
            with open(os.pidfd_open(self.process.pid), "rb") as ended:
                while True:
                    ready = select.select([notify, ended], [], [], PATIENCE_S)[0]
                    if notify not in ready:
                        raise RuntimeError(f"containerd {self.version} does not start: "
                                           + self.log()[-4000:])
                    if b"READY=1" in notify.recv(4096):
                        break
        os.unlink(path)

    def restart(self, number=signal.SIGTERM):
        """Ends the daemon alone, as an upgrade does, and starts it again: its containers stay."""
        self._end(number)
        self.start_again()

    def start_again(self):
        """After somebody has ended it."""
        self._start()
        self.events.listen()
        if self._cri:
            self._cri.close()
            self._cri.connect()

    def _end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log(self):
        with open(self.log_path, "rb") as f:
            return f.read().decode("utf-8", "replace")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if exception[0]:
            sys.stderr.write(f"the log of containerd {self.version}:\n" + self.log()[-8000:])
        end = time.monotonic() + GRACE_S
        self.left = self.leftovers()
        # A shim that has been told to end may still be at it.
        while self.left and not self.is_quiet and time.monotonic() < end:
            time.sleep(0.02)
            self.left = self.leftovers()
        if self.left and not self.is_quiet:
            sys.stderr.write(f"left: {self.left}\n" + self.log()[-8000:])
        self._stop()

    def _stop(self):
        """Ends and removes everything, also what a test that failed has left."""
        if self._cri:
            self._cri.close()
        if self.events:
            self.events.close()
        if self.process and self.process.poll() is None:
            self._end()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(lambda: not self.processes(), "what the daemon has left ends")
        for point in reversed(self._mounts()):
            subprocess.run(["umount", "-l", point])
        # The last process of a group may still be on its way out.
        for group in reversed(self._groups()):
            wait_until(lambda group=group: _is_removed(group), f"{group} is removed")
        self._groups_clear()
        for path in self._records():
            shutil.rmtree(path, ignore_errors=True)
        for path in self._own_sockets():
            os.unlink(path)
        self.network.close()
        shutil.rmtree(self.dir)

    # -- What speaks to it

    def ctr(self, *argv, namespace=None, is_checked=True):
        """(status, stdout, stderr); Failed when the status is not 0 and is_checked."""
        with self.ctr_process(*argv, namespace=namespace, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            status, *said = finished(process)
        out, err = (b.decode("utf-8", "replace") for b in said)
        if status and is_checked:
            raise Failed(["ctr", *argv], status, err.strip() or out.strip())
        return status, out, err

    def ctr_echo(self, line, *argv):
        """(status, stdout) of a `ctr run` or `exec` that gives the line back and ends when there is
        no more. ctr passes on the end of its input only when that comes after the task's start."""
        with self.ctr_process(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                process.stdin.write(line)
                process.stdin.flush()
                if not select.select([process.stdout], [], [], PATIENCE_S)[0]:
                    raise TimeoutError(f"ctr {' '.join(argv)} does not give its input back")
                first = process.stdout.readline()
                status, rest, _ = finished(process)
            except BaseException:
                process.kill()
                raise
        return status, first + rest

    def ctr_process(self, *argv, namespace=None, **options):
        return subprocess.Popen([os.path.join(self.programs, "ctr"), "-a", self.socket_path, "-n",
                                 namespace or self.namespace, *argv], env=self.env, **options)

    def load(self, *wanted, namespace=None):
        """Imports images; their names."""
        # The service that newer ones have for it unpacks for this machine's platform only.
        local = [] if self.version == "1.6" else ["--local"]
        for image in wanted:
            how = [*local, "--platform", image.platform] if image.platform else [
                "--all-platforms", "--no-unpack"]
            self.ctr("images", "import", *how, image.archive, namespace=namespace)
        return [image.name for image in wanted]

    def load_cri(self, *wanted):
        """The same for CRI, which learns of it by an event; with the pause image."""
        names = self.load(images.pause(), *wanted, namespace=KUBERNETES)
        wait_until(lambda: all(self.cri("ImageStatus", image={"image": n})["image"] for n in names),
                   f"CRI knows {names}")
        return names[1:]

    @property
    def cri(self):
        if not self._cri:
            self._cri = Cri(self.socket_path)
        return self._cri

    def shim_pids(self):
        """Of the shims that run."""
        return [p for p in self.processes()
                if os.path.basename(_words(p).split(" ")[0]).startswith("containerd-shim-")]

    # -- What is there, and what is left

    def processes(self, another=None):
        """The pids of those below this one that are not this test's own, but those of the daemon's shims
        and their containers. Of the ended ones that nobody else will wait for, this does."""
        own = {os.getpid(), self.process.pid if self.process else 0}
        own |= {p.process.pid for p in (self._cri, self.events) if p} | {another}
        found, pending = [], [os.getpid()]
        while pending:
            for pid in _children(pending.pop()):
                if pid in own:
                    continue
                if has_ended(pid):
                    _reap(pid)
                elif self._is_ours(pid) or _parent(pid) in found:
                    found.append(pid)
                    pending.append(pid)
        return found

    def _is_ours(self, pid):
        """A shim, or what has lost it: the children of the test itself run nothing that is not of
        its folder, its PATH or a container."""
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                environment = f.read()
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read()
            with open(f"/proc/{pid}/cgroup", encoding="ascii") as f:
                groups = f.read()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return False
        folder = self.dir.encode()
        return folder in environment or folder in words or any(
            f"/{n}/{i}" in groups for n, i in self._ids())

    def _ids(self):
        """(namespace, id) of the containers and sandboxes that there have been."""
        return self.events.ids() if self.events else set()

    def _named(self, root):
        """Folders below root that are named after one of them, parents first. CRI's names are
        nobody else's, ctr's only within their namespace."""
        ids = {(n if n != KUBERNETES else "", i) for n, i in self._ids()}
        found = []
        for path, _, _ in os.walk(root):
            parent, name = os.path.split(path)
            if ("", name) in ids or (os.path.basename(parent), name) in ids:
                found.append(path)
        return found

    def _mounts(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            points = [line.split()[4] for line in f]
        return [p for p in points if p.startswith(self.dir + "/")]

    def _groups(self):
        return self._named("/sys/fs/cgroup")

    def _groups_clear(self):
        """The control groups of the namespace, which has no containers any more."""
        for top in glob.glob(f"/sys/fs/cgroup/*/{self.namespace}"):
            for group, _, _ in os.walk(top, topdown=False):
                state = os.path.join(group, "freezer.state")
                if os.path.exists(state):  # who is frozen does not even die
                    with open(state, "w", encoding="ascii") as f:
                        f.write("THAWED")
                with open(os.path.join(group, "cgroup.procs"), encoding="ascii") as f:
                    for pid in f.read().split():
                        os.kill(int(pid), signal.SIGKILL)
                wait_until(lambda group=group: _is_removed(group), f"{group} is removed")

    def _records(self):
        """What runc and others note of what runs."""
        return self._named("/run")

    def _sockets(self):
        try:
            return set(os.listdir(SHIM_SOCKETS))
        except FileNotFoundError:
            return set()

    def _own_sockets(self):
        """Shims name theirs after the hash of daemon, namespace and container. Others' daemons may
        run beside this one."""
        names = {hashlib.sha256(f"{self.socket_path}/{n}/{i}".encode()).hexdigest()
                 for n, i in self._ids()}
        return [os.path.join(SHIM_SOCKETS, n) for n in self._sockets() - self.sockets if n in names]

    def leftovers(self):
        """What containers have left that a test has removed: [] when all is well."""
        return [*(f"process {p} {_words(p)}" for p in self.processes()),
                *(f"mount {m}" for m in self._mounts()),
                *(f"cgroup {g}" for g in self._groups()),
                *(f"record {r}" for r in self._records()),
                *(f"socket {s}" for s in self._own_sockets()),
                *self.network.left(), *(f"bundle {b}" for b in self._bundles())]

    def _bundles(self):
        root = os.path.join(self.dir, "state/io.containerd.runtime.v2.task")
        try:
            return [os.path.join(n, i) for n in os.listdir(root)
                    for i in os.listdir(os.path.join(root, n))]
        except FileNotFoundError:
            return []


class Events:
    """What a daemon tells of everything in it, from its start on, by `ctr events`."""

    _LINE = re.compile(r"^\S+ \S+ \S+ \S+ (\S+) (\S+) (.*)$")

    def __init__(self, daemon):
        self._daemon, self._probes = daemon, 0
        self._all, self._lock = [], threading.Condition()
        self.process = self._reader = None
        self.listen()

    def listen(self):
        """Also again, to a daemon that was started again."""
        if self.process:
            self.close()
        self.process = self._daemon.ctr_process("events", stdout=subprocess.PIPE,
                                                stderr=subprocess.DEVNULL)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        # It does not tell from when on it listens.
        while True:
            self._probes += 1
            labels = {"probe": str(self._probes)}
            self._daemon.ctr("namespaces", "label", "probe", f"probe={self._probes}")
            if self.wait(lambda e, labels=labels: e[2].get("labels") == labels, timeout_s=0.1):
                break

    def _read(self):
        for line in self.process.stdout:
            match = self._LINE.match(line.decode("utf-8", "replace").rstrip("\n"))
            if match:
                namespace, topic, body = match.groups()
                with self._lock:
                    self._all.append((namespace, topic, json.loads(body)))
                    self._lock.notify_all()

    def wait(self, condition, timeout_s=PATIENCE_S):
        """The first event (namespace, topic, body) that fits; None when there is none in time."""
        with self._lock:
            self._lock.wait_for(lambda: any(condition(e) for e in self._all), timeout_s)
            return next((e for e in self._all if condition(e)), None)

    def of(self, container, until=None):
        """[(topic, body)] of a container's task so far; with a topic, until it has come."""
        if until:
            self.wait(lambda e: e[1] == until and e[2].get("container_id") == container)
        with self._lock:
            return [(topic, body) for _, topic, body in self._all
                    if topic.startswith("/tasks/") and body.get("container_id") == container]

    def ids(self):
        with self._lock:
            return {(namespace, body["id"]) for namespace, topic, body in self._all
                    if topic == "/containers/create"}

    def close(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()


def _is_removed(group):
    try:
        os.rmdir(group)
    except OSError as e:
        return e.errno != errno.EBUSY
    return True


def _children(pid):
    try:
        return children(pid)
    except (FileNotFoundError, ProcessLookupError):
        return []


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return int(f.read().rsplit(")", 1)[1].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _reap(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass  # somebody else's


def _words(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
