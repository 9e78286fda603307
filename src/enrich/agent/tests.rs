use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::enrich::data_file::{self, test_data};

fn agents() -> Agents {
    Agents::new(None, Bots::new(None).unwrap()).unwrap()
}

fn hints<'a>(brands: &'a str, mobile: &'a str, platform: &'a str) -> Hints<'a> {
    Hints {
        brands,
        mobile,
        platform,
    }
}

const WIN_CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
const LINUX_CHROME: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
const MAC_SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15";

#[test]
fn common_user_agents_are_read() {
    use Browser as B;
    use Device as D;
    let agents = agents();
    for (user_agent, browser, os, device) in [
        (WIN_CHROME, (B::Chrome, 131), (Os::Windows, 10), D::Desktop),
        (MAC_SAFARI, (B::Safari, 18), (Os::MacOs, 10), D::Desktop),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1",
            (B::Safari, 17),
            (Os::Ios, 17),
            D::Mobile,
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1",
            (B::Chrome, 131),
            (Os::Ios, 17),
            D::Mobile,
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
            (B::WebView, 0),
            (Os::Ios, 17),
            D::Mobile,
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36",
            (B::Samsung, 27),
            (Os::Android, 10),
            D::Mobile,
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
            (B::Chrome, 131),
            (Os::Android, 10),
            D::Tablet,
        ),
        (
            "Mozilla/5.0 (Android 14; Mobile; rv:133.0) Gecko/133.0 Firefox/133.0",
            (B::Firefox, 133),
            (Os::Android, 14),
            D::Mobile,
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
            (B::Edge, 131),
            (Os::Windows, 10),
            D::Desktop,
        ),
        (
            "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
            (B::Chrome, 131),
            (Os::ChromeOs, 0),
            D::Desktop,
        ),
        (
            "Mozilla/5.0 (Windows NT 6.3; Trident/7.0; rv:11.0) like Gecko",
            (B::InternetExplorer, 11),
            (Os::Windows, 8),
            D::Desktop,
        ),
        (
            "Mozilla/5.0 (PlayStation; PlayStation 5/6.00) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15",
            (B::Other, 0),
            (Os::Other, 0),
            D::Console,
        ),
        (
            "PortalApp/3.2 (iOS 17.4; iPhone)",
            (B::App, 3),
            (Os::Ios, 17),
            D::Mobile,
        ),
        (
            "PortalApp/3.2 (Android 14; Pixel 8)",
            (B::App, 3),
            (Os::Android, 14),
            D::Mobile,
        ),
        (
            "PortalApp/3.2 (Windows NT 10.0; x64)",
            (B::App, 3),
            (Os::Windows, 10),
            D::Desktop,
        ),
        (
            "Portal/71 CFNetwork/1490.0.4 Darwin/23.2.0",
            (B::App, 71),
            (Os::Ios, 17),
            D::Mobile,
        ),
        ("okhttp/4.12.0", (B::App, 4), (Os::Android, 0), D::Mobile),
        ("", (B::Other, 0), (Os::Other, 0), D::Other),
    ] {
        let agent = agents.parse(user_agent, Hints::default());
        let read = (
            (agent.browser, agent.browser_version),
            (agent.os, agent.os_version),
            agent.device,
        );
        assert_eq!(read, (browser, os, device), "{user_agent}");
        assert_eq!(
            agents.parse(user_agent, Hints::default()),
            agent,
            "from the cache"
        );
    }
}

