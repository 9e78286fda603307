//! README, "Add it to a site": the events that are sent by themselves, under the names of Plausible's trackers.

use crate::browser::{my_turn, run};
use crate::support::Brine;

const ACTS: &str = "SELECT name, props, interactive FROM events
    WHERE name NOT IN ('pageview', 'engagement', 'web_vitals') ORDER BY ts, name";

/// Waits until the last thing the scenario did is stored, then returns all that was done.
fn acts(brine: &Brine) -> Vec<String> {
    brine.wait_for(
        "SELECT count() > 0 FROM events WHERE name = 'engagement'",
        1,
    );
    brine.sql(ACTS)
}

/// Outbound links and files, by mouse and middle button; of an address only its host and masked path.
#[test]
fn links_that_lead_away_and_files_are_told_without_their_queries() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("links", brine.public);
    let out = "Outbound Link: Click\t{'url':'shop.example/a/:email'}\ttrue";
    assert_eq!(
        acts(&brine),
        [
            out,
            "File Download\t{'url':'portal.example.test/files/Report.PDF'}\ttrue",
            "File Download\t{'url':'files.example/brine.zip'}\ttrue",
            out,
        ]
    );
}

/// That a form was sent, from which page, and nothing of what was written into it.
#[test]
fn a_form_that_was_sent_is_told_without_its_fields() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("forms", brine.public);
    let plain = "Form: Submission\t{'path':'/account/:number'}\ttrue";
    assert_eq!(acts(&brine), [plain, "Signup\t{'plan':'pro'}\ttrue", plain]);
}

/// `data-brine-event` and `data-brine-prop-…`: events without a line of script.
#[test]
fn a_marked_element_tells_its_event_and_nothing_else() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("marks", brine.public);
    assert_eq!(
        acts(&brine),
        [
            "Trial\t{'plan':'pro','seat-count':'3'}\ttrue",
            "Card\t{}\ttrue",
            "Shop\t{}\ttrue",
        ]
    );
}

/// `data-404`: the page is the site's answer to an address that it does not have.
#[test]
fn a_missing_page_is_told_and_ends_no_bounce() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("missing", brine.public);
    assert_eq!(acts(&brine), ["404\t{'path':'/gone/:number'}\tfalse"]);
    assert_eq!(
        brine.sql("SELECT DISTINCT name FROM events WHERE NOT interactive ORDER BY name"),
        ["404", "engagement", "web_vitals"]
    );
}

/// Storage that throws, interfaces that are gone, events from anywhere: the page stays whole, and is counted.
#[test]
fn an_unusual_page_is_not_broken_and_still_counted() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("unusual_pages", brine.public);
    assert_eq!(acts(&brine), ["Fine\t{}\ttrue"]);
    run("sandboxed", brine.public);
}
