#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""wherry install containerd: real containerds of both kinds read what it writes, keep their user's
settings, and are as before when it has been removed."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [TESTS, os.path.join(TESTS, "containerd")]
import daemon  # noqa: E402
from worker_client import ROOT, Tap  # noqa: E402

tap = Tap()
WHERRY = os.path.join(ROOT, "build/wherry")
OURS = "Written by 'wherry install containerd'"


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


class Node:
    """A daemon whose user has not heard of wherry, and what is typed there."""

    def __init__(self, d):
        self.d = d
        self.config = os.path.join(d.dir, "config.toml")
        self.folder = os.path.join(d.dir, "conf.d")
        self.path = os.path.join(self.folder, "wherry.toml")
        tables = re.split(r"(?m)^(?=\[)", read(self.config))
        write(self.config, "".join(t for t in tables if '"runtimes"."wherry"' not in t))
        self.program = os.path.join(d.programs, "containerd")

    def wherry(self, word, *options, **popen):
        """(status, everything it said)"""
        argv = [WHERRY, word, "containerd", "--config", self.config, *options]
        if word == "install":
            argv += ["--containerd", self.program]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, text=True, **popen)
        return done.returncode, done.stdout

    def dump(self):
        """What containerd understands of its files, but for which they are."""
        text = subprocess.run([self.program, "--config", self.config, "config", "dump"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
                              text=True).stdout
        return re.sub(r"(?m)^imports = .*\n", "", text)

    def import_line(self, said):
        """Does what it was told to."""
        line = re.search(r"(?m)^  (imports = .*)$", said).group(1)
        write(self.config, line + "\n" + read(self.config))


def without_wherry(dump):
    """Of a dump, all but the tables of our handler."""
    tables = re.split(r"(?m)^(?=\s*\[)", dump)
    return "".join(t for t in tables if "runtimes.wherry" not in t)


def is_known(d):
    """Whether CRI has the handler: what it says of one it has not is about just that."""
    try:
        d.cri.run_pod("probe", "wherry").remove()
        return True
    except daemon.CriError as e:
        if 'no runtime for "wherry"' not in e.message:
            raise
        return False


def words(text):
    return sorted(line.strip() for line in text.splitlines() if line.strip())


def life(version):
    """From a daemon without the handler to one with it, and back."""
    with daemon.Containerd(version, shims="/var/empty") as d:
        node = Node(d)
        before = node.dump()
        d.load_cri()  # the pause image
        d.restart()
        tap.ok(f"{version}: without it CRI has no such handler", not is_known(d))

        status, said = node.wherry("install")
        tap.ok(f"{version}: it is shown", status == 0 and "runtimes.wherry]" in said, said)
        tap.ok(f"{version}: nothing is written by that", not os.path.exists(node.folder))
        status, said = node.wherry("install", "--apply")
        tap.ok(f"{version}: a configuration that imports nothing is not called done", status == 1,
               said)
        node.import_line(said)
        status, said = node.wherry("install", "--apply")
        tap.ok(f"{version}: with the line that it shows it is", status == 0, said)
        tap.equal(f"{version}: the user's settings stay as they are",
                  words(without_wherry(node.dump())), words(before))
        status, said = node.wherry("install", "--check")
        tap.ok(f"{version}: a containerd that has not read it is told from one that has",
               status == 1 and "older" in said, said)
        d.restart()
        status, said = node.wherry("install", "--check")
        tap.ok(f"{version}: the check says that it is there", status == 0, said)

        tap.ok(f"{version}: CRI runs a pod by it, with a shim that is not in PATH", is_known(d))

        text = read(node.path)
        node.wherry("install", "--apply")
        tap.equal(f"{version}: another time changes nothing", read(node.path), text)
        status, said = node.wherry("uninstall")
        tap.ok(f"{version}: uninstall names the file", status == 0 and node.path in said, said)
        tap.ok(f"{version}: and leaves it without --apply", os.path.exists(node.path))
        status, said = node.wherry("uninstall", "--apply")
        tap.ok(f"{version}: with --apply the folder that it made is gone",
               status == 0 and not os.path.exists(node.folder), said)
        tap.equal(f"{version}: the configuration is as before", words(node.dump()), words(before))
        d.restart()
        tap.ok(f"{version}: and so is CRI", not is_known(d))


def programs():
    return {v: os.path.join(p, "containerd") for v, p in daemon.PROGRAMS.items()}


def place(text, files=None):
    """A folder that anybody may read, with a configuration and files in conf.d."""
    folder = tempfile.mkdtemp(prefix="install-", dir="/var/tmp")
    os.chmod(folder, 0o755)
    write(os.path.join(folder, "config.toml"), text.replace("@", folder))
    if files is not None:
        os.mkdir(os.path.join(folder, "conf.d"))
    for name, content in (files or {}).items():
        write(os.path.join(folder, "conf.d", name), content)
    return folder


def run(word, folder, version, *options, **popen):
    argv = [WHERRY, word, "containerd", "--config", os.path.join(folder, "config.toml"), *options]
    if word == "install":
        argv += ["--containerd", programs()[version]]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, **popen)
    return done.returncode, done.stdout


