//! README, "Who may look": through the real binary, as browsers, programs and attackers meet it.

use hyper::Method;
use serde_json::json;

use crate::support::tab::{PASSWORD, Tab, proof};
use crate::support::{Answer, Brine};

fn ask(site: &str) -> String {
    json!({ "site_id": site, "metrics": ["visitors"], "date_range": "7d" }).to_string()
}

async fn query_as(brine: &Brine, bearer: &str, site: &str) -> Answer {
    let bearer = format!("Bearer {bearer}");
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ];
    brine
        .admin(Method::POST, "/api/v1/query", &headers, &ask(site))
        .await
}

fn location(answer: &Answer) -> &str {
    answer
        .headers
        .get("location")
        .map_or("", |value| value.to_str().unwrap())
}

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
async fn the_set_up_link_makes_one_admin_and_opens_once() {
    let brine = Brine::start();
    let link = brine.setup();
    assert!(!brine.log().contains(&link), "the link is in the log");
    let mut tab = Tab::new();
    let page = tab.get(&brine, &link).await;
    assert_eq!(page.status, 200);
    assert!(
        page.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'")
    );
    let fields = |password| {
        [
            ("name", "Anna"),
            ("password", password),
            ("again", password),
        ]
    };
    // Weak, different, without the page's proof: nobody is made.
    let weak = tab.fill(&brine, &link, &link, &fields("short")).await;
    assert_eq!(weak.status, 422);
    let unproven = Tab::new().post(&brine, &link, &fields(PASSWORD)).await;
    assert_eq!(unproven.status, 403);
    let mut second = Tab::new();
    let second_proof = proof(&second.get(&brine, &link).await.text());
    let made = tab.fill(&brine, &link, &link, &fields(PASSWORD)).await;
    assert_eq!((made.status.as_u16(), location(&made)), (303, "/"));
    assert_eq!(tab.get(&brine, "/users").await.status, 200, "an admin");
    // Once: neither a page that was open nor the link itself makes another.
    assert_eq!(tab.get(&brine, &link).await.status, 410);
    let late = [&[("form", second_proof.as_str())][..], &fields(PASSWORD)].concat();
    assert_eq!(second.post(&brine, &link, &late).await.status, 410);
    assert_eq!(brine.told(&["users", "list"]).lines().count(), 1);
    // The name is one whatever its case; the password is not.
    let mut again = Tab::new();
    assert_eq!(
        again
            .sign_in(&brine, "ANNA", &PASSWORD.to_uppercase())
            .await
            .status,
        401
    );
    assert_eq!(again.sign_in(&brine, "ANNA", PASSWORD).await.status, 303);
}
