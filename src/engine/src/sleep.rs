// SPDX-License-Identifier: Apache-2.0
//! `poll_oneoff` of WASI 0.1 for the commonest case, one relative clock, which is how libraries
//! sleep. The stock function blocks the thread for it, and a thread that sleeps cannot be stopped.

use crate::guest::State;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::{Caller, Linker, Memory, Result, Val};

const MODULE: &str = "wasi_snapshot_preview1";
const FUNCTION: &str = "poll_oneoff";

/// What the runtime's timer, which counts milliseconds, cannot do well. Far below the time in which
/// a stop must work.
const SHORT: Duration = Duration::from_millis(4);

/// `subscription` and `event` of the WASI 0.1 witx: sizes and offsets.
const SUBSCRIPTION_SIZE: usize = 48;
const EVENT_SIZE: usize = 32;
const TAG: usize = 8;
const CLOCK_ID: usize = 16;
const TIMEOUT: usize = 24;
const FLAGS: usize = 40;

pub fn replace_poll_oneoff(l: &mut Linker<State>) -> Result<()> {
    let stock = Arc::new(l.clone());
    l.func_wrap_async(
        MODULE,
        FUNCTION,
        move |mut caller: Caller<'_, State>, (subs, events, n, ret): (i32, i32, i32, i32)| {
            let stock = stock.clone();
            Box::new(async move {
                if let Some((memory, userdata, timeout)) = only_sleeps(&mut caller, subs, n) {
                    sleep(timeout).await;
                    return Ok(answer(&mut caller, memory, userdata, events, ret));
                }
                let f = stock
                    .get(&mut caller, MODULE, FUNCTION)
                    .ok()
                    .and_then(wasmtime::Extern::into_func)
                    .expect("the stock linker has it");
                let mut errno = [Val::I32(0)];
                let args = [subs, events, n, ret].map(Val::I32);
                f.call_async(&mut caller, &args, &mut errno).await?;
                Ok(errno[0].unwrap_i32())
            })
        },
    )?;
    Ok(())
}

async fn sleep(timeout: Duration) {
    if timeout < SHORT {
        std::thread::sleep(timeout);
    } else {
        tokio::time::sleep(timeout).await;
    }
}

/// The memory, the user data and the time of a call that is one relative clock and nothing else.
fn only_sleeps(
    caller: &mut Caller<'_, State>,
    subs: i32,
    n: i32,
) -> Option<(Memory, [u8; 8], Duration)> {
    if n != 1 {
        return None;
    }
    let memory = caller.get_export("memory")?.into_memory()?;
    let at = subs as u32 as usize;
    let sub = memory.data(&*caller).get(at..at.checked_add(SUBSCRIPTION_SIZE)?)?;
    let u32_at = |i: usize| u32::from_le_bytes(sub[i..i + 4].try_into().expect("4 bytes"));
    let u64_at = |i: usize| u64::from_le_bytes(sub[i..i + 8].try_into().expect("8 bytes"));
    let is_absolute = sub[FLAGS] & 1 != 0;
    // Clocks 0 and 1 are the ones there are; what is wrong with others the stock function says.
    if sub[TAG] != 0 || is_absolute || u32_at(CLOCK_ID) > 1 {
        return None;
    }
    let userdata = sub[..8].try_into().expect("8 bytes");
    Some((memory, userdata, Duration::from_nanos(u64_at(TIMEOUT))))
}

/// Writes the one event and the count; the errno.
fn answer(
    caller: &mut Caller<'_, State>,
    memory: Memory,
    userdata: [u8; 8],
    events: i32,
    ret: i32,
) -> i32 {
    const EFAULT: i32 = 21;

    let mut event = [0; EVENT_SIZE];
    event[..8].copy_from_slice(&userdata);
    let wrote_event = memory.write(&mut *caller, events as u32 as usize, &event);
    let wrote_count = memory.write(&mut *caller, ret as u32 as usize, &1u32.to_le_bytes());
    if wrote_event.is_err() || wrote_count.is_err() { EFAULT } else { 0 }
}
