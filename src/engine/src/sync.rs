// SPDX-License-Identifier: Apache-2.0
//! A panic while a lock is held is caught elsewhere (err.rs); what the lock guards is still whole.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}
