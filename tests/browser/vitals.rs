//! README, "Add it to a site": web vitals, as Google's web-vitals library defines them.

use crate::browser::{my_turn, run};
use crate::support::Brine;

const VITALS: &str = "SELECT path, lcp_ms, fcp_ms, ttfb_ms, inp_ms, cls FROM events
    WHERE name = 'web_vitals' AND path != '/asked' ORDER BY ts";

/// LCP, FCP, TTFB, INP and CLS of one page are what the library measures there, and reach ClickHouse.
#[test]
fn web_vitals_are_what_the_reference_library_says() {
    let _turn = my_turn();
    let brine = Brine::start();
    let sent = run("vitals", brine.public);
    brine.wait_for("SELECT count() FROM events WHERE name = 'web_vitals'", 2);
    let rounded = |key: &str| sent[key].as_f64().expect(key).round();
    let expected = format!(
        "/measured\t{}\t{}\t{}\t{}",
        rounded("lcp"),
        rounded("fcp"),
        rounded("ttfb"),
        rounded("inp")
    );
    let rows = brine.sql(VITALS);
    assert!(
        rows.len() == 1 && rows[0].starts_with(&expected),
        "{rows:?}"
    );
    let cls = "SELECT round(cls, 3) FROM events WHERE name = 'web_vitals' AND path = '/measured'";
    let shifted = (sent["cls"].as_f64().expect("cls") * 1_000.0).round() / 1_000.0;
    assert_eq!(brine.sql(cls), [shifted.to_string()]);
    assert_eq!(
        brine.sql("SELECT DISTINCT interactive FROM events WHERE name = 'web_vitals'"),
        ["false"]
    );
}

/// The load belongs to the page that was loaded; shifts and interactions to the view they happened in.
#[test]
fn each_route_has_its_own_web_vitals() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("vitals_of_routes", brine.public);
    brine.wait_for("SELECT count() FROM events WHERE name = 'web_vitals'", 4);
    let rows = brine.sql(
        "SELECT path, lcp_ms IS NULL, fcp_ms IS NULL, ttfb_ms IS NULL, inp_ms IS NULL, cls > 0 FROM events
            WHERE name = 'web_vitals' AND path != '/asked' ORDER BY path",
    );
    assert_eq!(
        rows,
        [
            "/first\t0\t0\t0\t1\t0",
            "/second\t1\t1\t1\t0\t1",
            "/third\t1\t1\t1\t1\t0",
        ]
    );
}

/// "Events from before the grant are never queued and sent later": neither is what was measured before it.
#[test]
fn nothing_measured_before_the_yes_or_out_of_sight_is_told() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("vitals_from_the_yes_on", brine.public);
    brine.wait_for("SELECT count() FROM events WHERE name = 'web_vitals'", 2);
    assert_eq!(
        brine.sql("SELECT DISTINCT lcp_ms, fcp_ms, ttfb_ms, inp_ms, cls FROM events WHERE name = 'web_vitals'"),
        ["\\N\t\\N\t\\N\t\\N\t0"]
    );
}

/// A page out of the back/forward cache paints anew, and was not requested.
#[test]
fn a_page_out_of_the_cache_has_new_web_vitals() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("vitals_out_of_the_cache", brine.public);
    brine.wait_for("SELECT count() FROM events WHERE name = 'web_vitals'", 3);
}
