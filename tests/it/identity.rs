//! README, "What is never stored": identifiers go in and do not come out.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use brine::engine::connect::{Access, post_query};
use brine::engine::home::{Key, default_socket};
use brine::run::engine_directory;
use http_body_util::BodyExt;
use hyper::Method;

use crate::support::markers::Markers;
use crate::support::raw::{Raw, post};
use crate::support::{Brine, Builder, FIREFOX, process};

const V4: &str = "203.0.113.177";
const V6: &str = "2001:db8:dead:beef:21b:44ff:fe11:3ab7";
const AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0 Zq7MarkedAgent";
const PAGE: &str = "https://portal.example.test/u/zq3.marked@example.org/eyJhbGciOiJIUzI1NiJ9.ZqMarkedClaims.ZqMarkedMac/\
    4f2a9c1e7b3d5860/31415926535/x?secret=ZqMarkedQuery&utm_source=zq3.marked@example.org#ZqMarkedFragment";
const REFERRER: &str = "https://elsewhere.example.org/zq3.marked@example.org?q=ZqMarkedQuery";

/// What identifies, by name.
const MARKED: [(&str, &str); 19] = [
    ("IPv4 address", V4),
    ("IPv4 address as a number", "3405803953"),
    ("IPv6 address", V6),
    ("IPv6 host part", "21b:44ff:fe11:3ab7"),
    ("IPv6 network", "2001:db8:dead:beef"),
    ("MAC address of the IPv6 address", "00:1b:44:11:3a:b7"),
    ("user agent", "Zq7MarkedAgent"),
    ("client hint", "ZqMarkedBrand"),
    ("visitor id", "ZqMarkedVisitor-1"),
    ("visit id", "ZqMarkedVisit-2"),
    ("event id", "ZqMarkedEvent-3"),
    ("cookie", "ZqMarkedCookie"),
    (
        "e-mail address in the page address",
        "zq3.marked@example.org",
    ),
    ("signed token in the page address", "ZqMarkedClaims"),
    ("hex token in the page address", "4f2a9c1e7b3d5860"),
    ("long number in the page address", "31415926535"),
    ("query parameter", "ZqMarkedQuery"),
    ("fragment", "ZqMarkedFragment"),
    ("anything else a client says", "ZqMarkedOther"),
];

/// Everything marked, and what the tokens hold.
fn markers(tokens: &[&str]) -> Markers {
    markers_with(tokens, &[])
}

/// And of receipts: as they are, and their MAC. (The pseudonym in one is in `events`, as it should be.)
fn markers_with(tokens: &[&str], receipts: &[&str]) -> Markers {
    let decoded: Vec<Vec<u8>> = tokens
        .iter()
        .map(|token| URL_SAFE_NO_PAD.decode(token).expect("base64"))
        .collect();
    let v6: std::net::Ipv6Addr = V6.parse().expect("an address");
    let octets = v6.octets();
    let mut all: Vec<(&str, &[u8])> = MARKED
        .iter()
        .map(|(name, text)| (*name, text.as_bytes()))
        .collect();
    all.push(("IPv6 address, binary", &octets));
    all.push(("IPv6 network, binary", &octets[..8]));
    for (token, bytes) in tokens.iter().zip(&decoded) {
        all.push(("token", token.as_bytes()));
        // The visitor's id: the random bits.
        all.push(("random bits of the token", &bytes[12..28]));
        all.push(("MAC of the token", &bytes[28..]));
    }
    let macs: Vec<Vec<u8>> = receipts
        .iter()
        .map(|receipt| URL_SAFE_NO_PAD.decode(receipt).expect("base64")[17..].to_vec())
        .collect();
    for (receipt, mac) in receipts.iter().zip(&macs) {
        all.push(("receipt", receipt.as_bytes()));
        all.push(("MAC of the receipt", mac));
    }
    Markers::new(all)
}

