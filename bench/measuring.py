# SPDX-License-Identifier: Apache-2.0
"""What every part of bench/run uses: where things are, programs built and run, the table."""
import os
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / os.environ.get("WHERRY_BUILD", "build/meson")
OUT = ROOT / "build/bench"
WHERRY = ROOT / "build/wherry"
WORKER = ROOT / "build/libexec/wherry/wherry-worker"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "wherry"

WASMTIME_VERSION = "48.0.8"
WASMTIME = CACHE / "tools/bin/wasmtime"
# The peer at its best: compiled ahead of time for a run without support for concurrent calls, which
# these guests do not need, without its cache of compiled code and without a logger. That is about
# 5 % faster than plain `wasmtime run --allow-precompiled`; docs/benchmarks.md lists what else was
# tried.
WASMTIME_COMPILE = [WASMTIME, "compile", "-W", "concurrency-support=n"]


class CannotMeasure(Exception):
    pass


def command(*args, **more):
    """Runs a program; its standard output. Any failure is one of this script."""
    done = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, text=True, **more)
    if done.returncode != 0:
        raise CannotMeasure(f"{' '.join(map(str, args))}: exit status {done.returncode}")
    return done.stdout


def shown(args):
    """A command line for people: with ~ and without the path of this tree."""
    home = str(pathlib.Path.home())
    return " ".join(str(a).replace(str(ROOT) + "/", "").replace(home, "~") for a in args)


def row(what, figure, spread, ratio="", target="", met=None):
    verdict = {None: "", True: "met", False: "MISSED"}[met]
    print(f"  {what:<41} {figure:>10} {spread:>19} {ratio:>7} {target:>9} {verdict}", flush=True)


def header(text, unit):
    print(f"\n{text}")
    row("", unit, "quartiles", "ratio", "target")


def have_peer():
    version = ""
    if WASMTIME.exists():
        version = command(WASMTIME, "--version")
    if version.split()[1:2] != [WASMTIME_VERSION]:
        print(f"installing wasmtime-cli {WASMTIME_VERSION}: takes some minutes", flush=True)
        command("cargo", "install", "--quiet", "--locked", "--root", CACHE / "tools",
                f"wasmtime-cli@{WASMTIME_VERSION}")


def build_programs(*names):
    command("ninja", "-C", BUILD, "--quiet", *(f"bench/{n}" for n in names),
            stderr=subprocess.DEVNULL if not sys.stderr.isatty() else None)


def guest(name):
    """The path of a guest, built when it is stale."""
    folders = {"hello": "examples/c", "hello.component": "examples/c-component",
               "nop": "tests/guests"}
    folder = ROOT / folders.get(name, "bench/guests")
    if name.startswith("hello"):
        command("make", "-s", "-C", folder)
        return folder / "build" / f"{name}.wasm"
    made = OUT / f"{name}.wasm"
    command("make", "-s", "-C", folder, f"OUT={OUT}", made)
    return made


def precompiled(wasm, compiler=(*WASMTIME_COMPILE,), name=None):
    made = OUT / (name or wasm.stem + ".cwasm")
    command(*compiler, "-o", made, wasm)
    return made


def pairs(program, rounds, *commands):
    """Of spawn_pairs or first_byte: per command a dict of clock to its quartiles and minimum."""
    args = []
    for c in commands:
        args += ["--", *c] if args else c
    env = {k: v for k, v in os.environ.items() if k != "RUST_BACKTRACE"}  # it costs the peer speed
    out = command(BUILD / "bench" / program, rounds, *args, env=env)
    return [{name: [float(v) for v in (*values.split(",")[1:], values.split(",")[0])]
             for name, values in re.findall(r"(\w+_us)=([\d.,]+)", line)}
            for line in out.splitlines()]


def quartiles(values):
    if len(values) < 2:
        return values * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def in_ms(q):
    return f"{q[1] / 1e3:.3f}", f"{q[0] / 1e3:.3f} .. {q[2] / 1e3:.3f}"


def first(pid):
    """What measures does not wait for what is measured, where that is allowed."""
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        pass


def read_anew(*programs):
    """What a linker has just written lies in the page cache page by page, what was read from disk
    in larger pieces that are mapped faster. Both sides are measured as read from disk."""
    for program in programs:
        with open(program, "rb") as f:
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while f.read(1 << 20):
                pass
