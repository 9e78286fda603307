//! README, "Matomo's and Umami's clients": what their clients send arrives, behind the same gates.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Answer, Brine, Builder, FIREFOX};

const WEBSITE: &str = "94db1cb1-74f4-4a40-ad6c-962362670409";
const BROWSER: [(&str, &str); 1] = [("user-agent", FIREFOX)];

/// A server key of the site `android`, where a test gives it one.
const KEY: &str = "bsk_an-example-of-a-key-with-enough-letters";

fn builder() -> Builder {
    Builder::new()
        .replace(
            "id = \"android\"",
            "id = \"android\"\nmatomo_id = \"7\"\nmatomo_currency = \"EUR\"",
        )
        .replace("umami_id = \"\"", &format!("umami_id = \"{WEBSITE}\""))
}

fn installed() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("tests/wires/setup"))
        .output()
        .expect("bash");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("wires")
}

async fn get(brine: &Brine, query: &str) -> Answer {
    let path = format!("/matomo.php?{query}");
    brine.request(hyper::Method::GET, &path, &BROWSER, "").await
}

async fn grant(brine: &Brine, site: &str) -> String {
    let body = json!({"site": site, "choice": "grant", "source": "app"}).to_string();
    let origin = format!("https://{site}.example.test");
    let headers = [
        ("content-type", "application/json"),
        ("user-agent", FIREFOX),
        ("origin", origin.as_str()),
    ];
    let headers = if site == "portal" {
        &headers[..]
    } else {
        &headers[..2]
    };
    brine.post("/api/consent", headers, body).await.json()["token"]
        .as_str()
        .expect("a token")
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_clients_of_matomo_and_umami_work() {
    let brine = builder()
        // One token for both sites.
        .replace("# group = \"corporate\"", "group = \"corporate\"")
        .replace(
            "id = \"android\"",
            "id = \"android\"\ngroup = \"corporate\"",
        )
        .start();
    let token = grant(&brine, "portal").await;
    let directory = installed();
    let script = directory.join("clients.mjs");
    std::fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wires/clients.mjs"),
        &script,
    )
    .expect("copied");
    let base = format!("http://{}", brine.public);
    let run = tokio::task::spawn_blocking(move || {
        Command::new("node")
            .arg(script)
            .args([&base, "7", WEBSITE, &token])
            .output()
    });
    let output = run.await.expect("it runs").expect("node");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said: Value = serde_json::from_str(text.trim()).expect("what it says");
    assert_eq!(said["errors"], json!([]));
    let bulk: Value = serde_json::from_str(said["bulk"].as_str().expect("a reply")).expect("JSON");
    assert_eq!(
        bulk,
        json!({"status": "success", "tracked": 2, "invalid": 2})
    );
    assert_eq!(said["native"], json!([204, 204, 204, 204, 204]));
    let ends: Vec<_> = said["umami"]
        .as_array()
        .expect("replies")
        .iter()
        .map(|reply| (reply[0].clone(), reply[1].clone()))
        .collect();
    let end = |code: &str| (json!(200), json!(code));
    assert_eq!(
        ends,
        [
            end("accepted"),
            end("accepted"),
            end("filter.kind"),
            end("consent.missing")
        ]
    );
    brine.wait_for("SELECT count() FROM events", 10);
    let rows = brine.sql("SELECT site, name, path, props FROM events ORDER BY site, path, name");
    assert_eq!(
        rows,
        [
            "android\tFile Download\t/\t{'url':'app.example.test/file.pdf'}",
            "android\tOrder: open\t/\t{}",
            "android\tOutbound Link: Click\t/\t{'url':'elsewhere.example.org/a'}",
            "android\tSite Search\t/\t{'term':'salt','category':'goods','results':'3'}",
            "android\tpageview\t/Screen/Orders\t{}",
            "android\tpageview\t/node/item\t{}",
            "android\tVideo: play\t/node/list\t{'name':'Intro','value':'7','dimension1':'gold'}",
            "android\tpageview\t/node/list\t{}",
            "portal\tSignup\t/umami/page\t{'plan':'pro'}",
            "portal\tpageview\t/umami/page\t{}",
        ]
    );
    assert_eq!(
        brine.count("SELECT uniqExact(visitor) FROM events WHERE site = 'android'"),
        1,
        "the token's"
    );
    assert_eq!(
        brine.sql("SELECT DISTINCT os, os_version FROM events WHERE path LIKE '/node%'"),
        ["Android\t15"]
    );
}

