// SPDX-License-Identifier: Apache-2.0
//! One guest: its state, its limits, its run and its end.

use crate::Figures;
use crate::code::Code;
use crate::err::{Failure, Result, copy_text};
use crate::ffi::{list, text, texts, variables};
use crate::giveback::give_back;
use crate::invoke::{self, Called, ComponentExport, ModuleFunction};
use crate::network::CNetwork;
use crate::outgoing::Hooks;
use crate::settings::Engine;
use crate::state::{CDir, CLimits, Gauge, Grants, State};
use crate::stdio::CStream;
use crate::throttle;
use crate::trap;
use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use tokio::sync::Notify;
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

/// `struct engine_guest_options`.
#[repr(C)]
pub struct GuestOptions {
    name: *const c_char,
    args: *const *const c_char,
    env: *const *const c_char,
    dirs: *const CDir,
    n_dirs: usize,
    streams: [CStream; 3],
    network: CNetwork,
    limits: CLimits,
    invoke: *const c_char,
    is_last: bool,
    on_result_ctx: *mut c_void,
    on_result: Option<unsafe extern "C" fn(*mut c_void, *const c_char, usize)>,
}

/// `struct engine_outcome`.
#[repr(C)]
pub struct Outcome {
    end: c_int,
    exit_code: u32,
    memory_refused: bool,
    limit_reached: bool,
    trap: [c_char; 48],
    detail: [c_char; 4048],
}

const EXITED: c_int = 0;
const TRAPPED: c_int = 1;
const STOPPED: c_int = 2;

/// The part of a guest that other threads see.
pub struct Control {
    code: Arc<Code>,
    stopped: AtomicBool,
    wake: Notify,
    gauge: Arc<Gauge>,
    calls: AtomicU64,
}

impl Control {
    pub fn stop(&self) {
        self.stopped.store(true, Release);
        self.wake.notify_one();
        self.code.engine().increment_epoch();
    }

    pub fn figures(&self) -> Figures {
        Figures {
            memory_bytes: self.gauge.memory.load(Relaxed),
            memory_peak_bytes: self.gauge.memory_peak.load(Relaxed),
            calls: self.calls.load(Relaxed),
        }
    }
}

/// Which export runs.
enum Entry {
    Command,
    ModuleExport(ModuleFunction),
    ComponentExport(ComponentExport),
}

/// The store and the rest are touched by the running thread only, `control` by any.
pub struct Guest {
    control: Arc<Control>,
    name: String,
    store: Option<Store<State>>,
    entry: Entry,
    is_last: bool,
    args: Vec<String>,
    on_result: (*mut c_void, Option<unsafe extern "C" fn(*mut c_void, *const c_char, usize)>),
}

impl Guest {
    /// # Safety
    /// `o` is as engine.h describes it.
    pub unsafe fn new(engine: &Engine, code: Arc<Code>, o: &GuestOptions) -> Result<Self> {
        let name = unsafe { text(o.name, || "the name".into()) }?;
        let invoke = unsafe { text(o.invoke, || "the name of the export".into()) }?;
        let entry = match (invoke, &*code) {
            ("", _) => Entry::Command,
            (f, Code::Module(pre)) => Entry::ModuleExport(ModuleFunction::find(pre.module(), f)?),
            (f, Code::Component(pre)) => {
                Entry::ComponentExport(invoke::find_component(pre.component(), f)?)
            }
        };

        let args: Vec<_> =
            unsafe { texts(o.args, "argument") }?.iter().map(ToString::to_string).collect();
        let is_command = matches!(entry, Entry::Command);
        let grants = Grants {
            args: if is_command { args.clone() } else { Vec::new() },
            env: unsafe { variables(o.env) }?,
            // SAFETY: engine.h demands `n_dirs` of them.
            dirs: unsafe { list(o.dirs, o.n_dirs) }.to_vec(),
            streams: o.streams,
            network: o.network,
            limits: o.limits,
            blocks_thread: !engine.is_interruptible,
        };
        let wasi = grants.builder()?.build_p1();
        let gauge = Arc::new(Gauge::default());
        let control = Arc::new(Control {
            code,
            stopped: AtomicBool::new(false),
            wake: Notify::new(),
            gauge: gauge.clone(),
            calls: AtomicU64::new(0),
        });
        let hooks = Hooks::new(o.network, None);
        let mut store = Store::new(&engine.wasmtime, State::new(&grants, wasi, hooks, gauge));
        store.limiter(|s| &mut s.limiter);
        if engine.is_interruptible {
            // The epoch moves only when some guest is to stop or to wait; the others go on.
            store.set_epoch_deadline(1);
            let control = control.clone();
            store.epoch_deadline_callback(move |_| {
                if control.stopped.load(Acquire) {
                    Err(Trap::Interrupt.into())
                } else if throttle::is_used_up() {
                    Ok(UpdateDeadline::YieldCustom(1, Box::pin(throttle::wait())))
                } else {
                    Ok(UpdateDeadline::Continue(1))
                }
            });
        }
        Ok(Self {
            control,
            name: name.to_string(),
            store: Some(store),
            entry,
            is_last: o.is_last,
            args,
            on_result: (o.on_result_ctx, o.on_result),
        })
    }

    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Runs to the end on this thread.
    pub fn run(&mut self, out: &mut Outcome) -> Result<()> {
        let mut store = self
            .store
            .take()
            .ok_or_else(|| Failure::new(libc::EINVAL, c"EngineBug", "a guest can run only once"))?;
        let ended = with_runtime(async {
            let stop = self.control.wake.notified();
            let run = self.execute(&mut store);
            tokio::select! {
                biased;
                () = stop => Ok(None),
                called = run => called.map(Some),
            }
        })??;
        let refused = store.data().limiter.memory_refused;
        if self.is_last {
            std::mem::forget(store);
        } else {
            give_back(&mut store);
        }
        self.tell(ended, refused, out);
        Ok(())
    }

