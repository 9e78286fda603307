//! README, "Retention": old data is gone, and there is proof.

mod collectors;
mod fold;
mod holds;
mod model;
mod months;
mod quarantine;

use serde_json::{Value, json};

use std::process::{Command, Output};

use brine::config::REFERENCE;
use brine::engine::connect::{Access, post_query};
use brine::engine::home::{Key, default_socket};
use brine::run::engine_directory;
use http_body_util::BodyExt;
use hyper::Method;

use crate::rights::{done as asked, view};
use crate::support::{Brine, Builder, process};

const DAY_MS: i64 = 86_400_000;

/// 2026-01-01.
const START: i64 = 20_454;

/// Runs a statement that changes something, with the engine's own key.
pub(crate) async fn change(brine: &Brine, sql: &str) {
    let engine = engine_directory(&brine.data());
    let key = Key::read(&engine).expect("the engine's key");
    let answer = post_query(&default_socket(&engine), &key, sql, "TSV", Access::Write).await;
    drop(
        answer
            .expect("it is done")
            .collect()
            .await
            .expect("to its end"),
    );
}

/// Noon of a day.
fn noon(day: i64) -> i64 {
    day * DAY_MS + DAY_MS / 2
}

async fn ask(brine: &Brine, body: Value) -> (u16, Value) {
    let headers = [("content-type", "application/json")];
    let answer = brine
        .admin(
            Method::POST,
            "/api/v1/retention",
            &headers,
            &body.to_string(),
        )
        .await;
    (answer.status.as_u16(), answer.json())
}

