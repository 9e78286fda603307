//! What the engine and its clients do that an HTTP interface must know: one test for each.

use std::{
    io::{Read, Write},
    time::Duration,
};

use clickhouse::Row;
use hyper::StatusCode;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::support::{Engine, eventually, raw_insert, signal};

#[derive(Debug, PartialEq, Row, Serialize, Deserialize)]
struct Pair {
    n: u64,
    s: String,
}

async fn with_table() -> Engine {
    let engine = Engine::start();
    engine.sql("CREATE DATABASE b").await;
    engine
        .sql("CREATE TABLE b.t (n UInt64) ENGINE = MergeTree ORDER BY n")
        .await;
    engine
}

#[tokio::test]
async fn header_of_a_streamed_answer_comes_once() {
    let engine = Engine::start();
    let select = "SELECT number FROM numbers(1000) SETTINGS max_block_size = 10";
    for (format, header, rows) in [
        ("CSVWithNames", "\"number\"\n", 1000),
        ("TSVWithNamesAndTypes", "number\nUInt64\n", 1000),
        ("JSONCompactEachRowWithNames", "[\"number\"]\n", 1000),
    ] {
        let text = engine.sql(&format!("{select} FORMAT {format}")).await;
        assert!(text.starts_with(header), "{format}");
        assert_eq!(text.matches(header).count(), 1, "{format}");
        assert_eq!(
            text.lines().count(),
            rows + header.lines().count(),
            "{format}"
        );
    }
    let client = engine.client();
    let select =
        "SELECT number AS n, toString(number) AS s FROM numbers(5000) SETTINGS max_block_size = 7";
    let rows = client.query(select).fetch_all::<Pair>().await.unwrap();
    assert_eq!(rows.len(), 5000);
    assert_eq!(
        rows[4999],
        Pair {
            n: 4999,
            s: "4999".into()
        }
    );
}

#[tokio::test]
async fn documents_are_whole_however_many_blocks_they_have() {
    let engine = Engine::start();
    let select = "SELECT number FROM numbers(100) SETTINGS max_block_size = 10";
    let json: serde_json::Value =
        serde_json::from_str(&engine.sql(&format!("{select} FORMAT JSON")).await).unwrap();
    assert_eq!(json["rows"], 100);
    let array = engine.post(
        "output_format_json_array_of_rows=1",
        format!("{select} FORMAT JSONEachRow"),
    );
    let array: Vec<serde_json::Value> =
        serde_json::from_str(&array.await.expect_ok().text()).unwrap();
    assert_eq!(array.len(), 100);
    // As a setting of the session.
    engine
        .post("session_id=s", "SET output_format_json_array_of_rows = 1")
        .await
        .expect_ok();
    let array = engine.post("session_id=s", format!("{select} FORMAT JSONEachRow"));
    let array: Vec<serde_json::Value> =
        serde_json::from_str(&array.await.expect_ok().text()).unwrap();
    assert_eq!(array.len(), 100);
    // A header that is no strings.
    let setting = "output_format_binary_encode_types_in_binary_format=1";
    let rows = |n: usize| {
        format!(
            "SELECT number FROM numbers({n}) SETTINGS max_block_size = 10 FORMAT RowBinaryWithNamesAndTypes"
        )
    };
    let header = engine.post(setting, rows(0)).await.expect_ok().bytes;
    let all = engine.post(setting, rows(100)).await.expect_ok().bytes;
    assert_eq!(all.len(), header.len() + 100 * 8);
}

#[tokio::test]
async fn totals_and_extremes_come_behind_streamed_rows() {
    let engine = Engine::start();
    let sql = "SELECT number % 2 AS k, count() FROM numbers(4) GROUP BY k WITH TOTALS ORDER BY k FORMAT CSV";
    assert_eq!(engine.sql(sql).await, "0,2\n1,2\n\n0,4");
}

#[tokio::test]
async fn statements_that_cannot_be_streamed_are_answered_all_the_same() {
    let engine = with_table().await;
    assert!(
        engine
            .sql("DESCRIBE TABLE b.t")
            .await
            .starts_with("n\tUInt64")
    );
    assert_eq!(engine.sql("SHOW TABLES FROM b").await, "t");
    assert_eq!(engine.sql("EXISTS TABLE b.t").await, "1");
    assert!(!engine.sql("EXPLAIN SELECT 1").await.is_empty());
}

