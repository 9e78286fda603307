use proptest::prelude::*;

use super::*;
use crate::enrich::data_file::test_data;

fn source_with(
    referrers: &Referrers,
    referrer: &str,
    utm: Utm,
    click: Option<PaidClick>,
) -> Source {
    let arrival = Arrival {
        hostname: "portal.example.dk",
        utm: &utm,
        click,
    };
    referrers.classify(Some(referrer), arrival, |host| {
        host.ends_with(".example.dk")
    })
}

fn source(referrer: &str) -> Source {
    source_with(
        &Referrers::new(None).unwrap(),
        referrer,
        Utm::default(),
        None,
    )
}

fn label(source: &Source) -> (&str, &str, &str) {
    (&source.name, source.channel.name(), &source.referrer)
}

#[test]
fn known_sources_have_their_name_and_channel() {
    for (referrer, expected) in [
        (
            "https://www.google.com/",
            ("Google", "Organic Search", "google.com"),
        ),
        (
            "https://www.google.co.uk/search?q=brine",
            ("Google", "Organic Search", "google.co.uk/search"),
        ),
        (
            "https://google.dk",
            ("Google", "Organic Search", "google.dk"),
        ),
        (
            "android-app://com.google.android.googlequicksearchbox/",
            (
                "Google",
                "Organic Search",
                "com.google.android.googlequicksearchbox",
            ),
        ),
        (
            "android-app://com.google.android.gm",
            ("Gmail", "Email", "com.google.android.gm"),
        ),
        (
            "https://mail.google.com/mail/u/0/",
            ("Gmail", "Email", "mail.google.com/mail/u/0/"),
        ),
        (
            "https://docs.google.com/document/d/x",
            (
                "docs.google.com",
                "Referral",
                "docs.google.com/document/d/x",
            ),
        ),
        (
            "https://google.evil.com/",
            ("google.evil.com", "Referral", "google.evil.com"),
        ),
        (
            "https://notgoogle.com/",
            ("notgoogle.com", "Referral", "notgoogle.com"),
        ),
        (
            "https://gemini.google.com/app",
            ("Gemini", "AI Assistants", "gemini.google.com/app"),
        ),
        (
            "https://chatgpt.com/c/6fa459ea-ee8a-3ca4-894e-db77e160355e",
            ("ChatGPT", "AI Assistants", "chatgpt.com/c/:uuid"),
        ),
        (
            "https://x.com/i/grok",
            ("Grok", "AI Assistants", "x.com/i/grok"),
        ),
        ("https://t.co/abc", ("X", "Organic Social", "t.co/abc")),
        (
            "https://l.facebook.com/l.php?u=x",
            ("Facebook", "Organic Social", "l.facebook.com/l.php"),
        ),
        (
            "https://m.facebook.com/",
            ("Facebook", "Organic Social", "m.facebook.com"),
        ),
        (
            "https://www.youtube.com/watch?v=x",
            ("YouTube", "Organic Video", "youtube.com/watch"),
        ),
        (
            "https://de.search.yahoo.com/",
            ("Yahoo", "Organic Search", "de.search.yahoo.com"),
        ),
        (
            "https://www.bing.com:443/search?q=jens@firma.dk#x",
            ("Bing", "Organic Search", "bing.com/search"),
        ),
        (
            "https://blog.other.dk/user/jens@firma.dk",
            ("blog.other.dk", "Referral", "blog.other.dk/user/:email"),
        ),
        ("http://10.0.0.7:8080/wiki", (":ip", "Referral", ":ip/wiki")),
        ("http://[fe80::1]/", (":ip", "Referral", ":ip")),
        (
            "https://jens:x@3f2a9c4b5d6e7f80.other.dk/",
            (":token.other.dk", "Referral", ":token.other.dk"),
        ),
    ] {
        assert_eq!(label(&source(referrer)), expected, "{referrer}");
    }
}

