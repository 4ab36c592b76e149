# SPDX-License-Identifier: Apache-2.0
"""The parts of bench/run that measure the containerd shim: beside runc with the same C programs
native, and beside the shim that runwasi's crates and Wasmtime make (bench/peers/shim-wasmtime).

Each part has a containerd of its own (tests/containerd). Contestants take turns within one run.
CPU time is that of containerd, of shims, and of all that these have started, but not of the client;
it is complete, since whoever loses its parent comes to this process."""
import contextlib
import errno
import functools
import json
import os
import pathlib
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from measuring import OUT, ROOT, CannotMeasure, command, header, in_ms, quartiles, row

sys.path += [str(ROOT / "tests"), str(ROOT / "tests/containerd")]
import daemon  # pylint: disable=wrong-import-position
import images  # pylint: disable=wrong-import-position

PATIENCE_S = 60
SETTLE_S = 5
PORT = 8080
THREADS = 8
N_PODS = 20
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PEER = "io.containerd.peerwasmtime.v1"
# As a kubelet asks for it when a pod says nothing.
LINUX = {"linux": {"security_context": {"namespace_options": {"pid": "CONTAINER"}}}}
RUNC, OURS, THEIRS = "runc, native", "wherry", "shimkit and wasmtime"


class Contestant:
    """How a program runs: `runtime` is ctr's word, `handler` CRI's."""

    def __init__(self, name, runtime, handler, image, argv):
        self.name, self.runtime, self.handler = name, runtime, handler
        self.image, self.argv = image, argv


def native(source, name, *options):
    """A static program of a C file."""
    made = OUT / "native" / name
    made.parent.mkdir(parents=True, exist_ok=True)
    command("musl-gcc", "-std=gnu17", "-O2", "-s", "-static", *options, "-o", made, source)
    return str(made)


def commands(version):
    """A hello. containerd 1.6 has no images whose layer is a program, and the peer compiles any
    other image anew for each container."""
    program = native(ROOT / "examples/c/hello.c", "hello")
    found = [Contestant(RUNC, daemon.RUNC, "runc", images.native(program), ["/hello"]),
             Contestant(OURS, daemon.WHERRY, "wherry", images.wasm("example/c"), ["/app.wasm"])]
    if version != "1.6":
        found.append(Contestant(THEIRS, PEER, "peer", images.wasm("example/c", "layers"),
                                ["/app.wasm"]))
    return found


def server_programs():
    """That answer with a hello. Of the peer there is none: CRI takes no image of its platform."""
    program = native(ROOT / "bench/epoll_server.c", "epoll_server", "-pthread")
    return [Contestant(RUNC, daemon.RUNC, "runc", images.native(program),
                       ["/epoll_server", "1", str(PORT), "0.0.0.0"]),
            Contestant(OURS, daemon.WHERRY, "wherry", images.wasm("example/http-c", "compat"),
                       ["/app.wasm"])]


def build_stress():
    command("make", "-s", "-C", ROOT / "tests/containerd", f"OUT={images.OUT}", "stress")
    return os.path.join(images.OUT, "stress")


@functools.cache
def peer_folder():
    """Where the peer's shim is; None without it, which has been said then."""
    try:
        return command(ROOT / "bench/peers/shim-wasmtime/build.sh").strip()  # some minutes, once
    except CannotMeasure as e:
        print(f"without {THEIRS}, which does not build: {e}", file=sys.stderr, flush=True)
        return None


def have_containerd(version, with_peer=False):
    """A daemon that logs what it does in production, for a `with`."""
    daemon.peers()
    folders = [daemon.SHIMS, peer_folder() if with_peer else None]
    return daemon.Containerd(version, shims=os.pathsep.join(filter(None, folders)), level="info")


def without_broken_peer(containerd, found):
    """The contestants, but for a peer that does not run here."""
    theirs = next((c for c in found if c.name == THEIRS), None)
    if theirs and peer_folder():
        try:
            ctr_run(containerd, theirs, "probe", Cpu(containerd))
            return found
        except CannotMeasure as e:
            print(f"without {THEIRS}, which does not run: {e}", file=sys.stderr, flush=True)
    return [c for c in found if c is not theirs]


def wait(is_so, what):
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > end:
            raise CannotMeasure(f"{what}: not within {PATIENCE_S} s")
        time.sleep(0.001)


class Cpu:
    """CPU time of containerd and everything below it, s."""

    def __init__(self, containerd):
        self.containerd = containerd
        self.clients = 0.0

    def client_ended(self, usage):
        self.clients += usage.ru_utime + usage.ru_stime

    def spent(self):
        """Waits until no shim is left; processes() reaps those that have come to this one."""
        wait(lambda: not self.containerd.processes(), "the shims end")
        pid = self.containerd.process.pid
        own = time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3)
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        waited_for = (int(fields[13]) + int(fields[14])) * TICK_S
        reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
        return own + waited_for + reaped.ru_utime + reaped.ru_stime - self.clients


