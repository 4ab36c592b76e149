// SPDX-License-Identifier: Apache-2.0
//! The C interface of engine.h. The contracts are documented there; this file only translates
//! pointers and hands over to the modules.

mod code;
mod err;
mod ffi;
mod giveback;
mod guest;
mod heap;
mod inspect;
mod invoke;
mod linkers;
mod network;
mod outgoing;
mod serve;
mod settings;
mod state;
mod stdio;
mod sync;
mod throttle;
mod trap;

use code::Code;
use err::{CErr, guarded};
use guest::{Guest, GuestOptions, Outcome};
use settings::{Engine, EngineOptions};
use std::ffi::{c_char, c_int, c_void};
use std::slice;
use std::sync::Arc;

/// The figures of `struct engine_figures`.
#[repr(C)]
pub struct Figures {
    memory_bytes: u64,
    memory_peak_bytes: u64,
    calls: u64,
}

/// # Safety
/// As engine.h says; so for every function below.
#[unsafe(no_mangle)]
unsafe extern "C" fn engine_open(
    o: *const EngineOptions,
    ret: *mut *mut Engine,
    e: *mut CErr,
) -> c_int {
    unsafe {
        guarded(e, || {
            *ret = Box::into_raw(Box::new(Engine::open(&*o)?));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_close(en: *mut Engine) {
    if !en.is_null() {
        drop(unsafe { Box::from_raw(en) });
    }
}

#[unsafe(no_mangle)]
extern "C" fn engine_version() -> *const c_char {
    settings::VERSION.as_ptr()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_settings(
    is_interruptible: bool,
    is_concurrent: bool,
    buf: *mut c_char,
    size: usize,
) {
    let buf = unsafe { slice::from_raw_parts_mut(buf, size) };
    err::copy_text(&settings::describe(is_interruptible, is_concurrent), buf);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_inspect(
    data: *const c_void,
    len: usize,
    validate: bool,
    v: *const inspect::Visitor,
    ret_artifact: *mut c_int,
    e: *mut CErr,
) -> c_int {
    unsafe {
        guarded(e, || {
            *ret_artifact = inspect::inspect(ffi::list(data.cast(), len), validate, &*v)? as c_int;
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_compile(
    en: *mut Engine,
    data: *const c_void,
    len: usize,
    fd: c_int,
    e: *mut CErr,
) -> c_int {
    unsafe { guarded(e, || code::compile(&*en, ffi::list(data.cast(), len), fd)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_code_open(
    en: *mut Engine,
    fd: c_int,
    ret: *mut *const Code,
    e: *mut CErr,
) -> c_int {
    unsafe {
        guarded(e, || {
            *ret = Arc::into_raw(Arc::new(Code::open(&*en, fd)?));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_code_close(c: *const Code) {
    if !c.is_null() {
        drop(unsafe { Arc::from_raw(c) });
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_guest_new(
    en: *mut Engine,
    c: *const Code,
    o: *const GuestOptions,
    ret: *mut *mut Guest,
    e: *mut CErr,
) -> c_int {
    unsafe {
        guarded(e, || {
            Arc::increment_strong_count(c);
            *ret = Box::into_raw(Box::new(Guest::new(&*en, Arc::from_raw(c), &*o)?));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_guest_run(g: *mut Guest, ret: *mut Outcome, e: *mut CErr) -> c_int {
    // Only the parts that no other thread touches are borrowed mutably; see Guest.
    unsafe { guarded(e, || (*g).run(&mut *ret)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_guest_stop(g: *mut Guest) {
    unsafe { (*g).control().stop() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_guest_figures(g: *const Guest, ret: *mut Figures) {
    unsafe { *ret = (*g).control().figures() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_thread_limit(en: *mut Engine, milli: u32, e: *mut CErr) -> c_int {
    unsafe { guarded(e, || throttle::limit(&(*en).wasmtime, milli)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_guest_free(g: *mut Guest) {
    if !g.is_null() {
        drop(unsafe { Box::from_raw(g) });
    }
}
