// SPDX-License-Identifier: Apache-2.0
//! Socket addresses are asked of C one by one; names are resolved on the guest's own thread with
//! the resolver configuration that the guest was given. The stock lookup would use the process's
//! configuration on another thread, outside of the guest's network namespace.

use crate::state::State;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Hosts, Resolver, TokioResolver};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::task::JoinHandle;
use wasmtime::component::{Accessor, HasData, Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Network, Pollable, subscribe};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup as p3_lookup;
use wasmtime_wasi::sockets::SocketAddrUse;

type MayUse = unsafe extern "C" fn(*mut c_void, *const libc::sockaddr, c_int) -> bool;
type MayResolve = unsafe extern "C" fn(*mut c_void, *const c_char) -> bool;
type Resolved = unsafe extern "C" fn(*mut c_void, *const c_char, *const libc::sockaddr);
type CaRoots = unsafe extern "C" fn(*mut c_void, *mut usize) -> *mut c_char;

/// `struct engine_network`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CNetwork {
    ctx: *mut c_void,
    may_use: Option<MayUse>,
    may_resolve: Option<MayResolve>,
    resolved: Option<Resolved>,
    resolv_conf: *const c_char,
    hosts: *const c_char,
    ca_roots: Option<CaRoots>,
}

// SAFETY: a guest's network is asked on the guest's thread only, and C keeps it alive as long.
unsafe impl Send for CNetwork {}
unsafe impl Sync for CNetwork {}

/// An address in the form that C knows.
union RawAddr {
    any: libc::sockaddr,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

fn raw(addr: SocketAddr) -> RawAddr {
    match addr {
        SocketAddr::V4(a) => RawAddr {
            v4: libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: a.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(a.ip().octets()) },
                sin_zero: [0; 8],
            },
        },
        SocketAddr::V6(a) => RawAddr {
            v6: libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: a.port().to_be(),
                sin6_flowinfo: a.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: a.ip().octets() },
                sin6_scope_id: a.scope_id(),
            },
        },
    }
}

impl CNetwork {
    pub fn may_use(&self, addr: SocketAddr, reason: SocketAddrUse) -> bool {
        let code = match reason {
            SocketAddrUse::TcpBind => 0,
            SocketAddrUse::TcpListen => 1,
            SocketAddrUse::TcpAccept => 2,
            SocketAddrUse::TcpConnect => 3,
            SocketAddrUse::UdpBind => 4,
            SocketAddrUse::UdpSend => 5,
            SocketAddrUse::UdpReceive => 6,
        };
        self.ask(addr, code)
    }

    /// Whether the guest may connect to an address that it wrote itself.
    pub fn may_use_literally(&self, addr: SocketAddr) -> bool {
        self.ask(addr, 7)
    }

    fn ask(&self, addr: SocketAddr, code: c_int) -> bool {
        let raw = raw(addr);
        // SAFETY: every member begins with the address family, which says how long it is.
        self.may_use.is_some_and(|call| unsafe { call(self.ctx, &raw.any, code) })
    }

    fn may_resolve(&self, name: &CStr) -> bool {
        // SAFETY: a NUL-terminated name.
        self.may_resolve.is_some_and(|call| unsafe { call(self.ctx, name.as_ptr()) })
    }

    fn report(&self, name: &CStr, ip: IpAddr) {
        if let Some(call) = self.resolved {
            let raw = raw(SocketAddr::new(ip, 0));
            // SAFETY: as in may_use().
            unsafe { call(self.ctx, name.as_ptr(), &raw.any) };
        }
    }

    /// The certificates that outgoing TLS trusts, as PEM text.
    pub fn ca_roots(&self) -> Option<Vec<u8>> {
        let mut len = 0;
        // SAFETY: C gives a heap block of `len` bytes, or NULL.
        let text = unsafe { self.ca_roots?(self.ctx, &mut len) };
        if text.is_null() {
            return None;
        }
        // SAFETY: as above; the block is ours to free.
        let copy = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), len) }.to_vec();
        unsafe { libc::free(text.cast()) };
        Some(copy)
    }

    /// # Safety
    /// Both texts are NULL or NUL-terminated and live as long as the guest.
    unsafe fn texts(&self) -> (Option<&'static [u8]>, Option<&'static [u8]>) {
        let text =
            |p: *const c_char| (!p.is_null()).then(|| unsafe { CStr::from_ptr(p) }.to_bytes());
        (text(self.resolv_conf), text(self.hosts))
    }
}

/// The names of one guest; the resolver is made at the first lookup.
pub struct Names {
    network: CNetwork,
    resolver: Option<TokioResolver>,
}

impl Names {
    pub fn new(network: CNetwork) -> Self {
        Self { network, resolver: None }
    }

    fn resolver(&mut self) -> std::result::Result<TokioResolver, ErrorCode> {
        if let Some(r) = &self.resolver {
            return Ok(r.clone());
        }
        let made = self.make_resolver()?;
        self.resolver = Some(made.clone());
        Ok(made)
    }

    fn make_resolver(&self) -> std::result::Result<TokioResolver, ErrorCode> {
        // SAFETY: engine.h demands it of C.
        let (resolv_conf, hosts) = unsafe { self.network.texts() };
        let (config, opts) = match resolv_conf {
            Some(text) => hickory_resolver::system_conf::parse_resolv_conf(text)
                .map_err(|_| ErrorCode::PermanentResolverFailure)?,
            None => (ResolverConfig::from_parts(None, vec![], vec![]), ResolverOpts::default()),
        };
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(opts);
        // Never the host's own table: only what the guest was given.
        builder.options_mut().use_hosts_file = hickory_resolver::config::ResolveHosts::Never;
        let mut made = builder.build().map_err(|_| ErrorCode::PermanentResolverFailure)?;
        if let Some(text) = hosts {
            let mut table = Hosts::default();
            table.read_hosts_conf(text).map_err(|_| ErrorCode::PermanentResolverFailure)?;
            made.set_hosts(Arc::new(table));
        }
        Ok(made)
    }

