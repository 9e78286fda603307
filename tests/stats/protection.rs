//! Small numbers stay hidden, also from those who can subtract.

use brine::event::Event;
use serde_json::{Value, json};

use super::property::TODAY;
use super::support::{Bench, moved, pages, rows, views};

#[test]
fn one_small_row_takes_the_next_smallest_along() {
    let mut bench = Bench::new("fold", 1);
    let events = [
        views("s0", "/big", 0..30),
        views("s0", "/mid", 0..7),
        views("s0", "/rare", 0..2),
    ];
    bench.insert(&events.concat(), 100);
    let answer = bench.ask(&pages("s0", json!([]))).unwrap();
    // "/rare" alone would be the total less the rest. Both were seen by the same people: 7, not 9.
    assert_eq!(
        rows(&answer),
        [("/big".into(), Some(30.0)), ("(other)".into(), Some(7.0))]
    );
    assert_eq!(answer.rows[1].metrics[1], Some(9.0));
    assert_eq!(answer.n_suppressed, 2);
}

#[test]
fn small_rows_that_are_one_person_take_another_along() {
    let mut bench = Bench::new("fold_same", 1);
    let events = [
        views("s0", "/big", 0..30),
        views("s0", "/mid", 10..16),
        views("s0", "/my/1", 0..1),
        views("s0", "/my/2", 0..1),
    ];
    bench.insert(&events.concat(), 100);
    let answer = bench.ask(&pages("s0", json!([]))).unwrap();
    assert_eq!(
        rows(&answer),
        [("/big".into(), Some(30.0)), ("(other)".into(), Some(7.0))]
    );
}

#[test]
fn a_filter_may_neither_single_out_nor_spare_a_few() {
    let mut bench = Bench::new("gate", 1);
    let events = [views("s0", "/", 0..30), views("s0", "/rare", 0..2)];
    bench.insert(&events.concat(), 100);
    let total = |filters: Value| {
        let answer = bench.ask(&json!({
            "site_id": "s0", "metrics": ["visitors"], "date_range": "7d", "filters": filters,
        }));
        answer.unwrap().rows[0].metrics[0]
    };
    assert_eq!(total(json!([["is", "event:page", ["/"]]])), Some(30.0));
    assert_eq!(total(json!([["is", "event:page", ["/none"]]])), Some(0.0));
    assert_eq!(total(json!([["is", "event:page", ["/rare"]]])), None);
    assert_eq!(
        total(json!([["has_not_done", ["is", "event:page", ["/rare"]]]])),
        None
    );
    let answer = bench
        .ask(&pages("s0", json!([["is", "event:page", ["/rare"]]])))
        .unwrap();
    assert!(answer.rows.is_empty());
    assert!(
        answer
            .warnings
            .iter()
            .any(|text| text.contains("fewer than 5")),
        "{:?}",
        answer.warnings
    );
}

#[test]
fn hours_with_few_visitors_have_no_value_and_days_of_the_whole_site_do() {
    let mut bench = Bench::new("points", 1);
    let mut events = [views("s0", "/", 0..20), moved(views("s0", "/", 0..3), -1)].concat();
    for event in &mut events[..3] {
        event.ts_ms += 3_600_000;
    }
    bench.insert(&events, 100);
    let by = |step: &str| {
        let query = json!({
            "site_id": "s0", "metrics": ["visitors"], "date_range": ["2026-11-07", "2026-11-08"],
            "dimensions": [step],
        });
        rows(&bench.ask(&query).unwrap())
    };
    assert_eq!(
        by("time:day"),
        [
            ("2026-11-07".into(), Some(3.0)),
            ("2026-11-08".into(), Some(20.0))
        ]
    );
    assert_eq!(
        by("time:hour"),
        [
            ("2026-11-07 10:00:00".into(), None),
            ("2026-11-08 10:00:00".into(), Some(17.0)),
            ("2026-11-08 11:00:00".into(), None),
        ]
    );
}

/// Thirty Danes and so many others.
fn with_others(others: u64, days: i64) -> Vec<Event> {
    let mut events = views("s0", "/", 0..30 + others);
    for event in &mut events[30..] {
        event.country = "US".into();
    }
    moved(events, days)
}

#[test]
fn whoever_has_none_of_what_a_breakdown_is_about_is_not_spared_by_its_filter() {
    let mut bench = Bench::new("gate_goals", 1);
    let mut events = with_others(4, 0);
    let mut signed = events[..20].to_vec();
    signed.extend_from_slice(&events[30..32]);
    for event in &mut signed {
        event.name = "Signup".into();
    }
    events.extend(signed);
    bench.insert(&events, 100);
    for dimensions in [json!([]), json!(["event:goal"]), json!(["event:name"])] {
        let ask = |filters: Value| {
            let query = json!({
                "site_id": "s0", "metrics": ["visitors"], "date_range": "7d", "filters": filters, "dimensions": dimensions,
            });
            rows(&bench.ask(&query).unwrap())
        };
        assert!(!ask(json!([])).is_empty());
        // Twenty-two have signed up, without the Americans twenty.
        let spared = ask(json!([["is_not", "visit:country", ["US"]]]));
        assert!(spared.iter().all(|(_, n)| n.is_none()), "{spared:?}");
    }
}

