use std::path::PathBuf;

use super::*;

fn data(name: &str) -> Option<PathBuf> {
    crate::enrich::data_file::test_data(name)
}

#[derive(Deserialize)]
struct Crawler {
    instances: Vec<String>,
}

fn crawlers() -> Option<Vec<String>> {
    let text = data_file::text(&data("ua/crawler-user-agents.json")?).unwrap();
    let list: Vec<Crawler> = serde_json::from_str(&text).unwrap();
    Some(
        list.into_iter()
            .flat_map(|crawler| crawler.instances)
            .collect(),
    )
}

#[test]
fn machines_are_known_by_their_kind() {
    let bots = Bots::new(None).unwrap();
    for (user_agent, expected) in [
        ("", BotReason::Empty),
        (" - ", BotReason::Empty),
        (
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            BotReason::Crawler,
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/131.0.0.0 Safari/537.36",
            BotReason::Headless,
        ),
        ("curl/8.5.0", BotReason::Library),
        ("python-requests/2.32", BotReason::Library),
        ("Go-http-client/2.0", BotReason::Library),
        ("Java/17.0.1", BotReason::Library),
        ("okhttp/4.12.0", BotReason::AppLibrary),
        (
            "Portal/71 CFNetwork/1490.0.4 Darwin/23.2.0",
            BotReason::AppLibrary,
        ),
        ("Dart/3.2 (dart:io)", BotReason::AppLibrary),
        ("facebookexternalhit/1.1", BotReason::Preview),
        ("UptimeRobot/2.0", BotReason::Monitor),
        ("Feedbin - 1 subscribers", BotReason::Feed),
    ] {
        assert_eq!(bots.check(user_agent), Some(expected), "{user_agent}");
    }
}

/// Devices and apps that other filters have thrown away.
#[test]
fn people_are_not_machines() {
    let list = data("ua/crawler-user-agents.json");
    for bots in [
        Bots::new(None).unwrap(),
        Bots::new(list.as_deref()).unwrap(),
    ] {
        for user_agent in [
            "Mozilla/5.0 (Linux; Android 15; CPH2645 Build/AP3A.240617.008; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/131.0.6778.39 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 12; CUBOT) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/535.11 (KHTML, like Gecko) Chrome/17.0.963.84 Safari/535.11 SE 2.X MetaSr 1.0 Sogou",
            "WhatsApp/2.23.20.0 A",
            "Mozilla/5.0 (Linux; Android 4.2.2; ViewSonic VB100a Pro) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/40.0.2214.109 Safari/537.36",
            "Podimo/2.45.0 (iPhone; iOS 17.1)",
            "Mozilla/5.0 (Linux; Android 4.4.2; HTC Butterfly S) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/45.0.2454.94 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 10; FEVER) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/100.0.0.0 Mobile Safari/537.36",
            "PortalApp/3.2 (iOS 17.4; iPhone)",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
        ] {
            assert_eq!(bots.check(user_agent), None, "{user_agent}");
        }
    }
}

#[test]
fn most_published_crawlers_are_known_without_the_list() {
    let Some(crawlers) = crawlers() else { return };
    let bots = Bots::new(None).unwrap();
    let missed: Vec<_> = crawlers
        .iter()
        .filter(|ua| bots.check(ua).is_none())
        .collect();
    println!(
        "own words: {} of {} crawlers",
        crawlers.len() - missed.len(),
        crawlers.len()
    );
    if std::env::var_os("BRINE_TEST_VERBOSE").is_some() {
        missed.iter().for_each(|ua| println!("missed: {ua}"));
    }
    assert!(
        crawlers.len() - missed.len() >= 1_840,
        "{} missed",
        missed.len()
    );
}

#[test]
fn the_list_finds_the_rest_but_for_its_exceptions() {
    let Some(crawlers) = crawlers() else { return };
    let bots = Bots::new(data("ua/crawler-user-agents.json").as_deref()).unwrap();
    let hits = crawlers
        .iter()
        .filter(|ua| bots.check(ua).is_some())
        .count();
    println!("own words and list: {hits} of {} crawlers", crawlers.len());
    assert!(hits >= 2_085, "{hits}");
}

#[derive(Deserialize)]
struct Cases {
    test_cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    user_agent_string: String,
    family: Option<String>,
}

/// Everything the reference calls by the name of a browser is a person's, but for seven machines that
/// it names so: link previews, two MSIECrawler, two spiders and Pinterest's fetcher.
#[test]
fn browsers_of_the_reference_corpus_are_not_machines() {
    const MISNAMED: usize = 7;
    let Some(path) = data("ua/uap-core-test_ua.yaml") else {
        return;
    };
    let browsers = [
        "Chrome",
        "Firefox",
        "Safari",
        "Edge",
        "Opera",
        "IE",
        "Samsung Internet",
        "Brave",
        "Vivaldi",
        "UC Browser",
        "QQ Browser",
        "Android",
        "Facebook",
        "Instagram",
        "Pinterest",
        "Puffin",
        "Whale",
        "Yandex Browser",
        "Silk",
        "WeChat",
        "Dolphin",
        "Maxthon",
        "Konqueror",
        "Epiphany",
    ];
    let cases = data_file::yaml::<Cases>(&path).unwrap().test_cases;
    let is_person = |family: &str| {
        browsers.iter().any(|browser| family.contains(browser))
            && !family.contains("Headless")
            && !family.contains("bot")
    };
    let people: Vec<_> = cases
        .iter()
        .filter(|case| case.family.as_deref().is_some_and(is_person))
        .collect();
    let list = data("ua/crawler-user-agents.json");
    for (name, bots) in [
        ("own words", Bots::new(None).unwrap()),
        ("own words and list", Bots::new(list.as_deref()).unwrap()),
    ] {
        let wrong: Vec<_> = people
            .iter()
            .map(|case| &case.user_agent_string)
            .filter_map(|ua| bots.check(ua).map(|why| (why, ua)))
            .filter(|(why, _)| *why != BotReason::AppLibrary)
            .collect();
        println!(
            "{name}: {} of {} browsers called machines",
            wrong.len(),
            people.len()
        );
        assert!(people.len() > 250 && wrong.len() <= MISNAMED, "{wrong:#?}");
    }
}

#[test]
fn a_damaged_list_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("crawlers.json");
    for content in ["{}", "[{\"pattern\": \"(\"}]", "[{\"url\": \"x\"}]"] {
        std::fs::write(&path, content).unwrap();
        let error = Bots::new(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("crawlers.json"), "{error}");
    }
}

#[test]
fn reason_names_are_distinct() {
    let mut names = BotReason::ALL.map(BotReason::name);
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
}
