//! ClickHouse's HTTP interface, as its documentation and its clients describe it.

use std::io::{Read, Write};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::StatusCode;

use crate::support::{Engine, PATIENCE, eventually};

#[tokio::test]
async fn statement_may_stand_in_the_url_the_body_or_both() {
    let engine = Engine::start();
    assert_eq!(engine.post("query=SELECT%201", "").await.text(), "1\n");
    assert_eq!(engine.post("", "SELECT 1").await.text(), "1\n");
    assert_eq!(engine.post("query=SELECT", "1").await.text(), "1\n");
}

#[tokio::test]
async fn data_may_follow_the_statement_in_the_body_or_be_the_body() {
    let engine = Engine::start();
    engine.sql("CREATE DATABASE b").await;
    engine
        .sql("CREATE TABLE b.t (n UInt64) ENGINE = MergeTree ORDER BY n")
        .await;
    engine.sql("INSERT INTO b.t FORMAT CSV\n1\n2\n").await;
    engine.sql("INSERT INTO b.t VALUES (3), (4)").await;
    engine
        .post("query=INSERT%20INTO%20b.t%20FORMAT%20CSV", "5\n6")
        .await
        .expect_ok();
    engine
        .post("query=INSERT%20INTO%20b.t%20VALUES", "(7),(8)")
        .await
        .expect_ok();
    engine
        .post("query=INSERT%20INTO%20b.t", "VALUES (9)")
        .await
        .expect_ok();
    engine
        .post("query=INSERT%20INTO%20b.t&default_format=CSV", "10\n")
        .await
        .expect_ok();
    engine
        .post("", "INSERT INTO b.t SELECT 11")
        .await
        .expect_ok();
    let data = [
        &b"INSERT INTO b.t FORMAT RowBinary\n"[..],
        &12_u64.to_le_bytes(),
    ]
    .concat();
    engine.post("", data).await.expect_ok();
    assert_eq!(
        engine
            .sql("SELECT groupArray(n) FROM (SELECT n FROM b.t ORDER BY n)")
            .await,
        "[1,2,3,4,5,6,7,8,9,10,11,12]"
    );
}

#[tokio::test]
async fn bad_data_commit_nothing_and_say_why() {
    let engine = Engine::start();
    engine.sql("CREATE DATABASE b").await;
    engine
        .sql("CREATE TABLE b.t (n UInt64) ENGINE = MergeTree ORDER BY n")
        .await;
    for (sql, code) in [
        ("INSERT INTO b.t FORMAT CSV\n1\nx\n", 117),
        ("INSERT INTO b.t (nosuch) FORMAT CSV\n1\n", 16),
        ("INSERT INTO b.nosuch FORMAT CSV\n1\n", 60),
        ("INSERT INTO b.t FORMAT NoSuch\n1\n", 73),
        ("INSERT INTO b.t FORMAT RowBinary\nabc", 33),
    ] {
        assert_eq!(engine.sql_error(sql).await, code, "{sql}");
    }
    assert_eq!(engine.sql("SELECT count() FROM b.t").await, "0");
}

#[tokio::test]
async fn database_and_default_format_count_where_the_statement_names_none() {
    let engine = Engine::start();
    engine.sql("CREATE DATABASE `b-1`").await;
    engine
        .post(
            "database=b-1",
            "CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n",
        )
        .await
        .expect_ok();
    let reply = engine
        .post(
            "database=b-1&default_format=JSONEachRow",
            "SELECT count() AS n FROM t",
        )
        .await;
    assert_eq!(reply.text(), "{\"n\":0}\n");
    assert_eq!(reply.header("x-clickhouse-format"), "JSONEachRow");
    let reply = engine
        .post("default_format=JSONEachRow", "SELECT 1 FORMAT CSV")
        .await;
    assert_eq!(
        (reply.text().as_str(), reply.header("x-clickhouse-format")),
        ("1\n", "CSV")
    );
    assert_eq!(engine.post("database=nosuch", "SELECT 1").await.code(), 81);
}

