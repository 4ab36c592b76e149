// SPDX-License-Identifier: Apache-2.0
//! Answering HTTP requests. The C interface of serve.h; the contracts are documented there.

mod answer;
mod callbacks;
mod cgi;
mod connection;
mod crowd;
mod growth;
mod instance;
mod ledger;
mod request;
mod run;
mod server;
mod service;
pub mod shared;
mod stream;
mod ticker;
mod tls;

use crate::code::Code;
use crate::err::{CErr, guarded};
use crate::ffi::list;
use crate::settings::Engine;
use server::{Server, ServerFigures, ServerOptions};
use service::{Service, ServiceOptions};
use std::ffi::{c_char, c_int, c_uint};
use std::sync::Arc;
use std::time::Duration;

pub use ticker::watch;

/// # Safety
/// As serve.h says; so for every function below.
#[unsafe(no_mangle)]
unsafe extern "C" fn engine_service_new(
    en: *mut Engine,
    c: *const Code,
    o: *const ServiceOptions,
    ret: *mut *const Service,
    e: *mut CErr,
) -> c_int {
    unsafe {
        guarded(e, || {
            *ret = Arc::into_raw(Arc::new(Service::new(&*en, &*c, &*o)?));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_service_ref(s: *const Service) -> *const Service {
    unsafe { Arc::increment_strong_count(s) };
    s
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_service_unref(s: *const Service) {
    if !s.is_null() {
        drop(unsafe { Arc::from_raw(s) });
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_server_new(
    o: *const ServerOptions,
    ret: *mut *const Server,
    e: *mut CErr,
) -> c_int {
    unsafe {
        guarded(e, || {
            *ret = Arc::into_raw(Server::new(&*o)?);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_server_tls(
    s: *const Server,
    cert: *const c_char,
    cert_len: usize,
    key: *const c_char,
    key_len: usize,
    e: *mut CErr,
) -> c_int {
    unsafe {
        guarded(e, || {
            let (cert, key) = (list(cert.cast(), cert_len), list(key.cast(), key_len));
            (*s).set_tls(tls::server_config(cert, key)?);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_server_run(
    s: *const Server,
    thread: c_uint,
    idle_ms: u64,
    ret_is_idle: *mut bool,
    e: *mut CErr,
) -> c_int {
    unsafe {
        guarded(e, || {
            Arc::increment_strong_count(s);
            let idle = (idle_ms > 0).then(|| Duration::from_millis(idle_ms));
            let is_idle = Arc::from_raw(s).run(thread as usize, idle)?;
            ret_is_idle.as_mut().map(|ret| *ret = is_idle);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_server_drain(s: *const Server) {
    unsafe { (*s).drain() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_server_stop(s: *const Server) {
    unsafe { (*s).stop() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_server_figures(s: *const Server, ret: *mut ServerFigures) {
    unsafe { *ret = (*s).figures() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_server_free(s: *const Server) {
    if !s.is_null() {
        drop(unsafe { Arc::from_raw(s) });
    }
}
