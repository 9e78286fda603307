//! What is noted of counted days, in `derived_days`.
//!
//! Comes in: what a site's day was counted from, and what its rows hold. Goes out: the statement that says so, with the
//! number that stands on the rows.

use super::{FORM, Print};
use crate::retention::rules::literal;
use crate::stats::literal as text;

/// What is noted of a site's day that was counted.
pub(super) struct Note<'a> {
    pub(super) print: &'a Print,
    /// Above 0: the day is final.
    pub(super) k: u32,
    pub(super) n_beside: u64,
    pub(super) time_zone: &'a str,
    pub(super) has_vitals: bool,
    pub(super) funnels: Vec<u64>,
    pub(super) rotation: &'a str,
}

/// SQL: notes what days were counted from.
pub(super) fn note<'a>(counting: u64, notes: impl Iterator<Item = Note<'a>>) -> String {
    let rows: Vec<String> = notes
        .map(|note| {
            let Note {
                print, k, n_beside, ..
            } = note;
            format!(
                "({}, toDate({}), {counting}, {}, {}, {n_beside}, {k}, {FORM}, {}, {}, {}, {:?}, {})",
                literal(&print.site),
                print.day,
                print.n_events,
                print.checksum,
                text(note.time_zone),
                u8::from(note.has_vitals),
                print.n_vitals,
                note.funnels,
                text(note.rotation),
            )
        })
        .collect();
    format!(
        "INSERT INTO derived_days SELECT t.1, t.2, t.3, t.4, t.5, t.6, t.7, t.8, t.9, t.10, t.11, t.12, t.13 FROM (SELECT arrayJoin([{}]) AS t)",
        rows.join(", ")
    )
}
