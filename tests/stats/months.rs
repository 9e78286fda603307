//! Whole months are answered from their sums, as long as these are of the days that stand beside them.

use brine::event::Event;
use brine::stats::Answer;
use serde_json::{Value, json};

use super::property::TODAY;
use super::support::{Bench, moved, rows, sites_toml, views};

/// What breakdowns are asked for.
const BREAKDOWNS: [&[&str]; 9] = [
    &["event:page"],
    &["event:name"],
    &["event:hostname"],
    &["event:goal"],
    &["visit:country"],
    &["visit:entry_page"],
    &["visit:weekday", "visit:hour"],
    &["event:name", "event:props"],
    &["visit:country", "time:day"],
];

/// Days of three months before the 9th of November: of September a part is asked for, of October all.
fn months(site: &str) -> Vec<Event> {
    let mut events = Vec::new();
    for days in [-45, -44, -30, -28, -14, -10, -4, 0] {
        let mut of_day = [
            views(site, "/", 0..30),
            views(site, "/often", 30..37),
            // Few a day, and some more a month.
            views(site, "/small", 37..39),
            views(site, &format!("/once/{days}"), 39..40),
            // Few by themselves, and many enough to be listed over the month.
            views(site, "/near", 40..61),
        ]
        .concat();
        for event in &mut of_day {
            event.lcp_ms = Some((event.visitor * 7 % 900) as f32);
            event.inp_ms = (event.visitor % 3 == 0).then_some(event.visitor as f32);
            if event.visitor % 5 == 0 {
                event.country = "NO".into();
            }
            if event.visitor == 38 {
                event.country = "SE".into();
            }
        }
        let mut signed = of_day[..9].to_vec();
        for event in &mut signed {
            event.name = "Sign up".into();
            event.props = [("plan".into(), "free".into())].into_iter().collect();
        }
        of_day.extend(signed);
        events.extend(moved(of_day, days));
    }
    events
}

fn ask(bench: &Bench, dimensions: &[&str], metrics: &[&str], range: [&str; 2]) -> Answer {
    let query = json!({ "site_id": "s0", "metrics": metrics, "date_range": range, "dimensions": dimensions });
    bench.ask(&query).unwrap()
}

const RANGE: [&str; 2] = ["2026-09-20", "2026-11-09"];

type Rows = Vec<(Vec<String>, Vec<Option<f64>>)>;

/// The rows of every breakdown.
fn all(bench: &Bench) -> Vec<Rows> {
    let rows_of = |answer: Answer| {
        let rows = answer.rows.into_iter();
        rows.map(|row| (row.dimensions, row.metrics)).collect()
    };
    let mut found: Vec<_> = BREAKDOWNS
        .iter()
        .map(|dimensions| {
            let metrics = ["visitors", "pageviews", "events"];
            rows_of(ask(bench, dimensions, &metrics, RANGE))
        })
        .collect();
    let vitals = ["visitors", "lcp", "inp"];
    found.push(rows_of(ask(bench, &["event:page"], &vitals, RANGE)));
    found
}

/// Sums of months that stand in `daily`.
const SUMS: &str = "SELECT concat(toString(day), ' ', substring(dimension, 7), ' ', value, ' ', toString(tuple(visitors, visits, pageviews, \
    events, bounces, duration_ms, engagement_ms, length(lcp_ms), arraySum(inp_ms)))) FROM daily WHERE startsWith(dimension, 'month ') ORDER BY ALL";

/// What they have to be.
const ADDED_UP: &str = "SELECT concat(toString(toStartOfMonth(day)), ' ', dimension, ' ', value, ' ', toString(tuple(sum(visitors), sum(visits), \
    sum(pageviews), sum(events), sum(bounces), sum(duration_ms), sum(engagement_ms), sum(length(lcp_ms)), sum(arraySum(inp_ms))))) FROM daily \
    WHERE NOT startsWith(dimension, 'month ') AND day < '2026-11-01' GROUP BY toStartOfMonth(day), dimension, value ORDER BY ALL";

