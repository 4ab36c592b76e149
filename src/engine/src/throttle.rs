// SPDX-License-Identifier: Apache-2.0
//! The processor time of threads that run guests, where no control group limits it. A timer on the
//! thread's own processor clock fires when it has used its share of a period, and makes the guest
//! look: it waits there, at a point where nothing is held, until the period ends. A thread that
//! does not compute wakes nobody.

use crate::err::{Failure, Result};
use std::cell::Cell;
use std::mem::zeroed;
use std::ptr::null_mut;
use std::time::{Duration, Instant};
use wasmtime::Engine;

const PERIOD: Duration = Duration::from_millis(100);

/// One thread's limit. Never moves: the signal's handler finds the engine in it.
struct Limit {
    engine: Engine,
    timer: libc::timer_t,
    share: Duration,     // of each period
    ends: Cell<Instant>, // the period
}

thread_local! {
    static LIMIT: Cell<*const Limit> = const { Cell::new(null_mut()) };
    static IS_USED_UP: Cell<bool> = const { Cell::new(false) };
}

fn signal() -> libc::c_int {
    libc::SIGRTMIN()
}

/// Only what a signal handler may do: plain memory and one atomic number.
extern "C" fn used_up(_: libc::c_int) {
    IS_USED_UP.set(true);
    // SAFETY: it is set while the limit lives.
    if let Some(limit) = unsafe { LIMIT.get().as_ref() } {
        limit.engine.increment_epoch();
    }
}

fn failed(what: &str) -> Failure {
    let e = std::io::Error::last_os_error();
    let errno = e.raw_os_error().unwrap_or(libc::EIO);
    Failure::new(errno, c"EngineUnusable", format!("cannot limit the processor time: {what}: {e}"))
}

impl Limit {
    fn new(engine: Engine, milli: u32) -> Result<Self> {
        // SAFETY: the structs are plain data, zero is a value of theirs, and the calls read and
        // write just them.
        unsafe {
            let mut action: libc::sigaction = zeroed();
            action.sa_sigaction = used_up as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            if libc::sigaction(signal(), &action, null_mut()) != 0 {
                return Err(failed("sigaction"));
            }
            let mut event: libc::sigevent = zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signal();
            event.sigev_notify_thread_id = libc::gettid();
            let mut timer: libc::timer_t = null_mut();
            if libc::timer_create(libc::CLOCK_THREAD_CPUTIME_ID, &mut event, &mut timer) != 0 {
                return Err(failed("timer_create"));
            }
            let share = PERIOD * milli / 1000;
            Ok(Self { engine, timer, share, ends: Cell::new(Instant::now() + PERIOD) })
        }
    }

    /// From now on it may use its share again.
    fn begin(&self, ends: Instant) {
        self.ends.set(ends);
        IS_USED_UP.set(false);
        // SAFETY: as above; the timer lives as long as this.
        unsafe {
            let mut when: libc::itimerspec = zeroed();
            when.it_value.tv_nsec = libc::c_long::from(self.share.subsec_nanos());
            libc::timer_settime(self.timer, 0, &when, null_mut());
        }
    }

    /// When it may go on, if it may not now. What it used in more than one period is not held
    /// against it.
    fn waits_until(&self) -> Option<Instant> {
        let (now, ends) = (Instant::now(), self.ends.get());
        (now < ends).then_some(ends)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // SAFETY: it is its own, and not used afterwards.
        unsafe { libc::timer_delete(self.timer) };
    }
}

fn current() -> Option<&'static Limit> {
    // SAFETY: it lives until this thread takes it away, which does not happen while a guest runs.
    unsafe { LIMIT.get().as_ref() }
}

/// Limits the calling thread to so many thousandths of a processor, in code of this engine; 0 takes
/// the limit away.
pub fn limit(engine: &Engine, milli: u32) -> Result<()> {
    let old = LIMIT.replace(null_mut());
    if !old.is_null() {
        // SAFETY: it came from a box below, and no handler finds it any more.
        drop(unsafe { Box::from_raw(old.cast_mut()) });
    }
    if milli == 0 || milli >= 1000 {
        return Ok(());
    }
    let limit = Box::new(Limit::new(engine.clone(), milli)?);
    LIMIT.set(Box::into_raw(limit));
    current().inspect(|l| l.begin(Instant::now() + PERIOD));
    Ok(())
}

/// Whether the thread has used up its share, and is to wait.
pub fn is_used_up() -> bool {
    IS_USED_UP.get()
}

/// Waits, while the thread does other things, such as to be stopped.
pub async fn wait() {
    if let Some(until) = current().and_then(Limit::waits_until) {
        tokio::time::sleep_until(until.into()).await;
    }
    current().inspect(|l| l.begin(Instant::now() + PERIOD));
}

/// The whole thread waits.
pub fn wait_here() {
    if let Some(until) = current().and_then(Limit::waits_until) {
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }
    current().inspect(|l| l.begin(Instant::now() + PERIOD));
}
