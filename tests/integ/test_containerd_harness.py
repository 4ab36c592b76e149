#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""That the daemons of the shim's tests work with runc, and that what is left behind is found."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [TESTS, os.path.join(TESTS, "containerd")]
import images  # noqa: E402
from daemon import VERSIONS, Containerd, CriError, peers  # noqa: E402
from worker_client import PATIENCE_S, Tap, has_ended  # noqa: E402

tap = Tap()
# It says so when it can be asked to end.
SCRIPT = "echo out; echo err >&2; trap 'exit 3' TERM; echo ready; while :; do sleep 1 & wait; done"
# The size comes when the command runs already.
TERMINAL = """while size=$(stty size 2>/dev/null); [ -z "$size" ]; do sleep 0.01; done
echo $size; read line; echo got $line; exit 4"""


def ctr(version, daemon):
    image, = daemon.load(images.busybox())
    tap.equal(f"{version}: ctr has the program's output and status",
              daemon.ctr("run", "--rm", image, "c1", "sh", "-c", "echo hi; exit 42",
                         is_checked=False), (42, "hi\n", ""))
    # Not up to its deletion: runc's shim may be gone before it has told.
    daemon.ctr("run", "-d", image, "c2", "true")
    tap.equal(f"{version}: the events of a task come in order",
              [topic for topic, _ in daemon.events.of("c2", until="/tasks/exit")],
              ["/tasks/create", "/tasks/start", "/tasks/exit"])
    daemon.ctr("tasks", "delete", "c2")
    daemon.ctr("containers", "delete", "c2")
    tap.equal(f"{version}: ctr passes its input on",
              daemon.ctr_echo(b"a line\n", "run", "--rm", image, "c3", "cat"), (0, b"a line\n"))


def terminal(daemon, container):
    """(its size, what it says, status)"""
    r, w = os.pipe()
    try:
        os.write(w, b"101 33\n")
        request = {"container_id": container, "cmd": ["sh", "-c", TERMINAL], "tty": True,
                   "stdin": True, "stdout": True}
        with daemon.cri.stream("exec", request, stdin=subprocess.PIPE, sizes_fd=r) as process:
            first = process.stdout.readline().strip().decode()
            process.stdin.write(b"a line\n")
            process.stdin.flush()
            rest = process.stdout.read().split(b"\r\n")
            return first, rest[-2].decode(), process.wait(PATIENCE_S)
    finally:
        os.close(r)
        os.close(w)


def cri(version, daemon):
    image, = daemon.load_cri(images.busybox())
    pod = daemon.cri.run_pod("web", log_directory=os.path.join(daemon.dir, "logs"))
    tap.ok(f"{version}: a pod has an address of the network",
           pod.status()["network"]["ip"].startswith(daemon.network.gateway[:-1]))
    container = pod.start("main", image, "sh", "-c", SCRIPT)
    tap.equal(f"{version}: exec has streams and status",
              daemon.cri.exec(container, "sh", "-c", "cat; echo no >&2; exit 7", data=b"in"),
              (7, b"in", b"no\n"))
    tap.equal(f"{version}: exec has a terminal of a size", terminal(daemon, container),
              ("33 101", "got a line", 4))
    daemon.restart()
    tap.equal(f"{version}: a container outlives the daemon",
              daemon.cri.state(container)["state"], "CONTAINER_RUNNING")
    pod.wait_log("main", "ready")
    daemon.cri("StopContainer", container_id=container, timeout=PATIENCE_S)
    tap.equal(f"{version}: a container ends when it is asked to",
              daemon.cri.state(container)["exit_code"], 3)
    tap.equal(f"{version}: its log has what it wrote", sorted(pod.log("main")),
              [("stderr", "err"), ("stdout", "out"), ("stdout", "ready")])
    pod.remove()
    try:
        pod.status()
        tap.ok(f"{version}: a pod that was removed is not found", False)
    except CriError as e:
        tap.equal(f"{version}: a pod that was removed is not found", e.code, "NotFound")


def test(version):
    with Containerd(version) as daemon:
        ctr(version, daemon)
        cri(version, daemon)
    tap.equal(f"{version}: nothing is left", daemon.left, [])


def left_is_found():
    with Containerd(VERSIONS[0], is_quiet=True) as daemon:
        image, = daemon.load(images.busybox())
        daemon.ctr("run", "-d", image, "c1", "sleep", "1000")
        pid = int(daemon.ctr("tasks", "ls")[1].splitlines()[1].split()[1])
    tap.equal("what is left is found", sorted({what.split()[0] for what in daemon.left}),
              ["bundle", "cgroup", "mount", "process", "record", "socket"])
    tap.ok("and removed", has_ended(pid) and not os.path.exists(daemon.dir)
           and not daemon.leftovers())


peers()
# The other tests start each version; this one shows that runc works in them.
for each in VERSIONS if os.environ.get("FULL") == "1" else VERSIONS[-1:]:
    tap.run(test, each)
tap.run(left_is_found)
tap.finish()
