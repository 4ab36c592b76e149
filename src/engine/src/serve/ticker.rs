// SPDX-License-Identifier: Apache-2.0
//! Time slices. Guests that answer requests share threads; one that computes for long must let the
//! others go on. One thread of the process watches whether the same guest is still running after a
//! tick, and only then raises the epoch, which makes it yield. While no guest runs, it sleeps.

use crate::sync::lock;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
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
/// One that does not yield when told this often is not computing: the processor was taken from it, or
/// it is in a call. It is told ever less, up to this long apart.
const RAISES: u32 = 50;
const STUCK: Duration = Duration::from_millis(8);

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
}

impl Lane {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { beat: AtomicU64::new(0), turn: Semaphore::new(1) })
    }

    /// Watches it for as long as the result lives.
    pub fn watched(self: &Arc<Self>) -> Watched {
        let seen = self.beat.load(SeqCst);
        lock(&LANES).push(Entry { lane: self.clone(), seen, raises: 0 });
        Watched(self.clone())
    }

    pub fn enter(&self) {
        self.beat.fetch_add(1, SeqCst);
        if SLEEPS.load(SeqCst) {
            wake();
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

/// While it lives, its lane is watched.
pub struct Watched(Arc<Lane>);

impl Drop for Watched {
    fn drop(&mut self) {
        lock(&LANES).retain(|e| !Arc::ptr_eq(&e.lane, &self.0));
    }
}

/// A lane and what the last look at it has seen.
struct Entry {
    lane: Arc<Lane>,
    seen: u64,
    raises: u32, // of the epoch since
}

static LANES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());
static SLEEPS: AtomicBool = AtomicBool::new(false);
static THREAD: OnceLock<thread::Thread> = OnceLock::new();

fn wake() {
    SLEEPS.store(false, SeqCst);
    if let Some(t) = THREAD.get() {
        t.unpark();
    }
}

/// The thread, which lives as long as the process. Started before any limit holds for the calling
/// thread, as a new one is under the same.
pub fn start() -> std::io::Result<()> {
    static IS_STARTED: Mutex<bool> = Mutex::new(false);
    let mut is_started = lock(&IS_STARTED);
    if !*is_started {
        thread::Builder::new().name("ticker".into()).stack_size(64 << 10).spawn(run)?;
        *is_started = true;
    }
    Ok(())
}

/// Lets this thread sleep for as long as it says, and not for 50 µs more, which is usual.
fn sleep_exactly() {
    let slack_ns: libc::c_ulong = 1;
    // SAFETY: plain system call.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack_ns) };
}

fn run() {
    sleep_exactly();
    THREAD.get_or_init(thread::current);
    let mut quiet = QUIET_TICKS;
    let mut hot = 0;
    let mut period = WATCH;
    loop {
        if quiet >= QUIET_TICKS {
            SLEEPS.store(true, SeqCst);
            // A guest that came before it could see the flag is seen here.
            if !look(&mut lock(&LANES)).has_moved {
                while SLEEPS.load(SeqCst) {
                    thread::park();
                }
            }
            SLEEPS.store(false, SeqCst);
            quiet = 0;
        }
        thread::sleep(period);
        let Look { has_moved, is_long, is_stuck } = look(&mut lock(&LANES));
        if is_long {
            lock(&ENGINES).iter().filter_map(EngineWeak::upgrade).for_each(|e| e.increment_epoch());
        }
        // A guest that was made to yield looks like another one when it is back.
        hot = if is_long && !is_stuck { HOT_LOOKS } else { hot.saturating_sub(1) };
        period = match hot {
            0 if is_stuck && !has_moved => (2 * period).min(STUCK),
            0 => WATCH,
            _ => SLICE,
        };
        quiet = if has_moved || is_long { 0 } else { quiet + 1 };
    }
}

struct Look {
    has_moved: bool, // guests came or went since the last look
    is_long: bool,   // one is still there
    is_stuck: bool,  // and all of those were told to yield often enough
}

fn look(lanes: &mut [Entry]) -> Look {
    let mut look = Look { has_moved: false, is_long: false, is_stuck: true };
    for e in lanes {
        let beat = e.lane.beat.load(SeqCst);
        if beat != e.seen {
            (e.seen, e.raises) = (beat, 0);
            look.has_moved = true;
        } else if beat % 2 == 1 {
            look.is_long = true;
            look.is_stuck &= e.raises == RAISES;
            e.raises = RAISES.min(e.raises + 1);
        }
    }
    look.is_stuck &= look.is_long;
    look
}
