//! Date ranges: what a client wrote → site-local days or instants.
//!
//! Comes in: `date_range` and the present instant. Goes out: a [`Range`], either whole local days (whole
//! visits: a visit belongs to the day it began on, the column `day`) or a stretch of instants (events by
//! `ts`). Keywords end today: `"7d"` is today and the six days before it, `"month"` this month so far,
//! `"6mo"` this month and the five before it.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};

use crate::config::settings::Rotation;
use crate::salts::period::{date_of, day_number, local_day, next_period, period_of, start_of};

/// Labels of a graph beyond this number are no graph any more.
const MAX_LABELS: usize = 20_000;

/// What a client may write as `date_range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// From the site's first event to today.
    All,
    /// Days that are known without asking the store, or instants.
    Known(Range),
}

/// What is counted over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Local dates, both included (days since 1970-01-01).
    Days {
        /// First date.
        first: u16,
        /// Last date.
        last: u16,
    },
    /// Instants: `from` is included, `until` is not.
    Instants {
        /// First instant.
        from: Timestamp,
        /// First instant behind the range.
        until: Timestamp,
    },
}

/// That a salt was made, as `salt_events` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made {
    /// First local date of its period.
    pub(super) period: u16,
    /// When (milliseconds since 1970 UTC).
    pub(super) at_ms: i64,
    /// The site had none before.
    pub(super) is_first: bool,
}

/// How finely time is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Minutes of the wall clock.
    Minute,
    /// Hours of the wall clock.
    Hour,
    /// Local dates.
    Day,
    /// Weeks from Monday (ISO 8601), named by their Monday.
    Week,
    /// Months, named by their first.
    Month,
}

/// Reads a keyword.
///
/// # Errors
/// Why it is none.
pub(super) fn keyword(word: &str, now: Timestamp, zone: &TimeZone) -> Result<Asked, String> {
    let today = local_day(now, zone);
    let date = date_of(today);
    let months_before = |n: i64| {
        let first = date
            .first_of_month()
            .checked_sub(Span::new().months(n))
            .unwrap_or(date);
        day_number(first)
    };
    let first = match word {
        "all" => return Ok(Asked::All),
        "day" => today,
        "month" => months_before(0),
        "year" => day_number(date.first_of_year()),
        "24h" | "30m" => {
            let span = if word == "24h" {
                24.hours()
            } else {
                30.minutes()
            };
            let from = now.checked_sub(span).unwrap_or(now);
            let until = now.checked_add(1.second()).unwrap_or(now);
            return Ok(Asked::Known(Range::Instants { from, until }));
        }
        _ => {
            let (number, unit) =
                word.split_at(word.find(|c: char| !c.is_ascii_digit()).unwrap_or(0));
            match (number.parse::<u16>(), unit) {
                (Ok(n @ 1..=3_660), "d") => today.saturating_sub(n - 1),
                (Ok(n @ 1..=120), "mo") => months_before(i64::from(n) - 1),
                _ => {
                    return Err(
                        "must be \"day\", \"24h\", \"30m\", \"7d\" (1d to 3660d), \"month\", \"6mo\" \
                         (1mo to 120mo), \"year\", \"all\", or two dates or instants"
                            .into(),
                    );
                }
            }
        }
    };
    Ok(Asked::Known(Range::Days { first, last: today }))
}

/// Reads two dates (both included) or two instants (both included, the second to its last millisecond;
/// without an offset they are on the site's clock).
///
/// # Errors
/// Why they are no range.
pub(super) fn pair(from: &str, to: &str, zone: &TimeZone) -> Result<Range, String> {
    if let (Ok(first), Ok(last)) = (date(from), date(to)) {
        if first > last {
            return Err("ends before it begins".into());
        }
        return Ok(Range::Days { first, last });
    }
    let (from, to) = (instant(from, zone)?, instant(to, zone)?);
    if from > to {
        return Err("ends before it begins".into());
    }
    let until = to
        .checked_add(1.second())
        .map_err(|_| "lies beyond the year 9999")?;
    Ok(Range::Instants { from, until })
}

