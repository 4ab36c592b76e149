#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`wherry pull` compiles what it fetched and `wherry load` what it loaded, for the command that will
run it, in a child with limits; what goes wrong there is a warning. With programs that take a compiler much time or memory, from a
fake registry; test_registry.py has a real one."""
import fcntl
import hashlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tarfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from faulty_registry import FaultyRegistry  # noqa: E402
from image_layout import MANIFEST, Layout  # noqa: E402
from machine import Machine  # noqa: E402
from serve_client import BOX, IS_FULL, PROBE, WHERRY, Server, example, output, run, tap  # noqa: E402
from slow_module import slow_module, wide_module  # noqa: E402
from worker_client import wait_until  # noqa: E402

KILLS = 100 if IS_FULL else 6


class Compiling(Machine):
    """A user with a cache of its own, and the images of the registry `name`."""

    def __init__(self, **env):
        super().__init__()
        self.env |= {"XDG_CACHE_HOME": os.path.join(self.dir, "cache"), **env}
        self.code = os.path.join(self.dir, "cache/wherry/code")

    def entries(self):
        """{name: digest of its content}, what is being made included."""
        try:
            return {n: hashlib.sha256(open(os.path.join(self.code, n), "rb").read()).hexdigest()
                    for n in os.listdir(self.code)}
        except FileNotFoundError:
            return {}

    def on_terminal(self, *argv):
        """(status, what came to standard error)"""
        master, slave = pty.openpty()
        p = subprocess.Popen([WHERRY, *argv], env=self.env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        text = b""
        try:
            while more := os.read(master, 4096):
                text += more
        except OSError:  # the last one has closed it
            pass
        os.close(master)
        return p.wait(), text.decode()


def children(pid):
    try:
        return [int(c) for t in os.listdir(f"/proc/{pid}/task")
                for c in open(f"/proc/{pid}/task/{t}/children").read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def arguments(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def compiler_of(pid):
    """The compiler of a pull, once it has given up what it does not need; and its worker."""
    def found():
        for worker in children(pid):
            for c in children(worker):
                if b"--compile" in arguments(c) and status_of(c).get("Seccomp") == "2":
                    return c, worker
        return None

    wait_until(found, "the compiler is at work")
    return found()


def status_of(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            return {k: v.strip() for k, _, v in (line.partition(":") for line in f)}
    except (FileNotFoundError, ProcessLookupError):
        return {}


def has_ended(pid):
    return status_of(pid).get("State", "Z").startswith("Z")


def images():
    """A layout with all that is pulled here."""
    layout = Layout(os.path.join(BOX, "programs"))
    path = os.path.join(BOX, "made.wasm")
    slow_module(path, 60000)
    layout.tag("slow", layout.artifact(path))
    slow_module(path, 300000)
    layout.tag("slower", layout.artifact(path))
    slow_module(path, 2000000)
    layout.tag("slowest", layout.artifact(path))
    wide_module(path, 50000, 5000)
    layout.tag("wide", layout.artifact(path))
    with open(path, "wb") as f:
        f.write(b"\0asm\1\0\0\0" + b"\xff" * 1000)
    layout.tag("broken", layout.artifact(path))
    layout.tag("hello", layout.artifact(example("c")))
    layout.tag("service", layout.artifact(PROBE))
    layout.tag("files", layout.blob(MANIFEST, {
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": layout.blob("application/vnd.oci.image.config.v1+json", {"os": "linux"}),
        "layers": [layout.blob("application/vnd.oci.image.layer.v1.tar", b"\0" * 1024)]}))
    return layout


def compiled_for_its_command(name):
    m = Compiling()
    tap.equal("pull: says the name, and nothing else with -q", m.wherry("pull", "-q", name + ":hello")[2],
              "")
    made = m.entries()
    tap.equal("pull: one entry", len(made), 1)
    status, _, said = m.wherry("run", "-v", name + ":hello")
    tap.ok("run: a command starts from it", status == 0 and "found the compiled code" in said, said)
    m.wherry("pull", "-q", name + ":hello")
    tap.equal("pull again: the entry is the same", m.entries(), made)
    m.wherry("pull", "-q", name + ":service")
    with Server("-v", f"{name}:service", env=m.env) as server:
        tap.ok("serve: a service starts from it", "found the compiled code" in server.log(),
               server.log())
    tap.equal("and nothing else was compiled", len(m.entries()), 2)
    status, out, said = m.wherry("compile", PROBE)
    tap.ok("compile: the form of a service", "already" in out, (status, out, said))


def not_compiled(name):
    for what, argv, env in (("--no-compile", ("--no-compile",), {}),
                            ("WHERRY_NO_COMPILE", (), {"WHERRY_NO_COMPILE": "1"})):
        m = Compiling(**env)
        tap.equal(f"pull with {what}: nothing is compiled",
                  (m.wherry("pull", "-q", *argv, name + ":hello")[0], m.entries()), (0, {}))
    m = Compiling()
    status, _, said = m.wherry("pull", name + ":files")
    tap.ok("pull: what is no program is not compiled, without a word", status == 0 and
           m.entries() == {} and "compiled" not in said, said)
    status, _, said = m.wherry("pull", name + ":broken")
    tap.ok("pull: a broken program is fetched, with a warning", status == 0 and
           said.count("compiled") == 1 and m.entries() == {}, (status, said))
    m = Compiling()
    tap.equal("run --no-cache: what it fetches is not compiled into the cache",
              (m.wherry("run", "--no-cache", name + ":hello")[0], m.entries()), (0, {}))


def loaded(name):
    made = images_in(name)
    m = Compiling()
    status, out, said = m.wherry("load", "-i", made)
    warnings = [line for line in said.splitlines() if "compiled" in line]
    tap.ok("load: says the names, and of the broken program one warning", status == 1 and
           len(out.splitlines()) == 4 and len(warnings) == 1 and "broken:1" in warnings[0] and
           "load: nameless: " in said and "nameless" not in out, (status, out, said))
    tap.equal("load: each program once, of two names", len(m.entries()), 2)
    for image, command in (("hello:1", "run"), ("hello:2", "run")):
        status, _, said = m.wherry(command, "-v", image)
        tap.ok(f"{command}: {image} starts from it", status == 0 and "found the compiled code" in said,
               said)
    with Server("-v", "service:1", env=m.env) as server:
        tap.ok("serve: a service that was loaded starts from it",
               "found the compiled code" in server.log(), server.log())
    entries = m.entries()
    with open(made, "rb") as f:
        m.wherry("load", "-q", stdin=f)
    tap.equal("load again, from standard input: the entries are the same", m.entries(), entries)
    m = Compiling()
    folder = os.path.join(m.dir, "other")
    m.wherry("load", "-q", "--cache-dir", folder, "-i", made)
    tap.equal("load --cache-dir", (m.entries(), len(os.listdir(os.path.join(folder, "code")))), ({}, 2))
    for what, argv, env in (("--no-compile", ("--no-compile",), {}),
                            ("WHERRY_NO_COMPILE", (), {"WHERRY_NO_COMPILE": "1"})):
        m = Compiling(**env)
        status, out, said = m.wherry("load", "-q", *argv, "-i", made)
        tap.ok(f"load with {what}: nothing is compiled", len(out.splitlines()) == 4 and
               m.entries() == {} and "compiled" not in said, (out, said))


def images_in(name):
    """An archive with a command of two names, a service, a broken program and what is no image."""
    m = Compiling()
    for tag, names in (("hello", ("hello:1", "hello:2")), ("service", ("service:1",)),
                       ("broken", ("broken:1",))):
        m.wherry("pull", "-q", "--no-compile", f"{name}:{tag}")
        for own in names:
            m.wherry("tag", f"{name}:{tag}", own)
    folder, path = os.path.join(BOX, "loaded"), os.path.join(BOX, "loaded.tar")
    m.wherry("save", "--format", "oci-dir", "-o", folder, "hello:1", "hello:2", "service:1",
             "broken:1")
    with open(os.path.join(folder, "index.json"), "r+", encoding="utf-8") as f:
        index = json.load(f)
        index["manifests"].append({"digest": "sha256:" + "0" * 64, "size": 1, "annotations": {
            "org.opencontainers.image.ref.name": "nameless"}})
        f.seek(0)
        json.dump(index, f)
    with tarfile.open(path, "w") as tar:
        tar.add(folder, ".")
    return path


def limits(name):
    for tag, variable, value, what in (
            ("wide", "WHERRY_COMPILE_MEMORY", "1Gi", "1 GiB of memory"),
            ("slowest", "WHERRY_COMPILE_CPU_TIME", "1s", "1s of CPU time"),
            ("slowest", "WHERRY_COMPILE_TIME", "200ms", "200ms of time")):
        m = Compiling(**{variable: value})
        status, out, said = m.wherry("pull", f"{name}:{tag}")
        told = [line for line in said.splitlines() if "compile" in line]
        tap.ok(f"{variable}: the image is there, with one warning of the reason and what to do",
               status == 0 and out and len(told) == 1 and what in told[0] and variable in told[0] and
               "first run tries again" in told[0], (status, said))
        tap.equal(f"{variable}: nothing is left", m.entries(), {})
    status, _, said = m.wherry("run", f"{name}:{tag}")
    tap.ok("the first run tries again, and says the same", status == 126 and what in said and
           variable in said, (status, said))
    status, _, said = Compiling(WHERRY_COMPILE_MEMORY="much").wherry("run", name + ":hello")
    tap.ok("a limit that is none", status == 125 and "WHERRY_COMPILE_MEMORY" in said, said)


def confined(name):
    confined_in("pull", "-q", name + ":slow")
    m = Compiling()
    archive = os.path.join(BOX, "slow.tar")
    m.wherry("pull", "-q", "--no-compile", name + ":slow")
    m.wherry("save", "-o", archive, name + ":slow")
    confined_in("load", "-q", "-i", archive)


def confined_in(*argv):
    """What the compiler has while it is at work."""
    m = Compiling(WHERRY_COMPILE_MEMORY="2Gi", WHERRY_COMPILE_CPU_TIME="5m")
    pull = m.start(*argv)
    compiler, worker = compiler_of(pull.pid)
    fds = {fd: os.readlink(f"/proc/{compiler}/fd/{fd}") for fd in os.listdir(f"/proc/{compiler}/fd")}
    with open(f"/proc/{compiler}/limits", encoding="ascii") as f:
        had = {line[:26].strip(): line[26:].split()[1] for line in f}
    with open(f"/proc/{compiler}/oom_score_adj", encoding="ascii") as f:
        score = f.read().strip()
    status = status_of(compiler)
    environment = open(f"/proc/{compiler}/environ", "rb").read()
    tap.ok(f"{argv[0]}: the compiler has the program, its code and its errors", sorted(fds) == ["0", "1", "2"] and
           "memfd:program" in fds["0"] and all("memfd:compil" in fds[n] for n in "12"), fds)
    tap.equal(f"{argv[0]}: limits: memory, CPU time, descriptors, and no core files",
              [had[n] for n in ("Max data size", "Max cpu time", "Max open files",
                                "Max core file size")], [str(2 << 30), "300", "3", "0"])
    tap.equal(f"{argv[0]}: a filter of system calls, no new privileges, no environment, first to go when memory "
              "is short", (status["Seccomp"], status["NoNewPrivs"], environment, score),
              ("2", "1", b"", "1000"))
    pull.kill()
    pull.wait()
    wait_until(lambda: has_ended(compiler) and has_ended(worker), "both end with the pull")
    tap.ok(f"kill -9 of the {argv[0]} ends worker and compiler", True)


def killed(name):
    m = Compiling()
    for i in range(KILLS):
        pull = m.start("pull", "-q", name + ":slow")
        compiler, worker = compiler_of(pull.pid)
        os.kill((pull.pid, worker, compiler)[i % 3], 9)
        status = pull.wait()
        wait_until(lambda: has_ended(compiler) and has_ended(worker), "they end")
        if i < 3:
            tap.equal(f"kill -9 of the {('pull', 'worker', 'compiler')[i]}: the status of the pull",
                      status, (-9, 0, 0)[i])
    tap.equal(f"{KILLS} times killed: no entry is visible",
              [n for n in m.entries() if not n.startswith(".")], [])
    tap.equal("and then it is made", (m.wherry("pull", "-q", name + ":slow")[0],
                                      [n[0] == "." for n in m.entries()]), (0, [False]))
    tap.ok("and is good", "found the compiled" in m.wherry("run", "-v", name + ":slow")[2])


def at_once(name):
    m = Compiling()
    pulls = [subprocess.Popen([WHERRY, "pull", "-v", name + ":slow"], env=m.env, text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(3)]
    said = "".join(p.communicate()[1] for p in pulls)
    tap.equal("three pulls of one image at once compile it once",
              ([p.returncode for p in pulls], len(re.findall(r"compiled \S+ in ", said)),
               len(m.entries())), ([0] * 3, 1, 1))


def on_a_terminal(name):
    m = Compiling()
    first = m.start("pull", "-q", name + ":slower")
    compiler_of(first.pid)
    status, text = m.on_terminal("pull", name + ":slower")
    tap.ok("pull: what another one is compiling is waited for, and that is shown", status == 0 and
           first.wait() == 0 and "waiting for another process" in text, text)
    status, text = Compiling().on_terminal("pull", name + ":slower")
    tap.ok("pull: progress of the compiler on a terminal", status == 0 and "compiling " in text, text)


def changed(_):
    m = Compiling()
    path = os.path.join(m.dir, "app.wasm")
    slow_module(path, 10)
    tap.equal("a program runs", m.wherry("run", path)[0], 0)
    (key,) = m.entries()
    os.unlink(os.path.join(m.code, key))
    with open(os.path.join(m.code, f".{key}.new"), "wb") as another:
        fcntl.lockf(another, fcntl.LOCK_EX)  # is about to compile it, too
        p = subprocess.Popen([WHERRY, "run", path], env=m.env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_until(lambda: is_waiting_for_a_lock(p.pid), "it waits for the other one")
        slow_module(path, 11)
    said = p.communicate()[1].decode()
    tap.ok("a program that was changed since its digest was taken is not kept as what it was",
           p.returncode == 125 and "was changed while it was read; try again" in said and
           not m.entries(), (p.returncode, said, m.entries()))
    tap.equal("and runs as what it is", (m.wherry("run", path)[0], len(m.entries())), (0, 1))
    tap.ok("under a name of its own", key not in m.entries())


def is_waiting_for_a_lock(pid):
    """Whether the process, or one below it, is."""
    try:
        with open(f"/proc/{pid}/syscall", encoding="ascii") as f:
            words = f.read().split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # fcntl(fd, F_OFD_SETLKW or F_SETLKW)
    return words[0] == "72" and int(words[2], 16) in (7, 38) or any(
        is_waiting_for_a_lock(c) for c in children(pid))


def disks(name):
    m = Compiling()
    disk = os.path.join(m.dir, "disk")
    os.mkdir(disk)
    if output("mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", disk)[0]:
        tap.skip("full and read-only disks", "mounting needs root")
        return
    try:
        for what, why in (("full", "No space left"), ("read-only", "Read-only file system")):
            if what == "read-only":
                output("mount", "-o", "remount,ro", disk)
            status, out, said = m.wherry("pull", "--cache-dir", disk, name + ":hello")
            tap.ok(f"a cache on a disk that is {what}: a warning", status == 0 and out and
                   "first run tries again" in said and why in said, (status, said))
            status, _, said = m.wherry("compile", "--cache-dir", disk, name + ":hello")
            tap.ok(f"compile: a cache on a disk that is {what} is an error", status == 125 and
                   why in said, (status, said))
            tap.equal("and nothing is left", os.listdir(os.path.join(disk, "code")), [])
    finally:
        output("umount", disk)


def all_of_it():
    layout = images()
    with FaultyRegistry() as registry:
        registry.add_layout(layout.dir)
        shutil.rmtree(layout.dir)
        for part in (compiled_for_its_command, not_compiled, loaded, limits, confined, killed, at_once,
                     on_a_terminal, changed, disks):
            part(f"{registry.address}/test/app")


run(all_of_it)
