//! README, "Add it to a site": what the tracker counts, and what it does not.

use crate::browser::{my_turn, run};
use crate::support::{Brine, Builder};

const VIEWS: &str = "SELECT path FROM events WHERE name = 'pageview' ORDER BY ts";

/// A route is a view; rewriting the address in place is not. With the Navigation API and without it.
#[test]
fn every_route_is_one_view() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("routes", brine.public);
    brine.wait_for("SELECT count() FROM events WHERE name = 'engagement'", 8);
    let views = |way: &str| {
        ["first", "second", "third", "second"]
            .map(|page| format!("/tracker/{way}/{page}"))
            .to_vec()
    };
    assert_eq!(
        brine.sql(VIEWS),
        [views("navigation"), views("history")].concat()
    );
}

/// The part behind # is a page only where the site says so.
#[test]
fn hash_routes_count_where_asked_for() {
    let _turn = my_turn();
    let brine = Builder::new()
        .replace("hash_routing = false", "hash_routing = true")
        .start();
    run("hash_routes", brine.public);
    brine.wait_for("SELECT count() FROM events WHERE name = 'engagement'", 2);
    assert_eq!(brine.sql(VIEWS), ["/hash/app#/first", "/hash/app#/second"]);
}

/// A page rendered ahead of the visitor counts when it is shown.
#[test]
fn a_prerendered_page_counts_when_it_is_shown() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("prerendered", brine.public);
    brine.wait_for("SELECT count() FROM events WHERE name = 'pageview'", 2);
    assert_eq!(brine.sql(VIEWS), ["/own/asking", "/own/ahead"]);
}

/// A page that comes back out of the back/forward cache was seen again.
#[test]
fn a_page_out_of_the_cache_counts_again() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("cached", brine.public);
    brine.wait_for("SELECT count() FROM events WHERE name = 'engagement'", 3);
    assert_eq!(
        brine.sql(VIEWS),
        ["/tracker/cached", "/tracker/other", "/tracker/cached"]
    );
}

/// Properties, revenue, and events that happen by themselves.
#[test]
fn custom_events_carry_what_the_site_says() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("custom_events", brine.public);
    brine.wait_for("SELECT count() FROM events", 5);
    let custom = "SELECT name, path, props, revenue, currency, interactive FROM events
        WHERE name NOT IN ('pageview', 'engagement', 'web_vitals') ORDER BY name";
    assert_eq!(
        brine.sql(custom),
        [
            "Purchase\t/tracker/shop\t{'plan':'pro','seats':'3'}\t24.9\tEUR\ttrue",
            "Video shown\t/tracker/shop\t{}\t0\t\tfalse",
        ]
    );
    assert_eq!(
        brine.sql("SELECT DISTINCT utm_source FROM events WHERE name = 'pageview'"),
        ["letter"]
    );
}

/// Tabs share a visit, until nothing was heard for half an hour.
#[test]
fn tabs_share_a_visit_until_it_is_over() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("tabs", brine.public);
    brine.wait_for("SELECT count() FROM events WHERE name = 'pageview'", 3);
    let visits = "SELECT groupUniqArray(path) FROM
        (SELECT visit, ts, path FROM events WHERE name = 'pageview' ORDER BY path) GROUP BY visit ORDER BY min(ts)";
    assert_eq!(
        brine.sql("SELECT uniqExact(visitor), uniqExact(visit) FROM events"),
        ["1\t2"]
    );
    let paths = brine.sql(visits);
    assert!(
        paths[0].contains("/tracker/first") && paths[0].contains("/tracker/second"),
        "{paths:?}"
    );
    assert_eq!(paths[1], "['/tracker/later']");
}

/// A beacon that failed is sent once more, as it was, and not when the visitor has said no meanwhile.
#[test]
fn a_failed_beacon_is_sent_once_more() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("retries", brine.public);
    brine.wait_for("SELECT count() FROM consents", 2);
    brine.wait_for("SELECT count() FROM events WHERE name = 'Offline'", 1);
    assert_eq!(
        brine.sql("SELECT DISTINCT name FROM events ORDER BY name"),
        ["Offline", "Once", "pageview"]
    );
}

/// A consent that the collector no longer takes is forgotten, and can be asked for anew.
#[test]
fn a_consent_that_no_longer_holds_is_forgotten() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("stale_consents", brine.public);
    brine.wait_for("SELECT count() FROM events WHERE name = 'pageview'", 1);
    assert_eq!(
        brine.sql("SELECT DISTINCT name FROM events ORDER BY name"),
        ["pageview"]
    );
}

/// A no wins over a yes whose answer was still under way; the token that came is taken back.
#[test]
fn a_no_overtakes_a_yes() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("late_answers", brine.public);
    brine.wait_for("SELECT count() FROM consents", 2);
    assert_eq!(
        brine.sql("SELECT choice FROM consents ORDER BY ts"),
        ["grant", "withdraw"]
    );
    assert_eq!(brine.count("SELECT count() FROM events"), 0);
}

/// Commands wait for the script to load; events from before it do not.
#[test]
fn early_commands_wait_and_early_events_do_not() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("early_commands", brine.public);
    brine.wait_for("SELECT count() FROM events WHERE name = 'engagement'", 1);
    assert_eq!(
        brine.sql("SELECT name FROM events ORDER BY name"),
        ["engagement", "pageview", "web_vitals"]
    );
    assert_eq!(brine.sql("SELECT source FROM consents"), ["early"]);
}
