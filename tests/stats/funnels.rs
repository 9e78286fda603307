//! Funnels and consent rates against a count by hand.

use brine::event::Event;
use brine::stats::funnel::{Funnel, funnel};
use brine::stats::rollup::Memo;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::property::TODAY;
use super::support::{Bench, NOW, moved, sites_toml, views};

const GOALS: [&str; 4] = ["Visit /", "Visit /a", "Signup", "Buy"];

/// Those that are configured: `daily` has them.
const CONFIGURED: [&[&str]; 4] = [
    &["Visit /", "Visit /a"],
    // Twice: it is one.
    &["Visit /", "Visit /a"],
    &["Visit /", "Visit /", "Buy"],
    &["Signup", "Buy"],
];

fn funnel_toml(funnels: &[&[&str]]) -> String {
    let funnel = |steps: &&[&str]| format!("[[site.funnel]]\nname = \"f\"\nsteps = {steps:?}\n");
    funnels.iter().map(funnel).collect()
}

fn ask(bench: &Bench, body: &Value, steps: &[&str]) -> Funnel {
    let steps: Vec<String> = steps.iter().map(|step| (*step).to_owned()).collect();
    let memo = Memo::default();
    let asked = funnel(
        &bench.store.client,
        &bench.sites,
        &bench.limits,
        body,
        &steps,
        NOW.parse().unwrap(),
        &memo,
    );
    bench.runtime.block_on(asked).unwrap()
}

/// By hand: each visitor's events in order, each a step at most.
fn count(events: &[Event], steps: &[&str], k: u64) -> Funnel {
    let mut order: Vec<(i64, usize)> = events
        .iter()
        .enumerate()
        .map(|(i, e)| (e.ts_ms, i))
        .collect();
    order.sort_unstable();
    let mut level: std::collections::BTreeMap<u64, usize> = std::collections::BTreeMap::new();
    for (_, i) in order {
        let event = &events[i];
        let at = level.entry(event.visitor).or_default();
        let goal = match event.name.as_str() {
            "pageview" => format!("Visit {}", event.path),
            name => name.to_owned(),
        };
        if steps.get(*at).is_some_and(|step| *step == goal) {
            *at += 1;
        }
    }
    let everyone = level.len() as u64;
    let few = |n: u64| n > 0 && n < k;
    if few(everyone) {
        return Funnel {
            everyone: None,
            steps: vec![None; steps.len()],
            k: k as u32,
        };
    }
    let mut shown = Vec::new();
    let mut last = everyone;
    for step in 1..=steps.len() {
        let n = level.values().filter(|level| **level >= step).count() as u64;
        let is_shown = !few(n) && !few(last - n);
        shown.push(is_shown.then_some(n));
        if is_shown {
            last = n;
        }
    }
    Funnel {
        everyone: Some(everyone),
        steps: shown,
        k: k as u32,
    }
}

#[test]
fn every_step_of_a_funnel_is_what_a_count_by_hand_gives() {
    let n_cases = 20;
    let configured = funnel_toml(&CONFIGURED);
    let mut bench = Bench::with_sites("funnels", &sites_toml(n_cases + 60, &configured));
    let step = (
        0u64..12,
        select(vec![
            ("pageview", "/"),
            ("pageview", "/a"),
            ("Signup", "/"),
            ("Buy", "/a"),
            ("engagement", "/"),
        ]),
        0i64..4,
    );
    let case = (
        prop::collection::vec(step, 0..80),
        prop_oneof![
            prop::collection::vec(select(GOALS.to_vec()), 2..5),
            select(CONFIGURED.to_vec()).prop_map(<[&str]>::to_vec),
        ],
        1u64..4,
    );
    let mut next_site = 0;
    let bench = std::cell::RefCell::new(&mut bench);
    let next = std::cell::RefCell::new(&mut next_site);
    let config = Config {
        cases: n_cases as u32,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&case, |(events, steps, k)| {
            let mut bench = bench.borrow_mut();
            let mut next = next.borrow_mut();
            let site = format!("s{next}");
            **next += 1;
            let events: Vec<Event> = events
                .into_iter()
                .map(|(visitor, (name, path), second)| Event {
                    name: name.into(),
                    path: path.into(),
                    ts_ms: views(&site, path, 0..1)[0].ts_ms + second * 1_000,
                    ..views(&site, path, visitor..visitor + 1).remove(0)
                })
                .collect();
            // Two closed days and one that is open; each visitor has one.
            let (mut closed, mut open) = (Vec::new(), Vec::new());
            for event in events {
                match event.visitor % 3 {
                    0 => open.push(event),
                    n => closed.extend(moved(vec![event], -2 * n as i64)),
                }
            }
            let events = [closed, open].concat();
            bench.insert(&events, 50);
            let body = json!({ "site_id": site, "date_range": "7d", "filters": [] });
            bench.limits.k = k as u32;
            prop_assert_eq!(ask(&bench, &body, &steps), count(&events, &steps, k));
            bench.derive(TODAY);
            prop_assert_eq!(ask(&bench, &body, &steps), count(&events, &steps, k));
            Ok(())
        })
        .unwrap();
}

