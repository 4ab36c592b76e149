#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""registries.conf: mirrors, blocks, insecure registries, short names, and what is wrong in it; with
registries that are fakes (faulty_registry) and one that is real."""
import os
import resource
import shutil
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import faulty_registry as faults  # noqa: E402
from faulty_registry import FaultyRegistry  # noqa: E402
from image_layout import Layout  # noqa: E402
from machine import Machine, hello  # noqa: E402
from registry import Registry, login_file, private_ca, push_layout  # noqa: E402
from serve_client import BOX, example, run, tap  # noqa: E402

NOBODY = "127.0.0.1:1"  # where nobody listens


def mirrors():
    layout, digest = hello()
    m = Machine()
    with FaultyRegistry() as home, FaultyRegistry() as empty, FaultyRegistry() as mirror:
        for registry in (home, mirror):
            registry.add_layout(layout.dir)
        mirror.add_layout(layout.dir, "mirrored/app")
        path = m.registries_conf(f"""
            [[registry]]
            prefix = "images.example/test"
            location = "{home.address}/test"
            [[registry.mirror]]
            location = "{empty.address}"
            [[registry.mirror]]
            location = "{mirror.address}/mirrored"
            [[registry]]
            location = "blocked.example"
            blocked = true
            [[registry]]
            prefix = "gone.example"
            location = "{home.address}/gone"
            mirror = [{{location = "{NOBODY}"}}, {{location = "{empty.address}"}}]
            [[registry]]
            location = "{home.address}/pushed"
            mirror = [{{location = "{mirror.address}"}}]
            [[registry]]
            location = "{home.address}/blocked"
            blocked = true
            """)
        name = "images.example/test/app:v1"
        tap.equal("pull: from the first mirror that has it, under its own name",
                  m.wherry("pull", "-q", name), (0, f"{name}@{digest}\n", ""))
        tap.ok("pull: mirrors in their order, and then nobody", empty.requests("GET", "/v2/app/")
               and mirror.requests("GET", "/v2/mirrored/app/blobs/") and not home.requests())
        tap.equal("run: what came from a mirror", m.wherry("run", "--pull", "never", name),
                  m.wherry("run", example("c")))
        before = len(home.requests())
        status, _, said = copy(m).wherry("pull", "-q", name, preexec_fn=small_files)
        tap.ok("pull: what this machine cannot keep is asked of nobody else", status == 125 and
               "image store" in said and len(home.requests()) == before, (status, said))
        mirror.inject(faults.other_bytes(), where="GET .*/blobs/")
        tap.equal("pull: a mirror with wrong bytes is passed over",
                  (copy(m).wherry("pull", "-q", name)[:2],
                   len(home.requests("GET", "/blobs/"))), ((0, f"{name}@{digest}\n"), 2))
        mirror.heal()
        before = len(mirror.requests())
        status, _, said = m.wherry("push", example("c"), f"{home.address}/pushed/app:1")
        tap.ok("push: not to a mirror", status == 0 and len(mirror.requests()) == before and
               home.requests("PUT", "/v2/pushed/app/manifests/1"), (status, said))
        status, _, said = m.wherry("pull", "-q", "gone.example/app:v1")
        tap.ok("all have failed: each with its cause", status == 1 and "none of 3 places" in said
               and f"{NOBODY}/v2/" in said and f"{empty.address}/app: it does not have" in said
               and f"{home.address}/gone/app: it does not have" in said
               and "gone.example/app:v1" in said, (status, said))
        for argv in (("pull", "blocked.example/x:1"), ("push", example("c"), "blocked.example/x:1"),
                     ("login", "-u", "a", "--password-stdin", "blocked.example")):
            with open(os.devnull, "rb") if argv[0] != "login" else secret() as stdin:
                status, _, said = m.wherry(*argv, stdin=stdin)
            tap.ok(f"{argv[0]}: a blocked registry", status == 1 and "is blocked by" in said and
                   path + ":9" in said, (status, said))
        before = len(home.requests())
        tap.equal("run: a blocked part of a registry is not asked",
                  (m.wherry("run", f"{home.address}/blocked/app:v1")[0], len(home.requests())),
                  (125, before))


def small_files():
    """Of the program that is about to run: it can write none of more than 10 kB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))


def copy(m):
    """Another machine with the same settings."""
    other = Machine()
    shutil.copytree(os.path.join(m.dir, ".config"), os.path.join(other.dir, ".config"),
                    dirs_exist_ok=True)
    return other


def secret():
    path = os.path.join(BOX, "secret")
    with open(path, "w", encoding="ascii") as f:
        f.write("secret\n")
    return open(path, "rb")


def kinds_of_names():
    layout, digest = hello()
    m = Machine()
    with FaultyRegistry() as home, FaultyRegistry() as mirror:
        home.add_layout(layout.dir)
        mirror.add_layout(layout.dir)
        m.registries_conf(f"""
            [[registry]]
            location = "{home.address}"
            mirror-by-digest-only = true
            mirror = [{{location = "{mirror.address}"}}]
            """)
        m.wherry("pull", "-q", f"{home.address}/test/app:v1")
        tap.ok("mirror-by-digest-only: a tag is asked at home", home.requests("GET", "/v1") and
               not mirror.requests())
        m = copy(m)
        before = len(home.requests())
        tap.equal("mirror-by-digest-only: a digest at the mirror",
                  (m.wherry("pull", "-q", f"{home.address}/test/app@{digest}")[0],
                   len(home.requests()), len(mirror.requests("GET", "/blobs/"))), (0, before, 2))


