//! What measures: single events, the pixel, and batches of apps.

use hyper::Method;

use super::{AGENT, Caller, ORIGIN};

pub(super) async fn events(caller: &mut Caller<'_>) {
    let path = "/api/event";
    let token = caller.brine.consent("portal").await;
    let event = |more: &str| {
        format!(
            r#"{{"n":"pageview","u":"https://portal.example.test/a","d":"portal","c":"{token}"{more}}}"#
        )
    };
    let full = r#","r":"https://news.example.org/","p":{"plan":"pro","n":3},"$":{"amount":"9.50","currency":"EUR"},"i":true,
        "e":900,"sd":40,"w":1200,"id":"one","s":{"id":"v","started":1795258800000},"rv":"2-7","rc":true,"wv":{"lcp":812.5}"#;
    let answer = caller.post(path, &[], &event(full)).await;
    assert!(
        answer.headers.contains_key("brine-receipt"),
        "{:?}",
        answer.headers
    );
    caller
        .post(
            path,
            &[],
            &event("").replace(&token, &token.replace(&token[10..14], "AAAA")),
        )
        .await;
    caller
        .bad(path, &[], "{}")
        .await
        .expect(400, "beacon.malformed");
    caller
        .post(path, &[("origin", "https://elsewhere.test")], &event(""))
        .await
        .expect(403, "site.origin");
    caller
        .post(path, &[], &event("").replace("\"portal\"", "\"nobody\""))
        .await
        .expect(404, "site.unknown");
    caller
        .bad(path, &[], &"x".repeat(100_000))
        .await
        .expect(413, "beacon.too_large");
    caller
        .at(
            path,
            Method::POST,
            path,
            &[("content-type", "image/png")],
            "x",
        )
        .await
        .expect(415, "beacon.media_type");
    caller.at(path, Method::OPTIONS, path, &[ORIGIN], "").await;

    let pixel = "/pixel.gif?d=portal&u=https%3A%2F%2Fportal.example.test%2F";
    let cookie = format!("brine_consent={token}");
    caller
        .get(pixel, &[AGENT, ("cookie", &cookie)])
        .await
        .expect(202, "accepted");
    caller
        .get(pixel, &[AGENT])
        .await
        .expect(204, "consent.missing");
    caller
        .get(
            "/pixel.gif?d=portal&u=nowhere",
            &[AGENT, ("cookie", &cookie)],
        )
        .await
        .expect(400, "beacon.url");
    caller
        .get(
            "/pixel.gif?d=nobody&u=https%3A%2F%2Fx.test%2F",
            &[AGENT, ("cookie", &cookie)],
        )
        .await
        .expect(404, "site.unknown");
    caller.brine.wait_drained().await;
}

pub(super) async fn batches(caller: &mut Caller<'_>) {
    let path = "/api/events";
    let grant = r#"{"site":"windows","choice":"grant","source":"app"}"#;
    let answer = caller.post("/api/consent", &[], grant).await;
    let token = answer.json()["token"].as_str().expect("a token").to_owned();
    let batch = |events: &str| {
        format!(
            r#"{{"site":"windows","consent":"{token}","sent_at":1795258800000,"receipts":true,
            "device":{{"platform":"windows","app_version":"4.2.1","os":"Windows 11","mac":"00:1b:44:11:3a:b7"}},"events":[{events}]}}"#
        )
    };
    let one = r#"{"id":"a","ts":1795258799000,"screen":"/orders","visit":{"id":"v","started":1795258790000}}"#;
    let old = r#"{"id":"b","ts":1,"screen":"/orders"}"#;
    let sent = caller.post(path, &[], &batch(one)).await;
    assert_eq!(
        sent.json()["receipts"].as_array().map(Vec::len),
        Some(1),
        "{}",
        sent.text()
    );
    caller
        .post(path, &[], &batch(one))
        .await
        .expect(202, "accepted");
    let mixed = batch(&format!(
        r#"{{"id":"c","name":"Export","props":{{"n":1}}}},{old}"#
    ));
    caller
        .post(path, &[], &mixed)
        .await
        .expect(200, "batch.mixed");
    let without = batch(one).replace(&format!(r#""consent":"{token}","#), "");
    caller
        .post(path, &[], &without)
        .await
        .expect(204, "consent.missing");
    caller
        .bad(path, &[], r#"{"site":"windows"}"#)
        .await
        .expect(400, "beacon.malformed");
    let whose = batch(one).replace(
        r#""events""#,
        r#""visitor":{"address":"203.0.113.9"},"events""#,
    );
    caller.post(path, &[], &whose).await.expect(403, "site.key");
    caller
        .post(
            path,
            &[],
            &batch(one).replace("\"windows\",\"c", "\"nobody\",\"c"),
        )
        .await
        .expect(404, "site.unknown");
    caller
        .bad(path, &[], &"x".repeat(100_000))
        .await
        .expect(413, "beacon.too_large");
    caller
        .at(
            path,
            Method::POST,
            path,
            &[("content-type", "image/png")],
            "x",
        )
        .await
        .expect(415, "beacon.media_type");
    caller.at(path, Method::OPTIONS, path, &[ORIGIN], "").await;
}