/// The control for what is compared above: of closed days a funnel is read from `daily`, as long as it is counted there.
#[test]
fn a_configured_funnel_of_closed_days_comes_from_daily() {
    let first: &[&str] = &["Visit /", "Visit /a"];
    let second: &[&str] = &["Visit /", "Visit /b"];
    let mut bench = Bench::with_sites("daily_funnels", &sites_toml(1, &funnel_toml(&[first])));
    let later = |event: Event| Event {
        ts_ms: event.ts_ms + 1_000,
        ..event
    };
    let on = |by: i64| {
        let begun = moved(views("s0", "/", 0..20), by);
        let gone_on = moved(views("s0", "/a", 0..12), by);
        [begun, gone_on.into_iter().map(later).collect()].concat()
    };
    // Kept for 395 days: until a hundred days from now.
    let old = on(-296);
    let expected = |n: u64, last: u64| (Some(n), vec![Some(n), Some(last)]);
    let count = |bench: &Bench, steps: &[&str]| {
        let body =
            json!({ "site_id": "s0", "date_range": ["2026-01-01", "2026-11-09"], "filters": [] });
        let counted = ask(bench, &body, steps);
        (counted.everyone, counted.steps)
    };
    let rows = |bench: &Bench| {
        bench.texts("SELECT concat(dimension, ' ', value, ' ', toString(visitors)) FROM daily WHERE dimension LIKE 'funnel%' ORDER BY ALL")
    };
    let tampered = "ALTER TABLE daily UPDATE visitors = visitors - 2 \
                    WHERE dimension LIKE 'funnel%' AND value = '2' SETTINGS mutations_sync = 1";
    bench.insert(&[on(-4), on(0)].concat(), 100);
    assert_eq!(bench.derive(TODAY), 1);
    assert_eq!(rows(&bench).len(), 2, "{:?}", rows(&bench));
    assert_eq!(count(&bench, first), expected(40, 24));
    bench.execute(tampered);
    assert_eq!(count(&bench, first), expected(40, 22));
    // One that nobody configured, and one that is new: from events until the day is counted for it.
    let own = ["Visit /a", "Visit /"];
    assert_eq!(count(&bench, &own), (Some(40), vec![Some(24), Some(0)]));
    bench.configure(&sites_toml(1, &funnel_toml(&[second, first])));
    assert_eq!(count(&bench, second), expected(40, 0));
    assert_eq!(bench.derive(TODAY), 1, "counted for the new one");
    assert_eq!(bench.derive(TODAY), 0);
    assert_eq!(rows(&bench).len(), 3, "{:?}", rows(&bench));
    assert_eq!(count(&bench, second), expected(40, 0));
    assert_eq!(count(&bench, first), expected(40, 24));
    // One less is no reason to count anything.
    bench.configure(&sites_toml(1, &funnel_toml(&[first])));
    assert_eq!(bench.derive(TODAY), 0);
    // A late event is in the next answer.
    bench.insert_behind(&moved(views("s0", "/", 30..31), -4), 100, 500);
    assert_eq!(count(&bench, first), expected(41, 24));
    assert_eq!(bench.derive(TODAY), 1);
    assert_eq!(count(&bench, first), expected(41, 24));
    // With its events a funnel goes, whichever way the day becomes final: counted, or folded.
    bench.insert_behind(&old, 100, 600);
    assert_eq!(bench.derive(TODAY), 1);
    assert_eq!(count(&bench, first), expected(61, 36));
    let of_old = || {
        bench.texts("SELECT value FROM daily WHERE dimension LIKE 'funnel%' AND day < '2026-06-01'")
    };
    assert_eq!(of_old().len(), 2);
    assert_eq!(bench.derive(TODAY + 101), 2, "one folded, one counted");
    assert_eq!(of_old(), [""; 0]);
}

