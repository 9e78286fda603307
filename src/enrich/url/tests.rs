use proptest::prelude::*;

use super::*;

fn rules(names: &[&str], hash_routing: bool) -> UrlRules {
    UrlRules {
        query: QueryAllowList::new(names.iter().copied()).unwrap(),
        hash_routing,
    }
}

fn page(url: &str) -> String {
    let page = scrub(url, &rules(&["q", "page"], false)).unwrap().page;
    let query = if page.query.is_empty() {
        String::new()
    } else {
        format!("?{}", page.query)
    };
    format!("{}{}{query}", page.hostname, page.path)
}

#[test]
fn addresses_are_reduced_to_what_may_be_stored() {
    for (url, expected) in [
        ("https://www.Example.dk", "example.dk/"),
        (
            "https://jens:secret@portal.example.dk:8443/a#top",
            "portal.example.dk/a",
        ),
        (
            "https://example.dk./a/?sessionid=abc&page=2",
            "example.dk/a/?page=2",
        ),
        (
            "https://example.dk/a?page=2&q=r%C3%B8d+gr%C3%B8d&x=1",
            "example.dk/a?page=2&q=rød%20grød",
        ),
        (
            "https://example.dk/s?q=jens%40firma.dk",
            "example.dk/s?q=:email",
        ),
        (
            "https://example.dk/s?q=a%26b%3Dc",
            "example.dk/s?q=a%26b%3Dc",
        ),
        ("https://example.dk/s?page=&q=", "example.dk/s"),
        ("https://blåbær.dk/", "xn--blbr-roah.dk/"),
        ("https://www.dk/x", "www.dk/x"),
        ("https://www.www.example.dk/x", "example.dk/x"),
        ("http://127.0.0.1:8080/x", "127.0.0.1/x"),
        (
            "https://example.dk/s%C3%B8gning/a%20b",
            "example.dk/søgning/a%20b",
        ),
        (
            "https://example.dk/user/jens%40firma.dk/x",
            "example.dk/user/:email/x",
        ),
        (
            "https://example.dk/user/jens%252540firma.dk",
            "example.dk/user/:email",
        ),
        (
            "https://example.dk/a/%2e%2e/b/%252e%252e/c",
            "example.dk/b/c",
        ),
        ("https://example.dk/a;jsessionid=0A1B2C/b", "example.dk/a/b"),
        ("https://example.dk/100%25", "example.dk/100%25"),
        ("https://example.dk/a%3Fb%23c", "example.dk/a%3Fb%23c"),
        ("https://example.dk/%ff", "example.dk/\u{fffd}"),
        (
            "app://portal/settings/profile?tab=2",
            "portal/settings/profile",
        ),
        ("app:///start", "/start"),
    ] {
        assert_eq!(page(url), expected, "{url}");
    }
}

#[test]
fn ordinary_paths_stay_intact() {
    for path in [
        "/",
        "/blog/2024/how-we-built-it",
        "/produkter/vaskemaskine-7kg",
        "/v2/docs/getting-started",
        "/kurv/",
        "/a//b",
        "/~bruger/(x)/[y]/a,b:c@d!$&'*+=z",
    ] {
        assert_eq!(
            scrub(&format!("https://example.dk{path}"), &UrlRules::default())
                .unwrap()
                .page
                .path,
            path
        );
    }
}

#[test]
fn fragments_count_only_where_the_site_routes_by_them() {
    let path = |url, hash_routing| scrub(url, &rules(&[], hash_routing)).unwrap().page.path;
    let url = "https://example.dk/app#/users/12345678?token=abc";
    assert_eq!(path(url, false), "/app");
    assert_eq!(path(url, true), "/app#/users/:number");
    assert_eq!(path("https://example.dk/app#!/x", true), "/app#!/x");
    assert_eq!(
        path("https://example.dk/app#access_token=abc", true),
        "/app"
    );
}

#[test]
fn campaigns_are_read_out_and_leave_the_query() {
    let url = "https://example.dk/?utm_source=Nyhedsbrev&utm_medium=email&utm_campaign=uge-47\
               &utm_term=a@b.dk&utm_content=top&gclid=Cj0KCQiA&page=1";
    let scrubbed = scrub(url, &rules(&["page"], false)).unwrap();
    assert_eq!(scrubbed.page.query, "page=1");
    assert_eq!(scrubbed.click, Some(PaidClick::Google));
    let utm = scrubbed.utm;
    assert_eq!(
        [&*utm.source, &*utm.medium, &*utm.campaign],
        ["Nyhedsbrev", "email", "uge-47"]
    );
    assert_eq!([&*utm.term, &*utm.content], [":email", "top"]);
    let by_ref = scrub("https://example.dk/?ref=partner", &UrlRules::default()).unwrap();
    assert_eq!(by_ref.utm.source, "partner");
    let both = scrub(
        "https://example.dk/?ref=a&source=b&utm_source=c",
        &UrlRules::default(),
    );
    assert_eq!(both.unwrap().utm.source, "c");
}

