//! Which records go together: a batch must not span two tables, nor two partitions of one.

use crate::event::Record;
use crate::store::Table;

/// Which table and partition a record belongs to. Ordered: a group's place in the order is its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupKey {
    pub(super) table: Table,
    pub(super) partition: u32,
}

impl GroupKey {
    pub(super) fn of_events(expires: u16) -> GroupKey {
        GroupKey {
            table: Table::Events,
            partition: u32::from(expires),
        }
    }

    /// Tells whether these are events that must be gone on `today`.
    pub(super) fn is_expired(self, today: u16) -> bool {
        self.table == Table::Events && self.partition <= u32::from(today)
    }
}

/// The records of one segment that go to one table and partition.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) seqs: Vec<u32>,
}

/// The partition keys of `schema/`, computed here because a batch must not span two.
pub(super) fn group_of(record: &Record<'_>) -> GroupKey {
    let month = |day: u16| {
        let date = crate::salts::period::date_of(day);
        date.year() as u32 * 100 + date.month() as u32
    };
    match record {
        Record::Event(event) => GroupKey::of_events(event.expires),
        Record::Consent(consent) => GroupKey {
            table: Table::Consents,
            partition: month(consent.expires),
        },
        Record::Denial(denial) => GroupKey {
            table: Table::Denials,
            partition: month(denial.day),
        },
        Record::Salt(_) => GroupKey {
            table: Table::SaltEvents,
            partition: 0,
        },
        Record::Request(request) => GroupKey {
            table: Table::Requests,
            partition: month(request.expires),
        },
        Record::Restriction(restriction) => GroupKey {
            table: Table::Restrictions,
            partition: month(restriction.expires),
        },
        Record::Access(access) => GroupKey {
            table: Table::AccessLog,
            partition: month(access.expires),
        },
        Record::Purge(_) => GroupKey {
            table: Table::Purges,
            partition: 0,
        },
        Record::Run(_) => GroupKey {
            table: Table::RetentionRuns,
            partition: 0,
        },
    }
}
