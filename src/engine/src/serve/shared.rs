// SPDX-License-Identifier: Apache-2.0
//! What the parts of one request have in common, and why a request ends.

use super::ticker::Lane;
use crate::sync::lock;
use http::Response;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::Notify;
use wasmtime_wasi_http::WasiBody;

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
    HeadTooLarge,
}

pub const ENDS: usize = 14;

impl End {
    fn from_number(n: u8) -> Option<Self> {
        [Self::TimedOut, Self::CpuExceeded, Self::BodyTooLarge, Self::BadAnswer]
            .into_iter()
            .find(|e| *e as u8 == n)
    }
}

/// What the parts of one request have in common: the guest's run, its store, and both bodies.
pub struct Shared {
    pub started: Instant,
    answer: Mutex<Option<Result<Response<WasiBody>, String>>>,
    cut: AtomicU8, // 0, or why the guest was ended from outside
    pub busy_ns: AtomicU64,
    resumed_ns: AtomicU64,
    pub request_bytes: AtomicU64,
    pub body_gone: Notify,
    pub is_over: AtomicBool, // the response is; the guest may not be
}

impl Shared {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            answer: Mutex::new(None),
            cut: AtomicU8::new(0),
            busy_ns: AtomicU64::new(0),
            resumed_ns: AtomicU64::new(0),
            request_bytes: AtomicU64::new(0),
            body_gone: Notify::new(),
            is_over: AtomicBool::new(false),
        })
    }

    pub fn age_ns(&self) -> u64 {
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

    pub fn take_answer(&self) -> Option<Result<Response<WasiBody>, String>> {
        lock(&self.answer).take()
    }

    pub fn cut_off(&self, why: End) {
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

/// As much time as a request in JavaScript or Python takes.
const FIRST_NS: u64 = 1_500_000;

impl Slice {
    /// Requests like most others are answered in the order in which they came. If they took turns
    /// as well, those that come later would be first, and the unlucky ones wait ten times as long.
    pub fn is_first(&self) -> bool {
        self.shared.busy() < FIRST_NS
    }

    pub fn is_used_up(&self) -> bool {
        if self.cpu_ns == 0 || self.shared.busy() < self.cpu_ns {
            return false;
        }
        self.shared.cut_off(End::CpuExceeded);
        true
    }
}
