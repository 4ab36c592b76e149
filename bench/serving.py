# SPDX-License-Identifier: Apache-2.0
"""The parts of bench/run that measure `wherry serve`: beside `wasmtime serve`, at its best and with
its defaults, and above the floors, a bare epoll server and nginx.

All servers of a part run all the time and get their loads in turn, every second round in reverse;
an idle server costs the others nothing. Ratios are medians of the rounds' ratios. A failed request
is an error."""
import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import time

from measuring import (BUILD, OUT, ROOT, WASMTIME, WHERRY, WORKER, CannotMeasure, build_programs,
                       command, first, header, in_ms, pairs, precompiled, quartiles, read_anew, row,
                       shown)
from processes import cpu_s, private_kb, switches, wait_until_asleep

PATIENCE_S = 60
SETTLE_S = 17  # after the last request: the timers of its connection, of up to 15 s, have ended
THREADS = os.cpu_count()
HELLO = "Hello from C!\n"
OURS, TUNED, DEFAULTS = "wherry serve", "wasmtime serve, tuned", "wasmtime serve, defaults"
BEST = "wasmtime serve, tuned and PAGEMAP_SCAN"
EPOLL, NGINX = "bare epoll server", "nginx"

# The targets are beside this one. With PAGEMAP_SCAN (Linux 6.7), which wherry always uses where the
# kernel has it, the peer needs 40 % less CPU time; docs/benchmarks.md lists what else was tried.
TUNED_OPTIONS = ["-O", "pooling-allocator=y", "-O", "pooling-max-memory-size=67108864",
                 "-O", "pooling-memory-keep-resident=65536",
                 "-O", "pooling-table-keep-resident=16384", "-D", "logging=n"]
BEST_OPTIONS = [*TUNED_OPTIONS, "-O", "pooling-pagemap-scan=y"]
# For a guest whose runtime library imports more of WASI than a proxy gets; costs the peer nothing.
CLI = ("-S", "cli")


