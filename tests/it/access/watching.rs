//! The live figure: one connection, for as long as its viewer may look, and links that show what was shared.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{MINUTE, NOON, location};
use crate::support::tab::{PASSWORD, Tab};
use crate::support::{Brine, PATIENCE};

/// A connection on which a live figure is told.
struct Watcher {
    stream: TcpStream,
    heard: String,
}

impl Watcher {
    fn open(brine: &Brine, header: &str) -> Watcher {
        let mut stream = TcpStream::connect(brine.admin).unwrap();
        let request = format!(
            "GET /d/portal/now?lang=en HTTP/1.1\r\nHost: {}\r\n{header}\r\nConnection: close\r\n\r\n",
            brine.admin
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let heard = String::new();
        Watcher { stream, heard }
    }

    fn of(brine: &Brine, tab: &Tab) -> Watcher {
        let jar: Vec<String> = tab
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        Watcher::open(brine, &format!("Cookie: {}", jar.join("; ")))
    }

    /// Reads what has come; tells whether the connection is at its end.
    fn is_over(&mut self) -> bool {
        let mut bytes = [0; 4_096];
        match self.stream.read(&mut bytes) {
            Ok(0) => true,
            Ok(n) => {
                self.heard.push_str(&String::from_utf8_lossy(&bytes[..n]));
                false
            }
            Err(error) => {
                let is_patient = matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                );
                assert!(is_patient, "{error}");
                false
            }
        }
    }

    fn hears(&mut self, n_events: usize) {
        let started = Instant::now();
        while self.heard.matches("data: {").count() < n_events {
            assert!(!self.is_over(), "it ended: {}", self.heard);
            assert!(started.elapsed() < PATIENCE, "{}", self.heard);
        }
    }

    /// Waits for the end and returns how long that took.
    fn ends(&mut self) -> Duration {
        let started = Instant::now();
        while !self.is_over() {
            assert!(started.elapsed() < PATIENCE, "it goes on: {}", self.heard);
        }
        started.elapsed()
    }
}

/// README, "Who may look": a live figure ends with whatever let its viewer in.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_figure_ends_with_the_sign_in_and_takes_few_connections() {
    let mut brine = Brine::start();
    let soon = Duration::from_secs(2);
    brine.add_user("anna", &["--role", "admin"]);
    brine.add_user("bo", &["--site", "portal"]);
    let (mut anna, mut bo) = (Tab::new(), Tab::new());
    anna.sign_in(&brine, "anna", PASSWORD).await;
    bo.sign_in(&brine, "bo", PASSWORD).await;
    let printed = brine.told(&["links", "add", "agency", "--site", "portal"]);
    let mut guest = Tab::new();
    guest
        .get(&brine, printed.split_whitespace().next().unwrap())
        .await;

    // More than one event on one connection.
    let mut hers = Watcher::of(&brine, &anna);
    hers.hears(2);
    assert!(hers.heard.contains("content-type: text/event-stream"));
    assert!(hers.heard.contains("{\"text\":\"0\"}"), "{}", hers.heard);
    let mut his: Vec<Watcher> = (0..4).map(|_| Watcher::of(&brine, &bo)).collect();
    his.iter_mut().for_each(|watcher| watcher.hears(1));
    // A fifth is told once, and to come back.
    let mut fifth = Watcher::of(&brine, &bo);
    fifth.ends();
    assert!(fifth.heard.contains("retry: ") && fifth.heard.contains("data: {"));
    let mut theirs = Watcher::of(&brine, &guest);
    theirs.hears(1);

    // Signed out; removed; revoked. The others stay.
    anna.fill(&brine, "/account", "/logout", &[]).await;
    let took = hers.ends();
    assert!(took < soon, "{took:?} after the sign-out");
    brine.told(&["users", "role", "bo", "--site", "ios"]);
    for watcher in &mut his {
        let took = watcher.ends();
        assert!(took < soon, "{took:?} after the site was taken away");
    }
    let id = printed.split("brine_link_").nth(1).unwrap()[..12].to_owned();
    brine.told(&["links", "revoke", &id]);
    let took = theirs.ends();
    assert!(took < soon, "{took:?} after the link was revoked");

    // One row a session and site, however many figures they saw.
    let watched =
        "SELECT who, via, site, detail FROM access_log WHERE action = 'realtime' ORDER BY ts, seq";
    brine.wait_for(
        "SELECT count() FROM access_log WHERE action = 'realtime'",
        3,
    );
    assert_eq!(
        brine.sql(watched),
        [
            "anna\tsession\tportal\t",
            "bo\tsession\tportal\t",
            "agency\tlink\tportal\t"
        ]
    );
    // Closing does not wait for it.
    let operator = format!("Authorization: {}", brine.operator());
    let mut open = Watcher::open(&brine, &operator);
    open.hears(1);
    brine.signal("TERM");
    let took = open.ends();
    assert!(took < soon, "{took:?} after brine was told to stop");
    assert_eq!(brine.ended(), Some(0));
}

