//! README, "Outcomes": consent faults, limits, failing disks and foreign pages each have their reply.

use std::time::Duration;

use brine::consent::token::{Mint, Purpose, Purposes};
use hyper::Method;

use crate::support::books::{Books, check_reply};
use crate::support::raw::{self, Raw, post};
use crate::support::{Brine, Builder};

const PAGE: &str = r#""n":"pageview","u":"https://portal.example.test/a","d":"portal""#;

#[tokio::test]
async fn every_consent_fault_has_its_own_code() {
    let brine = Brine::start();
    let key = brine::secret::load_or_create(&brine.data().join("consent.key")).expect("the key");
    let mint = Mint::new(&key);
    let measurement = Purposes::default().with(Purpose::Measurement);
    let today = u16::try_from(today_as_tokens_count()).expect("before 2149");
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

/// Days since 1970 UTC.
fn today_as_tokens_count() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    since.as_secs() / 86_400
}

/// Whoever sends too much is told so, whole, on a connection that can be used again: closing it in the middle of the
/// body would make the client's system throw the reply away.
#[tokio::test]
async fn a_body_that_is_refused_unread_still_gets_its_reply() {
    let brine = Brine::start();
    let long = vec![b'x'; 900_000];
    let json = [("content-type", "application/json")];
    let mut chunked = b"POST /api/event HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in long.chunks(9_000) {
        chunked.extend(format!("{:x}\r\n", chunk.len()).bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    // The name that the admin listener goes by.
    let local = |path, headers: &[(&str, &str)], body: &[u8]| {
        let request = post(path, headers, body);
        let at = request
            .windows(10)
            .position(|bytes| bytes == b"brine.test")
            .expect("a host");
        [&request[..at], b"localhost", &request[at + 10..]].concat()
    };
    let operator = brine.operator();
    let own = ("authorization", operator.as_str());
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for (listener, request, status, outcome) in [
        (
            brine.public,
            post("/api/event", &json, &long),
            413,
            "beacon.too_large",
        ),
        (brine.public, chunked, 413, "beacon.too_large"),
        (
            brine.public,
            post("/api/event", &[], &long),
            415,
            "beacon.media_type",
        ),
        (
            brine.public,
            post("/api/subject", &json, &long),
            413,
            "beacon.too_large",
        ),
        (brine.admin, post("/api/v1/query", &json, &long), 421, ""),
        (brine.admin, local("/api/v1/query", &json, &long), 401, ""),
        (
            brine.admin,
            local("/api/v1/query", &[json[0], own], &long),
            413,
            "",
        ),
        (
            brine.admin,
            local("/api/v1/query", &[form[0], own], &long),
            415,
            "",
        ),
        (brine.admin, local("/login", &form, &long), 413, ""),
    ] {
        let mut client = Raw::connect(listener).await;
        assert!(client.send(request).await, "all of it is taken");
        client
            .answer()
            .await
            .expect("an answer")
            .expect(status, outcome);
        client
            .send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            .await;
        let healthy = client.answer().await.expect("on the same connection");
        assert_eq!(healthy.status, 200);
    }
}
