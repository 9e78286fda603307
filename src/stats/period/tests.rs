use super::*;

fn copenhagen() -> TimeZone {
    TimeZone::get("Europe/Copenhagen").unwrap()
}

fn days(first: &str, last: &str) -> Range {
    pair(first, last, &copenhagen()).unwrap()
}

#[test]
fn keywords_end_today_on_the_sites_clock() {
    let zone = copenhagen();
    let now: Timestamp = "2026-11-21T23:30:00Z".parse().unwrap(); // already the 22nd there
    for (word, first, last) in [
        ("day", "2026-11-22", "2026-11-22"),
        ("7d", "2026-11-16", "2026-11-22"),
        ("28d", "2026-10-26", "2026-11-22"),
        ("month", "2026-11-01", "2026-11-22"),
        ("6mo", "2026-06-01", "2026-11-22"),
        ("12mo", "2025-12-01", "2026-11-22"),
        ("year", "2026-01-01", "2026-11-22"),
    ] {
        assert_eq!(
            keyword(word, now, &zone),
            Ok(Asked::Known(days(first, last))),
            "{word}"
        );
    }
    assert_eq!(keyword("all", now, &zone), Ok(Asked::All));
    for word in ["", "d", "0d", "9999d", "7", "7w", "-7d", "mo", "Day"] {
        assert!(keyword(word, now, &zone).is_err(), "{word}");
    }
}

#[test]
fn pairs_are_dates_or_instants_and_in_order() {
    let zone = copenhagen();
    let instants = pair("2026-11-01T10:00:00", "2026-11-01T10:59:59Z", &zone).unwrap();
    let (from, until) = instants.instants(&zone);
    assert_eq!(from.to_string(), "2026-11-01T09:00:00Z");
    assert_eq!(until.to_string(), "2026-11-01T11:00:00Z");
    for (from, to) in [
        ("2026-11-02", "2026-11-01"),
        ("2026-11-01", "tomorrow"),
        ("1969-12-31", "2026-11-01"),
        ("2026-11-01", "9999-01-01"),
        ("2026-02-30", "2026-03-01"),
        ("2026-11-01", "2026-11-01T10:00:00Z"),
    ] {
        assert!(pair(from, to, &zone).is_err(), "{from} {to}");
    }
}

#[test]
fn labels_follow_the_clock_through_daylight_saving() {
    let zone = copenhagen();
    let labels = |range: Range, step| range.labels(step, &zone).unwrap();
    // The hour that is skipped has no label; the one that comes twice has one.
    assert_eq!(
        labels(days("2026-03-29", "2026-03-29"), Step::Hour).len(),
        23
    );
    assert_eq!(
        labels(days("2026-10-25", "2026-10-25"), Step::Hour).len(),
        24
    );
    assert_eq!(
        labels(days("2026-11-01", "2026-11-01"), Step::Minute).len(),
        1_440
    );
    assert_eq!(
        labels(days("2026-11-01", "2026-11-09"), Step::Week),
        ["2026-10-26", "2026-11-02", "2026-11-09"]
    );
    assert_eq!(
        labels(days("2026-11-30", "2026-12-01"), Step::Month),
        ["2026-11-01", "2026-12-01"]
    );
    let year = days("2026-01-01", "2026-12-31");
    assert!(year.labels(Step::Minute, &zone).is_err());
}

#[test]
fn comparisons_end_where_the_range_begins() {
    let range = days("2026-11-09", "2026-11-15");
    assert_eq!(range.previous(false), days("2026-11-02", "2026-11-08"));
    let ten = days("2026-11-06", "2026-11-15");
    assert_eq!(ten.previous(false), days("2026-10-27", "2026-11-05"));
    assert_eq!(ten.previous(true), days("2026-10-23", "2026-11-01"));
    assert_eq!(
        range.year_before(false, &copenhagen()),
        days("2025-11-09", "2025-11-15")
    );
    assert_eq!(
        range.year_before(true, &copenhagen()),
        days("2025-11-10", "2025-11-16")
    );
}

fn instants(from: &str, until: &str) -> Range {
    Range::Instants {
        from: from.parse().unwrap(),
        until: until.parse().unwrap(),
    }
}

