# SPDX-License-Identifier: Apache-2.0
"""A real HTTP proxy for tests: tinyproxy."""
import os
import re
import shutil
import socket
import subprocess
import tempfile

from serve_client import BOX
from worker_client import PATIENCE_S, wait_until


class Proxy:
    """On a port of 127.0.0.1, for anybody or for one (user, password)."""

    def __init__(self, user=None):
        self.dir = tempfile.mkdtemp(prefix="proxy-", dir=BOX)
        self._log = os.path.join(self.dir, "log")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        config = os.path.join(self.dir, "config")
        with open(config, "w", encoding="ascii") as f:
            f.write(f'Port {self.port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\n'
                    f'LogFile "{self._log}"\nLogLevel Connect\n')
            if user:
                f.write("BasicAuth {} {}\n".format(*user))
        self.process = subprocess.Popen(["tinyproxy", "-d", "-c", config],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def __enter__(self):
        wait_until(lambda: self._listens() or self.process.poll() is not None, "tinyproxy listens")
        if self.process.poll() is not None:
            raise RuntimeError("tinyproxy does not listen: " + self._text())
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        shutil.rmtree(self.dir)

    def url(self, user=None):
        who = f"{user[0]}:{user[1]}@" if user else ""
        return f"http://{who}127.0.0.1:{self.port}"

    def requests(self):
        """["GET http://...", "CONNECT host:port"] so far."""
        return re.findall(r"Request \(file descriptor \d+\): (\S+ \S+) HTTP", self._text())

    def _listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def _text(self):
        try:
            with open(self._log, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""
