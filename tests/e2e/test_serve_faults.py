#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`wherry serve` under attack: each malformed or hostile request ends as RFC 9112 (HTTP/1.1) and
RFC 9113 (HTTP/2) want, each guest that misbehaves costs its own request only, and a fixed load of
good requests beside it has no failure. Its p99 with and without the attack is printed.

FULL=1 opens 10,000 connections instead of 1,000."""
import os
import re
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(HERE, ".."), HERE]
import http_attacks as attacks  # noqa: E402
from http_attacks import Client, ask, get, post  # noqa: E402
from serve_client import (  # noqa: E402
    IS_FULL, PROBE, Server, example, load_end, load_start, rss_kb, tap)
from worker_client import build_guests  # noqa: E402

MANY = 10000 if IS_FULL else 1000
RATE = 100           # good requests a second
SHORTEST_S = 2       # for which the good load runs beside an attack: 200 requests
REQUEST_S = 3        # --timeout of the server
READ_S = 5           # --read-timeout: the longest that a head may take
HEAD_BYTES = 1 << 20  # far more than any head may have


class GoodLoad:
    """A load at a small rate, from start to finish()."""

    def __init__(self, server):
        self.start = time.monotonic()
        self.process = load_start(server, "/hello", 4, "--rate", RATE, "--duration", 300,
                                  "--timeout", "5s")

    def finish(self, shortest_s=SHORTEST_S):
        time.sleep(max(0, shortest_s - (time.monotonic() - self.start)))
        return load_end(self.process, is_stopped=True)


def beside(name, server, quiet_us, attack):
    """Runs the attack beside the good load and looks at the load; what the attack returned."""
    load = GoodLoad(server)
    try:
        result = attack()
    except OSError as e:
        result = e
    finally:
        report = load.finish()
    tap.ok(f"{name}: others have no failure",
           report["failures"] == 0 and report["requests"] > SHORTEST_S * RATE / 2, report)
    p99 = report["latency_us"]["p99"]
    print(f"# {name}: p99 of the others {p99 / 1e3:.2f} ms, {p99 / quiet_us:.2f} times quiet")
    return result


def ended(name, got, wanted, rule):
    tap.ok(f"{name}: {rule}", got in wanted, f"got {got!r}, wanted one of {wanted}")


# ---- Malformed requests ----------------------------------------------------------------------

NEXT = get("/hello")  # what a smuggled request would be answered with
REFUSED = ["400 closed"]
BY_CHUNKS = ["400 closed", "200 closed"]

# name, bytes, outcomes allowed, the rule
MALFORMED = [
    ("Content-Length before Transfer-Encoding",
     post("/echo", "Content-Length: 6", "Transfer-Encoding: chunked", body=b"0\r\n\r\nG") + NEXT,
     BY_CHUNKS, "refused, or read by its chunks, and closed (9112, 6.1)"),
    ("Transfer-Encoding before Content-Length",
     post("/echo", "Transfer-Encoding: chunked", "Content-Length: 4", body=b"0\r\n\r\n") + NEXT,
     BY_CHUNKS, "refused, or read by its chunks, and closed (9112, 6.1)"),
    ("two different Content-Lengths",
     post("/echo", "Content-Length: 5", "Content-Length: 6", body=b"helloG") + NEXT,
     REFUSED, "400 and closed (9112, 6.3)"),
    ("a list of different Content-Lengths",
     post("/echo", "Content-Length: 5, 6", body=b"helloG") + NEXT,
     REFUSED, "400 and closed (9112, 6.3)"),
    ("Content-Length with a sign",
     post("/echo", "Content-Length: +5", body=b"hello") + NEXT,
     REFUSED, "400 and closed (9112, 6.3)"),
    ("Content-Length that is hexadecimal",
     post("/echo", "Content-Length: 0x5", body=b"hello") + NEXT,
     REFUSED, "400 and closed (9112, 6.3)"),
    ("Content-Length beyond 64 bits",
     post("/echo", "Content-Length: 18446744073709551621", body=b"hello") + NEXT,
     REFUSED + ["413 closed"], "400 or 413 and closed (9112, 6.3)"),
    ("Transfer-Encoding: xchunked",
     post("/echo", "Transfer-Encoding: xchunked", body=b"0\r\n\r\n") + NEXT,
     REFUSED + ["501 closed"], "400 or 501 and closed (9112, 6.1 and 6.3)"),
    ("chunked that is not last",
     post("/echo", "Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n") + NEXT,
     REFUSED + ["501 closed"], "400 or 501 and closed (9112, 6.3)"),
    ("Transfer-Encoding in HTTP/1.0",
     b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT,
     BY_CHUNKS, "faulty framing: closed after at most one answer (9112, 6.1)"),
    ("a folded line",
     b"POST /echo HTTP/1.1\r\nHost: localhost\r\nX: a\r\n Content-Length: 5\r\n\r\nhello",
     REFUSED, "400 (9112, 5.2)"),
    ("a space before the colon",
     post("/echo", "Content-Length : 5", body=b"hello") + NEXT,
     REFUSED, "400 (9112, 5.1)"),
    ("a space before the first header",
     b"GET /hello HTTP/1.1\r\n Host: localhost\r\n\r\n",
     REFUSED, "400 (9112, 2.2)"),
    ("a carriage return alone",
     b"GET /hello HTTP/1.1\r\nHost: localhost\r\nX: a\rContent-Length: 5\r\n\r\n",
     REFUSED, "400 (9112, 2.2)"),
    ("NUL in a header",
     get("/hello", "X: a\0b"), REFUSED, "400 (9110, 5.5)"),
    ("a method with a space less", b"GET/hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
     REFUSED, "400 (9112, 3)"),
    ("no Host", b"GET /hello HTTP/1.1\r\n\r\n", REFUSED + ["400 open"], "400 (9112, 3.2)"),
    ("two Hosts", get("/hello", "Host: other"), REFUSED + ["400 open"], "400 (9112, 3.2)"),
    ("a Host that is none", get("/hello", host="a b/c"), REFUSED + ["400 open"],
     "400 (9112, 3.2)"),
    ("HTTP/3.7", b"GET /hello HTTP/3.7\r\nHost: localhost\r\n\r\n",
     REFUSED + ["505 closed", "closed"], "400 or 505 (9110, 15.6.6)"),
    ("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
     REFUSED + ["closed"], "400 or closed (9112, 2.2)"),
    ("a chunk size that is none",
     post("/echo", "Transfer-Encoding: chunked", body=b"zz\r\nhello\r\n0\r\n\r\n") + NEXT,
     REFUSED + ["200 cut closed", "500 closed", "502 closed", "closed"],
     "never a complete answer of the body, and closed (9112, 7.1 and 8)"),
    ("a chunk longer than its size",
     post("/echo", "Transfer-Encoding: chunked", body=b"2\r\nhello\r\n0\r\n\r\n") + NEXT,
     REFUSED + ["200 cut closed", "500 closed", "502 closed", "closed"],
     "never a complete answer of the body, and closed (9112, 7.1 and 8)"),
    ("a chunk size beyond 64 bits",
     post("/echo", "Transfer-Encoding: chunked", body=b"10000000000000005\r\nhello\r\n0\r\n\r\n")
     + NEXT, REFUSED + ["200 cut closed", "500 closed", "502 closed", "closed"],
     "never a complete answer of the body, and closed (9112, 7.1)"),
    ("a chunk with an endless extension",
     post("/echo", "Transfer-Encoding: chunked", body=b"5;" + b"x" * HEAD_BYTES),
     REFUSED + ["200 cut closed", "500 closed", "502 closed", "closed"],
     "a limit, and closed (9112, 7.1.1)"),
    ("an endless trailer",
     post("/echo", "Transfer-Encoding: chunked",
          body=b"5\r\nhello\r\n0\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyy\r\n" * (HEAD_BYTES // 28)),
     REFUSED + ["200 cut closed", "500 closed", "502 closed", "431 closed", "closed"],
     "a limit, and closed (9112, 7.1.2)"),
    ("a body longer than its Content-Length",
     post("/echo", "Content-Length: 5", body=b"hello, and more that is no request\r\n\r\n"),
     ["200 400 closed"], "the rest is a request, a bad one: 400 and closed (9112, 6.3)"),
]


def malformed(server, quiet_us):
    def all_of_them():
        return [(name, ask(server.address, data)[0], wanted, rule)
                for name, data, wanted, rule in MALFORMED]

    results = beside("malformed requests", server, quiet_us, all_of_them)
    for result in results if isinstance(results, list) else []:
        ended(*result)
    tap.ok("malformed requests: all of them were sent", isinstance(results, list), results)


def well_formed(server):
    """What looks odd and is right, so that strictness has not gone too far."""
    for name, data, wanted, rule in [
            ("two requests at once", NEXT + NEXT, "200 200 open", "both answered (9112, 9.3.2)"),
            ("an empty line before a request", b"\r\n" + NEXT, "200 open", "ignored (9112, 2.2)"),
            ("the same Content-Length twice",
             post("/echo", "Content-Length: 5, 5", body=b"hello"), ("200 open", "400 closed"),
             "accepted, or refused and closed (9112, 6.3)"),
            ("chunks with extensions and a trailer",
             post("/echo", "Transfer-Encoding: chunked",
                  body=b"2;a=b\r\nhe\r\n0003\r\nllo\r\n0\r\nX: y\r\n\r\n"), "200 open",
             "read (9112, 7.1)"),
            ("lines that end with LF alone", b"GET /hello HTTP/1.1\nHost: localhost\n\n",
             ("200 open", "400 closed"), "read or refused (9112, 2.2)"),
            ("HTTP/1.0", b"GET /hello HTTP/1.0\r\n\r\n", "200 closed", "closed (9112, 9.3)"),
            ("Connection: close", get("/hello", "Connection: close"), "200 closed",
             "closed (9112, 9.6)")]:
        got, answers = ask(server.address, data, answers=1 + (data == NEXT + NEXT))
        ended(name, got, wanted if isinstance(wanted, tuple) else (wanted,), rule)
        if "/echo" in data.decode() and got == "200 open":
            tap.equal(f"{name}: the body arrives", answers[0].body, b"hello")


def bodies(server):
    """Bodies that end early must never look complete."""
    for name, data in [
            ("a body shorter than its Content-Length",
             post("/echo", "Content-Length: 50", body=b"hello")),
            ("a body without its last chunk",
             post("/echo", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"))]:
        got, answers = ask(server.address, data, ends=True)
        tap.ok(f"{name}: no complete answer of it, and closed (9112, 8)",
               got.endswith("closed") and
               not any(a.is_complete and a.status == 200 for a in answers), got)


# ---- Attacks by their amount -----------------------------------------------------------------


def slow_and_endless(server, quiet_us):
    closed, after_s, outcomes = beside(
        "slow loris", server, quiet_us,
        lambda: attacks.slow_loris(server.address, 50, READ_S + 10))
    tap.ok("slow loris: all 50 are closed when a head takes too long", closed == 50 and
           after_s < READ_S + 5, f"{closed} closed, the last after {after_s:.1f} s")
    tap.ok("slow loris: with 408 or without a word (9110, 15.5.9)",
           outcomes <= {"408 closed", "closed"}, outcomes)

    for name, piece in (("an endless header", b"y" * 1000), ("too many headers", b"X: y\r\n")):
        sent, got = beside(name, server, quiet_us, lambda p=piece: attacks.endless_head(
            server.address, p, HEAD_BYTES))
        ended(name, got, ["431 closed", "400 closed"], "431 and closed (6585, 5)")
        tap.ok(f"{name}: long before a megabyte", sent < HEAD_BYTES, sent)

    got = ask(server.address, get("/" + "a" * HEAD_BYTES))[0]
    ended("an endless target", got, ["414 closed", "431 closed", "400 closed"],
          "414 and closed (9112, 3)")


def resets(server, quiet_us):
    def attack():
        attacks.reset_in_body(server.address, "/echo", 300)
        attacks.reset_in_body(server.address, "/noread", 100)
        attacks.reset_in_answer(server.address, "/download?100000000", 100)

    before = attacks.descriptors(server.pid)
    beside("resets in mid-body and mid-answer", server, quiet_us, attack)
    end = time.monotonic() + 10
    while attacks.descriptors(server.pid) > before + 8 and time.monotonic() < end:
        time.sleep(0.05)
    now = attacks.descriptors(server.pid)
    tap.ok("resets: every connection is given back", now <= before + 8, f"{before}, then {now}")

    before = rss_kb(server.pid)

    def unread():
        clients = [threading.Thread(target=attacks.unread_answer,
                                    args=(server.address, "/download?100000000", SHORTEST_S))
                   for _ in range(20)]
        for c in clients:
            c.start()
        time.sleep(SHORTEST_S * 0.8)
        grown = rss_kb(server.pid) - before
        for c in clients:
            c.join()
        return grown

    grown = beside("20 clients that do not read 100 MB", server, quiet_us, unread)
    tap.ok("clients that do not read: the server waits instead of buffering", grown < 64 << 10,
           f"grew by {grown} KB")


def many(server, quiet_us):
    good = beside(f"{MANY} connections", server, quiet_us,
                  lambda: attacks.many_connections(server.address, MANY))
    tap.equal(f"{MANY} connections: each is answered, and again", good, MANY)


def http2(server, quiet_us):
    tap.equal("HTTP/2 by prior knowledge", attacks.http2_get(server.address, "/hello")[0], 200)
    calm = ["GOAWAY ENHANCE_YOUR_CALM", "GOAWAY PROTOCOL_ERROR", "GOAWAY INTERNAL_ERROR", "closed"]
    for name, attack, wanted, rule in [
            ("rapid reset", lambda: attacks.rapid_reset(server.address, "/sleep?1000", 20000),
             calm + ["alive"], "ended, or no more work than resets (9113, 10.5)"),
            ("SETTINGS flood", lambda: attacks.settings_flood(server.address, 1000000),
             calm + ["alive"], "ended, or held back (9113, 10.5)"),
            ("PING flood", lambda: attacks.ping_flood(server.address, 1000000),
             calm + ["alive"], "ended, or held back (9113, 10.5)"),
            ("CONTINUATION flood", lambda: attacks.continuation_flood(server.address, 10000),
             calm + ["GOAWAY COMPRESSION_ERROR"], "ended (9113, 10.5.1)")]:
        before = rss_kb(server.pid)
        result = beside("HTTP/2 " + name, server, quiet_us, attack)
        sent, got = result if isinstance(result, tuple) else (0, result)
        grown = rss_kb(server.pid) - before
        ended("HTTP/2 " + name, got, wanted, rule)
        tap.ok(f"HTTP/2 {name}: the server's memory stays", grown < 32 << 10, f"{grown} KB")
        print(f"# HTTP/2 {name}: {sent} sent, then {got}; memory grew by {grown} KB")


# ---- Guests that misbehave -------------------------------------------------------------------


def guests(server, quiet_us):
    """Each by four clients at once, all the time that the good load runs."""
    broken = ["500", "502"]
    deadline = ["504"]
    for name, path, wanted in [
            ("a guest that ends without an answer", "/never", broken),
            ("a guest that never answers", "/sleep?3600000", deadline),
            ("a guest that answers twice", "/twice", ["200", "200 cut"] + broken),
            ("a guest that loops", "/loop", deadline),
            ("a guest that grows", "/grow", ["503"]),
            ("a guest that traps", "/trap", broken),
            ("a guest that traps in a short body", "/trap-late?10", ["200 cut"] + broken),
            ("a guest that traps in a long body", "/trap-late?10000000", ["200 cut"]),
            ("a guest that breaks its body off", "/unfinished?10000000", ["200 cut"]),
            ("a guest whose body is shorter than it said", "/length-short", ["200 cut"] + broken),
            ("a guest whose body is longer than it said", "/length-long",
             ["200", "200 cut"] + broken)]:
        def attack(path=path):
            seen = set()

            def client():
                end = time.monotonic() + SHORTEST_S
                while time.monotonic() < end:
                    got, answers = ask(server.address, get(path, "Connection: close"))
                    seen.add(got)
                    if path == "/length-long" and answers and answers[0].is_complete:
                        length = answers[0].headers.get("content-length")
                        seen.update([] if length == str(len(answers[0].body)) else ["longer"])

            clients = [threading.Thread(target=client) for _ in range(4)]
            for c in clients:
                c.start()
            for c in clients:
                c.join()
            return seen

        seen = beside(name, server, quiet_us, attack)
        tap.ok(f"{name}: {' or '.join(wanted)}, and closed",
               isinstance(seen, set) and seen <= {w + " closed" for w in wanted} and seen, seen)

    size = 20 << 20
    result = beside("a guest that never reads", server, quiet_us,
                    lambda: [ask(server.address,
                                 post("/noread", f"Content-Length: {size}", body=b"x" * size))[0]
                             for _ in range(5)])
    tap.ok("a guest that never reads: answered all the same, or 413",
           isinstance(result, list) and all(re.match(r"(200|413) |closed", r) for r in result),
           result)


def hosts(server):
    """With a program for one host beside the one for all."""
    def asked(target, host):
        _, answers = ask(server.address, f"GET {target} HTTP/1.1\r\nHost: {host}\r\n"
                         "Connection: close\r\n\r\n".encode())
        return answers[0].body if answers else b""

    one, other = asked("/", "one.test"), asked("/hello", "other.test")
    tap.ok("a host has a program of its own", one != other and one and other, (one, other))
    tap.equal("an absolute target is stronger than Host (9112, 3.2.2)",
              asked("http://one.test/", "other.test"), one)
    tap.equal("an absolute target of another host, too",
              asked("http://other.test/hello", "one.test"), other)


def main():
    build_guests("http/probe")
    hello = example("http-c")
    with Server("--threads", "2", "--timeout", f"{REQUEST_S}s", "--cpu-time", "1s",
                "--read-timeout", f"{READ_S}s", "--memory", "64Mi",
                "--host", f"one.test={hello}", PROBE, access_log=None) as server:
        quiet = GoodLoad(server).finish(2 * SHORTEST_S)
        tap.equal("a quiet server has no failure", quiet["failures"], 0)
        quiet_us = quiet["latency_us"]["p99"]
        print(f"# a quiet server: p99 {quiet_us / 1e3:.2f} ms")
        for part in (malformed, slow_and_endless, resets, many, http2, guests):
            part(server, quiet_us)
        for part in (well_formed, bodies, hosts):
            part(server)
        tap.equal("the server is as well as before", GoodLoad(server).finish()["failures"], 0)
        with Client(server.address) as c:  # an idle connection does not hold the end up
            c.send(NEXT)
            c.read_until(lambda c: attacks.answers_read(c.data, False))
            tap.equal("at SIGTERM it ends with 0", server.stop(), 0)
        tap.ok("nothing of it has panicked", "panicked" not in server.log(), server.log()[-2000:])
    tap.finish()


main()
