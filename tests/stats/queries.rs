//! What the query API promises, one promise a test.

use std::collections::BTreeSet;
use std::time::Duration;

use brine::event::Event;
use brine::salts::period::{day_number, start_of};
use brine::stats::request::Refusal;
use brine::stats::{Answer, QueryError};
use clickhouse::Row;
use jiff::civil::date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};

use super::support::Bench;

/// Pageviews of `/path` by so many visitors, on Sunday the 8th unless moved, ten o'clock.
fn views(site: &str, path: &str, visitors: std::ops::Range<u64>) -> Vec<Event> {
    let day = day_number(date(2026, 11, 8));
    let zone = TimeZone::get("Europe/Copenhagen").unwrap();
    let ten = start_of(day, &zone).as_millisecond() + 36_000_000;
    let view = |visitor| Event {
        site: site.into(),
        ts_ms: ten,
        day,
        expires: day_number(date(2027, 12, 1)),
        name: "pageview".into(),
        visitor: visitor + 1,
        visit: visitor + 1,
        is_interactive: true,
        path: path.into(),
        country: "DK".into(),
        ..Event::default()
    };
    visitors.map(view).collect()
}

fn moved(mut events: Vec<Event>, days: i64) -> Vec<Event> {
    for event in &mut events {
        event.day = u16::try_from(i64::from(event.day) + days).unwrap();
        event.ts_ms += days * 86_400_000;
        event.visitor += 1_000_000 * event.day as u64;
        event.visit += 1_000_000 * event.day as u64;
    }
    events
}

fn rows(answer: &Answer) -> Vec<(String, Option<f64>)> {
    answer
        .rows
        .iter()
        .map(|row| (row.dimensions.join("|"), row.metrics[0]))
        .collect()
}

