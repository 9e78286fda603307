//! README, "Outcomes": every beacon ends exactly once, with a code in the reply and in a counter.

use std::time::Duration;

use brine::outcome::Outcome;
use brine::route::status_of;
use hyper::Method;

use crate::support::books::{Books, check_reply};
use crate::support::raw::{self, Raw, post};
use crate::support::{Builder, FIREFOX};

const PAGE: &str = r#""n":"pageview","u":"https://portal.example.test/a","d":"portal""#;

/// A POST of JSON in UTF-8 by a Firefox.
fn beacon(body: &[u8]) -> Vec<u8> {
    post(
        "/api/event",
        &[("content-type", "text/plain"), ("user-agent", FIREFOX)],
        body,
    )
}

#[tokio::test]
async fn every_broken_request_has_one_end_and_one_count() {
    let brine = Builder::new().set("SERVER__BODY_TIMEOUT_MS", "300").start();
    let token = brine.consent("portal").await;
    let good = format!(r#"{{{PAGE},"c":"{token}"}}"#);
    let mut books = Books::default();
    let send =
        |bytes: Vec<u8>| async { raw::exchange(brine.public, bytes).await.expect("an answer") };
    let typed = |content_type: &str| {
        post(
            "/api/event",
            &[("content-type", content_type), ("user-agent", FIREFOX)],
            good.as_bytes(),
        )
    };

    // Not beacons: other paths and methods. They are answered and not counted.
    for (request, status) in [
        ("GET /api/event", 405),
        ("PUT /api/event", 405),
        ("DELETE /api/consent", 405),
        ("POST /pixel.gif", 405),
        ("POST /health", 405),
        ("GET /", 404),
        ("POST /api/event/", 404),
        ("POST /API/EVENT", 404),
        ("GET /api/../api/event", 404),
    ] {
        let answer =
            send(format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").into())
                .await;
        assert_eq!(
            (answer.status.as_u16(), answer.outcome()),
            (status, ""),
            "{request}"
        );
        check_reply(&answer);
    }
    // Heads that are no HTTP, or too long, end before any route.
    let heads = [
        format!(
            "GET /pixel.gif HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
            "y".repeat(20_000)
        ),
        format!(
            "GET /pixel.gif HTTP/1.1\r\nhost: x\r\n{}\r\n",
            "x: y\r\n".repeat(100)
        ),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(20_000)),
        "GET /pixel.gif HTTP/1.1\r\nho st: x\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\r\n\r\n".to_owned(),
        "POST /api/event HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}"
            .to_owned(),
        "POST /api/event HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n{}".to_owned(),
        "POST /api/event HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n{}".to_owned(),
        "POST /api/event HTTP/3.7\r\nhost: x\r\n\r\n".to_owned(),
    ];
    let n_heads = heads.len() as f64;
    for head in heads {
        let start: String = head.chars().take(60).collect();
        let answer = raw::exchange(brine.public, head).await;
        assert!(
            answer.is_none_or(|a| matches!(a.status.as_u16(), 400 | 414 | 431)),
            "{start}"
        );
    }
    assert_eq!(brine.metric("brine_connection_errors_total").await, n_heads);

    // Media types.
    books.note(
        &send(typed("text/plain; charset=UTF-8")).await,
        "portal",
        202,
        "accepted",
    );
    books.note(
        &send(typed("Application/JSON")).await,
        "portal",
        202,
        "accepted",
    );
    for wrong in [
        "image/png",
        "",
        "application/jsonp",
        "multipart/form-data; boundary=x",
    ] {
        books.note(&send(typed(wrong)).await, "-", 415, "beacon.media_type");
    }
    let untyped = post("/api/event", &[], good.as_bytes());
    books.note(&send(untyped).await, "-", 415, "beacon.media_type");

    // Bodies: too long by its length, too long in chunks, cut off, dribbled, and good ones in chunks.
    let head = format!(
        "POST /api/event HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\nuser-agent: {FIREFOX}\r\n"
    );
    let long = format!("{head}content-length: 70000\r\n\r\n");
    books.note(&send(long.into()).await, "-", 413, "beacon.too_large");
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let long = format!(
        "{head}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(5)
    );
    books.note(&send(long.into()).await, "-", 413, "beacon.too_large");
    let whole = format!(
        "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{good}\r\n0\r\n\r\n",
        good.len()
    );
    books.note(&send(whole.into()).await, "portal", 202, "accepted");
    let slow = format!("{head}content-length: 100\r\n\r\n{{");
    books.note(&send(slow.into()).await, "-", 408, "beacon.incomplete");
    let broken = format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n");
    books.note(&send(broken.into()).await, "-", 408, "beacon.incomplete");

    // What is in them.
    let deep = "[".repeat(10_000);
    let deep_property = format!(
        r#"{{{PAGE},"p":{}1{}}}"#,
        r#"{"a":"#.repeat(200),
        "}".repeat(200)
    );
    let twice = format!(r#"{{"n":"a",{}"#, &good[1..]);
    for (body, outcome) in [
        (b"".as_slice(), "beacon.malformed"),
        (b"null", "beacon.malformed"),
        (b"{}", "beacon.malformed"),
        (b"\xff\xfe{}", "beacon.malformed"),
        (
            b"{\"n\":\"\xc3\x28\",\"u\":\"https://portal.example.test/\",\"d\":\"portal\"}",
            "beacon.malformed",
        ),
        (deep.as_bytes(), "beacon.malformed"),
        (deep_property.as_bytes(), "beacon.malformed"),
        (twice.as_bytes(), "beacon.malformed"),
        (&good.as_bytes()[..good.len() - 1], "beacon.malformed"),
        (format!("{good}{good}").as_bytes(), "beacon.malformed"),
    ] {
        let answer = send(beacon(body)).await;
        books.note(&answer, "-", 400, outcome);
    }
    for (body, site, status, outcome) in [
        (
            format!(r#"{{"n":"a","u":"https://x/","d":"nobody","c":"{token}"}}"#),
            "-",
            404,
            "site.unknown",
        ),
        (
            format!(r#"{{"n":"a","u":"","d":"portal","c":"{token}"}}"#),
            "portal",
            400,
            "beacon.url",
        ),
        (
            format!(r#"{{"n":"a","u":"/relative","d":"portal","c":"{token}"}}"#),
            "portal",
            400,
            "beacon.url",
        ),
        (
            format!(r#"{{"n":"a","u":"javascript:alert(1)","d":"portal","c":"{token}"}}"#),
            "portal",
            400,
            "beacon.url",
        ),
        (
            format!(r#"{{"n":"","u":"https://x/","d":"portal","c":"{token}"}}"#),
            "portal",
            400,
            "beacon.malformed",
        ),
        (
            format!(r#"{{{PAGE},"vid":"c232ab00-9414-11ec-b3c8-9f6bdeced846","c":"{token}"}}"#),
            "portal",
            400,
            "beacon.malformed",
        ),
        (
            format!(r#"{{"n":"a","u":"https://elsewhere.example/","d":"portal","c":"{token}"}}"#),
            "portal",
            204,
            "filter.hostname",
        ),
        (
            format!(
                r#"{{"n":"a","u":"https://portal.example.test/admin/x","d":"portal","c":"{token}"}}"#
            ),
            "portal",
            204,
            "filter.rule",
        ),
    ] {
        books.note(&send(beacon(body.as_bytes())).await, site, status, outcome);
    }
    for (headers, status, outcome) in [
        ([("origin", "https://evil.example")], 403, "site.origin"),
        ([("origin", "null")], 403, "site.origin"),
        ([("sec-gpc", "1")], 204, "signal.gpc"),
        ([("dnt", "1")], 204, "signal.dnt"),
        (
            [(
                "user-agent",
                "Googlebot/2.1 (+http://www.google.com/bot.html)",
            )],
            204,
            "filter.bot",
        ),
        ([("user-agent", "curl/8.5.0")], 204, "filter.bot"),
    ] {
        let answer = brine.event_with(&headers, &good).await;
        books.note(&answer, "portal", status, outcome);
        assert!(
            answer.headers.get("access-control-allow-origin").is_none(),
            "{answer:?}"
        );
    }

    // Pixels.
    let cookie = format!("brine_consent={token}");
    let page = "u=https%3A%2F%2Fportal.example.test%2Fa";
    for (query, with_cookie, site, status, outcome) in [
        (format!("d=portal&{page}"), true, "portal", 202, "accepted"),
        (
            format!("d=portal&{page}&c={token}"),
            false,
            "portal",
            202,
            "accepted",
        ),
        (
            format!("d=portal&{page}"),
            false,
            "portal",
            204,
            "consent.missing",
        ),
        (page.to_owned(), true, "-", 400, "beacon.malformed"),
        (format!("d=nobody&{page}"), true, "-", 404, "site.unknown"),
        ("d=portal".to_owned(), true, "portal", 400, "beacon.url"),
        ("%%%&d=%ff".to_owned(), true, "-", 404, "site.unknown"),
    ] {
        let cookie = if with_cookie {
            cookie.as_str()
        } else {
            "other=1"
        };
        let headers = [("cookie", cookie), ("user-agent", FIREFOX)];
        let answer = brine
            .request(Method::GET, &format!("/pixel.gif?{query}"), &headers, "")
            .await;
        books.note(&answer, site, status, outcome);
        if status == 202 {
            assert_eq!(
                (&answer.headers["content-type"], answer.body.len()),
                (&"image/gif".parse().unwrap(), 43)
            );
        }
    }
    books.expect_balanced(&brine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beacons_of_clients_that_hang_up_are_counted_once() {
    // Answers come late, so that many clients are gone before theirs.
    let brine = Builder::new()
        .set("SPOOL__GROUP_DELAY_MS", "100")
        .set("SPOOL__GROUP_RECORDS", "65536")
        .start();
    let token = brine.consent("portal").await;
    let request = beacon(format!(r#"{{{PAGE},"c":"{token}"}}"#).as_bytes());
    let mut clients = tokio::task::JoinSet::new();
    for n in 0..300_u64 {
        let (address, request) = (brine.public, request.clone());
        clients.spawn(async move {
            let mut raw = Raw::connect(address).await;
            match n % 3 {
                // Stays.
                0 => {
                    raw.send(&request).await;
                    raw.answer()
                        .await
                        .expect("an answer")
                        .expect(202, "accepted");
                }
                // Hangs up while the beacon is on its way to the disk.
                1 => {
                    raw.send(&request).await;
                    tokio::time::sleep(Duration::from_millis(n % 90)).await;
                }
                // Hangs up in the middle of the body.
                _ => {
                    raw.send(&request[..request.len() - 20]).await;
                    tokio::time::sleep(Duration::from_millis(n % 90)).await;
                }
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client does not panic");
    }
    brine
        .wait_metric("brine_connections", |open| open <= 1.0)
        .await;
    let outcomes = brine.outcomes().await;
    let total: u64 = outcomes.iter().map(|(_, _, n)| n).sum();
    assert_eq!(total, 300, "{outcomes:?}");
    let count = |site: &str, code: &str| {
        outcomes
            .iter()
            .find(|(s, o, _)| s == site && o == code)
            .map_or(0, |(_, _, n)| *n)
    };
    // Gone with half a body, or before anything was read of a whole one.
    assert_eq!(
        count("-", "beacon.incomplete")
            + count("-", "client.gone")
            + count("portal", "client.gone")
            + count("portal", "accepted"),
        300
    );
    assert!(
        count("portal", "client.gone") > 0 && count("-", "beacon.incomplete") > 0,
        "{outcomes:?}"
    );
    brine.wait_drained().await;
    // client.gone of a site: stored if the disk took it, and here the disk took everything.
    let stored = count("portal", "accepted") + count("portal", "client.gone");
    assert_eq!(brine.count("SELECT count() FROM events"), stored);
}

/// README, "Outcomes": the table has every code with its status.
#[test]
fn every_outcome_stands_in_readme_with_its_status() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).expect("README.md");
    for outcome in Outcome::ALL {
        let (code, status) = (
            format!("`{}`", outcome.code()),
            status_of(*outcome).as_u16().to_string(),
        );
        let is_told = readme
            .lines()
            .any(|line| line.starts_with('|') && line.contains(&code) && line.contains(&status));
        assert!(
            is_told,
            "README.md has no table row with {code} and {status}"
        );
    }
}
