//! README, "Add it to a site": what the tracker keeps on the visitor's device, and what it leaves alone.

use crate::browser::{my_turn, run};
use crate::support::Brine;

/// "Nothing before yes": no listener, no timer, no observer, no storage, no request; nothing that happened
/// before the yes is sent after it.
#[test]
fn before_yes_the_tracker_touches_nothing() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("untouched", brine.public);
    brine.wait_for("SELECT count() FROM events WHERE name = 'engagement'", 1);
    assert_eq!(
        brine.sql("SELECT DISTINCT name, path FROM events ORDER BY name"),
        [
            "engagement\t/second",
            "pageview\t/second",
            "web_vitals\t/second"
        ]
    );
}

/// The visitor's own key to their events: one a period, newest last, no doubles, at most 800.
#[test]
fn receipts_are_kept_once_a_period() {
    let _turn = my_turn();
    run("receipts", Brine::start().public);
}

/// A plain withdrawal leaves the receipts, an erasing one gives them back and drops them with the events.
#[test]
fn a_withdrawal_can_erase_what_was_stored() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("erased", brine.public);
    brine.wait_for("SELECT count() FROM consents WHERE choice = 'withdraw'", 2);
    brine.wait_for("SELECT count() FROM events", 0);
}

/// Token and receipts travel in the fragment of the address, which no request and no log holds.
#[test]
fn my_data_is_opened_with_what_the_browser_holds() {
    let _turn = my_turn();
    run("opening_my_data", Brine::start().public);
}

/// Days since the last visit: a day is kept, one of six answers is told, the same in all of a visit.
#[test]
fn a_returning_visitor_is_told_by_a_bucket_of_days() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("returning", brine.public);
    brine.wait_for("SELECT count() FROM events WHERE name = 'Days'", 9);
    assert_eq!(
        brine.sql(
            "SELECT props['days'], days_since_last FROM events WHERE name = 'Days' ORDER BY toInt32(props['days'])"
        ),
        [
            "-3\tnew", "0\t0", "1\t1", "2\t2-7", "7\t2-7", "8\t8-30", "30\t8-30", "31\t31+", "100\t31+"
        ]
    );
    let visits = "SELECT count(), max(n) FROM
        (SELECT visit, uniqExact(days_since_last) AS n FROM events GROUP BY visit)";
    assert_eq!(brine.sql(visits), ["10\t1"]);
    assert_eq!(
        brine.sql("SELECT days_since_last FROM events WHERE name = 'pageview' ORDER BY ts LIMIT 1"),
        ["new"]
    );
}

/// `localStorage.brine_ignore`: a site's own people are not counted in that browser.
#[test]
fn a_browser_of_the_sites_own_people_is_not_counted() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("own_people", brine.public);
    brine.wait_for("SELECT count() FROM events", 1);
}

/// `data-with`: nothing that was not asked for, and what was asked for from the same place.
#[test]
fn extras_are_loaded_only_when_asked_for() {
    let _turn = my_turn();
    run("extras", Brine::start().public);
}

/// Browsers of 2018 read it.
#[test]
fn the_tracker_is_es2018() {
    run("es2018", std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
}
