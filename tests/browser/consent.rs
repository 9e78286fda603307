//! README, "Consent", in the browser, on the demo site.

use serde_json::json;

use crate::browser::{my_turn, run};
use crate::demo::Demo;

/// "Nothing before yes": no request but the page's own, nothing on the device, no listener.
#[test]
fn before_yes_the_tracker_sends_and_stores_nothing() {
    let _turn = my_turn();
    let demo = Demo::start();
    run("nothing_before_yes", demo.public);
    assert_eq!(demo.metrics("brine_beacons_total"), [""; 0]);
    assert_eq!(demo.metrics("brine_consent_choices_total"), [""; 0]);
}

/// A no is counted, by site and day; all that it leaves is itself, on the device.
#[test]
fn a_no_is_counted_and_leaves_no_row() {
    let _turn = my_turn();
    let demo = Demo::start();
    run("a_no", demo.public);
    demo.wait_for(
        "SELECT site, sum(denials) FROM denials GROUP BY site",
        &["portal\t1"],
    );
    assert_eq!(demo.metrics("brine_beacons_total"), [""; 0]);
    assert_eq!(demo.sql("SELECT count() FROM consents"), ["0"]);
}

/// After a yes: the page it was said on and what follows, as one visit of one visitor.
#[test]
fn after_yes_a_visit_is_measured() {
    let _turn = my_turn();
    let demo = Demo::start();
    let kept = run("a_visit", demo.public);
    // All that stays on the device: the consent, the day, and for half an hour the visit.
    assert_eq!(
        kept["cookies"],
        json!([
            "brine_consent .portal.example.test",
            "brine_day .portal.example.test",
            "brine_visit .portal.example.test"
        ])
    );
    assert_eq!(kept["local"], json!(["brine_receipts"]));
    assert_eq!(
        [&kept["session"], &kept["databases"]],
        [&json!([]), &json!([])]
    );
    demo.wait_for(
        "SELECT path, name, hostname FROM events ORDER BY path, name",
        &[
            "/contact\tSignup\tportal.example.test",
            "/contact\tengagement\tportal.example.test",
            "/contact\tpageview\tportal.example.test",
            "/contact\tweb_vitals\tportal.example.test",
            "/products\tengagement\tportal.example.test",
            "/products\tpageview\tportal.example.test",
            "/products\tweb_vitals\tportal.example.test",
        ],
    );
    assert_eq!(
        demo.sql("SELECT uniqExact(visitor), uniqExact(visit) FROM events"),
        ["1\t1"]
    );
    assert_eq!(
        demo.sql("SELECT props FROM events WHERE name = 'Signup'"),
        ["{'plan':'trial'}"]
    );
    assert_eq!(
        demo.sql("SELECT browser, os, device FROM events LIMIT 1"),
        ["Chrome\tLinux\tDesktop"]
    );
    // Each page was in view for a few hundred milliseconds, and is told once.
    let engaged = "SELECT count() FROM events WHERE name = 'engagement' AND NOT interactive
        AND engagement_ms BETWEEN 200 AND 10000 AND scroll_depth BETWEEN 1 AND 100";
    assert_eq!(demo.sql(engaged), ["2"]);
    demo.wait_for(
        "SELECT site, choice, source FROM consents",
        &["portal\tgrant\tbanner"],
    );
}

/// README, "Try it": the address that the demo prints is a site of its own.
#[test]
fn the_demo_works_at_the_address_it_prints() {
    let _turn = my_turn();
    let demo = Demo::start();
    let kept = run("on_loopback", demo.public);
    assert_eq!(
        kept["cookies"],
        json!([
            "brine_consent 127.0.0.1",
            "brine_day 127.0.0.1",
            "brine_visit 127.0.0.1"
        ])
    );
    let views = "SELECT hostname FROM events WHERE name = 'pageview'";
    demo.wait_for(views, &["127.0.0.1"]);
}

/// A no takes every cookie with it, also one that no page would write any more.
#[test]
fn a_withdrawal_deletes_the_cookie_of_before_a_domain_was_named() {
    let _turn = my_turn();
    let demo = Demo::start();
    run("a_former_cookie", demo.public);
    demo.wait_for(
        "SELECT choice FROM consents ORDER BY ts",
        &["grant", "withdraw"],
    );
}

/// "Withdrawing is as easy as granting, takes effect at once."
#[test]
fn after_a_withdrawal_nothing_more_is_sent_or_kept() {
    let _turn = my_turn();
    let demo = Demo::start();
    run("a_withdrawal", demo.public);
    demo.wait_for(
        "SELECT choice FROM consents ORDER BY ts",
        &["grant", "withdraw"],
    );
    let outcomes = demo.metrics("brine_beacons_total");
    let stored = outcomes
        .iter()
        .find(|line| line.contains("outcome=\"accepted\""))
        .expect("a page view");
    let n_stored = stored.rsplit(' ').next().expect("a count").to_owned();
    demo.wait_for("SELECT count() FROM events", &[&n_stored]);
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
    assert!(
        outcomes
            .iter()
            .any(|line| line.contains("consent.withdrawn") && line.ends_with(" 1"))
    );
}

/// "No is heard everywhere": a browser that says Sec-GPC: 1 is not counted, whatever was clicked.
#[test]
fn a_global_privacy_control_signal_is_a_no() {
    let _turn = my_turn();
    let demo = Demo::start();
    run("a_signal", demo.public);
    // The one yes that was said without the signal, and its page view.
    demo.wait_for(
        "SELECT name FROM events WHERE name = 'pageview'",
        &["pageview"],
    );
    demo.wait_for("SELECT choice FROM consents", &["grant"]);
    let refused = demo.metrics("brine_consent_choices_total{choice=\"refused\"");
    assert!(
        refused
            .iter()
            .any(|line| line.contains("signal.gpc") && line.ends_with(" 1")),
        "{refused:?}"
    );
}

/// One consent holds on a site and its sub-domains, and nowhere else.
#[test]
fn a_consent_holds_on_sub_domains_and_nowhere_else() {
    let _turn = my_turn();
    let demo = Demo::start();
    run("sub_domains", demo.public);
    demo.wait_for(
        "SELECT DISTINCT hostname FROM events WHERE name = 'pageview' ORDER BY hostname",
        &[
            "a.portal.example.test",
            "b.portal.example.test",
            "portal.example.test",
        ],
    );
    assert_eq!(
        demo.sql("SELECT uniqExact(visitor), uniqExact(visit) FROM events"),
        ["1\t1"]
    );
    assert_eq!(
        demo.sql("SELECT count() FROM events WHERE hostname LIKE 'pernexus%'"),
        ["0"]
    );
}
