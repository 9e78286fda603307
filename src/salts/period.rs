//! Periods: which local date an instant belongs to, and which salt.
//!
//! A period is named by its first local date. jiff knows every zone's daylight saving; a local midnight
//! that does not exist (clocks skip it) or exists twice is the first instant of that date. Leap seconds
//! do not exist in UTC timestamps; the second before midnight is then two seconds long.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::config::settings::Rotation;

/// Days from 1970-01-01 to `date`, from 0 (and before) to 65535 (year 2149): ClickHouse's `Date`.
pub fn day_number(date: Date) -> u16 {
    let epoch = Date::constant(1970, 1, 1);
    let days = date.duration_since(epoch).as_hours() / 24;
    u16::try_from(days).unwrap_or(if days < 0 { 0 } else { u16::MAX })
}

/// Returns the date of a day number.
pub fn date_of(day: u16) -> Date {
    // 65,535 days after 1970 is the year 2149, well inside jiff's years.
    Date::constant(1970, 1, 1)
        .checked_add(i64::from(day).days())
        .unwrap_or(Date::MAX)
}

/// Returns the local date at `now`, as a day number.
pub fn local_day(now: Timestamp, zone: &TimeZone) -> u16 {
    day_number(zone.to_datetime(now).date())
}

/// Returns the first local date of the period that `day` lies in.
pub fn period_of(day: u16, rotation: Rotation) -> u16 {
    let date = date_of(day);
    match rotation {
        Rotation::Day => day,
        Rotation::Week => day.saturating_sub(date.weekday().since(Weekday::Monday) as u16),
        Rotation::Month => day_number(date.first_of_month()),
    }
}

/// Returns the first local date after the period that starts on `period`.
pub fn next_period(period: u16, rotation: Rotation) -> u16 {
    match rotation {
        Rotation::Day => period.saturating_add(1),
        Rotation::Week => period.saturating_add(7),
        Rotation::Month => period.saturating_add(date_of(period).days_in_month() as u16),
    }
}

/// Returns the first instant of the local date `day`.
pub fn start_of(day: u16, zone: &TimeZone) -> Timestamp {
    date_of(day)
        .to_zoned(zone.clone())
        .and_then(|midnight| midnight.start_of_day())
        .map_or(Timestamp::MAX, |start| start.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_midnight_divides_the_days_through_daylight_saving() {
        let zone = TimeZone::get("Europe/Copenhagen").unwrap();
        for (instant, day) in [
            ("2026-03-28T22:59:59Z", "2026-03-28"),
            ("2026-03-28T23:00:00Z", "2026-03-29"), // the day that loses an hour
            ("2026-03-29T21:59:59Z", "2026-03-29"),
            ("2026-03-29T22:00:00Z", "2026-03-30"),
            ("2026-10-24T22:00:00Z", "2026-10-25"), // the day that gains one
            ("2026-10-25T22:59:59Z", "2026-10-25"),
            ("2026-10-25T23:00:00Z", "2026-10-26"),
        ] {
            let now: Timestamp = instant.parse().unwrap();
            assert_eq!(date_of(local_day(now, &zone)).to_string(), day, "{instant}");
            assert!(start_of(local_day(now, &zone), &zone) <= now);
            assert!(start_of(local_day(now, &zone) + 1, &zone) > now);
        }
        // Beirut's clocks skip midnight itself.
        let beirut = TimeZone::get("Asia/Beirut").unwrap();
        let day = day_number(jiff::civil::date(2022, 3, 27));
        assert_eq!(start_of(day, &beirut).to_string(), "2022-03-26T22:00:00Z");
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let day = day_number(jiff::civil::date(2026, 11, 22)); // a Sunday
        assert_eq!(
            date_of(period_of(day, Rotation::Week)).to_string(),
            "2026-11-16"
        );
        assert_eq!(
            date_of(period_of(day, Rotation::Month)).to_string(),
            "2026-11-01"
        );
        assert_eq!(
            date_of(next_period(
                period_of(day, Rotation::Month),
                Rotation::Month
            ))
            .to_string(),
            "2026-12-01"
        );
        assert_eq!(
            next_period(period_of(day, Rotation::Week), Rotation::Week),
            day + 1
        );
    }
}
