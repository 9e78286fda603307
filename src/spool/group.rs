//! The group that is being gathered, when it has gathered enough, and the waiting for its commit.
//!
//! In: encoded records, from any thread. Out: one outcome for all of them, from the writer's thread.
//! One allocation and one outcome serve the whole group; a waiting task costs its waker.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

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

    pub(super) fn ticket(&self) -> Ticket {
        Ticket(Arc::clone(&self.group))
    }
}

/// The commit that records wait for; may be kept and asked for as long as anybody likes.
#[derive(Clone)]
pub struct Ticket(Arc<Group>);

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ticket")
            .field(&self.0.outcome.get())
            .finish()
    }
}

impl Ticket {
    /// Returns whether the records are durable, or `None` while that is not decided.
    pub fn is_durable(&self) -> Option<bool> {
        self.0.outcome.get().map(Result::is_ok)
    }

    /// Waits until that is decided.
    ///
    /// # Errors
    /// As [`Spool::append`](super::Spool::append); the records are not in the spool.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing; it may be waited for again.
    pub async fn committed(&self) -> Result<(), AppendError> {
        Committed::new(Arc::clone(&self.0)).await.map(|_| ())
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

/// When a group has gathered enough.
pub(super) struct GroupRule {
    pub(super) group_records: u32,
    pub(super) group_delay: Duration,
    group_bytes: usize,
    /// Size of the previous group, if it may be a crowd of senders who wait for their answers.
    crowd: u32,
}

/// Groups below this are no crowd: at a low rate two or three records often come close together,
/// and committing them at once would make groups small for good.
const LEAST_CROWD: u32 = 4;

impl GroupRule {
    pub(super) fn new(group_records: u32, group_delay: Duration, group_bytes: usize) -> Self {
        Self {
            group_records,
            group_delay,
            group_bytes,
            crowd: u32::MAX,
        }
    }

    /// A group is due when it is large, when it is old, or when as many records as the previous
    /// group had came right after each other: then its senders were waiting for it, all are back,
    /// and no one is left to wait for.
    pub(super) fn is_due(&self, n_records: u32, bytes: usize, waited: Duration) -> bool {
        n_records >= self.group_records
            || bytes >= self.group_bytes
            || waited >= self.group_delay
            || (n_records >= self.crowd && waited <= self.crowd_window())
    }

    pub(super) fn wake_at_records(&self, waited: Duration) -> u32 {
        if waited <= self.crowd_window() {
            self.crowd.min(self.group_records)
        } else {
            self.group_records
        }
    }

    /// Short against the delay, so that steady arrivals do not look like a crowd.
    fn crowd_window(&self) -> Duration {
        self.group_delay / 8
    }

    pub(super) fn saw_group(&mut self, n_records: u32) {
        self.crowd = if n_records >= LEAST_CROWD {
            n_records
        } else {
            u32::MAX
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn rule() -> GroupRule {
        GroupRule::new(32, 8 * MS, 1 << 20)
    }

    #[test]
    fn group_is_due_when_large_or_old() {
        assert!(!rule().is_due(31, 0, 7 * MS));
        assert!(rule().is_due(32, 0, Duration::ZERO));
        assert!(rule().is_due(1, 1 << 20, Duration::ZERO));
        assert!(rule().is_due(1, 0, 8 * MS));
    }

    #[test]
    fn returning_crowd_is_not_kept_waiting() {
        let mut rule = rule();
        rule.saw_group(8);
        assert!(rule.is_due(8, 0, MS));
        assert!(!rule.is_due(7, 0, MS), "someone is missing");
        assert!(!rule.is_due(8, 0, 2 * MS), "steady arrivals are no crowd");
        rule.saw_group(LEAST_CROWD - 1);
        assert!(!rule.is_due(LEAST_CROWD - 1, 0, MS), "nor are two or three");
    }
}
