// SPDX-License-Identifier: Apache-2.0
//! Time slices. Guests that answer requests share threads; one that computes for long must let the
//! others go on. A thread of its own watches whether the same guest is still running after a tick,
//! and only then raises the epoch, which makes it yield. While no guest runs, it sleeps.

use crate::sync::lock;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::Semaphore;
use wasmtime::EngineWeak;

/// How long a guest may have a thread before anybody looks, and once one had it for that long. What
/// is the same one at two looks is made to yield.
const WATCH: Duration = Duration::from_millis(1);
const SLICE: Duration = Duration::from_micros(100);
/// Looks at that pace after the last guest that had a whole slice.
const HOT_LOOKS: u32 = 8;
/// Ticks without any guest after which the watch sleeps.
const QUIET_TICKS: u32 = 8;

static ENGINES: Mutex<Vec<EngineWeak>> = Mutex::new(Vec::new());

/// Engines whose epoch is to be raised.
pub fn watch(engine: &wasmtime::Engine) {
    let mut all = lock(&ENGINES);
    all.retain(|e| e.upgrade().is_some());
    all.push(engine.weak());
}

/// One thread's guests. Aligned so that two threads do not share a cache line.
#[repr(align(128))]
pub struct Lane {
    beat: AtomicU64, // odd while a guest runs
    turn: Semaphore,
    watch: Arc<Watch>,
}

#[derive(Default)]
struct Watch {
    sleeps: AtomicBool,
    ends: AtomicBool,
    thread: Mutex<Option<thread::Thread>>,
}

impl Watch {
    fn wake(&self) {
        self.sleeps.store(false, SeqCst);
        if let Some(t) = &*lock(&self.thread) {
            t.unpark();
        }
    }
}

impl Lane {
    pub fn enter(&self) {
        self.beat.fetch_add(1, SeqCst);
        if self.watch.sleeps.load(SeqCst) {
            self.watch.wake();
        }
    }

    pub fn leave(&self) {
        self.beat.fetch_add(1, Relaxed);
    }

    /// Waits until whatever else the thread has to do was done. Of guests that compute for long, and
    /// of connections that move much, one at a time gets in, so that they delay others by a slice
    /// and not by a slice each.
    ///
    /// A task waits in its place: a guest is polled only while its response is wanted, and must not
    /// hold the turn meanwhile.
    pub async fn turn(self: Arc<Self>) {
        struct Waiting(tokio::task::JoinHandle<()>);
        impl Drop for Waiting {
            fn drop(&mut self) {
                self.0.abort();
            }
        }
        let mut waiting = Waiting(tokio::spawn(async move {
            let _turn = self.turn.acquire().await;
            tokio::task::yield_now().await;
        }));
        let _ = (&mut waiting.0).await;
    }
}

pub struct Ticker {
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub fn start(lanes: usize) -> std::io::Result<(Self, Vec<Arc<Lane>>)> {
        let watch = Arc::new(Watch::default());
        let lanes: Vec<_> = (0..lanes)
            .map(|_| {
                Arc::new(Lane {
                    beat: AtomicU64::new(0),
                    turn: Semaphore::new(1),
                    watch: watch.clone(),
                })
            })
            .collect();
        let thread = {
            let (watch, lanes) = (watch.clone(), lanes.clone());
            let builder = thread::Builder::new().name("ticker".into()).stack_size(64 << 10);
            builder.spawn(move || run(&watch, &lanes))?
        };
        *lock(&watch.thread) = Some(thread.thread().clone());
        Ok((Self { watch, thread: Some(thread) }, lanes))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.watch.ends.store(true, SeqCst);
        self.watch.wake();
        if let Some(t) = self.thread.take() {
            let _ = t.join();
        }
    }
}

/// Lets this thread sleep for as long as it says, and not for 50 µs more, which is usual.
fn sleep_exactly() {
    let slack_ns: libc::c_ulong = 1;
    // SAFETY: plain system call.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack_ns) };
}

fn run(watch: &Watch, lanes: &[Arc<Lane>]) {
    sleep_exactly();
    let mut last = vec![0; lanes.len()];
    let mut quiet = QUIET_TICKS;
    let mut hot = 0;
    let mut period = WATCH;
    while !watch.ends.load(SeqCst) {
        if quiet >= QUIET_TICKS {
            watch.sleeps.store(true, SeqCst);
            // A guest that came before it could see the flag is seen here.
            if !looked(lanes, &mut last).0 {
                while watch.sleeps.load(SeqCst) && !watch.ends.load(SeqCst) {
                    thread::park();
                }
            }
            watch.sleeps.store(false, SeqCst);
            quiet = 0;
        }
        thread::sleep(period);
        let (moved, long) = looked(lanes, &mut last);
        if long {
            lock(&ENGINES).iter().filter_map(EngineWeak::upgrade).for_each(|e| e.increment_epoch());
        }
        // A guest that was made to yield looks like another one when it is back.
        hot = if long { HOT_LOOKS } else { hot.saturating_sub(1) };
        period = if hot > 0 { SLICE } else { WATCH };
        quiet = if moved || long { 0 } else { quiet + 1 };
    }
}

/// Whether guests came or went since the last look, and whether one still runs.
fn looked(lanes: &[Arc<Lane>], last: &mut [u64]) -> (bool, bool) {
    let (mut moved, mut long) = (false, false);
    for (lane, last) in lanes.iter().zip(last) {
        let beat = lane.beat.load(SeqCst);
        moved |= beat != *last;
        long |= beat == *last && beat % 2 == 1;
        *last = beat;
    }
    (moved, long)
}
