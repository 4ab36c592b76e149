// SPDX-License-Identifier: Apache-2.0
//! Standard streams whose bytes C moves. A call that would block reports EAGAIN, and the guest then
//! waits in its own runtime, where it can be stopped.

use crate::sync::lock;
use bytes::{Buf, Bytes};
use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// Most bytes that one call moves, and so the most that a stream holds back.
const CHUNK: usize = 64 << 10;

/// `struct engine_stream`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CStream {
    ctx: *mut c_void,
    transfer: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> isize>,
    wait_fd: c_int,
    is_terminal: bool,
}

// SAFETY: a stream belongs to one guest and is used on the guest's thread only.
unsafe impl Send for CStream {}
unsafe impl Sync for CStream {}

impl CStream {
    /// Whether C gave a function for it.
    pub fn is_connected(&self) -> bool {
        self.transfer.is_some()
    }

    /// `empty` is what a missing function answers.
    fn transfer(&self, buf: *mut u8, len: usize, empty: usize) -> io::Result<usize> {
        let Some(call) = self.transfer else { return Ok(empty) };
        // SAFETY: `buf` is `len` bytes long; C reads or writes no more than that.
        let n = unsafe { call(self.ctx, buf.cast(), len) };
        usize::try_from(n).map_err(|_| io::Error::from_raw_os_error(-(n as c_int)))
    }
}

/// A duplicate of the descriptor to wait on, registered when a stream first has to wait: two
/// streams may share a descriptor, and one number can be registered only once.
struct Waiter(Option<Arc<AsyncFd<OwnedFd>>>);

impl Waiter {
    fn get(&mut self, fd: RawFd, interest: Interest) -> io::Result<Arc<AsyncFd<OwnedFd>>> {
        if let Some(w) = &self.0 {
            return Ok(w.clone());
        }
        // SAFETY: C keeps the descriptor open while the guest lives.
        let own = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()?;
        // SAFETY: the descriptor is owned by what owns the registration, and is not given out.
        let w = Arc::new(unsafe { AsyncFd::register_with_interest(own, interest) }?);
        self.0 = Some(w.clone());
        Ok(w)
    }
}

fn is_again(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::WouldBlock
}

// ---- Output --------------------------------------------------------------------------------

struct OutputState {
    stream: CStream,
    waiter: Waiter,
    pending: Bytes, // accepted from the guest, not yet taken by C
    failed: Option<io::Error>,
    closed: bool,
}

impl OutputState {
    /// Hands pending bytes to C until all are gone or C would block.
    fn drain(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            let n = self.stream.transfer(
                self.pending.as_ptr().cast_mut(),
                self.pending.len(),
                self.pending.len(),
            )?;
            self.pending.advance(n);
        }
        Ok(())
    }

    fn note(&mut self, r: io::Result<()>) {
        match r {
            Err(e) if !is_again(&e) => {
                self.pending.clear();
                self.failed = Some(e);
            }
            _ => {}
        }
    }

    fn check(&mut self) -> StreamResult<()> {
        match self.failed.take() {
            Some(e) => {
                self.closed = true;
                Err(stream_error(e))
            }
            None if self.closed => Err(StreamError::Closed),
            None => Ok(()),
        }
    }
}

fn stream_error(e: io::Error) -> StreamError {
    if e.kind() == io::ErrorKind::BrokenPipe {
        StreamError::Closed
    } else {
        StreamError::LastOperationFailed(e.into())
    }
}

/// stdout or stderr; all clones write to the same place.
#[derive(Clone)]
pub struct Output(Arc<Mutex<OutputState>>);

impl Output {
    pub fn new(stream: CStream) -> Self {
        Self(Arc::new(Mutex::new(OutputState {
            stream,
            waiter: Waiter(None),
            pending: Bytes::new(),
            failed: None,
            closed: false,
        })))
    }

    /// Waits until `attempt` does not say EAGAIN any more.
    fn poll_io<T>(
        &self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&mut OutputState) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            let mut s = lock(&self.0);
            match attempt(&mut s) {
                Err(e) if is_again(&e) => {}
                r => return Poll::Ready(r),
            }
            let fd = s.stream.wait_fd;
            let waiter = s.waiter.get(fd, Interest::WRITABLE)?;
            drop(s);
            ready!(waiter.poll_write_ready(cx))?.clear_ready();
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        lock(&self.0).stream.is_terminal
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        let done = std::future::poll_fn(|cx| self.poll_io(cx, OutputState::drain)).await;
        lock(&self.0).note(done);
    }
}

