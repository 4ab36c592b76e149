#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the tests of runwasi (containerd's own shims for WebAssembly) hold, by their fixtures, and what
its demo app does, held by ours. With FULL=1 also the fixtures that need a compiler for Rust."""
import functools
import itertools
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [TESTS, os.path.join(TESTS, "containerd")]
import images  # noqa: E402
from daemon import VERSIONS, WHERRY, Containerd, finished, peers  # noqa: E402
from worker_client import Tap  # noqa: E402

tap = Tap()
numbers = itertools.count(1)
FULL = os.environ.get("FULL") == "1"
# 1.6.20 takes no layers that are programs.
FORMS = {"1.6": ("files",), "2.4": ("layers", "files") if FULL else ("layers",)}
LIBRARY = "no command to run"

# (fixture, arguments, status, stdout, in stderr)
FIXTURES = (
    ("hello_world", (), 0, "hello world\n", ""),
    ("exit_code", (), 42, "", ""),
    ("unreachable", (), 134, "", "Unreachable"),
    ("custom_entrypoint", ("/app.wasm#foo",), 0, "hello world\n", ""),
    ("custom_entrypoint", ("/app.wasm",), 126, "", LIBRARY),
    ("component-hello-world", (), 0, "Hello, world!\n", ""),
    ("simple_component", ("/app.wasm#thunk",), 0, "", ""),
    ("simple_component", ("/app.wasm#thunk-trap",), 134, "", "Unreachable"),
    ("simple_component", (), 126, "", LIBRARY))
DEVICES = "".join(f"/dev/{n} found\n" for n in ("null", "zero", "full", "random", "urandom", "tty"))
IN_RUST = (
    ("has_default_devices", (), 0, DEVICES, ""),
    ("seccomp", (), 0, "current working dir: /\n", ""))


class Case:
    """A daemon, and the form that images have there."""

    def __init__(self, version, daemon, form):
        self.daemon, self.form = daemon, form
        self.title = f"{version}, {form}"
        self.image = functools.cache(lambda guest: daemon.load(images.wasm(guest, form))[0])

    def name(self):
        return f"c{next(numbers)}"

    def run(self, guest, *argv, options=()):
        return self.daemon.ctr("run", "--rm", "--runtime", WHERRY, *options, self.image(guest),
                               self.name(), *argv, is_checked=False)


def fixtures(case):
    for name, argv, status, out, err in FIXTURES + (IN_RUST if FULL else ()):
        # With the profile that Docker made the usual one.
        options = ["--seccomp"] if name == "seccomp" else []
        got = case.run("runwasi/" + name, *argv, options=options)
        tap.ok(f"{case.title}: {name} {' '.join(argv)}",
               got[:2] == (status, out) and (err in got[2] if err else not got[2]), got)


def verbs(case):
    for argv, wanted in ((("echo", "a", "b c"), (0, "a b c\n")), (("exit", "9"), (9, "")),
                         (("none",), (2, ""))):
        tap.equal(f"{case.title}: {' '.join(argv)}",
                  case.run("verbs", "/app.wasm", *argv)[:2], wanted)
    with tempfile.TemporaryDirectory() as folder:
        got = case.run("verbs", "/app.wasm", "write", "/work/note", "a", "note", options=[
            "--mount", f"type=bind,src={folder},dst=/work,options=rbind:rw"])
        tap.equal(f"{case.title}: write", (got, images.read(os.path.join(folder, "note"))),
                  ((0, "", ""), b"a note\n"))


def ends_at_once(case):
    for verb in ("sleep", "daemon"):
        name = case.name()
        with case.daemon.ctr_process("run", "--rm", "--runtime", WHERRY, case.image("verbs"),
                                     name, "/app.wasm", verb, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE) as process:
            process.stdout.readline()  # it is at it
            case.daemon.ctr("tasks", "kill", "-s", "SIGTERM", name)
            status = finished(process)[0]
        tap.ok(f"{case.title}: {verb} ends at once by SIGTERM",
               status == 143, status)  # nobody kills after the signal


def main():
    peers()
    for version in VERSIONS if FULL else VERSIONS[-1:]:
        with Containerd(version) as daemon:
            for form in FORMS[version]:
                case = Case(version, daemon, form)
                for part in (fixtures, verbs, ends_at_once):
                    tap.run(part, case)
        tap.equal(f"{version}: nothing is left", daemon.left, [])
    tap.finish()


main()
