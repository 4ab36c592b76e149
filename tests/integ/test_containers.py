#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Containers as a supervisor has them, over real workers: starts, adoption, every kind of death."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from supervisor_client import RunFolder  # noqa: E402
from worker_client import GUESTS, Connection, Tap, build_guests, has_ended, wait_until  # noqa: E402

tap = Tap()
LOST = ("WorkerLost", 137)
FOREVER = (os.path.join(GUESTS, "sleep.wasm"), "100000")


def ending(status):
    return os.path.join(GUESTS, "exitcode.wasm"), status


def n_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def is_stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


def pause(pid):
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: is_stopped(pid), "it is stopped")


def program(folder, text):
    """A worker of another kind."""
    path = os.path.join(folder, "fake_worker")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path


def test_start_and_end():
    with RunFolder() as r:
        s = r.supervisor()
        s.started("one", "a", *ending(7))
        tap.equal("a guest's own status", s.ended("a"), ("Error", 7, ""))
        tap.equal("its record stays until it is forgotten", r.records("one"), ["a"])
        s.forget("a")
        tap.equal("then it goes", (s.workers()["one"][1], r.records("one")), (0, []))
        pid = s.worker("one")
        s.started("one", "b", *FOREVER)
        s.started("two", "c", *FOREVER)
        tap.ok("a tenant's guests share a worker, another's do not",
               s.worker("one") == pid and s.worker("two") != pid)
        tap.ok("a worker has a session of its own", os.getsid(pid) == pid)
        with open(f"/proc/{pid}/environ", "rb") as f:
            tap.equal("and nothing of the supervisor's environment", f.read(), b"")
        tap.equal("whose folder is private", os.stat(os.path.join(r.run, "one")).st_mode & 0o777,
                  0o700)
        s.do("measure", "b")
        tap.ok("a guest is measured", int(s.expect("figures b").split()[3]) >= 0)
        s.do("stop", "b")
        s.do("stop", "b")
        tap.equal("a guest is stopped", s.ended("b")[:2], ("Stopped", 143))
        s.do("measure", "b")
        tap.equal("one that has ended has no figures", s.expect("figures b"), "figures b none")
        s.start("one", "b", *ending(0))
        tap.equal("an id is used once", s.refused("b")[0], "AlreadyExists")
        for tenant, id in (("..", "x"), ("a/b", "x2"), ("one", ".x"), ("t" * 201, "y"),
                           ("one", "y" * 201)):
            s.start(tenant, id, *ending(0))
            tap.equal(f"no name: {tenant[:5]} {id[:5]}", s.refused(id)[0], "BadSpec")
        s.start("t" * 200, "i" * 200, *ending(3))
        tap.equal("the longest names", s.ended("i" * 200)[:2], ("Error", 3))
        s.start("one", "no-file", "/nonexistent")
        tap.equal("a guest without a program", s.refused("no-file")[0], "BadSpec")
        s.down()
        tap.equal("shut down, guests are stopped", s.ended("c")[:2], ("Stopped", 143))
        tap.ok("and workers end", has_ended(pid) and not s.workers())
        s.start("one", "late", *ending(0))
        tap.equal("and none is started any more", s.refused("late")[0], "ShuttingDown")
        tap.equal("the supervisor ends", s.quit(), 0)


def test_starts_wait():
    """What is asked while the worker comes up happens in order."""
    with RunFolder() as r:
        s = r.supervisor()
        for i in range(100):
            s.start("t", f"g{i}", *ending(i))
        s.do("stop", "g50")
        order = [s.expect("started", "refused").split()[1] for _ in range(100)]
        tap.equal("starts that wait are carried out in order",
                  [g for g in order if g != "g50"], [f"g{i}" for i in range(100) if i != 50])
        tap.equal("all end", [s.ended(f"g{i}")[1] for i in range(100) if i != 50],
                  [i for i in range(100) if i != 50])
        s.quit()


