// SPDX-License-Identifier: Apache-2.0
//! From the head of a request to the guest that answers it.

use super::answer::{Answer, answer_for, refuse, respond_with};
use super::callbacks::CRequest;
use super::connection::Connection;
use super::instance::Place;
use super::ledger::Ledger;
use super::run::{Run, Task};
use super::server::Thread;
use super::shared::{End, Shared};
use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{Method, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::TryAcquireError;
use wasmtime_wasi_http::Error;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The body of a request on its way to the guest, counted and bounded.
struct RequestBody {
    incoming: Incoming,
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    limit: u64,
}

impl RequestBody {
    /// What comes after the response is not this request's to tell of the connection.
    fn waits(&self, is_pending: bool) {
        if !self.shared.is_over.load(Relaxed) {
            self.connection.wait_for_body(is_pending);
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.waits(false);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        self.waits(polled.is_pending());
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let more = frame.data_ref().map_or(0, |d| d.len() as u64);
            let total = self.shared.request_bytes.fetch_add(more, Relaxed) + more;
            if total > self.limit {
                self.shared.cut_off(End::BodyTooLarge);
                return Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(total)))));
            }
        }
        polled.map(|p| p.map(|f| f.map_err(Error::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Answers one request of a connection.
pub async fn answer(
    thread: Arc<Thread>,
    connection: Arc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let shared = Shared::new();
    connection.begin_request(request.version());
    let faulty = fault(&mut request);
    let seen = CRequest::new(&request, &connection);
    let mut dispatch = thread.server.callbacks.dispatch(thread.index, &seen);
    let service = dispatch.take_service();
    let cgi_env = match &service {
        Some(s) if s.is_cgi() => thread.server.callbacks.cgi_environment(&seen, &dispatch),
        _ => Ok(Vec::new()),
    };
    let body_bytes = seen.body_bytes();
    let is_head = request.method() == Method::HEAD;
    let ledger = Ledger::new(&thread, &connection, &shared, dispatch, service.clone(), is_head);
    if let Some(why) = faulty {
        return Ok(refuse(ledger, End::BadRequest, why));
    }
    // The parser of HTTP/1 has counted already.
    if request.headers().len() as u64 > thread.server.limits.headers {
        return Ok(refuse(ledger, End::HeadTooLarge, ""));
    }
    let Some(service) = service else {
        return Ok(refuse(ledger, End::Dispatched, ""));
    };
    let cgi_env = match cgi_env {
        Ok(env) => env,
        Err(why) => return Ok(refuse(ledger, End::BadRequest, why)),
    };
    if body_bytes.is_some_and(|n| n > thread.server.limits.body_bytes) {
        return Ok(refuse(ledger, End::BodyTooLarge, ""));
    }
    let deadline = thread.server.deadline(shared.started);
    let place = match admit(&thread, deadline).await {
        Ok(place) => place,
        Err(end) => return Ok(refuse(ledger, end, "")),
    };
    let traceparent = ledger.dispatch.traceparent();
    if let Some(value) = &traceparent {
        request.headers_mut().insert(TRACEPARENT, value.clone());
    }
    let limit = thread.server.limits.body_bytes;
    let request = request.map(|incoming| {
        let (connection, shared) = (connection.clone(), shared.clone());
        RequestBody { incoming, connection, shared, limit }.boxed_unsync()
    });
    let is_tls = connection.is_tls;
    let task = Box::new(Task { thread, service, shared, request, is_tls, traceparent, cgi_env });
    Ok(respond(Run::new(task, place, deadline), ledger).await)
}

/// What the parser lets through and the standard does not: RFC 9112, 3.2 (Host) and 6.1 (both
/// lengths). HTTP/1.0 knows no Host; the guest gets an empty one.
fn fault(request: &mut Request<Incoming>) -> Option<&'static str> {
    let headers = request.headers();
    let is_http2 = request.version() == Version::HTTP_2;
    if !is_http2
        && headers.contains_key(http::header::TRANSFER_ENCODING)
        && headers.contains_key(http::header::CONTENT_LENGTH)
    {
        return Some("it has both Content-Length and Transfer-Encoding");
    }
    let hosts = headers.get_all(HOST).iter().count();
    if hosts > 1 {
        return Some("it has more than one Host");
    }
    if hosts == 0 {
        if request.version() == Version::HTTP_11 || is_http2 && request.uri().authority().is_none()
        {
            return Some("it has no Host");
        }
        if is_http2 {
            return None;
        }
        request.headers_mut().insert(HOST, HeaderValue::from_static(""));
    }
    let host = request.headers().get(HOST)?;
    if !host.is_empty() && http::uri::Authority::try_from(host.as_bytes()).is_err() {
        return Some("its Host is not one");
    }
    None
}

/// A place among the requests that have an instance, at once or after a wait in the queue.
async fn admit(thread: &Arc<Thread>, deadline: Option<Instant>) -> Result<Place, End> {
    let server = &thread.server;
    match server.admission.clone().try_acquire_owned() {
        Ok(permit) => return Ok(permit),
        Err(TryAcquireError::NoPermits) => {}
        Err(TryAcquireError::Closed) => return Err(End::Overloaded),
    }
    struct Queued<'a>(&'a AtomicU64);
    impl Drop for Queued<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Relaxed);
        }
    }
    let _queued = Queued(&server.queued);
    if server.queued.fetch_add(1, Relaxed) >= server.limits.queue {
        return Err(End::Overloaded);
    }
    let wait = server.admission.clone().acquire_owned();
    let permit = match deadline {
        None => wait.await,
        Some(d) => match tokio::time::timeout_at(d.into(), wait).await {
            Ok(permit) => permit,
            Err(_) => return Err(End::TimedOut),
        },
    };
    permit.map_err(|_| End::Overloaded)
}

/// Runs the guest until it has answered, or will not.
async fn respond(mut run: Run, mut ledger: Box<Ledger>) -> Response<Answer> {
    let shared = ledger.shared.clone();
    let mut finish = None;
    let answer = poll_fn(|cx| {
        if let Poll::Ready(f) = run.poll(cx) {
            finish = Some(f);
            return Poll::Ready(shared.take_answer());
        }
        match shared.take_answer() {
            Some(answer) => Poll::Ready(Some(answer)),
            None => Poll::Pending,
        }
    })
    .await;
    let run = match finish {
        None => Some(run),
        Some(f) => {
            ledger.take_finish(f);
            None
        }
    };
    if let (End::Answered, Some(end)) = (ledger.end, shared.cut()) {
        ledger.end = end;
    }
    // Nothing was sent yet, so whatever went wrong can still be said.
    if ledger.end != End::Answered {
        if let (None, Some(Err(why))) = (&ledger.finish.error, answer) {
            ledger.detail = why;
        }
        return answer_for(ledger);
    }
    match answer {
        Some(Ok(response)) => respond_with(response, run, ledger).await,
        Some(Err(code)) => refuse(ledger, End::GuestError, code),
        None => refuse(ledger, End::NotAnswered, ""),
    }
}
