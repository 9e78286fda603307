//! README, "Consent": the banner, on a site that has nothing but what it was told to paste.

use serde_json::{Value, json};

use crate::browser::{my_turn, run, run_with};
use crate::support::Brine;

/// No `unsafe-*`, no styles, no images: scripts from the collector and requests to it are all it takes.
#[test]
fn the_banner_works_under_a_strict_policy() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("strict_policy", brine.public);
    brine.wait_for("SELECT count() FROM consents", 2);
    assert_eq!(
        brine.sql("SELECT choice, source FROM consents ORDER BY ts"),
        ["grant\tbanner", "withdraw\tbanner"]
    );
}

/// Lines bound to a version: what `brine tracker` prints is what a browser checks.
#[test]
fn pinned_lines_run_and_altered_scripts_do_not() {
    let _turn = my_turn();
    let brine = Brine::start();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_brine"))
        .args(["tracker", "--format", "json", "--site", "portal", "--url"])
        .arg(format!(
            "http://collect.portal.example.test:{}",
            brine.public.port()
        ))
        .arg("--config")
        .arg(brine.directory.join("brine.toml"))
        .output()
        .expect("brine runs");
    let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let lines = printed["sites"][0]["lines"].as_array().expect("its lines");
    let line = |name: &str| {
        let found = lines.iter().find(|line| line["name"] == name);
        found.expect("a line for each script")["pinned_line"].clone()
    };
    run_with(
        "pinned",
        brine.public,
        &json!([line("brine"), line("banner")]),
    );
}

/// The site's CSS can neither hide the question nor make one answer smaller than the other.
#[test]
fn a_sites_style_sheet_cannot_break_the_banner() {
    let _turn = my_turn();
    run("hostile_style", Brine::start().public);
}

#[test]
fn the_banner_takes_the_colours_of_the_site() {
    let _turn = my_turn();
    run("themed", Brine::start().public);
}

#[test]
fn nothing_moves_where_that_is_not_wanted_and_forced_colours_hide_nothing() {
    let _turn = my_turn();
    run("calm_and_forced", Brine::start().public);
}

/// English and Danish; how long events are kept, as the site's settings have it.
#[test]
fn the_banner_speaks_the_language_of_the_page_and_says_how_long() {
    let _turn = my_turn();
    run("languages", Brine::start().public);
}

#[test]
fn the_choices_open_again_by_the_sites_own_link() {
    let _turn = my_turn();
    run("own_choices", Brine::start().public);
}

#[test]
fn the_question_survives_a_router_that_swaps_the_page() {
    let _turn = my_turn();
    run("swapped", Brine::start().public);
}

/// "Withdraw and erase everything" does, and says so only when it has.
#[test]
fn withdraw_and_erase_is_one_button() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("erasing", brine.public);
    assert_eq!(brine.sql("SELECT count() FROM events"), ["0"]);
    brine.wait_for("SELECT count() FROM consents", 2);
    assert_eq!(
        brine.sql("SELECT choice, source FROM consents ORDER BY ts"),
        ["grant\tbanner", "withdraw\tbanner"]
    );
}

/// A yes that did not arrive is none, and is asked about again.
#[test]
fn a_yes_that_was_not_heard_is_none() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("unheard", brine.public);
    assert_eq!(brine.sql("SELECT count() FROM consents"), ["0"]);
}

#[test]
fn an_answer_in_one_tab_is_an_answer_in_all() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("two_tabs", brine.public);
    brine.wait_for("SELECT sum(denials) FROM denials", 1);
}

/// The newest answer counts, whichever tab it is given in and whichever arrives first.
#[test]
fn a_no_in_one_tab_outdoes_a_late_yes_in_another() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("no_beside_a_late_yes", brine.public);
    brine.wait_for("SELECT count() FROM consents", 2);
    assert_eq!(
        brine.sql("SELECT choice, source FROM consents ORDER BY ts"),
        ["grant\tbanner", "withdraw\tbanner"]
    );
    brine.wait_for("SELECT sum(denials) FROM denials", 1);
    assert_eq!(brine.sql("SELECT count() FROM events"), ["0"]);
}
