//! README, "The policy page": everybody can read it, and reading it leaves nothing.

use std::time::{Duration, Instant};

use crate::browser::{my_turn, run};
use crate::support::{Brine, PATIENCE};

/// A brine whose portal has a former version to show.
fn with_a_past() -> Brine {
    let brine = Brine::start();
    let path = brine.directory.join("brine.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let longer = text.replace("retention_days = 395 ", "retention_days = 500 ");
    assert_ne!(longer, text);
    std::fs::write(&path, longer).unwrap();
    brine.signal("HUP");
    let started = Instant::now();
    while !brine.data().join("policy/portal/00002.00000.json").exists() {
        assert!(started.elapsed() < PATIENCE, "{}", brine.log_tail());
        std::thread::sleep(Duration::from_millis(20));
    }
    brine
}

/// axe-core finds nothing: current and former policy and the list of versions, both languages, narrow and wide,
/// light and dark.
#[test]
fn the_policy_page_has_no_barriers() {
    let _turn = my_turn();
    run("policy_no_barriers", with_a_past().public);
}

#[test]
fn the_policy_page_needs_no_script_and_keeps_nothing() {
    let _turn = my_turn();
    run("policy_asks_for_nothing", with_a_past().public);
}
