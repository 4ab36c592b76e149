// SPDX-License-Identifier: Apache-2.0
//! What is asked of C, and the structs in which it is asked (serve.h).

use super::connection::Connection;
use super::service::Service;
use super::shared::ENDS;
use crate::err::CErr;
use crate::ffi::{self, c_string, list};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};
use hyper::body::{Body, Incoming};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;

/// `struct text`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CText {
    data: *const c_char,
    len: usize,
}

impl CText {
    pub const NONE: Self = Self { data: std::ptr::null(), len: 0 };

    pub fn new(text: &[u8]) -> Self {
        Self { data: text.as_ptr().cast(), len: text.len() }
    }

    /// # Safety
    /// The text is still there.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.data.is_null() {
            return &[];
        }
        unsafe { list(self.data.cast(), self.len) }
    }
}

/// `struct engine_request`; lives no longer than what it was made of.
#[repr(C)]
pub struct CRequest {
    method: CText,
    scheme: CText,
    authority: CText,
    path: CText,
    protocol: CText,
    peer: CText,
    body_bytes: u64,
    headers: *const HeaderMap,
}

impl CRequest {
    pub fn new(request: &Request<Incoming>, connection: &Connection) -> Self {
        let uri = request.uri();
        let authority = match uri.authority() {
            Some(a) => CText::new(a.as_str().as_bytes()),
            None => request
                .headers()
                .get(http::header::HOST)
                .map_or(CText::NONE, |h| CText::new(h.as_bytes())),
        };
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        let protocol = match request.version() {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2.0",
            _ => "HTTP/1.1",
        };
        Self {
            method: CText::new(request.method().as_str().as_bytes()),
            scheme: CText::new(if connection.is_tls { b"https" } else { b"http" }),
            authority,
            path: CText::new(path.as_bytes()),
            protocol: CText::new(protocol.as_bytes()),
            peer: CText::new(connection.peer.as_bytes()),
            body_bytes: request.body().size_hint().exact().unwrap_or(u64::MAX),
            headers: request.headers(),
        }
    }

    pub fn body_bytes(&self) -> Option<u64> {
        (self.body_bytes != u64::MAX).then_some(self.body_bytes)
    }

    /// # Safety
    /// During the callback that it was given to.
    pub unsafe fn headers(&self) -> &HeaderMap {
        unsafe { &*self.headers }
    }
}

// SAFETY: made and used between two awaits; it never leaves the thread.
unsafe impl Send for CRequest {}

/// `struct engine_dispatch`.
#[repr(C)]
pub struct CDispatch {
    service: *const Service,
    pub status: c_uint,
    pub reason: *const c_char,
    route_len: usize,
    request_id: [c_char; 65],
    traceparent: [c_char; 56],
    user: *mut c_void,
}

// SAFETY: the reason is static, and what `user` is C has made for any thread.
unsafe impl Send for CDispatch {}
unsafe impl Sync for CDispatch {}

fn header_value(text: &[c_char]) -> Option<HeaderValue> {
    if text[0] == 0 {
        return None;
    }
    // SAFETY: C ends its texts with a NUL.
    HeaderValue::from_bytes(unsafe { CStr::from_ptr(text.as_ptr()) }.to_bytes()).ok()
}

impl CDispatch {
    pub fn take_service(&mut self) -> Option<Arc<Service>> {
        let service = std::mem::replace(&mut self.service, std::ptr::null());
        // SAFETY: C hands over a reference of its own.
        (!service.is_null()).then(|| unsafe { Arc::from_raw(service) })
    }

    pub fn request_id(&self) -> Option<HeaderValue> {
        header_value(&self.request_id)
    }

    pub fn traceparent(&self) -> Option<HeaderValue> {
        header_value(&self.traceparent)
    }
}

/// `struct engine_answer`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CAnswer {
    pub status: c_uint,
    pub reason: *const c_char,
    pub is_retryable: bool,
}

/// `struct engine_record`.
#[repr(C)]
pub struct CRecord {
    pub end: c_int,
    pub status: c_uint,
    pub reason: *const c_char,
    pub is_cut: bool,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub duration_ns: u64,
    pub busy_ns: u64,
    pub memory_peak_bytes: u64,
    pub trap: *const c_char,
    pub detail: *const c_char,
}

/// `struct engine_cgi_head`: what C fills in.
pub struct CgiHead {
    pub status: u16,
    pub headers: HeaderMap,
}

type Dispatch = unsafe extern "C" fn(*mut c_void, c_uint, *const CRequest, *mut CDispatch);
type Ended = unsafe extern "C" fn(*mut c_void, c_uint, *mut c_void, *const c_char, *const CRecord);
type Refused = unsafe extern "C" fn(*mut c_void, c_uint, CText, *const CRecord);
type AddText = unsafe extern "C" fn(*mut c_void, *const c_char, usize);
type Metrics = unsafe extern "C" fn(*mut c_void, AddText, *mut c_void);
type AddVariable = unsafe extern "C" fn(*mut c_void, *const c_char);
type CgiEnvironment = unsafe extern "C" fn(
    *mut c_void,
    *const CRequest,
    usize,
    AddVariable,
    *mut c_void,
    *mut CErr,
) -> c_int;
type CgiHeadRead =
    unsafe extern "C" fn(*mut c_void, *const c_char, usize, *mut CgiHead, *mut CErr) -> isize;
