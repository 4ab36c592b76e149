// SPDX-License-Identifier: Apache-2.0
//! One guest answering one request. The run is a future that whoever sends the response polls: the
//! guest computes while its response is wanted, and a small response is complete before its head is
//! sent.

use super::cgi;
use super::instance::{Instance, Place};
use super::server::Thread;
use super::service::{Kept, Proxy, Service, Target};
use super::shared::{End, Shared};
use super::ticker::Lane;
use crate::state::State;
use http::HeaderValue;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::time::{Sleep, sleep_until};
use wasmtime::{Error, Store, format_err};
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode as P2Error, Scheme};
use wasmtime_wasi_http::{WasiBody, WasiHttpView, p3};

/// How a run ended.
#[derive(Default)]
pub struct Finish {
    pub error: Option<Error>,
    pub end: Option<End>, // when something outside of the guest ended it
    pub memory_refused: bool,
    pub memory_peak: u64,
}

pub struct Run {
    future: Pin<Box<dyn Future<Output = Finish> + Send>>,
    shared: Arc<Shared>,
    lane: Arc<Lane>,
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What a guest is asked, and with which marks.
pub struct Task {
    pub thread: Arc<Thread>,
    pub service: Arc<Service>,
    pub shared: Arc<Shared>,
    pub request: http::Request<WasiBody>,
    pub is_tls: bool,
    pub traceparent: Option<HeaderValue>,
    pub cgi_env: Vec<(String, String)>,
}

impl Run {
    /// `place` is that of its instance.
    pub fn new(task: Box<Task>, place: Place, deadline: Option<Instant>) -> Self {
        let (shared, lane) = (task.shared.clone(), task.thread.lane.clone());
        let future = Box::pin(run(task, place));
        Self { future, shared, lane, deadline, timer: None }
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Finish> {
        self.lane.enter();
        self.shared.resume();
        let polled = catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(cx)));
        self.shared.pause();
        self.lane.leave();
        match polled {
            Ok(Poll::Ready(finish)) => return Poll::Ready(finish),
            Ok(Poll::Pending) => {}
            Err(_) => {
                let error = Some(format_err!("the engine failed; please report this"));
                return Poll::Ready(Finish { error, ..Finish::default() });
            }
        }
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
        timer.as_mut().poll(cx).map(|()| Finish { end: Some(End::TimedOut), ..Finish::default() })
    }
}

async fn run(task: Box<Task>, place: Place) -> Finish {
    match &task.service.target {
        Target::P2(_) | Target::P3(_) => component(task, place).await,
        Target::Cgi(pre) => {
            let pre = pre.clone();
            cgi::run(task, place, pre).await
        }
    }
}

pub fn finish(store: &Store<State>, shared: &Shared, result: Result<(), Error>) -> Finish {
    let limiter = &store.data().limiter;
    let error = result.err();
    // A trap explains why a CGI program wrote no response.
    let end = shared.cut().filter(|end| *end != End::BadAnswer || error.is_none());
    Finish { error, end, memory_refused: limiter.memory_refused, memory_peak: limiter.memory_peak }
}

async fn component(task: Box<Task>, place: Place) -> Finish {
    let service = task.service.clone();
    let thread = task.thread.clone();
    let shared = task.shared.clone();
    let (mut store, proxy, answered) = match service.take_kept(&thread, place) {
        Ok(Kept { instance, proxy, answered }) => (instance, Some(proxy), answered),
        Err(place) => match service.store(&thread) {
            Ok(store) => (Instance::new(store, place, &thread.lane), None, 0),
            Err(e) => return Finish { error: Some(e), ..Finish::default() },
        },
    };
    let data = store.data_mut();
    data.slice = Some(service.slice(&shared, &thread.lane));
    data.hooks.traceparent.clone_from(&task.traceparent);
    let proxy = match proxy {
        Some(p) => p,
        None => match instantiate(&service, &mut store).await {
            Ok(p) => p,
            Err(e) => return finish(&store, &shared, Err(e)),
        },
    };
    let result = match &proxy {
        Proxy::P2(p) => answer_p2(&mut store, p, task).await,
        Proxy::P3(p) => answer_p3(&mut store, p, task).await,
    };
    let finish = finish(&store, &shared, result);
    if finish.error.is_none() && finish.end.is_none() && service.reuse > 1 {
        let answered = answered + 1;
        service.keep(&thread, Kept { instance: store, proxy, answered });
    }
    finish
}

async fn instantiate(service: &Service, store: &mut Store<State>) -> Result<Proxy, Error> {
    let proxy = match &service.target {
        Target::P2(pre) => Proxy::P2(pre.instantiate_async(&mut *store).await?),
        Target::P3(pre) => Proxy::P3(pre.instantiate_async(&mut *store).await?),
        Target::Cgi(_) => unreachable!("a module is no component"),
    };
    store.data_mut().limiter.begin();
    Ok(proxy)
}

async fn answer_p2(
    store: &mut Store<State>,
    proxy: &wasmtime_wasi_http::p2::bindings::Proxy,
    task: Box<Task>,
) -> Result<(), Error> {
    let Task { shared, request, is_tls, .. } = *task;
    let scheme = if is_tls { Scheme::Https } else { Scheme::Http };
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(scheme, request)?;
    let out = http.new_response_outparam_from_callback(move |answer| {
        shared.answer(answer.map_err(|e: P2Error| format!("{e:?}")));
    })?;
    proxy.wasi_http_incoming_handler().call_handle(store, request, out).await
}

/// A request of HTTP/1 names a path only; the guest is told of scheme and authority all the same.
fn complete_uri(request: &mut http::Request<WasiBody>, is_tls: bool) {
    let mut parts = request.uri().clone().into_parts();
    if parts.authority.is_none() {
        let host = request.headers().get(http::header::HOST).map(HeaderValue::as_bytes);
        parts.authority = host.and_then(|h| http::uri::Authority::try_from(h).ok());
    }
    let scheme = if is_tls { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP };
    parts.scheme = parts.authority.is_some().then_some(scheme);
    if let Ok(uri) = http::Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

async fn answer_p3(
    store: &mut Store<State>,
    proxy: &p3::bindings::Service,
    task: Box<Task>,
) -> Result<(), Error> {
    let Task { shared, mut request, is_tls, .. } = *task;
    complete_uri(&mut request, is_tls);
    let hooks = &mut store.data_mut().hooks;
    let (request, sent) = p3::Request::from_http(hooks, request);
    store
        .run_concurrent(async |accessor| {
            match proxy.handle(accessor, request).await? {
                Ok(response) => {
                    let response = accessor.with(|mut s| response.into_http(&mut s, sent))?;
                    shared.answer(Ok(response));
                }
                Err(e) => shared.answer(Err(format!("{e:?}"))),
            }
            // The guest may go on after its answer, above all to write the body.
            poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            shared.body_gone().await;
            Ok(())
        })
        .await?
}