#[test]
fn what_is_no_page_address_is_refused_without_being_repeated() {
    let long = format!("https://example.dk/{}", "a".repeat(URL_MAX_BYTES));
    assert_eq!(
        scrub(&long, &UrlRules::default()),
        Err(UrlError::TooLong { bytes: 2_019 })
    );
    for url in [
        "",
        "/relative",
        "file:///etc/passwd",
        "data:text/plain,x",
        "javascript:1",
    ] {
        let error = scrub(url, &UrlRules::default()).unwrap_err().to_string();
        assert!(!error.contains("passwd"), "{error}");
    }
}

#[test]
fn a_click_id_or_a_phrase_is_no_name_for_the_allow_list() {
    let error = |name: &str| QueryAllowList::new([name]).unwrap_err();
    assert!(matches!(error("fbclid"), QueryNameError::ClickId(_)));
    assert!(matches!(error("gclid"), QueryNameError::ClickId(_)));
    assert!(matches!(error("a b"), QueryNameError::NotAName(_)));
    assert!(matches!(error(""), QueryNameError::NotAName(_)));
}

#[test]
fn long_paths_are_cut_and_long_parameters_dropped() {
    let cut = |path: &str| {
        scrub(&format!("https://example.dk{path}"), &rules(&["q"], false))
            .unwrap()
            .page
    };
    assert_eq!(
        cut(&format!("/{}", "ab/".repeat(400))).path.len(),
        PATH_MAX_BYTES
    );
    for length in PATH_MAX_BYTES - 8..PATH_MAX_BYTES + 8 {
        for route in ["#/users", "#!/users"] {
            let url = format!("https://example.dk/{}{route}", "a-".repeat(length / 2));
            let path = scrub(&url, &rules(&[], true)).unwrap().page.path;
            assert!(
                path.len() <= PATH_MAX_BYTES && !path.ends_with(['#', '!']),
                "{path}"
            );
        }
    }
    let spaces = cut(&format!("/{}", "%20".repeat(300))).path;
    assert!(
        spaces.len() <= PATH_MAX_BYTES && spaces.ends_with("%20"),
        "{spaces}"
    );
    assert_eq!(cut(&format!("/?q=x&q={}", "a ".repeat(200))).query, "q=x");
}

fn tricky_url() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z0-9]{1,6}",
        "[0-9]{1,9}",
        "[A-Za-z0-9_-]{1,24}",
        "[/.;?#&=%@:!+ ~\\\\]{1,3}",
        "%[0-9a-fA-F]{2}",
        "%25[0-9a-fA-F]{2}",
        "(/\\./|/\\.\\./|%2e%2E|%252e|www\\.|//|#/|\\?q=|&page=|a@b\\.dk|1\\.2\\.3\\.4)",
        "\\PC{1,2}",
    ];
    let tail = proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat());
    (
        "(https://example\\.dk/|http://www\\.x\\.dk|app://portal/|app:///)",
        tail,
    )
        .prop_map(|(a, b)| a + &b)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

    #[test]
    fn scrubbing_is_idempotent(url in tricky_url(), hash_routing: bool) {
        let rules = rules(&["q", "page"], hash_routing);
        let Ok(once) = scrub(&url, &rules) else { return Ok(()) };
        let page = &once.page;
        prop_assert!(page.path.len() <= PATH_MAX_BYTES && page.query.len() <= QUERY_MAX_BYTES);
        // The route stands behind the path in what is stored, behind the query in an address.
        let (path, route) = page.path.split_once('#').unwrap_or((&page.path, ""));
        let scheme = if url.starts_with("app") { "app" } else { "https" };
        let again = format!("{scheme}://{}{path}?{}#{route}", page.hostname, page.query);
        if again.len() <= URL_MAX_BYTES {
            prop_assert_eq!(&scrub(&again, &rules).unwrap().page, page, "{}", again);
        }
    }

    #[test]
    fn any_text_is_survived(url in "\\PC{0,100}") {
        if let Ok(scrubbed) = scrub(&url, &UrlRules::default()) {
            prop_assert!(scrubbed.page.query.is_empty());
        }
    }

    #[test]
    fn secrets_do_not_come_out_of_any_part(
        local in "[a-z0-9]{1,8}", number in "[0-9]{8}", hex in "[0-9a-f]{32}", twice: bool,
    ) {
        let at = if twice { "%2540" } else { "%40" };
        let url = format!(
            "https://{local}:{hex}@example.dk/{local}{at}firma.dk/{number}/{hex}\
             ?q={local}{at}firma.dk&page={hex}&utm_source={number}&other={hex}#/{hex}",
        );
        let scrubbed = format!("{:?}", scrub(&url, &rules(&["q", "page"], true)).unwrap());
        for secret in [format!("{local}@"), number, hex, "%40".into(), "firma".into()] {
            prop_assert!(!scrubbed.contains(&secret), "{}", scrubbed);
        }
    }
}