/// Engagement may be gone although its site keeps it for longer by now: nobody can count it again.
#[test]
fn a_day_that_is_counted_for_a_new_funnel_keeps_the_engagement_it_had() {
    let funnels: [&[&str]; 2] = [&["Visit /", "Buy"], &["Visit /", "Signup"]];
    let with = |n: usize| sites_toml(1, &funnel_toml(&funnels[..n]));
    let mut bench = Bench::with_sites("funnels_engaged", &with(1));
    let mut events = moved(views("s0", "/", 0..20), -4);
    for event in events.clone() {
        events.push(Event {
            name: "engagement".into(),
            engagement_ms: 1_000,
            is_interactive: false,
            ..event
        });
    }
    bench.insert(&events, 100);
    let engaged = |bench: &Bench| {
        bench.texts("SELECT toString(engagement_ms) FROM daily WHERE dimension = ''")
    };
    assert_eq!(bench.derive(TODAY), 1);
    assert_eq!(engaged(&bench), ["20000"]);
    bench.delete("name = 'engagement'");
    assert_eq!(bench.derive(TODAY), 0);
    bench.configure(&with(2));
    assert_eq!(bench.derive(TODAY), 1);
    assert_eq!(engaged(&bench), ["20000"]);
    assert_eq!(bench.derive(TODAY), 0);
}

#[test]
fn a_funnel_has_two_to_eight_steps_and_its_filters_hold() {
    let mut bench = Bench::new("funnel_filters", 1);
    let mut events = views("s0", "/", 0..20);
    for event in &mut events[..8] {
        event.country = "SE".into();
    }
    let then = views("s0", "/a", 0..10).into_iter().map(|event| Event {
        ts_ms: event.ts_ms + 5_000,
        country: if event.visitor <= 8 {
            "SE".into()
        } else {
            "DK".into()
        },
        ..event
    });
    events.extend(then.collect::<Vec<_>>());
    bench.insert(&events, 100);
    let ask = |filters: serde_json::Value, steps: &[&str]| {
        let body = json!({ "site_id": "s0", "date_range": "7d", "filters": filters });
        let steps: Vec<String> = steps.iter().map(|step| (*step).to_owned()).collect();
        bench.runtime.block_on(funnel(
            &bench.store.client,
            &bench.sites,
            &bench.limits,
            &body,
            &steps,
            NOW.parse().unwrap(),
            &Memo::default(),
        ))
    };
    let all = ask(json!([]), &["Visit /", "Visit /a"]).unwrap();
    assert_eq!(
        (all.everyone, all.steps),
        (Some(20), vec![Some(20), Some(10)])
    );
    let sweden = ask(
        json!([["is", "visit:country", ["SE"]]]),
        &["Visit /", "Visit /a"],
    )
    .unwrap();
    assert_eq!(
        (sweden.everyone, sweden.steps),
        (Some(8), vec![Some(8), Some(8)])
    );
    assert!(ask(json!([]), &["Visit /"]).is_err());
    assert!(ask(json!([]), &["x"; 9]).is_err());
}