/// As the SDKs' documentation says that they send.
#[tokio::test]
async fn recorded_requests_of_matomos_sdks_are_understood() {
    let brine = builder().start();
    let token = grant(&brine, "android").await;
    let item = |more: &str| {
        format!("?idsite=7&rec=1&apiv=1&brine_consent={token}&_id=a2343c5d8eb7a1f0&{more}")
    };
    let bulk = |items: &[String]| json!({"requests": items}).to_string();
    let android = [
        ("content-type", "application/json"),
        (
            "user-agent",
            "Dalvik/2.1.0 (Linux; U; Android 15; Pixel 9 Build/AP4A)",
        ),
    ];
    let ios = [
        ("content-type", "application/json; charset=utf-8"),
        (
            "user-agent",
            "Darwin/24.1.0 (iPhone17,1; iOS 18.1), MatomoTracker SDK URLSessionDispatcher",
        ),
    ];
    // Android: several as a bulk, packed; one alone as GET, which must be 200 or 204 or it is sent for ever.
    let packed = {
        use std::io::Write;
        let items = [
            item(
                "url=https%3A%2F%2Fdk.example.app%2Fmain&action_name=Main&res=1080x2400&cdt=2020-01-01%2000%3A00%3A00",
            ),
            item("url=https%3A%2F%2Fdk.example.app%2Fmain&e_c=Menu&e_a=open&lang=da"),
        ];
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bulk(&items).as_bytes()).expect("packs");
        encoder.finish().expect("packs")
    };
    let headers = [&android[..], &[("content-encoding", "gzip")]].concat();
    let answer = brine.post("/matomo.php", &headers, packed).await;
    answer.expect(200, "batch.mixed");
    assert_eq!(
        answer.json(),
        json!({"status": "success", "tracked": 1, "invalid": 1})
    );
    let one = format!(
        "/piwik.php{}",
        item("url=https%3A%2F%2Fdk.example.app%2Fold&send_image=0&cdt=1577836800")
    );
    brine
        .request(hyper::Method::GET, &one, &android, "")
        .await
        .expect(204, "event.too_old");
    // iOS: always a bulk.
    let goal =
        item("url=http%3A%2F%2Fdk.example%2Fshop&idgoal=3&revenue=12.5&new_visit=1&h=10&m=1&s=2");
    let order =
        item("url=http%3A%2F%2Fdk.example%2Fshop&idgoal=0&ec_id=4711&revenue=99&ec_items=%5B%5D");
    let cvar = item(
        "url=http%3A%2F%2Fdk.example%2Fshop&cvar=%7B%221%22%3A%5B%22plan%22%2C%22pro%22%5D%7D&action_name=shop",
    );
    brine
        .post("/matomo.php", &ios, bulk(&[goal, order, cvar]))
        .await
        .expect(200, "accepted");
    // matomo.js: everything in the query, an empty form as body; a ping when the page is hidden.
    let page = format!(
        "/matomo.php{}",
        item(
            "action_name=Title&url=https%3A%2F%2Fapp.example.test%2Fjs&urlref=&pv_id=x1&pf_net=1&uadata=%7B%7D&cookie=1&consent=1&res=800x600"
        )
    );
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("user-agent", FIREFOX),
    ];
    let answer = brine.post(&page, &form, "").await;
    answer.expect(200, "accepted");
    assert_eq!(answer.headers["content-type"], "image/gif");
    brine
        .post(&format!("{page}&ping=1&send_image=0"), &form, "")
        .await
        .expect(204, "accepted");
    // .NET, PHP, Java: a form, with what it repeats in the body winning.
    let body = format!(
        "idsite=7&rec=1&url=https%3A%2F%2Fapp.example.test%2Fform&consent={token}&send_image=0"
    );
    brine
        .post(
            "/matomo.php?url=https%3A%2F%2Fapp.example.test%2Fother",
            &form,
            body,
        )
        .await
        .expect(204, "accepted");

    // What is in a cart is not bought yet.
    brine
        .request(
            hyper::Method::GET,
            &format!(
                "/matomo.php{}",
                item("url=http%3A%2F%2Fdk.example%2Fshop&idgoal=0&revenue=24.00&ec_items=%5B%5D")
            ),
            &android,
            "",
        )
        .await
        .expect(200, "accepted");

    brine.wait_for("SELECT count() FROM events", 8);
    let rows = brine.sql(
        "SELECT name, path, revenue, currency, props, interactive FROM events ORDER BY path, name",
    );
    assert_eq!(
        rows,
        [
            "pageview\t/form\t0\t\t{}\ttrue",
            "engagement\t/js\t0\t\t{}\tfalse",
            "pageview\t/js\t0\t\t{}\ttrue",
            "Menu: open\t/main\t0\t\t{}\ttrue",
            "Cart Update\t/shop\t0\t\t{}\ttrue",
            "Goal 3\t/shop\t12.5\tEUR\t{}\ttrue",
            "Purchase\t/shop\t99\tEUR\t{}\ttrue",
            "pageview\t/shop\t0\t\t{'plan':'pro'}\ttrue",
        ]
    );
    assert_eq!(brine.count("SELECT uniqExact(visitor) FROM events"), 1);
    // The monitor's width is not the window's.
    assert_eq!(brine.sql("SELECT DISTINCT screen FROM events"), [""]);
}

