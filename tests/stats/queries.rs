//! What numbers mean, one statement a test.

use serde_json::json;

use super::support::{Bench, moved, pages, rows, sites_toml, views};

#[test]
fn a_visit_over_midnight_is_one_visit_of_the_day_it_began() {
    let mut bench = Bench::new("midnight", 1);
    bench.limits.k = 1;
    let mut events = [views("s0", "/", 0..1), views("s0", "/", 0..1)].concat();
    let ten = events[0].ts_ms;
    events[0].ts_ms = ten + 13 * 3_600_000 + 50 * 60_000;
    events[1].ts_ms = ten + 14 * 3_600_000 + 20 * 60_000;
    bench.insert(&events, 100);
    let by = |step: &str| {
        let query = json!({
            "site_id": "s0", "metrics": ["pageviews", "visits", "visit_duration"], "date_range": "7d",
            "dimensions": [step],
        });
        let answer = bench.ask(&query).unwrap();
        (rows(&answer), answer.rows[0].metrics.clone())
    };
    let expected = vec![Some(2.0), Some(1.0), Some(1_800.0)];
    assert_eq!(
        by("time:day"),
        (vec![("2026-11-08".into(), Some(2.0))], expected.clone())
    );
    assert_eq!(
        by("time:hour"),
        (vec![("2026-11-08 23:00:00".into(), Some(2.0))], expected)
    );
}

/// Two pages opened within one millisecond, stored in two parts, the later one first.
#[test]
fn events_of_one_millisecond_stand_in_the_order_of_arrival() {
    let mut bench = Bench::new("ties", 1);
    let first = views("s0", "/first", 0..10);
    let second = views("s0", "/second", 0..10);
    bench.insert(&[views("s0", "/first", 90..100), second].concat(), 100);
    bench.insert(&first, 100);
    let by = |dimension: &str| {
        let query = json!({
            "site_id": "s0", "metrics": ["visits"], "date_range": "7d", "dimensions": [dimension],
            "order_by": [[dimension, "asc"]],
        });
        rows(&bench.ask(&query).unwrap())
    };
    assert_eq!(by("visit:entry_page"), [("/first".into(), Some(20.0))]);
    let exits = [
        ("/first".into(), Some(10.0)),
        ("/second".into(), Some(10.0)),
    ];
    assert_eq!(by("visit:exit_page"), exits);
}

#[test]
fn pages_of_an_answer_join_up_with_the_folded_row_last() {
    let mut bench = Bench::new("paging", 1);
    let mut events = views("s0", "/tiny", 0..2);
    for n in 0..9u64 {
        events.extend(views("s0", &format!("/{n}"), 0..10 + n));
    }
    bench.insert(&events, 100);
    let page = |offset: u64| {
        let mut query = pages("s0", json!([]));
        query["pagination"] = json!({ "limit": 4, "offset": offset });
        query["include"] = json!({ "total_rows": true });
        let answer = bench.ask(&query).unwrap();
        assert_eq!(answer.meta["total_rows"], 9);
        assert_eq!(answer.n_suppressed, 2);
        rows(&answer)
            .into_iter()
            .map(|(key, _)| key)
            .collect::<Vec<_>>()
    };
    assert_eq!(page(0), ["/8", "/7", "/6", "/5"]);
    assert_eq!(page(4), ["/4", "/3", "/2", "/1"]);
    assert_eq!(page(8), ["(other)"]);
    assert!(page(12).is_empty());
    let mut query = pages("s0", json!([]));
    query["order_by"] = json!([["event:page", "desc"]]);
    query["pagination"] = json!({ "limit": 2 });
    assert_eq!(rows(&bench.ask(&query).unwrap())[0].0, "/8");
}

