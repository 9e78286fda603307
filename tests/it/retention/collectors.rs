//! README, "Retention": one collector at a time runs the job; a killed one is in nobody's way for long.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{START, noon};
use crate::rights::{ask, done, view};
use crate::support::standin::StandIn;
use crate::support::{Brine, Builder};

/// Longer than a claim lives, on a slow machine, too.
const PATIENCE: Duration = Duration::from_secs(900);

/// Days of which something is due.
const DAYS: i64 = 40;

/// A collector whose ClickHouse is a server of its own, reached by URL.
fn collector(store: &StandIn) -> Builder {
    store
        .builder()
        .set("STORE__TIMEOUT_MS", "30000")
        .set("LOG", "info,brine::retention=debug")
        .clock(noon(START))
}

/// What both say last.
fn logs(brines: &[Brine]) -> String {
    let tails: Vec<_> = brines.iter().map(Brine::log_tail).collect();
    tails.join("\n---\n")
}

async fn wait(what: &str, brines: &[Brine], is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(
            begun.elapsed() < PATIENCE,
            "{what} does not come\n{}",
            logs(brines)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ran(brine: &Brine, result: &str) -> bool {
    let name = format!("brine_retention_runs_total{{result=\"{result}\"}}");
    let metrics = brine.admin(hyper::Method::GET, "/metrics", &[], "").await;
    let metrics = metrics.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.is_some_and(|n| n.trim() != "0")
}

/// All know when the last run was: never. Then their clocks may move.
async fn wait_schedules(brines: &[Brine]) {
    wait("the schedule", brines, async || {
        let knows = |brine: &Brine| brine.data().join("retention.rules").exists();
        brines.iter().all(knows)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_collectors_one_runs_the_job_and_the_other_takes_over_when_it_is_killed() {
    let store = StandIn::start().await;
    let mut brines = [collector(&store).start(), collector(&store).start()];
    wait_schedules(&brines).await;
    wait("the schema", &brines, async || {
        store.sql("SELECT count() FROM system.tables WHERE database = 'brine' AND name = 'retention_claims'").await == ["1"]
    })
    .await;
    store
        .sql(&format!(
            "INSERT INTO events (site, day, ts, name, visitor, visit, interactive, hostname, path, expires, batch_id, seq) \
             SELECT 'portal', toDate({START} - 395 - number % {DAYS}), fromUnixTimestamp64Milli(toInt64({START} - 395 - number % {DAYS}) * 86400000), \
             'pageview', number, number, 1, 'h', '/', toDate({START} - number % {DAYS}), 1, number FROM numbers({})",
            DAYS * 9
        ))
        .await;
    // The same second for both.
    for brine in &brines {
        brine.set_clock(noon(START + 1));
    }
    // One writes its journal: it is about to purge. Killed there.
    let journal = |brine: &Brine| {
        let file = std::fs::metadata(brine.data().join("retention.journal"));
        file.is_ok_and(|file| file.len() > 6)
    };
    let begun = Instant::now();
    let runner = loop {
        if let Some(runner) = brines.iter().position(journal) {
            break runner;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "nobody runs the job\n{}",
            logs(&brines)
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let killed = Instant::now();
    brines[runner].kill();
    let other = 1 - runner;
    assert!(!journal(&brines[other]), "both were at it at the same time");
    wait("word of the other's run", &brines, async || {
        ran(&brines[other], "elsewhere").await
    })
    .await;
    assert!(
        brines[other]
            .log()
            .contains("a run is under way: collector")
    );
    assert!(!ran(&brines[other], "verified").await);
    // The claim of the dead lapses by itself.
    wait("the other's run", &brines, async || {
        ran(&brines[other], "verified").await
    })
    .await;
    let took_over = killed.elapsed();
    assert!(
        took_over > Duration::from_secs(60) && took_over < PATIENCE,
        "taken over after {took_over:?}"
    );
    assert_eq!(
        store.sql("SELECT count() FROM events").await,
        ["0"],
        "{}",
        brines[other].log_tail()
    );
    // The killed one comes back, and records what it had purged itself, if anything: each row is in one record.
    brines[runner].restart();
    wait("the end of its own", &brines, async || {
        !journal(&brines[runner])
    })
    .await;
    brines[runner].wait_drained().await;
    brines[other].wait_drained().await;
    let records = "SELECT sum(n_rows), count() = uniqExact(purge), uniqExact(table_name) FROM purges \
                   WHERE rule = 'expired' AND table_name = 'events'";
    let expected = format!("{}\t1\t1", DAYS * 9);
    assert_eq!(store.sql(records).await, [expected]);
    let runs = "SELECT uniqExact(collector), countIf(notEmpty(findings)) FROM retention_runs";
    wait("both runs' records", &brines, async || {
        store.sql(runs).await == ["2\t0"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_collectors_that_ask_at_the_same_moment_one_runs_the_job() {
    let store = StandIn::start().await;
    let brines = [collector(&store).start(), collector(&store).start()];
    let run = async |brine: &Brine| {
        let ask = r#"{"action":"run"}"#;
        let path = "/api/v1/retention";
        let json = [("content-type", "application/json")];
        brine.admin(hyper::Method::POST, path, &json, ask).await
    };
    wait("the schema", &brines, async || {
        run(&brines[0]).await.status == 200
    })
    .await;
    for round in 0..8 {
        let replies = tokio::join!(run(&brines[0]), run(&brines[1]));
        let statuses = [replies.0.status.as_u16(), replies.1.status.as_u16()];
        // The second one comes too late, or is after the first.
        assert!(
            statuses.contains(&200) && statuses.iter().all(|status| [200, 409].contains(status)),
            "{round}: {statuses:?}\n{}\n{}",
            replies.0.text(),
            replies.1.text()
        );
    }
}

/// All of them write into the same tables of what comes next.
#[tokio::test(flavor = "multi_thread")]
async fn while_one_collector_counts_days_another_waits() {
    let store = StandIn::start().await;
    let brines = [collector(&store).start()];
    let [brine] = &brines;
    wait_schedules(&brines).await;
    let (mine, others) = (brine.consent("portal").await, brine.consent("portal").await);
    let receipt = view(brine, &mine, "/mine").await;
    view(brine, &others, "/others").await;
    brine.wait_drained().await;
    brine.set_clock(noon(START + 4));
    let counted = async |n: &str| {
        store.sql("SELECT sum(pageviews) FROM visits").await == [n]
            && store
                .sql("SELECT sumIf(pageviews, dimension = '') FROM daily")
                .await
                == [n]
    };
    wait("the first count", &brines, async || counted("2").await).await;
    wait("its end", &brines, async || {
        store.sql("SELECT count() FROM derived_claims").await == ["0"]
    })
    .await;
    store
        .sql("INSERT INTO derived_claims VALUES ('0', 1, now() + 900)")
        .await;
    let body = json!({ "site": "portal", "action": "erase", "receipts": [receipt] });
    let asked = ask(brine, &body).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    // Its rows are gone; what was counted of them waits for the other, and so does the answer.
    wait("the end of its rows", &brines, async || {
        store.sql("SELECT count() FROM events").await == ["1"]
    })
    .await;
    assert!(counted("2").await, "counted beside another");
    store.sql("TRUNCATE TABLE derived_claims").await;
    let gone = done(brine, body).await;
    assert!(
        ["0", "1"].contains(&gone["rows"].to_string().as_str()),
        "{gone}"
    );
    assert!(counted("1").await, "{}", logs(&brines));
}
