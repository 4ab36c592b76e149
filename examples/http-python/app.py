# SPDX-License-Identifier: Apache-2.0

"""Answers HTTP requests: `wasi:http/incoming-handler` is the class with its method handle()."""

from urllib.parse import parse_qs, urlsplit

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import (
    Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam)


def read_body(request: IncomingRequest) -> bytes:
    blocks = []
    with request.consume() as body:
        with body.stream() as stream:
            try:
                while True:
                    blocks.append(stream.blocking_read(65536))
            except Err as e:
                if not isinstance(e.value, StreamError_Closed):
                    raise
    return b"".join(blocks)


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        url = urlsplit(request.path_with_query() or "/")
        name = parse_qs(url.query).get("name", ["world"])[0]
        body = read_body(request)
        text = f"Hello from Python, {name}!\n{url.path}\n"
        if body:
            text += f"{len(body)} bytes came with it: {body!r}\n"

        headers = Fields.from_list([("content-type", b"text/plain; charset=utf-8")])
        response = OutgoingResponse(headers)
        out = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with out.write() as stream:
            stream.blocking_write_and_flush(text.encode())
        OutgoingBody.finish(out, None)
