//! Months in seconds: the real binary and engine under a clock of the test's own, against a model.

use std::time::{Duration, Instant};

use brine::config::REFERENCE;
use serde_json::json;

use super::model::{Days, Model};
use super::{START, change, done, noon};
use crate::support::chance::Chance;
use crate::support::{Brine, Builder, PATIENCE, process};

const STORED: &str = "SELECT site, toUInt16(day), name, count() FROM events GROUP BY site, day, name ORDER BY site, toUInt16(day), name";

const WHOLE: &str = "SELECT site, toUInt16(day), visitors, pageviews FROM daily WHERE dimension = '' ORDER BY site, toUInt16(day)";

/// Rows of daily about few people, of days whose page views are gone.
const TOO_SMALL: &str = "SELECT count() FROM daily WHERE (visitors < 5 OR notEmpty(few) OR scroll_visitors BETWEEN 1 AND 4) AND (site, day) NOT IN \
    (SELECT site, day FROM events WHERE name = 'pageview') AND NOT startsWith(dimension, 'month ')";

/// Web vitals in daily, of days whose events that told them are gone.
const VITALS: &str = "SELECT count() FROM daily WHERE (notEmpty(lcp_ms) OR notEmpty(vital_visitors) OR notEmpty(vital_few)) \
    AND (site, day) NOT IN (SELECT site, day FROM events WHERE name = 'engagement') AND NOT startsWith(dimension, 'month ')";

/// Sums of months with a day whose events are going or gone, and sums that are not those of the days beside them.
const MONTHS: &str = "SELECT count() FROM (SELECT site, toStartOfMonth(day) AS month, countIf(startsWith(dimension, 'month ')) AS n, \
    sumIf(visitors, dimension = '') AS n_visitors, sumIf(visitors, dimension = 'month ') AS n_visitors_summed, \
    sumIf(length(lcp_ms), dimension = '') AS vitals, sumIf(length(lcp_ms), dimension = 'month ') AS vitals_summed \
    FROM daily GROUP BY site, month) WHERE n > 0 AND (n_visitors != n_visitors_summed OR vitals != vitals_summed OR (site, month) IN \
    (SELECT site, toStartOfMonth(day) FROM derived_days FINAL WHERE k > 0))";

fn keep(events: i64, engagement: i64) -> Days {
    Days {
        events,
        engagement,
        is_held: false,
    }
}