fn date(text: &str) -> Result<u16, ()> {
    // jiff would take "2026-11-01T10:00" for a date, and drop the time.
    let date: Date = (text.len() == 10)
        .then(|| text.parse().ok())
        .flatten()
        .ok_or(())?;
    (1_970..=2_148)
        .contains(&date.year())
        .then(|| day_number(date))
        .ok_or(())
}

fn instant(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    let wrong = || {
        "must be two dates (2026-11-01) or two instants (2026-11-01T10:00:00Z), 1970 to 2148"
            .to_owned()
    };
    let instant = match text.parse::<Timestamp>() {
        Ok(instant) => instant,
        Err(_) if text.len() > 10 => {
            let local: DateTime = text.parse().map_err(|_| wrong())?;
            local
                .to_zoned(zone.clone())
                .map_err(|_| wrong())?
                .timestamp()
        }
        Err(_) => return Err(wrong()),
    };
    let years = 1_970..=2_148;
    if years.contains(&zone.to_datetime(instant).year()) {
        Ok(instant)
    } else {
        Err(wrong())
    }
}

impl Range {
    /// Returns the local dates it touches, both included.
    pub fn days(self, zone: &TimeZone) -> (u16, u16) {
        match self {
            Range::Days { first, last } => (first, last),
            Range::Instants { from, until } => {
                let last = until.checked_sub(1.millisecond()).unwrap_or(until);
                (local_day(from, zone), local_day(last, zone))
            }
        }
    }

    /// Returns its first instant and the first behind it.
    pub fn instants(self, zone: &TimeZone) -> (Timestamp, Timestamp) {
        match self {
            Range::Days { first, last } => (
                start_of(first, zone),
                start_of(last.saturating_add(1), zone),
            ),
            Range::Instants { from, until } => (from, until),
        }
    }

    /// Returns how many salts it spans: visitors of different salts cannot be told to be the same.
    pub fn n_salts(self, zone: &TimeZone, rotation: Rotation) -> usize {
        let (first, last) = self.days(zone);
        let mut period = period_of(first, rotation);
        let mut n = 0;
        while period <= last {
            n += 1;
            if period == u16::MAX {
                break;
            }
            period = next_period(period, rotation);
        }
        n
    }

    /// Returns the instants within it at which one salt gave way to the next: who came before and after is counted
    /// twice. What is on record of the salts comes first; before the first record, the rotation that is configured.
    pub(super) fn salt_boundaries(
        self,
        zone: &TimeZone,
        rotation: Rotation,
        made: &[Made],
    ) -> Vec<Timestamp> {
        let (from, until) = self.instants(zone);
        let (first, last) = self.days(zone);
        let recorded = made.iter().map(|made| made.period).min();
        let mut boundaries = BTreeSet::new();
        let mut period = next_period(period_of(first, rotation), rotation);
        while period <= last.min(recorded.unwrap_or(u16::MAX)) && period < u16::MAX {
            boundaries.insert(start_of(period, zone));
            period = next_period(period, rotation);
        }
        for made in made {
            let start = start_of(made.period, zone);
            // Made ahead, it waits for its period; made within, it is in force at once. Before the first one of all
            // there was nothing.
            let is_first = made.is_first && recorded == Some(made.period);
            let at = Timestamp::from_millisecond(made.at_ms).unwrap_or(start);
            boundaries.insert(if is_first { start } else { at.max(start) });
        }
        boundaries.retain(|at| from < *at && *at < until);
        boundaries.into_iter().collect()
    }

    /// Returns the step a graph of this range has when the client names none.
    pub fn natural_step(self, zone: &TimeZone) -> Step {
        let (first, last) = self.days(zone);
        match last - first {
            0..=1 => Step::Hour,
            2..=92 => Step::Day,
            _ => Step::Month,
        }
    }

