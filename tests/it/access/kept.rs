//! What is recorded, and what is kept nowhere.

use hyper::Method;
use serde_json::json;

use super::{ask, query_as};
use crate::support::markers::Markers;
use crate::support::tab::{PASSWORD, Tab, proof};
use crate::support::{Brine, Builder};

#[tokio::test(flavor = "multi_thread")]
async fn every_look_leaves_a_row_and_nothing_of_visitors() {
    let brine = Brine::start();
    brine.add_user("anna", &["--role", "admin"]);
    let key = brine.told(&["keys", "add", "report", "--site", "*"]);
    let mut tab = Tab::new();
    let wrong = "kodeord i navnefeltet";
    tab.sign_in(&brine, wrong, "wrong wrong wrong").await;
    tab.sign_in(&brine, "anna", "wrong wrong wrong").await;
    tab.sign_in(&brine, "anna", PASSWORD).await;
    let body = json!({
        "site_id": "portal.example.test", "metrics": ["visitors", "visits"], "dimensions": ["event:page"],
        "date_range": "7d", "filters": [["is", "event:page", ["/ZqMarkedFromAVisitor"]]],
    });
    assert_eq!(tab.query(&brine, &body.to_string()).await.status, 200);
    query_as(&brine, &key, "veriloc").await;
    query_as(&brine, &key, "nowhere").await;
    let add = [
        ("do", "add"),
        ("name", "Bo"),
        ("role", "viewer"),
        ("sites", "ios,portal"),
    ];
    tab.fill(&brine, "/users", "/users", &add).await;
    tab.fill(&brine, "/account", "/logout", &[]).await;
    let columns = "who, via, action, site, detail";
    // Those of the commands are told below.
    let of_pages = "FROM access_log WHERE via != 'operator'";
    brine.wait_for(&format!("SELECT count() {of_pages}"), 7);
    let rows = brine.sql(&format!("SELECT {columns} {of_pages} ORDER BY ts, seq"));
    assert_eq!(
        rows,
        [
            "\tsession\trefused\t\tsign_in",
            "anna\tsession\trefused\t\tsign_in",
            "anna\tsession\tsign_in\t\t",
            "anna\tsession\tquery\tportal\tvisitors,visits by event:page, 7d",
            "report\tkey\tquery\tveriloc\tvisitors, 7d",
            "anna\tsession\tchanged\t\tuser add: bo, viewer, ios,portal",
            "anna\tsession\tsign_out\t\t",
        ]
    );
    let days = "SELECT DISTINCT dateDiff('day', toDate(ts), expires) FROM access_log";
    assert_eq!(brine.sql(days), ["365"]);
    let markers = Markers::new([
        ("a filter", &b"ZqMarkedFromAVisitor"[..]),
        ("a name that is none", wrong.as_bytes()),
    ]);
    markers.expect_absent_below(&brine.data());
    markers.expect_absent("the log", brine.log().as_bytes());
}

/// README, "Who may look": what a command changes is recorded, whether brine runs or not, once and by the system's user.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_a_command_leaves_a_row_also_while_brine_is_away() {
    let mut brine = Brine::start();
    brine.add_user("anna", &["--role", "admin"]);
    let rows = |brine: &Brine| {
        brine.sql(
            "SELECT via, action, detail FROM access_log WHERE via = 'operator' ORDER BY ts, seq",
        )
    };
    let count = "SELECT count() FROM access_log WHERE via = 'operator'";
    brine.wait_for(count, 1);
    assert_eq!(rows(&brine), ["operator\tchanged\tuser add: anna, admin, "]);
    brine.terminate();
    brine.told(&[
        "users",
        "role",
        "anna",
        "--role",
        "viewer",
        "--site",
        "ios,portal",
    ]);
    brine.told(&[
        "keys",
        "add",
        "report",
        "--site",
        "*",
        "--scope",
        "query,export",
    ]);
    brine.told(&["keys", "revoke", "report"]);
    brine.told(&["links", "add", "agency", "--site", "portal"]);
    brine.told(&["users", "invite", "anna"]);
    brine.told(&["users", "remove", "anna"]);
    // What was refused has changed nothing.
    assert!(!brine.command(&["users", "remove", "anna"]).status.success());
    let path = brine.data().join("access.json");
    let book = || std::fs::read_to_string(&path).unwrap();
    assert!(book().contains("unlogged"), "{}", book());
    brine.restart();
    brine.wait_for(count, 7);
    assert_eq!(
        rows(&brine)[1..],
        [
            "operator\tchanged\tuser role: anna, viewer, ios,portal",
            "operator\tchanged\tkey add: report, *, export,query",
            "operator\tchanged\tkey revoke: report",
            "operator\tchanged\tlink add: agency, portal",
            "operator\tchanged\tuser invite: anna",
            "operator\tchanged\tuser remove: anna",
        ]
    );
    let who = "SELECT DISTINCT who != '' AND who != 'unknown' FROM access_log";
    assert_eq!(brine.sql(who), ["1"]);
    brine.terminate();
    brine.restart();
    assert!(!book().contains("unlogged"), "{}", book());
    brine.wait_for("SELECT count() FROM events", 0);
    assert_eq!(brine.count(count), 7);
}