#[test]
fn a_comparison_stands_beside_each_row() {
    let mut bench = Bench::new("compare", 1);
    let last_week = [views("s0", "/a", 0..10), views("s0", "/b", 0..20)].concat();
    let events = [
        views("s0", "/a", 0..15),
        views("s0", "/b", 0..10),
        moved(last_week, -7),
    ]
    .concat();
    bench.insert(&events, 200);
    let mut query = pages("s0", json!([]));
    query["date_range"] = json!(["2026-11-02", "2026-11-08"]);
    query["include"] = json!({ "comparisons": { "mode": "previous_period" } });
    let answer = bench.ask(&query).unwrap().to_json();
    assert_eq!(
        answer["results"][0]["comparison"]["metrics"],
        json!([10, 10])
    );
    assert_eq!(
        answer["results"][0]["comparison"]["change"],
        json!([50.0, 50.0])
    );
    assert_eq!(
        answer["results"][1]["comparison"]["change"],
        json!([-50.0, -50.0])
    );
    query["dimensions"] = json!(["time:day"]);
    query["include"]["time_labels"] = json!(true);
    let answer = bench.ask(&query).unwrap().to_json();
    assert_eq!(answer["meta"]["time_labels"].as_array().unwrap().len(), 7);
    assert_eq!(answer["results"][0]["dimensions"], json!(["2026-11-08"]));
    assert_eq!(
        answer["results"][0]["comparison"]["dimensions"],
        json!(["2026-11-01"])
    );
    assert_eq!(
        answer["results"][0]["comparison"]["metrics"],
        json!([20, 30])
    );
}

#[test]
fn a_conversion_rate_is_of_the_visitors_without_the_goal() {
    let mut bench = Bench::new("conversion", 1);
    let mut signups = views("s0", "/", 0..10);
    signups
        .iter_mut()
        .for_each(|event| event.name = "Signup".into());
    bench.insert(&[views("s0", "/", 0..40), signups].concat(), 100);
    let query = json!({
        "site_id": "s0.example.test", "metrics": ["conversion_rate", "visitors"], "date_range": "all",
        "filters": [["is", "event:goal", ["Signup"]]],
    });
    assert_eq!(
        bench.ask(&query).unwrap().rows[0].metrics,
        [Some(25.0), Some(10.0)]
    );
    let query = json!({
        "site_id": "s0", "metrics": ["conversion_rate"], "date_range": "7d", "dimensions": ["event:goal"],
    });
    assert_eq!(
        rows(&bench.ask(&query).unwrap()),
        [("Signup".into(), Some(25.0))]
    );
}

#[test]
fn amounts_of_several_currencies_are_not_added() {
    let mut bench = Bench::new("money", 1);
    let mut sales = views("s0", "/", 0..20);
    for (event, n) in sales.iter_mut().zip(0..) {
        event.revenue = 2.5;
        event.currency = if n < 10 { "DKK" } else { "EUR" }.into();
    }
    bench.insert(&sales, 100);
    let mut query = json!({ "site_id": "s0", "metrics": ["total_revenue"], "date_range": "7d" });
    let answer = bench.ask(&query).unwrap();
    assert_eq!(answer.rows[0].metrics, [None]);
    assert!(
        answer
            .warnings
            .iter()
            .any(|text| text.contains("currencies"))
    );
    query["dimensions"] = json!(["event:currency"]);
    let answer = bench.ask(&query).unwrap().to_json();
    assert_eq!(
        answer["results"][0]["metrics"],
        json!([{ "value": 25.0, "currency": "DKK" }])
    );
}

