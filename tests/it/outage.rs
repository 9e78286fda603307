//! README, "What 202 means": ClickHouse may be away, slow, full or wrong; nothing is lost and nothing doubled.
//!
//! The stand-in is the real engine behind a proxy that misbehaves on cue.

use std::time::{Duration, Instant};

use hyper::Method;

use crate::support::load::{Ledger, Load, STORED};
use crate::support::standin::{Fault, StandIn};
use crate::support::{Brine, Builder, PATIENCE, process};

/// Waits until every planned fault has been met.
async fn wait_met(store: &StandIn, brine: &Brine, faults: usize) {
    let started = Instant::now();
    while store.met().len() < faults {
        assert!(
            started.elapsed() < PATIENCE,
            "met only {:?}\n{}",
            store.met(),
            brine.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inserts_of_unknown_end_count_once() {
    let store = StandIn::start().await;
    let brine = store.builder().set("BATCH__MAX_ROWS", "100").start();
    let load = Load::start(&brine, 4).await;
    let faults = [
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::BadGatewayAfter,
        Fault::SilenceAfter,
        Fault::SilenceBefore,
        Fault::CutAfter,
        Fault::CutAfter,
        Fault::Refuse(241, "Memory limit (total) exceeded"),
        Fault::Refuse(252, "Too many parts (3000) in all data parts in total"),
        Fault::Refuse(243, "Cannot reserve 1.00 MiB, not enough space"),
        Fault::Refuse(210, "Connection refused"),
        Fault::BadGatewayAfter,
        // The last one is resent into a quiet moment.
        Fault::CutBefore,
    ];
    store.plan(&faults);
    wait_met(&store, &brine, faults.len()).await;
    let ledger = load.stop().await;
    brine.wait_drained().await;
    ledger.expect_exactly_once(&store.sql(STORED).await);
    // The metrics tell what happened: what was committed without an answer was found, the rest resent.
    let found = brine
        .metric("brine_batches_total{result=\"found_present\"}")
        .await;
    let resent = brine.metric("brine_batches_total{result=\"resent\"}").await;
    let errors = brine
        .metric("brine_batch_errors_total{class=\"pressure\"}")
        .await;
    assert!(
        found >= 3.0 && resent >= 1.0 && errors >= faults.len() as f64,
        "{found} {resent} {errors}"
    );
    let stored = brine
        .metric("brine_rows_stored_total{table=\"events\"}")
        .await;
    assert_eq!(stored, ledger.accepted.len() as f64);
    assert_eq!(brine.metric("brine_rows_quarantined_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_or_right_waits_for_the_operator() {
    let store = StandIn::start().await;
    let brine = store.builder().start();
    let load = Load::start(&brine, 2).await;
    for refusal in [
        Fault::Refuse(60, "Table brine.events does not exist"),
        Fault::Refuse(497, "default: Not enough privileges"),
        Fault::Refuse(516, "default: Authentication failed"),
    ] {
        let met = store.met().len();
        store.plan(&[refusal; 8]);
        brine
            .wait_metric("brine_store_stopped", |stopped| stopped == 1.0)
            .await;
        load.wait_accepted(20).await;
        wait_met(&store, &brine, met + 8).await;
        brine
            .wait_metric("brine_store_stopped", |stopped| stopped == 0.0)
            .await;
    }
    let ledger = load.stop().await;
    brine.wait_drained().await;
    ledger.expect_exactly_once(&store.sql(STORED).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_rows_stand_alone_in_quarantine_and_the_others_are_stored() {
    for relabelled in [None, Some(27)] {
        let store = StandIn::start().await;
        let brine = store.builder().set("BATCH__MAX_ROWS", "64").start();
        // One batch, so that the table is there.
        let load = Load::start(&brine, 1).await;
        load.wait_accepted(1).await;
        brine
            .wait_metric("brine_rows_stored_total{table=\"events\"}", |rows| {
                rows > 0.0
            })
            .await;
        store.relabel_refusals(relabelled);
        let first = u32::try_from(load.ledger().accepted.len()).expect("few") + 50;
        let bad = [first, first + 1, first + 40];
        let list = bad.map(|n| format!("'{n}'")).join(", ");
        store
            .sql(&format!(
                "ALTER TABLE events ADD CONSTRAINT fine CHECK props['n'] NOT IN ({list})"
            ))
            .await;
        load.wait_accepted(200).await;
        // A whole batch refused for a reason that is gone at the next try.
        store.plan(&[
            Fault::Refuse(27, "Cannot parse input"),
            Fault::Refuse(
                252,
                "Too many partitions for single INSERT block (more than 100)",
            ),
        ]);
        wait_met(&store, &brine, 2).await;
        let mut ledger: Ledger = load.stop().await;
        brine.wait_drained().await;
        for n in bad {
            assert!(ledger.accepted.remove(&n), "{n} was accepted");
        }
        ledger.expect_exactly_once(&store.sql(STORED).await);
        assert_eq!(
            brine.metric("brine_rows_quarantined_total").await,
            bad.len() as f64
        );
        let files = std::fs::read_dir(brine.data().join("spool/quarantine"))
            .expect("a quarantine")
            .count();
        assert!(files > 0, "quarantine holds what was refused");
        // What was refused holds the visitor's text: the log names none of it.
        assert!(
            !brine.log().contains("portal.example.test/load"),
            "{}",
            brine.log_tail()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_from_the_start_loses_nothing_and_memory_stays_flat() {
    let store = StandIn::start().await;
    store.set_down(true);
    let mut brine = store.builder().start();
    let load = Load::start(&brine, 8).await;
    load.wait_accepted(1_000).await;
    let before = process::kib(brine.child.id(), "VmRSS");
    load.wait_accepted(6_000).await;
    let after = process::kib(brine.child.id(), "VmRSS");
    assert!(
        after < before + 8 * 1_024,
        "RSS grew from {before} to {after} KiB while ClickHouse was away"
    );
    brine
        .wait_metric("brine_spool_bytes", |bytes| bytes > 500_000.0)
        .await;
    assert_eq!(brine.metric("brine_store_stopped").await, 1.0);
    assert!(brine.metric("brine_spool_oldest_seconds").await > 0.5);

    // Not even a stop loses anything, nor does it wait for what cannot come.
    let started = Instant::now();
    assert_eq!(brine.terminate(), Some(0), "{}", brine.log_tail());
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "SIGTERM took {:?}",
        started.elapsed()
    );
    brine.restart();
    load.follow(&brine);
    load.wait_accepted(100).await;
    store.set_down(false);
    let ledger = load.stop().await;
    brine.wait_drained().await;
    ledger.expect_exactly_once(&store.sql(STORED).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_refuses_and_recovers_and_loses_nothing() {
    let store = StandIn::start().await;
    let brine = store.builder().set("SPOOL__MAX_MIB", "1").start();
    let token = brine.consent("portal").await;
    let load = Load::start(&brine, 8).await;
    store.set_down(true);
    let started = Instant::now();
    while !load.ledger().refusals().contains_key("spool.full") {
        assert!(started.elapsed() < PATIENCE, "the spool never fills");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let page = format!(
        r#"{{"n":"pageview","u":"https://portal.example.test/full","d":"portal","c":"{token}"}}"#
    );
    // A batch that was under way when ClickHouse left may still make room for a few.
    let mut answer = brine.event(&page).await;
    while answer.outcome() == "accepted" {
        assert!(started.elapsed() < PATIENCE, "the spool never fills");
        answer = brine.event(&page).await;
    }
    answer.expect(503, "spool.full");
    let wait = answer.headers["retry-after"]
        .to_str()
        .expect("text")
        .parse::<u64>();
    assert!(
        wait.is_ok_and(|seconds| (1..=60).contains(&seconds)),
        "{:?}",
        answer.headers
    );
    let ready = brine.request(Method::GET, "/ready", &[], "").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.json()["reasons"][0]),
        (503, &"spool.full".into())
    );

    store.set_down(false);
    let started = Instant::now();
    while brine.event(&page).await.status != 202 {
        assert!(
            started.elapsed() < PATIENCE,
            "the spool stays full\n{}",
            brine.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    load.wait_accepted(100).await;
    assert_eq!(
        brine.request(Method::GET, "/ready", &[], "").await.status,
        200
    );
    let ledger = load.stop().await;
    brine.wait_drained().await;
    ledger.expect_exactly_once(&store.sql(STORED).await);
    assert_eq!(
        ledger.refusals().into_keys().collect::<Vec<_>>(),
        ["spool.full"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_is_replaced_and_nothing_is_lost() {
    let brine = Builder::new().set("STORE__TIMEOUT_MS", "1000").start();
    let load = Load::start_with(&brine, 2, Duration::from_millis(20)).await;
    load.wait_accepted(50).await;
    let engine = brine.engine().expect("an engine");
    process::signal(engine, "STOP");
    brine
        .wait_metric("brine_engine_restarts", |n| n >= 1.0)
        .await;
    process::wait_gone(engine);
    let ledger = load.stop().await;
    brine.wait_drained().await;
    ledger.expect_exactly_once(&brine.sql(STORED));
    assert!(ledger.refused.is_empty(), "{:?}", ledger.refusals());
}

/// Two page views, of `/1` and `/2`, with ids that are remembered once their rows are stored.
async fn two_with_ids(brine: &Brine, token: &str) {
    for n in 1..=2 {
        let url = format!("https://portal.example.test/{n}");
        let id = format!("00000000-0000-4000-8000-00000000000{n}");
        let event =
            serde_json::json!({ "n": "pageview", "u": url, "d": "portal", "c": token, "id": id });
        brine
            .event(&event.to_string())
            .await
            .expect(202, "accepted");
    }
}

/// A segment whose rows are stored and that cannot be finished, because brine's own disk refuses, is not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_cannot_be_finished_is_not_stored_twice() {
    let brine = Brine::start();
    let token = brine.consent("portal").await;
    brine.wait_drained().await;
    // Ids of events are kept here, once their rows are stored.
    let (ids, aside) = (brine.data().join("ids"), brine.data().join("ids-aside"));
    std::fs::rename(&ids, &aside).expect("moved");
    two_with_ids(&brine, &token).await;
    brine.wait_for("SELECT count() FROM events", 2);
    // Several attempts, five seconds apart.
    brine
        .wait_metric("brine_batch_errors_total{class=\"spool\"}", |n| n >= 3.0)
        .await;
    assert_eq!(brine.count("SELECT count() FROM events"), 2);
    std::fs::rename(&aside, &ids).expect("moved back");
    brine.wait_drained().await;
    assert_eq!(brine.count("SELECT count() FROM events"), 2);
}

/// Refused and set aside, and killed before its segment could go: the next start, with the cause mended, does not deliver
/// the record beside its copy.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_set_aside_is_not_delivered_besides_after_a_crash() {
    let store = StandIn::start().await;
    let mut brine = store.builder().set("STORE__TIMEOUT_MS", "30000").start();
    let token = brine.consent("portal").await;
    brine.wait_drained().await;
    store
        .sql("ALTER TABLE events ADD CONSTRAINT fine CHECK path != '/1'")
        .await;
    let (ids, aside) = (brine.data().join("ids"), brine.data().join("ids-aside"));
    std::fs::rename(&ids, &aside).expect("moved");
    two_with_ids(&brine, &token).await;
    // Set aside, and the segment still there.
    brine
        .wait_metric("brine_batch_errors_total{class=\"spool\"}", |n| n >= 1.0)
        .await;
    assert_eq!(store.sql("SELECT path FROM events").await, ["/2"]);
    brine.kill();
    std::fs::rename(&aside, &ids).expect("moved back");
    store.sql("ALTER TABLE events DROP CONSTRAINT fine").await;
    brine.restart();
    brine.wait_drained().await;
    let rows = "SELECT path, count() FROM events GROUP BY path ORDER BY path";
    assert_eq!(store.sql(rows).await, ["/2\t1"]);
    let admin = brine.admin.to_string();
    let replayed = brine.command(&["quarantine", "replay", "--admin", &admin]);
    assert!(replayed.status.success());
    brine.wait_drained().await;
    assert_eq!(store.sql(rows).await, ["/1\t1", "/2\t1"]);
}
