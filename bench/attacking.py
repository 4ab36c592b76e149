# SPDX-License-Identifier: Apache-2.0
"""The part of bench/run that measures what those see who share a worker, a server or a pod's worker
with an attacker: p99 of a fixed good load when nothing else runs, beside the attack, and beside the same
attack on another worker or server, which is what the attack costs everybody on these processors.

An attacker goes on all the time. Its client takes only time that nobody else wants, and the client
of the good load takes its time first: elsewhere both would be on other machines."""
import os
import statistics
import sys
import threading
import time

from measuring import ROOT, WHERRY, CannotMeasure, build_programs, first

os.environ["WHERRY"] = str(WHERRY)
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/e2e")]
import hostile  # noqa: E402
from agent_client import Agent  # noqa: E402
import http_attacks as attacks  # noqa: E402
from http_attacks import ask, get, post  # noqa: E402
from processor import processors_set, threads_ns  # noqa: E402
from serve_client import PROBE, Server, cpu_ticks, load_end, load_start  # noqa: E402
from worker_client import Worker, build_guests, wait_until  # noqa: E402

LIMIT = 2  # times quiet
SERVE_S = 4
SERVE_RATE = 200  # requests/s


def row(what, quiet, beside, other):
    quiet, beside, other = (statistics.median(v) for v in (quiet, beside, other))
    verdict = "met" if beside <= LIMIT * quiet else "MISSED"
    print(f"  {what:<41} {quiet:>7.2f} {beside:>7.2f} {other:>7.2f} {beside / quiet:>6.1f} "
          f"{beside / other:>8.1f}  {verdict}", flush=True)


def header(text):
    print(f"\n{text}")
    print(f"  {'p99 in ms':<41} {'quiet':>7} {'beside':>7} {'other':>7} {'/quiet':>6} {'/other':>8}"
          f"  <= {LIMIT} x quiet")


def bench_attacks_run(quick):
    rounds, runs = (3, 200) if quick else (7, 300)
    header(f"Short guests beside attackers of the same worker, medians of {rounds} times {runs}")
    hostile.build()
    with hostile.Box() as box, Worker(box.cache) as worker, Worker(box.cache) as another:
        load = hostile.Load(worker)
        first(0)

        def p99():
            figure, failures = load.run(runs)
            if failures:
                raise CannotMeasure(f"a good guest failed: {failures[0]}")
            return figure

        for attack in hostile.ATTACKS:
            quiet, beside, other = [], [], []
            for _ in range(rounds):
                quiet.append(p99())
                for victim, figures in (worker, beside), (another, other):
                    with hostile.Attacker(victim, attack, box, is_idle=True):
                        figures.append(p99())
            row(attack.name, quiet, beside, other)


# ---- Requests --------------------------------------------------------------------------------


def idle():
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def at_once(n, work):
    def client():
        idle()
        work()

    clients = [threading.Thread(target=client) for _ in range(n)]
    for c in clients:
        c.start()
    for c in clients:
        c.join()


def guests(path):
    """Four clients of a guest that misbehaves."""
    def work(address):
        end = time.monotonic() + 1
        while time.monotonic() < end:
            ask(address, get(path, "Connection: close"))

    return lambda address: at_once(4, lambda: work(address))


def resets(address):
    attacks.reset_in_body(address, "/echo", 300)
    attacks.reset_in_body(address, "/noread", 100)
    attacks.reset_in_answer(address, "/download?100000000", 100)


BODY = 20 << 20
SERVE_ATTACKS = {
    "slow loris": lambda a: attacks.slow_loris(a, 50, 15),
    "20 clients that do not read":
        lambda a: at_once(20, lambda: attacks.unread_answer(a, "/download?100000000", 1)),
    "1,000 connections at a time": lambda a: attacks.many_connections(a, 1000),
    "500 resets in mid-body and mid-answer": resets,
    "rapid reset": lambda a: attacks.rapid_reset(a, "/sleep?1000", 20000),
    "SETTINGS flood": lambda a: attacks.settings_flood(a, 1000000),
    "PING flood": lambda a: attacks.ping_flood(a, 1000000),
    "CONTINUATION flood": lambda a: attacks.continuation_flood(a, 10000),
    "four guests that loop": guests("/loop"),
    "four guests that grow to 64 MiB": guests("/grow"),
    "four guests that trap": guests("/trap"),
    "four guests that trap in a long body": guests("/trap-late?10000000"),
    "a guest that never reads": lambda a: ask(a, post("/noread", f"Content-Length: {BODY}",
                                                      body=b"x" * BODY)),
}


def serve_p99(server, attack=None, victim=None):
    """Of the good load on one server, while the other or itself is attacked over and over."""
    end = time.monotonic() + SERVE_S

    def attacker():
        idle()
        while time.monotonic() < end:
            try:
                attack(victim.address)
            except OSError:
                pass  # it was cut off, as it deserves

    load = load_start(server, "/hello", 4, "--rate", SERVE_RATE, "--duration", "300s",
                      "--timeout", "5s")
    first(load.pid)
    thread = threading.Thread(target=attacker)
    if attack:
        thread.start()
    time.sleep(SERVE_S)
    report = load_end(load, is_stopped=True)
    if attack:
        thread.join()
    if report["failures"]:
        raise CannotMeasure(f"a good request failed: {report}")
    return report["latency_us"]["p99"] / 1e3


