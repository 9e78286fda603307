//! README, "What a visitor can do": with many collectors, what is asked of one holds for what the others hold.

use std::process::Command;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use crate::erasure::{holding, spellings};
use crate::rights::{ask, done, receipt, view};
use crate::support::standin::{Fault, StandIn};
use crate::support::{Brine, PATIENCE};

/// Two collectors of one ClickHouse, which share their consents: the first reaches it whatever happens, the second by
/// way of the proxy.
async fn two(store: &StandIn, batch_ms: &str) -> [Brine; 2] {
    let first = store
        .direct()
        .set("STORE__TIMEOUT_MS", "30000")
        .set("BATCH__MAX_AGE_MS", batch_ms)
        .start();
    let key = first.data().join("consent.key").display().to_string();
    let second = store
        .builder()
        .set("STORE__TIMEOUT_MS", "3000")
        .set("BATCH__MAX_AGE_MS", batch_ms)
        .set("BATCH__RETRY_MAX_MS", "1000")
        .set("CONSENT__KEY_FILE", &key)
        .start();
    wait(store, "SELECT uniqExact(incarnation) FROM collectors", "2").await;
    [first, second]
}

async fn wait(store: &StandIn, statement: &str, expected: &str) {
    let begun = Instant::now();
    loop {
        let found = store.try_sql(statement).await;
        if found.as_ref().is_ok_and(|lines| lines == &[expected]) {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{statement}: {found:?}, not {expected}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn wait_log(brine: &Brine, text: &str) {
    let begun = Instant::now();
    while !brine.log().contains(text) {
        assert!(
            begun.elapsed() < PATIENCE,
            "{text} is not said\n{}",
            brine.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn erase(receipts: &[&String]) -> Value {
    json!({ "site": "portal", "action": "erase", "receipts": receipts })
}

fn status_of(request: &Value) -> Value {
    json!({ "site": "portal", "action": "status", "request": request })
}

async fn status(brine: &Brine, request: &Value) -> (u16, Value) {
    let answer = ask(brine, &status_of(request)).await;
    (answer.status.as_u16(), answer.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_reaches_what_another_collector_still_holds() {
    let store = StandIn::start().await;
    let brines = two(&store, "600000").await;
    let (mine, others) = (
        brines[1].consent("portal").await,
        brines[1].consent("portal").await,
    );
    let my_receipt = view(&brines[1], &mine, "/mine").await;
    view(&brines[1], &others, "/others").await;
    // All of it is in the second one's spool, and would be for ten minutes.
    let gone = done(&brines[0], erase(&[&my_receipt])).await;
    assert_eq!(gone["rows"], 1, "{gone}");
    assert_eq!(store.sql("SELECT path FROM events").await, ["/others"]);
    assert_eq!(holding(&brines[1], &spellings(&my_receipt)), [""; 0]);
    // What comes later is not meant.
    let later = view(&brines[1], &mine, "/later").await;
    let seen = json!({ "site": "portal", "action": "see", "receipts": [later] });
    let seen = done(&brines[0], seen).await;
    assert_eq!(
        (&seen["rows"], &seen["is_complete"]),
        (&json!(1), &json!(true)),
        "{seen}"
    );
    for table in ["settle_calls", "settle_answers", "subject_keys"] {
        let count = format!("SELECT count() FROM {table}");
        assert_eq!(store.sql(&count).await, ["0"], "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_waits_for_a_collector_that_cannot_be_reached_and_takes_what_it_can() {
    let store = StandIn::start().await;
    let brines = two(&store, "100").await;
    let token = brines[0].consent("portal").await;
    let stored = view(&brines[1], &token, "/stored").await;
    wait(&store, "SELECT count() FROM events", "1").await;
    store.set_down(true);
    let held = view(&brines[1], &token, "/held").await;
    let asked = ask(&brines[0], &erase(&[&stored, &held])).await;
    assert_eq!(asked.status.as_u16(), 202, "{}", asked.text());
    let request = asked.json()["request"].clone();
    // Nothing of it is settled: how the second one's batches ended it alone knows.
    assert_eq!(store.sql("SELECT count() FROM events").await, ["1"]);
    let id = second(&store, &brines).await;
    wait_log(&brines[0], &format!("no answer yet from collector {id}")).await;
    assert_eq!(status(&brines[0], &request).await.0, 202);
    // Another visitor's waits as well, and is not lost.
    let other = ask(&brines[0], &erase(&[&held])).await;
    assert_eq!(other.status.as_u16(), 202, "{}", other.text());
    // A correction, and a page that shows everything, say that they lack something.
    let see = json!({ "site": "portal", "action": "see", "receipts": [stored] });
    assert_eq!(ask(&brines[0], &see).await.json()["is_complete"], false);
    let correct = json!({
        "site": "portal", "action": "correct", "receipts": [stored], "property": "plan", "from": "pro", "to": "basic",
    });
    assert_eq!(ask(&brines[0], &correct).await.status.as_u16(), 503);

    store.set_down(false);
    let ended = done(&brines[0], status_of(&request)).await;
    assert_eq!(ended["rows"], 2, "{ended}");
    assert_eq!(store.sql("SELECT count() FROM events").await, ["0"]);
    // The other collector knows of it, too.
    wait(
        &store,
        "SELECT count() FROM requests WHERE action = 'erase' AND step = 'done'",
        "2",
    )
    .await;
    let (code, ended) = status(&brines[1], &request).await;
    assert_eq!((code, &ended["note"]), (200, &json!("Done, and verified.")));
}

/// A batch of which nobody knows how it ended keeps all its rows until its collector has counted them: else it would be
/// sent again whole.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_leaves_another_collectors_batch_in_doubt_alone_until_it_is_settled() {
    let store = StandIn::start().await;
    let brines = two(&store, "100").await;
    let (mine, others) = (
        brines[1].consent("portal").await,
        brines[1].consent("portal").await,
    );
    // Stored, and no word of it: the second one waits for its answer until its time is over.
    store.plan(&[Fault::SilenceAfter]);
    let body = |token: &str, path: &str| {
        let url = format!("https://portal.example.test{path}");
        json!({ "n": "pageview", "u": url, "d": "portal", "c": token, "rc": true }).to_string()
    };
    // In one batch.
    let (mine, others) = (body(&mine, "/mine"), body(&others, "/others"));
    let (mine, others) = tokio::join!(brines[1].event(&mine), brines[1].event(&others));
    others.expect(202, "accepted");
    let receipt = receipt(mine.expect(202, "accepted")).0;
    let begun = Instant::now();
    while store.met().is_empty() {
        assert!(begun.elapsed() < PATIENCE, "no insert");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    store.set_down(true);
    wait(&store, "SELECT count() FROM events", "2").await;
    let asked = ask(&brines[0], &erase(&[&receipt])).await;
    assert_eq!(asked.status.as_u16(), 202, "{}", asked.text());
    assert_eq!(store.sql("SELECT count() FROM events").await, ["2"]);
    store.set_down(false);
    let request = asked.json()["request"].clone();
    done(&brines[0], status_of(&request)).await;
    brines[1].wait_drained().await;
    assert_eq!(store.sql("SELECT path FROM events").await, ["/others"]);
    assert!(
        !brines[1].log().contains("there in part"),
        "{}",
        brines[1].log_tail()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_reaches_another_collectors_quarantine_and_leaves_the_others_there() {
    let store = StandIn::start().await;
    let brines = two(&store, "100").await;
    store
        .sql("ALTER TABLE events ADD CONSTRAINT fine CHECK name != 'refuse-me'")
        .await;
    let mut receipts = Vec::new();
    for _ in 0..2 {
        let token = brines[1].consent("portal").await;
        let refused = json!({ "n": "refuse-me", "u": "https://portal.example.test/", "d": "portal", "c": token, "rc": true });
        let answer = brines[1].event(&refused.to_string()).await;
        receipts.push(receipt(answer.expect(202, "accepted")).0);
    }
    brines[1].wait_drained().await;
    let held = |receipt: &str| holding(&brines[1], &spellings(receipt)).len();
    assert!(
        held(&receipts[0]) > 0 && held(&receipts[1]) > 0,
        "the control"
    );
    let gone = done(&brines[0], erase(&[&receipts[0]])).await;
    assert_eq!(
        (&gone["rows"], &gone["quarantined"]),
        (&json!(0), &json!(1)),
        "{gone}"
    );
    assert_eq!(held(&receipts[0]), 0);
    assert!(held(&receipts[1]) > 0, "another's record is still there");
}

/// The second one's name in `collectors`.
async fn second(store: &StandIn, brines: &[Brine; 2]) -> String {
    let identity = std::fs::read_to_string(brines[1].data().join("spool/identity"));
    let identity = identity.expect("the spool's identity");
    let id = identity
        .lines()
        .find_map(|line| line.strip_prefix("incarnation "))
        .expect("an incarnation");
    let known = format!("SELECT count() FROM collectors WHERE lower(hex(incarnation)) = '{id}'");
    assert_eq!(store.sql(&known).await, ["1"]);
    id.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_waits_for_a_collector_that_is_down_until_it_is_forgotten() {
    let store = StandIn::start().await;
    let mut brines = two(&store, "100").await;
    let token = brines[0].consent("portal").await;
    let mine = view(&brines[0], &token, "/mine").await;
    let old = view(&brines[1], &token, "/old").await;
    wait(&store, "SELECT count() FROM events", "2").await;
    let id = second(&store, &brines).await;
    // At its start it says how far it has settled.
    assert_eq!(brines[1].terminate(), Some(0));
    brines[1].restart();
    wait(
        &store,
        "SELECT count() FROM (SELECT incarnation, max(settled) AS s FROM collectors GROUP BY incarnation HAVING s > 0)",
        "1",
    )
    .await;
    brines[1].kill();
    let asked = ask(&brines[0], &erase(&[&mine, &old])).await;
    assert_eq!(asked.status.as_u16(), 202, "{}", asked.text());
    // What is settled goes meanwhile, also what the dead one had brought: only the promise waits.
    wait(&store, "SELECT count() FROM events", "0").await;
    let request = asked.json()["request"].clone();
    // It survives that both are killed.
    brines[0].kill();
    brines[0].restart();
    let collectors = |arguments: &[&str]| {
        let serve = brines[0].start_command();
        let variables = serve.get_envs().filter_map(|(k, v)| Some((k, v?)));
        let output = Command::new(env!("CARGO_BIN_EXE_brine"))
            .arg("collectors")
            .args(arguments)
            .arg("--config")
            .arg(brines[0].directory.join("brine.toml"))
            .envs(variables)
            .output()
            .expect("brine runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    let begun = Instant::now();
    loop {
        let (code, text) = collectors(&["list"]);
        assert_eq!(code, Some(0), "{text}");
        let line = text
            .lines()
            .find(|line| line.starts_with(&id))
            .expect("listed");
        if line.ends_with("  1") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status(&brines[0], &request).await.0, 202);
    let (code, text) = collectors(&["forget", "0000000000000001"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("no collector 0000000000000001 is known here"),
        "{text}"
    );
    let (code, text) = collectors(&["forget", &id]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("Forgotten: {id}")), "{text}");
    done(&brines[0], status_of(&request)).await;
    let headers = [("content-type", "application/json")];
    let health = brines[0].admin(Method::GET, "/health", &headers, "").await;
    assert_eq!(health.status.as_u16(), 200);
}

/// Forgotten by mistake, a collector that runs enters itself again, with what it has settled.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_was_forgotten_by_mistake_is_known_again() {
    let store = StandIn::start().await;
    let brines = two(&store, "100").await;
    let token = brines[1].consent("portal").await;
    view(&brines[1], &token, "/stored").await;
    wait(&store, "SELECT count() FROM events", "1").await;
    let id = second(&store, &brines).await;
    let forget = format!(
        "ALTER TABLE collectors DELETE WHERE lower(hex(incarnation)) = '{id}' SETTINGS mutations_sync = 2"
    );
    store.sql(&forget).await;
    wait(&store, "SELECT uniqExact(incarnation) FROM collectors", "1").await;
    let known = format!(
        "SELECT count() FROM collectors WHERE lower(hex(incarnation)) = '{id}' AND settled > 0 AND started > now() - 600"
    );
    wait(&store, &known, "1").await;
}
