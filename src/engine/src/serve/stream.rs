// SPDX-License-Identifier: Apache-2.0
//! The bytes of a connection, plain or encrypted, watched for progress.

use super::connection::Connection;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Tells the connection of what moves and what does not.
pub struct Watched {
    stream: Stream,
    connection: Arc<Connection>,
    turn: Option<Turn>, // that it waits for
    read_us: u64,       // the turns in which it last read and wrote
    written_us: u64,
}

type Turn = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Watched {
    pub fn new(stream: Stream, connection: Arc<Connection>) -> Self {
        Self { stream, connection, turn: None, read_us: u64::MAX, written_us: u64::MAX }
    }

    /// Ready while the connection may go on. One that moves much goes on when whatever else its
    /// thread has to do was done, but what is ready after a guest took long is written at once.
    fn poll_turn(&mut self, last_us: u64, cx: &mut Context<'_>) -> Poll<()> {
        if self.turn.is_none() && self.connection.had_its_turn(last_us) {
            self.turn = Some(Box::pin(self.connection.lane().turn()));
        }
        if let Some(turn) = &mut self.turn {
            ready!(turn.as_mut().poll(cx));
            self.turn = None;
        }
        Poll::Ready(())
    }
}

/// Calls a method of whichever stream it is.
macro_rules! each {
    ($self:ident, $s:ident => $call:expr) => {
        match &mut $self.stream {
            Stream::Tcp($s) => $call,
            Stream::Unix($s) => $call,
            Stream::Tls($s) => $call,
        }
    };
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let last_us = self.read_us;
        ready!(self.poll_turn(last_us, cx));
        self.read_us = self.connection.turn_us();
        let before = buf.filled().len();
        let polled = each!(self, s => Pin::new(s).poll_read(cx, buf));
        if polled.is_ready() && buf.filled().len() > before {
            self.connection.has_read();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let last_us = self.written_us;
        ready!(self.poll_turn(last_us, cx));
        self.written_us = self.connection.turn_us();
        let polled = each!(self, s => Pin::new(s).poll_write(cx, buf));
        self.connection.waits_to_write(polled.is_pending());
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let last_us = self.written_us;
        ready!(self.poll_turn(last_us, cx));
        self.written_us = self.connection.turn_us();
        let polled = each!(self, s => Pin::new(s).poll_write_vectored(cx, bufs));
        self.connection.waits_to_write(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Tcp(s) => s.is_write_vectored(),
            Stream::Unix(s) => s.is_write_vectored(),
            Stream::Tls(s) => s.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = each!(self, s => Pin::new(s).poll_flush(cx));
        self.connection.waits_to_write(polled.is_pending());
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => Pin::new(s).poll_shutdown(cx))
    }
}
