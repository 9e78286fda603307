//! README, "What 202 means": an accepted beacon reaches ClickHouse exactly once, whatever dies on the way.

use std::time::Duration;

use crate::support::chance::Chance;
use crate::support::load::{Load, STORED};
use crate::support::process;
use crate::support::{Brine, Builder};

/// Which process is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Brine,
    Engine,
    Both,
}

/// Kills under load at random moments, and counts at the end.
async fn survive(test: &str, victim: Victim, rounds: u32) {
    let mut chance = Chance::new(test);
    // Small batches: each round then ends in the middle of several.
    let mut brine = Builder::new()
        .set("BATCH__MAX_ROWS", "200")
        .set("BATCH__MAX_AGE_MS", "40")
        .start();
    let load = Load::start(&brine, 8).await;
    for round in 0..rounds {
        tokio::time::sleep(chance.millis(20, 600)).await;
        let engine = if victim == Victim::Brine {
            None
        } else {
            brine.engine()
        };
        if let Some(engine) = engine {
            process::signal(engine, "KILL");
        }
        if victim != Victim::Engine {
            brine.kill();
            brine.restart();
            load.follow(&brine);
        }
        if round % 10 == 9 {
            // Not only restarts: it also has to get on between them.
            load.wait_accepted(200).await;
        }
    }
    let ledger = load.stop().await;
    brine.wait_drained().await;
    ledger.expect_exactly_once(&brine.sql(STORED));
    assert!(
        ledger.accepted.len() > 1_000,
        "too little load to prove anything: {}",
        ledger.accepted.len()
    );
    let reasons = ledger.refusals();
    assert!(
        reasons.is_empty(),
        "refused while nothing but processes died: {reasons:?}"
    );
    assert_eq!(brine.terminate(), Some(0), "{}", brine.log_tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_brine_20_times_loses_and_doubles_nothing() {
    survive("killing_brine", Victim::Brine, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_engine_15_times_loses_and_doubles_nothing() {
    survive("killing_the_engine", Victim::Engine, 15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_both_15_times_loses_and_doubles_nothing() {
    survive("killing_both", Victim::Both, 15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_loses_nothing_and_exits_at_once() {
    let mut brine = Brine::start();
    let load = Load::start(&brine, 8).await;
    load.wait_accepted(500).await;
    let started = std::time::Instant::now();
    assert_eq!(brine.terminate(), Some(0), "{}", brine.log_tail());
    let took = started.elapsed();
    assert!(
        took < Duration::from_secs(5),
        "SIGTERM to exit took {took:?}\n{}",
        brine.log_tail()
    );
    let ledger = load.stop().await;
    // All of it is in ClickHouse already: nothing was left for the next start.
    brine.restart();
    ledger.expect_exactly_once(&brine.sql(STORED));
    for outcome in ledger.refused.values() {
        assert_eq!(outcome, "server.closing");
    }
}
