//! README, "Who may look", in the browser.

use serde_json::json;

use crate::browser::{my_turn, run_with};
use crate::support::Brine;

/// The set-up link, signing in and out, by keyboard, without a script or a cookie that one could read.
#[test]
fn an_admin_signs_in_by_the_set_up_link_and_out_again() {
    let _turn = my_turn();
    let brine = Brine::start();
    run_with("signing_in_and_out", brine.admin, &json!(brine.setup()));
}

/// axe-core finds nothing, narrow and wide, light and dark, in both languages.
#[test]
fn the_pages_of_who_may_look_have_no_barriers() {
    let _turn = my_turn();
    let brine = Brine::start();
    run_with("access_no_barriers", brine.admin, &json!(brine.setup()));
}
