// SPDX-License-Identifier: Apache-2.0
//! The response: what the guest writes, for as long as it writes, or what is said in its place.

use super::ledger::Ledger;
use super::run::{Finish, Run};
use super::shared::End;
use crate::sync::lock;
use crate::trap;
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::ffi::CStr;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::AbortHandle;
use wasmtime_wasi_http::{Error, WasiBody};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Rounds in which a response may become complete before its head is sent.
const EAGER_ROUNDS: usize = 4;
const EAGER_BYTES: usize = 64 << 10;

/// The guest's response, whole if it is complete already.
pub async fn respond_with(
    response: Response<WasiBody>,
    run: Option<Run>,
    mut ledger: Box<Ledger>,
) -> Response<Answer> {
    let (head, body) = response.into_parts();
    let going = Going::Here(run);
    let mut stream = Stream { going, body, ready: VecDeque::new(), is_over: false };
    poll_fn(|cx| Poll::Ready(stream.hurry(cx, &mut ledger))).await;
    // Nothing was sent yet, so whatever went wrong can still be said.
    if ledger.end != End::Answered {
        return answer_for(ledger);
    }
    let promised = content_length(&head.headers);
    if let (Some(said), Some(is)) = (promised, stream.length())
        && said != is
    {
        let detail = format!("its response has {is} bytes, and Content-Length says {said}");
        return refuse(ledger, End::GuestError, detail);
    }
    ledger.status = head.status.as_u16();
    ledger.promised_bytes = promised;
    let mut response = Response::from_parts(head, stream.into_answer(ledger));
    mark(&mut response);
    response
}

/// What the guest said; a value that is no number is none that can be true.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_LENGTH)?.to_str().ok();
    Some(text.and_then(|t| t.parse().ok()).unwrap_or(u64::MAX))
}

fn mark(response: &mut Response<Answer>) {
    let answer = response.body_mut();
    let (id, is_head) = (answer.ledger.dispatch.request_id(), answer.ledger.is_head);
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let status = response.status();
    let is_bodiless = status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    if is_head || is_bodiless {
        let length = response.body_mut().empty();
        if let (true, Some(n)) = (is_head, length) {
            response.headers_mut().entry(CONTENT_LENGTH).or_insert(n.into());
        }
    }
}

/// Ends a request without its guest's answer; `detail` is for the log.
pub fn refuse(mut ledger: Box<Ledger>, end: End, detail: impl Into<String>) -> Response<Answer> {
    ledger.end = end;
    ledger.detail = detail.into();
    answer_for(ledger)
}

