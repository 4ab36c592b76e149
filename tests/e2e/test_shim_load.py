#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Containers in large numbers, one after another and at once, and containerd killed under them: a
few, with FULL=1 those that are promised, and with COUNT=N one N-th of these."""
import json
import os
import signal
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "../containerd")]
import daemon  # noqa: E402
import images  # noqa: E402
from worker_client import Tap, children, wait_until  # noqa: E402

IS_FULL = os.environ.get("FULL") == "1"
SEQUENCE, PARALLEL, PODS, IN_POD, FIRST = (10, 10, 4, 5, 3)
if IS_FULL or "COUNT" in os.environ:
    PART = int(os.environ.get("COUNT") or 1)
    SEQUENCE, PARALLEL, PODS, IN_POD = (n // PART for n in (2000, 200, 100, 500))
    FIRST = 20
tap = Tap()


def run_one(d, image, id, failed):
    status, out, err = d.ctr("run", "--rm", "--runtime", daemon.WHERRY, image, id, "/app.wasm",
                             "42", is_checked=False)
    if status != 42:
        failed.append((id, status, out, err))


def sequence(d, image, _):
    failed = []
    for i in range(SEQUENCE):
        run_one(d, image, f"s{i}", failed)
    tap.equal(f"{SEQUENCE} containers in sequence end as they should", failed[:3], [])
    # A shim ends after its last container has.
    wait_until(lambda: not d.leftovers(), "nothing is left")


def parallel(d, image, _):
    failed = []
    threads = [threading.Thread(target=run_one, args=(d, image, f"p{i}", failed))
               for i in range(PARALLEL)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    tap.equal(f"{PARALLEL} containers at once end as they should", failed[:3], [])
    # A shim ends after its last container has.
    wait_until(lambda: not d.leftovers(), "nothing is left")


def anonymous_kib(pid):
    """What it has taken itself: what it shares with others counts more when they end."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Anonymous:"))


def shim_of(pod):
    for pid in (int(p) for p in os.listdir("/proc") if p.isdigit()):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as f:
                words = f.read().split("\0")
        except OSError:
            continue
        if "containerd-shim-wherry-v1" in words[0] and pod.id in words:
            return pid
    raise LookupError(pod.id)


def process_of(d, container):
    info = d.cri("ContainerStatus", container_id=container, verbose=True)["info"]["info"]
    return json.loads(info)["pid"]


def growth(d, _, image):
    """One pod in which containers come and go."""
    with tempfile.TemporaryDirectory() as logs:
        pod = d.cri.run_pod("long", "wherry", log_directory=logs)
        shim = shim_of(pod)

        def round_(i):
            container = pod.start(f"c{i}", image, "7")
            ended = d.cri.wait_exit(container)
            d.cri("RemoveContainer", container_id=container)
            return ended["exit_code"]

        codes = {round_(i) for i in range(FIRST)}
        before, fds = anonymous_kib(shim), len(os.listdir(f"/proc/{shim}/fd"))
        codes |= {round_(i) for i in range(FIRST, FIRST + IN_POD)}
        tap.equal("each has its exit code", codes, {7})
        grown = anonymous_kib(shim) - before
        if "WHERRY_SHIMS" not in os.environ:  # sanitizers keep what was freed
            tap.ok(f"{IN_POD} containers in one pod leave no memory taken", grown < 512,
                   f"{before} KiB grew by {grown} KiB")
        tap.ok("and no descriptor open", len(os.listdir(f"/proc/{shim}/fd")) <= fds + 1, fds)
        tap.equal("and no child", children(shim), [])
        pod.remove()


def killed_containerd(d, _, __):
    """kill -9 of containerd: containers go on, and what happened meanwhile is told."""
    sleep, = d.load_cri(images.wasm("sleep"))
    busybox, = d.load_cri(images.busybox())
    with tempfile.TemporaryDirectory() as logs:
        pods = [d.cri.run_pod(f"pod{i}", "wherry", log_directory=logs) for i in range(PODS)]
        guests = [p.start(f"guest{i}", sleep, "100000") for i, p in enumerate(pods)]
        writer = pods[0].start("writer", busybox, "sh", "-c",
                               "while :; do echo tick; sleep 0.05; done")
        pids = [process_of(d, g) for g in guests]
        dead = pids[PODS // 2:]
        d.process.kill()
        d.process.wait()
        for pid in dead:
            os.kill(pid, signal.SIGTERM)
        d.restart(signal.SIGKILL)
        for c in guests[PODS // 2:]:
            d.cri.wait_exit(c)
        tap.equal("exits that happened meanwhile are told, as they were",
                  {d.cri.state(c)["exit_code"] for c in guests[PODS // 2:]}, {143})
        tap.equal("the others go on", {d.cri.state(c)["state"] for c in guests[:PODS // 2]},
                  {"CONTAINER_RUNNING"})
        ticks = len(pods[0].log("writer"))
        wait_until(lambda: len(pods[0].log("writer")) > ticks + 3, "the log goes on")
        tap.equal("a native container's output goes on", d.cri.state(writer)["state"],
                  "CONTAINER_RUNNING")
        for p in pods:
            p.remove()


daemon.peers()
with daemon.Containerd("1.6") as daemon_:
    exitcode = images.wasm("exitcode")
    wasm, = daemon_.load(exitcode)
    wasm_cri, = daemon_.load_cri(exitcode)
    for part in (sequence, parallel, growth, killed_containerd):
        tap.run(part, daemon_, wasm, wasm_cri)
tap.equal("nothing is left", daemon_.left, [])
tap.finish()
