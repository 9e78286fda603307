use proptest::prelude::*;

use super::*;
use crate::apps::mac::{Mac, MacFault};

#[test]
fn each_class_becomes_its_word() {
    for (text, expected) in [
        ("/user/jens.hansen@firma.dk/edit", "/user/:email/edit"),
        ("jens%40firma.dk", ":email"),
        ("mailto:jens+tag@sub.firma.co.uk.", "mailto::email."),
        ("søren@blåbær.dk", ":email"),
        ("a@b.dk,c@d.dk", ":email,:email"),
        ("/from/192.168.1.17/x", "/from/:ip/x"),
        ("v1.2.3.4", "v:ip"),
        ("[2001:db8::8a2e:370:7334]:443", "[:ip]:443"),
        ("::1", ":ip"),
        ("fe80::1%eth0", ":ip%eth0"),
        ("00:1A:2b:3c:4d:5e", ":mac"),
        ("00-1A-2b-3c-4d-5e", ":mac"),
        ("001a.2b3c.4d5e", ":mac"),
        ("001a2b3c4d5e", ":token"),
        ("/o/6fa459ea-ee8a-3ca4-894e-db77e160355e", "/o/:uuid"),
        ("/kunde/12345678", "/kunde/:number"),
        ("SKU1234567x", "SKU:numberx"),
        ("/cpr/010190-1234", "/cpr/:number"),
        ("0101901234", ":number"),
        ("+45 12 34 56 78", ":number"),
        ("tel +4512345678", "tel :number"),
        ("12 34 56 78", ":number"),
        ("1234-5678", ":number"),
        ("ring (555) 123-4567 nu", "ring (:number nu"),
        ("55.676098,12.568337", ":number,:number"),
        ("20240115", ":number"),
        ("/reset/3f2a9c4b5d6e7f80", "/reset/:token"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", ":token"),
        ("/s/V1StGXR8_Z5jdHi6B-myT/view", "/s/:token/view"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", ":token"),
        ("cus_9s6XKzkNRiz8i3", "cus_:token"),
        ("dGhpcyBpcyBhIHRva2VuIQ==", ":token"),
    ] {
        assert_eq!(mask(text), expected, "{text}");
    }
}

#[test]
fn ordinary_slugs_and_names_stay() {
    for text in [
        "/",
        "/blog/2024/how-we-built-it",
        "/produkter/vaskemaskine-7kg",
        "/v2/docs/getting-started",
        "/blog/2024-01-15-nytaar",
        "/arkiv/15-01-2024",
        "/saeson/2023-2024",
        "/artikel/123456",
        "/Products/iPhone15-Pro-Max-256GB-Blue",
        "/How-We-Built-It-In-2024-For-Our-Customers",
        "CheckoutStep2CompletedSuccessfully",
        "useEffect-vs-useLayoutEffect-React18",
        "Chrome/131.0.6778.86",
        "/@scope/pkg",
        "react@18.2.0",
        "lodash@latest",
        "/watch/dQw4w9WgXcQ",
        "/commit/a1b2c3d",
        "12:34:56",
        "std::vector",
        "/søgning/rødgrød med fløde",
        "/om-os/privatlivspolitik-og-databeskyttelse",
        "/ansvarsforsikringsselskaberne",
        "1920x1080",
        "iphone15promax256gb",
        "kl. 14.30, uge 47",
        "/docs/1.2.3",
        ":email and :number",
        "spring_summer_sale_2026_newsletter_2",
    ] {
        assert_eq!(mask(text), text);
        assert!(matches!(mask(text), Cow::Borrowed(_)));
    }
}

/// The generators are seeded, so the rates are facts of this code and not of a lucky run.
#[test]
fn usual_generators_of_tokens_are_caught() {
    const BASE64URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let base62 = &BASE64URL[..62];
    let base36 = &BASE64URL[26..62];
    let crockford = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    for (name, alphabet, len, floor) in [
        ("hex 32", &b"0123456789abcdef"[..], 32, 1.0),
        ("base64url of 32 bytes", BASE64URL, 43, 0.995),
        ("base64url of 16 bytes", BASE64URL, 22, 0.95),
        ("nanoid", BASE64URL, 21, 0.95),
        ("base62 of 24", base62, 24, 0.99),
        ("base36 of 24", base36, 24, 0.99),
        ("ulid", &crockford[..], 26, 0.99),
    ] {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut caught = 0;
        for _ in 0..10_000 {
            let token: String = (0..len)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    char::from(alphabet[(state >> 33) as usize % alphabet.len()])
                })
                .collect();
            caught += usize::from(!mask(&token).contains(&token));
        }
        let rate = caught as f64 / 10_000.0;
        println!("{name}: {:.2} % caught", rate * 100.0);
        assert!(rate >= floor, "{name}: {rate}");
    }
}