/// Each SDK writes the time of an event in its own way; none of them says when it was sent.
#[tokio::test]
async fn every_sdks_time_is_the_same_moment() {
    const NOON: i64 = 1_795_608_000_000; // 2026-11-25T12:00:00Z
    let brine = builder().clock(NOON).start();
    let token = grant(&brine, "android").await;
    brine.set_clock(NOON + 7_200_000);
    let page = |path: &str, cdt: &str| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([
            ("idsite", "7"),
            ("rec", "1"),
            ("brine_consent", &token),
            ("url", &format!("https://app.example.test/{path}")),
            ("cdt", cdt),
        ]);
        query.finish()
    };
    for (path, cdt, outcome) in [
        ("android", "2026-11-25 13:30:00+0100", "accepted"),
        ("west", "2026-11-25 04:30:00-0800", "accepted"),
        ("flutter", "2026-11-25T12:30:00.123456Z", "accepted"),
        ("ios", "2026-11-25 12:30:00", "accepted"),
        ("seconds", "1795609800", "accepted"),
        // A clock that is ahead: when it arrived.
        ("ahead", "2026-11-25 16:00:00+0100", "accepted"),
        ("old", "2026-11-20 12:30:00+0100", "event.too_old"),
        ("none", "2026-11-25 25:00:00", "beacon.malformed"),
    ] {
        get(&brine, &page(path, cdt)).await.expect(200, outcome);
    }
    brine.wait_for("SELECT count() FROM events", 6);
    assert_eq!(
        brine
            .sql("SELECT path, toUnixTimestamp(ts) FROM events ORDER BY toUnixTimestamp(ts), path"),
        [
            "/android\t1795609800",
            "/flutter\t1795609800",
            "/ios\t1795609800",
            "/seconds\t1795609800",
            "/west\t1795609800",
            "/ahead\t1795615200",
        ]
    );
}

