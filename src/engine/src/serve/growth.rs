// SPDX-License-Identifier: Apache-2.0
//! Growing memory of guests that answer requests. The system clears each page when it is first
//! written to, and nothing interrupts a guest that fills many at once; so before it may have more
//! it lets the others go on, whatever its time slice has left.

use crate::state::State;
use wasmtime::{ResourceLimiter, ResourceLimiterAsync};

#[async_trait::async_trait]
impl ResourceLimiterAsync for State {
    async fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let is_allowed = self.limiter.memory_growing(current, desired, maximum)?;
        if is_allowed
            && self.limiter.is_turn_due()
            && let Some(slice) = &self.slice
        {
            slice.lane.clone().turn().await;
        }
        Ok(is_allowed)
    }

    fn memory_grow_failed(&mut self, e: wasmtime::Error) -> wasmtime::Result<()> {
        self.limiter.memory_grow_failed(e)
    }

    async fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.limiter.table_growing(current, desired, maximum)
    }

    fn instances(&self) -> usize {
        self.limiter.instances()
    }
    fn tables(&self) -> usize {
        self.limiter.tables()
    }
    fn memories(&self) -> usize {
        self.limiter.memories()
    }
}
