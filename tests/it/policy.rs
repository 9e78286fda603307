//! README, "The policy page": what is said is what is done, and a consent holds for what was said.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;

use crate::support::{Answer, Brine, Builder, PATIENCE};

impl Brine {
    async fn page(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let answer = self.request(Method::GET, path, headers, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer
    }

    async fn policy(&self, path: &str) -> Value {
        self.page(path, &[]).await.json()
    }

    /// Version and revision in force.
    async fn edition(&self, site: &str) -> (u64, u64) {
        let policy = self.policy(&format!("/policy.json?site={site}")).await;
        let number = |key: &str| policy[key].as_u64().expect("a number");
        (number("version"), number("revision"))
    }

    /// Changes the configuration file.
    fn rewrite(&self, changes: &[(&str, &str)]) {
        let path = self.directory.join("brine.toml");
        let mut text = std::fs::read_to_string(&path).expect("configuration");
        for (from, to) in changes {
            assert!(text.contains(from), "{from} is not in the configuration");
            text = text.replace(from, to);
        }
        std::fs::write(&path, text).expect("configuration is written");
    }

    /// Changes the file, reloads, and waits until `site` has the edition that is expected.
    async fn reload(&self, changes: &[(&str, &str)], site: &str, expected: (u64, u64)) {
        self.rewrite(changes);
        self.signal("HUP");
        let started = Instant::now();
        while self.edition(site).await != expected {
            assert!(
                started.elapsed() < PATIENCE,
                "{site} stays at {:?} instead of {expected:?}\n{}",
                self.edition(site).await,
                self.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn send(&self, site: &str, token: &str) -> Answer {
        let url = format!("https://{site}.example.test/a");
        self.event(&format!(
            r#"{{"n":"pageview","u":"{url}","d":"{site}","c":"{token}"}}"#
        ))
        .await
    }

    /// Runs `brine policy …` on the test's own configuration file.
    fn policy_command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_brine"))
            .arg("policy")
            .args(arguments)
            .arg("--config")
            .arg(self.directory.join("brine.toml"))
            .env("BRINE_DATA__DIRECTORY", self.data())
            .output()
            .expect("brine runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout);
        (output.status.code(), format!("{printed}{said}"))
    }
}

/// Text between the tags, entities undone as far as these tests need them.
fn words(answer: &Answer) -> String {
    let text = answer.text();
    let body = text.split_once("<body>").expect("a page").1;
    let tags = regex::Regex::new("<[^>]*>").expect("a pattern");
    let bare = tags.replace_all(body, " ");
    let bare = bare.replace("&#32;", " ").replace("&#39;", "'");
    bare.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn what_the_policy_says_is_what_is_configured() {
    let brine = Builder::new()
        .replace(
            "id = \"pernexus\"\n",
            "id = \"pernexus\"\nretention_days = 17\nrotation = \"week\"\nsalt_grace_minutes = 90\n\
             geo = \"city\"\nhonour_dnt = false\nquery_allow = [\"tab\"]\n\
             retention = { consents = 700, requests = 60 }\n",
        )
        .replace("countries = [\"DK\"]", "countries = [\"DK\", \"SE\"]")
        .append(
            "\n[[recipient]]\nname = \"Hostens <ApS>\"\ncountry = \"SE\"\n\
             task = { en = \"hosts the server\", da = \"driver serveren\" }\n",
        )
        .set("CONSENT__LEDGER_DAYS", "777")
        .set("CONSENT__LIFE_DAYS", "33")
        .set("QUERY__K", "8")
        .start();
    let en = words(&brine.page("/policy?site=pernexus&lang=en", &[]).await);
    for said in [
        "Saltholm Systemer A/S, CVR 00000000",
        "privatliv@example.test",
        "Pernexus pernexus.example.test country, region, city GPC search parameters kept: tab",
        "Pernexus every Monday at midnight (Europe/Copenhagen) 90 minutes",
        "Events Pernexus 17 days",
        "Consents and withdrawals all 700 days after the consent's last day",
        "That you used a right, and what was done all 60 days",
        "Numbers of refusals all 1825 days",
        "Cookie, 33 days",
        "Denmark and Sweden",
        "Hostens &#60;ApS&#62; hosts the server (processor, Sweden)",
        "fewer than 8 visitors",
        "GDPR Art. 6(1)(a)",
        "Datatilsynet, the Danish Data Protection Agency",
        "Version 1",
        "events.path",
    ] {
        assert!(en.contains(said), "{said} missing from:\n{en}");
    }
    // Of this site alone.
    assert!(!en.contains("Veriloc") && !en.contains("395 days"), "{en}");
    let da = words(
        &brine
            .page(
                "/policy?site=pernexus.example.test",
                &[("accept-language", "da-DK, en;q=0.7")],
            )
            .await,
    );
    for said in [
        "Pernexus natten til mandag (Europe/Copenhagen) 90 minutter",
        "Hændelser Pernexus 17 dage",
        "Hostens &#60;ApS&#62; driver serveren (databehandler, Sverige)",
        "Danmark og Sverige",
        "færre end 8 besøgende",
    ] {
        assert!(da.contains(said), "{said} missing from:\n{da}");
    }
    // And of all sites, in the order of the configuration; every one with its own page for the visitor's rights.
    let all = brine.page("/policy", &[]).await.text();
    for site in ["portal", "pernexus", "veriloc", "ios", "android", "windows"] {
        assert!(
            all.contains(&format!("/my-data?site={site}&#38;lang=en")),
            "{site}"
        );
    }
    let json = brine.policy("/policy.json?site=pernexus").await;
    assert_eq!(json["statement"]["sites"][0]["retention_days"], 17);
    assert_eq!(json["statement"]["ledger_days"], 700);
    assert_eq!(json["current"], true);
    // What a consent is given to is that version.
    let token = brine.consent("pernexus").await;
    brine.send("pernexus", &token).await.expect(202, "accepted");
}

#[tokio::test]
async fn a_material_change_lapses_old_consents_at_once_and_those_of_its_site_alone() {
    let brine = Brine::start();
    let (portal, veriloc) = (
        brine.consent("portal").await,
        brine.consent("veriloc").await,
    );
    brine.send("portal", &portal).await.expect(202, "accepted");
    let longer = ("retention_days = 395 ", "retention_days = 500 ");
    brine.reload(&[longer], "portal", (2, 0)).await;
    brine
        .send("portal", &portal)
        .await
        .expect(204, "consent.lapsed");
    brine
        .send("veriloc", &veriloc)
        .await
        .expect(202, "accepted");
    let status = brine.choose("portal", "status", Some(&portal)).await.json();
    assert_eq!(status["reason"], "consent.lapsed");
    assert_eq!(
        (&status["policy"], &status["current_policy"]),
        (&1.into(), &2.into())
    );
    // A page that still shows the former policy cannot get a consent to the new one by it.
    let stale = r#"{"site":"portal","choice":"grant","policy":1}"#;
    let headers = [
        ("origin", "https://portal.example.test"),
        ("content-type", "application/json"),
    ];
    let refused = brine
        .request(Method::POST, "/api/consent", &headers, stale)
        .await;
    refused.expect(409, "consent.lapsed");
    // Nor one that does not know its version, but how old it is; a page that was loaded since can.
    for (age, status, outcome) in [(3_600_000, 409, "consent.lapsed"), (0, 201, "accepted")] {
        let body = format!(r#"{{"site":"portal","choice":"grant","age":{age}}}"#);
        let path = "/api/consent";
        let answer = brine.request(Method::POST, path, &headers, &body).await;
        answer.expect(status, outcome);
    }
    let again = brine.consent("portal").await;
    brine.send("portal", &again).await.expect(202, "accepted");
    assert!(
        brine
            .log()
            .contains("consents given under earlier ones lapse")
    );
    // What concerns everybody lapses everybody's.
    let company = ("name = \"Saltholm Systemer A/S\"", "name = \"Andre A/S\"");
    brine.reload(&[company], "veriloc", (2, 0)).await;
    brine
        .send("veriloc", &veriloc)
        .await
        .expect(204, "consent.lapsed");
    brine
        .send("portal", &again)
        .await
        .expect(204, "consent.lapsed");
    // The ledger knows what was agreed to.
    brine.wait_for(
        "SELECT countIf(policy_version = 1) * 10 + countIf(policy_version = 2) FROM consents",
        22,
    );
}

#[tokio::test]
async fn a_cosmetic_change_or_a_new_site_lapses_no_consent() {
    let mut brine = Brine::start();
    let (portal, veriloc) = (
        brine.consent("portal").await,
        brine.consent("veriloc").await,
    );
    let milder = [
        ("phone = \"+45 00 00 00 00\"", "phone = \"+45 11 11 11 11\""),
        ("retention_days = 395 ", "retention_days = 90 "),
        (
            "exclude_paths = [\"/admin/**\"]",
            "exclude_paths = [\"/admin/**\", \"/me/**\"]",
        ),
    ];
    brine.reload(&milder, "portal", (1, 1)).await;
    let added = (
        "[[site]]\nid = \"ios\"",
        "[[site]]\nid = \"new\"\ndomains = [\"new.example.test\"]\n\n[[site]]\nid = \"ios\"",
    );
    brine.rewrite(&[added]);
    brine.signal("HUP");
    let started = Instant::now();
    while brine
        .request(Method::GET, "/policy?site=new", &[], "")
        .await
        .status
        != 200
    {
        assert!(started.elapsed() < PATIENCE, "{}", brine.log_tail());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(brine.edition("new").await, (1, 0));
    assert_eq!(brine.edition("veriloc").await, (1, 1));
    brine.send("portal", &portal).await.expect(202, "accepted");
    brine
        .send("veriloc", &veriloc)
        .await
        .expect(202, "accepted");
    assert!(words(&brine.page("/policy?site=portal", &[]).await).contains("Version 1.1"));
    // Nor does a restart.
    assert_eq!(brine.terminate(), Some(0));
    brine.restart();
    assert_eq!(brine.edition("portal").await, (1, 1));
    brine.send("portal", &portal).await.expect(202, "accepted");
}

#[tokio::test]
async fn every_version_stays_readable() {
    let mut brine = Brine::start();
    let first = brine.policy("/policy.json?site=portal").await;
    brine
        .reload(
            &[("retention_days = 395 ", "retention_days = 500 ")],
            "portal",
            (2, 0),
        )
        .await;
    brine
        .reload(
            &[("retention_days = 500 ", "retention_days = 400 ")],
            "portal",
            (2, 1),
        )
        .await;
    // Changed while it was down, and the site's consents now are a group's.
    assert_eq!(brine.terminate(), Some(0));
    brine.rewrite(&[
        ("geo = \"country\"", "geo = \"city\""),
        ("id = \"windows\"\n", "id = \"windows\"\ngroup = \"apps\"\n"),
    ]);
    brine.restart();
    assert_eq!(brine.edition("portal").await, (3, 0));
    for (version, days, place) in [
        ("1", "395 days", "country"),
        ("2.0", "500 days", "country"),
        ("2", "400 days", "country"),
        ("3", "400 days", "country, region, city"),
    ] {
        let page = brine
            .page(&format!("/policy/{version}?site=portal&lang=en"), &[])
            .await;
        let text = words(&page);
        assert!(
            text.contains(&format!("Events Saltholm Portal {days}")),
            "{version}: {text}"
        );
        assert!(
            text.contains(&format!("all sub-domains {place} GPC")),
            "{version}: {text}"
        );
        assert_eq!(
            text.contains("This is a former version."),
            version != "3",
            "{version}"
        );
    }
    let again = brine.policy("/policy/1.json?site=portal").await;
    assert_eq!(again["current"], false);
    for key in ["statement", "documents", "published", "version"] {
        assert_eq!(again[key], first[key], "{key}");
    }
    let listed = words(
        &brine
            .page("/policy/versions?site=portal&lang=en", &[])
            .await,
    );
    for said in [
        "Version 2.1",
        "How long events are kept, portal: 395 days → 500 days (goes further)",
        "How long events are kept, portal: 500 days → 400 days (goes less far)",
        "How closely a visit is placed, portal: country → city (goes further)",
        "Material: earlier consents lapsed",
    ] {
        assert!(listed.contains(said), "{said} missing from {listed}");
    }
    let danish = words(
        &brine
            .page("/policy/versions?site=portal&lang=da", &[])
            .await,
    );
    assert!(
        danish.contains("Hvor længe hændelser opbevares, portal: 395 dage → 500 dage (går videre)"),
        "{danish}"
    );
    // The site that joined a group has a new scope; what was said before is there under the old one.
    assert_eq!(
        brine.policy("/policy/1.json?scope=windows").await["current"],
        false
    );
    assert_eq!(brine.edition("windows").await, (1, 0));
    assert_eq!(
        brine.policy("/policy.json?site=windows").await["scope"],
        "group:apps"
    );
    for missing in [
        "/policy/4?site=portal",
        "/policy/1.9?site=portal",
        "/policy?site=nobody",
        "/policy/x",
        "/policyx",
    ] {
        let answer = brine.request(Method::GET, missing, &[], "").await;
        assert_eq!(answer.status, 404, "{missing}");
    }
    let missing = "/policy/4?site=portal&lang=da";
    let answer = brine.request(Method::GET, missing, &[], "").await;
    assert!(words(&answer).contains("Den politik findes ikke"));
}

/// A configuration that cannot be used publishes nothing, and consents stay as they were.
#[tokio::test]
async fn a_faulty_reload_publishes_nothing() {
    let brine = Brine::start();
    let token = brine.consent("portal").await;
    brine.rewrite(&[
        ("retention_days = 395 ", "retention_days = 500 "),
        (
            "exclude_paths = [\"/admin/**\"]",
            "exclude_paths = [\"admin/**\"]",
        ),
    ]);
    brine.signal("HUP");
    let started = Instant::now();
    while !brine.log().contains("configuration cannot be used") {
        assert!(started.elapsed() < PATIENCE, "{}", brine.log_tail());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(brine.edition("portal").await, (1, 0));
    brine.send("portal", &token).await.expect(202, "accepted");
}

#[tokio::test]
async fn the_page_needs_nothing_and_leaves_nothing() {
    let brine = Brine::start();
    let page = brine.page("/policy", &[]).await;
    let header = |answer: &Answer, name: &str| {
        answer
            .headers
            .get(name)
            .map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    };
    let policy = header(&page, "content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    let text = page.text();
    for absent in [
        "<script", "<img", "<link", " style=", " src=", "@import", "url(",
    ] {
        assert!(!text.contains(absent), "{absent}");
    }
    let mut names: Vec<&str> = page.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "cache-control",
            "content-language",
            "content-length",
            "content-security-policy",
            "content-type",
            "date",
            "etag",
            "referrer-policy",
            "vary",
            "x-content-type-options"
        ]
    );
    // A browser that has it is told so; another language is another page.
    let tag = header(&page, "etag");
    let again = [("if-none-match", tag.as_str())];
    let unchanged = brine.request(Method::GET, "/policy", &again, "").await;
    assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
    let danish = brine.page("/policy?lang=da", &again).await;
    assert_eq!(header(&danish, "content-language"), "da");
    assert!(danish.text().contains("<html lang=\"da\">"));
    // JSON is asked for by name or by header.
    let json = brine
        .page("/policy", &[("accept", "application/json")])
        .await;
    assert_eq!(json.json()["policies"].as_array().map(Vec::len), Some(6));
    let posted = brine.request(Method::POST, "/policy", &[], "").await;
    assert_eq!(posted.status, 405);
    // Reading is free, but not without bound.
    let one = Builder::new()
        .set("LIMITS__ADDRESS_PER_MINUTE", "1")
        .set("LIMITS__ADDRESS_BURST", "2")
        .start();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answer = one.request(Method::GET, "/policy", &[], "").await;
        seen.push(answer.status.as_u16());
    }
    assert_eq!(seen, [200, 200, 429]);
}

#[tokio::test]
async fn gpc_json_says_what_is_done() {
    let brine = Builder::new()
        .replace(
            "id = \"veriloc\"\n",
            "id = \"veriloc\"\nhonour_gpc = false\n",
        )
        .start();
    let today = brine.policy("/policy.json?site=portal").await["published"].clone();
    let today = today
        .as_str()
        .unwrap()
        .split('T')
        .next()
        .unwrap()
        .to_owned();
    for (host, expected) in [
        ("portal.example.test", true),
        ("a.portal.example.test:443", true),
        ("veriloc.example.test", false),
        // The collector's own name: it speaks for all of them.
        ("stats.example.test", false),
    ] {
        let answer = brine.page("/.well-known/gpc.json", &[("host", host)]).await;
        assert_eq!(answer.headers["content-type"], "application/json");
        let expected = serde_json::json!({ "gpc": expected, "lastUpdate": today });
        assert_eq!(answer.json(), expected, "{host}");
    }
}

#[tokio::test]
async fn the_command_line_tells_what_a_change_means_before_it_is_made() {
    let brine = Brine::start();
    let planned = brine.directory.join("planned.toml");
    let current = brine.directory.join("brine.toml");
    let text = std::fs::read_to_string(&current).unwrap();
    let diff = |changes: &[(&str, &str)]| {
        let changed = changes
            .iter()
            .fold(text.clone(), |text, (from, to)| text.replace(from, to));
        std::fs::write(&planned, changed).unwrap();
        brine.policy_command(&["diff", current.to_str().unwrap(), planned.to_str().unwrap()])
    };
    assert_eq!(
        diff(&[]),
        (Some(0), "no difference in what is promised\n".to_owned())
    );
    assert_eq!(
        diff(&[("group_records = 48", "group_records = 49")]).0,
        Some(0)
    );
    let (code, said) = diff(&[("phone = \"+45 00", "phone = \"+45 99")]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("veriloc: cosmetic, consents stay good"),
        "{said}"
    );
    let (code, said) = diff(&[("retention_days = 395 ", "retention_days = 396 ")]);
    assert_eq!(code, Some(4), "{said}");
    let line = "material  How long events are kept, portal: 395 days → 396 days (goes further) [site[portal].retention_days]";
    assert!(said.contains(line) && !said.contains("veriloc"), "{said}");
    // By hand, and by another name: all that was said yes to is over.
    let (code, said) = diff(&[("version = 1 ", "version = 9 ")]);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("veriloc: material, consents lapse"), "{said}");
    let (code, said) = diff(&[(
        "id = \"veriloc\"",
        "id = \"veriloc\"\ngroup = \"corporate\"",
    )]);
    assert_eq!(code, Some(4), "{said}");
    assert!(
        said.contains("veriloc: gone; nothing is measured under this name")
            && !said.contains("no difference"),
        "{said}"
    );
    assert_eq!(
        diff(&[("retention_days = 395 ", "retention_days = nonsense ")]).0,
        Some(1)
    );
    // Of what is published.
    let (code, said) = brine.policy_command(&["show", "--site", "portal", "--lang", "da"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("portal: published as version 1.0") && said.contains("## Kort fortalt"),
        "{said}"
    );
    brine
        .reload(
            &[("retention_days = 395 ", "retention_days = 396 ")],
            "portal",
            (2, 0),
        )
        .await;
    let (code, said) = brine.policy_command(&["diff", "1", "2", "--site", "portal"]);
    assert_eq!(code, Some(4), "{said}");
    let (code, said) = brine.policy_command(&["versions", "--site", "portal"]);
    assert!(
        code == Some(0) && said.contains("2.0") && said.contains("396 days"),
        "{said}"
    );
    brine.rewrite(&[("geo = \"country\"", "geo = \"none\"")]);
    let (_, said) = brine.policy_command(&["show", "--site", "portal"]);
    assert!(
        said.contains("portal: differs from version 2.0; will be version 2.1"),
        "{said}"
    );
    // GDPR Art. 30(1), (a) to (g).
    let (code, said) = brine.policy_command(&["record"]);
    assert_eq!(code, Some(0), "{said}");
    for letter in ["(a)", "(b)", "(c)", "(d)", "(e)", "(f)", "(g)"] {
        assert!(
            said.contains(&format!("\n## {letter} ")),
            "{letter}: {said}"
        );
    }
    assert!(
        said.contains("396 days")
            && said.contains("events.visitor")
            && said.contains("disk is encrypted"),
        "{said}"
    );
    let (_, said) = brine.policy_command(&["record", "--format", "json", "--lang", "da"]);
    let json: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(json["sections"].as_array().map(Vec::len), Some(7));
}

/// `config check` names what the policy would leave out, and the page does not hide it either.
#[tokio::test]
async fn an_incomplete_policy_is_said_to_be_incomplete() {
    let brine = Builder::new()
        .replace("name = \"Saltholm Systemer A/S\"", "name = \"\"")
        .replace("countries = [\"DK\"]", "countries = []")
        .start();
    assert!(brine.log().contains("the policy is incomplete"));
    let text = words(&brine.page("/policy?lang=en", &[]).await);
    assert!(
        text.contains("Controller not stated: the operator of this site has not filled it in yet"),
        "{text}"
    );
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_brine"))
        .args(["config", "check", "--config"])
        .arg(brine.directory.join("brine.toml"))
        .output()
        .expect("brine runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("warning: controller.name") && said.contains("warning: processing.countries"),
        "{said}"
    );
}

/// A lost archive numbers from the floor: raised above what was used, no old consent is good for new content.
#[tokio::test]
async fn a_lost_archive_needs_a_raised_floor_and_then_no_old_consent_holds() {
    let keep = tempfile::tempdir().unwrap();
    let mut brine = Builder::new()
        .set(
            "CONSENT__KEY_FILE",
            keep.path().join("consent.key").to_str().unwrap(),
        )
        .start();
    let first = brine.consent("portal").await;
    brine
        .reload(
            &[("retention_days = 395 ", "retention_days = 500 ")],
            "portal",
            (2, 0),
        )
        .await;
    let second = brine.consent("portal").await;
    assert_eq!(brine.terminate(), Some(0));
    std::fs::remove_dir_all(brine.data().join("policy")).unwrap();
    brine.rewrite(&[("version = 1 ", "version = 3 ")]);
    brine.restart();
    assert_eq!(brine.edition("portal").await, (3, 0));
    for old in [&first, &second] {
        brine
            .send("portal", old)
            .await
            .expect(204, "consent.lapsed");
    }
}

/// Collectors that share consents share the archive: they give a content the same number, and each judges by what
/// it itself does.
#[tokio::test]
async fn collectors_with_one_archive_agree_on_versions() {
    let shared = tempfile::tempdir().unwrap();
    let start = || {
        let path = |name: &str| shared.path().join(name).to_str().unwrap().to_owned();
        Builder::new()
            .set("CONSENT__KEY_FILE", &path("consent.key"))
            .set("POLICY__DIRECTORY", &path("policy"))
            .start()
    };
    let (one, two) = (start(), start());
    let longer = ("retention_days = 395 ", "retention_days = 500 ");
    let old = one.consent("portal").await;
    two.send("portal", &old).await.expect(202, "accepted");
    one.reload(&[longer], "portal", (2, 0)).await;
    let new = one.consent("portal").await;
    // The other one still keeps what it said: the old consent is good there, and one to more is not.
    two.send("portal", &old).await.expect(202, "accepted");
    two.send("portal", &new).await.expect(204, "consent.lapsed");
    two.reload(&[longer], "portal", (2, 0)).await;
    two.send("portal", &new).await.expect(202, "accepted");
    two.send("portal", &old).await.expect(204, "consent.lapsed");
    // One of them published it, both show it.
    assert_eq!(
        one.policy("/policy/2.json?site=portal").await,
        two.policy("/policy/2.json?site=portal").await
    );
}