def run_client(argv, env, cpu):
    """Its standard output. What it costs itself is not the runtime's."""
    with tempfile.TemporaryFile() as out:
        client = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, env=env)
        _, status, usage = os.wait4(client.pid, 0)
        client.returncode = os.waitstatus_to_exitcode(status)
        cpu.client_ended(usage)
        out.seek(0)
        said = out.read().decode()
    if client.returncode:
        raise CannotMeasure(f"{' '.join(argv)}: exit status {client.returncode}")
    return said


def verdict(q, others, name, targets, is_more=False):
    """(ratio, target, met) beside each that has a target; the first of them is for the row."""
    found = []
    for other, target in targets.items():
        if other in others and other != name:
            ratio = q[1] / others[other][1]
            met = ratio >= target if is_more else ratio <= target
            found.append((f"{ratio:.3f}", f"{'>=' if is_more else '<='} {target}", met))
    return found


def table(figures, targets, shown, is_more=False):
    """Rows of {name: quartiles}: those of ours have ratios beside the others."""
    for name, q in figures.items():
        found = verdict(q, figures, name, targets, is_more) if name == OURS else []
        row(name, *shown(q), *(found[0] if found else ()))
        for other, (ratio, target, met) in zip([o for o in targets if o in figures][1:], found[1:]):
            row(f"  beside {other}", "", "", ratio, target, met)


# ---- ctr run -----------------------------------------------------------------------------------


def ctr_run(containerd, contestant, number, cpu):
    """Seconds from the start of ctr to its end."""
    argv = [os.path.join(containerd.programs, "ctr"), "-a", containerd.socket_path, "-n",
            containerd.namespace, "run", "--rm", "--runtime", contestant.runtime,
            contestant.image.name, f"run-{number}", *contestant.argv]
    before = time.perf_counter()
    said = run_client(argv, containerd.env, cpu)
    took = time.perf_counter() - before
    if not said.startswith("Hello"):
        raise CannotMeasure(f"{contestant.name} says {said!r}")
    return took


def run_in_turns(containerd, found, rounds):
    """{name: [s]} and {name: CPU seconds of each}."""
    cpu = Cpu(containerd)
    taken = {c.name: [] for c in found}
    spent = {c.name: [] for c in found}
    number = 0
    for i in range(-2, rounds):  # the first unpack and compile
        for c in found if i % 2 else reversed(found):
            before = cpu.spent()
            took = ctr_run(containerd, c, number, cpu)
            number += 1
            after = cpu.spent()
            if i >= 0:
                taken[c.name].append(took * 1e6)
                spent[c.name].append((after - before) * 1e6)
    return taken, spent


def bench_run(quick):
    rounds = 10 if quick else 60
    for version in reversed(daemon.VERSIONS):
        found = commands(version)
        with have_containerd(version, version != "1.6") as containerd:
            containerd.load(*(c.image for c in found))
            found = without_broken_peer(containerd, found)
            taken, spent = run_in_turns(containerd, found, rounds)
        header(f"containerd {version}: ctr run --rm of a C hello, {rounds} times", "ms")
        table({n: quartiles(v) for n, v in taken.items()}, {RUNC: 0.5}, in_ms)
        header("  CPU time of each without ctr", "ms")
        table({n: mean_of_ticks(v) for n, v in spent.items()}, {RUNC: 0.5, THEIRS: 1}, in_ms)


def mean_of_ticks(values):
    """As quartiles, but the middle is the mean: what containerd has waited for comes in ticks."""
    low, _, high = quartiles(values)
    return low, statistics.mean(values), high


# ---- Tasks a second ----------------------------------------------------------------------------


def measure_tasks(containerd, stress, contestant, seconds, cpu):
    """(tasks/s, CPU us of each, {step: median us})"""
    before = cpu.spent()
    said = json.loads(run_client(
        [stress, containerd.socket_path, containerd.namespace, containerd.snapshotter,
         contestant.runtime, contestant.image.name, str(THREADS), str(seconds), *contestant.argv],
        containerd.env, cpu))
    spent = cpu.spent() - before
    steps = {name: statistics.median(v) for name, v in said["steps_us"].items()}
    return said["count"] / said["seconds"], spent / said["count"] * 1e6, steps