def test_worker_cannot_start():
    with RunFolder() as r:
        s = r.supervisor(worker="/nonexistent/wherry-worker")
        s.start("t", "a", *ending(0))
        reason, text = s.refused("a")
        tap.ok("without the program of the worker", reason == "WorkerFailed" and
               "/nonexistent/wherry-worker" in text, text)
        s.quit()
        bad = program(r.dir, "#!/bin/sh\necho nothing works >&2\necho at all >&2\nexit 3\n")
        s = r.supervisor(worker=bad)
        before = n_fds(s.pid)
        for i in range(3):
            s.start("t", f"g{i}", *ending(0))
        for i in range(3):
            reason, text = s.refused(f"g{i}")
            tap.ok("a worker that exits refuses all that wait, and says why",
                   reason == "WorkerFailed" and "status 3" in text and
                   "nothing works;at all" in text, text)
        tap.equal("no descriptor is left", n_fds(s.pid), before + 1)  # the folder's
        tap.equal("nor a worker", s.workers(), {})
        s.quit()
        old = program(r.dir, "#!/usr/bin/env python3\nimport socket, struct, time\n"
                      "l = socket.socket(fileno=3)\nc, _ = l.accept()\n"
                      "m = b'{\"type\":\"hello\",\"protocol\":9,\"pid\":1,\"version\":\"x\"}'\n"
                      "c.sendall(struct.pack('<II', len(m), 0) + m)\ntime.sleep(1000)\n")
        s = r.supervisor(worker=old)
        s.start("t", "x", *ending(0))
        reason, text = s.refused("x")
        tap.ok("a worker of another protocol is none", reason == "WorkerFailed" and
               "version" in text, text)
        s.quit()


def test_worker_dies():
    with RunFolder() as r:
        s = r.supervisor()
        s.started("t", "noted", *ending(5))
        s.ended("noted")
        s.started("t", "runs", *FOREVER)
        pid = s.worker("t")
        # Asked, but neither started nor refused when it dies.
        pause(pid)
        s.start("t", "asked", *ending(0))
        s.do("measure", "runs")
        s.workers()
        os.kill(pid, signal.SIGKILL)
        tap.equal("a guest is lost with its worker", s.ended("runs")[:2], LOST)
        tap.equal("so is one that may have run", s.ended("asked")[:2], LOST)
        tap.equal("who asked for figures hears that there are none", s.expect("figures"),
                  "figures runs none")
        tap.equal("nothing is told twice", s.said("exited"), [])
        tap.equal("the losses are noted", r.records("t"), ["asked", "noted", "runs"])
        s.started("t", "next", *FOREVER)
        tap.ok("the next start makes a new worker", s.worker("t") != pid)
        tap.equal("the records of the last one stay", r.records("t"), ["asked", "noted", "runs"])
        for id in ("noted", "runs", "asked"):
            s.forget(id)
        s.workers()
        tap.equal("until they are forgotten", r.records("t"), [])
        os.kill(s.worker("t"), signal.SIGKILL)
        s.ended("next")
        s.forget("next")
        wait_until(lambda: not os.path.exists(os.path.join(r.run, "t")), "the folder goes")
        tap.ok("a folder without a use is removed", True)
        s.quit()


def test_exit_seen_only_in_its_record():
    """It ends, the worker notes it and is killed before anybody reads what it told."""
    with RunFolder() as r:
        s = r.supervisor()
        s.started("t", "a", os.path.join(GUESTS, "cat.wasm"))
        s.ended("a")
        s.forget("a")
        s.started("t", "a2", *FOREVER)
        pid = s.worker("t")
        pause(s.pid)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: has_ended(pid), "the worker ends")
        os.kill(s.pid, signal.SIGCONT)
        tap.equal("its own status counts, not the loss", s.ended("a2")[:2], ("Stopped", 143))
        s.quit()