async fn done(brine: &Brine, body: Value) -> Value {
    // A run by the schedule may be under way, and long on a busy machine.
    for _ in 0..900 {
        let (status, answer) = ask(brine, body.clone()).await;
        if status == 200 {
            return answer;
        }
        assert!([409, 503].contains(&status), "{status} {answer}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    panic!("{body} is not done\n{}", brine.log_tail());
}

/// `n` page views of as many visitors, on one day, as if they had been stored on it.
async fn store(brine: &Brine, site: &str, day: i64, keep: i64, n: u64) {
    change(
        brine,
        &format!(
            "INSERT INTO brine.events (site, day, ts, name, visitor, visit, interactive, hostname, path, source, expires, batch_id, seq) \
             SELECT '{site}', toDate({day}), fromUnixTimestamp64Milli({noon} + toInt64(number)), 'pageview', \
             cityHash64('{site}', {day}, number), cityHash64('v', '{site}', {day}, number), 1, 'h', \
             concat('/', toString(number % 3)), if(number < 2, 'Rare', 'Search'), toDate({expires}), {day}, number \
             FROM numbers({n})",
            noon = noon(day),
            expires = day + keep,
        ),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_events_leave_the_disk_and_a_record() {
    let brine = Builder::new().clock(noon(START)).start();
    store(&brine, "portal", START - 395, 395, 9).await;
    store(&brine, "portal", START - 394, 395, 7).await;
    let plan = done(&brine, json!({ "action": "plan", "days": 1 })).await;
    assert_eq!(
        (
            &plan["now"][0]["rows"],
            &plan["now"][0]["rule"],
            &plan["soon"][0]["rows"]
        ),
        (&json!(9), &json!("expired"), &json!(7)),
        "{plan}"
    );
    let verified = done(&brine, json!({ "action": "verify" })).await;
    assert_ne!(verified["findings"], json!([]), "the control");
    let run = done(&brine, json!({ "action": "run" })).await;
    assert_eq!(
        (&run["rows"], &run["findings"]),
        (&json!(9), &json!([])),
        "{run}"
    );
    assert_eq!(brine.sql("SELECT count() FROM events"), ["7"]);
    assert_eq!(
        brine.sql("SELECT dimension, value, visitors, pageviews FROM daily WHERE day < '2024-12-03' AND dimension IN ('', 'visit:source', 'event:page') ORDER BY dimension, value"),
        ["\t\t9\t9", "event:page\t(other)\t9\t9", "visit:source\t(other)\t9\t9"]
    );
    brine.wait_for(
        "SELECT sum(n_rows) FROM purges WHERE table_name = 'events'",
        9,
    );
    let verified = done(&brine, json!({ "action": "verify" })).await;
    assert_eq!(verified["findings"], json!([]));
}

async fn visit(brine: &Brine, site: &str) {
    let token = brine.consent(site).await;
    let url = format!("https://{site}.example.test/");
    let page = format!(r#"{{"n":"pageview","u":"{url}","d":"{site}","c":"{token}"}}"#);
    brine.event(&page).await.expect(202, "accepted");
}

/// `brine retention …`, as an operator types it.
fn command(brine: &Brine, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_brine"))
        .arg("retention")
        .args(arguments)
        .args(["--admin", &brine.admin.to_string(), "--data"])
        .arg(brine.data())
        .output()
        .expect("brine runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Takes over another configuration by SIGHUP.
async fn reload(brine: &Brine, settings: &str) {
    let reloads = "brine_reloads_total{file=\"sites\",result=\"done\"}";
    let before = brine.metric(reloads).await;
    std::fs::write(brine.directory.join("brine.toml"), settings).expect("written");
    brine.signal("HUP");
    brine.wait_metric(reloads, |n| n > before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_retention_holds_for_what_is_stored_and_a_longer_one_brings_nothing_back() {
    let brine = Builder::new().clock(noon(START)).start();
    // Two sites in one partition: what is due cannot be dropped with it.
    for site in ["portal", "pernexus"] {
        store(&brine, site, START - 100, 395, 6).await;
        store(&brine, site, START - 50, 395, 6).await;
    }
    let shorter = REFERENCE.replace("retention_days = 395 ", "retention_days = 60 ");
    reload(&brine, &shorter).await;
    // By itself: the days have changed.
    brine.wait_for("SELECT count() FROM events WHERE site = 'portal'", 6);
    assert_eq!(
        brine.count("SELECT count() FROM events WHERE site = 'pernexus'"),
        12
    );
    brine.wait_for(
        "SELECT sum(n_rows) FROM purges WHERE rule = 'shortened' AND table_name = 'events'",
        6,
    );
    reload(&brine, REFERENCE).await;
    let run = done(&brine, json!({ "action": "run" })).await;
    assert_eq!(run["findings"], json!([]), "{run}");
    assert_eq!(
        brine.sql("SELECT site, count() FROM events GROUP BY site ORDER BY site"),
        ["pernexus\t12", "portal\t6"]
    );
    // The visits of the purged day are not made again, either.
    assert_eq!(
        brine.sql("SELECT site, count() FROM visits GROUP BY site ORDER BY site"),
        ["pernexus\t12", "portal\t6"]
    );
    let inactive =
        "SELECT count() FROM system.parts WHERE table = 'events' AND NOT active AND rows > 6";
    assert_eq!(brine.count(inactive), 0, "old parts with the purged rows");
}

/// Events go by what they were given at their arrival, and their visits with them: whoever asks for erasure later would
/// not find these any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_longer_retention_keeps_no_visit_beyond_its_events() {
    let shorter = |days: u16| {
        REFERENCE.replace(
            "retention_days = 395 ",
            &format!("retention_days = {days} "),
        )
    };
    let brine = Builder::new().clock(noon(START)).start();
    reload(&brine, &shorter(30)).await;
    store(&brine, "portal", START - 29, 30, 6).await;
    store(&brine, "portal", START - 10, 30, 6).await;
    done(&brine, json!({ "action": "run" })).await;
    assert_eq!(brine.count("SELECT count() FROM visits"), 12);
    reload(&brine, REFERENCE).await;
    brine.set_clock(noon(START + 1));
    let run = done(&brine, json!({ "action": "run" })).await;
    assert_eq!(run["findings"], json!([]), "{run}");
    assert_eq!(brine.count("SELECT count() FROM events"), 6);
    assert_eq!(brine.count("SELECT count() FROM visits"), 6);
    // What is about many stays, as long as the configuration says.
    assert_eq!(
        brine.count("SELECT uniqExact(day) FROM daily WHERE dimension = ''"),
        2
    );
}

/// Rows that this very collector has brought, while its spool is empty: as at night.
#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_retention_holds_for_what_brine_stored_itself() {
    let brine = Builder::new().clock(noon(START - 100)).start();
    for site in ["portal", "pernexus"] {
        for _ in 0..3 {
            visit(&brine, site).await;
        }
    }
    brine.wait_drained().await;
    brine.set_clock(noon(START));
    let run = done(&brine, json!({ "action": "run" })).await;
    assert_eq!(run["findings"], json!([]), "{run}");
    brine.wait_drained().await;
    let shorter = REFERENCE.replace("retention_days = 395 ", "retention_days = 60 ");
    reload(&brine, &shorter).await;
    brine.wait_for("SELECT count() FROM events WHERE site = 'portal'", 0);
    assert_eq!(brine.count("SELECT count() FROM events"), 3);
    brine.wait_for(
        "SELECT sum(n_rows) FROM purges WHERE rule = 'shortened' AND table_name = 'events'",
        3,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_site_is_warned_about_and_goes_after_its_grace() {
    let brine = Builder::new().clock(noon(START)).start();
    store(&brine, "portal", START - 3, 395, 6).await;
    store(&brine, "gone", START - 3, 395, 6).await;
    let run = done(&brine, json!({ "action": "run" })).await;
    assert_eq!(
        (&run["rows"], &run["findings"]),
        (&json!(0), &json!([])),
        "{run}"
    );
    assert!(
        brine.log().contains("site that is not configured"),
        "a warning first"
    );
    brine.wait_for(
        "SELECT count() FROM purges WHERE rule = 'missing' AND site = 'gone'",
        1,
    );
    let output = command(&brine, &["plan", "--days", "31"]);
    assert!(
        text(&output)
            .contains("gone is not in the configuration any more: all its data goes on 2026-01-31"),
        "{}",
        text(&output)
    );
    brine.set_clock(noon(START + 29));
    done(&brine, json!({ "action": "run" })).await;
    assert_eq!(
        brine.count("SELECT count() FROM events WHERE site = 'gone'"),
        6
    );
    brine.set_clock(noon(START + 30));
    let run = done(&brine, json!({ "action": "run" })).await;
    assert_eq!(run["findings"], json!([]), "{run}");
    for table in ["events", "visits", "daily"] {
        let left = brine.sql(&format!("SELECT DISTINCT site FROM {table}"));
        assert_eq!(left, ["portal"], "{table}");
    }
    brine.wait_for(
        "SELECT sum(n_rows) FROM purges WHERE rule = 'removed' AND table_name = 'events'",
        6,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn days_changed_while_brine_was_down_hold_from_its_start_on() {
    let mut brine = Builder::new().clock(noon(START)).start();
    store(&brine, "portal", START - 100, 395, 6).await;
    store(&brine, "portal", START - 50, 395, 6).await;
    done(&brine, json!({ "action": "run" })).await;
    brine.wait_for("SELECT count() FROM retention_runs", 1);
    // The same days: nothing to do before its time.
    brine.terminate();
    brine.restart();
    brine
        .wait_metric("brine_retention_last_verified_seconds", |at| at > 0.0)
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(brine.count("SELECT count() FROM retention_runs"), 1);
    brine.terminate();
    let shorter = REFERENCE.replace("retention_days = 395 ", "retention_days = 60 ");
    std::fs::write(brine.directory.join("brine.toml"), shorter).expect("written");
    brine.restart();
    // The clock has not moved: no run is due by its time.
    brine.wait_for("SELECT count() FROM events", 6);
    brine.wait_for("SELECT count() FROM retention_runs", 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_reaches_visits_and_daily() {
    let brine = Builder::new().clock(noon(START)).start();
    let (mine, others) = (brine.consent("portal").await, brine.consent("portal").await);
    let receipt = view(&brine, &mine, "/mine").await;
    view(&brine, &others, "/others").await;
    brine.wait_for("SELECT count() FROM events", 2);
    brine.set_clock(noon(START + 3));
    done(&brine, json!({ "action": "run" })).await;
    let pages = "SELECT value FROM daily WHERE dimension = 'event:page' ORDER BY value";
    assert_eq!(brine.sql(pages), ["/mine", "/others"]);
    let body = json!({ "site": "portal", "action": "erase", "receipts": [receipt] });
    let gone = asked(&brine, body).await;
    assert_eq!(gone["rows"], 1, "{gone}");
    assert_eq!(brine.sql(pages), ["/others"]);
    assert_eq!(brine.sql("SELECT entry_page FROM visits"), ["/others"]);
    let old = "SELECT count() FROM system.parts WHERE table IN ('visits', 'daily', 'visits_next', 'daily_next') AND NOT active";
    assert_eq!(brine.count(old), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_daily_counts_is_what_the_query_api_counts() {
    let brine = Builder::new()
        .set("QUERY__K", "1")
        .clock(noon(START))
        .start();
    change(
        &brine,
        &format!(
            "INSERT INTO brine.events (site, day, ts, name, visitor, visit, interactive, hostname, path, source, country, engagement_ms, expires, batch_id, seq) \
             SELECT 'portal', toDate({day}), fromUnixTimestamp64Milli(toInt64({noon}) + number * 1000), \
             ['pageview', 'pageview', 'engagement', 'Trial'][1 + number % 4], 1 + number % 17 % 11, 1 + number % 17, number % 4 != 2, 'h', \
             concat('/', toString(cityHash64(number) % 5)), ['Search', 'Mail', ''][1 + cityHash64(number, 1) % 3], 'DK', \
             if(number % 4 = 2, 700, 0), toDate({day} + 395), 1, number FROM numbers(300)",
            day = START - 4,
            noon = noon(START - 4)
        ),
    )
    .await;
    // Asked before anything is counted: it counts events.
    let mut asked = Vec::new();
    for dimension in [
        "visit:source",
        "visit:entry_page",
        "visit:exit_page",
        "event:page",
        "event:name",
        "visit:country",
        "",
    ] {
        let mut query = json!({
            "site_id": "portal", "metrics": ["visitors", "visits", "pageviews", "events"],
            "date_range": ["2025-12-28", "2025-12-28"],
        });
        if !dimension.is_empty() {
            query["dimensions"] = json!([dimension]);
        }
        let headers = [("content-type", "application/json")];
        let answer = brine
            .admin(Method::POST, "/api/v1/query", &headers, &query.to_string())
            .await
            .json();
        let mut expected: Vec<String> = answer["results"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"))
            .iter()
            .map(|row| {
                let value = row["dimensions"][0]
                    .as_str()
                    .unwrap_or("")
                    .replace("(not set)", "");
                let metrics: Vec<String> = row["metrics"]
                    .as_array()
                    .expect("metrics")
                    .iter()
                    .map(|n| n.as_f64().expect("a number").to_string())
                    .collect();
                format!("{value}\t{}", metrics.join("\t"))
            })
            .collect();
        expected.sort();
        asked.push((dimension, expected));
    }
    done(&brine, json!({ "action": "run" })).await;
    for (dimension, expected) in asked {
        let mut found = brine.sql(&format!(
            "SELECT value, visitors, visits, pageviews, events FROM daily WHERE dimension = '{dimension}'"
        ));
        found.sort();
        assert_eq!(found, expected, "{dimension}");
    }
    // Counted again, it is the same again.
    let sums = "SELECT sum(cityHash64(* EXCEPT counting)) FROM daily";
    let before = brine.sql(sums);
    change(&brine, "TRUNCATE TABLE brine.derived_days").await;
    done(&brine, json!({ "action": "run" })).await;
    assert_eq!(brine.sql(sums), before);
}

/// README, "Dashboard": days past their retention are shown from `daily`, and the page says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_year_whose_events_are_gone_is_on_the_page_and_the_page_says_so() {
    let brine = Builder::new().clock(noon(START)).start();
    store(&brine, "portal", START - 300, 300, 9).await;
    store(&brine, "portal", START - 3, 395, 8).await;
    let page = async |query: &str| {
        let path = format!("/d/portal?period=12mo&{query}");
        let answer = brine.admin(Method::GET, &path, &[], "").await;
        assert_eq!(answer.status, 200);
        answer.text()
    };
    let tile = "<strong>17</strong>";
    let before = page("lang=en").await;
    assert!(before.contains(tile), "{before}");
    assert!(!before.contains("past their retention"), "{before}");
    done(&brine, json!({ "action": "run" })).await;
    assert_eq!(brine.count("SELECT count() FROM events"), 8);
    let after = page("lang=en").await;
    assert!(after.contains(tile), "{after}");
    for said in [
        "past their retention: they are counted from final daily numbers",
        "past their retention, and are not counted here",
    ] {
        assert!(after.contains(said), "{said}: {after}");
    }
    let danish = page("lang=da").await;
    assert!(danish.contains("ældre end opbevaringstiden"), "{danish}");
    // Who came by which way is known of the events that are left.
    let filtered = page("lang=en&f=is,event:page,/").await;
    assert!(!filtered.contains(tile), "{filtered}");
    assert!(filtered.contains("are not counted here"), "{filtered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_checked_without_a_running_brine() {
    let mut brine = Builder::new().clock(noon(START)).start();
    store(&brine, "portal", START - 395, 395, 9).await;
    let run = command(&brine, &["run", "--dry-run"]);
    assert!(
        text(&run).contains("9 rows") && text(&run).contains("Nothing was changed"),
        "{}",
        text(&run)
    );
    let verify = command(&brine, &["verify"]);
    assert_eq!(verify.status.code(), Some(3), "{}", text(&verify));
    assert_eq!(command(&brine, &["run"]).status.code(), Some(0));
    brine.wait_for("SELECT count() FROM retention_runs", 1);
    let certificate = command(
        &brine,
        &["certificate", "--site", "portal", "--month", "2026-01"],
    );
    let certificate = text(&certificate);
    assert!(
        certificate.contains("9 rows about 2024-12-02 to 2024-12-02"),
        "{certificate}"
    );
    let history = text(&command(&brine, &["history"]));
    assert!(
        history.contains("nothing left") && history.contains("expired"),
        "{history}"
    );
    let key = text(&command(&brine, &["key"]));
    brine.terminate();
    let file = brine.directory.join("certificate.txt");
    let path = file.to_str().expect("UTF-8");
    std::fs::write(&file, &certificate).expect("written");
    let check = ["certificate", "--check", path, "--key", key.trim()];
    assert_eq!(command(&brine, &check).status.code(), Some(0));
    std::fs::write(&file, certificate.replace("9 rows about", "8 rows about")).expect("written");
    let forged = command(&brine, &check);
    assert_ne!(forged.status.code(), Some(0));
    assert!(text(&forged).contains("was changed"), "{}", text(&forged));
    // And brine away is no clean bill.
    assert_eq!(command(&brine, &["verify"]).status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_clickhouse_is_away_nothing_is_verified_and_the_run_is_made_up_for() {
    let brine = Builder::new()
        .set("STORE__TIMEOUT_MS", "2000")
        .clock(noon(START))
        .start();
    store(&brine, "portal", START - 395, 395, 9).await;
    store(&brine, "portal", START - 394, 395, 7).await;
    let engine = brine.engine().expect("an engine");
    process::signal(engine, "STOP");
    // Its time comes while ClickHouse does not answer.
    brine.set_clock(noon(START + 1));
    let verify = command(&brine, &["verify"]);
    assert_eq!(verify.status.code(), Some(1), "{}", text(&verify));
    brine
        .wait_metric("brine_retention_runs_total{result=\"failed\"}", |n| n > 0.0)
        .await;
    process::signal(engine, "CONT");
    brine.wait_for("SELECT count() FROM events", 0);
    brine.wait_for(
        "SELECT sum(n_rows) FROM purges WHERE table_name = 'events'",
        16,
    );
    assert_eq!(command(&brine, &["verify"]).status.code(), Some(0));
}
