//! Stretches of days.

use std::collections::BTreeSet;

use crate::salts::period::date_of;

/// Local dates, as stretches with both ends included, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::stats) struct Spans(pub(super) Vec<(u16, u16)>);

impl Spans {
    /// Takes days in their order.
    pub(super) fn of(days: impl Iterator<Item = u16>) -> Spans {
        let mut spans: Vec<(u16, u16)> = Vec::new();
        for day in days {
            match spans.last_mut() {
                Some((_, last)) if *last + 1 == day => *last = day,
                _ => spans.push((day, day)),
            }
        }
        Spans(spans)
    }

    pub(in crate::stats) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::stats) fn all(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// The condition for a row of one of these days.
    pub(in crate::stats) fn sql(&self) -> String {
        let spans: Vec<String> = self
            .0
            .iter()
            .map(|(first, last)| {
                format!("day BETWEEN '{}' AND '{}'", date_of(*first), date_of(*last))
            })
            .collect();
        match spans.is_empty() {
            true => "0".into(),
            false => format!("({})", spans.join(" OR ")),
        }
    }

    /// The stretches in words.
    pub(in crate::stats) fn text(&self) -> String {
        let spans: Vec<String> = self
            .0
            .iter()
            .map(|(first, last)| match first == last {
                true => date_of(*first).to_string(),
                false => format!("{} to {}", date_of(*first), date_of(*last)),
            })
            .collect();
        spans.join(", ")
    }

    fn days(&self) -> impl Iterator<Item = u16> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    pub(in crate::stats) fn and(&self, other: &Spans) -> Spans {
        let mut all: Vec<u16> = self.days().chain(other.days()).collect();
        all.sort_unstable();
        Spans::of(all.into_iter())
    }

    /// The first days of the months that they are in.
    pub(super) fn firsts_of_months(&self) -> Spans {
        let first = |day: u16| day + 1 - date_of(day).day() as u16;
        let firsts: BTreeSet<u16> = self.days().map(first).collect();
        Spans::of(firsts.into_iter())
    }

    pub(super) fn less(&self, other: &Spans) -> Spans {
        let others: BTreeSet<u16> = other.days().collect();
        Spans::of(self.days().filter(|day| !others.contains(day)))
    }
}