def test_supervisor_dies():
    with RunFolder() as r:
        s = r.supervisor()
        s.started("t", "runs", *FOREVER)
        s.started("t", "noted", *ending(4))
        s.ended("noted")
        s.started("t", "forgotten", *ending(0))
        s.ended("forgotten")
        s.forget("forgotten")
        s.started("t", "unwanted", *FOREVER)
        s.started("t", "unwanted-ended", *ending(0))
        s.ended("unwanted-ended")
        s.started("gone", "lost", *FOREVER)
        s.started("gone", "ended", *ending(6))
        s.ended("ended")
        pid, gone = s.worker("t"), s.worker("gone")
        pause(pid)
        s.start("t", "asked", *FOREVER)
        s.workers()
        s.kill()
        os.kill(gone, signal.SIGKILL)
        os.kill(pid, signal.SIGCONT)
        s = r.supervisor()
        tap.ok("the worker is adopted", s.worker("t") == pid and "gone" not in s.workers())
        tap.equal("a guest that runs is claimed", (s.claim("t", "runs"), s.expect("started")),
                  ("claimed", "started runs"))
        tap.equal("one that has ended", (s.claim("t", "noted"), s.ended("noted")[:2]),
                  ("claimed", ("Error", 4)))
        tap.equal("what was asked before the death was carried out",
                  (s.claim("t", "asked"), s.expect("started")), ("claimed", "started asked"))
        tap.equal("a worker that lives knows who never was there", s.claim("t", "never"),
                  "unknown")
        tap.equal("nor one that was forgotten", s.claim("t", "forgotten"), "unknown")
        tap.equal("a record of a dead worker", (s.claim("gone", "ended"), s.ended("ended")[:2]),
                  ("claimed", ("Error", 6)))
        tap.equal("a dead worker without a record", s.claim("gone", "lost"), "lost")
        tap.equal("no worker at all", s.claim("other", "lost"), "lost")
        tap.equal("the rest is nobody's", s.orphans(), 2)
        wait_until(lambda: s.workers()["t"][1] == 2, "orphans are stopped")
        tap.equal("orphans are ended and forgotten", r.records("t"), ["noted"])
        s.forget("ended")
        # A loss that was told once stays one, also with a new worker in that folder.
        s.started("gone", "new", *FOREVER)
        s.kill()
        s = r.supervisor()
        tap.equal("a loss stays a loss", (s.claim("gone", "lost"), s.ended("lost")[:2]),
                  ("claimed", LOST))
        tap.equal("also where there was no worker", s.claim("other", "lost"), "claimed")
        tap.equal("and what ran goes on", s.claim("t", "runs"), "claimed")
        s.do("stop", "runs")
        tap.equal("and is ruled by the third supervisor", s.ended("runs")[:2], ("Stopped", 143))
        os.kill(pid, signal.SIGKILL)
        tap.equal("the death of an adopted worker", (s.claim("t", "asked"), s.ended("asked")[:2]),
                  ("claimed", LOST))
        s.quit()


def test_supervisor_dies_with_much_under_way():
    """More requests than the worker reads at once are in the socket when the supervisor dies."""
    with RunFolder() as r:
        s = r.supervisor()
        s.started("t", "first", *FOREVER)
        pid = s.worker("t")
        pause(pid)
        ids = [f"g{i}" for i in range(12)]
        for id in ids:
            s.start("t", id, *FOREVER, "x" * 20000)
        s.workers()
        s.kill()
        s = r.supervisor(adopt=False)
        s.do("adopt")
        s.workers()  # it has connected
        os.kill(pid, signal.SIGCONT)
        s.expect("adopted")
        claimed = {id for id in ids if s.claim("t", id) == "claimed"}
        c = Connection(os.path.join(r.run, "t", "socket"))
        tap.equal("all that was accepted is known", set(c.list()) - {"first"}, claimed)
        tap.ok("which is more than was read at once", len(claimed) > 4, claimed)
        c.close()
        s.quit()


