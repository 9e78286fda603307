//! README, "Matomo's and Umami's clients": what their clients send arrives, behind the same gates.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Answer, Brine, Builder, FIREFOX};

const WEBSITE: &str = "94db1cb1-74f4-4a40-ad6c-962362670409";
const BROWSER: [(&str, &str); 1] = [("user-agent", FIREFOX)];

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

    brine.wait_for("SELECT count() FROM events", 7);
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
            "Goal 3\t/shop\t12.5\tEUR\t{}\ttrue",
            "Purchase\t/shop\t99\tEUR\t{}\ttrue",
            "pageview\t/shop\t0\t\t{'plan':'pro'}\ttrue",
        ]
    );
    assert_eq!(brine.count("SELECT uniqExact(visitor) FROM events"), 1);
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
    brine.wait_drained().await;
    // Whoever has no token and no id of ours is hashed by what it sent; the id it sent is nowhere.
    assert_eq!(
        brine.sql("SELECT site, path, visitor != 0 FROM events"),
        ["ios\t/a\t1"]
    );
}
