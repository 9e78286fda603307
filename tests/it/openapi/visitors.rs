//! What visitors do themselves: consent, and their rights.

use hyper::Method;

use super::{Caller, ORIGIN};

pub(super) async fn consent(caller: &mut Caller<'_>) {
    let path = "/api/consent";
    let grant = r#"{"site":"portal","choice":"grant","purposes":["measurement"],"source":"test"}"#;
    let answer = caller.post(path, &[ORIGIN], grant).await;
    let token = answer.json()["token"].as_str().expect("a token").to_owned();
    caller
        .post(path, &[ORIGIN], r#"{"site":"portal","choice":"deny"}"#)
        .await;
    let with = |choice: &str, more: &str| {
        format!(r#"{{"site":"portal","choice":"{choice}","token":"{token}"{more}}}"#)
    };
    caller.post(path, &[ORIGIN], &with("status", "")).await;
    caller
        .post(
            path,
            &[ORIGIN],
            r#"{"site":"portal","choice":"grant","policy":999}"#,
        )
        .await
        .expect(409, "consent.lapsed");
    caller
        .post(path, &[ORIGIN], &with("withdraw", ""))
        .await
        .expect(204, "accepted");
    caller
        .post(path, &[ORIGIN], &with("withdraw", r#","erase":true"#))
        .await;
    caller
        .bad(path, &[ORIGIN], r#"{"site":"portal"}"#)
        .await
        .expect(400, "beacon.malformed");
    caller
        .post(path, &[ORIGIN], r#"{"site":"nobody","choice":"deny"}"#)
        .await
        .expect(404, "site.unknown");
    caller
        .post(path, &[("origin", "https://elsewhere.test")], grant)
        .await
        .expect(403, "site.origin");
    caller
        .bad(path, &[ORIGIN], &"x".repeat(100_000))
        .await
        .expect(413, "beacon.too_large");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    caller
        .at(path, Method::POST, path, &form, "a=b")
        .await
        .expect(415, "beacon.media_type");
    caller.at(path, Method::OPTIONS, path, &[ORIGIN], "").await;
}

pub(super) async fn subject(caller: &mut Caller<'_>) {
    let path = "/api/subject";
    let token = caller.brine.consent("portal").await;
    let event = format!(
        r#"{{"n":"a","u":"https://portal.example.test/a","d":"portal","c":"{token}","p":{{"k":"v"}},"rc":true}}"#
    );
    let answer = caller.post("/api/event", &[], &event).await;
    let receipt = answer.headers["brine-receipt"]
        .to_str()
        .expect("ASCII")
        .split(' ')
        .next()
        .expect("one")
        .to_owned();
    caller.brine.wait_drained().await;
    let ask = |action: &str, more: &str| {
        format!(r#"{{"site":"portal","action":"{action}","token":"{token}"{more}}}"#)
    };
    let seen = caller
        .post(
            path,
            &[ORIGIN],
            &ask("see", &format!(r#","receipts":["{receipt}"]"#)),
        )
        .await;
    assert_eq!(seen.json()["rows"], 1, "{}", seen.text());
    caller.post(path, &[], &ask("restrict", "")).await;
    caller.post(path, &[], &ask("unrestrict", "")).await;
    caller
        .post(
            path,
            &[],
            &ask("correct", r#","property":"k","from":"v","to":"w""#),
        )
        .await;
    let bearer = format!("Bearer {token}");
    caller
        .get("/api/subject?site=portal", &[("authorization", &bearer)])
        .await;
    let erased = caller
        .at(
            path,
            Method::DELETE,
            "/api/subject?site=portal",
            &[("authorization", &bearer)],
            "",
        )
        .await;
    let request = erased.json()["request"]
        .as_str()
        .expect("a number")
        .to_owned();
    caller
        .post(
            path,
            &[],
            &format!(r#"{{"site":"portal","action":"status","request":"{request}"}}"#),
        )
        .await;
    caller
        .bad(path, &[], r#"{"x":1}"#)
        .await
        .expect(400, "beacon.malformed");
    caller
        .post(path, &[], &ask("see", "").replace("portal", "nobody"))
        .await
        .expect(404, "site.unknown");
    caller
        .post(
            path,
            &[("origin", "https://elsewhere.test")],
            &ask("see", ""),
        )
        .await
        .expect(403, "site.origin");
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
    for method in [Method::GET, Method::DELETE] {
        caller
            .at(path, method.clone(), "/api/subject", &[], "")
            .await
            .expect(404, "site.unknown");
        caller
            .at(path, method.clone(), "/api/subject?site=portal", &[], "")
            .await
            .expect(400, "beacon.malformed");
        let elsewhere = [
            ("origin", "https://elsewhere.test"),
            ("authorization", &bearer),
        ];
        caller
            .at(path, method, "/api/subject?site=portal", &elsewhere, "")
            .await
            .expect(403, "site.origin");
    }
}
