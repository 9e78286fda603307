//! README, "Wire": Plausible's public trackers work as they are, but for the consent.

use crate::browser::{my_turn, run};
use crate::support::Brine;

const ROWS: &str =
    "SELECT name, path, props, revenue, currency, interactive FROM events ORDER BY ts";

/// plausible-tracker 0.3.9: properties as text within JSON, by XMLHttpRequest.
#[test]
fn plausible_tracker_0_3_works_unchanged() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("plausible_0_3", brine.public);
    brine.wait_for("SELECT count() FROM events", 6);
    let visit = |way: &str| {
        [
            format!("pageview\t/plausible-0.3/{way}\t{{}}\t0\t\ttrue"),
            "pageview\t/plausible-0.3/next\t{}\t0\t\ttrue".to_owned(),
            "Purchase\t/plausible-0.3/next\t{'plan':'pro','seats':'3'}\t0\t\ttrue".to_owned(),
        ]
    };
    assert_eq!(
        brine.sql(ROWS),
        [visit("proxied"), visit("direct")].concat()
    );
    assert_eq!(
        brine.sql("SELECT uniqExact(visitor), uniqExact(visit) FROM events"),
        ["2\t2"]
    );
    assert_eq!(
        brine.sql("SELECT DISTINCT hostname, site FROM events"),
        ["portal.example.test\tportal"]
    );
}

/// @plausible-analytics/tracker 0.4.6: engagement and revenue, by fetch.
#[test]
fn plausible_tracker_0_4_works_unchanged() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("plausible_0_4", brine.public);
    brine.wait_for("SELECT count() FROM events WHERE name != 'engagement'", 6);
    let visit = |way: &str| {
        [
            format!("pageview\t/plausible-0.4/{way}\t{{}}\t0\t\ttrue"),
            "pageview\t/plausible-0.4/next\t{}\t0\t\ttrue".to_owned(),
            "Purchase\t/plausible-0.4/next\t{'plan':'pro'}\t24.9\tEUR\tfalse".to_owned(),
        ]
    };
    let rows = brine.sql(&ROWS.replace("ORDER", "WHERE name != 'engagement' ORDER"));
    assert_eq!(rows, [visit("proxied"), visit("direct")].concat());
    assert_eq!(
        brine.sql("SELECT uniqExact(visitor), uniqExact(visit) FROM events"),
        ["2\t2"]
    );
    // It tells engagement of pages that were in view for three seconds, or scrolled.
    let engagement = "SELECT path, scroll_depth FROM events
        WHERE name = 'engagement' AND engagement_ms >= 3000
        AND path != '/plausible-0.4/next' ORDER BY ts";
    assert_eq!(
        brine.sql(engagement),
        ["/plausible-0.4/proxied\t100", "/plausible-0.4/direct\t100"]
    );
}
