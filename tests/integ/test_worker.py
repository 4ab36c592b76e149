#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The worker as a supervisor meets it: its protocol, logs, limits, stops, records and survival."""
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from image_layout import Layout  # noqa: E402
from slow_module import slow_module  # noqa: E402
from worker_client import (PROGRAM, Closed, Connection, Tap, Worker, build_guests,  # noqa: E402
                           children, guest, has_ended, wait_until)

tap = Tap()
LINE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d) "
                  rb"(stdout|stderr) ([FP]) (.*)")


def how(status):
    return status["reason"], status["exit_code"], status["guest_exit"]


def file_with(content):
    fd = os.memfd_create("input")
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def folder(path):
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def test_start_and_end(w, c):
    tap.equal("the worker says hello", (w.hello["protocol"], w.hello["pid"]), (1, w.process.pid))
    with open(os.path.join(w.dir, "worker.json"), encoding="utf-8") as f:
        tap.equal("its folder names its process", json.load(f)["pid"], w.process.pid)
    c.accepted("a", guest("exitcode"), "7")
    s = c.ended("a")
    tap.equal("a guest's own status", how(s), ("Error", 7, True))
    tap.ok("its times are in order", s["started_at"] <= s["finished_at"], s)
    tap.ok("its figures are told", s["cpu_ns"] > 0 and s["memory_peak_bytes"] >= 65536 and
           s["calls"] >= 1, s)
    tap.equal("its record is there when its end is told", w.record("a"), s)
    tap.equal("it is listed until it is forgotten", c.list(), {"a": "exited"})
    c.send("forget", "a")
    tap.equal("then it is not", c.list(), {})
    tap.equal("nor is its record there", w.record("a"), None)
    tap.equal("its name is free again", how(c.run("a", guest("exitcode"), "0")),
              ("Completed", 0, True))
    tap.equal("a module that traps", how(c.run("t", guest("trap"))), ("Trap", 134, False))
    read, write = os.pipe()
    s = c.run("io", guest("cat"), stdin=file_with(b"hello"), stdout=write)
    os.close(write)
    tap.equal("standard streams are the descriptors given", os.read(read, 100), b"hello")
    os.close(read)
    s = c.run("text", os.path.abspath(__file__))
    tap.equal("a file that is no WebAssembly", how(s), ("NotWasm", 126, False))


def lines_of(path):
    with open(path, "rb") as f:
        data = f.read()
    found = [LINE.fullmatch(line) for line in data.split(b"\n")[:-1]]
    return data.endswith(b"\n") and all(found), [m.groups() for m in found if m]


def test_lists_that_nobody_reads(w, c):
    ids = [f"{i:03d}" + "-" * 190 for i in range(150)]
    for id in ids:
        c.accepted(id, guest("exitcode"), "7")
        c.ended(id)
    for _ in range(100):
        c.send("list")
    tap.equal("others are served meanwhile", sorted(w.connect().list()), ids)
    for id in ids[:50]:
        c.send("forget", id)
    seen, lists = set(), []
    while len(lists) < 100:
        m = c.receive()
        if m["type"] == "listed":
            lists.append(seen)
            seen = set()
        else:
            seen.add(m["id"])
    tap.ok("lists of more than 4 MiB are answered as they are read", lists[0] >= set(ids[50:]) and
           lists[-1] == set(ids[50:]), [len(one) for one in lists])
    for id in ids[50:]:
        c.send("forget", id)
    c.accepted("n" * 200, guest("exitcode"), "3")
    c.ended("n" * 200)
    tap.equal("the longest name has a record", w.record("n" * 200)["exit_code"], 3)
    c.send("forget", "n" * 200)
    c.list()


