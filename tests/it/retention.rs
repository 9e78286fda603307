//! README, "Retention": old data is gone, and there is proof.

use serde_json::{Value, json};

use brine::engine::connect::{Access, post_query};
use brine::engine::home::{Key, default_socket};
use brine::run::engine_directory;
use http_body_util::BodyExt;
use hyper::Method;

use crate::support::{Brine, Builder};

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
    for _ in 0..100 {
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
