// SPDX-License-Identifier: Apache-2.0
//! Which host functions guests find: WASI 0.1 for modules, 0.2 and 0.3 for components. Always the
//! asynchronous forms: the synchronous ones run on threads of a global runtime, which would leave
//! the network namespace that the guest's thread entered.

use crate::network;
use crate::state::State;
use wasmtime::component::{HasData, Linker as ComponentLinker, ResourceTable};
use wasmtime::{Engine, Linker, Result};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

pub fn for_modules(engine: &Engine) -> Result<Linker<State>> {
    let mut l = Linker::new(engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut l, State::p1)?;
    // The stock function turns exit codes from 126 up into traps.
    l.allow_shadowing(true);
    l.func_wrap("wasi_snapshot_preview1", "proc_exit", |code: i32| -> Result<()> {
        Err(I32Exit(code).into())
    })?;
    Ok(l)
}

pub fn for_components(engine: &Engine, p3: bool) -> Result<ComponentLinker<State>> {
    let mut l = ComponentLinker::new(engine);
    add_p2(&mut l)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut l)?;
    if p3 {
        add_p3(&mut l)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut l)?;
    }
    Ok(l)
}

/// All of WASI 0.2 but `ip-name-lookup`, whose stock form resolves names on other threads and by
/// the host's configuration.
fn add_p2(l: &mut ComponentLinker<State>) -> Result<()> {
    use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random, sockets};

    io::error::add_to_linker::<State, HasTable>(l, State::table)?;
    io::poll::add_to_linker::<State, HasTable>(l, State::table)?;
    io::streams::add_to_linker::<State, HasTable>(l, State::table)?;
    clocks::wall_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)?;
    clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)?;
    filesystem::types::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    random::random::add_to_linker::<State, WasiRandom>(l, State::random)?;
    random::insecure::add_to_linker::<State, WasiRandom>(l, State::random)?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(l, State::random)?;
    cli::exit::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::environment::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    sockets::instance_network::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    sockets::network::add_to_linker::<State, WasiSockets>(
        l,
        &sockets::network::LinkOptions::default(),
        State::sockets,
    )?;
    sockets::tcp::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    sockets::udp::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    sockets::udp_create_socket::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    network::add_p2_name_lookup(l)
}

/// All of WASI 0.3, with name lookup replaced for the same reason.
fn add_p3(l: &mut ComponentLinker<State>) -> Result<()> {
    use wasmtime_wasi::p3;

    p3::cli::add_to_linker(l)?;
    p3::clocks::add_to_linker(l)?;
    p3::filesystem::add_to_linker(l)?;
    p3::random::add_to_linker(l)?;
    p3::bindings::sockets::types::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    network::add_p3_name_lookup(l)
}