/// Takes over the model's days, by the configuration file and SIGHUP.
async fn reconfigure(brine: &Brine, model: &Model) {
    let reloads = "brine_reloads_total{file=\"sites\",result=\"done\"}";
    let before = brine.metric(reloads).await;
    let text = model.settings(REFERENCE);
    std::fs::write(brine.directory.join("brine.toml"), text).expect("written");
    brine.signal("HUP");
    let started = Instant::now();
    while brine.metric(reloads).await <= before {
        assert!(started.elapsed() < PATIENCE, "{}", brine.log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Everything is as the model says.
#[track_caller]
fn compare(brine: &Brine, model: &Model, today: i64) {
    let mut expected = model.lines();
    expected.sort();
    let mut found = brine.sql(STORED);
    found.sort();
    assert_eq!(
        found,
        expected,
        "events on day {today}\n{}",
        brine.log_tail()
    );
    let mut found = brine.sql(WHOLE);
    found.sort();
    assert_eq!(found, model.daily(today, 5), "daily on day {today}");
    assert_eq!(
        brine.count(TOO_SMALL),
        0,
        "roll-ups about few on day {today}"
    );
    assert_eq!(brine.count(VITALS), 0, "vitals on day {today}");
    assert_eq!(brine.count(MONTHS), 0, "sums of months on day {today}");
}

/// Promise 7. 400 days, six sites, retentions that change, kill -9 of brine and of the engine in the middle of purges.
#[tokio::test(flavor = "multi_thread")]
async fn four_hundred_days_leave_what_the_model_says_and_a_record_of_the_rest() {
    let mut chance = Chance::new("four_hundred_days");
    let mut model = Model::new([
        keep(395, 395),
        keep(120, 30),
        keep(60, 60),
        keep(200, 100),
        keep(30, 10),
        keep(90, 90),
    ]);
    let mut brine = Builder::new()
        .replace(REFERENCE, &model.settings(REFERENCE))
        .clock(noon(START))
        .start();
    let mut today = START;
    let (mut n_vitals, mut n_months) = (0, 0);
    for round in 0..10 {
        let changed = match round {
            2 => Some((0, keep(100, 50))),
            4 => Some((0, keep(395, 395))),
            5 => Some((3, keep(45, 45))),
            6 => Some((
                1,
                Days {
                    is_held: true,
                    ..keep(40, 40)
                },
            )),
            8 => Some((1, keep(80, 20))),
            _ => None,
        };
        if let Some((site, days)) = changed {
            model.keep[site] = days;
            reconfigure(&brine, &model).await;
            model.run(today);
        }
        let mark = model.mark();
        // Every eighth day: a day costs the same however few its events are.
        for day in (today..today + 40).step_by(8) {
            for site in 0..6 {
                // Sometimes nobody, often too few to be told of.
                model.insert(site, day, chance.below(9));
            }
        }
        change(&brine, &model.sql(mark)).await;
        today += 40;
        brine.set_clock(noon(today));
        // The job wakes by its schedule. In the middle of it, something dies.
        tokio::time::sleep(chance.millis(900, 2_500)).await;
        match round % 3 {
            0 => {
                brine.kill();
                brine.restart();
            }
            1 => {
                if let Some(engine) = brine.engine() {
                    process::signal(engine, "KILL");
                }
            }
            _ => {}
        }
        model.run(today);
        let run = done(&brine, json!({ "action": "run" })).await;
        assert_eq!(run["findings"], json!([]), "round {round}: {run}");
        compare(&brine, &model, today);
        n_vitals += brine.count("SELECT count() FROM daily WHERE notEmpty(lcp_ms)");
        n_months += brine.count("SELECT count() FROM daily WHERE dimension = 'month '");
    }
    assert!(n_vitals > 0, "as long as they are there, daily has them");
    assert!(n_months > 0, "as long as a month has its events");
    // Every row that went is in a record, once, though runs were cut short.
    let recorded = "SELECT sum(n_rows) FROM purges WHERE table_name = 'events'";
    brine.wait_for(recorded, model.gone);
    assert_eq!(
        brine.count("SELECT count() - uniqExact(purge) FROM purges"),
        0
    );
    let verified = done(&brine, json!({ "action": "verify" })).await;
    assert_eq!(verified["findings"], json!([]));
    let inactive = "SELECT count() FROM system.parts WHERE table = 'events' AND NOT active AND partition_id <= '20270205'";
    assert_eq!(brine.count(inactive), 0);
}

/// Any sequence, many short ones: what is on disk equals the model.
#[tokio::test(flavor = "multi_thread")]
async fn after_any_sequence_what_is_stored_is_what_the_model_says() {
    let mut chance = Chance::new("any_sequence");
    let start = [keep(20, 20); 6];
    let mut model = Model::new(start);
    let brine = Builder::new()
        .replace(REFERENCE, &model.settings(REFERENCE))
        .clock(noon(START))
        .start();
    let mut today = START;
    for _ in 0..18 {
        match chance.below(4) {
            0 => {
                let site = chance.below(6) as usize;
                let events = 1 + chance.below(30) as i64;
                model.keep[site] = Days {
                    is_held: chance.below(8) == 0,
                    ..keep(events, 3 + chance.below(30) as i64)
                };
                reconfigure(&brine, &model).await;
                // It runs by itself then; here, for certain, before anything else happens.
                model.run(today);
                done(&brine, json!({ "action": "run" })).await;
            }
            1 => {
                today += chance.below(12) as i64;
                brine.set_clock(noon(today));
                // Likewise.
                model.run(today);
                done(&brine, json!({ "action": "run" })).await;
            }
            _ => {}
        }
        let mark = model.mark();
        for _ in 0..3 {
            let (site, back) = (chance.below(6) as usize, chance.below(3) as i64);
            // A day that is still open, and that nobody has counted.
            let day = today - back.min(1);
            if !model.views.contains_key(&(site, day)) {
                model.insert(site, day, 1 + chance.below(9));
            }
        }
        if model.mark() > mark {
            change(&brine, &model.sql(mark)).await;
        }
        if chance.below(2) == 0 {
            model.run(today);
            let run = done(&brine, json!({ "action": "run" })).await;
            assert_eq!(run["findings"], json!([]), "{run}");
            compare(&brine, &model, today);
        }
    }
}
