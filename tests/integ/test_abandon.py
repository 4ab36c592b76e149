#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A guest inside a file call that nothing can cancel: its end is told all the same, others go on."""
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from worker_client import GUESTS, Tap, Worker, build_guests, wait_until  # noqa: E402

tap = Tap()


def guest(name):
    return os.path.join(GUESTS, name + ".wasm")


def test_abandon(w, c, work):
    os.mkfifo(os.path.join(work, "fifo"))
    read, write = os.pipe()
    dir_fd = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    c.accepted("stuck", guest("openfile"), "/work/fifo", stdout=write,
               dirs=[(dir_fd, "/work", False)])
    os.close(write)
    os.close(dir_fd)
    tap.equal("the guest opens a FIFO that nobody writes to", os.read(read, 100), b"opening\n")
    c.send("stop", "stuck")
    status = c.ended("stuck")
    tap.equal("its end is told", (status["reason"], status["exit_code"]), ("Stopped", 143))
    tap.ok("with what holds it", "cannot be cancelled" in status["message"], status)
    c.send("forget", "stuck")
    tap.equal("others run", c.run("other", guest("exitcode"), "3")["exit_code"], 3)
    c.start("stuck", guest("exitcode"), "4")
    refused = c.expect("started", "refused", id="stuck")
    tap.equal("there are never two of one name", refused.get("reason"), "StillRunning")
    # The call ends when a writer comes, and the thread with it.
    os.close(os.open(os.path.join(work, "fifo"), os.O_WRONLY))
    tap.equal("after its call it says nothing more", os.read(read, 100), b"")
    os.close(read)

    def is_free():
        c.start("stuck", guest("exitcode"), "4")
        return c.expect("started", "refused", id="stuck")["type"] == "started"

    wait_until(is_free, "the name is free")
    tap.equal("then its name is free", c.ended("stuck")["exit_code"], 4)


def main():
    build_guests("openfile", "exitcode")
    work = tempfile.mkdtemp(prefix="wherry-abandon-")
    try:
        with Worker() as w:
            c = w.connect()
            test_abandon(w, c, work)
            c.close()
    finally:
        shutil.rmtree(work)
    tap.finish()


main()
