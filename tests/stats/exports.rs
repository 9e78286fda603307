//! README, "Query API": CSV and JSON are written while they are read, say what one answer says, and end with their reader.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use brine::engine::connect;
use brine::engine::home::{Key, default_socket};
use brine::stats::QueryError;
use brine::stats::export::{Format, export};
use serde_json::{Value, json};

use super::running::Builder;
use super::support::{Bench, NOW, moved, pages, views};

pub(crate) fn exported(
    bench: &Bench,
    query: &Value,
    format: Format,
) -> Result<Vec<String>, QueryError> {
    let body = query.to_string();
    bench.runtime.block_on(async {
        let (client, sites) = (&bench.store.client, &bench.sites);
        let now = NOW.parse().unwrap();
        let mut export = export(client, sites, &bench.limits, body.as_bytes(), now, format).await?;
        let mut pieces = Vec::new();
        while let Some(piece) = export.piece().await? {
            pieces.push(piece);
        }
        Ok(pieces)
    })
}

#[test]
fn an_export_says_what_one_answer_says() {
    let mut bench = Bench::new("export_same", 1);
    let mut events = [
        views("s0", "/big", 0..30),
        views("s0", "/mid", 0..7),
        views("s0", "/rare", 0..2),
        moved(views("s0", "/big", 0..12), -7),
    ]
    .concat();
    for (i, event) in events.iter_mut().enumerate() {
        event.currency = ["DKK", "EUR"][i % 2].into();
        event.revenue = 1.5;
    }
    bench.insert(&events, 100);
    let with = |more: Value| {
        let mut query = json!({ "site_id": "s0", "metrics": ["visitors"], "date_range": "7d" });
        for (key, value) in more.as_object().unwrap() {
            query[key] = value.clone();
        }
        query
    };
    let compared = json!({ "comparisons": { "mode": "previous_period" } });
    for query in [
        pages("s0", json!([])),
        pages("s0", json!([["is", "event:page", ["/big"]]])),
        // Withheld as a whole, without and with dimensions.
        pages("s0", json!([["is", "event:page", ["/rare"]]])),
        with(json!({ "filters": [["is", "event:page", ["/rare"]]], "include": compared })),
        with(
            json!({ "dimensions": ["time:day"], "metrics": ["visitors", "consent_rate"], "include": { "comparisons": { "mode": "previous_period" }, "time_labels": true } }),
        ),
        with(
            json!({ "dimensions": ["time:hour"], "date_range": "day", "include": { "time_labels": true } }),
        ),
        with(
            json!({ "dimensions": ["event:page"], "include": { "comparisons": { "mode": "previous_period" } } }),
        ),
        with(json!({ "metrics": ["total_revenue", "visitors"], "dimensions": ["event:page"] })),
        with(
            json!({ "dimensions": ["event:page"], "include": { "total_rows": true }, "pagination": { "limit": 1, "offset": 1 } }),
        ),
        with(json!({ "dimensions": ["event:page"], "pagination": { "limit": 0 } })),
        with(json!({ "date_range": ["2020-01-01", "2020-01-02"], "dimensions": ["event:page"] })),
    ] {
        let answer = bench.ask(&query).unwrap();
        let text = exported(&bench, &query, Format::Json).unwrap().concat();
        let written: Value = serde_json::from_str(&text).expect(&text);
        assert_eq!(written, answer.to_json(), "{query}");
        let csv = exported(&bench, &query, Format::Csv).unwrap().concat();
        assert_eq!(csv.lines().count(), 1 + answer.rows.len(), "{query}: {csv}");
        for (line, row) in csv.lines().skip(1).zip(&answer.rows) {
            assert!(line.starts_with(&row.dimensions.join(",")), "{line}");
        }
    }
    let refused = with(json!({ "include": compared, "pagination": { "limit": 10_001 } }));
    assert!(matches!(
        exported(&bench, &refused, Format::Json),
        Err(QueryError::BadRequest(_))
    ));
}

