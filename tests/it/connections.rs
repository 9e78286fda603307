//! README, "Operation": connections that dribble, idle, queue or want TLS.

use std::time::{Duration, Instant};

use hyper::Method;

use crate::support::raw::{Raw, post};
use crate::support::tls::{make_certificate, talk};
use crate::support::{Brine, Builder, FIREFOX};

const PAGE: &str = r#""n":"pageview","u":"https://portal.example.test/a","d":"portal""#;

#[tokio::test]
async fn a_dribbling_client_is_cut_and_others_are_served() {
    let brine = Builder::new()
        .set("SERVER__HEADER_TIMEOUT_MS", "500")
        .set("SERVER__BODY_TIMEOUT_MS", "500")
        .set("SERVER__IDLE_TIMEOUT_MS", "30000")
        .start();
    let mut dribblers = tokio::task::JoinSet::new();
    for n in 0..20 {
        let address = brine.public;
        dribblers.spawn(async move {
            let mut raw = Raw::connect(address).await;
            let started = Instant::now();
            // One byte at a time, head or body, for as long as it is let.
            let head = "POST /api/event HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 5000\r\n\r\n";
            let bytes = if n % 2 == 0 { "GET / HTTP/1.1\r\n".to_owned() } else { head.to_owned() };
            raw.send(&bytes).await;
            loop {
                tokio::select! {
                    _ = raw.closed() => return started.elapsed(),
                    () = tokio::time::sleep(Duration::from_millis(50)) => {}
                }
                if !raw.send("x").await {
                    return started.elapsed();
                }
            }
        });
    }
    // Others do not notice.
    for _ in 0..10 {
        let started = Instant::now();
        brine
            .event(&format!("{{{PAGE}}}"))
            .await
            .expect(204, "consent.missing");
        assert!(
            started.elapsed() < Duration::from_millis(400),
            "{:?}",
            started.elapsed()
        );
    }
    while let Some(took) = dribblers.join_next().await {
        let took = took.expect("no panic");
        assert!(
            took < Duration::from_secs(3),
            "a dribbling client held its slot for {took:?}"
        );
    }
    // Every keep-alive connection of ours, and none of theirs.
    brine
        .wait_metric("brine_connections", |open| open <= 1.0)
        .await;
}

/// While there is something to write nobody reads, and so nobody looks at the clock of reading.
#[tokio::test]
async fn a_client_that_does_not_take_its_replies_is_cut_and_a_slow_one_gets_them_all() {
    let brine = Builder::new()
        .set("SERVER__HEADER_TIMEOUT_MS", "1000")
        .set("SERVER__IDLE_TIMEOUT_MS", "2000")
        .start();
    let request = "GET /brine.js HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut deaf = Vec::new();
    for _ in 0..4 {
        let mut raw = Raw::connect(brine.public).await;
        // More than any buffer holds; whether all of it can be sent is not the point.
        let many = request.repeat(20_000);
        let sent = tokio::time::timeout(Duration::from_secs(2), raw.send(&many));
        drop(sent.await);
        deaf.push(raw);
    }
    let started = Instant::now();
    brine
        .wait_metric("brine_connections", |open| open <= 1.0)
        .await;
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    drop(deaf);
    // Slower in all than the limit, but never silent for so long.
    let mut slow = Raw::connect(brine.public).await;
    slow.send(request.repeat(1_000)).await;
    for n in 0..1_000 {
        let answer = slow.answer().await.expect("an answer");
        assert_eq!(answer.status, 200, "{n}");
        if n % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_slot() {
    let brine = Builder::new()
        .set("SERVER__MAX_CONNECTIONS", "4")
        .set("SERVER__IDLE_TIMEOUT_MS", "1500")
        .start();
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect(brine.public).await;
        raw.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(raw.answer().await.expect("an answer").status, 200);
        held.push(raw);
    }
    // The fourth is the one our beacons and consents went over.
    let token = brine.consent("portal").await;
    let accepted = brine.event(&format!(r#"{{{PAGE},"c":"{token}"}}"#)).await;
    accepted.expect(202, "accepted");
    let started = Instant::now();
    let mut waiting = Raw::connect(brine.public).await;
    waiting
        .send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    let early = tokio::time::timeout(Duration::from_millis(300), waiting.answer()).await;
    assert!(early.is_err(), "answered although every slot is taken");
    assert_eq!(brine.metric("brine_connections").await, 4.0);
    // An idle connection is closed in time, and its slot is free.
    assert_eq!(waiting.answer().await.expect("an answer").status, 200);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    for raw in &mut held {
        raw.closed().await;
    }
    // The admin listener has slots of its own.
    assert_eq!(
        brine.admin(Method::GET, "/health", &[], "").await.status,
        200
    );
}

#[tokio::test]
async fn a_connection_serves_many_requests_one_after_the_other() {
    let brine = Brine::start();
    let mut raw = Raw::connect(brine.public).await;
    let body = format!("{{{PAGE}}}");
    let request = post(
        "/api/event",
        &[("content-type", "text/plain"), ("user-agent", FIREFOX)],
        body.as_bytes(),
    );
    for _ in 0..50 {
        raw.send(&request).await;
        raw.answer()
            .await
            .expect("an answer")
            .expect(204, "consent.missing");
    }
    // Also when they come at once.
    raw.send(request.repeat(20)).await;
    for _ in 0..20 {
        raw.answer()
            .await
            .expect("an answer")
            .expect(204, "consent.missing");
    }
    assert_eq!(
        brine.outcomes().await,
        [("portal".into(), "consent.missing".into(), 70)]
    );
}

#[tokio::test]
async fn tls_serves_and_takes_a_renewed_certificate() {
    let directory = tempfile::tempdir().expect("a directory");
    let (certificate, key) = (
        directory.path().join("cert.pem"),
        directory.path().join("key.pem"),
    );
    let make = |name: &str| make_certificate(name, &certificate, &key);
    make("first");
    let brine = Builder::new()
        .set(
            "SERVER__TLS__CERTIFICATE",
            &certificate.display().to_string(),
        )
        .set("SERVER__TLS__KEY", &key.display().to_string())
        .set("SERVER__HEADER_TIMEOUT_MS", "500")
        .start();
    let talk = || {
        let request = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        talk("127.0.0.1", brine.public, request)
    };
    let said = talk();
    assert!(
        said.contains("200 OK") && said.contains("alive") && said.contains("CN = first"),
        "{said}"
    );

    // Half a renewal: the key does not fit. The old pair stays.
    let old_key = std::fs::read(&key).expect("a key");
    make("second");
    let new_key = std::fs::read(&key).expect("a key");
    std::fs::write(&key, &old_key).expect("written");
    brine.signal("HUP");
    let reloads =
        |word: &str| format!("brine_reloads_total{{file=\"certificate\",result=\"{word}\"}}");
    brine.wait_metric(&reloads("refused"), |n| n >= 1.0).await;
    assert!(talk().contains("CN = first"));
    std::fs::write(&key, &new_key).expect("written");
    brine.signal("HUP");
    brine.wait_metric(&reloads("done"), |n| n == 1.0).await;
    assert!(talk().contains("CN = second"));

    // Plain HTTP and silence are cut.
    let mut plain = Raw::connect(brine.public).await;
    plain.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(plain.answer().await.is_none());
    let mut silent = Raw::connect(brine.public).await;
    assert!(silent.closed().await < Duration::from_secs(3));
}
