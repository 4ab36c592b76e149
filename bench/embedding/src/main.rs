// SPDX-License-Identifier: Apache-2.0
//! What somebody would write who embeds Wasmtime in Rust without wherry: the same Config as
//! src/engine/src/settings.rs, imports resolved once, a store and a WASI context per instance, a
//! current-thread runtime per thread. `embedding FILE.wasm on-demand|pooling THREADS N` measures
//! instantiate + call + drop; bench/instantiate.c prints the same line for engine.h.
//!
//! Less than the engine does, which makes it the harder peer: no limits, no figures, no way to stop
//! a guest.

use std::sync::Barrier;
use std::time::Instant;
use wasmtime::component::{Component, Linker as ComponentLinker, ResourceTable};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module,
    PoolingAllocationConfig, Result, Store,
};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

const POOL_SLOTS: u32 = 64;
const POOL_MEMORY_LIMIT_BYTES: usize = 64 << 20;
const WARM_UP: u32 = 200;

struct ComponentState {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for ComponentState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

enum Code {
    Module(InstancePre<WasiP1Ctx>),
    Component(CommandPre<ComponentState>),
}

fn config(pooling: bool) -> Config {
    let mut c = Config::new();
    c.epoch_interruption(pooling); // as in a worker that several guests share
    c.async_stack_size(2 << 20);
    c.max_wasm_stack(1 << 20);
    c.wasm_component_model_async(true);
    c.wasm_exceptions(true);
    if pooling {
        let mut p = PoolingAllocationConfig::new();
        p.total_component_instances(POOL_SLOTS);
        p.total_core_instances(POOL_SLOTS);
        p.total_memories(POOL_SLOTS);
        p.total_tables(POOL_SLOTS);
        p.total_stacks(POOL_SLOTS);
        p.max_memory_size(POOL_MEMORY_LIMIT_BYTES);
        p.linear_memory_keep_resident(64 << 10);
        p.table_keep_resident(16 << 10);
        c.allocation_strategy(InstanceAllocationStrategy::Pooling(p));
    }
    c
}

/// Compiles into a file and maps that, as the engine does, so that memory images are alike.
fn open(engine: &Engine, path: &str) -> Result<Code> {
    let bytes = std::fs::read(path)?;
    let cached = std::env::temp_dir().join(format!("embedding-{}.cwasm", std::process::id()));
    let code = if wasmparser::Parser::is_component(&bytes) {
        std::fs::write(&cached, engine.precompile_component(&bytes)?)?;
        let component = unsafe { Component::deserialize_file(engine, &cached) }?;
        let mut linker = ComponentLinker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        Code::Component(CommandPre::new(linker.instantiate_pre(&component)?)?)
    } else {
        std::fs::write(&cached, engine.precompile_module(&bytes)?)?;
        let module = unsafe { Module::deserialize_file(engine, &cached) }?;
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p1::add_to_linker_async(&mut linker, |s: &mut WasiP1Ctx| s)?;
        Code::Module(linker.instantiate_pre(&module)?)
    };
    std::fs::remove_file(&cached)?;
    Ok(code)
}

async fn once(engine: &Engine, code: &Code) -> Result<()> {
    let mut wasi = WasiCtxBuilder::new(); // empty input, output swallowed
    wasi.allow_blocking_current_thread(true);
    match code {
        Code::Module(pre) => {
            let mut store = Store::new(engine, wasi.build_p1());
            store.set_epoch_deadline(1);
            let instance = pre.instantiate_async(&mut store).await?;
            if let Ok(init) = instance.get_typed_func::<(), ()>(&mut store, "_initialize") {
                init.call_async(&mut store, ()).await?;
            }
            let nop = instance.get_typed_func::<(), ()>(&mut store, "nop")?;
            nop.call_async(&mut store, ()).await
        }
        Code::Component(pre) => {
            wasi.arg("hello");
            let state = ComponentState { wasi: wasi.build(), table: ResourceTable::new() };
            let mut store = Store::new(engine, state);
            store.set_epoch_deadline(1);
            let command = pre.instantiate_async(&mut store).await?;
            command.wasi_cli_run().call_run(&mut store).await?.expect("hello succeeds");
            Ok(())
        }
    }
}

/// Of the calling thread: the process's clock lags behind for threads that are running.
fn cpu_us() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 * 1e6 + t.tv_nsec as f64 / 1e3
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, path, allocation, threads, n] = &args[..] else {
        eprintln!("usage: embedding FILE.wasm on-demand|pooling THREADS N");
        std::process::exit(2);
    };
    let (threads, n): (u32, u32) = (threads.parse()?, n.parse()?);
    let engine = Engine::new(&config(allocation == "pooling"))?;
    let code = open(&engine, path)?;
    let all_warm = Barrier::new(threads as usize);
    let measure = || {
        let mut b = tokio::runtime::Builder::new_current_thread();
        let runtime = b.enable_all().build().expect("a runtime");
        let repeat = |n| {
            for _ in 0..n {
                runtime.block_on(once(&engine, &code)).expect("an iteration");
            }
        };
        repeat(WARM_UP);
        all_warm.wait();
        let (cpu, wall) = (cpu_us(), Instant::now());
        repeat(n);
        (cpu_us() - cpu, wall.elapsed().as_secs_f64() * 1e6)
    };
    let (cpu, wall) = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(measure)).collect();
        let taken = all.into_iter().map(|t| t.join().expect("a thread"));
        taken.fold((0.0, 0.0), |sum, t| (sum.0 + t.0, sum.1 + t.1))
    });
    let each = f64::from(n) * f64::from(threads);
    println!("cpu_us={:.3} wall_us={:.3} threads={threads} n={n}", cpu / each, wall / each);
    Ok(())
}