class Server:
    """An HTTP server under this process, until the end of its `with`."""

    def __init__(self, name, argv, address=None, env=None, patience_s=PATIENCE_S):
        self.name = name
        self.said = OUT / f"{re.sub('[^a-z]+', '-', name)}.log"
        # RUST_BACKTRACE would cost the peer a third of its speed.
        environment = {k: v for k, v in os.environ.items() if k != "RUST_BACKTRACE"} | (env or {})
        with open(self.said, "w") as log:
            self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=log, env=environment)
        self.pid = self.process.pid
        self.address = address or self._address(patience_s)

    def _address(self, patience_s):
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            found = re.search(r"http://(127\.0\.0\.1:\d+)\S*\n", self.said.read_text())
            if found:
                return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        self.process.kill()
        raise CannotMeasure(f"{self.name} does not listen: {self.said.read_text()[-500:]}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()  # the peer would wait for the end of its connections at SIGINT
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def load(self, connections, *options):
        """The report of a load, with the server's CPU time and what follows from it."""
        before = cpu_s(self.pid)
        # A client with a pace of its own would be on another machine, and wait for nobody.
        prepare = (lambda: first(0)) if "--rate" in options else None
        done = subprocess.run([BUILD / "bench/http_load", "--json", "--timeout", "20",
                               "--connections", str(connections), *map(str, options), self.address],
                              stdout=subprocess.PIPE, text=True, preexec_fn=prepare)
        used = cpu_s(self.pid) - before
        if done.returncode > 1 or not done.stdout:
            raise CannotMeasure(f"http_load: exit status {done.returncode}")
        report = json.loads(done.stdout)
        if report["failures"]:
            ended = self.process.poll()
            raise CannotMeasure(f"{self.name}: {report['failures']} of {report['requests']} failed:"
                                f" {report['reasons'][0]}"
                                + (f"; the server has ended: {ended}" if ended is not None else ""))
        report["cpu_us"] = used / report["requests"] * 1e6
        report["mb_per_core"] = report["body_bytes"] / 1e6 / used
        return report


# ---- Servers and guests ----------------------------------------------------------------------


def has_serve():
    """Whether this tree's wherry can serve; the peers are measured without it too."""
    try:
        return subprocess.run([WHERRY, "serve", "--help"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def guest(folder, target):
    """A component of this tree, built when it is stale."""
    if folder == "tests/guests":
        made = ROOT / "build/guests" / target
        command("make", "-s", "-C", ROOT / folder, f"OUT={made.parents[target.count('/')]}", made)
        return made
    command("make", "-s", "-C", ROOT / folder)
    return ROOT / folder / "build" / target


def our_argv(wasm, *options):
    return [WHERRY, "serve", "--listen", "127.0.0.1:0", "--threads", THREADS, *options, wasm]


def peer_argv(wasm, tuning=(), *options):
    """The peer on code compiled ahead of time with the same options."""
    name = f"{wasm.parents[1].name}-{wasm.stem}-{'tuned' if tuning else 'defaults'}.cwasm"
    made = precompiled(wasm, [WASMTIME, "compile", *tuning], name)
    return [WASMTIME, "serve", "--allow-precompiled", "--addr", "127.0.0.1:0", *tuning, *options,
            made]


def contenders(wasm, ours=(), peer=()):
    """Name to command line: the peer three times, and wherry when it can serve."""
    found = {DEFAULTS: peer_argv(wasm, (), *peer), TUNED: peer_argv(wasm, TUNED_OPTIONS, *peer),
             BEST: peer_argv(wasm, BEST_OPTIONS, *peer)}
    if has_serve():
        found[OURS] = our_argv(wasm, *ours)
    for argv in found.values():
        print(shown(argv))
    return found


def nginx():
    """(command line, address). nginx cannot tell a port that the kernel chose."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:" + os.environ.get("PATH", ""))
    if not program:
        raise CannotMeasure("nginx is missing: apt-get install nginx-light")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % s.getsockname()[1]
    prefix = OUT / "nginx"
    for folder in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
        (prefix / folder).mkdir(parents=True, exist_ok=True)
    conf = prefix / "nginx.conf"
    temporary = "".join(f"{'client_body' if f == 'body' else f}_temp_path {prefix / f};\n"
                        for f in ("body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf.write_text(f"""daemon off; worker_processes {THREADS}; pid {prefix}/pid;
error_log stderr; events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; default_type text/plain; {temporary}
server {{ listen {address} reuseport; location / {{ return 200 "Hello from C!\\n"; }} }} }}
""")
    return [program, "-e", "stderr", "-p", prefix, "-c", conf], address


class Servers(list):
    """Running servers, ended together."""

    def __init__(self, commands, floors=False):
        super().__init__()
        self.commands, self.floors = commands, floors

    def __enter__(self):
        try:
            for name, argv in self.commands.items():
                self.append(Server(name, argv))
            if self.floors:
                self.append(Server(EPOLL, [BUILD / "bench/epoll_server", THREADS]))
                argv, address = nginx()
                self.append(Server(NGINX, argv, address))
                self._wait_for(address)
        except BaseException:
            self.__exit__()
            raise
        return self

    @staticmethod
    def _wait_for(address):
        host, port = address.split(":")
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                return socket.create_connection((host, int(port))).close()
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def __exit__(self, *_):
        for s in self:
            s.__exit__()

    def take_turns(self, rounds, *load):
        """Name to the reports of its rounds."""
        reports = {s.name: [] for s in self}
        for i in range(rounds):
            for s in self if i % 2 == 0 else reversed(self):
                reports[s.name].append(s.load(*load))
        return reports


def rows(reports, key, form="{:.1f}", targets=(), is_more_better=False):
    """A row for each server. `targets` is of pairs: which peer, and what the ratio to it may be."""
    for name, list_ in reports.items():
        values = [key(r) for r in list_]
        q = quartiles(values)
        row(name, form.format(q[1]), f"{form.format(q[0])} .. {form.format(q[2])}")
        if name != OURS:
            continue
        for peer, target in targets:
            ratio = statistics.median(a / key(b) for a, b in zip(values, reports[peer]))
            sign = ">=" if is_more_better else "<="
            row(f"  beside {peer.removeprefix('wasmtime serve, ')}", "", "", f"{ratio:.3f}",
                f"{sign} {target}", ratio >= target if is_more_better else ratio <= target)
        ratio = statistics.median(a / key(b) for a, b in zip(values, reports[BEST]))
        row(f"  beside {BEST.removeprefix('wasmtime serve, ')}", "", "", f"{ratio:.3f}")


def cpu_rows(what, reports, targets):
    header(f"{what}: server CPU time per request", "us")
    rows(reports, lambda r: r["cpu_us"], targets=targets)


# ---- The parts -------------------------------------------------------------------------------


def hello_servers():
    build_programs("http_load", "epoll_server")
    print()
    return Servers(contenders(guest("examples/http-c", "hello.component.wasm")), floors=True)


def bench_hello(quick):
    """CPU time and throughput of a fresh instance for each request."""
    rounds, n = (3, 4000) if quick else (9, 20000)
    with hello_servers() as servers:
        servers.take_turns(1, 16, "--requests", 1000)
        for connections in (1, 16, 64, 256):
            load = ("--requests", n // 4 if connections == 1 else n, "--duration", "60",
                    "--expect-body", HELLO)
            reports = servers.take_turns(rounds, connections, *load)
            what = f"Hello from C, keep-alive, {connections} connections, {rounds} rounds"
            targets = [(TUNED, 0.5), (DEFAULTS, 0.35)] if connections in (16, 64) else []
            cpu_rows(what, reports, targets)
            header(f"{what}: requests per second", "1/s")
            rows(reports, lambda r: r["requests_per_s"], "{:.0f}",
                 [(TUNED, 1.7 if connections >= 16 else 1)], is_more_better=True)


def bench_latency(quick):
    """p99 at half of what the tuned peer can do."""
    rounds, seconds = (3, 2) if quick else (9, 4)
    with hello_servers() as servers:
        tuned, = (s for s in servers if s.name == TUNED)
        peak = max(statistics.median(tuned.load(c, "--duration", "2")["requests_per_s"]
                                     for _ in range(3)) for c in (16, 64, 256))
        rate = int(peak / 2)
        reports = servers.take_turns(rounds, 64, "--rate", rate, "--duration", seconds,
                                     "--expect-body", HELLO)
        for quantile, targets in (("p50", []), ("p99", [(TUNED, 0.5)])):
            header(f"{quantile}, open loop, {rate} requests/s: half of the tuned peer's peak", "us")
            rows(reports, lambda r, q=quantile: r["latency_us"][q], targets=targets)


def bench_start(quick):
    """From the start of the program to the first byte of an answer; code compiled before."""
    build_programs("first_byte", "epoll_server")
    print()
    commands = contenders(guest("examples/http-c", "hello.component.wasm"))
    commands[EPOLL] = [BUILD / "bench/epoll_server", 1]
    read_anew(WASMTIME, *((WHERRY, WORKER) if OURS in commands else ()))
    rounds = 20 if quick else 100
    results = dict(zip(commands, pairs("first_byte", rounds, *commands.values())))
    for clock, name in (("wall_us", "wall"), ("cpu_us", "CPU, to the kill")):
        header(f"Start to first byte answered, {name} time of {rounds} starts each", "ms")
        for server, r in results.items():
            row(server, *in_ms(r[clock]))
        if OURS in results and clock == "wall_us":
            ratio = results[OURS][clock][1] / min(results[p][clock][1] for p in (TUNED, DEFAULTS))
            row("  beside the faster peer", "", "", f"{ratio:.3f}", "<= 0.4", ratio <= 0.4)


def bench_js(quick):
    rounds, n = (3, 300) if quick else (9, 1000)
    build_programs("http_load")
    print()
    wasm = guest("examples/http-js", "hello.component.wasm")
    with Servers(contenders(wasm, peer=CLI)) as servers:
        servers.take_turns(1, 4, "--requests", 50)
        reports = servers.take_turns(rounds, 16, "--requests", n, "--duration", "60")
        what = f"Hello from JavaScript, 16 connections, {rounds} rounds"
        cpu_rows(what, reports, [(TUNED, 0.7)])
        header(f"{what}: p99", "us")
        rows(reports, lambda r: r["latency_us"]["p99"])


def bench_body(quick):
    rounds = 3 if quick else 9
    build_programs("http_load")
    print()
    with Servers(contenders(guest("tests/guests", "http/probe.wasm"), peer=CLI)) as servers:
        servers.take_turns(1, 4, "--path", "/hello", "--requests", 200)
        for what, load in (
                ("1 MB download", (4, "--path", "/download?1048576", "--requests", 200)),
                ("64 KB echo", (16, "--path", "/echo", "--body-bytes", 65536, "--expect-echo",
                                "--requests", 2000))):
            reports = servers.take_turns(rounds, *load, "--duration", "60")
            header(f"{what}, {load[0]} connections, {rounds} rounds: per CPU second of the server",
                   "MB")
            rows(reports, lambda r: r["mb_per_core"], targets=[(TUNED, 1.5)], is_more_better=True)


def bench_p3(quick):
    rounds, n = (3, 2000) if quick else (9, 10000)
    build_programs("http_load")
    wasm = guest("examples/http-p3", "hello.component.wasm")
    for what, reuse in (("fresh instances", 1), ("128 requests an instance", 128)):
        print()
        ours, peer = ("--reuse", reuse), ("--max-instance-reuse-count", reuse)
        with Servers(contenders(wasm, ours, peer)) as servers:
            servers.take_turns(1, 16, "--requests", 500)
            reports = servers.take_turns(rounds, 16, "--requests", n, "--duration", "60")
            cpu_rows(f"WASI 0.3 hello, {what}, 16 connections", reports, [(DEFAULTS, 0.5)])


def variants(wasm, n):
    """Copies of a component that differ in a custom section, so that each has its own digest."""
    folder = OUT / "many"
    folder.mkdir(exist_ok=True)
    original = wasm.read_bytes()
    made = []
    for i in range(n):
        name, text = b"variant", b"%08d" % i
        section = bytes([len(name)]) + name + text
        made.append(folder / f"c{i:04}.wasm")
        made[-1].write_bytes(original + bytes([0, len(section)]) + section)
    return made


def many_server(components):
    """One worker with all of them. It has a cache of its own: a thousand entries are nothing to
    leave in the user's."""
    routes = [a for i, c in enumerate(components) for a in ("--route", f"/c{i:04}={c}")]
    return Server(OURS, our_argv(components[0], *routes),
                  env={"XDG_CACHE_HOME": str(OUT / "cache")}, patience_s=600)


def idle_figures(components):
    """(private KB before any request, private KB after one each, switches in 10 s)"""
    with many_server(components) as s:
        wait_until_asleep(s.pid)
        unused = private_kb(s.pid)[0]
        connection = http.client.HTTPConnection(s.address, timeout=PATIENCE_S)
        for i in range(len(components)):
            connection.request("GET", f"/c{i:04}")
            answer = connection.getresponse()
            if answer.status != 200 or answer.read().decode() != HELLO:
                raise CannotMeasure(f"/c{i:04} answered {answer.status}")
        connection.close()
        time.sleep(SETTLE_S)
        used = private_kb(s.pid)[0]
        before = switches(s.pid)
        time.sleep(10)
        return unused, used, switches(s.pid) - before


def bench_many(_quick):
    if not has_serve():
        raise CannotMeasure("wherry has no command 'serve'")
    few, many = 10, 1000
    components = variants(guest("examples/http-c", "hello.component.wasm"), many)
    print("\nComponents with different digests in one worker: private memory beyond mapped code")
    row("", "KB", "before any request", "", "target")
    with many_server(components):
        pass  # compiles what is not in the cache
    measured = {n: idle_figures(components[:n]) for n in (few, many)}
    for n, (unused, used, _) in measured.items():
        row(f"worker with {n} components", used, unused)
    unused, used = ((measured[many][i] - measured[few][i]) / (many - few) for i in (0, 1))
    row("each component", f"{used:.1f}", f"{unused:.1f}", "", "<= 20", used <= 20)
    wakes = measured[many][2]
    row("wake-ups in 10 s, all threads", wakes, "", "", "0", wakes == 0)


PARTS = {f"serve-{name}": globals()[f"bench_{name}"]
         for name in ("hello", "latency", "start", "js", "body", "p3", "many")}