def bench_attacks_serve(quick):
    rounds = 3 if quick else 5
    header(f"{SERVE_RATE} good requests a second beside attackers of the same server, medians of "
           f"{rounds} times {SERVE_S} s")
    build_programs("http_load")
    build_guests("http/probe")
    options = ["--threads", "2", "--timeout", "3s", "--cpu-time", "1s", "--read-timeout", "5s",
               "--memory", "64Mi", PROBE]
    with Server(*options, access_log=None) as server, Server(*options, access_log=None) as another:
        for name, attack in SERVE_ATTACKS.items():
            quiet, beside, other = [], [], []
            for _ in range(rounds):
                quiet.append(serve_p99(server))
                beside.append(serve_p99(server, attack, server))
                other.append(serve_p99(server, attack, another))
            row(name, quiet, beside, other)


# ---- Pods ------------------------------------------------------------------------------------

POD_PORT, POD_S = 18080, 4
POD_SHARE = 45  # per cent of a processor that two want all of
POD_ATTACKS = {"loop": ["loop"], "grow and trap": ["grow", "trap"], "recurse": ["recurse"],
               "a flood to a log": ["flood", hostile.ENDLESS]}


def pod(name, image, *args, **container):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
                     "containers": [{"name": "app", "image": str(image), "args": list(args),
                                     "resources": {"limits": {"memory": "64Mi"}}, **container}]}}


class PodAttack:
    """While it is entered: a pod of this attack, made anew whenever it has ended."""

    def __init__(self, agent, argv):
        self.agent, self.argv, self.is_over = agent, argv, threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()

    def _run(self):
        idle()
        while not self.is_over.is_set():
            self.agent.create(pod("bad", hostile.guest(self.argv[0]), *self.argv[1:]))
            while not self.is_over.wait(0.02) and self._goes_on():
                pass
            self.agent.delete("bad", 0)
            wait_until(lambda: not self.agent.pod("bad"), "the attacker is gone")

    def _goes_on(self):
        return self.agent.pod("bad")["status"]["phase"] in ("Pending", "Running")


def pod_p99():
    load = load_start(f"127.0.0.1:{POD_PORT}", "/hello", 4, "--rate", SERVE_RATE, "--duration",
                      "300s", "--timeout", "5s")
    first(load.pid)
    time.sleep(POD_S)
    report = load_end(load, is_stopped=True)
    if report["failures"]:
        raise CannotMeasure(f"a good request failed: {report}")
    return report["latency_us"]["p99"] / 1e3


def pod_share(agent, argv):
    """Per cent of what the worker gets of the processor that it is held to, which a guest that
    computes keeps: other processes may want that processor too."""
    worker, = agent.workers()
    before = set(threads_ns(worker))
    agent.create(pod("sum", hostile.guest("loop")))
    agent.wait_pod("sum", "Running")
    mine = threads_ns(worker)
    mine = max(set(mine) - before, key=mine.get)
    processors_set(worker, {0})
    with PodAttack(agent, argv):
        time.sleep(1)  # it has begun
        start, all_start = threads_ns(worker)[mine], cpu_ticks(worker)
        time.sleep(POD_S)
        ticks = cpu_ticks(worker) - all_start
        share = (threads_ns(worker)[mine] - start) * os.sysconf("SC_CLK_TCK") / ticks / 1e7
    agent.delete("sum", 0)
    wait_until(lambda: not agent.pod("sum"), "the neighbour is gone")
    processors_set(worker, range(os.cpu_count()))
    return share


def bench_attacks_pods(quick):
    rounds = 3 if quick else 5
    header(f"A pod with {SERVE_RATE} requests a second beside pods that misbehave in the same "
           f"worker, medians of {rounds} times {POD_S} s")
    build_programs("http_load")
    build_guests("http/probe", "loop", "grow", "recurse", "flood")
    shares = {}
    with Agent() as agent, Agent() as another:
        agent.create(pod("web", PROBE, ports=[{"containerPort": POD_PORT}]))
        agent.wait_pod("web", "Running")
        for name, argv in POD_ATTACKS.items():
            quiet, beside, other = [], [], []
            for _ in range(rounds):
                quiet.append(pod_p99())
                for victim, figures in (agent, beside), (another, other):
                    with PodAttack(victim, argv):
                        figures.append(pod_p99())
            row(name, quiet, beside, other)
            shares[name] = statistics.median(pod_share(agent, argv) for _ in range(rounds))
    print(f"\n  {'what a pod that computes keeps of one processor, %':<59} >= {POD_SHARE}")
    for name, share in shares.items():
        print(f"  {'beside ' + name:<41} {share:>17.1f}  "
              f"{'met' if share >= POD_SHARE else 'MISSED'}", flush=True)


PARTS = {"attacks-run": bench_attacks_run, "attacks-serve": bench_attacks_serve,
         "attacks-pods": bench_attacks_pods}
