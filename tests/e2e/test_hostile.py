#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Guests that misbehave beside guests that do not, in one worker: each attack ends as it should, and
a fixed load of short guests has no failure meanwhile. Its p99 with and without is printed."""
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from worker_client import GUESTS, Tap, Worker, build_guests  # noqa: E402

LOAD_RUNS = int(os.environ.get("LOAD_RUNS", 150))  # at least, and as long as the attack lasts
PAUSE_S = 0.005
tap = Tap()


def guest(name):
    return os.path.join(GUESTS, name + ".wasm")


def how(status):
    return status["reason"], status["exit_code"]


class Load:
    """Short guests, one after the other: each does file and output calls and ends with 42."""

    def __init__(self, connection):
        self.connection = connection
        self.number = 0

    def run(self, is_over, runs=LOAD_RUNS):
        """(p99 in ms, failures) of at least `runs` guests, and until is_over()."""
        times, failures = [], []
        null = os.open("/dev/null", os.O_WRONLY)
        while len(times) < runs or not is_over():
            self.number += 1
            id = f"good{self.number}"
            start = time.monotonic()
            status = self.connection.run(id, guest("exitcode"), "42", stdout=null)
            times.append((time.monotonic() - start) * 1e3)
            if how(status) != ("Error", 42):
                failures.append(status)
            time.sleep(PAUSE_S)  # the load's own rate, not a wait for anything
        os.close(null)
        times.sort()
        return times[len(times) * 99 // 100], failures


def attack(worker, load, base, name, wanted, stop=False, before=None, **start):
    """Starts one attacker, runs the load, ends the attacker when `stop` (otherwise it ends by
    itself), and looks at both. `wanted` is what may be told of its end."""
    c = worker.connect()
    program, *args = start.pop("argv")
    c.accepted("attack", guest(program), *args, **start)
    ended = []

    def is_over():
        c.send("list")
        while True:
            m = c.receive()
            if m.get("id") == "attack" and m["type"] == "exited":
                ended.append(m["status"])
            if m["type"] == "listed":
                return bool(ended)

    p99, failures = load.run(lambda: stop or is_over())
    if stop:
        c.send("stop", "attack")
    status = ended[0] if ended else c.ended("attack")
    c.send("forget", "attack")
    c.list()
    c.close()
    tap.ok(f"{name}: it ends as it should", how(status) in wanted, status)
    tap.equal(f"{name}: others have no failure", failures[:3], [])
    print(f"# {name}: p99 of the others {p99:.2f} ms, {p99 / base:.2f} times that of a quiet worker")
    return status


def main():
    build_guests("exitcode", "loop", "recurse", "grow", "flood", "fds", "escape", "trap")
    box = tempfile.mkdtemp(prefix="wherry-hostile-")
    cache, work, logs = (os.path.join(box, n) for n in ("cache", "work", "logs"))
    os.mkdir(cache, 0o700)
    os.mkdir(work)
    os.mkdir(logs)
    with open(os.path.join(box, "secret"), "w", encoding="ascii") as f:
        f.write("secret\n")
    os.symlink("..", os.path.join(work, "up"))
    os.symlink("/etc", os.path.join(work, "etc"))
    try:
        with Worker(cache) as w:
            load = Load(w.connect())
            base, failures = load.run(lambda: True, 2 * LOAD_RUNS)
            tap.equal("a quiet worker has no failure", failures[:3], [])
            print(f"# a quiet worker: p99 {base:.2f} ms")
            work_fd = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
            logs_fd = os.open(logs, os.O_RDONLY | os.O_DIRECTORY)
            null = os.open("/dev/null", os.O_WRONLY)
            dirs = [(work_fd, "/work", False)]
            stopped = [("Stopped", 143)]
            attack(w, load, base, "loop", stopped, stop=True, argv=["loop"])
            attack(w, load, base, "recurse", [("Trap", 134)], argv=["recurse"])
            attack(w, load, base, "trap", [("Trap", 134)], argv=["trap"])
            attack(w, load, base, "grow", [("Error", 7)], argv=["grow"], memory_bytes=256 << 20)
            attack(w, load, base, "grow and trap", [("OOMKilled", 137)], argv=["grow", "trap"],
                   memory_bytes=256 << 20)
            attack(w, load, base, "10 GB to /dev/null", [("Completed", 0)],
                   argv=["flood", "10000000000"], stdout=null)
            attack(w, load, base, "a flood to a log", stopped, stop=True,
                   argv=["flood", "10000000000"], log_dir=logs_fd, log_name="flood.log",
                   log_limit_bytes=1 << 20, log_files=3)
            sizes = [os.path.getsize(os.path.join(logs, n)) for n in os.listdir(logs)]
            tap.ok("a flood to a log: the log stays small", len(sizes) <= 3 and
                   sum(sizes) <= 3 << 20, sizes)
            attack(w, load, base, "open every descriptor", [("Completed", 0), ("Trap", 134)],
                   argv=["fds"], dirs=dirs)
            attack(w, load, base, "escape", [("Completed", 0)], argv=["escape", "try", "3000"],
                   dirs=dirs)
            swapper = w.connect()
            swapper.accepted("swap", guest("escape"), "swap", "1000000000", dirs=dirs)
            attack(w, load, base, "escape by a rename race", [("Completed", 0)],
                   argv=["escape", "try", "3000"], dirs=dirs)
            swapper.send("stop", "swap")
            tap.equal("the one who renames is stopped", how(swapper.ended("swap")), stopped[0])
            for fd in (work_fd, logs_fd, null):
                os.close(fd)
            tap.ok("the worker is as well as before", load.run(lambda: True)[1] == [])
    finally:
        shutil.rmtree(box)
    tap.finish()


main()
