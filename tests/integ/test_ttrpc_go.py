#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ttrpc and containerd's messages against containerd's own Go code, which is built below build/ the
first time; without Go or its modules everything here is skipped."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
from worker_client import ROOT, Tap  # noqa: E402

OURS = os.path.join(ROOT, os.environ.get("WHERRY_BUILD", "build/meson"), "tests/integ/ttrpc_peer")
THEIRS = os.path.join(ROOT, "build/ttrpc_go_peer")
EVENTS = 100
tap = Tap()


def build():
    """Why it cannot be built, if so."""
    try:
        done = subprocess.run(["go", "build", "-trimpath", "-o", THEIRS, "."],
                              cwd=os.path.join(HERE, "ttrpc_go"), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=500,
                              env=dict(os.environ, GOTOOLCHAIN="local"))
    except FileNotFoundError:
        return "there is no Go"
    return done.stdout.decode("utf-8", "replace").strip()[-200:] if done.returncode else None


def start(*command):
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    tap.equal(f"{os.path.basename(command[0])} listens", process.stdout.readline(), "listening\n")
    return process


def calls(path):
    server = start(OURS, "serve", path)
    done = subprocess.run([THEIRS, "client", path], stdout=subprocess.PIPE, text=True, timeout=60)
    found = done.stdout.splitlines()
    for name, line in (("500 calls at once are answered", "many"),
                       ("an unknown method is unimplemented", "method true"),
                       ("an unknown service is unimplemented", "service true"),
                       ("a refusal has its code and its text", "kill true no such task\ufffd"),
                       ("a stream is unimplemented", "stream true"),
                       ("a call is given up by who asked", "deadline true"),
                       ("a call that waited gets its answer", "wait 137"),
                       ("the connection lasts through all of it", "end")):
        tap.ok(name, line in found, done.stdout)
    server.stdin.close()
    tap.equal("the server ends without a complaint", server.wait(20), 0)


def events(path):
    server = start(THEIRS, "server", path)
    done = subprocess.run([OURS, "publish", f"unix://{path}", str(EVENTS)], timeout=60)
    tap.equal("all events are taken", done.returncode, 0)
    wanted = [f"k8s.io /tasks/exit containerd.events.TaskExit c{i} {i} 1700000000 true\n"
              for i in range(EVENTS)]
    tap.equal("each as it was published, in order", [server.stdout.readline() for _ in wanted],
              wanted)
    server.kill()
    server.wait()


why = build()
if why:
    tap.skip("containerd's code as the other side", why.replace("\n", " "))
else:
    with tempfile.TemporaryDirectory() as folder:
        tap.run(calls, os.path.join(folder, "task"))
        tap.run(events, os.path.join(folder, "events"))
tap.finish()
