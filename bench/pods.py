# SPDX-License-Identifier: Apache-2.0
"""The parts of bench/run that measure pods: an agent of its own with folders of its own, asked over
its socket as `wherry apply` does.

Requests go over connections that stay open, and are made up before the clock runs. The namespace
has had a guest already, so worker, machine code and engine are there, as they are on a machine that
runs pods. The disk is everybody's, so times are taken with the folders in memory too, and CPU time,
which the kernel accounts, is told beside wall time."""
import contextlib
import errno
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import measuring
from measuring import BUILD, WHERRY, CannotMeasure, command, quartiles, row
from processes import cpu_s, private_kb, switches, tasks
from serving import SETTLE_S, guest as component

PATIENCE_S = 60
IDLE_S = 10
CLIENTS = 4  # connections that apply at a time
FIRST_PORT = 20000
SPACE = "/api/v1/namespaces/bench/pods"


class Connection:
    """To the agent's socket, in as few steps as possible: what this takes is measured too."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(str(path))
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, request):
        """The status and body of the answer to what request() made."""
        self.socket.sendall(request)
        while b"\r\n\r\n" not in self.received:
            self._more()
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
        while len(self.received) < length:
            self._more()
        body, self.received = self.received[:length], self.received[length:]
        return int(head.split()[1]), body

    def _more(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise CannotMeasure("the agent closed the connection")
        self.received += data


def request(method, path, body=b""):
    return (f"{method} {path} HTTP/1.1\r\nHost: agent\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/apply-patch+yaml\r\n\r\n").encode() + body


def pod(name, wasm, port=None, restart="Always", stdin=False):
    container = {"name": "app", "image": str(wasm), "stdin": stdin}
    if port:
        container["ports"] = [{"containerPort": port}]
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"restartPolicy": restart, "containers": [container]}}
    return request("PATCH", f"{SPACE}/{name}", json.dumps(body).encode())


class Agent:
    """An agent and its workers, until the end of its `with`."""

    def __init__(self, parent=None):
        self.parent = parent

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="wherry-bench-", dir=self.parent))
        self.logs, self.socket = self.dir / "logs", self.dir / "run/s.sock"
        with open(self.dir / "agent.log", "w") as log:
            self.process = subprocess.Popen(
                [WHERRY, "agent", "--state-dir", self.dir / "state", "--run-dir", self.dir / "run",
                 "--logs-dir", self.logs, "--socket", self.socket],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = self.process.pid
        wait(self._answers, "the agent answers")
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise CannotMeasure((self.dir / "agent.log").read_text()[-500:])
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return self.connect()
        return None

    def __exit__(self, *_):
        workers = self.workers()
        self.process.kill()
        self.process.wait()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        shutil.rmtree(self.dir, ignore_errors=True)

    def connect(self):
        return Connection(self.socket)

    def workers(self):
        records = self.dir.glob("run/workers/*/worker.json")
        return [json.loads(f.read_text())["pid"] for f in records]

    def worker(self):
        pid, = wait(self.workers, "there is a worker")
        return pid

    def log(self, uid, name):
        """What the first run of the pod has written, once it has."""
        path = self.logs / f"bench_{name}_{uid}/app/0.log"
        text = wait(lambda: path.exists() and path.read_text(), f"{name} writes")
        return text.split(" ", 3)[3]

    def pss_kb(self):
        return private_kb(self.pid)[2]


def wait(is_so, what):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        value = is_so()
        if value:
            return value
        time.sleep(0.001)
    raise CannotMeasure(f"{what}: not within {PATIENCE_S} s")


def apply(connection, made):
    status, body = connection.ask(made)
    if status not in (200, 201):
        raise CannotMeasure(f"apply: {status} {body.decode()[:300]}")
    return json.loads(body)["metadata"]["uid"]


def neighbour(agent, connection):
    """A pod that stays, so that the worker does."""
    uid = apply(connection, pod("stays", measuring.guest("idle"), stdin=True))
    agent.log(uid, "stays")


# ---- From apply to the first instruction -------------------------------------------------------


def measure_first(folder, rounds):
    """Sorted times in us: to the first instruction, to the answer, and of the disk alone."""
    wasm = measuring.guest("first")
    begun, answered = [], []
    with Agent(folder) as agent, agent.connect() as connection:
        neighbour(agent, connection)
        for i in range(rounds + 5):
            name = f"first-{i}"
            made = pod(name, wasm, restart="Never")
            before = time.time_ns()
            uid = apply(connection, made)
            middle = time.time_ns()
            began = int(agent.log(uid, name))
            if i >= 5:  # the first one compiles
                begun.append((began - before) / 1e3)
                answered.append((middle - before) / 1e3)
            connection.ask(request("DELETE", f"{SPACE}/{name}?gracePeriodSeconds=0"))
            wait(lambda: connection.ask(request("GET", f"{SPACE}/{name}"))[0] == 404, "it is gone")
        return sorted(begun), sorted(answered), sorted(measure_sync(agent.dir))


def bench_first(quick):
    """The clock runs from before the request is sent until the guest has looked at its own."""
    rounds = 30 if quick else 200
    print(f"\nApply until the guest's first instruction, {rounds} pods one after another")
    row("", "p99 ms", "p50, p90, max", "", "target")
    for where, folder in (("disk", None), ("memory", "/dev/shm")):
        begun, answered, disk = measure_first(folder, rounds)
        for what, taken, target in ((f"folders on {where}: to first instruction", begun, 5e3),
                                    ("  until apply is answered", answered, None),
                                    ("  4 KiB, write and fdatasync", disk, None)):
            p50, p90, p99 = (taken[len(taken) * p // 100] for p in (50, 90, 99))
            spread = ", ".join(f"{v / 1e3:.2f}" for v in (p50, p90, taken[-1]))
            row(what, f"{p99 / 1e3:.3f}", spread, "", "<= 5 ms" if target else "",
                p99 <= target if target else None)


def measure_sync(folder):
    """What the disk itself takes, us."""
    taken = []
    with open(folder / "sync", "wb", buffering=0) as f:
        for _ in range(200):
            before = time.perf_counter_ns()
            f.write(b"x" * 4096)
            os.fdatasync(f.fileno())
            taken.append((time.perf_counter_ns() - before) / 1e3)
    return taken


# ---- A thousand pods ---------------------------------------------------------------------------


def apply_all(agent, requests):
    """Over some connections at a time; every one of them is on the disk after it."""
    failures = []

    def some(n):
        try:
            with agent.connect() as connection:
                for made in requests[n::CLIENTS]:
                    apply(connection, made)
        except (CannotMeasure, OSError) as e:
            failures.append(e)

    threads = [threading.Thread(target=some, args=(n,)) for n in range(CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]


def is_answered(port):
    """Whether a GET is answered; False while nobody listens."""
    with socket.socket() as s:
        s.settimeout(PATIENCE_S)
        error = s.connect_ex(("127.0.0.1", port))
        if error == errno.ECONNREFUSED:
            return False
        s.sendall(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        if not s.recv(4096).startswith(b"HTTP/1.1 200"):
            raise CannotMeasure(f"port {port} answers something else")
        return True


def wait_until_served(ports):
    end = time.monotonic() + 4 * PATIENCE_S
    while ports:
        ports = [p for p in ports if not is_answered(p)]
        if ports and time.monotonic() > end:
            raise CannotMeasure(f"{len(ports)} pods do not serve, such as at port {ports[0]}")
        if ports:
            time.sleep(0.002)


def free_ports(n):
    found, port = [], FIRST_PORT
    while len(found) < n:
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("", port))
            found.append(port)
        port += 1
    return found


def wake_ups(pids):
    """A second, of all threads."""
    before = sum(map(switches, pids))
    time.sleep(IDLE_S)
    return (sum(map(switches, pids)) - before) / IDLE_S


def own_cpu(pids):
    agent, worker = pids
    return cpu_s(agent) - cpu_s(worker), cpu_s(worker)  # the worker is the agent's child


def start_many(agent, connection, n):
    """Seconds until all are applied, until all of them have answered a request, and of CPU time of
    agent and worker."""
    wasm = component("tests/guests", "http/probe.wasm")
    first, *ports = free_ports(n + 1)
    apply(connection, pod("warm", wasm, first))
    wait_until_served([first])
    requests = [pod(f"many-{p}", wasm, p) for p in ports]
    pids = agent.pid, agent.worker()
    before, cpu = time.perf_counter(), own_cpu(pids)
    apply_all(agent, requests)
    applied = time.perf_counter() - before
    wait_until_served(ports)
    served = time.perf_counter() - before
    return applied, served, *(a - b for a, b in zip(own_cpu(pids), cpu))


def bench_many(quick):
    n, rounds = (200, 1) if quick else (1000, 3)
    taken, figures = [], []
    for _ in range(rounds):
        with Agent() as agent, agent.connect() as connection:
            time.sleep(1)  # what its start took is given back
            empty = agent.pss_kb()
            neighbour(agent, connection)
            worker = agent.worker()
            time.sleep(1)
            before = private_kb(worker)
            n_threads = len(tasks(worker))
            taken.append(start_many(agent, connection, n))
            time.sleep(SETTLE_S)
            after, full = private_kb(worker), agent.pss_kb()
            figures.append((empty, full, (after[0] - before[0]) / n, (after[1] - before[1]) / n,
                            (len(tasks(worker)) - n_threads) / n,
                            wake_ups([agent.pid]), wake_ups([worker])))
    many_report(n, rounds, taken, figures)


def many_report(n, rounds, taken, figures):
    rate, applied = (sorted(n / t[i] for t in taken) for i in (1, 0))
    empty, full, all_, linear, threads, agent_wakes, worker_wakes = (
        sorted(f[i] for f in figures)[rounds // 2] for i in range(7))
    middle = quartiles(rate)

    print(f"\n{n} pods that answer HTTP requests, each at a port of its own; {rounds} times")
    row("", "median", "quartiles", "", "target")
    row("applied and serving, pods/s", f"{middle[1]:.0f}", f"{middle[0]:.0f} .. {middle[2]:.0f}",
        "", ">= 500", middle[1] >= 500)
    row("  applied, pods/s", f"{quartiles(applied)[1]:.0f}", "")
    for what, i in (("agent", 2), ("worker", 3)):
        q = quartiles(sorted(t[i] / n * 1e6 for t in taken))
        row(f"  CPU time of the {what} each, us", f"{q[1]:.0f}", f"{q[0]:.0f} .. {q[2]:.0f}")
    row("agent without a pod, PSS, KB", f"{empty}", "", "", "<= 8192", empty <= 8192)
    limit = 15 * 1024 + n * 1024 // 10
    row(f"agent with {n} pods, PSS, KB", f"{full}", "", "", f"<= {limit}", full <= limit)
    row("an idle pod in a worker, private KB", f"{all_ - linear:.1f}", "", "", "<= 60",
        all_ - linear <= 60)
    row("  its linear memory, KB", f"{linear:.1f}", "")
    row("  threads", f"{threads:.2f}", "", "", "0", threads < 0.01)
    wakes = agent_wakes + worker_wakes
    row("wake-ups/s, agent and worker", f"{wakes:.1f}", f"{agent_wakes:.1f} + {worker_wakes:.1f}",
        "", "<= 5", wakes <= 5)


PARTS = {"pods-first": bench_first, "pods-many": bench_many}