/// By how much a withheld number has changed would tell it.
#[test]
fn what_is_withheld_is_not_told_by_its_change() {
    let mut bench = Bench::new("export_change", 1);
    let events = [
        views("s0", "/", 0..30),
        views("s0", "/rare", 0..3),
        moved(views("s0", "/", 0..30), -7),
        moved(views("s0", "/rare", 0..12), -7),
    ];
    bench.insert(&events.concat(), 100);
    let query = json!({
        "site_id": "s0", "metrics": ["visitors"], "date_range": "7d",
        "filters": [["is", "event:page", ["/rare"]]],
        "include": { "comparisons": { "mode": "previous_period" } },
    });
    let answer = bench.ask(&query).unwrap().to_json();
    let row = &answer["results"][0];
    assert_eq!(row["metrics"], json!([null]));
    assert_eq!(row["comparison"]["metrics"], json!([12]));
    assert_eq!(row["comparison"]["change"], json!([null]));
}

/// As many rows as nobody would hold in memory for an answer, all different.
fn many(site: &str, day: &str, n: u64) -> String {
    format!(
        "INSERT INTO events (site, day, ts, name, visitor, visit, path, expires, batch_id) \
         SELECT '{site}', {day}, toDateTime64({day}, 3, 'UTC') + 43200, 'pageview', number + 1, number + 1, \
         concat('/', leftPad(toString(number), 7, '0'), repeat('x', 150)), {day} + 400, 1 FROM numbers({n})"
    )
}

#[test]
fn an_export_comes_in_pieces_and_pages_go_on_where_the_last_ended() {
    let mut bench = Bench::new("export_pieces", 1);
    bench.limits.k = 1;
    bench.execute(&many("s0", "toDate('2026-11-08')", 30_000));
    let query = |limit: u64, offset: u64| {
        json!({
            "site_id": "s0", "metrics": ["visitors"], "date_range": "7d", "dimensions": ["event:page"],
            "pagination": { "limit": limit, "offset": offset },
        })
    };
    let whole = exported(&bench, &query(1_000_000, 0), Format::Csv).unwrap();
    assert!(whole.len() > 100, "{} pieces", whole.len());
    let longest = whole.iter().map(String::len).max().unwrap();
    assert!(longest < 64 << 10, "{longest} bytes");
    let whole = whole.concat();
    assert_eq!(whole.lines().count(), 30_001);
    let pages = [(20_000, 0), (20_000, 20_000)].map(|(limit, offset)| {
        let page = exported(&bench, &query(limit, offset), Format::Csv).unwrap();
        let page = page.concat();
        page.lines()
            .skip(1)
            .map(|line| format!("{line}\r\n"))
            .collect::<String>()
    });
    assert_eq!(whole, format!("event:page,visitors\r\n{}", pages.concat()));
    let json = exported(&bench, &query(30_000, 0), Format::Json)
        .unwrap()
        .concat();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["results"].as_array().unwrap().len(), 30_000);
}

#[tokio::test]
async fn a_reader_who_hangs_up_ends_the_statement() {
    let brine = Builder::new().set("QUERY__K", "1").start();
    brine.wait_for("SELECT count() FROM events", 0);
    let engine = brine.data().join("engine");
    let key = Key::read(&engine).unwrap();
    let client = connect::client(&default_socket(&engine), &key).with_database("brine");
    client
        .query_raw(&many("portal", "yesterday()", 300_000))
        .execute()
        .await
        .unwrap();
    let running = async || {
        let sql = "SELECT count() FROM system.processes WHERE query LIKE '%numbered AS%' AND query NOT LIKE '%processes%'";
        client.query_raw(sql).fetch_one::<u64>().await.unwrap()
    };
    for accept in ["text/csv", "application/json"] {
        let query = json!({
            "site_id": "portal", "metrics": ["visitors"], "date_range": "7d", "dimensions": ["event:page"],
            "pagination": { "limit": 1_000_000 },
        });
        let body = query.to_string();
        let mut reader = TcpStream::connect(brine.admin).unwrap();
        write!(
            reader,
            "POST /api/v1/query HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nAccept: {accept}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            brine.admin,
            brine.operator(),
            body.len()
        )
        .unwrap();
        let mut start = [0; 4_000];
        reader.read_exact(&mut start).unwrap();
        let start = String::from_utf8_lossy(&start).into_owned();
        assert!(start.starts_with("HTTP/1.1 200"), "{start}");
        assert!(start.contains("brine-total-rows: 300000"), "{start}");
        // It waits for its reader.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(running().await, 1, "{accept}");
        drop(reader);
        let left = Instant::now();
        while running().await != 0 {
            assert!(
                left.elapsed() < Duration::from_secs(10),
                "{accept}: it runs on"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
