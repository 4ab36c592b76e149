#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every limit of `wherry serve`, and every way in which a guest can fail: the client gets the right
status, the figures, the access log and the log say why, and other requests notice nothing."""
import os
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from serve_client import (  # noqa: E402
    CGI, PROBE, PROBE3, Cut, Http, Server, ask, chunk, get, head, load_end, load_start, run, tap,
    wait_until)

MB = 1 << 20
KINDS = (("WASI 0.2", PROBE), ("WASI 0.3", PROBE3), ("CGI", CGI))


def shown(server, what, path, answer, status, reason, *said, n=1):
    """The answer, the n-th record of the path, the counter and the log agree. `said` is what the
    log has to have beyond the reason."""
    id = answer.header("x-request-id")
    tap.ok(f"{what}: {status} {reason}, and the body says it",
           answer.status == status and reason.encode() in answer.body
           and (id or "no id").encode() in answer.body,
           (answer.status, answer.headers, answer.body))
    record = server.record(path, n)
    tap.equal(f"{what}: the access log", (record["status"], record.get("reason"),
                                          record["request_id"]), (status, reason, id))
    tap.equal(f"{what}: the figures", server.failures(reason), n)
    if said:
        line = next((text for text in server.log().splitlines()
                     if f"request {id}: {reason}" in text), "")
        tap.ok(f"{what}: the log has it with {' and '.join(said)}",
               line and all(s in line for s in said), line or server.log())


# ---- What a request may bring ----------------------------------------------------------------


def headers():
    with Server("--max-header-bytes", "16Ki", "--max-headers", "20", PROBE) as server:
        tap.equal("15 KB of headers are within 16", get(server, "/hello", "X: " + "y" * 15000)
                  .status, 200)
        tap.equal("20 headers are within 20", get(server, "/hello", *["X: y"] * 19).status, 200)
        for what, lines in (("17 KB of headers", ["X: " + "y" * 17000]),
                            ("21 headers", ["X: y"] * 20)):
            with Http(server) as h:
                a = h.get("/hello", *lines)
                tap.equal(f"{what}: 431, and closed", (a.status, h.is_closed()), (431, True))
        with Http(server) as h:
            a = h.get("/" + "y" * 17000)
            tap.ok("a target of 17 KB: 414 or 431, and closed",
                   a.status in (414, 431) and h.is_closed(), a.status)
        tap.equal("the next client is served", get(server, "/hello").status, 200)


def bodies():
    for kind, guest in KINDS:
        with Server("--max-body", "1000", guest) as server:
            a = ask(server, "POST", "/echo", body=b"x" * 1000)
            tap.equal(f"{kind}: a body as large as allowed", (a.status, len(a.body)), (200, 1000))
            a = ask(server, "POST", "/echo?length", "Content-Length: 1001")
            shown(server, f"{kind}: a larger Content-Length", "/echo?length", a, 413, "BodyTooLarge")
            with Http(server) as h:
                h.send(head("POST", "/echo?chunks", "Transfer-Encoding: chunked")
                       + chunk(b"x" * 600) + chunk(b"y" * 401) + b"0\r\n\r\n")
                try:
                    a = h.answer()
                    how = a.status
                except Cut as e:
                    how = "cut"
                    a = e.answer
            # What a guest has sent before it reads cannot be taken back.
            tap.ok(f"{kind}: larger chunks are 413, or cut", how in (413, "cut"), how)
            tap.equal(f"{kind}: and the log says why",
                      server.record("/echo?chunks").get("reason"), "BodyTooLarge")
            tap.equal(f"{kind}: and the figures", server.failures("BodyTooLarge"), 2)
    with Server("--max-body", "0", PROBE) as server:
        tap.equal("--max-body 0 allows none", ask(server, "POST", "/noread", body=b"x").status, 413)
        tap.equal("and what has none", get(server, "/hello").status, 200)


# ---- How many --------------------------------------------------------------------------------


def crowds():
    with Server("--max-requests", "2", "--max-queue", "1", "--threads", "2", PROBE) as server:
        sleepers = [Http(server) for _ in range(2)]
        for h in sleepers:
            h.send(head("GET", "/sleep?1500"))
        server.wait_metric("wherry_http_instances", 2)
        with Http(server) as waiting:
            waiting.send(head("GET", "/hello"))
            server.wait_metric("wherry_http_queued_requests", 1)
            a = get(server, "/hello?refused")
            shown(server, "more than the queue holds", "/hello?refused", a, 503, "Overloaded")
            tap.equal("with Retry-After", a.header("retry-after"), "1")
            tap.equal("those who came before are answered",
                      [h.answer().status for h in (*sleepers, waiting)], [200] * 3)
        tap.equal("and who comes after", get(server, "/hello").status, 200)
        server.wait_metric("wherry_http_instances", 0)
        tap.equal("no place is lost", server.metric("wherry_http_queued_requests"), 0)

    with Server("--max-connections", "4", "--threads", "1", PROBE) as server:
        first = [Http(server) for _ in range(4)]
        tap.equal("as many connections as allowed", [h.get("/hello").status for h in first],
                  [200] * 4)
        with Http(server) as late:
            late.send(head("GET", "/hello"))
            late.socket.settimeout(0.3)
            try:
                late.socket.recv(1, socket.MSG_PEEK)
                tap.ok("one more waits", False, "it was answered")
            except TimeoutError:
                tap.ok("one more waits", True)
            late.socket.settimeout(60)
            first[0].close()
            tap.equal("until another one ends", late.answer().status, 200)
        for h in first[1:]:
            h.close()


# ---- How long --------------------------------------------------------------------------------


def closes_after(what, h, least_s, most_s=10):
    start = time.monotonic()
    is_closed = h.is_closed()
    took = time.monotonic() - start
    tap.ok(f"{what} is closed, and not too early", is_closed and least_s < took < most_s,
           f"closed: {is_closed}, after {took:.2f} s")


def silent_clients():
    with Server("--idle-timeout", "400ms", "--read-timeout", "30s", PROBE) as server:
        with Http(server) as h:
            closes_after("--idle-timeout: a connection without a request", h, 0.3)
        with Http(server) as h:
            tap.equal("--idle-timeout: a request takes longer", h.get("/sleep?1000").status, 200)
            closes_after("--idle-timeout: a connection after its request", h, 0.3)
    with Server("--read-timeout", "400ms", "--idle-timeout", "30s", PROBE) as server:
        with Http(server) as h:
            h.send(b"GET /hello HTTP/1.1\r\nHost: ")
            start = time.monotonic()
            rest = h.file.read()
            tap.ok("--read-timeout: half a head is closed, with 408 or without a word",
                   time.monotonic() - start > 0.3 and (not rest or b" 408 " in rest), rest)
        with Http(server) as h:
            h.send(head("POST", "/echo?half", "Content-Length: 10") + b"hello")
            start = time.monotonic()
            try:
                a = h.answer()
                how = f"{a.status} {a.body}"
            except Cut:
                how = "cut"
            tap.ok("--read-timeout: half a body is closed, and never looks whole", how == "cut" and
                   time.monotonic() - start > 0.3, how)
        tap.ok("--read-timeout: the log says so", server.record("/echo?half").get("reason"),
               server.access())
        with Http(server) as h:
            tap.equal("--read-timeout: the guest's time does not count", h.get("/sleep?1000").status,
                      200)
        with Http(server) as h:
            h.send(head("POST", "/echo", "Content-Length: 6"))
            for piece in b"a slow":
                h.send(bytes([piece]))
                time.sleep(0.2)  # the pace of the client: within the limit, all of it is not
            tap.equal("--read-timeout: each piece begins it anew", h.answer().body, b"a slow")
    for kind, guest in KINDS:
        with Server("--write-timeout", "400ms", guest) as server:
            path = f"/{'big' if guest == CGI else 'download'}?{200 * MB}"
            with Http(server) as h:
                h.send(head("GET", path))
                record = server.record(path)
                tap.ok(f"--write-timeout: {kind}: who takes nothing is dropped",
                       record.get("reason") == "ClientGone" and record["duration_us"] > 300000
                       and record["body_out_bytes"] < 100 * MB, record)
            server.wait_metric("wherry_http_instances", 0)
            with Http(server) as h:
                h.send(head("GET", path.replace("200", "20")))
                a = h.begin()
                while h.next_chunk(a):
                    time.sleep(0.0005)  # slow, but it takes something
                tap.ok(f"--write-timeout: {kind}: who is slow is served", len(a.body) > 0)


def long_requests():
    for kind, guest in KINDS:
        with Server("--timeout", "500ms", "--cpu-time", "0", "--threads", "2", guest) as server:
            others = load_start(server, "/hello", 2, "--rate", "100")
            if guest != CGI:
                start = time.monotonic()
                a = get(server, "/sleep?60000")
                took = time.monotonic() - start
                shown(server, f"--timeout: {kind}: a guest that waits", "/sleep?60000", a, 504,
                      "DeadlineExceeded", "DeadlineExceeded")
                tap.ok(f"--timeout: {kind}: in time", 0.45 < took < 5, took)
            n = 1 if guest == CGI else 2
            a = get(server, "/loop")
            record = server.record("/loop")
            tap.equal(f"--timeout: {kind}: a guest that computes", (a.status, record["reason"]),
                      (504, "DeadlineExceeded"))
            tap.equal(f"--timeout: {kind}: and the figures", server.failures("DeadlineExceeded"), n)
            report = load_end(others, is_stopped=True)
            tap.equal(f"--timeout: {kind}: others have no failure", report["failed"], {})
    with Server("--timeout", "500ms", PROBE) as server, Http(server) as h:
        h.send(head("GET", f"/download?{2000 * MB}"))
        record = server.record(f"/download?{2000 * MB}")
        tap.equal("--timeout: it counts to the end of the answer",
                  (record["status"], record["reason"]), (200, "DeadlineExceeded"))
        try:
            h.answer()
            tap.ok("--timeout: what was begun is cut", False, "it looks whole")
        except Cut:
            tap.ok("--timeout: what was begun is cut", True)
    for kind, guest in KINDS:
        with Server("--cpu-time", "300ms", "--threads", "2", guest) as server:
            others = load_start(server, "/hello", 2, "--rate", "100")
            a = get(server, "/loop")
            shown(server, f"--cpu-time: {kind}", "/loop", a, 504, "CPULimitExceeded",
                  "CPULimitExceeded")
            cpu_us = server.record("/loop")["cpu_us"]
            tap.ok(f"--cpu-time: {kind}: as much as allowed", 250000 < cpu_us < 2000000, cpu_us)
            if guest != CGI:
                tap.equal(f"--cpu-time: {kind}: waiting is not counted",
                          get(server, "/sleep?1000").status, 200)
            report = load_end(others, is_stopped=True)
            tap.equal(f"--cpu-time: {kind}: others have no failure", report["failed"], {})


def loops_that_meet():
    """The last of several is ended as well, when nobody else computes any more."""
    with Server("--cpu-time", "100ms", "--threads", "2", PROBE) as server:
        answers = []
        for _ in range(8):
            clients = [threading.Thread(target=lambda: answers.append(get(server, "/loop").status))
                       for _ in range(2)]
            for t in clients:
                t.start()
                time.sleep(0.03)  # the second comes while the first one computes
            for t in clients:
                t.join()
        tap.equal("--cpu-time: of guests that compute at the same time", answers, [504] * 16)


# ---- Guests that fail ------------------------------------------------------------------------


def failing_guests():
    for kind, guest in KINDS:
        with Server("--memory", "16Mi", "--threads", "2", guest) as server:
            others = load_start(server, "/hello", 2, "--rate", "200")
            a = get(server, "/trap")
            shown(server, f"a trap: {kind}", "/trap", a, 500, "Trap", "Trap: Unreachable",
                  "at function", f"({os.path.basename(guest)}+0x")
            path = "/trap-late?1000000"
            try:
                get(server, path)
                tap.ok(f"a late trap: {kind}: the answer is cut", False, "it looks whole")
            except Cut as e:
                tap.ok(f"a late trap: {kind}: the answer is cut", e.answer.status == 200)
            record = server.record(path)
            tap.equal(f"a late trap: {kind}: the access log has both",
                      (record["status"], record["reason"]), (200, "Trap"))
            tap.equal(f"a late trap: {kind}: the figures",
                      (server.failures("Trap"), server.metric("wherry_http_responses_cut_total")),
                      (2, 1))
            tap.ok(f"a late trap: {kind}: the log has its backtrace",
                   server.wait_log(f"request {record['request_id']}: Trap"))
            if guest == CGI:
                a = get(server, "/bad")
                shown(server, "what is no CGI answer", "/bad", a, 502, "BadCgiResponse", "output")
                a = get(server, "/fail")
                tap.equal("no CGI answer at all", a.status, 502)
                tap.ok("what the program said on standard error is in the log",
                       server.wait_log("cgi: failing as asked"))
            else:
                a = get(server, "/error")
                shown(server, f"an error code: {kind}", "/error", a, 500, "ErrorCode",
                      "InternalError")
            if guest == PROBE:
                a = get(server, "/never")
                shown(server, "no answer", "/never", a, 500, "NoResponse", "NoResponse")
            report = load_end(others, is_stopped=True)
            tap.ok(f"{kind}: others have no failure", not report["failures"] and report["requests"],
                   report)
    with Server("--memory", "16Mi", "--threads", "2", PROBE) as server:
        others = load_start(server, "/hello", 2, "--rate", "200")
        a = get(server, "/grow")
        shown(server, "--memory", "/grow", a, 503, "OOMKilled", "at function")
        tap.equal("--memory: no Retry-After, since it would not help", a.header("retry-after"), None)
        wait_until(lambda: server.metric("wherry_guest_memory_bytes") < 16 * MB,
                   "the memory is given back")
        report = load_end(others, is_stopped=True)
        tap.equal("--memory: others have no failure", report["failed"], {})


def nowhere():
    """Answers that no guest had a part in are in the log and the figures, too."""
    with Server("--route", f"/app={PROBE}") as server:
        a = get(server, "/other")
        shown(server, "a path without a program", "/other", a, 404, "NoRoute")


run(headers, bodies, crowds, silent_clients, long_requests, loops_that_meet, failing_guests, nowhere)
