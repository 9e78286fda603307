//! README, "Consent", with a consent manager: what was answered there holds here, and nothing else does.
//! vanilla-cookieconsent and Klaro are the npm packages, TCF is made of IAB Tech Lab's own; Consent Mode,
//! Cookiebot and Cookie Information, which have no package, are played by what their documentation says.

use crate::browser::{my_turn, run};
use crate::support::Brine;

/// Yes is taken once and named in the ledger, a change of mind is followed at once, a no leaves nothing;
/// whichever of the three scripts comes first.
#[track_caller]
fn is_followed(manager: &str) {
    let _turn = my_turn();
    let brine = Brine::start();
    run(&format!("follows {manager}"), brine.public);
    // Three orders: two page views and a withdrawal each.
    brine.wait_for("SELECT count() FROM events WHERE name = 'pageview'", 6);
    brine.wait_for("SELECT count() FROM consents", 6);
    assert_eq!(
        brine.sql("SELECT choice, source, count() FROM consents GROUP BY ALL ORDER BY choice"),
        [
            format!("grant\t{manager}\t3"),
            format!("withdraw\t{manager}\t3")
        ]
    );
    // Visitors, not page loads.
    brine.wait_for("SELECT sum(denials) FROM denials", 1);
}

/// A consent that ended by withdrawal, age or a new policy does not come back because a manager remembers it.
#[track_caller]
fn is_asked_anew(manager: &str) {
    let _turn = my_turn();
    let brine = Brine::start();
    run(&format!("remembers {manager}"), brine.public);
    brine.wait_for("SELECT count() FROM consents", 3);
    assert_eq!(
        brine.sql("SELECT choice, source FROM consents ORDER BY ts"),
        [
            format!("grant\t{manager}"),
            "withdraw\telsewhere".to_owned(),
            format!("grant\t{manager}")
        ]
    );
}

#[test]
fn tcf_is_followed() {
    is_followed("tcf");
}

#[test]
fn consent_mode_is_followed() {
    is_followed("consent-mode");
}

#[test]
fn vanilla_cookieconsent_is_followed() {
    is_followed("vanilla-cookieconsent");
}

#[test]
fn klaro_is_followed() {
    is_followed("klaro");
}

#[test]
fn cookie_information_is_followed() {
    is_followed("cookie-information");
}

#[test]
fn cookiebot_is_followed() {
    is_followed("cookiebot");
}

#[test]
fn a_consent_that_ended_is_not_brought_back_by_a_managers_memory() {
    for manager in [
        "tcf",
        "consent-mode",
        "vanilla-cookieconsent",
        "klaro",
        "cookiebot",
        "cookie-information",
    ] {
        is_asked_anew(manager);
    }
}

/// Cookiebot's implied consent, a TCF manager where the GDPR does not apply, a service that Klaro requires.
#[test]
fn what_nobody_was_asked_is_no_consent() {
    let _turn = my_turn();
    let brine = Brine::start();
    for manager in ["cookiebot", "tcf", "klaro"] {
        run(&format!("unsaid {manager}"), brine.public);
    }
    assert_eq!(brine.sql("SELECT count() FROM consents"), ["0"]);
}

#[test]
fn of_several_managers_one_no_is_enough() {
    let _turn = my_turn();
    let brine = Brine::start();
    run("adapters_both", brine.public);
    brine.wait_for("SELECT count() FROM consents", 4);
    assert_eq!(
        brine.sql("SELECT choice FROM consents ORDER BY ts"),
        ["grant", "withdraw", "grant", "withdraw"]
    );
}
