//! README, "What a visitor can do", in the browser.

use crate::browser::{my_turn, run};
use crate::demo::Demo;

/// From the site: what is stored in plain words, then corrected, restricted, erased, withdrawn.
#[test]
fn a_visitor_uses_every_right_on_one_page() {
    let _turn = my_turn();
    let demo = Demo::start();
    let n_receipts = run("my_data", demo.public);
    assert_eq!(n_receipts, 0);
    assert_eq!(demo.sql("SELECT count() FROM events"), ["0"]);
    demo.wait_for(
        "SELECT action, count() FROM requests WHERE action != 'see' GROUP BY action ORDER BY action",
        &[
            "correct\t2",
            "erase\t2",
            "restrict\t1",
            "unrestrict\t1",
            "withdraw\t1",
        ],
    );
}

/// On the site's own host cookies and receipts go as by the banner, from the domain that they were set for.
#[test]
fn a_no_on_the_page_is_a_no_on_the_device() {
    let _turn = my_turn();
    let demo = Demo::start();
    run("my_data_leaves_nothing", demo.public);
    demo.wait_for(
        "SELECT choice, source, count() FROM consents WHERE choice = 'withdraw' GROUP BY choice, source",
        &["withdraw\tmy_data\t2"],
    );
}

/// From a sub-domain with the key in the address, and from a paste; without either nothing is asked or kept.
#[test]
fn the_page_works_on_sub_domains_and_from_a_file_of_receipts() {
    let _turn = my_turn();
    run("my_data_elsewhere", Demo::start().public);
}

/// On a collector's own host each site's key stands apart: none is sent with another's, or lost to it.
#[test]
fn the_page_never_links_a_visitors_sites() {
    let _turn = my_turn();
    run("my_data_of_several_sites", Demo::start().public);
}

/// No answer, or another's in its place, is no statement about what is stored.
#[test]
fn a_collector_that_does_not_answer_can_be_asked_again() {
    let _turn = my_turn();
    run("my_data_without_an_answer", Demo::start().public);
}

/// axe-core finds nothing, narrow and wide, light and dark, in both languages; all of it by keyboard.
#[test]
fn the_page_of_rights_has_no_barriers() {
    let _turn = my_turn();
    run("my_data_no_barriers", Demo::start().public);
}
