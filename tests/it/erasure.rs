//! README, "What a visitor can do": erased is gone, from everywhere, and does not come back.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use brine::engine::connect::{Access, post_query};
use brine::engine::home::{Key, default_socket};
use brine::run::engine_directory;
use http_body_util::BodyExt;
use hyper::Method;
use serde_json::json;

use crate::rights::{ORIGIN, ask, done, receipt, view};
use crate::support::chance::Chance;
use crate::support::load::{Load, STORED};
use crate::support::markers::files_below;
use crate::support::standin::{Fault, StandIn};
use crate::support::{Brine, Builder, process};

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_visitor_is_gone_and_the_others_are_not() {
    let brine = Builder::new().set("BATCH__MAX_AGE_MS", "60000").start();
    let (mine, others) = (brine.consent("portal").await, brine.consent("portal").await);
    let receipt = view(&brine, &mine, "/mine").await;
    view(&brine, &others, "/others").await;
    let gone = done(
        &brine,
        json!({ "site": "portal", "action": "erase", "receipts": [receipt] }),
    )
    .await;
    assert_eq!(gone["rows"], 1, "{gone}");
    assert_eq!(brine.sql("SELECT path FROM events"), ["/others"]);
    let seen = done(&brine, json!({ "site": "portal", "token": mine })).await;
    assert_eq!(seen["rows"], 0);
    brine.wait_for("SELECT count() FROM requests WHERE action = 'erase'", 2);
    assert_eq!(
        brine.sql("SELECT step, channel, periods, affected FROM requests WHERE action = 'erase' ORDER BY ts"),
        ["asked\tvisitor\t1\t0", "done\tvisitor\t1\t1"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_erases_as_well_where_it_asks_for_it() {
    let brine = Brine::start();
    let (mine, others) = (brine.consent("portal").await, brine.consent("portal").await);
    let receipt = view(&brine, &mine, "/mine").await;
    view(&brine, &others, "/others").await;
    let body = json!({
        "site": "portal", "choice": "withdraw", "token": mine, "source": "test", "erase": true, "receipts": [receipt],
    });
    let headers = [("origin", ORIGIN), ("content-type", "application/json")];
    let answer = brine
        .request(Method::POST, "/api/consent", &headers, &body.to_string())
        .await;
    answer.expect(200, "accepted");
    assert_eq!(
        (&answer.json()["action"], &answer.json()["rows"]),
        (&json!("erase"), &json!(1))
    );
    assert_eq!(brine.sql("SELECT path FROM events"), ["/others"]);
    brine.wait_for("SELECT count() FROM consents WHERE choice = 'withdraw'", 1);
    let beacon = format!(
        r#"{{"n":"pageview","u":"https://portal.example.test/","d":"portal","c":"{mine}"}}"#
    );
    brine.event(&beacon).await.expect(204, "consent.withdrawn");
}

/// A pseudonym as it may lie on a disk: in the spool, in a column, in a statement.
pub(crate) fn spellings(receipt: &str) -> Vec<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(receipt).expect("base64");
    let visitor = u64::from_be_bytes(bytes[9..17].try_into().expect("eight bytes"));
    let mut spool = Vec::new();
    let mut rest = visitor;
    while rest >= 0x80 {
        spool.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    spool.push(rest as u8);
    vec![
        spool,
        visitor.to_le_bytes().to_vec(),
        visitor.to_be_bytes().to_vec(),
        visitor.to_string().into_bytes(),
        format!("{visitor:016x}").into_bytes(),
        receipt.as_bytes().to_vec(),
    ]
}

/// Returns the files of brine that hold one of `needles`.
pub(crate) fn holding(brine: &Brine, needles: &[Vec<u8>]) -> Vec<String> {
    let search = aho_corasick::AhoCorasick::new(needles).expect("needles");
    files_below(&brine.directory)
        .into_iter()
        .filter(|path| std::fs::read(path).is_ok_and(|bytes| search.is_match(&bytes)))
        .map(|path| path.display().to_string())
        .collect()
}

#[track_caller]
pub(crate) fn expect_absent(brine: &Brine, needles: &[Vec<u8>]) {
    assert_eq!(holding(brine, needles), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_erased_pseudonym_is_left_on_the_disk() {
    let mut brine = Builder::new()
        .set("LOG", "trace")
        .set("BATCH__MAX_AGE_MS", "60000")
        .start();
    let token = brine.consent("portal").await;
    let receipt = view(&brine, &token, "/mine").await;
    let needles = spellings(&receipt);
    let held = holding(&brine, &needles);
    assert!(
        held.len() == 1 && held[0].ends_with(".seg"),
        "the control: {held:?}"
    );
    // Restricted first: that names the pseudonym in a table of its own.
    done(
        &brine,
        json!({ "site": "portal", "action": "restrict", "receipts": [receipt] }),
    )
    .await;
    let in_columns = holding(&brine, &needles);
    assert!(
        in_columns.iter().all(|path| path.contains("/store/")),
        "{in_columns:?}"
    );
    let gone = done(
        &brine,
        json!({ "site": "portal", "action": "erase", "receipts": [receipt] }),
    )
    .await;
    assert_eq!(gone["rows"], 1);
    expect_absent(&brine, &needles);
    assert_eq!(brine.count("SELECT count() FROM restrictions"), 0);
    // What is left of a part all of whose rows are gone is a part without rows; ClickHouse sets it aside when it likes.
    assert_eq!(
        brine.sql(
            "SELECT name, rows FROM system.parts WHERE table = 'events' AND NOT active AND rows > 0"
        ),
        [""; 0]
    );
    brine.terminate();
    expect_absent(&brine, &needles);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_reaches_rows_whose_batch_is_under_way() {
    let brine = Builder::new().set("BATCH__MAX_AGE_MS", "50").start();
    let token = brine.consent("portal").await;
    brine.wait_drained().await;
    // An engine that hangs: the insert has begun, and has no answer.
    let engine = brine.engine().expect("an engine");
    process::signal(engine, "STOP");
    let receipt = view(&brine, &token, "/mine").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let erase = json!({ "site": "portal", "action": "erase", "receipts": [receipt] });
    let answer = ask(&brine, &erase).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text());
    assert_eq!(answer.json()["done"], false);
    process::signal(engine, "CONT");
    let number = answer.json()["request"].clone();
    let gone = done(
        &brine,
        json!({ "site": "portal", "action": "status", "request": number }),
    )
    .await;
    assert_eq!(gone["rows"], 1, "{gone}");
    assert_eq!(brine.count("SELECT count() FROM events"), 0);
    expect_absent(&brine, &spellings(&receipt));
}

/// Kills both at random moments of erasures, under load: what was erased does not come back, and all else is there
/// exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn an_erased_row_does_not_come_back() {
    let mut chance = Chance::new("an_erased_row_does_not_come_back");
    let mut brine = Builder::new()
        .set("BATCH__MAX_ROWS", "100")
        .set("BATCH__MAX_AGE_MS", "40")
        .start();
    // Less than ClickHouse can take: an erasure waits until what came before it is stored.
    let load = Load::start_with(&brine, 4, Duration::from_millis(25)).await;
    let mut erased = Vec::new();
    for round in 0..12 {
        let token = brine.consent("portal").await;
        let mut receipt = String::new();
        for page in 0..5 {
            receipt = view(&brine, &token, &format!("/erased/{round}/{page}")).await;
        }
        let erase =
            json!({ "site": "portal", "action": "erase", "receipts": [receipt] }).to_string();
        let headers = [("origin", ORIGIN), ("content-type", "application/json")];
        let asked = brine.try_request(brine.public, Method::POST, "/api/subject", &headers, &erase);
        let wait = chance.millis(5, 250);
        let answered = tokio::time::timeout(wait, asked).await;
        let is_done = matches!(&answered, Ok(Ok(answer)) if answer.status.as_u16() == 200);
        if let Some(engine) = brine.engine().filter(|_| round % 3 != 0) {
            process::signal(engine, "KILL");
        }
        if round % 3 != 1 {
            brine.kill();
            brine.restart();
            load.follow(&brine);
        }
        // A request whose answer was lost may not have been heard: the visitor asks again.
        let answer = done(&brine, serde_json::from_str(&erase).unwrap()).await;
        if is_done {
            assert_eq!(answer["rows"], 0, "round {round}: erased, and there again");
        }
        erased.push(receipt);
    }
    let ledger = load.stop().await;
    brine.wait_drained().await;
    brine
        .wait_metric("brine_erasures_pending", |pending| pending == 0.0)
        .await;
    assert_eq!(
        brine.sql("SELECT path FROM events WHERE path LIKE '/erased/%'"),
        [""; 0]
    );
    ledger.expect_exactly_once(&brine.sql(STORED));
    assert!(ledger.accepted.len() > 300, "{}", ledger.accepted.len());
    let needles: Vec<Vec<u8>> = erased
        .iter()
        .flat_map(|receipt| spellings(receipt))
        .collect();
    expect_absent(&brine, &needles);
    assert_eq!(brine.terminate(), Some(0), "{}", brine.log_tail());
    brine.restart();
    assert_eq!(
        brine.sql("SELECT path FROM events WHERE path LIKE '/erased/%'"),
        [""; 0]
    );
    ledger.expect_exactly_once(&brine.sql(STORED));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_reaches_the_quarantine_and_leaves_the_others_there() {
    let brine = Brine::start();
    let (mine, others) = (brine.consent("portal").await, brine.consent("portal").await);
    change(
        &brine,
        "ALTER TABLE brine.events ADD CONSTRAINT fine CHECK name != 'refuse-me'",
    )
    .await;
    let refused = |token: &str| {
        json!({ "n": "refuse-me", "u": "https://portal.example.test/", "d": "portal", "c": token, "rc": true })
            .to_string()
    };
    let my_receipt = receipt(brine.event(&refused(&mine)).await.expect(202, "accepted")).0;
    let other_receipt = receipt(brine.event(&refused(&others)).await.expect(202, "accepted")).0;
    brine.wait_drained().await;
    let quarantine = |receipt: &str| {
        let held = holding(&brine, &spellings(receipt));
        assert!(
            held.iter().all(|path| path.contains("/quarantine/")),
            "{held:?}"
        );
        held.len()
    };
    assert!(
        quarantine(&my_receipt) > 0 && quarantine(&other_receipt) > 0,
        "the control"
    );
    let gone = done(
        &brine,
        json!({ "site": "portal", "action": "erase", "receipts": [my_receipt] }),
    )
    .await;
    assert_eq!(
        (&gone["rows"], &gone["quarantined"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(quarantine(&my_receipt), 0);
    assert!(
        quarantine(&other_receipt) > 0,
        "another's record is still there"
    );
}

/// Runs a statement that changes something, with the engine's own key.
async fn change(brine: &Brine, sql: &str) {
    let engine = engine_directory(&brine.data());
    let key = Key::read(&engine).expect("the engine's key");
    let answer = post_query(&default_socket(&engine), &key, sql, "TSV", Access::Write).await;
    drop(answer.expect("it is done").collect().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_clickhouse_is_away_nothing_is_claimed() {
    let mut brine = Builder::new()
        .set("STORE__URL", "http://127.0.0.1:9")
        .set("STORE__TIMEOUT_MS", "500")
        .set("SERVER__DRAIN_TIMEOUT_MS", "2000")
        .start();
    let token = brine.consent("portal").await;
    let receipt = view(&brine, &token, "/mine").await;
    let held = |action: &str| json!({ "site": "portal", "action": action, "receipts": [receipt] });
    ask(&brine, &held("see"))
        .await
        .expect(503, "store.unavailable");
    // Nor at a shutdown, which does not wait for it; it is promised all the same, and kept in mind.
    let body = held("erase");
    let (answer, ()) = tokio::join!(ask(&brine, &body), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        brine.signal("TERM");
    });
    answer.expect(202, "accepted");
    assert_eq!(answer.json()["done"], false);
    brine.kill_is_over();
    brine.restart();
    brine
        .wait_metric("brine_erasures_pending", |pending| pending == 1.0)
        .await;
}

/// Many ask at the same moment: each gets their own result, and only theirs is gone.
#[tokio::test(flavor = "multi_thread")]
async fn erasures_asked_together_are_each_verified() {
    let brine = Builder::new().set("BATCH__MAX_AGE_MS", "60000").start();
    let mut receipts = Vec::new();
    for n in 0..20 {
        let token = brine.consent("portal").await;
        let mut receipt = String::new();
        for page in 0..=n % 3 {
            receipt = view(&brine, &token, &format!("/{n}/{page}")).await;
        }
        receipts.push(receipt);
    }
    let erase = |n: usize| {
        let receipt = receipts[n].clone();
        done(
            &brine,
            json!({ "site": "portal", "action": "erase", "receipts": [receipt] }),
        )
    };
    let (a, b, c, d, e, f) =
        tokio::join!(erase(0), erase(1), erase(2), erase(3), erase(4), erase(5));
    let rows: Vec<u64> = [a, b, c, d, e, f]
        .iter()
        .map(|gone| gone["rows"].as_u64().expect("a number"))
        .collect();
    assert_eq!(rows, [1, 2, 3, 1, 2, 3]);
    assert_eq!(brine.count("SELECT count() FROM events"), 39 - 12);
    assert_eq!(
        brine.count("SELECT uniqExact(visitor) FROM events"),
        receipts.len() as u64 - 6
    );
}

/// A ClickHouse server of its own, behind a proxy that loses answers: batches are counted and sent again while rows of
/// theirs are erased. The erased ones are gone, and everything else is there exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn batches_of_unknown_end_and_erasures_do_not_disturb_each_other() {
    let store = StandIn::start().await;
    let brine = store.builder().set("BATCH__MAX_ROWS", "100").start();
    let load = Load::start_with(&brine, 4, Duration::from_millis(10)).await;
    let faults = [
        Fault::CutAfter,
        Fault::BadGatewayAfter,
        Fault::CutBefore,
        Fault::SilenceAfter,
    ];
    for round in 0..6 {
        let token = brine.consent("portal").await;
        let mut receipt = String::new();
        for page in 0..4 {
            receipt = view(&brine, &token, &format!("/erased/{round}/{page}")).await;
            // The batches with these rows, and those around them.
            store.plan(&[faults[(round + page) % faults.len()]]);
        }
        let erase = json!({ "site": "portal", "action": "erase", "receipts": [receipt] });
        assert_eq!(done(&brine, erase).await["rows"], 4, "round {round}");
        // The same visitor goes on: what comes after the request is not erased by it.
        view(&brine, &token, &format!("/later/{round}")).await;
    }
    assert!(store.met().len() >= 6, "{:?}", store.met());
    let ledger = load.stop().await;
    brine.wait_drained().await;
    ledger.expect_exactly_once(&store.sql(STORED).await);
    let left = "SELECT countIf(path LIKE '/erased/%'), countIf(path LIKE '/later/%') FROM events";
    assert_eq!(store.sql(left).await, ["0\t6"]);
}
