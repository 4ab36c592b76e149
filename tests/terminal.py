# SPDX-License-Identifier: Apache-2.0
"""`wherry` on a real terminal, for tests: what is typed and what is seen."""
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

from worker_client import PATIENCE_S

CTRL_C, CTRL_D = b"\x03", b"\x04"


def window(columns, rows):
    return struct.pack("HHHH", rows, columns, 0, 0)


def window_of(fd):
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    return columns, rows


class Terminal:
    """`wherry ARGS` in the foreground of a terminal of its own."""

    def __init__(self, agent, *args, size=(80, 24)):
        self.master, self.slave = pty.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen(
            [agent.wherry_path, *args], env=agent.env, stdin=self.slave, stdout=self.slave,
            stderr=self.slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, window(columns, rows))

    def type(self, text):
        os.write(self.master, text)

    def expect(self, text):
        """Takes what is seen up to the end of `text`, and returns it."""
        end = time.monotonic() + PATIENCE_S
        while text not in self.seen:
            left = end - time.monotonic()
            if left < 0 or not select.select([self.master], [], [], left)[0]:
                raise AssertionError(f"{text!r} does not come; seen: {self.seen!r}")
            self.seen += os.read(self.master, 65536)
        taken, _, self.seen = self.seen.partition(text)
        return taken + text

    def status(self):
        """Of its end, up to which all is read."""
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self.master], [], [], 0.02)[0]:
                self.seen += os.read(self.master, 65536)
        return self.process.wait(0)

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & (termios.ECHO | termios.ISIG)

    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.before
