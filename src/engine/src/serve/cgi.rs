// SPDX-License-Identifier: Apache-2.0
//! A module that answers by CGI (RFC 3875): the request's body is its standard input, its standard
//! output the response. What the variables and the head mean is decided in C.

use super::instance::{Instance, Place};
use super::run::{Finish, Task, finish};
use crate::state::State;
use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, DuplexStream, ReadBuf, duplex};
use wasmtime::{Error, InstancePre, Store};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::cli::{AsyncStdinStream, AsyncStdoutStream};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

/// What is held back of the output while the client does not take it.
const OUTPUT_BYTES: usize = 64 << 10;

/// The body of a request as a stream of bytes.
struct Input {
    body: Mutex<WasiBody>, // never locked: what standard input is has to be shareable
    rest: Bytes,
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
            match ready!(Pin::new(body).poll_frame(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Err(e)) => return Poll::Ready(Err(io::Error::other(e.to_string()))),
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
            }
        }
        let n = buf.remaining().min(self.rest.len());
        buf.put_slice(&self.rest.split_to(n));
        Poll::Ready(Ok(()))
    }
}

pub async fn run(task: Box<Task>, place: Place, pre: InstancePre<State>) -> Finish {
    let Task { thread, service, shared, request, cgi_env, .. } = *task;
    let (output, reader) = duplex(OUTPUT_BYTES);
    let input = Input { body: Mutex::new(request.into_body()), rest: Bytes::new() };
    let store = service.store_with(&thread, |b| {
        b.arg(&service.name).envs(&cgi_env);
        b.stdin(AsyncStdinStream::new(input));
        b.stdout(AsyncStdoutStream::new(OUTPUT_BYTES, output));
    });
    let mut store = match store {
        Ok(store) => Instance::new(store, place, &thread.lane),
        Err(e) => return Finish { error: Some(e), ..Finish::default() },
    };
    store.data_mut().slice = Some(service.slice(&shared, &thread.lane));
    let guest = {
        let shared = shared.clone();
        async move {
            let result = call(&mut store, &pre).await;
            // With the store its end of the output goes, and the response ends.
            finish(&store, &shared, result)
        }
    };
    let head = {
        let (thread, shared) = (thread.clone(), shared.clone());
        async move {
            match head(reader, &thread.server.callbacks).await {
                Ok(response) => shared.answer(Ok(response)),
                Err(why) => shared.answer_badly(why),
            }
        }
    };
    tokio::join!(guest, head).0
}

async fn call(store: &mut Store<State>, pre: &InstancePre<State>) -> Result<(), Error> {
    let instance = pre.instantiate_async(&mut *store).await?;
    store.data_mut().limiter.begin();
    let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
    match start.call_async(&mut *store, ()).await {
        // Its status says nothing that its response does not.
        Err(e) if e.downcast_ref::<I32Exit>().is_some() => Ok(()),
        other => other,
    }
}

/// Reads up to the end of the head; what follows is the body.
async fn head(
    mut reader: DuplexStream,
    callbacks: &super::callbacks::Callbacks,
) -> Result<Response<WasiBody>, String> {
    let mut text = BytesMut::new();
    loop {
        let n = reader.read_buf(&mut text).await.map_err(|e| e.to_string())?;
        if let Some((head, len)) = callbacks.cgi_head(&text)? {
            let first = text.split_off(len).freeze();
            let mut response = Response::new(Output { first, reader }.boxed_unsync());
            *response.status_mut() =
                http::StatusCode::from_u16(head.status).map_err(|e| e.to_string())?;
            *response.headers_mut() = head.headers;
            return Ok(response);
        }
        if n == 0 {
            return Err("its output ends within the head of the response".to_string());
        }
    }
}

/// What follows the head, until the guest's end of the output is gone.
struct Output {
    first: Bytes,
    reader: DuplexStream,
}

impl Body for Output {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.first)))));
        }
        let mut room = [0; 8192];
        let mut buf = ReadBuf::new(&mut room);
        let read = ready!(Pin::new(&mut self.reader).poll_read(cx, &mut buf));
        Poll::Ready(match read {
            Err(e) => Some(Err(HttpError::InternalError(Some(e.to_string())))),
            Ok(()) if buf.filled().is_empty() => None,
            Ok(()) => Some(Ok(Frame::data(Bytes::copy_from_slice(buf.filled())))),
        })
    }
}
