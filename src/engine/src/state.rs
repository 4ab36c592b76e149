// SPDX-License-Identifier: Apache-2.0
//! What the store of a guest holds: its WASI context, what it was granted, and what it uses of it.

use crate::err::{Failure, Result};
use crate::ffi::{saturated, text};
use crate::network::{CNetwork, Names};
use crate::outgoing::Hooks;
use crate::serve::shared::Slice;
use crate::stdio::{CStream, Input, Output};
use crate::sync::lock;
use std::ffi::{c_char, c_int};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// `struct engine_dir`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CDir {
    fd: c_int,
    guest_path: *const c_char,
    is_read_only: bool,
}

/// `struct engine_limits`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CLimits {
    memory_bytes: u64,
    table_elements: u64,
    tables: u64,
    memories: u64,
    instances: u64,
    descriptors: u64,
}

/// What a guest may have, as C said it.
pub struct Grants {
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub dirs: Vec<CDir>,
    pub streams: [CStream; 3],
    pub network: CNetwork,
    pub limits: CLimits,
    /// File calls on the guest's own thread are quicker, but with them the stock poll_oneoff
    /// sleeps on it too, and neither can be stopped. Where guests share a process they run on
    /// helper threads, and a stop leaves those behind.
    pub blocks_thread: bool,
}

// SAFETY: the pointers are C's, which keeps them alive; engine.h says which threads follow them.
unsafe impl Send for Grants {}
unsafe impl Sync for Grants {}

/// Linear memory of many guests together; each adds and takes away its own.
#[derive(Default)]
pub struct Gauge {
    pub memory: AtomicU64,
    pub memory_peak: AtomicU64,
}

/// The WASI context of a guest.
enum Wasi {
    Made(WasiP1Ctx),
    /// Many guests that answer a request need no more of WASI than the resource table.
    Unmade(ResourceTable, Arc<Grants>),
}

impl Wasi {
    fn table(&mut self) -> &mut ResourceTable {
        match self {
            Self::Made(wasi) => wasi.ctx().table,
            Self::Unmade(table, _) => table,
        }
    }

    fn made(&mut self) -> &mut WasiP1Ctx {
        if let Self::Unmade(table, grants) = self {
            let mut wasi = grants.builder_without_dirs().build_p1();
            *wasi.ctx().table = std::mem::take(table);
            *self = Self::Made(wasi);
        }
        match self {
            Self::Made(wasi) => wasi,
            Self::Unmade(..) => unreachable!("it was just made"),
        }
    }
}

pub struct State {
    wasi: Wasi,
    pub names: Names,
    pub http: WasiHttpCtx,
    pub hooks: Hooks,
    pub limiter: Limiter,
    /// Of a guest that answers a request: what its time slices are counted by.
    pub slice: Option<Slice>,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.made().ctx()
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: self.wasi.table(), ctx: &mut self.http }
    }
}

impl State {
    /// The state of a new guest; `gauge` is told of its memory.
    pub fn new(grants: &Grants, wasi: WasiP1Ctx, hooks: Hooks, gauge: Arc<Gauge>) -> Self {
        Self::with(Wasi::Made(wasi), grants, hooks, gauge)
    }

    /// The same, with a WASI context that is made when the guest first needs it.
    pub fn without_context(grants: &Arc<Grants>, hooks: Hooks, gauge: Arc<Gauge>) -> Self {
        Self::with(Wasi::Unmade(ResourceTable::new(), grants.clone()), grants, hooks, gauge)
    }

    fn with(mut wasi: Wasi, grants: &Grants, hooks: Hooks, gauge: Arc<Gauge>) -> Self {
        wasi.table().set_max_capacity(saturated(grants.limits.descriptors));
        Self {
            wasi,
            names: Names::new(grants.network),
            http: WasiHttpCtx::new(),
            hooks,
            limiter: Limiter::new(grants.limits, gauge),
            slice: None,
        }
    }

    /// The guest has ended; nothing of what it held stays open until its memory is cleared.
    pub fn close(&mut self) {
        self.wasi = Wasi::Made(WasiCtxBuilder::new().build_p1());
    }

    pub fn p1(&mut self) -> &mut WasiP1Ctx {
        self.wasi.made()
    }

    pub fn table(&mut self) -> &mut ResourceTable {
        self.wasi.table()
    }
}

impl Grants {
    /// A WASI context with all of this; more may be added to it.
    pub fn builder(&self) -> Result<WasiCtxBuilder> {
        let mut b = self.builder_without_dirs();
        for dir in &self.dirs {
            add_dir(&mut b, dir)?;
        }
        Ok(b)
    }