/// A server speaks for its visitors: what it says of none of them is not its own.
#[tokio::test]
async fn a_server_with_the_sites_key_is_not_its_visitor() {
    let hash = blake3::hash(KEY.as_bytes()).to_hex();
    let keys = format!("id = \"android\"\nserver_keys = [\"{hash}\"]");
    let brine = builder().replace("id = \"android\"", &keys).start();
    let token = grant(&brine, "android").await;
    let page = format!(
        "idsite=7&rec=1&brine_consent={token}&url=https%3A%2F%2Fapp.example.test%2Fa&token_auth={KEY}"
    );
    get(&brine, &page).await.expect(200, "accepted");
    get(&brine, &format!("{page}&cip=nowhere"))
        .await
        .expect(200, "beacon.malformed");
    brine.wait_for("SELECT count() FROM events", 1);
    assert_eq!(brine.sql("SELECT country, language FROM events"), ["\t"]);
}

#[tokio::test]
async fn a_wire_is_off_until_a_site_says_otherwise_and_then_behind_the_same_gates() {
    let brine = builder()
        .replace(
            "id = \"ios\"",
            "id = \"ios\"\nmatomo_id = \"8\"\ntrust_sender_consent = true",
        )
        .start();
    let page = "rec=1&url=https%3A%2F%2Fapp.example.test%2Fa";
    for (query, status, outcome) in [
        (format!("idsite=portal&{page}"), 404, "site.wire"),
        (format!("idsite=99&{page}"), 404, "site.unknown"),
        (page.to_owned(), 404, "site.unknown"),
        (format!("idsite=7&{page}"), 200, "consent.missing"),
        // The sender's word is good where the site trusts it, and only there.
        (format!("idsite=7&{page}&consent=1"), 200, "consent.missing"),
        (format!("idsite=8&{page}"), 200, "consent.missing"),
        (format!("idsite=8&{page}&consent=0"), 200, "consent.missing"),
        (
            format!("idsite=8&{page}&consent=1&cip=198.51.100.7&uid=mikkel@example.org"),
            200,
            "accepted",
        ),
        (
            format!("idsite=8&{page}&consent=1&ua=Googlebot/2.1"),
            200,
            "filter.bot",
        ),
        (
            format!("idsite=8&{page}&consent=nonsense"),
            200,
            "consent.malformed",
        ),
        ("idsite=8&rec=0".to_owned(), 200, "beacon.malformed"),
        (
            "idsite=8&rec=1&consent=1&url=javascript:1".to_owned(),
            200,
            "beacon.url",
        ),
        (
            format!("idsite=8&{page}&consent=1&cdt=tomorrow"),
            200,
            "beacon.malformed",
        ),
    ] {
        get(&brine, &query).await.expect(status, outcome);
    }
    // A no for one event is heard although the browser brings a yes.
    let yes = brine.consent("ios").await;
    let cookie = format!("brine_consent={yes}");
    let with_cookie = [
        ("user-agent", FIREFOX),
        ("cookie", cookie.as_str()),
        ("content-type", "application/json"),
    ];
    for (consent, outcome) in [("&consent=0", "consent.missing"), ("", "accepted")] {
        let path = format!("/matomo.php?idsite=8&{page}{consent}");
        brine
            .request(hyper::Method::GET, &path, &with_cookie, "")
            .await
            .expect(200, outcome);
    }
    let said_no = [("user-agent", FIREFOX), ("sec-gpc", "1")];
    let path = format!("/matomo.php?idsite=8&{page}&consent=1");
    brine
        .request(hyper::Method::GET, &path, &said_no, "")
        .await
        .expect(200, "signal.gpc");
    for body in ["{\"requests\":[]}", "{\"requests\":7}"] {
        brine
            .post("/matomo.php", &BROWSER, body)
            .await
            .expect(400, "beacon.malformed");
    }
    let json_type = [
        ("user-agent", FIREFOX),
        ("content-type", "application/json"),
    ];
    for (body, status, outcome) in [
        (
            json!({"payload": {"website": "portal", "url": "/"}}),
            404,
            "site.wire",
        ),
        (
            json!({"payload": {"website": WEBSITE, "url": "/"}}),
            200,
            "consent.missing",
        ),
        (
            json!({"payload": {"website": WEBSITE, "url": "/", "consent": true}}),
            200,
            "consent.missing",
        ),
        (
            json!({"type": "other", "payload": {"website": WEBSITE}}),
            200,
            "beacon.malformed",
        ),
        (json!({"payload": 1}), 400, "beacon.malformed"),
    ] {
        brine
            .post("/api/send", &json_type, body.to_string())
            .await
            .expect(status, outcome);
    }
    let yes = brine.consent("portal").await;
    let cookie = format!("brine_consent={yes}");
    let with_cookie = [json_type[0], json_type[1], ("cookie", cookie.as_str())];
    let no = json!({"payload": {"website": WEBSITE, "url": "/", "consent": false}});
    brine
        .post("/api/send", &with_cookie, no.to_string())
        .await
        .expect(200, "consent.missing");
    brine.wait_drained().await;
    // Whoever has no token and no id of ours is hashed by what it sent; the id it sent is nowhere.
    assert_eq!(
        brine.sql("SELECT site, path, visitor != 0 FROM events"),
        ["ios\t/a\t1", "ios\t/a\t1"]
    );
}