    /// Returns the labels a graph has, empty points included, in order.
    ///
    /// # Errors
    /// Why there are none: too many.
    pub fn labels(self, step: Step, zone: &TimeZone) -> Result<Vec<String>, String> {
        let (first, last) = self.days(zone);
        let labels = match step {
            Step::Day | Step::Week | Step::Month => (first..=last)
                .map(|day| date_label(day, step))
                .collect::<BTreeSet<_>>(),
            Step::Hour | Step::Minute => {
                let (seconds, per_day) = if step == Step::Hour {
                    (1_800, 24)
                } else {
                    (60, 1_440)
                };
                if usize::from(last - first) * per_day > MAX_LABELS {
                    return Err(format!(
                        "gives more than {MAX_LABELS} points over this range"
                    ));
                }
                let mut labels = BTreeSet::new();
                let (mut at, until) = self.instants(zone);
                // A step may pass over the last hour or minute, of which the range has a part.
                let last = until.checked_sub(1.millisecond()).unwrap_or(until);
                if at < until {
                    labels.insert(clock_label(zone.to_datetime(last), step));
                }
                while at < until {
                    labels.insert(clock_label(zone.to_datetime(at), step));
                    at = at.checked_add(seconds.seconds()).unwrap_or(until);
                }
                labels
            }
        };
        Ok(labels.into_iter().collect())
    }

    /// Returns the range of the same length that ends where this one begins.
    pub fn previous(self, match_weekday: bool) -> Range {
        self.shifted(match self {
            Range::Days { first, last } => {
                let days = i64::from(last - first) + 1;
                Shift::Days(if match_weekday {
                    (days + 6) / 7 * 7
                } else {
                    days
                })
            }
            Range::Instants { from, until } => {
                Shift::Milliseconds(until.as_millisecond().saturating_sub(from.as_millisecond()))
            }
        })
    }

    /// Returns the same dates a year earlier, and of instants the same time by the site's clock; with `match_weekday` the
    /// nearest whole weeks.
    pub fn year_before(self, match_weekday: bool, zone: &TimeZone) -> Range {
        match self {
            Range::Days { .. } if match_weekday => self.shifted(Shift::Days(364)),
            Range::Days { first, last } => {
                let earlier = |day| {
                    let date = date_of(day).checked_sub(1.year());
                    date.map_or(0, day_number)
                };
                Range::Days {
                    first: earlier(first),
                    last: earlier(last),
                }
            }
            Range::Instants { from, until } => {
                let year = match match_weekday {
                    true => 364.days(),
                    false => 1.year(),
                };
                let earlier = |at: Timestamp| {
                    let there = at.to_zoned(zone.clone()).checked_sub(year);
                    there.map_or(Timestamp::UNIX_EPOCH, |there| there.timestamp())
                };
                Range::Instants {
                    from: earlier(from),
                    until: earlier(until),
                }
            }
        }
    }

    fn shifted(self, shift: Shift) -> Range {
        match (self, shift) {
            (Range::Days { first, last }, Shift::Days(days)) => {
                let days = u16::try_from(days).unwrap_or(u16::MAX);
                Range::Days {
                    first: first.saturating_sub(days),
                    last: last.saturating_sub(days),
                }
            }
            (Range::Instants { from, until }, Shift::Milliseconds(ms)) => {
                let back = |at: Timestamp| {
                    at.checked_sub(ms.milliseconds())
                        .unwrap_or(Timestamp::UNIX_EPOCH)
                };
                Range::Instants {
                    from: back(from),
                    until: back(until),
                }
            }
            // `previous` and `year_before` pair each range with its own kind of shift.
            (range, _) => range,
        }
    }
}

enum Shift {
    Days(i64),
    Milliseconds(i64),
}

/// Names the day, week or month of a local date.
fn date_label(day: u16, step: Step) -> String {
    let date = date_of(day);
    match step {
        Step::Week => {
            let behind_monday = date.weekday().since(Weekday::Monday);
            date_of(day.saturating_sub(u16::from(behind_monday.unsigned_abs()))).to_string()
        }
        Step::Month => date.first_of_month().to_string(),
        Step::Day | Step::Hour | Step::Minute => date.to_string(),
    }
}

fn clock_label(at: DateTime, step: Step) -> String {
    let minute = if step == Step::Minute { at.minute() } else { 0 };
    format!("{} {:02}:{minute:02}:00", at.date(), at.hour())
}

#[cfg(test)]
mod tests;