    /// What cannot fail.
    fn builder_without_dirs(&self) -> WasiCtxBuilder {
        let mut b = WasiCtxBuilder::new();
        b.allow_blocking_current_thread(self.blocks_thread);
        // The stock streams are what a stream that goes nowhere has to be.
        let [stdin, stdout, stderr] = self.streams;
        if stdin.is_connected() {
            b.stdin(Input::new(stdin));
        }
        if stdout.is_connected() {
            b.stdout(Output::new(stdout));
        }
        if stderr.is_connected() {
            b.stderr(Output::new(stderr));
        }
        b.args(&self.args);
        b.envs(&self.env);
        let network = self.network;
        b.socket_addr_check(move |addr, reason| {
            let allowed = network.may_use(addr, reason);
            Box::pin(std::future::ready(allowed))
        });
        b.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(true);
        b
    }
}

/// Counts what all instances of one guest use together.
pub struct Limiter {
    limits: CLimits,
    gauge: Arc<Gauge>,
    memory: u64,
    first_memory: u64, // when it began
    last_turn: u64,    // the memory when it last waited for its turn
    growth: u64,       // the last that was allowed
    pub memory_peak: u64,
    table_elements: u64,
    pub memory_refused: bool,
    has_begun: bool,
    has_ended: bool,
}

/// To fill as much for the first time takes about a time slice.
const TURN_BYTES: u64 = 256 << 10;

impl Limiter {
    fn new(limits: CLimits, gauge: Arc<Gauge>) -> Self {
        Self {
            limits,
            gauge,
            memory: 0,
            first_memory: 0,
            last_turn: 0,
            growth: 0,
            memory_peak: 0,
            table_elements: 0,
            memory_refused: false,
            has_begun: false,
            has_ended: false,
        }
    }

    /// The instance is there, with the memory that it begins with.
    pub fn begin(&mut self) {
        self.first_memory = self.memory;
        self.last_turn = self.memory;
        self.has_begun = true;
    }

    /// Whether it has grown by so much that it has to wait for its turn; asked once each time.
    pub fn is_turn_due(&mut self) -> bool {
        let is_due = self.has_begun && self.memory.saturating_sub(self.last_turn) >= TURN_BYTES;
        if is_due {
            self.last_turn = self.memory;
        }
        is_due
    }

    /// By how much memory has grown since it began.
    pub fn growth_bytes(&self) -> u64 {
        self.memory - self.first_memory
    }

    /// No guest comes any more: what the host adds to the store is not limited.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// For the next request of an instance that is kept.
    pub fn begin_again(&mut self) {
        self.memory_refused = false;
        self.memory_peak = self.memory;
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.gauge.memory.fetch_sub(self.memory, Relaxed);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|m| desired > m) {
            return Ok(false);
        }
        let more = (desired - current) as u64;
        let total = self.memory.checked_add(more).filter(|t| *t <= self.limits.memory_bytes);
        let Some(total) = total else {
            self.memory_refused = true;
            return Ok(false);
        };
        self.memory = total;
        self.growth = more;
        self.memory_peak = self.memory_peak.max(self.memory);
        let all = self.gauge.memory.fetch_add(more, Relaxed) + more;
        self.gauge.memory_peak.fetch_max(all, Relaxed);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add((desired - current) as u64);
        if maximum.is_some_and(|m| desired > m) || total > self.limits.table_elements {
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    /// What was allowed and could not be had is given back.
    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        let growth = std::mem::take(&mut self.growth);
        self.memory -= growth;
        self.gauge.memory.fetch_sub(growth, Relaxed);
        Ok(())
    }

    fn instances(&self) -> usize {
        if self.has_ended { usize::MAX } else { saturated(self.limits.instances) }
    }
    fn tables(&self) -> usize {
        saturated(self.limits.tables)
    }
    fn memories(&self) -> usize {
        saturated(self.limits.memories)
    }
}

/// Adds the folder behind `dir.fd`. The library opens by path only, and /proc may be missing, so
/// the open folder becomes the working directory for a moment; nothing else in the process uses it.
fn add_dir(b: &mut WasiCtxBuilder, dir: &CDir) -> Result<()> {
    static WORKING_DIRECTORY: Mutex<()> = Mutex::new(());

    // SAFETY: engine.h demands a string.
    let guest_path = unsafe { text(dir.guest_path, || "the path of a folder".into()) }?;
    let failed = |e: std::io::Error| {
        let errno = e.raw_os_error().unwrap_or(libc::EIO);
        let text = format!("cannot open the folder for '{guest_path}': {e}");
        Failure::new(errno, c"FolderUnusable", text)
    };
    let _held = lock(&WORKING_DIRECTORY);
    // SAFETY: plain system call.
    if unsafe { libc::fchdir(dir.fd) } < 0 {
        return Err(failed(std::io::Error::last_os_error()));
    }
    let perms = if dir.is_read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
    b.preopened_dir(".", guest_path, perms)
        .map_err(|e| failed(e.downcast().unwrap_or_else(std::io::Error::other)))?;
    Ok(())
}
