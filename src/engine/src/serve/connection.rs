// SPDX-License-Identifier: Apache-2.0
//! One connection: what it waits for and since when, its encryption, and its end.

use super::ledger::refused;
use super::request::answer;
use super::server::Thread;
use super::stream::{Stream, Watched};
use super::ticker::Lane;
use crate::ffi::saturated;
use crate::sync::lock;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use tokio_rustls::TlsAcceptor;

/// How long one may read, write and be answered while others of its thread wait.
const TURN_US: u64 = 250;

/// What a connection waits for; each has its own limit.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    Idle,    // the next request
    Head,    // the rest of a request's head, or of a handshake
    Request, // the guest
    Body,    // more of a request's body
}

pub struct Connection {
    pub peer: String,
    pub is_tls: bool,
    thread: Arc<Thread>,
    phase: AtomicU8,
    since_ms: AtomicU64,
    write_since_ms: AtomicU64, // 0: nothing waits to be written
    requests: AtomicU32,       // open ones; more than one with HTTP/2 only
    is_http2: AtomicBool,
    ends: AtomicBool,
    turn_us: AtomicU64, // since when it has its thread
    waker: Mutex<Option<Waker>>,
}

impl Connection {
    pub fn new(thread: Arc<Thread>, peer: String, is_tls: bool) -> Self {
        let now = thread.server.now_ms();
        Self {
            peer,
            is_tls,
            thread,
            phase: AtomicU8::new(if is_tls { Phase::Head } else { Phase::Idle } as u8),
            since_ms: AtomicU64::new(now),
            write_since_ms: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            is_http2: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            turn_us: AtomicU64::new(0),
            waker: Mutex::new(None),
        }
    }

    fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.since_ms.store(self.thread.server.now_ms(), Relaxed);
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Relaxed) == phase as u8
    }

    pub fn is_http2(&self) -> bool {
        self.is_http2.load(Relaxed)
    }

    pub fn begin_request(&self, version: http::Version) {
        self.requests.fetch_add(1, Relaxed);
        self.is_http2.store(version == http::Version::HTTP_2, Relaxed);
        self.phase.store(Phase::Request as u8, Relaxed);
    }

    pub fn end_request(&self) {
        if self.requests.fetch_sub(1, Relaxed) == 1 {
            self.set(Phase::Idle);
        }
    }

    /// Of several requests only the connection's own flow is watched; each has its time limit too.
    pub fn wait_for_body(&self, is_pending: bool) {
        if self.is_http2.load(Relaxed) {
            return;
        }
        if !is_pending {
            self.phase.store(Phase::Request as u8, Relaxed);
        } else if !self.is(Phase::Body) {
            self.set(Phase::Body);
        }
    }

    pub fn lane(&self) -> Arc<Lane> {
        self.thread.lane.clone()
    }

    fn begin_turn(&self) {
        self.turn_us.store(self.thread.give_way(), Relaxed);
    }

    pub fn turn_us(&self) -> u64 {
        self.turn_us.load(Relaxed)
    }

    /// Whether others come first, as it has had its thread for long and did in this turn, told by
    /// when it began, what it wants to do again.
    pub fn had_its_turn(&self, last_us: u64) -> bool {
        let turn_us = self.turn_us();
        last_us == turn_us && self.thread.server.now_us().saturating_sub(turn_us) >= TURN_US
    }

    pub fn has_read(&self) {
        if self.is(Phase::Idle) {
            self.set(if self.is_http2.load(Relaxed) { Phase::Idle } else { Phase::Head });
        } else if self.is(Phase::Body) {
            self.set(Phase::Body);
        }
    }

    pub fn waits_to_write(&self, is_pending: bool) {
        if !is_pending {
            if self.write_since_ms.load(Relaxed) != 0 {
                self.write_since_ms.store(0, Relaxed);
            }
        } else if self.write_since_ms.load(Relaxed) == 0 {
            self.write_since_ms.store(self.thread.server.now_ms().max(1), Relaxed);
        }
    }

    /// When it has waited too long, in now_ms(); u64::MAX while it waits for nothing.
    pub fn deadline_ms(&self) -> u64 {
        let limits = &self.thread.server.limits;
        let since = self.since_ms.load(Relaxed);
        let read = if self.is(Phase::Idle) {
            since.saturating_add(limits.idle_ms)
        } else if self.is(Phase::Request) {
            u64::MAX
        } else {
            since.saturating_add(limits.read_ms)
        };
        match self.write_since_ms.load(Relaxed) {
            0 => read,
            w => read.min(w.saturating_add(limits.write_ms)),
        }
    }

    pub fn end(&self) {
        self.ends.store(true, Relaxed);
        self.wake();
    }

    pub fn wake(&self) {
        if let Some(w) = &*lock(&self.waker) {
            w.wake_by_ref();
        }
    }
}

/// Serves all requests of one connection.
pub async fn serve(thread: Arc<Thread>, connection: Arc<Connection>, stream: Stream) {
    let mut served = pin!(serve_stream(thread, connection.clone(), stream));
    poll_fn(|cx| {
        let mut waker = lock(&connection.waker);
        if waker.as_ref().is_none_or(|w| !w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        connection.begin_turn();
        if connection.ends.load(Relaxed) {
            return Poll::Ready(());
        }
        served.as_mut().poll(cx)
    })
    .await;
}

async fn serve_stream(thread: Arc<Thread>, connection: Arc<Connection>, stream: Stream) {
    let stream = match (stream, thread.server.tls()) {
        (Stream::Tcp(tcp), Some(config)) if connection.is_tls => {
            let Ok(tls) = TlsAcceptor::from(config).accept(tcp).await else { return };
            connection.set(Phase::Idle);
            Stream::Tls(Box::new(tls))
        }
        (stream, _) => stream,
    };
    let io = TokioIo::new(Watched::new(stream, connection.clone()));
    let builder = builder(&thread);
    let service = {
        let (thread, connection) = (thread.clone(), connection.clone());
        service_fn(move |request| answer(thread.clone(), connection.clone(), request))
    };
    let mut served = pin!(builder.serve_connection(io, service));
    let mut is_told = false;
    if thread.server.is_draining() {
        // What the client has sent already shows after a look for input.
        tokio::task::yield_now().await;
    }
    let ended = poll_fn(|cx| {
        let polled = served.as_mut().poll(cx);
        if polled.is_ready() || is_told || !thread.server.is_draining() {
            return polled;
        }
        is_told = true;
        served.as_mut().graceful_shutdown();
        served.as_mut().poll(cx)
    })
    .await;
    // How a connection ends is the client's business: what it asked was recorded. But for what was
    // no request at all.
    if let Err(e) = ended
        && let Some(e) = e.downcast_ref::<hyper::Error>()
        && e.is_parse()
    {
        refused(&thread, &connection.peer, e.is_parse_too_large());
    }
}

fn builder(thread: &Thread) -> Builder<TokioExecutor> {
    let limits = &thread.server.limits;
    let mut b = Builder::new(TokioExecutor::new());
    b.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(saturated(limits.header_bytes).max(8192))
        .max_headers(saturated(limits.headers));
    b.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(128)
        .max_pending_accept_reset_streams(32)
        .max_local_error_reset_streams(128);
    b
}
