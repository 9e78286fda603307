//! Everybody changes their mind at once.

use std::time::Duration;

use crate::support::Builder;
use crate::support::storm::Storm;

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_storm_keeps_every_promise_and_loses_no_ledger_row() {
    let mut brine = Builder::new().start();
    let storm = Storm {
        crowd: 32,
        duration: Duration::from_secs(8),
    };
    let tally = storm.rage(brine.public).await;
    println!(
        "{:.0} grants and withdrawals a second among {:.0} requests a second",
        tally.choices_per_second(),
        tally.requests_per_second()
    );
    assert_eq!(tally.broken, Vec::<String>::new());
    assert!(tally.grants > 100, "{} grants are no storm", tally.grants);
    // Half of it has been in ClickHouse for a while, the rest is in the spool: both must survive.
    brine.kill();
    brine.restart();
    let n_accepted = tally.accepted.len() as u64;
    brine.wait_for(
        "SELECT count() FROM events WHERE name = 'storm'",
        n_accepted,
    );
    brine.wait_for(
        "SELECT count() FROM consents",
        tally.grants + tally.withdrawals,
    );
    brine.wait_for("SELECT sum(denials) FROM denials", tally.denials);

    let stored = brine.sql("SELECT props['n'] FROM events WHERE name = 'storm' ORDER BY 1");
    let mut expected: Vec<String> = tally.accepted.iter().map(u64::to_string).collect();
    expected.sort();
    assert!(
        stored == expected,
        "the beacons stored are those answered 202, each once"
    );
    // Every consent has both its rows, the yes and the no, and each just once.
    let whole = "SELECT count() FROM (SELECT ledger FROM consents GROUP BY ledger \
                 HAVING countIf(choice = 'grant') = 1 AND countIf(choice = 'withdraw') = 1)";
    assert_eq!(brine.count(whole), tally.grants);
    let revoked = brine.metric("brine_revocations").await;
    assert_eq!(revoked, tally.withdrawals as f64);
    println!("{} grants, {n_accepted} beacons: all there", tally.grants);
}