type Failed = unsafe extern "C" fn(*mut c_void, *const c_char);

/// `struct engine_server_callbacks`. None may be NULL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Callbacks {
    ctx: *mut c_void,
    dispatch: Dispatch,
    ended: Ended,
    refused: Refused,
    metrics: Metrics,
    cgi_environment: CgiEnvironment,
    cgi_head: CgiHeadRead,
    failed: Failed,
}

// SAFETY: serve.h says which threads call them.
unsafe impl Send for Callbacks {}
unsafe impl Sync for Callbacks {}

unsafe extern "C" fn add_text(page: *mut c_void, text: *const c_char, len: usize) {
    // SAFETY: `page` is what metrics() gave.
    unsafe { (*page.cast::<Vec<u8>>()).extend_from_slice(CText { data: text, len }.bytes()) }
}

unsafe extern "C" fn add_variable(env: *mut c_void, variable: *const c_char) {
    // SAFETY: `env` is what cgi_environment() gave.
    let (env, text) = unsafe {
        (&mut *env.cast::<Vec<(String, String)>>(), CStr::from_ptr(variable).to_string_lossy())
    };
    env.push(ffi::variable(&text));
}

impl Callbacks {
    pub fn dispatch(&self, thread: usize, request: &CRequest) -> CDispatch {
        let mut d = CDispatch {
            service: std::ptr::null(),
            status: 500,
            reason: std::ptr::null(),
            route_len: 0,
            request_id: [0; 65],
            traceparent: [0; 56],
            user: std::ptr::null_mut(),
        };
        // SAFETY: as serve.h says; so for every call below.
        unsafe { (self.dispatch)(self.ctx, thread as c_uint, request, &mut d) };
        d
    }

    pub fn ended(&self, thread: usize, d: &CDispatch, record: &CRecord) {
        let id = d.request_id.as_ptr();
        unsafe { (self.ended)(self.ctx, thread as c_uint, d.user, id, record) }
    }

    pub fn refused(&self, thread: usize, peer: &str, record: &CRecord) {
        let peer = CText::new(peer.as_bytes());
        unsafe { (self.refused)(self.ctx, thread as c_uint, peer, record) }
    }

    pub fn metrics(&self) -> Vec<u8> {
        let mut page: Vec<u8> = Vec::new();
        unsafe { (self.metrics)(self.ctx, add_text, (&raw mut page).cast()) };
        page
    }

    pub fn cgi_environment(
        &self,
        request: &CRequest,
        d: &CDispatch,
    ) -> Result<Vec<(String, String)>, String> {
        let mut env: Vec<(String, String)> = Vec::new();
        let to = (&raw mut env).cast();
        let mut e = CErr::new();
        let n = d.route_len;
        match unsafe { (self.cgi_environment)(self.ctx, request, n, add_variable, to, &mut e) } {
            0.. => Ok(env),
            _ => Err(e.text()),
        }
    }

    /// The head and its length once it is complete.
    pub fn cgi_head(&self, bytes: &[u8]) -> Result<Option<(CgiHead, usize)>, String> {
        let mut head = CgiHead { status: 200, headers: HeaderMap::new() };
        let mut e = CErr::new();
        let text = bytes.as_ptr().cast();
        let n = unsafe { (self.cgi_head)(self.ctx, text, bytes.len(), &mut head, &mut e) };
        match usize::try_from(n) {
            Ok(0) => Ok(None),
            Ok(n) => Ok(Some((head, n))),
            Err(_) => Err(e.text()),
        }
    }

    pub fn failed(&self, what: &str) {
        unsafe { (self.failed)(self.ctx, c_string(what).as_ptr()) }
    }
}

/// The answers that C has for each end of a request.
pub type Answers = [CAnswer; ENDS];

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_request_header(r: *const CRequest, name: *const c_char) -> CText {
    // SAFETY: serve.h: during the callback.
    let (headers, name) = unsafe { ((*r).headers(), CStr::from_ptr(name)) };
    let value = name.to_str().ok().and_then(|n| headers.get(n));
    value.map_or(CText::NONE, |v| CText::new(v.as_bytes()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_request_headers(
    r: *const CRequest,
    each: unsafe extern "C" fn(*mut c_void, CText, CText),
    ctx: *mut c_void,
) {
    // SAFETY: as above.
    for (name, value) in unsafe { (*r).headers() } {
        unsafe { each(ctx, CText::new(name.as_str().as_bytes()), CText::new(value.as_bytes())) };
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_cgi_status(h: *mut CgiHead, status: c_uint) {
    unsafe { (*h).status = u16::try_from(status).unwrap_or(500) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn engine_cgi_header(h: *mut CgiHead, name: CText, value: CText) {
    let (name, value) = unsafe { (name.bytes(), value.bytes()) };
    if let (Ok(n), Ok(v)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        unsafe { (*h).headers.append(n, v) };
    }
}
