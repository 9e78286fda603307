//! How a range is divided.
//!
//! Comes in: which days are read from where. Goes out: the same, with what a reader must know about it.

use std::sync::Arc;

use super::{Dimensioned, Form, Lost, Spans, Stored};

/// Where the days of a range are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::stats) struct Plan {
    pub(in crate::stats) form: Form,
    /// Closed days, from roll-ups.
    pub(in crate::stats) counted: Spans,
    /// Those of them that are a month's, and stand in `daily` added up.
    pub(in crate::stats) months: Spans,
    /// Days whose events are gone, from final rows.
    pub(in crate::stats) gone: Spans,
    /// Days whose events are gone, and whose final rows cannot answer this.
    pub(in crate::stats) lost: Spans,
    /// The others; none: all of the range.
    pub(in crate::stats) open: Option<Spans>,
    /// Which events there are; none: not known.
    pub(in crate::stats) stored: Option<Arc<Stored>>,
}

impl Plan {
    /// Everything from `events`.
    pub(in crate::stats) fn events(stored: Option<Arc<Stored>>) -> Plan {
        Plan {
            form: Form::Events,
            counted: Spans::default(),
            months: Spans::default(),
            gone: Spans::default(),
            lost: Spans::default(),
            open: None,
            stored,
        }
    }

    /// The same with closed days from `events`, too.
    pub(in crate::stats) fn recounted(&self) -> Plan {
        Plan {
            counted: Spans::default(),
            months: Spans::default(),
            open: self.open.as_ref().map(|open| open.and(&self.counted)),
            ..self.clone()
        }
    }

    /// Tells whether anything is read from roll-ups.
    pub(in crate::stats) fn is_used(&self) -> bool {
        !self.counted.is_empty() || !self.gone.is_empty()
    }

    /// Tells whether another reads the same days from where this one does.
    pub(in crate::stats) fn is_same(&self, other: &Plan) -> bool {
        self.counted == other.counted
            && self.months == other.months
            && self.gone == other.gone
            && self.lost == other.lost
            && self.open == other.open
    }

    /// What `daily` is asked for, where it is.
    pub(in crate::stats) fn dimensioned(&self) -> Option<&Dimensioned> {
        match &self.form {
            Form::Daily(dimensioned, _) if self.is_used() => Some(dimensioned),
            Form::Daily(..) | Form::Funnel(_) | Form::Visits | Form::Events => None,
        }
    }

    /// How days whose events are gone stand in its answer.
    pub(in crate::stats) fn what_is_lost(&self) -> Lost {
        match (self.gone.is_empty(), self.lost.is_empty()) {
            (true, true) => Lost::Nothing,
            (false, true) => Lost::Details,
            (_, false) => Lost::Days,
        }
    }

    /// What a reader must know about days whose events are gone.
    pub(in crate::stats) fn warnings(&self, k: u32) -> Vec<String> {
        let told = (!self.gone.is_empty()).then(|| {
            format!(
                "the events of {} are gone: these days are counted from final roll-ups, in which what is about fewer \
                 than {k} visitors a day stands under (other)",
                self.gone.text()
            )
        });
        let lost = (!self.lost.is_empty()).then(|| {
            format!(
                "the events of {} are gone: nothing of these days is counted here",
                self.lost.text()
            )
        });
        told.into_iter().chain(lost).collect()
    }
}
