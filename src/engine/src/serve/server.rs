// SPDX-License-Identifier: Apache-2.0
//! Threads, listeners, and the connections that come of them.

use super::callbacks::{Answers, Callbacks};
use super::connection::{Connection, serve};
use super::crowd::Crowd;
use super::stream::Stream;
use super::ticker::{self, Lane};
use crate::err::{Failure, Result};
use crate::ffi::{list, saturated};
use crate::heap::Keeper;
use crate::state::Gauge;
use crate::sync::lock;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use slab::Slab;
use std::convert::Infallible;
use std::ffi::c_int;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::pin;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::rustls::ServerConfig;

/// `struct engine_listener`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CListener {
    fd: c_int,
    kind: c_int,
    thread: c_int,
}

/// How long one thread goes on while another one may wait for its processor.
const GIVE_WAY_US: u64 = 250;

const HTTPS: c_int = 1;
const METRICS: c_int = 2;

/// `struct engine_server_limits`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Limits {
    pub header_bytes: u64,
    pub headers: u64,
    pub body_bytes: u64,
    pub requests: u64,
    pub queue: u64,
    pub connections: u64,
    pub idle_ms: u64,
    pub read_ms: u64,
    pub write_ms: u64,
    pub request_ms: u64,
}

/// `struct engine_server_options`.
#[repr(C)]
pub struct ServerOptions {
    threads: u32,
    listeners: *const CListener,
    n_listeners: usize,
    limits: Limits,
    callbacks: Callbacks,
    answers: Answers,
}

/// `struct engine_server_figures`.
#[repr(C)]
pub struct ServerFigures {
    connections: u64,
    connections_accepted: u64,
    requests: u64,
    queued: u64,
    memory_bytes: u64,
}

pub struct Server {
    pub threads: usize,
    pub limits: Limits,
    pub callbacks: Callbacks,
    pub answers: Answers,
    pub admission: Arc<Semaphore>,
    pub queued: AtomicU64,
    /// Instances that are kept occupy the pool too, so there is a limit to them, for all services.
    pub kept: Arc<Semaphore>,
    listeners: Mutex<Vec<(CListener, OwnedFd)>>, // none any more once it drains
    locals: Vec<(Arc<Lane>, Arc<Gauge>, Arc<Wake>)>,
    crowd: Crowd,
    places: Arc<Semaphore>,
    accepted: AtomicU64,
    tls: RwLock<Option<Arc<ServerConfig>>>,
    is_draining: AtomicBool,
    is_stopping: AtomicBool,
    started: Instant,
}

// SAFETY: the words of the answers are static, as serve.h demands.
unsafe impl Send for Server {}
unsafe impl Sync for Server {}

/// Wakes a thread's own tasks.
#[derive(Default)]
pub struct Wake {
    ends: Notify,     // the server drains or stops
    accepted: Notify, // a connection came where there was none
    emptied: Notify,  // the last one went, a guest that went on alone ended, or the server stops
}

pub struct Thread {
    pub server: Arc<Server>,
    pub index: usize,
    pub lane: Arc<Lane>,
    pub gauge: Arc<Gauge>,
    wake: Arc<Wake>,
    connections: Mutex<Slab<Arc<Connection>>>,
    gave_way_us: AtomicU64,
    going_on: AtomicU64, // guests after their response
}

fn unusable(what: &str, e: &std::io::Error) -> Failure {
    let errno = e.raw_os_error().unwrap_or(libc::EIO);
    Failure::new(errno, c"EngineUnusable", format!("{what}: {e}"))
}

/// As many as a semaphore can give.
fn permits(n: u64) -> usize {
    saturated(n).min(Semaphore::MAX_PERMITS)
}

fn semaphore(n: u64) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits(n)))
}

