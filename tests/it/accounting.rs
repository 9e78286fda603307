//! README, "Outcomes": every beacon ends exactly once, with a code in the reply and in a counter.

use std::collections::BTreeMap;
use std::time::Duration;

use brine::consent::token::{Mint, Purpose, Purposes};
use brine::outcome::Outcome;
use brine::route::status_of;
use hyper::Method;

use crate::support::raw::{self, Raw, post};
use crate::support::{Answer, Brine, Builder, FIREFOX};

const PAGE: &str = r#""n":"pageview","u":"https://portal.example.test/a","d":"portal""#;

/// Headers that a reply may carry; anything else would have to be thought about first.
const ALLOWED_HEADERS: [&str; 14] = [
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "allow",
    "brine-outcome",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "vary",
];

/// What was answered, to be held against the counters.
#[derive(Default)]
struct Books {
    counts: BTreeMap<(String, String), u64>,
}

impl Books {
    /// Notes the end of a beacon and checks everything that holds for every reply.
    #[track_caller]
    fn note(&mut self, answer: &Answer, site: &str, status: u16, outcome: &str) {
        answer.expect(status, outcome);
        check_reply(answer);
        *self
            .counts
            .entry((site.to_owned(), outcome.to_owned()))
            .or_default() += 1;
    }

    /// Notes an end that nobody was told of.
    fn note_unseen(&mut self, site: &str, outcome: &str) {
        *self
            .counts
            .entry((site.to_owned(), outcome.to_owned()))
            .or_default() += 1;
    }

    async fn expect_balanced(self, brine: &Brine) {
        let counted: BTreeMap<_, _> = brine
            .outcomes()
            .await
            .into_iter()
            .map(|(site, outcome, n)| ((site, outcome), n))
            .collect();
        assert_eq!(counted, self.counts);
    }
}

#[track_caller]
fn check_reply(answer: &Answer) {
    for name in answer.headers.keys() {
        assert!(
            ALLOWED_HEADERS.contains(&name.as_str()),
            "{name} in {answer:?}"
        );
    }
    if answer.status.is_client_error() || answer.status.is_server_error() {
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["status"], answer.status.as_u16());
        assert_eq!(
            problem["title"],
            answer.status.canonical_reason().expect("a usual status")
        );
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{problem}"
        );
        if !answer.outcome().is_empty() {
            assert_eq!(problem["outcome"], answer.outcome());
        }
    } else {
        assert!(answer.status != 204 || answer.body.is_empty(), "{answer:?}");
    }
    if !answer.outcome().is_empty() {
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}

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