#[test]
fn a_point_of_which_a_filter_spares_few_has_no_value() {
    let mut bench = Bench::new("gate_points", 1);
    let days = [with_others(9, -6), with_others(3, -5), with_others(12, -4)];
    let mut today = with_others(10, 0);
    // At ten, three Americans, and the others at eleven.
    for event in &mut today[33..] {
        event.ts_ms += 3_600_000;
    }
    bench.insert(&[days.concat(), today].concat(), 500);
    let by = |bench: &Bench, dimensions: Value, range: [&str; 2]| {
        let query = json!({
            "site_id": "s0", "metrics": ["visitors"], "date_range": range, "dimensions": dimensions,
            "filters": [["is_not", "visit:country", ["US"]]],
        });
        rows(&bench.ask(&query).unwrap())
    };
    // The third of November, and the next smallest beside it.
    let by_day = [
        ("2026-11-02".into(), None),
        ("2026-11-03".into(), None),
        ("2026-11-04".into(), Some(30.0)),
        ("2026-11-08".into(), Some(30.0)),
    ];
    let november = ["2026-11-01", "2026-11-09"];
    let both = json!(["time:day", "visit:country"]);
    let by_both = |bench: &Bench| {
        let rows = by(bench, both.clone(), november);
        let rows = rows.into_iter();
        let without = |(key, n): (String, Option<f64>)| (key.replace("|DK", ""), n);
        rows.map(without).collect::<Vec<_>>()
    };
    assert_eq!(by(&bench, json!(["time:day"]), november), by_day);
    assert_eq!(by_both(&bench), by_day);
    let eighth = by(&bench, json!(["time:hour"]), ["2026-11-08", "2026-11-08"]);
    assert!(eighth.iter().all(|(_, n)| n.is_none()), "{eighth:?}");
    // Closed days are read from `visits`, and who there was from `daily`.
    assert_eq!(bench.derive(TODAY), 3);
    assert_eq!(by(&bench, json!(["time:day"]), november), by_day);
    assert_eq!(by_both(&bench), by_day);
    let week = by(&bench, json!(["time:week"]), november);
    assert_eq!(week, [("2026-11-02".into(), Some(120.0))]);
}

#[test]
fn hours_that_are_few_people_together_take_another_along() {
    let mut bench = Bench::new("low_points", 1);
    let mut events = [views("s0", "/", 0..30), views("s0", "/", 40..48)].concat();
    for event in &mut events[30..] {
        event.ts_ms += 3 * 3_600_000;
    }
    for (event, hours) in events[..2].iter_mut().zip([1, 2]) {
        event.ts_ms += hours * 3_600_000;
    }
    bench.insert(&events, 100);
    let query = json!({
        "site_id": "s0", "metrics": ["events"], "date_range": ["2026-11-08", "2026-11-08"], "dimensions": ["time:hour"],
    });
    let shown: Vec<Option<f64>> = rows(&bench.ask(&query).unwrap())
        .into_iter()
        .map(|(_, n)| n)
        .collect();
    assert_eq!(shown, [Some(28.0), None, None, None]);
}

#[test]
fn an_amount_of_few_buyers_is_not_what_is_missing_from_the_total() {
    let mut bench = Bench::new("amounts", 1);
    let mut events = views("s0", "/", 0..40);
    for (event, i) in events.iter_mut().zip(0..) {
        event.country = ["DK", "SE", "NO", "FI"][i % 4].into();
        // Ten Danes buy, three Swedes, seven Norwegians, and no Finn.
        if i / 4 < [10, 3, 7, 0][i % 4] {
            event.name = "Purchase".into();
            (event.revenue, event.currency) = (10.0 + i as f64, "DKK".into());
        }
    }
    bench.insert(&events, 100);
    let ask = |dimensions: Value| {
        let query = json!({
            "site_id": "s0", "metrics": ["total_revenue", "visitors"], "date_range": ["2026-11-08", "2026-11-08"],
            "dimensions": dimensions, "order_by": [["visit:country", "asc"]],
        });
        rows(&bench.ask(&query).unwrap())
    };
    let danes: f64 = (0..10).map(|i| 10.0 + f64::from(4 * i)).sum();
    assert_eq!(
        ask(json!(["visit:country"])),
        [
            ("DK".into(), Some(danes)),
            ("FI".into(), None),
            ("NO".into(), None),
            ("SE".into(), None),
        ]
    );
    // Together with the day it is the same.
    assert_eq!(
        ask(json!(["visit:country", "time:day"]))[0],
        ("DK|2026-11-08".into(), Some(danes))
    );
}

#[test]
fn how_visits_went_that_few_began_on_a_page_is_not_told() {
    let mut bench = Bench::new("begun", 1);
    let mut events = views("s0", "/", 0..20);
    let mut second = views("s0", "/b", 0..20);
    for event in &mut second {
        event.ts_ms += 60_000;
    }
    // One of them began there.
    (events[0].path, second[0].path) = ("/b".into(), "/".into());
    events.extend(second);
    bench.insert(&moved(events, -4), 100);
    let figures = |bench: &Bench| {
        let query = json!({
            "site_id": "s0", "metrics": ["visitors", "bounce_rate", "visit_duration"], "date_range": ["2026-11-01", "2026-11-09"],
            "dimensions": ["event:page"],
        });
        let rows = bench.ask(&query).unwrap().rows.into_iter();
        rows.map(|row| (row.dimensions.concat(), row.metrics))
            .collect::<Vec<_>>()
    };
    let expected = [
        ("/".to_owned(), vec![Some(20.0), Some(0.0), Some(60.0)]),
        ("/b".to_owned(), vec![Some(20.0), None, None]),
    ];
    assert_eq!(figures(&bench), expected);
    assert_eq!(bench.derive(TODAY), 1);
    assert_eq!(figures(&bench), expected);
}
