# SPDX-License-Identifier: Apache-2.0
"""The part of bench/run that measures images: `wherry pull` beside `skopeo copy` to an image layout,
from a docker-registry of this machine."""
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

from measuring import ROOT, WHERRY, CannotMeasure, command, header, quartiles, row

PROGRAM_BYTES = 75532134  # as large as the LLVM module of @yowasp/clang 22


def spent(argv, env):
    """(wall, CPU) seconds of a command, its children's included."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([str(a) for a in argv], env=env, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise CannotMeasure(f"{argv[0]}: {done.stderr.strip()}")
    return wall, (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def bench_pull(quick):
    if not shutil.which("skopeo") or not shutil.which("docker-registry"):
        raise CannotMeasure("skopeo or docker-registry is missing; run: make deps")
    sys.path.insert(0, str(ROOT / "tests"))
    os.environ.setdefault("WHERRY_ROOT", str(ROOT))
    from image_layout import Layout
    from registry import Registry, push_layout
    rounds = 5 if quick else 21
    box = tempfile.mkdtemp(prefix="wherry-pull-", dir=ROOT / "build")  # on a disk, not in memory
    try:
        program = os.path.join(box, "program.wasm")
        with open(program, "wb") as f:
            f.write(b"\0asm\1\0\0\0" + os.urandom(PROGRAM_BYTES - 8))
        layout = Layout(os.path.join(box, "layout"))
        layout.tag("v1", layout.artifact(program))
        with Registry() as registry:
            push_layout(layout.dir, "v1", registry)
            name = f"{registry.address}/test/app:v1"
            ours, theirs = [], []
            for i in range(2 * rounds):
                to = os.path.join(box, "copy")
                if i % 4 in (0, 3):
                    env = {**os.environ, "WHERRY_STATE_DIR": to}
                    ours.append(spent([WHERRY, "pull", "-q", name], env))
                else:
                    theirs.append(spent(["skopeo", "copy", "--insecure-policy",
                                         "--src-tls-verify=false", f"docker://{name}",
                                         f"oci:{to}:v1"], os.environ))
                shutil.rmtree(to)
    finally:
        shutil.rmtree(box)
    for clock, what, target in ((0, "wall", 0.5), (1, "CPU", None)):
        header(f"Pull of {PROGRAM_BYTES / 1e6:.0f} MB from a registry of this machine, {what} time "
               f"of {rounds} runs each", "ms")
        q = quartiles([r[clock] for r in theirs])
        row(command("skopeo", "--version").strip(), f"{q[1] * 1e3:.0f}",
            f"{q[0] * 1e3:.0f} .. {q[2] * 1e3:.0f}")
        median = q[1]
        q = quartiles([r[clock] for r in ours])
        row("wherry pull", f"{q[1] * 1e3:.0f}", f"{q[0] * 1e3:.0f} .. {q[2] * 1e3:.0f}",
            f"{q[1] / median:.2f}", f"<= {target}" if target else "",
            q[1] / median <= target if target else None)
