// SPDX-License-Identifier: Apache-2.0
//! A guest's store, and who drops it. To clear many megabytes takes milliseconds in which a thread
//! that serves would answer nobody, so a thread beside it does that.

use crate::giveback::{LARGE_BYTES, give_back};
use crate::state::State;
use crate::sync::lock;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;

/// For the engine's compiler, which the thread may need once.
const STACK_BYTES: usize = 1 << 20;

/// Its memory is cleared when it is dropped.
pub struct Instance {
    parts: Option<Parts>, // until it is dropped
    sweeper: Arc<Sweeper>,
}

struct Parts {
    store: Store<State>,
    _place: Place, // free again when the store has gone
}

/// What an instance occupies.
pub type Place = OwnedSemaphorePermit;

impl Instance {
    pub fn new(store: Store<State>, place: Place, sweeper: &Arc<Sweeper>) -> Self {
        Self { parts: Some(Parts { store, _place: place }), sweeper: sweeper.clone() }
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
        let Some(parts) = self.parts.take() else { return };
        if parts.store.data().limiter.growth_bytes() > LARGE_BYTES {
            self.sweeper.take(parts);
        }
    }
}

/// Drops large instances on a thread of its own, which starts with the first of them.
#[derive(Default)]
pub struct Sweeper(Mutex<Option<Running>>);

struct Running {
    instances: mpsc::Sender<Parts>,
    thread: JoinHandle<()>,
}

impl Sweeper {
    fn take(&self, parts: Parts) {
        let mut running = lock(&self.0);
        if running.is_none() {
            *running = start().ok();
        }
        // Without a thread it is dropped here.
        if let Some(r) = &*running {
            let _ = r.instances.send(parts);
        }
    }
}

impl Drop for Sweeper {
    /// Instances use what C has given them until they have gone.
    fn drop(&mut self) {
        if let Some(Running { instances, thread }) = lock(&self.0).take() {
            drop(instances);
            let _ = thread.join();
        }
    }
}

fn start() -> std::io::Result<Running> {
    let (instances, all) = mpsc::channel();
    let builder = thread::Builder::new().name("sweeper".into()).stack_size(STACK_BYTES);
    let thread = builder.spawn(move || {
        all.into_iter().for_each(|mut p: Parts| give_back(&mut p.store));
    })?;
    Ok(Running { instances, thread })
}
