//! What a client may send, and what it gets for it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use brine::stats::request::Refusal;
use brine::stats::{Answer, QueryError};
use clickhouse::Row;
use serde::Deserialize;
use serde_json::json;

use super::support::{Bench, NOW, pages, rows, views};

fn refusal(outcome: Result<Answer, QueryError>) -> Refusal {
    match outcome {
        Err(QueryError::BadRequest(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
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
    let body = slow.to_string();
    let now = NOW.parse().unwrap();
    let n_seen = bench.runtime.block_on(async {
        let (client, sites, limits) = (&bench.store.client, &bench.sites, &bench.limits);
        let answer = brine::stats::answer(client, sites, limits, body.as_bytes(), now);
        let seen = async {
            loop {
                match n_running(&bench).await {
                    0 => tokio::time::sleep(Duration::from_millis(10)).await,
                    n => break n,
                }
            }
        };
        tokio::select! {
            answer = answer => panic!("the query was to be slow: {answer:?}"),
            n = seen => n,
        }
    });
    assert_eq!(n_seen, 1);
    let deadline = Instant::now() + Duration::from_secs(10);
    while bench.runtime.block_on(n_running(&bench)) > 0 {
        assert!(Instant::now() < deadline, "still running");
    }
}

/// Countings that ClickHouse is at.
async fn n_running(bench: &Bench) -> u64 {
    #[derive(Row, Deserialize)]
    struct Running {
        n: u64,
    }
    let sql = "SELECT count() AS n FROM system.processes WHERE current_database = 'limits' \
        AND query LIKE '%s_visitors%' AND query NOT LIKE '%system.processes%'";
    bench
        .store
        .client
        .query_raw(sql)
        .fetch_one::<Running>()
        .await
        .unwrap()
        .n
}
