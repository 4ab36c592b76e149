#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs that are prepared before there is a process for them, and runs of one guest that get
their machine code, their listeners and the file for their status by descriptor."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from worker_client import (GUESTS, PATIENCE_S, PROGRAM, ROOT, Tap, build_guests,  # noqa: E402
                           get, guest, slow_request, wait_until)

tap = Tap()
PREPARE = os.path.join(ROOT, os.environ.get("WHERRY_BUILD", "build/meson"), "tests/integ/prepare")
PROBE, PROBE3 = (os.path.join(GUESTS, f"http/{n}.wasm") for n in ("probe", "probe3"))
COMPONENT = os.path.join(GUESTS, "random.component.wasm")
folder = tempfile.mkdtemp(prefix="wherry-program-")
CACHE = os.path.join(folder, "cache")
TEXT, BROKEN = (os.path.join(folder, n) for n in ("text.wat", "broken.wasm"))
with open(TEXT, "w") as file:
    file.write("(module)")
with open(BROKEN, "wb") as file:
    file.write(b"\0asm\1\0\0\0\x0a\xff\xff\xff\xff\x0f")


def start_job(job, fds=(), **how):
    read, write = os.pipe()
    with os.fdopen(write, "w") as f:
        f.write(json.dumps(job))
    try:
        return subprocess.Popen([PROGRAM, "--spec-fd", str(read)], pass_fds=[read, *fds],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **how)
    finally:
        os.close(read)


def prepare(path, cache=CACHE):
    """The answer, the exit status and what was logged."""
    with open(path, "rb") as f:
        p = start_job({"command": "prepare", "cache_dir": cache,
                       "files": [{"fd": f.fileno(), "name": os.path.basename(path)}]}, [f.fileno()])
        out, err = p.communicate(timeout=PATIENCE_S)
    return json.loads(out), p.returncode, err


class Run:
    """A run of the program with code that is given to it, and nothing else."""

    def __init__(self, path, code=None, listeners=(), job=None, args=(), **spec):
        self.status_fd = os.memfd_create("status")
        with open(path, "rb") as f:
            fds = [f.fileno(), self.status_fd, *(s.fileno() for s in listeners)]
            spec = {"id": "guest", "module_fd": f.fileno(), "stdout_fd": 1, "stderr_fd": 2,
                    "args": [path, *args], **spec}
            if code:
                spec["code_fd"] = os.open(code, os.O_RDONLY)
                fds.append(spec["code_fd"])
            if listeners:
                spec["listeners"] = [{"fd": s.fileno(), "url": "http://x"} for s in listeners]
            self.process = start_job({"command": "run", "spec": spec,
                                      "status_fd": self.status_fd, **(job or {})}, fds)
            if code:
                os.close(spec["code_fd"])

    def end(self):
        self.out, self.err = self.process.communicate(timeout=PATIENCE_S)
        text = os.pread(self.status_fd, 1 << 16, 0)
        os.close(self.status_fd)
        self.status = json.loads(text)
        return self.status["reason"], self.status["exit_code"], self.process.returncode


def code_of(path):
    answer, status, err = prepare(path)
    assert status == 0, err
    return os.path.join(CACHE, "code", answer["code"])


def compiled():
    """What is in the cache, with the time of its making."""
    code = os.path.join(CACHE, "code")
    return {n: os.stat(os.path.join(code, n)).st_mtime_ns for n in os.listdir(code)}


# ---- The job "prepare" ----

def test_prepare():
    for path, contract in ((guest("exitcode"), "p1-command"), (COMPONENT, "p2-command"),
                           (PROBE, "p2-http"), (PROBE3, "p3-http")):
        answer, status, err = prepare(path)
        name = os.path.basename(path)
        tap.equal(f"{name}: it says what the program is", (answer["contract"], status),
                  (contract, 0))
        made = compiled()
        tap.ok(f"{name}: and which entry of the cache its code is", answer["code"] in made, made)
        tap.equal(f"{name}: the second time it says the same and makes nothing",
                  (prepare(path)[0], compiled()), (answer, made))


def test_prepare_refuses():
    answer, status, err = prepare(TEXT)
    tap.equal("a text is no program", (answer["reason"], status), ("NotWasm", 126))
    tap.ok("and is said to be one", "text format" in answer["message"] and "text.wat" in err,
           (answer, err))
    answer, status, err = prepare(BROKEN)
    tap.equal("nor is what breaks off", (answer["reason"], status), ("InvalidWasm", 126))
    answer, status, err = prepare(guest("exitcode"), cache="/proc/nowhere")
    tap.ok("without a cache there is nowhere to put the code", status == 125 and answer["reason"],
           answer)


# ---- Runs with code at hand ----

