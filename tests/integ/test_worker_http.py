#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Guests of a worker that answer HTTP requests: listeners, stops with and without grace, figures."""
import http.client
import os
import select
import shutil
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from worker_client import (GUESTS, Closed, Tap, Worker, build_guests,  # noqa: E402
                           get, is_refused, slow_request, wait_until)

tap = Tap()
PROBE, PROBE3, CGI = (os.path.join(GUESTS, f"http/{n}.wasm") for n in ("probe", "probe3", "cgi"))


def how(status):
    return status["reason"], status["exit_code"], status["guest_exit"]


def listening():
    s = socket.create_server(("127.0.0.1", 0))
    return s, s.getsockname()[1]


def serve(c, id, module, **fields):
    """The port of a guest that answers there."""
    s, port = listening()
    c.start(id, module, listeners=[(s.fileno(), f"http://127.0.0.1:{port}")], **fields)
    answer = c.expect("started", "refused", id=id)
    s.close()
    assert answer["type"] == "started", answer
    return port


def test_answers(c):
    for name, module, path in (("p2", PROBE, "/hello"), ("p3", PROBE3, "/hello"), ("cgi", CGI, "/hello")):
        port = serve(c, name, module, env=["POD=a"])
        status, body = get(port, path)
        tap.equal(f"{name}: it answers", (status, bool(body)), (200, True))
        c.send("stop", name)
        tap.equal(f"{name}: a stop is its normal end", how(c.ended(name)), ("Completed", 0, True))
        tap.ok(f"{name}: then nobody listens", is_refused(port))
        c.send("forget", name)


def test_many(c):
    ports = [serve(c, f"many{i}", PROBE) for i in range(20)]
    tap.equal("twenty guests of one program answer, each where it listens",
              [get(p, "/hello")[0] for p in ports], [200] * 20)
    f = c.figures("many3")
    tap.equal("requests are counted for each", f["calls"], 1)
    tap.ok("and so is its time", f["cpu_ns"] > 0, f)
    for i in range(20):
        c.send("stop", f"many{i}")
    tap.equal("all of them end", [how(c.ended(f"many{i}"))[0] for i in range(20)],
              ["Completed"] * 20)
    for i in range(20):
        c.send("forget", f"many{i}")


def busy(c, id):
    wait_until(lambda: c.figures(id)["memory_bytes"] > 0, "a request")


def test_stops(c):
    port = serve(c, "drains", PROBE)
    t, result = slow_request(port)
    busy(c, "drains")
    c.send("stop", "drains", grace_ms=10000)
    wait_until(lambda: is_refused(port), "the end of the listener")
    tap.equal("within its grace a guest answers what it was asked, and takes no more",
              how(c.ended("drains")), ("Completed", 0, True))
    t.join()
    tap.equal("as the client sees", result, [200])

    port = serve(c, "cut", PROBE)
    t, result = slow_request(port)
    busy(c, "cut")
    before = time.monotonic()
    c.send("stop", "cut", grace_ms=100)
    tap.equal("after its grace it is cut off", how(c.ended("cut")), ("Stopped", 143, False))
    tap.ok("soon", time.monotonic() - before < 0.9)
    t.join()
    tap.ok("as the client sees", result != [200], result)

    port = serve(c, "shorter", PROBE)
    t, result = slow_request(port)
    busy(c, "shorter")
    c.send("stop", "shorter", grace_ms=60000)
    c.send("stop", "shorter")
    tap.equal("a second stop shortens the grace", how(c.ended("shorter")),
              ("Stopped", 143, False))
    t.join()
    for id in ("drains", "cut", "shorter"):
        c.send("forget", id)


def test_faults(c):
    s, port = listening()
    c.start("command", os.path.join(GUESTS, "random.component.wasm"),
            listeners=[(s.fileno(), "http://x")])
    s.close()
    tap.equal("a command that is to answer requests", how(c.ended("command")),
              ("NotRunnable", 126, False))
    tap.ok("leaves no listener", is_refused(port))
    c.send("forget", "command")

    port = serve(c, "trap", PROBE)
    tap.equal("a guest that traps in one request", get(port, "/trap")[0], 500)
    tap.equal("answers the next", get(port, "/hello")[0], 200)
    port2 = serve(c, "loops", PROBE)
    t = threading.Thread(target=lambda: get_quietly(port2, "/loop"))
    t.start()
    tap.equal("beside one that loops another answers", get(port, "/hello")[0], 200)
    c.send("stop", "loops")
    c.ended("loops")
    t.join()
    c.send("stop", "trap")
    c.ended("trap")
    c.send("forget", "trap")
    c.send("forget", "loops")