#[test]
fn an_answer_says_how_many_consented_and_how_new_it_is() {
    let mut bench = Bench::new("consent", 2);
    bench.insert(&views("s0", "/", 0..3), 100);
    bench.execute(
        "INSERT INTO consents (scope, site, ts, choice, expires) VALUES \
         ('s0', 's0', '2026-11-08 10:00:00', 'grant', '2030-01-01'), \
         ('s0', 's0', '2026-11-08 11:00:00', 'grant', '2030-01-01'), \
         ('s0', 's0', '2026-11-08 12:00:00', 'grant', '2030-01-01'), \
         ('s0', 's0', '2026-11-08 12:00:00', 'withdraw', '2030-01-01'), \
         ('s0', 's0', '2026-10-08 12:00:00', 'grant', '2030-01-01'), \
         ('s1', 's1', '2026-11-08 12:00:00', 'grant', '2030-01-01')",
    );
    bench.execute("INSERT INTO denials (site, day, denials) VALUES ('s0', '2026-11-08', 1), ('s1', '2026-11-08', 9)");
    let query = json!({ "site_id": "s0", "metrics": ["visitors"], "date_range": "7d" });
    let answer = bench.ask(&query).unwrap();
    assert_eq!(
        answer.meta["consent"],
        json!({ "grants": 3, "denials": 1, "coverage": 0.75 })
    );
    assert_eq!(answer.meta["newest_event"], "2026-11-08T09:00:00Z");
    // Of a range that is over, and of a site that fell silent long before the range, it is the same one.
    for range in ["2026-03-01", "2027-06-01"] {
        let query =
            json!({ "site_id": "s0", "metrics": ["visitors"], "date_range": [range, range] });
        let answer = bench.ask(&query).unwrap();
        assert_eq!(
            answer.meta["newest_event"], "2026-11-08T09:00:00Z",
            "{range}"
        );
    }
    let query = json!({ "site_id": "s1", "metrics": ["visitors"], "date_range": "7d" });
    assert_eq!(
        bench.ask(&query).unwrap().meta["newest_event"],
        serde_json::Value::Null
    );
    assert_eq!(answer.meta["salts"], 7);
    let boundaries = answer.meta["salt_boundaries"].as_array().unwrap();
    assert_eq!(boundaries.len(), 6);
    assert_eq!(boundaries[0], "2026-11-04T00:00:00+01:00");
    assert!(answer.warnings.iter().any(|text| text.contains("7 salts")));
}

/// Which salts there were is on record: also days under another rotation, and a salt replaced after a leak.
#[test]
fn an_answer_says_when_one_salt_gave_way_to_the_next() {
    let bench = Bench::with_sites("boundaries", &sites_toml(1, "rotation = \"week\""));
    let boundaries = || {
        let query = json!({
            "site_id": "s0", "metrics": ["visitors"], "date_range": ["2026-10-19", "2026-11-08"],
        });
        let answer = bench.ask(&query).unwrap();
        let boundaries = answer.meta["salt_boundaries"].as_array().unwrap().clone();
        assert_eq!(answer.meta["salts"], 1 + boundaries.len());
        boundaries
    };
    // As configured, over the night on which the clocks go back.
    assert_eq!(
        boundaries(),
        ["2026-10-26T00:00:00+01:00", "2026-11-02T00:00:00+01:00"]
    );
    bench.execute(
        "INSERT INTO salt_events (site, period, ts, step, reason) VALUES \
         ('s0', '2026-10-24', '2026-10-24 09:00:00', 'created', 'first_start'), \
         ('s0', '2026-10-25', '2026-10-24 21:30:00', 'created', 'rotation'), \
         ('s0', '2026-10-25', '2026-10-24 21:31:00', 'created', 'rotation'), \
         ('s0', '2026-10-24', '2026-10-25 00:00:00', 'destroyed', 'grace_over'), \
         ('s0', '2026-10-26', '2026-10-25 22:30:00', 'created', 'rotation'), \
         ('s0', '2026-11-02', '2026-11-01 22:30:00', 'created', 'rotation'), \
         ('s0', '2026-11-02', '2026-11-04 08:00:00', 'created', 'operator'), \
         ('s1', '2026-11-05', '2026-11-04 22:30:00', 'created', 'rotation')",
    );
    assert_eq!(
        boundaries(),
        [
            "2026-10-24T00:00:00+02:00",
            "2026-10-25T00:00:00+02:00",
            "2026-10-26T00:00:00+01:00",
            "2026-11-02T00:00:00+01:00",
            "2026-11-04T09:00:00+01:00",
        ]
    );
}
