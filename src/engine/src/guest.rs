// SPDX-License-Identifier: Apache-2.0
//! One guest: its state, its limits, its run and its end.

use crate::Figures;
use crate::code::Code;
use crate::err::{Failure, Result, copy_text};
use crate::invoke::{self, Called, ComponentExport, ModuleFunction};
use crate::network::{CNetwork, Names};
use crate::settings::Engine;
use crate::stdio::{CStream, Input, Output};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt::Write as _;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder, WasiCtxView, WasiView};

/// `struct engine_dir`.
#[repr(C)]
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
    memory: AtomicU64,
    memory_peak: AtomicU64,
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
            memory_bytes: self.memory.load(Relaxed),
            memory_peak_bytes: self.memory_peak.load(Relaxed),
            calls: self.calls.load(Relaxed),
        }
    }
}

/// What the store of a guest holds.
pub struct State {
    pub wasi: WasiP1Ctx,
    pub names: Names,
    limiter: Limiter,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.ctx()
    }
}

/// Counts what all instances of the guest use together.
struct Limiter {
    limits: CLimits,
    control: Arc<Control>,
    table_elements: u64,
    memory_refused: bool,
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
        let total = self.control.memory.load(Relaxed) + (desired - current) as u64;
        if total > self.limits.memory_bytes {
            self.memory_refused = true;
            return Ok(false);
        }
        self.control.memory.store(total, Relaxed);
        self.control.memory_peak.fetch_max(total, Relaxed);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.table_elements + (desired - current) as u64;
        if maximum.is_some_and(|m| desired > m) || total > self.limits.table_elements {
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        saturated(self.limits.instances)
    }
    fn tables(&self) -> usize {
        saturated(self.limits.tables)
    }
    fn memories(&self) -> usize {
        saturated(self.limits.memories)
    }
}

