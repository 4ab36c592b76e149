// SPDX-License-Identifier: Apache-2.0
//! Serving threads that the kernel has put on one processor. It leaves them there for milliseconds,
//! although another one is idle or runs what is only to run when nobody else wants to. Each keeps
//! the processor until the next tick, 4 ms, and whoever is connected to the other one waits.

use std::mem::{size_of, zeroed};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

const NOWHERE: i32 = -1;
/// Between two moves of a thread: what the kernel makes of one is to be seen first.
const MOVE_US: u64 = 4000;

/// One thread's; written by itself.
struct Place {
    processor: AtomicI32,
    moved_us: AtomicU64,
}

/// Where each thread runs.
pub struct Crowd {
    places: Box<[Place]>,
}

fn processor() -> i32 {
    // SAFETY: it has no arguments.
    unsafe { libc::sched_getcpu() }
}

impl Crowd {
    pub fn new(threads: usize) -> Self {
        let place = |_| Place { processor: AtomicI32::new(NOWHERE), moved_us: AtomicU64::new(0) };
        Self { places: (0..threads).map(place).collect() }
    }

    /// The thread has slept.
    pub fn wakes(&self, thread: usize) {
        self.places[thread].processor.store(processor(), Relaxed);
    }

    pub fn sleeps(&self, thread: usize) {
        self.places[thread].processor.store(NOWHERE, Relaxed);
    }

    /// When another serving thread is on the calling one's processor: one of them moves, if that
    /// can be, or else the other one goes on for a while. Of threads that do not serve nothing is
    /// known here: those get what the kernel gives them.
    pub fn give_way(&self, thread: usize, now_us: u64) {
        let here = processor();
        let own = &self.places[thread];
        own.processor.store(here, Relaxed);
        let Some(other) = self.others(thread).position(|p| p == here) else { return };
        // The last of them moves, so that not both do.
        let may_move = other < thread
            && now_us.saturating_sub(own.moved_us.load(Relaxed)) >= MOVE_US
            && self.others(thread).skip(thread).all(|p| p != here);
        if may_move && self.moves(thread) {
            own.moved_us.store(now_us, Relaxed);
            own.processor.store(processor(), Relaxed);
        } else {
            // SAFETY: it has no arguments.
            unsafe { libc::sched_yield() };
        }
    }

    /// Where the others are, in their order.
    fn others(&self, thread: usize) -> impl Iterator<Item = i32> + '_ {
        let others = self.places.iter().enumerate().filter(move |(i, _)| *i != thread);
        others.map(|(_, p)| p.processor.load(Relaxed))
    }

    /// Goes to a processor where none of the others is, of those that the thread may use.
    fn moves(&self, thread: usize) -> bool {
        // SAFETY: a set of processors is plain bits, and zero is an empty one; the calls read and
        // write just that.
        unsafe {
            let size = size_of::<libc::cpu_set_t>();
            let mut allowed: libc::cpu_set_t = zeroed();
            if libc::sched_getaffinity(0, size, &mut allowed) != 0 {
                return false;
            }
            let mut free = allowed;
            for at in self.others(thread).filter_map(|p| usize::try_from(p).ok()) {
                if at < 8 * size {
                    libc::CPU_CLR(at, &mut free);
                }
            }
            if libc::CPU_COUNT(&free) == 0 || libc::sched_setaffinity(0, size, &free) != 0 {
                return false;
            }
            // It is there now, and may go anywhere again.
            libc::sched_setaffinity(0, size, &allowed) == 0
        }
    }
}
