//! Every metric by every dimension under every kind of filter, over random events.

use std::cell::{Cell, RefCell};

use brine::event::Event;
use brine::salts::period::{day_number, start_of};
use brine::stats::export::Format;
use brine::stats::{Answer, QueryError};
use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use serde_json::{Value, json};

use super::exports::exported;
use super::model::{Filter, Question, Range, Rows};
use super::support::{Bench, sites_toml};

const METRICS: [&str; 17] = [
    "visitors",
    "visits",
    "pageviews",
    "events",
    "views_per_visit",
    "bounce_rate",
    "visit_duration",
    "engagement_time",
    "scroll_depth",
    "percentage",
    "total_revenue",
    "average_revenue",
    "devices",
    "lcp",
    "inp",
    "cls",
    "ttfb",
];

const DIMENSIONS: [&str; 21] = [
    "event:page",
    "event:hostname",
    "event:name",
    "event:goal",
    "event:currency",
    "event:props",
    "event:props:plan",
    "visit:source",
    "visit:country",
    "visit:device",
    "visit:utm_term",
    "visit:days_since_last",
    "visit:entry_page",
    "visit:exit_page",
    "visit:hour",
    "visit:weekday",
    "time:minute",
    "time:hour",
    "time:day",
    "time:week",
    "time:month",
];

/// Sunday, Monday and Tuesday of two weeks and two months.
fn days() -> [u16; 3] {
    [date(2026, 8, 30), date(2026, 8, 31), date(2026, 9, 1)].map(day_number)
}

/// Later: all three are closed, and so is the month of the first two.
pub(crate) const TODAY: u16 = 20_766;

/// Each visit begins on its day, some shortly before midnight.
fn one_event(zone: TimeZone) -> impl Strategy<Value = Event> {
    let who = (0u64..9, 0u64..3, 0usize..3);
    let when = (0i64..3, 0i64..45);
    let what = (
        select(vec![
            "pageview",
            "pageview",
            "pageview",
            "engagement",
            "web_vitals",
            "Signup",
            "Buy",
        ]),
        any::<bool>(),
        select(vec!["/", "/a", "/b", "/it's \\ 100%"]),
        select(vec!["x.test", "y.test"]),
        select(vec!["", "Google", "(other)", "Bing", "it's"]),
        select(vec!["", "DK", "SE"]),
    );
    let more = (
        select(vec!["desktop", "mobile"]),
        select(vec!["", "brine"]),
        select(vec!["", "new", "2-7"]),
        select(vec!["", "free", "pro", "?fields; --"]),
        0u64..4,
        (0u8..=12).prop_map(|n| if n > 10 { 255 } else { n * 10 }),
    );
    let numbers = (
        0u32..9_000,
        select(vec!["", "", "DKK", "EUR"]),
        0u32..400,
        prop::option::of(0u16..3_000),
        prop::option::of(0u16..300),
    );
    (who, when, what, more, numbers).prop_map(move |(who, when, what, more, numbers)| {
        let (visitor, nth, day) = who;
        let (start, minutes) = when;
        let day = days()[day];
        let visitor = 1 + visitor + 100 * u64::from(day);
        let visit = 10 * visitor + nth;
        // Hours 9, 15 and 23:40 by visit: the last ones run over midnight.
        let began = match (visit + u64::from(day)) % 3 {
            0 => 9 * 60,
            1 => 15 * 60 + 59,
            _ => 23 * 60 + 40,
        };
        let midnight = start_of(day, &zone).as_millisecond();
        let (name, is_interactive, path, hostname, source, country) = what;
        let (device, utm_term, days_since_last, plan, device_id, scroll_depth) = more;
        let (engagement_ms, currency, quarters, slow, fast) = numbers;
        Event {
            ts_ms: midnight + (began + minutes) * 60_000 + start * 17,
            day,
            // One partition: a batch goes to one only.
            expires: days()[2] + 400,
            name: name.into(),
            visitor,
            visit,
            device_id,
            is_interactive: is_interactive && !["engagement", "web_vitals"].contains(&name),
            hostname: hostname.into(),
            path: path.into(),
            source: source.into(),
            country: country.into(),
            device: device.into(),
            utm_term: utm_term.into(),
            days_since_last: days_since_last.into(),
            props: [
                ("it's", ["", "s", "m"][quarters as usize % 3]),
                ("plan", plan),
            ]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
            revenue: if currency.is_empty() {
                0.0
            } else {
                f64::from(quarters) / 4.0
            },
            currency: currency.into(),
            engagement_ms: if name == "engagement" {
                engagement_ms
            } else {
                0
            },
            scroll_depth,
            lcp_ms: slow.map(f32::from),
            inp_ms: fast.map(f32::from),
            cls: fast.map(|n| f32::from(n) / 1_000.0),
            ttfb_ms: slow.map(|n| f32::from(n) / 4.0),
            ..Event::default()
        }
    })
}

