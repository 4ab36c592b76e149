# SPDX-License-Identifier: Apache-2.0
"""`wherry agent` with folders of its own, for tests: started, killed, asked, and what it leaves."""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from worker_client import PATIENCE_S, ROOT, has_ended, wait_until

WHERRY = os.environ.get("WHERRY", os.path.join(ROOT, "build/wherry"))
TOOLBOX = os.path.join(ROOT, "build/libexec/wherry/toolbox.wasm")
PODS = "/api/v1/namespaces/default/pods"
CPU_GROUPS = "/sys/fs/cgroup"


class Unix(http.client.HTTPConnection):
    def __init__(self, path, timeout=PATIENCE_S):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def command_line(pid):
    """Its words; [] when it is gone or has ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().decode("utf-8", "replace").split("\0")[:-1]
    except OSError:
        return []


class Agent:
    """One on folders below `dir`, which go with it when the test made none. `wherry` is the
    program: another path is another installation on the same state."""

    def __init__(self, *args, dir=None, wherry=WHERRY, is_started=True, env=None):
        self.is_own = dir is None
        self.dir = dir or tempfile.mkdtemp(prefix="wherry-agent-test-")
        self.args, self.wherry_path = args, wherry
        self.state, self.run, self.logs = (os.path.join(self.dir, n)
                                           for n in ("state", "run", "logs"))
        self.socket = os.path.join(self.run, "s.sock")
        self.log_path = os.path.join(self.dir, "agent.log")
        self.env = {**os.environ, "WHERRY_STATE_DIR": self.state, "WHERRY_SOCKET": self.socket,
                    "WHERRY_AGENT_RUN_DIR": self.run, "WHERRY_AGENT_LOGS_DIR": self.logs,
                    "XDG_CONFIG_HOME": os.path.join(self.dir, "config"), **(env or {})}
        self.process = None
        if is_started:
            self.start()

    # ---- Life ----

    def start(self, prefix=()):
        """Returns when it answers."""
        os.makedirs(self.run, mode=0o700, exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*prefix, self.wherry_path, "agent", *self.args],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.env)
        self.wait_ready()

    def wait_ready(self):
        wait_until(lambda: self.answers() or self.process.poll() is not None, "the agent answers")
        if self.process.poll() is not None:
            raise RuntimeError(f"the agent ended with {self.process.returncode}: {self.log()}")

    def answers(self):
        try:
            return self.api("GET", "/healthz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """The exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process and self.process.poll() is None:
            self.kill9()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(lambda: all(map(has_ended, self.processes())), "all of it is gone")
        for path in self.mounts():
            subprocess.run(["umount", path], check=False)
        if self.is_own:
            shutil.rmtree(self.dir, ignore_errors=True)

    # ---- Asking ----

    def wherry(self, *args, status=0, **options):
        """What the command wrote to standard output."""
        done = subprocess.run([self.wherry_path, *args], env=self.env, text=True,
                              stdin=options.pop("stdin", subprocess.DEVNULL),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=options.pop("timeout", PATIENCE_S), check=False, **options)
        assert status is None or done.returncode == status, (args, done)
        return done.stdout

    def api(self, method, path, body=None, timeout=PATIENCE_S):
        """(status, what came as JSON, or as text when it is none)"""
        c = Unix(self.socket, timeout)
        try:
            c.request(method, path, json.dumps(body) if body is not None else None,
                      {"Content-Type": "application/json"} if body is not None else {})
            r = c.getresponse()
            text = r.read()
        finally:
            c.close()
        try:
            return r.status, json.loads(text)
        except ValueError:
            return r.status, text.decode("utf-8", "replace")

    def create(self, *objects):
        for o in objects:
            status, answer = self.api(
                "POST", f"/api/v1/namespaces/default/{o['kind'].lower()}s", o)
            assert status == 201, (status, answer)

    def pods(self):
        return {p["metadata"]["name"]: p for p in self.api("GET", PODS)[1]["items"]}

    def pod(self, name):
        """None when there is none."""
        status, answer = self.api("GET", f"{PODS}/{name}")
        return answer if status == 200 else None

    def delete(self, name, grace=None):
        return self.api("DELETE", f"{PODS}/{name}"
                        + ("" if grace is None else f"?gracePeriodSeconds={grace}"))[0]

    def wait_pod(self, name, phase=None):
        """Until it is ready, or in that phase."""
        def there():
            p = self.pod(name)
            return p and (p["status"]["phase"] == phase if phase else is_ready(p))

        wait_until(there, f"{name} is {phase or 'ready'}")

    def events(self, name):
        """(reason, message) of what was told of a pod"""
        items = self.api("GET", "/api/v1/namespaces/default/events")[1]["items"]
        return [(e["reason"], e["message"]) for e in items if e["involvedObject"]["name"] == name]

    # ---- What there is ----

    def workers(self):
        """Process ids, of the workers of this agent."""
        found = []
        for space in os.listdir(self.workers_dir) if os.path.isdir(self.workers_dir) else ():
            try:
                with open(os.path.join(self.workers_dir, space, "worker.json"),
                          encoding="utf-8") as f:
                    found.append(json.load(f)["pid"])
            except (OSError, ValueError, KeyError):
                pass
        return [pid for pid in found if not has_ended(pid)]

    @property
    def workers_dir(self):
        return os.path.join(self.run, "workers")

    def processes(self):
        """All that have its folders in their words, variables or open files; not this one."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if int(pid) != os.getpid() and not has_ended(pid) and self._is_of(pid):
                found.append(int(pid))
        return found

    def _is_of(self, pid):
        mark = self.dir + "/"
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if mark.encode() in f.read():
                    return True
            return any(mark in os.readlink(f"/proc/{pid}/fd/{fd}")
                       for fd in os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            return False

    def mounts(self):
        """Below its folders."""
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            return [p for p in (line.split()[4] for line in f) if p.startswith(self.dir + "/")]

    def files(self, *tops):
        """Names of files and folders below these folders of it."""
        return sorted(os.path.relpath(os.path.join(at, n), self.dir)
                      for top in tops for at, folders, files in os.walk(os.path.join(self.dir, top))
                      for n in folders + files)


def cpu_groups():
    """Names of the control groups of containers on this machine."""
    return {os.path.join(at, n) for at, folders, _ in os.walk(CPU_GROUPS)
            if os.path.basename(at) == "wherry" for n in folders}


def is_ready(p):
    """A pod."""
    return any(c["type"] == "Ready" and c["status"] == "True"
               for c in p["status"].get("conditions", []))


def settle(is_true, what):
    """Waits until it stays true for a tenth of a second."""
    since = [None]

    def is_settled():
        if not is_true():
            since[0] = None
            return False
        since[0] = since[0] or time.monotonic()
        return time.monotonic() - since[0] > 0.1

    wait_until(is_settled, what)
