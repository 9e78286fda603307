//! README, "Dashboard": what people read where there is nothing to show yet, and where they are refused.

use hyper::Method;

use crate::support::tab::{PASSWORD, Tab, proof};
use crate::support::{Answer, Brine, Builder};

/// As a browser that opens a page.
async fn open(brine: &Brine, path: &str, language: &str) -> Answer {
    let headers = [
        ("accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
        ("accept-language", language),
    ];
    brine
        .try_request(brine.admin, Method::GET, path, &headers, "")
        .await
        .unwrap()
}

/// Each says what it would show and how its first line is made; once there is one, it says that no more.
#[tokio::test]
async fn an_empty_list_says_what_it_is_for_in_both_languages() {
    let brine = Builder::new().set("ACCESS__MODE", "open").start();
    let said: &[(&str, &[(&str, &str)])] = &[
        ("/users", &[("No users yet.", "Ingen brugere endnu.")]),
        ("/keys", &[("No keys yet.", "Ingen nøgler endnu.")]),
        (
            "/links",
            &[("No shared links yet.", "Ingen delte links endnu.")],
        ),
        (
            "/d/portal",
            &[
                ("No segments yet.", "Ingen segmenter endnu."),
                ("No notes yet.", "Ingen noter endnu."),
                ("No funnel yet.", "Ingen tragt endnu."),
                ("Nobody has chosen in this period.", "Ingen har valgt"),
                ("No page was seen", "Ingen side er set"),
                ("No goal was reached", "Intet mål er nået"),
                ("No beacon of this site has come", "Ingen måling fra"),
            ],
        ),
        (
            "/d/portal/events?events=revenue",
            &[("No revenue in this period.", "Ingen omsætning")],
        ),
        (
            "/d/portal/pages?f=is,event:page,/a",
            &[("under these filters", "under disse filtre")],
        ),
    ];
    for (path, words) in said {
        let (en, da) = (
            open(&brine, path, "en").await.text(),
            open(&brine, path, "da").await.text(),
        );
        for (english, danish) in *words {
            assert!(en.contains(english), "{path}, {english}: {en}");
            assert!(da.contains(danish), "{path}, {danish}: {da}");
        }
    }
    brine.told(&["links", "add", "agency", "--site", "portal"]);
    let links = open(&brine, "/links", "en").await.text();
    assert!(
        links.contains("agency") && !links.contains("No shared links yet."),
        "{links}"
    );
}

/// One request that is refused, and what its page must lead to.
struct Refused<'a> {
    method: Method,
    path: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: String,
    status: u16,
    next: &'a str,
    danish: &'a str,
}

