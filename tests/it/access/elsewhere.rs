//! Pages elsewhere, proxies and names that are not ours.

use hyper::Method;

use super::{ask, location};
use crate::support::tab::{PASSWORD, Tab, proof};
use crate::support::{Brine, Builder};

/// OWASP, Cross-Site Request Forgery Prevention Cheat Sheet: a proof in each form, and the browser's own word.
#[tokio::test(flavor = "multi_thread")]
async fn every_form_needs_the_proof_of_its_own_session() {
    let brine = Brine::start();
    brine.add_user("anna", &["--role", "admin"]);
    brine.add_user("bo", &["--site", "portal"]);
    let (mut anna, mut bo) = (Tab::new(), Tab::new());
    // Signing in as well: nobody is to be signed in as somebody else without noticing.
    let fields = [("name", "anna"), ("password", PASSWORD)];
    let mut unproven = Tab::new();
    unproven.get(&brine, "/login").await;
    assert_eq!(unproven.post(&brine, "/login", &fields).await.status, 403);
    let elsewhere = proof(&Tab::new().get(&brine, "/login").await.text());
    let stolen = [&[("form", elsewhere.as_str())][..], &fields].concat();
    assert_eq!(unproven.post(&brine, "/login", &stolen).await.status, 403);
    anna.sign_in(&brine, "anna", PASSWORD).await;
    bo.sign_in(&brine, "bo", PASSWORD).await;
    let bos = proof(&bo.get(&brine, "/account").await.text());
    let add_user = [
        ("do", "add"),
        ("name", "eve"),
        ("role", "admin"),
        ("sites", "*"),
    ];
    let add_key = [
        ("do", "add"),
        ("name", "k"),
        ("sites", "*"),
        ("scope", "query"),
        ("days", "9"),
    ];
    let add_link = [
        ("do", "add"),
        ("name", "l"),
        ("site", "portal"),
        ("days", "9"),
    ];
    let another = [
        ("do", "password"),
        ("old", PASSWORD),
        ("password", "et helt andet 99"),
        ("again", "et helt andet 99"),
    ];
    let forms: [(&str, &[(&str, &str)]); 6] = [
        ("/users", &add_user),
        ("/keys", &add_key),
        ("/links", &add_link),
        ("/account", &another),
        ("/account", &[("do", "end")]),
        ("/logout", &[]),
    ];
    for (path, fields) in forms {
        let refused = anna.post(&brine, path, fields).await;
        assert_eq!(refused.status, 403, "{path} without a proof");
        for other in [bos.as_str(), "", "x"] {
            let fields = [&[("form", other)][..], fields].concat();
            assert_eq!(
                anna.post(&brine, path, &fields).await.status,
                403,
                "{path} with another's"
            );
        }
        // With the right proof, but sent by a page elsewhere.
        let own = proof(&anna.get(&brine, "/account").await.text());
        let fields = [&[("form", own.as_str())][..], fields].concat();
        for header in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            anna.headers = vec![(header.0.into(), header.1.into())];
            assert_eq!(
                anna.post(&brine, path, &fields).await.status,
                403,
                "{path} {header:?}"
            );
        }
        anna.headers.clear();
    }
    // The query API by cookie: from our own pages alone.
    for header in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        anna.headers = vec![(header.0.into(), header.1.into())];
        assert_eq!(anna.query(&brine, &ask("portal")).await.status, 403);
    }
    anna.headers.clear();
    assert_eq!(anna.query(&brine, &ask("portal")).await.status, 200);
    assert_eq!(brine.told(&["users", "list"]).lines().count(), 2);
    assert_eq!(
        brine.told(&["keys", "list"]) + &brine.told(&["links", "list"]),
        ""
    );
    // And with its own proof each of them works.
    for (path, fields) in &forms[..3] {
        let done = anna.fill(&brine, path, path, fields).await;
        assert_eq!(done.status, 200, "{path}: {}", done.text());
    }
    assert_eq!(brine.told(&["users", "list"]).lines().count(), 3);
    // A password is changed, and every session but a new one ends.
    let mut second = Tab::new();
    second.sign_in(&brine, "anna", PASSWORD).await;
    assert_eq!(
        anna.fill(&brine, "/account", "/account", &another)
            .await
            .status,
        303
    );
    assert_eq!(second.get(&brine, "/account").await.status, 303);
    assert_eq!(anna.get(&brine, "/account").await.status, 200);
    assert_eq!(second.sign_in(&brine, "anna", PASSWORD).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_leads_to_pages_of_this_listener_alone() {
    let brine = Brine::start();
    brine.add_user("anna", &["--role", "admin"]);
    let mut tab = Tab::new();
    for (next, expected) in [
        ("/d/portal?range=7d", "/d/portal?range=7d"),
        ("https://evil.test/", "/"),
        ("//evil.test/", "/"),
        ("/\\evil.test/", "/"),
        ("javascript:alert(1)", "/"),
        ("/x\r\nset-cookie: a=b", "/"),
        ("/\t/evil.test", "/"),
    ] {
        let shown = tab
            .get(
                &brine,
                &format!(
                    "/login?{}",
                    url::form_urlencoded::Serializer::new(String::new())
                        .append_pair("next", next)
                        .finish()
                ),
            )
            .await;
        assert!(!shown.text().contains("evil"), "{next}");
        let fields = [("name", "anna"), ("password", PASSWORD), ("next", next)];
        let answer = tab.fill(&brine, "/login", "/login", &fields).await;
        assert_eq!(
            (answer.status.as_u16(), location(&answer)),
            (303, expected),
            "{next}"
        );
        assert!(
            !answer
                .headers
                .get_all("set-cookie")
                .iter()
                .any(|c| c.to_str().unwrap().starts_with("a="))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxys_word_counts_from_the_proxy_alone() {
    let proxied = |proxies: &str| {
        Builder::new()
            .set("ACCESS__MODE", "proxy")
            .set("ACCESS__URL", "https://stats-admin.example.test")
            .set("SERVER__TRUSTED_PROXIES", proxies)
            .start()
    };
    let brine = proxied("[\"127.0.0.1/32\"]");
    brine.told(&["users", "add", "anna", "--role", "admin", "--no-password"]);
    brine.told(&["users", "add", "bo", "--site", "portal", "--no-password"]);
    let as_user = |names: &[&str]| {
        let mut tab = Tab::new();
        tab.headers = names
            .iter()
            .map(|name| ("x-forwarded-user".into(), (*name).into()))
            .collect();
        tab.headers
            .push(("host".into(), "stats-admin.example.test".into()));
        tab
    };
    assert_eq!(as_user(&["anna"]).get(&brine, "/users").await.status, 200);
    let mut bo = as_user(&["Bo"]);
    assert_eq!(bo.query(&brine, &ask("portal")).await.status, 200);
    assert_eq!(bo.query(&brine, &ask("veriloc")).await.status, 404);
    assert_eq!(bo.get(&brine, "/users").await.status, 404);
    // Nobody, a stranger, an empty name: the proxy has let them through, brine does not.
    for names in [&[][..], &["eve"], &[""]] {
        assert_eq!(
            as_user(names).query(&brine, &ask("portal")).await.status,
            403,
            "{names:?}"
        );
    }
    // Two names: one may be the client's own, so neither is believed.
    let mut headers = vec![
        ("host", "stats-admin.example.test"),
        ("content-type", "application/json"),
    ];
    headers.extend([("x-forwarded-user", "bo"), ("x-forwarded-user", "anna")]);
    let body = ask("portal");
    let two = brine.try_request(brine.admin, Method::POST, "/api/v1/query", &headers, &body);
    assert_eq!(two.await.unwrap().status, 403);
    // What the proxy was shown itself, and passes on, is no token of brine's.
    for (said, status) in [
        ("Basic YW5uYTpobXVz", 200),
        ("Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2ln", 200),
        ("Bearer brine_key_000000000000_nonsense", 401),
    ] {
        let mut anna = as_user(&["anna"]);
        anna.headers.push(("authorization".into(), said.into()));
        assert_eq!(
            anna.query(&brine, &ask("portal")).await.status,
            status,
            "{said}"
        );
    }
    // A page that had its name point here says that name; and there is no other way to sign in.
    let mut rebound = as_user(&["anna"]);
    rebound.headers.retain(|(name, _)| name != "host");
    rebound.headers.push(("host".into(), "evil.test".into()));
    assert_eq!(rebound.query(&brine, &ask("portal")).await.status, 421);
    assert_eq!(location(&as_user(&[]).get(&brine, "/login").await), "/");
    drop(brine);
    // From anywhere but the proxy the header is nothing.
    let brine = proxied("[\"192.0.2.1/32\"]");
    brine.told(&["users", "add", "anna", "--role", "admin", "--no-password"]);
    assert_eq!(
        as_user(&["anna"])
            .query(&brine, &ask("portal"))
            .await
            .status,
        403
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_listener_answers_to_loopback_names_alone() {
    let brine = Builder::new().set("ACCESS__MODE", "open").start();
    let mut tab = Tab::new();
    assert_eq!(tab.query(&brine, &ask("portal")).await.status, 200);
    for host in ["evil.test", "127.0.0.1.evil.test:8081", "10.0.0.1:8081", ""] {
        tab.headers = vec![("host".into(), host.into())];
        assert_eq!(
            tab.query(&brine, &ask("portal")).await.status,
            421,
            "{host}"
        );
        assert_eq!(tab.get(&brine, "/account").await.status, 421, "{host}");
    }
    // A page elsewhere that names this machine by its address still cannot ask or change anything.
    for header in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.test"),
    ] {
        let headers = [("content-type", "application/json"), header];
        let body = ask("portal");
        let answer = brine.try_request(brine.admin, Method::POST, "/api/v1/query", &headers, &body);
        assert_eq!(answer.await.unwrap().status, 403, "{header:?}");
    }
    // An address of the network is refused before anything starts.
    let outside = Builder::new().set("ACCESS__MODE", "open");
    let output = outside
        .command()
        .env("BRINE_SERVER__ADMIN", "0.0.0.0:0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("access.mode"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_https_cookies_are_secure_and_of_this_host_alone() {
    let brine = Builder::new()
        .set("ACCESS__URL", "https://stats-admin.example.test")
        .start();
    brine.add_user("anna", &["--role", "admin"]);
    let mut tab = Tab::new();
    tab.headers = vec![("host".into(), "stats-admin.example.test".into())];
    let answer = tab.sign_in(&brine, "anna", PASSWORD).await;
    let set: Vec<_> = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|c| c.to_str().unwrap())
        .collect();
    assert_eq!(set.len(), 2);
    for cookie in set {
        assert!(
            cookie.starts_with("__Host-brine_") && cookie.contains("; Secure"),
            "{cookie}"
        );
    }
    assert_eq!(tab.get(&brine, "/account").await.status, 200);
}