IMPORTS = 'imports = ["@/conf.d/*.toml"]\n'


def files_of_others():
    foreign = "# mine\nversion = 2\n"
    for version in daemon.VERSIONS:
        folder = place("version = 2\n" + IMPORTS, {"wherry.toml": foreign})
        for word in ("install", "uninstall"):
            status, said = run(word, folder, version, "--apply")
            tap.ok(f"{version}: {word} refuses a file of somebody else's",
                   status == 125 and "was not written by wherry" in said, said)
        tap.equal(f"{version}: which stays as it is",
                  read(os.path.join(folder, "conf.d/wherry.toml")), foreign)
        status, said = run("install", folder, version, "--apply", "--runtime-name", "wasm")
        tap.ok(f"{version}: under another name it is written",
               status == 0 and OURS in read(os.path.join(folder, "conf.d/wasm.toml")), said)
        run("uninstall", folder, version, "--apply", "--runtime-name", "wasm")
        tap.equal(f"{version}: and only that is removed", os.listdir(folder + "/conf.d"),
                  ["wherry.toml"])
        shutil.rmtree(folder)


def what_containerd_refuses():
    """A configuration that is broken before or by ours: nothing is left of the attempt."""
    for version in daemon.VERSIONS:
        folder = place("version = 2\n" + IMPORTS, {"a.toml": "[timeouts]\n  x = [1\n"})
        status, said = run("install", folder, version, "--apply")
        tap.ok(f"{version}: what containerd cannot read is taken back, with its words",
               status == 125 and "taken back" in said and "toml" in said.lower(), said)
        tap.equal(f"{version}: and leaves nothing", os.listdir(folder + "/conf.d"), ["a.toml"])
        shutil.rmtree(folder)


def what_is_in_the_way():
    table = '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.wherry]\n' \
            '  runtime_type = "x"\n'
    folder = place("version = 2\n" + IMPORTS + table)
    status, said = run("install", folder, "1.6", "--apply")
    tap.ok("a handler of that name is named with its line",
           status == 125 and "config.toml:3 has a handler" in said, said)
    shutil.rmtree(folder)

    folder = place("root = '/x'\n")
    status, said = run("install", folder, "1.6", "--apply")
    tap.ok("1.6: a configuration of version 1 is refused with what to do",
           status == 125 and "version = 2" in said, said)
    shutil.rmtree(folder)

    later = '[plugins."io.containerd.grpc.v1.cri".cni]\n  bin_dir = "/x"\n'
    folder = place("version = 2\n" + IMPORTS, {"z.toml": "version = 2\n" + later})
    status, said = run("install", folder, "1.6", "--apply")
    tap.ok("1.6: a later file that takes all settings is named", status == 1 and "z.toml" in said,
           said)
    status, said = run("install", folder, "2.4", "--apply")
    tap.ok("2.4: a later file is in nobody's way", status == 0, said)
    shutil.rmtree(folder)

    for version in daemon.VERSIONS:
        folder = place(("version = 2\n" + IMPORTS).replace("@/", ""))
        status, said = run("install", folder, version, "--apply")
        is_read = version != "1.6"
        tap.ok(f"{version}: an import without a slash is told from one that is read",
               status == (0 if is_read else 1) and ("working folder" in said) != is_read, said)
        shutil.rmtree(folder)

    folder = place('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' + IMPORTS)
    _, said = run("install", folder, "1.6")
    tap.ok("that CRI is disabled is said", "CRI is disabled" in said, said)
    shutil.rmtree(folder)


def who_is_not_root():
    folder = place("version = 2\n" + IMPORTS)
    status, said = run("install", folder, "1.6", "--apply", user=65534, group=65534,
                       extra_groups=[])
    tap.ok("who is not root is told so", status == 125 and "only root may do that: sudo" in said,
           said)
    shutil.rmtree(folder)


daemon.peers()
for wanted in daemon.VERSIONS:
    if wanted == "2.4" or os.environ.get("FULL") == "1":
        tap.run(life, wanted)
for part in (files_of_others, what_containerd_refuses, what_is_in_the_way, who_is_not_root):
    tap.run(part)
tap.finish()