/// A page that only lies open keeps nobody signed in.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_figure_keeps_no_session_alive() {
    let brine = crate::support::Builder::new().clock(NOON).start();
    brine.add_user("bo", &["--site", "portal"]);
    let mut bo = Tab::new();
    bo.sign_in(&brine, "bo", PASSWORD).await;
    let mut his = Watcher::of(&brine, &bo);
    his.hears(1);
    brine.set_clock(NOON + 2 * 1_440 * MINUTE);
    his.ends();
    assert_eq!(bo.get(&brine, "/account").await.status, 303);
}

/// README, "Dashboard": a shared link opens with the view that was shared, of its site alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_link_keeps_the_view_and_shows_no_more() {
    let brine = Brine::start();
    brine.add_user("anna", &["--role", "admin"]);
    let mut anna = Tab::new();
    anna.sign_in(&brine, "anna", PASSWORD).await;
    let view = "period=7d&compare=year&f=is%2Cvisit%3Acountry%2CDK&sources=channel&lang=da";
    let page = anna.get(&brine, &format!("/d/portal?{view}")).await.text();
    let share = page.split("href=\"/links?").nth(1).expect("a way to share");
    let share = format!("/links?{}", share.split('"').next().unwrap()).replace("&#38;", "&");
    let form = anna.get(&brine, &share).await.text();
    assert!(form.contains("<option selected>portal</option>"), "{form}");
    let kept = form.split("name=\"view\" value=\"").nth(1).unwrap();
    let kept = kept.split('"').next().unwrap().replace("&#38;", "&");
    assert_eq!(kept, view);
    let fields = [
        ("do", "add"),
        ("name", "agency"),
        ("site", "portal"),
        ("days", "2"),
        ("view", &format!("{kept}&next=//elsewhere.example&site=ios")),
    ];
    let made = anna.fill(&brine, &share, "/links", &fields).await.text();
    let link = made.split("<code>").nth(1).unwrap();
    let link = link.split("</code>").next().unwrap().replace("&#38;", "&");
    let path = &link[link.find("/share/").unwrap()..];
    assert!(path.ends_with(&format!("?{view}")), "{path}");
    let mut guest = Tab::new();
    let opened = guest.get(&brine, path).await;
    assert_eq!(location(&opened), format!("/d/portal?{view}"));
    let shown = guest.get(&brine, location(&opened)).await;
    assert_eq!(shown.status, 200);
    // They may look, and not share.
    assert!(!shown.text().contains("/links?"));
    // Whatever is put behind it leads to its own site, and to a page of ours.
    for more in [
        "site=ios",
        "next=//elsewhere.example",
        "%0d%0aX: y",
        "f=[",
        "lang=xx&&=?",
    ] {
        let bare = path.split('?').next().unwrap();
        let opened = guest
            .get(&brine, &format!("{bare}?{}", more.replace(' ', "%20")))
            .await;
        assert_eq!(opened.status, 303, "{more}");
        let to = location(&opened);
        assert!(
            to == "/d/portal" || to.starts_with("/d/portal?f="),
            "{more}: {to}"
        );
    }
    assert_eq!(guest.get(&brine, "/d/ios").await.status, 303);
}

/// The page of the last half hour asks for itself anew while it lies open: that is one look, and no use of the session.
#[tokio::test]
async fn a_page_that_refreshes_itself_is_one_look_and_keeps_no_session_alive() {
    let brine = crate::support::Builder::new().clock(NOON).start();
    brine.add_user("anna", &["--role", "admin"]);
    let mut tab = Tab::new();
    tab.sign_in(&brine, "anna", PASSWORD).await;
    let mut refreshing = tab.clone();
    refreshing
        .headers
        .push(("brine-refresh".into(), "1".into()));
    for minute in [60, 300, 479] {
        brine.set_clock(NOON + minute * MINUTE);
        let shown = refreshing.get(&brine, "/d/portal?period=30m").await;
        assert_eq!(shown.status, 200, "{minute}");
    }
    brine.set_clock(NOON + 480 * MINUTE);
    assert_eq!(tab.get(&brine, "/d/portal").await.status, 303);
    // Of any other page it says nothing.
    tab.sign_in(&brine, "anna", PASSWORD).await;
    refreshing.cookies = tab.cookies.clone();
    for _ in 0..2 {
        let shown = refreshing.get(&brine, "/d/portal?period=7d").await;
        assert_eq!(shown.status, 200);
    }
    for (action, n) in [("realtime", 1), ("dashboard", 2)] {
        let rows = format!("SELECT count() FROM access_log WHERE action = '{action}'");
        brine.wait_for(&rows, n);
    }
}
