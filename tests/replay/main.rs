//! A real web log through the whole path, beacon for beacon.
//!
//! Each request of `weblog/access-2015-05-17_19.log` becomes a beacon of a site of its own, with a consent
//! that is marked as synthetic (source `replay`): the people behind the log were never asked, which is why
//! this data is for tests alone. What ClickHouse holds at the end must equal what is counted here by other
//! means.

mod log;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use hyper::Method;

use self::log::{Line, parse};
use self::support::{Brine, Builder};

const SITE: &str = r#"
[[site]]
id = "weblog"
domains = ["semicomplete.com"]
sub_domains = true
time_zone = "UTC"
geo = "country"
"#;

/// A visit ends after this silence.
const IDLE_S: i64 = 1_800;

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("BRINE_TEST_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data")),
        PathBuf::from,
    );
    let file = folder.join("weblog/access-2015-05-17_19.log");
    if file.exists() {
        return Some(file);
    }
    println!(
        "skipped: {} is not there (set BRINE_TEST_DATA)",
        file.display()
    );
    None
}

/// One beacon to send, and what is known about it beforehand.
struct Planned {
    line: Line,
    visitor: usize,
    visit: String,
    visit_started_ms: i64,
}

/// Who is who, and which visit is which: told by host and user agent, and by 30 minutes' silence.
fn plan(text: &str) -> (Vec<Planned>, usize) {
    let mut visitors: HashMap<(String, String), usize> = HashMap::new();
    let mut open: HashMap<usize, (i64, u32, i64)> = HashMap::new();
    let now_ms = jiff_now_ms();
    let mut planned = Vec::new();
    for line in text.lines().filter_map(parse) {
        let n = visitors.len();
        let visitor = *visitors
            .entry((line.host.clone(), line.user_agent.clone()))
            .or_insert(n);
        let second = line.at.as_second();
        let (last, number, started) = open.entry(visitor).or_insert((second, 0, now_ms));
        if second - *last > IDLE_S {
            (*number, *started) = (*number + 1, now_ms);
        }
        *last = (*last).max(second);
        let (visit, visit_started_ms) = (format!("visit-{visitor}-{number}"), *started);
        planned.push(Planned {
            line,
            visitor,
            visit,
            visit_started_ms,
        });
    }
    (planned, visitors.len())
}

#[allow(clippy::disallowed_methods)] // The client's clock; only the product may not read it.
fn jiff_now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

