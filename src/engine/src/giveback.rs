// SPDX-License-Identifier: Apache-2.0
//! Gives the memory of a guest that has ended back to the system, piece by piece. Until one call
//! has cleared or unmapped all of a large memory, every other guest of the process waits with its
//! own mmap(), because they share an address space; between pieces they have their turn.

use crate::settings::config;
use crate::state::State;
use crate::sync::lock;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use wasmtime::{Engine, EngineWeak, Instance, Memory, Module, Store, WasmCoreDump};

/// Memory that has grown by more than that is worth it.
pub const LARGE_BYTES: u64 = 2 << 20;

/// The system takes a tenth of a millisecond for one.
const PIECE_BYTES: usize = 1 << 20;

/// In epochs, of which there are 10,000 a second at most.
const NEVER: u64 = 1 << 62;

/// (module (func unreachable) (start 0))
const TRAP: &[u8] =
    b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x08\x01\0\x0a\x05\x01\x03\0\0\x0b";

/// Only a core dump names all memories of a store, those within a component too, so one is made: by
/// the last instance in the store, which traps. The dump copies nothing.
struct Trap {
    engine: EngineWeak,
    is_concurrent: bool,
    module: Option<Option<Module>>, // made when first needed
}

static TRAPS: Mutex<Vec<Trap>> = Mutex::new(Vec::new());

/// For an engine whose guests share the process.
pub fn prepare(engine: &Engine, is_concurrent: bool) {
    let mut traps = lock(&TRAPS);
    traps.retain(|t| t.engine.upgrade().is_some());
    traps.push(Trap { engine: engine.weak(), is_concurrent, module: None });
}

/// A part of a guest's memory.
pub struct Piece {
    address: usize,
    length: usize,
}

impl Piece {
    /// Nothing is left of what was written to it.
    ///
    /// # Safety
    /// The store that it is of is still there, and no guest runs in it any more.
    pub unsafe fn give_back(self) {
        // It changes nothing if the system refuses it, as it does where pages are locked.
        unsafe { libc::madvise(self.address as *mut _, self.length, libc::MADV_DONTNEED) };
    }
}

/// Of a store that is to be dropped next, if its memory grew.
pub fn pieces(store: &mut Store<State>) -> Vec<Piece> {
    if store.data().limiter.growth_bytes() <= LARGE_BYTES {
        return Vec::new();
    }
    let mut all = Vec::new();
    for memory in memories(store) {
        let (base, size) = (memory.data_ptr(&*store) as usize, memory.data_size(&*store));
        all.extend(
            (0..size)
                .step_by(PIECE_BYTES)
                .map(|at| Piece { address: base + at, length: PIECE_BYTES.min(size - at) }),
        );
    }
    all
}

/// The store is to be dropped next.
pub fn give_back(store: &mut Store<State>) {
    for piece in pieces(store) {
        // SAFETY: the caller has it, and calls nothing.
        unsafe { piece.give_back() };
    }
}

/// None when the dump cannot be made; then all of it is given back by whoever drops the store.
fn memories(store: &mut Store<State>) -> Vec<Memory> {
    let Some(trap) = trap(store.engine()) else { return Vec::new() };
    store.data_mut().limiter.end();
    store.limiter(|s| &mut s.limiter); // asks it anew
    store.set_epoch_deadline(NEVER); // whatever is to happen to the guest at the next
    let instance = pin!(Instance::new_async(store, &trap, &[]));
    match instance.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(e)) => {
            e.downcast_ref::<WasmCoreDump>().map_or_else(Vec::new, |dump| dump.memories().to_vec())
        }
        _ => Vec::new(),
    }
}

fn trap(engine: &Engine) -> Option<Module> {
    let mut traps = lock(&TRAPS);
    let is_it = |t: &&mut Trap| t.engine.upgrade().is_some_and(|e| Engine::same(&e, engine));
    let t = traps.iter_mut().find(is_it)?;
    t.module.get_or_insert_with(|| compile(engine, t.is_concurrent)).clone()
}

/// Engines that run guests have no compiler.
fn compile(engine: &Engine, is_concurrent: bool) -> Option<Module> {
    let mut c = config(true, is_concurrent);
    c.parallel_compilation(false);
    let code = Engine::new(&c).ok()?.precompile_module(TRAP).ok()?;
    // SAFETY: it was just compiled.
    unsafe { Module::deserialize(engine, code) }.ok()
}
