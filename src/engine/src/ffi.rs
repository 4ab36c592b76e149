// SPDX-License-Identifier: Apache-2.0
//! Texts, lists and numbers as C has them.

use crate::err::{Failure, Result};
use std::ffi::{CStr, CString, c_char};
use std::slice;

/// # Safety
/// `p` is NULL or a NUL-terminated string.
pub unsafe fn text<'a>(p: *const c_char, what: impl FnOnce() -> String) -> Result<&'a str> {
    if p.is_null() {
        return Ok("");
    }
    unsafe { CStr::from_ptr(p) }
        .to_str()
        .map_err(|_| Failure::argument(format!("{} is not valid UTF-8", what())))
}

/// # Safety
/// `list` is NULL or an array of strings that a NULL ends.
pub unsafe fn texts<'a>(list: *const *const c_char, what: &str) -> Result<Vec<&'a str>> {
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

/// # Safety
/// `data` points to `n` elements, or `n` is 0.
pub unsafe fn list<'a, T>(data: *const T, n: usize) -> &'a [T] {
    if n == 0 { &[] } else { unsafe { slice::from_raw_parts(data, n) } }
}

/// "NAME=value" in its two halves.
pub fn variable(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_string(), value.to_string())
}

/// # Safety
/// As for texts().
pub unsafe fn variables(env: *const *const c_char) -> Result<Vec<(String, String)>> {
    Ok(unsafe { texts(env, "environment variable") }?.into_iter().map(variable).collect())
}

/// Texts may hold NUL bytes; C sees them as U+FFFD.
pub fn c_string(s: &str) -> CString {
    CString::new(s.replace('\0', "\u{fffd}")).expect("no NUL is left")
}

pub fn saturated(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