/// Visitors of the page, and whether months are read.
fn is_from_sums(bench: &Bench) -> bool {
    let visitors = |bench: &Bench| rows(&ask(bench, &["event:page"], &["visitors"], RANGE));
    let change = |by: &str| {
        bench.execute(&format!(
            "ALTER TABLE daily UPDATE visitors = visitors {by} WHERE dimension = 'month event:page' AND day = '2026-10-01' \
             AND value = '/' SETTINGS mutations_sync = 1"
        ));
    };
    let before = visitors(bench);
    change("+ 1000");
    let changed = visitors(bench);
    change("- 1000");
    let of = |rows: &[(String, Option<f64>)]| rows.iter().find(|(page, _)| page == "/").unwrap().1;
    let more = of(&changed).unwrap() - of(&before).unwrap();
    assert!([0.0, 1_000.0].contains(&more), "{before:?} {changed:?}");
    more > 0.0
}

#[test]
fn whole_months_are_read_added_up_and_the_others_by_day() {
    let mut bench = Bench::new("months", 1);
    bench.insert(&months("s0"), 500);
    let counted = all(&bench);
    assert!(counted.iter().all(|rows| !rows.is_empty()), "{counted:?}");
    assert_eq!(bench.derive(TODAY), 7);
    assert_eq!(bench.texts(SUMS), bench.texts(ADDED_UP));
    assert_eq!(all(&bench), counted);
    assert!(is_from_sums(&bench));
    // Asked together, as on a page.
    let question = |dimensions: &&[&str]| json!({ "site_id": "s0", "metrics": ["visitors", "pageviews", "events"], "date_range": RANGE, "dimensions": dimensions });
    let questions: Vec<Value> = BREAKDOWNS.iter().map(question).collect();
    let (answers, lengths) = bench.ask_together(&questions);
    assert!(lengths.iter().any(|n| *n > 4), "{lengths:?}");
    for (answer, counted) in answers.into_iter().zip(&counted) {
        let rows = answer.unwrap().rows.into_iter();
        let rows: Vec<_> = rows.map(|row| (row.dimensions, row.metrics)).collect();
        assert_eq!(&rows, counted);
    }
}

#[test]
fn sums_of_a_month_follow_its_days() {
    let mut bench = Bench::new("months_follow", 1);
    let events = months("s0");
    bench.insert(&events, 500);
    bench.derive(TODAY);
    // A late event, and a visitor who is erased: until the month is counted anew, it is read by day and from events.
    let mut late = events[events.len() / 2].clone();
    assert_eq!(late.day, TODAY - 15, "a day of October");
    (late.visitor, late.visit) = (77, 77);
    late.path = "/small".into();
    bench.insert_behind(&[late], 500, 100_000);
    let counted = all(&bench);
    assert!(!is_from_sums(&bench));
    assert_eq!(bench.derive(TODAY), 1);
    assert_eq!(all(&bench), counted);
    assert!(is_from_sums(&bench));
    bench.delete("visitor = 77");
    let counted = all(&bench);
    assert!(!is_from_sums(&bench));
    assert_eq!(bench.derive(TODAY), 1);
    assert_eq!(bench.texts(SUMS), bench.texts(ADDED_UP));
    assert_eq!(all(&bench), counted);
    assert!(is_from_sums(&bench));
}

#[test]
fn a_month_with_a_final_day_has_no_sums() {
    let mut bench = Bench::new("months_final", 1);
    let mut events = months("s0");
    for event in &mut events {
        event.expires = event.day + 40;
    }
    // A batch is of one partition, and that is the day it is due on.
    for of_day in events.chunk_by(|a, b| a.day == b.day) {
        bench.insert(of_day, 500);
    }
    assert_eq!(bench.derive(events[0].day + 39), 6);
    assert_eq!(bench.texts(SUMS), bench.texts(ADDED_UP));
    // The first day of September is due, and no day of October.
    assert_eq!(bench.derive(events[0].day + 40), 1);
    let of = "SELECT DISTINCT toString(day) FROM daily WHERE startsWith(dimension, 'month ')";
    assert_eq!(bench.texts(of), ["2026-10-01"]);
    let few = "SELECT toString(day) FROM daily WHERE day < '2026-09-25' AND (visitors < 5 OR notEmpty(few) OR notEmpty(month_few))";
    assert_eq!(bench.texts(few), [""; 0]);
    // All of them are.
    bench.derive(TODAY + 40);
    assert_eq!(bench.texts(of), [""; 0]);
    let few = "SELECT toString(day) FROM daily WHERE visitors < 5 OR notEmpty(few) OR notEmpty(month_few)";
    assert_eq!(bench.texts(few), [""; 0]);
}

