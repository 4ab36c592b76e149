// SPDX-License-Identifier: Apache-2.0
//! A guest's store, and who drops it. To clear many megabytes takes milliseconds in which a thread
//! that serves would answer nobody, so that is done in slices, as guests compute. Not by a thread
//! beside it: the system would interrupt that in the middle of a call that holds the address space's
//! lock, for as long as a guest computes.

use super::ticker::Lane;
use crate::giveback::{LARGE_BYTES, pieces};
use crate::state::State;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;

/// Its memory is cleared when it is dropped.
pub struct Instance {
    parts: Option<Parts>, // until it is dropped
    lane: Arc<Lane>,
}

struct Parts {
    store: Store<State>,
    _place: Place, // free again when the store has gone
}

/// What an instance occupies.
pub type Place = OwnedSemaphorePermit;

impl Instance {
    pub fn new(store: Store<State>, place: Place, lane: &Arc<Lane>) -> Self {
        Self { parts: Some(Parts { store, _place: place }), lane: lane.clone() }
    }

    /// Gives the place up for another.
    pub fn set_place(&mut self, place: Place) {
        self.parts_mut()._place = place;
    }

    fn parts_mut(&mut self) -> &mut Parts {
        self.parts.as_mut().expect("it is not dropped yet")
    }
}

impl Deref for Instance {
    type Target = Store<State>;

    fn deref(&self) -> &Store<State> {
        &self.parts.as_ref().expect("it is not dropped yet").store
    }
}

impl DerefMut for Instance {
    fn deref_mut(&mut self) -> &mut Store<State> {
        &mut self.parts_mut().store
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else { return };
        if parts.store.data().limiter.growth_bytes() > LARGE_BYTES
            && let Ok(runtime) = Handle::try_current()
        {
            parts.store.data_mut().close();
            runtime.spawn(clear(parts, self.lane.clone()));
        }
    }
}

/// Clears it in the thread's turns, a piece in each.
async fn clear(mut parts: Parts, lane: Arc<Lane>) {
    for piece in pieces(&mut parts.store) {
        lane.clone().turn().await;
        // SAFETY: the store is dropped after it.
        unsafe { piece.give_back() };
    }
}