#[tokio::test]
async fn format_clause_is_found_where_it_is_one() {
    let engine = Engine::start();
    engine.sql("CREATE DATABASE b").await;
    engine.sql("CREATE TABLE b.`FORMAT` (`VALUES` String, b String) ENGINE = MergeTree ORDER BY tuple()").await;
    let insert = "INSERT INTO b.`FORMAT` (`VALUES`, b) /* SELECT */ -- FORMAT CSV\n FORMAT TSV SETTINGS insert_deduplication_token = 'FORMAT x', max_threads = 1\na\tSELECT\n";
    engine.sql(insert).await;
    engine
        .sql("INSERT INTO b.`FORMAT` VALUES ('(', 'it''s; VALUES')")
        .await;
    assert_eq!(
        engine.sql("SELECT b FROM b.`FORMAT` ORDER BY b").await,
        "SELECT\nit\\'s; VALUES"
    );
}

#[tokio::test]
async fn parameters_arrive_as_multipart_and_compression_in_every_kind() {
    let engine = with_table().await;
    let client = engine.client().with_database("b");
    client
        .query("CREATE TABLE p (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
        .execute()
        .await
        .unwrap();
    // LZ4 blocks going in, an LZ4 frame coming out.
    let mut insert = client.insert::<Pair>("p").await.unwrap();
    for n in 0..10_000 {
        insert
            .write(&Pair {
                n,
                s: format!("row {n}"),
            })
            .await
            .unwrap();
    }
    insert.end().await.unwrap();
    let select = "SELECT n, s FROM p WHERE n = {n:UInt64} AND s != {s:String}";
    let row = client
        .query(select)
        .param("n", 77)
        .param("s", "it's\t\\ \"x\"")
        .fetch_one::<Pair>()
        .await;
    assert_eq!(
        row.unwrap(),
        Pair {
            n: 77,
            s: "row 77".into()
        }
    );
}

#[tokio::test]
async fn parameter_keeps_quotes_tabs_and_backslashes() {
    let engine = Engine::start();
    let echo = engine
        .client()
        .query("SELECT {s:String}")
        .param("s", "it's\t\\ \"x\"\n")
        .fetch_one::<String>()
        .await;
    assert_eq!(echo.unwrap(), "it's\t\\ \"x\"\n");
}

#[tokio::test]
async fn failure_half_way_is_marked_and_the_body_ends_cleanly() {
    let engine = Engine::start();
    let sql = "SELECT throwIf(number = 500) FROM numbers(1000) SETTINGS max_block_size = 1";
    for coding in ["identity", "lz4", "gzip", "zstd"] {
        let reply = engine
            .send("", &[("Accept-Encoding", coding)], sql)
            .await
            .expect_ok();
        let plain = match coding {
            "gzip" => {
                let mut text = String::new();
                flate2::read::GzDecoder::new(&reply.bytes[..])
                    .read_to_string(&mut text)
                    .unwrap();
                text
            }
            "zstd" => String::from_utf8(zstd::decode_all(&reply.bytes[..]).unwrap()).unwrap(),
            "lz4" => {
                let mut text = String::new();
                lz4_flex::frame::FrameDecoder::new(&reply.bytes[..])
                    .read_to_string(&mut text)
                    .unwrap();
                text
            }
            _ => reply.text(),
        };
        let tag = reply.header("x-clickhouse-exception-tag");
        assert!(
            plain.ends_with(&format!(" {tag}\r\n__exception__\r\n")),
            "{coding}: {plain}"
        );
        assert!(plain.contains("Code: 395."), "{coding}");
    }
    // The official client finds it, too.
    let error = engine
        .client()
        .query(sql)
        .fetch_all::<u8>()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        "{error}"
    );
}

#[tokio::test]
async fn failure_before_the_first_byte_has_a_status_and_a_code() {
    let engine = Engine::start();
    let reply = engine.post("", "SELECT nosuch").await;
    assert_eq!((reply.status, reply.code()), (StatusCode::NOT_FOUND, 47));
    assert!(
        reply.text().starts_with("Code: 47. DB::Exception: "),
        "{}",
        reply.text()
    );
    let reply = engine
        .post(
            "wait_end_of_query=1",
            "SELECT throwIf(number = 500) FROM numbers(1000)",
        )
        .await;
    assert_eq!(reply.code(), 395);
}