impl Server {
    /// # Safety
    /// `o` is as serve.h describes it.
    pub unsafe fn new(o: &ServerOptions) -> Result<Arc<Self>> {
        let threads = o.threads.max(1) as usize;
        ticker::start().map_err(|e| unusable("cannot start a thread", &e))?;
        // SAFETY: serve.h demands `n_listeners` of them, with open sockets.
        let listeners = unsafe { list(o.listeners, o.n_listeners) };
        let own = |l: &CListener| {
            let fd = unsafe { BorrowedFd::borrow_raw(l.fd) }.try_clone_to_owned()?;
            set_nonblocking(&fd)?;
            Ok((*l, fd))
        };
        let listeners: std::io::Result<Vec<_>> = listeners.iter().map(own).collect();
        Ok(Arc::new(Self {
            threads,
            limits: o.limits,
            callbacks: o.callbacks,
            answers: o.answers,
            admission: semaphore(o.limits.requests),
            queued: AtomicU64::new(0),
            kept: semaphore(o.limits.requests),
            listeners: Mutex::new(listeners.map_err(|e| unusable("a socket cannot be used", &e))?),
            locals: (0..threads).map(|_| (Lane::new(), Arc::default(), Arc::default())).collect(),
            crowd: Crowd::new(threads),
            places: semaphore(o.limits.connections),
            accepted: AtomicU64::new(0),
            tls: RwLock::new(None),
            is_draining: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            started: Instant::now(),
        }))
    }

    pub fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub fn now_ms(&self) -> u64 {
        self.now_us() / 1000
    }

    pub fn deadline(&self, started: Instant) -> Option<Instant> {
        match self.limits.request_ms {
            0 => None,
            ms => started.checked_add(Duration::from_millis(ms)),
        }
    }

    pub fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_tls(&self, config: Arc<ServerConfig>) {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(config);
    }

    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Acquire)
    }

    pub fn drain(&self) {
        self.is_draining.store(true, Release);
        lock(&self.listeners).clear();
        self.locals.iter().for_each(|(_, _, wake)| wake.ends.notify_one());
    }

    pub fn stop(&self) {
        self.is_stopping.store(true, Release);
        self.drain();
        self.locals.iter().for_each(|(_, _, wake)| wake.emptied.notify_one());
    }

    pub fn figures(&self) -> ServerFigures {
        let used =
            |s: &Semaphore, all: u64| permits(all).saturating_sub(s.available_permits()) as u64;
        ServerFigures {
            connections: used(&self.places, self.limits.connections),
            connections_accepted: self.accepted.load(Relaxed),
            requests: used(&self.admission, self.limits.requests),
            queued: self.queued.load(Relaxed),
            memory_bytes: self.locals.iter().map(|(_, g, _)| g.memory.load(Relaxed)).sum(),
        }
    }

    /// Serves on the calling thread, until nothing was to be done for as long as `idle` says: true;
    /// or until the server has drained or was stopped: false.
    pub fn run(self: &Arc<Self>, index: usize, idle: Option<Duration>) -> Result<bool> {
        let (lane, gauge, wake) = self
            .locals
            .get(index)
            .cloned()
            .ok_or_else(|| Failure::argument("there are not that many threads"))?;
        if idle.is_some() && self.threads > 1 {
            return Err(Failure::argument("only a server with one thread can be left idle"));
        }
        let _watched = lane.watched();
        let _keeper = Keeper::new();
        let thread = Arc::new(Thread {
            server: self.clone(),
            index,
            lane,
            gauge,
            wake,
            connections: Mutex::default(),
            gave_way_us: AtomicU64::new(0),
            going_on: AtomicU64::new(0),
        });
        let (wakes, sleeps) = (self.clone(), self.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_unpark(move || wakes.crowd.wakes(index))
            .on_thread_park(move || sleeps.crowd.sleeps(index))
            .build()
            .map_err(|e| unusable("cannot make an event loop", &e))?;
        let result = runtime.block_on(thread.run(idle));
        runtime.shutdown_background();
        result
    }
}

fn set_nonblocking(fd: &OwnedFd) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;
    let on: c_int = 1;
    // SAFETY: FIONBIO reads one int.
    match unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONBIO, &on) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn new(fd: OwnedFd) -> std::io::Result<Self> {
        let tcp = std::net::TcpListener::from(fd);
        if tcp.local_addr().is_ok() {
            return Ok(Self::Tcp(TcpListener::from_std(tcp)?));
        }
        Ok(Self::Unix(UnixListener::from_std(OwnedFd::from(tcp).into())?))
    }

    async fn accept(&self) -> std::io::Result<(Stream, String)> {
        match self {
            Self::Tcp(l) => l.accept().await.map(|(s, peer)| {
                let _ = s.set_nodelay(true);
                (Stream::Tcp(s), peer_text(peer))
            }),
            Self::Unix(l) => l.accept().await.map(|(s, _)| (Stream::Unix(s), "unix:".to_string())),
        }
    }
}

