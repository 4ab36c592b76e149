# SPDX-License-Identifier: Apache-2.0
"""The parts of bench/run that measure images: `wherry pull` beside `skopeo copy` to an image layout
and `podman pull`, with compilation beside `wasmtime compile`, all from a docker-registry of this
machine; and the way from an image's name to machine code."""
import contextlib
import io
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

from measuring import (BUILD, ROOT, WASMTIME_COMPILE, WHERRY, CannotMeasure, build_programs,
                       command, guest, header, quartiles, row)

PROGRAM_BYTES = 75532134  # as large as the LLVM module of @yowasp/clang 22
IMAGES = 10000
MEASURED = "bench.test/measured/app:v1"


def spent(argv, env=None):
    """(wall, CPU) seconds of a command, its children's included."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([str(a) for a in argv], env=env, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise CannotMeasure(f"{argv[0]}: {done.stderr.strip()}")
    return wall, (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


@contextlib.contextmanager
def scratch():
    """A folder on a disk, not in memory."""
    box = tempfile.mkdtemp(prefix="wherry-images-", dir=ROOT / "build")
    try:
        yield pathlib.Path(box)
    finally:
        shutil.rmtree(box)


def needs(*programs):
    missing = [p for p in programs if not shutil.which(p)]
    if missing:
        raise CannotMeasure(f"{', '.join(missing)} missing; run: make deps")


def of_tests():
    """What the tests have to make images and to run a registry."""
    sys.path.insert(0, str(ROOT / "tests"))
    os.environ.setdefault("WHERRY_ROOT", str(ROOT))
    import image_layout
    import registry
    return image_layout, registry


def told(what, theirs, ours, clock, target=None, unit=1e3, text=".0f"):
    """Rows for peer and wherry; the ratio of medians."""
    ratio = quartiles([r[clock] for r in ours])[1] / quartiles([r[clock] for r in theirs[1]])[1]
    for name, values, more in ((theirs[0], theirs[1], ()),
                               (what, ours, (f"{ratio:.2f}", f"<= {target}" if target else "",
                                             ratio <= target if target else None))):
        q = [v * unit for v in quartiles([r[clock] for r in values])]
        row(name, f"{q[1]:{text}}", f"{q[0]:{text}} .. {q[2]:{text}}", *more)


# ---- Transfer --------------------------------------------------------------------------------


def layout_of(image_layout, box, program):
    """With the program as an artifact and, as podman takes no other, as the only file of a layer."""
    layout = image_layout.Layout(box / "layout")
    layout.tag("artifact", layout.artifact(program))
    data, archive = program.read_bytes(), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("app.wasm")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    layer = layout.blob("application/vnd.oci.image.layer.v1.tar", archive.getvalue())
    config = layout.blob("application/vnd.oci.image.config.v1+json", {
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/app.wasm"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}})
    layout.tag("files", layout.blob(image_layout.MANIFEST, {
        "schemaVersion": 2, "mediaType": image_layout.MANIFEST, "config": config,
        "layers": [layer]}))
    return layout


def in_turn(rounds, ours, theirs):
    """Each first as often as second."""
    results = {ours: [], theirs: []}
    for i in range(2 * rounds):
        which = ours if i % 4 in (0, 3) else theirs
        results[which].append(which())
    return results[ours], results[theirs]


def bench_pull(quick):
    if not shutil.which("podman"):
        command(ROOT / "tools/deps", "podman")
    needs("skopeo", "podman", "docker-registry")
    image_layout, registry = of_tests()
    rounds = 5 if quick else 21
    # podman takes no longer path than 50 characters for this one.
    with scratch() as box, tempfile.TemporaryDirectory(prefix="podman-") as podman_run:
        program = box / "program.wasm"
        with open(program, "wb") as f:
            f.write(b"\0asm\1\0\0\0" + os.urandom(PROGRAM_BYTES - 8))
        layout = layout_of(image_layout, box, program)
        podman = ["podman", "--root", box / "podman", "--runroot", podman_run]
        with registry.Registry() as r:
            for tag in ("artifact", "files"):
                registry.push_layout(layout.dir, tag, r)
            name = f"{r.address}/test/app"

            def by_wherry(tag):
                wall = spent([WHERRY, "pull", "-q", "--no-compile", f"{name}:{tag}"],
                             {**os.environ, "WHERRY_STATE_DIR": str(box / "copy")})
                shutil.rmtree(box / "copy")
                return wall

            def by_skopeo():
                wall = spent(["skopeo", "copy", "--insecure-policy", "--src-tls-verify=false",
                              f"docker://{name}:artifact", f"oci:{box}/copy:v1"])
                shutil.rmtree(box / "copy")
                return wall

            def by_podman():
                wall = spent([*podman, "pull", "-q", "--tls-verify=false", f"{name}:files"])
                command(*podman, "rmi", "-af", stderr=subprocess.DEVNULL)
                return wall

            by_podman()  # makes its store
            results = [(command("skopeo", "--version").strip(),
                        *in_turn(rounds, lambda: by_wherry("artifact"), by_skopeo)),
                       (command("podman", "--version").strip() + ", of an image of files",
                        *in_turn(rounds, lambda: by_wherry("files"), by_podman))]
        subprocess.run(["umount", str(box / "podman/overlay")], stderr=subprocess.DEVNULL)
    for clock, clock_name, target in ((0, "wall", 0.5), (1, "CPU", None)):
        header(f"Pull of {PROGRAM_BYTES / 1e6:.0f} MB from a registry of this machine, "
               f"{clock_name} time of {rounds} runs each", "ms")
        for peer, ours, theirs in results:
            told("wherry pull", (peer, theirs), ours, clock, target)


# ---- Transfer and compilation ----------------------------------------------------------------


def llvm():
    """The LLVM of @yowasp/clang, installed when it is missing."""
    needs("npm")
    return pathlib.Path(command(ROOT / "tests/yowasp", "clang").strip()) / "llvm.core.wasm"


def bench_compile(quick):
    needs("skopeo", "docker-registry")
    build_programs("resolve")
    image_layout, registry = of_tests()
    rounds = 1 if quick else 3
    results = {"pull": [], "transfer": [], "compile": []}
    with scratch() as box:
        layout = image_layout.Layout(box / "layout")
        layout.tag("v1", layout.artifact(llvm()))
        state, cache = box / "state", box / "cache"
        env = {**os.environ, "WHERRY_STATE_DIR": str(state)}
        with registry.Registry() as r:
            registry.push_layout(layout.dir, "v1", r)
            name = f"{r.address}/test/app:v1"
            # Large files that a file system is busy removing are nobody's time.
            contenders = {
                "pull": ([WHERRY, "pull", "-q", "--cache-dir", cache, name], (state, cache)),
                "transfer": ([WHERRY, "pull", "-q", "--no-compile", name], (state,)),
                "compile": ([*WASMTIME_COMPILE, "-o", box / "llvm.cwasm", llvm()],
                            (box / "llvm.cwasm",))}
            for i in range(rounds):
                for which in list(contenders)[::1 if i % 2 else -1]:
                    argv, made = contenders[which]
                    for path in made:
                        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                    os.sync()
                    results[which].append(spent(argv, env))
            spent(contenders["pull"][0], env)  # what it has left is there again
            entry, = (f for f in (cache / "code").iterdir())
            mapped = measured(cache, 21, name, state / "images")
    for clock, clock_name, target in ((0, "wall", 1.05), (1, "CPU", None)):
        header(f"Pull and compilation of LLVM, 75 MB, {clock_name} time of {rounds} runs each", "s")
        row("wherry pull --no-compile",
            *(f"{v:.2f}" for v in [quartiles([r[clock] for r in results["transfer"]])[1]]), "")
        told("wherry pull", ("wasmtime compile", results["compile"]), results["pull"], clock, target,
             1, ".1f")
    header("From its name to its machine code, 21 times", "us")
    for what, q in mapped[0].items():
        row(what, f"{q[1]:.0f}", f"{q[0]:.0f} .. {q[2]:.0f}")


# ---- From a name to machine code -------------------------------------------------------------


def measured(cache, rounds, name, *stores):
    """For each store {what: quartiles in us}."""
    out = command(BUILD / "bench/resolve", "measure", cache, rounds, name, *stores)
    names = {"map_us": "the code's file is mapped", "open_us": "the engine has linked it"}
    return [{names[k]: [float(v) for v in values.split(",")]
             for k, values in re.findall(r"(\w+)=(\S+)", line)} for line in out.splitlines()]


def bench_resolve(quick):
    build_programs("resolve")
    rounds = 500 if quick else 4000
    program = guest("hello")
    with scratch() as box:
        for n in (10, IMAGES):
            (box / str(n)).mkdir(0o700)
            command(BUILD / "bench/resolve", "fill", box / str(n) / "images", n, MEASURED, program)
        command(WHERRY, "compile", "--cache-dir", box / "cache", "docker://" + MEASURED,
                env={**os.environ, "WHERRY_STATE_DIR": str(box / "10")})
        few, many = measured(box / "cache", rounds, MEASURED, box / "10/images",
                             box / f"{IMAGES}/images")
    header(f"From an image's name to its machine code, {rounds} times each in turn", "us")
    for what in few:
        for n, q, verdict in ((10, few[what], ("", "<= 300", few[what][1] <= 300)),
                              (IMAGES, many[what],
                               (f"{many[what][1] / few[what][1]:.3f}", "<= 1.05",
                                many[what][1] <= 1.05 * few[what][1]))):
            row(f"{what}, {n} images", f"{q[1]:.1f}", f"{q[0]:.1f} .. {q[2]:.1f}", *verdict)