#[async_trait::async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut s = lock(&self.0);
        s.check()?;
        if !s.pending.is_empty() || bytes.len() > CHUNK {
            return Err(StreamError::trap("write exceeds what check-write permitted"));
        }
        s.pending = bytes;
        let drained = s.drain();
        s.note(drained);
        s.check()
    }

    fn flush(&mut self) -> StreamResult<()> {
        lock(&self.0).check()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let mut s = lock(&self.0);
        s.check()?;
        let drained = s.drain();
        s.note(drained);
        s.check()?;
        Ok(if s.pending.is_empty() { CHUNK } else { 0 })
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let len = buf.len().min(CHUNK);
        self.poll_io(cx, |s| {
            s.drain()?;
            s.stream.transfer(buf.as_ptr().cast_mut(), len, len)
        })
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_io(cx, OutputState::drain)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

// ---- Input ---------------------------------------------------------------------------------

struct InputState {
    stream: CStream,
    waiter: Waiter,
    buffered: Bytes, // read from C, not yet by the guest
    failed: Option<io::Error>,
    at_end: bool,
}

impl InputState {
    /// Makes sure that something can be said about the stream: bytes, its end, or an error.
    fn fill(&mut self) -> io::Result<()> {
        if !self.buffered.is_empty() || self.at_end || self.failed.is_some() {
            return Ok(());
        }
        let mut chunk = vec![0; CHUNK];
        match self.stream.transfer(chunk.as_mut_ptr(), CHUNK, 0) {
            Ok(0) => self.at_end = true,
            Ok(n) => {
                chunk.truncate(n);
                self.buffered = chunk.into();
            }
            Err(e) if is_again(&e) => return Err(e),
            Err(e) => self.failed = Some(e),
        }
        Ok(())
    }

    /// To be called when the guest is told of the end. At a terminal more may come after it, as the
    /// end is what somebody typed (VEOF in termios(3)).
    fn end_is_told(&mut self) {
        self.at_end = !self.stream.is_terminal;
    }
}

/// stdin; all clones read from the same place.
#[derive(Clone)]
pub struct Input(Arc<Mutex<InputState>>);

impl Input {
    pub fn new(stream: CStream) -> Self {
        Self(Arc::new(Mutex::new(InputState {
            stream,
            waiter: Waiter(None),
            buffered: Bytes::new(),
            failed: None,
            at_end: false,
        })))
    }

    fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut s = lock(&self.0);
            match s.fill() {
                Err(e) if is_again(&e) => {}
                r => return Poll::Ready(r),
            }
            let fd = s.stream.wait_fd;
            let waiter = s.waiter.get(fd, Interest::READABLE)?;
            drop(s);
            ready!(waiter.poll_read_ready(cx))?.clear_ready();
        }
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        lock(&self.0).stream.is_terminal
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }
    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        let filled = std::future::poll_fn(|cx| self.poll_fill(cx)).await;
        if let Err(e) = filled {
            lock(&self.0).failed = Some(e);
        }
    }
}

#[async_trait::async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let mut s = lock(&self.0);
        match s.fill() {
            Err(e) if is_again(&e) => return Ok(Bytes::new()),
            r => r.map_err(stream_error)?,
        }
        if let Some(e) = s.failed.take() {
            s.at_end = true;
            return Err(stream_error(e));
        }
        if s.buffered.is_empty() {
            s.end_is_told();
            return Err(StreamError::Closed);
        }
        let n = size.min(s.buffered.len());
        Ok(s.buffered.split_to(n))
    }
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_fill(cx))?;
        let mut s = lock(&self.0);
        if let Some(e) = s.failed.take() {
            s.at_end = true;
            return Poll::Ready(Err(e));
        }
        if s.buffered.is_empty() {
            s.end_is_told();
        }
        let n = buf.remaining().min(s.buffered.len());
        buf.put_slice(&s.buffered.split_to(n));
        Poll::Ready(Ok(()))
    }
}
