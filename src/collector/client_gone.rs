//! Beacons whose client left: they end, and are counted, too.

use std::sync::Arc;

use super::{Collector, Live};
use crate::config::Site;
use crate::metrics::NO_SITE;
use crate::outcome::Outcome;

/// Counts a request whose client left before it was read.
pub struct Unread {
    collector: Arc<Collector>,
    is_batch: bool,
    is_read: bool,
}

impl Unread {
    /// Begins when the head of a beacon's request is there.
    pub fn beacon(collector: Arc<Collector>) -> Unread {
        Unread::new(collector, false)
    }

    /// The same for a request that may hold several; how many nobody knows.
    pub fn batch(collector: Arc<Collector>) -> Unread {
        Unread::new(collector, true)
    }

    fn new(collector: Arc<Collector>, is_batch: bool) -> Unread {
        Unread {
            collector,
            is_batch,
            is_read: false,
        }
    }

    /// Ends: the beacon was read, or counted as unreadable.
    pub fn read(mut self) {
        self.is_read = true;
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if self.is_read {
            return;
        }
        if self.is_batch {
            self.collector.count_batch(NO_SITE, Outcome::ClientGone);
        } else {
            self.collector.live.load().count(None, Outcome::ClientGone);
        }
    }
}

/// Counts a beacon whose client left while its record was on the way to the disk.
pub(super) struct Unanswered<'a> {
    pub(super) live: &'a Live,
    pub(super) site: &'a Arc<Site>,
    pub(super) is_answered: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.live.count(Some(self.site), Outcome::ClientGone);
        }
    }
}

/// Counts a batch whose client left while its records were on the way to the disk.
pub(crate) struct UnansweredBatch<'a> {
    collector: &'a Collector,
    site: &'a str,
    is_answered: bool,
}

impl UnansweredBatch<'_> {
    /// Begins before the records are handed in.
    pub(crate) fn begin<'a>(collector: &'a Collector, site: &'a str) -> UnansweredBatch<'a> {
        UnansweredBatch {
            collector,
            site,
            is_answered: false,
        }
    }

    /// Ends: what became of the batch is known, and counted.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.is_answered = true;
        self.collector.count_batch(self.site, outcome);
    }
}

impl Drop for UnansweredBatch<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.collector.count_batch(self.site, Outcome::ClientGone);
        }
    }
}
