//! README, "What a visitor can do": seen, corrected, restricted, objected to; by the visitor and by mail.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use serde_json::{Value, json};

use crate::erasure::{expect_absent, spellings};
use crate::support::{Answer, Brine, Builder, FIREFOX};

pub(crate) const ORIGIN: &str = "https://portal.example.test";

/// A page view with a receipt asked for; returns the receipt.
pub(crate) async fn view(brine: &Brine, token: &str, page: &str) -> String {
    let body = json!({
        "n": "pageview", "u": format!("https://portal.example.test{page}"), "d": "portal", "c": token,
        "rc": true, "p": { "plan": "pro" },
    });
    let answer = brine.event(&body.to_string()).await;
    answer.expect(202, "accepted");
    receipt(&answer).0
}

/// Reads `Brine-Receipt`.
pub(crate) fn receipt(answer: &Answer) -> (String, i64) {
    let header = answer.headers.get("brine-receipt").expect("a receipt");
    let (receipt, seconds) = header.to_str().unwrap().split_once(' ').unwrap();
    (receipt.to_owned(), seconds.parse().unwrap())
}

pub(crate) async fn ask(brine: &Brine, body: &Value) -> Answer {
    let headers = [
        ("origin", ORIGIN),
        ("content-type", "application/json"),
        ("user-agent", FIREFOX),
    ];
    brine
        .request(Method::POST, "/api/subject", &headers, &body.to_string())
        .await
}

