//! README, "Apps" and "Devices and MAC addresses".

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::support::chance::Chance;
use crate::support::markers::Markers;
use crate::support::{Answer, Brine, Builder};

const APP: &str = "PortalApp/4.2 (Windows 11; desktop)";
/// 2026-11-24 10:00 in Copenhagen.
const TUESDAY: i64 = 1_795_510_800_000;
const HOUR: i64 = 3_600_000;
const MAC: &str = "00:1b:44:11:3a:b7";

/// Sends a batch as an app would.
async fn send(brine: &Brine, batch: &Value) -> Answer {
    send_with(brine, &[], batch.to_string()).await
}

async fn send_with(brine: &Brine, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut all = vec![("content-type", "application/json"), ("user-agent", APP)];
    all.retain(|(name, _)| headers.iter().all(|(other, _)| other != name));
    all.extend_from_slice(headers);
    brine.post("/api/events", &all, body).await
}

/// Sends until it is taken: a moved clock takes a second to be noticed by the salts.
async fn send_when_ready(brine: &Brine, batch: &Value) -> Answer {
    for _ in 0..600 {
        let answer = send(brine, batch).await;
        if answer.outcome() != "salt.unavailable" {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("no salt\n{}", brine.log_tail());
}

async fn grant(brine: &Brine, site: &str) -> String {
    let body = json!({"site": site, "choice": "grant", "source": "app"}).to_string();
    let headers = [("content-type", "application/json"), ("user-agent", APP)];
    let answer = brine.post("/api/consent", &headers, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["token"].as_str().expect("a token").to_owned()
}

fn outcomes(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let results = body["results"].as_array().expect("results");
    results
        .iter()
        .map(|end| end["outcome"].as_str().expect("an outcome").to_owned())
        .collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).expect("packs");
    encoder.finish().expect("packs")
}

#[tokio::test]
async fn every_event_of_a_batch_has_its_own_end_and_what_an_app_may_say_is_stored() {
    let brine = Brine::start();
    let token = grant(&brine, "windows").await;
    let device = json!({
        "platform": "Windows", "app_version": "4.12.1.77", "os": "Windows 11", "model_class": "laptop",
        "locale": "da-DK", "mac": MAC,
    });
    let batch = json!({
        "site": "windows", "consent": token, "device": device,
        "events": [
            {"id": "1", "screen": "/orders/list"},
            {"id": "2", "name": "Export", "screen": "/orders/mikkel@example.org", "props": {"rows": 12, "card": MAC},
             "revenue": {"amount": 5, "currency": "DKK"}},
            {"id": "2", "name": "Export", "screen": "/orders/list"},
            {"id": "3", "name": "", "screen": "/x"},
            {"id": "c232ab00-9414-11ec-b3c8-9f6bdeced846", "screen": "/x"},
            "nonsense",
            {"id": "4", "url": "https://elsewhere.example.org/", "name": "Web page"},
        ],
    });
    let answer = send(&brine, &batch).await;
    answer.expect(200, "batch.mixed");
    assert_eq!(
        outcomes(&answer),
        [
            "accepted",
            "accepted",
            "event.repeated",
            "beacon.malformed",
            "beacon.malformed",
            "beacon.malformed",
            "accepted"
        ]
    );
    assert_eq!(answer.json()["device"], "counted");
    // The same, packed, from another device of the same visitor; all repeated: nothing new, and all of it kept.
    let mut again = batch.clone();
    again["events"] = json!([batch["events"][0], batch["events"][1]]);
    let text = again.to_string();
    let zstd = zstd::encode_all(text.as_bytes(), 3).expect("packs");
    for (body, encoding) in [(gzip(&text), "gzip"), (zstd, "zstd")] {
        let answer = send_with(&brine, &[("content-encoding", encoding)], body).await;
        answer.expect(202, "accepted");
        assert_eq!(outcomes(&answer), ["event.repeated", "event.repeated"]);
    }
    brine.wait_for("SELECT count() FROM events", 3);
    let rows = brine.sql(
        "SELECT name, hostname, path, platform, app_version, os, os_version, device, language, browser, revenue, \
         props['card'], device_id != 0 FROM events ORDER BY ts, seq",
    );
    let app = "windows\t4.12.1\tWindows\t11\tDesktop\tda\tApp";
    assert_eq!(
        rows,
        [
            format!("pageview\twindows\t/orders/list\t{app}\t0\t\ttrue").replace("true", "1"),
            format!("Export\twindows\t/orders/:email\t{app}\t5\t:mac\t1"),
            format!("Web page\telsewhere.example.org\t/\t{app}\t0\t\t1"),
        ]
    );
    assert_eq!(
        brine.count(
            "SELECT uniqExact(visitor) + uniqExact(visit) + uniqExact(device_id) FROM events"
        ),
        3
    );

    for (body, headers, status, outcome) in [
        ("{".to_owned(), vec![], 400, "beacon.malformed"),
        (
            json!({"site": "nobody", "events": [{}]}).to_string(),
            vec![],
            404,
            "site.unknown",
        ),
        (
            json!({"site": "windows", "events": []}).to_string(),
            vec![],
            400,
            "beacon.malformed",
        ),
        (
            json!({"site": "windows", "events": vec![json!({}); 501]}).to_string(),
            vec![],
            400,
            "beacon.malformed",
        ),
        (
            text.clone(),
            vec![("content-encoding", "br")],
            415,
            "beacon.encoding",
        ),
        (
            text.clone(),
            vec![("content-encoding", "gzip")],
            400,
            "beacon.malformed",
        ),
        (
            text.clone(),
            vec![("content-type", "application/x-www-form-urlencoded")],
            415,
            "beacon.media_type",
        ),
        (
            text.clone(),
            vec![("origin", "https://elsewhere.example.org")],
            403,
            "site.origin",
        ),
        (" ".repeat(1_100_000), vec![], 413, "beacon.too_large"),
    ] {
        send_with(&brine, &headers, body)
            .await
            .expect(status, outcome);
    }
    let bomb = gzip(&" ".repeat(1_100_000));
    send_with(&brine, &[("content-encoding", "gzip")], bomb)
        .await
        .expect(413, "beacon.too_large");
    // Each event and each request is in a counter once.
    let counted = |outcome: &str| {
        format!("brine_app_batches_total{{outcome=\"{outcome}\",site=\"windows\"}}")
    };
    assert_eq!(brine.metric(&counted("accepted")).await, 2.0);
    assert_eq!(brine.metric(&counted("batch.mixed")).await, 1.0);
    assert_eq!(brine.metric(&counted("site.origin")).await, 1.0);
    assert_eq!(
        brine
            .metric("brine_devices_total{result=\"counted\",site=\"windows\"}")
            .await,
        3.0
    );
    let ends: Vec<_> = brine
        .outcomes()
        .await
        .into_iter()
        .filter(|(site, _, _)| site == "windows")
        .collect();
    let n = |outcome: &str| {
        ends.iter()
            .find(|(_, code, _)| code == outcome)
            .map_or(0, |(_, _, n)| *n)
    };
    assert_eq!(
        (n("accepted"), n("event.repeated"), n("site.origin")),
        (3, 5, 0)
    );
}

/// README, "Nothing before yes": also not later, out of an app's queue.
#[tokio::test]
async fn a_batch_stores_nothing_before_yes_and_nothing_after_no() {
    let brine = Builder::new().clock(TUESDAY).start();
    let token = grant(&brine, "ios").await;
    let batch = |token: &str, age: i64| json!({"site": "ios", "consent": token, "sent_at": TUESDAY, "events": [{"ts": TUESDAY - age, "screen": "/a"}]});
    send(&brine, &json!({"site": "ios", "events": [{}, {}]}))
        .await
        .expect(204, "consent.missing");
    send(&brine, &batch("nonsense", 0))
        .await
        .expect(204, "consent.malformed");
    let text = batch(&token, 0).to_string();
    send_with(&brine, &[("sec-gpc", "1")], text.clone())
        .await
        .expect(204, "signal.gpc");
    send_with(&brine, &[("dnt", "1")], text)
        .await
        .expect(204, "signal.dnt");
    let answer = send(&brine, &batch(&token, 20 * HOUR)).await;
    answer.expect(200, "batch.mixed");
    assert_eq!(outcomes(&answer), ["consent.later"]);
    assert_eq!(
        brine.choose("ios", "withdraw", Some(&token)).await.status,
        204
    );
    send(&brine, &batch(&token, 0))
        .await
        .expect(204, "consent.withdrawn");
    brine.wait_drained().await;
    assert_eq!(brine.count("SELECT count() FROM events"), 0);
    let ends = brine.outcomes().await;
    let missing = ends.iter().find(|(_, code, _)| code == "consent.missing");
    assert_eq!(
        missing.map(|(_, _, n)| *n),
        Some(2),
        "each event of the batch: {ends:?}"
    );
}

/// README, "Apps": events up to 72 hours old keep their own time, also where the device's clock is years off; those of a day whose
/// salt is gone are linkable with no other day, and still their visitor's own.
#[tokio::test]
async fn late_events_keep_their_time_and_link_no_days() {
    let brine = Builder::new().clock(TUESDAY).start();
    let token = grant(&brine, "android").await;
    let today = TUESDAY + 48 * HOUR;
    let batch = |ages: &[i64], skew: i64| {
        let events: Vec<Value> = ages
            .iter()
            .map(|age| json!({"id": format!("{age}"), "ts": today + skew - age * HOUR, "screen": format!("/{age}")}))
            .collect();
        json!({"site": "android", "consent": token, "sent_at": today + skew, "receipts": true, "device": {"mac": MAC}, "events": events})
    };
    brine.set_clock(today);
    let four_years = 4 * 365 * 24 * HOUR;
    let destroyed = "SELECT count() FROM salt_events WHERE site = 'android' AND step = 'destroyed'";
    brine.wait_for(destroyed, 1);
    let answer = send(&brine, &batch(&[0, 1, 24, 47, 48, 73, -1], -four_years)).await;
    answer.expect(200, "batch.mixed");
    assert_eq!(
        outcomes(&answer),
        [
            "accepted",
            "accepted",
            "accepted",
            "accepted",
            "accepted",
            "event.too_old",
            "event.future"
        ]
    );
    let receipts = answer.json()["receipts"]
        .as_array()
        .expect("receipts")
        .clone();
    assert_eq!(receipts.len(), 3, "one a day: {receipts:?}");
    brine.wait_for("SELECT count() FROM events", 5);
    let rows = brine
        .sql("SELECT path, toString(day), toUnixTimestamp64Milli(ts) FROM events ORDER BY path");
    let expected = [
        (0, "2026-11-26"),
        (1, "2026-11-26"),
        (24, "2026-11-25"),
        (47, "2026-11-24"),
        (48, "2026-11-24"),
    ]
    .map(|(age, day)| format!("/{age}\t{day}\t{}", today - age * HOUR));
    assert_eq!(rows, expected);
    // Visitors and devices of three days are three; within a day they are one.
    for column in ["visitor", "device_id"] {
        assert_eq!(
            brine.count(&format!("SELECT uniqExact({column}) FROM events")),
            3,
            "{column}"
        );
        assert_eq!(brine.count(&format!("SELECT count() FROM (SELECT day FROM events GROUP BY day HAVING uniqExact({column}) = 1)")), 3);
    }
    // With the token alone the visitor sees all of it, today; what is erased is gone.
    let ask =
        |action: &str| json!({"site": "android", "action": action, "token": token}).to_string();
    let headers = [("content-type", "application/json")];
    let seen = brine.post("/api/subject", &headers, ask("see")).await;
    let text = seen.text();
    for age in [0, 1, 24, 47, 48] {
        assert!(text.contains(&format!("\"/{age}\"")), "/{age}: {text}");
    }
    // Two days on the salt is gone; the receipts open each day.
    brine.set_clock(today + 48 * HOUR);
    brine.wait_for(destroyed, 2);
    assert!(
        !brine
            .post("/api/subject", &headers, ask("see"))
            .await
            .text()
            .contains("\"/24\"")
    );
    let receipts: Vec<&Value> = receipts.iter().map(|receipt| &receipt["receipt"]).collect();
    let erase = json!({"site": "android", "action": "erase", "receipts": receipts}).to_string();
    let erased = brine.post("/api/subject", &headers, erase).await;
    assert!(erased.status.is_success(), "{}", erased.text());
    brine.wait_for("SELECT count() FROM events", 0);
}

/// README, "Apps": the same batch sent again counts once.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_batch_sent_again_counts_once_through_kill_9_and_for_72_hours() {
    let mut brine = Builder::new().clock(TUESDAY).start();
    let token = grant(&brine, "windows").await;
    let events: Vec<Value> = (0..40)
        .map(|n| json!({"id": n.to_string(), "ts": TUESDAY, "screen": "/a"}))
        .collect();
    let batch = |sent_at: i64| json!({"site": "windows", "consent": token, "sent_at": sent_at, "events": events});
    // Twenty at once, as a client that lost patience: one of them stores.
    let text = batch(TUESDAY).to_string();
    let sends = (0..20).map(|_| send_with(&brine, &[], text.clone()));
    let answers = futures_all(sends).await;
    let accepted = answers
        .iter()
        .flat_map(outcomes)
        .filter(|outcome| outcome == "accepted")
        .count();
    assert_eq!(accepted, 40);
    for answer in &answers {
        answer.expect(202, "accepted");
    }
    // Killed at once: the ids are where the events are, in the spool.
    brine.kill();
    brine.restart();
    let repeated = vec!["event.repeated"; 40];
    assert_eq!(outcomes(&send(&brine, &batch(TUESDAY)).await), repeated);
    brine.wait_drained().await;
    // And where they are when the spool has let go of them.
    brine.kill();
    brine.restart();
    assert_eq!(outcomes(&send(&brine, &batch(TUESDAY)).await), repeated);
    // Another sender has numbers of its own.
    let other = grant(&brine, "windows").await;
    let theirs =
        json!({"site": "windows", "consent": other, "sent_at": TUESDAY, "events": [events[0]]});
    assert_eq!(outcomes(&send(&brine, &theirs).await), ["accepted"]);
    // As long as the events may be sent at all.
    let later = TUESDAY + 72 * HOUR;
    brine.set_clock(later);
    assert_eq!(
        outcomes(&send_when_ready(&brine, &batch(later)).await),
        repeated
    );
    brine.set_clock(later + 1);
    assert_eq!(
        outcomes(&send(&brine, &batch(later + 1)).await),
        vec!["event.too_old"; 40]
    );
    brine.set_clock(later + 2 * HOUR);
    brine.wait_metric("brine_event_ids", |ids| ids == 0.0).await;
    assert_eq!(
        std::fs::read_dir(brine.data().join("ids"))
            .expect("a directory")
            .count(),
        0
    );
    assert_eq!(brine.count("SELECT count() FROM events"), 41);
}

async fn futures_all<F: Future<Output = Answer>>(sends: impl Iterator<Item = F>) -> Vec<Answer> {
    let mut sends: Vec<_> = sends.map(Box::pin).collect();
    let mut answers = Vec::new();
    // Started together: each is polled before any is waited for.
    std::future::poll_fn(|context| {
        sends.retain_mut(|send| match send.as_mut().poll(context) {
            std::task::Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            std::task::Poll::Pending => true,
        });
        if sends.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    answers
}

/// README, "Apps", "Then this, and nothing else": a client that follows the table loses nothing and doubles nothing, whatever dies.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_until_it_is_answered_has_every_event_stored_exactly_once() {
    const CLIENTS: u32 = 6;
    let mut chance = Chance::new("sends_until_answered");
    let mut brine = Builder::new()
        .set("BATCH__MAX_ROWS", "200")
        .set("BATCH__MAX_AGE_MS", "40")
        .start();
    let token = grant(&brine, "windows").await;
    let target = Arc::new(Mutex::new(brine.public));
    let is_over = Arc::new(AtomicBool::new(false));
    let client = |who: u32| {
        let (target, is_over, token) = (target.clone(), is_over.clone(), token.clone());
        async move {
            let http: Client<HttpConnector, Full<Bytes>> =
                Client::builder(TokioExecutor::new()).build_http();
            let (mut n_batches, mut n_again) = (0_u32, 0_u32);
            while !is_over.load(Ordering::Relaxed) {
                let events: Vec<Value> = (0..20)
                    .map(|k| json!({"id": format!("{who}-{n_batches}-{k}"), "props": {"n": format!("{who}-{n_batches}-{k}")}}))
                    .collect();
                let batch =
                    json!({"site": "windows", "consent": token, "events": events}).to_string();
                n_batches += 1;
                // Until it is answered, also when it is time to stop.
                loop {
                    let address = *target.lock().expect("no panic");
                    let request = hyper::Request::post(format!("http://{address}/api/events"))
                        .header("content-type", "application/json")
                        .header("user-agent", APP)
                        .body(Full::new(Bytes::from(batch.clone())))
                        .expect("a request");
                    if let Ok(answer) = http.request(request).await
                        && answer.status() == 202
                    {
                        break;
                    }
                    n_again += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            }
            (n_batches, n_again)
        }
    };
    let clients: Vec<_> = (0..CLIENTS).map(|who| tokio::spawn(client(who))).collect();
    for _ in 0..8 {
        tokio::time::sleep(chance.millis(50, 500)).await;
        brine.kill();
        brine.restart();
        *target.lock().expect("no panic") = brine.public;
    }
    is_over.store(true, Ordering::Relaxed);
    let (mut n_events, mut n_again) = (0, 0);
    for client in clients {
        let (batches, again) = client.await.expect("a client");
        n_events += u64::from(batches) * 20;
        n_again += again;
    }
    brine.wait_drained().await;
    assert!(n_again > 0, "nothing was ever sent again");
    let counted = brine.sql("SELECT count(), uniqExact(props['n']) FROM events");
    assert_eq!(
        counted,
        [format!("{n_events}\t{n_events}")],
        "{n_again} batches sent again"
    );
}

/// The tracker's retry: a single event with an id counts once, too.
#[tokio::test]
async fn a_single_event_that_is_sent_again_counts_once() {
    let brine = Brine::start();
    let token = brine.consent("portal").await;
    let page = |id: &str| {
        format!(
            r#"{{"n":"a","u":"https://portal.example.test/","d":"portal","c":"{token}","id":"{id}"}}"#
        )
    };
    brine.event(&page("one")).await.expect(202, "accepted");
    brine
        .event(&page("one"))
        .await
        .expect(202, "event.repeated");
    brine.event(&page("two")).await.expect(202, "accepted");
    brine.wait_drained().await;
    assert_eq!(brine.count("SELECT count() FROM events"), 2);
}

#[tokio::test]
async fn only_a_server_with_the_sites_key_says_whose_event_it_is() {
    let key = "bsk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
    let hash = blake3::hash(key.as_bytes()).to_hex();
    let keys = format!(
        "server_keys = [\"{hash}\"]\nrules = {{ exclude_networks = [\"198.51.100.0/24\"] }}"
    );
    let brine = Builder::new()
        .replace("id = \"windows\"", &format!("id = \"windows\"\n{keys}"))
        .set("LIMITS__ADDRESS_PER_MINUTE", "1")
        .set("LIMITS__ADDRESS_BURST", "3")
        .start();
    let token = grant(&brine, "windows").await;
    let batch = |address: &str| {
        json!({"site": "windows", "consent": token, "visitor": {"address": address}, "events": [{"screen": "/a"}]}).to_string()
    };
    let bearer = format!("Bearer {key}");
    let with = [("authorization", bearer.as_str()), ("user-agent", "")];
    send_with(&brine, &[], batch("192.0.2.7"))
        .await
        .expect(403, "site.key");
    send_with(
        &brine,
        &[("authorization", "Bearer bsk_wrong")],
        batch("192.0.2.7"),
    )
    .await
    .expect(403, "site.key");
    for _ in 0..6 {
        // The server's own address is no visitor's, and not limited.
        send_with(&brine, &with, batch("192.0.2.7"))
            .await
            .expect(202, "accepted");
    }
    let answer = send_with(&brine, &with, batch("198.51.100.9")).await;
    assert_eq!(
        outcomes(&answer),
        ["filter.rule"],
        "the address that counts is the visitor's"
    );
    send_with(&brine, &with, batch("nowhere"))
        .await
        .expect(400, "beacon.malformed");
    let said_no = batch("192.0.2.7").replace("\"address\"", "\"gpc\":true,\"address\"");
    send_with(&brine, &with, said_no)
        .await
        .expect(204, "signal.gpc");
    // Without the key, the address is limited: two of three events go through at once, then none.
    let plain = json!({"site": "windows", "consent": token, "events": [{}, {}]}).to_string();
    send_with(&brine, &[], plain.clone())
        .await
        .expect(202, "accepted");
    let answer = send_with(&brine, &[], plain).await;
    answer.expect(429, "limit.address");
    assert!(answer.headers.contains_key("retry-after"));
    // A key in the file instead of its hash is refused, and not printed.
    let output = Builder::new()
        .replace("server_keys = []", &format!("server_keys = [\"{key}\"]"))
        .command()
        .output()
        .expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("server_keys") && !said.contains(key),
        "{said}"
    );
}

/// README, "Devices and MAC addresses".
#[tokio::test]
async fn a_mac_address_counts_devices_and_is_found_nowhere() {
    let mut brine = Builder::new().set("LOG", "trace").start();
    let hash = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
    let mut expected = Vec::new();
    for (name, device, taken) in [
        (
            "colon",
            json!({"mac": MAC, "install_id": "ZqMarkedInstall-7"}),
            "counted",
        ),
        ("hyphen", json!({"mac": "00-1B-44-11-3A-B7"}), "counted"),
        ("dots", json!({"mac": "001b.4411.3ab7"}), "counted"),
        ("bare", json!({"mac": "001B44113AB7"}), "counted"),
        ("other", json!({"mac": "00:1b:44:11:3a:b8"}), "counted"),
        ("hash", json!({"mac_hash": hash}), "hashed"),
        (
            "hash-again",
            json!({"mac_hash": hash.to_uppercase()}),
            "hashed",
        ),
        ("random", json!({"mac": "da:a1:19:00:00:01"}), "randomised"),
        ("constant", json!({"mac": "02:00:00:00:00:00"}), "constant"),
        ("zero", json!({"mac": "00:00:00:00:00:00"}), "zero"),
        (
            "broadcast",
            json!({"mac": "FF-FF-FF-FF-FF-FF"}),
            "broadcast",
        ),
        (
            "multicast",
            json!({"mac": "01:00:5e:00:00:fb"}),
            "multicast",
        ),
        ("malformed", json!({"mac": "00:1b:44:11:3a"}), "malformed"),
        ("none", json!({"platform": "windows"}), "none"),
    ] {
        let token = grant(&brine, "windows").await;
        let batch = json!({"site": "windows", "consent": token, "device": device, "events": [{"name": name, "props": {"m": MAC}, "id": "ZqMarkedEvent-7", "visit": {"id": "ZqMarkedVisit-7", "started": 1}}]});
        let answer = send(&brine, &batch).await;
        answer.expect(202, "accepted");
        assert_eq!(answer.json()["device"], taken, "{name}");
        expected.push(taken);
    }
    // The same device, on another site: another pseudonym.
    let token = grant(&brine, "ios").await;
    let elsewhere = json!({"site": "ios", "consent": token, "device": {"mac": MAC}, "events": [{"name": "elsewhere"}]});
    send(&brine, &elsewhere).await.expect(202, "accepted");
    brine.wait_for("SELECT count() FROM events", 15);
    assert_eq!(brine.count("SELECT uniqExact(device_id) FROM events WHERE name IN ('colon', 'hyphen', 'dots', 'bare')"), 1);
    assert_eq!(brine.count("SELECT uniqExact(device_id) FROM events WHERE name IN ('colon', 'other', 'hash', 'hash-again', 'elsewhere')"), 4);
    assert_eq!(
        brine.count("SELECT count() FROM events WHERE device_id = 0"),
        7
    );
    let counted = brine.command(&[
        "query",
        "windows",
        "--metrics",
        "devices,visitors",
        "--range",
        "day",
        "--format",
        "json",
    ]);
    let said = String::from_utf8_lossy(&counted.stdout).into_owned();
    assert!(
        said.contains("3,14")
            || said.contains("3, 14")
            || said
                .split_whitespace()
                .collect::<String>()
                .contains("[3,14]"),
        "{said}{}",
        String::from_utf8_lossy(&counted.stderr)
    );
    for taken in expected {
        let name = format!("brine_devices_total{{result=\"{taken}\",site=\"windows\"}}");
        assert!(brine.metric(&name).await >= 1.0, "{name}");
    }
    let markers = Markers::new([
        ("colon", MAC.as_bytes()),
        ("hyphen", b"00-1b-44-11-3a-b7".as_slice()),
        ("dots", b"001b.4411.3ab7"),
        ("bare", b"001b44113ab7"),
        ("hash", hash.as_bytes()),
        ("install id", b"ZqMarkedInstall-7"),
        ("event id", b"ZqMarkedEvent-7"),
        ("visit id", b"ZqMarkedVisit-7"),
    ]);
    let rows = brine.sql("SELECT * FROM events").join("\n");
    markers.expect_absent("events", rows.as_bytes());
    brine.terminate();
    markers.expect_absent_below(&brine.data());
    markers.expect_absent("the log", brine.log().as_bytes());
}

/// Kinds of events that are kept for less are kept for less by whichever way they come.
#[tokio::test]
async fn an_event_of_a_batch_is_kept_as_long_as_its_kind() {
    let brine = Builder::new()
        .replace("engagement = 395 ", "engagement = 30 ")
        .start();
    let token = grant(&brine, "windows").await;
    let batch = json!({
        "site": "windows", "consent": token, "device": { "platform": "windows" },
        "events": [
            { "id": "1", "screen": "/a" },
            { "id": "2", "screen": "/a", "name": "engagement" },
        ],
    });
    let answer = send(&brine, &batch).await;
    assert_eq!(outcomes(&answer), ["accepted", "accepted"]);
    brine.wait_for("SELECT count() FROM events", 2);
    assert_eq!(
        brine.sql("SELECT name, expires - day FROM events ORDER BY name"),
        ["engagement\t30", "pageview\t395"]
    );
}