async fn send(brine: &Brine, planned: &Planned, token: &str) -> (u16, String) {
    let line = &planned.line;
    let body = serde_json::json!({
        "n": "pageview",
        "u": format!("https://semicomplete.com{}", line.path),
        "d": "weblog",
        "r": line.referrer,
        "c": token,
        "s": { "id": planned.visit, "started": planned.visit_started_ms },
    });
    let headers = [
        ("content-type", "text/plain"),
        ("user-agent", line.user_agent.as_str()),
        ("x-forwarded-for", line.host.as_str()),
    ];
    let answer = brine
        .request(Method::POST, "/api/event", &headers, &body.to_string())
        .await;
    (answer.status.as_u16(), answer.outcome().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_log_is_counted_beacon_for_beacon_and_outcome_by_outcome() {
    let Some(file) = data() else { return };
    let text = String::from_utf8_lossy(&std::fs::read(file).expect("the log reads")).into_owned();
    let (planned, n_visitors) = plan(&text);
    assert!(planned.len() > 7_400, "{}", planned.len());

    let spam = file_beside("referrer/spammers.txt");
    let brine = Builder::new()
        .append(SITE)
        .set(
            "ENRICH__REFERRER_SPAM",
            spam.to_str().expect("a plain path"),
        )
        .set("BATCH__MAX_AGE_MS", "1000")
        .start();
    let mut tokens = Vec::with_capacity(n_visitors);
    let everyone: Vec<usize> = (0..n_visitors).collect();
    for crowd in everyone.chunks(64) {
        let headers = [
            ("origin", "https://semicomplete.com"),
            ("content-type", "application/json"),
        ];
        let choice = r#"{"site":"weblog","choice":"grant","source":"replay"}"#;
        let answers = crowd
            .iter()
            .map(|_| brine.request(Method::POST, "/api/consent", &headers, choice));
        for answer in futures(answers).await {
            tokens.push(answer.json()["token"].as_str().expect("a token").to_owned());
        }
    }

    // The independent count: from the log and the replies alone.
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    let mut by_directory: BTreeMap<String, u64> = BTreeMap::new();
    let (mut visitors, mut visits) = (HashSet::new(), HashSet::new());
    let mut searched = 0;
    for chunk in planned.chunks(64) {
        let answers = chunk
            .iter()
            .map(|beacon| send(&brine, beacon, &tokens[beacon.visitor]));
        for (beacon, (status, outcome)) in chunk.iter().zip(futures(answers).await) {
            *outcomes.entry(outcome.clone()).or_default() += 1;
            check_plausible(&beacon.line, status, &outcome);
            if outcome == "accepted" {
                visitors.insert(beacon.visitor);
                visits.insert(beacon.visit.clone());
                *by_directory
                    .entry(directory(&beacon.line.path))
                    .or_default() += 1;
                if beacon
                    .line
                    .referrer
                    .as_deref()
                    .is_some_and(is_google_search)
                {
                    searched += 1;
                }
            }
        }
    }
    println!(
        "{} beacons of {n_visitors} visitors: {outcomes:?}",
        planned.len()
    );
    let accepted = outcomes["accepted"];
    brine.wait_for("SELECT count() FROM events WHERE site = 'weblog'", accepted);

    let counted: BTreeMap<String, u64> = brine
        .outcomes()
        .await
        .into_iter()
        .filter(|(site, _, _)| site == "weblog")
        .map(|(_, outcome, n)| (outcome, n))
        .collect();
    assert_eq!(counted, outcomes, "the counters and the replies agree");
    assert_eq!(
        outcomes.values().sum::<u64>(),
        planned.len() as u64,
        "every beacon ended once"
    );
    assert_eq!(
        brine.count("SELECT uniqExact(visitor) FROM events"),
        visitors.len() as u64
    );
    assert_eq!(
        brine.count("SELECT uniqExact(visit) FROM events"),
        visits.len() as u64
    );
    assert_eq!(
        brine.count("SELECT uniqExact(batch_id, seq) FROM events"),
        accepted
    );
    assert_eq!(
        brine.count("SELECT count() FROM events WHERE source = 'Google'"),
        searched
    );
    for (directory, n) in by_directory
        .iter()
        .filter(|(directory, _)| *directory != "?")
    {
        let sql =
            format!("SELECT count() FROM events WHERE splitByChar('/', path)[2] = '{directory}'");
        assert_eq!(brine.count(&sql), *n, "/{directory}/");
    }
    assert_size(&brine, accepted).await;
}

/// What must be so whatever the rules are in detail: who calls itself a bot is one, and plain browsers
/// of that year are not.
fn check_plausible(line: &Line, status: u16, outcome: &str) {
    assert_eq!(
        status,
        if outcome == "accepted" { 202 } else { 204 },
        "{outcome}"
    );
    let agent = line.user_agent.to_lowercase();
    let calls_itself_a_bot = ["bot/", "bot;", "spider", "crawler", "feedburner", "+http"];
    if calls_itself_a_bot.iter().any(|word| agent.contains(word)) {
        assert_eq!(outcome, "filter.bot", "{}", line.user_agent);
    }
    // Plain browsers of that year say nothing after their last product.
    let last = agent.rsplit(' ').next().unwrap_or_default();
    let is_plain = agent.starts_with("mozilla/5.0 (")
        && !agent.contains("http")
        && !agent.contains("compatible");
    if is_plain
        && (last.starts_with("firefox/2")
            || (last == "safari/537.36" && agent.contains(" chrome/3")))
    {
        assert!(
            outcome == "accepted" || outcome == "filter.referrer_spam",
            "{outcome}: {}",
            line.user_agent
        );
    }
}

/// First part of a path that no masking touches, for comparing without the product's own scrubbing.
fn directory(path: &str) -> String {
    let plain = path.split(['?', '#']).next().unwrap_or_default();
    let first = plain.split('/').nth(1).unwrap_or_default();
    if first.bytes().all(|b| b.is_ascii_lowercase()) && first.len() < 12 {
        first.to_owned()
    } else {
        "?".into()
    }
}

fn is_google_search(referrer: &str) -> bool {
    let host = referrer.split('/').nth(2).unwrap_or_default();
    let host = ["www.", "images."]
        .iter()
        .find_map(|front| host.strip_prefix(front))
        .unwrap_or(host);
    host.strip_prefix("google.")
        .is_some_and(|tld| tld.split('.').all(|part| part.len() <= 3))
}

fn file_beside(name: &str) -> PathBuf {
    data()
        .expect("checked before")
        .parent()
        .and_then(|folder| folder.parent())
        .expect("two levels")
        .join(name)
}

/// Awaits all, in order.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut results = Vec::new();
    let mut pending: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        if results.is_empty() {
            results.resize_with(pending.len(), || None);
        }
        let mut is_done = true;
        for (future, result) in pending.iter_mut().zip(results.iter_mut()) {
            if result.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *result = Some(value),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

/// Measures what an event costs on disk, in one merged part, and names the dearest columns.
async fn assert_size(brine: &Brine, events: u64) {
    let engine = brine.data().join("engine");
    let key = brine::engine::home::Key::read(&engine).expect("the engine has a key");
    let client =
        brine::engine::connect::client(&brine::engine::home::default_socket(&engine), &key)
            .with_database("brine");
    for statement in [
        // Wide parts have sizes by column; small ones would be compact.
        "CREATE TABLE sized AS events SETTINGS min_bytes_for_wide_part = 0, min_rows_for_wide_part = 0",
        "INSERT INTO sized SELECT * FROM events",
        "OPTIMIZE TABLE sized FINAL",
    ] {
        client.query(statement).execute().await.expect(statement);
    }
    let columns = brine.sql(&format!(
        "SELECT column, round(sum(column_data_compressed_bytes) / {events}, 2) AS bytes \
         FROM system.parts_columns WHERE active AND table = 'sized' GROUP BY column ORDER BY bytes DESC"
    ));
    let bytes: f64 = columns
        .iter()
        .filter_map(|line| line.split('\t').nth(1)?.parse::<f64>().ok())
        .sum();
    println!(
        "{bytes:.1} bytes an event in {events} events; dearest columns: {:?}",
        &columns[..12]
    );
    assert!(bytes <= 30.0, "{bytes:.1} bytes an event");
}