def test_logs(w, c):
    logs = tempfile.mkdtemp(dir=w.dir)
    fd = folder(logs)
    long_line = bytes(33 + i % 90 for i in range(40000))
    text = b"first\n\n" + long_line + b"\nend"
    c.run("cat", guest("cat"), stdin=file_with(text), log_dir=fd, log_name="0.log")
    is_cri, lines = lines_of(os.path.join(logs, "0.log"))
    tap.ok("every line is in the CRI format", is_cri)
    tap.equal("the log names the stream", {s for s, _, _ in lines}, {b"stdout"})
    tap.equal("short lines are whole, long ones in pieces", [f for _, f, _ in lines],
              [b"F", b"F", b"P", b"P", b"F", b"F"])
    tap.equal("nothing is lost", b"".join(t + (b"\n" if f == b"F" else b"") for _, f, t in lines),
              text + b"\n")
    c.run("flood", guest("flood"), "200000", log_dir=fd, log_name="1.log", log_limit_bytes=20000,
          log_files=3)
    names = sorted(n for n in os.listdir(logs) if n.startswith("1.log"))
    tap.equal("only the files that are kept remain", names, ["1.log", "1.log.1", "1.log.2"])
    sizes = [os.path.getsize(os.path.join(logs, n)) for n in names]
    tap.ok("none is larger than the limit", max(sizes) <= 20000, sizes)
    kept = []
    for n in reversed(names):
        is_cri, lines = lines_of(os.path.join(logs, n))
        tap.ok(f"{n} has whole lines", is_cri)
        kept += [int(t.split()[0]) for _, _, t in lines]
    tap.equal("what is kept is the end, without a gap", kept,
              list(range(3125 - len(kept), 3125)))
    os.close(fd)


def test_limits(w, c):
    box = tempfile.mkdtemp(prefix="wherry-worker-test-")
    fd = folder(box)
    tap.equal("a deadline", how(c.run("d", guest("loop"), timeout_ms=200)),
              ("DeadlineExceeded", 124, False))
    s = c.run("m", guest("grow"), memory_bytes=16 << 20)
    tap.equal("a refused growth is the guest's affair", how(s), ("Error", 7, True))
    tap.ok("and is told", s["memory_refused"] and 8 << 20 < s["memory_peak_bytes"] <= 16 << 20, s)
    tap.equal("a trap after it is not", how(c.run("o", guest("grow"), "trap",
                                                  memory_bytes=16 << 20)),
              ("OOMKilled", 137, False))
    tap.equal("recursion without end", how(c.run("r", guest("recurse"))), ("Trap", 134, False))
    read, write = os.pipe()
    s = c.run("f", guest("fds"), stdout=write, dirs=[(fd, "/work", False)], descriptors=30)
    os.close(write)
    opened = os.read(read, 200)
    with open(f"/proc/{w.process.pid}/status", encoding="ascii") as f:
        room = next(int(line.split()[1]) for line in f if line.startswith("FDSize:"))
    tap.ok("there is room for many before a guest asks for it", room >= 16384, room)
    tap.ok("open files are limited", "DescriptorLimit" in s.get("message", "") or
           (s["exit_code"] == 0 and int(opened.split()[0]) < 30), (s, opened))
    os.close(read)
    os.close(fd)
    shutil.rmtree(box)


def test_stops(w, c):
    idle_read, idle_write = os.pipe()
    c.accepted("loop", guest("loop"))
    c.accepted("sleep", guest("sleep"), "1000")
    c.accepted("input", guest("cat"), stdin=idle_read)
    full_read, full_write = os.pipe()
    c.accepted("full", guest("flood"), "10000000", stdout=full_write)
    os.close(full_write)
    wait_until(lambda: c.figures("loop")["cpu_ns"] > 10_000_000, "the loop runs")
    figures = c.figures("loop")
    wait_until(lambda: c.figures("loop")["cpu_ns"] > figures["cpu_ns"], "its time goes on")
    tap.ok("the figures of a running guest", figures["memory_bytes"] >= 65536 and
           figures["memory_peak_bytes"] >= figures["memory_bytes"], figures)
    tap.ok("no record of a guest that runs", w.record("loop") is None)
    for id in ("loop", "sleep", "input", "full"):
        wait_until(lambda: c.figures(id)["memory_bytes"] > 0, "it has its memory, so it runs")
        c.send("stop", id)
        status = c.ended(id)
        tap.equal(f"stop ends a guest: {id}", how(status), ("Stopped", 143, False))
        tap.equal(f"and none of its threads is left behind: {id}", status["message"], None)
        c.send("stop", id)
        c.send("forget", id)
    tap.equal("a second stop is harmless", c.list(), {})
    for fd in (idle_read, idle_write, full_read):
        os.close(fd)


def test_images(w, c):
    with tempfile.TemporaryDirectory(prefix="wherry-layout-") as path:
        layout = Layout(os.path.join(path, "layout"))
        layout.tag("v1", layout.artifact(guest("exitcode")))
        tap.equal("a guest from an image layout", how(c.run("image", layout.dir, "7", image="v1")),
                  ("Error", 7, True))
        status = c.run("image", layout.dir, image="v2")
        tap.ok("an image that is not there", how(status) == ("NotFound", 127, False)
               and "it has: v1" in status["message"], status)
        tap.equal("a folder without the name of an image",
                  how(c.run("image", layout.dir))[1:], (125, False))