fn refusal(outcome: Result<Answer, QueryError>) -> Refusal {
    match outcome {
        Err(QueryError::BadRequest(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn pages(site: &str, filters: Value) -> Value {
    json!({
        "site_id": site, "metrics": ["visitors", "pageviews"], "date_range": "7d",
        "dimensions": ["event:page"], "filters": filters,
    })
}

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
    assert_eq!(answer.meta["salts"], 7);
    assert!(answer.warnings.iter().any(|text| text.contains("7 salts")));
}

/// Every place where a client's text goes, filled with what would end or comment out a statement.
#[test]
fn no_text_of_a_clients_becomes_sql() {
    let mut bench = Bench::new("injection", 1);
    bench.limits.k = 1;
    let hostile = [
        "' OR 1=1 --",
        "\\' OR 1=1 --",
        "\\",
        "'; DROP TABLE events; --",
        "') UNION ALL SELECT 1 --",
        "/*",
        "?fields ?? ?",
        "{x:String}",
        "\0",
        "`\"\u{2019}\u{ff07}",
        "(not set)'",
        "%' AND sleep(3) --",
    ];
    let mut events = views("s0", "/", 0..5);
    for (text, n) in hostile.iter().zip(5..) {
        let mut event = views("s0", text, n..n + 1).remove(0);
        event.props = vec![((*text).to_owned(), (*text).to_owned())];
        event.source = (*text).to_owned();
        events.push(event);
    }
    bench.insert(&events, 100);
    for text in hostile {
        let own_page = bench
            .ask(&pages("s0", json!([["is", "event:page", [text]]])))
            .unwrap();
        assert_eq!(rows(&own_page), [(text.to_owned(), Some(1.0))]);
        for filter in [
            json!(["contains", "visit:source", [text]]),
            json!(["is", "visit:source", [text], { "case_sensitive": false }]),
            json!(["matches", "event:page", [regex::escape(text)]]),
            json!(["is", format!("event:props:{text}"), [text]]),
            json!(["has_done", ["is", "event:page", [text]]]),
        ] {
            let answer = bench.ask(&pages("s0", json!([filter]))).unwrap();
            let found: BTreeSet<String> = rows(&answer).into_iter().map(|(key, _)| key).collect();
            assert!(
                found.contains(text) && found.len() <= 2,
                "{filter}: {found:?}"
            );
        }
        let mut by_prop = pages("s0", json!([["is", "event:goal", [text]]]));
        assert!(bench.ask(&by_prop).unwrap().rows.is_empty());
        by_prop["filters"] = json!([]);
        by_prop["dimensions"] = json!([format!("event:props:{text}")]);
        let answer = rows(&bench.ask(&by_prop).unwrap());
        assert!(answer.contains(&(text.to_owned(), Some(1.0))), "{answer:?}");
        let mut query = pages(text, json!([]));
        assert!(
            matches!(bench.ask(&query), Err(QueryError::UnknownSite)),
            "{text}"
        );
        query["site_id"] = json!("s0");
        for key in ["metrics", "dimensions", "order_by", "date_range"] {
            let mut query = query.clone();
            query[key] = if key == "date_range" {
                json!([text, text])
            } else {
                json!([text])
            };
            assert!(refusal(bench.ask(&query)).key.starts_with(key));
        }
    }
    assert_eq!(
        bench.ask(&pages("s0", json!([]))).unwrap().rows.len(),
        1 + hostile.len()
    );
}

#[test]
fn a_refusal_names_key_value_and_reason() {
    let bench = Bench::new("refusals", 1);
    let good = pages("s0", json!([]));
    for (key, value, at, reason) in [
        ("metrics", json!(["visitor"]), "metrics[0]", "is no metric"),
        ("metrics", json!([]), "metrics", "list of names"),
        (
            "metrics",
            json!(["visits", "visits"]),
            "metrics[1]",
            "twice",
        ),
        (
            "metrics",
            json!(["conversion_rate"]),
            "metrics[0]",
            "event:goal",
        ),
        (
            "dimensions",
            json!(["visit:ip"]),
            "dimensions[0]",
            "is no dimension",
        ),
        (
            "dimensions",
            json!(["time:day", "time:hour"]),
            "dimensions[1]",
            "second division",
        ),
        ("date_range", json!("fortnight"), "date_range", "\"7d\""),
        (
            "date_range",
            json!(["2026-11-02", "2026-11-01"]),
            "date_range",
            "ends before",
        ),
        (
            "order_by",
            json!([["visits", "desc"]]),
            "order_by[0]",
            "neither",
        ),
        (
            "order_by",
            json!([["visitors", "up"]]),
            "order_by[0]",
            "asc",
        ),
        (
            "pagination",
            json!({ "limit": 10_001 }),
            "pagination.limit",
            "10000",
        ),
        (
            "pagination",
            json!({ "page": 1 }),
            "pagination.page",
            "no key",
        ),
        (
            "include",
            json!({ "time_labels": true }),
            "include.time_labels",
            "time dimension",
        ),
        (
            "include",
            json!({ "comparisons": { "mode": "x" } }),
            "include.comparisons.mode",
            "custom",
        ),
        ("filter", json!([]), "filter", "no key"),
    ] {
        let mut query = good.clone();
        query[key] = value.clone();
        let refusal = refusal(bench.ask(&query));
        assert_eq!(refusal.key, at, "{value}");
        assert!(refusal.reason.contains(reason), "{refusal}");
    }
    let mut query = good.clone();
    query["metrics"] = json!(["bounce_rate"]);
    query["dimensions"] = json!(["event:name"]);
    assert!(
        refusal(bench.ask(&query))
            .reason
            .contains("describes visits")
    );
}

#[test]
fn a_query_beyond_its_limits_ends_and_says_which() {
    let mut bench = Bench::new("limits", 1);
    bench.execute(
        "INSERT INTO events (site, day, ts, name, visitor, visit, path, expires, batch_id, seq) \
         SELECT 's0', '2026-11-08', toDateTime64('2026-11-08 10:00:00', 3, 'UTC'), 'pageview', \
         cityHash64(number), cityHash64(number), toString(cityHash64(number)), '2030-01-01', 1, number \
         FROM numbers(1500000)",
    );
    let query = pages("s0", json!([]));
    bench.limits.max_memory_mib = 64;
    let outcome = bench.ask(&query);
    assert!(
        matches!(
            outcome,
            Err(QueryError::TooExpensive {
                limit: "max_memory_mib"
            })
        ),
        "{outcome:?}"
    );
    bench.limits.max_memory_mib = 4_096;
    bench.limits.max_seconds = 1;
    let mut slow = query.clone();
    slow["filters"] = json!((0..80)
        .map(|n| json!(["contains_not", "event:page", [format!("{n}x"), format!("{n}y")], { "case_sensitive": false }]))
        .collect::<Vec<_>>());
    let outcome = bench.ask(&slow);
    assert!(
        matches!(
            outcome,
            Err(QueryError::TooExpensive {
                limit: "max_seconds"
            })
        ),
        "{outcome:?}"
    );

    // The asker leaves: soon nothing of the query runs any more.
    bench.limits.max_seconds = 60;
    let n_running = |bench: &Bench| {
        #[derive(Row, Deserialize)]
        struct Running {
            n: u64,
        }
        let sql = "SELECT count() AS n FROM system.processes WHERE current_database = 'limits' \
            AND query LIKE '%s_visitors%' AND query NOT LIKE '%system.processes%'";
        bench
            .runtime
            .block_on(bench.store.client.query_raw(sql).fetch_one::<Running>())
            .unwrap()
            .n
    };
    let body = slow.to_string();
    let now = super::support::NOW.parse().unwrap();
    bench.runtime.block_on(async {
        let answer = brine::stats::answer(
            &bench.store.client,
            &bench.sites,
            &bench.limits,
            body.as_bytes(),
            now,
        );
        let left = tokio::time::timeout(Duration::from_millis(700), answer).await;
        assert!(left.is_err(), "the query was to be slow");
    });
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while n_running(&bench) > 0 {
        assert!(std::time::Instant::now() < deadline, "still running");
        std::thread::sleep(Duration::from_millis(50));
    }
}
