// SPDX-License-Identifier: Apache-2.0
//! A program with its grants, ready to answer requests.

use super::instance::{Instance, Place};
use super::server::Thread;
use super::shared::{Shared, Slice};
use super::ticker::Lane;
use crate::code::Code;
use crate::err::{Failure, Result};
use crate::ffi::{list, text, variables};
use crate::network::CNetwork;
use crate::outgoing::{Client, Hooks};
use crate::settings::Engine;
use crate::state::{CDir, CLimits, Grants, State};
use crate::stdio::CStream;
use crate::sync::lock;
use crate::throttle;
use std::ffi::{c_char, c_int};
use std::sync::{Arc, Mutex, OnceLock};
use wasmtime::{InstancePre, Store, StoreContextMut, Trap, UpdateDeadline};
use wasmtime_wasi_http::{p2, p3};

/// `struct engine_service_options`.
#[repr(C)]
pub struct ServiceOptions {
    kind: c_int,
    name: *const c_char,
    env: *const *const c_char,
    dirs: *const CDir,
    n_dirs: usize,
    streams: [CStream; 3],
    network: CNetwork,
    limits: CLimits,
    cpu_ns: u64,
    reuse: u32,
}

const HTTP_P2: c_int = 0;
const HTTP_P3: c_int = 1;
const CGI: c_int = 2;

pub enum Target {
    P2(p2::bindings::ProxyPre<State>),
    P3(p3::bindings::ServicePre<State>),
    Cgi(InstancePre<State>),
}

/// An instance that waits for its next request.
pub struct Kept {
    pub instance: Instance,
    pub proxy: Proxy,
    pub answered: u32,
}

pub enum Proxy {
    P2(p2::bindings::Proxy),
    P3(p3::bindings::Service),
}

/// What a service has on each thread. Connections and instances stay where they were made.
#[derive(Default)]
struct Local {
    client: OnceLock<Arc<Client>>,
    kept: Mutex<Vec<Kept>>,
}

pub struct Service {
    pub name: String,
    pub target: Target,
    pub grants: Arc<Grants>,
    pub reuse: u32,
    engine: wasmtime::Engine,
    cpu_ns: u64,
    locals: OnceLock<Vec<Local>>,
}

impl Service {
    /// # Safety
    /// `o` is as serve.h describes it.
    pub unsafe fn new(engine: &Engine, code: &Code, o: &ServiceOptions) -> Result<Self> {
        let name = unsafe { text(o.name, || "the name".into()) }?.to_string();
        let unfit = |e: wasmtime::Error| {
            Failure::new(libc::ENOENT, c"NoSuchExport", format!("it cannot answer: {e:#}"))
        };
        let target = match (o.kind, code) {
            (HTTP_P2, Code::Component(pre)) => {
                Target::P2(p2::bindings::ProxyPre::new(pre.clone()).map_err(unfit)?)
            }
            (HTTP_P3, Code::Component(pre)) => {
                Target::P3(p3::bindings::ServicePre::new(pre.clone()).map_err(unfit)?)
            }
            (CGI, Code::Module(pre)) => Target::Cgi(pre.clone()),
            _ => return Err(Failure::argument("the program is not of the kind that was said")),
        };
        let grants = Arc::new(Grants {
            args: Vec::new(),
            env: unsafe { variables(o.env) }?,
            // SAFETY: serve.h demands `n_dirs` of them.
            dirs: unsafe { list(o.dirs, o.n_dirs) }.to_vec(),
            streams: o.streams,
            network: o.network,
            limits: o.limits,
            blocks_thread: false,
        });
        grants.builder()?;
        let engine = engine.wasmtime.clone();
        let locals = OnceLock::new();
        let reuse = o.reuse.max(1);
        Ok(Self { name, target, grants, reuse, engine, cpu_ns: o.cpu_ns, locals })
    }

    pub fn is_cgi(&self) -> bool {
        matches!(self.target, Target::Cgi(_))
    }

    fn local(&self, thread: &Thread) -> &Local {
        let locals = self
            .locals
            .get_or_init(|| (0..thread.server.threads).map(|_| Local::default()).collect());
        &locals[thread.index]
    }

    /// A store for one instance.
    pub fn store(&self, thread: &Thread) -> wasmtime::Result<Store<State>> {
        if !self.grants.dirs.is_empty() {
            return self.store_with(thread, |_| ());
        }
        let (hooks, gauge) = (self.hooks(thread), thread.gauge.clone());
        Ok(self.store_of(State::without_context(&self.grants, hooks, gauge)))
    }

    /// The same; `adjust` adds what only this request has.
    pub fn store_with(
        &self,
        thread: &Thread,
        adjust: impl FnOnce(&mut wasmtime_wasi::WasiCtxBuilder),
    ) -> wasmtime::Result<Store<State>> {
        let mut builder = self.grants.builder().map_err(|f| wasmtime::format_err!("{}", f.text))?;
        adjust(&mut builder);
        let (hooks, gauge) = (self.hooks(thread), thread.gauge.clone());
        Ok(self.store_of(State::new(&self.grants, builder.build_p1(), hooks, gauge)))
    }

    fn store_of(&self, state: State) -> Store<State> {
        let mut store = Store::new(&self.engine, state);
        store.limiter_async(|s| s);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(on_epoch);
        store
    }

    fn hooks(&self, thread: &Thread) -> Hooks {
        let local = self.local(thread);
        let client = match self.target {
            Target::Cgi(_) => None,
            _ => Some(
                local.client.get_or_init(|| Arc::new(Client::new(self.grants.network))).clone(),
            ),
        };
        Hooks::new(self.grants.network, client)
    }

    pub fn slice(&self, shared: &Arc<Shared>, lane: &Arc<Lane>) -> Slice {
        Slice { shared: shared.clone(), lane: lane.clone(), cpu_ns: self.cpu_ns }
    }

    /// An instance that was kept, or the place for a new one back.
    pub fn take_kept(&self, thread: &Thread, place: Place) -> std::result::Result<Kept, Place> {
        if self.reuse == 1 {
            return Err(place);
        }
        let Some(mut kept) = lock(&self.local(thread).kept).pop() else { return Err(place) };
        kept.instance.set_place(place);
        kept.instance.data_mut().limiter.begin_again();
        Ok(kept)
    }

    pub fn keep(&self, thread: &Thread, mut kept: Kept) {
        if kept.answered < self.reuse
            && let Ok(place) = thread.server.kept.clone().try_acquire_owned()
        {
            kept.instance.data_mut().slice = None;
            kept.instance.set_place(place);
            lock(&self.local(thread).kept).push(kept);
        }
    }
}

/// A guest that has run for a whole slice lets the others go on, and is ended past its limit.
fn on_epoch(store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    if throttle::is_used_up() {
        throttle::wait_here();
    }
    let Some(slice) = &store.data().slice else { return Ok(UpdateDeadline::Continue(1)) };
    if slice.is_used_up() {
        return Err(Trap::Interrupt.into());
    }
    if slice.is_first() {
        return Ok(UpdateDeadline::Continue(1));
    }
    let lane = slice.lane.clone();
    Ok(UpdateDeadline::YieldCustom(1, Box::pin(lane.turn())))
}