#[test]
fn a_cut_value_does_not_hold_half_an_address() {
    assert_eq!(mask_cut("to jens@firma.dk", 8), "to :emai");
    assert_eq!(mask_cut("1.2.3.400", 8), ":ip");
    assert_eq!(mask_cut("æøå", 3), "æ");
}

/// Texts made of the pieces the recognisers look for, so that they meet in every way.
fn tricky() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z]{1,6}",
        "[0-9]{1,9}",
        "[0-9a-f]{1,16}",
        "[A-Za-z0-9_-]{1,24}",
        "[@:./%+ ()_=-]{1,3}",
        "(%40|%2B|eyJ|::|:ip|:email|:mac|:number|19[0-9]{2}|20[0-9]{2})",
        "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
        "([0-9a-f]{2}[:-]){3,7}[0-9a-f]{2}",
        "\\PC{1,3}",
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

/// A digit of another script beside an address makes no other number of it.
#[test]
fn an_address_beside_a_digit_of_another_script_is_masked() {
    for text in ["\u{9e8}56.0.0.0a", "56.0.0.0\u{9e8}", "\u{664}192.0.2.255"] {
        let masked = mask(text);
        assert!(masked.contains(IP), "{text}: {masked}");
    }
    assert_eq!(mask("side \u{9e8}.1"), "side \u{9e8}.1");
}

/// As a person, a typesetter or another script writes them.
#[test]
fn phones_and_civil_registration_numbers_are_masked_in_every_script() {
    let scripts = [
        "0123456789",
        "\u{ff10}\u{ff11}\u{ff12}\u{ff13}\u{ff14}\u{ff15}\u{ff16}\u{ff17}\u{ff18}\u{ff19}",
        "\u{660}\u{661}\u{662}\u{663}\u{664}\u{665}\u{666}\u{667}\u{668}\u{669}",
    ];
    let separators = [
        "",
        " ",
        "-",
        "_",
        " - ",
        ") (",
        " \u{2013} ",
        "\u{a0}",
        "\u{2009}",
        "\u{202f}",
        "\u{2010}",
        "\u{2011}",
        "\u{2013}",
        "\u{2014}",
    ];
    for script in scripts {
        let digits: Vec<char> = script.chars().collect();
        for separator in separators {
            for groups in [&["20", "31", "42", "53"] as &[&str], &["010190", "1234"]] {
                let text = groups.join(separator);
                let write = |c: char| c.to_digit(10).map_or(c, |n| digits[n as usize]);
                let text: String = format!("ring {text} i dag").chars().map(write).collect();
                assert_eq!(mask(&text), "ring :number i dag", "{text}");
            }
        }
    }
    assert_eq!(mask("jane\u{ff20}doe.example"), ":email");
    assert_eq!(mask("/x?email=jane%2540doe.example"), "/x?email=:email");
    // Where nothing is masked, nothing is rewritten.
    assert_eq!(mask("kapitel \u{ff11}\u{ff12}"), "kapitel \u{ff11}\u{ff12}");
}

