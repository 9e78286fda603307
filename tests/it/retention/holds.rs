//! README, "Retention": nothing of a held site is purged, whatever way it would go.

use brine::config::REFERENCE;
use brine::retention::journal::{self, Purge};
use hyper::Method;
use serde_json::json;

use super::{START, change, command, done, noon, reload, store, text, visit};
use crate::support::standin::StandIn;
use crate::support::{Brine, Builder};

fn held() -> String {
    REFERENCE.replace(
        "id = \"pernexus\"",
        "id = \"pernexus\"\nlegal_hold = \"case 17\"",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_held_site_is_purged_and_everybody_says_so() {
    let brine = Builder::new()
        .replace(REFERENCE, &held())
        .clock(noon(START))
        .start();
    store(&brine, "portal", START - 400, 395, 6).await;
    // A day that the held site has nothing of.
    store(&brine, "portal", START - 401, 395, 6).await;
    store(&brine, "pernexus", START - 400, 395, 6).await;
    let output = command(&brine, &["run"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(
        brine.sql("SELECT site, count() FROM events GROUP BY site"),
        ["pernexus\t6"]
    );
    let output = command(&brine, &["verify"]);
    assert!(
        text(&output).contains("pernexus: under legal hold"),
        "{}",
        text(&output)
    );
    let policy = brine
        .request(Method::GET, "/policy.json?site=pernexus", &[], "")
        .await;
    assert!(
        policy.text().contains("nothing is deleted at present"),
        "{}",
        policy.text()
    );
    let policy = brine
        .request(Method::GET, "/policy.json?site=portal", &[], "")
        .await;
    assert!(!policy.text().contains("nothing is deleted at present"));
    assert_eq!(
        brine
            .metric("brine_retention_legal_hold{site=\"pernexus\"}")
            .await,
        1.0
    );
    // The hold is over: it goes by itself.
    reload(&brine, REFERENCE).await;
    brine.wait_for("SELECT count() FROM events", 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_held_site_that_outlived_their_time_in_the_spool_are_stored() {
    let store = StandIn::start().await;
    let brine = store
        .builder()
        .replace(REFERENCE, &held())
        .clock(noon(START))
        .start();
    visit(&brine, "veriloc").await;
    brine.wait_drained().await;
    store.set_down(true);
    visit(&brine, "portal").await;
    visit(&brine, "pernexus").await;
    // Longer than either is kept.
    brine.set_clock(noon(START + 400));
    brine
        .wait_metric("brine_salt_overdue_seconds", |overdue| overdue == 0.0)
        .await;
    store.set_down(false);
    brine.wait_drained().await;
    assert_eq!(brine.metric("brine_rows_expired_total").await, 1.0);
    let sites = "SELECT site, count() FROM events WHERE site != 'veriloc' GROUP BY site";
    assert_eq!(store.sql(sites).await, ["pernexus\t1"]);
    // And no run takes them, until the hold is over.
    let run = done(&brine, json!({ "action": "run" })).await;
    assert_eq!(run["findings"], json!([]), "{run}");
    assert_eq!(store.sql(sites).await, ["pernexus\t1"]);
    reload(&brine, REFERENCE).await;
    done(&brine, json!({ "action": "run" })).await;
    assert!(store.sql(sites).await.is_empty());
}

/// What a run that was killed has left in the journal.
fn entry(purge: u64, site: &str, rule: &str, rows: u64) -> Purge {
    Purge {
        purge,
        run: 2,
        table: "events".into(),
        site: site.into(),
        rule: rule.into(),
        first_day: (START - 400) as u16,
        last_day: (START - 400) as u16,
        rows,
        bytes: 1_000,
        condition: format!("site = '{site}'"),
        is_recorded: false,
        began_ms: noon(START),
    }
}

/// Stops brine, and starts it again as if it had been killed in the middle of these.
fn restart_with(brine: &mut Brine, under_way: Vec<Purge>) {
    brine.terminate();
    journal::open(&brine.data().join("retention.journal"))
        .expect("it is read")
        .replace(under_way)
        .expect("written");
    brine.restart();
}

/// Killed in the middle of a purge, started again with a hold: what is left stays, what went is recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_stops_a_purge_under_way() {
    let mut brine = Builder::new()
        .replace(REFERENCE, &held())
        .clock(noon(START))
        .start();
    store(&brine, "pernexus", START - 400, 395, 6).await;
    store(&brine, "portal", START - 400, 395, 6).await;
    // Ten there were; four have gone.
    let under_way = vec![
        entry(1, "pernexus", "expired", 10),
        entry(3, "portal", "expired", 6),
    ];
    restart_with(&mut brine, under_way);
    brine.wait_for("SELECT count() FROM retention_runs", 1);
    assert_eq!(
        brine.sql("SELECT site, count() FROM events GROUP BY site"),
        ["pernexus\t6"]
    );
    assert_eq!(
        brine.sql("SELECT site, n_rows, verified LIKE 'a legal hold%' FROM purges WHERE rule = 'expired' ORDER BY site"),
        ["pernexus\t4\t1", "portal\t6\t0"]
    );
}

/// Killed in the middle of the purge of a removed site, which is configured again: what it was due for is every row it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_site_that_came_back_keeps_what_a_purge_under_way_has_left() {
    let mut brine = Builder::new().clock(noon(START)).start();
    store(&brine, "portal", START - 3, 395, 6).await;
    restart_with(&mut brine, vec![entry(1, "portal", "removed", 10)]);
    brine.wait_for("SELECT count() FROM retention_runs", 1);
    assert_eq!(brine.sql("SELECT count() FROM events"), ["6"]);
    assert_eq!(
        brine.sql("SELECT rule, n_rows, verified FROM purges"),
        ["removed\t4\tthe site came back: the other rows stay"]
    );
}

/// Killed in the middle of a purge, and back after days: another collector's first run has found the rest, and what its
/// later runs purged became due later.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_collector_had_purged_is_recorded_however_long_it_was_away() {
    let mut brine = Builder::new().clock(noon(START)).start();
    for (run, rows, hours) in [(11, 400, 1), (12, 1_000, 24), (13, 1_000, 48)] {
        let ts = noon(START) + hours * 3_600_000;
        change(
            &brine,
            &format!(
                "INSERT INTO brine.purges (purge, run, site, table_name, rule, ts, first_day, last_day, n_rows) \
                 SELECT {run}, {run}, 'portal', 'events', 'expired', fromUnixTimestamp64Milli(toInt64({ts})), \
                 toDate({}), toDate({}), {rows}",
                START - 400,
                START - 30
            ),
        )
        .await;
    }
    restart_with(&mut brine, vec![entry(1, "portal", "expired", 1_000)]);
    let ours = "SELECT n_rows FROM purges WHERE purge = 1";
    brine.wait_for(ours, 600);
    // Killed once more, after they were taken off and before the record was written: they are not taken off twice.
    let marked = Purge {
        is_recorded: true,
        ..entry(2, "portal", "expired", 600)
    };
    restart_with(&mut brine, vec![marked]);
    brine.wait_for("SELECT n_rows FROM purges WHERE purge = 2", 600);
}

/// Killed in the middle of a purge, after a clock that had been set back: what runs of its own have recorded since, by
/// that clock, are other rows, of days that these reach into.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_collector_has_recorded_itself_is_not_taken_off_a_purge_that_was_killed() {
    let mut brine = Builder::new().clock(noon(START)).start();
    store(&brine, "portal", START - 400, 395, 6).await;
    done(&brine, json!({ "action": "run" })).await;
    brine.wait_for("SELECT sum(n_rows) FROM purges WHERE run > 2", 6);
    restart_with(&mut brine, vec![entry(1, "portal", "expired", 10)]);
    brine.wait_for("SELECT n_rows FROM purges WHERE purge = 1", 10);
}

/// Whoever mends a clock that was ahead finds what is not due, also where the purge had begun.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_under_a_clock_that_was_ahead_is_not_gone_on_with() {
    let mut brine = Builder::new().clock(noon(START)).start();
    store(&brine, "portal", START - 3, 395, 6).await;
    let ahead = Purge {
        began_ms: noon(START + 400),
        ..entry(1, "portal", "expired", 10)
    };
    restart_with(&mut brine, vec![ahead]);
    brine.wait_for("SELECT count() FROM retention_runs", 1);
    assert_eq!(brine.sql("SELECT count() FROM events"), ["6"]);
    assert_eq!(
        brine.sql("SELECT rule, n_rows, verified FROM purges"),
        ["expired\t4\tthe clock had been ahead: the other rows are not due"]
    );
}

/// README, "What a visitor can do": a restriction lasts as long as the events, also where the retention had been shorter
/// when it was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_restriction_lasts_as_long_as_its_events() {
    let brine = Builder::new().clock(noon(START)).start();
    let day = START - 100;
    store(&brine, "portal", day, 395, 6).await;
    let restrict = format!(
        "INSERT INTO brine.restrictions (site, day, visitor, is_restricted, ts, expires) SELECT 'portal', toDate({day}), \
         cityHash64('portal', {day}, toUInt64(3)), true, fromUnixTimestamp64Milli(toInt64({})), toDate({})",
        noon(day),
        START - 1
    );
    change(&brine, &restrict).await;
    let visitors = "SELECT visitors FROM daily WHERE site = 'portal' AND dimension = ''";
    for (at, n_restrictions, counted) in [(START, 1, "5"), (START + 295, 0, "5")] {
        brine.set_clock(noon(at));
        let run = done(&brine, json!({ "action": "run" })).await;
        assert_eq!(run["findings"], json!([]), "{run}");
        let left = "SELECT count() FROM restrictions";
        assert_eq!(brine.count(left), n_restrictions);
        assert_eq!(brine.sql(visitors), [counted]);
    }
    assert_eq!(brine.count("SELECT count() FROM events"), 0);
}
