#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shim beside faulty callers, faulty bundles and faulty machines: what it refuses, what goes on,
and that nothing is left. tests/slow/test_shim_load.py does the same in large numbers."""
import os
import random
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
    beside containerd, which gets its events."""

    def __init__(self, d, name):
        self.d, self.name = d, name
        self.dir = os.path.join(d.dir, "own", name)
        self.group = f"{d.namespace}-own"
        os.makedirs(self.dir)
        self.socket = self.client = None

    def bundle(self, id, *args, **options):
        options.setdefault("annotations", {"io.kubernetes.cri.sandbox-id": self.name})
        return shim.Bundle(self.dir, id, *args, group=self.group, **options)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if exception[0]:
            with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as log:
                sys.stderr.write(f"the log of the shim {self.name}:\n" + log.read()[-8000:])

    def start(self, bundle):
        with open(os.path.join(self.dir, "log"), "ab"):
            os.symlink("../log", os.path.join(bundle.dir, "log"))
        self.socket = shim.start(bundle.dir, self.d.namespace, self.d.socket_path, self.d.env)
        self.client = shim.Client(self.socket)

    def create(self, bundle, **streams):
        if not self.client:
            self.start(bundle)
        return self.client("Create", id=bundle.id, bundle=bundle.dir, **streams)[1]

    def remove(self, *bundles):
        for b in bundles:
            if self.client.code("State", id=b.id) == OK:
                self.client.code("Kill", id=b.id, signal=9, all=1)
                self.client("Wait", id=b.id)
                self.client("Delete", id=b.id)

    def close(self):
        """Ends the shim; what is left of it, [] when all is well."""
        self.client("Shutdown", id=self.name)
        self.client.close()
        try:
            wait_until(lambda: not self.left(), "the shim has left")
        except TimeoutError:
            pass
        return self.left()

    def left(self):
        groups = [p for root in os.listdir("/sys/fs/cgroup")
                  if os.path.isdir(p := f"/sys/fs/cgroup/{root}/{self.group}") and os.listdir(p)
                  and any(os.path.isdir(os.path.join(p, n)) for n in os.listdir(p))]
        return [*groups, *self.d.leftovers()]


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
            while own.client.code("Create", id=b.id, bundle=b.dir) == ALREADY_EXISTS:
                own.remove(b)
            own.remove(b)
        tap.equal("nothing is left of them", own.close(), [])


def main():
    daemon.peers()
    build_guests("sleep", "exitcode")
    with daemon.Containerd("1.6") as d:
        for part in (storm,):
            tap.run(part, d)
    tap.equal("nothing is left", d.left, [])
    tap.finish()


main()
