#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A guest inside a file call that nothing can cancel: its end is told all the same, others go on."""
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from worker_client import Tap, Worker, build_guests, guest, wait_until  # noqa: E402

tap = Tap()


def is_waiting_for_writer(pid):
    """True when a thread of the process is inside open() of a FIFO that nobody else has open."""
    tasks = f"/proc/{pid}/task"
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/wchan", encoding="ascii") as f:
            if f.read() == "wait_for_partner":
                return True
    return False


def test_abandon(w, c, work):
    os.mkfifo(os.path.join(work, "fifo"))
    read, write = os.pipe()
    dir_fd = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    c.accepted("stuck", guest("openfile"), "/work/fifo", stdout=write,
               dirs=[(dir_fd, "/work", False)])
    os.close(write)
    os.close(dir_fd)
    wait_until(lambda: is_waiting_for_writer(w.process.pid), "the guest opens the FIFO")
    c.send("stop", "stuck")
    status = c.ended("stuck")
    tap.equal("its end is told", (status["reason"], status["exit_code"]), ("Stopped", 143))
    c.send("forget", "stuck")
    tap.equal("others run", c.run("other", guest("exitcode"), "3")["exit_code"], 3)
    tap.equal("its name is free", c.run("stuck", guest("exitcode"), "4")["exit_code"], 4)
    # The call ends when a writer comes; nobody is there any more to hear of it.
    os.close(os.open(os.path.join(work, "fifo"), os.O_WRONLY))
    said = b""
    while more := os.read(read, 100):
        said += more
    tap.equal("after its call it says nothing more", said, b"opening\n")
    os.close(read)


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