/// Half an e-mail address is still one.
#[tokio::test]
async fn what_is_cut_was_masked_before() {
    let brine = builder().start();
    let token = brine.consent("android").await;
    let address = "jane.doe@doe.example";
    for offset in 0..=address.len() + 4 {
        // The limits of a name, of a property's name and of its value.
        let category = "x".repeat(120 - 2 - offset);
        let page = format!("idsite=7&rec=1&brine_consent={token}&url=app%3A%2F%2Fandroid%2Fa");
        let event = format!("{page}&e_c={category}&e_a=+{address}");
        get(&brine, &event).await.expect(200, "accepted");
        let term = format!(
            "{}+{address}",
            "lang+".repeat(398) + &"y".repeat(9 - offset % 10)
        );
        let search = format!("{page}&search={term}");
        get(&brine, &search).await.expect(200, "accepted");
    }
    brine.wait_drained().await;
    let stored = brine.sql("SELECT name, toString(props) FROM events");
    assert!(stored.len() > 40, "{}", stored.len());
    let left: Vec<&String> = stored.iter().filter(|row| row.contains("jan")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// An app may show the page of a router, of an intranet, or anything under a name that it made up.
#[tokio::test]
async fn an_apps_address_names_no_device() {
    let brine = Builder::new().start();
    let token = brine.consent("android").await;
    for address in [
        "https://192.168.1.50/a",
        "https://[2001:db8::21b:44ff:fe11:3ab7]/a",
        "app://00-1b-44-11-3a-b7/a",
        "app://192.168.1.50/a",
        "https://001b44113ab7.dyn.home.example/a",
        "app://jane.doe%40doe.example/a",
        "app://jane.doe%2540doe.example/a",
        "app://jane.doe%40xn--sknhed-cya.example/a",
        "https://192.168.1.50.xn--sknhed-cya.example/a",
        // What names nobody stays.
        "app://android/a",
        "https://help.saltholm.example/a",
        "https://xn--sknhed-cya.example/a",
    ] {
        let event = format!(r#"{{"n":"pageview","u":"{address}","d":"android","c":"{token}"}}"#);
        brine.event(&event).await.expect(202, "accepted");
    }
    brine.wait_drained().await;
    assert_eq!(
        brine.sql("SELECT DISTINCT toString(hostname) AS host FROM events ORDER BY host"),
        [
            ":email",
            ":ip",
            ":ip.xn--sknhed-cya.example",
            ":mac",
            ":token.dyn.home.example",
            "android",
            "help.saltholm.example",
            "xn--sknhed-cya.example",
        ]
    );
}
