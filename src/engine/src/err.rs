// SPDX-License-Identifier: Apache-2.0
//! `struct err` of src/base/err.h, and the wall between Rust panics and C.

use std::ffi::{CStr, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

const MSG_SIZE: usize = 488;

/// The same layout as `struct err`.
#[repr(C)]
pub struct CErr {
    code: c_int,
    reason: *const c_char,
    msg: [c_char; MSG_SIZE],
}

impl CErr {
    /// For C to fill.
    pub fn new() -> Self {
        Self { code: 0, reason: std::ptr::null(), msg: [0; MSG_SIZE] }
    }

    pub fn text(&self) -> String {
        // SAFETY: whoever fills it ends the message with a NUL.
        unsafe { CStr::from_ptr(self.msg.as_ptr()) }.to_string_lossy().into_owned()
    }
}

/// An error on its way to C.
#[derive(Debug)]
pub struct Failure {
    pub errno: c_int,
    pub reason: &'static CStr,
    pub text: String,
}

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(errno: c_int, reason: &'static CStr, text: impl Into<String>) -> Self {
        Self { errno, reason, text: text.into() }
    }

    pub fn argument(text: impl Into<String>) -> Self {
        Self::new(libc::EINVAL, c"InvalidArgument", text)
    }
}

/// Copies `text` into a C buffer, cut at a character boundary, always with a NUL.
pub fn copy_text(text: &str, buf: &mut [c_char]) {
    let Some(room) = buf.len().checked_sub(1) else { return };
    let mut n = text.len().min(room);
    while !text.is_char_boundary(n) {
        n -= 1;
    }
    for (to, from) in buf.iter_mut().zip(&text.as_bytes()[..n]) {
        *to = *from as c_char;
    }
    buf[n] = 0;
}

/// Runs the body of a C entry point: a failure or panic fills `*e`.
///
/// # Safety
/// `e` points to a `struct err`.
pub unsafe fn guarded(e: *mut CErr, body: impl FnOnce() -> Result<()>) -> c_int {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return 0,
        Ok(Err(f)) => f,
        Err(panic) => {
            let what = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("unknown panic");
            let text = format!("the engine failed: {what}; please report this");
            Failure::new(libc::EFAULT, c"EngineBug", text)
        }
    };
    // SAFETY: the caller's promise.
    let e = unsafe { &mut *e };
    e.code = -failure.errno;
    e.reason = failure.reason.as_ptr();
    copy_text(&failure.text, &mut e.msg);
    e.code
}