/// What cannot be recorded is not shown; signing in and looking at metrics still works.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_not_shown() {
    let brine = Builder::new().set("SPOOL__RESERVE_MIB", "16777216").start();
    brine.add_user("anna", &["--role", "admin"]);
    let mut tab = Tab::new();
    assert_eq!(tab.sign_in(&brine, "anna", PASSWORD).await.status, 303);
    let refused = tab.query(&brine, &ask("portal")).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(!refused.text().contains("results"));
    assert!(brine.metric("brine_access_unrecorded_total").await >= 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_session_key_or_link_is_found_anywhere() {
    let mut brine = Brine::start();
    let link = brine.setup();
    let mut tab = Tab::new();
    let fields = [
        ("name", "anna"),
        ("password", PASSWORD),
        ("again", PASSWORD),
    ];
    tab.fill(&brine, &link, &link, &fields).await;
    tab.sign_in(&brine, "anna", "en forkert adgangskode").await;
    tab.sign_in(&brine, "anna", PASSWORD).await;
    let key = brine.told(&["keys", "add", "report", "--site", "*"]);
    let shared = brine.told(&["links", "add", "agency", "--site", "portal"]);
    let shared = shared.split_whitespace().next().unwrap().to_owned();
    let mut guest = Tab::new();
    guest.get(&brine, &shared).await;
    guest.query(&brine, &ask("portal")).await;
    query_as(&brine, &key, "portal").await;
    query_as(&brine, &format!("{key}x"), "portal").await;
    tab.query(&brine, &ask("portal")).await;
    let form = proof(&tab.get(&brine, "/account").await.text());
    let operator = brine.operator();
    brine.wait_drained().await;
    let metrics = brine.admin(Method::GET, "/metrics", &[], "").await.text();
    let (session, browser) = (
        tab.cookies["brine_session"].clone(),
        tab.cookies["brine_browser"].clone(),
    );
    let markers = Markers::new([
        ("the password", PASSWORD.as_bytes()),
        ("a wrong one", b"en forkert adgangskode"),
        ("the session", session.as_bytes()),
        ("the browser's cookie", browser.as_bytes()),
        ("the form's proof", form.as_bytes()),
        (
            "the key",
            key.rsplit_once('_')
                .map_or(key.as_bytes(), |_| &key.as_bytes()[23..]),
        ),
        (
            "the link",
            &shared.as_bytes()["/share/brine_link_0123456789ab_".len()..],
        ),
        (
            "the set-up link",
            &link.as_bytes()["/welcome/brine_inv_0123456789ab_".len()..],
        ),
        (
            "the operator's bearer",
            &operator.as_bytes()["Bearer brine_op_".len()..],
        ),
    ]);
    markers.expect_absent_below(&brine.data());
    markers.expect_absent("the log", brine.log().as_bytes());
    markers.expect_absent("the metrics", metrics.as_bytes());
    // A restart ends sessions; users, keys and links stay, and no set-up link is made.
    brine.terminate();
    brine.restart();
    assert_eq!(tab.get(&brine, "/account").await.status, 303);
    assert_eq!(query_as(&brine, &key, "portal").await.status, 200);
    assert_eq!(guest.query(&brine, &ask("portal")).await.status, 200);
    assert_eq!(tab.get(&brine, &link).await.status, 410);
    assert_eq!(tab.sign_in(&brine, "anna", PASSWORD).await.status, 303);
    let printed = std::fs::read_to_string(brine.directory.join("printed")).unwrap();
    assert_eq!(printed.matches("set-up").count(), 1, "{printed}");
    markers.expect_absent("the log", brine.log().as_bytes());
}