def test_adoption_of_a_worker_that_does_not_answer():
    with RunFolder() as r:
        s = r.supervisor()
        s.started("t", "a", *FOREVER)
        s.started("t", "b", *ending(2))
        s.ended("b")
        s.started("u", "c", *FOREVER)
        s.started("v", "d", *FOREVER)
        pid, other, sound = (s.worker(t) for t in "tuv")
        pause(pid)
        pause(other)
        s.kill()
        # As if the supervisor had died before it noted which processes they are.
        for tenant in "uv":
            os.unlink(os.path.join(r.run, f".{tenant}.process"))
        os.unlink(os.path.join(r.run, "v", "worker.json"))
        begin = time.monotonic()
        s = r.supervisor()
        took = time.monotonic() - begin
        tap.ok("a worker that says nothing is killed after five seconds",
               4 < took < 20 and has_ended(pid), took)
        tap.ok("also one of which only its own record is left", has_ended(other))
        tap.equal("one that answers needs neither note nor record", (s.worker("v"), s.claim("v", "d")),
                  (sound, "claimed"))
        os.kill(sound, signal.SIGKILL)
        tap.equal("and its death is seen", s.ended("d")[:2], LOST)
        tap.equal("what it ran is lost", s.claim("t", "a"), "lost")
        tap.equal("its records count", (s.claim("t", "b"), s.ended("b")[1]), ("claimed", 2))
        s.quit()


def test_stopped_worker_blocks_nobody():
    with RunFolder() as r:
        s = r.supervisor()
        s.started("stuck", "first", *FOREVER)
        pid = s.worker("stuck")
        pause(pid)
        before = n_fds(s.pid)
        for i in range(100):
            s.start("stuck", f"g{i}", *ending(0), "x" * 20000)
        s.do("stop", "g99")
        tap.equal("a start that waits can be stopped", s.refused("g99")[0], "Stopped")
        s.start("other", "o", *ending(9))
        tap.equal("others go on", s.ended("o")[:2], ("Error", 9))
        os.kill(pid, signal.SIGCONT)
        tap.equal("and so does it, later", [s.ended(f"g{i}")[1] for i in range(99)], [0] * 99)
        for i in range(100):
            s.forget(f"g{i}")
        s.workers()
        tap.ok("no descriptor is left", n_fds(s.pid) <= before + 6, (n_fds(s.pid), before))
        s.quit()


def test_connection_breaks():
    """The worker lives, but the connection does not: its socket is shut from outside."""
    with RunFolder() as r:
        s = r.supervisor()
        s.started("t", "a", *FOREVER)
        pid = s.worker("t")
        ours = next(fd for fd in os.listdir(f"/proc/{s.pid}/fd")
                    if int(fd) > 2 and is_connection(s.pid, fd))
        shut_socket(s.pid, int(ours))
        s.started("t", "b", *ending(3))
        tap.equal("another connection is made", s.ended("b")[:2], ("Error", 3))
        tap.equal("to the same worker", s.worker("t"), pid)
        s.do("stop", "a")
        tap.equal("whose guests go on", s.ended("a")[:2], ("Stopped", 143))
        s.quit()


def is_connection(pid, fd):
    """A unix stream socket that is connected (state 03)."""
    link = os.readlink(f"/proc/{pid}/fd/{fd}")
    if not link.startswith("socket:["):
        return False
    with open("/proc/net/unix", encoding="ascii") as f:
        return any(line.split()[6] == link[8:-1] and line.split()[5] == "03" for line in f)


def shut_socket(pid, fd):
    """shutdown(2) on a descriptor of another process."""
    import ctypes
    import socket
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    mine = libc.syscall(438, pidfd, fd, 0)  # pidfd_getfd
    assert mine >= 0, os.strerror(ctypes.get_errno())
    socket.socket(fileno=mine).shutdown(socket.SHUT_RDWR)
    os.close(pidfd)