def test_optional(c):
    for name, module in (("p1", "random.wasm"), ("p2", "random.component.wasm")):
        s, port = listening()
        c.start(name, os.path.join(GUESTS, module), optional_listeners=True,
                listeners=[(s.fileno(), "http://x")])
        s.close()
        tap.equal(f"{name}: a command that may go without listeners runs", how(c.ended(name)),
                  ("Completed", 0, True))
        tap.ok(f"{name}: and leaves none", is_refused(port))
        c.send("forget", name)
    port = serve(c, "may", PROBE, optional_listeners=True)
    tap.equal("who answers requests has them", get(port, "/hello")[0], 200)
    c.send("stop", "may", grace_ms=60000)
    tap.equal("and is told to end as such", how(c.ended("may")), ("Completed", 0, True))
    c.send("forget", "may")
    s, port = listening()
    c.start("told", os.path.join(GUESTS, "sleep.wasm"), "100000", optional_listeners=True,
            listeners=[(s.fileno(), "http://x")])
    s.close()
    c.send("stop", "told", grace_ms=60000)
    tap.equal("a command is ended at once, begun or not", c.ended("told")["reason"], "Stopped")
    c.send("forget", "told")


def get_quietly(port, path):
    try:
        get(port, path)
    except (OSError, http.client.HTTPException):
        pass


def test_supervisor_dies(w, c):
    port = serve(c, "stays", PROBE)
    c.close()
    tap.equal("without a supervisor it answers on", get(port, "/hello")[0], 200)
    c = w.connect()
    tap.equal("and the next one finds it", c.list(), {"stays": "started"})
    c.send("stop", "stays")
    c.ended("stays")
    c.send("forget", "stays")
    c.list()
    return c


def threads(w):
    return len(os.listdir(f"/proc/{w.process.pid}/task"))


def test_idle(w, c):
    """A guest without connections needs no thread, and nobody notices."""
    get(serve(c, "first", PROBE), "/hello")
    wait_until(lambda: threads(w) <= 2, "the end of its thread")
    ids = [f"idle{i}" for i in range(20)]
    ports = [serve(c, id, PROBE) for id in ids]
    wait_until(lambda: threads(w) <= 2, "the end of the threads")
    tap.equal("guests that nobody asks share what threads there are", threads(w), 2)
    kept = http.client.HTTPConnection("127.0.0.1", ports[0], timeout=20)
    kept.request("GET", "/hello")
    kept.getresponse().read()
    before = c.figures("idle0")["cpu_ns"]
    tap.equal("one that has a connection has a thread", threads(w), 3)
    # Each at another moment, so that some come just when the thread of the last request ends.
    answers, lock = [], threading.Lock()

    def ask(i):
        for _ in range(3):
            status = get(ports[i], "/hello")[0]
            with lock:
                answers.append(status)
            time.sleep(1 + (i - 10) / 1000)

    clients = [threading.Thread(target=ask, args=(i,)) for i in range(1, 20)]
    for t in clients:
        t.start()
    for t in clients:
        t.join()
    tap.equal("none is lost that comes when a thread ends", answers, [200] * 57)
    kept.request("GET", "/hello")
    tap.equal("a connection is kept all the time", kept.getresponse().read() != b"", True)
    kept.close()
    wait_until(lambda: threads(w) <= 2, "the end of the threads")
    f = c.figures("idle0")
    tap.ok("figures are those of all its threads", f["calls"] == 2 and f["cpu_ns"] >= before > 0, f)
    c.send("stop", "idle0")
    tap.equal("one without a thread ends at once when it is stopped", how(c.ended("idle0")),
              ("Completed", 0, True))
    for id in ids[1:]:
        c.send("stop", id, grace_ms=60000)
    tap.equal("or told to drain", [how(c.ended(id))[0] for id in ids[1:]], ["Completed"] * 19)
    c.send("stop", "first")
    c.ended("first")
    for id in ["first", *ids]:
        c.send("forget", id)


def test_goes_on_after_its_response(w, c):
    r, out = os.pipe()
    port = serve(c, "after", PROBE, stdout=out)
    os.close(out)
    tap.equal("it answers first", get(port, "/after?2500"), (200, b"answered\n"))
    printed = select.select([r], [], [], 20)[0] and os.read(r, 100)
    tap.equal("and goes on, also when nobody is connected any more", printed, b"went on\n")
    wait_until(lambda: threads(w) <= 2, "the end of its thread")
    c.send("stop", "after")
    c.ended("after")
    c.send("forget", "after")
    os.close(r)


def test_leaves_nothing(w, c):
    def descriptors():
        return len(os.listdir(f"/proc/{w.process.pid}/fd"))

    before = descriptors(), threads(w)
    for _ in range(10):
        port = serve(c, "again", PROBE)
        get(port, "/hello")
        c.send("stop", "again")
        c.ended("again")
        c.send("forget", "again")
    c.list()
    wait_until(lambda: threads(w) <= before[1], "the end of the threads")
    tap.equal("guests leave no descriptor and no thread", (descriptors(), threads(w)), before)


def main():
    build_guests("http/probe", "http/probe3", "http/cgi", "random", "random.component", "sleep")
    cache = tempfile.mkdtemp(prefix="wherry-cache-")
    try:
        with Worker(cache) as w:
            c = w.connect()
            for test in test_answers, test_many, test_stops, test_faults, test_optional:
                test(c)
            c = test_supervisor_dies(w, c)
            test_idle(w, c)
            test_goes_on_after_its_response(w, c)
            test_leaves_nothing(w, c)
            c.send("shutdown")
            try:
                c.receive()
            except Closed:
                pass
            tap.equal("the worker ends", w.process.wait(10), 0)
    finally:
        shutil.rmtree(cache)
    tap.finish()


main()
