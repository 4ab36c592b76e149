// SPDX-License-Identifier: Apache-2.0
//! Compiling, and mapping what was compiled.

use crate::err::{Failure, Result};
use crate::settings::Engine;
use crate::state::State;
use std::ffi::c_int;
use std::fs::File;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::fs::FileExt;
use wasmtime::component::{Component, InstancePre as ComponentPre};
use wasmtime::{InstancePre, Module};

/// Compiled code with its imports resolved; cheap to instantiate. Guests share it behind one
/// reference count: an `InstancePre` of its own would cost each guest three.
pub enum Code {
    Module(InstancePre<State>),
    Component(ComponentPre<State>),
}

pub fn compile(engine: &Engine, bytes: &[u8], fd: c_int) -> Result<()> {
    let compiled = if wasmparser::Parser::is_component(bytes) {
        engine.wasmtime.precompile_component(bytes)
    } else {
        engine.wasmtime.precompile_module(bytes)
    };
    let code = compiled.map_err(|e| {
        Failure::new(libc::ENOEXEC, c"InvalidWasm", format!("cannot be compiled: {e:#}"))
    })?;
    // SAFETY: the descriptor stays the caller's; ManuallyDrop keeps it open.
    let mut out = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    out.write_all(&code).map_err(|e| {
        let errno = e.raw_os_error().unwrap_or(libc::EIO);
        Failure::new(errno, c"WriteFailed", format!("cannot write compiled code: {e}"))
    })
}

impl Code {
    pub fn engine(&self) -> &wasmtime::Engine {
        match self {
            Code::Module(pre) => pre.module().engine(),
            Code::Component(pre) => pre.engine(),
        }
    }

    pub fn open(engine: &Engine, fd: c_int) -> Result<Self> {
        // SAFETY: the caller hands in an open descriptor for the time of this call.
        let file = unsafe { BorrowedFd::borrow_raw(fd) }
            .try_clone_to_owned()
            .map(File::from)
            .map_err(|e| io_failure("cannot open compiled code", &e))?;
        let is_component = is_component(&file).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => stale("it is cut off"),
            _ => io_failure("cannot read compiled code", &e),
        })?;
        if is_component {
            Self::open_component(engine, file)
        } else {
            Self::open_module(engine, file)
        }
    }

    fn open_module(engine: &Engine, file: File) -> Result<Self> {
        // SAFETY: the caller vouches for the file, see engine.h.
        let module = unsafe { Module::deserialize_open_file(&engine.wasmtime, file) }
            .map_err(|e| stale(&format!("{e:#}")))?;
        let pre = engine.module_linker()?.instantiate_pre(&module).map_err(unknown_import)?;
        Ok(Code::Module(pre))
    }

    fn open_component(engine: &Engine, file: File) -> Result<Self> {
        // Components can be mapped by path only. Where there is no /proc they are copied.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let component = if std::fs::metadata(&path).is_ok() {
            // SAFETY: as above.
            unsafe { Component::deserialize_file(&engine.wasmtime, &path) }
        } else {
            // From the start: who compiled it has left the offset at its end.
            let mut bytes = Vec::new();
            file.metadata()
                .and_then(|m| {
                    bytes.resize(usize::try_from(m.len()).unwrap_or(0), 0);
                    file.read_exact_at(&mut bytes, 0)
                })
                .map_err(|e| io_failure("cannot read compiled code", &e))?;
            // SAFETY: as above.
            unsafe { Component::deserialize(&engine.wasmtime, bytes) }
        }
        .map_err(|e| stale(&format!("{e:#}")))?;
        let p3 = component
            .component_type()
            .imports(&engine.wasmtime)
            .any(|(name, _)| name.starts_with("wasi:") && name.contains("@0.3."));
        let pre = engine.component_linker(p3)?.instantiate_pre(&component);
        Ok(Code::Component(pre.map_err(unknown_import)?))
    }
}

/// Compiled code is an ELF file whose flags say what it holds (EF_WASMTIME_COMPONENT in
/// wasmtime-environ's obj.rs). The library's own detection would read all of it.
fn is_component(file: &File) -> std::io::Result<bool> {
    const E_FLAGS_OFFSET: u64 = 48;
    const EF_WASMTIME_COMPONENT: u32 = 1 << 1;

    let mut flags = [0; 4];
    file.read_exact_at(&mut flags, E_FLAGS_OFFSET)?;
    Ok(u32::from_le_bytes(flags) & EF_WASMTIME_COMPONENT != 0)
}

fn io_failure(what: &str, e: &std::io::Error) -> Failure {
    Failure::new(e.raw_os_error().unwrap_or(libc::EIO), c"ReadFailed", format!("{what}: {e}"))
}

fn stale(why: &str) -> Failure {
    let text = format!("the compiled code does not fit this engine or CPU: {why}");
    Failure::new(libc::ESTALE, c"CodeStale", text)
}

fn unknown_import(e: wasmtime::Error) -> Failure {
    Failure::new(libc::ENOEXEC, c"UnknownImport", format!("{e:#}"))
}
