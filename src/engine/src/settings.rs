// SPDX-License-Identifier: Apache-2.0
//! How Wasmtime is set up, and the text that names it in cache keys.

use crate::err::{Failure, Result};
use crate::ffi::saturated;
use crate::giveback;
use crate::linkers;
use crate::state::State;
use std::ffi::{CStr, c_int};
use std::sync::OnceLock;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

pub const VERSION: &CStr = c"48.0.8";

/// What is linked and how it is set: raise it when `config()` changes what compiled code is like.
const SETTINGS_REVISION: u32 = 3;

/// Native stack of a guest, and the part of it that WebAssembly frames may use; the rest is for
/// host functions that the guest calls.
const STACK_BYTES: usize = 2 << 20;
const WASM_STACK_BYTES: usize = 1 << 20;

/// Of one table; those of interpreters have tens of thousands.
const TABLE_ELEMENTS: usize = 100_000;

/// What a pool slot keeps of a memory that was written; it is cleared by hand.
const KEEP_RESIDENT_BYTES: usize = 8 << 20;

/// Slots that keep the image of a program though no guest is in them.
const WARM_SLOTS: u32 = 32;

/// `struct engine_options`.
#[repr(C)]
pub struct EngineOptions {
    allocation: c_int,
    is_interruptible: bool,
    is_concurrent: bool,
    has_compiler: bool,
    pool_slots: u32,
    pool_memory_limit_bytes: u64,
}

const POOLING: c_int = 1;

pub struct Engine {
    pub wasmtime: wasmtime::Engine,
    pub is_interruptible: bool,
    modules: OnceLock<wasmtime::Linker<State>>,
    components: [OnceLock<wasmtime::component::Linker<State>>; 2],
}

/// What decides the machine code: the same for the process that compiles and the one that runs.
pub fn config(is_interruptible: bool, is_concurrent: bool) -> Config {
    let mut c = Config::new();
    c.epoch_interruption(is_interruptible);
    c.async_stack_size(STACK_BYTES);
    c.max_wasm_stack(WASM_STACK_BYTES);
    c.concurrency_support(is_concurrent);
    c.wasm_component_model_async(is_concurrent);
    c.wasm_exceptions(true);
    c
}

impl Engine {
    pub fn open(o: &EngineOptions) -> Result<Self> {
        let mut c = config(o.is_interruptible, o.is_concurrent);
        if !o.has_compiler {
            c.enable_compiler(false);
        }
        // Where guests share a process; see giveback.rs.
        c.coredump_on_trap(o.is_interruptible);
        if o.allocation == POOLING {
            c.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(o)));
        }
        let wasmtime = wasmtime::Engine::new(&c).map_err(|e| {
            Failure::new(
                libc::ENOTSUP,
                c"EngineUnusable",
                format!("the engine cannot start: {e:#}"),
            )
        })?;
        if o.is_interruptible {
            giveback::prepare(&wasmtime, o.is_concurrent);
        }
        if o.is_interruptible && o.allocation == POOLING {
            crate::serve::watch(&wasmtime);
        }
        Ok(Self {
            wasmtime,
            is_interruptible: o.is_interruptible,
            modules: OnceLock::new(),
            components: [OnceLock::new(), OnceLock::new()],
        })
    }

    /// The host functions for modules, made when first needed.
    pub fn module_linker(&self) -> Result<&wasmtime::Linker<State>> {
        if let Some(l) = self.modules.get() {
            return Ok(l);
        }
        let made = linkers::for_modules(&self.wasmtime).map_err(unlinkable)?;
        Ok(self.modules.get_or_init(|| made))
    }

    /// The host interfaces for components; WASI 0.3 only where it is asked for, because building
    /// the tables takes a noticeable part of a short run.
    pub fn component_linker(&self, p3: bool) -> Result<&wasmtime::component::Linker<State>> {
        let slot = &self.components[usize::from(p3)];
        if let Some(l) = slot.get() {
            return Ok(l);
        }
        let made = linkers::for_components(&self.wasmtime, p3).map_err(unlinkable)?;
        Ok(slot.get_or_init(|| made))
    }
}

fn unlinkable(e: wasmtime::Error) -> Failure {
    Failure::new(libc::EFAULT, c"EngineBug", format!("the engine's own interfaces clash: {e:#}"))
}

fn pool(o: &EngineOptions) -> PoolingAllocationConfig {
    let mut p = PoolingAllocationConfig::new();
    let each = |n: u32| o.pool_slots.saturating_mul(n);
    // A slot is one guest. Most have one memory, a few modules, and a stack for each call into them;
    // what only counts costs nothing, tables cost address space.
    p.total_component_instances(each(1));
    p.total_core_instances(each(16));
    p.total_memories(each(1));
    p.total_gc_heaps(each(1));
    p.total_tables(each(4));
    p.table_elements(TABLE_ELEMENTS);
    // Each stack costs a system call at the start.
    p.total_stacks(each(if o.is_concurrent { 2 } else { 1 }));
    p.max_unused_warm_slots(WARM_SLOTS);
    p.max_memory_size(saturated(o.pool_memory_limit_bytes));
    p.linear_memory_keep_resident(KEEP_RESIDENT_BYTES);
    p.table_keep_resident(16 << 10);
    p.pagemap_scan(Enabled::Auto);
    p
}

/// One line that changes whenever compiled code may no longer fit.
pub fn describe(is_interruptible: bool, is_concurrent: bool) -> String {
    let mut text = format!(
        "wasmtime {} settings {SETTINGS_REVISION} {} {}{}",
        VERSION.to_str().unwrap_or_default(),
        std::env::consts::ARCH,
        if is_interruptible { "interruptible" } else { "plain" },
        if is_concurrent { " concurrent" } else { "" },
    );
    for (name, present) in cpu_features() {
        if present {
            text.push(' ');
            text.push_str(name);
        }
    }
    text
}

/// The features that the compiler makes use of when the CPU has them.
#[cfg(target_arch = "x86_64")]
fn cpu_features() -> impl Iterator<Item = (&'static str, bool)> {
    macro_rules! features {
        ($($name:tt)*) => { [$(($name, std::is_x86_feature_detected!($name))),*] };
    }
    features!("sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1" "bmi2" "lzcnt"
              "avx512bitalg" "avx512dq" "avx512f" "avx512vl" "avx512vbmi" "cmpxchg16b")
    .into_iter()
}

#[cfg(target_arch = "aarch64")]
fn cpu_features() -> impl Iterator<Item = (&'static str, bool)> {
    macro_rules! features {
        ($($name:tt)*) => { [$(($name, std::arch::is_aarch64_feature_detected!($name))),*] };
    }
    features!("lse" "paca" "fp16").into_iter()
}