/// Asks until it is done; an erasure may go on behind its first answer.
pub(crate) async fn done(brine: &Brine, body: Value) -> Value {
    let mut answer = ask(brine, &body).await;
    let number = answer.json()["request"].clone();
    for _ in 0..120 {
        match answer.status.as_u16() {
            200 => return answer.json(),
            202 => {}
            status => panic!("{status}: {}\n{}", answer.text(), brine.log_tail()),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let body = json!({ "site": "portal", "action": "status", "request": number });
        answer = ask(brine, &body).await;
    }
    panic!("not done: {}\n{}", answer.text(), brine.log_tail());
}

pub(crate) fn pages(seen: &Value) -> Vec<String> {
    let mut pages: Vec<String> = seen["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["path"].as_str().unwrap().to_owned())
        .collect();
    pages.sort();
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_sees_only_their_own_events() {
    let brine = Builder::new().set("BATCH__MAX_AGE_MS", "60000").start();
    let (mine, others) = (brine.consent("portal").await, brine.consent("portal").await);
    let receipt = view(&brine, &mine, "/mine").await;
    view(&brine, &mine, "/mine/too").await;
    view(&brine, &others, "/others").await;
    for held in [
        json!({ "site": "portal", "token": mine }),
        json!({ "site": "portal", "receipts": [receipt] }),
        json!({ "site": "portal", "token": mine, "receipts": [receipt] }),
    ] {
        let seen = done(&brine, held).await;
        assert_eq!(pages(&seen), ["/mine", "/mine/too"]);
        assert_eq!(
            (&seen["rows"], &seen["is_complete"]),
            (&json!(2), &json!(true))
        );
        assert_eq!(seen["events"][0]["props"], json!({ "plan": "pro" }));
        assert!(
            seen["meanings"]["path"]
                .as_str()
                .unwrap()
                .contains("masked")
        );
    }
    let seen = done(&brine, json!({ "site": "portal", "token": mine })).await;
    assert_eq!(seen["consent"]["valid"], true);
    assert_eq!(seen["consent"]["history"][0]["choice"], "grant");
    assert_eq!(seen["consent"]["history"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_useless_for_another_visitor_another_site_or_after_tampering() {
    let brine = Brine::start();
    let (mine, others) = (brine.consent("portal").await, brine.consent("portal").await);
    let receipt = view(&brine, &mine, "/mine").await;
    view(&brine, &others, "/others").await;
    let refused = |answer: Answer, status: u16, outcome: &str| {
        answer.expect(status, outcome);
        assert!(!answer.text().contains("mine"), "{}", answer.text());
    };
    let body = |site: &str, receipt: &str| json!({ "site": site, "receipts": [receipt] });
    let mut altered = URL_SAFE_NO_PAD.decode(&receipt).unwrap();
    // Another pseudonym under the same MAC.
    altered[12] ^= 1;
    let altered = URL_SAFE_NO_PAD.encode(altered);
    refused(
        ask(&brine, &body("portal", &altered)).await,
        400,
        "receipt.forged",
    );
    refused(
        ask(&brine, &body("portal", &receipt[1..])).await,
        400,
        "receipt.malformed",
    );
    let headers = [
        ("origin", "https://pernexus.example.test"),
        ("content-type", "application/json"),
    ];
    let elsewhere = body("pernexus", &receipt).to_string();
    let answer = brine
        .request(Method::POST, "/api/subject", &headers, &elsewhere)
        .await;
    refused(answer, 400, "receipt.other_site");
    // Somebody else's consent beside it opens their events, and the receipt its own: nothing in between.
    let seen = done(
        &brine,
        json!({ "site": "portal", "token": others, "receipts": [altered] }),
    )
    .await;
    assert_eq!(pages(&seen), ["/others"]);
    assert_eq!(seen["receipts"]["refused"][0]["reason"], "receipt.forged");
    // Who knows the id that a sender gives its visitor does not get that visitor's receipt.
    let named = json!({
        "n": "pageview", "u": "https://portal.example.test/named", "d": "portal", "c": others, "rc": true, "vid": "somebody",
    });
    let answer = brine.event(&named.to_string()).await;
    assert!(
        answer
            .expect(202, "accepted")
            .headers
            .get("brine-receipt")
            .is_none()
    );
    let by_id = json!({ "site": "portal", "token": others, "vid": "somebody" });
    refused(ask(&brine, &by_id).await, 400, "beacon.malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_comes_when_asked_for_and_says_until_when() {
    let brine = Brine::start();
    let token = brine.consent("portal").await;
    let event = |rc: &str| {
        format!(
            r#"{{"n":"pageview","u":"https://portal.example.test/","d":"portal","c":"{token}"{rc}}}"#
        )
    };
    let asked = brine
        .event_with(&[("origin", ORIGIN)], &event(r#","rc":true"#))
        .await;
    let (_, seconds) = receipt(asked.expect(202, "accepted"));
    assert!((1..=90_000).contains(&seconds), "{seconds}");
    let exposed = asked.headers["access-control-expose-headers"]
        .to_str()
        .unwrap();
    assert!(exposed.contains("brine-receipt"), "{exposed}");
    for body in [event(""), event(r#","rc":false"#)] {
        let answer = brine.event(&body).await;
        assert!(
            answer
                .expect(202, "accepted")
                .headers
                .get("brine-receipt")
                .is_none()
        );
    }
    let refused = brine
        .event(&event(r#","rc":true"#).replace(&token, "none"))
        .await;
    assert!(refused.headers.get("brine-receipt").is_none());
}

/// Returns how many pageviews a report counts.
async fn counted(brine: &Brine) -> u64 {
    let query = r#"{"site_id":"portal","metrics":["pageviews","visitors"],"date_range":"day"}"#;
    let headers = [("content-type", "application/json")];
    let answer = brine
        .admin(Method::POST, "/api/v1/query", &headers, query)
        .await;
    answer.json()["results"][0]["metrics"][0]
        .as_u64()
        .unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn restricted_rows_are_kept_but_not_counted() {
    let brine = Builder::new().set("BATCH__MAX_AGE_MS", "60000").start();
    let (mine, others) = (brine.consent("portal").await, brine.consent("portal").await);
    view(&brine, &mine, "/mine").await;
    view(&brine, &others, "/others").await;
    // Also those that are still in the spool when it is asked.
    let restrict = |action: &str| json!({ "site": "portal", "action": action, "token": mine });
    let answer = done(&brine, restrict("restrict")).await;
    assert_eq!(answer["rows"], 1, "{answer}");
    assert_eq!(brine.count("SELECT count() FROM events"), 2);
    assert_eq!(counted(&brine).await, 1);
    // And those that come later under the same pseudonym.
    view(&brine, &mine, "/mine/later").await;
    let seen = done(&brine, json!({ "site": "portal", "token": mine })).await;
    assert_eq!(pages(&seen), ["/mine", "/mine/later"]);
    assert_eq!(seen["days"][0]["restricted"], true);
    assert_eq!(counted(&brine).await, 1);
    let answer = done(&brine, restrict("unrestrict")).await;
    assert_eq!(answer["rows"], 2);
    assert_eq!(counted(&brine).await, 3);
    // Two for each day whose salt lives: shortly before midnight the next day's does.
    brine.wait_for(
        "SELECT intDiv(count(), uniqExact(day)) FROM restrictions",
        2,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_objection_takes_the_consent_back_and_counts_nothing() {
    let brine = Brine::start();
    let token = brine.consent("portal").await;
    view(&brine, &token, "/mine").await;
    let answer = done(
        &brine,
        json!({ "site": "portal", "action": "object", "token": token }),
    )
    .await;
    assert_eq!(
        (&answer["rows"], &answer["withdrawn"]),
        (&json!(1), &json!(true))
    );
    let beacon = format!(
        r#"{{"n":"pageview","u":"https://portal.example.test/","d":"portal","c":"{token}"}}"#
    );
    brine.event(&beacon).await.expect(204, "consent.withdrawn");
    assert_eq!(counted(&brine).await, 0);
    let seen = done(&brine, json!({ "site": "portal", "token": token })).await;
    assert_eq!(seen["consent"]["valid"], false);
    let history: Vec<&str> = seen["consent"]["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["choice"].as_str().unwrap())
        .collect();
    assert_eq!(history, ["grant", "withdraw"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_value_is_made_right_and_the_old_one_is_gone_from_the_disk() {
    let brine = Builder::new().set("BATCH__MAX_AGE_MS", "60000").start();
    let (mine, others) = (brine.consent("portal").await, brine.consent("portal").await);
    let signup = |token: &str, plan: &str| {
        json!({ "n": "Signup", "u": "https://portal.example.test/", "d": "portal", "c": token, "p": { "plan": plan } })
            .to_string()
    };
    for (token, plan) in [
        (&mine, "wrong-plan-x"),
        (&mine, "kept"),
        (&others, "theirs"),
    ] {
        brine
            .event(&signup(token, plan))
            .await
            .expect(202, "accepted");
    }
    let correct = |from: &str, to: &str| json!({ "site": "portal", "action": "correct", "token": mine, "property": "plan", "from": from, "to": to });
    // What takes its place is masked as everything is.
    let answer = done(&brine, correct("wrong-plan-x", "pro for a@b.example")).await;
    assert_eq!(
        (&answer["rows"], &answer["value"]),
        (&json!(1), &json!("pro for :email"))
    );
    let plans = brine.sql("SELECT props['plan'] FROM events ORDER BY props['plan']");
    assert_eq!(plans, ["kept", "pro for :email", "theirs"]);
    // Others' values are out of reach.
    assert_eq!(done(&brine, correct("theirs", "mine")).await["rows"], 0);
    assert_eq!(
        brine.count("SELECT count() FROM events WHERE props['plan'] = 'theirs'"),
        1
    );
    expect_absent(&brine, &[b"wrong-plan-x".to_vec()]);
    let incomplete =
        json!({ "site": "portal", "action": "correct", "token": mine, "property": "plan" });
    ask(&brine, &incomplete)
        .await
        .expect(400, "beacon.malformed");
}

/// README, "What a visitor can do": the same for requests by mail, each with a row in `requests`.
#[tokio::test(flavor = "multi_thread")]
async fn requests_by_mail_do_the_same_and_leave_a_row_each() {
    let brine = Brine::start();
    let token = brine.consent("portal").await;
    let receipt = view(&brine, &token, "/mine").await;
    let mail = brine.directory.join("mail.txt");
    std::fs::write(
        &mail,
        format!("Dear all,\nthis is what I have: {receipt}, {token}.\n> Yours\n"),
    )
    .unwrap();
    let run = |action: &str, more: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_brine"))
            .args([
                "rights",
                action,
                "--site",
                "portal",
                "--admin",
                &brine.admin.to_string(),
            ])
            .arg("--data")
            .arg(brine.data())
            .args(more)
            .output()
            .expect("brine runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!text.contains(&receipt), "{text}");
        (
            output.status.success(),
            text,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let file = mail.to_str().unwrap();
    let (is_found, found, said) = run("find", &["--file", file]);
    assert!(
        is_found && found.contains("1 events in all.") && found.contains("consent: grant"),
        "{found}{said}"
    );
    let (_, exported, _) = run("export", &["--receipt", &receipt]);
    let exported: Value = serde_json::from_str(&exported).expect("JSON");
    assert_eq!(pages(&exported), ["/mine"]);
    let (is_restricted, restricted, _) = run("restrict", &["--token", &token]);
    assert!(
        is_restricted && restricted.contains("restrict: 1 events."),
        "{restricted}"
    );
    let (is_erased, erased, said) = run("erase", &["--file", file]);
    assert!(
        is_erased && erased.contains("erase: 1 events."),
        "{erased}{said}"
    );
    let (is_nothing, _, said) = run("find", &[]);
    assert!(
        !is_nothing && said.contains("nothing to find anything by"),
        "{said}"
    );
    let (_, _, said) = run("find", &["--receipt", "none"]);
    assert!(said.contains("receipt.malformed"), "{said}");
    brine.wait_for("SELECT count() FROM requests", 5);
    assert_eq!(
        brine.sql("SELECT action, step, affected FROM requests WHERE channel = 'operator' ORDER BY ts, step"),
        ["see\tdone\t1", "see\tdone\t1", "restrict\tdone\t1", "erase\tasked\t0", "erase\tdone\t1"]
    );
    // No identity: no column of it holds the pseudonym, the receipt or the token.
    let rows = brine.sql("SELECT * FROM requests").join("\n");
    let held = aho_corasick::AhoCorasick::new(spellings(&receipt)).unwrap();
    assert!(
        !held.is_match(rows.as_bytes()) && !rows.contains(&token),
        "{rows}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_keeps_its_bounds() {
    let brine = Builder::new()
        .set("SERVER__MAX_BODY_BYTES", "2048")
        .set("LIMITS__RIGHTS_PER_MINUTE", "12")
        .start();
    let token = brine.consent("portal").await;
    let receipt = view(&brine, &token, "/mine").await;
    let headers = |origin: &'static str| [("origin", origin), ("content-type", "application/json")];
    let post = async |origin: &'static str, body: String| {
        let headers = headers(origin);
        brine
            .request(Method::POST, "/api/subject", &headers, &body)
            .await
    };
    let body = json!({ "site": "portal", "token": token }).to_string();
    post("https://evil.example", body.clone())
        .await
        .expect(403, "site.origin");
    let own_page: &'static str = Box::leak(format!("http://{}", brine.public).into_boxed_str());
    post(own_page, body.clone()).await.expect(200, "accepted");
    let sub_domain = post("https://a.portal.example.test", body.clone()).await;
    assert_eq!(
        sub_domain.headers["access-control-allow-origin"],
        "https://a.portal.example.test"
    );
    let many = |n: usize| json!({ "site": "portal", "receipts": vec![&receipt; n] }).to_string();
    let most = post(ORIGIN, many(800)).await;
    assert_eq!(
        most.expect(200, "accepted").json()["periods"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    post(ORIGIN, many(801))
        .await
        .expect(400, "beacon.malformed");
    post(ORIGIN, many(1_500))
        .await
        .expect(413, "beacon.too_large");
    post(ORIGIN, json!({ "site": "nowhere" }).to_string())
        .await
        .expect(404, "site.unknown");
    post(ORIGIN, json!({ "site": "portal" }).to_string())
        .await
        .expect(400, "beacon.malformed");
    // By cookie and by bearer, for those who send no body.
    let cookie = format!("brine_consent={token}");
    let seen = brine
        .request(
            Method::GET,
            "/api/subject?site=portal",
            &[("cookie", &cookie)],
            "",
        )
        .await;
    assert_eq!(pages(&seen.json()), ["/mine"]);
    let bearer = format!("Bearer {token}");
    let gone = brine
        .request(
            Method::DELETE,
            "/api/subject?site=portal",
            &[("authorization", &bearer)],
            "",
        )
        .await;
    assert!(gone.status.is_success(), "{}", gone.text());
    // The allowance comes back while we ask, one in five seconds.
    let mut limited = post(ORIGIN, "{}".into()).await;
    for _ in 0..60 {
        if limited.outcome() == "limit.address" {
            break;
        }
        limited = post(ORIGIN, "{}".into()).await;
    }
    limited.expect(429, "limit.address");
    assert!(limited.headers.contains_key("retry-after"));
}
