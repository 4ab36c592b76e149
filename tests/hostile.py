# SPDX-License-Identifier: Apache-2.0
"""Guests that misbehave, over and over, and a fixed load of guests that do not, in workers."""
import dataclasses
import multiprocessing
import os
import shutil
import tempfile
import time

from worker_client import build_guests, guest

ENDLESS = "10000000000"
FLOOD = ENDLESS if os.environ.get("FULL") == "1" else "1000000000"  # bytes
FLOOD_PATIENCE_S = 600
PAUSE_S = 0.005  # the load's own rate, not a wait for anything


def build():
    build_guests("exitcode", "loop", "recurse", "grow", "flood", "fds", "escape", "trap")


def how(status):
    return status["reason"], status["exit_code"]


class Load:
    """Short guests, one after the other: each does file and output calls and ends with 42."""

    def __init__(self, worker):
        self.connection = worker.connect()
        self.number = 0

    def run(self, runs):
        """(p99 in ms, failures)"""
        times, failures = [], []
        null = os.open("/dev/null", os.O_WRONLY)
        while len(times) < runs:
            self.number += 1
            id = f"good{self.number}"
            start = time.monotonic()
            status = self.connection.run(id, guest("exitcode"), "42", stdout=null)
            times.append((time.monotonic() - start) * 1e3)
            self.connection.waiting.clear()  # what became of the attackers
            if how(status) != ("Error", 42):
                failures.append(status)
            time.sleep(PAUSE_S)
        os.close(null)
        times.sort()
        return times[len(times) * 99 // 100], failures


class Box:
    """What attackers are given: a folder with ways out of it, a folder for logs, /dev/null."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="wherry-hostile-")
        self.cache, work, self.logs = (os.path.join(self.dir, n) for n in ("cache", "work", "logs"))
        os.mkdir(self.cache, 0o700)
        os.mkdir(work)
        os.mkdir(self.logs)
        with open(os.path.join(self.dir, "secret"), "w", encoding="ascii") as f:
            f.write("secret\n")
        os.symlink("..", os.path.join(work, "up"))
        os.symlink("/etc", os.path.join(work, "etc"))
        self.work_fd = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
        self.logs_fd = os.open(self.logs, os.O_RDONLY | os.O_DIRECTORY)
        self.null = os.open("/dev/null", os.O_WRONLY)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for fd in (self.work_fd, self.logs_fd, self.null):
            os.close(fd)
        shutil.rmtree(self.dir)

    def grants(self, what):
        return {
            "": {},
            "memory": {"memory_bytes": 256 << 20},
            "folder": {"dirs": [(self.work_fd, "/work", False)]},
            "null": {"stdout": self.null},
            "log": {"log_dir": self.logs_fd, "log_name": "flood.log", "log_limit_bytes": 1 << 20,
                    "log_files": 3},
        }[what]


@dataclasses.dataclass
class Attack:
    name: str
    argv: list
    wanted: list  # how it may end
    grants: str = ""
    stop: bool = False  # it does not end by itself
    beside: list = None  # the arguments of a second guest, which goes on until it is stopped


STOPPED = [("Stopped", 143)]
COMPLETED = [("Completed", 0)]
TRAPPED = [("Trap", 134)]
ATTACKS = [
    Attack("loop", ["loop"], STOPPED, stop=True),
    Attack("recurse", ["recurse"], TRAPPED),
    Attack("trap", ["trap"], TRAPPED),
    Attack("grow", ["grow"], [("Error", 7)], "memory"),
    Attack("grow and trap", ["grow", "trap"], [("OOMKilled", 137)], "memory"),
    Attack("a flood to /dev/null", ["flood", FLOOD], COMPLETED, "null"),
    Attack("a flood to a log", ["flood", ENDLESS], STOPPED, "log", stop=True),
    Attack("open every descriptor", ["fds"], COMPLETED + TRAPPED, "folder"),
    Attack("escape", ["escape", "try", "3000"], COMPLETED, "folder"),
    Attack("escape by a rename race", ["escape", "try", "3000"], COMPLETED, "folder",
           beside=["escape", "swap", "1000000000"]),
]


class Attacker:
    """While it is entered: one attack after another, at least one. Its client is a process of its
    own, which takes only time that nobody else wants when it `is_idle`."""

    def __init__(self, worker, attack, box, is_idle=False):
        self.is_idle = is_idle
        self.worker, self.attack, self.box = worker, attack, box
        self.statuses = []
        self.beside_status = None
        forking = multiprocessing.get_context("fork")
        self.is_over = forking.Event()
        self.results, self.results_in = forking.Pipe(duplex=False)
        self.process = forking.Process(target=self._run, daemon=True)

    def __enter__(self):
        self.process.start()
        self.results_in.close()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        try:
            self.statuses, self.beside_status = self.results.recv()
        finally:
            self.process.join()
            self.results.close()

    def _start(self, connection, id, argv):
        connection.accepted(id, guest(argv[0]), *argv[1:], **self.box.grants(self.attack.grants))

    def _end(self, connection, id, stop):
        if stop:
            connection.send("stop", id)
        status = connection.ended(id)
        connection.send("forget", id)
        connection.list()  # it has been forgotten
        connection.waiting.clear()
        return status

    def _run(self):
        if self.is_idle:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        connection = self.worker.connect()
        connection.socket.settimeout(FLOOD_PATIENCE_S)
        if self.attack.beside:
            self._start(connection, "beside", self.attack.beside)
        while True:
            self._start(connection, "attack", self.attack.argv)
            if self.attack.stop:
                self.is_over.wait()
            self.statuses.append(self._end(connection, "attack", self.attack.stop))
            if self.is_over.is_set():
                break
        if self.attack.beside:
            self.beside_status = self._end(connection, "beside", True)
        connection.close()
        self.results_in.send((self.statuses, self.beside_status))
