//! What each may see: nobody, viewers, keys, shared links.

use hyper::Method;

use super::{MINUTE, NOON, ask, location, query_as};
use crate::support::tab::{PASSWORD, Tab};
use crate::support::{Brine, Builder};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_health_and_metrics_is_answered_without_a_sign_in() {
    let brine = Brine::start();
    let mut tab = Tab::new();
    for path in ["/health", "/ready", "/metrics"] {
        assert_eq!(tab.get(&brine, path).await.status, 200, "{path}");
    }
    for path in [
        "/",
        "/account",
        "/users",
        "/keys",
        "/links",
        "/d/portal",
        "/anything",
    ] {
        let answer = tab.get(&brine, path).await;
        assert_eq!(answer.status, 303, "{path}");
        assert!(location(&answer).starts_with("/login?next=%2F"), "{path}");
    }
    assert_eq!(tab.query(&brine, &ask("portal")).await.status, 401);
    let json = [("content-type", "application/json")];
    let rights = brine.try_request(brine.admin, Method::POST, "/api/v1/rights", &json, "{}");
    assert_eq!(rights.await.unwrap().status, 401);
    for bearer in ["", "x", "brine_op_x", "brine_key_0123456789ab_x"] {
        assert_eq!(
            query_as(&brine, bearer, "portal").await.status,
            401,
            "{bearer}"
        );
    }
    // A name that nobody has given it is not answered: its page could be an attacker's (DNS rebinding).
    tab.headers.push(("host".into(), "evil.test".into()));
    assert_eq!(tab.get(&brine, "/login").await.status, 421);
    assert_eq!(tab.query(&brine, &ask("portal")).await.status, 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_their_sites_and_the_others_do_not_exist() {
    let brine = Brine::start();
    brine.add_user("anna", &["--role", "admin"]);
    brine.add_user("bo", &["--site", "portal,ios"]);
    let (mut anna, mut bo) = (Tab::new(), Tab::new());
    anna.sign_in(&brine, "anna", PASSWORD).await;
    bo.sign_in(&brine, "bo", PASSWORD).await;
    for site in [
        "portal",
        "portal.example.test",
        "a.portal.example.test",
        "ios",
    ] {
        assert_eq!(bo.query(&brine, &ask(site)).await.status, 200, "{site}");
    }
    let nowhere = bo.query(&brine, &ask("nowhere")).await;
    for site in [
        "veriloc",
        "veriloc.example.test",
        "www.veriloc.example.test",
        "VERILOC.example.test",
    ] {
        let hidden = bo.query(&brine, &ask(site)).await;
        assert_eq!(
            (hidden.status.as_u16(), hidden.text()),
            (404, nowhere.text()),
            "{site}"
        );
    }
    for path in ["/users", "/keys", "/links"] {
        assert_eq!(bo.get(&brine, path).await.status, 404, "{path}");
        let fields = [
            ("do", "add"),
            ("name", "eve"),
            ("role", "admin"),
            ("sites", "*"),
        ];
        let tried = bo.fill(&brine, "/account", path, &fields).await;
        assert_eq!(tried.status, 404, "{path}");
    }
    let json = [
        ("content-type", "application/json"),
        (
            "cookie",
            &*format!("brine_session={}", bo.cookies["brine_session"]),
        ),
    ];
    let rights = brine
        .admin(Method::POST, "/api/v1/rights", &json, "{}")
        .await;
    assert_eq!(rights.status, 403, "requests by mail are for admins");
    // Another role holds with the next request; the last admin stays one.
    let role = [
        ("do", "role"),
        ("name", "bo"),
        ("role", "viewer"),
        ("sites", "veriloc"),
    ];
    assert_eq!(
        anna.fill(&brine, "/users", "/users", &role).await.status,
        200
    );
    assert_eq!(bo.query(&brine, &ask("portal")).await.status, 404);
    assert_eq!(bo.query(&brine, &ask("veriloc")).await.status, 200);
    for fields in [
        [
            ("do", "role"),
            ("name", "anna"),
            ("role", "viewer"),
            ("sites", "portal"),
        ],
        [
            ("do", "remove"),
            ("name", "anna"),
            ("role", ""),
            ("sites", ""),
        ],
        [
            ("do", "role"),
            ("name", "bo"),
            ("role", "viewer"),
            ("sites", "nowhere"),
        ],
        [
            ("do", "role"),
            ("name", "bo"),
            ("role", "viewer"),
            ("sites", ""),
        ],
        [
            ("do", "add"),
            ("name", "<script>"),
            ("role", "admin"),
            ("sites", "*"),
        ],
    ] {
        let refused = anna.fill(&brine, "/users", "/users", &fields).await;
        assert_eq!(refused.status, 422, "{fields:?}");
        assert!(!refused.text().contains("<script"), "{}", refused.text());
    }
    // Commands beside: in force with the next request.
    brine.told(&["users", "role", "bo", "--site", "portal"]);
    assert_eq!(bo.query(&brine, &ask("portal")).await.status, 200);
    brine.told(&["users", "remove", "bo"]);
    assert_eq!(bo.query(&brine, &ask("portal")).await.status, 401);
    let output = brine.command_with(&["users", "password", "anna"], "et helt andet 99");
    assert!(output.status.success());
    assert_eq!(anna.get(&brine, "/account").await.status, 303);
    assert_eq!(
        anna.sign_in(&brine, "anna", "et helt andet 99")
            .await
            .status,
        303
    );
    // Never from arguments, never weak.
    let short = brine.command_with(&["users", "add", "eve", "--role", "admin"], "short");
    assert!(!short.status.success());
    let argument = brine.command(&["users", "add", "eve", "--password", PASSWORD]);
    assert!(!argument.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_does_what_its_sites_and_scope_say_until_it_ends() {
    let brine = Builder::new().clock(NOON).start();
    let query = brine.told(&["keys", "add", "report", "--site", "portal", "--days", "2"]);
    let rights = brine.told(&[
        "keys", "add", "mail", "--site", "portal", "--scope", "rights",
    ]);
    assert_eq!(query_as(&brine, &query, "portal").await.status, 200);
    assert_eq!(query_as(&brine, &query, "veriloc").await.status, 404);
    let other = query_as(&brine, &rights, "portal").await;
    assert!(
        other.status == 403 && other.text().contains("scope query"),
        "{}",
        other.text()
    );
    let ask_right = async |bearer: &str, site: &str| {
        let bearer = format!("Bearer {bearer}");
        let headers = [
            ("content-type", "application/json"),
            ("authorization", bearer.as_str()),
        ];
        let body = format!("{{\"site\":\"{site}\",\"action\":\"see\",\"receipts\":[\"x\"]}}");
        brine
            .admin(Method::POST, "/api/v1/rights", &headers, &body)
            .await
            .status
            .as_u16()
    };
    assert_eq!(ask_right(&query, "portal").await, 403);
    assert_eq!(ask_right(&rights, "veriloc").await, 404);
    assert_eq!(
        ask_right(&rights, "portal").await,
        400,
        "let in, and the receipt is none"
    );
    // A key opens no page, whatever its scope.
    let bearer = format!("Bearer {query}");
    for path in ["/account", "/users", "/keys"] {
        let page = brine
            .admin(Method::GET, path, &[("authorization", &bearer)], "")
            .await;
        assert_eq!(page.status, 404, "{path}");
    }
    // Changed in its id or its secret it is none.
    for at in [12, query.len() - 1] {
        let mut other = query.clone();
        let swapped = if &other[at..=at] == "0" { "1" } else { "0" };
        other.replace_range(at..=at, swapped);
        assert_eq!(query_as(&brine, &other, "portal").await.status, 401, "{at}");
    }
    brine.set_clock(NOON + 2 * 1_440 * MINUTE);
    assert_eq!(
        query_as(&brine, &query, "portal").await.status,
        401,
        "it ended"
    );
    brine.told(&["keys", "revoke", "mail"]);
    assert_eq!(ask_right(&rights, "portal").await, 401, "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_link_shows_one_site_until_it_expires() {
    let brine = Builder::new().clock(NOON).start();
    let printed = brine.told(&["links", "add", "agency", "--site", "portal", "--days", "2"]);
    let path = printed.split_whitespace().next().unwrap().to_owned();
    let mut tab = Tab::new();
    let opened = tab.get(&brine, &path).await;
    assert_eq!(
        (opened.status.as_u16(), location(&opened)),
        (303, "/d/portal")
    );
    assert_eq!(tab.query(&brine, &ask("portal")).await.status, 200);
    assert_eq!(tab.query(&brine, &ask("veriloc")).await.status, 404);
    // Read only: no page of an account, no request by mail, no form. Who has one signs in for that.
    for page in ["/account", "/users"] {
        let to_sign_in = tab.get(&brine, page).await;
        assert_eq!(to_sign_in.status, 303, "{page}");
        assert!(location(&to_sign_in).starts_with("/login?next="), "{page}");
    }
    // Tampered with, in the address or in the cookie.
    for at in [path.len() - 1, "/share/brine_link_0".len() - 1] {
        let mut other = path.clone();
        let swapped = if &other[at..=at] == "0" { "1" } else { "0" };
        other.replace_range(at..=at, swapped);
        let mut stranger = Tab::new();
        assert_eq!(stranger.get(&brine, &other).await.status, 410, "{other}");
        stranger
            .cookies
            .insert("brine_link".into(), other["/share/".len()..].to_owned());
        assert_eq!(
            stranger.query(&brine, &ask("portal")).await.status,
            401,
            "{other}"
        );
    }
    // Its cookie says nothing about time: the book does.
    brine.set_clock(NOON + 2 * 1_440 * MINUTE - 1);
    assert_eq!(tab.query(&brine, &ask("portal")).await.status, 200);
    brine.set_clock(NOON + 2 * 1_440 * MINUTE);
    assert_eq!(tab.query(&brine, &ask("portal")).await.status, 401);
    assert_eq!(tab.get(&brine, &path).await.status, 410);
    // Revoked: at once.
    let printed = brine.told(&["links", "add", "other", "--site", "portal"]);
    tab.get(&brine, printed.split_whitespace().next().unwrap())
        .await;
    assert_eq!(tab.query(&brine, &ask("portal")).await.status, 200);
    let list = brine.told(&["links", "list"]);
    let id = list.lines().last().unwrap().split('\t').next().unwrap();
    brine.told(&["links", "revoke", id]);
    assert_eq!(tab.query(&brine, &ask("portal")).await.status, 401);
}

/// A link that was sent to somebody with an account shows its site, and the account what it showed before.
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_link_shows_its_site_to_those_who_are_signed_in() {
    let brine = Brine::start();
    brine.add_user("bo", &["--site", "pernexus"]);
    let mut bo = Tab::new();
    bo.sign_in(&brine, "bo", PASSWORD).await;
    assert_eq!(bo.get(&brine, "/d/portal").await.status, 404);
    let printed = brine.told(&["links", "add", "agency", "--site", "portal"]);
    bo.get(&brine, printed.split_whitespace().next().unwrap())
        .await;
    for (path, status) in [
        ("/d/portal", 200),
        ("/d/portal?period=7d", 200),
        ("/d/pernexus", 200),
        ("/d/veriloc", 404),
        ("/account", 200),
    ] {
        assert_eq!(bo.get(&brine, path).await.status, status, "{path}");
    }
    // Who looked is the link.
    let looks = "SELECT count() FROM access_log WHERE action = 'dashboard' AND site = 'portal' AND who = 'agency'";
    brine.wait_for(looks, 2);
    let list = brine.told(&["links", "list"]);
    let id = list.lines().last().unwrap().split('\t').next().unwrap();
    brine.told(&["links", "revoke", id]);
    assert_eq!(bo.get(&brine, "/d/portal").await.status, 404);
    assert_eq!(bo.get(&brine, "/d/pernexus").await.status, 200);
}

/// Pages, tables and the live figure: what the query API hides from a viewer, they hide as well.
#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_shows_each_viewer_their_sites_alone() {
    let brine = Brine::start();
    brine.add_user("bo", &["--site", "portal"]);
    let mut bo = Tab::new();
    bo.sign_in(&brine, "bo", PASSWORD).await;
    let printed = brine.told(&["links", "add", "agency", "--site", "portal"]);
    let mut guest = Tab::new();
    guest
        .get(&brine, printed.split_whitespace().next().unwrap())
        .await;
    // Who has come by a link may have an account: what it does not open leads to the sign-in, whether it is there or not.
    for (tab, beyond) in [(&mut bo, 404), (&mut guest, 303)] {
        for page in ["", "/pages", "/pages.csv", "/now"] {
            // The live figure goes on (`watching.rs`).
            if page != "/now" {
                let shown = tab.get(&brine, &format!("/d/portal{page}")).await;
                assert_eq!(shown.status, 200, "{page}");
            }
            let hidden = tab.get(&brine, &format!("/d/veriloc{page}")).await;
            let nowhere = tab.get(&brine, &format!("/d/nowhere{page}")).await;
            assert_eq!(
                (hidden.status.as_u16(), hidden.text()),
                (beyond, nowhere.text()),
                "{page}"
            );
        }
        // Not even named on the page of all sites.
        let all = tab.get(&brine, "/").await;
        assert_eq!(all.status, 200);
        let text = all.text().to_lowercase();
        assert!(
            text.contains("portal") && !text.contains("veriloc"),
            "{text}"
        );
    }
    // A key that may query takes no table away, and one that may take tables away does nothing else.
    for (name, scope, statuses) in [
        ("report", "query", [200, 403, 404, 200, 403]),
        ("copy", "export", [403, 200, 404, 403, 200]),
    ] {
        let key = brine.told(&["keys", "add", name, "--site", "portal", "--scope", scope]);
        let bearer = format!("Bearer {key}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", "text/csv"),
        ];
        let beyond = match scope {
            "query" => "/d/veriloc",
            _ => "/d/veriloc/pages.csv",
        };
        for (path, status) in ["/d/portal", "/d/portal/pages.csv", beyond]
            .into_iter()
            .zip(statuses)
        {
            let answer = brine.admin(Method::GET, path, &headers, "").await;
            assert_eq!(answer.status, status, "{scope}: {path}");
        }
        for (headers, status) in [&headers[..2], &headers].into_iter().zip(&statuses[3..]) {
            let answer = brine
                .admin(Method::POST, "/api/v1/query", headers, &ask("portal"))
                .await;
            assert_eq!(answer.status, *status, "{scope}: {headers:?}");
        }
    }
    brine.wait_for(
        "SELECT count() FROM access_log WHERE action = 'export' AND site = 'portal' AND who IN ('bo', 'agency', 'copy')",
        4,
    );
}

/// Requests are about everything that was said yes to together.
#[tokio::test]
async fn a_key_for_requests_needs_every_site_of_a_group() {
    let grouped = |id: &str| {
        (
            format!("id = \"{id}\""),
            format!("id = \"{id}\"\ngroup = \"corporate\""),
        )
    };
    let [(a, in_a), (b, in_b)] = [grouped("portal"), grouped("pernexus")];
    let brine = Builder::new().replace(&a, &in_a).replace(&b, &in_b).start();
    let body = r#"{"site":"portal","action":"see","receipts":["x"]}"#;
    for (name, sites, status) in [("one", "portal", 403), ("both", "portal,pernexus", 400)] {
        let key = brine.told(&["keys", "add", name, "--site", sites, "--scope", "rights"]);
        let bearer = format!("Bearer {key}");
        let headers = [
            ("content-type", "application/json"),
            ("authorization", bearer.as_str()),
        ];
        let asked = brine
            .admin(Method::POST, "/api/v1/rights", &headers, body)
            .await;
        assert_eq!(asked.status, status, "{name}: {}", asked.text());
    }
}