impl<'a> Refused<'a> {
    fn get(path: &'a str, status: u16, next: &'a str, danish: &'a str) -> Refused<'a> {
        Refused {
            method: Method::GET,
            path,
            headers: Vec::new(),
            body: String::new(),
            status,
            next,
            danish,
        }
    }

    fn post(path: &'a str, body: &str, status: u16, next: &'a str, danish: &'a str) -> Refused<'a> {
        Refused {
            method: Method::POST,
            headers: vec![
                ("content-type", "application/x-www-form-urlencoded"),
                ("sec-fetch-site", "same-origin"),
            ],
            body: body.to_owned(),
            ..Refused::get(path, status, next, danish)
        }
    }

    fn with(mut self, name: &'a str, value: &'a str) -> Refused<'a> {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value));
        self
    }

    async fn send(&self, brine: &Brine, more: &[(&str, &str)]) -> Answer {
        let headers = [&self.headers[..], more].concat();
        brine
            .try_request(
                brine.admin,
                self.method.clone(),
                self.path,
                &headers,
                &self.body,
            )
            .await
            .unwrap()
    }

    /// A page in the reader's language with a next step for a browser; a problem for everything else.
    async fn check(&self, brine: &Brine) {
        let browser = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        let (en, da) = (("accept-language", "en"), ("accept-language", "da"));
        let said = format!("{} {} {:?}", self.method, self.path, self.headers);
        for (language, word) in [(en, "<html lang=\"en\">"), (da, self.danish)] {
            let page = self.send(brine, &[browser, language]).await;
            let text = page.text();
            assert_eq!(page.status, self.status, "{said}: {text}");
            assert_eq!(
                page.headers["content-type"], "text/html; charset=utf-8",
                "{said}: {text}"
            );
            assert_eq!(page.headers["content-language"], language.1, "{said}");
            let policy = page.headers["content-security-policy"].to_str().unwrap();
            assert!(
                policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
                "{policy}"
            );
            assert!(text.contains(word), "{said}: {text}");
            let next = match self.next {
                "" => "access.url".to_owned(),
                next => format!("<a href=\"{next}\">"),
            };
            assert!(text.contains(&next), "{said}: {text}");
            // Its style is there, whatever name it came by.
            let style = ["/access.css", "/static/dashboard-"];
            assert!(
                style.iter().any(|style| text.contains(style)),
                "{said}: {text}"
            );
        }
        for accept in [
            &[][..],
            &[("accept", "*/*")],
            &[("accept", "application/json")],
        ] {
            let problem = self.send(brine, accept).await;
            assert_eq!(problem.status, self.status, "{said}");
            assert_eq!(
                problem.headers["content-type"], "application/problem+json",
                "{said}"
            );
            assert_eq!(problem.json()["status"], self.status, "{said}");
        }
        // A script that fetches goes there itself.
        let fetched = [browser, ("sec-fetch-mode", "cors")];
        let answer = self.send(brine, &fetched).await;
        let is_lost_page = answer.text().contains("/static/dashboard-");
        assert!(
            is_lost_page || answer.headers["content-type"] == "application/problem+json",
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_page_for_people_and_a_problem_for_programs() {
    let brine = Brine::start();
    brine.add_user("bo", &["--site", "portal"]);
    let long = "a".repeat(20_000);
    for refused in [
        Refused::get("/login", 421, "", "kendes ikke under navnet").with("host", "evil.test"),
        Refused::get("/d/portal", 421, "", "Ikke under dette navn").with("host", "evil.test"),
        Refused::get("/logout", 405, "/account", "Kun til formularer"),
        Refused::post("/users", "do=add", 401, "/login", "Du er ikke logget ind"),
        Refused::post(
            "/d/portal/marks",
            "kind=note",
            401,
            "/login",
            "log ind, og gør det igen",
        ),
        Refused::post("/login", "name=bo", 403, "/login", "fra en af brines sider")
            .with("sec-fetch-site", "cross-site"),
        Refused::post("/login", &long, 413, "/login", "For meget"),
        Refused::post("/login", "name=bo", 415, "/login", "Ikke forstået")
            .with("content-type", "text/plain"),
    ] {
        refused.check(&brine).await;
    }
    let style = [("host", "evil.test")];
    let style = brine
        .try_request(brine.admin, Method::GET, "/access.css", &style, "")
        .await
        .unwrap();
    assert_eq!(style.status, 200);

    let mut bo = Tab::new();
    bo.sign_in(&brine, "bo", PASSWORD).await;
    let cookie = format!("brine_session={}", bo.cookies["brine_session"]);
    let form = proof(&bo.get(&brine, "/account").await.text());
    let (note, nowhere) = (
        format!("form={form}&kind=note&name="),
        format!("form={form}&kind=note&name=x"),
    );
    for refused in [
        Refused::get("/users", 404, "/", "Siden findes ikke"),
        Refused::get("/d/veriloc", 404, "/", "Siden findes ikke"),
        Refused::get("/nothing?lang=da", 404, "/", "Siden findes ikke"),
        Refused::get(
            "/d/portal/pages.csv?f=is,event:nothing,x",
            400,
            "/d/portal",
            "Ikke forstået",
        ),
        Refused::post(
            "/account",
            "do=password",
            403,
            "/account",
            "fra en tidligere session",
        ),
        Refused::post(
            "/logout",
            "form=x",
            403,
            "/account",
            "fra en tidligere session",
        ),
        Refused::post(
            "/d/portal/marks",
            "kind=note&name=x",
            403,
            "/d/portal",
            "fra en tidligere session",
        ),
        Refused::post(
            "/d/portal/marks",
            &note,
            400,
            "/d/portal",
            "skal have et navn",
        ),
        Refused::post("/d/veriloc/marks", &nowhere, 404, "/", "Siden findes ikke"),
        Refused::post(
            "/d/portal/marks",
            &note,
            403,
            "/d/portal",
            "fra en af brines sider",
        )
        .with("sec-fetch-site", "cross-site"),
    ] {
        // Its own way of saying who it is; a page asked for in a language by name is in that one.
        let refused = refused.with("cookie", &cookie);
        if refused.path.contains("lang=") {
            let answer = refused.send(&brine, &[("accept", "text/html")]).await;
            assert!(answer.text().contains(refused.danish), "{}", answer.text());
            continue;
        }
        refused.check(&brine).await;
    }
    // Programs are not people, whatever they say they accept.
    let answer = Refused::get("/api/v1/query", 405, "", "").with("cookie", &cookie);
    let answer = answer.send(&brine, &[("accept", "text/html")]).await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.headers["allow"], "POST");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_come_by_the_proxy_is_told_to() {
    let brine = Builder::new()
        .set("ACCESS__MODE", "proxy")
        .set("ACCESS__URL", "https://stats.example.test")
        .start();
    Refused::get("/d/portal", 403, "/d/portal", "gennem den proxy")
        .check(&brine)
        .await;
}

/// Chosen on a page of who may look or on the dashboard, a language goes along to the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_language_chosen_by_name_goes_along() {
    let brine = Brine::start();
    brine.add_user("bo", &["--site", "portal"]);
    let mut bo = Tab::new();
    bo.headers.push(("accept-language".into(), "en".into()));
    bo.sign_in(&brine, "bo", PASSWORD).await;
    let dashboard = async |bo: &mut Tab, path: &str| bo.get(&brine, path).await.text();
    let english = dashboard(&mut bo, "/d/portal").await;
    assert!(
        english.contains("<html lang=\"en\">") && english.contains("href=\"/account\""),
        "{english}"
    );
    let danish = dashboard(&mut bo, "/d/portal?lang=da").await;
    assert!(danish.contains("href=\"/account?lang=da\""), "{danish}");
    bo.get(&brine, "/account?lang=da").await;
    let kept = dashboard(&mut bo, "/d/portal").await;
    assert!(kept.contains("<html lang=\"da\">"), "{kept}");
    // What is said in Danish is marked as Danish to the end.
    let meaning = dashboard(&mut bo, "/meaning").await;
    assert!(
        meaning.contains("<h1>Hvad tallene betyder</h1>")
            && !meaning.contains("<article class=\"text\" lang"),
        "{meaning}"
    );
}

/// What each page's style begins with.
const GROUND: &str = include_str!("../../dashboards/web/ground.css");

/// A colour is changed at one place: every page carries the same ground, served by the listener that it is on, and no
/// page's own style has a colour of its own.
#[tokio::test]
async fn every_page_stands_on_the_same_ground() {
    let brine = Brine::start();
    let admin = async |path: &str| {
        let answer = brine.admin(Method::GET, path, &[], "").await;
        assert_eq!(answer.status, 200, "{path}");
        answer.text()
    };
    let dashboard = admin("/meaning").await;
    let at = dashboard.find("/static/dashboard-").unwrap();
    let path = dashboard[at..].split('"').next().unwrap();
    let public = async |path: &str| {
        let answer = brine.request(Method::GET, path, &[], "").await;
        assert_eq!(answer.status, 200, "{path}");
        answer.text()
    };
    let policy = public("/policy").await;
    let inline = policy.split_once("<style>").unwrap().1;
    let demo = brine::demo::file("/demo.css").unwrap().into_body();
    let demo = http_body_util::BodyExt::collect(demo)
        .await
        .unwrap()
        .to_bytes();
    for (name, style) in [
        ("dashboard", admin(path).await),
        ("access", admin("/access.css").await),
        (
            "policy",
            inline.split_once("</style>").unwrap().0.to_owned(),
        ),
        ("my-data", public("/my-data.css").await),
        ("demo", String::from_utf8_lossy(&demo).into_owned()),
    ] {
        let own = style.strip_prefix(GROUND);
        let own = own.unwrap_or_else(|| panic!("{name} has another ground: {style}"));
        let is_shade = |colour: &str| matches!(colour, "#0003" | "#0008");
        for word in own.split([' ', ';', '(', ')', ',']) {
            let digits = word.strip_prefix('#').unwrap_or_default();
            let is_colour = digits.len() >= 3 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(!is_colour || is_shade(word), "{name}: {word}");
        }
        assert!(
            !own.contains("light-dark") && !own.contains("rgb("),
            "{name}"
        );
    }
}