#[tokio::test]
async fn unknown_setting_is_refused_and_readonly_is_set_last() {
    let engine = Engine::start();
    assert_eq!(engine.post("max_threadz=1", "SELECT 1").await.code(), 115);
    let reply = engine
        .post("readonly=1&max_threads=3&a_readonly_test=1", "SELECT 1")
        .await;
    assert_eq!(reply.code(), 115);
    let reply = engine
        .post(
            "readonly=1&max_threads=3",
            "SELECT getSetting('max_threads')",
        )
        .await;
    assert_eq!(reply.expect_ok().text(), "3\n");
}

/// What the engine does not enforce by itself in a session, and with a clause that reads like a setting.
#[tokio::test]
async fn readonly_2_changes_settings_and_nothing_else() {
    let engine = with_table().await;
    let level = "session_id=s&readonly=2";
    for sql in [
        "INSERT INTO b.t SETTINGS async_insert = 0 VALUES (1)",
        "ALTER TABLE b.t DELETE WHERE 1 SETTINGS mutations_sync = 1",
        "CREATE TABLE b.u (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS index_granularity = 1024",
        "KILL QUERY WHERE Settings['log_comment'] != ''",
    ] {
        for at in [level, "readonly=2"] {
            assert_eq!(engine.post(at, sql).await.code(), 164, "{at}: {sql}");
        }
    }
    engine.post(level, "SET max_threads = 3").await.expect_ok();
    let asked = "SELECT getSetting('max_threads') SETTINGS max_block_size = 10";
    assert_eq!(engine.post(level, asked).await.expect_ok().text(), "3\n");
    assert_eq!(engine.post("readonly=3", "SELECT 1").await.code(), 36);
    expect_nothing(&engine).await;
}

/// A statement is ended by the name that the engine knows it by.
#[tokio::test]
async fn a_statement_cannot_take_its_name_away() {
    let engine = with_table().await;
    for sql in [
        "SELECT 1 SETTINGS log_comment = 'x'",
        "SELECT 1 SETTINGS max_threads = 1, `log_comment` = 'x'",
        "INSERT INTO b.t SETTINGS log_comment = 'x' VALUES (1)",
    ] {
        assert_eq!(engine.sql_error(sql).await, 497, "{sql}");
    }
    let by_url = engine.post("log_comment=x", "SELECT getSetting('log_comment')");
    assert!(by_url.await.expect_ok().text().ends_with(" x\n"));
}

/// What is not UTF-8 in a URL is not replaced by something else.
#[tokio::test]
async fn bytes_of_a_url_reach_the_engine_as_they_are() {
    let engine = Engine::start();
    let hex = |query: &'static str| engine.post(query, "");
    assert_eq!(
        hex("query=SELECT+hex('%FF+%2B')").await.expect_ok().text(),
        "FF202B\n"
    );
    let param = "param_s=%FF%FE&query=SELECT+hex(%7Bs:String%7D)";
    assert_eq!(hex(param).await.expect_ok().text(), "FFFE\n");
    assert_eq!(hex("query=SELECT+1&database=%FF").await.code(), 36);
}

#[tokio::test]
async fn summary_cannot_tell_a_deduplicated_insert_from_a_written_one() {
    let engine = Engine::start();
    engine.sql("CREATE DATABASE b").await;
    engine.sql("CREATE TABLE b.t (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100").await;
    for _ in 0..2 {
        let insert = engine.post(
            "insert_deduplication_token=x",
            "INSERT INTO b.t FORMAT TSV\n1\n2\n",
        );
        let summary: serde_json::Value =
            serde_json::from_str(insert.await.expect_ok().header("x-clickhouse-summary")).unwrap();
        assert_eq!(
            summary["written_rows"], "2",
            "if this ever changes, senders may use it"
        );
    }
    assert_eq!(engine.sql("SELECT count() FROM b.t").await, "2");
}

#[tokio::test]
async fn chunked_body_without_its_last_chunk_commits_nothing() {
    let engine = with_table().await;
    let mut stream = engine.raw(&raw_insert("b.t", "Transfer-Encoding: chunked"));
    stream.write_all(b"4\r\n1\n2\n\r\n").unwrap();
    drop(stream);
    expect_nothing(&engine).await;
}