#[test]
fn a_consent_rate_is_of_everybody_who_chose_and_of_nothing_narrower() {
    let mut bench = Bench::new("consent_rate", 1);
    bench.insert(&views("s0", "/", 0..6), 10);
    bench.execute(
        "INSERT INTO consents (scope, site, ts, choice, policy_version, last_day, expires) \
         SELECT 's0', 's0', toDateTime64('2026-11-08 12:00:00', 3, 'UTC'), \
         if(number < 3, 'grant', 'withdraw'), 1, today(), toDate('2031-01-01') FROM numbers(4)",
    );
    bench.execute("INSERT INTO denials (site, day, denials) VALUES ('s0', '2026-11-08', 1)");
    let ask = |more: serde_json::Value| {
        let mut query =
            json!({ "site_id": "s0", "metrics": ["consent_rate", "visitors"], "date_range": "7d" });
        for (key, value) in more.as_object().unwrap() {
            query[key] = value.clone();
        }
        bench.ask(&query)
    };
    assert_eq!(
        ask(json!({})).unwrap().rows[0].metrics,
        [Some(75.0), Some(6.0)]
    );
    let by_day = ask(json!({ "dimensions": ["time:day"] })).unwrap();
    assert_eq!(by_day.rows[0].metrics, [Some(75.0), Some(6.0)]);
    for refused in [
        json!({ "filters": [["is", "event:page", ["/"]]] }),
        json!({ "dimensions": ["visit:country"] }),
        json!({ "dimensions": ["time:hour"] }),
    ] {
        let error = ask(refused).unwrap_err().to_string();
        assert!(error.contains("consent_rate"), "{error}");
    }
}

#[test]
fn configured_goals_are_what_a_breakdown_by_goal_shows() {
    let sites = sites_toml(1, "goals = [\"Visit /a\", \"Signup\"]");
    let mut bench = Bench::with_sites("goals", &sites);
    let named = |name: &str, visitors| {
        let mut events = views("s0", "/x", visitors);
        events.iter_mut().for_each(|event| event.name = name.into());
        events
    };
    let events = [
        views("s0", "/a", 0..10),
        views("s0", "/b", 0..10),
        named("Signup", 0..7),
        named("Other", 0..7),
    ];
    bench.insert(&events.concat(), 100);
    let query = json!({
        "site_id": "s0", "metrics": ["visitors", "events", "conversion_rate"], "date_range": "7d",
        "dimensions": ["event:goal"],
    });
    let answer = bench.ask(&query).unwrap();
    let rows: Vec<_> = answer
        .rows
        .iter()
        .map(|row| (row.dimensions[0].as_str(), row.metrics.clone()))
        .collect();
    assert_eq!(
        rows,
        [
            ("Visit /a", vec![Some(10.0), Some(10.0), Some(100.0)]),
            ("Signup", vec![Some(7.0), Some(7.0), Some(70.0)]),
        ]
    );
}

#[test]
fn a_group_conversion_rate_is_of_each_row_without_its_goal() {
    let mut bench = Bench::new("group_conversion", 1);
    let mut events = views("s0", "/", 0..40);
    for event in &mut events[..16] {
        event.country = "SE".into();
    }
    let mut signups = [&events[..8], &events[16..22], &events[30..36]].concat();
    for event in &mut signups {
        event.name = "Signup".into();
        event.ts_ms += 1_000;
    }
    events.extend(signups);
    bench.insert(&events, 100);
    let ask = |dimensions: &[&str], filters: serde_json::Value| {
        bench.ask(&json!({
            "site_id": "s0", "metrics": ["visitors", "group_conversion_rate", "conversion_rate"],
            "date_range": "7d", "dimensions": dimensions, "filters": filters,
        }))
    };
    let goal = json!(["is", "event:goal", ["Signup"]]);
    let by_country = ask(&["visit:country"], json!([goal])).unwrap();
    let rows: Vec<_> = by_country
        .rows
        .iter()
        .map(|row| (row.dimensions[0].as_str(), row.metrics.clone()))
        .collect();
    assert_eq!(
        rows,
        [
            ("DK", vec![Some(12.0), Some(50.0), Some(30.0)]),
            ("SE", vec![Some(8.0), Some(50.0), Some(20.0)]),
        ]
    );
    let sweden = json!(["is", "visit:country", ["SE"]]);
    let one = ask(&[], json!([goal, sweden])).unwrap();
    assert_eq!(one.rows[0].metrics, [Some(8.0), Some(50.0), Some(50.0)]);
    let by_page = ask(&["event:page"], json!([goal])).unwrap();
    assert_eq!(by_page.rows[0].metrics[1], Some(50.0));
    for (dimensions, filters) in [
        (&["event:goal"][..], json!([goal])),
        (&["visit:country"], json!([])),
        (&["visit:country"], json!([["not", goal]])),
    ] {
        assert!(ask(dimensions, filters).is_err());
    }
}