def test_refusals(w, c):
    c.accepted("one", guest("sleep"), "1000")
    c.start("one", guest("nop"))
    tap.equal("a name in use is refused", c.expect("refused")["reason"], "AlreadyExists")
    for request in ("stop", "measure", "forget"):
        c.send(request, "none")
        m = c.expect("refused")
        tap.equal(f"{request} of a guest that is not there", (m["reason"], m["id"]),
                  ("NotFound", "none"))
    c.send("forget", "one")
    tap.equal("a running guest cannot be forgotten", c.expect("refused")["reason"], "StillRunning")
    c.send("listed")
    tap.equal("what is no request", c.expect("refused")["reason"], "BadMessage")
    for name, data in (("random bytes", os.urandom(4096)),
                       ("a length beyond the limit", struct.pack("<II", 1 << 31, 0)),
                       ("descriptors that were not sent",
                        struct.pack("<II", 15, 3) + b'{"type":"list"}'),
                       ("no JSON", struct.pack("<II", 3, 0) + b"abc"),
                       ("an unknown type", struct.pack("<II", 14, 0) + b'{"type":"bah"}')):
        bad = Connection(w.socket_path)
        try:
            bad.socket.sendall(data)
        except BrokenPipeError:
            pass
        tap.ok(f"{name}: that connection is closed", bad.is_closed())
        bad.close()
    # A spec that names descriptors which do not come along, and one that names the same one twice.
    for name, n in (("a spec without its descriptor", 0), ("a descriptor named twice", 1)):
        bad = w.connect()
        module = os.open(guest("exitcode"), os.O_RDONLY)
        bad.send("start", spec={"id": "x", "module_fd": 0, "stdout_fd": 0}, fds=[module] * n)
        os.close(module)
        tap.ok(f"{name}: that connection is closed", bad.is_closed())
        bad.close()
    tap.equal("the others and the guests go on", c.list(), {"one": "started"})
    c.send("stop", "one")
    c.ended("one")
    c.send("forget", "one")