impl Listener {
    /// A connection that is there already.
    async fn accept_now(&self) -> Option<std::io::Result<(Stream, String)>> {
        let mut accept = pin!(self.accept());
        poll_fn(|cx| match accept.as_mut().poll(cx) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}

/// An IPv4 client of an IPv6 socket is shown as what it is.
fn peer_text(peer: SocketAddr) -> String {
    SocketAddr::new(peer.ip().to_canonical(), peer.port()).to_string()
}

impl Thread {
    /// The time, in now_us(), after another serving thread went on that has come to the same
    /// processor: once in a while, while there is one.
    pub fn give_way(&self) -> u64 {
        let now_us = self.server.now_us();
        if now_us.saturating_sub(self.gave_way_us.load(Relaxed)) < GIVE_WAY_US {
            return now_us;
        }
        self.server.crowd.give_way(self.index, now_us);
        let now_us = self.server.now_us();
        self.gave_way_us.store(now_us, Relaxed);
        now_us
    }

    /// Polls it in a task of its own, for which the thread is kept.
    pub fn go_on(self: &Arc<Self>, run: impl Future<Output = ()> + Send + 'static) {
        let thread = self.clone();
        self.going_on.fetch_add(1, Relaxed);
        tokio::spawn(async move {
            run.await;
            thread.going_on.fetch_sub(1, Relaxed);
            thread.wake.emptied.notify_one();
        });
    }

    async fn run(self: &Arc<Self>, idle: Option<Duration>) -> Result<bool> {
        let failed = |e| unusable("a socket cannot be used", &e);
        let mut listeners = Vec::new();
        for (listener, fd) in lock(&self.server.listeners).iter() {
            let is_mine = match usize::try_from(listener.thread) {
                Ok(thread) => thread == self.index,
                Err(_) => listener.kind != METRICS || self.index == 0,
            };
            if is_mine {
                let socket = Listener::new(fd.try_clone().map_err(failed)?).map_err(failed)?;
                listeners.push((Arc::new(socket), listener.kind));
            }
        }
        let mut tasks = tokio::task::JoinSet::new();
        for (socket, kind) in &listeners {
            tasks.spawn(self.clone().accept(socket.clone(), *kind));
        }
        let watch = tokio::spawn(self.clone().watch());
        let is_idle = tokio::select! {
            biased;
            () = self.wake.ends.notified() => false,
            () = self.idles(idle) => true,
        };
        tasks.shutdown().await;
        if is_idle {
            // Whoever has connected since then waits with the kernel.
            watch.abort();
            return Ok(true);
        }
        // Who has connected before now is served as well; who comes later is refused.
        for (socket, kind) in &listeners {
            while let Some(accepted) = tokio::task::unconstrained(socket.accept_now()).await
                && let Ok(place) = self.server.places.clone().try_acquire_owned()
            {
                match accepted {
                    Ok((stream, peer)) => self.take(stream, peer, *kind, Some(place)),
                    Err(e) if e.raw_os_error() == Some(libc::ECONNABORTED) => {}
                    Err(_) => break,
                }
            }
        }
        drop(listeners);
        lock(&self.connections).iter().for_each(|(_, c)| c.wake());
        while !self.server.is_stopping.load(Acquire) && !lock(&self.connections).is_empty() {
            self.wake.emptied.notified().await;
        }
        watch.abort();
        Ok(false)
    }

    /// Until nothing was to be done for so long; for ever without a limit.
    async fn idles(&self, limit: Option<Duration>) {
        let Some(limit) = limit else { return std::future::pending().await };
        loop {
            let accepted = self.server.accepted.load(Relaxed);
            if !self.is_empty() {
                self.wake.emptied.notified().await;
                continue;
            }
            tokio::time::sleep(limit).await;
            let is_new = self.server.accepted.load(Relaxed) != accepted;
            if !is_new && self.is_empty() {
                return;
            }
        }
    }

    /// Nobody is connected, and no guest goes on after its response.
    fn is_empty(&self) -> bool {
        lock(&self.connections).is_empty() && self.going_on.load(Relaxed) == 0
    }

    async fn accept(self: Arc<Self>, listener: Arc<Listener>, kind: c_int) {
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(e) => {
                    // The client has gone already, or there is no descriptor for it: the others
                    // may give some back.
                    if e.raw_os_error() != Some(libc::ECONNABORTED) {
                        let text = format!("cannot accept a connection: {e}");
                        self.server.callbacks.failed(&text);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    continue;
                }
            };
            // One connection more than allowed waits here, and others with the kernel. Whoever looks
            // at the figures is not among them.
            let place = match kind {
                METRICS => None,
                _ => self.server.places.clone().acquire_owned().await.ok(),
            };
            self.take(stream, peer, kind, place);
            // Those that are connected come first: the others wait with the kernel meanwhile.
            tokio::task::yield_now().await;
        }
    }

    /// Serves a connection in a task of its own.
    fn take(self: &Arc<Self>, stream: Stream, peer: String, kind: c_int, place: Option<Place>) {
        if place.is_some() {
            self.server.accepted.fetch_add(1, Relaxed);
        }
        let connection = Arc::new(Connection::new(self.clone(), peer, kind == HTTPS));
        let thread = self.clone();
        let key = {
            let mut all = lock(&self.connections);
            if all.is_empty() {
                self.wake.accepted.notify_one();
            }
            all.insert(connection.clone())
        };
        tokio::spawn(async move {
            let _leave = Leave { thread: &thread, key, _place: place };
            if kind == METRICS {
                serve_metrics(&thread, stream).await;
            } else {
                serve(thread.clone(), connection, stream).await;
            }
        });
    }

    /// Ends connections that have waited too long. Sleeps until the next one might have, and
    /// without any connection altogether.
    async fn watch(self: Arc<Self>) {
        let limits = &self.server.limits;
        let shortest = limits.idle_ms.min(limits.read_ms).min(limits.write_ms).max(1);
        loop {
            if lock(&self.connections).is_empty() {
                self.wake.accepted.notified().await;
            }
            let now = self.server.now_ms();
            let mut next = now.saturating_add(shortest);
            for (_, c) in lock(&self.connections).iter() {
                match c.deadline_ms() {
                    late if late <= now => c.end(),
                    later => next = next.min(later),
                }
            }
            let wait = Duration::from_millis((next - now).clamp(1, 3_600_000));
            tokio::time::sleep(wait).await;
        }
    }
}

/// Among the connections that may be open.
type Place = tokio::sync::OwnedSemaphorePermit;

/// Takes a connection off the list, however it ended.
struct Leave<'a> {
    thread: &'a Thread,
    key: usize,
    _place: Option<Place>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut all = lock(&self.thread.connections);
        all.remove(self.key);
        if all.is_empty() {
            self.thread.wake.emptied.notify_one();
        }
    }
}

async fn serve_metrics(thread: &Thread, stream: Stream) {
    let page = |request: http::Request<Incoming>| {
        let callbacks = thread.server.callbacks;
        async move {
            let mut response = match request.uri().path() {
                "/metrics" => Response::new(Full::new(Bytes::from(callbacks.metrics()))),
                _ => {
                    let mut r = Response::new(Full::new(Bytes::from_static(b"see /metrics\n")));
                    *r.status_mut() = StatusCode::NOT_FOUND;
                    r
                }
            };
            let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            Ok::<_, Infallible>(response)
        }
    };
    let builder = {
        let mut b = hyper::server::conn::http1::Builder::new();
        b.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
        b
    };
    // A scraper that is slow or gone concerns nobody.
    let _ = match stream {
        Stream::Tcp(s) => builder.serve_connection(TokioIo::new(s), service_fn(page)).await,
        Stream::Unix(s) => builder.serve_connection(TokioIo::new(s), service_fn(page)).await,
        Stream::Tls(s) => builder.serve_connection(TokioIo::new(s), service_fn(page)).await,
    };
}