    /// Starts a lookup. Must be called inside the guest's runtime.
    pub fn start(&mut self, name: &str) -> Lookup {
        let refused = |code| Lookup::Done(Err(code));
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Lookup::Done(Ok(vec![ip]));
        }
        let Ok(c_name) = CString::new(name) else { return refused(ErrorCode::InvalidArgument) };
        if !self.network.may_resolve(&c_name) {
            return refused(ErrorCode::AccessDenied);
        }
        let resolver = match self.resolver() {
            Ok(r) => r,
            Err(code) => return refused(code),
        };
        let network = self.network;
        let name = name.to_string();
        Lookup::Running(tokio::spawn(async move {
            let found = resolver.lookup_ip(name).await.map_err(|e| {
                if e.is_no_records_found() || e.is_nx_domain() {
                    ErrorCode::NameUnresolvable
                } else {
                    ErrorCode::TemporaryResolverFailure
                }
            })?;
            let ips: Vec<_> = found.iter().collect();
            let network = network;
            ips.iter().for_each(|ip| network.report(&c_name, *ip));
            Ok(ips)
        }))
    }
}

pub type Addresses = std::result::Result<Vec<IpAddr>, ErrorCode>;

pub enum Lookup {
    Running(JoinHandle<Addresses>),
    Done(Addresses),
}

impl Lookup {
    async fn wait(&mut self) {
        if let Lookup::Running(task) = self {
            *self = Lookup::Done(task.await.unwrap_or(Err(ErrorCode::TemporaryResolverFailure)));
        }
    }

    pub async fn finish(&mut self) -> Addresses {
        self.wait().await;
        match self {
            Lookup::Done(done) => done.clone(),
            Lookup::Running(_) => unreachable!("wait() ends a lookup"),
        }
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        if let Lookup::Running(task) = self {
            task.abort();
        }
    }
}

/// The resource `resolve-address-stream` of WASI 0.2.
struct AddressStream {
    lookup: Lookup,
    given: usize,
}

#[async_trait::async_trait]
impl Pollable for AddressStream {
    async fn ready(&mut self) {
        self.lookup.wait().await;
    }
}

type Stream = Resource<AddressStream>;
type NextAddress = std::result::Result<Option<IpAddress>, ErrorCode>;

/// wasi:sockets/ip-name-lookup@0.2.
pub fn add_p2_name_lookup(l: &mut Linker<State>) -> Result<()> {
    let mut i = l.instance("wasi:sockets/ip-name-lookup@0.2.12")?;
    i.resource(
        "resolve-address-stream",
        ResourceType::host::<AddressStream>(),
        |mut store, rep| {
            store.data_mut().table().delete(Stream::new_own(rep))?;
            Ok(())
        },
    )?;
    i.func_wrap(
        "resolve-addresses",
        |mut store: StoreContextMut<'_, State>, (network, name): (Resource<Network>, String)| {
            let state = store.data_mut();
            state.table().get(&network)?;
            let lookup = state.names.start(&name);
            if let Lookup::Done(Err(code)) = &lookup {
                return Ok((Err(*code),));
            }
            let stream = state.table().push(AddressStream { lookup, given: 0 })?;
            Ok((Ok::<Stream, ErrorCode>(stream),))
        },
    )?;
    i.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store: StoreContextMut<'_, State>, (this,): (Stream,)| {
            let stream = store.data_mut().table().get_mut(&this)?;
            let next: NextAddress = match &stream.lookup {
                Lookup::Running(_) => Err(ErrorCode::WouldBlock),
                Lookup::Done(Err(code)) => Err(*code),
                Lookup::Done(Ok(ips)) => {
                    let ip = ips.get(stream.given).copied();
                    stream.given += 1;
                    Ok(ip.map(Into::into))
                }
            };
            Ok((next,))
        },
    )?;
    i.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store: StoreContextMut<'_, State>, (this,): (Stream,)| {
            let table = store.data_mut().table();
            let pollable: Resource<DynPollable> = subscribe(table, this)?;
            Ok((pollable,))
        },
    )
}

/// wasi:sockets/ip-name-lookup@0.3.
struct HasNames;

impl HasData for HasNames {
    type Data<'a> = &'a mut State;
}

impl p3_lookup::Host for &mut State {}

impl<T> p3_lookup::HostWithStore<T> for HasNames {
    async fn resolve_addresses(
        store: &Accessor<T, Self>,
        name: String,
    ) -> Result<std::result::Result<Vec<p3_lookup::IpAddress>, p3_lookup::ErrorCode>> {
        let mut lookup = store.with(|mut view| view.get().names.start(&name));
        Ok(match lookup.finish().await {
            Ok(ips) => Ok(ips.into_iter().map(Into::into).collect()),
            Err(code) => Err(match code {
                ErrorCode::AccessDenied => p3_lookup::ErrorCode::AccessDenied,
                ErrorCode::InvalidArgument => p3_lookup::ErrorCode::InvalidArgument,
                ErrorCode::NameUnresolvable => p3_lookup::ErrorCode::NameUnresolvable,
                ErrorCode::TemporaryResolverFailure => {
                    p3_lookup::ErrorCode::TemporaryResolverFailure
                }
                _ => p3_lookup::ErrorCode::PermanentResolverFailure,
            }),
        })
    }
}

pub fn add_p3_name_lookup(l: &mut Linker<State>) -> Result<()> {
    p3_lookup::add_to_linker::<State, HasNames>(l, |s| s)
}
