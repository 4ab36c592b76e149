#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Large programs of others through a registry, by way of skopeo: the LLVM of @yowasp/clang (75 MB) is
run from there, and the JavaScript and Python components (14 and 19 MB) are served."""
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from container_tools import Tools  # noqa: E402
from machine import Machine  # noqa: E402
from registry import Registry  # noqa: E402
from serve_client import ROOT, WHERRY, Server, example, get, run, tap  # noqa: E402

# It takes two minutes to compile LLVM, and other tests do that too.
COMPILED = {"XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))}


def llvm_path():
    done = subprocess.run([os.path.join(ROOT, "tests/yowasp"), "clang"], stdout=subprocess.PIPE,
                          stderr=sys.stderr, text=True, check=True)
    return os.path.join(done.stdout.strip(), "llvm.core.wasm")


def moved(registry, name, path):
    """Pushed by one user, copied by skopeo, and pulled by another: who that is, and the image."""
    user, other = Machine(), Machine(**COMPILED)
    pushed, copied = f"{registry.address}/{name}:1", f"{registry.address}/copies/{name}:1"
    status, _, said = user.wherry("push", path, pushed)
    tap.ok(f"{name}: push", status == 0, said)
    Tools(user).skopeo("copy", f"docker://{pushed}", f"docker://{copied}")
    status, _, said = other.wherry("pull", "-q", "--no-compile", copied)
    tap.ok(f"{name}: pull", status == 0, said)
    digest = json.loads(other.wherry("inspect", "-o", "json", copied)[1])["digest"]
    tap.equal(f"{name}: the same to the byte", digest,
              json.loads(other.wherry("inspect", "-o", "json", path)[1])["digest"])
    tap.equal(f"{name}: one GET of it", len(registry.requests("GET", f"/copies/.*{digest}")), 1)
    return other, copied


def llvm():
    with Registry() as registry:
        machine, name = moved(registry, "llvm", llvm_path())
    # To compile it takes longer than anything else that tests wait for.
    done = subprocess.run([WHERRY, "run", name, "clang", "--version"], env=machine.env,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    tap.ok("llvm: runs from the store", done.returncode == 0 and b"clang version 22" in done.stdout,
           (done.returncode, done.stderr))


def components():
    with Registry() as registry:
        for language in ("js", "python"):
            machine, name = moved(registry, f"http-{language}", example(f"http-{language}"))
            with Server(name, env=machine.env) as server:
                answer = get(server, "/?name=Ada")
                tap.ok(f"http-{language}: served from the store",
                       answer.status == 200 and b"Hello" in answer.body, answer.body)


run(llvm, components)