def insecure():
    layout, _ = hello()
    folder = os.path.join(BOX, "ca")
    os.mkdir(folder)
    ca = private_ca(folder)
    with FaultyRegistry(tls=ca.server) as tls:
        tls.add_layout(layout.dir)
        m = Machine()
        tap.equal("a certificate of nobody known", m.wherry("pull", f"{tls.address}/test/app:v1")[0],
                  1)
        m.registries_conf(f"[[registry]]\nlocation = '{tls.address}'\ninsecure = true\n")
        tap.equal("insecure: any certificate", m.wherry("pull", f"{tls.address}/test/app:v1")[0], 0)
    with Registry(htpasswd={"alice": "secret"}) as mirror:
        push_layout(layout.dir, "v1", mirror, credentials=("alice", "secret"))
        m = Machine()
        m.registries_conf("[[registry]]\nlocation = 'images.example'\n"
                          f"mirror = [{{location = '{mirror.address}'}}]\n")
        auth = login_file(os.path.join(BOX, "auth.json"), mirror, ("alice", "secret"))
        tap.equal("a mirror with passwords: by its own address",
                  m.wherry("pull", "-q", "--authfile", auth, "images.example/test/app:v1")[0], 0)


def short_names():
    layout, digest = hello()
    wanted = Machine().wherry("run", example("c"))
    with FaultyRegistry() as first, FaultyRegistry() as second:
        second.add_layout(layout.dir, "greet")
        second.add_layout(layout.dir, "team/hello")
        m = Machine()
        settings = f"""
            unqualified-search-registries = ["{first.address}", "{second.address}"]
            [aliases]
            hi = "{second.address}/team/hello"
            """
        m.registries_conf(settings)
        name = f"{second.address}/greet:v1"
        tap.equal("a short name: the search registries in turn, and the name in full",
                  m.wherry("pull", "-q", "greet:v1"), (0, f"{name}@{digest}\n", ""))
        tap.ok("a short name: the first was asked before", first.requests("GET", "/v2/greet/"))
        tap.equal("run: what a short name stands for here",
                  m.wherry("run", "--pull", "never", "greet:v1"), wanted)
        status, out, said = m.wherry("run", "-q", "hi:v1")
        tap.equal("run -q: fetches by an alias, without a word", (status, out, said), wanted)
        tap.equal("and finds it again", m.wherry("run", "--pull", "never", "hi:v1"), wanted)
        tap.equal("tag and rmi: short names of what is here",
                  (m.wherry("tag", "hi:v1", "mine:1"), m.wherry("run", "mine:1")[0],
                   m.wherry("rmi", "mine:1", "greet:v1")[:2]),
                  ((0, "", ""), wanted[0], (0, f"Untagged: docker.io/library/mine:1\nUntagged: {name}\n")))
        status, _, said = m.wherry("pull", "nothing:1")
        tap.ok("a short name that nobody has: each cause", status == 1 and
               f"{first.address}/nothing: it does" in said and
               f"{second.address}/nothing: it does" in said, (status, said))
        other = Layout(os.path.join(BOX, "other"))
        with open(os.path.join(BOX, "empty.wasm"), "wb") as f:
            f.write(b"\0asm\1\0\0\0")
        other.tag("v1", other.artifact(f.name))
        first.add_layout(other.dir, "greet")
        m.wherry("pull", "-q", "greet:v1")
        first.inject(faults.answers(404))
        tap.equal("run --pull always: what was fetched, not what an earlier registry had once",
                  (m.wherry("run", "-q", "--pull", "always", "greet:v1"),
                   m.wherry("run", f"{first.address}/greet:v1")[0]), (wanted, 126))
        first.heal()
        m.registries_conf('short-name-mode = "enforcing"\n' + settings)
        before = len(first.requests())
        status, _, said = m.wherry("pull", "greet:v1")
        tap.ok("enforcing: what to write instead", status == 125 and
               f"{first.address}/greet:v1, {name}" in said and len(first.requests()) == before,
               (status, said))


def mistakes():
    m = Machine()
    for text, said_wanted in (("\n[[registry]]\nlocation = 1\n", ":3: 'location' has to be a string"),
                              ("[[registry]]\nlocation = 'a'\nblocked = 'no'\n",
                               ":3: 'blocked' has to be true or false"),
                              ("[registries.search]\nregistries = ['a']\n", "version 1")):
        path = m.registries_conf(text)
        status, _, said = m.wherry("pull", f"{NOBODY}/x:1")
        tap.ok(f"a mistake: {said_wanted}", status == 125 and path in said and said_wanted in said,
               (status, said))
    path = m.registries_conf("[[registry]]\nlocation = 'a'\nblockd = true\n")
    said = m.wherry("rmi", "a:1")[2]
    tap.ok("what is not known is a warning", f"{path}:3: 'blockd' is not known" in said, said)


run(mirrors, kinds_of_names, insecure, short_names, mistakes, needs=("docker-registry", "skopeo"))
