//! README, "Operation": what ClickHouse refused is set aside, and goes back once the cause is mended; each record once.

use std::process::Output;

use serde_json::{Value, json};

use crate::erasure::{holding, spellings};
use crate::rights::{ask, done, receipt};
use crate::support::Brine;
use crate::support::standin::StandIn;

/// `brine quarantine …`, as an operator types it.
fn quarantine(brine: &Brine, arguments: &[&str]) -> (Option<i32>, String) {
    let admin = brine.admin.to_string();
    let mut all = vec!["quarantine"];
    all.extend(arguments);
    all.extend(["--admin", &admin]);
    let Output {
        status,
        stdout,
        stderr,
    } = brine.command(&all);
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (status.code(), text)
}

fn files(brine: &Brine) -> Vec<Value> {
    let (code, text) = quarantine(brine, &["list", "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    answer["files"].as_array().expect("files").clone()
}

/// An event that ClickHouse will refuse; returns its receipt.
async fn refused(brine: &Brine, path: &str) -> String {
    let token = brine.consent("portal").await;
    let url = format!("https://portal.example.test{path}");
    let body = json!({ "n": "refuse-me", "u": url, "d": "portal", "c": token, "rc": true });
    receipt(brine.event(&body.to_string()).await.expect(202, "accepted")).0
}

const REFUSE: &str = "ALTER TABLE events ADD CONSTRAINT fine CHECK name != 'refuse-me'";

/// Starts a brine whose ClickHouse refuses two events, and waits until they are set aside.
async fn with_two_set_aside(store: &StandIn) -> (Brine, [String; 2]) {
    let brine = store.builder().set("STORE__TIMEOUT_MS", "30000").start();
    refused(&brine, "/control").await;
    brine.wait_drained().await;
    assert_eq!(store.sql("SELECT path FROM events").await, ["/control"]);
    assert!(files(&brine).is_empty(), "the control");
    store
        .sql("ALTER TABLE events DELETE WHERE 1 SETTINGS mutations_sync = 2")
        .await;
    store.sql(REFUSE).await;
    let receipts = [refused(&brine, "/a").await, refused(&brine, "/b").await];
    brine.wait_drained().await;
    (brine, receipts)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_goes_back_once_the_cause_is_mended() {
    let store = StandIn::start().await;
    let (brine, _) = with_two_set_aside(&store).await;
    let set_aside = files(&brine);
    assert!(!set_aside.is_empty());
    for file in &set_aside {
        assert_eq!(file["can_be_replayed"], true, "{file}");
        let reason = file["reason"].as_str().expect("a reason");
        assert!(reason.contains("ClickHouse refuses this row"), "{reason}");
    }
    // As long as the cause is there they come back to where they were.
    let (code, text) = quarantine(&brine, &["replay"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("2 records of"), "{text}");
    brine.wait_drained().await;
    assert_eq!(store.sql("SELECT count() FROM events").await, ["0"]);
    assert!(!files(&brine).is_empty());
    store.sql("ALTER TABLE events DROP CONSTRAINT fine").await;
    let (code, text) = quarantine(&brine, &["replay"]);
    assert_eq!(code, Some(0), "{text}");
    brine.wait_drained().await;
    let (code, text) = quarantine(&brine, &["replay"]);
    assert_eq!(
        (code, &*text),
        (
            Some(0),
            "0 records of 0 files are on their way to ClickHouse again.\n"
        )
    );
    assert_eq!(
        store
            .sql("SELECT path, count() FROM events GROUP BY path ORDER BY path")
            .await,
        ["/a\t1", "/b\t1"]
    );
    let (code, text) = quarantine(&brine, &["list"]);
    assert_eq!((code, &*text), (Some(0), "Nothing is set aside.\n"));
    assert_eq!(brine.metric("brine_spool_quarantine_bytes").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_can_be_deleted_by_name_and_nothing_else_can() {
    let store = StandIn::start().await;
    let (brine, _) = with_two_set_aside(&store).await;
    for name in ["../identity", "nothing", ""] {
        let (code, text) = quarantine(&brine, &["drop", name]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("no such file in the quarantine"), "{text}");
    }
    for file in files(&brine) {
        let name = file["file"].as_str().expect("a name");
        let (code, text) = quarantine(&brine, &["drop", name]);
        assert_eq!((code, &*text), (Some(0), "Deleted.\n"));
    }
    assert!(files(&brine).is_empty());
    let (_, text) = quarantine(&brine, &["replay"]);
    assert!(text.starts_with("0 records"), "{text}");
}

/// What is put back gets a place behind the one that an erasure under way goes up to: it would outlive it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_put_back_while_an_erasure_is_under_way() {
    let store = StandIn::start().await;
    let (brine, receipts) = with_two_set_aside(&store).await;
    store.set_down(true);
    // Not stored yet: the erasure waits for it.
    refused(&brine, "/c").await;
    let erase = json!({ "site": "portal", "action": "erase", "receipts": [receipts[0]] });
    let asked = ask(&brine, &erase).await;
    assert_eq!(asked.status.as_u16(), 202, "{}", asked.text());
    let (code, text) = quarantine(&brine, &["replay"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("an erasure is under way"), "{text}");
    assert!(
        !holding(&brine, &spellings(&receipts[0])).is_empty(),
        "the control"
    );
    store.set_down(false);
    let status =
        json!({ "site": "portal", "action": "status", "request": asked.json()["request"] });
    let gone = done(&brine, status).await;
    assert_eq!(gone["quarantined"], 1, "{gone}");
    store.sql("ALTER TABLE events DROP CONSTRAINT fine").await;
    let (code, text) = quarantine(&brine, &["replay"]);
    assert_eq!(code, Some(0), "{text}");
    brine.wait_drained().await;
    assert_eq!(
        store
            .sql("SELECT path, count() FROM events GROUP BY path ORDER BY path")
            .await,
        ["/b\t1", "/c\t1"]
    );
}