fn filters() -> impl Strategy<Value = Filter> {
    let event = prop_oneof![
        subsequence(vec!["/", "/a", "/it's \\ 100%", "/none"], 1..3).prop_flat_map(
            |v| operator().prop_map(move |o| Filter::Leaf(o, "event:page", v.clone()))
        ),
        select(vec!["pageview", "Signup", "engagement", "web_vitals"]).prop_flat_map(|v| operator(
        )
        .prop_map(move |o| Filter::Leaf(o, "event:name", vec![v]))),
        select(vec!["free", "(not set)", "?fields; --"]).prop_map(|v| Filter::Leaf(
            "is",
            "event:props:plan",
            vec![v]
        )),
        select(vec!["^/[ab]$", "s \\\\ ", "(?i)IT"]).prop_map(|v| Filter::Leaf(
            "matches",
            "event:page",
            vec![v]
        )),
        (
            select(vec!["is", "is_not"]),
            select(vec!["Buy", "Visit /a", "pageview"])
        )
            .prop_map(|(o, v)| Filter::Leaf(o, "event:goal", vec![v])),
    ];
    let visit = prop_oneof![
        select(vec!["Google", "(other)", "(not set)", "it's"]).prop_flat_map(|v| select(vec![
            "is", "is_not"
        ])
        .prop_map(move |o| Filter::Leaf(o, "visit:source", vec![v]))),
        operator().prop_map(|o| Filter::Leaf(o, "visit:entry_page", vec!["/a", "/b"])),
        operator().prop_map(|o| Filter::Leaf(o, "visit:exit_page", vec!["/"])),
        select(vec!["09", "23", "15"]).prop_map(|v| Filter::Leaf("is", "visit:hour", vec![v])),
        operator().prop_map(|o| Filter::Leaf(o, "visit:weekday", vec!["7"])),
        select(vec!["DK", "(not set)"]).prop_map(|v| Filter::Leaf("is", "visit:country", vec![v])),
    ];
    let event = event.boxed();
    let done = (any::<bool>(), event.clone())
        .prop_map(|(is_done, filter)| Filter::Done(is_done, Box::new(filter)));
    let leaf = prop_oneof![3 => event, 3 => visit, 1 => done];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 1..3).prop_map(Filter::Or),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

fn operator() -> impl Strategy<Value = &'static str> + Clone {
    select(vec!["is", "is_not", "contains", "contains_not"])
}

fn questions(zone: TimeZone) -> impl Strategy<Value = Question> {
    let [first, middle, last] = days();
    let midnight = start_of(middle, &zone).as_millisecond();
    let ranges = prop_oneof![
        3 => Just(Range::Days(first, last)),
        // All of August.
        3 => Just(Range::Days(first - 29, last)),
        1 => Just(Range::Days(middle, middle)),
        1 => Just(Range::Instants(midnight + 600_000, midnight + 58_000_000)),
    ];
    let dimensions = prop::collection::vec(select(DIMENSIONS.to_vec()), 0..3);
    // Which metrics stand together decides how the statement goes about it.
    let metrics = prop_oneof![
        1 => Just(METRICS.to_vec()),
        3 => subsequence(METRICS.to_vec(), 1..5),
    ];
    (
        dimensions,
        prop::option::of(filters()),
        ranges,
        select(vec![1, 2, 3, 5]),
        metrics,
    )
        .prop_map(|(mut dimensions, filter, range, k, mut metrics)| {
            dimensions.dedup();
            if dimensions
                .iter()
                .all(|dimension| dimension.starts_with("time:"))
            {
                dimensions.truncate(1);
            }
            let is_of_action = |dimension: &&str| {
                dimension.starts_with("event:")
                    && !matches!(*dimension, "event:page" | "event:hostname")
            };
            if dimensions.iter().any(is_of_action) {
                metrics.retain(|metric| !matches!(*metric, "bounce_rate" | "visit_duration"));
                if metrics.is_empty() {
                    metrics.push("visits");
                }
            }
            Question {
                metrics,
                dimensions,
                filter,
                range,
                k,
            }
        })
}