/// Each date kept itself alone, and was looked at together with all that followed.
#[test]
fn a_row_of_dates_is_read_once() {
    let row = "01-01-2024-".repeat(20_000);
    let began = std::time::Instant::now();
    assert_eq!(mask(&row), row);
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn masking_is_idempotent_and_never_lengthens(text in tricky()) {
        let once = mask(&text).into_owned();
        prop_assert!(once.len() <= text.len());
        prop_assert_eq!(mask(&once), once.as_str());
    }

    #[test]
    fn cutting_is_idempotent_and_keeps_the_bound(text in tricky(), max in 0usize..40) {
        let once = mask_cut(&text, max).into_owned();
        prop_assert!(once.len() <= max);
        prop_assert_eq!(mask_cut(&once, max), once.as_str());
    }

    /// What is taken for a MAC address where one belongs is not left where none does.
    #[test]
    fn every_notation_of_a_mac_address_is_masked(mac in any::<[u8; 6]>(), upper in any::<bool>(), around in "(|/|x |device=)") {
        let mut hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        if upper {
            hex = hex.to_ascii_uppercase();
        }
        let in_groups = |n: usize, with: &str| {
            let groups = hex.as_bytes().chunks(n).map(|g| std::str::from_utf8(g).unwrap());
            groups.collect::<Vec<_>>().join(with)
        };
        let has_digit = hex.bytes().any(|b| b.is_ascii_digit());
        for (text, is_certain) in [
            (hex.clone(), has_digit),
            (in_groups(2, ":"), true),
            (in_groups(2, "-"), true),
            (in_groups(2, " "), has_digit),
            (in_groups(4, "."), true),
            (in_groups(4, "-"), has_digit),
            (in_groups(4, ":"), has_digit),
        ] {
            let is_read = !matches!(Mac::read(text.as_bytes()), Err(MacFault::Malformed));
            prop_assert!(is_read || text.contains(' '), "{}", text);
            let masked = mask(&format!("{around}{text}")).into_owned();
            prop_assert!(!is_certain || !masked.contains(&text), "{} in {}", text, masked);
        }
    }

    #[test]
    fn any_text_is_survived(text in "\\PC{0,200}") {
        let once = mask(&text).into_owned();
        prop_assert_eq!(mask(&once), once.as_str());
    }

    #[test]
    fn no_email_comes_out(
        before in "[^@%]{0,12}", local in "[a-z0-9._+-]{0,10}[a-z0-9]", host in "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?",
        tld in "[a-z]{2,6}", after in "[^@%]{0,12}",
    ) {
        let email = format!("{local}@{host}.{tld}");
        for at in ["@", "%40"] {
            let spelt = format!("{local}{at}{host}.{tld}");
            let masked = mask(&format!("{before}{spelt}{after}")).into_owned();
            prop_assert!(!masked.contains(&email) && !masked.contains(&spelt), "{}", masked);
            prop_assert!(!masked.contains('@'), "{}", masked);
        }
    }

    #[test]
    fn no_ipv4_comes_out(before in "\\PC{0,12}", ip: [u8; 4], after in "[^0-9]\\PC{0,12}") {
        let ip = std::net::Ipv4Addr::from(ip).to_string();
        // A digit right before or after makes it another address, or none.
        let before = before.trim_end_matches(|c: char| c.is_ascii_digit());
        let masked = mask(&format!("{before}{ip}{after}")).into_owned();
        prop_assert!(!masked.contains(&ip), "{}", masked);
    }

    #[test]
    fn no_ipv6_comes_out(ip: [u8; 16], before in "[ /=\\[(]?", after in "[ /)\\],;&]?") {
        let ip = std::net::Ipv6Addr::from(ip).to_string();
        let masked = mask(&format!("{before}{ip}{after}")).into_owned();
        prop_assert_eq!(masked, format!("{before}:ip{after}"));
    }

    #[test]
    fn no_mac_or_uuid_or_hex_comes_out(
        pairs in "[0-9a-fA-F]{12}", hex in "[0-9a-f]{16,64}", sep in "[:-]", id: [u8; 16],
        before in "([a-z ]{0,6}[ /=_.])?", after in "([ /=_&][a-z ]{0,6})?",
    ) {
        let mac = pairs.as_bytes().chunks(2).map(|p| std::str::from_utf8(p).unwrap())
            .collect::<Vec<_>>().join(&sep);
        let h: String = id.iter().map(|b| format!("{b:02x}")).collect();
        let uuid = format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..]);
        for secret in [mac, hex, uuid] {
            let masked = mask(&format!("{before}{secret}{after}")).into_owned();
            prop_assert!(!masked.contains(&secret), "{}", masked);
        }
    }

    #[test]
    fn no_long_number_comes_out(
        before in "[^0-9]{0,8}", digits in "[0-9]{7,20}", after in "[^0-9]{0,8}",
    ) {
        let masked = mask(&format!("{before}{digits}{after}")).into_owned();
        prop_assert!(!masked.contains(&digits), "{}", masked);
    }

    #[test]
    fn no_jwt_comes_out(a in "[A-Za-z0-9_-]{10,40}", b in "[A-Za-z0-9_-]{1,60}", c in "[A-Za-z0-9_-]{1,40}") {
        let text = format!("/t/eyJ{a}.{b}.{c}");
        prop_assert_eq!(mask(&text), "/t/:token");
    }
}
