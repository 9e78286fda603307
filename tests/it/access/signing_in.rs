//! The set-up link, passwords, throttle, sessions.

use super::{MINUTE, NOON, ask, location};
use crate::support::process::cpu_ticks;
use crate::support::tab::{PASSWORD, Tab, proof};
use crate::support::{Brine, Builder};

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

/// OWASP, Authentication Cheat Sheet: answer, work and throttle tell nothing about who there is.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_is_answered_and_costs_as_a_wrong_password() {
    let brine = Brine::start();
    brine.add_user("anna", &["--role", "admin"]);
    brine.told(&["users", "add", "invited", "--site", "portal", "--invite"]);
    let mut spent = Vec::new();
    let mut pages = Vec::new();
    for name in ["anna", "nobody", "invited"] {
        let before = cpu_ticks(brine.child.id());
        for n in 0..8 {
            // From an address each: this is about the account.
            let mut tab = Tab::at(&format!("192.0.2.{n}"));
            let form = proof(&tab.get(&brine, "/login").await.text());
            let fields = [
                ("form", form.as_str()),
                ("name", name),
                ("password", "wrong wrong wrong"),
            ];
            let answer = tab.post(&brine, "/login", &fields).await;
            assert_eq!(answer.status, 401, "{name}");
            assert!(!tab.is_in());
            pages.push(answer.text().replace(&form, "…"));
        }
        spent.push(cpu_ticks(brine.child.id()) - before);
    }
    assert!(
        pages.iter().all(|page| *page == pages[0]),
        "the answers differ"
    );
    // In processor time, which the load of the machine changes least; without its hash a try would be a tenth.
    for other in &spent[1..] {
        let ratio = *other as f64 / spent[0] as f64;
        assert!((0.4..2.5).contains(&ratio), "{spent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_is_held_up_and_the_owner_still_gets_in() {
    let brine = Builder::new().clock(NOON).start();
    brine.add_user("anna", &["--role", "admin"]);
    let mut hers = Tab::at("192.0.2.1");
    assert_eq!(hers.sign_in(&brine, "anna", PASSWORD).await.status, 303);
    hers.cookies.remove("brine_session");
    // From many addresses: the account's tries are used up, known name or not.
    for name in ["anna", "nobody"] {
        let mut refused = 0;
        for n in 0..13 {
            let mut stranger = Tab::at(&format!("198.51.100.{n}"));
            let answer = stranger.sign_in(&brine, name, "guess guess guess").await;
            refused += usize::from(answer.status == 429);
            assert_eq!(
                answer.headers.contains_key("retry-after"),
                answer.status == 429
            );
        }
        assert_eq!(refused, 3, "{name}");
    }
    // Even the right password is not looked at from there, or it would be a guess like any other.
    let mut stranger = Tab::at("203.0.113.9");
    assert_eq!(stranger.sign_in(&brine, "anna", PASSWORD).await.status, 429);
    // The owner's browser gets in, also from an attacker's address.
    hers.headers = Tab::at("198.51.100.1").headers;
    assert_eq!(hers.sign_in(&brine, "anna", PASSWORD).await.status, 303);
    // Her cookie is hers: it frees nobody who guesses at another account, and a changed one is none.
    let mut forged = Tab::at("203.0.113.10");
    let cookie = hers.cookies["brine_browser"].clone();
    forged.cookies.insert(
        "brine_browser".into(),
        cookie.replacen(&cookie[..1], "~", 1),
    );
    assert_eq!(forged.sign_in(&brine, "anna", PASSWORD).await.status, 429);
    forged.cookies.insert("brine_browser".into(), cookie);
    assert_eq!(forged.sign_in(&brine, "nobody", PASSWORD).await.status, 429);
    // A minute gives a try back.
    brine.set_clock(NOON + MINUTE);
    assert_eq!(stranger.sign_in(&brine, "anna", PASSWORD).await.status, 303);
    // From one address, at many names.
    let mut tab = Tab::at("203.0.113.77");
    let mut held_up = 0;
    for n in 0..22 {
        let answer = tab
            .sign_in(&brine, &format!("name{n}"), "guess guess guess")
            .await;
        held_up += usize::from(answer.status == 429);
    }
    assert!((1..=2).contains(&held_up), "{held_up}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_cannot_be_fixed_and_ends_idle_old_or_signed_out() {
    let brine = Builder::new().clock(NOON).start();
    brine.add_user("anna", &["--role", "admin"]);
    let mut tab = Tab::new();
    tab.cookies.insert("brine_session".into(), "x".repeat(43));
    let answer = tab.sign_in(&brine, "anna", PASSWORD).await;
    let first = tab.cookies["brine_session"].clone();
    assert_ne!(first, "x".repeat(43), "an id of the client's own was taken");
    let set: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    let set: Vec<_> = set.iter().map(|cookie| cookie.to_str().unwrap()).collect();
    for cookie in &set {
        assert!(
            cookie.contains("; HttpOnly; SameSite=Lax") && cookie.contains("; Path=/;"),
            "{cookie}"
        );
        // Plain HTTP on loopback; behind https see below.
        assert!(
            !cookie.contains("Domain") && !cookie.contains("Secure"),
            "{cookie}"
        );
    }
    assert!(
        set.iter()
            .any(|c| c.starts_with("brine_session=") && !c.contains("Max-Age"))
    );
    // Signing in again gives another one, and the former is dead.
    tab.sign_in(&brine, "anna", PASSWORD).await;
    let mut old = Tab::new();
    old.cookies.insert("brine_session".into(), first);
    assert_eq!(old.get(&brine, "/account").await.status, 303);
    // In use its id is replaced; the one before is good for requests under way, then dead: a minute after the new one is seen.
    let mut before = tab.clone();
    brine.set_clock(NOON + 20 * MINUTE);
    assert_eq!(tab.get(&brine, "/account").await.status, 200);
    assert_ne!(
        tab.cookies["brine_session"],
        before.cookies["brine_session"]
    );
    assert_eq!(before.get(&brine, "/account").await.status, 200);
    assert_eq!(tab.get(&brine, "/account").await.status, 200);
    brine.set_clock(NOON + 22 * MINUTE);
    assert_eq!(before.get(&brine, "/account").await.status, 303);
    // Idle for eight hours.
    brine.set_clock(NOON + 20 * MINUTE + 479 * MINUTE);
    assert_eq!(tab.get(&brine, "/account").await.status, 200);
    brine.set_clock(NOON + 1_200 * MINUTE);
    assert_eq!(tab.get(&brine, "/account").await.status, 303);
    // Old: seven days, however much it is used.
    let began = NOON + 1_200 * MINUTE;
    tab.sign_in(&brine, "anna", PASSWORD).await;
    for hour in (7..168).step_by(7) {
        brine.set_clock(began + hour * 60 * MINUTE);
        assert_eq!(tab.get(&brine, "/account").await.status, 200, "hour {hour}");
    }
    brine.set_clock(began + 168 * 60 * MINUTE);
    assert_eq!(tab.get(&brine, "/account").await.status, 303);
    // Signed out: the id is dead, not only forgotten by the browser.
    tab.sign_in(&brine, "anna", PASSWORD).await;
    let mut kept = tab.clone();
    let out = tab.fill(&brine, "/account", "/logout", &[]).await;
    assert_eq!((out.status.as_u16(), location(&out)), (303, "/login"));
    assert!(!tab.is_in());
    assert_eq!(kept.get(&brine, "/account").await.status, 303);
    assert_eq!(kept.query(&brine, &ask("portal")).await.status, 401);
}

/// The new session's id is the one that the browser keeps, also where the former was due for another.
#[tokio::test]
async fn a_new_password_keeps_its_owner_signed_in_however_long_the_page_lay_open() {
    let brine = Builder::new().clock(NOON).start();
    brine.add_user("anna", &["--role", "admin"]);
    let mut tab = Tab::new();
    tab.sign_in(&brine, "anna", PASSWORD).await;
    let proof = crate::support::tab::proof(&tab.get(&brine, "/account").await.text());
    brine.set_clock(NOON + 16 * MINUTE);
    let fields = [
        ("form", proof.as_str()),
        ("do", "password"),
        ("old", PASSWORD),
        ("password", "et helt andet 99"),
        ("again", "et helt andet 99"),
    ];
    let changed = tab.post(&brine, "/account", &fields).await;
    assert_eq!(changed.status, 303, "{}", changed.text());
    assert_eq!(tab.get(&brine, "/account").await.status, 200);
}