/// Counts the same question twice, by ClickHouse and by hand.
fn agree(
    bench: &mut Bench,
    site: &str,
    events: &[Event],
    questions: &[Question],
) -> Result<(), TestCaseError> {
    let zone = bench.sites.find(site).unwrap().time_zone.clone();
    for question in questions {
        bench.limits.k = question.k as u32;
        let answer = match bench.ask(&question.json(site)) {
            Ok(answer) => answer,
            Err(QueryError::Failed { source }) => panic!("{source}: {question:#?}"),
            Err(error) => panic!("{error}: {question:#?}"),
        };
        let counted: Rows = answer
            .rows
            .iter()
            .map(|row| (row.dimensions.clone(), row.metrics.clone()))
            .collect();
        prop_assert_eq!(
            counted.len(),
            answer.rows.len(),
            "a row twice: {:?}",
            question
        );
        let Some(expected) = question.count(events, &zone) else {
            let is_silent = answer
                .rows
                .iter()
                .all(|row| row.metrics.iter().all(Option::is_none));
            let n_expected = usize::from(question.dimensions.is_empty());
            prop_assert!(
                is_silent && answer.rows.len() == n_expected,
                "{:?} {:?}",
                question,
                answer
            );
            continue;
        };
        prop_assert_eq!(counted, expected, "{:#?}", question);
    }
    Ok(())
}

/// Asks the breakdowns of a page together, each by itself, and as an export, which ClickHouse folds: the answers are the same.
fn agree_together(
    bench: &mut Bench,
    site: &str,
    questions: &[Question],
) -> Result<(), TestCaseError> {
    for question in questions.iter().step_by(6) {
        bench.limits.k = question.k as u32;
        let breakdowns = BREAKDOWNS.map(|(dimensions, metrics)| {
            let mut query = question.json(site);
            query["dimensions"] = json!(dimensions);
            query["metrics"] = json!(metrics);
            query["pagination"] = json!({ "limit": 3 });
            query
        });
        let (together, _) = bench.ask_together(&breakdowns);
        for (query, answer) in breakdowns.iter().zip(together) {
            let text = |answer: Result<Answer, QueryError>| match answer {
                Ok(mut answer) => {
                    // Asked beside others, nothing is told about the range as such.
                    for key in ["consent", "newest_event", "salt_boundaries"] {
                        answer.meta.remove(key);
                    }
                    format!("{:#}", answer.to_json())
                }
                Err(error) => error.to_string(),
            };
            let alone = bench.ask(query);
            if let Ok(alone) = &alone {
                let json = exported(bench, query, Format::Json).unwrap().concat();
                let written: Value = serde_json::from_str(&json).unwrap();
                prop_assert_eq!(
                    &written["results"],
                    &alone.to_json()["results"],
                    "{:#?}",
                    query
                );
            }
            prop_assert_eq!(text(answer), text(alone), "{:#?}", query);
        }
    }
    Ok(())
}

/// What a page asks about the same events.
const BREAKDOWNS: [(&[&str], &[&str]); 11] = [
    (&["visit:source"], &["visitors"]),
    (&["visit:entry_page"], &["visitors", "visits"]),
    (&["visit:country"], &["visitors", "events", "pageviews"]),
    (&["event:page"], &["visitors", "pageviews"]),
    (&["visit:weekday", "visit:hour"], &["visitors", "visits"]),
    (&["visit:source", "visit:device"], &["visitors"]),
    (&["event:goal"], &["visitors", "events", "conversion_rate"]),
    (&["event:name"], &["visitors", "events"]),
    (&["event:name", "event:props"], &["visitors", "events"]),
    (&["event:page"], &["lcp", "visitors"]),
    (&["visit:utm_term"], &["visitors", "bounce_rate"]),
];