/// Sends everything that identifies through every route, to every end that does not need another brine.
async fn send_everything(brine: &Brine, token: &str, withdrawn: &str, address: &str) {
    let cookies = format!("sid=ZqMarkedCookie; brine_consent={token}");
    let forwarded = format!("for=\"[{address}]:4711\"");
    let mut headers = vec![
        ("user-agent", AGENT),
        ("cookie", cookies.as_str()),
        ("referer", PAGE),
        ("sec-ch-ua", "\"ZqMarkedBrand\";v=\"99\""),
        ("accept-language", "da-ZqMarkedOther,en"),
        ("x-request-id", "ZqMarkedOther"),
        ("content-type", "text/plain"),
    ];
    headers.push(if address.contains('.') {
        ("x-forwarded-for", address)
    } else {
        ("forwarded", &forwarded)
    });
    let with = |more: &[(&'static str, &'static str)]| {
        let mut all = headers.clone();
        all.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        all.extend_from_slice(more);
        all
    };
    let event = |site: &str, url: &str, token: &str, name: &str| {
        format!(
            r#"{{"n":"{name}","u":"{url}","d":"{site}","r":"{REFERRER}","vid":"ZqMarkedVisitor-1","id":"ZqMarkedEvent-3-{name}",
            "s":{{"id":"ZqMarkedVisit-2","started":1}},"p":{{"who":"zq3.marked@example.org","ip":"{address}"}},
            "unknown":"ZqMarkedOther","c":"{token}"}}"#
        )
    };
    let good = event("portal", PAGE, token, "pageview");
    let mut forged = token.to_owned();
    forged.replace_range(20..24, "AAAA");
    let bodies = [
        good.clone(),
        event("portal", PAGE, token, "zq3.marked@example.org"),
        // The row that ClickHouse refuses.
        event("portal", PAGE, token, "refuse-me"),
        event("ZqMarkedOther", PAGE, token, "pageview"),
        event("portal", "javascript:ZqMarkedOther", token, "pageview"),
        event(
            "portal",
            "https://zqmarkedother.example/",
            token,
            "pageview",
        ),
        event(
            "portal",
            "https://portal.example.test/admin/ZqMarkedOther",
            token,
            "pageview",
        ),
        event("portal", PAGE, "ZqMarkedOther", "pageview"),
        event("portal", PAGE, &forged, "pageview"),
        event("pernexus", PAGE, token, "pageview"),
        event("portal", PAGE, withdrawn, "pageview"),
        good.replace("\"c\":", "\"x\":"),
        good[..good.len() - 9].to_owned(),
        good.replace("\"started\":1", "\"started\":\"ZqMarkedOther\""),
        format!("{good}ZqMarkedOther"),
        format!(r#"{{"padding":"{}"}}"#, "ZqMarkedOther".repeat(6_000)),
    ];
    for body in &bodies {
        // During a kill there is no answer.
        drop(
            brine
                .try_request(brine.public, Method::POST, "/api/event", &headers, body)
                .await,
        );
    }
    for more in [
        ("sec-gpc", "1"),
        ("dnt", "1"),
        ("content-type", "application/ZqMarkedOther"),
        ("origin", "https://zqmarkedother.example"),
        (
            "user-agent",
            "ZqMarkedOtherBot/1.0 (+https://zqmarkedother.example)",
        ),
        ("x-forwarded-for", "ZqMarkedOther"),
    ] {
        drop(
            brine
                .try_request(
                    brine.public,
                    Method::POST,
                    "/api/event",
                    &with(&[more]),
                    &good,
                )
                .await,
        );
    }
    let unasked = good.replace("\"c\":", "\"x\":");
    let no_token = with(&[("cookie", "sid=ZqMarkedCookie")]);
    drop(
        brine
            .try_request(
                brine.public,
                Method::POST,
                "/api/event",
                &no_token,
                &unasked,
            )
            .await,
    );
    let query = format!(
        "d=portal&u={}&vid=ZqMarkedVisitor-1&c={token}",
        PAGE.replace('#', "%23").replace('&', "%26")
    );
    for path in [
        format!("/pixel.gif?{query}"),
        "/pixel.gif?d=portal".to_owned(),
        "/pixel.gif?d=ZqMarkedOther&u=%FF%00".to_owned(),
        "/brine.js?ZqMarkedOther".to_owned(),
        "/health?ZqMarkedOther".to_owned(),
        "/ready?ZqMarkedOther".to_owned(),
        "/ZqMarkedOther".to_owned(),
    ] {
        drop(
            brine
                .try_request(brine.public, Method::GET, &path, &headers, "")
                .await,
        );
    }
    for body in [
        r#"{"site":"portal","choice":"deny"}"#.to_owned(),
        format!(r#"{{"site":"portal","choice":"status","token":"{token}"}}"#),
        format!(r#"{{"site":"portal","choice":"withdraw","token":"{withdrawn}"}}"#),
        r#"{"site":"portal","choice":"withdraw","token":"ZqMarkedOther"}"#.to_owned(),
        r#"{"site":"portal","choice":"grant","source":"Zq Marked Other"}"#.to_owned(),
        r#"{"site":"portal","choice":"grant","who":"ZqMarkedOther"}"#.to_owned(),
        r#"{"site":"ZqMarkedOther","choice":"grant"}"#.to_owned(),
    ] {
        let own = with(&[("origin", "https://portal.example.test")]);
        drop(
            brine
                .try_request(brine.public, Method::POST, "/api/consent", &own, &body)
                .await,
        );
    }
    // Connections that end in the middle.
    let whole = post("/api/event", &headers, good.as_bytes());
    let broken = "GET /ZqMarkedOther HTTP/1.1\r\nbro ken: ZqMarkedOther\r\n\r\n".as_bytes();
    for bytes in [&whole[..60], &whole[..whole.len() - 40], &whole, broken] {
        if let Some(mut raw) = Raw::try_connect(brine.public).await {
            raw.send(bytes).await;
        }
    }
}

/// Gets the receipt of a visitor.
async fn receipt(brine: &Brine, token: &str) -> String {
    let body = format!(
        r#"{{"n":"pageview","u":"https://portal.example.test/","d":"portal","rc":true,"c":"{token}"}}"#
    );
    let answer = brine.event(&body).await;
    let header = answer.headers["brine-receipt"].to_str().expect("text");
    header.split(' ').next().expect("a receipt").to_owned()
}

/// Asks for everything by a receipt and a token: done, refused and malformed.
async fn use_rights(brine: &Brine, token: &str, receipt: &str) {
    let held = format!(r#""site":"portal","token":"{token}","receipts":["{receipt}"]"#);
    let mut forged = receipt.to_owned();
    forged.replace_range(20..24, "AAAA");
    for body in [
        format!(r#"{{{held}}}"#),
        format!(r#"{{{held},"action":"restrict"}}"#),
        format!(
            r#"{{{held},"action":"correct","property":"who","from":"ZqMarkedOther","to":"zq3.marked@example.org"}}"#
        ),
        format!(r#"{{{held},"action":"unrestrict"}}"#),
        format!(r#"{{"site":"portal","receipts":["{forged}"]}}"#),
        format!(r#"{{"site":"pernexus","receipts":["{receipt}"]}}"#),
        format!(r#"{{{held},"ZqMarkedOther":"ZqMarkedOther"}}"#),
        format!(r#"{{{held},"action":"ZqMarkedOther"}}"#),
        format!(r#"{{{held},"source":"Zq Marked Other"}}"#),
        format!(r#"{{{held}"#),
        r#"{"site":"ZqMarkedOther"}"#.to_owned(),
    ] {
        let headers = [("content-type", "application/json"), ("user-agent", AGENT)];
        let answer = brine
            .request(Method::POST, "/api/subject", &headers, &body)
            .await;
        assert!(
            answer.status != 429 && answer.status != 404 || body.contains("ZqMarkedOther"),
            "{}",
            answer.text()
        );
    }
    let page = format!("/my-data?site=ZqMarkedOther&lang=ZqMarkedOther&r={receipt}");
    let answer = brine.request(Method::GET, &page, &[], "").await;
    assert!(
        !answer.text().contains("ZqMarked"),
        "the page repeats what it was sent"
    );
}

/// Dumps every row of every table of brine's, and what ClickHouse remembers about statements and errors.
fn dump(brine: &Brine) -> String {
    let mut tables: Vec<String> = brine
        .sql("SELECT database || '.' || name FROM system.tables WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')");
    assert!(tables.len() >= 5, "{tables:?}");
    for table in [
        "errors",
        "processes",
        "mutations",
        "parts",
        "parts_columns",
        "merges",
        "warnings",
        "tables",
        "settings",
    ] {
        tables.push(format!("system.{table}"));
    }
    let mut dump = String::new();
    for table in tables {
        match brine.try_sql(&format!("SELECT * FROM {table}")) {
            Ok(rows) => dump.push_str(&rows.join("\n")),
            // Not every engine has every system table.
            Err(error) => assert!(error.contains("UNKNOWN_TABLE"), "{table}: {error}"),
        }
    }
    dump
}

/// Runs a statement that changes something, with the engine's own key.
async fn change(brine: &Brine, sql: &str) {
    let engine = engine_directory(&brine.data());
    let key = Key::read(&engine).expect("the engine's key");
    let answer = post_query(&default_socket(&engine), &key, sql, "TSV", Access::Write).await;
    drop(answer.expect("it is done").collect().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_identifies_is_found_anywhere() {
    let mut brine = Builder::new()
        .set("LOG", "trace")
        .set("LIMITS__ADDRESS_BURST", "15")
        .set("LIMITS__ADDRESS_PER_MINUTE", "1")
        .set("SERVER__TRUSTED_PROXIES", "[\"127.0.0.0/8\"]")
        .start();
    let token = brine.consent("portal").await;
    let withdrawn = brine.consent("portal").await;
    assert_eq!(
        brine
            .choose("portal", "withdraw", Some(&withdrawn))
            .await
            .status,
        204
    );
    let receipt = receipt(&brine, &token).await;
    let markers = markers_with(&[&token, &withdrawn], &[&receipt]);
    change(
        &brine,
        "ALTER TABLE brine.events ADD CONSTRAINT fine CHECK name != 'refuse-me'",
    )
    .await;
    // What is to be kept is kept, and would be found: the control.
    let control = format!(
        r#"{{"n":"control","u":"https://portal.example.test/kept-ZqControl","d":"portal","c":"{token}"}}"#
    );
    let kept = Markers::new([("control", b"kept-ZqControl".as_slice())]);

    // While ClickHouse hangs everything stays in the spool.
    let engine = brine.engine().expect("an engine");
    process::signal(engine, "STOP");
    brine.event(&control).await.expect(202, "accepted");
    send_everything(&brine, &token, &withdrawn, V4).await;
    send_everything(&brine, &token, &withdrawn, V6).await;
    let spool: Vec<u8> = crate::support::markers::files_below(&brine.data().join("spool"))
        .into_iter()
        .flat_map(|path| std::fs::read(path).unwrap_or_default())
        .collect();
    assert!(
        !kept.within(&spool).is_empty(),
        "the spool holds what was accepted"
    );
    markers.expect_absent_below(&brine.data());
    process::signal(engine, "CONT");

    use_rights(&brine, &token, &receipt).await;
    markers.expect_absent_below(&brine.data());

    // Over the limit, and killed in the middle of it.
    for _ in 0..2 {
        send_everything(&brine, &token, &withdrawn, V4).await;
    }
    let outcomes = brine.outcomes().await;
    let seen = |code: &str| outcomes.iter().any(|(_, outcome, _)| outcome == code);
    for code in [
        "accepted",
        "beacon.incomplete",
        "beacon.too_large",
        "beacon.media_type",
        "beacon.malformed",
        "beacon.url",
        "site.unknown",
        "site.origin",
        "signal.gpc",
        "signal.dnt",
        "consent.missing",
        "consent.malformed",
        "consent.forged",
        "consent.other_site",
        "consent.withdrawn",
        "limit.address",
        "filter.bot",
        "filter.hostname",
        "filter.rule",
    ] {
        assert!(seen(code), "{code} was not reached: {outcomes:?}");
    }
    let metrics = brine.admin(Method::GET, "/metrics", &[], "").await;
    markers.expect_absent("/metrics", &metrics.body);
    {
        let (sending, killing) = (
            send_everything(&brine, &token, &withdrawn, "203.0.113.178"),
            async {
                tokio::time::sleep(Duration::from_millis(30)).await;
                brine.signal("KILL");
            },
        );
        tokio::join!(sending, killing);
    }
    brine.kill_is_over();
    markers.expect_absent_below(&brine.data());
    brine.restart();
    send_everything(&brine, &token, &withdrawn, "203.0.113.179").await;
    brine.wait_drained().await;

    markers.expect_absent_below(&brine.data());
    let quarantine = brine.data().join("spool/quarantine");
    assert!(
        std::fs::read_dir(quarantine).expect("a quarantine").count() > 0,
        "a row was refused"
    );
    let dump = dump(&brine);
    assert!(
        !kept.within(dump.as_bytes()).is_empty(),
        "the dump holds what was accepted"
    );
    assert!(
        dump.contains(":email") && dump.contains(":token"),
        "what was marked in the page address is masked"
    );
    markers.expect_absent("ClickHouse", dump.as_bytes());
    // Replies to somebody else.
    let others = brine.consent("pernexus").await;
    let body = format!(
        r#"{{"n":"a","u":"https://pernexus.example.test/","d":"pernexus","c":"{others}"}}"#
    );
    let other = brine.event_with(&[("user-agent", FIREFOX)], &body).await;
    markers.expect_absent("another's reply", format!("{other:?}").as_bytes());
    brine.terminate();
    markers.expect_absent_below(&brine.data());
    assert!(
        brine.log().lines().count() > 20,
        "the log at trace says something"
    );
    markers.expect_absent("the log", brine.log().as_bytes());
}

/// The control of the test above: whatever is planted, in whatever spelling, is found.
#[test]
fn a_planted_marker_is_found_in_every_spelling() {
    let token = URL_SAFE_NO_PAD.encode([0xfb; 44]);
    let markers = markers(&[&token]);
    let directory = tempfile::tempdir().expect("a directory");
    for (name, needle) in markers.planted() {
        let planted = [b"before ".as_slice(), needle, b" after"].concat();
        assert!(!markers.within(&planted).is_empty(), "{name}");
        assert!(
            !markers.within(&planted.to_ascii_uppercase()).is_empty(),
            "{name} in capitals"
        );
        std::fs::write(directory.path().join("planted"), &planted).expect("written");
        let looked = std::panic::catch_unwind(|| markers.expect_absent_below(directory.path()));
        assert!(looked.is_err(), "{name} in a file");
    }
    // As part of something longer in base64, wherever it falls.
    for before in 0..6 {
        let text = format!("{}{V4}, and more", "x".repeat(before));
        let encoded = base64::engine::general_purpose::STANDARD.encode(&text);
        assert!(
            !markers.within(encoded.as_bytes()).is_empty(),
            "{before}: {encoded}"
        );
    }
}

/// README, "Pseudonyms": one visitor has one pseudonym a site and period, and nothing but the salt makes it.
#[tokio::test]
async fn a_pseudonym_is_of_one_site_and_one_salt() {
    let group = "domains = [\"pernexus.example.test\"]";
    let mut brine = Builder::new()
        .replace("# group = \"corporate\"", "group = \"corporate\"")
        .replace(group, &format!("{group}\ngroup = \"corporate\""))
        .start();
    let (one, other) = (brine.consent("portal").await, brine.consent("portal").await);
    let event = |name: &str, site: &str, token: &str| {
        format!(r#"{{"n":"{name}","u":"https://{site}.example.test/","d":"{site}","c":"{token}"}}"#)
    };
    for (name, site, token) in [
        ("first", "portal", &one),
        ("again", "portal", &one),
        ("other-visitor", "portal", &other),
        ("other-site", "pernexus", &one),
    ] {
        brine
            .event(&event(name, site, token))
            .await
            .expect(202, "accepted");
    }
    // The same visitor from elsewhere, with another browser: neither address nor agent is looked at.
    let elsewhere = [("x-forwarded-for", "198.51.100.9"), ("user-agent", AGENT)];
    brine
        .event_with(&elsewhere, &event("elsewhere", "portal", &one))
        .await
        .expect(202, "accepted");
    brine.wait_for("SELECT count() FROM events", 5);
    assert_eq!(brine.terminate(), Some(0));
    brine.restart();
    brine
        .event(&event("restarted", "portal", &one))
        .await
        .expect(202, "accepted");
    brine.wait_for("SELECT count() FROM events", 6);
    // The salt is destroyed: the same visitor cannot be made again.
    assert_eq!(brine.terminate(), Some(0));
    std::fs::remove_dir_all(brine.data().join("salts")).expect("salts are gone");
    brine.restart();
    brine
        .event(&event("salt-destroyed", "portal", &one))
        .await
        .expect(202, "accepted");
    brine.wait_for("SELECT count() FROM events", 7);
    let visitor = |name: &str| {
        brine.sql(&format!("SELECT visitor FROM events WHERE name = '{name}'"))[0].clone()
    };
    let first = visitor("first");
    for name in ["again", "elsewhere", "restarted"] {
        assert_eq!(visitor(name), first, "{name}");
    }
    for name in ["other-visitor", "other-site", "salt-destroyed"] {
        assert_ne!(visitor(name), first, "{name}");
    }
    assert_ne!(visitor("other-site"), visitor("other-visitor"));
}

/// README, "What is never stored": no core dump, and no look into memory for others.
#[tokio::test]
async fn memory_cannot_be_dumped() {
    use std::os::unix::fs::{MetadataExt, chown};
    use std::os::unix::process::CommandExt;

    // Which user may read a process shows in the owner of its files in /proc: root's where it is not dumpable.
    let is_root = std::fs::metadata("/proc/self")
        .expect("/proc is there")
        .uid()
        == 0;
    let builder = Builder::new().set("STORE__URL", "http://127.0.0.1:9");
    let mut command = builder.command();
    if is_root {
        chown(builder.directory(), Some(65_534), Some(65_534)).expect("given away");
        command.uid(65_534).gid(65_534);
    }
    let (mut child, _, _) = crate::support::launch(command, &builder.directory().join("log"));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).expect("limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .expect("a limit");
    let owner = std::fs::metadata(format!("/proc/{}/maps", child.id()))
        .expect("a process")
        .uid();
    child.kill().expect("it ends");
    child.wait().expect("it ends");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    assert_eq!(owner, 0, "the process can be dumped");
}
