//! The group that is being gathered, and the waiting for its commit.
//!
//! In: encoded records, from any thread. Out: one outcome for all of them, from the writer's thread.
//! One allocation and one outcome serve the whole group; a waiting task costs its waker.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use super::error::AppendError;
use super::record::{FRAME_HEADER_BYTES, SegmentId};

/// Where a group went.
pub(super) type Outcome = Result<(SegmentId, u32), AppendError>;

/// Records that wait for the writer.
pub(super) struct Pending {
    /// Encoded records, after room for the frame header.
    pub(super) bytes: Vec<u8>,
    pub(super) n_records: u32,
    pub(super) group: Arc<Group>,
}

impl Pending {
    /// Starts an empty group in `buffer`, whose capacity is used again.
    pub(super) fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(FRAME_HEADER_BYTES, 0);
        Self {
            bytes: buffer,
            n_records: 0,
            group: Arc::new(Group::default()),
        }
    }
}

/// The shared end of a group.
#[derive(Default)]
pub(super) struct Group {
    outcome: OnceLock<Outcome>,
    waiters: Mutex<Vec<Waker>>,
}

impl Group {
    /// Publishes the outcome and wakes everyone. Only the first call counts.
    pub(super) fn complete(&self, outcome: Outcome) {
        if self.outcome.set(outcome).is_err() {
            return;
        }
        let waiters = std::mem::take(&mut *self.waiters());
        for waiter in waiters {
            waiter.wake();
        }
    }

    fn waiters(&self) -> MutexGuard<'_, Vec<Waker>> {
        // Nothing under this lock can leave the list half changed.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves when the group is durable or has failed. May be dropped at any time.
pub(super) struct Committed {
    group: Arc<Group>,
    slot: Option<usize>,
}

impl Committed {
    pub(super) fn new(group: Arc<Group>) -> Self {
        Self { group, slot: None }
    }
}

impl Future for Committed {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let group = Arc::clone(&self.group);
        if let Some(outcome) = group.outcome.get() {
            return Poll::Ready(outcome.clone());
        }
        let mut waiters = group.waiters();
        // `complete` sets the outcome before it takes this lock: seen unset under the lock, our
        // waker will be found.
        if let Some(outcome) = group.outcome.get() {
            return Poll::Ready(outcome.clone());
        }
        match self.slot {
            Some(slot) => waiters[slot].clone_from(context.waker()),
            None => {
                self.slot = Some(waiters.len());
                waiters.push(context.waker().clone());
            }
        }
        Poll::Pending
    }
}