/// Nothing may stand of a month with a final day: should a claim have lapsed, it goes at the next run.
#[test]
fn sums_that_were_put_back_beside_a_final_day_go() {
    let mut bench = Bench::new("months_back", 1);
    let mut events = moved(views("s0", "/", 0..20), -14);
    for event in &mut events {
        event.expires = event.day + 20;
    }
    bench.insert(&events, 500);
    assert_eq!(bench.derive(TODAY), 1);
    let n_sums = "SELECT toString(countIf(startsWith(dimension, 'month '))) FROM daily";
    assert_ne!(bench.texts(n_sums), ["0"]);
    bench.execute("CREATE TABLE before AS daily");
    bench.execute("INSERT INTO before SELECT * FROM daily");
    assert_eq!(bench.derive(TODAY + 30), 1);
    assert_eq!(bench.texts(n_sums), ["0"]);
    bench.execute("INSERT INTO daily SELECT * FROM before WHERE startsWith(dimension, 'month ')");
    assert_ne!(bench.texts(n_sums), ["0"]);
    assert_eq!(bench.derive(TODAY + 30), 0);
    assert_eq!(bench.texts(n_sums), ["0"]);
    bench.execute("DROP TABLE before SYNC");
}

/// The last day of a month may have no events, and a database may be of a version without sums.
#[test]
fn a_month_is_added_up_once_it_is_over_whenever_its_days_were_counted() {
    let mut bench = Bench::new("months_lacking", 2);
    bench.insert(&moved(views("s0", "/", 0..20), -20), 500);
    // The 21st of October: the month is not over.
    assert_eq!(bench.derive(TODAY - 19), 1);
    let of = "SELECT concat(toString(site), ' ', toString(day)) FROM daily WHERE dimension = 'month event:page'";
    assert_eq!(bench.texts(of), [""; 0]);
    assert_eq!(bench.derive(TODAY), 0);
    assert_eq!(bench.texts(of), ["s0 2026-10-01"]);
    assert_eq!(bench.derive(TODAY), 0);
    // Of another site, beside it.
    bench.insert(&moved(views("s1", "/", 0..20), -20), 500);
    assert_eq!(bench.derive(TODAY), 1);
    assert_eq!(bench.texts(of), ["s0 2026-10-01", "s1 2026-10-01"]);
    // What is due with the month's first day would not stay.
    bench.configure(&sites_toml(
        2,
        "retention = { daily = 30, events = 30, visits = 30, engagement = 30, web_vitals = 30 }",
    ));
    bench.execute("ALTER TABLE daily DELETE WHERE startsWith(dimension, 'month ') SETTINGS mutations_sync = 1");
    assert_eq!(bench.derive(TODAY), 0);
    assert_eq!(bench.texts(of), [""; 0]);
}

#[test]
fn days_of_before_salts_became_daily_are_counted_together() {
    let weekly = sites_toml(1, "rotation = \"week\"");
    let mut bench = Bench::with_sites("months_weekly", &weekly);
    // The same five on Monday and on Tuesday, under one salt.
    let monday = moved(views("s0", "/", 0..5), -6);
    let mut tuesday = monday.clone();
    for event in &mut tuesday {
        event.day += 1;
        event.ts_ms += 86_400_000;
        event.visit += 500;
    }
    bench.insert(&[monday, tuesday].concat(), 500);
    assert_eq!(bench.derive(TODAY), 2);
    let visitors = |bench: &Bench| rows(&ask(bench, &[], &["visitors"], RANGE));
    assert_eq!(visitors(&bench), [(String::new(), Some(5.0))]);
    bench.configure(&sites_toml(1, ""));
    assert_eq!(visitors(&bench), [(String::new(), Some(5.0))]);
    // Counted anew, a day stays what it was.
    bench.delete("visitor % 1000000 = 5");
    assert_eq!(bench.derive(TODAY), 2);
    assert_eq!(visitors(&bench), [(String::new(), Some(4.0))]);
}
