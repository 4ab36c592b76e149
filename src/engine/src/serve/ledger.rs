// SPDX-License-Identifier: Apache-2.0
//! The record of a request, from its dispatch to the end of whatever had to do with it.

use super::callbacks::{CAnswer, CDispatch, CRecord};
use super::connection::Connection;
use super::run::Finish;
use super::server::Thread;
use super::service::Service;
use super::shared::{End, Shared};
use crate::ffi::c_string;
use crate::trap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use wasmtime::PoolConcurrencyLimitError;

/// Tells C of a request's end, exactly once, when the last part that has to do with it is gone.
pub struct Ledger {
    pub thread: Arc<Thread>,
    pub connection: Option<Arc<Connection>>, // until the response is complete
    pub shared: Arc<Shared>,
    pub dispatch: CDispatch,
    pub end: End,
    pub status: u16,
    pub is_cut: bool,
    pub is_complete: bool,
    pub is_head: bool,
    pub response_bytes: u64,
    pub promised_bytes: Option<u64>, // by the guest's Content-Length
    pub service: Option<Arc<Service>>,
    pub finish: Finish,
    pub detail: String,
}

impl Ledger {
    pub fn new(
        thread: &Arc<Thread>,
        connection: &Arc<Connection>,
        shared: &Arc<Shared>,
        dispatch: CDispatch,
        service: Option<Arc<Service>>,
        is_head: bool,
    ) -> Box<Self> {
        Box::new(Self {
            thread: thread.clone(),
            connection: Some(connection.clone()),
            shared: shared.clone(),
            dispatch,
            end: End::Answered,
            status: 0,
            is_cut: false,
            is_complete: false,
            is_head,
            response_bytes: 0,
            promised_bytes: None,
            service,
            finish: Finish::default(),
            detail: String::new(),
        })
    }

    pub fn reply(&self) -> &CAnswer {
        &self.thread.server.answers[self.end as usize]
    }

    /// The response is over; the guest may not be.
    fn close(&mut self) {
        self.shared.is_over.store(true, Relaxed);
        self.shared.body_gone.notify_one();
        if let Some(c) = self.connection.take() {
            c.end_request();
        }
    }

    /// The body of the response ended with an error; true if that is why the request ended.
    pub fn break_off(&mut self) -> bool {
        let is_first = self.end == End::Answered;
        if is_first {
            self.end = self.shared.cut().unwrap_or(End::GuestError);
        }
        is_first
    }

    pub fn take_finish(&mut self, finish: Finish) {
        if let Some(end) = finish.end {
            self.end = end;
        } else if let Some(e) = &finish.error {
            self.end = if e.is::<PoolConcurrencyLimitError>() {
                // Guests with several memories use up the pool before the limit on requests.
                End::Overloaded
            } else if finish.memory_refused || trap::classify(e).0 == "MemoryLimit" {
                End::OutOfMemory
            } else {
                End::Trapped
            };
        }
        self.finish = finish;
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close();
        if !self.is_complete && self.end == End::Answered {
            self.end = self.shared.cut().unwrap_or(End::ClientGone);
            self.is_cut = self.status != 0;
        }
        let (name, detail) = match (&self.finish.error, &self.service) {
            (Some(e), Some(service)) if self.finish.end.is_none() => {
                let (name, detail, _) = trap::describe(e, &service.name);
                (name, detail)
            }
            _ => (String::new(), std::mem::take(&mut self.detail)),
        };
        let texts = [name, detail].map(|t| (!t.is_empty()).then(|| c_string(&t)));
        let [name, detail] = texts.each_ref().map(|t| t.as_deref().unwrap_or(c"").as_ptr());
        let reason = match self.end {
            End::Answered => std::ptr::null(),
            End::Dispatched => self.dispatch.reason,
            _ => self.reply().reason,
        };
        let record = CRecord {
            end: self.end as i32,
            status: u32::from(self.status),
            reason,
            is_cut: self.is_cut,
            request_bytes: self.shared.request_bytes.load(Relaxed),
            response_bytes: self.response_bytes,
            duration_ns: self.shared.age_ns(),
            busy_ns: self.shared.busy_ns.load(Relaxed),
            memory_peak_bytes: self.finish.memory_peak,
            trap: name,
            detail,
        };
        self.thread.server.callbacks.ended(self.thread.index, &self.dispatch, &record);
    }
}

/// Tells C of what the parser refused, and answered by itself.
pub fn refused(thread: &Thread, peer: &str, is_too_large: bool) {
    let end = if is_too_large { End::HeadTooLarge } else { End::BadRequest };
    let answer = thread.server.answers[end as usize];
    let record = CRecord {
        end: end as i32,
        status: answer.status,
        reason: answer.reason,
        is_cut: false,
        request_bytes: 0,
        response_bytes: 0,
        duration_ns: 0,
        busy_ns: 0,
        memory_peak_bytes: 0,
        trap: c"".as_ptr(),
        detail: c"".as_ptr(),
    };
    thread.server.callbacks.refused(thread.index, peer, &record);
}
