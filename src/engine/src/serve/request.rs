// SPDX-License-Identifier: Apache-2.0
//! From the head of a request to the end of its response, and the record of both.

use super::callbacks::{CDispatch, CRecord, CRequest};
use super::connection::Connection;
use super::run::{Finish, Run, Task};
use super::server::Thread;
use super::service::Service;
use super::ticker::Lane;
use crate::trap;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{
    AtomicU8, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::{Notify, OwnedSemaphorePermit, TryAcquireError};
use wasmtime_wasi_http::{Error, WasiBody};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Rounds in which a response may become complete before its head is sent.
const EAGER_ROUNDS: usize = 4;
const EAGER_BYTES: usize = 64 << 10;

/// `enum engine_request_end`.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Answered,
    Dispatched,
    Trapped,
    OutOfMemory,
    TimedOut,
    CpuExceeded,
    NotAnswered,
    GuestError,
    BadAnswer,
    BodyTooLarge,
    Overloaded,
    ClientGone,
    BadRequest,
}

pub const ENDS: usize = 13;

impl End {
    fn from_number(n: u8) -> Option<Self> {
        [Self::CpuExceeded, Self::BodyTooLarge, Self::BadAnswer].into_iter().find(|e| *e as u8 == n)
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the parts of one request have in common: the guest's run, its store, and both bodies.
pub struct Shared {
    started: Instant,
    answer: Mutex<Option<Result<Response<WasiBody>, String>>>,
    cut: AtomicU8, // 0, or why the guest was ended from outside
    busy_ns: AtomicU64,
    resumed_ns: AtomicU64,
    request_bytes: AtomicU64,
    body_gone: Notify,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            answer: Mutex::new(None),
            cut: AtomicU8::new(0),
            busy_ns: AtomicU64::new(0),
            resumed_ns: AtomicU64::new(0),
            request_bytes: AtomicU64::new(0),
            body_gone: Notify::new(),
        })
    }

    fn age_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub fn resume(&self) {
        self.resumed_ns.store(self.age_ns(), Relaxed);
    }

    pub fn pause(&self) {
        self.busy_ns.store(self.busy(), Relaxed);
    }

    /// Nanoseconds that the guest has had, with those since it was last resumed.
    fn busy(&self) -> u64 {
        let since = self.age_ns().saturating_sub(self.resumed_ns.load(Relaxed));
        self.busy_ns.load(Relaxed) + since
    }

    /// The first answer counts.
    pub fn answer(&self, answer: Result<Response<WasiBody>, String>) {
        lock(&self.answer).get_or_insert(answer);
    }

    /// What was to be an answer is none.
    pub fn answer_badly(&self, why: String) {
        self.cut_off(End::BadAnswer);
        self.answer(Err(why));
    }

    fn take_answer(&self) -> Option<Result<Response<WasiBody>, String>> {
        lock(&self.answer).take()
    }

    fn cut_off(&self, why: End) {
        self.cut.store(why as u8, Release);
    }

    pub fn cut(&self) -> Option<End> {
        End::from_number(self.cut.load(Acquire))
    }

    /// Waits until the body of the response was sent or dropped.
    pub async fn body_gone(&self) {
        self.body_gone.notified().await;
    }
}

/// What a guest's time is counted by.
pub struct Slice {
    pub shared: Arc<Shared>,
    pub lane: Arc<Lane>,
    pub cpu_ns: u64,
}

impl Slice {
    pub fn is_used_up(&self) -> bool {
        if self.cpu_ns == 0 || self.shared.busy() < self.cpu_ns {
            return false;
        }
        self.shared.cut_off(End::CpuExceeded);
        true
    }
}

/// The body of a request on its way to the guest, counted and bounded.
struct RequestBody {
    incoming: Incoming,
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    limit: u64,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        self.connection.wait_for_body(polled.is_pending());
        let Poll::Ready(Some(Ok(frame))) = &polled else {
            return polled.map(|p| p.map(|f| f.map_err(Error::from)));
        };
        let more = frame.data_ref().map_or(0, |d| d.len() as u64);
        let total = self.shared.request_bytes.fetch_add(more, Relaxed) + more;
        if total > self.limit {
            self.shared.cut_off(End::BodyTooLarge);
            return Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(total)))));
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

/// Tells C of a request's end, exactly once, when the last part that has to do with it is gone.
struct Ledger {
    thread: Arc<Thread>,
    connection: Option<Arc<Connection>>, // until the response is complete
    shared: Arc<Shared>,
    dispatch: CDispatch,
    permit: Option<OwnedSemaphorePermit>,
    end: End,
    status: u16,
    is_cut: bool,
    is_complete: bool,
    response_bytes: u64,
    service: Option<Arc<Service>>,
    finish: Finish,
    detail: String,
}

impl Ledger {
    fn reply(&self) -> &super::callbacks::CAnswer {
        &self.thread.server.answers[self.end as usize]
    }

    /// The response is over; the guest may not be.
    fn close(&mut self) {
        self.shared.body_gone.notify_one();
        if let Some(c) = self.connection.take() {
            c.end_request();
        }
    }