fn saturated(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
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

/// # Safety
/// `p` is NULL or a NUL-terminated string.
unsafe fn text<'a>(p: *const c_char, what: impl FnOnce() -> String) -> Result<&'a str> {
    if p.is_null() {
        return Ok("");
    }
    unsafe { CStr::from_ptr(p) }
        .to_str()
        .map_err(|_| Failure::argument(format!("{} is not valid UTF-8", what())))
}

/// # Safety
/// `list` is NULL or an array of strings that a NULL ends.
unsafe fn texts<'a>(list: *const *const c_char, what: &str) -> Result<Vec<&'a str>> {
    let mut out = Vec::new();
    if list.is_null() {
        return Ok(out);
    }
    for i in 0.. {
        let p = unsafe { *list.add(i) };
        if p.is_null() {
            break;
        }
        out.push(unsafe { text(p, || format!("{what} {i}")) }?);
    }
    Ok(out)
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
    let _held = WORKING_DIRECTORY.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: plain system call.
    if unsafe { libc::fchdir(dir.fd) } < 0 {
        return Err(failed(std::io::Error::last_os_error()));
    }
    let perms = if dir.is_read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
    b.preopened_dir(".", guest_path, perms)
        .map_err(|e| failed(e.downcast().unwrap_or_else(std::io::Error::other)))?;
    Ok(())
}

impl Guest {
    /// # Safety
    /// `o` is as engine.h describes it.
    pub unsafe fn new(engine: &Engine, code: Arc<Code>, o: &GuestOptions) -> Result<Self> {
        let args = unsafe { texts(o.args, "argument") }?;
        let env = unsafe { texts(o.env, "environment variable") }?;
        let name = unsafe { text(o.name, || "the name".into()) }?;
        let invoke = unsafe { text(o.invoke, || "the name of the export".into()) }?;
        let entry = match (invoke, &*code) {
            ("", _) => Entry::Command,
            (f, Code::Module(pre)) => Entry::ModuleExport(ModuleFunction::find(pre.module(), f)?),
            (f, Code::Component(pre)) => {
                Entry::ComponentExport(invoke::find_component(pre.component(), f)?)
            }
        };

        let mut b = WasiCtxBuilder::new();
        // File calls on the guest's own thread are quicker, but with them the stock poll_oneoff
        // sleeps on it too, and neither can be stopped. Where guests share a process they run on
        // helper threads, and a stop leaves those behind.
        b.allow_blocking_current_thread(!engine.is_interruptible);
        // The stock streams are what a stream that goes nowhere has to be.
        let [stdin, stdout, stderr] = o.streams;
        if stdin.is_connected() {
            b.stdin(Input::new(stdin));
        }
        if stdout.is_connected() {
            b.stdout(Output::new(stdout));
        }
        if stderr.is_connected() {
            b.stderr(Output::new(stderr));
        }
        if matches!(entry, Entry::Command) {
            b.args(&args);
        }
        for variable in env {
            let (k, v) = variable.split_once('=').unwrap_or((variable, ""));
            b.env(k, v);
        }
        for i in 0..o.n_dirs {
            // SAFETY: engine.h demands `n_dirs` of them.
            add_dir(&mut b, unsafe { &*o.dirs.add(i) })?;
        }
        let network = o.network;
        b.socket_addr_check(move |addr, reason| {
            let allowed = network.may_use(addr, reason);
            Box::pin(std::future::ready(allowed))
        });
        b.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(true);

        let control = Arc::new(Control {
            code,
            stopped: AtomicBool::new(false),
            wake: Notify::new(),
            memory: AtomicU64::new(0),
            memory_peak: AtomicU64::new(0),
            calls: AtomicU64::new(0),
        });
        let mut wasi = b.build_p1();
        wasi.ctx().table.set_max_capacity(saturated(o.limits.descriptors));
        let limiter = Limiter {
            limits: o.limits,
            control: control.clone(),
            table_elements: 0,
            memory_refused: false,
        };
        let names = Names::new(o.network);
        let mut store = Store::new(&engine.wasmtime, State { wasi, names, limiter });
        store.limiter(|s| &mut s.limiter);
        if engine.is_interruptible {
            // The epoch moves only when some guest is to stop; the others go on.
            store.set_epoch_deadline(1);
            let control = control.clone();
            store.epoch_deadline_callback(move |_| {
                if control.stopped.load(Acquire) {
                    Err(Trap::Interrupt.into())
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
            args: args.iter().map(ToString::to_string).collect(),
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
        let (name, sentence, limit) = classify(&error);
        out.limit_reached = limit;
        copy_text(&name, &mut out.trap);
        copy_text(&(sentence + &backtrace(&error, &self.name)), &mut out.detail);
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

/// The stable name of a trap, its sentence, and whether a limit of ours caused it.
fn classify(e: &wasmtime::Error) -> (String, String, bool) {
    if let Some(t) = e.downcast_ref::<Trap>() {
        let name = match t {
            Trap::UnreachableCodeReached => "Unreachable".to_string(),
            other => format!("{other:?}"),
        };
        let text = t.to_string();
        return (name, text.strip_prefix("wasm trap: ").unwrap_or(&text).to_string(), false);
    }
    let root = e.root_cause().to_string();
    if e.downcast_ref::<wasmtime::component::ResourceTableError>().is_some() {
        let text = "the guest holds more descriptors than its limit allows".to_string();
        return ("DescriptorLimit".to_string(), text, true);
    }
    if root.contains("exceeds memory limits") {
        return ("MemoryLimit".to_string(), root, true);
    }
    if root.contains("resource limit exceeded") || root.contains("exceeds table limits") {
        return ("ResourceLimit".to_string(), root, true);
    }
    ("HostError".to_string(), root, false)
}

fn backtrace(e: &wasmtime::Error, name: &str) -> String {
    let mut out = String::new();
    let Some(trace) = e.downcast_ref::<WasmBacktrace>() else { return out };
    for frame in trace.frames().iter().take(16) {
        let module = frame.module().name().unwrap_or(name).to_string();
        let function = match frame.func_name() {
            Some(f) => f.to_string(),
            None => format!("function {}", frame.func_index()),
        };
        let offset = frame.module_offset().unwrap_or(0);
        let _ = write!(out, "\n    at {function} ({module}+{offset:#x})");
    }
    let more = trace.frames().len().saturating_sub(16);
    if more > 0 {
        let _ = write!(out, "\n    and {more} more");
    }
    out
}