#[tokio::test]
async fn body_shorter_than_its_length_commits_nothing() {
    let engine = with_table().await;
    let mut stream = engine.raw(&raw_insert("b.t", "Content-Length: 100"));
    stream.write_all(b"1\n2\n3\n").unwrap();
    drop(stream);
    expect_nothing(&engine).await;
}

#[tokio::test]
async fn body_cut_after_many_rows_commits_nothing() {
    let engine = with_table().await;
    let mut stream = engine.raw(&raw_insert("b.t", "Transfer-Encoding: chunked"));
    // Enough for the engine to have parsed blocks of it.
    for chunk in 0..50 {
        let rows: String = (0..20_000)
            .map(|n| format!("{}\n", chunk * 20_000 + n))
            .collect();
        stream
            .write_all(format!("{:x}\r\n{rows}\r\n", rows.len()).as_bytes())
            .unwrap();
    }
    drop(stream);
    expect_nothing(&engine).await;
}

#[tokio::test]
async fn compressed_body_cut_inside_but_ended_properly_commits_nothing() {
    let engine = with_table().await;
    let rows: String = (0..50_000).map(|n| format!("{n}\n")).collect();
    let mut frame = lz4_flex::frame::FrameEncoder::new(Vec::new());
    frame.write_all(rows.as_bytes()).unwrap();
    let lz4 = frame.finish().unwrap();
    let zstd = zstd::encode_all(rows.as_bytes(), 1).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(rows.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let insert = "query=INSERT%20INTO%20b.t%20FORMAT%20TSV";
    for (coding, whole) in [("lz4", &lz4), ("zstd", &zstd), ("gzip", &gzip)] {
        for end in [whole.len() - 1, whole.len() - 4, whole.len() / 2, 3] {
            let body = whole[..end].to_vec();
            let reply = engine
                .send(insert, &[("Content-Encoding", coding)], body)
                .await;
            assert_eq!(reply.code(), 271, "{coding} cut at {end}: {}", reply.text());
        }
    }
    expect_nothing(&engine).await;
    engine
        .send(insert, &[("Content-Encoding", "lz4")], lz4)
        .await
        .expect_ok();
    assert_eq!(engine.sql("SELECT count() FROM b.t").await, "50000");
}

#[tokio::test]
async fn insert_dropped_by_the_official_client_commits_nothing() {
    let engine = with_table().await;
    let mut insert = engine
        .client()
        .insert_formatted_with("INSERT INTO b.t FORMAT TSV")
        .buffered();
    for n in 0..200_000_u32 {
        insert.write_buffered(format!("{n}\n").as_bytes());
        if n % 1000 == 0 {
            insert.flush().await.unwrap();
        }
    }
    drop(insert);
    expect_nothing(&engine).await;
}

#[tokio::test]
async fn sigterm_in_the_middle_of_an_insert_commits_nothing() {
    let mut engine = with_table().await;
    let mut stream = engine.raw(&raw_insert("b.t", "Transfer-Encoding: chunked"));
    let rows: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    stream
        .write_all(format!("{:x}\r\n{rows}\r\n", rows.len()).as_bytes())
        .unwrap();
    eventually("the insert runs", async || {
        engine
            .sql("SELECT count() FROM system.processes WHERE query LIKE 'INSERT%'")
            .await
            == "1"
    })
    .await;
    signal(&engine.child, Signal::TERM);
    let status = engine.child.wait().unwrap();
    assert!(status.success(), "{status}");
    engine.restart();
    expect_nothing(&engine).await;
}

#[tokio::test]
async fn several_statements_in_one_text_are_refused() {
    let engine = with_table().await;
    assert_eq!(engine.sql_error("SELECT 1; DROP TABLE b.t").await, 62);
    assert_eq!(engine.sql_error("DROP TABLE b.t; garbage").await, 62);
    assert_eq!(engine.sql("SELECT 1;").await, "1");
    assert_eq!(engine.sql("EXISTS TABLE b.t").await, "1");
}

#[tokio::test]
async fn client_that_goes_away_during_an_answer_leaves_no_statement_and_no_panic() {
    let engine = Engine::start();
    for coding in ["lz4", "gzip", "zstd", "identity"] {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: e\r\nX-ClickHouse-Key: {{key}}\r\nAccept-Encoding: {coding}\r\nContent-Length: 33\r\n\r\n"
        );
        let mut stream = engine.raw(&format!("{head}SELECT number FROM system.numbers"));
        stream.read_exact(&mut [0; 1000]).unwrap();
        drop(stream);
        expect_idle(&engine).await;
    }
}

