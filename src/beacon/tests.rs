use hyper::HeaderMap;
use proptest::prelude::*;

use super::*;
use crate::config::load;

fn sites() -> Sites {
    load::from_text(crate::config::REFERENCE, "reference", &Default::default())
        .unwrap()
        .1
        .sites
}

fn client() -> Client {
    Client::read(&HeaderMap::new(), "192.0.2.1".parse().unwrap(), &[])
}

fn parse(body: &str) -> Result<Box<Beacon>, Refused> {
    from_body(
        body.as_bytes(),
        None,
        client(),
        &sites(),
        Timestamp::UNIX_EPOCH,
    )
}

fn refusal(body: &str) -> (Outcome, String) {
    let refused = parse(body).expect_err(body);
    (refused.outcome, refused.detail)
}

const PAGE: &str = r#""u":"https://portal.example.test/a","d":"portal""#;

#[test]
fn both_key_styles_of_plausible_say_the_same() {
    let short = parse(
        r#"{"n":"Signup","u":"https://portal.example.test/a","d":"portal.example.test","r":null,
            "p":{"plan":"pro","seats":3,"trial":true,"none":null},"$":{"amount":"9.50","currency":"DKK"},"i":false}"#,
    )
    .unwrap();
    let long = parse(
        r#"{"name":"Signup","url":"https://portal.example.test/a","domain":"portal","referrer":"",
            "props":"{\"plan\":\"pro\",\"seats\":3,\"trial\":true}","revenue":{"amount":9.5,"currency":"DKK"},
            "interactive":false}"#,
    )
    .unwrap();
    for beacon in [short, long] {
        assert_eq!(beacon.name, "Signup");
        assert_eq!(beacon.site.id.as_str(), "portal");
        let expected = [("plan", "pro"), ("seats", "3"), ("trial", "true")];
        assert_eq!(
            beacon.props,
            expected.map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
        assert_eq!(
            beacon.revenue,
            Some(Revenue {
                amount: 9.5,
                currency: "DKK".into()
            })
        );
        assert!(!beacon.is_interactive && beacon.referrer.is_none());
    }
}

