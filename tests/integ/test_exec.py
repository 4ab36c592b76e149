#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""wherry exec, cp and port-forward, and Kubernetes' own Python client, against the agent's side of them. What runs in the pod is a native process (exec_peer.c)."""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from worker_client import Tap, wait_until  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BUILD = os.environ.get("WHERRY_BUILD", os.path.join(ROOT, "build/meson"))
WHERRY = os.path.abspath(os.environ.get("WHERRY", os.path.join(ROOT, "build/wherry")))
tap = Tap()


class Peer:
    def __enter__(self):
        self.process = subprocess.Popen([os.path.join(BUILD, "tests/integ/exec_peer")],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.path, port = self.process.stdout.readline().split()
        self.port = int(port)
        os.environ["WHERRY_SOCKET"] = self.path
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        tap.equal("the peer ends", self.process.wait(10), 0)

    def children(self):
        path = f"/proc/{self.process.pid}/task"
        return [c for t in os.listdir(path)
                for c in open(f"{path}/{t}/children", encoding="ascii").read().split()]


def wherry(*args, **options):
    return subprocess.run([WHERRY, *args], capture_output=True, timeout=60, **options)


def test_exec(peer):
    r = wherry("exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 42")
    tap.equal("exit status and streams", (r.returncode, r.stdout, r.stderr), (42, b"out\n", b"err\n"))
    r = wherry("exec", "-n", "default", "pod/web", "-c", "other", "--", "echo", "a b", "*&=%+")
    tap.equal("words come as they are", (r.returncode, r.stdout), (0, b"a b *&=%+\n"))
    text = os.urandom(3_000_000)
    r = wherry("exec", "-i", "web", "--", "cat", input=text)
    tap.ok("input to its end", r.returncode == 0 and r.stdout == text, r.stderr)
    with tempfile.TemporaryFile() as f:
        f.write(text)
        f.seek(0)
        r = wherry("exec", "-i", "web", "--", "cat", stdin=f)
    tap.ok("a file as input", r.returncode == 0 and r.stdout == text, r.stderr)
    r = wherry("exec", "web", "--", "cat", stdin=subprocess.PIPE)
    tap.equal("without -i there is no input", (r.returncode, r.stdout), (0, b""))
    r = wherry("exec", "web", "--", "sh", "-c", "kill -SEGV $$")
    tap.equal("a trap", (r.returncode, r.stderr), (134, b"wherry: exec: unreachable instruction\n"))
    for args, text in ((["nobody", "--", "ls"], b'pods "nobody" not found'),
                       (["web", "-c", "none", "--", "ls"], b"no container 'none'"),
                       (["web"], b"the command is missing"),
                       (["web", "--", "/no/such"], b"/no/such")):
        r = wherry("exec", *args)
        tap.ok(f"exec {' '.join(args)} fails", r.returncode == 125 and text in r.stderr, r)
    r = wherry("exec", "--socket", "/no/wherry.sock", "web", "--", "ls")
    tap.ok("without an agent it says what to type",
           r.returncode == 125 and b"wherry up -f app.yaml" in r.stderr, r)
    r = subprocess.run(f"{WHERRY} exec web -- cat /dev/zero | head -c 100000 | wc -c", shell=True,
                       capture_output=True, timeout=60, check=False)
    tap.equal("a reader that goes away ends it", (r.stdout, r.stderr), (b"100000\n", b""))
    wait_until(lambda: not peer.children(), "no guest is left")


def test_signals(peer):
    for name, feed in (("idle", b""), ("while its input waits", b"x" * 5_000_000)):
        p = subprocess.Popen([WHERRY, "exec", "-i", "web", "--", "sleep", "1000"],
                             stdin=subprocess.PIPE)
        wait_until(peer.children, "the guest runs")
        feeder = threading.Thread(target=lambda: fed(p, feed))
        feeder.start()
        time.sleep(0.2)
        p.send_signal(signal.SIGINT)
        tap.equal(f"a signal ends it, {name}", p.wait(10), -signal.SIGINT)
        feeder.join()
        wait_until(lambda: not peer.children(), "the guest is stopped")


def fed(process, text):
    try:
        process.stdin.write(text)
        process.stdin.close()
    except BrokenPipeError:
        pass


def test_copy(folder):
    def at(*names):
        return os.path.join(folder, *names)

    os.makedirs(at("here", "tree", "deep"))
    os.makedirs(at("there"))
    for name in ("tree/deep/a.txt", "tree/we.ird[1]*$&", "one.txt"):
        with open(at("here", name), "w", encoding="utf-8") as f:
            f.write(name)
    r = wherry("cp", at("here/tree"), "web:" + at("there"))
    tap.ok("a folder into a folder that is there", r.returncode == 0 and
           open(at("there/tree/deep/a.txt"), encoding="utf-8").read() == "tree/deep/a.txt", r)
    r = wherry("cp", at("here/tree"), "web:" + at("there/new&/name"))
    tap.ok("a folder that is missing is told", r.returncode == 125 and b"tar" in r.stderr, r)
    r = wherry("cp", at("here/tree/"), "web:" + at("there/re&named"))
    tap.ok("a folder under a new name",
           r.returncode == 0 and os.path.exists(at("there/re&named/we.ird[1]*$&")), r)
    r = wherry("cp", "web:" + at("there/tree/we.ird[1]*$&"), at("here/back"))
    tap.ok("a file under a new name", r.returncode == 0 and os.path.isfile(at("here/back")), r)
    r = wherry("cp", "web:" + at("there/tree"), at("here/again"))
    tap.ok("a folder back", r.returncode == 0 and os.path.isfile(at("here/again/deep/a.txt")), r)
    r = wherry("cp", "web:" + at("nothing"), at("here"))
    tap.ok("what is not there is told", r.returncode == 125 and b"nothing" in r.stderr, r)
    r = wherry("cp", at("nothing"), "web:" + at("there"))
    tap.ok("nor here", r.returncode == 125 and b"this machine's tar" in r.stderr, r)
    r = wherry("cp", "a", "b")
    tap.ok("two local paths are refused", r.returncode == 125 and b"POD:PATH" in r.stderr, r)


def test_port_forward():
    server = socket.create_server(("127.0.0.1", 0))
    remote = server.getsockname()[1]
    p = subprocess.Popen([WHERRY, "port-forward", "web", f":{remote}"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    line = p.stdout.readline()
    tap.ok("it says where it listens", line.startswith("Forwarding from 127.0.0.1:") and
           line.endswith(f"-> {remote}\n"), line)
    local = int(line.split(":")[1].split()[0])
    text = os.urandom(10_000_000)

    def echo():
        c, _ = server.accept()
        got = b""
        while piece := c.recv(65536):
            got += piece
        c.sendall(got)
        c.close()

    thread = threading.Thread(target=echo)
    thread.start()
    c = socket.create_connection(("127.0.0.1", local))
    c.sendall(text)
    c.shutdown(socket.SHUT_WR)
    got = b""
    time.sleep(0.3)  # both ends have closed, and this one has not read
    while piece := c.recv(65536):
        got += piece
    thread.join()
    tap.ok("bytes go both ways, and their ends", got == text, len(got))
    server.close()
    c = socket.create_connection(("127.0.0.1", local))
    tap.equal("a port that is shut ends the connection", c.recv(100), b"")
    tap.ok("and is told", "Connection refused" in p.stderr.readline())
    p.terminate()
    p.communicate()
    r = wherry("port-forward", "nobody", "1:1")
    tap.ok("of no pod", r.returncode == 125 and b'pods "nobody" not found' in r.stderr, r)
    r = wherry("port-forward", "web", "http")
    tap.ok("of no port", r.returncode == 125 and b"'http' is no port" in r.stderr, r)


def client_install():
    """Kubernetes' client, in a folder of its own that is kept; why it cannot be had, if so."""
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "wherry")
    folder = os.path.join(cache, "python-kubernetes-37.0.2")
    if not os.path.isdir(folder):
        os.makedirs(cache, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".python-", dir=cache) as made:
            target = os.path.join(made, "client")
            done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target",
                                   target, "kubernetes==37.0.2", "websocket-client==1.9.2"],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode:
                return done.stdout.strip().splitlines()[-1:]
            os.rename(target, folder)
    sys.path.insert(0, folder)
    return None


def test_kubernetes_client(peer):
    why = client_install()
    if why:
        tap.skip("the Python client of Kubernetes", f"it cannot be installed: {why}")
        return
    from kubernetes import client, stream
    configuration = client.Configuration(host=f"http://127.0.0.1:{peer.port}")
    api = client.CoreV1Api(client.ApiClient(configuration))

    def connect(*command, stdin=False, tty=False):
        return stream.stream(api.connect_get_namespaced_pod_exec, "web", "default",
                             command=list(command), stdin=stdin, stdout=True, stderr=True,
                             tty=tty, _preload_content=False)

    s = connect("sh", "-c", "read x; echo got $x; echo err >&2; exit 7", stdin=True)
    s.write_stdin("line\n")
    s.run_forever(timeout=10)
    tap.equal("the Python client of Kubernetes",
              (s.read_stdout(), s.read_stderr(), s.returncode), ("got line\n", "err\n", 7))
    s = connect("true")
    s.run_forever(timeout=10)
    tap.equal("and a success", s.returncode, 0)
    s = connect("sh", "-c", "echo out; echo err >&2; read x; stty size; cat", stdin=True, tty=True)
    s.write_channel(4, json.dumps({"Width": 101, "Height": 41}))
    s.write_stdin("line\n")
    s.write_stdin("\x04")
    s.run_forever(timeout=10)
    tap.equal("a terminal", (sorted(s.read_stdout().split()), s.read_stderr(), s.returncode),
              (["101", "41", "err", "line", "out"], "", 0))
    s = connect("sleep", "1000", stdin=True, tty=True)
    s.write_stdin("\x03")
    s.run_forever(timeout=10)
    tap.equal("and its interrupt", s.returncode, 130)
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    forward = stream.portforward(api.connect_get_namespaced_pod_portforward, "web", "default",
                                 ports=str(port))
    c = forward.socket(port)
    c.sendall(b"ping")
    accepted, _ = server.accept()
    got = accepted.recv(4)
    accepted.sendall(b"pong")
    accepted.close()
    tap.equal("its port-forward", (got, c.recv(4), forward.error(port)), (b"ping", b"pong", None))


with Peer() as peer, tempfile.TemporaryDirectory() as work:
    test_exec(peer)
    test_signals(peer)
    test_copy(work)
    test_port_forward()
    test_kubernetes_client(peer)
tap.finish()