    fn take_finish(&mut self, finish: Finish) {
        if let Some(end) = finish.end {
            self.end = end;
        } else if let Some(e) = &finish.error {
            self.end = if finish.memory_refused || trap::classify(e).0 == "MemoryLimit" {
                End::OutOfMemory
            } else {
                End::Trapped
            };
        }
        self.finish = finish;
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close();
        if !self.is_complete && self.end == End::Answered {
            self.end = End::ClientGone;
        }
        let (name, detail) = match (&self.finish.error, &self.service) {
            (Some(e), Some(service)) if self.finish.end.is_none() => {
                let (name, sentence, _) = trap::classify(e);
                (name, sentence + &trap::backtrace(e, &service.name))
            }
            _ => (String::new(), std::mem::take(&mut self.detail)),
        };
        let c_text = |s: String| CString::new(s.replace('\0', "\u{fffd}")).unwrap_or_default();
        let (name, detail) = (c_text(name), c_text(detail));
        let reason = match self.end {
            End::Answered => std::ptr::null(),
            End::Dispatched => self.dispatch.reason,
            _ => self.reply().reason,
        };
        let record = CRecord {
            end: self.end as i32,
            status: u32::from(self.status),
            reason,
            is_cut: self.is_cut,
            request_bytes: self.shared.request_bytes.load(Relaxed),
            response_bytes: self.response_bytes,
            duration_ns: self.shared.age_ns(),
            busy_ns: self.shared.busy_ns.load(Relaxed),
            memory_peak_bytes: self.finish.memory_peak,
            trap: name.as_ptr(),
            detail: detail.as_ptr(),
        };
        self.thread.server.callbacks.ended(self.thread.index, &self.dispatch, &record);
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
    let mut ledger = Ledger {
        thread: thread.clone(),
        connection: Some(connection.clone()),
        shared: shared.clone(),
        dispatch,
        permit: None,
        end: End::Answered,
        status: 0,
        is_cut: false,
        is_complete: false,
        response_bytes: 0,
        service: service.clone(),
        finish: Finish::default(),
        detail: String::new(),
    };
    if let Some(why) = faulty {
        ledger.end = End::BadRequest;
        ledger.detail = why.to_string();
        return Ok(refuse(ledger));
    }
    let Some(service) = service else {
        ledger.end = End::Dispatched;
        return Ok(refuse(ledger));
    };
    let cgi_env = match cgi_env {
        Ok(env) => env,
        Err(why) => {
            ledger.end = End::BadRequest;
            ledger.detail = why;
            return Ok(refuse(ledger));
        }
    };
    if body_bytes.is_some_and(|n| n > thread.server.limits.body_bytes) {
        ledger.end = End::BodyTooLarge;
        return Ok(refuse(ledger));
    }
    let deadline = thread.server.deadline(shared.started);
    match admit(&thread, deadline).await {
        Ok(permit) => ledger.permit = Some(permit),
        Err(end) => {
            ledger.end = end;
            return Ok(refuse(ledger));
        }
    }
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
    let task = Task { thread, service, shared, request, is_tls, traceparent, cgi_env };
    Ok(respond(Run::new(task, deadline), ledger).await)
}

/// What the parser lets through and the standard does not: RFC 9112, 3.2 (Host) and 6.1 (both
/// lengths). HTTP/1.0 knows no Host; the guest gets an empty one.
fn fault(request: &mut Request<Incoming>) -> Option<&'static str> {
    if request.version() >= Version::HTTP_2 {
        return None;
    }
    let headers = request.headers();
    if headers.contains_key(http::header::TRANSFER_ENCODING)
        && headers.contains_key(http::header::CONTENT_LENGTH)
    {
        return Some("it has both Content-Length and Transfer-Encoding");
    }
    let hosts = headers.get_all(HOST).iter().count();
    if hosts > 1 {
        return Some("it has more than one Host");
    }
    if hosts == 0 {
        if request.version() == Version::HTTP_11 {
            return Some("it has no Host");
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
async fn admit(
    thread: &Arc<Thread>,
    deadline: Option<Instant>,
) -> Result<OwnedSemaphorePermit, End> {
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
    let queued = Queued(&server.queued);
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
    drop(queued);
    permit.map_err(|_| End::Overloaded)
}

/// Runs the guest until it has answered, or will not.
async fn respond(mut run: Run, mut ledger: Ledger) -> Response<Answer> {
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
    let mut run = Some(run);
    if let Some(f) = finish {
        run = None;
        ledger.take_finish(f);
    }
    if ledger.end == End::Answered
        && let Some(end) = shared.cut()
    {
        ledger.end = end;
    }
    if ledger.end != End::Answered && ledger.finish.error.is_none() {
        ledger.detail = answer.and_then(Result::err).unwrap_or_default();
        return refuse(ledger);
    }
    // Nothing was sent yet, so whatever went wrong can still be said.
    if ledger.end != End::Answered {
        return refuse(ledger);
    }
    let response = match answer {
        Some(Ok(response)) => response,
        Some(Err(code)) => {
            ledger.end = End::GuestError;
            ledger.detail = code;
            return refuse(ledger);
        }
        None => {
            ledger.end = End::NotAnswered;
            return refuse(ledger);
        }
    };
    let (head, body) = response.into_parts();
    let mut stream = Stream { run, body, ready: VecDeque::new(), is_over: false };
    poll_fn(|cx| Poll::Ready(stream.hurry(cx, &mut ledger))).await;
    if ledger.end != End::Answered {
        return refuse(ledger);
    }
    ledger.status = head.status.as_u16();
    let mut response = Response::from_parts(head, stream.into_answer(ledger));
    mark(&mut response);
    response
}

fn mark(response: &mut Response<Answer>) {
    let id = response.body().ledger.dispatch.request_id();
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
}

/// The answer to a request that the guest did not answer.
fn refuse(mut ledger: Ledger) -> Response<Answer> {
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
    for more in reason.iter().map(|r| format!(": {r}")) {
        text += &more;
    }
    if let Some(id) = ledger.dispatch.request_id() {
        text += &format!(" (request {})", id.to_str().unwrap_or_default());
    }
    text += "\n";
    ledger.status = status.as_u16();
    let is_faulty = ledger.end == End::BadRequest;
    let kind = Kind::Whole(Some(Bytes::from(text)));
    let mut response = Response::new(Answer { kind, ledger });
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
    ledger: Ledger,
}

enum Kind {
    Whole(Option<Bytes>),
    Stream(Stream),
}

/// A body that the guest is still writing.
struct Stream {
    run: Option<Run>,
    body: WasiBody,
    ready: VecDeque<Frame<Bytes>>,
    is_over: bool,
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
                    if ledger.end == End::Answered {
                        ledger.end = End::GuestError;
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
            let Some(run) = &mut self.run else { return Poll::Pending };
            let Poll::Ready(finish) = run.poll(cx) else {
                // It may have written since.
                return match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(None) => continue,
                    polled => polled,
                };
            };
            self.run = None;
            ledger.take_finish(finish);
            if ledger.end != End::Answered {
                return broken();
            }
        }
        // A guest that trapped leaves a body that seems to have ended.
        self.is_over = true;
        ledger.shared.body_gone.notify_one();
        if let Some(run) = &mut self.run
            && let Poll::Ready(finish) = run.poll(cx)
        {
            self.run = None;
            ledger.take_finish(finish);
        }
        if ledger.end == End::Answered { Poll::Ready(None) } else { broken() }
    }

    fn into_answer(mut self, mut ledger: Ledger) -> Answer {
        let is_plain = self.ready.iter().all(Frame::is_data) && self.ready.len() <= 1;
        if !self.is_over || !is_plain {
            return Answer { kind: Kind::Stream(self), ledger };
        }
        self.leave(&mut ledger);
        let data = self.ready.pop_front().and_then(|f| f.into_data().ok());
        Answer { kind: Kind::Whole(data), ledger }
    }

    /// Lets a guest that goes on after its response do so by itself.
    fn leave(&mut self, ledger: &mut Ledger) {
        let Some(mut run) = self.run.take() else { return };
        let permit = ledger.permit.take();
        let (thread, service) = (ledger.thread.clone(), ledger.service.clone());
        tokio::spawn(async move {
            let finish = poll_fn(|cx| run.poll(cx)).await;
            drop(permit);
            if let (Some(e), Some(service)) = (finish.error, service) {
                let (name, sentence, _) = trap::classify(&e);
                let trace = trap::backtrace(&e, &service.name);
                let text = format!("{}: after its response: {name}: {sentence}{trace}", service.name);
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
            s.leave(&mut self.ledger);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Self { kind, ledger } = &mut *self;
        let polled = match kind {
            Kind::Whole(data) => Poll::Ready(data.take().map(|d| Ok(Frame::data(d)))),
            Kind::Stream(s) => match s.ready.pop_front() {
                Some(frame) => Poll::Ready(Some(Ok(frame))),
                None => s.poll(cx, ledger),
            },
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                ledger.response_bytes += frame.data_ref().map_or(0, |d| d.len() as u64);
                if matches!(kind, Kind::Whole(_)) {
                    self.complete();
                }
            }
            Poll::Ready(Some(Err(_))) => {
                ledger.is_cut = true;
                if ledger.end == End::Answered {
                    ledger.end = End::GuestError;
                }
            }
            Poll::Ready(None) => self.complete(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.kind, Kind::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(data) => SizeHint::with_exact(data.as_ref().map_or(0, |d| d.len() as u64)),
            Kind::Stream(_) => SizeHint::default(),
        }
    }
}

impl Drop for Answer {
    /// A response without a body to send, as to HEAD, is complete when it is dropped.
    fn drop(&mut self) {
        if matches!(&self.kind, Kind::Whole(_)) {
            self.ledger.is_complete = true;
        }
    }
}
