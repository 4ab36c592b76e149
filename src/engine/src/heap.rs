// SPDX-License-Identifier: Apache-2.0
//! The crate's memory. A request takes a hundred pieces of memory and gives them back on the same
//! thread, so a thread that serves keeps what was given back for the next request, by size, and
//! asks the C library only when it has none. Everything is memory of malloc(): which thread takes
//! a piece and which gives it back does not matter.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::NonNull;

/// Sizes go up in these steps; what is larger than the last one is never kept.
const STEP: usize = 16;
const SIZES: usize = 576;

/// What a serving thread keeps at most.
const KEPT_BYTES: usize = 1 << 20;

#[global_allocator]
static HEAP: Heap = Heap;

struct Heap;

/// The first bytes of a piece that is kept.
struct Piece {
    next: Option<NonNull<Piece>>,
}

struct Kept {
    bytes: Cell<usize>,
    limit: Cell<usize>, // 0 on a thread that does not serve
    lists: [Cell<Option<NonNull<Piece>>>; SIZES],
}

thread_local! {
    static KEPT: Kept = const {
        Kept {
            bytes: Cell::new(0),
            limit: Cell::new(0),
            lists: [const { Cell::new(None) }; SIZES],
        }
    };
}

/// While it lives, its thread keeps memory.
pub struct Keeper(());

impl Keeper {
    pub fn new() -> Self {
        KEPT.with(|kept| kept.limit.set(KEPT_BYTES));
        Self(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        KEPT.with(|kept| {
            kept.limit.set(0);
            for n in 0..SIZES {
                while let Some(piece) = kept.take(n) {
                    // SAFETY: the allocator's own memory; `free()` needs no size.
                    unsafe { System.dealloc(piece, Layout::new::<Piece>()) };
                }
            }
        });
    }
}

impl Kept {
    #[inline]
    fn take(&self, n: usize) -> Option<*mut u8> {
        let list = &self.lists[n];
        let piece = list.get()?;
        // SAFETY: what is on a list belongs to the list.
        list.set(unsafe { piece.as_ref().next });
        self.bytes.set(self.bytes.get() - bytes(n));
        Some(piece.as_ptr().cast())
    }

    /// Whether there was room for it.
    #[inline]
    fn put(&self, n: usize, piece: NonNull<Piece>) -> bool {
        let all = self.bytes.get() + bytes(n);
        if all > self.limit.get() {
            return false;
        }
        self.bytes.set(all);
        let list = &self.lists[n];
        // SAFETY: the piece was given back, and is as large as any of its list.
        unsafe { piece.write(Piece { next: list.get() }) };
        list.set(Some(piece));
        true
    }
}

/// The list for pieces of this layout, if there is one. malloc() aligns to 16.
#[inline]
fn list(layout: Layout) -> Option<usize> {
    let n = (layout.size() + STEP / 2 - 1) / STEP;
    (n < SIZES && layout.align() <= STEP).then_some(n)
}

/// What a piece of a list has room for: just what malloc() has, which needs 8 bytes for itself.
#[inline]
fn bytes(n: usize) -> usize {
    n * STEP + STEP / 2
}

/// As large as all pieces of its list.
fn whole(layout: Layout, n: usize) -> Layout {
    // SAFETY: the alignment is that of a layout, and the size is small.
    unsafe { Layout::from_size_align_unchecked(bytes(n), layout.align()) }
}

// SAFETY: pieces come from the system's allocator, or from a list where they were put by dealloc().
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(n) = list(layout) else { return unsafe { System.alloc(layout) } };
        match KEPT.with(|kept| kept.take(n)) {
            Some(piece) => piece,
            None => unsafe { System.alloc(whole(layout, n)) },
        }
    }

    #[inline]
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        if let (Some(n), Some(p)) = (list(layout), NonNull::new(piece.cast()))
            && KEPT.with(|kept| kept.put(n, p))
        {
            return;
        }
        unsafe { System.dealloc(piece, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if list(layout).is_none() {
            return unsafe { System.alloc_zeroed(layout) };
        }
        let piece = unsafe { self.alloc(layout) };
        if !piece.is_null() {
            unsafe { piece.write_bytes(0, layout.size()) };
        }
        piece
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller says that the size is a valid one.
        let larger = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let (from, to) = (list(layout), list(larger));
        if from.is_none() && to.is_none() {
            return unsafe { System.realloc(piece, layout, size) };
        }
        if from == to {
            return piece;
        }
        let moved = unsafe { self.alloc(larger) };
        if !moved.is_null() {
            unsafe {
                moved.copy_from_nonoverlapping(piece, layout.size().min(size));
                self.dealloc(piece, layout);
            }
        }
        moved
    }
}

const _: () = assert!(size_of::<Piece>() <= STEP / 2);
