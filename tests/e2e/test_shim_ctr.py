#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""containerd-shim-wherry-v1 as `ctr` drives it, under each containerd; with FULL=1 also under those
BETWEEN. With PART=WORD only the parts that have it in their names, with VERSION=1.6 all of them,
only under that one."""
import itertools
import os
import re
import shutil
import signal
import sys
import tempfile
from types import SimpleNamespace

sys.dont_write_bytecode = True
TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [TESTS, os.path.join(TESTS, "containerd")]
import images  # noqa: E402
from daemon import WHERRY, Containerd, peers, wanted_versions  # noqa: E402
from serve_client import BOX, WHERRY as COMMAND, output  # noqa: E402
from terminal import Terminal  # noqa: E402
from worker_client import Tap, guest, has_ended, wait_until  # noqa: E402

tap = Tap()
IS_FULL = os.environ.get("FULL") == "1" or "VERSION" in os.environ
numbers = itertools.count(1)
SIGTERM_STATUS = 128 + signal.SIGTERM


class Case:
    """A daemon, and what is asked of the shim there."""

    def __init__(self, version, daemon):
        self.version, self.daemon = version, daemon

    def name(self, text):
        return f"{self.version}: {text}"

    def image(self, name, form="files"):
        image = images.busybox() if name == "busybox" else images.wasm(name, form)
        return self.daemon.load(image)[0]

    def run(self, image, *argv, options=()):
        """(status, stdout, stderr) of a container in the foreground."""
        return self.daemon.ctr("run", "--rm", "--runtime", WHERRY, *options, image,
                               f"c{next(numbers)}", *argv, is_checked=False)

    def start(self, image, *argv, options=()):
        """The name of a container in the background."""
        name = f"c{next(numbers)}"
        self.daemon.ctr("run", "-d", "--runtime", WHERRY, *options, image, name, *argv)
        return name

    def tasks(self):
        """{container: (pid, status)}"""
        rows = (line.split() for line in self.daemon.ctr("tasks", "ls")[1].splitlines()[1:])
        return {name: (int(pid), status) for name, pid, status in rows}

    def kill(self, name, number="SIGKILL"):
        self.daemon.ctr("tasks", "kill", "-s", number, name)

    def exit(self, name):
        """The status of a task, once it has ended."""
        events = self.daemon.events
        events.wait(lambda e: e[1] == "/tasks/exit" and e[2].get("id") == name)
        return next(body.get("exit_status", 0) for topic, body in events.of(name)
                    if topic == "/tasks/exit" and body["id"] == name)

    def remove(self, name):
        self.daemon.ctr("tasks", "delete", name, is_checked=False)  # its status is the task's
        self.daemon.ctr("containers", "delete", name)


# ---- In the foreground -----------------------------------------------------------------------


def statuses(case):
    image = case.image("exitcode")
    for status in (0, 42, 255):
        tap.equal(case.name(f"a program's status {status} is ctr's"),
                  case.run(image, "/app.wasm", str(status)), (status, "", ""))
    image = case.image("trap")
    tap.equal(case.name("a trap has the status of wherry run"), case.run(image)[0],
              output(COMMAND, "run", guest("trap"))[0])
    tap.equal(case.name("and so has a deadline"), case.run(
        case.image("loop"), options=["--annotation", "wherry.dev/timeout=200ms"])[0], 124)


def arguments(case):
    image = case.image("args")
    status, out, err = case.run(image, "/app.wasm", "a b", "", options=["--env", "ONE=1 2"])
    tap.equal(case.name("arguments arrive"), (status, re.findall(r"argv\[\d\]=.*", out), err),
              (0, ["argv[0]=/app.wasm", "argv[1]=a b", "argv[2]="], ""))
    tap.ok(case.name("the environment is the container's"), "\nONE=1 2\n" in out
           and "CONTAINERD" not in out and "TTRPC" not in out, out)


def image_forms(case):
    """The program is found in whatever the daemon can unpack."""
    # See tests/containerd/README.md; ctr does not know the configuration of an artifact.
    for form in ("files", "compat") if case.version == "1.6" else ("files", "compat", "layers"):
        image = case.image("exitcode", form)
        tap.equal(case.name(f"an image of the form {form} runs"),
                  case.run(image, "/app.wasm", "7"), (7, "", ""))
    component = case.image("arguments.component")
    tap.equal(case.name("a component runs"), case.run(component)[0],
              output(COMMAND, "run", guest("arguments.component"))[0])


def streams(case):
    image = case.image("cat")
    tap.equal(case.name("input arrives, and its end"),
              case.daemon.ctr_echo(b"a line\n", "run", "--rm", "--runtime", WHERRY, image,
                                   f"c{next(numbers)}"), (0, b"a line\n"))
    image = case.image("flood")
    status, out, _ = case.run(image, "/app.wasm", "1000000")
    tap.equal(case.name("nothing of a large output is lost"), (status, len(out)), (0, 1000000))


def folders(case):
    image = case.image("directories")
    with tempfile.TemporaryDirectory(dir=BOX) as folder:
        status, out, err = case.run(image, options=[
            "--mount", f"type=bind,src={folder},dst=/work,options=rbind:rw"])
        tap.ok(case.name("a folder that is mounted is the program's"),
               status == 0 and "FAIL" not in out, f"{status} {out} {err}")


def mounted_programs(case):
    """Whether a program is WebAssembly is seen in the volume that it is in."""
    image = case.image("busybox")
    with tempfile.TemporaryDirectory(dir=BOX) as folder:
        os.symlink("exitcode.wasm", os.path.join(folder, "link"))
        program = os.path.join(folder, "exitcode.wasm")
        shutil.copy(guest("exitcode"), program)
        for what, source, point, argv in (
                ("a folder", folder, "/opt/volume", "/opt/volume/exitcode.wasm"),
                ("a folder, behind a link,", folder, "/opt/volume", "/opt/volume/link"),
                ("a mount of its own", program, "/app.wasm", "/app.wasm")):
            tap.equal(case.name(f"a program in {what} that is mounted runs"), case.run(
                image, argv, "5",
                options=["--mount", f"type=bind,src={source},dst={point},options=rbind:ro"]),
                (5, "", ""))


def missing(case):
    status, _, err = case.run(case.image("exitcode"), "/nothing.wasm")
    tap.ok(case.name("a program that is not there is named"),
           status != 0 and "/nothing.wasm" in err, f"{status} {err}")


def native(case):
    image = case.image("busybox")
    tap.equal(case.name("a native program runs"),
              case.run(image, "sh", "-c", "echo out; echo err >&2; exit 42"),
              (42, "out\n", "err\n"))


def terminals(case):
    program = SimpleNamespace(wherry_path=os.path.join(case.daemon.programs, "ctr"),
                              env=case.daemon.env)
    for image, argv, wanted in ((case.image("args"), ["/app.wasm", "x"], b"argv[1]=x\r"),
                                (case.image("busybox"), ["tty"], b"/dev/pts/0\r")):
        with Terminal(program, "-a", case.daemon.socket_path, "run", "--rm", "-t", "--runtime",
                      WHERRY, image, f"c{next(numbers)}", *argv) as terminal:
            terminal.expect(wanted)
            tap.equal(case.name(f"{argv[0]} has a terminal"), terminal.status(), 0)


# ---- In the background -----------------------------------------------------------------------


def signals(case):
    for name, argv in (("sleep", ["/app.wasm", "1000"]), ("loop", ["/app.wasm"]),
                       ("busybox", ["sleep", "1000"])):
        image = case.image(name)
        for number, status in (("SIGTERM", SIGTERM_STATUS), ("SIGKILL", 128 + signal.SIGKILL)):
            if (name, number) == ("busybox", "SIGTERM"):
                continue  # the first process of a pid namespace, which has no handler
            container = case.start(image, *argv)
            # Nobody kills after the signal: its status is that of whoever has heeded it.
            case.kill(container, number)
            tap.equal(case.name(f"{name} ends by {number}"), case.exit(container), status)
            case.remove(container)


def events(case):
    container = case.start(case.image("exitcode"), "/app.wasm", "3")
    status = case.exit(container)
    case.remove(container)
    told = case.daemon.events.of(container, until="/tasks/delete")
    tap.equal(case.name("the events of a task come in order, once"), [topic for topic, _ in told],
              ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"])
    tap.equal(case.name("they have one process, and the status"),
              (len({body["pid"] for _, body in told}), status, told[3][1].get("exit_status")),
              (1, 3, 3))


def listing(case):
    for image, argv in ((case.image("sleep"), ["/app.wasm", "1000"]),
                        (case.image("busybox"), ["sleep", "1000"])):
        container = case.start(image, *argv)
        pid, state = case.tasks()[container]
        tap.ok(case.name(f"the task of {argv[0]} runs, as a process"),
               state == "RUNNING" and os.path.exists(f"/proc/{pid}"), state)
        tap.ok(case.name("ps has the process"),
               str(pid) in case.daemon.ctr("tasks", "ps", container)[1].split())
        metrics = case.daemon.ctr("tasks", "metrics", "--format", "json", container)[1]
        tap.ok(case.name("metrics have its memory"), re.search(r'"usage":\s*"?[1-9]', metrics),
               metrics)
        case.daemon.ctr("tasks", "pause", container)
        tap.equal(case.name("it is paused"), case.tasks()[container][1], "PAUSED")
        case.daemon.ctr("tasks", "resume", container)
        tap.equal(case.name("it is resumed"), case.tasks()[container][1], "RUNNING")
        case.kill(container)
        case.exit(container)
        tap.equal(case.name("it is stopped"), case.tasks()[container][1], "STOPPED")
        case.remove(container)
        tap.ok(case.name("its process is gone"), has_ended(pid))


def execution(case):
    for image, argv in ((case.image("sleep"), ["/app.wasm", "1000"]),
                        (case.image("busybox"), ["sleep", "1000"])):
        container = case.start(image, *argv)
        tap.equal(case.name(f"a command runs beside {argv[0]}, with a status"),
                  case.daemon.ctr("tasks", "exec", "--exec-id", "e1", container, "sh", "-c",
                                  "echo out; echo err >&2; exit 3", is_checked=False),
                  (3, "out\n", "err\n"))
        # Not cat, which in the toolbox gives nothing back before the end.
        tap.equal(case.name("it has input"),
                  case.daemon.ctr_echo(b"a line\n", "tasks", "exec", "--exec-id", "e2", container,
                                       "sh", "-c", "read line; echo $line"), (0, b"a line\n"))
        tap.equal(case.name("the container runs on"), case.tasks()[container][1], "RUNNING")
        case.kill(container)
        case.exit(container)
        case.remove(container)


def restart(case):
    container = case.start(case.image("sleep"), "/app.wasm", "1000")
    before = case.tasks()[container]
    case.daemon.restart(signal.SIGKILL)
    tap.equal(case.name("a task outlives the daemon"), case.tasks()[container], before)
    case.kill(container, "SIGTERM")
    tap.equal(case.name("and ends as ever"), case.exit(container), SIGTERM_STATUS)
    case.remove(container)


def killed_shim(case):
    for image, argv in ((case.image("loop"), ["/app.wasm"]),
                        (case.image("busybox"), ["sleep", "1000"])):
        container = case.start(image, *argv)
        pid = case.tasks()[container][0]
        for shim in case.daemon.shim_pids():
            os.kill(shim, signal.SIGKILL)
        tap.ok(case.name(f"{argv[0]} ends with a shim that is killed"),
               case.exit(container) != 0)
        wait_until(lambda pid=pid: has_ended(pid), "the process of the container ends")
        case.remove(container)


PARTS = (statuses, arguments, image_forms, streams, folders, mounted_programs, missing, native,
         terminals, signals, events, listing, execution, restart, killed_shim)
# Where the versions differ for the shim.
OF_EACH_VERSION = (statuses, image_forms, events, execution, restart, killed_shim)


def main():
    versions = wanted_versions()
    peers(versions)
    for version in versions:
        with Containerd(version) as daemon:
            for part in PARTS if IS_FULL or version == versions[-1] else OF_EACH_VERSION:
                tap.run(part, Case(version, daemon))
        tap.equal(f"{version}: nothing is left", daemon.left, [])
    tap.finish()


main()