/// Questions that roll-ups may answer: those above seldom are.
fn rolled(zone: TimeZone) -> impl Strategy<Value = Question> {
    let metrics = vec![
        "visitors",
        "visits",
        "pageviews",
        "events",
        "views_per_visit",
        "bounce_rate",
        "visit_duration",
        "engagement_time",
        "scroll_depth",
        "percentage",
        "lcp",
        "cls",
    ];
    let dimensions = select(vec![
        vec![],
        vec!["time:day"],
        vec!["time:month"],
        vec!["visit:source"],
        vec!["visit:country"],
        vec!["visit:utm_term"],
        vec!["visit:entry_page"],
        vec!["visit:exit_page"],
        vec!["event:page"],
        vec!["event:hostname"],
        vec!["event:name"],
        vec!["event:goal"],
        vec!["event:name", "event:props"],
        vec!["time:week", "visit:source"],
        vec!["time:day", "event:page"],
        vec!["visit:hour"],
        vec!["visit:weekday", "visit:hour"],
        vec!["visit:source", "visit:device"],
    ]);
    let filter = prop_oneof![
        2 => Just(None),
        1 => select(vec!["Google", "(other)", "(not set)"])
            .prop_map(|v| Some(Filter::Leaf("is", "visit:source", vec![v]))),
        1 => operator().prop_map(|o| Some(Filter::Leaf(o, "visit:entry_page", vec!["/a", "/b"]))),
        1 => select(vec!["09", "23"])
            .prop_map(|v| Some(Filter::Leaf("is_not", "visit:hour", vec![v]))),
    ];
    (
        questions(zone),
        dimensions,
        filter,
        subsequence(metrics, 1..4),
    )
        .prop_map(|(question, dimensions, filter, mut metrics)| {
            let is_of_events = dimensions.iter().any(|d| d.starts_with("event:"));
            if is_of_events {
                metrics.retain(|m| {
                    [
                        "visitors",
                        "pageviews",
                        "events",
                        "percentage",
                        "lcp",
                        "cls",
                    ]
                    .contains(m)
                });
                if metrics.is_empty() {
                    metrics.push("visitors");
                }
            }
            Question {
                metrics,
                dimensions,
                filter,
                ..question
            }
        })
}

/// When events are counted into the roll-ups.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rollups {
    None,
    /// Before the last of a day's events have come, and again after.
    Counted,
}

fn hold(database: &str, rotation: &str, n_cases: u32, rollups: Rollups) {
    let zone = TimeZone::get("Europe/Copenhagen").unwrap();
    // Shrinking tries again, each time on a site of its own.
    let n_sites = n_cases as usize + 60;
    let bench = RefCell::new(Bench::with_sites(database, &sites_toml(n_sites, rotation)));
    let next_site = Cell::new(0);
    let case = (
        prop::collection::vec(one_event(zone.clone()), 0..120),
        match rollups {
            Rollups::None => prop::collection::vec(questions(zone), 12).boxed(),
            Rollups::Counted => prop::collection::vec(
                prop_oneof![1 => questions(zone.clone()), 3 => rolled(zone)],
                12,
            )
            .boxed(),
        },
        0usize..150,
    );
    let config = Config {
        cases: n_cases,
        max_shrink_iters: 50,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&case, |(mut events, questions, n_late)| {
        let site = format!("s{}", next_site.get());
        next_site.set(next_site.get() + 1);
        events
            .iter_mut()
            .for_each(|event| event.site = site.clone());
        let mut bench = bench.borrow_mut();
        if rollups == Rollups::None {
            bench.insert(&events, 40);
            agree(&mut bench, &site, &events, &questions)?;
            return agree_together(&mut bench, &site, &questions);
        }
        let n_before = events.len().saturating_sub(n_late);
        let (before, late) = events.split_at(n_before);
        bench.insert(before, 40);
        bench.derive(TODAY);
        agree(&mut bench, &site, before, &questions)?;
        bench.insert_behind(late, 40, n_before as u32);
        agree(&mut bench, &site, &events, &questions)?;
        agree_together(&mut bench, &site, &questions)?;
        bench.derive(TODAY);
        agree(&mut bench, &site, &events, &questions)?;
        agree_together(&mut bench, &site, &questions)
    });
    match outcome {
        Ok(()) => {}
        // The question stands in the reason; of the events, what is left after shrinking.
        Err(TestError::Fail(reason, (events, ..))) => panic!("{reason}\n{events:#?}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn every_number_is_what_a_count_by_hand_gives() {
    hold("property_day", "", 30, Rollups::None);
}

/// Under longer-lived salts a visit over midnight may have events on two days.
#[test]
fn numbers_hold_under_weekly_salts() {
    hold("property_week", "rotation = \"week\"", 10, Rollups::None);
}

/// The same history, with its closed days counted into `visits` and `daily`, and late events behind the counting.
#[test]
fn roll_ups_give_what_a_count_by_hand_gives() {
    hold("property_rollups", "", 10, Rollups::Counted);
}

/// Visitors of several days do not add up: roll-ups must not be asked.
#[test]
fn roll_ups_leave_weekly_salts_alone() {
    hold(
        "property_rollups_week",
        "rotation = \"week\"",
        3,
        Rollups::Counted,
    );
}