def bench_tasks(quick):
    rounds, seconds = (1, 3) if quick else (5, 5)
    stress = build_stress()
    for version in reversed(daemon.VERSIONS):
        found = commands(version)
        with have_containerd(version, version != "1.6") as containerd:
            containerd.load(*(c.image for c in found))
            found = without_broken_peer(containerd, found)
            measured = {c.name: [] for c in found}
            cpu = Cpu(containerd)
            for c in found:
                measure_tasks(containerd, stress, c, 0.1, cpu)  # unpacks and compiles
            for i in range(rounds):
                for c in found if i % 2 else reversed(found):
                    measured[c.name].append(measure_tasks(containerd, stress, c, seconds, cpu))
        tasks_report(version, rounds, seconds, measured)


def tasks_report(version, rounds, seconds, measured):
    header(f"containerd {version}: C hello, {THREADS} at a time, {rounds} times {seconds} s",
           "tasks/s")
    table({n: quartiles([v[0] for v in m]) for n, m in measured.items()}, {RUNC: 2, THEIRS: 2},
          lambda q: (f"{q[1]:.1f}", f"{q[0]:.1f} .. {q[2]:.1f}"), is_more=True)
    header("  CPU time of each without the client", "ms")
    table({n: quartiles([v[1] for v in m]) for n, m in measured.items()}, {RUNC: 0.5, THEIRS: 1},
          in_ms)
    for name, m in measured.items():
        steps = ((step, statistics.median(v[2][step] for v in m)) for step in m[0][2])
        print(f"  {name}, ms: " + ", ".join(f"{step} {us / 1e3:.1f}" for step, us in steps))


# ---- Memory ------------------------------------------------------------------------------------


def is_answered(address):
    """Whether the first byte of an answer has come; False while nobody listens."""
    with socket.socket() as s:
        s.settimeout(PATIENCE_S)
        error = s.connect_ex((address, PORT))
        if error == errno.ECONNREFUSED:
            return False
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        if s.recv(1) != b"H":
            raise CannotMeasure(f"{address} closes the connection")
        return True


@contextlib.contextmanager
def servers(containerd, contestant, n):
    """Pods that have answered once."""
    image, = containerd.load_cri(contestant.image)
    pods = []
    with tempfile.TemporaryDirectory() as logs:
        for i in range(n):
            pods.append(containerd.cri.run_pod(f"pod-{i}", contestant.handler, log_directory=logs,
                                               **LINUX))
            pods[-1].start("main", image, *contestant.argv, **LINUX)
        for pod in pods:
            address = pod.status()["network"]["ip"]
            wait(lambda a=address: is_answered(a), f"{contestant.name} serves")
        yield pods
        for pod in pods:
            pod.remove()


def pss_kb(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0  # it has ended, and nobody has waited for it yet


def bench_memory(quick):
    n = 5 if quick else N_PODS
    header(f"containerd 2.4: {n} pods with an idle hello server, PSS of shims and their processes",
           "KB a pod")
    for c in server_programs():
        with have_containerd("2.4") as containerd, servers(containerd, c, n):
            time.sleep(SETTLE_S)
            pids = containerd.processes()
            each = sum(map(pss_kb, pids)) / n
        target = ("", "<= 4096", each <= 4096) if c.name == OURS else ()
        row(c.name, f"{each:.0f}", f"{len(pids) / n:.1f} processes", *target)


# ---- To the first byte -------------------------------------------------------------------------


def first_byte(containerd, contestant, number):
    """us from before CreateContainer until the first byte of an answer has come."""
    with tempfile.TemporaryDirectory() as logs:
        pod = containerd.cri.run_pod(f"first-{number}", contestant.handler, log_directory=logs,
                                     **LINUX)
        address = pod.status()["network"]["ip"]
        before = time.perf_counter()
        pod.start("main", contestant.image.name, *contestant.argv, **LINUX)
        started = time.perf_counter()
        wait(lambda: is_answered(address), f"{contestant.name} serves")
        ended = time.perf_counter()
        pod.remove()
    return (ended - before) * 1e6, (started - before) * 1e6


def bench_first(quick):
    rounds = 5 if quick else 25
    found = server_programs()
    taken = {c.name: [] for c in found}
    with have_containerd("2.4") as containerd:
        containerd.load_cri(*(c.image for c in found))
        for i in range(-1, rounds):
            for c in found if i % 2 else reversed(found):
                took = first_byte(containerd, c, f"{c.handler}-{i}")
                if i >= 0:
                    taken[c.name].append(took)
    header(f"containerd 2.4: CRI create to first byte, {rounds} times", "ms")
    table({n: quartiles([v[0] for v in m]) for n, m in taken.items()}, {RUNC: 0.5}, in_ms)
    header("  of it, until StartContainer is answered", "ms")
    table({n: quartiles([v[1] for v in m]) for n, m in taken.items()}, {}, in_ms)


PARTS = {"shim-run": bench_run, "shim-tasks": bench_tasks, "shim-memory": bench_memory,
         "shim-first": bench_first}