def test_supervisor_dies(w, c):
    """A supervisor starts two guests and is killed; the next one finds both."""
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        other = w.connect()
        other.accepted("goes-on", guest("sleep"), "1000")
        other.accepted("ends", guest("exitcode"), "3")
        os.write(ready_write, b"x")
        signal.pause()
        os._exit(0)
    os.read(ready_read, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until(lambda: w.record("ends"), "the end is recorded")
    tap.equal("an end is recorded with nobody there", how(w.record("ends")), ("Error", 3, True))
    next_one = w.connect()
    tap.equal("the next supervisor finds every guest", next_one.list(),
              {"goes-on": "started", "ends": "exited"})
    next_one.send("stop", "goes-on")
    tap.equal("and rules them", how(next_one.ended("goes-on")), ("Stopped", 143, False))
    tap.equal("others hear of it too", how(c.ended("goes-on")), ("Stopped", 143, False))
    for id in ("goes-on", "ends"):
        next_one.send("forget", id)
    next_one.list()
    next_one.close()
    os.close(ready_read)
    os.close(ready_write)


def test_leaves_no_descriptors(w, c):
    """After all that the worker holds what it held at first: each guest's were closed."""
    fds = f"/proc/{w.process.pid}/fd"
    c.run("warm", guest("exitcode"), "0")
    c.list()
    before = len(os.listdir(fds))
    logs = tempfile.mkdtemp(dir=w.dir)
    fd = folder(logs)
    for i in range(20):
        c.run(f"n{i}", guest("cat"), stdin=file_with(b"x"), log_dir=fd, dirs=[(fd, "/d", True)])
    c.list()
    os.close(fd)
    tap.equal("no descriptor is left behind", len(os.listdir(fds)), before)
    with open(f"/proc/{w.process.pid}/status", encoding="ascii") as f:
        tap.equal("nor a thread", re.search(r"Threads:\s*(\d+)", f.read()).group(1), "1")
    kids = subprocess.run(["ps", "--ppid", str(w.process.pid), "-o", "pid="],
                          stdout=subprocess.PIPE).stdout
    tap.equal("nor a child", kids, b"")


def test_ends_of_the_worker(cache):
    for name, finish in (("shutdown", lambda w, c: c.send("shutdown")),
                         ("SIGTERM", lambda w, c: w.process.send_signal(signal.SIGTERM))):
        with Worker(cache) as w:
            c = w.connect()
            c.accepted("a", guest("loop"))
            c.accepted("b", guest("sleep"), "1000")
            finish(w, c)
            tap.equal(f"{name} ends the guests", [how(c.ended(i))[0] for i in "ab"],
                      ["Stopped"] * 2)
            tap.ok(f"{name}: then the connection", c.is_closed())
            tap.equal(f"{name}: then the worker", w.process.wait(60), 0)
            tap.ok(f"{name}: the records stay", w.record("a") and w.record("b"))
    with Worker(cache) as w:
        c = w.connect()
        c.run("done", guest("exitcode"), "0")
        c.accepted("kept", guest("exitcode"), "0")
        c.ended("kept")
        c.accepted("runs", guest("loop"))
        # One that is compiled just now: without a cache entry, in a child of the worker.
        slow = os.path.join(w.dir, "slow.wasm")
        slow_module(slow, 60000)
        c.accepted("compiles", slow)
        wait_until(lambda: children(w.process.pid), "the compiler runs")
        kids = children(w.process.pid)
        w.process.kill()
        w.process.wait()
        tap.ok("kill -9: the connection is closed", c.is_closed())
        wait_until(lambda: all(map(has_ended, kids)), "the compiler ends")
        tap.ok("kill -9: a compiler goes with its worker", True)
        tap.equal("kill -9: only ended guests have a record",
                  sorted(n for n in os.listdir(w.dir) if n.endswith(".exit")), ["kept.exit"])
    with Worker(cache) as w:
        c = w.connect()
        slow = os.path.join(w.dir, "slow.wasm")
        slow_module(slow, 60000)
        c.accepted("compiles", slow)
        wait_until(lambda: children(w.process.pid), "the compiler runs")
        c.send("stop", "compiles")
        tap.equal("stop ends a guest that is compiled", how(c.ended("compiles")),
                  ("Stopped", 143, False))
        tap.equal("and its compiler", children(w.process.pid), [])


def runs_in(c, name):
    """A module and a component run in this worker."""
    read, write = os.pipe()
    s = c.run("module", guest("args"), "hello", stdout=write)
    os.close(write)
    text = os.read(read, 1000)
    os.close(read)
    tap.ok(f"{name}: a module runs", how(s)[1] == 0 and b"hello" in text, (s, text))
    s = c.run("component", guest("random.component"))
    tap.equal(f"{name}: a component runs", how(s), ("Completed", 0, True))


def test_empty_root():
    if os.geteuid() != 0:
        tap.skip("an empty root", "only root may chroot")
        return
    root = tempfile.mkdtemp(prefix="wherry-root-")
    shutil.copy2(PROGRAM, os.path.join(root, "wherry-worker"))

    def enter():
        os.chroot(root)
        os.chdir("/")

    with Worker(command=("/wherry-worker",), preexec_fn=enter) as w:
        runs_in(w.connect(), "in an empty root")
    tap.equal("nothing was written there", os.listdir(root), ["wherry-worker"])
    shutil.rmtree(root)


def test_unprivileged():
    if os.geteuid() != 0:
        tap.skip("a user namespace of nobody", "the test drops from root")
        return
    place = tempfile.mkdtemp(prefix="wherry-nobody-")
    os.chmod(place, 0o755)
    shutil.copy2(PROGRAM, os.path.join(place, "wherry-worker"))
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
               "unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*command, "true"], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).returncode:
        tap.skip("a user namespace of nobody", "this kernel gives none")
    else:
        with Worker(command=(*command, os.path.join(place, "wherry-worker"))) as w:
            runs_in(w.connect(), "in a user namespace of nobody")
            tap.ok("and its folder is its own", os.path.exists(os.path.join(w.dir, "worker.json")))
    shutil.rmtree(place)


def main():
    build_guests("args", "cat", "exitcode", "fds", "flood", "grow", "loop", "nop", "recurse",
                 "sleep", "trap", "random.component")
    cache = tempfile.mkdtemp(prefix="wherry-cache-")
    try:
        with Worker(cache) as w:
            c = w.connect()
            for test in (test_start_and_end, test_lists_that_nobody_reads, test_logs, test_limits, test_stops,
                         test_images, test_refusals, test_supervisor_dies, test_leaves_no_descriptors):
                test(w, c)
            c.close()
        test_ends_of_the_worker(cache)
        test_empty_root()
        test_unprivileged()
    finally:
        shutil.rmtree(cache)
    tap.finish()


main()
