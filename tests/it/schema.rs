//! README, "Operation": collectors that start together on one ClickHouse apply the schema once.

use std::time::{Duration, Instant};

use crate::support::standin::StandIn;
use crate::support::{Brine, Builder};

/// The files in `schema/`, as `schema_migrations` tells them once they are applied: each once.
fn applied() -> String {
    let n = brine::store::migrations::MIGRATIONS.len();
    format!("{n}\t{n}")
}

async fn wait_applied(store: &StandIn, brines: &[Brine]) {
    let begun = Instant::now();
    loop {
        let rows = "SELECT count(), uniqExact(name) FROM schema_migrations";
        if store.try_sql(rows).await == Ok(vec![applied()]) {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "the schema is not applied, or not once\n{}",
            brines.iter().map(Brine::log_tail).collect::<String>()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_collectors_that_start_together_one_applies_the_schema() {
    for _ in 0..3 {
        let store = StandIn::start().await;
        let starts: Vec<_> = (0..3)
            .map(|_| store.builder().set("STORE__TIMEOUT_MS", "30000"))
            .map(|builder| std::thread::spawn(|| Builder::start(builder)))
            .collect();
        let brines: Vec<Brine> = starts.into_iter().map(|b| b.join().unwrap()).collect();
        wait_applied(&store, &brines).await;
        // A table that two exchanged for the new one would be the old one again.
        let key = "SELECT DISTINCT partition_key FROM system.tables WHERE database = 'brine' AND name IN ('daily', 'daily_next')";
        assert_eq!(store.sql(key).await, ["toYYYYMM(day)"]);
        for brine in &brines {
            let token = brine.consent("portal").await;
            let beacon = format!(
                r#"{{"n":"pageview","u":"https://portal.example.test/","d":"portal","c":"{token}"}}"#
            );
            brine.event(&beacon).await.expect(202, "accepted");
        }
        for brine in &brines {
            brine.wait_drained().await;
        }
        assert_eq!(store.sql("SELECT count() FROM events").await, ["3"]);
        let again = "SELECT count(), uniqExact(name) FROM schema_migrations";
        assert_eq!(store.sql(again).await, [applied()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_died_while_it_applied_the_schema_is_waited_for_and_taken_over_from() {
    let store = StandIn::start().await;
    let builder = || store.builder().set("STORE__TIMEOUT_MS", "30000");
    let before = builder().start();
    wait_applied(&store, std::slice::from_ref(&before)).await;
    // As after an upgrade: a file is new, and the first that began with it is gone.
    let last = "ALTER TABLE schema_migrations DELETE WHERE name = '0013_funnels' SETTINGS mutations_sync = 1";
    store.sql(last).await;
    store
        .sql("INSERT INTO schema_claims VALUES ('0', 1, now() + 6)")
        .await;
    let begun = Instant::now();
    let brine = builder().start();
    wait_applied(&store, std::slice::from_ref(&brine)).await;
    assert!(begun.elapsed() > Duration::from_secs(4), "not waited for");
    let waited = "another collector (process 0) applies schema/ at this moment";
    assert!(brine.log().contains(waited), "{}", brine.log_tail());
    assert_eq!(
        store.sql("SELECT count() FROM schema_claims").await,
        ["0"],
        "claims left behind"
    );
}
