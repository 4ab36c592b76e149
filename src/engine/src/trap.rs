// SPDX-License-Identifier: Apache-2.0
//! What a trap is called and where it happened.

use std::fmt::Write as _;
use wasmtime::{Trap, WasmBacktrace};

/// The stable name of a trap, its sentence, and whether a limit of ours caused it.
pub fn classify(e: &wasmtime::Error) -> (String, String, bool) {
    if let Some(t) = e.downcast_ref::<Trap>() {
        let name = match t {
            Trap::UnreachableCodeReached => "Unreachable".to_string(),
            other => format!("{other:?}"),
        };
        let text = t.to_string();
        return (name, text.strip_prefix("wasm trap: ").unwrap_or(&text).to_string(), false);
    }
    let root = e.root_cause().to_string();
    if e.downcast_ref::<wasmtime::component::ResourceTableError>().is_some() {
        let text = "the guest holds more descriptors than its limit allows".to_string();
        return ("DescriptorLimit".to_string(), text, true);
    }
    if root.contains("exceeds memory limits") {
        return ("MemoryLimit".to_string(), root, true);
    }
    if root.contains("resource limit exceeded") || root.contains("exceeds table limits") {
        return ("ResourceLimit".to_string(), root, true);
    }
    ("HostError".to_string(), root, false)
}

/// The stable name of a trap, its sentence with the backtrace behind it, and whether a limit of ours
/// caused it. `name` is what an unnamed module is called.
pub fn describe(e: &wasmtime::Error, name: &str) -> (String, String, bool) {
    let (kind, sentence, is_limit) = classify(e);
    (kind, sentence + &backtrace(e, name), is_limit)
}

fn backtrace(e: &wasmtime::Error, name: &str) -> String {
    let mut out = String::new();
    let Some(trace) = e.downcast_ref::<WasmBacktrace>() else { return out };
    for frame in trace.frames().iter().take(16) {
        let module = frame.module().name().unwrap_or(name).to_string();
        let function = match frame.func_name() {
            Some(f) => f.to_string(),
            None => format!("function {}", frame.func_index()),
        };
        let offset = frame.module_offset().unwrap_or(0);
        let _ = write!(out, "\n    at {function} ({module}+{offset:#x})");
    }
    let more = trace.frames().len().saturating_sub(16);
    if more > 0 {
        let _ = write!(out, "\n    and {more} more");
    }
    out
}
