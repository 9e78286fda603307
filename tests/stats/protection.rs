//! Small numbers stay hidden, also from those who can subtract.

use serde_json::{Value, json};

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
