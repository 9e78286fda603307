//! README, "Consent": a question that everybody can answer, either way.

use crate::browser::{my_turn, run};
use crate::demo::Demo;

/// axe-core finds nothing, narrow and wide, light and dark, in English and Danish, before and after the choice
/// and while it is changed.
#[test]
fn the_demo_site_has_no_barriers() {
    let _turn = my_turn();
    run("no_barriers", Demo::start().public);
}

/// EDPB cookie banner task force (2023): refusing is on the same layer, and looks the same; nothing is ticked
/// beforehand, and the page can be used without an answer.
#[test]
fn no_is_as_prominent_as_yes() {
    let _turn = my_turn();
    run("equal_choices", Demo::start().public);
}

/// The focus goes to the question and returns; yes, no and withdrawal are a few keys each.
#[test]
fn every_choice_can_be_made_by_keyboard() {
    let _turn = my_turn();
    let demo = Demo::start();
    run("by_keyboard", demo.public);
    demo.wait_for(
        "SELECT choice FROM consents ORDER BY ts",
        &["grant", "withdraw"],
    );
    demo.wait_for("SELECT sum(denials) FROM denials", &["1"]);
}

/// Who is typing when the question comes up goes on typing.
#[test]
fn the_question_takes_no_focus_from_who_is_typing() {
    let _turn = my_turn();
    run("typing", Demo::start().public);
}