    async fn execute(&self, store: &mut Store<State>) -> Result<Called> {
        let called = match &*self.control.code {
            Code::Module(pre) => {
                let instance = match pre.instantiate_async(&mut *store).await {
                    Ok(i) => i,
                    Err(e) => return Ok(Called::Trapped(e)),
                };
                if let Entry::ModuleExport(export) = &self.entry {
                    export.call(&mut *store, &instance, &self.args).await?
                } else {
                    let start = instance.get_func(&mut *store, "_start");
                    let start = start.ok_or_else(|| missing("_start"))?;
                    invoke::call_module(&mut *store, start, &[]).await?
                }
            }
            Code::Component(pre) => {
                let instance = match pre.instantiate_async(&mut *store).await {
                    Ok(i) => i,
                    Err(e) => return Ok(Called::Trapped(e)),
                };
                match &self.entry {
                    Entry::ComponentExport(export) => {
                        let func = export
                            .get(&mut *store, &instance)
                            .ok_or_else(|| missing("the export"))?;
                        invoke::call_component(&mut *store, func, &self.args).await?
                    }
                    _ => run_command(store, &instance).await?,
                }
            }
        };
        self.control.calls.fetch_add(1, Relaxed);
        if let (Called::Results(text), (ctx, Some(call)), false) =
            (&called, self.on_result, matches!(self.entry, Entry::Command))
        {
            // SAFETY: C gave the function for this.
            unsafe { call(ctx, text.as_ptr().cast(), text.len()) };
        }
        Ok(called)
    }

    /// Fills the outcome in place: its texts are large and mostly empty.
    fn tell(&self, ended: Option<Called>, memory_refused: bool, out: &mut Outcome) {
        out.end = EXITED;
        out.exit_code = 0;
        out.memory_refused = memory_refused;
        out.limit_reached = false;
        out.trap[0] = 0;
        out.detail[0] = 0;
        let error = match ended {
            None => {
                out.end = STOPPED;
                return;
            }
            Some(Called::Results(_)) => return,
            Some(Called::Trapped(e)) => e,
        };
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            out.exit_code = exit.0 as u32;
            return;
        }
        if self.control.stopped.load(Acquire) {
            out.end = STOPPED;
            return;
        }
        out.end = TRAPPED;
        let (name, detail, limit) = trap::describe(&error, &self.name);
        out.limit_reached = limit;
        copy_text(&name, &mut out.trap);
        copy_text(&detail, &mut out.detail);
    }
}

fn missing(what: &str) -> Failure {
    Failure::new(libc::ENOENT, c"NoSuchExport", format!("it does not export {what}"))
}

/// Calls wasi:cli/run of either version; an `err` result is exit code 1.
async fn run_command(
    store: &mut Store<State>,
    instance: &wasmtime::component::Instance,
) -> Result<Called> {
    let result = if let Ok(c) = wasmtime_wasi::p3::bindings::Command::new(&mut *store, instance) {
        store
            .run_concurrent(async |store| c.wasi_cli_run().call_run(store).await)
            .await
            .and_then(|inner| inner)
    } else {
        let c = wasmtime_wasi::p2::bindings::Command::new(&mut *store, instance)
            .map_err(|_| missing("wasi:cli/run"))?;
        c.wasi_cli_run().call_run(&mut *store).await
    };
    Ok(match result {
        Ok(Ok(())) => Called::Results(String::new()),
        Ok(Err(())) => Called::Trapped(I32Exit(1).into()),
        Err(e) => Called::Trapped(e),
    })
}

/// A runtime per thread, kept for the thread's next guest. Whoever ends the thread does not wait
/// for file calls that were left behind.
struct KeptRuntime(Option<tokio::runtime::Runtime>);

impl Drop for KeptRuntime {
    fn drop(&mut self) {
        if let Some(r) = self.0.take() {
            r.shutdown_background();
        }
    }
}

fn with_runtime<F: Future>(future: F) -> Result<F::Output> {
    thread_local! {
        static RUNTIME: std::io::Result<KeptRuntime> =
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map(|r| KeptRuntime(Some(r)));
    }
    RUNTIME.with(|r| match r {
        Ok(KeptRuntime(Some(r))) => Ok(r.block_on(future)),
        Ok(KeptRuntime(None)) => unreachable!("it is taken when the thread ends"),
        Err(e) => Err(Failure::new(
            e.raw_os_error().unwrap_or(libc::EIO),
            c"EngineUnusable",
            format!("cannot make an event loop for the guest: {e}"),
        )),
    })
}