#[test]
fn hints_tell_what_user_agents_hide() {
    let agents = agents();
    let brave = r#""Brave";v="131", "Chromium";v="131", "Not_A Brand";v="24""#;
    let agent = agents.parse(WIN_CHROME, hints(brave, "?0", "\"Windows\""));
    assert_eq!(
        (agent.browser, agent.browser_version, agent.os_version),
        (Browser::Brave, 131, 10)
    );
    let opera = r#""Chromium";v="130", "Opera";v="115", "Not?A_Brand";v="99""#;
    let agent = agents.parse(WIN_CHROME, hints(opera, "?0", "\"Windows\""));
    assert_eq!(
        (agent.browser, agent.browser_version),
        (Browser::Opera, 115)
    );
    let chrome = r#""Not;A=Brand";v="8", "Chromium";v="132", "Google Chrome";v="132""#;
    let agent = agents.parse(LINUX_CHROME, hints(chrome, "?0", "\"Chrome OS\""));
    assert_eq!(
        (agent.browser_version, agent.os, agent.device),
        (132, Os::ChromeOs, Device::Desktop)
    );
    let agent = agents.parse(LINUX_CHROME, hints(chrome, "?0", "\"Android\""));
    assert_eq!((agent.os, agent.device), (Os::Android, Device::Tablet));
    let agent = agents.parse(LINUX_CHROME, hints(chrome, "?1", "\"Android\""));
    assert_eq!((agent.os, agent.device), (Os::Android, Device::Mobile));
    let agent = agents.parse(
        LINUX_CHROME,
        hints(r#""HeadlessChrome";v="131""#, "?0", "\"Linux\""),
    );
    assert_eq!(agent.bot, Some(BotReason::Headless));
    for broken in [
        "\"",
        "\"\"",
        "\"Brave\"",
        "Brave;v=1",
        "\"Brave\";v=\"x\"",
        ",,,",
    ] {
        let agent = agents.parse(WIN_CHROME, hints(broken, "?2", "\""));
        assert_eq!(agent.os, Os::Windows, "{broken}");
    }
}

#[test]
fn an_ipad_is_told_from_a_mac_by_its_width_only() {
    let mac = agents().parse(MAC_SAFARI, Hints::default());
    assert_eq!(mac.with_viewport(Some(820)).device, Device::Tablet);
    assert_eq!(mac.with_viewport(Some(820)).os, Os::Ios);
    assert_eq!(mac.with_viewport(Some(1_440)), mac);
    assert_eq!(mac.with_viewport(None), mac);
    let chrome = agents().parse(WIN_CHROME, Hints::default());
    assert_eq!(chrome.with_viewport(Some(820)), chrome);
}

#[test]
fn long_and_foreign_user_agents_are_survived() {
    let agents = agents();
    let long = format!("{WIN_CHROME}{}", "æ".repeat(2_000));
    assert_eq!(
        agents.parse(&long, Hints::default()).browser,
        Browser::Chrome
    );
    let brands = "æ".repeat(500);
    assert_eq!(
        agents
            .parse(WIN_CHROME, hints(&brands, &brands, &brands))
            .os,
        Os::Windows
    );
}

#[test]
fn names_are_distinct() {
    let mut names: Vec<_> = Browser::ALL.iter().map(|b| b.name()).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(Browser::from_name("Mobile Safari"), Browser::Safari);
    assert_eq!(Os::from_name("Mac OS X"), Os::MacOs);
    assert_eq!(Device::from_name("TV"), Device::Tv);
}

#[derive(Deserialize)]
struct Cases {
    test_cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    user_agent_string: String,
    family: Option<String>,
    major: Option<String>,
}

/// Counts agreement over `(expected, read)` pairs and shows the commonest disagreements.
fn agreement(what: &str, pairs: impl Iterator<Item = (String, String, String)>) -> f64 {
    let (mut n, mut agree) = (0, 0);
    let mut wrong: BTreeMap<(String, String), (usize, String)> = BTreeMap::new();
    for (expected, read, user_agent) in pairs {
        n += 1;
        if expected == read {
            agree += 1;
        } else {
            wrong.entry((expected, read)).or_insert((0, user_agent)).0 += 1;
        }
    }
    let rate = agree as f64 / n as f64;
    println!("{what}: {agree} of {n} agree, {:.1} %", rate * 100.0);
    if std::env::var_os("BRINE_TEST_VERBOSE").is_some() {
        let mut rows: Vec<_> = wrong.into_iter().collect();
        rows.sort_by_key(|(_, (count, _))| usize::MAX - count);
        for ((expected, read), (count, example)) in rows.into_iter().take(40) {
            println!("  {count} x expected {expected}, read {read}: {example}");
        }
    }
    rate
}

/// Of the reference's own cases, those of families in our set: the rest has hundreds of bots and apps
/// that we call Other on purpose.
#[test]
fn browsers_of_the_reference_corpus_are_read_as_it_reads_them() {
    let Some(path) = test_data("ua/uap-core-test_ua.yaml") else {
        return;
    };
    let cases = data_file::yaml::<Cases>(&path).unwrap().test_cases;
    let known = |case: &Case| {
        let family = Browser::from_name(case.family.as_deref().unwrap_or_default());
        (family != Browser::Other).then_some(family)
    };
    let families = cases.iter().filter_map(|case| {
        let (read, _) = rules::browser(&case.user_agent_string);
        Some((
            known(case)?.name().into(),
            read.name().into(),
            case.user_agent_string.clone(),
        ))
    });
    assert!(agreement("browser families, ua-parser's cases", families) >= 0.92);
    let versions = cases.iter().filter_map(|case| {
        let (read, version) = rules::browser(&case.user_agent_string);
        let family = known(case).filter(|family| *family == read)?;
        // Web views and the Facebook apps carry versions of several things.
        if matches!(family, Browser::WebView | Browser::Android) {
            return None;
        }
        let expected = case.major.clone().unwrap_or_else(|| "0".into());
        Some((
            expected,
            version.to_string(),
            case.user_agent_string.clone(),
        ))
    });
    assert!(agreement("their major versions", versions) >= 0.90);
    let others = cases
        .iter()
        .filter(|case| known(case).is_none())
        .map(|case| {
            let (read, _) = rules::browser(&case.user_agent_string);
            // What the reference names after the app is an app here.
            let read = if read == Browser::App {
                Browser::Other
            } else {
                read
            };
            (
                "Other".into(),
                read.name().into(),
                case.user_agent_string.clone(),
            )
        });
    assert!(agreement("families outside the set, taken as Other", others) >= 0.70);
}

#[test]
fn systems_of_the_reference_corpus_are_read_as_it_reads_them() {
    let Some(path) = test_data("ua/uap-core-test_os.yaml") else {
        return;
    };
    let cases = data_file::yaml::<Cases>(&path).unwrap().test_cases;
    let known = |case: &Case| {
        let family = Os::from_name(case.family.as_deref().unwrap_or_default());
        (family != Os::Other).then_some(family)
    };
    let systems = cases.iter().filter_map(|case| {
        let (read, _) = rules::os(&case.user_agent_string);
        Some((
            known(case)?.name().into(),
            read.name().into(),
            case.user_agent_string.clone(),
        ))
    });
    assert!(agreement("systems, ua-parser's cases", systems) >= 0.93);
    let versions = cases.iter().filter_map(|case| {
        let (read, version) = rules::os(&case.user_agent_string);
        let os = known(case).filter(|os| *os == read)?;
        // No major version is kept of these.
        if matches!(os, Os::ChromeOs | Os::Linux | Os::WebOs) {
            return None;
        }
        let expected = patterns::os_version(os, case.major.as_deref()).to_string();
        Some((
            expected,
            version.to_string(),
            case.user_agent_string.clone(),
        ))
    });
    assert!(agreement("their major versions", versions) >= 0.81);
}

/// Weighted by requests: what a site would see on its dashboard. Machines are left out first.
#[test]
fn people_of_a_real_log_are_read_as_the_reference_reads_them() {
    let (Some(log), Some(regexes)) = (
        test_data("weblog/access-2015-05-17_19.log"),
        test_data("ua/uap-core-regexes.yaml"),
    ) else {
        return;
    };
    let log = data_file::text(&log).unwrap();
    let bots = Bots::new(None).unwrap();
    let reference = Patterns::open(&regexes).unwrap();
    let people: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split('"').nth(5))
        .filter(|ua| bots.check(ua).is_none())
        .collect();
    println!(
        "{} of {} requests are people's",
        people.len(),
        log.lines().count()
    );
    let expected: Vec<_> = people.iter().map(|ua| reference.read(ua)).collect();
    let browsers = people
        .iter()
        .zip(&expected)
        .map(|(ua, (browser, version, ..))| {
            let (read, major) = rules::browser(ua);
            (
                format!("{} {version}", browser.name()),
                format!("{} {major}", read.name()),
                ua.to_string(),
            )
        });
    assert!(agreement("browser and version, by request", browsers) >= 0.99);
    let systems = people
        .iter()
        .zip(&expected)
        .map(|(ua, (_, _, os, version))| {
            let (read, major) = rules::os(ua);
            (
                format!("{} {version}", os.name()),
                format!("{} {major}", read.name()),
                ua.to_string(),
            )
        });
    assert!(agreement("system and version, by request", systems) >= 0.99);
}

#[test]
fn a_pattern_file_replaces_the_rules_and_a_damaged_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("regexes.yaml");
    let patterns = "user_agent_parsers:\n  - regex: '(Chrome)/(\\d+)'\n    family_replacement: 'Firefox'\n\
                    os_parsers:\n  - regex: '(Windows) NT'\n    os_replacement: 'Linux'\n\
                    device_parsers: []\n";
    std::fs::write(&path, patterns).unwrap();
    let agents = Agents::new(Some(&path), Bots::new(None).unwrap()).unwrap();
    let agent = agents.parse(WIN_CHROME, Hints::default());
    assert_eq!(
        (agent.browser, agent.browser_version, agent.os),
        (Browser::Firefox, 131, Os::Linux)
    );
    for damaged in [
        "- 1",
        "user_agent_parsers:\n  - regex: '('\nos_parsers: []\n",
    ] {
        std::fs::write(&path, damaged).unwrap();
        let error = Agents::new(Some(&path), Bots::new(None).unwrap())
            .err()
            .unwrap();
        assert!(error.to_string().contains("regexes.yaml"), "{error}");
    }
}
