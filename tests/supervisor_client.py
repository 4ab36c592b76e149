# SPDX-License-Identifier: Apache-2.0
"""Drives tests/integ/supervisor.c."""
import os
import queue
import shutil
import subprocess
import tempfile
import threading

from worker_client import PATIENCE_S, PROGRAM, ROOT

SUPERVISOR = os.path.join(ROOT, os.environ.get("WHERRY_BUILD", "build/meson"),
                          "tests/integ/supervisor")


class Supervisor:
    def __init__(self, run_dir, worker=PROGRAM, cache_dir="-", idle_ms="-", adopt=True):
        self.process = subprocess.Popen([SUPERVISOR, run_dir, worker, cache_dir, str(idle_ms)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        bufsize=1)
        self.pid = self.process.pid
        self.lines = queue.Queue()
        self.waiting = []  # what was said while something else was awaited
        threading.Thread(target=self.read, daemon=True).start()
        if adopt:
            self.do("adopt")
            self.expect("adopted")

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def do(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")

    def expect(self, *starts, seconds=PATIENCE_S):
        """The next line that begins with one of these; others are kept."""
        def fits(line):
            return any((line + " ").startswith(start + " ") for start in starts)

        for i, line in enumerate(self.waiting):
            if fits(line):
                return self.waiting.pop(i)
        while True:
            line = self.lines.get(timeout=seconds)
            assert line is not None, f"the supervisor ended before {starts}: {self.waiting}"
            if fits(line):
                return line
            self.waiting.append(line)

    def said(self, start):
        """What was said so far with this beginning. Asks something, whose answer comes later."""
        self.workers()
        return [line for line in self.waiting if line.startswith(start)]

    def start(self, tenant, id, *words):
        self.do("start", tenant, id, *words)

    def started(self, tenant, id, *words):
        self.start(tenant, id, *words)
        line = self.expect(f"started {id}", f"refused {id}")
        assert line.startswith("started"), line

    def ended(self, id):
        """(reason, status, text)"""
        line = self.expect(f"exited {id}").split(" ", 4)
        return line[2], int(line[3]), line[4]

    def refused(self, id):
        """(reason, text)"""
        line = self.expect(f"refused {id}").split(" ", 3)
        return line[2], line[3]

    def forget(self, id):
        self.do("forget", id)
        self.do("free", id)

    def claim(self, tenant, id):
        """claimed, lost or unknown"""
        self.do("claim", tenant, id)
        words = self.expect(f"claimed {id}", f"none {id}").split()
        return words[2] if words[0] == "none" else "claimed"

    def orphans(self):
        self.do("orphans")
        return int(self.expect("orphans").split()[1])

    def workers(self):
        """{tenant: (pid, guests)}"""
        self.do("workers")
        self.expect("workers")
        found = [line.split() for line in self.waiting if line.startswith("worker ")]
        self.waiting = [line for line in self.waiting if not line.startswith("worker ")]
        return {tenant: (int(pid), int(guests)) for _, tenant, pid, guests in found}

    def worker(self, tenant):
        return self.workers()[tenant][0]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def down(self):
        self.do("down")
        self.expect("down")

    def quit(self):
        self.do("quit")
        return self.process.wait(PATIENCE_S)


class RunFolder:
    """Below it nothing runs any more when it is left."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="wherry-run-test-")
        self.run = os.path.join(self.dir, "run")
        self.supervisors = []
        return self

    def supervisor(self, **options):
        s = Supervisor(self.run, cache_dir=os.path.join(self.dir, "cache"), **options)
        self.supervisors.append(s)
        return s

    def files(self, tenant):
        try:
            return sorted(os.listdir(os.path.join(self.run, tenant)))
        except FileNotFoundError:
            return []

    def records(self, tenant):
        return [n[:-5] for n in self.files(tenant) if n.endswith(".exit")]

    def __exit__(self, *exception):
        for s in self.supervisors:
            if s.process.poll() is None:
                s.kill()
        if os.path.isdir(self.run):
            last = Supervisor(self.run)
            last.down()
            last.quit()
        shutil.rmtree(self.dir)