#[test]
fn every_broken_limit_names_its_key() {
    let long = "x".repeat(2_001);
    let many = (0..31)
        .map(|i| format!("\"k{i}\":1"))
        .collect::<Vec<_>>()
        .join(",");
    for (body, outcome, word) in [
        ("".into(), Outcome::BeaconMalformed, "EOF"),
        ("\u{0}".into(), Outcome::BeaconMalformed, "expected"),
        (format!(r#"{{{PAGE}}}"#), Outcome::BeaconMalformed, "n"),
        (
            format!(r#"{{"n":"","n":"a",{PAGE}}}"#),
            Outcome::BeaconMalformed,
            "duplicate",
        ),
        (
            format!(r#"{{"n":" ",{PAGE}}}"#),
            Outcome::BeaconMalformed,
            "n:",
        ),
        (
            format!(r#"{{"n":"{}",{PAGE}}}"#, &long[..121]),
            Outcome::BeaconMalformed,
            "n:",
        ),
        (
            r#"{"n":"a","u":"https://x/","d":"nobody"}"#.into(),
            Outcome::SiteUnknown,
            "d:",
        ),
        (
            r#"{"n":"a","u":"","d":"portal"}"#.into(),
            Outcome::BeaconUrl,
            "u:",
        ),
        (
            format!(r#"{{"n":"a","u":"https://x/{long}","d":"portal"}}"#),
            Outcome::BeaconUrl,
            "u:",
        ),
        (
            format!(r#"{{"n":"a","r":"{long}",{PAGE}}}"#),
            Outcome::BeaconMalformed,
            "r:",
        ),
        (
            format!(r#"{{"n":"a","p":{{{many}}},{PAGE}}}"#),
            Outcome::BeaconMalformed,
            "p:",
        ),
        (
            format!(r#"{{"n":"a","p":{{"a":[1]}},{PAGE}}}"#),
            Outcome::BeaconMalformed,
            "list",
        ),
        (
            format!(r#"{{"n":"a","p":{{"a":"{long}"}},{PAGE}}}"#),
            Outcome::BeaconMalformed,
            "p:",
        ),
        (
            format!(r#"{{"n":"a","p":"[1]",{PAGE}}}"#),
            Outcome::BeaconMalformed,
            "object",
        ),
        (
            format!(r#"{{"n":"a","$":{{"amount":1,"currency":"kr"}},{PAGE}}}"#),
            Outcome::BeaconMalformed,
            "$:",
        ),
        (
            format!(r#"{{"n":"a","sd":-1,{PAGE}}}"#),
            Outcome::BeaconMalformed,
            "sd:",
        ),
        (
            format!(r#"{{"n":"a","e":-1,{PAGE}}}"#),
            Outcome::BeaconMalformed,
            "e:",
        ),
        (
            format!(r#"{{"n":"a","rv":"5",{PAGE}}}"#),
            Outcome::BeaconMalformed,
            "rv:",
        ),
        (
            format!(r#"{{"n":"a","s":{{"id":"x","started":-5}},{PAGE}}}"#),
            Outcome::BeaconMalformed,
            "s.started:",
        ),
        (
            format!(r#"{{"n":"a","s":"abc.1",{PAGE}}}"#),
            Outcome::BeaconMalformed,
            "s:",
        ),
        (
            format!(r#"{{"n":"a","s":7,{PAGE}}}"#),
            Outcome::BeaconMalformed,
            "visit",
        ),
        (
            format!(r#"{{"n":"a","wv":{{"lcp":-1}},{PAGE}}}"#),
            Outcome::BeaconMalformed,
            "wv:",
        ),
    ] {
        let (found, detail) = refusal(&body);
        assert_eq!(found, outcome, "{body}: {detail}");
        assert!(detail.contains(word), "{body}: {detail}");
    }
}

#[test]
fn a_visit_may_come_as_the_tracker_keeps_it() {
    for (kept, days) in [
        ("1763800000000.new", "new"),
        ("1763800000000.NaN", "new"),
        ("1763800000000.0", "0"),
        ("1763800000000.1", "1"),
        ("1763800000000.2", "2-7"),
        ("1763800000000.8", "8-30"),
        ("1763800000000.31", "31+"),
        ("1763800000000.-1", "new"),
        ("1763800000000.", "new"),
    ] {
        let beacon = parse(&format!(r#"{{"n":"a","s":"{kept}",{PAGE}}}"#)).expect(kept);
        let visit = beacon.visit.expect(kept);
        assert_eq!(visit.id, "1763800000000");
        assert_eq!(visit.started.as_millisecond(), 1_763_800_000_000);
        assert_eq!(beacon.days_since_last, days, "{kept}");
    }
    let told = parse(&format!(
        r#"{{"n":"a","s":"1763800000000.1","rv":"8-30",{PAGE}}}"#
    ));
    assert_eq!(told.unwrap().days_since_last, "8-30");
}

/// What browsers measure may be a little beyond the limit, and is rounded here to spare them the bytes.
#[test]
fn measurements_are_rounded_and_cut_to_what_is_possible() {
    let beacon = parse(&format!(
        r#"{{"n":"a","sd":100.6,"e":1e9,"wv":{{"lcp":1234.5678,"cls":0.123456,"inp":null}},{PAGE}}}"#
    ))
    .unwrap();
    assert_eq!(
        (beacon.scroll_depth, beacon.engagement_ms),
        (100, 86_400_000)
    );
    let vitals = Vitals {
        lcp_ms: Some(1_235.0),
        cls: Some(0.1235),
        ..Vitals::default()
    };
    assert_eq!(beacon.vitals, vitals);
    // A page that shrank may be much shorter than where its visitor has been; 255 alone is unknown.
    for (sd, depth) in [
        ("255", 255),
        ("254.6", 100),
        ("255.4", 100),
        ("400", 100),
        ("1e9", 100),
    ] {
        let beacon = parse(&format!(r#"{{"n":"a","sd":{sd},{PAGE}}}"#)).unwrap();
        assert_eq!(beacon.scroll_depth, depth, "{sd}");
    }
}

#[test]
fn a_long_address_loses_its_query() {
    let long = "x".repeat(3_000);
    let beacon = parse(&format!(
        r#"{{"n":"a","u":"https://portal.example.test/a?q={long}","r":"https://x.example/b?q={long}","d":"portal"}}"#
    ))
    .unwrap();
    assert_eq!(beacon.url, "https://portal.example.test/a");
    assert_eq!(beacon.referrer.as_deref(), Some("https://x.example/b"));
}

#[test]
fn a_version_1_uuid_is_refused_as_an_id_because_it_holds_a_mac_address() {
    for key in ["vid", "id"] {
        let (outcome, detail) = refusal(&format!(
            r#"{{"n":"a",{PAGE},"{key}":"C232AB00-9414-11EC-B3C8-9F6BDECED846"}}"#
        ));
        assert_eq!(outcome, Outcome::BeaconMalformed);
        assert!(detail.contains("MAC"), "{detail}");
        parse(&format!(
            r#"{{"n":"a",{PAGE},"{key}":"919108f7-52d1-4320-9bac-f847db4148a8"}}"#
        ))
        .unwrap();
    }
}

#[test]
fn origin_must_be_one_of_the_sites_own() {
    let body = format!(r#"{{"n":"a",{PAGE}}}"#);
    for (origin, own) in [
        ("https://portal.example.test", true),
        ("http://a.portal.example.test:8080", true),
        ("https://portal.example.test.evil.test", false),
        ("https://evilportal.example.test", false),
        ("null", false),
    ] {
        let result = from_body(
            body.as_bytes(),
            Some(origin),
            client(),
            &sites(),
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(result.is_ok(), own, "{origin}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        drop(from_body(&body, None, client(), &sites(), Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn arbitrary_values_under_known_keys_never_panic(
        key in prop::sample::select(vec!["n","u","d","r","p","$","i","sd","e","w","c","vid","s","id","rv","wv"]),
        value in prop::sample::select(vec![
            "null", "true", "-1", "1e400", "\"\"", "\"x\"", "[]", "{}", "{\"id\":1}", "\"\\ud800\"", "\"{\"",
            "{\"amount\":{},\"currency\":1}", "9007199254740993", "{\"id\":\"a\",\"started\":1e308}",
            "\"1.\"", "\"9e99.1\"", "\"99999999999999999999.2\"",
        ]),
    ) {
        drop(parse(&format!(r#"{{"n":"a",{PAGE},"{key}":{value}}}"#)));
        drop(parse(&format!(r#"{{"{key}":{value}}}"#)));
    }
}