#[tokio::test]
async fn every_consent_fault_has_its_own_code() {
    let brine = Brine::start();
    let key = brine::secret::load_or_create(&brine.data().join("consent.key")).expect("the key");
    let mint = Mint::new(&key);
    let measurement = Purposes::default().with(Purpose::Measurement);
    let today = u16::try_from(jiff_day()).expect("before 2149");
    let issue = |scope: &str, purposes, policy, first: u16, last: u16| {
        mint.issue(
            scope,
            purposes,
            policy,
            first..=last,
            brine::secret::random_bytes(),
        )
        .0
    };
    let valid = issue("portal", measurement, 1, today, today + 10);
    let mut forged = valid.clone().into_bytes();
    forged[30] = if forged[30] == b'A' { b'B' } else { b'A' };
    let stranger = Mint::new(&brine::secret::Secret::random());
    let strange = stranger
        .issue(
            "portal",
            measurement,
            1,
            today..=today + 10,
            brine::secret::random_bytes(),
        )
        .0;
    let withdrawn = brine.consent("portal").await;
    assert_eq!(
        brine
            .choose("portal", "withdraw", Some(&withdrawn))
            .await
            .status,
        204
    );
    let functional = Purposes::default().with(Purpose::Functional);

    let mut books = Books::default();
    for (token, status, outcome) in [
        (valid.clone(), 202, "accepted"),
        (
            issue("portal", measurement, 1, today - 10, today),
            202,
            "accepted",
        ),
        (String::new(), 204, "consent.missing"),
        ("nonsense".to_owned(), 204, "consent.malformed"),
        (valid[..58].to_owned(), 204, "consent.malformed"),
        (format!("{valid}="), 204, "consent.malformed"),
        ("\u{e6}".repeat(30), 204, "consent.malformed"),
        (
            String::from_utf8(forged).expect("text"),
            204,
            "consent.forged",
        ),
        (
            issue("pernexus", measurement, 1, today, today + 10),
            204,
            "consent.other_site",
        ),
        (
            issue("portal", measurement, 1, today + 2, today + 10),
            204,
            "consent.future",
        ),
        (
            issue("portal", measurement, 1, today - 10, today - 1),
            204,
            "consent.expired",
        ),
        (
            issue("portal", measurement, 2, today, today + 10),
            204,
            "consent.lapsed",
        ),
        (
            issue("portal", functional, 1, today, today + 10),
            204,
            "consent.purpose",
        ),
        (withdrawn, 204, "consent.withdrawn"),
    ] {
        let answer = brine.event(&format!(r#"{{{PAGE},"c":"{token}"}}"#)).await;
        books.note(&answer, "portal", status, outcome);
    }
    // The scope's tag is keyed too: to us a stranger's token is of another site.
    let answer = brine.event(&format!(r#"{{{PAGE},"c":"{strange}"}}"#)).await;
    books.note(&answer, "portal", 204, "consent.other_site");
    brine
        .event(&format!(r#"{{{PAGE},"c":"{}"}}"#, "x".repeat(600)))
        .await
        .expect(400, "beacon.malformed");
    books.note_unseen("portal", "beacon.malformed");
    books.expect_balanced(&brine).await;
    brine.wait_for("SELECT count() FROM events", 2);
}

#[tokio::test]
async fn limits_say_when_to_come_back() {
    let spam = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(spam.path(), "spam.example\n").expect("written");
    let brine = Builder::new()
        .set("LIMITS__ADDRESS_BURST", "3")
        .set("LIMITS__ADDRESS_PER_MINUTE", "60")
        .set("LIMITS__SITE_BURST", "20")
        .set("LIMITS__SITE_PER_SECOND", "1")
        .set("LIMITS__CONSENT_PER_MINUTE", "4")
        .set("ENRICH__REFERRER_SPAM", &spam.path().display().to_string())
        .start();
    let token = brine.consent("portal").await;
    let good = format!(r#"{{{PAGE},"c":"{token}"}}"#);
    let spam = format!(r#"{{{PAGE},"c":"{token}","r":"https://spam.example/x"}}"#);
    let mut books = Books::default();
    let from = |address: &'static str| [("x-forwarded-for", address)];
    books.note(
        &brine.event_with(&from("192.0.2.1"), &spam).await,
        "portal",
        204,
        "filter.referrer_spam",
    );
    for _ in 0..2 {
        books.note(
            &brine.event_with(&from("192.0.2.1"), &good).await,
            "portal",
            202,
            "accepted",
        );
    }
    let limited = brine.event_with(&from("192.0.2.1"), &good).await;
    books.note(&limited, "portal", 429, "limit.address");
    assert_eq!(limited.headers["retry-after"], "1");
    // IPv6 counts by its /64, however many addresses a device makes up in it.
    for address in ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"] {
        books.note(
            &brine.event_with(&from(address), &good).await,
            "portal",
            202,
            "accepted",
        );
    }
    books.note(
        &brine.event_with(&from("2001:db8::4"), &good).await,
        "portal",
        429,
        "limit.address",
    );
    // A beacon without consent costs its sender's allowance nothing.
    books.note(
        &brine.event(&format!("{{{PAGE}}}")).await,
        "portal",
        204,
        "consent.missing",
    );
    let mut site_limited = 0;
    for n in 0..40 {
        let address = format!("198.51.100.{n}");
        let answer = brine
            .event_with(&[("x-forwarded-for", &address)], &good)
            .await;
        match answer.status.as_u16() {
            202 => books.note(&answer, "portal", 202, "accepted"),
            _ => {
                books.note(&answer, "portal", 429, "limit.site");
                assert!(answer.headers.contains_key("retry-after"));
                site_limited += 1;
            }
        }
    }
    assert!(
        site_limited >= 10,
        "only {site_limited} of 40 over the site's limit"
    );
    books.expect_balanced(&brine).await;
    let statuses: Vec<u16> = {
        let mut statuses = Vec::new();
        for _ in 0..6 {
            statuses.push(brine.choose("portal", "deny", None).await.status.as_u16());
        }
        statuses
    };
    assert!(
        statuses.starts_with(&[204, 204, 204]) && statuses.ends_with(&[429]),
        "{statuses:?}"
    );
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

#[tokio::test]
async fn a_spool_that_cannot_write_says_so_and_recovers() {
    let brine = Brine::start();
    let token = brine.consent("portal").await;
    let good = format!(r#"{{{PAGE},"c":"{token}"}}"#);
    brine.event(&good).await.expect(202, "accepted");
    brine.wait_drained().await;
    let (spool, away) = (brine.data().join("spool"), brine.data().join("away"));
    std::fs::rename(&spool, &away).expect("moved away");
    let failed = brine.event(&good).await;
    failed.expect(503, "spool.failed");
    check_reply(&failed);
    assert!(failed.headers.contains_key("retry-after"));
    brine.event(&good).await.expect(503, "spool.failed");
    let ready = brine.request(Method::GET, "/ready", &[], "").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.json()["reasons"][0]),
        (503, &"spool.failed".into())
    );
    std::fs::rename(&away, &spool).expect("moved back");
    let started = std::time::Instant::now();
    while brine.event(&good).await.status != 202 {
        assert!(
            started.elapsed() < crate::support::PATIENCE,
            "{}",
            brine.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    brine.wait_for("SELECT count() FROM events", 2);
}

#[tokio::test]
async fn only_pages_of_a_site_may_ask_and_read() {
    let brine = Brine::start();
    let own = "https://sub.portal.example.test";
    for (origin, is_own) in [
        (own, true),
        ("https://evil.example", false),
        ("null", false),
    ] {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type"),
        ];
        for path in ["/api/event", "/api/consent"] {
            let answer = brine.request(Method::OPTIONS, path, &headers, "").await;
            assert_eq!(answer.status, 204);
            check_reply(&answer);
            let allowed = answer
                .headers
                .get("access-control-allow-origin")
                .map(|v| v.to_str().unwrap());
            assert_eq!(allowed, is_own.then_some(origin), "{path} {origin}");
            assert_eq!(answer.headers["vary"], "origin");
        }
    }
    let answer = brine
        .event_with(&[("origin", own)], &format!("{{{PAGE}}}"))
        .await;
    answer.expect(204, "consent.missing");
    assert_eq!(answer.headers["access-control-allow-origin"], own);
    assert!(
        answer
            .headers
            .get("access-control-allow-credentials")
            .is_none()
    );
}

#[tokio::test]
async fn consent_choices_that_cannot_be_read_are_counted() {
    let brine = Builder::new().set("SERVER__BODY_TIMEOUT_MS", "300").start();
    let json = [("content-type", "application/json")];
    for (request, status, outcome) in [
        (post("/api/consent", &[], b"{}"), 415, "beacon.media_type"),
        (
            post("/api/consent", &json, &[b'x'; 70_000]),
            413,
            "beacon.too_large",
        ),
        (post("/api/consent", &json, b"{"), 400, "beacon.malformed"),
        (
            post(
                "/api/consent",
                &json,
                br#"{"site":"nobody","choice":"deny"}"#,
            ),
            404,
            "site.unknown",
        ),
        (
            post(
                "/api/consent",
                &json,
                br#"{"site":"portal","choice":"maybe"}"#,
            ),
            400,
            "beacon.malformed",
        ),
        (
            post(
                "/api/consent",
                &json,
                br#"{"site":"portal","choice":"grant"}"#,
            ),
            403,
            "site.origin",
        ),
        (
            post(
                "/api/consent",
                &json,
                br#"{"site":"ios","choice":"grant","purposes":[]}"#,
            ),
            400,
            "beacon.malformed",
        ),
        (
            post(
                "/api/consent",
                &json,
                br#"{"site":"ios","choice":"grant","policy":9}"#,
            ),
            409,
            "consent.lapsed",
        ),
        (
            post(
                "/api/consent",
                &json,
                br#"{"site":"ios","choice":"withdraw"}"#,
            ),
            400,
            "beacon.malformed",
        ),
        (
            post(
                "/api/consent",
                &json,
                br#"{"site":"ios","choice":"withdraw","token":"x"}"#,
            ),
            400,
            "consent.malformed",
        ),
    ] {
        let answer = raw::exchange(brine.public, &request)
            .await
            .expect("an answer");
        answer.expect(status, outcome);
        check_reply(&answer);
    }
    let text = brine.admin(Method::GET, "/metrics", &[], "").await.text();
    let counted: f64 = text
        .lines()
        .filter(|line| line.starts_with("brine_consent_choices_total{"))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum();
    assert_eq!(counted, 10.0, "{text}");
    // None of it was a beacon.
    assert_eq!(brine.outcomes().await, []);
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

/// Today as tokens count it.
fn jiff_day() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    since.as_secs() / 86_400
}