#[test]
fn the_sites_own_hosts_and_what_is_no_referrer_are_none() {
    for own in [
        "https://portal.example.dk/x",
        "https://www.portal.example.dk/",
        "http://shop.example.dk",
    ] {
        assert_eq!(label(&source(own)), ("", "Internal", ""), "{own}");
    }
    let endless = format!("https://other.dk/{}", "a".repeat(URL_MAX_BYTES));
    for none in [
        "",
        "about:client",
        "null",
        "/x",
        "file:///x",
        "chrome-extension://abc/",
        &endless,
    ] {
        assert_eq!(label(&source(none)), ("", "Direct", ""), "{none}");
    }
    let long_query = format!(
        "https://www.google.dk/search?q={}",
        "a".repeat(URL_MAX_BYTES)
    );
    assert_eq!(source(&long_query).name, "Google");
}

#[test]
fn a_campaign_names_the_source_and_a_click_pays_for_it() {
    let referrers = Referrers::new(None).unwrap();
    let utm = |source: &str, medium: &str| Utm {
        source: source.into(),
        medium: medium.into(),
        ..Utm::default()
    };
    let read = |referrer, utm, click| {
        let source = source_with(&referrers, referrer, utm, click);
        (source.name, source.channel.name())
    };
    for (referrer, named, medium, click, expected) in [
        ("", "fb", "cpc", None, ("Facebook", "Paid Social")),
        ("", "Facebook", "", None, ("Facebook", "Organic Social")),
        ("", "google", "cpc", None, ("Google", "Paid Search")),
        (
            "",
            "google.com",
            "organic",
            None,
            ("Google", "Organic Search"),
        ),
        ("", "chatgpt.com", "", None, ("ChatGPT", "AI Assistants")),
        ("", "Nyhedsbrev", "email", None, ("Nyhedsbrev", "Email")),
        (
            "https://www.google.dk/",
            "kampagne",
            "cpc",
            None,
            ("kampagne", "Paid Search"),
        ),
        (
            "https://www.google.dk/",
            "",
            "",
            Some(PaidClick::Google),
            ("Google", "Paid Search"),
        ),
        ("", "", "", Some(PaidClick::Microsoft), ("", "Paid Search")),
        ("https://portal.example.dk/", "", "", None, ("", "Internal")),
        (
            "https://portal.example.dk/",
            "partner",
            "",
            None,
            ("partner", "Referral"),
        ),
    ] {
        let (name, channel) = read(referrer, utm(named, medium), click);
        assert_eq!((&*name, channel), expected, "{referrer} {named} {medium}");
    }
}

#[test]
fn the_public_lists_add_to_the_built_in_sources() {
    let Some(socials) = test_data("referrer/Socials.yml") else {
        return;
    };
    let referrers = Referrers::new(socials.parent()).unwrap();
    let read = |referrer| {
        let source = source_with(&referrers, referrer, Utm::default(), None);
        (source.name, source.channel.name())
    };
    for (referrer, name, channel) in [
        ("https://foretag.118700.se/", "118 700", "Organic Search"),
        ("https://badoo.com/", "Badoo", "Organic Social"),
        ("https://www.badoo.com/", "Badoo", "Organic Social"),
        ("https://chatglm.cn/", "ChatGLM", "AI Assistants"),
        ("https://www.google.dk/", "Google", "Organic Search"),
        ("https://claude.ai/", "Claude", "AI Assistants"),
        ("https://docs.google.com/", "docs.google.com", "Referral"),
    ] {
        assert_eq!(read(referrer), (name.into(), channel), "{referrer}");
    }
}

#[test]
fn a_directory_without_lists_or_with_other_files_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = || Referrers::new(Some(dir.path())).unwrap_err().to_string();
    assert!(error().contains("none of SearchEngines.yml"), "{}", error());
    std::fs::write(dir.path().join("Socials.yml"), "- a\n").unwrap();
    assert!(error().contains("Socials.yml"), "{}", error());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn any_referrer_is_survived_and_leaves_no_query(
        scheme in "(https|http|android-app|ftp)", host in "[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z]{2,5}){0,2}", rest in "\\PC{0,40}",
    ) {
        let source = source(&format!("{scheme}://{host}{rest}"));
        prop_assert!(!source.referrer.contains(['?', '#']), "{:?}", source);
        prop_assert!(source.name.len() <= UTM_MAX_BYTES);
        if scheme.starts_with("http") && !source.referrer.contains(':') {
            let again = self::source(&format!("https://{}", source.referrer));
            prop_assert_eq!(again.referrer, source.referrer);
        }
    }
}