#[tokio::test]
async fn client_that_goes_away_before_the_answer_cancels_its_statement() {
    let engine = Engine::start();
    // Not streamed, so only a KILL can end it.
    let sql = "SELECT sleepEachRow(1) FROM numbers(600) SETTINGS max_block_size = 1 FORMAT JSON";
    let head = "POST / HTTP/1.1\r\nHost: e\r\nX-ClickHouse-Key: {key}\r\n";
    let stream = engine.raw(&format!("{head}Content-Length: {}\r\n\r\n{sql}", sql.len()));
    eventually("the statement runs", async || running(&engine).await == "1").await;
    drop(stream);
    expect_idle(&engine).await;
}

#[tokio::test]
async fn query_id_is_answered_shown_and_killable() {
    let engine = Engine::start();
    assert_eq!(
        engine
            .post("query_id=mine", "SELECT 1")
            .await
            .header("x-clickhouse-query-id"),
        "mine"
    );
    let sql = "SELECT sleepEachRow(1) FROM numbers(600) SETTINGS max_block_size = 1 FORMAT JSON";
    let (killed, ()) = tokio::join!(engine.post("query_id=long", sql), async {
        eventually("the statement runs", async || running(&engine).await == "1").await;
        assert_eq!(engine.post("query_id=long", "SELECT 1").await.code(), 216);
        engine.sql("KILL QUERY WHERE query_id = 'long' SYNC").await;
    });
    assert_eq!(killed.code(), 394, "{}", killed.text());
}

/// Official clients send the statement as the body.
#[tokio::test]
async fn a_kill_in_the_body_does_not_wait_behind_what_it_ends() {
    let engine = Engine::start_with(&["--queries", "1"]);
    let sql = "SELECT sleepEachRow(1) FROM numbers(600) SETTINGS max_block_size = 1 FORMAT JSON";
    let (killed, ()) = tokio::join!(engine.post("query_id=long", sql), async {
        // All turns are taken: nobody can be asked whether it runs.
        eventually("the statement has been ended", async || {
            let kill = engine.post("", "KILL QUERY WHERE query_id = 'long' SYNC");
            !kill.await.expect_ok().text().is_empty()
        })
        .await;
    });
    assert_eq!(killed.code(), 394, "{}", killed.text());
}

#[tokio::test]
async fn second_engine_in_one_directory_says_so() {
    let engine = Engine::start();
    let output = crate::support::engine_command(engine.data())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains("is in use by another brine engine"), "{said}");
}

#[tokio::test]
async fn rows_of_a_failed_statement_do_not_leak_into_the_sessions_next_answer() {
    let engine = Engine::start();
    let fails = "SELECT throwIf(number = 100) FROM numbers(1000000) SETTINGS max_block_size = 10 FORMAT JSON";
    assert_eq!(engine.post("session_id=s", fails).await.code(), 395);
    assert_eq!(
        engine
            .post("session_id=s", "SELECT 7")
            .await
            .expect_ok()
            .text(),
        "7\n"
    );
    let fails = "SELECT throwIf(number = 100) FROM numbers(1000000) SETTINGS max_block_size = 10";
    engine.post("session_id=s", fails).await;
    assert_eq!(
        engine
            .post("session_id=s", "SELECT 8")
            .await
            .expect_ok()
            .text(),
        "8\n"
    );
}

async fn running(engine: &Engine) -> String {
    engine
        .sql("SELECT count() FROM system.processes WHERE query NOT LIKE '%system.processes%'")
        .await
}

async fn expect_idle(engine: &Engine) {
    eventually("no statement is left", async || {
        running(engine).await == "0"
    })
    .await;
}

/// Nothing of an interrupted insert is there, now or when it has been cancelled.
async fn expect_nothing(engine: &Engine) {
    expect_idle(engine).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(engine.sql("SELECT count() FROM b.t").await, "0");
}