def test_code_fd():
    code = code_of(guest("exitcode"))
    run = Run(guest("exitcode"), code, args=["42"])
    tap.equal("with its code a program needs no cache", run.end(), ("Error", 42, 42))
    tap.ok("and its own status is told as such", run.status["guest_exit"], run.status)
    empty = os.path.join(folder, "empty")
    run = Run(guest("exitcode"), code, args=["7"], job={"cache_dir": empty})
    tap.equal("nor does it look at one that it has", run.end(), ("Error", 7, 7))
    tap.equal("and nothing is compiled", os.listdir(os.path.join(empty, "code")), [])
    run = Run(COMPONENT, code_of(COMPONENT))
    tap.equal("a component's code works as well", run.end(), ("Completed", 0, 0))


def test_stale_code():
    garbage = os.path.join(folder, "garbage")
    with open(code_of(guest("exitcode")), "rb") as f, open(garbage, "wb") as g:
        g.write(f.read(4096))
    for name, path, code, more in (
            ("damaged code", guest("exitcode"), garbage, {}),
            ("code in a server's form", COMPONENT, code_of(PROBE), {})):
        run = Run(path, code, **more)
        got = run.end()
        tap.equal(f"{name} ends the run, which does not compile", got, ("CodeStale", 125, 125))
        tap.ok(f"{name}: with a message", run.status["message"] in run.err, run.err)
    run = Run(PROBE, garbage, listeners=[listening()[0]])
    tap.equal("so it does a server's", run.end(), ("CodeStale", 125, 125))


def test_ends_are_told_apart():
    for name, run, wanted in (
            ("a trap", Run(guest("trap"), code_of(guest("trap"))), ("Trap", 134, 134)),
            ("the memory limit", Run(guest("grow"), code_of(guest("grow")), memory_bytes=8 << 20,
                                     args=["trap"]), ("OOMKilled", 137, 137)),
            ("the deadline", Run(guest("loop"), code_of(guest("loop")), timeout_ms=200),
             ("DeadlineExceeded", 124, 124)),
            ("no program", Run(TEXT), ("NotWasm", 126, 126)),
            ("a folder for the log that is none",
             Run(guest("trap"), code_of(guest("trap")), stdout_fd=-1, log_dir_fd=1),
             ("LogFailed", 125, 125))):
        tap.equal(f"{name} is told by descriptor", run.end(), wanted)
    run = Run(guest("loop"), code_of(guest("loop")))
    wait_until(lambda: threads(run) > 1, "a thread that waits for signals")
    run.process.send_signal(signal.SIGTERM)
    tap.equal("a command that is told to end does so at once", run.end(), ("Stopped", 143, 143))


# ---- HTTP ----

def listening():
    s = socket.create_server(("127.0.0.1", 0))
    return s, s.getsockname()[1]


def serve(path, **spec):
    s, port = listening()
    run = Run(path, code_of(path), listeners=[s], optional_listeners=True, **spec)
    s.close()
    return run, port


def threads(run):
    return len(os.listdir(f"/proc/{run.process.pid}/task"))


def private_kb(run):
    """Of memory that no other worker shares."""
    with open(f"/proc/{run.process.pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Private_Dirty"))


def test_http():
    for path in (PROBE, PROBE3) if os.environ.get("FULL") == "1" else (PROBE,):
        name = os.path.basename(path)
        run, port = serve(path)
        tap.equal(f"{name}: it answers where it was told to", get(port, "/hello")[0], 200)
        busy = threads(run)
        wait_until(lambda: threads(run) < busy, "the end of its thread")
        wait_until(lambda: private_kb(run) < 2048, "memory to be given back")
        tap.ok(f"{name}: idle it is small, with one thread and the engine's", threads(run) <= 2,
               threads(run))
        tap.equal(f"{name}: who asks later is answered, too", get(port, "/hello")[0], 200)
        run.process.send_signal(signal.SIGTERM)
        tap.equal(f"{name}: idle it ends when it is told to", run.end(), ("Completed", 0, 0))
        tap.equal(f"{name}: its status counts the requests", run.status["calls"], 2)


def test_http_signals():
    run, port = serve(PROBE)
    t, result = slow_request(port)
    time.sleep(0.3)  # it is on its way then
    run.process.send_signal(signal.SIGTERM)
    tap.equal("requests under way are answered", run.end(), ("Completed", 0, 0))
    t.join()
    tap.equal("as the client sees", result, [200])

    run, port = serve(PROBE)
    t, result = slow_request(port)
    time.sleep(0.3)  # it is on its way then
    run.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    run.process.send_signal(signal.SIGTERM)
    tap.equal("the second time it ends now", run.end(), ("Stopped", 143, 143))
    t.join()
    tap.ok("as the client sees", result != [200], result)

    run, port = serve(PROBE)
    get(port, "/hello")
    run.process.send_signal(signal.SIGHUP)
    run.process.communicate(timeout=PATIENCE_S)
    os.close(run.status_fd)
    tap.equal("other signals do what they do by default", run.process.returncode, -signal.SIGHUP)


