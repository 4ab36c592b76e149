// SPDX-License-Identifier: Apache-2.0
//! A peer to measure beside: the containerd shim that one gets from runwasi's crates and Wasmtime,
//! both with their defaults. What containers need is all containerd-shimkit's and
//! containerd-shim-wasm's; here is only what they ask an engine for. Programs that are layers of an
//! image are compiled once, by the crates' own cache in containerd's content store.

use std::borrow::Cow;
use std::hash::Hash;
use std::sync::Arc;

use anyhow::{Result, bail};
use containerd_shim_wasm::sandbox::Sandbox;
use containerd_shim_wasm::sandbox::context::{RuntimeContext, WasmBinaryType, WasmLayer};
use containerd_shim_wasm::shim::{Cli, Compiler, Shim, Version, version};
use hyper::server::conn::http1;
use tokio::net::TcpListener;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Module, Precompiled, Store};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

const PORT: u16 = 8080;

struct PeerShim;

struct PeerCompiler(Engine);

#[derive(Default)]
struct PeerSandbox(Engine);

enum Program {
    Module(Module),
    Component(Component),
}

impl Shim for PeerShim {
    type Sandbox = PeerSandbox;

    fn name() -> &'static str {
        "peerwasmtime"
    }

    fn version() -> Version {
        version!()
    }

    async fn compiler() -> Option<impl Compiler> {
        Some(PeerCompiler(Engine::default()))
    }
}

impl Compiler for PeerCompiler {
    fn cache_key(&self) -> impl Hash {
        "wasmtime-48.0.8"
    }

    async fn compile(&self, layers: &[WasmLayer]) -> Result<Vec<Option<Vec<u8>>>> {
        layers
            .iter()
            .map(|layer| match WasmBinaryType::from_bytes(&layer.layer) {
                Some(WasmBinaryType::Module) => Ok(Some(self.0.precompile_module(&layer.layer)?)),
                Some(WasmBinaryType::Component) => {
                    Ok(Some(self.0.precompile_component(&layer.layer)?))
                }
                None => Ok(None),
            })
            .collect()
    }
}

impl Sandbox for PeerSandbox {
    async fn run_wasi(&self, ctx: &impl RuntimeContext) -> Result<i32> {
        let entrypoint = ctx.entrypoint();
        let bytes = entrypoint.source.as_bytes()?;
        let outcome = match self.load(bytes)? {
            Program::Module(module) => self.run_module(ctx, module, &entrypoint.func).await,
            Program::Component(component) if is_server(&self.0, &component) => {
                self.serve(component).await
            }
            Program::Component(component) => self.run_component(ctx, component).await,
        };
        match outcome {
            Ok(()) => Ok(0),
            Err(e) => match e.downcast_ref::<I32Exit>() {
                Some(exit) => Ok(exit.0),
                None => Err(e),
            },
        }
    }
}

impl PeerSandbox {
    fn load(&self, bytes: Cow<[u8]>) -> Result<Program> {
        let engine = &self.0;
        Ok(match Engine::detect_precompiled(&bytes) {
            // The bytes are of PeerCompiler, by way of the daemon's content store.
            Some(Precompiled::Module) => {
                Program::Module(unsafe { Module::deserialize(engine, &bytes) }?)
            }
            Some(Precompiled::Component) => {
                Program::Component(unsafe { Component::deserialize(engine, &bytes) }?)
            }
            None => match WasmBinaryType::from_bytes(&bytes) {
                Some(WasmBinaryType::Module) => Program::Module(Module::new(engine, &bytes)?),
                Some(WasmBinaryType::Component) => {
                    Program::Component(Component::new(engine, &bytes)?)
                }
                None => bail!("neither a module nor a component"),
            },
        })
    }

    async fn run_module(
        &self,
        ctx: &impl RuntimeContext,
        module: Module,
        function: &str,
    ) -> Result<()> {
        let mut linker = wasmtime::Linker::new(&self.0);
        p1::add_to_linker_async(&mut linker, |ctx: &mut WasiP1Ctx| ctx)?;
        let mut store = Store::new(&self.0, wasi(ctx).build_p1());
        let instance = linker.instantiate_async(&mut store, &module).await?;
        let function = instance.get_typed_func::<(), ()>(&mut store, function)?;
        Ok(function.call_async(&mut store, ()).await?)
    }

    async fn run_component(&self, ctx: &impl RuntimeContext, component: Component) -> Result<()> {
        let mut linker = Linker::new(&self.0);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        let mut store = Store::new(&self.0, State::new(wasi(ctx).build()));
        let command = Command::instantiate_async(&mut store, &component, &linker).await?;
        match command.wasi_cli_run().call_run(&mut store).await? {
            Ok(()) => Ok(()),
            Err(()) => Err(I32Exit(1).into()),
        }
    }

    async fn serve(&self, component: Component) -> Result<()> {
        let mut linker = Linker::new(&self.0);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        let pre = Arc::new(ProxyPre::new(linker.instantiate_pre(&component)?)?);
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        loop {
            let (client, _) = listener.accept().await?;
            let pre = pre.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |r| handle(pre.clone(), r));
                if let Err(e) = http1::Builder::new()
                    .serve_connection(TokioIo::new(client), service)
                    .await
                {
                    eprintln!("connection: {e}");
                }
            });
        }
    }
}

async fn handle(
    pre: Arc<ProxyPre<State>>,
    request: hyper::Request<hyper::body::Incoming>,
) -> Result<hyper::Response<HyperOutgoingBody>> {
    let state = State::new(WasiCtx::builder().inherit_stdio().build());
    let mut store = Store::new(pre.engine(), state);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let request = store
        .data_mut()
        .http()
        .new_incoming_request(Scheme::Http, request)?;
    let out = store.data_mut().http().new_response_outparam(sender)?;
    let task = tokio::spawn(async move {
        let proxy = pre.instantiate_async(&mut store).await?;
        proxy
            .wasi_http_incoming_handler()
            .call_handle(store, request, out)
            .await
    });
    match receiver.await {
        Ok(response) => Ok(response?),
        Err(_) => {
            task.await??;
            bail!("the guest has set no response")
        }
    }
}

fn is_server(engine: &Engine, component: &Component) -> bool {
    component
        .component_type()
        .exports(engine)
        .any(|(name, _)| name.starts_with("wasi:http/incoming-handler"))
}

fn wasi(ctx: &impl RuntimeContext) -> WasiCtxBuilder {
    let mut builder = WasiCtxBuilder::new();
    builder.args(ctx.args()).inherit_stdio().inherit_network();
    for variable in ctx.envs() {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        builder.env(name, value);
    }
    builder
}

struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
}

impl State {
    fn new(wasi: WasiCtx) -> Self {
        State {
            wasi,
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: Default::default(),
        }
    }
}

fn main() {
    PeerShim::run(None);
}