#[test]
fn a_year_before_is_the_same_time_by_the_sites_clock() {
    let zone = copenhagen();
    // Behind a leap day; and with summer time a day longer than in the year before.
    let range = instants("2028-06-01T10:00:00Z", "2028-06-02T10:00:00Z");
    let before = instants("2027-06-01T10:00:00Z", "2027-06-02T10:00:00Z");
    assert_eq!(range.year_before(false, &zone), before);
    let range = instants("2026-03-29T10:00:00Z", "2026-10-24T10:00:00Z");
    let before = instants("2025-03-29T11:00:00Z", "2025-10-24T10:00:00Z");
    assert_eq!(range.year_before(false, &zone), before);
    let weeks = instants("2025-03-30T10:00:00Z", "2025-10-25T10:00:00Z");
    assert_eq!(range.year_before(true, &zone), weeks);
}

#[test]
fn every_instant_of_a_range_has_its_label() {
    let zone = copenhagen();
    for minutes in 0..200 {
        let from: Timestamp = "2026-11-20T10:45:10Z".parse().unwrap();
        let until = from.checked_add((minutes * 7 + 1).minutes()).unwrap();
        let range = Range::Instants { from, until };
        for step in [Step::Hour, Step::Minute] {
            let labels = range.labels(step, &zone).unwrap();
            for at in [from, until.checked_sub(1.millisecond()).unwrap()] {
                let label = clock_label(zone.to_datetime(at), step);
                assert!(labels.contains(&label), "{label} in {range:?}");
            }
        }
    }
}

#[test]
fn salts_in_a_range_are_counted_by_rotation() {
    let zone = copenhagen();
    let range = days("2026-11-01", "2026-11-30"); // the 1st is a Sunday
    assert_eq!(range.n_salts(&zone, Rotation::Day), 30);
    assert_eq!(range.n_salts(&zone, Rotation::Week), 6);
    assert_eq!(range.n_salts(&zone, Rotation::Month), 1);
    for rotation in [Rotation::Day, Rotation::Week, Rotation::Month] {
        let boundaries = range.salt_boundaries(&zone, rotation, &[]);
        assert_eq!(boundaries.len() + 1, range.n_salts(&zone, rotation));
    }
}

#[test]
fn salts_change_at_local_midnight_also_where_clocks_change() {
    let zone = copenhagen();
    let texts = |range: Range, rotation, made: &[Made]| -> Vec<String> {
        let at = range.salt_boundaries(&zone, rotation, made);
        at.iter().map(ToString::to_string).collect()
    };
    // The clocks go back on the 25th, and forward on the 29th of March.
    let autumn = days("2026-10-24", "2026-10-26");
    let expected = ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"];
    assert_eq!(texts(autumn, Rotation::Day, &[]), expected);
    let spring = days("2026-03-28", "2026-03-30");
    let expected = ["2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"];
    assert_eq!(texts(spring, Rotation::Day, &[]), expected);
    assert_eq!(texts(spring, Rotation::Week, &[]), ["2026-03-29T22:00:00Z"]);
    // Of a stretch of instants, those strictly within.
    let from_midnight = pair("2026-10-25T00:00:00", "2026-10-26T09:00:00", &zone).unwrap();
    let expected = ["2026-10-25T23:00:00Z"];
    assert_eq!(texts(from_midnight, Rotation::Day, &[]), expected);
}

#[test]
fn what_is_on_record_of_the_salts_wins_over_the_configured_rotation() {
    let zone = copenhagen();
    let day = |text: &str| day_number(text.parse().unwrap());
    let made = |period: &str, at: &str, is_first| Made {
        period: day(period),
        at_ms: at.parse::<Timestamp>().unwrap().as_millisecond(),
        is_first,
    };
    // Daily salts until the operator chose weeks at noon of Wednesday the 4th: that week's salt took over at once.
    let record = [
        made("2026-11-02", "2026-11-02T10:00:00Z", true),
        made("2026-11-03", "2026-11-02T21:30:00Z", false),
        made("2026-11-04", "2026-11-03T21:30:00Z", false),
        made("2026-11-02", "2026-11-04T11:00:00Z", false),
        made("2026-11-09", "2026-11-08T21:30:00Z", false),
        // A second salt of that week, after a leak.
        made("2026-11-09", "2026-11-10T08:00:00Z", false),
        // Made ahead, and not in force within the range.
        made("2026-11-16", "2026-11-15T21:30:00Z", false),
    ];
    let range = days("2026-10-26", "2026-11-15");
    let at = range.salt_boundaries(&zone, Rotation::Week, &record);
    let at: Vec<String> = at.iter().map(ToString::to_string).collect();
    assert_eq!(
        at,
        [
            "2026-11-01T23:00:00Z",
            "2026-11-02T23:00:00Z",
            "2026-11-03T23:00:00Z",
            "2026-11-04T11:00:00Z",
            "2026-11-08T23:00:00Z",
            "2026-11-10T08:00:00Z",
        ]
    );
}
