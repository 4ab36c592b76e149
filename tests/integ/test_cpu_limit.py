#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CPU limits of a worker's guests, by each mechanism: a guest of 250 thousandths uses a quarter of a
processor."""
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from processor import Share  # noqa: E402
from worker_client import GUESTS, Tap, Worker, build_guests  # noqa: E402

tap = Tap()
SECONDS = 10 if os.environ.get("FULL") else 3
LOOP = os.path.join(GUESTS, "loop.wasm")
MILLI, SLACK = 250, 30


def group_v1():
    """A control group of version 1 with the limit, and a descriptor of its threads' file."""
    with open("/proc/self/mounts", encoding="utf-8") as f:
        mounts = [line.split() for line in f]
    for _, where, kind, options, *_ in mounts:
        if kind == "cgroup" and "cpu" in options.split(","):
            path = os.path.join(where, f"wherry-test-{os.getpid()}")
            os.mkdir(path)
            for name, value in ("cpu.cfs_period_us", 100000), ("cpu.cfs_quota_us", MILLI * 100):
                with open(os.path.join(path, name), "w", encoding="ascii") as f:
                    f.write(str(value))
            return path, os.open(os.path.join(path, "tasks"), os.O_WRONLY)
    return None, None


def share(c, id):
    s = Share(lambda: c.figures(id)["cpu_ns"])
    time.sleep(SECONDS)  # what is measured is a time
    return s.told()


def limited(c, how, **fields):
    c.accepted(how, LOOP, **fields)
    used = share(c, how)
    tap.ok(f"{how}: a guest of {MILLI} thousandths uses them", used.is_within(MILLI / 1000, SLACK / 1000),
           used)
    before = time.monotonic()
    c.send("stop", how)
    c.ended(how)
    tap.ok(f"{how}: it is stopped at once", time.monotonic() - before < 0.5)
    c.send("forget", how)
    c.list()


def main():
    build_guests("loop")
    cache = tempfile.mkdtemp(prefix="wherry-cache-")
    try:
        with Worker(cache) as w:
            c = w.connect()
            limited(c, "worker", cpu_milli=MILLI)
            path, fd = group_v1() if os.geteuid() == 0 else (None, None)
            if path:
                limited(c, "cgroup-v1", cpu_group=fd)
                os.close(fd)
                os.rmdir(path)
                tap.ok("cgroup-v1: nobody is left in the group", not os.path.exists(path))
            else:
                tap.skip("cgroup-v1", "the controller cpu of version 1, and root")
    finally:
        shutil.rmtree(cache)
    tap.finish()


main()