def test_idle():
    with RunFolder() as r:
        s = r.supervisor(idle_ms=300)
        s.started("t", "a", *ending(1))
        s.ended("a")
        pid = s.worker("t")
        wait_until(lambda: not s.workers(), "the worker is shut down")
        tap.ok("a worker without guests is shut down", "status 0" in s.expect("told t the worker"))
        tap.equal("its records stay", r.records("t"), ["a"])
        s.started("t", "b", *FOREVER)
        tap.ok("the next guest has a new one", s.worker("t") != pid)
        time.sleep(0.6)
        tap.ok("one with a guest stays", not has_ended(s.worker("t")))
        s.kill()
        s = r.supervisor(idle_ms=300)
        s.orphans()
        wait_until(lambda: not s.workers(), "an adopted worker is shut down")
        wait_until(lambda: not r.files("t"), "its folder goes")
        tap.ok("an adopted one too, and nothing is left", not r.files("t"))
        s.quit()


def test_two_supervisors():
    with RunFolder() as r:
        r.supervisor()
        second = r.supervisor(adopt=False)
        tap.ok("a run folder has one supervisor", "another supervisor" in
               second.expect("failed RunFolder"))


def test_many():
    with RunFolder() as r:
        s = r.supervisor()
        s.started("t", "warm", *ending(0))
        s.ended("warm")
        s.forget("warm")
        s.workers()
        worker, before = s.worker("t"), n_fds(s.pid)
        in_worker = n_fds(worker)
        for i in range(1000):
            s.start("t", f"g{i}", *ending(i % 100))
        ends = [s.ended(f"g{i}")[1] for i in range(1000)]
        tap.equal("1,000 guests end with their own status", ends, [i % 100 for i in range(1000)])
        for i in range(1000):
            s.forget(f"g{i}")
        s.started("t", "last", *ending(0))
        s.ended("last")
        tap.equal("the supervisor has no descriptor left", n_fds(s.pid), before)
        tap.equal("nor has the worker", n_fds(worker), in_worker)
        tap.equal("nor is there a record", r.records("t"), ["last"])
        s.quit()


def test_full_run_folder():
    if os.geteuid() != 0:
        tap.skip("a full run folder", "only root may mount")
        return
    with RunFolder() as r:
        os.makedirs(r.run, 0o700)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", r.run],
                          stderr=subprocess.DEVNULL).returncode:
            tap.skip("a full run folder", "no tmpfs can be mounted")
            return
        try:
            s = r.supervisor()
            s.started("t", "a", *FOREVER)
            pid = s.worker("t")
            with open(os.path.join(r.run, "filler"), "wb", buffering=0) as f:
                try:
                    while f.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
            os.kill(pid, signal.SIGKILL)
            tap.equal("a loss is told without room for its record", s.ended("a")[:2], LOST)
            s.start("t", "b", *ending(0))
            reason, text = s.refused("b")
            tap.ok("but no worker takes the place of the dead one then",
                   reason == "WorkerFailed" and "No space" in text, text)
            os.unlink(os.path.join(r.run, "filler"))
            s.started("t", "c", *ending(8))
            tap.equal("with room again one does", s.ended("c")[:2], ("Error", 8))
            tap.ok("and the loss is noted", "a" in r.records("t"))
            s.down()
            s.quit()
        finally:
            subprocess.run(["umount", r.run])


def main():
    build_guests("exitcode", "sleep", "cat")
    for test in (test_start_and_end, test_starts_wait, test_worker_cannot_start, test_worker_dies,
                 test_exit_seen_only_in_its_record, test_supervisor_dies,
                 test_supervisor_dies_with_much_under_way,
                 test_adoption_of_a_worker_that_does_not_answer,
                 test_stopped_worker_blocks_nobody, test_connection_breaks, test_idle,
                 test_two_supervisors, test_full_run_folder, test_many):
        test()
    tap.finish()


main()