def test_command_with_listeners():
    s, port = listening()
    run = Run(guest("exitcode"), code_of(guest("exitcode")), listeners=[s], args=["42"],
              optional_listeners=True)
    tap.equal("a command runs as one, and the port is left to it", run.end(), ("Error", 42, 42))
    run = Run(guest("loop"), code_of(guest("loop")), listeners=[s], optional_listeners=True)
    wait_until(lambda: threads(run) > 1, "a thread that waits for signals")
    run.process.send_signal(signal.SIGTERM)
    tap.equal("and ends at once when it is told to", run.end(), ("Stopped", 143, 143))
    run = Run(guest("loop"), code_of(guest("loop")), listeners=[s], optional_listeners=True,
              timeout_ms=200)
    tap.equal("or when its time is up", run.end(), ("DeadlineExceeded", 124, 124))
    s.close()


# ---- The supervisor ----

def supervisor(*files, worker=PROGRAM, cache=CACHE):
    done = subprocess.run([PREPARE, worker, cache, *files], stdout=subprocess.PIPE, text=True,
                          timeout=PATIENCE_S)
    tap.equal("# the supervisor ends well", done.returncode, 0) if done.returncode else None
    return [line.split(" ", 3) for line in done.stdout.splitlines()]


def counting_worker():
    """A worker that notes each start, and what it notes."""
    notes = os.path.join(folder, "starts")
    path = os.path.join(folder, "worker")
    with open(path, "w") as f:
        f.write(f"#!/bin/sh\necho >>'{notes}'\nexec '{PROGRAM}' \"$@\"\n")
    os.chmod(path, 0o755)

    def starts():
        try:
            with open(notes) as f:
                return len(f.read())
        except FileNotFoundError:
            return 0
    return path, starts


def test_supervisor():
    worker, starts = counting_worker()
    cache = os.path.join(folder, "supervised")
    how = {"worker": worker, "cache": cache}
    one = supervisor(guest("exitcode"), guest("exitcode"), guest("exitcode"), **how)
    tap.equal("who wants the same program gets the same code",
              (len({tuple(x) for x in one}), len(one)), (1, 3))
    tap.equal("and is told what it is", one[0][1], "p1-command")
    first = starts()  # most often one, but who is late does not meet the others' child
    again = supervisor(guest("exitcode"), "-", guest("exitcode"), **how)
    tap.equal("what was prepared needs no process", (again, starts()), (one[:2], first))
    shutil.rmtree(os.path.join(cache, "code"))
    tap.equal("without the code it is made again",
              ([x[:3] for x in supervisor(guest("exitcode"), **how)], starts()), ([one[0][:3]], first + 1))
    for name in os.listdir(os.path.join(cache, "programs")):
        with open(os.path.join(cache, "programs", name), "w") as f:
            f.write('{"contract":"p1-command","code":"../../../etc/passwd","worker":"x"}')
    tap.equal("a record that says nonsense is asked for again",
              ([x[:3] for x in supervisor(guest("exitcode"), **how)], starts()), ([one[0][:3]], first + 2))
    os.utime(worker)
    tap.equal("and so is one of another worker",
              ([x[:3] for x in supervisor(guest("exitcode"), **how)], starts()), ([one[0][:3]], first + 3))
    found = supervisor(PROBE, PROBE3, COMPONENT, guest("nop"), guest("trap"), guest("loop"), **how)
    tap.equal("many at once are all prepared",
              sorted(x[1] for x in found),
              ["p1-command"] * 2 + ["p1-reactor", "p2-command", "p2-http", "p3-http"])


def test_supervisor_faults():
    cache = os.path.join(folder, "faults")
    for name, files, how, reason in (
            ("a text", [TEXT], {}, "NotWasm"),
            ("a device", ["/dev/null"], {}, "NotWasm"),
            ("a broken program", [BROKEN], {}, "InvalidWasm"),
            ("a worker that is not there", [guest("nop")], {"worker": "/nowhere"}, "ProgramMissing"),
            ("a worker that says nothing", [guest("nop")], {"worker": "/bin/true"},
             "PrepareFailed")):
        got = supervisor(*files, **{"cache": cache, **how})
        tap.equal(f"{name} has its reason", [x[1] for x in got], [reason])
    os.chmod(os.path.join(cache, "code"), 0o777)
    tap.equal("a cache that others may write to is not used",
              [x[1] for x in supervisor(guest("nop"), cache=cache)], ["UntrustedFolder"])


build_guests("exitcode", "nop", "trap", "loop", "grow", "random.component", "http/probe",
             "http/probe3")
try:
    for part in (test_prepare, test_prepare_refuses, test_code_fd, test_stale_code,
                 test_ends_are_told_apart, test_http, test_http_signals,
                 test_command_with_listeners, test_supervisor, test_supervisor_faults):
        tap.run(part)
finally:
    shutil.rmtree(folder, ignore_errors=True)
tap.finish()