/// What a client is told of how its request ended.
pub fn answer_for(mut ledger: Box<Ledger>) -> Response<Answer> {
    let (status, reason, is_retryable) = match ledger.end {
        End::Dispatched => (ledger.dispatch.status, ledger.dispatch.reason, false),
        _ => {
            let a = ledger.reply();
            (a.status, a.reason, a.is_retryable)
        }
    };
    let status = u16::try_from(status).ok().and_then(|s| StatusCode::from_u16(s).ok());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // SAFETY: serve.h demands a word in static storage.
    let reason = (!reason.is_null()).then(|| unsafe { CStr::from_ptr(reason) }.to_string_lossy());
    let mut text = format!("{status}");
    if let Some(reason) = reason {
        text += &format!(": {reason}");
    }
    if let Some(id) = ledger.dispatch.request_id() {
        text += &format!(" (request {})", id.to_str().unwrap_or_default());
    }
    text += "\n";
    ledger.status = status.as_u16();
    let is_faulty = ledger.end == End::BadRequest;
    let kind = Kind::Whole(Some(Bytes::from(text)));
    let mut response = Response::new(Answer { kind, ledger, _expiry: None });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if is_retryable {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if is_faulty {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    mark(&mut response);
    response
}

/// The body of a response, and with it what still has to do with the request.
pub struct Answer {
    kind: Kind,
    ledger: Box<Ledger>,
    _expiry: Option<Expiry>,
}

enum Kind {
    Whole(Option<Bytes>),
    Stream(Stream),
    /// Where HTTP allows no body (RFC 9110, 6.4.1).
    Empty,
}

/// A body that the guest is still writing.
struct Stream {
    going: Going,
    body: WasiBody,
    ready: VecDeque<Frame<Bytes>>,
    is_over: bool,
}

/// Ends with what it is part of.
struct Expiry(AbortHandle);

impl Drop for Expiry {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Ends the guest at its deadline, also when the client takes nothing of the response; and then the
/// connection, of HTTP/2 after a while, since it has other requests.
fn watch_time(ledger: &Ledger, run: Option<Arc<Mutex<Option<Run>>>>) -> Option<Expiry> {
    let server = &ledger.thread.server;
    let deadline = server.deadline(ledger.shared.started)?;
    let grace = Duration::from_millis(server.limits.write_ms.min(3_600_000));
    let (shared, connection) = (ledger.shared.clone(), ledger.connection.clone()?);
    let timer = tokio::spawn(async move {
        tokio::time::sleep_until(deadline.into()).await;
        shared.cut_off(End::TimedOut);
        if let Some(run) = run {
            drop(lock(&run).take());
        }
        if connection.is_http2() {
            tokio::time::sleep(grace).await;
        }
        connection.end();
    });
    Some(Expiry(timer.abort_handle()))
}

/// A run that may go on.
enum Going {
    Here(Option<Run>),
    /// Where its time may end while nobody asks for more of the response.
    Timed(Arc<Mutex<Option<Run>>>),
}

impl Going {
    fn with<T>(&mut self, f: impl FnOnce(&mut Option<Run>) -> T) -> T {
        match self {
            Self::Here(run) => f(run),
            Self::Timed(run) => f(&mut lock(run)),
        }
    }

    fn take(&mut self) -> Option<Run> {
        self.with(Option::take)
    }

    /// None when there is no run any more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Poll<Finish>> {
        self.with(|run| {
            let polled = run.as_mut()?.poll(cx);
            if polled.is_ready() {
                *run = None;
            }
            Some(polled)
        })
    }
}

impl Stream {
    /// Takes what the guest can give without waiting, so that a small response is sent whole.
    fn hurry(&mut self, cx: &mut Context<'_>, ledger: &mut Ledger) {
        let mut bytes = 0;
        for _ in 0..EAGER_ROUNDS {
            match self.poll(cx, ledger) {
                Poll::Ready(Some(Ok(frame))) => {
                    bytes += frame.data_ref().map_or(0, Bytes::len);
                    self.ready.push_back(frame);
                    if bytes >= EAGER_BYTES {
                        return;
                    }
                }
                Poll::Ready(Some(Err(e))) => {
                    if ledger.break_off() {
                        ledger.detail = e.to_string();
                    }
                    return;
                }
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    /// The next piece of the body, for which the guest may have to go on.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        ledger: &mut Ledger,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let broken = || Poll::Ready(Some(Err(Error::HttpResponseIncomplete)));
        if self.is_over {
            return Poll::Ready(None);
        }
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(None) => break,
                Poll::Ready(frame) => return Poll::Ready(frame),
                Poll::Pending => {}
            }
            match self.going.poll(cx) {
                None => return Poll::Pending,
                Some(Poll::Pending) => {
                    // It may have written since.
                    return match Pin::new(&mut self.body).poll_frame(cx) {
                        Poll::Ready(None) => continue,
                        polled => polled,
                    };
                }
                Some(Poll::Ready(finish)) => ledger.take_finish(finish),
            }
            if ledger.end != End::Answered {
                return broken();
            }
        }
        // A guest that trapped or was stopped leaves a body that seems to have ended.
        self.is_over = true;
        ledger.shared.body_gone.notify_one();
        if let Some(Poll::Ready(finish)) = self.going.poll(cx) {
            ledger.take_finish(finish);
        }
        if let (End::Answered, Some(end)) = (ledger.end, ledger.shared.cut()) {
            ledger.end = end;
        }
        if ledger.end == End::Answered { Poll::Ready(None) } else { broken() }
    }

    fn into_answer(mut self, ledger: Box<Ledger>) -> Answer {
        let is_plain = self.ready.iter().all(Frame::is_data) && self.ready.len() <= 1;
        let is_http2 = ledger.connection.as_ref().is_some_and(|c| c.is_http2());
        if !self.is_over || !is_plain {
            let run = Arc::new(Mutex::new(self.going.take()));
            self.going = Going::Timed(run.clone());
            let expiry = watch_time(&ledger, Some(run));
            return Answer { kind: Kind::Stream(self), ledger, _expiry: expiry };
        }
        self.leave(&ledger);
        let data = self.ready.pop_front().and_then(|f| f.into_data().ok());
        let kind = Kind::Whole(data.filter(|d| !d.is_empty()));
        // By HTTP/1 a client that takes nothing is noticed by what waits to be written.
        let expiry = if is_http2 { watch_time(&ledger, None) } else { None };
        Answer { kind, ledger, _expiry: expiry }
    }

    /// How long the body is, once all of it is there.
    fn length(&self) -> Option<u64> {
        let bytes = |f: &Frame<Bytes>| f.data_ref().map_or(0, |d| d.len() as u64);
        self.is_over.then(|| self.ready.iter().map(bytes).sum())
    }

    /// Lets a guest that goes on after its response do so by itself.
    fn leave(&mut self, ledger: &Ledger) {
        let Some(mut run) = self.going.take() else { return };
        let (thread, service) = (ledger.thread.clone(), ledger.service.clone());
        ledger.thread.go_on(async move {
            let finish = poll_fn(|cx| run.poll(cx)).await;
            drop(run);
            if let (Some(e), Some(service)) = (finish.error, service) {
                let (name, detail, _) = trap::describe(&e, &service.name);
                let text = format!("{}: after its response: {name}: {detail}", service.name);
                thread.server.callbacks.failed(&text);
            }
        });
    }
}

impl Answer {
    /// The response is complete as far as the guest is concerned.
    fn complete(&mut self) {
        self.ledger.is_complete = true;
        if let Kind::Stream(s) = &mut self.kind {
            s.leave(&self.ledger);
        }
    }

    /// Takes the body away, and tells how long it would have been.
    fn empty(&mut self) -> Option<u64> {
        let length = self.size_hint().exact();
        self.complete();
        self.kind = Kind::Empty;
        length
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Self { kind, ledger, .. } = &mut *self;
        let polled = match kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Whole(data) => Poll::Ready(data.take().map(|d| Ok(Frame::data(d)))),
            Kind::Stream(s) => match s.ready.pop_front() {
                Some(frame) => Poll::Ready(Some(Ok(frame))),
                None => s.poll(cx, ledger),
            },
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                ledger.response_bytes += frame.data_ref().map_or(0, |d| d.len() as u64);
                // HTTP/1.1 does not ask for more than was promised.
                let is_all = ledger.promised_bytes.is_some_and(|n| ledger.response_bytes >= n);
                if is_all || matches!(kind, Kind::Whole(_)) {
                    self.complete();
                }
            }
            Poll::Ready(Some(Err(_))) => {
                ledger.is_cut = true;
                let _ = ledger.break_off();
            }
            Poll::Ready(None) => self.complete(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.kind, Kind::Whole(None) | Kind::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(data) => SizeHint::with_exact(data.as_ref().map_or(0, |d| d.len() as u64)),
            Kind::Stream(_) => SizeHint::default(),
            Kind::Empty => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Answer {
    /// A response whose body is empty is complete without being asked for it.
    fn drop(&mut self) {
        if matches!(&self.kind, Kind::Whole(None)) {
            self.ledger.is_complete = true;
        }
    }
}