#[tokio::test]
async fn every_way_to_present_the_key_is_taken() {
    let engine = Engine::start_with(&["--listen", "127.0.0.1:0"]);
    let key = engine.key();
    let basic = format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("default:{}", key.expose()))
    );
    let bearer = format!("Bearer {}", key.expose());
    for headers in [[
        ("X-ClickHouse-User", "default"),
        ("X-ClickHouse-Key", key.expose()),
    ]] {
        engine
            .send("query=SELECT%201", &headers, "")
            .await
            .expect_ok();
    }
    for header in [&basic, &bearer] {
        let request = format!(
            "GET /?query=SELECT%201 HTTP/1.1\r\nHost: e\r\nAuthorization: {header}\r\nConnection: close\r\n\r\n"
        );
        let mut text = String::new();
        engine.raw(&request).read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    }
    let url = format!(
        "GET /?user=default&password={}&query=SELECT%201 HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n",
        key.expose()
    );
    let mut stream = std::net::TcpStream::connect(engine.address()).unwrap();
    stream.write_all(url.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[tokio::test]
async fn get_only_reads() {
    let engine = Engine::start();
    let mut text = String::new();
    let request = "GET /?query=CREATE%20DATABASE%20b HTTP/1.1\r\nHost: e\r\nX-ClickHouse-Key: {key}\r\nConnection: close\r\n\r\n";
    engine.raw(request).read_to_string(&mut text).unwrap();
    assert!(text.contains("Code: 164."), "{text}");
}

#[tokio::test]
async fn ping_needs_no_key_and_other_paths_are_not_there() {
    let engine = Engine::start();
    for (path, answer) in [
        ("/ping", "HTTP/1.1 200"),
        ("/", "HTTP/1.1 200"),
        ("/play", "HTTP/1.1 404"),
    ] {
        let mut text = String::new();
        let request = format!("GET {path} HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n");
        engine.raw(&request).read_to_string(&mut text).unwrap();
        assert!(text.starts_with(answer), "{path}: {text}");
    }
}

#[tokio::test]
async fn clickhouses_own_blocks_go_both_ways() {
    let engine = Engine::start();
    engine.sql("CREATE DATABASE b").await;
    engine
        .sql("CREATE TABLE b.t (n UInt64) ENGINE = MergeTree ORDER BY n")
        .await;
    let block = engine
        .post("compress=1", "SELECT number FROM numbers(100000)")
        .await
        .expect_ok()
        .bytes;
    assert_eq!(block[16], 0x82, "an LZ4 block");
    engine
        .post(
            "decompress=1&query=INSERT%20INTO%20b.t%20FORMAT%20TSV",
            block.clone(),
        )
        .await
        .expect_ok();
    assert_eq!(engine.sql("SELECT sum(n) FROM b.t").await, "4999950000");
    let mut damaged = block.to_vec();
    damaged[40] ^= 1;
    let reply = engine
        .post(
            "decompress=1&query=INSERT%20INTO%20b.t%20FORMAT%20TSV",
            damaged,
        )
        .await;
    assert_eq!(reply.code(), 271);
}

#[tokio::test]
async fn answer_is_encoded_as_the_client_accepts() {
    let engine = Engine::start();
    let sql = "SELECT number % 3 FROM numbers(1000)";
    let plain = engine.post("", sql).await.text();
    for (accept, coding) in [
        ("gzip, deflate", "gzip"),
        ("zstd", "zstd"),
        ("lz4", "lz4"),
        ("br", ""),
        ("gzip;q=0", ""),
    ] {
        let reply = engine
            .send("", &[("Accept-Encoding", accept)], sql)
            .await
            .expect_ok();
        assert_eq!(reply.header("content-encoding"), coding);
        assert!(
            coding.is_empty() || reply.bytes.len() < plain.len(),
            "{accept}"
        );
    }
    let reply = engine
        .send(
            "enable_http_compression=0",
            &[("Accept-Encoding", "gzip")],
            sql,
        )
        .await;
    assert_eq!(reply.text(), plain);
}

#[tokio::test]
async fn summary_tells_what_was_read_and_written() {
    let engine = Engine::start();
    engine.sql("CREATE DATABASE b").await;
    engine
        .sql("CREATE TABLE b.t (n UInt64) ENGINE = MergeTree ORDER BY n")
        .await;
    let summary = |reply: crate::support::Reply| {
        serde_json::from_str::<serde_json::Value>(reply.expect_ok().header("x-clickhouse-summary"))
            .unwrap()
    };
    let insert = summary(
        engine
            .post("", "INSERT INTO b.t FORMAT CSV\n1\n2\n3\n")
            .await,
    );
    assert_eq!(insert["written_rows"], "3");
    let select = summary(
        engine
            .post("wait_end_of_query=1", "SELECT n FROM b.t")
            .await,
    );
    assert_eq!(
        (&select["read_rows"], &select["result_rows"]),
        (&"3".into(), &"3".into())
    );
}

#[tokio::test]
async fn session_keeps_tables_and_settings_but_not_the_requests_own() {
    let engine = Engine::start();
    let session = "session_id=s&session_timeout=60";
    engine
        .post(session, "CREATE TEMPORARY TABLE t (n UInt64)")
        .await
        .expect_ok();
    engine
        .post(session, "INSERT INTO t VALUES (1), (2)")
        .await
        .expect_ok();
    engine
        .post(session, "SET max_threads = 7")
        .await
        .expect_ok();
    let asked = engine
        .post(
            "session_id=s&max_threads=3&database=system",
            "SELECT getSetting('max_threads'), currentDatabase()",
        )
        .await;
    assert_eq!(asked.text(), "3\tsystem\n");
    let after = engine
        .post(
            session,
            "SELECT getSetting('max_threads'), currentDatabase(), sum(n) FROM t",
        )
        .await;
    assert_eq!(after.text(), "7\tdefault\t3\n");
    assert_eq!(
        engine.sql_error("SELECT * FROM t").await,
        60,
        "other requests do not see it"
    );
    assert_eq!(
        engine
            .post("session_id=other&session_check=1", "SELECT 1")
            .await
            .code(),
        372
    );
}

#[tokio::test]
async fn session_in_use_is_refused_and_idle_session_ends() {
    let engine = Engine::start();
    // Whichever comes first has the session; on a busy machine they may even miss each other.
    eventually("one of two at once is refused", async || {
        let (a, b) = tokio::join!(
            engine.post("session_id=s", "SELECT sleep(1)"),
            engine.post("session_id=s", "SELECT sleep(1)")
        );
        a.code() == 373 || b.code() == 373
    })
    .await;
    engine
        .post("session_id=short&session_timeout=1", "SELECT 1")
        .await
        .expect_ok();
    eventually("the session has ended", async || {
        tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
        engine
            .post(
                "session_id=short&session_check=1&session_timeout=1",
                "SELECT 1",
            )
            .await
            .code()
            == 372
    })
    .await;
}

#[tokio::test]
async fn roles_and_external_tables_are_refused_by_name() {
    let engine = Engine::start();
    assert_eq!(engine.post("role=admin", "SELECT 1").await.code(), 511);
    let form = "--x\r\nContent-Disposition: form-data; name=\"t\"; filename=\"t.csv\"\r\n\r\n1\r\n--x--\r\n";
    let headers = [("Content-Type", "multipart/form-data; boundary=x")];
    assert_eq!(
        engine.send("query=SELECT%201", &headers, form).await.code(),
        48
    );
}

#[tokio::test]
async fn statement_that_is_too_long_is_refused_and_long_data_are_not() {
    let engine = Engine::start();
    let long = format!("SELECT 1 -- {}", "x".repeat(300_000));
    assert_eq!(engine.post("", long).await.code(), 62);
    engine.sql("CREATE DATABASE b").await;
    engine
        .sql("CREATE TABLE b.t (n UInt64) ENGINE = MergeTree ORDER BY n")
        .await;
    let rows: String = (0..300_000).map(|n| format!("({n}),")).collect();
    engine
        .post(
            "",
            format!("INSERT INTO b.t VALUES {}", rows.trim_end_matches(',')),
        )
        .await
        .expect_ok();
    assert_eq!(engine.sql("SELECT count() FROM b.t").await, "300000");
}

#[tokio::test]
async fn head_that_is_too_large_is_refused() {
    let engine = Engine::start();
    let mut text = String::new();
    let request = format!(
        "GET /?query={} HTTP/1.1\r\nHost: e\r\n\r\n",
        "x".repeat(200_000)
    );
    let mut stream = std::os::unix::net::UnixStream::connect(engine.socket()).unwrap();
    // The engine may close before it has read everything.
    stream.write_all(request.as_bytes()).ok();
    stream.read_to_string(&mut text).ok();
    assert!(text.starts_with("HTTP/1.1 4"), "{text}");
    let settings: String = (0..1001).map(|n| format!("&param_p{n}=1")).collect();
    assert_eq!(engine.post(&settings[1..], "SELECT 1").await.code(), 36);
}

#[tokio::test]
async fn concurrent_statements_wait_for_their_turn() {
    let engine = Engine::start_with(&["--queries", "2"]);
    let slow = || engine.post("", "SELECT sleep(0.3)");
    let replies = tokio::join!(slow(), slow(), slow(), slow());
    for reply in [replies.0, replies.1, replies.2, replies.3] {
        assert_eq!(reply.status, StatusCode::OK);
    }
}

/// Whoever can reach the port, and says nothing, takes no place of the socket's clients.
#[tokio::test]
async fn silent_guests_on_the_port_leave_the_socket_alone() {
    let engine = Engine::start_with(&["--listen", "127.0.0.1:0", "--connections", "4"]);
    let mut guests: Vec<std::net::TcpStream> = (0..8)
        .map(|_| std::net::TcpStream::connect(engine.address()).unwrap())
        .collect();
    // All but one are turned away.
    for guest in &mut guests[1..] {
        guest.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(matches!(guest.read(&mut [0]), Ok(0) | Err(_)));
    }
    for _ in 0..8 {
        assert_eq!(engine.sql("SELECT 1").await, "1");
    }
}

/// 20 million rows in and out; what is not streamed would show as hundreds of megabytes.
#[tokio::test]
async fn memory_stays_flat_while_streaming() {
    let engine = Engine::start();
    let before = rss_kib(&engine);
    let client = engine
        .client()
        .with_compression(clickhouse::Compression::None);
    let mut cursor = client
        .query("SELECT number, number FROM numbers(20000000)")
        .fetch_bytes("RowBinary")
        .unwrap();
    let (mut n_bytes, mut peak) = (0, 0);
    while let Some(chunk) = cursor.next().await.unwrap() {
        n_bytes += chunk.len();
        peak = peak.max(rss_kib(&engine));
    }
    assert_eq!(n_bytes, 320_000_000);
    assert!(peak < before + 150_000, "from {before} KiB to {peak} KiB");
}

/// 20 million rows going in: 160 MB, of which the engine keeps a block at a time.
#[tokio::test]
async fn memory_stays_flat_while_data_stream_in() {
    let engine = Engine::start();
    engine.sql("CREATE DATABASE b").await;
    engine
        .sql("CREATE TABLE b.t (n UInt64) ENGINE = MergeTree ORDER BY n")
        .await;
    let before = rss_kib(&engine);
    let mut insert = engine
        .client()
        .insert_formatted_with("INSERT INTO b.t FORMAT RowBinary");
    let mut peak = 0;
    for start in (0..20_000_000_u64).step_by(100_000) {
        let rows: Vec<u8> = (start..start + 100_000)
            .flat_map(u64::to_le_bytes)
            .collect();
        insert.send(rows.into()).await.unwrap();
        peak = peak.max(rss_kib(&engine));
    }
    insert.end().await.unwrap();
    assert_eq!(engine.sql("SELECT count() FROM b.t").await, "20000000");
    assert!(peak < before + 300_000, "from {before} KiB to {peak} KiB");
}

fn rss_kib(engine: &Engine) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", engine.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}
