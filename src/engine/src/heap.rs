// SPDX-License-Identifier: Apache-2.0
//! Where Rust's memory comes from: the C library, or, in a process that answers requests, a heap
//! that is made for many short-lived objects on many threads. Which one is chosen once.

use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

struct Heap;

static IS_QUICK: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static HEAP: Heap = Heap;

// SAFETY: each call goes to the same allocator as the one that made the block, as the choice comes
// before the first of them.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if IS_QUICK.load(Relaxed) {
            unsafe { MiMalloc.alloc(layout) }
        } else {
            unsafe { System.alloc(layout) }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if IS_QUICK.load(Relaxed) {
            unsafe { MiMalloc.alloc_zeroed(layout) }
        } else {
            unsafe { System.alloc_zeroed(layout) }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if IS_QUICK.load(Relaxed) {
            unsafe { MiMalloc.realloc(block, layout, size) }
        } else {
            unsafe { System.realloc(block, layout, size) }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if IS_QUICK.load(Relaxed) {
            unsafe { MiMalloc.dealloc(block, layout) }
        } else {
            unsafe { System.dealloc(block, layout) }
        }
    }
}

/// # Safety
/// Before any other function of the engine.
#[unsafe(no_mangle)]
unsafe extern "C" fn engine_heap_quick() {
    IS_QUICK.store(true, Relaxed);
}
